"""What is refused by its arguments, once it has come to the sentry: the filter says only *that* a call is not native.

For rows of `sentry.syscalls.table` with more than one outcome that is not native: the handler runs only for what the table calls
mediated, and each refusal gets the errno of its case (socket(2): EPERM, EPROTONOSUPPORT or EAFNOSUPPORT).
"""

from __future__ import annotations

import os

from sentry.syscalls.table import Denied, decide, leaves

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sentry.syscalls.table import Row
    from sentry.task import Task

    Handler = Callable[[Task], object]


def by_arguments(row: Row, profile: str, network: str, handler: Handler | None) -> Handler | None:
    """`handler`, or one that first refuses what the row refuses, where that depends on arguments."""
    disposition = row.disposition(profile, network)
    errnos = {leaf.errno for leaf in leaves(disposition) if isinstance(leaf, Denied)}
    if len(errnos) + (handler is not None) < 2:
        return handler
    name = row.name

    def refusing(task: Task) -> object:
        leaf = decide(disposition, task.args)
        if not isinstance(leaf, Denied):
            assert handler is not None, name
            return handler(task)
        task.kernel.denied("syscall", name)
        raise OSError(leaf.errno, os.strerror(leaf.errno))

    return refusing
