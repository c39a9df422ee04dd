"""What a container may know of its machine: its own limits, usage, age and processes.

The generated files of /proc and /sys are computed from this and nothing else. It has three sources, each a
function from a name to the text of a file, raising OSError: the container's procfs (b"1/status"), the sentry's
procfs (b"meminfo", the host's values, which only cap or complete the container's), and the container's
cgroup (b"memory.max"). The cgroup comes as a list, leaf first, since engines put a limit on the leaf and pods or
users on a parent. cgroups(7): v2 names first, v1 names where they are missing, processes where both are.
"""

from __future__ import annotations

import time
from errno import ENOENT, ESRCH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    Reader = Callable[[bytes], bytes]

USER_HZ = 100  # on every architecture that Linux still has
PAGE = 4096
_TICK = 1_000_000_000 // USER_HZ

# v1 says "no limit" with PAGE_COUNTER_MAX in bytes.
_NO_LIMIT = 1 << 60

# memory.stat's v2 names, and what v1 calls the same
_V1_STAT = {
    b"anon": b"total_rss",
    b"file": b"total_cache",
    b"file_mapped": b"total_mapped_file",
    b"shmem": b"total_shmem",
    b"file_dirty": b"total_dirty",
    b"file_writeback": b"total_writeback",
    b"inactive_anon": b"total_inactive_anon",
    b"active_anon": b"total_active_anon",
    b"inactive_file": b"total_inactive_file",
    b"active_file": b"total_active_file",
    b"unevictable": b"total_unevictable",
    b"pgfault": b"total_pgfault",
    b"pgmajfault": b"total_pgmajfault",
}


class Memory:
    """Bytes. `stat` has memory.stat's names of cgroup v2, without those that the kernel does not count."""

    __slots__ = ("free", "stat", "swap_free", "swap_total", "total")

    def __init__(self, total: int, free: int, swap_total: int, swap_free: int, stat: dict[bytes, int]) -> None:
        self.total = total
        self.free = free
        self.swap_total = swap_total
        self.swap_free = swap_free
        self.stat = stat


class ProcView:
    """See the module. Nothing is read before somebody asks for it."""

    __slots__ = (
        "_blocks",
        "_busy",
        "boot_id",
        "cgroup",
        "cgroup_roots",
        "clock",
        "host",
        "pids",
        "proc",
        "release",
        "start",
        "start_realtime",
        "version",
    )

    def __init__(
        self,
        *,
        proc: Reader,
        host: Reader,
        cgroup: Sequence[Reader],
        pids: Callable[[], Iterable[int]],
        start: float,
        start_realtime: float,
        release: bytes,
        version: bytes,
        boot_id: bytes,
        cgroup_roots: dict[bytes, bytes] | None = None,
        clock: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
    ) -> None:
        """`start` is the container's birth on `clock`, `start_realtime` the same moment in seconds since 1970.

        `release` and `version` are uname(2)'s, `boot_id` a UUID of the container's own; `cgroup_roots` maps a
        hierarchy's number in /proc/PID/cgroup to the path that the container is to see as "/".
        """
        self.proc = proc
        self.host = host
        self.cgroup = cgroup
        self.pids = pids
        self.start = start
        self.start_realtime = start_realtime
        self.release = release
        self.version = version
        self.boot_id = boot_id
        self.cgroup_roots = cgroup_roots or {}
        self.clock = clock
        self._blocks: dict[int, bytes] | None = None
        self._busy = (0, 0)

    def uptime(self) -> float:
        return max(0.0, self.clock() - self.start)

    def cpuinfo(self) -> dict[int, bytes]:
        """The host's /proc/cpuinfo by processor number. Read once: it costs an interrupt on every CPU."""
        if self._blocks is None:
            blocks = {}
            for block in self.host(b"cpuinfo").split(b"\n\n"):
                key, _, value = block.partition(b"\n")[0].partition(b":")
                if key.strip() == b"processor":
                    blocks[int(value)] = block
            self._blocks = blocks
        return self._blocks

    def cpus(self) -> list[int]:
        """The CPUs that the container may use, under the host's numbers (as sched_getaffinity(2) has them).

        A CFS quota of n CPUs shows the first n, rounded up, as lxcfs and gVisor do: programs size their thread
        pools by this.
        """
        text = self._first((b"cpuset.cpus.effective", b"cpuset.effective_cpus", b"cpuset.cpus"))
        cpus = parse_cpulist(text) if text.strip() else sorted(self.cpuinfo())
        for level in self.cgroup:
            quota = _cpu_quota(level)
            if quota is not None:
                del cpus[max(1, quota) :]
        return cpus or [0]

    def cpu_time(self) -> tuple[int, int]:
        """CPU time used in (user, system) ticks of USER_HZ."""
        text = self._first((b"cpu.stat",))
        if b"user_usec" in text:
            stat = parse_pairs(text)
            return stat[b"user_usec"] * 1000 // _TICK, stat[b"system_usec"] * 1000 // _TICK
        text = self._first((b"cpuacct.stat",))
        if text:
            stat = parse_pairs(text)
            return stat[b"user"], stat[b"system"]
        return self._cpu_time_of_processes()

    def _cpu_time_of_processes(self) -> tuple[int, int]:
        """Without a cgroup: what the processes and their reaped children used. Never less than last time."""
        user = system = 0
        for pid in self.pids():
            fields = self._stat_of(pid)
            if len(fields) > 14:
                user += int(fields[11]) + int(fields[13])
                system += int(fields[12]) + int(fields[14])
        self._busy = max(user, self._busy[0]), max(system, self._busy[1])
        return self._busy

    def threads(self) -> int:
        text = self._first((b"pids.current",))
        if text:
            return int(text)
        return sum(int(f[17]) for f in map(self._stat_of, self.pids()) if len(f) > 17)

    def _stat_of(self, pid: int) -> list[bytes]:
        """The fields of /proc/PID/stat after the command's name, from "state" on; none when it is gone."""
        try:
            return self.proc(b"%d/stat" % pid).rpartition(b")")[2].split()
        except OSError as e:
            if e.errno not in (ENOENT, ESRCH):
                raise
            return []

    def memory(self) -> Memory:
        """The tightest limit on the way up is the size; the tightest room left is what is free."""
        host = parse_pairs(self.host(b"meminfo").replace(b":", b""))
        total = host[b"MemTotal"] * 1024
        swap_total = swap_free = host[b"SwapTotal"] * 1024
        free = total - self._usage()
        for level in self.cgroup:
            limit = _number(level, b"memory.max", b"memory.limit_in_bytes")
            usage = _number(level, b"memory.current", b"memory.usage_in_bytes")
            if limit is None or limit >= _NO_LIMIT or usage is None:
                continue
            total = min(total, limit)
            free = min(free, limit - usage)
            swap, swap_usage = _swap(level, limit, usage)
            if swap is not None:
                swap_total = min(swap_total, swap)
                swap_free = min(swap_free, swap - swap_usage)
        return Memory(total, max(0, min(free, total)), swap_total, max(0, swap_free), self._memory_stat())

    def _usage(self) -> int:
        for level in self.cgroup[:1]:
            usage = _number(level, b"memory.current", b"memory.usage_in_bytes")
            if usage is not None:
                return usage
        # Shared pages count once for each process: too much rather than too little.
        return sum(int(f[21]) * PAGE for f in map(self._stat_of, self.pids()) if len(f) > 21)

    def _memory_stat(self) -> dict[bytes, int]:
        stat = parse_pairs(self._first((b"memory.stat",)))
        if b"total_rss" in stat:
            return {name: stat[old] for name, old in _V1_STAT.items() if old in stat}
        return stat or {b"anon": self._usage()}

    def pressure(self, name: bytes) -> bytes:
        """The container's own pressure stall information (cgroup v2), b"" where there is none."""
        return self._first((name + b".pressure",))

    def _first(self, names: Iterable[bytes]) -> bytes:
        """The first of these files that the leaf cgroup has; b"" when it has none."""
        for level in self.cgroup[:1]:
            for name in names:
                text = _optional(level, name)
                if text:
                    return text
        return b""


