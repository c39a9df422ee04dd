"""Which host ids a container's ids are: user_namespaces(7), newuidmap(1), subuid(5).

Root maps 0..65535 to a range that no user of the host has; an ordinary user gets the range of /etc/subuid through newuidmap, or
where there is none the single id that is its own.
"""

from __future__ import annotations

import os

from runsc_cli.errors import HostError, PyscError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runsc_cli.oci.model import IDMapping, Spec

FIRST_HOST_ID = 200_000
"""The range of root's containers where /etc/subuid says nothing for root."""

COUNT = 65_536


class Mappings:
    """Lines (container id, host id, count) for uid_map and gid_map."""

    __slots__ = ("_helper", "gids", "uids")

    def __init__(self, uids: list[tuple[int, int, int]], gids: list[tuple[int, int, int]], helper: bool = False) -> None:
        self.uids = uids
        self.gids = gids
        self._helper = helper

    def write(self, pid: int) -> None:
        """Map the user namespace of process `pid`, a child of ours that has just made it. Raises PyscError."""
        if self._helper:
            _run("newuidmap", pid, self.uids)
            _run("newgidmap", pid, self.gids)
            return
        if os.geteuid() != 0:
            _write(pid, "setgroups", "deny")
        _write(pid, "uid_map", "\n".join("%d %d %d" % line for line in self.uids))
        _write(pid, "gid_map", "\n".join("%d %d %d" % line for line in self.gids))

    def host_uid(self, uid: int) -> int | None:
        """The host's id of container user `uid`; None when it has none."""
        for inside, outside, count in self.uids:
            if inside <= uid < inside + count:
                return outside + uid - inside
        return None


def user_namespace_mappings(spec: Spec, euid: int) -> Mappings:
    """The config's own mappings where it has a user namespace with them, else the default for the calling user."""
    if spec.linux.uid_mappings:
        return Mappings(_lines(spec.linux.uid_mappings), _lines(spec.linux.gid_mappings))
    if euid == 0:
        uid = _range("/etc/subuid", ("root", "0")) or (FIRST_HOST_ID, COUNT)
        gid = _range("/etc/subgid", ("root", "0")) or (FIRST_HOST_ID, COUNT)
        return Mappings([(0, uid[0], min(uid[1], COUNT))], [(0, gid[0], min(gid[1], COUNT))])
    names = (_user_name(euid), str(euid))
    uid, gid = _range("/etc/subuid", names), _range("/etc/subgid", names)
    if uid and gid and _which("newuidmap"):
        return Mappings([(0, euid, 1), (1, uid[0], uid[1])], [(0, os.getegid(), 1), (1, gid[0], gid[1])], helper=True)
    return Mappings([(0, euid, 1)], [(0, os.getegid(), 1)])


def _lines(mappings: Sequence[IDMapping]) -> list[tuple[int, int, int]]:
    return [(m.container_id, m.host_id, m.size) for m in mappings]


def _write(pid: int, name: str, text: str) -> None:
    path = f"/proc/{pid}/{name}"
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)
    except OSError as e:
        raise HostError("write", path, e) from None


def _range(path: str, names: tuple[str, str]) -> tuple[int, int] | None:
    try:
        with open(path) as f:
            for line in f:
                fields = line.strip().split(":")
                if len(fields) == 3 and fields[0] in names and fields[1].isdigit() and fields[2].isdigit():
                    return int(fields[1]), int(fields[2])
    except FileNotFoundError:
        return None
    return None


def _user_name(uid: int) -> str:
    from pwd import getpwuid

    try:
        return getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _which(name: str) -> str | None:
    return next((p for d in ("/usr/bin", "/bin", "/usr/local/bin") if os.access(p := f"{d}/{name}", os.X_OK)), None)


def _run(name: str, pid: int, lines: list[tuple[int, int, int]]) -> None:
    path = _which(name)
    if path is None:
        raise PyscError(f"{name} is missing: install uidmap, or remove the user from /etc/subuid to run with a single id")
    argv = [name, str(pid), *(str(n) for line in lines for n in line)]
    status = os.waitstatus_to_exitcode(os.waitpid(os.posix_spawn(path, argv, dict(os.environ)), 0)[1])
    if status:
        raise PyscError(f"{' '.join(argv)} failed with {status}: check /etc/subuid and /etc/subgid")
