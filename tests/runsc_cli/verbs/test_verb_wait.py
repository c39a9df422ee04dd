from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from stand_ins import stop

from runsc_cli.members import in_container
from runsc_cli.process import Process
from runsc_cli.process import exited as process_exited
from runsc_cli.verbs import wait
from runsc_cli.verbs.wait import wait_for

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from stand_ins import Pysc, Spawn

    from runsc_cli.state import Container, Store

    Meanwhile = Callable[[Callable[[], object]], None]


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    """Makes something happen once the wait has begun."""
    exited = process_exited

    def arrange(act: Callable[[], object]) -> None:
        def acting(pidfds: list[int], timeout: float | None) -> bool:
            assert not exited(pidfds, 0), "it waits for a process that has ended"
            act()
            return exited(pidfds, timeout)

        monkeypatch.setattr(wait, "exited", acting)

    return arrange


def end_input(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    child.stdin.close()
    child.stdin = None


def test_it_waits_and_tells_the_status(pysc: Pysc, running: Callable[..., Container], meanwhile: Meanwhile) -> None:
    init = running().state.init
    assert init is not None
    meanwhile(lambda: init.send(signal.SIGTERM))
    answer = pysc("wait", "web")
    assert (answer.code, answer.out) == (0, '{"id":"web","exitStatus":143}\n')


def test_a_zombie_tells_how_it_ended(spawn: Spawn, meanwhile: Meanwhile) -> None:
    child = spawn("sh", "-c", "read line; exit 7")
    meanwhile(lambda: end_input(child))
    assert wait_for(Process.of(child.pid)) == 7


def test_the_kernel_remembers_what_was_reaped(spawn: Spawn, meanwhile: Meanwhile) -> None:
    child = spawn("sh", "-c", "read line; exit 9")

    def end_and_reap() -> None:
        end_input(child)
        child.wait()

    meanwhile(end_and_reap)
    status = wait_for(Process.of(child.pid))
    if status is None:
        pytest.skip("PIDFD_GET_INFO tells no exit code before Linux 6.15")
    assert status == 9


def test_of_what_was_reaped_before_the_record_is_left(pysc: Pysc, store: Store, running: Callable[..., Container]) -> None:
    container = running()
    stop(container)
    assert container.state.init is not None
    os.waitpid(container.state.init.pid, 0)
    assert pysc("wait", "web").out == '{"id":"web","exitStatus":null}\n'
    container.record_exit(3)
    assert pysc("wait", "web").out == '{"id":"web","exitStatus":3}\n'


def test_a_process_by_its_pid_on_the_host(pysc: Pysc, running: Callable[..., Container], spawn: Spawn, meanwhile: Meanwhile) -> None:
    container = running()
    init = container.state.init
    assert init is not None
    answer = pysc("wait", "--rootpid", str(spawn().pid), "web")
    assert answer.code == 1
    assert "container web has no process" in answer.message
    meanwhile(lambda: init.send(signal.SIGKILL))
    assert pysc("wait", "--rootpid", str(init.pid), "web").out == '{"id":"web","exitStatus":137}\n'


def test_a_process_by_its_pid_in_the_container(pysc: Pysc, store: Store, pid_namespace: Callable[[], int], meanwhile: Meanwhile) -> None:
    with store.create("web") as container:
        container.state.init = Process.of(pid_namespace())
        container.state.phase = "running"
        container.save()
    second = in_container(container.state, 2)
    assert second is not None
    meanwhile(lambda: second.send(signal.SIGTERM))
    assert pysc("wait", "--pid", "2", "web").out == '{"id":"web","exitStatus":143}\n'
    assert "has no process 99" in pysc("wait", "--pid", "99", "web").message


def test_an_unknown_container(pysc: Pysc) -> None:
    assert pysc("wait", "web").message == "container does not exist"
