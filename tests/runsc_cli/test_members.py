from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from stand_ins import enter

from runsc_cli import members as m
from runsc_cli.errors import StillAlive
from runsc_cli.members import in_container, kill_all, members, processes, signal_all
from runsc_cli.process import Process
from runsc_cli.state import State

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stand_ins import Spawn


def state(**fields: object) -> State:
    state = State("web")
    for name, value in fields.items():
        setattr(state, name, value)
    return state


def test_a_container_that_never_ran_has_none() -> None:
    assert members(state()) == []
    kill_all(state())


def test_processes_are_found_in_every_cgroup_and_below(tmp_path: Path) -> None:
    for path, pids in {"a": "3\n1\n", "a/b/c": "2\n", "d": "", "e": "1\n4\n"}.items():
        (tmp_path / path).mkdir(parents=True)
        (tmp_path / path / "cgroup.procs").write_text(pids)
    (tmp_path / "a" / "b" / "cgroup.procs").write_text("")
    cgroups = [str(tmp_path / name) for name in ("a", "d", "e", "gone")]
    assert members(state(cgroups=cgroups)) == [1, 2, 3, 4]


def test_a_pid_namespace_of_its_own_holds_the_container(pid_namespace: Callable[[], int]) -> None:
    init = pid_namespace()
    container = state(init=Process.of(init))
    found = members(container)
    assert init in found
    assert len(found) == 3
    assert os.getpid() not in found
    second = in_container(container, 2)
    assert second is not None
    assert second.pid in found
    assert in_container(container, 99) is None


def test_kill_all_ends_a_pid_namespace(pid_namespace: Callable[[], int]) -> None:
    container = state(init=Process.of(pid_namespace()))
    before = processes(container)
    kill_all(container)
    assert not any(process.alive() for process in before)
    assert processes(container) == []


def test_in_our_own_pid_namespace_only_descendants_are_the_containers(spawn: Spawn) -> None:
    """A container that shares the host's pid namespace must never mean every process of the host."""
    stranger = spawn()
    parent = spawn("sh", "-c", "sleep infinity & echo $!; wait")
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    container = state(init=Process.of(parent.pid))
    assert members(container) == sorted((parent.pid, child))
    kill_all(container)
    assert processes(container) == []
    assert stranger.poll() is None


def test_a_signal_reaches_every_process(spawn: Spawn) -> None:
    parent = spawn("sh", "-c", "trap 'echo got' USR1; echo ready; while :; do read line; done")
    assert parent.stdout is not None
    assert parent.stdout.readline() == "ready\n"
    signal_all(state(init=Process.of(parent.pid)), signal.SIGUSR1)
    assert parent.stdout.readline() == "got\n"
    assert parent.poll() is None


def test_kill_all_ends_a_cgroup_without_its_init(cgroup: str, spawn: Spawn) -> None:
    """kill --all after init has died, in a pod whose pid namespace lives on."""
    init = spawn()
    container = state(init=Process.of(init.pid), cgroups=[cgroup])
    os.mkdir(f"{cgroup}/below")
    others = [spawn(), spawn()]
    enter(cgroup, others[0].pid)
    enter(f"{cgroup}/below", others[1].pid)
    init.kill()
    init.wait()
    assert members(container) == sorted(other.pid for other in others)
    kill_all(container)
    assert [other.wait() for other in others] == [-signal.SIGKILL] * 2


def test_kill_all_ends_what_is_frozen(cgroup: str, spawn: Spawn) -> None:
    child = spawn()
    enter(cgroup, child.pid)
    for control, value in (("freezer.state", "FROZEN"), ("cgroup.freeze", "1")):
        if os.path.exists(f"{cgroup}/{control}"):
            with open(f"{cgroup}/{control}", "w") as file:
                file.write(value)
    kill_all(state(cgroups=[cgroup]))
    assert child.wait() == -signal.SIGKILL


def test_kill_all_outruns_processes_that_keep_forking(cgroup: str, spawn: Spawn) -> None:
    # Each generation forks the next and ends: a list of pids is out of date when it has been read.
    chain = "import os\nprint('ready', flush=True)\nwhile True:\n    pid = os.fork()\n    if pid:\n        os._exit(0)\n"
    for _ in range(3):
        child = spawn("sh", "-c", 'echo $$ > "$0/cgroup.procs"; exec python3 -I -S -c "$1"', cgroup, chain)
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    container = state(cgroups=[cgroup])
    kill_all(container)
    assert processes(container) == []


def test_what_cannot_be_killed_is_reported(spawn: Spawn, monkeypatch: pytest.MonkeyPatch) -> None:
    child = spawn()
    monkeypatch.setattr(m, "kill", lambda left: None)
    monkeypatch.setattr(m, "end", lambda left, timeout: False)
    with pytest.raises(StillAlive, match=f"container web: 1 processes outlive SIGKILL, first {child.pid}"):
        kill_all(state(init=Process.of(child.pid)), timeout=0)


def test_members_leaves_a_zombie_init_out(spawn: Spawn) -> None:
    child = spawn()
    container = state(init=Process.of(child.pid))
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert members(container) == []
