"""Names in directories: mkdir, mknod, unlink, rmdir, rename, link, symlink and their *at variants.

Man pages: mkdir(2), mknod(2), unlink(2), rmdir(2), rename(2), link(2), symlink(2), path_resolution(7). Linux: fs/namei.c. The
parent directory is looked up as the caller, then the kernel acts on (parent, last component), as the caller: those calls do not
follow a link in the last component, so nothing is decided on a name that could change meanwhile.

Left out: device nodes, which the kernel refuses in a user namespace (EPERM); linkat(AT_EMPTY_PATH) without
CAP_DAC_READ_SEARCH, which Linux 6.10 allows to whoever opened the descriptor: here the sentry did (ENOENT, as before 6.10).
"""

from __future__ import annotations

import errno
import os
from os import close
from stat import S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFMT, S_IFREG, S_IFSOCK

from sentry.abi import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_REMOVEDIR,
    AT_SYMLINK_FOLLOW,
    CAP_DAC_READ_SEARCH,
    RENAME_EXCHANGE,
    RENAME_NOREPLACE,
    RENAME_WHITEOUT,
)
from sentry.platform._native import lib
from sentry.syscalls.raw import magic_link, value
from sentry.syscalls.registry import Dirfd, Flags, Mode, PathPtr, Ptr, UInt, syscall
from sentry.vfs.resolve import lookup, parent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sentry.task import Task

_NODES = (0, S_IFREG, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK)
_RENAME_FLAGS = RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT


def _in_parent(task: Task, dirfd: int, path: bytes, act: Callable[[bytes, int], object]) -> int:
    """act(last component, descriptor of its directory), as the caller."""
    directory, last = parent(task, dirfd, path)
    try:
        act(last, directory)
    except OSError as e:
        if e.errno == errno.EROFS:
            task.kernel.denied("write", os.fsdecode(path))
        raise
    finally:
        close(directory)
    return 0


# ---- mkdir, mknod, symlink ----


@syscall("mkdir")
def mkdir(task: Task, path: PathPtr, mode: Mode) -> int:
    """mkdir(2)."""
    return _mkdirat(task, AT_FDCWD, path, mode)


@syscall("mkdirat")
def mkdirat(task: Task, dirfd: Dirfd, path: PathPtr, mode: Mode) -> int:
    """mkdirat(2). Linux: do_mkdirat()."""
    return _mkdirat(task, dirfd, path, mode)


def _mkdirat(task: Task, dirfd: int, path: bytes, mode: int) -> int:
    # this thread's umask is the caller's
    return _in_parent(task, dirfd, path, lambda last, directory: os.mkdir(last, mode & 0o7777, dir_fd=directory))


@syscall("mknod")
def mknod(task: Task, path: Ptr, mode: Mode, dev: UInt) -> int:
    """mknod(2)."""
    return _mknodat(task, AT_FDCWD, path, mode, dev)


@syscall("mknodat")
def mknodat(task: Task, dirfd: Dirfd, path: Ptr, mode: Mode, dev: UInt) -> int:
    """mknodat(2). Linux: do_mknodat()."""
    return _mknodat(task, dirfd, path, mode, dev)


def _mknodat(task: Task, dirfd: int, path: int, mode: int, dev: int) -> int:
    mode &= 0xFFFF  # umode_t
    kind = S_IFMT(mode)
    if kind not in _NODES:  # may_mknod(), before the path is read
        raise OSError(errno.EPERM if kind == S_IFDIR else errno.EINVAL, "mode")
    name = task.read_cstr(path)
    return _in_parent(task, dirfd, name, lambda last, directory: os.mknod(last, mode, dev, dir_fd=directory))


@syscall("symlink")
def symlink(task: Task, target: PathPtr, path: Ptr) -> int:
    """symlink(2)."""
    return _symlinkat(task, target, AT_FDCWD, path)


@syscall("symlinkat")
def symlinkat(task: Task, target: PathPtr, dirfd: Dirfd, path: Ptr) -> int:
    """symlinkat(2). Linux: do_symlinkat()."""
    return _symlinkat(task, target, dirfd, path)


def _symlinkat(task: Task, target: bytes, dirfd: int, path: int) -> int:
    if not target:
        raise OSError(errno.ENOENT, "empty target")
    name = task.read_cstr(path)
    return _in_parent(task, dirfd, name, lambda last, directory: os.symlink(target, last, dir_fd=directory))


