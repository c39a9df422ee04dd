"""What of a container's procfs the kernel may list by itself: directories that tell about the host are covered.

In the profile `standard` the workload opens directories without the sentry, and reading one gives names: of the host's devices, drivers,
interrupts, disks. So each directory of /proc itself that is not known to be harmless gets an empty, read-only tmpfs over it, as maskedPaths
do. An allowlist, like that of `sentry.vfs.procfs` for files.
"""

from __future__ import annotations

import os

from gofer.mounts import below, check, clone, empty_directory, move
from sentry.abi import O_DIRECTORY, O_NOFOLLOW, O_PATH
from sentry.platform._native import lib

SHOWN = frozenset(("pressure", "sys", "sysvipc", "tty"))
"""Directories of /proc, besides those of processes, whose names are the container's own or the same on every host."""


def cover(root: int, place: str) -> None:
    """Cover what is not to be listed of the procfs mounted at `place` below `root`. Raises MountError."""
    what = f"cover the host's directories in {place!r}"
    proc = check(below(root, place, os.O_RDONLY | O_DIRECTORY), what)
    covers: list[int] = []
    try:
        with os.scandir(proc) as entries:
            names = [e.name for e in entries if e.is_dir(follow_symlinks=False) and not e.name.isdigit() and e.name not in SHOWN]
        for name in names:
            covers.append(clone(covers[0], "", False, what) if covers else empty_directory(what))
            target = check(lib.openat2_raw(proc, name.encode(), O_PATH | O_DIRECTORY | O_NOFOLLOW, 0, 0), what)
            try:
                move(covers[-1], target, what)
            finally:
                os.close(target)
    finally:
        for fd in (*covers, proc):
            os.close(fd)
