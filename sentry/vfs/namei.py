"""The slow path of name resolution: one component at a time, as Linux's fs/namei.c:link_path_walk() goes.

Taken when one openat2(2) cannot give the answer: a relative name that climbs with "..", an absolute link met from a
working directory, and everything about `/proc/self`. Each step is an O_PATH descriptor opened below the one
before, so the kernel still decides permissions, crosses mounts and handles renames; only links are read here.

Left to the kernel: "..", which at the top of a mount leads to the mount below, and at the root stays. Special: the
links `self` and `thread-self` of the container's procfs mean the caller; magic links (`/proc/PID/{cwd,root,exe,fd/N}`)
are followed by the kernel, under its ptrace check.
"""

from __future__ import annotations

import errno
import os
from stat import S_ISDIR, S_ISLNK

from sentry.abi import (
    AT_FDCWD,
    O_CREAT,
    O_DIRECTORY,
    O_EXCL,
    O_NOFOLLOW,
    O_NONBLOCK,
    O_PATH,
    O_TMPFILE,
    RESOLVE_BENEATH,
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    RESOLVE_NO_XDEV,
)
from sentry.platform._native import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sentry.task import Task

MAXSYMLINKS = 40
"""include/linux/namei.h"""

_STEP = O_PATH | O_NOFOLLOW


class _Walk:
    """One walk. Owns `here`, the directory reached so far, and `found`, the object of the last component, if it exists."""

    __slots__ = ("_opened", "_root", "_root_id", "_start_id", "found", "here", "last", "links", "resolve", "task")

    def __init__(self, task: Task, directory: int, resolve: int) -> None:
        self.task = task
        self.resolve = resolve
        self.links = 0
        self.last = b"."
        self.found = -1
        self._opened = ffi.new("struct opened *")
        self._root = os.dup(directory) if resolve & RESOLVE_IN_ROOT else task.root()
        self.here = os.dup(directory)
        self._root_id = self._identity(self._root)
        self._start_id = self._identity(self.here)

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
        """Walk `path`; leaves the parent in `here`, the last component in `last`, its object in `found` (-1: there is none)."""
        todo = self._components(path)
        while todo:
            name = todo.pop()
            if name in (b".", b""):
                self._must_be_directory()
                if not todo:
                    self.last, self.found = b".", self._step(b".")
                continue
            if name == b"..":
                self._up()
                if not todo:
                    self.last, self.found = b".", self._step(b".")
                continue
            try:
                fd = self._step(name)
            except OSError as e:
                if e.errno == errno.ENOENT and not any(c not in (b"", b".") for c in todo):
                    self.last = name + (b"/" if todo else b"")
                    return
                raise
            lib.fd_info(fd, self._opened)
            if S_ISLNK(self._opened.mode) and (todo or follow):
                try:
                    self._follow(fd, name, todo)
                finally:
                    os.close(fd)
                if not todo and self.found < 0:
                    self.last, self.found = b".", self._step(b".")
                if self.found >= 0:
                    return
            elif todo:
                if not S_ISDIR(self._opened.mode):
                    os.close(fd)
                    raise OSError(errno.ENOTDIR, "walk")
                self._cross(fd)
                self._enter(fd)
                if not any(c for c in todo if c):  # a trailing slash
                    self.last, self.found = b".", self._step(b".")
                    return
            else:
                self._cross(fd)
                self.last, self.found = name, fd

    def _components(self, path: bytes) -> list[bytes]:
        """The components in reverse order; a trailing slash is an empty one. An absolute path first goes to the root."""
        if path[:1] == b"/":
            if self.resolve & RESOLVE_BENEATH:
                raise OSError(errno.EXDEV, "RESOLVE_BENEATH")
            self._enter(os.dup(self._root))
        parts = path.split(b"/")
        names = [p for p in parts if p]
        if not names:
            return [b"."]
        if not parts[-1]:
            names.append(b"")
        names.reverse()
        return names

    def _must_be_directory(self) -> None:
        lib.fd_info(self.here, self._opened)
        if not S_ISDIR(self._opened.mode):
            raise OSError(errno.ENOTDIR, "walk")

    def _up(self) -> None:
        here = self._identity(self.here)
        if here == self._root_id:
            return
        if self.resolve & RESOLVE_BENEATH and here == self._start_id:
            raise OSError(errno.EXDEV, "RESOLVE_BENEATH")
        fd = self._step(b"..", O_PATH | O_DIRECTORY)
        self._cross(fd)
        self._enter(fd)

    def _cross(self, fd: int) -> None:
        if self.resolve & RESOLVE_NO_XDEV and lib.fd_mount(fd) != lib.fd_mount(self.here):
            os.close(fd)
            raise OSError(errno.EXDEV, "RESOLVE_NO_XDEV")

    def _follow(self, link: int, name: bytes, todo: list[bytes]) -> None:
        self.links += 1
        if self.links > MAXSYMLINKS or self.resolve & RESOLVE_NO_SYMLINKS:
            raise OSError(errno.ELOOP, "walk")
        proc = self.task.kernel.proc
        if self._opened.dev == proc.dev:
            if proc.is_magic(self.task, link):
                if self.resolve & (RESOLVE_NO_MAGICLINKS | RESOLVE_IN_ROOT | RESOLVE_BENEATH):
                    raise OSError(errno.ELOOP, "RESOLVE_NO_MAGICLINKS")
                target = proc.follow_magic(self.task, self.here, link, name)
                if not todo:
                    self.last, self.found = b".", target
                    return
                lib.fd_info(target, self._opened)
                if not S_ISDIR(self._opened.mode):
                    os.close(target)
                    raise OSError(errno.ENOTDIR, "walk")
                self._enter(target)
                return
            text = proc.link_target(self.task, link)
        else:
            text = os.readlink(b"", dir_fd=link)
        if not text:
            raise OSError(errno.ENOENT, "empty link")
        todo.extend(self._components(text))


