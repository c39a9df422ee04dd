"""--systemd-cgroup against systemd itself."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from containers import Bundle, Bundles, Pysc, both_platforms

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180), both_platforms]

MIB = 1 << 20
TOP = Path("/sys/fs/cgroup")


def show(unit: str, *names: str) -> dict[str, str]:
    argv = ["systemctl", "show", unit, *(f"--property={name}" for name in names)]
    lines = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
    return dict(line.split("=", 1) for line in lines)


def active(id: str) -> list[str]:
    argv = ["systemctl", "list-units", "--plain", "--no-legend", f"*{id}*"]
    lines = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
    return [line for line in lines if " active " in line]


def start(pysc: Pysc, made: Bundle, verb: str = "run") -> int:
    argv = pysc.argv("--systemd-cgroup", verb, *(["-d"] if verb == "run" else []), "-b", made, pysc.id)
    subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True, timeout=120)
    return int(json.loads(pysc("state", pysc.id, check=True).out)["pid"])


def place(pid: int) -> str:
    return Path(f"/proc/{pid}/cgroup").read_text().strip().partition("::")[2]


@pytest.fixture
def slice() -> Iterator[str]:
    name = f"pysctest{os.getpid()}-pod.slice"
    yield name
    subprocess.run(["systemctl", "stop", name, f"pysctest{os.getpid()}.slice"], check=True, capture_output=True)


LIMITS = {"memory": {"limit": 64 * MIB}, "cpu": {"shares": 512, "quota": 33_333, "period": 100_000}, "pids": {"limit": 50}}


def test_a_scope_from_create_to_delete(pysc: Pysc, bundle: Bundles, slice: str) -> None:
    made = bundle(["sleep", "1000"], linux={"cgroupsPath": f"{slice}:pysc:{pysc.id}", "resources": LIMITS})
    pid = start(pysc, made, "create")
    unit, parent = f"pysc-{pysc.id}.scope", f"/{slice.partition('-')[0]}.slice/{slice}"
    assert place(pid) == f"{parent}/{unit}"
    pysc("start", pysc.id, check=True)
    given = show(unit, "ActiveState", "Slice", "MemoryMax", "TasksMax", "CPUQuotaPerSecUSec", "CPUWeight", "Delegate")
    assert given == {
        "ActiveState": "active",
        "Slice": slice,
        "MemoryMax": str(64 * MIB),
        "TasksMax": "50",
        "CPUQuotaPerSecUSec": "340ms",
        "CPUWeight": given["CPUWeight"],
        "Delegate": "yes",
    }
    files = Path(f"{TOP}{parent}/{unit}")
    assert int((files / "memory.max").read_text()) == 64 * MIB
    assert (files / "cpu.max").read_text() == "33333 100000\n"

    if pysc.platform == "notify":
        state = json.loads((pysc.root / pysc.id / "state.json").read_text())
        beside = f"{parent}/pysc-pysc-{pysc.id}.scope"
        assert [place(state[who][0]) for who in ("sentry", "gofer")] == [beside] * 2
        assert int(Path(f"{TOP}{beside}/memory.current").read_text()) > 2 * MIB
        assert show(os.path.basename(beside), "ActiveState", "Slice") == {"ActiveState": "active", "Slice": slice}

    assert pysc("exec", pysc.id, "true").code == 0
    pysc("pause", pysc.id, check=True)
    assert json.loads(pysc("state", pysc.id).out)["status"] == "paused"
    pysc("resume", pysc.id, check=True)
    pysc("update", "--memory", str(80 * MIB), "--pids-limit", "60", "--cpu-quota", "50000", pysc.id, check=True)
    assert show(unit, "MemoryMax", "TasksMax", "CPUQuotaPerSecUSec") == {
        "MemoryMax": str(80 * MIB),
        "TasksMax": "60",
        "CPUQuotaPerSecUSec": "500ms",
    }
    pysc("kill", pysc.id, "KILL", check=True)
    while json.loads(pysc("state", pysc.id).out)["status"] != "stopped":
        pass
    pysc("delete", pysc.id, check=True)
    assert active(pysc.id) == []
    assert not files.exists()


def test_what_systemd_reloads_it_keeps(pysc: Pysc, bundle: Bundles, slice: str) -> None:
    limits = {**LIMITS, "cpu": {"cpus": "1", "idle": 0, "shares": 300}}
    pid = start(pysc, bundle(["sleep", "1000"], linux={"cgroupsPath": f"{slice}:pysc:{pysc.id}", "resources": limits}))
    names = ("memory.max", "memory.swap.max", "cpu.max", "cpu.weight", "pids.max", "cpuset.cpus")
    before = [(Path(f"{TOP}{place(pid)}") / name).read_text() for name in names]
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    assert [(Path(f"{TOP}{place(pid)}") / name).read_text() for name in names] == before
    if pysc.platform == "namespace":
        pysc("delete", "--force", pysc.id, check=True)
        return
    state = json.loads((pysc.root / pysc.id / "state.json").read_text())
    assert place(state["sentry"][0]).endswith(f"/pysc-pysc-{pysc.id}.scope")
    pysc("delete", "--force", pysc.id, check=True)


def test_the_default_is_the_system_slice(pysc: Pysc, bundle: Bundles) -> None:
    pid = start(pysc, bundle(["sleep", "1000"]))
    assert place(pid) == f"/system.slice/pysc-{pysc.id}.scope"
    pysc("delete", "--force", pysc.id, check=True)


def test_properties_of_the_config(pysc: Pysc, bundle: Bundles) -> None:
    annotations = {
        "org.systemd.property.TimeoutStopUSec": "uint64 5000000",
        "org.systemd.property.CollectMode": "'inactive-or-failed'",
        "org.systemd.property.IOAccounting": "true",
        "org.systemd.property.Documentation": "['https://example.org/a', 'man:b(1)']",
    }
    start(pysc, bundle(["sleep", "1000"], annotations=annotations))
    assert show(f"pysc-{pysc.id}.scope", "TimeoutStopUSec", "CollectMode", "IOAccounting", "Documentation") == {
        "TimeoutStopUSec": "5s",
        "CollectMode": "inactive-or-failed",
        "IOAccounting": "yes",
        "Documentation": 'https://example.org/a "man:b(1)"',
    }
    pysc("delete", "--force", pysc.id, check=True)


def test_a_failed_create_leaves_no_unit(pysc: Pysc, bundle: Bundles) -> None:
    done = pysc("--systemd-cgroup", "run", "-b", bundle(["/nothing"]), pysc.id)
    assert (done.code, "no such file or directory" in done.err) == (1, True), done
    assert active(pysc.id) == []


def test_a_run_in_the_foreground(pysc: Pysc, bundle: Bundles) -> None:
    done = pysc("--systemd-cgroup", "run", "-b", bundle(["sh", "-c", "echo out; exit 3"]), pysc.id)
    assert (done.code, done.out) == (3, "out\n"), done


@pytest.mark.platforms("notify")
def test_a_killed_sentry_takes_all_along(pysc: Pysc, bundle: Bundles) -> None:
    pid = start(pysc, bundle(["sleep", "1000"]))
    pidfd = os.pidfd_open(pid)
    os.kill(json.loads((pysc.root / pysc.id / "state.json").read_text())["sentry"][0], 9)
    os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOWAIT)
    os.close(pidfd)
    pysc("delete", "--force", pysc.id, check=True)


def test_a_taken_name(pysc: Pysc, bundle: Bundles) -> None:
    argv = ["systemd-run", "--scope", f"--unit=pysc-{pysc.id}.scope", "sleep", "1000"]
    with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as other:
        while show(f"pysc-{pysc.id}.scope", "ActiveState")["ActiveState"] != "active":
            pass
        done = pysc("--systemd-cgroup", "run", "-b", bundle(["true"]), pysc.id)
        assert (done.code, "already" in done.err) == (1, True), done
        assert show(f"pysc-{pysc.id}.scope", "ActiveState")["ActiveState"] == "active", "it is somebody else's"
        other.kill()
