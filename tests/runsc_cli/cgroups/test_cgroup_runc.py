"""The same config through runc: the same cgroups with the same contents."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from runsc_cli.cgroups import driver
from runsc_cli.cgroups.hierarchy import UNIFIED
from runsc_cli.oci.model import Resources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from runsc_cli.cgroups.hierarchy import Hierarchies

RESOURCES: dict[str, dict[str, Any]] = {
    "of runc spec": {"devices": [{"allow": False, "access": "rwm"}]},
    "of docker": {
        "devices": [
            {"allow": False, "access": "rwm"},
            {"allow": True, "type": "c", "major": 1, "minor": 5, "access": "rwm"},
            {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rwm"},
            {"allow": False, "type": "c", "major": 10, "minor": 229, "access": "rwm"},
        ],
        "memory": {"limit": 67108864, "swap": 134217728, "disableOOMKiller": False},
        "cpu": {"shares": 0, "quota": 50000, "period": 100000, "cpus": "0"},
        "pids": {"limit": 100},
        "blockIO": {"weight": 0},
    },
    "with all that this kernel has": {
        "devices": [{"allow": True, "type": "b", "major": 7, "access": "r"}],
        "memory": {"limit": 67108864, "swap": -1, "reservation": 33554432, "swappiness": 10, "disableOOMKiller": True},
        "cpu": {"shares": 512, "quota": 50000, "period": 200000, "mems": "0"},
        "pids": {"limit": -1},
    },
    "without limits": {"memory": {"limit": -1}, "cpu": {"quota": -1}},
}
# What counts, and what changes by itself.
_CHANGING = ("usage", "stat", "cgroup.procs", "tasks", "current", "pressure", "numa", "slabinfo", "io_service", "events", "peak")
# runc 1.1 lets every container have /dev/net/tun; later ones do not.
_TUN = "c 10:200 rwm"


def settings(directory: str) -> dict[str, list[str]]:
    """Every file of a cgroup that holds a setting."""
    found = {}
    for name in sorted(os.listdir(directory)):
        path = f"{directory}/{name}"
        if os.path.isdir(path) or not os.access(path, os.R_OK) or any(word in name for word in _CHANGING):
            continue
        try:
            with open(path) as file:
                lines = sorted(file.read().splitlines())
        except OSError:
            continue  # one that is written only, or not there on this kernel
        if name == "memory.oom_control":
            lines = [line for line in lines if not line.startswith("oom_kill ")]
        found[name] = [line for line in lines if line != _TUN]
    return found


@pytest.fixture
def runc(tmp_path: Path) -> Iterator[Callable[[str, dict[str, Any]], None]]:
    """Creates a container with runc; deletes it after the test."""
    runc = shutil.which("runc")
    if runc is None:
        pytest.skip("not installed: runc")
    base = [runc, "--root", str(tmp_path / "state")]
    bundle = tmp_path / "bundle"
    (bundle / "rootfs").mkdir(parents=True)
    ids: list[str] = []

    def create(path: str, resources: dict[str, Any]) -> None:
        subprocess.run([*base, "spec"], cwd=bundle, check=True)
        config = json.loads((bundle / "config.json").read_text())
        config["process"] |= {"terminal": False, "args": ["/bin/true"]}
        config["process"].pop("rlimits", None)
        config["root"]["readonly"] = False
        for top in ("bin", "lib", "lib64", "usr"):
            if os.path.isdir(f"/{top}"):
                bind = {"destination": f"/{top}", "type": "bind", "source": f"/{top}", "options": ["rbind", "ro"]}
                config["mounts"].append(bind)
        config["linux"] |= {"cgroupsPath": path, "resources": resources}
        (bundle / "config.json").write_text(json.dumps(config))
        ids.append(f"pysc-test-{os.getpid()}")
        argv = [*base, "create", "--bundle", str(bundle), ids[-1]]
        with open(tmp_path / "stderr", "w") as stderr:  # no pipe: the container keeps it open
            run = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr, check=False)
        if run.returncode:
            pytest.skip(f"runc cannot do this here: {(tmp_path / 'stderr').read_text()}")

    yield create
    for id in ids:
        subprocess.run([*base, "delete", "--force", id], check=False, capture_output=True)


@pytest.mark.parametrize("name", RESOURCES)
def test_the_same_leaves_as_runc(v1: Hierarchies, place: str, runc: Callable[[str, dict[str, Any]], None], name: str) -> None:
    cgroup = driver.plan(f"{place}/ours", "web", Resources.of(RESOURCES[name]))
    cgroup.create()
    runc(f"{place}/theirs", RESOURCES[name])
    there = {hierarchy for hierarchy, mount in v1.mounts.items() if os.path.isdir(f"{mount.point}{place}/theirs")}
    assert set(cgroup.paths) == there - {UNIFIED}
    for directory in cgroup.paths.values():
        assert settings(directory) == settings(directory.replace(f"{place}/ours", f"{place}/theirs")), directory
    driver.remove(cgroup.paths.values())
