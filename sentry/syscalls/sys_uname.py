"""uname(2) with a kernel release that is not the host's: `pysc --kernel-release`. Loaded, and sent to the sentry, only then.

Man pages: uname(2), personality(2). Linux: kernel/sys.c:SYSCALL_DEFINE1(newuname). A UTS namespace has a host and a domain name of its
own, but its release is the kernel's, and nobody can set it.

Left out: the personality UNAME26, which would make the release 2.6.x.
"""

from __future__ import annotations

import os
import struct

from sentry.syscalls.numbers import NUMBERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sentry.dispatch import Handler
    from sentry.task import Task

_PER_MASK = 0xFF
_PER_LINUX32 = 8

new_utsname = struct.Struct("65s" * 6)  # sysname nodename release version machine domainname


def uname(task: Task) -> int:
    """uname(2)."""
    view = task.kernel.view
    host = os.uname()  # we are in the container's UTS namespace
    machine = b"i686" if _personality(task) & _PER_MASK == _PER_LINUX32 else host.machine.encode()
    names = (host.sysname.encode(), os.fsencode(host.nodename), view.release, view.version, machine, _domain(task))
    task.write(task.args[0], new_utsname.pack(*(name[:64] for name in names)))
    return 0


def _domain(task: Task) -> bytes:
    try:
        return task.kernel.view.proc(b"sys/kernel/domainname").removesuffix(b"\n")
    except OSError:  # no procfs in this container
        return b"(none)"


def _personality(task: Task) -> int:
    """The caller's, in hexadecimal as proc_pid_personality(5) has it; 0 when it is gone."""
    try:
        fd = os.open(b"%d/personality" % task.tid, os.O_RDONLY | os.O_CLOEXEC, dir_fd=task.kernel.procfd)
    except OSError:
        return 0
    try:
        return int(os.read(fd, 32), 16)
    finally:
        os.close(fd)


def add(handlers: dict[int, Handler], denied: dict[int, int]) -> None:
    """To what a dispatcher is given."""
    number = NUMBERS["uname"]
    handlers[number] = uname
    denied.pop(number, None)
