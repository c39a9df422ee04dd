"""The command that runsc_cli/command.py writes into the virtual environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
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


@pytest.mark.integration
@pytest.mark.timeout(300)
def test_a_wheel_brings_all_that_the_commands_need(tmp_path: Path) -> None:
    """Built and installed as deploy/kubernetes does it; from the package index comes what make has asked for before."""

    def done(*line: object) -> str:
        ran = subprocess.run(list(map(str, line)), cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran
        return ran.stdout

    tree, source, wheels, venv = Path(__file__).parents[2], tmp_path / "source", tmp_path / "wheels", tmp_path / "venv"
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "bin", "sentry", "gofer", "runsc_cli"):
        copy = shutil.copytree if (tree / name).is_dir() else shutil.copy
        (source / name).parent.mkdir(exist_ok=True)
        copy(tree / name, source / name)
    for built in [*source.glob("sentry/platform/_native*.so"), source / "runsc_cli/stage/stage", source / "runsc_cli/zygote/client"]:
        built.unlink()
    done(sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", wheels, source)
    done(sys.executable, "-m", "venv", venv)
    done(venv / "bin/pip", "install", "--quiet", "--no-index", "--find-links", wheels, "pysc")
    says = subprocess.run([venv / "bin/pysc", "zygote"], capture_output=True, text=True, check=False).stderr
    advice = says.partition("`")[2].partition("`")[0]
    done(*advice.split())
    assert (venv / "bin/pysc").read_bytes()[:4] == b"\x7fELF"
    assert done(venv / "bin/pysc", "do", "--", "echo", "hello") == "hello\n"
    assert done(venv / "bin/pysc", "do", "--help").startswith("Usage: pysc do")
