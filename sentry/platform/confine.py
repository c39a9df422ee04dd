"""How our own long-lived processes shut themselves in: an empty root, and no code but what is loaded.

Model: pivot_root is not needed for a process that holds no directory of the host: its root becomes an empty, read-only tmpfs
that is mounted nowhere, so no path leads anywhere and what it can reach are the descriptors it was given.

The filter of their own system calls is sentry/platform/own_filter.py.
"""

from __future__ import annotations

import os
import sys

from sentry.abi import (
    FSCONFIG_CMD_CREATE,
    FSMOUNT_CLOEXEC,
    FSOPEN_CLOEXEC,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
)
from sentry.platform._native import ffi, lib


def empty_mount() -> int:
    """A detached, empty, read-only tmpfs. Needs CAP_SYS_ADMIN over the mount namespace that we are in."""
    context = _checked(lib.fsopen_(b"tmpfs", FSOPEN_CLOEXEC), "fsopen tmpfs")
    _checked(lib.fsconfig_(context, FSCONFIG_CMD_CREATE, ffi.NULL, ffi.NULL, 0), "create tmpfs")
    attrs = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC
    top = _checked(lib.fsmount_(context, FSMOUNT_CLOEXEC, attrs), "mount tmpfs")
    os.close(context)
    return top


def empty_root(mount: int) -> None:
    """Make such a mount the root and working directory of this process. Needs CAP_SYS_CHROOT."""
    os.fchdir(mount)
    os.chroot(".")


class _NoFinder:
    """A finder (sys.meta_path) of no module."""

    @staticmethod
    def find_spec(name: str, _path: object = None, _target: object = None) -> None:
        raise ImportError(f"{name} is not loaded, and nothing is any more: names lead into the container's tree", name=name)


def forbid_imports() -> None:
    """What is not imported by now never will be. To be called before a root is ours in which somebody else may write."""
    sys.meta_path[:] = [_NoFinder]


def where(error: BaseException | None) -> str:
    """The frames of a traceback, a line each. The traceback module would read sources, which are out of reach, and takes 5 ms to import."""
    lines = ""
    at = error.__traceback__ if error is not None else None
    while at is not None:
        code = at.tb_frame.f_code
        lines += f"\n  {code.co_filename}:{at.tb_lineno} {code.co_name}"
        at = at.tb_next
    return lines


def _checked(result: int, what: str) -> int:
    if result < 0:
        raise OSError(-result, os.strerror(-result), what)
    return result