def worth_walking(task: Task, directory: int, path: bytes, how: int) -> bool:
    """Whether EACCES for one lookup of `path` may not be what the caller would get: where procfs has been on the way.

    `how`: the RESOLVE_* flags of that lookup.
    """
    opened = ffi.new("struct opened *")
    if lib.fd_info(directory, opened) == 0 and opened.dev == task.kernel.proc.dev:
        return True
    probe = lib.openat2_raw(directory, path, O_PATH, 0, how | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV)
    if probe >= 0:
        os.close(probe)
    return bool(probe != -errno.EACCES)


def open_walking(task: Task, directory: int, path: bytes, flags: int, mode: int, resolve: int = 0) -> int:
    """`sentry.vfs.resolve.open_at`'s slow path: same contract. `directory` stays the caller's."""
    follow = not flags & O_NOFOLLOW and not (flags & O_CREAT and flags & O_EXCL)
    walk = _Walk(task, directory, resolve)
    try:
        walk.run(path, follow)
        if walk.found < 0:
            return _create(task, walk, flags, mode)
        if flags & O_CREAT and flags & O_EXCL:
            raise OSError(errno.EEXIST, "open")
        return reopen(task, walk.found, flags, mode)
    finally:
        walk.close()


def _create(task: Task, walk: _Walk, flags: int, mode: int) -> int:
    if not flags & O_CREAT or flags & O_PATH:
        raise OSError(errno.ENOENT, "open")
    # O_NOFOLLOW: a link that appeared meanwhile is not what was looked up
    fd = lib.openat2_raw(walk.here, walk.last, flags | O_NOFOLLOW, mode, 0)
    if fd < 0:
        raise OSError(-fd, "create")
    lib.fd_info(fd, task.opened)
    return int(fd)


def reopen(task: Task, fd: int, flags: int, mode: int = 0) -> int:
    """A new open file description for the object behind the O_PATH descriptor `fd`, with `flags`; facts in `task.opened`.

    By the magic link in our own /proc/self/fd, which is this thread's working directory: the object decides, not a name.
    """
    lib.fd_info(fd, task.opened)
    if task.opened.dev == task.kernel.proc.dev:
        return task.kernel.proc.admit(task, os.dup(fd), flags)
    if flags & O_PATH:
        if flags & O_DIRECTORY and not S_ISDIR(task.opened.mode):
            raise OSError(errno.ENOTDIR, "open")
        return os.dup(fd)
    if S_ISLNK(task.opened.mode):
        raise OSError(errno.ENOTDIR if flags & O_DIRECTORY else errno.ELOOP, "open")
    extra = 0 if flags & O_NONBLOCK else O_NONBLOCK
    keep = flags & ~(O_NOFOLLOW | O_CREAT | O_EXCL) | extra
    if flags & O_CREAT and S_ISDIR(task.opened.mode):
        raise OSError(errno.EISDIR, "open")
    new = lib.openat2_raw(AT_FDCWD, b"%d" % fd, keep, mode if flags & O_TMPFILE == O_TMPFILE else 0, 0)
    if new < 0:
        raise OSError(-new, "open")
    if extra and (task.opened.mode & 0o170000) in (0o100000, 0o040000):
        os.set_blocking(new, True)
    return int(new)
