"""The texts of generated files are the container's, whatever the host's say."""

from __future__ import annotations

import re
from errno import EOPNOTSUPP
from typing import TYPE_CHECKING

import pytest
from fakes import MIB, MOUNTINFO, PROC, fake, meminfo
from hypothesis import given
from hypothesis import strategies as st

from sentry.vfs import mountinfo
from sentry.vfs.procfs import generate
from sentry.vfs.procview import cpulist, cpumask, parse_cpulist

if TYPE_CHECKING:
    from collections.abc import Mapping


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
