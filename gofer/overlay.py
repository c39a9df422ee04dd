"""An overlay over a directory that is to stay as it is: what is written goes elsewhere, what is read comes from below.

The kernel's overlayfs, mounted in the container's user namespace (Linux 5.11), so what it keeps for itself in the upper directory are
attributes that a user may set: `userxattr`. With it directories of the lower layer are not renamed (EXDEV; mv(1) copies then) and a
change of mode copies a file whole: redirect_dir and metacopy are off.

Layers are named by path to the kernel, so they are attached for a moment, on a directory that the mount namespace has anyway. Nobody of
the container is there yet, and the overlay keeps mounts of its own.
"""

from __future__ import annotations

import errno
import os

from gofer.mounts import PUT_AT, MountError, check, move, new_filesystem
from sentry.abi import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    O_DIRECTORY,
    O_PATH,
    UMOUNT_MNT_DETACH,
)
from sentry.platform._native import lib

UPPER, WORK = "upper", "work"
_KEPT = ((os.ST_NOSUID, MOUNT_ATTR_NOSUID), (os.ST_NODEV, MOUNT_ATTR_NODEV), (os.ST_NOEXEC, MOUNT_ATTR_NOEXEC))
"""What a mount forbids is forbidden in an overlay over it."""


class Upper:
    """Where the changes go."""

    __slots__ = ("data", "fd", "held")

    def __init__(self, fd: int = -1, data: tuple[str, ...] = ()) -> None:
        """`fd`: a detached mount of a directory that has UPPER and WORK, -1: a new tmpfs with the options `data`."""
        self.fd = fd
        self.data = data
        self.held = -1
        """Of a tmpfs that is mounted nowhere, when the overlay is there: its upper directory."""


def mount(lower: int, what: str, upper: Upper | None = None) -> int:
    """A detached overlay over the detached mount `lower`, which is consumed, as is upper.fd. Without `upper` what is written is discarded."""
    places = new_filesystem("tmpfs", ("mode=700", *(upper.data if upper is not None else ())), what)
    try:
        parent, base = places, PUT_AT.decode()
        if upper is not None and upper.fd >= 0:
            parent, base = upper.fd, f"{base}/changes"
            os.mkdir("changes", 0o755, dir_fd=places)
        else:
            for name in (UPPER, WORK):
                os.mkdir(name, 0o755, dir_fd=places)
        os.mkdir("lower", 0o755, dir_fd=places)
        top = check(lib.openat2_raw(AT_FDCWD, PUT_AT, O_PATH | O_DIRECTORY, 0, 0), what)
        move(places, top, what)
        os.close(top)
        _attach(lower, places, "lower", what)
        if parent != places:
            _attach(parent, places, "changes", what)
        _like(lower, parent)
        fd = _made(lower, base, what)
        if upper is not None and parent == places:
            upper.held = os.open(UPPER, O_PATH | O_DIRECTORY | os.O_CLOEXEC, dir_fd=places)
        check(lib.umount2_(PUT_AT, UMOUNT_MNT_DETACH), what)
        return fd
    finally:
        os.close(lower)
        os.close(places)
        if upper is not None and upper.fd >= 0:
            os.close(upper.fd)


def _attach(fd: int, places: int, name: str, what: str) -> None:
    target = os.open(name, O_PATH | O_DIRECTORY | os.O_CLOEXEC, dir_fd=places)
    move(fd, target, what)
    os.close(target)


def _like(lower: int, parent: int) -> None:
    """The root of an overlay has the upper directory's owner and mode: make them the lower one's."""
    facts = os.fstat(lower)
    try:
        os.chown(UPPER, facts.st_uid, facts.st_gid, dir_fd=parent)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        # whose owner has no id here: an ordinary user's container in a directory of somebody else's
    os.chmod(UPPER, facts.st_mode & 0o7777, dir_fd=parent)


def _made(lower: int, base: str, what: str) -> int:
    data = (f"lowerdir={PUT_AT.decode()}/lower", f"upperdir={base}/{UPPER}", f"workdir={base}/{WORK}", "index=off", "userxattr")
    fd = new_filesystem("overlay", data, what)
    flags = os.fstatvfs(lower).f_flag
    kept = sum(attr for flag, attr in _KEPT if flags & flag)
    if kept:
        try:
            check(lib.mount_setattr_(fd, b"", AT_EMPTY_PATH, kept, 0, 0, -1), what)
        except MountError:
            os.close(fd)
            raise
    return fd
