"""docs/conformance.md: each test that it names exists, and each property of the specification is in it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from runsc_cli.mount_options import OPTIONS
from runsc_cli.oci import model
from runsc_cli.oci.object import Object

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs" / "conformance.md").read_text()
LINKS = sorted(set(re.findall(r"`(test_\w+\.py)::(test_\w+)`", PAGE)))


def functions(file: Path) -> set[str]:
    return {node.name for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("link", LINKS, ids="::".join)
def test_a_test_that_is_linked_exists(link: tuple[str, str]) -> None:
    files = list(TESTS.rglob(link[0]))
    assert len(files) == 1, f"{link[0]} is there {len(files)} times"
    assert link[1] in functions(files[0])


def test_every_row_has_a_test() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith(("| property", "| what "))]
    assert len(rows) > 60
    assert [row for row in rows if "::test_" not in row.split("|")[-2]] == []


def properties() -> set[str]:
    """The names in config.json of all that the model declares."""
    found = set()
    for kind in vars(model).values():
        if isinstance(kind, type) and issubclass(kind, Object) and "__annotations__" in vars(kind):
            found |= {kind.spell(attribute) for attribute in kind.__annotations__ if not attribute.startswith("_")}
    return found


def test_every_property_is_in_it() -> None:
    words = set(re.findall(r"[A-Za-z0-9]+", "".join(re.findall(r"`[^`]*`", PAGE))))
    # consoleSize's two numbers
    assert properties() - words - {"height", "width"} == set()


def test_every_mount_option_is_in_it() -> None:
    section = PAGE.partition("### Mounts")[2].partition("\n## ")[0]
    words = set(re.findall(r"\w+", section))
    contraries = {"rrw", "rsuid", "rdev", "rexec", "ratime", "rdiratime", "rrelatime", "rnorelatime", "rnostrictatime", "rsymfollow"}
    assert set(OPTIONS) - words - contraries - {"rprivate", "rshared", "rslave", "runbindable"} == set()
