"""A container's mount tree: built from the plan that the command line made, in the container's user and mount namespaces.

Binds arrive as detached mounts: no host path is opened here. What is built is not yet anybody's root: whoever builds it, pivots into it.
"""

from __future__ import annotations

import os

from gofer.mounts import (
    DEFAULT_DEVICES,
    PUT_AT,
    check,
    clone,
    make_node,
    make_readonly,
    mask,
    mount_point,
    move,
    new_filesystem,
    populate_dev,
    show_node,
)
from sentry.abi import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    CLONE_NEWNS,
    CLONE_NEWUSER,
    MOUNT_ATTR_RDONLY,
    MS_PRIVATE,
    MS_REC,
    MS_SLAVE,
    O_DIRECTORY,
    O_PATH,
    UMOUNT_MNT_DETACH,
)
from sentry.platform import wire
from sentry.platform._native import ffi, lib
from sentry.platform.confine import forbid_imports
from sentry.platform.groups import drop_groups

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from gofer.mounts import Device, Mount
    from gofer.overlay import Upper
    from sentry.vfs.sysfs import Node


class Plan:
    """Everything that is needed to build a container's tree; made by the command line, handed over by fork."""

    __slots__ = (
        "cover",
        "cwd",
        "defaults",
        "device_tree",
        "devices",
        "links",
        "masked",
        "mntns",
        "mounts",
        "nodes",
        "null",
        "own_dev",
        "readonly",
        "readonly_root",
        "root_fd",
        "root_propagation",
        "show_at",
        "sys",
        "upper",
        "userns",
    )

    def __init__(self, userns: int, mntns: int, root_fd: int) -> None:
        """`userns`: -1: the container has none of its own. `root_fd`: the detached mount of the rootfs (-1: an empty tmpfs)."""
        self.userns = userns
        self.mntns = mntns
        self.root_fd = root_fd
        self.upper: Upper | None = None
        """What is written to the rootfs goes there; None: to the rootfs."""
        self.mounts: list[Mount] = []
        self.links: list[tuple[str, str]] = []
        """(path, text): symbolic links to make in a root that is a tmpfs."""
        self.sys: dict[bytes, Node] = {}
        """What a mount of type sysfs holds: sentry/vfs/sysfs.py."""
        self.cover: Callable[[int, str], None] | None = None
        """What is done to a procfs that is to list nothing of the host's, given the root and the place: gofer/proctree.py."""
        self.masked: list[str] = []
        self.readonly: list[str] = []
        self.cwd = ""
        """Made if it is missing, as runc does."""
        self.device_tree = -1
        """A detached tmpfs that holds the default devices, and the nodes of `devices`; -1: none."""
        self.defaults: dict[str, int] = {}
        """Detached mounts of those."""
        self.null = -1
        """The mount of /dev/null in the tree, which masks are copies of; -1: the host's."""
        self.own_dev = True
        """/dev is the container's: it has the default devices and those of the config."""
        self.nodes = False
        """Device nodes are made; else they are bind mounts of others, since in a user namespace nobody can make one."""
        self.devices: list[Device] = []
        self.readonly_root = False
        self.root_propagation = MS_PRIVATE
        self.show_at = ""
        """Where hooks look for the container's root when the tree is built, in a mount namespace that is else the host's: wait for them."""

    def show(self, root: int, _dev: int, name: str) -> None:
        """A default device, of the container's own where we have it. Raises MountError."""
        fd = show_node(root, name, self.defaults.get(name, -1))
        if name == "null":
            self.null = fd
        else:
            os.close(fd)

    def fds(self) -> list[int]:
        """What has been made already: namespaces and detached mounts."""
        fds = [self.userns, self.mntns, self.root_fd, self.device_tree, *([self.upper.fd] if self.upper is not None else [])]
        fds += [mount.fd for mount in self.mounts]
        fds += [device.fd for device in self.devices]
        return [fd for fd in fds if fd >= 0]


