"""--systemd-cgroup, against a double of systemd (tests/systemd_double.py) on a real bus; no machine of ours runs systemd itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from containers import Bundles, Pysc, requires

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not os.path.exists("/sys/fs/cgroup/systemd/cgroup.procs"), reason="needs cgroup version 1 with systemd's hierarchy"),
    requires("busybox", "dbus-daemon"),
]
pytest.importorskip("jeepney", reason="not installed: jeepney")

DOUBLE = Path(__file__).parents[1] / "systemd_double.py"
CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><listen>unix:path={}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow own="*"/><allow send_destination="*"/><allow eavesdrop="true"/></policy></busconfig>
"""


class Bus:
    """A bus, and the double on it."""

    def __init__(self, directory: Path, slice: str) -> None:
        self.slice = slice
        self.log = directory / "asked"
        self.environ = {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={directory}/bus"}
        (directory / "bus.conf").write_text(CONFIG.format(directory / "bus"))
        argv = ["dbus-daemon", f"--config-file={directory}/bus.conf", "--nofork", "--print-address"]
        self._processes = [subprocess.Popen(argv, stdout=subprocess.PIPE)]
        self._ready()

    def _ready(self) -> None:
        stdout = self._processes[-1].stdout
        assert stdout is not None
        assert stdout.readline() != b""

    def double(self, fail: str = "") -> None:
        argv = [sys.executable, str(DOUBLE), str(self.log), fail]
        self._processes.append(subprocess.Popen(argv, stdout=subprocess.PIPE, env={**os.environ, **self.environ}))
        self._ready()

    def asked(self) -> list[tuple[str, Any]]:
        return [tuple(json.loads(line)) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def end(self) -> None:
        for process in reversed(self._processes):
            process.kill()
            process.communicate()
        for directory, _, _ in sorted(os.walk("/sys/fs/cgroup"), reverse=True):
            if directory.endswith(f"/{self.slice}"):
                os.rmdir(directory)


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    bus = Bus(tmp_path, f"pyscdouble{os.getpid()}.slice")
    yield bus
    bus.end()


LIMITS = {"memory": {"limit": 64 << 20}, "cpu": {"shares": 512, "quota": 33_333, "period": 100_000}, "pids": {"limit": 20}}


def test_a_scope_from_create_to_delete(pysc: Pysc, bundle: Bundles, bus: Bus) -> None:
    bus.double()
    made = bundle(["sleep", "1000"], linux={"cgroupsPath": f"{bus.slice}:pysc:{pysc.id}", "resources": LIMITS})
    argv = pysc.argv("--systemd-cgroup", "run", "-d", "-b", made, pysc.id)
    environ = {**os.environ, **bus.environ}
    subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=environ, check=True, timeout=60)
    unit = f"pysc-{pysc.id}.scope"
    pid = json.loads(pysc("state", pysc.id, check=True).out)["pid"]
    with open(f"/proc/{pid}/cgroup") as file:
        places = {line.split(":")[1]: line.strip().split(":", 2)[2] for line in file}
    for controller in ("name=systemd", "pids", "memory", "cpu", "freezer"):
        own = next(path for names, path in places.items() if controller in names.split(","))
        assert own == f"/{bus.slice}/{unit}", controller
    assert Path(f"/sys/fs/cgroup/memory/{bus.slice}/{unit}/memory.limit_in_bytes").read_text() == f"{64 << 20}\n"

    scopes = {body[0]: body for member, body in bus.asked() if member == "StartTransientUnit"}
    beside = f"pysc-pysc-{pysc.id}.scope"
    assert set(scopes) == {unit, beside}
    state = json.loads((pysc.root / pysc.id / "state.json").read_text())
    for who in ("sentry", "gofer"):
        with open(f"/proc/{state[who][0]}/cgroup") as file:
            lines = [line.strip().split(":", 2) for line in file]
        for controller in ("name=systemd", "pids", "memory", "cpu"):
            own = next(path for _, names, path in lines if controller in names.split(","))
            assert own == f"/{bus.slice}/{beside}", (who, controller)
    assert {name: value[1] for name, value in scopes[beside][2]}["Slice"] == bus.slice

    body = scopes[unit]
    given = {name: value[1] for name, value in body[2]}
    assert (body[0], given["Slice"], given["Delegate"], given["DefaultDependencies"]) == (unit, bus.slice, True, False)
    assert (given["MemoryLimit"], given["CPUShares"], given["CPUQuotaPerSecUSec"], given["TasksMax"]) == (64 << 20, 512, 340_000, 20)

    assert pysc("exec", pysc.id, "true").code == 0
    pysc("update", "--pids-limit", "-1", pysc.id, env=bus.environ, check=True)
    assert bus.asked()[-1] == ("SetUnitProperties", [unit, True, [["TasksMax", ["t", (1 << 64) - 1]]]])
    pysc("delete", "--force", pysc.id, env=bus.environ, check=True)
    assert ("StopUnit", [unit, "replace"]) in bus.asked()
    assert ("StopUnit", [beside, "replace"]) in bus.asked()
    assert [d for d, _, _ in os.walk("/sys/fs/cgroup") if d.endswith((f"/{unit}", f"/{beside}"))] == []


@pytest.mark.parametrize(
    ("fail", "says"),
    [("refuse", "systemd: StartTransientUnit: Unit pysc-"), ("job", ".scope: failed")],
)
def test_a_scope_that_is_refused(pysc: Pysc, bundle: Bundles, bus: Bus, fail: str, says: str) -> None:
    bus.double(fail)
    made = bundle(["true"], linux={"cgroupsPath": f"{bus.slice}:pysc:{pysc.id}"})
    done = pysc("--systemd-cgroup", "run", "-b", made, pysc.id, env=bus.environ)
    assert (done.code, says in done.err) == (1, True), done
    assert pysc.containers() == []
    for directory, _, _ in sorted(os.walk("/sys/fs/cgroup"), reverse=True):
        if directory.endswith(f"pysc-{pysc.id}.scope"):
            os.rmdir(directory)  # the double has made it, and stops nothing


def test_without_a_bus(pysc: Pysc, bundle: Bundles, tmp_path: Path) -> None:
    made = bundle(["true"], linux={"cgroupsPath": "system.slice:pysc:x"})
    done = pysc("--systemd-cgroup", "run", "-b", made, pysc.id, env={"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={tmp_path}/nobody"})
    assert (done.code, "--systemd-cgroup: connect to the system bus: " in done.err) == (1, True), done
    assert pysc.containers() == []


def test_without_systemd_on_the_bus(pysc: Pysc, bundle: Bundles, bus: Bus) -> None:
    done = pysc("--systemd-cgroup", "run", "-b", bundle(["true"], linux={"cgroupsPath": "a.slice:p:n"}), pysc.id, env=bus.environ)
    assert (done.code, "systemd: Subscribe: " in done.err) == (1, True), done
    assert pysc.containers() == []


def test_a_bus_that_is_gone_keeps_nobody_from_deleting(pysc: Pysc, bundle: Bundles, bus: Bus) -> None:
    bus.double()
    made = bundle(["sleep", "1000"], linux={"cgroupsPath": f"{bus.slice}:pysc:{pysc.id}"})
    argv = pysc.argv("--systemd-cgroup", "run", "-d", "-b", made, pysc.id)
    subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env={**os.environ, **bus.environ}, check=True, timeout=60)
    done = pysc("delete", "--force", pysc.id, env={"DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nonexistent"})
    assert (done.code, "connect to the system bus" in done.err) == (0, True), done
    assert pysc.containers() == []


NONE = ["/absolute", "a:b", "a.slice:b:", "a/b.slice:c:d", "slice:c:d", "a--b.slice:c:d", "-a.slice:c:d", "a.slice:b:c/d"]


@pytest.mark.parametrize("path", NONE)
def test_paths_that_name_no_scope(pysc: Pysc, bundle: Bundles, path: str) -> None:
    done = pysc("--systemd-cgroup", "run", "-b", bundle(["true"], linux={"cgroupsPath": path}), pysc.id)
    assert (done.code, "linux.cgroupsPath: " in done.err) == (1, True), done
