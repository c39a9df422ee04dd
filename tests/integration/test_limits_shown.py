"""What a container is told of its size is what its cgroup allows: /proc, /sys, sysinfo(2), sched_getaffinity(2), and the programs that ask."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from containers import requires
from workloads import PROFILES, Sandbox, run

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from containers import Pysc

pytestmark = pytest.mark.integration

MEMORY = 256 << 20
PINNED: dict[str, Any] = {"memory": {"limit": MEMORY}, "cpu": {"quota": 100_000, "period": 100_000, "cpus": "0"}}
QUOTA: dict[str, Any] = {"memory": {"limit": MEMORY}, "cpu": {"quota": 100_000, "period": 100_000}}

many_cpus = pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one CPU: a quota of one is no less")


@pytest.fixture(params=PROFILES)
def sandbox(request: pytest.FixtureRequest, pysc: Pysc, debian_root: Path, tmp_path: Path) -> Sandbox:
    """A bundle over the host's programs, in either profile."""
    return Sandbox(pysc, "bundle", request.param, debian_root, tmp_path)


def limited(sandbox: Sandbox, work: Path, argv: list[str], resources: dict[str, Any]) -> str:
    """What the command prints under these limits."""
    done = run(sandbox.argv(work, argv, linux={"resources": resources}), work)
    assert done.code == 0, done
    return done.out


ASK = """
import os, re
def first(name, pattern):
    with open(name) as file:
        return int(re.search(pattern, file.read(), re.M)[1])
def count(name, pattern):
    with open(name) as file:
        return len(re.findall(pattern, file.read(), re.M))
kib = first("/proc/meminfo", r"^MemTotal: *(\\d+) kB")
assert kib == first("/sys/devices/system/node/node0/meminfo", r"MemTotal: *(\\d+) kB"), kib
assert kib * 1024 == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), kib
cpus = {count("/proc/cpuinfo", "^processor"), count("/proc/stat", r"^cpu\\d"), os.cpu_count(), len(os.sched_getaffinity(0)),
        len(os.sched_getaffinity(1)), os.sysconf("SC_NPROCESSORS_ONLN")}
idle = first("/proc/stat", r"^cpu  (?:\\d+ ){3}(\\d+)")
print(kib // 1024, *cpus)
"""


@requires("/usr/bin/python3")
@pytest.mark.parametrize("resources", [PINNED, pytest.param(QUOTA, marks=many_cpus)], ids=["cpuset", "quota"])
def test_all_say_the_same(sandbox: Sandbox, tmp_path: Path, resources: dict[str, Any]) -> None:
    assert limited(sandbox, tmp_path, ["/usr/bin/python3", "-c", ASK], resources) == "256 1\n"


@many_cpus
@requires("/usr/bin/python3")
def test_an_affinity_of_ones_own(sandbox: Sandbox, tmp_path: Path) -> None:
    """Who has chosen a CPU is told of that one, be it shown or not; the quota shows as many as it is worth."""
    ask = (
        "import os; before = os.sched_getaffinity(0); os.sched_setaffinity(0, {1}); print(before, os.sched_getaffinity(0), "
        "os.sched_getaffinity(os.getpid())); os.sched_setaffinity(0, {0, 1}); print(os.sched_getaffinity(0))"
    )
    assert limited(sandbox, tmp_path, ["/usr/bin/python3", "-c", ask], QUOTA) == "{0} {1} {1}\n{0}\n"


@requires("free", "nproc", "getconf", "lscpu")
def test_programs_of_the_system(sandbox: Sandbox, tmp_path: Path) -> None:
    script = "nproc; nproc --all; getconf _NPROCESSORS_ONLN; free -m | awk '/^Mem:/ {print $2}'; lscpu -p=CPU | grep -v '^#'"
    one, _configured, online, memory, cpu = limited(sandbox, tmp_path, ["sh", "-c", script], PINNED).split()
    assert (one, online, memory, cpu) == ("1", "1", "256", "0")


@requires("node")
def test_node(sandbox: Sandbox, tmp_path: Path) -> None:
    script = "const os = require('os'); console.log(os.totalmem(), os.cpus().length, os.availableParallelism?.() ?? 1)"
    assert limited(sandbox, tmp_path, ["node", "-e", script], PINNED) == f"{MEMORY} 1 1\n"


@pytest.mark.short("do-standard", "bundle-standard")
@requires("java")
def test_a_jvm(sandbox: Sandbox, tmp_path: Path) -> None:
    """Its heap is a part of the container's memory, and its pools are for one CPU. By default in one profile: it takes a second."""
    flags = ["java", "-XX:+PrintFlagsFinal", "-XX:+UseContainerSupport", "-version"]
    printed = limited(sandbox, tmp_path, flags, PINNED)
    values = {words[1]: words[3] for words in map(str.split, printed.splitlines()) if len(words) > 3 and words[2] == "="}
    assert MEMORY // 8 <= int(values["MaxHeapSize"]) <= MEMORY // 2
    assert values["UseSerialGC"] == "true"  # what it takes where there is one CPU


@requires("/usr/bin/python3")
def test_the_cgroup_itself(sandbox: Sandbox, tmp_path: Path) -> None:
    """/sys/fs/cgroup is the container's own, to be read: nothing above it, no process of others, and no way to raise a limit."""
    ask = r"""
import errno, os, re
top = "/sys/fs/cgroup"
limits, pids = set(), set()
for directory, names, files in os.walk(top):
    for name in files:
        path = f"{directory}/{name}"
        if name in ("memory.max", "memory.limit_in_bytes"):
            limits.add(open(path).read().strip())
        if name in ("cgroup.procs", "tasks"):
            pids |= {int(line) for line in open(path)}
        if os.stat(path).st_mode & 0o222:
            try:
                open(path, "w")
            except OSError as e:
                assert e.errno == errno.EROFS, (path, e)
            else:
                raise AssertionError(path)
with open("/proc/self/cgroup") as file:
    assert {line.strip().split(":", 2)[2] for line in file} == {"/"}
assert pids <= {int(name) for name in os.listdir("/proc") if name.isdigit()}, pids
print(*limits, *sorted(pids))
"""
    assert limited(sandbox, tmp_path, ["/usr/bin/python3", "-c", ask], PINNED) == f"{MEMORY} 1\n"
