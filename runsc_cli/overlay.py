"""A rootfs that an engine has mounted as an overlay, once more, with the container's ids: containerd's and Docker's snapshots.

The kernel maps ids of overlayfs' layers (Linux 5.19, mount_setattr(2)) but not of an overlay. So a second overlay is made here, of
idmapped copies of the layers that the first one says it has (proc_pid_mountinfo(5)). Files are changed in the same upper directory, with
the same attributes, and as their owners on disk, so the engine finds in its layer what it would have found with runc.

- Its work directory is one of its own, WORK beside the upper one: each mount empties its work directory.
- What the kernel does in the layers it does as whoever mounted, with that one's file system ids. Those have to be ids of the
  container: root of the host is nobody in an idmapped layer. Capabilities stay the host's, as with the engine's own mount.
- The kernel says "upperdir is in-use" in its log, and that two such mounts used at once are undefined. What it means: a change
  made through one may be unseen through the other, where that has looked before. The engine's mount lies idle while the container runs.

Layers are named by path to the kernel, and have to be attached somewhere: in a mount namespace of a child's own.
"""

from __future__ import annotations

import os

from gofer.mounts import PUT_AT, MountError, check, clone, move, new_filesystem
from runsc_cli import forked
from sentry.abi import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    CLONE_NEWNS,
    MOUNT_ATTR_IDMAP,
    MS_PRIVATE,
    MS_REC,
    O_PATH,
    OPEN_TREE_CLOEXEC,
    OPEN_TREE_CLONE,
)
from sentry.platform._native import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runsc_cli.oci.mappings import Mappings

WORK = "pysc-work"
MAX_LAYERS = 500  # fs/overlayfs/super.c: OVL_MAX_STACK
_SETFSUID, _SETFSGID = 122, 123
_KEPT = ("index", "metacopy", "nfs_export", "redirect_dir", "userxattr", "uuid", "verity", "volatile", "xino")
"""Options that say how the layers are to be read or written; the others are their places and flags of the mount."""


class Layers:
    """What an overlay is made of, on the host: absolute paths, `upper` empty where it is read-only."""

    __slots__ = ("lower", "options", "upper")

    def __init__(self, lower: list[str], upper: str, options: list[str]) -> None:
        self.lower = lower
        self.upper = upper
        self.options = options


def layers(path: str) -> Layers | None:
    """Of the overlay whose root is at `path`. None: it is no overlay, or it says too little. Raises OSError."""
    fd = os.open(path, O_PATH | os.O_CLOEXEC)
    try:
        with open(f"/proc/self/fdinfo/{fd}") as file:
            number = next(line.split()[1] for line in file if line.startswith("mnt_id:"))
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            line = next((line for line in file if line.split(" ", 1)[0] == number), "")
        left, _, right = line.rstrip("\n").partition(" - ")
        fields, (kind, _source, text) = left.split(" "), right.split(" ", 2)
        at_top = os.path.samestat(os.fstat(fd), os.stat(unescape(fields[4])))
    except (ValueError, FileNotFoundError, StopIteration):  # a mount that our root does not show
        return None
    finally:
        os.close(fd)
    if kind != "overlay" or fields[3] != "/" or not at_top:
        return None
    return parse(text)


def parse(text: str) -> Layers | None:
    """The options of an overlay as mountinfo has them. None when a layer is not told by an absolute path."""
    lower: list[str] = []
    upper, kept = "", []
    for option in text.split(","):
        key, _, raw = option.partition("=")
        value = unescape(raw)
        if key == "lowerdir":
            if "::" in value or "\\" in value:  # data-only layers; a colon in a name
                return None
            lower += value.split(":")
        elif key == "lowerdir+":
            lower.append(value)
        elif key == "datadir+":
            return None
        elif key == "upperdir":
            upper = value
        elif key in _KEPT:
            kept.append(option)
    paths = [*lower, *([upper] if upper else [])]
    # others are relative to where the engine stood, which nobody can tell
    return Layers(lower, upper, kept) if lower and all(path.startswith("/") for path in paths) and len(lower) <= MAX_LAYERS else None


