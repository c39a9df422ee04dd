from __future__ import annotations

import json
from typing import TYPE_CHECKING

from stand_ins import stop

if TYPE_CHECKING:
    from collections.abc import Callable

    from stand_ins import Pysc

    from runsc_cli.state import Container, Store


def test_the_state_is_printed_as_runc_prints_it(pysc: Pysc, running: Callable[..., Container]) -> None:
    container = running()
    init = container.state.init
    assert init is not None
    answer = pysc("state", "web")
    assert answer.code == 0
    assert answer.out == (
        "{\n"
        '  "ociVersion": "1.3.0",\n'
        '  "id": "web",\n'
        f'  "pid": {init.pid},\n'
        '  "status": "running",\n'
        '  "bundle": "/bundle",\n'
        '  "rootfs": "/bundle/rootfs",\n'
        f'  "created": "{container.state.created}",\n'
        '  "annotations": {\n'
        '    "a.b": "c"\n'
        "  },\n"
        '  "owner": ""\n'
        "}\n"
    )


def test_a_stopped_container_has_pid_0(pysc: Pysc, running: Callable[..., Container]) -> None:
    stop(running())
    state = json.loads(pysc("state", "web").out)
    assert (state["pid"], state["status"]) == (0, "stopped")


def test_unknown_ids(pysc: Pysc, store: Store) -> None:
    for id, message in (
        ("web", "container does not exist"),
        ("a/b", "invalid container ID format"),
        ("a" * 10_000, "invalid container ID format"),
        ("", "container id cannot be empty"),
    ):
        answer = pysc("state", id)
        assert (answer.code, answer.out, answer.message) == (1, "", message)


def test_a_damaged_state_says_what_to_do(pysc: Pysc, running: Callable[..., Container]) -> None:
    with open(running().path("state.json"), "w") as file:
        file.write("{")
    answer = pysc("state", "web")
    assert answer.code == 1
    assert "is damaged" in answer.message
    assert "delete --force" in answer.message
