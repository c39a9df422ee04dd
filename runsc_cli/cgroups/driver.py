"""A container's control groups: cgroups(7), version 1, version 2 and both at once.

One directory for the workload in each hierarchy, named by linux.cgroupsPath; limits are written before a process is in it. The
leaf holds the workload alone; sentry and gofer stay where the caller was. The resources that have no file here are refused by
name, not ignored.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runsc_cli.errors import HostError, SpecError, strerror

if TYPE_CHECKING:
    from runsc_cli.oci.model import CPU, Memory, Resources

_V1 = ("memory", "pids", "cpu", "cpuacct", "cpuset", "devices", "freezer", "blkio", "name=systemd")
_COPY_FROM_PARENT = ("cpuset.cpus", "cpuset.mems")


class Cgroup:
    """The leaves of one container. `paths`: hierarchy ("" for version 2) -> directory."""

    __slots__ = ("_made", "_writes", "paths")

    def __init__(self, paths: dict[str, str], writes: list[tuple[str, str, str, str]]) -> None:
        self.paths = paths
        self._writes = writes
        self._made: list[str] = []

    def create(self) -> None:
        """Make the leaves and write the limits. Raises SpecError, HostError; then nothing is left."""
        try:
            for hierarchy, path in self.paths.items():
                self._make(hierarchy, path)
            for hierarchy, name, value, field in self._writes:
                _write(self.paths[hierarchy], name, value, field)
        except BaseException:
            for path in reversed(self._made):
                os.rmdir(path)
            raise

    def _make(self, hierarchy: str, path: str) -> None:
        missing = []
        while not os.path.isdir(path):
            missing.append(path)
            path = os.path.dirname(path)
        for directory in reversed(missing):
            try:
                os.mkdir(directory, 0o755)
            except OSError as e:
                raise HostError("mkdir", directory, e) from None
            self._made.append(directory)
            if hierarchy == "cpuset":
                for name in _COPY_FROM_PARENT:
                    with open(f"{os.path.dirname(directory)}/{name}") as f:
                        _write(directory, name, f.read().strip(), "cpuset")

    def add(self, pid: int) -> None:
        """Move process `pid` into every leaf."""
        for path in self.paths.values():
            add(path, pid)


def add(path: str, pid: int) -> None:
    """Move process `pid` into the cgroup at `path`. Raises HostError."""
    try:
        _put(f"{path}/cgroup.procs", str(pid))
    except OSError as e:
        raise HostError("write", f"{path}/cgroup.procs", e) from None


def plan(cgroups_path: str, container_id: str, resources: Resources | None) -> Cgroup:
    """Where the leaves are to be and what is written there. Raises SpecError for what no hierarchy here can do."""
    mounted = _mounts()
    own = _own()
    paths = {}
    for hierarchy in (*_V1, ""):
        if hierarchy in mounted:
            base = own.get(hierarchy, "/")
            leaf = cgroups_path if cgroups_path.startswith("/") else os.path.join(base, cgroups_path or container_id)
            paths[hierarchy] = os.path.normpath(mounted[hierarchy] + "/" + leaf)
    unified = "memory" not in paths and "" in paths
    writes = _writes(resources, unified) if resources is not None else []
    for hierarchy, _name, _value, field in writes:
        if hierarchy not in paths:
            raise SpecError(field, f"this host has no {hierarchy or 'unified'} cgroup controller")
    return Cgroup(paths, writes)


def _mounts() -> dict[str, str]:
    """Hierarchy -> mount point, from mountinfo; the first of each."""
    found: dict[str, str] = {}
    with open("/proc/self/mountinfo") as f:
        for line in f:
            left, _, right = line.partition(" - ")
            kind, _source, options = right.split()[:3]
            point = left.split()[4]
            if kind == "cgroup2":
                found.setdefault("", point)
            elif kind == "cgroup":
                for option in options.split(","):
                    if option in _V1:
                        found.setdefault(option, point)
    return found


def _own() -> dict[str, str]:
    """Hierarchy -> the cgroup that we are in."""
    found = {}
    with open("/proc/self/cgroup") as f:
        for line in f:
            _number, controllers, path = line.rstrip("\n").split(":", 2)
            for controller in controllers.split(","):
                found[controller] = path
    return found


def _writes(resources: Resources, unified: bool) -> list[tuple[str, str, str, str]]:
    """(hierarchy, file, value, field of the config), in the order of writing."""
    field = "linux.resources"
    for name in ("hugepage_limits", "network", "rdma"):
        if getattr(resources, name):
            raise SpecError(f"{field}.{name}", "not supported yet; leave it out")
    if resources.block_io is not None and (resources.block_io.weight_device or resources.block_io.throttle_read_bps_device):
        raise SpecError(f"{field}.blockIO", "not supported yet; leave it out")
    out: list[tuple[str, str, str, str]] = []
    if resources.memory is not None:
        out += _memory(resources.memory, unified)
    if resources.cpu is not None:
        out += _cpu(resources.cpu, unified)
    if resources.pids is not None and resources.pids.limit:
        limit = str(resources.pids.limit) if resources.pids.limit > 0 else "max"
        out.append(("" if unified else "pids", "pids.max", limit, f"{field}.pids.limit"))
    for name, value in resources.unified.items():
        if "/" in name:
            raise SpecError(f"{field}.unified", f"{name!r} is no file of a cgroup")
        out.append(("", name, value, f"{field}.unified"))
    return out


def _memory(memory: Memory, unified: bool) -> list[tuple[str, str, str, str]]:
    field = "linux.resources.memory"
    out = []
    if unified:
        names = (("limit", "memory.max"), ("reservation", "memory.low"))
    else:
        names = (("limit", "memory.limit_in_bytes"), ("reservation", "memory.soft_limit_in_bytes"))
    for attribute, name in names:
        value = getattr(memory, attribute)
        if value:
            text = "max" if unified and value < 0 else str(value)
            out.append(("" if unified else "memory", name, text, f"{field}.{attribute}"))
    if memory.swap and not unified:
        out.append(("memory", "memory.memsw.limit_in_bytes", str(memory.swap), f"{field}.swap"))
    if memory.swap and unified and memory.limit:
        swap = "max" if memory.swap < 0 else str(memory.swap - memory.limit)
        out.append(("", "memory.swap.max", swap, f"{field}.swap"))
    return out


def _cpu(cpu: CPU, unified: bool) -> list[tuple[str, str, str, str]]:
    field = "linux.resources.cpu"
    out: list[tuple[str, str, str, str]] = []
    if cpu.shares:
        # OCI config-linux.md: shares 2..262144 -> weight 1..10000
        weight = 1 + (cpu.shares - 2) * 9999 // 262142
        out.append(("", "cpu.weight", str(weight), field) if unified else ("cpu", "cpu.shares", str(cpu.shares), f"{field}.shares"))
    if unified and (cpu.quota or cpu.period):
        quota = str(cpu.quota) if cpu.quota and cpu.quota > 0 else "max"
        out.append(("", "cpu.max", f"{quota} {cpu.period or 100000}", f"{field}.quota"))
    elif not unified:
        if cpu.period:
            out.append(("cpu", "cpu.cfs_period_us", str(cpu.period), f"{field}.period"))
        if cpu.quota:
            out.append(("cpu", "cpu.cfs_quota_us", str(cpu.quota), f"{field}.quota"))
    for name, value in (("cpus", cpu.cpus), ("mems", cpu.mems)):
        if value:
            out.append(("" if unified else "cpuset", f"cpuset.{name}", value, f"{field}.{name}"))
    if cpu.realtime_period or cpu.realtime_runtime:
        raise SpecError(f"{field}.realtimePeriod", "not supported yet; leave it out")
    return out


def _put(path: str, value: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)


def _write(directory: str, name: str, value: str, field: str) -> None:
    try:
        _put(f"{directory}/{name}", value)
    except OSError as e:
        raise SpecError(field, f"write {value!r} to {directory}/{name}: {strerror(e)}") from None