def _optional(read: Reader, name: bytes) -> bytes:
    try:
        return read(name)
    except OSError as e:
        if e.errno != ENOENT:
            raise
        return b""


def _number(level: Reader, *names: bytes) -> int | None:
    """A cgroup file with one number; None when it is missing, empty or "max"."""
    for name in names:
        text = _optional(level, name).strip()
        if text and text != b"max":
            return int(text)
        if text:
            return None
    return None


def _swap(level: Reader, limit: int, usage: int) -> tuple[int | None, int]:
    """(swap limit, swap used): v2 counts swap alone, v1 memory and swap together."""
    swap = _number(level, b"memory.swap.max")
    if swap is not None:
        return swap, _number(level, b"memory.swap.current") or 0
    both = _number(level, b"memory.memsw.limit_in_bytes")
    if both is None or both >= _NO_LIMIT:
        return None, 0
    used = _number(level, b"memory.memsw.usage_in_bytes") or usage
    return max(0, both - limit), max(0, used - usage)


def _cpu_quota(level: Reader) -> int | None:
    """Whole CPUs, rounded up, that the CFS quota of this level allows."""
    fields = _optional(level, b"cpu.max").split()
    if not fields:
        fields = _optional(level, b"cpu.cfs_quota_us").split() + _optional(level, b"cpu.cfs_period_us").split()
    if len(fields) != 2 or fields[0] in (b"max", b"-1") or int(fields[1]) <= 0:
        return None
    return -(-int(fields[0]) // int(fields[1]))


def parse_pairs(text: bytes) -> dict[bytes, int]:
    """Lines of a name and a number, as memory.stat, cpu.stat and (without colons) meminfo have them."""
    pairs = {}
    for line in text.splitlines():
        fields = line.split()
        if len(fields) >= 2 and fields[1].isdigit():
            pairs[fields[0]] = int(fields[1])
    return pairs


def parse_cpulist(text: bytes) -> list[int]:
    """cpuset(7) list format: b"0-2,7\\n" is [0, 1, 2, 7]."""
    cpus: list[int] = []
    for part in text.strip().split(b","):
        first, dash, last = part.partition(b"-")
        cpus.extend(range(int(first), int(last if dash else first) + 1))
    return cpus


def cpulist(cpus: Iterable[int]) -> bytes:
    """The reverse of `parse_cpulist`, without a newline."""
    ranges: list[list[int]] = []
    for cpu in sorted(cpus):
        if ranges and ranges[-1][1] == cpu - 1:
            ranges[-1][1] = cpu
        else:
            ranges.append([cpu, cpu])
    return b",".join(b"%d" % a if a == b else b"%d-%d" % (a, b) for a, b in ranges)


def cpumask(cpus: Iterable[int]) -> bytes:
    """cpuset(7) mask format: 32-bit words in hexadecimal, the highest first; without a newline."""
    mask = sum(1 << cpu for cpu in cpus)
    words: list[bytes] = []
    while mask or not words:
        words.append(b"%08x" % (mask & 0xFFFFFFFF))
        mask >>= 32
    return b",".join(reversed(words))