# ---- unlink, rmdir ----


@syscall("unlink")
def unlink(task: Task, path: PathPtr) -> int:
    """unlink(2). Linux: do_unlinkat()."""
    return _unlinkat(task, AT_FDCWD, path)


@syscall("rmdir")
def rmdir(task: Task, path: PathPtr) -> int:
    """rmdir(2). Linux: do_rmdir()."""
    return _rmdirat(task, AT_FDCWD, path)


@syscall("unlinkat")
def unlinkat(task: Task, dirfd: Dirfd, path: Ptr, flags: Flags) -> int:
    """unlinkat(2)."""
    if flags & ~AT_REMOVEDIR:
        raise OSError(errno.EINVAL, "flags")
    name = task.read_cstr(path)
    return _rmdirat(task, dirfd, name) if flags else _unlinkat(task, dirfd, name)


def _unlinkat(task: Task, dirfd: int, path: bytes) -> int:
    return _in_parent(task, dirfd, path, lambda last, directory: os.unlink(last, dir_fd=directory))


def _rmdirat(task: Task, dirfd: int, path: bytes) -> int:
    return _in_parent(task, dirfd, path, lambda last, directory: os.rmdir(last, dir_fd=directory))


# ---- rename ----


@syscall("rename")
def rename(task: Task, old: Ptr, new: Ptr) -> int:
    """rename(2)."""
    return _renameat2(task, AT_FDCWD, old, AT_FDCWD, new, 0)


@syscall("renameat")
def renameat(task: Task, olddirfd: Dirfd, old: Ptr, newdirfd: Dirfd, new: Ptr) -> int:
    """renameat(2)."""
    return _renameat2(task, olddirfd, old, newdirfd, new, 0)


@syscall("renameat2")
def renameat2(task: Task, olddirfd: Dirfd, old: Ptr, newdirfd: Dirfd, new: Ptr, flags: Flags) -> int:
    """renameat2(2). Linux: do_renameat2()."""
    if flags & ~_RENAME_FLAGS or (flags & RENAME_EXCHANGE and flags & (RENAME_NOREPLACE | RENAME_WHITEOUT)):
        raise OSError(errno.EINVAL, "flags")
    return _renameat2(task, olddirfd, old, newdirfd, new, flags)


def _renameat2(task: Task, olddirfd: int, old: int, newdirfd: int, new: int, flags: int) -> int:
    source = task.read_cstr(old)
    old_dir, old_last = parent(task, olddirfd, source)
    try:
        # a bad old path is reported before a bad new one
        return _in_parent(
            task,
            newdirfd,
            task.read_cstr(new),
            lambda last, directory: value(
                lib.renameat2_(old_dir, _relative(old_last), directory, _relative(last), flags)
            ),
        )
    finally:
        close(old_dir)


def _relative(last: bytes) -> bytes:
    """ "/" itself has no last component; as ours it would lie on another mount than its parent. "." is as good: EBUSY."""
    return b"." if last == b"/" else last


# ---- link ----


@syscall("link")
def link(task: Task, old: PathPtr, new: Ptr) -> int:
    """link(2)."""
    return _linkat(task, AT_FDCWD, old, AT_FDCWD, new, 0)


@syscall("linkat")
def linkat(task: Task, olddirfd: Dirfd, old: Ptr, newdirfd: Dirfd, new: Ptr, flags: Flags) -> int:
    """linkat(2). Linux: do_linkat()."""
    if flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH):
        raise OSError(errno.EINVAL, "flags")
    return _linkat(task, olddirfd, task.read_cstr(old), newdirfd, new, flags)


def _linkat(task: Task, olddirfd: int, old: bytes, newdirfd: int, new: int, flags: int) -> int:
    empty = bool(flags & AT_EMPTY_PATH)
    if empty and not old and not task.creds.cap_eff >> CAP_DAC_READ_SEARCH & 1:
        raise OSError(errno.ENOENT, "AT_EMPTY_PATH")
    fd = lookup(task, olddirfd, old, follow=bool(flags & AT_SYMLINK_FOLLOW), empty=empty)
    try:
        return _in_parent(
            task,
            newdirfd,
            task.read_cstr(new),
            lambda last, directory: os.link(magic_link(fd), last, dst_dir_fd=directory, follow_symlinks=True),
        )
    finally:
        close(fd)
