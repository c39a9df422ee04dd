"""What a container uses, from the files of its cgroups, under the names in which `runc events` prints it.

cgroup-v1/, cgroup-v2.rst. A controller that the container has no cgroup of leaves its section empty or zero, as with runc;
so does a file that this kernel has not. Numbers that are zero are left out where runc leaves them out.
"""

from __future__ import annotations

import os

from runsc_cli.cgroups.write import get

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

_TICK = 10_000_000
"""Nanoseconds of a clock tick as the kernel tells them to programs: USER_HZ is 100."""

_NO_LIMIT = (1 << 64) - 1

_BLKIO = (
    ("ioServiceBytesRecursive", "io_service_bytes_recursive"),
    ("ioServicedRecursive", "io_serviced_recursive"),
    ("ioQueueRecursive", "io_queued_recursive"),
    ("ioServiceTimeRecursive", "io_service_time_recursive"),
    ("ioWaitTimeRecursive", "io_wait_time_recursive"),
    ("ioMergedRecursive", "io_merged_recursive"),
    ("ioTimeRecursive", "time_recursive"),
    ("sectorsRecursive", "sectors_recursive"),
)
_CPUSET = (
    ("cpu_exclusive", "cpu_exclusive"),
    ("mem_hardwall", "mem_hardwall"),
    ("mem_exclusive", "mem_exclusive"),
    ("memory_migrate", "memory_migrate"),
    ("memory_spread_page", "memory_spread_page"),
    ("memory_spread_slab", "memory_spread_slab"),
    ("memory_pressure", "memory_pressure"),
    ("sched_load_balance", "sched_load_balance"),
    ("sched_relax_domain_level", "sched_relax_domain_level"),
)


class _Cgroups:
    """The files of all a container's cgroups, by name: which hierarchy has one does not matter, since names say it."""

    __slots__ = ("_directories",)

    def __init__(self, directories: Iterable[str]) -> None:
        self._directories = list(dict.fromkeys(directories))

    def text(self, file: str) -> str:
        """A file's contents; empty when there is none."""
        for directory in self._directories:
            try:
                return get(f"{directory}/{file}")
            except OSError:
                continue
        return ""

    def has(self, file: str) -> bool:
        return any(os.path.exists(f"{directory}/{file}") for directory in self._directories)

    def number(self, file: str) -> int:
        """0 when there is none; version 2's "max" is the largest number, as in runc."""
        text = self.text(file)
        if text == "max":
            return _NO_LIMIT
        return int(text) if text.removeprefix("-").isdigit() else 0

    def table(self, file: str) -> dict[str, int]:
        """Lines of a name and a number."""
        rows = (line.split() for line in self.text(file).splitlines())
        return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}

    def names(self) -> set[str]:
        return {name for directory in self._directories if os.path.isdir(directory) for name in os.listdir(directory)}


def stats(directories: Iterable[str]) -> dict[str, Any]:
    """`data` of an event of type "stats"."""
    cgroups = _Cgroups(directories)
    old = cgroups.has("memory.usage_in_bytes") or cgroups.has("cpuacct.usage")
    return {
        "cpu": _cpu_v1(cgroups) if old else _cpu_v2(cgroups),
        "cpuset": _cpuset(cgroups),
        "memory": _memory_v1(cgroups) if old else _memory_v2(cgroups),
        "pids": _without_zeros({"current": cgroups.number("pids.current"), "limit": _pids_limit(cgroups)}),
        "blkio": _blkio_v1(cgroups) if old else _blkio_v2(cgroups),
        "hugetlb": _hugetlb(cgroups),
        "intel_rdt": {},
        "network_interfaces": None,
    }


def _without_zeros(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}


def _cpu_v1(cgroups: _Cgroups) -> dict[str, Any]:
    ticks = cgroups.table("cpuacct.stat")
    each = [list(map(int, line.split()[1:3])) for line in cgroups.text("cpuacct.usage_all").splitlines()[1:]]
    usage = {
        "total": cgroups.number("cpuacct.usage"),
        "percpu": [int(word) for word in cgroups.text("cpuacct.usage_percpu").split()],
        "percpu_kernel": [row[1] for row in each],
        "percpu_user": [row[0] for row in each],
    }
    usage = _without_zeros(usage) | {"kernel": ticks.get("system", 0) * _TICK, "user": ticks.get("user", 0) * _TICK}
    stat = cgroups.table("cpu.stat")
    return {"usage": usage, "throttling": _throttling(stat, stat.get("throttled_time", 0))}


def _cpu_v2(cgroups: _Cgroups) -> dict[str, Any]:
    stat = cgroups.table("cpu.stat")
    usage = _without_zeros({"total": stat.get("usage_usec", 0) * 1000})
    usage |= {"kernel": stat.get("system_usec", 0) * 1000, "user": stat.get("user_usec", 0) * 1000}
    return {"usage": usage, "throttling": _throttling(stat, stat.get("throttled_usec", 0) * 1000)}


def _throttling(stat: dict[str, int], nanoseconds: int) -> dict[str, int]:
    periods, throttled = stat.get("nr_periods", 0), stat.get("nr_throttled", 0)
    return _without_zeros({"periods": periods, "throttledPeriods": throttled, "throttledTime": nanoseconds})


