"""The command that scripts/command.py writes into the virtual environment."""

from __future__ import annotations

import os
import subprocess
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runsc_cli.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping

COMMAND = Path(sysconfig.get_path("scripts")) / "pysc"

pytestmark = pytest.mark.skipif(not COMMAND.exists(), reason="no pysc command in this environment")


def run(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    given: Mapping[str, str] = {**os.environ, **environment}
    return subprocess.run([COMMAND, *args], capture_output=True, text=True, check=False, env=given)


def test_it_starts_an_interpreter_without_site() -> None:
    first, *_ = (COMMAND.parent.parent / "lib" / "pysc" / "pysc").read_text().splitlines()
    assert first.endswith(" -IS"), "written by pip: see the Makefile"
    assert run("version").stdout.startswith(f"pysc version {VERSION}\n")


def test_both_names_are_one_file() -> None:
    """By which a zygote is found."""
    assert COMMAND.samefile(COMMAND.with_name("pysc-trusted"))


def test_a_symbolic_link_finds_the_rest(tmp_path: Path) -> None:
    for name in ("pysc", "pysc-trusted", "another"):
        (tmp_path / name).symlink_to(COMMAND)
        done = subprocess.run([tmp_path / name, "version"], capture_output=True, text=True, check=False)
        assert done.stdout.startswith(f"pysc version {VERSION}\n"), done


def test_click_is_found() -> None:
    assert run("do", "--help").stdout.startswith("Usage: pysc do")


@pytest.mark.parametrize("name", ["PYTHONPATH", "PYTHONHOME"])
def test_nobodys_environment_brings_modules_of_its_own(tmp_path: Path, name: str) -> None:
    for package in ("runsc_cli", "gc", "fcntl"):
        (tmp_path / f"{package}.py").write_text("print('mine')\n")
    done = run("version", **{name: str(tmp_path)})
    assert done.stdout.startswith(f"pysc version {VERSION}\n"), done


def test_nor_does_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "runsc_cli.py").write_text("print('mine')\n")
    monkeypatch.chdir(tmp_path)
    assert run("version").stdout.startswith(f"pysc version {VERSION}\n")
