"""An ordinary user as root of a user namespace of its own: user_namespaces(7), newuidmap(1), ioctl_ns(2).

A user may neither copy mounts nor make file systems; the root of a user namespace may. So the command that makes a container first
enters a namespace where the user is 0 and its subordinate ids follow, with a copy of the mount namespace, and from there on does
what it does for root.
The container's own user namespace is a child of that one and maps the same ids: ownership on disk is the user's own view.
The namespace lives as long as the container's processes; the kernel gives the user every right over both.
"""

from __future__ import annotations

import os

from runsc_cli.errors import HostError, PyscError, SpecError
from runsc_cli.oci.mappings import of_user
from sentry.abi import CLONE_NEWNS, CLONE_NEWUSER
from sentry.platform._native import lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from runsc_cli.oci.mappings import Mappings

_NS_GET_PARENT = 0xB702


def enter(warn: Callable[[str], None]) -> Mappings | None:
    """Become that root; returns the ids that it has, None for who is root already. Raises PyscError with what is missing."""
    euid = os.geteuid()
    if euid == 0:
        return None
    mappings = of_user(euid)
    for text in mappings.warnings:
        warn(text)
    ready, go = os.pipe()
    complaint, say = os.pipe()
    writer = os.fork()
    if writer == 0:
        _write_maps(mappings, ready, go, say)
    os.close(ready)
    os.close(say)
    try:
        error = lib.unshare_(CLONE_NEWUSER)
        if error < 0:
            why = "user.max_user_namespaces, kernel.unprivileged_userns_clone or AppArmor may forbid it to users"
            raise PyscError(f"make a user namespace: {os.strerror(-error).lower()}: {why}")
        os.write(go, b"0")
        said = os.read(complaint, 4096)
    finally:
        os.close(go)
        os.close(complaint)
        os.waitpid(writer, 0)
    if said:
        raise PyscError(said.decode(errors="replace"))
    if mappings.helper:
        os.setgroups([])
    error = lib.unshare_(CLONE_NEWNS)
    if error < 0:
        raise PyscError(f"make a mount namespace: {os.strerror(-error).lower()}")
    return mappings


def _write_maps(mappings: Mappings, ready: int, go: int, say: int) -> None:
    """In a child that has stayed outside, where newuidmap works. Never returns."""
    parent = os.getppid()
    try:
        os.close(go)
        if os.read(ready, 1):  # nothing comes when the parent could not make it
            mappings.write(parent)
    except (PyscError, OSError) as error:
        os.write(say, str(error).encode())
    finally:
        os._exit(0)


def join(pid: int) -> None:
    """For what is done to a container that the user has made: the namespace from which process `pid` has its own."""
    if os.geteuid() == 0:
        return
    from fcntl import ioctl

    path = f"/proc/{pid}/ns/user"
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        parent = ioctl(fd, _NS_GET_PARENT)
        os.close(fd)
    except OSError as error:
        raise HostError("user namespace of the container", path, error) from None
    joined = lib.setns_(parent, CLONE_NEWUSER)
    os.close(parent)
    if joined < 0:
        raise PyscError(f"join the user namespace of the container's maker: {os.strerror(-joined).lower()}")


def inside(lines: list[tuple[int, int, int]], own: list[tuple[int, int, int]], field: str) -> list[tuple[int, int, int]]:
    """A config's lines (container id, host id, count) with the host's ids as `own` calls them. Raises SpecError for others'."""
    found = []
    for first, outside, count in lines:
        for low, there, size in own:
            if there <= outside and outside + count <= there + size:
                found.append((first, low + outside - there, count))
                break
        else:
            raise SpecError(field, f"{outside} and the next {count - 1} ids are not all yours in one range: see /etc/subuid and /etc/subgid")
    return found

