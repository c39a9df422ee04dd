"""Annotations that are properties of a scope."""

from __future__ import annotations

from typing import Any

import pytest

from runsc_cli.cgroups.unit_properties import of, parse
from runsc_cli.errors import SpecError

VALUES: list[tuple[str, str, Any]] = [
    ("true", "b", True),
    ("uint64 5000000", "t", 5_000_000),
    ("18446744073709551615", "", None),
    ("uint64 18446744073709551615", "t", (1 << 64) - 1),
    ("-3", "i", -3),
    ("0x10", "i", 16),
    ("1.5", "d", 1.5),
    ("double 2", "d", 2.0),
    ("'it\\'s'", "s", "it's"),
    ('"a\\nb"', "s", "a\nb"),
    ("['a', 'b']", "as", ["a", "b"]),
    ("@as []", "as", []),
    ("[uint32 1, 2]", "au", [1, 2]),
    ("[[1], [2, 3]]", "aai", [[1], [2, 3]]),
    (" [ 'a' ] ", "as", ["a"]),
]
NONE = [
    "", "[]", "'a", "['a' 'b']", "['a', 1]", "uint64 -1", "byte 256", "nothing", "1 2", "(1, 2)", "@s 1",
    "[" * 40 + "1" + "]" * 40, "uint64 'a'", "@a{sv} {}",
]  # fmt: skip


@pytest.mark.parametrize(("text", "kind", "value"), [row for row in VALUES if row[1]])
def test_values(text: str, kind: str, value: object) -> None:
    assert parse(text) == (kind, value)


@pytest.mark.parametrize("text", [*NONE, *(row[0] for row in VALUES if not row[1])])
def test_texts_that_are_none(text: str) -> None:
    with pytest.raises(ValueError):
        parse(text)


def test_annotations() -> None:
    given = {"other": "x", "org.systemd.property.TimeoutStopSec": "5", "org.systemd.property.CollectMode": "'inactive'"}
    assert of(given) == [("TimeoutStopUSec", ("t", 5_000_000)), ("CollectMode", ("s", "inactive"))]


@pytest.mark.parametrize(("name", "text"), [("a b", "1"), ("TimeoutStopSec", "'x'"), ("TimeoutStopSec", "-1"), ("", "1"), ("Nice", "x")])
def test_annotations_that_are_refused(name: str, text: str) -> None:
    with pytest.raises(SpecError, match=r"annotations\['org.systemd.property"):
        of({f"org.systemd.property.{name}": text})
