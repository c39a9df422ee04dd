"""The gofer: the process that owns a container's mount tree.

It is in the container's user and mount namespaces, with CAP_SYS_ADMIN there and nowhere else. It builds the tree from the
plan that the command line made (binds arrive as detached, idmapped mounts: no host path is opened here), pivots into it, and then,
from an empty root and with a few system calls (gofer/own_calls.py), makes the mounts that the sentry asks for on behalf of the
workload. It dies with the container's first process, and takes it along when it dies itself.
"""

from __future__ import annotations

import os
import select
from errno import EIO

from gofer import tree
from gofer.mounts import MountError, bare, check, new_filesystem
from sentry.abi import (
    AT_EMPTY_PATH,
    CAP_DAC_OVERRIDE,
    CAP_KILL,
    CAP_SYS_ADMIN,
    CLONE_NEWNS,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    MS_SHARED,
    MS_UNBINDABLE,
    O_DIRECTORY,
    O_PATH,
    PR_SET_NO_NEW_PRIVS,
    UMOUNT_NOFOLLOW,
)
from sentry.platform import signals, wire
from sentry.platform._native import ffi, lib
from sentry.platform.confine import empty_mount, empty_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gofer.tree import Plan
    from sentry.vfs.sysfs import Node

CAPABILITIES = 1 << CAP_SYS_ADMIN | 1 << CAP_DAC_OVERRIDE | 1 << CAP_KILL


def run(sock: wire.Socket, plan: Plan, init: int, procfd: int, debug: bool) -> None:
    """The gofer process: build the tree, answer with its descriptors, serve. `init`: pidfd of the container's first process."""
    from gofer import own_calls  # while the host's files are still ours to read
    from sentry.platform import own_filter

    try:
        fds, no_fuse = _build(plan, procfd, sock)
    except (MountError, OSError) as e:
        reason = str(e) if isinstance(e, MountError) else f"{e.strerror} {e.filename or ''}".strip().lower()
        wire.send(sock, {"error": reason})
        return
    wire.send(sock, {"ok": True, "no_fuse": no_fuse, "upper": plan.upper.held if plan.upper is not None else -1}, fds)
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


def _build(plan: Plan, procfd: int, sock: wire.Socket) -> tuple[list[int], str]:
    """The mount tree. Returns descriptors: the root, an empty mount, /proc without what is mounted on it, the mount namespace, and
    where the host has FUSE its device and the root of its mount; else why it has none."""
    entry = tree.Entry(plan)
    # /dev/fuse has to be opened in the user namespace that mounts it, and may be root's alone: here we are in that
    # namespace and have the host's uid still.
    device, no_fuse = -1, ""
    try:
        device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError as e:  # not there, no module for it, or kept from us by somebody's device rules
        no_fuse = f"open /dev/fuse: {os.strerror(e.errno or 0).lower()}"
    entry.finish()
    for mount in plan.mounts:
        if mount.type == "sysfs":
            mount.fd = _sys_tree(plan.sys, mount.data)
            mount.attr_set |= MOUNT_ATTR_RDONLY
    top = tree.make(plan, entry, sock)
    bare_proc = bare(top, "/proc")
    top = tree.restrict(plan, top)
    fuse = []
    if device >= 0:
        try:
            fuse = [device, _fuse(device)]
        except MountError as e:
            no_fuse = str(e)
    tree.pivot(top)
    locked = _lock(plan, procfd)
    return [os.open("/", O_PATH | O_DIRECTORY | os.O_CLOEXEC), empty_mount(), bare_proc, locked, *fuse], no_fuse


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
    fd = new_filesystem("tmpfs", data, "mount the generated /sys")
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
                wire.send(sock, {"error": _answer(message, fds)})
            finally:
                for passed in fds:
                    os.close(passed)


def _answer(message: dict[str, object], fds: list[int]) -> int:
    """0 or the errno of a request: what the kernel refuses is the workload's error, and no reason to end its container."""
    try:
        return _request(message, fds)
    except OSError as e:
        return e.errno or EIO


def _request(message: dict[str, object], fds: list[int]) -> int:
    """One mount or umount for the workload, on objects that the sentry has resolved. Returns 0 or an errno. Raises OSError."""
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
    if op == "move":
        return -min(lib.move_mount_(fds[1], b"", fds[0], b"", 0x44), 0)
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
