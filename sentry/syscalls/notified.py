"""Native calls that the filter was told to send to the sentry nevertheless: for `--strace=all`, and for faults (`--inject`).

What the table says of them is not changed. Whether a call is native was a question to its registers, which the filter would have asked;
now the same rule is asked here, of the same registers: the caller waits in the call and they do not change. Native calls are continued
as they are.
"""

from __future__ import annotations

import os

from sentry.syscalls.table import ROWS, Denied, Native, decide
from sentry.task import CONTINUE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from sentry.syscalls.table import Row
    from sentry.task import Task

    Handler = Callable[[Task], object]

UNSOUND = {
    "rt_sigreturn": "it has no caller to return an error to, and a signal that comes while it waits would make it return one",
    "clone3": "the filter refuses it with ENOSYS before anybody hears of it; libraries go on with clone",
}
"""Calls that cannot be sent to the sentry, and why."""

NO_RETURN = {
    **UNSOUND,
    "exit": "it does not return",
    "exit_group": "it does not return",
    "restart_syscall": "the kernel makes it, to go on with another call",
}
"""Calls that no fault can be put into."""


def add(handlers: dict[int, Handler], names: Collection[str], profile: str, network: str) -> None:
    """Put handlers for the calls `names` into `handlers`, or in front of what is there."""
    for row in ROWS:
        if row.name in names:
            handlers[row.number] = _native_first(row, profile, network, handlers.get(row.number))


def _native_first(row: Row, profile: str, network: str, handler: Handler | None) -> Handler:
    disposition = row.disposition(profile, network)
    name = row.name

    def decided(task: Task) -> object:
        leaf = decide(disposition, task.args)
        if isinstance(leaf, Native):
            task.kernel.counts[task.nr] -= 1  # it is not mediated
            return CONTINUE
        if handler is not None:
            return handler(task)
        assert isinstance(leaf, Denied), name
        task.kernel.denied("syscall", name)
        raise OSError(leaf.errno, os.strerror(leaf.errno))

    return decided
