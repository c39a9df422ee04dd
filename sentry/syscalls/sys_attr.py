"""Attributes of what a path names: mode, owner, times, size, extended attributes.

Man pages: chmod(2), chown(2), utimensat(2), utime(2), truncate(2), xattr(7), setxattr(2), getxattr(2), listxattr(2),
removexattr(2). Linux: fs/open.c, fs/utimes.c, fs/xattr.c. The object is looked up as the caller, then the kernel acts on it, as the
caller: order of checks here is Linux's before the lookup, the kernel's own after it.

Left out: when truncate(2) exceeds RLIMIT_FSIZE and would fail for another reason too, EFBIG and SIGXFSZ come first; a file lease
(F_SETLEASE) on a truncated file holds up the dispatcher until it is given up, for /proc/sys/fs/lease-break-time at most.
"""

from __future__ import annotations

import errno
import os
import struct
from os import close
from stat import S_ISLNK, S_ISREG

from sentry.abi import AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW
from sentry.platform._native import ffi, lib
from sentry.syscalls.raw import magic_link, value
from sentry.syscalls.registry import Dirfd, Flags, Int, Long, Mode, PathPtr, Ptr, Size, UInt, syscall
from sentry.vfs.resolve import lookup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sentry.task import Task

_OBJECT_FLAGS = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH
_timespecs = struct.Struct("<qqqq")  # struct timespec[2], struct timeval[2]
_utimbuf = struct.Struct("<qq")
_SAME = 0xFFFFFFFF
_UTIME_OMIT = (1 << 30) - 2
_SYS_TGKILL = 234
_SIGXFSZ = 25


def _on_object(
    task: Task, dirfd: int, path: bytes, act: Callable[[int], object], *, follow: bool = True, empty: bool = False
) -> int:
    """act(descriptor of the object), as the caller."""
    fd = lookup(task, dirfd, path, follow=follow, empty=empty)
    try:
        act(fd)
    except OSError as e:
        if e.errno == errno.EROFS:
            task.kernel.denied("write", os.fsdecode(path))
        raise
    finally:
        close(fd)
    return 0


# ---- chmod ----


@syscall("chmod")
def chmod(task: Task, path: PathPtr, mode: Mode) -> int:
    """chmod(2)."""
    return _fchmodat(task, AT_FDCWD, path, mode, 0)


@syscall("fchmodat")
def fchmodat(task: Task, dirfd: Dirfd, path: PathPtr, mode: Mode) -> int:
    """fchmodat(2): the system call has no flags."""
    return _fchmodat(task, dirfd, path, mode, 0)


@syscall("fchmodat2")
def fchmodat2(task: Task, dirfd: Dirfd, path: Ptr, mode: Mode, flags: Flags) -> int:
    """fchmodat2(2). Linux: do_fchmodat()."""
    if flags & ~_OBJECT_FLAGS:
        raise OSError(errno.EINVAL, "flags")
    return _fchmodat(task, dirfd, task.read_cstr(path), mode, flags)


def _fchmodat(task: Task, dirfd: int, path: bytes, mode: int, flags: int) -> int:
    def act(fd: int) -> None:
        if S_ISLNK(task.opened.mode):
            # Some file systems would do it before Linux 6.6. ENOSYS there, as fchmodat2 itself.
            value(lib.fchmodat2_(fd, b"", mode & 0o7777, AT_EMPTY_PATH))
        else:
            _check_procfs(task, fd)
            os.chmod(magic_link(fd), mode & 0o7777)

    return _on_object(task, dirfd, path, act, follow=not flags & AT_SYMLINK_NOFOLLOW, empty=bool(flags & AT_EMPTY_PATH))


# ---- chown ----


@syscall("chown")
def chown(task: Task, path: PathPtr, uid: UInt, gid: UInt) -> int:
    """chown(2)."""
    return _fchownat(task, AT_FDCWD, path, uid, gid, 0)


@syscall("lchown")
def lchown(task: Task, path: PathPtr, uid: UInt, gid: UInt) -> int:
    """lchown(2)."""
    return _fchownat(task, AT_FDCWD, path, uid, gid, AT_SYMLINK_NOFOLLOW)


@syscall("fchownat")
def fchownat(task: Task, dirfd: Dirfd, path: Ptr, uid: UInt, gid: UInt, flags: Flags) -> int:
    """fchownat(2). Linux: do_fchownat()."""
    if flags & ~_OBJECT_FLAGS:
        raise OSError(errno.EINVAL, "flags")
    return _fchownat(task, dirfd, task.read_cstr(path), uid, gid, flags)


