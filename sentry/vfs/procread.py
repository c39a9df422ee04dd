"""The readers behind a ProcView: small files below directory fds the sentry holds."""

from __future__ import annotations

import os
from errno import ENOENT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Reader = Callable[[bytes], bytes]


MAX_SIZE = 2 << 20
"""Bytes of a file that are looked at. A workload decides how many locks and mounts the kernel lists, and our memory and time are not its own."""


def directory_reader(fd: int) -> Reader:
    """Files below the directory `fd`, which stays the caller's and must stay open. One that is too long ends with a whole line."""

    def read(name: bytes) -> bytes:
        file = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY, dir_fd=fd)
        try:
            parts = []
            size = 0
            # A procfs file has no size; one read returns at most what the kernel's buffer held.
            while part := os.read(file, 65536):
                parts.append(part)
                size += len(part)
                if size >= MAX_SIZE:
                    return b"".join(parts)[:MAX_SIZE].rpartition(b"\n")[0] + b"\n"
            return b"".join(parts)
        finally:
            os.close(file)

    return read


def cgroup_reader(directories: Mapping[bytes, int], above: int = 0) -> Reader:
    """One level of a cgroup: {b"": fd} of v2, or {b"memory": fd, b"cpu": fd, ...} of v1's hierarchies; or the one `above` those.

    A file's controller is its name up to the first dot: that of b"memory.max" is b"memory".
    """
    readers = {controller: directory_reader(fd) for controller, fd in directories.items()}
    unified = readers.get(b"")
    up = b"../" * above

    def read(name: bytes) -> bytes:
        reader = readers.get(name.partition(b".")[0], unified)
        if reader is None:
            raise OSError(ENOENT, "no such controller")
        try:
            return reader(up + name)
        except PermissionError:
            if not above:
                raise
            raise OSError(ENOENT, "somebody else's") from None  # what may not be known limits nevertheless

    return read


def cgroup_levels(leaf: Mapping[bytes, tuple[int, int]]) -> list[Reader]:
    """A cgroup and those above it, the leaf first. `leaf`: its directories, as for cgroup_reader(), and how many are above each."""
    most = max((depth for _, depth in leaf.values()), default=-1)
    return [cgroup_reader({name: fd for name, (fd, depth) in leaf.items() if depth >= above}, above) for above in range(most + 1)]


def pid_lister(fd: int) -> Callable[[], Iterable[int]]:
    """The pids in a procfs, whose root directory `fd` (not O_PATH) stays the caller's."""

    def pids() -> Iterable[int]:
        return [int(name) for name in os.listdir(fd) if name.isdigit()]

    return pids
