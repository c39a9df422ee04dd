"""All handlers, by system call number: what a dispatcher is given."""

from __future__ import annotations

from sentry.syscalls import sys_attr, sys_dir, sys_identity, sys_misc, sys_mount, sys_open, sys_socket, sys_stat, table
from sentry.syscalls.registry import handlers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sentry.dispatch import Handler

FAMILIES = (sys_attr, sys_dir, sys_identity, sys_misc, sys_mount, sys_open, sys_socket, sys_stat)


def by_number(profile: str) -> tuple[dict[int, Handler], dict[int, int], dict[int, str]]:
    """(handlers, errnos of what is denied, names), each by number. What is in neither of the first two is ENOSYS."""
    names = {row.number: row.name for row in table.ROWS}
    found = {row.number: handlers[row.name] for row in table.ROWS if row.name in handlers}
    denied = {row.number: row.refusal(profile) for row in table.ROWS if row.name not in handlers}
    return found, denied, names
