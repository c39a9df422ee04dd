"""What a container's cgroups let it have: the tightest limit from the leaf up to the mount point.

An engine limits the leaf, a pod or a user's slice limits a parent; the kernel applies all. For /proc and /sys as the container
sees them: either the values, once, or the directories, for a reader that stays (sentry/vfs/procview.py).
"""

from __future__ import annotations

import os
from errno import ENODEV, ENOENT, EOPNOTSUPP

from runsc_cli.cgroups.hierarchy import UNIFIED
from runsc_cli.cgroups.write import get

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeVar

    _Number = TypeVar("_Number", int, float)

# Version 1 says "no limit" with PAGE_COUNTER_MAX in bytes.
_NO_LIMIT = 1 << 60
_FOR_PROC = ("memory", "cpu", "cpuacct", "cpuset", UNIFIED)


class Limits:
    """None: no limit. `memory`, `memory_and_swap`: bytes. `cpu`: how many CPUs' time. `cpus`: list format, "0-1,4"."""

    __slots__ = ("cpu", "cpus", "memory", "memory_and_swap", "pids")

    def __init__(self) -> None:
        self.memory: int | None = None
        self.memory_and_swap: int | None = None
        self.cpu: float | None = None
        self.cpus = ""
        self.pids: int | None = None


def limits(paths: Mapping[str, str]) -> Limits:
    """Those of the leaves `paths`: hierarchy -> directory. Raises OSError."""
    found = Limits()
    for directory in _upwards(paths, "memory"):
        memory = _limit(directory, "memory.max", "memory.limit_in_bytes")
        found.memory = _least(found.memory, memory)
        found.memory_and_swap = _least(found.memory_and_swap, _limit(directory, "memory.memsw.limit_in_bytes"))
        swap = _limit(directory, "memory.swap.max")
        if swap is not None and memory is not None:
            found.memory_and_swap = _least(found.memory_and_swap, memory + swap)
    for directory in _upwards(paths, "cpu"):
        found.cpu = _least(found.cpu, _cpu(directory))
    for directory in _upwards(paths, "pids"):
        found.pids = _least(found.pids, _limit(directory, "pids.max"))
    for directory in _upwards(paths, "cpuset"):
        found.cpus = found.cpus or _read(directory, "cpuset.cpus.effective") or _read(directory, "cpuset.effective_cpus") or ""
    return found


def open_levels(paths: Mapping[str, str]) -> list[dict[bytes, int]]:
    """The same cgroups as open directories, leaf first: {b"memory": fd, ...}, b"" for version 2. The caller closes them.

    Only the hierarchies that /proc has something of.
    """
    levels: list[dict[bytes, int]] = []
    for name in _FOR_PROC:
        if name not in paths:
            continue
        for i, directory in enumerate(_upwards(paths, name)):
            if i == len(levels):
                levels.append({})
            levels[i][name.encode()] = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    return levels


def _upwards(paths: Mapping[str, str], controller: str) -> list[str]:
    """A leaf and what is above it; a mount point has a cgroup.procs, its parent has none."""
    directory = paths.get(controller) or paths.get(UNIFIED)
    found = []
    while directory and os.path.exists(f"{directory}/cgroup.procs"):
        found.append(directory)
        directory = os.path.dirname(directory)
    return found


def _read(directory: str, file: str) -> str | None:
    try:
        return get(f"{directory}/{file}")
    except OSError as e:
        if e.errno in (ENOENT, ENODEV, EOPNOTSUPP):  # not this version, not this controller, or gone
            return None
        raise


def _limit(directory: str, *files: str) -> int | None:
    for file in files:
        text = _read(directory, file)
        if text is not None:
            return None if text in ("max", "-1") or int(text) >= _NO_LIMIT else int(text)
    return None


def _cpu(directory: str) -> float | None:
    text = _read(directory, "cpu.max")
    if text is None:
        quota, period = _read(directory, "cpu.cfs_quota_us"), _read(directory, "cpu.cfs_period_us")
    else:
        quota, period = text.split()
    return int(quota) / int(period) if quota not in (None, "max", "-1") and period else None


def _least(one: _Number | None, other: _Number | None) -> _Number | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)
