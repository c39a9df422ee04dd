"""The slow path of name resolution: one component at a time, as Linux's fs/namei.c:link_path_walk() goes.

Taken when one openat2(2) cannot give the answer: a relative name that climbs with "..", an absolute link met from a
working directory, and everything about `/proc/self`. Each step is an O_PATH descriptor opened below the one
before, so the kernel still decides permissions, crosses mounts and handles renames; only links are read here, and whether one may be
followed is asked of the kernel, too.

Left to the kernel: "..", which at the top of a mount leads to the mount below, and at the root stays. Special: the
links `self` and `thread-self` of the container's procfs mean the caller; magic links (`/proc/PID/{cwd,root,exe,fd/N}`)
are followed by the kernel, under its ptrace check.
"""

from __future__ import annotations

import errno
import os
from fcntl import F_GETFL, fcntl
from stat import S_IFDIR, S_IFMT, S_IFREG, S_ISDIR, S_ISFIFO, S_ISLNK

from sentry.abi import (
    AT_FDCWD,
    O_ACCMODE,
    O_CREAT,
    O_DIRECTORY,
    O_EXCL,
    O_NOFOLLOW,
    O_NONBLOCK,
    O_PATH,
    O_TMPFILE,
    O_TRUNC,
    RESOLVE_BENEATH,
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    RESOLVE_NO_XDEV,
)
from sentry.platform._native import ffi, lib
from sentry.vfs.serve import OPEN_FLAGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sentry.task import Task

MAXSYMLINKS = 40
"""include/linux/namei.h"""

_MAX_TRIES = 1000
_STEP = O_PATH | O_NOFOLLOW
_SCOPED = RESOLVE_BENEATH | RESOLVE_IN_ROOT
_ST_NOSYMFOLLOW = 0x2000


