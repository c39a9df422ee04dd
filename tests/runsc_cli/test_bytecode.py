from __future__ import annotations

import compileall
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import runsc_cli
from runsc_cli.bytecode import Finder

if TYPE_CHECKING:
    from pathlib import Path

TAG = str(sys.implementation.cache_tag)
LISTING = """
import sys
from runsc_cli import bytecode
bytecode.install()
import runsc_cli.main, sentry.boot, sentry.platform._native
loaders = {type(m.__loader__) for n, m in sys.modules.items() if n.startswith(("sentry", "runsc_cli.m")) and "_native" not in n}
assert loaders == {bytecode._Loader}, loaders
assert sentry.platform._native.lib.NOT_TRIED
assert runsc_cli.main.__spec__.cached.endswith(".pyc") and runsc_cli.main.__file__.endswith("runsc_cli/main.py")
assert sentry.__path__ == [sentry.__file__.rpartition("/")[0]] and sentry.__package__ == "sentry"
assert "def entry" in runsc_cli.main.__loader__.get_source("runsc_cli.main")
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A package `sentry` with a module `sentry.one`, compiled."""
    package = tmp_path / "sentry"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "one.py").write_text("value = 1\n")
    assert compileall.compile_dir(str(package), quiet=1)
    return tmp_path


def value(root: Path) -> int | None:
    """What the module says when the finder finds it."""
    spec = Finder(str(root), TAG).find_spec("sentry.one")
    if spec is None or spec.loader is None:
        return None
    scope: dict[str, int] = {}
    exec(spec.loader.get_code("sentry.one"), scope)  # type: ignore[attr-defined]
    return scope["value"]


def cached(root: Path) -> Path:
    return root / "sentry" / "__pycache__" / f"one.{TAG}.pyc"


def test_our_modules_are_found_and_are_like_pythons() -> None:
    root = os.path.dirname(os.path.dirname(runsc_cli.__file__))
    assert all(compileall.compile_dir(f"{root}/{package}", quiet=1, force=True) for package in ("runsc_cli", "sentry", "gofer"))
    subprocess.run([sys.executable, "-W", "error", "-c", LISTING], check=True, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})


def test_what_is_compiled_is_found(root: Path) -> None:
    assert value(root) == 1
    spec = Finder(str(root), TAG).find_spec("sentry")
    assert spec is not None
    assert spec.submodule_search_locations == [str(root / "sentry")]


def test_what_was_edited_is_left_to_python(root: Path) -> None:
    (root / "sentry" / "one.py").write_text("value = 22\n")
    assert value(root) is None
    assert compileall.compile_dir(str(root / "sentry"), quiet=1, force=True)
    assert value(root) == 22
    source = root / "sentry" / "one.py"
    os.utime(source, (0, source.stat().st_mtime + 2))
    assert value(root) is None


def test_others_modules_and_what_is_not_there_are_left_to_python(root: Path) -> None:
    finder = Finder(str(root), TAG)
    (root / "json.py").write_text("")
    compileall.compile_file(str(root / "json.py"), quiet=1)
    assert finder.find_spec("json") is None
    assert finder.find_spec("sentry.two") is None
    cached(root).unlink()
    assert finder.find_spec("sentry.one") is None


@pytest.mark.parametrize("damage", [0, 4, 20])
def test_damaged_byte_code_is_left_to_python(root: Path, damage: int) -> None:
    data = bytearray(cached(root).read_bytes())
    if damage < 16:
        data[damage] ^= 1
    else:
        del data[damage:]
    cached(root).write_bytes(data)
    assert value(root) is None


@pytest.mark.parametrize("args", [["-O"], ["-X", "pycache_prefix=/nonexistent"]])
def test_other_byte_code_than_that_beside_the_source_is_left_to_python(args: list[str]) -> None:
    program = "from runsc_cli import bytecode\nimport sys\nbefore = list(sys.meta_path)\nbytecode.install()\nsys.exit(sys.meta_path != before)"
    subprocess.run([sys.executable, *args, "-c", program], check=True)
