"""tmpcopyup: a tmpfs that starts with what the image has in the directory below it.

Everything is done by descriptors, below the two directories, and no link is followed: the tree is the image's, and so are its names.
Kept are names, contents, owners, modes and links; sockets and device nodes are left out (the latter nobody can make here), and
of what is mounted below the directory only the mount points are there. Extended attributes and times are not copied, as by runc.
"""

from __future__ import annotations

import errno
import os
from stat import S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG

from gofer.mounts import MountError
from sentry.abi import O_DIRECTORY, O_NOFOLLOW, O_PATH, RESOLVE_BENEATH, RESOLVE_NO_XDEV
from sentry.platform._native import lib

MAX_DEPTH = 128
"""Directories in each other: two descriptors are open for each."""

_CHUNK = 1 << 24
_HERE = RESOLVE_BENEATH | RESOLVE_NO_XDEV


def copy(source: int, target: int, what: str) -> None:
    """Copy what the directory `source` holds into the directory `target`, which is empty. Raises MountError that begins with `what`."""
    try:
        _copy_directory(source, target, 0)
    except OSError as error:
        raise MountError(f"{what}: tmpcopyup: {error.filename or ''}: {os.strerror(error.errno or 0).lower()}") from None


def _copy_directory(source: int, target: int, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise OSError(errno.ELOOP, "", f"more than {MAX_DEPTH} directories in each other")
    reading = _open(source, ".", os.O_RDONLY | O_DIRECTORY)
    try:
        for name in os.listdir(reading):
            facts = os.stat(name, dir_fd=reading, follow_symlinks=False)
            if _make(S_IFMT(facts.st_mode), name, reading, target, depth):
                os.chown(name, facts.st_uid, facts.st_gid, dir_fd=target, follow_symlinks=False)
                if S_IFMT(facts.st_mode) != S_IFLNK:
                    os.chmod(name, facts.st_mode & 0o7777, dir_fd=target)
    finally:
        os.close(reading)


def _make(kind: int, name: str, source: int, target: int, depth: int) -> bool:
    """Make `name` in `target` as it is in `source`; false where it is left out."""
    if kind == S_IFDIR:
        os.mkdir(name, 0o700, dir_fd=target)
        try:
            below = _open(source, name, O_PATH | O_DIRECTORY)
        except OSError as error:
            if error.errno == errno.EXDEV:
                return True
            raise
        inside = _open(target, name, O_PATH | O_DIRECTORY)
        try:
            _copy_directory(below, inside, depth + 1)
        finally:
            os.close(below)
            os.close(inside)
    elif kind == S_IFREG:
        _copy_file(name, source, target)
    elif kind == S_IFLNK:
        os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
    elif kind == S_IFIFO:
        os.mkfifo(name, 0o600, dir_fd=target)
    else:
        return False
    return True


def _copy_file(name: str, source: int, target: int) -> None:
    reading = _open(source, name, os.O_RDONLY | os.O_NONBLOCK)
    try:
        writing = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | O_NOFOLLOW, 0o600, dir_fd=target)
        try:
            while os.sendfile(writing, reading, None, _CHUNK):
                pass
        except OSError as error:
            raise OSError(error.errno, "", name) from None
        finally:
            os.close(writing)
    finally:
        os.close(reading)


def _open(directory: int, name: str, flags: int) -> int:
    fd = int(lib.openat2_raw(directory, os.fsencode(name), flags | O_NOFOLLOW, 0, _HERE))
    if fd < 0:
        raise OSError(-fd, "", name)
    return fd
