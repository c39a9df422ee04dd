from __future__ import annotations

import json
import os
from pwd import getpwuid
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from stand_ins import stop

from runsc_cli.verbs.list import table

if TYPE_CHECKING:
    from collections.abc import Callable

    from stand_ins import Pysc

    from runsc_cli.state import Container, Store


def test_without_containers_the_heading_is_runcs(pysc: Pysc) -> None:
    assert pysc("list").out == "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n"
    assert pysc("list", "--format", "json").out == "null\n"
    assert pysc("list", "-q").out == ""


def test_the_table(pysc: Pysc, running: Callable[..., Container]) -> None:
    container = running("a-container-with-a-long-name")
    assert container.state.init is not None
    heading, row = pysc("list").out.splitlines()
    assert heading == ("ID                             PID         STATUS      BUNDLE      CREATED                          OWNER")
    owner = getpwuid(os.geteuid()).pw_name
    cells = [container.id, str(container.state.init.pid), "running", "/bundle", container.state.created, owner]
    assert row.split() == cells
    assert [heading.index(name) for name in ("PID", "STATUS", "BUNDLE", "CREATED", "OWNER")] == [row.index(cell) for cell in cells[1:]]


def test_json_has_an_entry_for_each(pysc: Pysc, running: Callable[..., Container]) -> None:
    running("a")
    stop(running("b"))
    answer = pysc("list", "-f", "json")
    assert answer.out.count("\n") == 1
    first, second = json.loads(answer.out)
    assert (first["id"], first["status"]) == ("a", "running")
    assert (second["id"], second["status"], second["pid"]) == ("b", "stopped", 0)
    assert first["owner"] == getpwuid(os.geteuid()).pw_name


def test_quiet_prints_ids(pysc: Pysc, running: Callable[..., Container]) -> None:
    running("b")
    running("a")
    assert pysc("list", "--quiet").out == "a\nb\n"


def test_what_cannot_be_read_is_told_and_the_rest_listed(pysc: Pysc, store: Store, running: Callable[..., Container]) -> None:
    running("a")
    with open(running("b").path("state.json"), "w") as file:
        file.write("x")
    answer = pysc("list", "-q")
    assert (answer.code, answer.out) == (0, "a\n")
    assert answer.message.startswith("load container b: state file")


@given(st.lists(st.lists(st.text(alphabet="abc", max_size=20), min_size=3, max_size=3), min_size=1))
def test_columns_are_aligned(rows: list[list[str]]) -> None:
    lines = table(rows).split("\n")
    assert lines.pop() == ""
    widths = [max(12, *(len(row[i]) + 3 for row in rows)) for i in (0, 1)]
    for row, line in zip(rows, lines, strict=True):
        assert line[: widths[0]].rstrip() == row[0]
        assert line[widths[0] : sum(widths)].rstrip() == row[1]
        assert line[sum(widths) :] == row[2]
