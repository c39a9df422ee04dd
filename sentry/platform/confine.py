"""How our own long-lived processes shut themselves in: an empty root.

Model: pivot_root is not needed for a process that holds no directory of the host: its root becomes an empty, read-only tmpfs
that is mounted nowhere, so no path leads anywhere and what it can reach are the descriptors it was given.
"""

from __future__ import annotations

import os

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


def _checked(result: int, what: str) -> int:
    if result < 0:
        raise OSError(-result, os.strerror(-result), what)
    return result
