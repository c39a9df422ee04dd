"""inotify_add_watch, sysinfo, and the ioctls that are not allowed.

Man pages: inotify(7), inotify_add_watch(2), sysinfo(2), ioctl(2). Linux: fs/notify/inotify/inotify_user.c, kernel/sys.c.

Left out: watches on device nodes other than terminals of the container's (EACCES). They are the host's own, and would tell when
somebody on the host, or in another container, opens one. Load averages, which the kernel has for the whole machine only, are zero,
as in /proc/loadavg.
"""

from __future__ import annotations

import errno
import os
import struct
from os import close
from stat import S_IFBLK, S_IFCHR, S_IFMT

from sentry.abi import AT_FDCWD, O_DIRECTORY
from sentry.platform._native import lib
from sentry.syscalls.raw import magic_link, value
from sentry.syscalls.registry import Int, Ptr, UInt, syscall
from sentry.vfs.resolve import lookup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sentry.task import Task

_IN_ONLYDIR = 0x01000000
_IN_DONT_FOLLOW = 0x02000000
_IN_MASK_CREATE = 0x10000000
_IN_MASK_ADD = 0x20000000
_IN_ISDIR = 0x40000000
_ALL_INOTIFY_BITS = 0xF700EFFF
_DEVPTS_SUPER_MAGIC = 0x1CD1

_sysinfo = struct.Struct("<q3Q6QH6x2QI4x")


@syscall("inotify_add_watch")
def inotify_add_watch(task: Task, fd: Int, path: Ptr, mask: UInt) -> int:
    """inotify_add_watch(2). The watch belongs to the caller's own inotify instance: events are read natively."""
    if mask & ~_ALL_INOTIFY_BITS or not mask:
        raise OSError(errno.EINVAL, "mask")
    instance = task.get_fd(fd)
    try:
        # EBADF or EINVAL if it is no inotify instance, which the kernel says before it looks at the path; else ENOENT
        probe = lib.inotify_add_watch_(instance, b"", _IN_ISDIR)
        if probe != -errno.ENOENT:
            value(probe)
        if mask & _IN_MASK_ADD and mask & _IN_MASK_CREATE:
            raise OSError(errno.EINVAL, "mask")
        flags = O_DIRECTORY if mask & _IN_ONLYDIR else 0
        found = lookup(task, AT_FDCWD, task.read_cstr(path), follow=not mask & _IN_DONT_FOLLOW, flags=flags)
        try:
            if S_IFMT(task.opened.mode) in (S_IFCHR, S_IFBLK) and lib.fd_type(found) != _DEVPTS_SUPER_MAGIC:
                raise OSError(errno.EACCES, "device")
            # the magic link is to be followed; IN_ISDIR means nothing here, but a mask must not be empty
            return value(lib.inotify_add_watch_(instance, magic_link(found), mask & ~_IN_DONT_FOLLOW | _IN_ISDIR))
        finally:
            close(found)
    finally:
        close(instance)


@syscall("sysinfo")
def sysinfo(task: Task, info: Ptr) -> int:
    """sysinfo(2), of the container as /proc shows it. Linux: do_sysinfo()."""
    view = task.kernel.view
    memory = view.memory()
    swap = memory.swap_total, memory.swap_free
    loads = 0, 0, 0
    shared, buffers, high = memory.stat.get(b"shmem", 0), 0, 0
    processes = min(view.threads(), 0xFFFF)
    uptime = int(view.uptime())
    task.write(info, _sysinfo.pack(uptime, *loads, memory.total, memory.free, shared, buffers, *swap, processes, high, high, 1))
    return 0


@syscall("ioctl")
def ioctl(task: Task, fd: Int, request: UInt) -> int:
    """ioctl(2): the filter lets the numbers pass that are allowed; a driver that does not know a number says ENOTTY."""
    close(task.get_fd(fd))
    task.kernel.denied("ioctl", hex(request))
    raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))
