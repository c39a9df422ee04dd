"""From a caller's name to an object, in one step where the kernel can take it.

Model: path_resolution(7), openat2(2). The sentry and the workload look at the same mount tree (docs/design.md, rule 3), so the
kernel resolves, across mounts, links and "..", below the caller's root. What it cannot know is whose `/proc/self` is meant
and where a relative name may climb to: then it says so (`WALK`) and `sentry.vfs.namei` goes component by component.

What comes back is judged by what it *is*, never by its name: an object on the container's procfs goes through
`sentry.vfs.proc`, a terminal or FIFO through the open handlers.
"""

from __future__ import annotations

import errno
from os import close

from sentry.abi import AT_FDCWD, O_DIRECTORY, O_NOFOLLOW, O_PATH, RESOLVE_BENEATH, RESOLVE_IN_ROOT, RESOLVE_NO_SYMLINKS
from sentry.platform._native import ffi, lib
from sentry.vfs import namei

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sentry.task import Task


_WALK = (lib.WALK, -errno.EAGAIN)
"""Results that say that a walk is needed. EAGAIN is said of a lease (fcntl(2)), but also where anybody on the machine renamed or mounted
while a ".." was taken in one step: a walk takes it alone, so what says EAGAIN then is the lease."""


def start(task: Task, dirfd: int, path: bytes, resolve: int = 0) -> tuple[int, int]:
    """Where the walk of `path` starts: (directory, RESOLVE_* flags). The directory is ours to close unless it is kernel.root.

    `resolve`: the caller's own RESOLVE_* flags. The root of a caller after chroot(2) may lie below the directory. What stops ".." there is
    the walk alone, so no ".." may be taken in one step, nor a link, which may have one.
    """
    kernel = task.kernel
    if path[:1] == b"/" and not resolve & RESOLVE_IN_ROOT:
        return (task.root() if kernel.chrooted else kernel.root), RESOLVE_IN_ROOT
    if not path:
        raise OSError(errno.ENOENT, "empty path")
    how = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS if kernel.chrooted else RESOLVE_BENEATH
    return (task.cwd() if dirfd == AT_FDCWD else task.path_fd(dirfd)), how


def open_at(task: Task, dirfd: int, path: bytes, flags: int, mode: int = 0, resolve: int = 0) -> int:
    """Open `path` as the caller; the new descriptor is ours, its facts are in `task.opened`.

    `flags` are open(2)'s and `resolve` openat2(2)'s, both already checked. A FIFO or device is opened with O_NONBLOCK.
    Raises OSError with the errno that openat(2) gives.
    """
    directory, how = start(task, dirfd, path, resolve)
    try:
        task.assume()
        task.check()
        if resolve:
            return _open_restricted(task, directory, path, flags, mode, resolve, how)
        fd = _beneath(task, directory, path, flags, mode, how)
        if fd >= 0:
            return task.kernel.proc.admit(task, fd, flags) if task.opened.dev == task.kernel.proc.dev else fd
        if fd not in _WALK:
            raise OSError(-fd, "open")
        return namei.open_walking(task, directory, path, flags, mode)
    finally:
        if directory != task.kernel.root:
            close(directory)


def open_pointer(task: Task, dirfd: int, addr: int, flags: int, mode: int) -> int:
    """`open_at` for a path that is still in the caller's memory: one native call for the common case."""
    kernel = task.kernel
    if kernel.chrooted:
        return open_at(task, dirfd, task.read_cstr(addr), flags, mode)
    fd = task.tried
    if fd == lib.NOT_TRIED:
        task.assume()
        fd = lib.open_name(task.listener, task.id, task.tid, dirfd, addr, kernel.root, kernel.procfd, flags, mode, task.path, task.opened)
    if fd >= 0:
        return kernel.proc.admit(task, fd, flags) if task.opened.dev == kernel.proc.dev else int(fd)
    if fd in _WALK:
        return open_at(task, dirfd, ffi.string(task.path), flags, mode)
    raise OSError(-fd, "open")


def _beneath(task: Task, directory: int, path: bytes, flags: int, mode: int, how: int) -> int:
    """`path` in one step: a descriptor, -errno or what is in _WALK. `how`: of start(), and the caller's own RESOLVE_* flags."""
    if task.kernel.chrooted and how & RESOLVE_BENEATH and how & RESOLVE_NO_SYMLINKS and b".." in path:
        return int(lib.WALK)
    return int(lib.open_beneath(directory, path, flags, mode, how, task.opened))


def _open_restricted(task: Task, directory: int, path: bytes, flags: int, mode: int, resolve: int, how: int) -> int:
    """openat2(2) with RESOLVE_* of the caller's own: its restrictions on top of ours."""
    if resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT):
        if resolve & RESOLVE_BENEATH and path[:1] == b"/":
            raise OSError(errno.EXDEV, "absolute path with RESOLVE_BENEATH")
        how = 0  # the directory is the root
    fd = _beneath(task, directory, path, flags, mode, how | resolve)
    if fd >= 0:
        return task.kernel.proc.admit(task, fd, flags) if task.opened.dev == task.kernel.proc.dev else fd
    if fd not in _WALK:
        raise OSError(-fd, "openat2")
    return namei.open_walking(task, directory, path, flags, mode, resolve)


def lookup(task: Task, dirfd: int, path: bytes, *, follow: bool = True, empty: bool = False, flags: int = 0) -> int:
    """O_PATH descriptor of the object that `path` names, ours to close; facts in `task.opened`.

    `follow`: whether a symbolic link at the end is followed. `empty`: AT_EMPTY_PATH, an empty path names `dirfd` itself.
    """
    if not path and empty:
        fd = task.cwd() if dirfd == AT_FDCWD else task.path_fd(dirfd)
        lib.fd_info(fd, task.opened)
        task.assume()
        task.check()
        return fd
    return open_at(task, dirfd, path, O_PATH | flags | (0 if follow else O_NOFOLLOW))


def parent(task: Task, dirfd: int, path: bytes) -> tuple[int, bytes]:
    """The directory that holds the last component of `path`, and that component with its trailing slashes.

    For calls that create, remove or rename a name: the kernel does not follow a link in the last component of those, so
    the pair can be given to an *at system call as it is. The descriptor is ours to close.
    """
    stripped = path.rstrip(b"/")
    if not stripped:
        if not path:
            raise OSError(errno.ENOENT, "empty path")
        return open_at(task, dirfd, b"/", O_PATH | O_DIRECTORY), b"/"
    cut = stripped.rfind(b"/") + 1
    return open_at(task, dirfd, path[:cut] or b".", O_PATH | O_DIRECTORY), path[cut:]