def unescape(field: str) -> str:
    r"""Octal escapes: \040."""
    first, *rest = field.split("\\")
    out = first
    for part in rest:
        digits = part[:3]
        out += chr(int(digits, 8)) + part[3:] if len(digits) == 3 and digits.isdigit() else "\\" + part
    return out


def remount(found: Layers, userns: int, mappings: Mappings) -> int:
    """A detached overlay of the same layers, idmapped to `userns`. Raises MountError, OSError."""
    uid, gid = mappings.host_uid(0), mappings.host_gid(0)
    if uid is None or gid is None:
        raise MountError("root of the container has no id on the host")
    mounts = [_idmapped(path, userns) for path in found.lower]
    names = [""] * len(mounts)
    if found.upper:
        # work and upper directory have to be on one mount
        parent, name = os.path.split(found.upper)
        os.makedirs(f"{parent}/{WORK}", 0o700, exist_ok=True)
        mounts.append(_idmapped(parent, userns))
        names.append(name)
    try:
        return forked.mount(lambda: _mount(mounts, names, found, (uid, gid)), "mount the overlay again")
    finally:
        for fd in mounts:
            os.close(fd)


def _idmapped(path: str, userns: int) -> int:
    fd = check(lib.open_tree_(AT_FDCWD, os.fsencode(path), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC), f"layer {path!r}")
    try:
        check(lib.mount_setattr_(fd, b"", AT_EMPTY_PATH, MOUNT_ATTR_IDMAP, 0, 0, userns), f"idmap the layer {path!r}")
    except MountError:
        os.close(fd)
        raise
    return fd


def _mount(mounts: list[int], names: list[str], found: Layers, owner: tuple[int, int]) -> int:
    check(lib.unshare_(CLONE_NEWNS), "make a mount namespace")
    check(lib.mount_(ffi.NULL, b"/", ffi.NULL, MS_PRIVATE | MS_REC, ffi.NULL), "make '/' private")
    places = new_filesystem("tmpfs", ("mode=711",), "attach the layers")
    top = os.open(PUT_AT, O_PATH | os.O_CLOEXEC)
    permitted = _permitted()
    move(places, top, "attach the layers")
    paths = []
    for i, (fd, name) in enumerate(zip(mounts, names, strict=True)):
        os.mkdir(str(i), dir_fd=places)
        at = os.open(str(i), O_PATH | os.O_CLOEXEC, dir_fd=places)
        move(fd, at, "attach a layer")
        os.close(at)
        paths.append(f"{PUT_AT.decode()}/{i}/{name}".rstrip("/"))
    _become(owner, permitted)
    data = [f"lowerdir={':'.join(paths[: len(found.lower)])}", *found.options]
    if found.upper:
        if ":" in names[-1] or "," in names[-1]:
            raise MountError("an upper directory with such a name cannot be mounted again")
        base = paths[-1].removesuffix(f"/{names[-1]}")
        data += [f"upperdir={paths[-1]}", f"workdir={base}/{WORK}"]
    # by mount(2): a value of fsconfig(2) has 255 bytes at most
    what = "mount the overlay again"
    check(lib.mount_(b"overlay", PUT_AT, b"overlay", 0, os.fsencode(",".join(data))), what)
    return clone(AT_FDCWD, PUT_AT.decode(), False, what)


def _permitted() -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1], 16) for line in file if line.startswith("CapPrm:"))


def _become(owner: tuple[int, int], capabilities: int) -> None:
    """Take these file system ids and keep the capabilities, which setfsuid(2) takes from who was root."""
    lib.syscall6(_SETFSGID, owner[1], 0, 0, 0, 0, 0)
    lib.syscall6(_SETFSUID, owner[0], 0, 0, 0, 0, 0)
    check(lib.capset_all(capabilities, capabilities, 0), "keep the capabilities that an overlay needs")
