"""Calls that change who a task is. The kernel makes the change; the sentry only learns that its cache is stale.

Man pages: credentials(7), setuid(2), setgroups(2), capset(2), prctl(2), execve(2), umask(2), chroot(2). All are answered CONTINUE: their
effect is on the caller alone, within its user namespace, and is the same whatever a racing thread writes into the
memory they may read (docs/design.md, rule 5).
"""

from __future__ import annotations

import errno

from sentry.abi import PR_CAP_AMBIENT, PR_CAPBSET_DROP, PR_SET_KEEPCAPS, PR_SET_SECUREBITS
from sentry.syscalls.registry import UInt, syscall
from sentry.task import CONTINUE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sentry.task import Task


_IDENTITY_OPTIONS = (PR_SET_KEEPCAPS, PR_CAPBSET_DROP, PR_SET_SECUREBITS, PR_CAP_AMBIENT)


@syscall(
    "setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setfsuid", "setfsgid", "setgroups", "capset"
)
def set_identity(task: Task) -> object:
    """The caller's ids or capabilities are about to change."""
    task.kernel.credentials.forget(task.tid)
    return CONTINUE


@syscall("umask")
def umask(task: Task) -> object:
    """umask(2): processes may share it (CLONE_FS), so nobody's is known any more."""
    task.kernel.credentials.forget_all()
    return CONTINUE


@syscall("prctl")
def prctl(task: Task, option: UInt) -> object:
    """prctl(2), the options that change capabilities; the filter lets the harmless ones pass and refuses the rest."""
    if option not in _IDENTITY_OPTIONS:
        task.kernel.denied("prctl", str(option))
        raise OSError(errno.EINVAL, "prctl")
    task.kernel.credentials.forget(task.tid)
    return CONTINUE


@syscall("execve", "execveat")
def execve(task: Task) -> object:
    """execve(2): what its file makes of the caller is decided when the kernel opens it, and not looked at here."""
    task.kernel.credentials.executes(task.tid)
    return CONTINUE


@syscall("chroot")
def chroot(task: Task) -> object:
    """chroot(2): from now on every walk asks for the caller's own root. The new root is in the caller's view, whatever it is."""
    task.kernel.chrooted = True
    return CONTINUE
