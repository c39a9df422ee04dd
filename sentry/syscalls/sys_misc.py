"""inotify_add_watch, sysinfo, sched_getaffinity, and the ioctls that are not allowed.

Man pages: inotify(7), inotify_add_watch(2), sysinfo(2), sched_setaffinity(2), ioctl(2). Linux: fs/notify/inotify/inotify_user.c,
kernel/sys.c, kernel/sched/syscalls.c.

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
from sentry.platform._native import ffi, lib
from sentry.syscalls.raw import magic_link, value
from sentry.syscalls.registry import Int, Ptr, UInt, syscall
from sentry.task import CONTINUE
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

_OF_A_NAMESPACE = frozenset((0xB701, 0xB702))  # NS_GET_USERNS, NS_GET_PARENT
_NSFS_MAGIC = 0x6E736673

_LARGEST_MASK = 1024
"""Bytes; CONFIG_NR_CPUS is 8192 at most."""

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


@syscall("sched_getaffinity")
def sched_getaffinity(task: Task, pid: Int, size: UInt, mask: Ptr) -> object:
    """sched_getaffinity(2). Who may run everywhere is told of those CPUs that /proc shows: under a quota they are fewer than there are.

    Threads go on running on all of the cpuset, so getcpu(2) may name one that is not in the mask; it is always one of
    /sys/devices/system/cpu/possible. In all other cases the kernel answers.
    """
    length = min(size, _LARGEST_MASK)
    buffer = ffi.new("char[]", length)
    written = lib.sched_getaffinity_raw(task.tid, length, buffer)
    if written < 0:
        return CONTINUE
    allowed = int.from_bytes(ffi.buffer(buffer, written)[:], "little") if pid == 0 else _affinity(task, pid)
    shown = sum(1 << cpu for cpu in task.kernel.view.cpus())
    if allowed == shown or allowed & shown != shown:
        return CONTINUE
    task.write(mask, shown.to_bytes(written, "little"))
    return written


def _affinity(task: Task, pid: int) -> int:
    """The mask of another thread, by its number in the container; 0 if it has none."""
    try:
        status = task.kernel.view.proc(b"%d/status" % pid)
    except OSError:
        return 0
    _, _, rest = status.partition(b"\nCpus_allowed:")
    digits = rest.partition(b"\n")[0].strip().replace(b",", b"")
    return int(digits, 16) if digits else 0


@syscall("ioctl")
def ioctl(task: Task, fd: Int, request: UInt) -> int:
    """ioctl(2): the filter lets the numbers pass that are allowed; a driver that does not know a number says ENOTTY.

    What a namespace lies in, it is not told, as if that were outside: lsns(8) then goes on, ioctl_ns(2).
    """
    copy = task.get_fd(fd)
    namespace = request in _OF_A_NAMESPACE and lib.fd_type(copy) == _NSFS_MAGIC
    close(copy)
    if namespace:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))
    task.kernel.denied("ioctl", hex(request))
    raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))
