"""What a path names: stat, statx, access, readlink, statfs, name_to_handle_at, chdir. Mediated in the profile `strict` only.

Man pages: stat(2), statx(2), access(2), readlink(2), statfs(2), open_by_handle_at(2), chdir(2). Linux: fs/stat.c, fs/open.c,
fs/statfs.c, fs/fhandle.c. The kernel's own structures are copied to the caller as they are: the sentry looks at the same mounts in the
same user namespace.

Left out: securebits SECURE_NO_SETUID_FIXUP, with which access(2) would keep the effective capabilities: nobody can
read another task's.
"""

from __future__ import annotations

import errno
import os
from os import close
from stat import S_ISLNK

from sentry.abi import (
    AT_EACCESS,
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_NO_AUTOMOUNT,
    AT_SYMLINK_FOLLOW,
    AT_SYMLINK_NOFOLLOW,
    O_DIRECTORY,
)
from sentry.platform._native import ffi, lib
from sentry.syscalls.raw import magic_link, value
from sentry.syscalls.registry import Dirfd, Flags, Int, PathPtr, Ptr, UInt, syscall
from sentry.task import CONTINUE
from sentry.vfs.resolve import lookup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sentry.creds import Credentials
    from sentry.task import Task

_STAT_SIZE = 144
_STATX_SIZE = 256
_STATFS_SIZE = 120
_STATX_RESERVED = 0x80000000
_AT_STATX_SYNC_TYPE = 0x6000
_STAT_FLAGS = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | _AT_STATX_SYNC_TYPE

AT_HANDLE_MNT_ID_UNIQUE = 1
AT_HANDLE_CONNECTABLE = 2
AT_HANDLE_FID = 0x200
_HANDLE_FLAGS = AT_SYMLINK_FOLLOW | AT_EMPTY_PATH | AT_HANDLE_FID | AT_HANDLE_CONNECTABLE | AT_HANDLE_MNT_ID_UNIQUE
_HANDLE_HEAD = 8
"""struct file_handle without f_handle: handle_bytes, handle_type, four bytes each."""
_HANDLE_BYTES = 4
_MAX_HANDLE = 128
_SYS_NAME_TO_HANDLE_AT = 303
_HERE = AT_FDCWD & 0xFFFFFFFF


# ---- stat ----


@syscall("stat")
def stat(task: Task, path: PathPtr, statbuf: Ptr) -> int:
    """stat(2)."""
    return _fstatat(task, AT_FDCWD, path, statbuf, 0)


@syscall("lstat")
def lstat(task: Task, path: PathPtr, statbuf: Ptr) -> int:
    """lstat(2)."""
    return _fstatat(task, AT_FDCWD, path, statbuf, AT_SYMLINK_NOFOLLOW)


@syscall("newfstatat")
def newfstatat(task: Task, dirfd: Dirfd, path: Ptr, statbuf: Ptr, flags: Flags) -> int:
    """fstatat(2). Linux: vfs_fstatat()."""
    if flags & ~_STAT_FLAGS:
        raise OSError(errno.EINVAL, "flags")
    return _fstatat(task, dirfd, _maybe_null(task, path, flags), statbuf, flags)


def _fstatat(task: Task, dirfd: int, path: bytes, statbuf: int, flags: int) -> int:
    fd = lookup(task, dirfd, path, follow=not flags & AT_SYMLINK_NOFOLLOW, empty=bool(flags & AT_EMPTY_PATH))
    try:
        out = ffi.new("char[]", _STAT_SIZE)
        value(lib.fstatat_raw(fd, b"", out, AT_EMPTY_PATH))
    finally:
        close(fd)
    task.write(statbuf, ffi.unpack(out, _STAT_SIZE))
    return 0


@syscall("statx")
def statx(task: Task, dirfd: Dirfd, path: Ptr, flags: Flags, mask: UInt, statxbuf: Ptr) -> int:
    """statx(2). Linux: do_statx()."""
    sync = flags & _AT_STATX_SYNC_TYPE
    if mask & _STATX_RESERVED or sync == _AT_STATX_SYNC_TYPE or flags & ~_STAT_FLAGS:
        raise OSError(errno.EINVAL, "flags or mask")
    name = _maybe_null(task, path, flags)
    fd = lookup(task, dirfd, name, follow=not flags & AT_SYMLINK_NOFOLLOW, empty=bool(flags & AT_EMPTY_PATH))
    try:
        out = ffi.new("char[]", _STATX_SIZE)
        value(lib.statx_raw(fd, b"", AT_EMPTY_PATH | sync, mask, out))
    finally:
        close(fd)
    task.write(statxbuf, ffi.unpack(out, _STATX_SIZE))
    return 0


def _maybe_null(task: Task, path: int, flags: int) -> bytes:
    """getname_maybe_null(), Linux 6.11: with AT_EMPTY_PATH a null pointer is an empty path."""
    return b"" if not path and flags & AT_EMPTY_PATH else task.read_cstr(path)


@syscall("statfs")
def statfs(task: Task, path: PathPtr, buf: Ptr) -> int:
    """statfs(2)."""
    fd = lookup(task, AT_FDCWD, path)
    try:
        out = ffi.new("char[]", _STATFS_SIZE)
        value(lib.statfs_raw(magic_link(fd), out))
    finally:
        close(fd)
    task.write(buf, ffi.unpack(out, _STATFS_SIZE))
    return 0


# ---- handles ----


