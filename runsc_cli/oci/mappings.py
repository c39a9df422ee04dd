"""Which host ids a container's ids are: user_namespaces(7), newuidmap(1), subuid(5).

Root maps 0..65535 to ids that nobody on the host has: the range of /etc/subuid for root, else the first one from FIRST_HOST_ID that
neither a user nor anybody's subordinate range touches. All containers of root share it; ownership on disk does not depend on it,
because their files are idmapped. Users who are in no file (LDAP) are not seen: give root a range in /etc/subuid where there are any.
An ordinary user gets the range of /etc/subuid through newuidmap, or where there is none the single id that is its own.
"""

from __future__ import annotations

import os

from runsc_cli.errors import HostError, PyscError, SpecError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from runsc_cli.oci.model import IDMapping, Process, Spec

    Line = tuple[int, int, int]
    Range = tuple[int, int]  # first, one past the last

FIRST_HOST_ID = 200_000
"""Where the range of root's containers is looked for when /etc/subuid has none for root."""

COUNT = 65_536
_END = 0xFFFFFFFF  # the last id is -1 to the kernel


class Mappings:
    """Lines (container id, host id, count) for uid_map and gid_map, who may write them, and what is to be warned of."""

    __slots__ = ("gids", "helper", "uids", "warnings")

    def __init__(self, uids: list[Line], gids: list[Line], helper: bool = False, warnings: tuple[str, ...] = ()) -> None:
        self.uids = uids
        self.gids = gids
        self.helper = helper
        """newuidmap and newgidmap write them; else we do."""
        self.warnings = warnings

    def write(self, pid: int) -> None:
        """Map the user namespace of process `pid`, a child of ours that has just made it. Raises PyscError."""
        if self.helper:
            _run("newuidmap", pid, self.uids)
            _run("newgidmap", pid, self.gids)
            return
        if os.geteuid() != 0:
            # an unprivileged gid_map is only taken from who gives up dropping groups: user_namespaces(7)
            _write(pid, "setgroups", "deny")
        _write(pid, "uid_map", _text(self.uids))
        _write(pid, "gid_map", _text(self.gids))

    def host_uid(self, uid: int) -> int | None:
        """The host's id of container user `uid`; None when it has none."""
        return _outside(self.uids, uid)

    def host_gid(self, gid: int) -> int | None:
        """The same of a group."""
        return _outside(self.gids, gid)

    @property
    def identity(self) -> bool:
        """The container's ids are those of our own user namespace: no mount has to be idmapped."""
        return all(inside == outside for inside, outside, _ in (*self.uids, *self.gids))

    @property
    def last_gid(self) -> int:
        """The highest group id that the container has."""
        return max(first + count - 1 for first, _, count in self.gids)

    def require(self, process: Process, at: str = "process") -> None:
        """Every id that `process` takes has to be mapped. Raises SpecError."""
        user = process.user
        wanted = [("uid", user.uid, self.uids), ("gid", user.gid, self.gids)]
        wanted += [(f"additionalGids[{i}]", gid, self.gids) for i, gid in enumerate(user.additional_gids)]
        for field, id, lines in wanted:
            if _outside(lines, id) is None:
                known = ", ".join(f"{first} to {first + count - 1}" for first, _, count in lines)
                raise SpecError(f"{at}.user.{field}", f"{id} is not mapped: the ids of the container are {known}")


def user_namespace_mappings(spec: Spec, euid: int, etc: str = "/etc", proc: str = "/proc/self", own: Mappings | None = None) -> Mappings:
    """The config's own mappings where it has a user namespace with them, else the default for the calling user.

    Raises SpecError for an id of spec.process that has no place in them. `etc`, `proc`: where the host's files are.
    `own`: what runsc_cli/rootless.py has mapped before, if it has.
    """
    if spec.linux.uid_mappings:
        uids, gids = _lines(spec.linux.uid_mappings), _lines(spec.linux.gid_mappings)
        if own is not None:
            from runsc_cli.rootless import inside

            uids = inside(uids, own.uids, "linux.uidMappings")
            gids = inside(gids, own.gids, "linux.gidMappings")
        alone = len(uids) == len(gids) == 1 and uids[0][1:] == (euid, 1) and gids[0][1:] == (os.getegid(), 1)
        mappings = Mappings(uids, gids, helper=euid != 0 and not alone)
    else:
        mappings = default_mappings(euid, etc, proc)
    mappings.require(spec.process)
    return mappings


def default_mappings(euid: int, etc: str = "/etc", proc: str = "/proc/self") -> Mappings:
    """Those of a config that says nothing of ids."""
    return _of_root(etc, proc) if euid == 0 else of_user(euid, etc)


