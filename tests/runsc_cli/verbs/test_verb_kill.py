from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from stand_ins import stop

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stand_ins import Pysc, Spawn

    from runsc_cli.state import Container, Store


def ended_by(container: Container) -> int:
    assert container.state.init is not None
    info = os.waitid(os.P_PID, container.state.init.pid, os.WEXITED | os.WNOWAIT)
    assert info is not None
    assert info.si_code == os.CLD_KILLED
    return info.si_status


@pytest.mark.parametrize(
    ("argv", "number"),
    [
        (["web"], signal.SIGTERM),
        (["web", "9"], signal.SIGKILL),
        (["web", "KILL"], signal.SIGKILL),
        (["web", "SIGUSR1"], signal.SIGUSR1),
        (["--all", "web", "15"], signal.SIGTERM),
        (["web", "--all", "SIGKILL"], signal.SIGKILL),
    ],
    ids=str,
)
def test_the_signal_arrives(argv: list[str], number: int, pysc: Pysc, running: Callable[..., Container]) -> None:
    container = running()
    answer = pysc("kill", *argv)
    assert (answer.code, answer.out, answer.err) == (0, "", "")
    assert ended_by(container) == number


def test_0_only_probes(pysc: Pysc, running: Callable[..., Container]) -> None:
    container = running()
    assert pysc("kill", "web", "0").code == 0
    assert container.status() == "running"


def test_a_bad_signal(pysc: Pysc, running: Callable[..., Container]) -> None:
    running()
    answer = pysc("kill", "web", "BADSIG")
    assert (answer.code, answer.message) == (1, 'unknown signal "BADSIG"')


def test_all_means_nobody_outside_of_cgroups(pysc: Pysc, running: Callable[..., Container], spawn: Spawn, tmp_path: Path) -> None:
    stranger = spawn()
    (tmp_path / "cgroup.procs").write_text(f"{stranger.pid}\n")
    with running().lock() as container:
        container.state.cgroups = [str(tmp_path)]
        container.save()
    answer = pysc("kill", "--all", "web", "KILL")
    assert answer.code == 1
    assert f"the cgroup '{tmp_path}' lies below no cgroup mount; remove the container with delete --force" in answer.message
    assert stranger.poll() is None
    answer = pysc("delete", "--force", "web")
    assert (answer.code, "it is left alone" in answer.err) == (0, True)
    assert stranger.poll() is None


def test_a_stopped_container(pysc: Pysc, running: Callable[..., Container]) -> None:
    stop(running())
    answer = pysc("kill", "web", "KILL")
    assert (answer.code, answer.message) == (1, "container not running")
    assert pysc("kill", "--all", "web", "KILL").code == 0


def test_an_unknown_container(pysc: Pysc) -> None:
    for argv in (["web", "9"], ["web", "BADSIG"], ["--all", "web", "9"]):
        answer = pysc("kill", *argv)
        assert (answer.code, answer.message) == (1, "container does not exist")


def test_a_container_that_is_being_created(pysc: Pysc, store: Store) -> None:
    with store.create("web"):
        assert pysc("kill", "web").message == "container not running"


def test_a_stranger_with_the_pid_is_spared(pysc: Pysc, running: Callable[..., Container]) -> None:
    with running().lock() as container:
        assert container.state.init is not None
        container.state.init.start -= 1
        container.save()
    assert pysc("kill", "web", "KILL").message == "container not running"
    assert pysc("kill", "--all", "web", "KILL").code == 0
    os.kill(container.state.init.pid, 0)
