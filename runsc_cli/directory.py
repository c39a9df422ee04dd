"""Directories that are locked, read and removed: what the state store needs of the file system.

Paths are the store's own, below a root that only its owner can enter.
"""

from __future__ import annotations

import os
from fcntl import LOCK_EX, LOCK_NB, flock
from time import monotonic, sleep


def lock(path: str, timeout: float | None = None) -> int:
    """Lock the directory that is at `path` now, flock(2): its fd. FileNotFoundError when there is none.

    BlockingIOError when somebody else has it for longer than `timeout` seconds."""
    deadline = None if timeout is None else monotonic() + timeout
    while True:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            _flock(fd, deadline)
            if _same(fd, path):
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def _flock(fd: int, deadline: float | None) -> None:
    """flock(2) knows no timeout; an alarm signal would be the program's, so a bounded wait looks again."""
    if deadline is None:
        flock(fd, LOCK_EX)
        return
    while True:
        try:
            flock(fd, LOCK_EX | LOCK_NB)
            return
        except BlockingIOError:
            if monotonic() > deadline:
                raise
        sleep(0.005)


def _same(fd: int, path: str) -> bool:
    try:
        there = os.lstat(path)
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(fd), there)


def read(path: str) -> str:
    """A whole small file; ValueError when it is no UTF-8."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        chunks = []
        while chunk := os.read(fd, 1 << 16):
            chunks.append(chunk)
    finally:
        os.close(fd)
    return b"".join(chunks).decode()


def unlink(fd: int, name: str) -> None:
    """unlinkat(2), content when the name is gone already."""
    try:
        os.unlink(name, dir_fd=fd)
    except FileNotFoundError:
        pass


def empty(fd: int, keep: str = "") -> None:
    """Remove what is below a directory, never following a link or leaving the file system's tree."""
    with os.scandir(fd) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries if entry.name != keep]
    for name, is_dir in found:
        if not is_dir:
            unlink(fd, name)
            continue
        below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
        try:
            empty(below)
        finally:
            os.close(below)
        os.rmdir(name, dir_fd=fd)
