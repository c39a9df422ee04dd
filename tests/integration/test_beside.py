"""The sentry and the gofer are accounted beside their container and below its parent: runsc_cli/cgroups/beside.py."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from containers import Bundle, Bundles, Pysc, requires

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    requires("busybox"),
]

COUNTED = ("memory", "cpu", "cpuacct", "pids", "cpuset", "blkio")


def start(pysc: Pysc, made: Bundle, *options: str) -> None:
    argv = pysc.argv(*options, "run", "-d", "-b", made, pysc.id)
    subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True, timeout=60)


def places(pid: int) -> dict[str, str]:
    """Controller, or version 2's empty name -> cgroup."""
    lines = [line.split(":", 2) for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    return {name: path for _, names, path in lines for name in names.split(",")}


def ours(pysc: Pysc) -> list[int]:
    state = json.loads((pysc.root / pysc.id / "state.json").read_text())
    return [state[who][0] for who in ("sentry", "files", "gofer") if state[who]]


def init(pysc: Pysc) -> int:
    return int(json.loads(pysc("state", pysc.id, check=True).out)["pid"])


@pytest.fixture
def parent() -> Iterator[str]:
    path = f"/pysc-pod-{os.getpid()}"
    yield path
    for directory, _, _ in sorted(os.walk("/sys/fs/cgroup"), reverse=True):
        if path in directory:
            os.rmdir(directory)


def found(parent: str, pysc: Pysc) -> list[str]:
    return [directory for directory, _, _ in os.walk("/sys/fs/cgroup") if f"{parent}/" in directory and pysc.id in directory]


def test_beside_the_leaf_and_below_its_parent(pysc: Pysc, bundle: Bundles, parent: str) -> None:
    start(pysc, bundle(["sleep", "1000"], linux={"cgroupsPath": f"{parent}/{pysc.id}"}))
    workload = places(init(pysc))
    for pid in ours(pysc):
        there = places(pid)
        for name in COUNTED if "memory" in there else ("",):
            assert there[name] == f"{parent}/pysc-{pysc.id}", name
            assert workload[name] == f"{parent}/{pysc.id}", name
        if "freezer" in there:
            assert parent not in there["freezer"]
    assert ours(pysc)[0] not in json.loads(pysc("ps", "--format", "json", pysc.id, check=True).out)
    pysc("delete", "--force", pysc.id, check=True)
    assert found(parent, pysc) == []


def test_the_parent_pays_and_the_leaf_does_not(pysc: Pysc, bundle: Bundles, parent: str) -> None:
    start(pysc, bundle(["sleep", "1000"], linux={"cgroupsPath": f"{parent}/{pysc.id}"}))
    top = Path("/sys/fs/cgroup/memory") if Path("/sys/fs/cgroup/memory").exists() else Path("/sys/fs/cgroup")
    file = "memory.usage_in_bytes" if top.name == "memory" else "memory.current"

    def usage(name: str) -> int:
        return int((Path(f"{top}{parent}/{name}") / file).read_text())

    assert usage(f"pysc-{pysc.id}") > 2 << 20  # what the sentry alone has of its own
    assert usage(pysc.id) < 1 << 20
    assert usage("") >= usage(f"pysc-{pysc.id}")
    pysc("delete", "--force", pysc.id, check=True)


def test_a_limit_of_the_parent_is_theirs_too(pysc: Pysc, bundle: Bundles, parent: str) -> None:
    top = Path("/sys/fs/cgroup/pids") if Path("/sys/fs/cgroup/pids").exists() else Path("/sys/fs/cgroup")
    Path(f"{top}{parent}").mkdir()
    Path(f"{top}{parent}/pids.max").write_text("1")
    done = pysc("run", "-b", bundle(["true"], linux={"cgroupsPath": f"{parent}/{pysc.id}"}), pysc.id)
    assert done.code != 0
    assert pysc.containers() == []
    assert found(parent, pysc) == []


def test_a_pause_does_not_stop_them(pysc: Pysc, bundle: Bundles) -> None:
    start(pysc, bundle(["sleep", "1000"]))
    pysc("pause", pysc.id, check=True)
    for pid in ours(pysc):
        assert Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] == "S"
    pysc("resume", pysc.id, check=True)
    assert pysc("exec", pysc.id, "cat", "/etc/passwd").out.startswith("root:")
    pysc("delete", "--force", pysc.id, check=True)


def test_without_cgroups_they_stay_where_the_caller_is(pysc: Pysc, bundle: Bundles) -> None:
    start(pysc, bundle(["sleep", "1000"]), "--ignore-cgroups")
    assert [places(pid) for pid in ours(pysc)] == [places(os.getpid())] * 2
    pysc("delete", "--force", pysc.id, check=True)


def test_cpus_and_nodes_are_the_parents(pysc: Pysc, bundle: Bundles, parent: str) -> None:
    """A new version 1 cpuset takes nobody in before it has some."""
    top = Path("/sys/fs/cgroup/cpuset")
    if not top.exists():
        pytest.skip("no cpuset controller of cgroup version 1")
    Path(f"{top}{parent}").mkdir()
    Path(f"{top}{parent}/cpuset.mems").write_text("0")
    Path(f"{top}{parent}/cpuset.cpus").write_text("0")
    start(pysc, bundle(["sleep", "1000"], linux={"cgroupsPath": f"{parent}/{pysc.id}"}))
    assert [os.sched_getaffinity(pid) for pid in ours(pysc)] == [{0}, {0}]
    pysc("delete", "--force", pysc.id, check=True)


@pytest.mark.parametrize("who", [0, 1])
def test_one_that_is_killed_leaves_nothing(pysc: Pysc, bundle: Bundles, parent: str, who: int) -> None:
    start(pysc, bundle(["sleep", "1000"], linux={"cgroupsPath": f"{parent}/{pysc.id}"}))
    pidfd = os.pidfd_open(init(pysc))
    os.kill(ours(pysc)[who], 9)
    os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOWAIT)
    os.close(pidfd)
    pysc("delete", "--force", pysc.id, check=True)
    assert found(parent, pysc) == []


@pytest.mark.parametrize("linux", [{"cgroupsPath": 7}, {"cgroupsPath": "/a\ud800"}, {"cgroupsPath": "/"}, "nothing"])
def test_a_path_that_is_none(pysc: Pysc, bundle: Bundles, linux: object) -> None:
    made = bundle(["true"])
    made.config["linux"] = linux
    made.write()
    done = pysc("run", "-b", made, pysc.id)
    assert (done.code, "linux" in done.err) == (1, True), done
    assert pysc.containers() == []
