"""Where the cgroup hierarchies are mounted, and where in them we are: cgroups(7), proc_pid_mountinfo(5).

Three layouts exist: each version 1 controller (or a pair, "cpu,cpuacct") on a mount of its own; one version 2 tree; both at
once, with a controller in one of the two. A mount that a later one covers does not count. Left out: version 1 hierarchies
with a name other than systemd's, and the prefix-less file names of a `noprefix` mount.
"""

from __future__ import annotations

import os

from runsc_cli.errors import HostError

# The version 1 hierarchies that a container gets a leaf in, where they are mounted; the order is that of the leaves.
V1 = (
    "cpuset", "devices", "memory", "cpu", "cpuacct", "pids", "blkio", "hugetlb",
    "net_cls", "net_prio", "perf_event", "freezer", "rdma", "misc", "name=systemd",
)  # fmt: skip
UNIFIED = ""  # version 2, as /proc/PID/cgroup writes it


class Mount:
    """A mounted hierarchy: its mount point, and the cgroup that is seen there (not "/" inside other containers)."""

    __slots__ = ("point", "root")

    def __init__(self, point: str, root: str) -> None:
        self.point = point
        self.root = root


class Hierarchies:
    """`mounts`: version 1 controller or UNIFIED -> Mount. `own`: the same -> our own cgroup, as /proc/self/cgroup has it."""

    __slots__ = ("mounts", "own")

    def __init__(self, mounts: dict[str, Mount], own: dict[str, str]) -> None:
        self.mounts = mounts
        self.own = own

    @property
    def pure(self) -> bool:
        """Version 2 alone, but for systemd's own hierarchy."""
        return UNIFIED in self.mounts and not any(name in self.mounts for name in V1[:-1])

    def leaf(self, hierarchy: str, cgroups_path: str, container_id: str) -> str:
        """The directory of the container's cgroup, with runc's reading of cgroupsPath.

        Absolute: below the mount point. Relative, or empty for the id: below our own cgroup; in version 2 beside it, since a
        cgroup that holds processes can give its children no controllers.
        """
        mount = self.mounts[hierarchy]
        path = clean(cgroups_path) or container_id
        if path.startswith("/"):
            return os.path.normpath(mount.point + path)
        own = self.own.get(hierarchy, "/")
        if hierarchy == UNIFIED:
            own = os.path.dirname(own)
        return os.path.normpath(f"{mount.point}/{_below(own, mount.root)}/{path}")

    def directory(self, hierarchy: str) -> str:
        """Of our own cgroup."""
        mount = self.mounts[hierarchy]
        return os.path.normpath(f"{mount.point}/{_below(self.own.get(hierarchy, '/'), mount.root)}")

    def objection(self, directory: str) -> str:
        """Why `directory` can be no container's cgroup; empty when it can. Whoever kills what is in one asks first."""
        if directory != os.path.normpath(directory):
            return "is no plain path"
        for name, mount in self.mounts.items():
            if not directory.startswith(mount.point + "/"):
                continue
            ours = self.directory(name)
            return "is our own cgroup or lies above it" if (ours + "/").startswith(directory + "/") else ""
        return "lies below no cgroup mount"


def clean(path: str) -> str:
    """A path that cannot lead above where it starts: ".." ends at the top."""
    if not path:
        return ""
    rooted = os.path.normpath("/" + path.lstrip("/"))
    return rooted if path.startswith("/") else rooted[1:]


def _below(cgroup: str, root: str) -> str:
    """The part of a cgroup's path below `root`; nothing when it is elsewhere, so that the mount point itself is meant."""
    if root == "/":
        return clean(cgroup.lstrip("/"))
    return cgroup[len(root) + 1 :] if cgroup.startswith(root + "/") else ""


def find() -> Hierarchies:
    """Those of this process. Raises HostError."""
    texts = []
    for path in ("/proc/self/mountinfo", "/proc/self/cgroup"):
        try:
            with open(path, "rb") as file:
                texts.append(os.fsdecode(file.read()))
        except OSError as e:
            raise HostError("read", path, e) from None
    return Hierarchies(parse_mounts(texts[0]), parse_own(texts[1]))


def parse_mounts(mountinfo: str) -> dict[str, Mount]:
    """The visible hierarchies, in V1's order, then UNIFIED. Of one that is mounted twice it is the first."""
    found: dict[str, Mount] = {}
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        _id, _parent, _device, root, point, _ = left.split(" ", 5)
        # Mounts are listed in the order in which they were made: this one covers what was below before.
        for name in [name for name, mount in found.items() if (mount.point + "/").startswith(point.rstrip("/") + "/")]:
            del found[name]
        kind, _source, options = right.split(" ", 2)
        if kind == "cgroup2":
            found.setdefault(UNIFIED, Mount(_unescape(point), _unescape(root)))
        elif kind == "cgroup":
            for name in options.split(","):
                if name in V1:
                    found.setdefault(name, Mount(_unescape(point), _unescape(root)))
    return {name: found[name] for name in (*V1, UNIFIED) if name in found}


def parse_own(cgroup: str) -> dict[str, str]:
    """proc_pid_cgroup(5): 7:cpu,cpuacct:/path. The unified hierarchy has no controllers there, hence its key."""
    own = {}
    for line in cgroup.splitlines():
        _number, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            own[controller] = path
    return own


def _unescape(field: str) -> str:
    r"""mountinfo writes blanks and backslashes in octal: \040."""
    if "\\" not in field:
        return field
    first, *rest = field.split("\\")
    return first + "".join(chr(int(part[:3], 8)) + part[3:] for part in rest)
