"""All handlers, by system call number: what a dispatcher is given."""

from __future__ import annotations

from sentry.syscalls import sys_attr, sys_dir, sys_identity, sys_misc, sys_mount, sys_open, sys_socket, sys_stat, table
from sentry.syscalls.numbers import NUMBERS
from sentry.syscalls.refuse import by_arguments
from sentry.syscalls.registry import handlers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sentry.dispatch import Handler

FAMILIES = (sys_attr, sys_dir, sys_identity, sys_misc, sys_mount, sys_open, sys_socket, sys_stat)

LOOKING = frozenset(NUMBERS[name] for name in "stat lstat newfstatat statx statfs access faccessat faccessat2".split())
"""Calls that look a name up and yield no object."""


_known: dict[tuple[str, str], tuple[dict[int, Handler], dict[int, int], dict[int, str]]] = {}


def by_number(profile: str, network: str) -> tuple[dict[int, Handler], dict[int, int], dict[int, str]]:
    """(handlers, errnos of what is denied, names), each by number. What is in neither of the first two is ENOSYS."""
    if (profile, network) not in _known:
        _known[profile, network] = _by_number(profile, network)
    found, denied, names = _known[profile, network]
    return dict(found), dict(denied), names


def _by_number(profile: str, network: str) -> tuple[dict[int, Handler], dict[int, int], dict[int, str]]:
    names = {row.number: row.name for row in table.ROWS}
    found: dict[int, Handler] = {}
    denied: dict[int, int] = {}
    for row in table.ROWS:
        handler = by_arguments(row, profile, network, handlers.get(row.name))
        if handler is None:
            denied[row.number] = row.refusal(profile, network)
        else:
            found[row.number] = handler
    return found, denied, names
