"""Names of /proc are classified, texts are the container's, and nothing of the host is in either."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from errno import EACCES, EOPNOTSUPP, EPERM, ESRCH
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sentry.vfs import mountinfo, proctext, sysctl
from sentry.vfs.fuse import Connection
from sentry.vfs.procfs import (
    NATIVE,
    Deny,
    Native,
    Synth,
    Tree,
    classify,
    generate,
    reopen,
)
from sentry.vfs.procread import MAX_SIZE, cgroup_levels, cgroup_reader, directory_reader, pid_lister
from sentry.vfs.procview import ProcView, cpulist, cpumask, parse_cpulist
from sentry.vfs.serve import MOUNT_OPTIONS, Server

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from conftest import Container

    Inside = Callable[[Callable[[Container], Any]], Any]

MIB = 1 << 20

HOST = {
    b"meminfo": b"MemTotal:       8192000 kB\nMemFree:  1 kB\nSwapTotal:  1024000 kB\nSwapFree:  77 kB\n",
    b"cpuinfo": b"".join(
        b"processor\t: %d\nmodel name\t: Some CPU\nmicrocode\t: 0xbeef\ncpu MHz\t\t: 3141.592\nphysical id\t: 3\n"
        b"siblings\t: 8\ncore id\t\t: 5\ncpu cores\t: 4\napicid\t\t: 77\nflags\t\t: fpu sse2\nbugs\t\t: spectre_v1\n"
        b"bogomips\t: 5000.00\npower management:\n\n" % cpu
        for cpu in range(4)
    ),
    b"cgroups": b"#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t1\t93\t1\nmemory\t4\t94\t1\n",
}


def reader(files: Mapping[bytes, bytes]) -> Callable[[bytes], bytes]:
    def read(name: bytes) -> bytes:
        try:
            return files[name]
        except KeyError:
            raise FileNotFoundError(2, "no such file", name) from None

    return read


def proc_stat(pid: int, threads: int = 1, user: int = 0, system: int = 0, rss: int = 0) -> bytes:
    fields = [b"0"] * 50
    fields[11], fields[12], fields[17], fields[21] = (b"%d" % n for n in (user, system, threads, rss))
    fields[0] = b"S"
    return b"%d (a ) name) " % pid + b" ".join(fields) + b"\n"


PROC = {b"1/stat": proc_stat(1, 2, 100, 50, 256), b"7/stat": proc_stat(7, 1, 20, 5, 256)}


def fake(*cgroup: Mapping[bytes, bytes], proc: Mapping[bytes, bytes] = PROC, up: float = 100.0, **kwargs: Any) -> ProcView:
    return ProcView(
        proc=reader(proc),
        host=reader(HOST),
        cgroup=[reader(level) for level in cgroup],
        pids=lambda: [1, 7],
        start=5000.0,
        start_realtime=1_700_000_000.0,
        release=b"6.1.0",
        version=b"#1 SMP",
        boot_id=b"11111111-2222-3333-4444-555555555555",
        clock=lambda: 5000.0 + up,
        **kwargs,
    )


def meminfo(view: ProcView) -> dict[str, int]:
    return {k: int(v) for k, v in re.findall(r"^(\S+): +(\d+)", generate(b"meminfo", view).decode(), re.MULTILINE)}


# ---- names ----


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"/proc", "NATIVE"),
        (b"/proc/self", "NATIVE"),
        (b"/proc/mounts", "NATIVE"),
        (b"/proc/1", "NATIVE"),
        (b"/proc/1/status", "NATIVE"),
        (b"/proc/1/fd/3", "NATIVE"),
        (b"/proc/1/attr", "NATIVE"),
        (b"/proc/1/attr/current", "DENY(13)"),
        (b"/proc/1/stack", "DENY(13)"),
        (b"/proc/1/unheard_of", "DENY(13)"),
        (b"/proc/1/task", "NATIVE"),
        (b"/proc/1/task/4", "NATIVE"),
        (b"/proc/1/task/4/comm", "NATIVE"),
        (b"/proc/1/task/4/children", "NATIVE"),
        (b"/proc/1/task/4/task", "DENY(13)"),
        (b"/proc/1/task/x/comm", "DENY(13)"),
        (b"/proc/1/task/4/mountinfo", "SYNTH(b'proc/4/mountinfo')"),
        (b"/proc/12/mountinfo", "SYNTH(b'proc/12/mountinfo')"),
        (b"/proc/12/cgroup", "SYNTH(b'proc/12/cgroup')"),
        (b"/proc/12/status (deleted)", "DENY(3)"),
        (b"/proc/meminfo", "SYNTH(b'proc/meminfo')"),
        (b"/proc/pressure", "NATIVE"),
        (b"/proc/pressure/cpu", "SYNTH(b'proc/pressure/cpu')"),
        (b"/proc/kcore", "DENY(13)"),
        (b"/proc/fs", "DENY(13)"),
        (b"/proc/fs/ext4/vda/mb_groups", "DENY(13)"),
        (b"/proc/sysvipc/shm", "NATIVE"),
        (b"/proc/sys/kernel/hostname", "NATIVE"),
        (b"/proc/sys/kernel/pid_max", "NATIVE"),
        (b"/proc/sys/kernel/random/boot_id", "SYNTH(b'proc/sys/kernel/random/boot_id')"),
        (b"/proc/sys/kernel/usermodehelper/bset", "DENY(13)"),
        (b"/proc/sys/net/ipv4/ip_forward", "NATIVE"),
        (b"/procfs/meminfo", "DENY(13)"),
        (b"/proc/../kcore", "DENY(13)"),
        (b"/proc/1//fd", "DENY(13)"),
        (b"meminfo", "DENY(13)"),
        (b"", "DENY(13)"),
    ],
)
def test_names(name: bytes, expected: str) -> None:
    assert repr(classify(name)) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"/proc/1/oom_score_adj", "NATIVE"),
        (b"/proc/1/loginuid", "SYNTH(b'proc/1/loginuid')"),
        (b"/proc/1/mountinfo", "DENY(13)"),
        (b"/proc/meminfo", "DENY(13)"),
        (b"/proc/execdomains", "DENY(13)"),
        (b"/proc/sys/kernel/hostname", "NATIVE"),
        (b"/proc/sys/kernel/shmmax", "NATIVE"),
        (b"/proc/sys/net/ipv4/ip_forward", "NATIVE"),
        (b"/proc/sys/kernel/core_pattern", "DENY(13)"),
        (b"/proc/sys/vm/overcommit_memory", "DENY(13)"),
        (b"/proc/sys/vm/drop_caches", "DENY(13)"),
        (b"/proc/sysrq-trigger", "DENY(13)"),
        (b"/proc/sysvipc/shm", "DENY(13)"),
    ],
)
def test_names_to_write(name: bytes, expected: str) -> None:
    assert repr(classify(name, write=True)) == expected


@pytest.mark.parametrize(
    ("name", "write", "expected"),
    [
        (b"/proc/1/net/tcp", False, "DENY(13)"),
        (b"/proc/sys/net/core/somaxconn", False, "NATIVE"),
        (b"/proc/sys/net/core/somaxconn", True, "DENY(13)"),
        (b"/proc/sys/net/ipv4/tcp_fastopen_key", False, "DENY(13)"),
        (b"/proc/sys/net/ipv4/conf/eth0/forwarding", False, "DENY(13)"),
        (b"/proc/sys/kernel/shmmax", False, "DENY(13)"),
        (b"/proc/sys/fs/mqueue/msg_max", True, "DENY(13)"),
        (b"/proc/sysvipc/shm", False, "DENY(13)"),
        (b"/proc/sys/kernel/hostname", True, "NATIVE"),
    ],
)
def test_names_in_shared_namespaces(name: bytes, write: bool, expected: str) -> None:
    assert repr(classify(name, write=write, own_net=False, own_ipc=False)) == expected


@pytest.mark.parametrize("name", ["ipv4/conf", "ipv4/neigh", "ipv6/conf", "ipv6/neigh", "ipv4/conf/eth0"])
def test_interfaces_of_a_shared_network_are_not_listed(name: str) -> None:
    directory = f"/proc/sys/net/{name}".encode()
    assert repr(classify(directory, directory=True, own_net=False)) == "DENY(13)"
    assert repr(classify(directory, directory=True)) == "NATIVE"
    assert repr(classify(b"/proc/sys/net/ipv4", directory=True, own_net=False)) == "NATIVE"


@given(st.lists(st.sampled_from([b"proc", b"sys", b"1", b"self", b"fd", b"task", b"", b"..", b"\xff", b"net"])))
@example([b"proc", b"1", b"task"])
def test_any_name(parts: list[bytes]) -> None:
    assert isinstance(classify(b"/" + b"/".join(parts)), Native | Deny | Synth)


@given(st.binary(max_size=30))
def test_unknown_names_are_refused(tail: bytes) -> None:
    for prefix in (b"/proc/zz", b"/proc/1/zz", b"/proc/sys/kernel/zz", b"/proc/1/attr/", b"/proc/sys/zz"):
        assert isinstance(classify(prefix + tail), Deny)


def test_sysctl_names_belong_to_one_class() -> None:
    classes = [sysctl.UTS, sysctl.IPC, sysctl.READ_ONLY, frozenset(sysctl.SYNTHESISED)]
    assert len(frozenset().union(*classes)) == sum(map(len, classes))


# ---- texts ----


def test_memory_without_a_limit_is_the_hosts_size_less_own_usage() -> None:
    memory = meminfo(fake({b"memory.max": b"max\n", b"memory.current": b"%d\n" % (64 * MIB)}))
    assert (memory["MemTotal"], memory["MemFree"]) == (8192000, 8192000 - 64 * 1024)
    assert memory["SwapTotal"] == memory["SwapFree"] == 1024000  # how full the host's swap is stays unknown


@pytest.mark.parametrize(
    "level",
    [
        {
            b"memory.max": b"%d" % (512 * MIB),
            b"memory.current": b"%d" % (200 * MIB),
            b"memory.swap.max": b"%d" % (100 * MIB),
            b"memory.swap.current": b"%d" % (10 * MIB),
            b"memory.stat": b"anon %d\nfile %d\ninactive_file %d\nactive_file %d\nshmem 4096\n" % (120 * MIB, 80 * MIB, 50 * MIB, 30 * MIB),
        },
        {
            b"memory.limit_in_bytes": b"%d" % (512 * MIB),
            b"memory.usage_in_bytes": b"%d" % (200 * MIB),
            b"memory.memsw.limit_in_bytes": b"%d" % (612 * MIB),
            b"memory.memsw.usage_in_bytes": b"%d" % (210 * MIB),
            b"memory.stat": b"rss 1\ntotal_rss %d\ntotal_cache %d\ntotal_inactive_file %d\ntotal_active_file %d\n"
            b"total_shmem 4096\n" % (120 * MIB, 80 * MIB, 50 * MIB, 30 * MIB),
        },
    ],
    ids=["v2", "v1"],
)
def test_memory_limit(level: Mapping[bytes, bytes]) -> None:
    memory = meminfo(fake(level))
    assert {name: memory[name] // 1024 for name in ("MemTotal", "MemFree", "MemAvailable", "Cached", "AnonPages")} == {
        "MemTotal": 512,
        "MemFree": 312,
        "MemAvailable": 392,
        "Cached": 80,
        "AnonPages": 120,
    }
    assert (memory["SwapTotal"] // 1024, memory["SwapFree"] // 1024, memory["Shmem"]) == (100, 90, 4)


def test_memory_limit_of_a_parent() -> None:
    leaf = {b"memory.max": b"max", b"memory.current": b"%d" % (10 * MIB)}
    parent = {b"memory.max": b"%d" % (256 * MIB), b"memory.current": b"%d" % (56 * MIB)}
    memory = meminfo(fake(leaf, parent))
    assert (memory["MemTotal"] // 1024, memory["MemFree"] // 1024) == (256, 200)


def test_memory_over_its_limit_is_not_negative() -> None:
    memory = meminfo(fake({b"memory.max": b"4096", b"memory.current": b"8192"}))
    assert (memory["MemTotal"], memory["MemFree"]) == (4, 0)


def test_memory_without_a_cgroup_is_that_of_the_processes() -> None:
    assert meminfo(fake())["MemFree"] == 8192000 - 2 * 256 * 4


@pytest.mark.parametrize(
    ("level", "cpus"),
    [
        ({}, [0, 1, 2, 3]),
        ({b"cpuset.cpus.effective": b"1,3\n"}, [1, 3]),
        ({b"cpuset.effective_cpus": b"0-2\n", b"cpuset.cpus": b"0-7\n"}, [0, 1, 2]),
        ({b"cpuset.cpus.effective": b"\n", b"cpu.max": b"max 100000\n"}, [0, 1, 2, 3]),
        ({b"cpu.max": b"150000 100000\n"}, [0, 1]),
        ({b"cpu.max": b"1000 100000\n"}, [0]),
        (
            {b"cpuset.cpus": b"2-3\n", b"cpu.cfs_quota_us": b"100000\n", b"cpu.cfs_period_us": b"100000\n"},
            [2],
        ),
        ({b"cpu.cfs_quota_us": b"-1\n", b"cpu.cfs_period_us": b"100000\n"}, [0, 1, 2, 3]),
    ],
)
def test_cpus(level: Mapping[bytes, bytes], cpus: list[int]) -> None:
    view = fake(level)
    assert view.cpus() == cpus
    numbers = re.findall(rb"^processor\t: (\d+)$", generate(b"cpuinfo", view), re.MULTILINE)
    assert [int(n) for n in numbers] == cpus
    assert [int(n) for n in re.findall(rb"^cpu(\d+) ", generate(b"stat", view), re.MULTILINE)] == cpus


def test_cpuinfo_keeps_the_model_and_hides_the_place() -> None:
    text = generate(b"cpuinfo", fake({b"cpuset.cpus": b"2-3"}))
    assert text == b"".join(
        b"processor\t: %d\nmodel name\t: Some CPU\nmicrocode\t: 0x0\ncpu MHz\t\t: 2500.000\nphysical id\t: 0\n"
        b"siblings\t: 2\ncore id\t\t: %d\ncpu cores\t: 2\napicid\t\t: %d\nflags\t\t: fpu sse2\nbugs\t\t:\n"
        b"bogomips\t: 5000.00\npower management:\n\n" % (cpu, i, i)
        for i, cpu in enumerate((2, 3))
    )


@given(st.sets(st.integers(0, 200), min_size=1))
def test_cpu_lists_and_masks(cpus: set[int]) -> None:
    assert parse_cpulist(cpulist(cpus) + b"\n") == sorted(cpus)
    mask = int(cpumask(cpus).replace(b",", b""), 16)
    assert {i for i in range(201) if mask >> i & 1} == cpus


@pytest.mark.parametrize(
    ("level", "user", "system"),
    [
        ({b"cpu.stat": b"usage_usec 3\nuser_usec 2000000\nsystem_usec 1000000\n"}, 200, 100),
        ({b"cpuacct.stat": b"user 200\nsystem 100\n", b"cpu.stat": b"nr_periods 0\n"}, 200, 100),
        ({}, 120, 55),
    ],
)
def test_cpu_time(level: Mapping[bytes, bytes], user: int, system: int) -> None:
    view = fake(level)
    line = generate(b"stat", view).splitlines()[0].split()
    assert [int(n) for n in line[1:5]] == [user, 0, system, 40_000 - user - system]
    assert generate(b"uptime", view) == b"100.00 %.2f\n" % (400 - (user + system) / 100)


def test_cpu_time_of_processes_never_falls() -> None:
    proc = dict(PROC)
    view = fake(proc=proc)
    assert view.cpu_time() == (120, 55)
    del proc[b"7/stat"]
    assert view.cpu_time() == (120, 55)


def test_constant_looking_files() -> None:
    view = fake({b"pids.current": b"5\n"})
    assert generate(b"loadavg", view) == b"0.00 0.00 0.00 1/5 7\n"
    assert generate(b"loadavg", fake()) == b"0.00 0.00 0.00 1/3 7\n"
    assert generate(b"version", view) == b"Linux version 6.1.0 (root@localhost) (gcc) #1 SMP\n"
    assert generate(b"cgroups", view).splitlines()[1:] == [b"cpu\t1\t1\t1", b"memory\t4\t1\t1"]
    assert generate(b"interrupts", view) == b" " * 11 + b"CPU0       CPU1       CPU2       CPU3       \n"
    assert generate(b"sys/kernel/osrelease", view) == b"6.1.0\n"
    assert generate(b"sys/kernel/random/boot_id", view) == view.boot_id + b"\n"
    assert b"btime 1700000000\n" in generate(b"stat", view)


def test_pressure_is_the_containers_or_none() -> None:
    text = b"some avg10=0.00 avg60=0.00 avg300=0.00 total=1\n"
    assert generate(b"pressure/cpu", fake({b"cpu.pressure": text})) == text
    with pytest.raises(OSError) as e:
        generate(b"pressure/io", fake({b"cpu.pressure": text}))
    assert e.value.errno == EOPNOTSUPP


def test_locks_of_others_are_left_out() -> None:
    own = b"1: POSIX  ADVISORY  WRITE 7 fe:00:1234 0 EOF\n"
    others = b"2: OFDLCK ADVISORY  WRITE -1 fe:00:99 0 EOF\n2: -> OFDLCK ADVISORY  WRITE -1 fe:00:99 0 EOF\n"
    assert generate(b"locks", fake(proc={b"locks": own + others})) == own


@pytest.mark.parametrize(
    ("roots", "line", "expected"),
    [
        ({}, b"0::/docker/abc\n", b"0::/\n"),
        ({}, b"4:memory:/docker/abc\n", b"4:memory:/\n"),
        ({}, b"9:name=systemd:/\n", b"9:name=systemd:/\n"),
        ({b"0": b"/docker/abc"}, b"0::/docker/abc/inner\n", b"0::/inner\n"),
        ({b"0": b"/docker/abc"}, b"0::/docker/abc\n", b"0::/\n"),
        ({b"0": b"/docker/abc"}, b"0::/docker/abcdef\n", b"0::/\n"),
        ({b"0": b"/"}, b"0::/inner\n", b"0::/inner\n"),
    ],
)
def test_cgroup_paths(roots: dict[bytes, bytes], line: bytes, expected: bytes) -> None:
    assert generate(b"cgroup", fake(proc={b"3/cgroup": line}, cgroup_roots=roots), 3) == expected


MOUNTINFO = b"""\
101 90 254:0 /srv/images/debian / rw,relatime,idmapped - ext4 /dev/vda rw,discard,resuid=65534
102 101 0:50 / / rw shared:3 master:4 - overlay overlay rw,lowerdir=/var/lib/x,upperdir=/var/lib/y,workdir=/z
103 101 0:51 / /proc rw,nosuid - proc proc rw,hidepid=invisible
104 101 0:52 /box /tmp rw - tmpfs secretname rw,size=65536k,nr_inodes=12345,mode=755,uid=100000,gid=100000
105 101 254:0 /home/someone/my\\040dir /data\\040dir ro - ext4 /dev/disk/by-label/SECRET rw
106 101 0:60 / /net rw - nfs4 server.example:/export rw,addr=10.1.2.3,clientaddr=10.1.2.4
107 101 0:61 / /ssh rw - fuse.sshfs someone@server:/home rw,user_id=1000,group_id=1000
108 101 0:62 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory,release_agent=/sbin/agent
109 101 0:63 / /dev/pts rw,nosuid,noexec - devpts devpts rw,gid=100005,mode=620,ptmxmode=666
110 101 0:64 / /empty rw - tmpfs  rw
111 101 0:6 /null /dev/null rw - devtmpfs devtmpfs rw,size=12334460k,mode=755
"""


def test_mountinfo_without_the_host() -> None:
    assert (
        generate(b"mountinfo", fake(proc={b"5/mountinfo": MOUNTINFO}), 5)
        == b"""\