def _fchownat(task: Task, dirfd: int, path: bytes, uid: int, gid: int, flags: int) -> int:
    def act(fd: int) -> None:
        if uid != _SAME or gid != _SAME:
            _check_procfs(task, fd)
        os.chown(magic_link(fd), _id(uid), _id(gid))

    return _on_object(task, dirfd, path, act, follow=not flags & AT_SYMLINK_NOFOLLOW, empty=bool(flags & AT_EMPTY_PATH))


def _check_procfs(task: Task, fd: int) -> None:
    """A change of mode, owner or times: on procfs of what is about a process alone."""
    proc = task.kernel.proc
    if task.opened.dev == proc.dev:
        proc.check_change(task, fd)


def _id(ident: int) -> int:
    """(uid_t) -1: leave it."""
    return -1 if ident == _SAME else ident


# ---- utime ----


@syscall("utimensat")
def utimensat(task: Task, dirfd: Dirfd, path: Ptr, times: Ptr, flags: Flags) -> int:
    """utimensat(2). Linux: fs/utimes.c, which does not even look at the path when there is nothing to do."""
    spec = task.read(times, _timespecs.size) if times else None
    if spec:
        _, atime_nsec, _, mtime_nsec = _timespecs.unpack(spec)
        if atime_nsec == mtime_nsec == _UTIME_OMIT:
            return 0
    return _utimes(task, dirfd, path, spec, flags)


@syscall("futimesat")
def futimesat(task: Task, dirfd: Dirfd, path: Ptr, times: Ptr) -> int:
    """futimesat(2)."""
    return _utimes(task, dirfd, path, _timevals(task, times), 0)


@syscall("utimes")
def utimes(task: Task, path: Ptr, times: Ptr) -> int:
    """utimes(2)."""
    return _utimes(task, AT_FDCWD, path, _timevals(task, times), 0)


@syscall("utime")
def utime(task: Task, path: Ptr, times: Ptr) -> int:
    """utime(2)."""
    spec = None
    if times:
        atime, mtime = _utimbuf.unpack(task.read(times, _utimbuf.size))
        spec = _timespecs.pack(atime, 0, mtime, 0)
    return _utimes(task, AT_FDCWD, path, spec, 0)


def _timevals(task: Task, times: int) -> bytes | None:
    """struct timeval[2] as struct timespec[2]. The check also keeps UTIME_NOW and UTIME_OMIT out."""
    if not times:
        return None
    atime, atime_usec, mtime, mtime_usec = _timespecs.unpack(task.read(times, _timespecs.size))
    if not (0 <= atime_usec < 1_000_000 and 0 <= mtime_usec < 1_000_000):
        raise OSError(errno.EINVAL, "tv_usec")
    return _timespecs.pack(atime, atime_usec * 1000, mtime, mtime_usec * 1000)


def _utimes(task: Task, dirfd: int, path: int, spec: bytes | None, flags: int) -> int:
    """do_utimes(): `spec` is a struct timespec[2], checked by the kernel after the lookup; None is the present."""
    times = spec or ffi.NULL
    if not path and dirfd != AT_FDCWD:
        return _futimens(task, dirfd, times, flags)
    if flags & ~_OBJECT_FLAGS:
        raise OSError(errno.EINVAL, "flags")
    name = task.read_cstr(path)

    def act(fd: int) -> None:
        _check_procfs(task, fd)
        value(lib.utimensat_(AT_FDCWD, magic_link(fd), times, 0))

    return _on_object(task, dirfd, name, act, follow=not flags & AT_SYMLINK_NOFOLLOW, empty=bool(flags & AT_EMPTY_PATH))


def _futimens(task: Task, fd: int, times: object, flags: int) -> int:
    """do_utimes_fd()."""
    if flags:
        raise OSError(errno.EINVAL, "flags")
    copy = task.get_fd(fd)
    try:
        task.assume()
        task.check()
        return value(lib.utimensat_(copy, ffi.NULL, times, 0))
    finally:
        close(copy)


# ---- truncate ----


@syscall("truncate")
def truncate(task: Task, path: Ptr, length: Long) -> int:
    """truncate(2). Linux: fs/open.c:do_sys_truncate(), vfs_truncate()."""
    if length < 0:
        raise OSError(errno.EINVAL, "length")

    def act(fd: int) -> None:
        if task.kernel.is_outside(fd):  # who was given it open for writing has ftruncate(2)
            raise OSError(errno.EACCES, "given from outside")
        if S_ISREG(task.opened.mode) and length > os.fstat(fd).st_size:
            _check_file_size(task, length)
        os.truncate(magic_link(fd), length)

    return _on_object(task, AT_FDCWD, task.read_cstr(path), act)


