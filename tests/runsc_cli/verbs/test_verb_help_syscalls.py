from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

from runsc_cli.verbs.help_syscalls import FIELDS
from sentry.syscalls.table import ROWS

if TYPE_CHECKING:
    from stand_ins import Pysc


def test_every_form_shows_every_row(pysc: Pysc) -> None:
    records = json.loads(pysc("help-syscalls", "--format", "json").out)
    assert [(record["name"], record["number"]) for record in records] == [(row.name, row.number) for row in ROWS]
    assert all(tuple(record) == FIELDS for record in records)

    rows = list(csv.DictReader(pysc("help-syscalls", "--format=csv").out.splitlines()))
    assert rows == [{field: str(value) for field, value in record.items()} for record in records]

    heading, *lines = pysc("help", "syscalls").out.splitlines()
    assert heading.split() == [field.upper() for field in FIELDS]
    assert [line.split()[0] for line in lines] == [row.name for row in ROWS]


def test_what_becomes_of_some_system_calls(pysc: Pysc) -> None:
    records = {record["name"]: record for record in json.loads(pysc("help-syscalls", "-f", "json").out)}
    assert records["read"]["standard"] == "native"
    assert records["openat"]["standard"] == "native or mediated"
    assert (records["stat"]["standard"], records["stat"]["strict"]) == ("native", "mediated")
    assert records["clone"]["standard"] == "native or EPERM"
    assert records["bpf"]["standard"].startswith("E")
