"""What the start of a command may import: engines call pysc several times for each container.

An interpreter starts in 10 ms; click would add 28, logging 13, json 7, enum 4. What is listed here is all there may be.
"""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runsc_cli.state import Container, Store

EVERY = {
    "__future__", "_json", "fcntl", "gc", "sentry", "sentry.platform",
    "runsc_cli", "runsc_cli.argv", "runsc_cli.context", "runsc_cli.directory", "runsc_cli.errors", "sentry.platform.jsontext",
    "runsc_cli.log", "runsc_cli.main", "runsc_cli.options", "runsc_cli.verbs",
}  # fmt: skip
STORE = {"runsc_cli.state", "runsc_cli.process", "runsc_cli.version"}
STATUS = STORE | {"runsc_cli.freezer"}
BUDGET = {
    "version": {"runsc_cli.verbs.version", "runsc_cli.version"},
    "state": STATUS | {"runsc_cli.verbs.state"},
    "kill": STATUS | {"runsc_cli.verbs.kill", "runsc_cli.members", "runsc_cli.signals"},
    "delete": STATUS
    | {
        "runsc_cli.verbs.delete",
        "runsc_cli.members",
        "runsc_cli.cgroups",
        "runsc_cli.cgroups.leaf",
        "runsc_cli.cgroups.write",
        "runsc_cli.teardown",
        "runsc_cli.cgroups.hierarchy",
        "errno",
        "select",
    },
    "list": STATUS | {"runsc_cli.verbs.list", "pwd"},
    "ps": STORE | {"runsc_cli.verbs.ps", "runsc_cli.members"},
}
CALLS = {
    "version": ["version"],
    "state": ["state", "web"],
    "kill": ["kill", "web", "0"],
    "delete": ["delete", "--force", "web"],
    "list": ["list"],
    "ps": ["ps", "--format", "json", "web"],
}

PROGRAM = """
import sys
before = set(sys.modules)
from runsc_cli.main import main
code = main(sys.argv[1:])
print(*sorted(set(sys.modules) - before), file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize("verb", BUDGET)
def test_a_verb_imports_what_it_needs_and_no_more(verb: str, store: Store, running: Callable[..., Container], cgroup: str) -> None:
    with running().lock() as container:
        container.state.cgroups = [cgroup]
        container.save()
    answer = subprocess.run([sys.executable, "-c", PROGRAM, "--root", store.root, *CALLS[verb]], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert set(answer.stderr.split()) <= EVERY | BUDGET[verb]


def test_an_error_costs_no_more_than_an_answer(tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    argv = ["--root", str(tmp_path), "--log", log, "--log-format", "json", "state", "web"]
    answer = subprocess.run([sys.executable, "-c", PROGRAM, *argv], capture_output=True, text=True, check=False)
    message, modules = answer.stderr.splitlines()
    assert message == "container does not exist"
    assert set(modules.split()) <= EVERY | BUDGET["state"]
