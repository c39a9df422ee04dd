"""The gofer: the process that owns a container's mount tree.

It is in the container's user and mount namespaces, with CAP_SYS_ADMIN there and nowhere else. It builds the tree from the
plan that the command line made (binds arrive as detached, idmapped mounts: no host path is opened here), pivots into it, and then,
from an empty root and with a few system calls (gofer/own_calls.py), makes the mounts that the sentry asks for on behalf of the
workload. It dies with the container's first process, and takes it along when it dies itself.
"""

from __future__ import annotations

import os
import select

from gofer.mounts import PUT_AT, MountError, bare, check, make_readonly, mask, mount_point, move, new_filesystem, populate_dev
from sentry.abi import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    CAP_DAC_OVERRIDE,
    CAP_KILL,
    CAP_SYS_ADMIN,
    CLONE_NEWNS,
    CLONE_NEWUSER,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    MS_PRIVATE,
    MS_REC,
    MS_SHARED,
    MS_SLAVE,
    MS_UNBINDABLE,
    O_DIRECTORY,
    O_PATH,
    PR_SET_NO_NEW_PRIVS,
    UMOUNT_MNT_DETACH,
    UMOUNT_NOFOLLOW,
)
from sentry.platform import signals, wire
from sentry.platform._native import ffi, lib
from sentry.platform.confine import empty_mount, empty_root, forbid_imports

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    from gofer.mounts import Device, Mount
    from sentry.vfs.sysfs import Node

CAPABILITIES = 1 << CAP_SYS_ADMIN | 1 << CAP_DAC_OVERRIDE | 1 << CAP_KILL


class Plan:
    """Everything the gofer needs to build a container's tree; made by the command line, handed over by fork."""

    __slots__ = (
        "cwd",
        "device_tree",
        "devices",
        "links",
        "masked",
        "mntns",
        "mounts",
        "readonly",
        "readonly_root",
        "root_fd",
        "root_propagation",
        "show_at",
        "userns",
    )

    def __init__(self, userns: int, mntns: int, root_fd: int) -> None:
        """`root_fd`: the detached mount of the rootfs (-1: an empty tmpfs)."""
        self.userns = userns
        self.mntns = mntns
        self.root_fd = root_fd
        self.mounts: list[Mount] = []
        self.links: list[tuple[str, str]] = []
        """(path, text): symbolic links to make in a root that is a tmpfs."""
        self.masked: list[str] = []
        self.readonly: list[str] = []
        self.cwd = ""
        """Made if it is missing, as runc does."""
        self.device_tree = -1
        """A detached tmpfs that holds the nodes of `devices`, -1: none."""
        self.devices: list[Device] = []
        self.readonly_root = False
        self.root_propagation = MS_PRIVATE
        self.show_at = ""
        """Where hooks look for the container's root when the tree is built, in a mount namespace that is else the host's: wait for them."""

    def fds(self) -> list[int]:
        """What has been made already: detached mounts."""
        fds = [self.root_fd, self.device_tree, *(mount.fd for mount in self.mounts), *(device.fd for device in self.devices)]
        return [fd for fd in fds if fd >= 0]


