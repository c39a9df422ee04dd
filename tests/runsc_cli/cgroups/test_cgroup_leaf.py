from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from runsc_cli.cgroups import leaf
from runsc_cli.cgroups.hierarchy import UNIFIED
from runsc_cli.errors import HostError
from runsc_cli.stage.program import Program, Stage, StageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stand_ins import Spawn

    from runsc_cli.cgroups.hierarchy import Hierarchies


def cgroups_of(pid: int) -> set[str]:
    with open(f"/proc/{pid}/cgroup") as file:
        return {line.rstrip("\n").split(":", 1)[1] for line in file}


def make(host: Hierarchies, path: str, *names: str) -> list[str]:
    directories = [host.mounts[name].point + path for name in names if name in host.mounts]
    if len(directories) < len(names):
        pytest.skip(f"not all of {names} are mounted")
    for directory in directories:
        os.makedirs(directory)
    return directories


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    os.kill(stage.pid, signal.SIGKILL)
    assert os.waitpid(stage.pid, 0)[1] == signal.SIGKILL
    stage.socket.close()


@pytest.mark.parametrize("names", [("freezer", "pids"), (UNIFIED,), ("freezer", "pids", UNIFIED)], ids=["v1", "v2", "hybrid"])
def test_a_stage_enters_and_is_still_our_child(host: Hierarchies, place: str, stage: Stage, names: tuple[str, ...]) -> None:
    directories = make(host, place, *names)
    before = cgroups_of(stage.pid)
    program = Program()
    clone = leaf.enter(program, directories)
    assert (clone is not None) == (UNIFIED in names)
    if clone is None:
        stage.run(program)
    else:
        stage.fork(program, clone)
    changed = cgroups_of(stage.pid) - before
    assert changed == {f"{name}:{place}" for name in names}
    assert leaf.pids(directories) == [stage.pid]
    fds = {os.readlink(f"/proc/{stage.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{stage.pid}/fd")}
    assert not any(place in fd for fd in fds)
    os.kill(stage.pid, signal.SIGKILL)
    leaf.remove(directories)


@pytest.mark.parametrize("gone", ["tasks", "directory"])
def test_a_stage_that_cannot_enter_says_where(tmp_path: Path, stage: Stage, gone: str) -> None:
    directory = str(tmp_path / "web")
    if gone == "tasks":
        os.makedirs(f"{directory}/tasks")
    program = Program()
    clone = leaf.enter(program, [directory])
    with pytest.raises(StageError, match=f"enter the cgroup {directory}: "):
        stage.run(program) if clone is None else stage.fork(program, clone)


def test_processes_below_count_once(host: Hierarchies, place: str, spawn: Spawn) -> None:
    directories = make(host, place, "freezer", "pids")
    os.makedirs(f"{directories[0]}/made/inside")
    one, two = sorted((spawn().pid, spawn().pid))
    for directory in directories:
        leaf.add(directory, one)
    leaf.add(f"{directories[0]}/made/inside", two)
    assert leaf.pids([*directories, "/sys/fs/cgroup/pysc-gone"]) == [one, two]


def test_add_to_a_cgroup_that_is_gone(host: Hierarchies) -> None:
    with pytest.raises(HostError, match="write /sys/fs/cgroup/pysc-gone/cgroup.procs: no such file or directory"):
        leaf.add("/sys/fs/cgroup/pysc-gone", os.getpid())


def test_remove_takes_what_the_workload_made_and_what_is_gone(host: Hierarchies, place: str) -> None:
    directories = make(host, place, "freezer", "pids")
    os.makedirs(f"{directories[0]}/a/b/c")
    os.makedirs(f"{directories[0]}/d")
    leaf.remove([*directories, *directories, "/sys/fs/cgroup/pysc-gone"])
    assert not any(map(os.path.exists, directories))


def test_remove_waits_for_a_process_that_has_just_been_killed(host: Hierarchies, place: str, spawn: Spawn) -> None:
    [directory] = make(host, place, "freezer")
    process = spawn()
    leaf.add(directory, process.pid)
    process.kill()  # not reaped: a zombie does not keep a cgroup
    leaf.remove([directory])
    assert not os.path.exists(directory)


def test_remove_gives_up_on_a_cgroup_in_use(host: Hierarchies, place: str, spawn: Spawn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaf, "TIMEOUT", 0.0)
    [directory] = make(host, place, "freezer")
    process = spawn()
    leaf.add(directory, process.pid)
    with pytest.raises(HostError, match=f"rmdir {directory}: device or resource busy"):
        leaf.remove([directory])
    process.kill()
    process.wait()