class Entry:
    """The way into the container's namespaces, in two steps: between them one is in its user namespace with the host's uid still."""

    __slots__ = ("_plan", "show_at")

    def __init__(self, plan: Plan) -> None:
        """The user namespace, where the container has one of its own."""
        self._plan = plan
        # As root of the host, who may pass the directories on the way; an ordinary user has rights over it only from inside.
        self.show_at = self._place() if plan.show_at and os.geteuid() == 0 else -1
        if plan.userns >= 0:
            check(lib.setns_(plan.userns, CLONE_NEWUSER), "join the user namespace")
        if plan.show_at and self.show_at < 0:
            self.show_at = self._place()

    def _place(self) -> int:
        """Join the mount namespace; returns the directory where hooks expect the root."""
        check(lib.setns_(self._plan.mntns, CLONE_NEWNS), "join the mount namespace")
        return os.open(self._plan.show_at, O_PATH | O_DIRECTORY | os.O_CLOEXEC)

    def finish(self) -> None:
        """Root's ids in there, and the mount namespace, in which nothing goes back to the host from now on."""
        if self._plan.userns >= 0:
            drop_groups()
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
        check(lib.setns_(self._plan.mntns, CLONE_NEWNS), "join the mount namespace")
        os.umask(0)
        check(lib.mount_(ffi.NULL, b"/", ffi.NULL, MS_SLAVE | MS_REC, ffi.NULL), "make '/' a slave")


def make(plan: Plan, entry: Entry, sock: wire.Socket) -> int:
    """The root file system, mounts and devices, shown to hooks where they look for them; returns the top directory."""
    if plan.device_tree >= 0:
        _take_devices(plan)
    what = "mount the root file system"
    top = plan.root_fd if plan.root_fd >= 0 else new_filesystem("tmpfs", ("mode=755",), what)
    if plan.upper is not None:
        from gofer import overlay  # loaded already, by who has asked for it

        top = overlay.mount(top, "mount the overlay over the rootfs", plan.upper)
    put_at = _top()
    move(top, put_at, what)
    os.close(put_at)
    bottom = os.dup(top)
    for path, text in plan.links:
        os.symlink(text, path.strip("/"), dir_fd=top)
    for mount in plan.mounts:
        mount.attach(top)
        if plan.cover is not None and mount.type == "proc":
            plan.cover(top, mount.destination)
        if not mount.destination.strip("/"):  # on the root: the rest goes on it
            os.close(top)
            top = _top()
    if plan.own_dev:
        if plan.nodes:  # those of the config first: of a default device they say owner and mode
            for device in plan.devices:
                device.make(top)
        populate_dev(top, make_node if plan.nodes else plan.show)
        if not plan.nodes:
            for device in plan.devices:
                device.attach(top)
    if entry.show_at >= 0:
        _show(bottom, entry.show_at, sock)
    os.close(bottom)
    return top


def restrict(plan: Plan, top: int) -> int:
    """Read-only and masked paths, the working directory, a read-only root; `top` is closed, the new one is returned."""
    for path in plan.readonly:
        make_readonly(top, path)
    for path in plan.masked:
        mask(top, path, plan.nodes, plan.null)
    if plan.null >= 0:
        os.close(plan.null)
    os.close(top)
    top = _top()
    if plan.cwd:
        os.close(mount_point(top, plan.cwd, top, "process.cwd"))
    if plan.readonly_root:
        check(lib.mount_setattr_(top, b"", AT_EMPTY_PATH, MOUNT_ATTR_RDONLY, 0, 0, -1), "make the root read-only")
    return top


def pivot(top: int) -> None:
    """Make it the root, of this process and of all that are in the mount namespace with the root that it had. `top` is closed."""
    forbid_imports()  # from the image
    os.fchdir(top)
    check(lib.pivot_root_(b".", b"."), "pivot_root")
    check(lib.umount2_(b".", UMOUNT_MNT_DETACH), "leave the host's tree")
    os.close(top)


def _take_devices(plan: Plan) -> None:
    """Attach the tree of nodes for a moment: only of what is attached here can mounts be copied."""
    place = _top()
    move(plan.device_tree, place, "take the device nodes")
    os.close(place)
    plan.defaults = {name: clone(plan.device_tree, name, False, f"device '/dev/{name}'") for name in DEFAULT_DEVICES}
    for device in plan.devices:
        device.take(plan.device_tree)
    check(lib.umount2_(PUT_AT, UMOUNT_MNT_DETACH), "leave the device nodes")
    os.close(plan.device_tree)


def _show(bottom: int, show_at: int, sock: wire.Socket) -> None:
    """Move the tree whose lowest mount is `bottom` to where hooks look for it, until we are told to go on."""
    move(bottom, show_at, "show the root file system to hooks")
    wire.send(sock, {"shown": True})
    wire.recv(sock)
    back = os.open(PUT_AT, O_PATH | O_DIRECTORY | os.O_CLOEXEC)
    move(bottom, back, "mount the root file system")
    os.close(back)
    os.close(show_at)


def _top() -> int:
    """The directory where the container's root is made, of what was mounted there last."""
    return check(lib.openat2_raw(AT_FDCWD, PUT_AT, O_PATH | O_DIRECTORY, 0, 0), "open the root file system")