def run(sock: wire.Socket, plan: Plan, init: int, procfd: int, *, debug: bool) -> None:
    """The gofer process: build the tree, answer with its descriptors, serve. `init`: pidfd of the container's first process."""
    from gofer import own_calls, systree  # while the host's files are still ours to read
    from sentry.platform import own_filter

    try:
        fds, no_fuse = _build(plan, procfd, systree, sock)
    except (MountError, OSError) as e:
        reason = str(e) if isinstance(e, MountError) else f"{e.strerror} {e.filename or ''}".strip().lower()
        wire.send(sock, {"error": reason})
        return
    wire.send(sock, {"ok": True, "no_fuse": no_fuse}, fds)
    selffd = lib.openat2_raw(procfd, b"self/fd", O_PATH | O_DIRECTORY, 0, 0)
    check(selffd, "/proc/self/fd")
    empty_root(fds[1])
    for fd in fds:
        os.close(fd)
    os.fchdir(selffd)
    check(lib.capset_all(CAPABILITIES, CAPABILITIES, 0), "capset")
    check(lib.prctl_(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "PR_SET_NO_NEW_PRIVS")
    own_filter.install(own_calls.CALLS, "gofer", debug=debug)
    _serve(sock, init)


def _build(plan: Plan, procfd: int, systree: ModuleType, sock: wire.Socket) -> tuple[list[int], str]:
    """The mount tree. Returns descriptors: the root, an empty mount, /proc without what is mounted on it, the mount namespace, and
    where the host has FUSE its device and the root of its mount; else why it has none."""
    # As root of the host, who may pass the directories on the way; an ordinary user has rights over it only from inside.
    show_at = _place(plan) if plan.show_at and os.geteuid() == 0 else -1
    check(lib.setns_(plan.userns, CLONE_NEWUSER), "join the user namespace")
    if plan.show_at and show_at < 0:
        show_at = _place(plan)
    # /dev/fuse has to be opened in the user namespace that mounts it, and may be root's alone: here we are in that
    # namespace and have the host's uid still.
    device, no_fuse = -1, ""
    try:
        device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError as e:  # not there, no module for it, or kept from us by somebody's device rules
        no_fuse = f"open /dev/fuse: {os.strerror(e.errno or 0).lower()}"
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    check(lib.setns_(plan.mntns, CLONE_NEWNS), "join the mount namespace")
    os.umask(0)
    check(lib.mount_(ffi.NULL, b"/", ffi.NULL, MS_SLAVE | MS_REC, ffi.NULL), "make '/' a slave")
    if plan.device_tree >= 0:
        _take_devices(plan)
    what = "mount the root file system"
    top = plan.root_fd if plan.root_fd >= 0 else new_filesystem("tmpfs", ("mode=755",), what)
    put_at = _top()
    move(top, put_at, what)
    os.close(put_at)
    bottom = os.dup(top)
    for path, text in plan.links:
        os.symlink(text, path.strip("/"), dir_fd=top)
    for mount in plan.mounts:
        if mount.type == "sysfs":
            mount.fd = _sys_tree(systree.nodes(procfd), mount.data)
            mount.attr_set |= MOUNT_ATTR_RDONLY
        mount.attach(top)
        if not mount.destination.strip("/"):  # on the root: the rest goes on it
            os.close(top)
            top = _top()
    populate_dev(top)
    for node in plan.devices:
        node.attach(top)
    if show_at >= 0:
        _show(bottom, show_at, sock)
    os.close(bottom)
    bare_proc = bare(top, "/proc")
    for path in plan.readonly:
        make_readonly(top, path)
    for path in plan.masked:
        mask(top, path)
    os.close(top)
    top = _top()
    if plan.cwd:
        os.close(mount_point(top, plan.cwd, top, "process.cwd"))
    if plan.readonly_root:
        check(lib.mount_setattr_(top, b"", AT_EMPTY_PATH, MOUNT_ATTR_RDONLY, 0, 0, -1), "make the root read-only")
    fuse = []
    if device >= 0:
        try:
            fuse = [device, _fuse(device)]
        except MountError as e:
            no_fuse = str(e)
    forbid_imports()  # from the image
    os.fchdir(top)
    check(lib.pivot_root_(b".", b"."), "pivot_root")
    check(lib.umount2_(b".", UMOUNT_MNT_DETACH), "leave the host's tree")
    os.close(top)
    locked = _lock(plan, procfd)
    return [os.open("/", O_PATH | O_DIRECTORY | os.O_CLOEXEC), empty_mount(), bare_proc, locked, *fuse], no_fuse


def _take_devices(plan: Plan) -> None:
    """Attach the tree of nodes for a moment: only of what is attached here can mounts be copied."""
    place = _top()
    move(plan.device_tree, place, "take the device nodes")
    os.close(place)
    for device in plan.devices:
        device.take(plan.device_tree)
    check(lib.umount2_(PUT_AT, UMOUNT_MNT_DETACH), "leave the device nodes")
    os.close(plan.device_tree)


def _place(plan: Plan) -> int:
    """Join the mount namespace; returns the directory where hooks expect the root."""
    check(lib.setns_(plan.mntns, CLONE_NEWNS), "join the mount namespace")
    return os.open(plan.show_at, O_PATH | O_DIRECTORY | os.O_CLOEXEC)


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


def _lock(plan: Plan, procfd: int) -> int:
    """Lock the mounts of the plan: nobody in the container, CAP_SYS_ADMIN or not, removes a mask or makes writable what is read-only.

    The kernel does it where a mount namespace is copied into another user namespace, and on the way cuts off that mounts made
    in it reach the peers of a shared mount. We move into the copy, which is returned: the container lives there.
    """
    locked = check(lib.locked_mount_namespace(procfd), "lock the mounts")
    check(lib.setns_(locked, CLONE_NEWNS), "join the locked mount namespace")
    for mount in plan.mounts:
        if mount.propagation in (MS_SHARED, MS_UNBINDABLE):
            mount.propagate_again()
    check(lib.mount_(ffi.NULL, b"/", ffi.NULL, plan.root_propagation, ffi.NULL), "propagation of '/'")
    return locked


def _fuse(device: int) -> int:
    """A detached mount of the files that the sentry generates: sentry/vfs/serve.py."""
    options = (f"fd={device}", "rootmode=40000", "user_id=0", "group_id=0", "allow_other", "default_permissions")
    attrs = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC
    return new_filesystem("fuse", ("source=proc", *options), "mount the sentry's files", attrs)


def _sys_tree(nodes: dict[bytes, Node], data: tuple[str, ...]) -> int:
    """A detached tmpfs, with mount options `data`, that holds the generated /sys."""
    fd = new_filesystem("tmpfs", (*data, "size=1m"), "mount the generated /sys")
    for path, content in nodes.items():
        if content is None:
            os.mkdir(path, 0o555, dir_fd=fd)
        elif isinstance(content, bytes):
            out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444, dir_fd=fd)
            os.write(out, content)
            os.close(out)
        else:
            os.symlink(content.target, path, dir_fd=fd)
    return fd


