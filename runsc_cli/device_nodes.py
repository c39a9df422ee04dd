"""The default device nodes and those of linux.devices, as bind mounts of nodes that are made here.

In a user namespace nobody can make a device node, nor use one of a file system that was mounted there. So the command line makes
them, with the container's ids as owners, in a tmpfs of the host's that only the gofer sees; it takes them from there, one bind
mount each. Who may not even do that (mknod(2) is for the host's root) shows the host's own nodes, as runc does in a user namespace.
The nodes give no access: linux.resources.devices does. They give the container locks (flock(2)), watches (inotify(7)) and times of its own,
which on the host's /dev/null it would share with everybody.

A container without a user namespace of its own has real ones, made where they belong: then all there is to do here is to say which.
"""

from __future__ import annotations

import os
from stat import S_IFBLK, S_IFCHR, S_IFIFO, S_IFMT

from gofer.mounts import DEFAULT_DEVICES, Device, MountError, new_filesystem
from runsc_cli.cgroups.devices import rules
from runsc_cli.errors import SpecError, strerror
from sentry.abi import AT_FDCWD, OPEN_TREE_CLOEXEC, OPEN_TREE_CLONE
from sentry.devices import READ, WRITE, allows
from sentry.platform._native import lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runsc_cli.oci.mappings import Mappings
    from runsc_cli.oci.model import Device as SpecDevice
    from runsc_cli.oci.model import Spec

_KINDS = {"c": S_IFCHR, "u": S_IFCHR, "b": S_IFBLK, "p": S_IFIFO}
_MODE = 0o666
"""Of a node without fileMode, as in runc."""


def make(spec: Spec, mappings: Mappings | None, *, own_user: bool) -> tuple[int, list[Device]]:
    """The detached tmpfs with the nodes, the default ones by name, -1 if there is none; and what the config wants. Raises SpecError.

    `own_user`: the container has a user namespace, with `mappings` if they are known.
    """
    asked = rules(spec.linux.resources.devices if spec.linux.resources else ())
    tree, why = _own(mappings) if own_user and mappings is not None else (-1, "the user namespace is not ours")
    out = []
    for i, each in enumerate(spec.linux.devices):
        if os.path.normpath(each.path) == "/dev/ptmx":
            continue  # always the container's own, as with runc
        kind = _KINDS[each.type]
        device = Device(each.path, kind, os.makedev(each.major, each.minor) if kind != S_IFIFO else 0)
        mode = _MODE if each.file_mode is None else each.file_mode & 0o7777
        device.mode, device.uid, device.gid = mode, each.uid or 0, each.gid or 0
        out.append(device)
        if kind == S_IFIFO or not own_user:
            continue  # it is made in its place
        letter = "b" if kind == S_IFBLK else "c"
        # what cannot be opened in any way is not opened to find that out: an open may have effects
        device.usable = any(allows(asked, letter, each.major, each.minor, access) for access in (READ, WRITE))
        if mappings is None or tree < 0:
            device.fd = _hosts(each, device, f"linux.devices[{i}]", why)
            continue
        try:
            _make(tree, str(i), device, each, mappings, f"linux.devices[{i}]")
            device.name = str(i)
        except PermissionError as error:
            device.fd = _hosts(each, device, f"linux.devices[{i}]", strerror(error))
    return tree, out


def _own(mappings: Mappings) -> tuple[int, str]:
    """A tree that holds the default devices, of the container's root; -1, and why, where we may not make one."""
    try:
        tree = new_filesystem("tmpfs", ("source=devices", "mode=711"), "make device nodes")
    except MountError as error:
        return -1, str(error)
    owner = mappings.host_uid(0) or 0, mappings.host_gid(0) or 0
    try:
        for name, number in DEFAULT_DEVICES.items():
            os.mknod(name, S_IFCHR | _MODE, os.makedev(*number), dir_fd=tree)
            os.chmod(name, _MODE, dir_fd=tree)
            os.chown(name, *owner, dir_fd=tree)
    except OSError as error:
        os.close(tree)
        return -1, strerror(error)
    return tree, ""


def _make(tree: int, name: str, device: Device, asked: SpecDevice, mappings: Mappings, field: str) -> None:
    """mknod(2) as the container is to see it. Raises SpecError, PermissionError where the host does not let us."""
    owner = mappings.host_uid(device.uid), mappings.host_gid(device.gid)
    for id, which, inside in zip(owner, ("uid", "gid"), (device.uid, device.gid), strict=True):
        if id is None:
            raise SpecError(f"{field}.{which}", f"{inside} is not mapped in the container's user namespace")
    try:
        os.mknod(name, device.kind | 0o600, device.rdev, dir_fd=tree)
        os.chown(name, owner[0] or 0, owner[1] or 0, dir_fd=tree)
        os.chmod(name, device.mode, dir_fd=tree)
    except PermissionError:
        raise
    except OSError as error:
        raise SpecError(field, f"make {asked.type} {asked.major}:{asked.minor}: {strerror(error)}") from None


def _hosts(asked: SpecDevice, device: Device, field: str, why: str) -> int:
    """A detached copy of the host's node, which has to be the same device."""
    fd = int(lib.open_tree_(AT_FDCWD, os.fsencode(asked.path), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC))
    if fd >= 0:
        facts = os.fstat(fd)
        if (S_IFMT(facts.st_mode), facts.st_rdev) == (device.kind, device.rdev):
            return fd
        os.close(fd)
    raise SpecError(field, f"cannot be made here ({why}), and the host's {asked.path!r} is no {asked.type} {asked.major}:{asked.minor}")
