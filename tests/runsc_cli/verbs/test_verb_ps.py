from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from stand_ins import stop

from runsc_cli.errors import PyscError
from runsc_cli.verbs.ps import select

if TYPE_CHECKING:
    from collections.abc import Callable

    from stand_ins import Pysc

    from runsc_cli.state import Container


def test_json_is_the_pids(pysc: Pysc, running: Callable[..., Container]) -> None:
    container = running()
    assert container.state.init is not None
    assert pysc("ps", "--format", "json", "web").out == f"[{container.state.init.pid}]\n"
    stop(container)
    assert pysc("ps", "-f", "json", "web").out == "null\n"


def test_the_table_is_what_ps_prints(pysc: Pysc, running: Callable[..., Container]) -> None:
    container = running()
    assert container.state.init is not None
    heading, row = pysc("ps", "web").out.splitlines()
    assert heading.split()[:3] == ["UID", "PID", "PPID"]
    assert row.split()[1] == str(container.state.init.pid)
    assert row.endswith("sleep infinity")


def test_ps_gets_the_options_that_follow_the_id(pysc: Pysc, running: Callable[..., Container]) -> None:
    container = running()
    assert container.state.init is not None
    heading, row = pysc("ps", "web", "-e", "-o", "comm,pid").out.splitlines()
    assert heading.split() == ["COMMAND", "PID"]
    assert row.split() == ["sleep", str(container.state.init.pid)]


def test_options_that_show_no_pid_or_that_ps_refuses(pysc: Pysc, running: Callable[..., Container]) -> None:
    running()
    assert "couldn't find PID field" in pysc("ps", "web", "-o", "comm").message
    assert pysc("ps", "web", "--bogus").err.startswith('time="')
    assert pysc("ps", "web", "--bogus").code == 1


def test_an_unknown_container(pysc: Pysc) -> None:
    assert pysc("ps", "web").message == "container does not exist"


def test_select_matches_the_column_alone() -> None:
    listing = "UID PID CMD\nroot 1 init 7\n7 8 x\nroot 7 seven\n\nroot\n"
    assert select(listing, {7}) == ["UID PID CMD", "root 7 seven"]
    with pytest.raises(PyscError):
        select("", {1})


def test_titles_that_python_would_split() -> None:
    title = "root 7 a\u2028root 8 b\x85root 9 c\x0b\x1cd"
    assert select(f"UID PID CMD\n{title}\nroot 8 e\n", {7, 9}) == ["UID PID CMD", title]