class _Walk:
    """One walk. Owns `here`, the directory reached so far, and `found`, the object of the last component, if it exists."""

    __slots__ = ("_creating", "_given", "_opened", "_root", "_root_id", "_root_met", "found", "here", "last", "links", "resolve", "task")

    def __init__(self, task: Task, directory: int, resolve: int, creating: bool = False) -> None:
        """`creating`: the open has O_CREAT, for which a trailing slash is an error."""
        self.task = task
        self.resolve = resolve
        self.links = 0
        self.last = b"."
        self.found = -1
        self._creating = creating
        self._given = -1
        """The number behind the magic link that has led to `found`, a file that was given from outside; -1: it is none."""
        self._opened = ffi.new("struct opened *")
        self._root = os.dup(directory) if resolve & _SCOPED else task.root()
        self.here = os.dup(directory)
        self._root_id = self._identity(self._root)
        self._root_met = bool(resolve & _SCOPED)
        """Whether the kernel has looked at the root by now: it does when it needs it, set_root()."""

    def close(self) -> None:
        for fd in (self._root, self.here, self.found):
            if fd >= 0:
                os.close(fd)
        self._root = self.here = self.found = -1

    def _identity(self, fd: int) -> tuple[int, int, int]:
        lib.fd_info(fd, self._opened)
        return self._opened.dev, self._opened.ino, lib.fd_mount(fd)

    def _enter(self, fd: int) -> None:
        os.close(self.here)
        self.here = fd

    def _step(self, name: bytes, flags: int = _STEP) -> int:
        fd = lib.openat2_raw(self.here, name, flags, 0, 0)
        if fd == -errno.EACCES:
            fd = self.task.kernel.proc.search(self.task, self.here, lambda: lib.openat2_raw(self.here, name, flags, 0, 0))
        if fd < 0:
            raise OSError(-fd, "walk")
        return int(fd)

    def run(self, path: bytes, follow: bool) -> None:
        """Walk `path`; leaves the parent in `here`, the last component in `last`, its object in `found` (-1: there is none).

        Where the last component is no name in `here` ("..", a magic link, the root), `last` is ".". A symbolic link at the end is
        what is found unless `follow`.
        """
        if path[:1] == b"/":
            if self.resolve & RESOLVE_BENEATH:
                raise OSError(errno.EXDEV, "RESOLVE_BENEATH")
            self._root_met = True
            self._enter(os.dup(self._root))
        todo = _components(path)
        while todo and self.found < 0:
            name = todo.pop()
            final = not any(todo)  # but for a trailing slash, which is an empty component
            if name in (b"", b"."):
                if final and name:
                    self.found = self._step(b".")
            elif name == b"..":
                self._up()
            elif self._component(name, todo, final, follow):
                return
        self.last = b"."
        if self.found < 0:
            self.found = os.dup(self.here)

    def _component(self, name: bytes, todo: list[bytes], final: bool, follow: bool) -> bool:
        """Take the step to `name`. True when the walk has ended there."""
        slash = final and bool(todo)
        if slash and self._creating:
            os.close(self._step(b"."))  # may we search it?
            raise OSError(errno.EISDIR, "trailing slash")
        try:
            fd = self._step(name)
        except OSError as e:
            if e.errno == errno.ENOENT and final:
                self.last = name
                return True
            raise
        lib.fd_info(fd, self._opened)
        if S_ISLNK(self._opened.mode) and (follow or slash or not final):
            try:
                self._follow(fd, name, todo, final)
            finally:
                os.close(fd)
            return False
        self._cross(fd)  # handle_mounts() comes before the question whether it is a directory
        if final and not slash:
            self.last, self.found = name, fd
            return True
        if not S_ISDIR(self._opened.mode):
            os.close(fd)
            raise OSError(errno.ENOTDIR, "walk")
        self._enter(fd)
        return False

    def _up(self) -> None:
        self._root_met = True
        if self._identity(self.here) != self._root_id:
            fd = self._step(b"..", O_PATH | O_DIRECTORY)
        elif self.resolve & RESOLVE_BENEATH:
            raise OSError(errno.EXDEV, "RESOLVE_BENEATH")
        else:
            fd = self._stay()
        self._cross(fd)
        self._enter(fd)

    def _stay(self) -> int:
        """At the root, where ".." leads to the root itself, or to what is mounted on it."""
        fd = -errno.EAGAIN
        tries = 0
        while fd == -errno.EAGAIN and tries < _MAX_TRIES:  # somebody on this machine renames or mounts
            fd = lib.openat2_raw(self.here, b"..", O_PATH | O_DIRECTORY, 0, RESOLVE_IN_ROOT)
            tries += 1
        if fd < 0:
            raise OSError(-fd, "walk")
        return int(fd)

    def _cross(self, fd: int) -> None:
        """RESOLVE_NO_XDEV. Closes `fd` when it raises."""
        if self.resolve & RESOLVE_NO_XDEV and lib.fd_mount(fd) != lib.fd_mount(self.here):
            os.close(fd)
            raise OSError(errno.EXDEV, "RESOLVE_NO_XDEV")

    def _follow(self, link: int, name: bytes, todo: list[bytes], final: bool) -> None:
        """pick_link(), get_link(): the link `name` in `here`, held by `link`."""
        self.links += 1
        if self.links > MAXSYMLINKS:
            raise OSError(errno.ELOOP, "walk")
        proc = self.task.kernel.proc
        on_proc = self._opened.dev == proc.dev
        if final and not on_proc:
            # may_follow_link() looks at a last component in a sticky directory: EACCES before ELOOP
            probe = lib.openat2_raw(self.here, name, O_PATH, 0, RESOLVE_NO_SYMLINKS)
            if probe == -errno.EACCES:
                raise OSError(errno.EACCES, "protected link")
            if probe >= 0:
                os.close(probe)
        if self.resolve & RESOLVE_NO_SYMLINKS or os.fstatvfs(link).f_flag & _ST_NOSYMFOLLOW:
            raise OSError(errno.ELOOP, "walk")
        if on_proc:
            if proc.is_magic(self.task, link):
                target = proc.follow_magic(self.task, self.here, link, name)
                self._jump(target, not final or bool(todo), int(name) if name.isdigit() else 0)
                return
            text = proc.link_target(self.task, link)
        else:
            text = os.readlink(b"", dir_fd=link)
        if text[:1] == b"/":
            if self.resolve & RESOLVE_BENEATH:
                raise OSError(errno.EXDEV, "RESOLVE_BENEATH")
            if self.resolve & RESOLVE_NO_XDEV and not self._root_met:  # nd_jump_root(): no mount is the one of a root not looked at
                raise OSError(errno.EXDEV, "RESOLVE_NO_XDEV")
            self._root_met = True
            self._cross(root := os.dup(self._root))
            self._enter(root)
        todo.extend(_components(text))

    def _jump(self, target: int, directory: bool, number: int) -> None:
        """nd_jump_link(): to the object `target` of a magic link, which is consumed; whether it has to be a `directory`.

        `number`: of the descriptor that it is the link of; 0 if it is another link, where check_held() looks at the lowest ones alone.
        """
        if self.resolve & RESOLVE_NO_MAGICLINKS:
            os.close(target)
            raise OSError(errno.ELOOP, "RESOLVE_NO_MAGICLINKS")
        self._cross(target)
        if self.resolve & _SCOPED:
            os.close(target)
            raise OSError(errno.EXDEV, "magic link")
        lib.fd_info(target, self._opened)
        if not directory:
            self.found = target
            if self._is_given(target):
                self._given = number
        elif S_ISDIR(self._opened.mode):
            self._enter(target)
        else:
            os.close(target)
            raise OSError(errno.ENOTDIR, "walk")

    def _is_given(self, target: int) -> bool:
        """Whether the object `target` of a magic link, but a directory, is the host's, and the container has it by descriptor alone."""
        kernel = self.task.kernel
        if S_ISFIFO(self._opened.mode):
            return kernel.is_given_fifo(self._opened.dev, self._opened.ino)
        return not S_ISDIR(self._opened.mode) and kernel.is_outside(target)

    def check_held(self, flags: int) -> None:
        """Raise EACCES where open(2) with `flags` asks for more than the caller has: of a file of the host's that it was given open, its
        user id may be the owner, and by name it could open that for writing which it was given for reading, or the other end of a pipe.

        What the caller's descriptors say is asked, and not the link: that may have been another file's when it was looked at.
        """
        if flags & O_PATH or self._given < 0:
            return
        access = flags & O_ACCMODE
        reads, writes = access != os.O_WRONLY, access or flags & O_TRUNC
        for held in self.task.same(self.found, self._given):
            mode = fcntl(held, F_GETFL) & O_ACCMODE
            os.close(held)
            if not (reads and mode == os.O_WRONLY) and not (writes and mode == os.O_RDONLY):
                return
        raise OSError(errno.EACCES, "given from outside")