@syscall("name_to_handle_at")
def name_to_handle_at(task: Task, dirfd: Dirfd, path: PathPtr, handle: Ptr, mount: Ptr, flags: Flags) -> int:
    """name_to_handle_at(2): what to compare files and mounts by. open_by_handle_at(2) is refused. Linux: do_sys_name_to_handle()."""
    if flags & ~_HANDLE_FLAGS or (flags & AT_HANDLE_CONNECTABLE and flags & (AT_EMPTY_PATH | AT_HANDLE_FID)):
        raise OSError(errno.EINVAL, "flags")
    fd = lookup(task, dirfd, path, follow=bool(flags & AT_SYMLINK_FOLLOW), empty=bool(flags & AT_EMPTY_PATH))
    try:
        room = int.from_bytes(task.read(handle, _HANDLE_BYTES), "little")
        out, name = ffi.new("char[]", _HANDLE_HEAD + min(room, _MAX_HANDLE + 1)), ffi.new("char[]", magic_link(fd))
        ffi.buffer(out)[:_HANDLE_BYTES] = room.to_bytes(_HANDLE_BYTES, "little")
        number = ffi.new("uint64_t *")
        how = flags & ~AT_EMPTY_PATH | AT_SYMLINK_FOLLOW
        result = lib.syscall6(_SYS_NAME_TO_HANDLE_AT, _HERE, *(int(ffi.cast("uintptr_t", p)) for p in (name, out, number)), how, 0)
    finally:
        close(fd)
    if result not in (0, -errno.EOVERFLOW):
        value(result)
    task.write(mount, number[0].to_bytes(8 if flags & AT_HANDLE_MNT_ID_UNIQUE else 4, "little"))
    used = int.from_bytes(ffi.buffer(out, _HANDLE_BYTES), "little")
    task.write(handle, ffi.unpack(out, _HANDLE_HEAD + (used if result == 0 else 0)))
    return value(result)


# ---- access ----


@syscall("access")
def access(task: Task, path: Ptr, mode: UInt) -> int:
    """access(2)."""
    return _faccessat(task, AT_FDCWD, path, mode, 0)


@syscall("faccessat")
def faccessat(task: Task, dirfd: Dirfd, path: Ptr, mode: UInt) -> int:
    """faccessat(2): the system call has no flags."""
    return _faccessat(task, dirfd, path, mode, 0)


@syscall("faccessat2")
def faccessat2(task: Task, dirfd: Dirfd, path: Ptr, mode: UInt, flags: Flags) -> int:
    """faccessat2(2)."""
    return _faccessat(task, dirfd, path, mode, flags)


def _faccessat(task: Task, dirfd: int, path: int, mode: int, flags: int) -> int:
    """do_faccessat(). The lookup, too, is made with the real ids."""
    if mode & ~7 or flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH):
        raise OSError(errno.EINVAL, "mode or flags")
    name = task.read_cstr(path)
    if not flags & AT_EACCESS:
        task._creds = _real(task)
    fd = lookup(task, dirfd, name, follow=not flags & AT_SYMLINK_NOFOLLOW, empty=bool(flags & AT_EMPTY_PATH))
    def ask() -> int:
        # this thread's *effective* identity is the one that is asked about
        return int(lib.faccessat2_(fd, b"", mode, AT_EMPTY_PATH | AT_EACCESS))

    proc = task.kernel.proc
    try:
        return value(proc.access(task, fd, ask) if task.opened.dev == proc.dev else ask())
    finally:
        close(fd)


def _real(task: Task) -> Credentials:
    """access_override_creds(): the real ids; for root the permitted capabilities, for others none."""
    creds = task.creds
    caps = _permitted(task) if creds.uid == 0 else 0
    return creds.real(caps)


def _permitted(task: Task) -> int:
    """CapPrm of proc_pid_status(5)."""
    fd = value(lib.proc_open(task.kernel.procfd, task.tid, b"status", os.O_RDONLY))
    try:
        status = os.read(fd, 16384)
    finally:
        close(fd)
    return int(status.partition(b"\nCapPrm:")[2].split(None, 1)[0], 16)


# ---- readlink ----


@syscall("readlink")
def readlink(task: Task, path: Ptr, buf: Ptr, size: Int) -> int:
    """readlink(2)."""
    return _readlinkat(task, AT_FDCWD, path, buf, size)


@syscall("readlinkat")
def readlinkat(task: Task, dirfd: Dirfd, path: Ptr, buf: Ptr, size: Int) -> int:
    """readlinkat(2). An empty path means `dirfd` itself, without a flag. Linux: do_readlinkat()."""
    return _readlinkat(task, dirfd, path, buf, size)


def _readlinkat(task: Task, dirfd: int, path: int, buf: int, size: int) -> int:
    if size <= 0:
        raise OSError(errno.EINVAL, "bufsiz")
    name = task.read_cstr(path)
    fd = lookup(task, dirfd, name, follow=False, empty=True)
    try:
        if not S_ISLNK(task.opened.mode):
            raise OSError(errno.EINVAL if name else errno.ENOENT, "not a symbolic link")
        proc = task.kernel.proc
        # links on procfs say who asks
        text = proc.readlink(task, fd) if task.opened.dev == proc.dev else os.readlink(b"", dir_fd=fd)
    finally:
        close(fd)
    text = text[:size]
    task.write(buf, text)
    return len(text)


# ---- chdir ----


@syscall("chdir")
def chdir(task: Task, path: PathPtr) -> object:
    """chdir(2). The kernel keeps the working directory, so the kernel changes it, once we know that the path leads somewhere.

    A racing thread may make it another path: then the caller stands in another directory of its own view, where
    every name that it goes on to use is judged by what it leads to.
    """
    close(lookup(task, AT_FDCWD, path, flags=O_DIRECTORY))
    return CONTINUE