def _serve(sock: wire.Socket, init: int) -> None:
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    poll.register(init, select.POLLIN)
    while True:
        for fd, _event in poll.poll():
            if fd == init:
                return
            try:
                message, fds = wire.recv(sock)
            except wire.Closed:  # the sentry has died: nobody is left to decide for the workload
                try:
                    signals.pidfd_send(init, signals.SIGKILL)
                except ProcessLookupError:  # it ended first, and we were told of both at once
                    pass
                return
            try:
                wire.send(sock, {"error": _request(message, fds)})
            finally:
                for passed in fds:
                    os.close(passed)


def _request(message: dict[str, object], fds: list[int]) -> int:
    """One mount or umount for the workload, on objects that the sentry has resolved. Returns 0 or an errno."""
    op = message["op"]
    if op == "tmpfs":
        data = tuple(str(message["data"]).split(",")) if message["data"] else ()
        try:
            fd = new_filesystem("tmpfs", data, "tmpfs", int(str(message["attrs"])))
        except MountError:
            return 22
        error = lib.move_mount_(fd, b"", fds[0], b"", 0x44)
        os.close(fd)
        return -min(error, 0)
    if op == "bind":
        fd = lib.open_tree_(fds[1], b"", 1 | os.O_CLOEXEC | AT_EMPTY_PATH | (0x8000 if message["recursive"] else 0))
        if fd < 0:
            return -int(fd)
        error = lib.move_mount_(fd, b"", fds[0], b"", 0x44)
        os.close(fd)
        return -min(error, 0)
    if op == "setattr":
        flags = AT_EMPTY_PATH | (0x8000 if message["recursive"] else 0)
        return -min(
            lib.mount_setattr_(
                fds[0],
                b"",
                flags,
                int(str(message["set"])),
                int(str(message["clear"])),
                int(str(message["propagation"])),
                -1,
            ),
            0,
        )
    if op == "umount":
        # no link is followed in the last component, and there is only one
        name = os.fsencode(str(message["name"]))
        if b"/" in name or name in (b".", b".."):
            return 22
        os.fchdir(fds[0])
        return -min(lib.umount2_(name, int(str(message["flags"])) | UMOUNT_NOFOLLOW), 0)
    return 38