def _components(path: bytes) -> list[bytes]:
    """The components in reverse order; a trailing slash is an empty one."""
    names = [part for part in path.split(b"/") if part]
    if names and path[-1:] == b"/":
        names.append(b"")
    names.reverse()
    return names


def open_walking(task: Task, directory: int, path: bytes, flags: int, mode: int, resolve: int = 0) -> int:
    """`sentry.vfs.resolve.open_at`'s slow path: same contract. `directory` stays the caller's."""
    follow = not flags & O_NOFOLLOW and not (flags & O_CREAT and flags & O_EXCL)
    walk = _Walk(task, directory, resolve, bool(flags & O_CREAT))
    try:
        walk.run(path, follow)
        if walk.found < 0:
            if not flags & O_CREAT:
                raise OSError(errno.ENOENT, "open")
            return _create(task, walk, flags, mode)
        if flags & O_CREAT and flags & O_EXCL:
            raise OSError(errno.EEXIST, "open")
        if flags & O_CREAT and walk.last != b".":
            lib.fd_info(walk.found, task.opened)
            if task.opened.dev != task.kernel.proc.dev:
                return _create(task, walk, flags, mode)
        walk.check_held(flags)
        return reopen(task, walk.found, flags, mode)
    finally:
        walk.close()


def _create(task: Task, walk: _Walk, flags: int, mode: int) -> int:
    """Open the last component with O_CREAT, whether it exists or not: what may be opened so in a sticky directory the kernel decides."""
    # O_NOFOLLOW: a link that appeared meanwhile is not what was looked up
    fd = lib.openat2_raw(walk.here, walk.last, flags | O_NOFOLLOW | O_NONBLOCK, mode, 0)
    if fd < 0:
        raise OSError(-fd, "create")
    lib.fd_info(fd, task.opened)
    if task.opened.dev == task.kernel.proc.dev:  # a name that came into being meanwhile
        return task.kernel.proc.admit(task, fd, flags)
    return _settled(task, fd, flags)


def _settled(task: Task, fd: int, flags: int) -> int:
    """`fd`, opened with O_NONBLOCK so that it could not wait, as the caller wants it if it is of the kinds that never wait."""
    if not flags & O_NONBLOCK and S_IFMT(task.opened.mode) in (S_IFREG, S_IFDIR):
        os.set_blocking(fd, True)
    return int(fd)


def reopen(task: Task, fd: int, flags: int, mode: int = 0) -> int:
    """A new open file description for the object behind the O_PATH descriptor `fd`, with `flags`; facts in `task.opened`.

    By the magic link in our own /proc/self/fd, which is this thread's working directory: the object decides, not a name.
    O_NOFOLLOW has had its effect by then and is not among the description's flags.
    """
    lib.fd_info(fd, task.opened)
    if flags & O_CREAT and S_ISDIR(task.opened.mode):
        raise OSError(errno.EISDIR, "open")
    if flags & O_DIRECTORY and not S_ISDIR(task.opened.mode):
        raise OSError(errno.ENOTDIR, "open")
    if task.opened.dev == task.kernel.proc.dev:
        return task.kernel.proc.admit(task, os.dup(fd), flags)
    if flags & O_PATH:
        return os.dup(fd)
    if S_ISLNK(task.opened.mode):
        raise OSError(errno.ELOOP, "open")
    extra = O_NONBLOCK
    if task.opened.dev == task.kernel.proc.generated_dev:
        if flags & (O_ACCMODE | O_TRUNC):
            raise OSError(errno.EACCES, "procfs")
        extra |= OPEN_FLAGS
    unnamed = flags & O_TMPFILE == O_TMPFILE
    keep = flags & ~(O_NOFOLLOW | O_CREAT | (0 if unnamed else O_EXCL)) | extra
    new = lib.openat2_raw(AT_FDCWD, b"%d" % fd, keep, mode if unnamed else 0, 0)
    if new < 0:
        raise OSError(-new, "open")
    return _settled(task, new, flags)
