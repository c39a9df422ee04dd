"""update and events of real containers: what the kernel is told, what it tells, and in whose words."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from containers import Bundle, Bundles, Pysc, both_platforms, requires, sandboxed

from runsc_cli.cgroups import hierarchy
from runsc_cli.cgroups.stats import stats

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.integration,
    both_platforms,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    requires("busybox"),
]

MIB = 1 << 20


@pytest.fixture
def v1() -> None:
    missing = {"memory", "pids", "cpu", "cpuset"} - set(hierarchy.find().mounts)
    if missing:
        pytest.skip(f"no cgroup version 1 mount of {', '.join(sorted(missing))}")


def start(pysc: Pysc, made: Bundle) -> None:
    command = pysc.argv("run", "--detach", "-b", made, pysc.id)
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True, timeout=60)


@pytest.fixture
def running(pysc: Pysc, bundle: Bundles, v1: None) -> Iterator[Pysc]:
    """A container with limits, by whose id the command knows it."""
    resources = {"memory": {"limit": 64 * MIB, "swap": 128 * MIB}, "cpu": {"quota": 50_000, "period": 100_000}, "pids": {"limit": 50}}
    start(pysc, bundle(["sleep", "1000"], linux={"resources": resources}))
    yield pysc
    pysc("delete", "--force", pysc.id, check=True)


def setting(pysc: Pysc, file: str) -> str:
    """A control file of the container's cgroups."""
    for directory in json.loads((pysc.root / pysc.id / "state.json").read_text())["cgroups"]:
        if os.path.exists(f"{directory}/{file}"):
            with open(f"{directory}/{file}") as control:
                return control.read().strip()
    raise FileNotFoundError(file)


def message(done: object) -> str:
    return str(done.err).partition("msg=")[2].strip().strip('"')


@pytest.mark.parametrize(
    ("option", "value", "file", "now"),
    [
        ("--memory", "32m", "memory.limit_in_bytes", 32 * MIB),
        ("--memory", str(100 * MIB), "memory.limit_in_bytes", 100 * MIB),
        ("--memory-swap", "0.5g", "memory.memsw.limit_in_bytes", 512 * MIB),
        ("--memory-reservation", "16MiB", "memory.soft_limit_in_bytes", 16 * MIB),
        ("--cpu-share", "512", "cpu.shares", 512),
        ("--cpu-quota", "-1", "cpu.cfs_quota_us", -1),
        ("--cpu-period", "50000", "cpu.cfs_period_us", 50_000),
        ("--cpuset-cpus", "0", "cpuset.cpus", 0),
        ("--cpuset-mems", "0", "cpuset.mems", 0),
        ("--pids-limit", "7", "pids.max", 7),
        ("--pids-limit", "-1", "pids.max", "max"),
    ],
)
def test_one_limit(running: Pysc, option: str, value: str, file: str, now: object) -> None:
    running("update", option, value, running.id, check=True)
    assert setting(running, file) == str(now)


# As Docker and containerd write it: 0 is unset.
DOCKER = {"memory": {"limit": 0, "swap": 0, "reservation": 0}, "cpu": {"shares": 0, "quota": 0, "period": 0, "cpus": "", "mems": ""}}


@pytest.mark.parametrize(
    ("memory", "swap"),
    [(100, 200), (200, 300), (10, 20), (100, -1), (-1, -1), (64, 64), (64, 128)],
)
def test_memory_and_swap_grow_and_shrink_together(running: Pysc, memory: int, swap: int) -> None:
    """Whichever of the two has to be written first."""
    for limits in ((memory, swap), (64, 128)):
        limit, both = (value * MIB if value > 0 else value for value in limits)
        asked = DOCKER | {"memory": {"limit": limit, "swap": both}, "blockIO": {"weight": 0}}
        running("update", "--resources", "-", running.id, input=json.dumps(asked), check=True)
        unlimited = str((1 << 63) - 4096)
        assert setting(running, "memory.limit_in_bytes") == (str(limit) if limit > 0 else unlimited)
        assert setting(running, "memory.memsw.limit_in_bytes") == (str(both) if both > 0 else unlimited)


def test_what_is_not_given_stays(running: Pysc, tmp_path: Path) -> None:
    running("update", "--resources", "-", running.id, input=json.dumps(DOCKER), check=True)
    (tmp_path / "limits.json").write_text(json.dumps({"cpu": {"shares": 300}}))
    running("update", f"--resources={tmp_path}/limits.json", "--pids-limit", "1", running.id, check=True)  # the file alone counts
    files = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "cpu.cfs_quota_us", "cpu.cfs_period_us", "pids.max", "cpu.shares")
    assert [setting(running, file) for file in files] == [str(v) for v in (64 * MIB, 128 * MIB, 50_000, 100_000, 50, 300)]


def test_without_limit_on_memory_there_is_none_on_swap(running: Pysc) -> None:
    running("update", "--memory", "-1", running.id, check=True)
    assert int(setting(running, "memory.memsw.limit_in_bytes")) > 1 << 60