def _cpuset(cgroups: _Cgroups) -> dict[str, Any]:
    found: dict[str, Any] = {name: cgroups.number(f"cpuset.{file}") for name, file in _CPUSET}
    cpus, mems = _list(cgroups.text("cpuset.cpus")), _list(cgroups.text("cpuset.mems"))
    flags = list(found.items())
    ordered = [*(("cpus", cpus),) * bool(cpus), flags[0], *(("mems", mems),) * bool(mems), *flags[1:]]
    return dict(ordered)


def _list(text: str) -> list[int]:
    """cpuset(7), list format: 0-2,5."""
    numbers: list[int] = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        numbers += range(int(first), int(last or first) + 1)
    return numbers


def _memory_v1(cgroups: _Cgroups) -> dict[str, Any]:
    raw = cgroups.table("memory.stat")
    sections = (("usage", "memory."), ("swap", "memory.memsw."), ("kernel", "memory.kmem."), ("kernelTCP", "memory.kmem.tcp."))
    found: dict[str, Any] = _without_zeros({"cache": raw.get("cache", 0)})
    for name, prefix in sections:
        found[name] = _usage(
            cgroups.number(f"{prefix}limit_in_bytes"),
            cgroups.number(f"{prefix}usage_in_bytes"),
            cgroups.number(f"{prefix}max_usage_in_bytes"),
            cgroups.number(f"{prefix}failcnt"),
        )
    return found | _without_zeros({"raw": raw})


def _memory_v2(cgroups: _Cgroups) -> dict[str, Any]:
    raw = cgroups.table("memory.stat")
    memory, swap = cgroups.number("memory.current"), cgroups.number("memory.swap.current")
    limit, swap_limit = cgroups.number("memory.max"), cgroups.number("memory.swap.max")
    # version 1 and runc count both together
    both = _NO_LIMIT if _NO_LIMIT in (limit, swap_limit) else limit + swap_limit
    found: dict[str, Any] = _without_zeros({"cache": raw.get("file", 0)})
    found["usage"] = _usage(limit, memory, cgroups.number("memory.peak"), 0)
    found["swap"] = _usage(both, memory + swap, cgroups.number("memory.swap.peak"), 0)
    found["kernel"] = found["kernelTCP"] = _usage(0, 0, 0, 0)
    return found | _without_zeros({"raw": raw})


def _usage(limit: int, usage: int, most: int, failed: int) -> dict[str, int]:
    return {"limit": limit, **_without_zeros({"usage": usage, "max": most}), "failcnt": failed}


def _pids_limit(cgroups: _Cgroups) -> int:
    return 0 if cgroups.text("pids.max") == "max" else cgroups.number("pids.max")


def _blkio_v1(cgroups: _Cgroups) -> dict[str, Any]:
    found = {}
    for name, file in _BLKIO:
        for prefix in ("blkio.bfq.", "blkio.", "blkio.throttle."):
            rows = [_entry(line) for line in cgroups.text(prefix + file).splitlines()]
            entries = [row for row in rows if row is not None]
            if entries:
                found[name] = entries
                break
    return found


def _entry(line: str) -> dict[str, Any] | None:
    """8:0 Read 4096, or 8:0 4096; the line with the total is none."""
    node, *rest = line.split()
    major, colon, minor = node.partition(":")
    if not colon or not rest:
        return None
    return _without_zeros({"major": int(major), "minor": int(minor), "op": rest[0] if len(rest) == 2 else "", "value": int(rest[-1])})


def _blkio_v2(cgroups: _Cgroups) -> dict[str, Any]:
    found: dict[str, list[dict[str, Any]]] = {}
    operations = {"rbytes": ("Read", 0), "wbytes": ("Write", 0), "rios": ("Read", 1), "wios": ("Write", 1)}
    for line in cgroups.text("io.stat").splitlines():
        node, *pairs = line.split()
        major, _, minor = node.partition(":")
        for pair in pairs:
            key, _, value = pair.partition("=")
            if key in operations and minor.isdigit():
                operation, which = operations[key]
                entry = _without_zeros({"major": int(major), "minor": int(minor), "op": operation, "value": int(value)})
                found.setdefault(_BLKIO[which][0], []).append(entry)
    return found


def _hugetlb(cgroups: _Cgroups) -> dict[str, Any]:
    found = {}
    for name in sorted(cgroups.names()):
        if not name.startswith("hugetlb."):
            continue
        page, _, file = name.removeprefix("hugetlb.").partition(".")
        if file == "usage_in_bytes":
            usage, most = cgroups.number(name), cgroups.number(f"hugetlb.{page}.max_usage_in_bytes")
            found[page] = _without_zeros({"usage": usage, "max": most}) | {"failcnt": cgroups.number(f"hugetlb.{page}.failcnt")}
        elif file == "current":
            found[page] = _without_zeros({"usage": cgroups.number(name)}) | {"failcnt": cgroups.table(f"hugetlb.{page}.events").get("max", 0)}
    return found
