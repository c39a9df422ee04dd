"""docs/compatibility.md holds both parts, and that on workloads is what their results say, of every workload there is."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
SCRIPT = runpy.run_path(str(TOP / "scripts" / "workload_table.py"))
PAGE = (TOP / "docs" / "compatibility.md").read_text()
LINES = [json.loads(line) for line in SCRIPT["KEPT"].read_text().splitlines()]


def test_both_parts_are_there() -> None:
    syscalls, _, workloads = PAGE.partition(SCRIPT["HEADING"])
    assert syscalls.startswith("# Compatibility, system call by system call\n")
    assert re.search(r"^\| \*\*all\*\* \|", syscalls, re.MULTILINE)
    assert SCRIPT["table"](LINES) in workloads
    assert SCRIPT["HEADING"] not in workloads


def test_every_workload_is_in_it() -> None:
    compared = {path.name for path in TOP.glob("tests/integration/test_workload_*.py") if "same_as_native(" in path.read_text()}
    assert {Path(line["test"].partition("::")[0]).name for line in LINES} == compared


def test_what_is_run_anew_takes_the_place_of_what_was() -> None:
    old = [{"test": "t", "workload": name, "sandbox": "s", "seconds": 1} for name in ("b", "a")]
    new = [{"test": "t", "workload": "b", "sandbox": "s", "seconds": 2}]
    assert [(line["workload"], line["seconds"]) for line in SCRIPT["beside"](old, new)] == [("a", 1), ("b", 2)]