def test_a_shorter_period_needs_the_quota_first(running: Pysc) -> None:
    running("update", "--cpu-period", "1000", "--cpu-quota", "1000", running.id, check=True)
    running("update", "--cpu-period", "200000", "--cpu-quota", "400000", running.id, check=True)
    assert setting(running, "cpu.cfs_quota_us") == "400000"


def test_all_or_nothing(running: Pysc) -> None:
    done = running("update", "--memory", "32m", "--cpu-share", "99", "--cpuset-cpus", "4000", running.id)
    assert done.code == 1
    assert "linux.resources.cpu.cpus" in done.err
    assert (setting(running, "memory.limit_in_bytes"), setting(running, "cpu.shares")) == (str(64 * MIB), "1024")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--memory", "1"], "unable to set memory limit to 1 (current usage: "),
        (["--memory", "much"], "invalid value for memory: invalid size: 'much'"),
        (["--cpu-quota", "x"], 'invalid value for cpu-quota: parsing \\"x\\": invalid syntax'),
        (["--l3-cache-schema", "L3:0=f"], "Intel RDT: l3 cache schema is not enabled"),
        (["--resources", "/nonexistent"], "open /nonexistent: no such file or directory"),
        (["--pids-limit", "-7"], "resources.pids.limit: -7 is negative: -1 is no limit"),
    ],
)
def test_refusals(running: Pysc, options: list[str], error: str) -> None:
    assert error in message(running("update", *options, running.id))


def test_of_a_container_that_has_stopped(pysc: Pysc, bundle: Bundles) -> None:
    assert message(pysc("update", "--memory", "1g", "none")) == "container does not exist"
    start(pysc, bundle(["true"]))
    pysc("wait", pysc.id)
    assert message(pysc("update", "--memory", "1g", pysc.id)) == "container not running"
    assert message(pysc("events", pysc.id)) == f"container with id {pysc.id} is not running"
    pysc("delete", pysc.id, check=True)


# ---- events ----


def keys(value: Any) -> Any:
    return {name: keys(item) for name, item in value.items()} if isinstance(value, dict) else type(value).__name__


@requires("runc")
def test_stats_have_runcs_form(running: Pysc, bundle: Bundles, tmp_path: Path) -> None:
    ours = json.loads(running("events", "--stats", running.id, check=True).out)
    assert (ours["type"], ours["id"]) == ("stats", running.id)
    made = bundle(["sleep", "1000"], process={"rlimits": []})
    base = ["runc", "--root", str(tmp_path / "runc")]
    name = f"{running.id}-runc"
    ran = subprocess.run([*base, "run", "-d", "-b", made.path, name], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False)
    assert ran.returncode == 0
    try:
        theirs = json.loads(subprocess.run([*base, "events", "--stats", name], capture_output=True, check=True).stdout)
    finally:
        subprocess.run([*base, "delete", "--force", name], check=True)
    for event in (ours, theirs):
        event["data"]["pids"].pop("limit", None)
        event["data"]["cpu"]["throttling"] = event["data"]["blkio"] = {}
        for section in ("usage", "swap", "kernel"):
            event["data"]["memory"][section].setdefault("usage", 0)
            event["data"]["memory"][section].setdefault("max", 0)
    assert keys(ours) == keys(theirs)


def test_stats_are_the_kernels(running: Pysc) -> None:
    data = json.loads(running("events", "--stats", running.id, check=True).out)["data"]
    assert data["memory"]["usage"]["limit"] == 64 * MIB
    assert data["memory"]["swap"]["limit"] == 128 * MIB
    assert data["pids"] == {"current": 1, "limit": 50}
    assert data["cpu"]["usage"]["total"] > 0


def test_out_of_memory_is_told_and_the_end_ends_it(pysc: Pysc, bundle: Bundles, v1: None) -> None:
    resources = {"memory": {"limit": 24 * MIB, "swap": 24 * MIB}}
    made = bundle(["sh", "-c", "read line; tail /dev/zero; exit 0"], linux={"resources": resources})
    reading, writing = os.pipe()
    command = pysc.argv("run", "--detach", "-b", made, pysc.id)
    subprocess.run(command, stdin=reading, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True, timeout=60)
    os.close(reading)
    with subprocess.Popen(pysc.argv("events", "--interval", "50ms", pysc.id), stdout=subprocess.PIPE, text=True) as events:
        assert events.stdout is not None
        assert json.loads(events.stdout.readline())["type"] == "stats"
        os.write(writing, b"go\n")
        told = [json.loads(line) for line in events.stdout]
    os.close(writing)
    assert events.returncode == 0
    assert {"type": "oom", "id": pysc.id} in told
    pysc("delete", pysc.id, check=True)


