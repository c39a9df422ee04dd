"""The generated /sys: complete, consistent with /proc, small, and without the host's devices."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sentry.vfs.procread import directory_reader
from sentry.vfs.procview import ProcView
from sentry.vfs.sysfs import LOOPBACK, Interface, Symlink, tree

HOST_PROC = {
    b"meminfo": b"MemTotal:       8192000 kB\nSwapTotal:  0 kB\n",
    b"cpuinfo": b"".join(b"processor\t: %d\nvendor_id\t: GenuineIntel\nmodel name\t: Some CPU\n\n" % n for n in range(64)),
}


def view(cpus: bytes) -> ProcView:
    cgroup = {b"cpuset.cpus": cpus, b"memory.max": b"1073741824", b"memory.current": b"1048576"}

    def read_cgroup(name: bytes) -> bytes:
        if name not in cgroup:
            raise FileNotFoundError(2, "no such file", name)
        return cgroup[name]

    return ProcView(
        proc=HOST_PROC.__getitem__,
        host=HOST_PROC.__getitem__,
        cgroup=[read_cgroup],
        pids=lambda: [1],
        start=0.0,
        start_realtime=0.0,
        release=b"6.1.0",
        version=b"#1 SMP",
        boot_id=b"",
    )


def nothing(name: bytes) -> bytes:
    raise FileNotFoundError(2, "no such file", name)


def test_parents_come_first() -> None:
    seen = {b""}
    for path in tree(view(b"0-3"), nothing):
        assert path.rpartition(b"/")[0] in seen, path
        seen.add(path)


def test_links_lead_somewhere() -> None:
    nodes = tree(view(b"0-1"), nothing)
    links = {path: node.target for path, node in nodes.items() if isinstance(node, Symlink)}
    assert links
    for path, target in links.items():
        assert os.path.normpath(os.path.join(os.path.dirname(path), target)) in nodes


def test_values() -> None:
    nodes = tree(view(b"2-3"), {b"devices/system/cpu/possible": b"0-7\n"}.get)  # type: ignore[arg-type]
    cpu = b"devices/system/cpu/"
    assert nodes[cpu + b"online"] == b"2-3\n"
    assert nodes[cpu + b"possible"] == b"0-7\n"
    assert nodes[cpu + b"cpu3/topology/core_id"] == b"1\n"
    assert nodes[cpu + b"cpu3/topology/thread_siblings_list"] == b"3\n"
    assert nodes[cpu + b"cpu3/topology/core_siblings"] == b"0000000c\n"
    assert cpu + b"cpu0" not in nodes
    assert nodes[b"devices/system/node/node0/cpulist"] == b"2-3\n"
    meminfo = nodes[b"devices/system/node/node0/meminfo"]
    assert isinstance(meminfo, bytes)
    assert re.search(rb"^Node 0 MemTotal: +1048576 kB$", meminfo, re.MULTILINE)


def test_defaults_without_a_hosts_sysfs() -> None:
    nodes = tree(view(b"5"), nothing)
    assert nodes[b"devices/system/cpu/possible"] == b"0-5\n"
    assert nodes[b"kernel/mm/transparent_hugepage/enabled"] == b"always [madvise] never\n"


@pytest.mark.skipif(not os.path.exists("/sys/devices/system/cpu/possible"), reason="needs a sysfs")
def test_the_live_hosts_values() -> None:
    fd = os.open("/sys", os.O_PATH)
    nodes = tree(view(b"0"), directory_reader(fd))
    os.close(fd)
    assert nodes[b"devices/system/cpu/possible"] == Path("/sys/devices/system/cpu/possible").read_bytes()


def test_an_unreadable_host_is_an_error() -> None:
    def broken(name: bytes) -> bytes:
        raise OSError(5, "input/output error", name)

    with pytest.raises(OSError, match="input/output"):
        tree(view(b"0"), broken)


def test_interfaces() -> None:
    nodes = tree(view(b"0"), nothing, [LOOPBACK, Interface(b"eth0", 2, b"02:00:00:00:00:01", 1500, 0x1003)])
    assert nodes[b"class/net/eth0/".rstrip(b"/")] is not None
    net = b"devices/virtual/net/"
    assert (nodes[net + b"eth0/mtu"], nodes[net + b"eth0/operstate"]) == (b"1500\n", b"up\n")
    assert (nodes[net + b"lo/type"], nodes[net + b"lo/operstate"]) == (b"772\n", b"unknown\n")


@pytest.mark.parametrize(("cpus", "limit"), [(b"0-1", 60), (b"0-3", 70), (b"0-63", 350)])
def test_small_enough_to_write_at_start(cpus: bytes, limit: int) -> None:
    assert sum(isinstance(node, bytes) for node in tree(view(cpus), nothing).values()) < limit


@pytest.mark.skipif(not shutil.which("lscpu"), reason="needs lscpu")
def test_lscpu_understands_it(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "cpuinfo").write_bytes(HOST_PROC[b"cpuinfo"])
    sys = os.fsencode(tmp_path) + b"/sys"
    os.mkdir(sys)
    for path, node in tree(view(b"0-2"), nothing).items():
        if node is None:
            os.mkdir(sys + b"/" + path)
        elif isinstance(node, Symlink):
            os.symlink(node.target, sys + b"/" + path)
        else:
            Path(os.fsdecode(sys + b"/" + path)).write_bytes(node)
    done = subprocess.run(["lscpu", "--sysroot", str(tmp_path)], check=True, capture_output=True, text=True, env={"LC_ALL": "C"})
    rows = dict(re.findall(r"^ *([^:]+): +(.*)$", done.stdout, re.MULTILINE))
    assert rows["On-line CPU(s) list"] == "0-2"
    assert rows["Socket(s)"] == "1"
    assert rows["Core(s) per socket"] == "3"
    assert rows["Thread(s) per core"] == "1"
    assert rows["NUMA node0 CPU(s)"] == "0-2"
