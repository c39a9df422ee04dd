from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from stand_ins import stop

from runsc_cli.state import CREATED

if TYPE_CHECKING:
    from collections.abc import Callable

    from stand_ins import Pysc

    from runsc_cli.state import Container, Store


def test_a_stopped_container(pysc: Pysc, store: Store, running: Callable[..., Container]) -> None:
    stop(running())
    answer = pysc("delete", "web")
    assert (answer.code, answer.out, answer.err) == (0, "", "")
    assert os.listdir(store.root) == []
    answer = pysc("delete", "web")
    assert (answer.code, answer.message) == (1, "container does not exist")


def test_a_running_container_needs_force(pysc: Pysc, store: Store, running: Callable[..., Container]) -> None:
    container = running()
    answer = pysc("delete", "web")
    assert (answer.code, answer.message) == (1, "cannot delete container web that is not stopped: running")
    assert container.status() == "running"
    assert pysc("delete", "--force", "web").code == 0
    assert container.status() == "stopped"
    assert os.listdir(store.root) == []


def test_a_created_container_needs_none(pysc: Pysc, store: Store, running: Callable[..., Container]) -> None:
    with running().lock() as container:
        container.state.phase = CREATED
        container.save()
    assert pysc("delete", "web").code == 0
    assert container.status() == "stopped"
    assert os.listdir(store.root) == []


def test_force_of_an_unknown_container_succeeds(pysc: Pysc) -> None:
    answer = pysc("delete", "--force", "web")
    assert (answer.code, answer.out, answer.err) == (0, "", "")


def test_force_of_an_impossible_id_does_not(pysc: Pysc) -> None:
    answer = pysc("delete", "--force", "../web")
    assert (answer.code, answer.message) == (1, "invalid container ID format")


@pytest.mark.parametrize("force", [[], ["--force"]], ids=["plain", "force"])
def test_what_a_create_that_died_left_is_removed(force: list[str], pysc: Pysc, store: Store) -> None:
    os.makedirs(f"{store.root}/web/sockets")
    assert pysc("delete", *force, "web").code == (0 if force else 1)
    assert os.listdir(store.root) == []


def test_a_damaged_state_needs_force(pysc: Pysc, store: Store) -> None:
    store.create("web").unlock()
    with open(f"{store.root}/web/state.json", "w") as file:
        file.write("null")
    assert pysc("delete", "web").code == 1
    answer = pysc("delete", "--force", "web")
    assert answer.code == 0
    assert "level=warning" in answer.err
    assert os.listdir(store.root) == []


def test_a_create_that_does_not_finish_is_not_torn_away(pysc: Pysc, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runsc_cli.verbs.delete._LOCK_TIMEOUT", 0.0)
    with store.create("web") as container:
        answer = pysc("delete", "--force", "web")
        assert answer.code == 1
        assert "locked by another command" in answer.message
        assert container.status() == "creating"


def test_of_many_at_once_one_deletes(pysc: Pysc, store: Store, running: Callable[..., Container]) -> None:
    from runsc_cli.main import main

    stop(running())
    gate_out, gate_in = os.pipe()
    children = []
    for _ in range(6):
        pid = os.fork()
        if pid == 0:
            code = 99
            try:
                os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
                os.close(gate_in)
                os.read(gate_out, 1)  # until the gate is closed
                code = main(["--root", store.root, "delete", "web"])
            finally:
                os._exit(code)
        children.append(pid)
    os.close(gate_out)
    os.close(gate_in)
    codes = sorted(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children)
    assert codes == [0] + [1] * 5
    assert os.listdir(store.root) == []