@pytest.mark.parametrize("interval", ["", "0s", "5", "-1s", "1.2.3s", "x"])
def test_intervals_that_are_none(pysc: Pysc, interval: str) -> None:
    assert "interval" in message(pysc("events", "--interval", interval, "none"))


def test_version_2(tmp_path: Path) -> None:
    """By the files' form: this kernel need not have the controllers there."""
    files = {
        "cpu.stat": "usage_usec 30\nuser_usec 10\nsystem_usec 20\nnr_periods 4\nnr_throttled 2\nthrottled_usec 5\n",
        "memory.stat": "anon 1\nfile 4096\n",
        "memory.current": "8192\n",
        "memory.max": "max\n",
        "memory.peak": "9000\n",
        "memory.swap.current": "100\n",
        "memory.swap.max": "max\n",
        "pids.current": "3\n",
        "pids.max": "max\n",
        "io.stat": "8:16 rbytes=10 wbytes=20 rios=1 wios=0\n",
        "hugetlb.2MB.current": "2097152\n",
        "hugetlb.2MB.events": "max 6\n",
        "cpuset.cpus": "0-1,4\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    found = stats([str(tmp_path)])
    assert found["cpu"] == {
        "usage": {"total": 30_000, "kernel": 20_000, "user": 10_000},
        "throttling": {"periods": 4, "throttledPeriods": 2, "throttledTime": 5000},
    }
    assert found["memory"]["usage"] == {"limit": (1 << 64) - 1, "usage": 8192, "max": 9000, "failcnt": 0}
    assert found["memory"]["swap"]["usage"] == 8292
    assert found["memory"]["cache"] == 4096
    assert found["pids"] == {"current": 3}
    assert found["blkio"]["ioServiceBytesRecursive"] == [
        {"major": 8, "minor": 16, "op": "Read", "value": 10},
        {"major": 8, "minor": 16, "op": "Write", "value": 20},
    ]
    assert found["hugetlb"] == {"2MB": {"usage": 2097152, "failcnt": 6}}
    assert found["cpuset"]["cpus"] == [0, 1, 4]


# ---- the limits as the container sees them ----


@sandboxed
def test_proc_shows_the_limits_and_what_update_makes_of_them(pysc: Pysc, bundle: Bundles, v1: None) -> None:
    resources = {"memory": {"limit": 50 * MIB, "swap": 50 * MIB}, "cpu": {"cpus": "0"}}
    start(pysc, bundle(["sleep", "1000"], linux={"resources": resources}))
    show = ["sh", "-c", "grep MemTotal /proc/meminfo; grep -c processor /proc/cpuinfo"]
    assert pysc("exec", pysc.id, *show).out.split() == ["MemTotal:", str(50 * 1024), "kB", "1"]
    pysc("update", "--memory", "80m", "--memory-swap", "80m", pysc.id, check=True)
    assert pysc("exec", pysc.id, *show).out.split()[1] == str(80 * 1024)
    pysc("delete", "--force", pysc.id, check=True)


@pytest.fixture
def pod() -> Iterator[str]:
    """A parent cgroup with limits of its own: 64 MiB, and half a CPU's time."""
    path = f"/pysc-limits-{os.getpid()}"
    for controller, file, value in (("memory", "memory.limit_in_bytes", 64 * MIB), ("cpu", "cpu.cfs_quota_us", 50_000)):
        directory = Path(f"/sys/fs/cgroup/{controller}{path}")
        directory.mkdir()
        (directory / file).write_text(str(value))
    yield path
    for directory, _, _ in sorted(os.walk("/sys/fs/cgroup"), reverse=True):
        if path in directory:
            os.rmdir(directory)


@sandboxed
def test_limits_of_a_pod_are_shown_too(pysc: Pysc, bundle: Bundles, v1: None, pod: str) -> None:
    """The tightest on the way up counts, also when it changes."""
    start(pysc, bundle(["sleep", "1000"], linux={"cgroupsPath": f"{pod}/sub/{pysc.id}", "resources": {"memory": {"limit": 80 * MIB}}}))
    size = "grep -h MemTotal /proc/meminfo /sys/devices/system/node/node0/meminfo | sed 's/.*: *//'"
    show = ["sh", "-c", f"{size}; grep -c processor /proc/cpuinfo; grep -c cpu[0-9] /proc/stat; cat /sys/devices/system/cpu/online"]
    first = pysc("exec", pysc.id, *show).out.split()
    assert first == [str(64 * 1024), "kB", str(64 * 1024), "kB", "1", "1", "0"]
    pysc("update", "--memory", "50m", pysc.id, check=True)
    assert pysc("exec", pysc.id, *show).out.split()[0] == str(50 * 1024)
    pysc("update", "--memory", "100m", pysc.id, check=True)
    Path(f"/sys/fs/cgroup/memory{pod}/memory.limit_in_bytes").write_text(str(70 * MIB))
    assert pysc("exec", pysc.id, *show).out.split()[0] == str(70 * 1024)
    pysc("delete", "--force", pysc.id, check=True)
