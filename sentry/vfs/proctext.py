"""The text of the generated /proc files, computed from a ProcView.

Formats: proc(5) and its sub-pages; the kernel's own show functions are named where a column's width
matters to a parser. What the container cannot know, or must not, is zero.
"""

from __future__ import annotations

from errno import EOPNOTSUPP

from sentry.vfs import mountinfo, sysctl
from sentry.vfs.procview import PAGE, USER_HZ

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sentry.vfs.procview import ProcView


# ---- the machine ----


def meminfo(view: ProcView) -> bytes:
    """fs/proc/meminfo.c. Page cache counts as available, as in lxcfs: the cgroup reclaims it before it kills."""
    memory = view.memory()
    stat = memory.stat.get
    cache = stat(b"file", 0)
    reclaimable = stat(b"slab_reclaimable", 0)
    unreclaimable = stat(b"slab_unreclaimable", 0)
    available = memory.free + stat(b"inactive_file", 0) + stat(b"active_file", 0) + reclaimable
    rows = {
        b"MemTotal": memory.total,
        b"MemFree": memory.free,
        b"MemAvailable": min(available, memory.total),
        b"Buffers": 0,
        b"Cached": cache,
        b"SwapCached": stat(b"swapcached", 0),
        b"Active": stat(b"active_anon", 0) + stat(b"active_file", 0),
        b"Inactive": stat(b"inactive_anon", 0) + stat(b"inactive_file", 0),
        b"Active(anon)": stat(b"active_anon", 0),
        b"Inactive(anon)": stat(b"inactive_anon", 0),
        b"Active(file)": stat(b"active_file", 0),
        b"Inactive(file)": stat(b"inactive_file", 0),
        b"Unevictable": stat(b"unevictable", 0),
        b"Mlocked": 0,
        b"SwapTotal": memory.swap_total,
        b"SwapFree": min(memory.swap_free, memory.swap_total),
        b"Zswap": 0,
        b"Zswapped": 0,
        b"Dirty": stat(b"file_dirty", 0),
        b"Writeback": stat(b"file_writeback", 0),
        b"AnonPages": stat(b"anon", 0),
        b"Mapped": stat(b"file_mapped", 0),
        b"Shmem": stat(b"shmem", 0),
        b"KReclaimable": reclaimable,
        b"Slab": reclaimable + unreclaimable,
        b"SReclaimable": reclaimable,
        b"SUnreclaim": unreclaimable,
        b"KernelStack": stat(b"kernel_stack", 0),
        b"PageTables": stat(b"pagetables", 0),
        b"SecPageTables": 0,
        b"NFS_Unstable": 0,
        b"Bounce": 0,
        b"WritebackTmp": 0,
        b"CommitLimit": memory.total // 2 + memory.swap_total,
        b"Committed_AS": stat(b"anon", 0) + stat(b"shmem", 0),
        b"VmallocTotal": (1 << 45) - 1024,  # x86_64 with four-level page tables
        b"VmallocUsed": 0,
        b"VmallocChunk": 0,
        b"Percpu": stat(b"percpu", 0),
        b"AnonHugePages": stat(b"anon_thp", 0),
        b"ShmemHugePages": stat(b"shmem_thp", 0),
        b"ShmemPmdMapped": 0,
        b"FileHugePages": stat(b"file_thp", 0),
        b"FilePmdMapped": 0,
    }
    text = [b"%-16s%8d kB\n" % (name + b":", value // 1024) for name, value in rows.items()]
    text += [b"%-16s%8d\n" % (b"HugePages_" + name + b":", 0) for name in (b"Total", b"Free", b"Rsvd", b"Surp")]
    text += [b"Hugepagesize:       2048 kB\n", b"Hugetlb:               0 kB\n"]
    return b"".join(text)


# Of a cpuinfo block: the place of the CPU in a machine with one package and no hyper-threads (what sysfs.py
# shows too), no microcode level, no list of errata, and the TSC's frequency for the one of the moment, which
# would tell how busy the host is. Flags, model and cache size stay: programs choose their code by them, and
# CPUID tells them anyway.
_CPU_PLACE = (b"physical id", b"siblings", b"core id", b"cpu cores", b"apicid", b"initial apicid")


def cpuinfo(view: ProcView) -> bytes:
    """arch/x86/kernel/cpu/proc.c:show_cpuinfo()."""
    blocks = view.cpuinfo()
    cpus = view.cpus()
    text = []
    for index, cpu in enumerate(cpus):
        block = blocks.get(cpu) or next(iter(blocks.values()), b"")
        lines = [line.partition(b":")[::2] for line in block.splitlines()]
        values = {key.strip(): value.strip() for key, value in lines}
        values[b"processor"] = b"%d" % cpu
        place = (0, len(cpus), index, len(cpus), index, index)
        shown = dict(zip(_CPU_PLACE, (b"%d" % p for p in place), strict=True))
        shown |= {b"bugs": b"", b"microcode": b"0x0", b"cpu MHz": _nominal_mhz(values)}
        for key, _ in lines:
            name = key.strip()
            value = shown.get(name, values[name])
            text.append(key + b":" + (b" " + value if value else b"") + b"\n")
        text.append(b"\n")
    return b"".join(text)


def _nominal_mhz(values: dict[bytes, bytes]) -> bytes:
    """The TSC's frequency: bogomips counts two loops a cycle."""
    try:
        return b"%.3f" % (float(values[b"bogomips"]) / 2)
    except (KeyError, ValueError):
        return values.get(b"cpu MHz", b"")


def stat(view: ProcView) -> bytes:
    """fs/proc/stat.c. The container's CPU time, spread evenly over its CPUs; interrupts are not its own."""
    cpus = view.cpus()
    user, system = view.cpu_time()
    idle = max(0, int(view.uptime() * USER_HZ) * len(cpus) - user - system)
    n = len(cpus)
    row = b" %d 0 %d %d 0 0 0 0 0 0\n"
    text = [b"cpu " + row % (user, system, idle)]
    text += [b"cpu%d" % cpu + row % (user // n, system // n, idle // n) for cpu in cpus]
    text.append(
        b"intr 0\nctxt 0\nbtime %d\nprocesses %d\nprocs_running 1\nprocs_blocked 0\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n"
        % (view.start_realtime, max(view.pids(), default=1))
    )
    return b"".join(text)


def uptime(view: ProcView) -> bytes:
    up = view.uptime()
    idle = up * len(view.cpus()) - sum(view.cpu_time()) / USER_HZ
    return b"%.2f %.2f\n" % (up, max(0.0, idle))


def loadavg(view: ProcView) -> bytes:
    """The kernel averages over the machine only. One is running: the reader. The last pid is that of the container."""
    return b"0.00 0.00 0.00 1/%d %d\n" % (view.threads(), max(view.pids(), default=1))


def version(view: ProcView) -> bytes:
    return b"Linux version %s (root@localhost) (gcc) %s\n" % (view.release, view.version)


_VMSTAT_ZERO = b"""
nr_isolated_anon nr_isolated_file workingset_nodes workingset_refault_anon workingset_refault_file
workingset_activate_anon workingset_activate_file nr_vmscan_write nr_dirtied nr_written nr_swapcached pgpgin pgpgout
pswpin pswpout pgalloc_dma pgalloc_dma32 pgalloc_normal pgalloc_movable allocstall_normal allocstall_movable
pgfree pgactivate pgdeactivate pglazyfree pgrefill pgsteal_kswapd pgsteal_direct pgscan_kswapd pgscan_direct
pgscan_direct_throttle slabs_scanned kswapd_inodesteal pageoutrun pgrotated drop_pagecache drop_slab oom_kill
pgmigrate_success pgmigrate_fail compact_stall compact_fail compact_success thp_fault_alloc thp_collapse_alloc
""".split()


def vmstat(view: ProcView) -> bytes:
    """mm/vmstat.c. Page counts of the container; the machine's page traffic is zero."""
    memory = view.memory()
    stat = memory.stat.get
    pages = {
        b"nr_free_pages": memory.free,
        b"nr_inactive_anon": stat(b"inactive_anon", 0),
        b"nr_active_anon": stat(b"active_anon", 0),
        b"nr_inactive_file": stat(b"inactive_file", 0),
        b"nr_active_file": stat(b"active_file", 0),
        b"nr_unevictable": stat(b"unevictable", 0),
        b"nr_slab_reclaimable": stat(b"slab_reclaimable", 0),
        b"nr_slab_unreclaimable": stat(b"slab_unreclaimable", 0),
        b"nr_anon_pages": stat(b"anon", 0),
        b"nr_mapped": stat(b"file_mapped", 0),
        b"nr_file_pages": stat(b"file", 0),
        b"nr_dirty": stat(b"file_dirty", 0),
        b"nr_writeback": stat(b"file_writeback", 0),
        b"nr_shmem": stat(b"shmem", 0),
    }
    text = [b"%s %d\n" % (name, size // PAGE) for name, size in pages.items()]
    text += [b"%s %d\n" % (name, stat(name, 0)) for name in (b"pgfault", b"pgmajfault")]
    text += [b"%s 0\n" % name for name in _VMSTAT_ZERO]
    return b"".join(text)


def interrupts(view: ProcView) -> bytes:
    return b" " * 11 + b"".join(b"CPU%-8d" % cpu for cpu in view.cpus()) + b"\n"


def softirqs(view: ProcView) -> bytes:
    cpus = view.cpus()
    names = b"HI TIMER NET_TX NET_RX BLOCK IRQ_POLL TASKLET SCHED HRTIMER RCU".split()
    text = [b" " * 20 + b"".join(b"CPU%-8d" % cpu for cpu in cpus) + b"\n"]
    text += [b"%12s:" % name + b" %10u" % 0 * len(cpus) + b"\n" for name in names]
    return b"".join(text)


def cgroups(view: ProcView) -> bytes:
    """The host's controllers and hierarchies: a JVM tells cgroup v1 from v2 by them. Not its number of groups."""
    header, *lines = view.host(b"cgroups").splitlines()
    text = [header]
    for line in lines:
        name, hierarchy, _groups, enabled = line.split()
        text.append(b"\t".join((name, hierarchy, b"1", enabled)))
    return b"\n".join(text) + b"\n"


def locks(view: ProcView) -> bytes:
    """The kernel shows the locks of the procfs' pid namespace, and everyone's OFD locks (pid -1): not those."""
    text = []
    for line in view.proc(b"locks").splitlines(keepends=True):
        fields = line.split()
        if b"-1" not in fields[3:7]:
            text.append(line)
    return b"".join(text)


def _pressure(name: bytes) -> Callable[[ProcView], bytes]:
    def pressure(view: ProcView) -> bytes:
        text = view.pressure(name)
        if not text:
            # kernel/sched/psi.c:psi_show(), with accounting off
            raise OSError(EOPNOTSUPP, "no pressure accounting for this container")
        return text

    return pressure


_FILESYSTEMS = (
    b"".join(
        b"nodev\t%s\n" % name
        for name in b"sysfs tmpfs proc cgroup cgroup2 devtmpfs sockfs pipefs ramfs devpts fuse overlay mqueue".split()
    )
    + b"\text3\n\text2\n\text4\n"
)

_TTY_DRIVERS = b"""\
/dev/tty             /dev/tty        5       0 system:/dev/tty
/dev/console         /dev/console    5       1 system:console
/dev/ptmx            /dev/ptmx       5       2 system
pty_slave            /dev/pts      136 0-1048575 pty:slave
pty_master           /dev/ptm      128 0-1048575 pty:master
"""

ROOT: dict[bytes, bytes | Callable[[ProcView], bytes]] = {
    b"cgroups": cgroups,
    b"cmdline": b"BOOT_IMAGE=/vmlinuz quiet\n",
    b"consoles": b"",
    b"cpuinfo": cpuinfo,
    b"crypto": b"",
    b"devices": b"Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n 10 misc\n"
    b"128 ptm\n136 pts\n\nBlock devices:\n",
    b"diskstats": b"",
    b"filesystems": _FILESYSTEMS,
    b"interrupts": interrupts,
    b"loadavg": loadavg,
    b"locks": locks,
    b"meminfo": meminfo,
    b"misc": b"",
    b"modules": b"",
    b"partitions": b"major minor  #blocks  name\n\n",
    b"pressure/cpu": _pressure(b"cpu"),
    b"pressure/io": _pressure(b"io"),
    b"pressure/memory": _pressure(b"memory"),
    b"softirqs": softirqs,
    b"stat": stat,
    b"swaps": b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n",
    b"tty/drivers": _TTY_DRIVERS,
    b"uptime": uptime,
    b"version": version,
    b"vmstat": vmstat,
}


# ---- a process ----


def cgroup(view: ProcView, pid: int) -> bytes:
    """cgroups(7), /proc/PID/cgroup: paths start at the container's own group, as in a cgroup namespace."""
    text = []
    for line in view.proc(b"%d/cgroup" % pid).splitlines():
        hierarchy, controllers, path = line.split(b":", 2)
        root = view.cgroup_roots.get(hierarchy, path).rstrip(b"/")
        inside = path[len(root) :] if path.startswith(root + b"/") else b""
        text.append(b"%s:%s:%s\n" % (hierarchy, controllers, inside or b"/"))
    return b"".join(text)


def sched(view: ProcView, pid: int) -> bytes:
    """kernel/sched/debug.c:proc_sched_show_task(), without the moments on the host's clock."""
    moments = (
        b"exec_start",
        b"last_update_time",
        b"wait_start",
        b"sleep_start",
        b"block_start",
        b"clock-delta",
    )
    lines = view.proc(b"%d/sched" % pid).splitlines(keepends=True)
    return b"".join(line for line in lines if not line.partition(b":")[0].rstrip().endswith(moments))


def _mounts(one: Callable[[mountinfo.Mount], bytes]) -> Callable[[ProcView, int], bytes]:
    def mounts(view: ProcView, pid: int) -> bytes:
        return b"".join(map(one, mountinfo.parse(view.proc(b"%d/mountinfo" % pid))))

    return mounts


TASK: dict[bytes, bytes | Callable[[ProcView, int], bytes]] = {
    b"cgroup": cgroup,
    b"cpuset": b"/\n",
    b"loginuid": b"4294967295",
    b"mountinfo": _mounts(mountinfo.Mount.mountinfo),
    b"mounts": _mounts(mountinfo.Mount.mounts),
    b"mountstats": _mounts(mountinfo.Mount.mountstats),
    b"sched": sched,
    b"sessionid": b"4294967295",
    # The kernel's text would be the host's uptime at the container's start.
    b"timens_offsets": b"monotonic           0         0\nboottime            0         0\n",
}


def generate(name: bytes, view: ProcView, pid: int | None = None) -> bytes:
    """The text of the generated file `name` of /proc (b"meminfo", b"sys/fs/file-nr"), or of /proc/`pid`.

    Raises OSError: ENOENT or ESRCH when the process is gone, EOPNOTSUPP for pressure that nobody counts.
    """
    if pid is not None:
        of_task = TASK[name]
        return of_task if isinstance(of_task, bytes) else of_task(view, pid)
    if name.startswith(b"sys/"):
        return sysctl.generate(name[4:], view)
    source = ROOT[name]
    return source if isinstance(source, bytes) else source(view)
