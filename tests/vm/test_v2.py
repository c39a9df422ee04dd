"""cgroup version 2 with all controllers: every limit by its effect and not by the file that was written."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from containers import Bundle, Bundles, Pysc, both_platforms

if TYPE_CHECKING:
    from typing import Any

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180), both_platforms]

MIB = 1 << 20
TOP = Path("/sys/fs/cgroup")


def start(pysc: Pysc, made: Bundle, *options: str) -> Path:
    """Run it detached; its cgroup."""
    argv = pysc.argv(*options, "run", "-d", "-b", made, pysc.id)
    subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True, timeout=120)
    return cgroup(int(json.loads(pysc("state", pysc.id, check=True).out)["pid"]))


def cgroup(pid: int) -> Path:
    return Path(f"{TOP}{Path(f'/proc/{pid}/cgroup').read_text().strip().partition('::')[2]}")


def limited(bundle: Bundles, args: list[str], resources: dict[str, Any], **more: Any) -> Bundle:
    return bundle(args, linux={"resources": resources, **more.pop("linux", {})}, **more)


def keys(path: Path) -> dict[str, int]:
    return {name: int(value) for name, value in (line.split() for line in path.read_text().splitlines())}


def test_this_is_the_machine_that_it_should_be() -> None:
    assert Path("/proc/1/comm").read_text() == "systemd\n"
    assert {"cpu", "cpuset", "io", "memory", "pids"} <= set((TOP / "cgroup.controllers").read_text().split())


def test_memory_that_is_too_much_is_an_oom_kill(pysc: Pysc, bundle: Bundles) -> None:
    script = "until [ -e /dev/shm/go ]; do :; done; exec tail -c 200m /dev/zero"
    made = limited(bundle, ["sh", "-c", script], {"memory": {"limit": 32 * MIB, "swap": 32 * MIB}})
    place = start(pysc, made)
    assert (place / "memory.max").read_text() == f"{32 * MIB}\n"
    argv = pysc.argv("events", "--interval", "1s", pysc.id)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as events:
        assert events.stdout is not None
        assert json.loads(events.stdout.readline())["type"] == "stats"  # from now on it watches
        pysc("exec", pysc.id, "touch", "/dev/shm/go", check=True)
        told = [json.loads(line)["type"] for line in events.stdout]
    assert "oom" in told
    assert keys(place / "memory.events")["oom_kill"] >= 1
    pysc("delete", pysc.id, check=True)
    assert not place.exists()


def test_too_many_processes(pysc: Pysc, bundle: Bundles) -> None:
    made = limited(bundle, ["sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 10 & done"], {"pids": {"limit": 5}})
    done = pysc("run", "-b", made, pysc.id)
    assert "can't fork" in done.err, done


def test_a_quota_throttles(pysc: Pysc, bundle: Bundles) -> None:
    made = limited(bundle, ["sh", "-c", "while :; do :; done"], {"cpu": {"quota": 20_000, "period": 100_000, "burst": 1_000, "shares": 2048}})
    place = start(pysc, made)
    assert (place / "cpu.max").read_text() == "20000 100000\n"
    assert (place / "cpu.max.burst").read_text() == "1000\n"
    assert int((place / "cpu.weight").read_text()) > 100
    while keys(place / "cpu.stat")["nr_throttled"] < 3:  # the test's time limit ends that
        pass
    pysc("delete", "--force", pysc.id, check=True)


def test_one_cpu(pysc: Pysc, bundle: Bundles) -> None:
    made = limited(bundle, ["nproc"], {"cpu": {"cpus": "1", "mems": "0"}})
    assert pysc("run", "-b", made, pysc.id, check=True).out == "1\n"


def test_idle_beside_a_weight(pysc: Pysc, bundle: Bundles) -> None:
    place = start(pysc, limited(bundle, ["sleep", "100"], {"cpu": {"idle": 1}}))
    assert (place / "cpu.idle").read_text() == "1\n"
    pysc("delete", "--force", pysc.id, check=True)


def test_slow_reads(pysc: Pysc, bundle: Bundles) -> None:
    device = os.stat("/dev/vda").st_rdev
    rate = {"major": os.major(device), "minor": os.minor(device), "rate": 4 * MIB}
    place = start(pysc, limited(bundle, ["sleep", "100"], {"blockIO": {"throttleReadBpsDevice": [rate]}}))
    assert f"{os.major(device)}:{os.minor(device)} rbps={4 * MIB} " in (place / "io.max").read_text()
    pysc("delete", "--force", pysc.id, check=True)


def test_files_of_the_config(pysc: Pysc, bundle: Bundles) -> None:
    given = {"memory.high": str(48 * MIB), "pids.max": "77", "memory.oom.group": "1"}
    place = start(pysc, limited(bundle, ["sleep", "100"], {"unified": given}))
    assert {name: (place / name).read_text().strip() for name in given} == given
    pysc("delete", "--force", pysc.id, check=True)


def test_swap_is_counted_alone(pysc: Pysc, bundle: Bundles) -> None:
    place = start(pysc, limited(bundle, ["sleep", "100"], {"memory": {"limit": 64 * MIB, "swap": 96 * MIB, "reservation": 32 * MIB}}))
    files = {"memory.max": 64 * MIB, "memory.swap.max": 32 * MIB, "memory.low": 32 * MIB}
    assert {name: int((place / name).read_text()) for name in files} == files
    pysc("delete", "--force", pysc.id, check=True)


@pytest.mark.platforms("namespace")
@pytest.mark.parametrize(("rules", "opens"), [([], False), ([{"allow": True, "type": "c", "major": 1, "minor": 11, "access": "rw"}], True)])
def test_devices_by_a_program(pysc: Pysc, bundle: Bundles, rules: list[dict[str, Any]], opens: bool) -> None:
    """A node of /dev/kmsg: whoever may make it need not be able to open it."""
    every = [{"allow": False, "access": "rwm"}, {"allow": True, "type": "c", "access": "m"}, *rules]
    capabilities = {kind: ["CAP_MKNOD", "CAP_SYSLOG", "CAP_SYS_ADMIN"] for kind in ("bounding", "effective", "permitted")}
    made = limited(
        bundle,
        ["sh", "-c", "mknod /dev/log c 1 11 && head -c 0 /dev/log && echo opened"],
        {"devices": every},
        process={"capabilities": capabilities},
    )
    done = pysc("run", "-b", made, pysc.id)
    assert (done.out == "opened\n") == opens, done
    assert opens or "Operation not permitted" in done.err, done


@pytest.mark.platforms("namespace")
def test_a_cgroup_namespace_and_a_mount_of_it(pysc: Pysc, bundle: Bundles) -> None:
    look = "cat /proc/self/cgroup; cat /sys/fs/cgroup/pids.max; ls /sys/fs/cgroup | grep -c pysc"
    made = limited(bundle, ["sh", "-c", look], {"pids": {"limit": 9}})
    assert {"type": "cgroup"} in made.config["linux"]["namespaces"]
    assert "/sys/fs/cgroup" in [mount["destination"] for mount in made.config["mounts"]]
    done = pysc("run", "-b", made, pysc.id)
    assert done.out == "0::/\n9\n0\n", done


def test_pause_freezes_and_resume_thaws(pysc: Pysc, bundle: Bundles) -> None:
    place = start(pysc, bundle(["sh", "-c", "while :; do :; done"]))
    pysc("pause", pysc.id, check=True)
    assert keys(place / "cgroup.events")["frozen"] == 1
    assert json.loads(pysc("state", pysc.id).out)["status"] == "paused"
    pysc("resume", pysc.id, check=True)
    assert keys(place / "cgroup.events")["frozen"] == 0
    pysc("pause", pysc.id, check=True)
    pysc("delete", "--force", pysc.id, check=True)
    assert not place.exists()


def test_all_are_killed(pysc: Pysc, bundle: Bundles) -> None:
    place = start(pysc, bundle(["sh", "-c", "sleep 100 & sleep 100 & sleep 100"]))
    pysc("kill", "--all", pysc.id, "KILL", check=True)
    assert keys(place / "cgroup.events")["populated"] == 0
    pysc("delete", pysc.id, check=True)


def test_stats_and_update(pysc: Pysc, bundle: Bundles) -> None:
    place = start(pysc, limited(bundle, ["sleep", "100"], {"memory": {"limit": 64 * MIB}, "pids": {"limit": 30}}))
    found = json.loads(pysc("events", "--stats", pysc.id, check=True).out)["data"]
    assert found["memory"]["usage"]["limit"] == 64 * MIB
    assert found["memory"]["usage"]["usage"] > 0
    assert found["pids"]["limit"] == 30
    assert found["cpu"]["usage"]["total"] > 0
    change = ["--memory", str(80 * MIB), "--pids-limit", "40", "--cpu-quota", "50000", "--cpu-share", "512", "--cpuset-cpus", "0"]
    pysc("update", *change, pysc.id, check=True)
    files = {"memory.max": str(80 * MIB), "pids.max": "40", "cpu.max": "50000 100000", "cpuset.cpus": "0"}
    assert {name: (place / name).read_text().strip() for name in files} == files
    pysc("delete", "--force", pysc.id, check=True)


def test_more_processes_are_in_the_leaf(pysc: Pysc, bundle: Bundles) -> None:
    start(pysc, bundle(["sleep", "100"]))
    place = cgroup(int(json.loads(pysc("state", pysc.id).out)["pid"]))
    before = len((place / "cgroup.procs").read_text().split())
    file = pysc.root / "pid"
    argv = pysc.argv("exec", "-d", "--pid-file", file, pysc.id, "sleep", "100")
    subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True, timeout=60)
    assert len((place / "cgroup.procs").read_text().split()) == before + 1
    os.kill(int(file.read_text()), 9)
    os.waitpid(int(file.read_text()), 0)
    file.unlink()
    pysc("delete", "--force", pysc.id, check=True)


def test_what_a_container_sees_of_its_limits(pysc: Pysc, bundle: Bundles) -> None:
    if pysc.platform != "notify":
        pytest.skip("a trusted container sees the host's")
    made = limited(bundle, ["sh", "-c", "grep MemTotal /proc/meminfo"], {"memory": {"limit": 64 * MIB}})
    assert re.search(rf"\b{64 * 1024} kB", pysc("run", "-b", made, pysc.id, check=True).out)