def _of_root(etc: str, proc: str) -> Mappings:
    lines, warnings = {}, []
    for kind in ("uid", "gid"):
        here = _extents(f"{proc}/{kind}_map")
        own = [
            (first, count)
            for first, count in _subordinate(f"{etc}/sub{kind}", ("root", "0"))
            if any(low <= first and first + count <= high for low, high in here)
        ]
        first, count = max(own, key=lambda each: each[1], default=(0, 0))
        if count == 0:
            users = "passwd" if kind == "uid" else "group"
            # both files for both kinds: a host that gave somebody a uid range meant the gids, too
            taken = [*_ids(f"{etc}/{users}"), *_all_subordinate(f"{etc}/subuid"), *_all_subordinate(f"{etc}/subgid")]
            first, count = free_range(taken, here, FIRST_HOST_ID, COUNT), COUNT
        if first < 0:
            # in a user namespace of somebody's that has no such ids
            lines[kind] = [(low, low, high - low) for low, high in here]
            if _root_is_root(f"{proc}/{kind}_map"):
                warnings.append(f"no {kind}s are left for the container: its {kind}s are those of pysc's own user namespace")
        else:
            lines[kind] = [(0, first, min(count, COUNT))]
    return Mappings(lines["uid"], lines["gid"], warnings=tuple(warnings))


def of_user(euid: int, etc: str = "/etc") -> Mappings:
    """What an ordinary user may map: its own id as 0, and its subordinate ones after it."""
    names = (_user_name(euid), str(euid))
    uids, gids = _subordinate(f"{etc}/subuid", names), _subordinate(f"{etc}/subgid", names)
    egid = os.getegid()
    if uids and gids and _which("newuidmap") and _which("newgidmap"):
        return Mappings([(0, euid, 1), (1, *uids[0])], [(0, egid, 1), (1, *gids[0])], helper=True)
    why = "uidmap is not installed" if uids and gids else "/etc/subuid and /etc/subgid have no range for you"
    return Mappings([(0, euid, 1)], [(0, egid, 1)], warnings=(f"the container has a single user id: {why}",))


def free_range(taken: Iterable[Range], here: Iterable[Range], first: int, count: int) -> int:
    """The first of `count` ids from `first` on that lie in one range of `here` and in none of `taken`; -1 when there is none."""
    used = sorted(taken)
    for low, high in sorted(here):
        start = max(low, first)
        for used_low, used_high in used:
            if used_low < start + count and start < used_high:
                start = used_high
        if start + count <= high:
            return start
    return -1


def _lines(mappings: Sequence[IDMapping]) -> list[Line]:
    return [(m.container_id, m.host_id, m.size) for m in mappings]


def _outside(lines: list[Line], id: int) -> int | None:
    for inside, outside, count in lines:
        if inside <= id < inside + count:
            return outside + id - inside
    return None


def _text(lines: list[Line]) -> str:
    return "\n".join(" ".join(map(str, line)) for line in lines)


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


# --- the host's files ---


def _fields(path: str) -> list[list[str]]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return [line.strip().split(":") for line in file]
    except FileNotFoundError:
        return []


def _numbers(fields: list[str], *places: int) -> tuple[int, ...] | None:
    """The fields at `places`, all of them decimal numbers of ids; else None."""
    if len(fields) <= max(places):
        return None
    words = [fields[place] for place in places]
    if not all(word.isascii() and word.isdigit() and len(word) < 11 for word in words):
        return None
    return tuple(map(int, words))


def _ids(path: str) -> list[Range]:
    """The ids in passwd(5) or group(5)."""
    found = (_numbers(fields, 2) for fields in _fields(path))
    return [(ids[0], ids[0] + 1) for ids in found if ids]


def _subordinate(path: str, names: tuple[str, ...]) -> list[tuple[int, int]]:
    """(first, count) of the ranges in subuid(5) or subgid(5) that belong to one of `names`."""
    found = (_numbers(fields, 1, 2) for fields in _fields(path) if fields[0] in names and len(fields) == 3)
    return [(r[0], r[1]) for r in found if r and r[1] > 0 and r[0] + r[1] <= _END]


def _all_subordinate(path: str) -> list[Range]:
    found = (_numbers(fields, 1, 2) for fields in _fields(path))
    return [(r[0], r[0] + r[1]) for r in found if r]


def _root_is_root(path: str) -> bool:
    """The root of our own user namespace is another's: uid_map's second column."""
    with open(path) as file:
        return any(line.split()[:2] == ["0", "0"] for line in file)


def _extents(path: str) -> list[Range]:
    """The ids that exist in our own user namespace: uid_map's first and third column."""
    extents = []
    try:
        with open(path) as file:
            for line in file:
                inside, _, count = map(int, line.split())
                extents.append((inside, min(inside + count, _END)))
    except FileNotFoundError:
        return [(0, _END)]  # a kernel without user namespaces says so when one is made
    return extents


def _user_name(uid: int) -> str:
    from pwd import getpwuid

    try:
        return getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _which(name: str) -> str | None:
    # not by PATH: engines call us without one
    return next((p for d in ("/usr/bin", "/bin", "/usr/local/bin") if os.access(p := f"{d}/{name}", os.X_OK)), None)


def _run(name: str, pid: int, lines: list[Line]) -> None:
    path = _which(name)
    if path is None:
        raise PyscError(f"{name} is missing: install uidmap, or map your own id alone in linux.uidMappings")
    argv = [name, str(pid), *(str(n) for line in lines for n in line)]
    status = os.waitstatus_to_exitcode(os.waitpid(os.posix_spawn(path, argv, dict(os.environ)), 0)[1])
    if status:
        raise PyscError(f"{' '.join(argv)} failed with {status}: check /etc/subuid and /etc/subgid")
