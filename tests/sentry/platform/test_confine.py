"""What our processes do to themselves before they meet a workload: in processes of their own."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from sentry.platform.confine import where

if TYPE_CHECKING:
    from pathlib import Path

IMPORTS = """
import sys
from sentry.platform.confine import forbid_imports
import json
sys.path.insert(0, sys.argv[1])
import early
forbid_imports()
import json, early
for name in ("late", "decimal", "early.inner"):
    try:
        __import__(name)
        print(name, "was imported")
    except ImportError as error:
        print(error.name, type(error) is ImportError)
"""


def test_nothing_can_be_imported_any_more(tmp_path: Path) -> None:
    (tmp_path / "early").mkdir()
    (tmp_path / "early" / "__init__.py").write_text("")
    for name in ("late.py", "early/inner.py"):
        (tmp_path / name).write_text("print('this came from the image')\n")
    done = subprocess.run([sys.executable, "-c", IMPORTS, tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["late True", "decimal True", "early.inner True"]


def test_where_names_frames_without_sources() -> None:
    def inner() -> None:
        raise KeyError("x")

    try:
        inner()
    except KeyError as error:
        lines = where(error).splitlines()[1:]
    assert [line.rpartition(" ")[2] for line in lines] == ["test_where_names_frames_without_sources", "inner"]
    assert all(f"{__file__}:" in line for line in lines)
    assert where(None) == where(KeyError()) == ""
