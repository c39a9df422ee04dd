"""What pysc prints and writes in version 2, beside runc: the same bundle in both."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from containers import Done, Pysc, requires

if TYPE_CHECKING:
    from collections.abc import Iterator

    from containers import Bundles

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240), requires("runc")]

TOP = Path("/sys/fs/cgroup")
FILES = (
    "memory.max", "memory.low", "memory.high", "memory.swap.max", "cpu.max", "cpu.idle", "cpuset.cpus", "cpuset.mems", "pids.max",
    "io.bfq.weight", "cgroup.freeze", "memory.oom.group", "hugetlb.2MB.max", "cgroup.controllers",
)  # fmt: skip
"""But for cpu.weight: later versions of runc, and pysc, convert shares to it otherwise."""


class Pair:
    """`pair(words)`: the same command line for a container of pysc's and for one of runc's, whose id goes last."""

    def __init__(self, pysc: Pysc, root: Path) -> None:
        self.pysc = pysc
        self.bases = {"pysc": pysc.argv(), "runc": ["runc", "--root", str(root)]}

    def __call__(self, *words: object) -> dict[str, Done]:
        return {name: self.run(name, *words, self.pysc.id) for name in self.bases}

    def run(self, name: str, *words: object) -> Done:
        argv = [*self.bases[name], *map(str, words)]
        ran = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
        return Done(argv, ran.returncode, ran.stdout, ran.stderr)

    def files(self, name: str) -> dict[str, str]:
        place = TOP / f"like-runc/{name}"
        return {file: (place / file).read_text().strip() for file in FILES if (place / file).exists()}


@pytest.fixture
def pair(pysc: Pysc, bundle: Bundles, tmp_path: Path) -> Iterator[Pair]:
    both = Pair(pysc, tmp_path / "runc")
    for name, base in both.bases.items():
        limits = {"memory": {"limit": 64 << 20}, "pids": {"limit": 50}}
        made = bundle(["sleep", "1000"], linux={"cgroupsPath": f"/like-runc/{name}", "resources": limits})
        argv = [*base, "run", "--detach", "--bundle", str(made), pysc.id]
        subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True, timeout=60)
    yield both
    both("delete", "--force")
    os.rmdir(TOP / "like-runc")


UPDATES = [
    ("--memory", "48m"), ("--memory", "48m", "--memory-swap", "96m"), ("--memory-swap", "128m"), ("--memory-swap", "-1"), ("--memory", "-1"),
    ("--memory-reservation", "16m"), ("--cpu-quota", "20000"), ("--cpu-period", "50000"), ("--cpu-quota", "-1"),
    ("--cpu-quota", "30000", "--cpu-period", "200000"), ("--cpuset-cpus", "0"), ("--cpuset-mems", "0"), ("--cpuset-cpus", "77"),
    ("--pids-limit", "30"), ("--pids-limit", "-1"), ("--blkio-weight", "500"), ("--cpu-period", "1"),
    ("--memory", "64m", "--memory-swap", "32m"), ("--cpu-share", "512"), ("--memory", "1k"),
]  # fmt: skip


def test_update(pair: Pair) -> None:
    done = pair("update", "--cpu-rt-period", "10000")  # runc takes it, and does nothing
    assert ("cgroup version 2 does not have it" in done["pysc"].err, done["runc"].code) == (True, 0), done
    differ: list[object] = []
    for words in UPDATES:
        done = pair("update", *words)
        if done["pysc"].code != done["runc"].code:
            differ.append((words, *((each.code, each.err) for each in done.values())))
        ours, theirs = pair.files("pysc"), pair.files("runc")
        if ours != theirs:
            differ.append((words, {name: (ours.get(name), theirs.get(name)) for name in FILES if ours.get(name) != theirs.get(name)}))
    assert differ == [], "\n".join(map(str, differ))


def names(value: Any, above: str = "") -> set[str]:
    """The keys of a JSON value; those of an array's entries are all one."""
    if isinstance(value, dict):
        return {above}.union(*(names(each, f"{above}/{key}") for key, each in value.items()))
    return {above}.union(*(names(each, f"{above}[]") for each in value)) if isinstance(value, list) else {above}


_MEASURED = ("/data/blkio/", "/data/memory/cache")
"""Which of the two has read a file from the disk: nothing is printed for none."""


def test_events(pair: Pair) -> None:
    found = (names(json.loads(done.out)) for done in pair("events", "--stats").values())
    ours, theirs = ({name for name in each if not name.startswith(_MEASURED)} for each in found)
    assert (sorted(theirs - ours), sorted(ours - theirs - {"/data/memory/usage/max", "/data/memory/swap/max"})) == ([], [])


def test_ps(pair: Pair) -> None:
    table = {name: done.out.split("\n")[0].split() for name, done in pair("ps").items()}
    assert table["pysc"] == table["runc"]
    numbers = {name: [type(each) for each in json.loads(done.out)] for name, done in pair("ps", "--format", "json").items()}
    assert numbers["pysc"] == numbers["runc"] == [int]


def test_pause_and_resume(pair: Pair) -> None:
    for verb in ("resume", "pause", "pause", "resume", "resume"):
        done = pair(verb)
        assert done["pysc"].code == done["runc"].code, (verb, done)
        states = {name: json.loads(each.out)["status"] for name, each in pair("state").items()}
        assert states["pysc"] == states["runc"], (verb, states)
        assert pair.files("pysc") == pair.files("runc")
    pair("pause")
    done = {name: pair.run(name, "exec", pair.pysc.id, "true") for name in pair.bases}
    assert done["pysc"].code == done["runc"].code != 0, done
    done = pair("delete")
    assert done["pysc"].code == done["runc"].code, done
    done = pair("kill")
    assert done["pysc"].code == done["runc"].code, done