def _check_file_size(task: Task, length: int) -> None:
    """inode_newsize_ok(): the caller's RLIMIT_FSIZE, since the kernel would look at ours. proc_pid_limits(5)."""
    fd = value(lib.proc_open(task.kernel.procfd, task.tid, b"limits", os.O_RDONLY))
    try:
        limits = os.read(fd, 4096)
    finally:
        close(fd)
    soft = limits.partition(b"Max file size")[2].split(None, 1)[0]
    if soft != b"unlimited" and length > int(soft):
        value(lib.syscall6(_SYS_TGKILL, task.ids.tgid, task.tid, _SIGXFSZ, 0, 0, 0))
        raise OSError(errno.EFBIG, "RLIMIT_FSIZE")


# ---- extended attributes ----

_XATTR_NAME_MAX = 255
_XATTR_SIZE_MAX = 65536
_XATTR_FLAGS = os.XATTR_CREATE | os.XATTR_REPLACE


@syscall("setxattr")
def setxattr(task: Task, path: Ptr, name: Ptr, data: Ptr, size: Size, flags: Int) -> int:
    """setxattr(2)."""
    return _setxattr(task, path, name, data, size, flags, follow=True)


@syscall("lsetxattr")
def lsetxattr(task: Task, path: Ptr, name: Ptr, data: Ptr, size: Size, flags: Int) -> int:
    """lsetxattr(2)."""
    return _setxattr(task, path, name, data, size, flags, follow=False)


def _setxattr(task: Task, path: int, name: int, data: int, size: int, flags: int, *, follow: bool) -> int:
    """setxattr_copy() comes before the path (since Linux 6.13; the other way round before)."""
    if flags & ~_XATTR_FLAGS:
        raise OSError(errno.EINVAL, "flags")
    key = _xattr_name(task, name)
    if size > _XATTR_SIZE_MAX:
        raise OSError(errno.E2BIG, "size")
    content = task.read(data, size)
    return _on_object(
        task,
        AT_FDCWD,
        task.read_cstr(path),
        lambda fd: os.setxattr(magic_link(fd), key, content, flags),
        follow=follow,
    )


@syscall("getxattr")
def getxattr(task: Task, path: Ptr, name: Ptr, data: Ptr, size: Size) -> int:
    """getxattr(2)."""
    return _getxattr(task, path, name, data, size, follow=True)


@syscall("lgetxattr")
def lgetxattr(task: Task, path: Ptr, name: Ptr, data: Ptr, size: Size) -> int:
    """lgetxattr(2)."""
    return _getxattr(task, path, name, data, size, follow=False)


def _getxattr(task: Task, path: int, name: int, data: int, size: int, *, follow: bool) -> int:
    key = _xattr_name(task, name)
    return _fetch(task, path, lambda link, buffer, room: lib.getxattr_(link, key, buffer, room), data, size, follow)


@syscall("listxattr")
def listxattr(task: Task, path: Ptr, data: Ptr, size: Size) -> int:
    """listxattr(2)."""
    return _fetch(task, path, lib.listxattr_, data, size, follow=True)


@syscall("llistxattr")
def llistxattr(task: Task, path: Ptr, data: Ptr, size: Size) -> int:
    """llistxattr(2)."""
    return _fetch(task, path, lib.listxattr_, data, size, follow=False)


def _fetch(task: Task, path: int, call: Callable[[bytes, object, int], int], data: int, size: int, follow: bool) -> int:
    """call(magic link, buffer, room in it) -> length; what it found goes to the caller's `data` of `size` bytes."""
    fd = lookup(task, AT_FDCWD, task.read_cstr(path), follow=follow)
    try:
        room = min(size, _XATTR_SIZE_MAX)
        buffer = ffi.new("char[]", room) if room else ffi.NULL
        length = value(call(magic_link(fd), buffer, room))
    finally:
        close(fd)
    if room:
        task.write(data, ffi.unpack(buffer, length))
    return length


@syscall("removexattr")
def removexattr(task: Task, path: Ptr, name: Ptr) -> int:
    """removexattr(2)."""
    return _removexattr(task, path, name, follow=True)


@syscall("lremovexattr")
def lremovexattr(task: Task, path: Ptr, name: Ptr) -> int:
    """lremovexattr(2)."""
    return _removexattr(task, path, name, follow=False)


def _removexattr(task: Task, path: int, name: int, *, follow: bool) -> int:
    key = _xattr_name(task, name)
    return _on_object(task, AT_FDCWD, task.read_cstr(path), lambda fd: os.removexattr(magic_link(fd), key), follow=follow)


def _xattr_name(task: Task, name: int) -> bytes:
    """import_xattr_name(): ERANGE for an empty name or one of over 255 bytes."""
    try:
        key = task.read_cstr(name, _XATTR_NAME_MAX + 1)
    except OSError as e:
        if e.errno == errno.ENAMETOOLONG:
            raise OSError(errno.ERANGE, "xattr name") from None
        raise
    if not key:
        raise OSError(errno.ERANGE, "xattr name")
    return key
