"""What the documents count, counted again."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sentry.platform.filter import surface
from sentry.syscalls.table import PROFILES

DOCS = Path(__file__).parent.parent / "docs"


@pytest.mark.parametrize("profile", PROFILES)
def test_the_attack_surface_is_the_tables(profile: str) -> None:
    row = re.search(rf"^\| `{profile}` \|([^\n]*)\|$", (DOCS / "security.md").read_text(), re.MULTILINE)
    assert row is not None
    counts = surface(profile)
    assert [int(cell) for cell in row[1].split("|")] == [counts[name] for name in ("native", "native_if", "mediated", "denied")]


def test_links_between_documents_lead_somewhere() -> None:
    root = DOCS.parent
    for document in (root / "README.md", *DOCS.glob("*.md")):
        for name in re.findall(r"`((?:docs|sentry|gofer|runsc_cli|tests|benchmarks|demo|scripts|deploy)/[\w./]*)", document.read_text()):
            assert (root / name).exists(), f"{document.name}: {name}"
