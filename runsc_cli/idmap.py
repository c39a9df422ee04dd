"""uidMappings and gidMappings of a mount: the user namespace that mount_setattr(2) takes the mapping from.

config.md, "mounts": hostID is the id that files of containerID on disk have for the rest of the host. Where the config has a user namespace
its writer knows these ids. Where it has none, the ids are what they are in the container, which has a user namespace of ours.
"""

from __future__ import annotations

import os

from runsc_cli.errors import SpecError
from runsc_cli.oci.mappings import Mappings
from sentry.abi import CLONE_NEWUSER
from sentry.platform._native import lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runsc_cli.oci.mappings import Line
    from runsc_cli.oci.model import IDMapping, Mount, Spec


def of(mount: Mount, spec: Spec, container: Mappings | None, field: str) -> Mappings:
    """The mapping of a mount that has one. `container`: that which we have chosen for the container, if we have. Raises SpecError."""
    if container is None or spec.linux.namespace("user") is not None:
        return Mappings(_plain(mount.uid_mappings), _plain(mount.gid_mappings))
    uids = _outside(mount.uid_mappings, container.uids, f"{field}.uidMappings")
    return Mappings(uids, _outside(mount.gid_mappings, container.gids, f"{field}.gidMappings"))


def _plain(asked: Sequence[IDMapping]) -> list[Line]:
    return [(each.container_id, each.host_id, each.size) for each in asked]


def _outside(asked: Sequence[IDMapping], known: list[Line], field: str) -> list[Line]:
    """Lines whose second id is one of the container, as lines whose second id is the host's. Raises SpecError."""
    out = []
    for i, each in enumerate(asked):
        for inside, outside, count in known:
            if inside <= each.host_id and each.host_id + each.size <= inside + count:
                out.append((each.container_id, outside + each.host_id - inside, each.size))
                break
        else:
            ranges = ", ".join(f"{inside} to {inside + count - 1}" for inside, _, count in known)
            raise SpecError(f"{field}[{i}].hostID", f"{each.host_id} and the {each.size - 1} after it are not all mapped: {ranges} are")
    return out


def user_namespace(mappings: Mappings, field: str) -> int:
    """A user namespace in which nobody is. Raises SpecError, PyscError."""
    ready, tell = os.pipe2(os.O_CLOEXEC)
    stay, end = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        os.close(end)
        os.write(tell, bytes((-lib.unshare_(CLONE_NEWUSER),)))
        os.read(stay, 1)  # until we close our end, or are no more
        os._exit(0)
    os.close(tell)
    os.close(stay)
    try:
        error = os.read(ready, 1)
        if error != b"\0":
            why = os.strerror(error[0]).lower() if error else "its process was killed"
            raise SpecError(field, f"make a user namespace: {why}")
        mappings.write(pid)
        return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(ready)
        os.close(end)
        os.waitpid(pid, 0)