101 90 254:0 / / rw,relatime,idmapped - ext4 ext4 rw
102 101 0:50 / / rw shared:3 master:4 - overlay overlay rw
103 101 0:51 / /proc rw,nosuid - proc proc rw,hidepid=invisible
104 101 0:52 / /tmp rw - tmpfs tmpfs rw,size=65536k,mode=755
105 101 254:0 / /data\\040dir ro - ext4 ext4 rw
106 101 0:60 / /net rw - nfs4 nfs4 rw
107 101 0:61 / /ssh rw - fuse.sshfs fuse rw
108 101 0:62 / /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory
109 101 0:63 / /dev/pts rw,nosuid,noexec - devpts devpts rw,mode=620,ptmxmode=666
110 101 0:64 / /empty rw - tmpfs tmpfs rw
111 101 0:6 / /dev/null rw - devtmpfs devtmpfs rw
"""
    )


def test_mounts_and_mountstats() -> None:
    view = fake(proc={b"5/mountinfo": MOUNTINFO})
    mounts = generate(b"mounts", view, 5).splitlines()
    assert mounts[0] == b"ext4 / ext4 rw,relatime,idmapped 0 0"
    assert mounts[3] == b"tmpfs /tmp tmpfs rw,size=65536k,mode=755 0 0"
    assert mounts[4] == b"ext4 /data\\040dir ext4 ro 0 0"
    assert generate(b"mountstats", view, 5).splitlines()[4] == b"device ext4 mounted on /data\\040dir with fstype ext4"


def test_every_live_mount_is_rewritten() -> None:
    with open("/proc/self/mountinfo", "rb") as file:
        text = file.read()
    mounts = list(mountinfo.parse(text))
    assert len(mounts) == len(text.splitlines())
    kernel = {(m[0], m[4], m[5]) for m in (line.split() for line in text.splitlines())}
    assert {tuple(m.mountinfo().split()[i] for i in (0, 4, 5)) for m in mounts} == kernel


# ---- the tree ----


def walk(tree: Tree, nodeid: int, path: bytes) -> int | None:
    for name in path.split(b"/"):
        entry = tree.lookup(nodeid, name)
        if entry is None:
            return None
        nodeid = entry.nodeid
    return nodeid


def every_synth() -> list[Synth]:
    names = [b"/proc/" + name for name in proctext.ROOT]
    names += [b"/proc/sys/" + name for name in sysctl.SYNTHESISED]
    names += [b"/proc/4194303/" + name for name in proctext.TASK]
    return [s for s in map(classify, names) if isinstance(s, Synth)]


def test_every_key_leads_to_its_text() -> None:
    proc = {**PROC, b"locks": b"", b"4194303/mountinfo": MOUNTINFO, b"4194303/cgroup": b"0::/x\n"}
    proc[b"4194303/sched"] = b"a (1)\nse.exec_start  : 1.0\nprio : 120\n"
    view = fake({b"%s.pressure" % name: b"some\n" for name in (b"cpu", b"io", b"memory")}, proc=proc)
    tree = Tree(view)
    nodes = {}
    for synth in every_synth():
        nodeid = walk(tree, 1, synth.key)
        assert nodeid is not None, synth
        nodes[nodeid] = synth
        assert tree.read(nodeid) == generate(synth.name, view, synth.pid)
        entry = tree.entry(nodeid)
        assert entry is not None
        assert entry.nodeid == nodeid
        assert entry.mode & 0o170000 == 0o100000
    assert len(nodes) == len(every_synth()) == len(proctext.ROOT) + len(sysctl.SYNTHESISED) + len(proctext.TASK)


def test_sched_without_moments() -> None:
    view = fake(proc={b"3/sched": b"a (1)\nse.exec_start  : 1.0\nse.avg.last_update_time : 9\nprio : 120\n"})
    assert generate(b"sched", view, 3) == b"a (1)\nprio : 120\n"


@pytest.mark.parametrize("path", [b"meminfo", b"proc/1/status", b"proc/01/cgroup", b"proc/0", b"proc/x", b"proc//x", b""])
def test_other_names_are_absent(path: bytes) -> None:
    assert walk(Tree(fake()), 1, path) is None


@given(st.integers(0, 2**64 - 1), st.binary(max_size=10))
def test_any_node(nodeid: int, name: bytes) -> None:
    tree = Tree(fake())
    tree.lookup(nodeid, name)
    entry = tree.entry(nodeid)
    if entry is None or entry.mode & 0o040000:
        with pytest.raises(OSError, match="not a file"):
            tree.read(nodeid)


def test_a_dead_process_and_a_login_uid() -> None:
    tree = Tree(fake())
    cgroup = walk(tree, 1, b"proc/999/cgroup")
    assert cgroup is not None
    with pytest.raises(FileNotFoundError):
        tree.read(cgroup)
    login = walk(tree, 1, b"proc/1/loginuid")
    assert login is not None
    with pytest.raises(OSError) as e:
        tree.write(login, 0, b"0")
    assert e.value.errno == EPERM


# ---- the live kernel ----


def live_view(**kwargs: Any) -> ProcView:
    """A view of the /proc that is mounted now, as the sentry makes it."""
    fd = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    read = directory_reader(fd)
    arguments: dict[str, Any] = {
        "proc": read,
        "host": read,
        "cgroup": [],
        "pids": pid_lister(fd),
        "start": time.clock_gettime(time.CLOCK_BOOTTIME),
        "start_realtime": time.time(),
        "release": b"6.1.0",
        "version": b"#1 SMP",
        "boot_id": b"11111111-2222-3333-4444-555555555555",
    }
    return ProcView(**{**arguments, **kwargs})


def read_some(path: bytes) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return b""
    try:
        return os.read(fd, 65536)
    except OSError:
        return b""
    finally:
        os.close(fd)


def host_secrets() -> set[bytes]:
    """Strings that name the host, long enough not to occur by chance."""
    secrets = set()
    with open("/proc/cmdline", "rb") as file:
        secrets |= {word for word in file.read().split() if b"=" in word or b"/" in word}
    with open("/proc/self/mountinfo", "rb") as file:
        for line in file:
            before, _, after = line.partition(b" - ")
            secrets |= {before.split()[3], after.split()[1]}
    with open("/proc/self/cgroup", "rb") as file:
        secrets |= {line.rstrip(b"\n").split(b":", 2)[2] for line in file}
    for name in ("kernel/random/boot_id", "kernel/hostname", "kernel/core_pattern"):
        with open("/proc/sys/" + name, "rb") as file:
            secrets.add(file.read().strip())
    with open("/proc/version", "rb") as file:
        secrets |= set(re.findall(rb"\((.*?)\)", file.read()))
    harmless = {b"cgroup", b"cgroup2", b"devpts", b"devtmpfs", b"overlay", b"console", b"systemd-1"}
    return {s for s in secrets if len(s) >= 6 and s not in harmless and not b"/proc/".startswith(s)}


def test_nothing_of_the_host_is_in_any_readable_file(in_container: Inside) -> None:
    secrets = host_secrets()
    assert secrets

    def inside(box: Container) -> tuple[int, int, int, list[tuple[bytes, bytes]], list[bytes]]:
        box.libc.sethostname(b"inside", 6)
        # Without the environment and the arguments of the test run itself.
        init = os.fork()
        if init == 0:
            os.execve("/bin/sleep", ["sleep", "1000"], {})
        view = live_view(host=directory_reader(os.open("/proc", os.O_RDONLY)))
        me = b"%d" % os.getpid()
        native, generated, hidden, leaks, seen = 0, 0, 0, [], []
        for directory, names, files in os.walk(b"/proc"):
            if directory == b"/proc":
                names[:] = [n for n in names if not n.isdigit() or n != me]
            denied = [n for n in names if isinstance(classify(directory + b"/" + n, directory=True), Deny)]
            names[:] = [n for n in names if n not in denied and n not in (b"map_files", b"cwd", b"root")]
            for file in files:
                path = directory + b"/" + file
                seen.append(path)
                verdict = classify(path)
                text = b""
                if verdict is NATIVE:
                    native += 1
                    text = read_some(path)
                elif isinstance(verdict, Synth):
                    generated += 1
                    try:
                        text = generate(verdict.name, view, verdict.pid)
                    except OSError as e:
                        assert e.errno in (EOPNOTSUPP, EACCES, ESRCH), path
                leaks += [(path, secret) for secret in secrets if secret in text]
                if verdict is not NATIVE:
                    hidden += any(secret in read_some(path) for secret in secrets)
        os.kill(init, 9)
        return native, generated, hidden, leaks, seen

    native, generated, hidden, leaks, seen = in_container(inside)
    assert leaks == []
    assert native > 200
    assert hidden > 3  # the kernel's own version, mountinfo, cgroup, ... do tell
    assert generated >= len(proctext.TASK)
    assert b"/proc/2/mountinfo" in seen


def test_the_containers_age_is_its_own(in_container: Inside) -> None:
    """/proc/PID/stat is native: the time namespace makes start times agree with the generated uptime."""

    def inside(_box: Container) -> tuple[float, float]:
        with open("/proc/self/stat") as file:
            started = int(file.read().rpartition(")")[2].split()[19]) / 100
        return started, float(generate(b"uptime", live_view(start=0.0)).split()[0])

    started, up = in_container(inside)
    assert 0 <= started <= up < 60


def test_reopen_finds_the_true_name(in_container: Inside, tmp_path: Path) -> None:
    def inside(box: Container) -> list[object]:
        def name_of(path: str, root: int) -> object:
            fd = os.open(path, os.O_PATH | os.O_NOFOLLOW)
            found = reopen(root, fd, os.readlink(b"/proc/self/fd/%d" % fd))
            os.close(fd)
            if found is None:
                return None
            os.close(found[1])
            return found[0]

        root = box.clone("/proc")
        names = [name_of(p, root) for p in ("/proc", "/proc/meminfo", "/proc/1/status", "/proc/self")]
        names.append(name_of("/proc/sys/kernel/hostname", root))

        second = os.fsencode(tmp_path) + b"/second"
        os.mkdir(second)
        box.mount(b"proc", second, b"proc")
        names.append(name_of(os.fsdecode(second) + "/meminfo", box.clone(os.fsdecode(second))))
        names.append(name_of(os.fsdecode(second) + "/meminfo", root))  # another instance

        # A refused file under a permitted name, and a subtree elsewhere.
        box.bind("/proc/cmdline", "/proc/1/status")
        names.append(name_of("/proc/1/status", root))
        box.bind("/proc/sys", os.fsdecode(second))
        names.append(name_of(os.fsdecode(second) + "/kernel/hostname", root))
        # A subtree in its own place, as readonlyPaths make it.
        box.bind("/proc/sys", "/proc/sys")
        names.append(name_of("/proc/sys/kernel/hostname", root))
        return names

    tmp_path.chmod(0o777)
    for parent in tmp_path.parents[:2]:  # the next one is /tmp
        parent.chmod(0o755)
    assert in_container(inside) == [
        b"/proc",
        b"/proc/meminfo",
        b"/proc/1/status",
        b"/proc/self",
        b"/proc/sys/kernel/hostname",
        b"/proc/meminfo",
        None,
        None,
        None,
        b"/proc/sys/kernel/hostname",
    ]


def test_live_files_through_fuse(in_container: Inside) -> None:
    def inside(box: Container) -> list[bytes]:
        bugs: list[Exception] = []
        view = live_view()
        root = box.mount_fuse(MOUNT_OPTIONS)
        Server(box.fuse_fd, Tree(view), bugs.append, int(view.start_realtime)).start()
        for synth in every_synth():
            key = synth.key.replace(b"4194303", b"1")
            fd = os.open(key, os.O_RDONLY, dir_fd=root)
            assert os.readlink(b"/proc/self/fd/%d" % fd) == b"/" + key
            try:
                text = os.read(fd, 65536)
            except OSError as e:
                assert e.errno == EOPNOTSUPP, synth
                continue
            finally:
                os.close(fd)
            if synth.name == b"meminfo":
                assert text.startswith(b"MemTotal:")
        return [repr(b).encode() for b in bugs]

    assert in_container(inside) == []


def run_tools(box: Container, directory: str) -> dict[str, str]:
    """Generated files over the kernel's, then the tools that read them."""
    level = {b"memory.max": b"%d" % (512 * MIB), b"memory.current": b"%d" % (112 * MIB), b"cpuset.cpus": b"0"}
    view = live_view(cgroup=[reader(level)])
    for name in (b"meminfo", b"stat", b"uptime", b"loadavg", b"vmstat", b"cpuinfo", b"diskstats", b"partitions",
                 b"swaps", b"filesystems", b"version", b"1/mountinfo", b"1/mounts"):  # fmt: skip
        pid, _, entry = name.rpartition(b"/")
        path = os.path.join(directory, name.decode().replace("/", "."))
        with open(path, "wb") as file:
            file.write(generate(entry, view, int(pid) if pid else None))
        box.bind(path, "/proc/" + name.decode())
    output = {}
    commands = {
        "free": ["free", "-k"],
        "uptime": ["uptime"],
        "vmstat": ["vmstat", "-a"],
        "vmstat-s": ["vmstat", "-s"],
        "vmstat-d": ["vmstat", "-d"],
        "top": ["top", "-b", "-n", "1"],
        "ps": ["ps", "-eo", "pid,etimes,comm"],
        "findmnt": ["findmnt", "--tab-file", "/proc/1/mountinfo", "-n", "-o", "TARGET", "--list"],
        "swapon": ["swapon", "--show"],
        "lscpu": ["lscpu"],
    }
    for tool, command in commands.items():
        if shutil.which(command[0]):
            done = subprocess.run(command, check=False, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
            assert (done.returncode, done.stderr) == (0, ""), (tool, done)
            output[tool] = done.stdout
    return output


@pytest.mark.skipif(not shutil.which("free"), reason="needs procps")
def test_the_tools_understand_the_files(in_container: Inside, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    for parent in tmp_path.parents[:2]:  # the next one is /tmp
        parent.chmod(0o755)
    output = in_container(lambda box: run_tools(box, str(tmp_path)))
    assert output["free"].splitlines()[1].split()[:4] == ["Mem:", "524288", "114688", "409600"]
    assert " up 0 min," in output["uptime"]
    assert "load average: 0.00, 0.00, 0.00" in output["uptime"]
    assert output["vmstat"].splitlines()[2].split()[3] == "409600"
    assert "524288 K total memory" in output["vmstat-s"]
    assert re.search(r"^%?Cpu", output["top"], re.MULTILINE)
    assert re.search(r"MiB Mem :\s+512\.0 total,\s+400\.0 free", output["top"])
    assert re.search(r"^ +1 +\d", output["ps"], re.MULTILINE)
    if "findmnt" in output:
        assert "/proc" in output["findmnt"].split()


# ---- the readers ----


def test_a_list_that_the_workload_has_made_too_long_ends_with_a_line(tmp_path: Path) -> None:
    line = b"1: POSIX  ADVISORY  WRITE 1 00:00:1 0 0\n"
    (tmp_path / "locks").write_bytes(line * (2 * MAX_SIZE // len(line)))
    text = directory_reader(os.open(tmp_path, os.O_PATH))(b"locks")
    assert text == line * (MAX_SIZE // len(line))


def test_readers_read_whole_files(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_bytes(b"x" * 200_000)
    (tmp_path / "v1").mkdir()
    (tmp_path / "v1" / "cpu.shares").write_bytes(b"2\n")
    unified = os.open(tmp_path, os.O_PATH)
    cpu = os.open(tmp_path / "v1", os.O_PATH)
    assert len(directory_reader(unified)(b"memory.max")) == 200_000
    read = cgroup_reader({b"": unified, b"cpu": cpu})
    assert len(read(b"memory.max")) == 200_000
    assert read(b"cpu.shares") == b"2\n"
    with pytest.raises(FileNotFoundError):
        cgroup_reader({b"cpu": cpu})(b"memory.max")
    os.close(unified)
    os.close(cpu)


def test_levels_of_a_cgroup_end_where_each_hierarchy_does(tmp_path: Path) -> None:
    leaf = {}
    for controller, path in (("memory", "pod/box"), ("cpu", "box")):
        place = tmp_path / controller / path
        place.mkdir(parents=True)
        leaf[controller.encode()] = (os.open(place, os.O_PATH), len(path.split("/")))
        for number, directory in enumerate((place, *place.parents[: len(path.split("/"))])):
            (directory / f"{controller}.max").write_text(str(number))
    (tmp_path / "cpu.max").write_text("above the hierarchy")
    read = [[level(name) if has else None for name, has in zip((b"memory.max", b"cpu.max"), (True, number < 2), strict=True)]
            for number, level in enumerate(cgroup_levels(leaf))]  # fmt: skip
    assert read == [[b"0", b"0"], [b"1", b"1"], [b"2", None]]
    with pytest.raises(FileNotFoundError):
        cgroup_levels(leaf)[2](b"cpu.max")
    assert cgroup_levels({}) == []
    for fd, _ in leaf.values():
        os.close(fd)


def test_the_tree_behind_the_protocol() -> None:
    """A whole exchange without a kernel: LOOKUP proc, LOOKUP uptime, READ."""
    from test_serve import answer, read_body, request

    from sentry.vfs import fuse

    connection = Connection(Tree(fake()), lambda e: pytest.fail(repr(e)))
    nodeid = 1
    for name in (b"proc", b"uptime"):
        error, body = answer(connection.receive(request(fuse.LOOKUP, name + b"\0", nodeid)))
        assert error == 0
        nodeid = fuse.fuse_entry_out.unpack_from(body)[0]
    assert answer(connection.receive(request(fuse.READ, read_body(1, 0), nodeid))) == (0, b"100.00 398.25\n")
