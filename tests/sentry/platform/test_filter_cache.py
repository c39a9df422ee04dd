"""The cache of compiled filters: a file that is not ours, not whole or not of these sources is not believed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import sentry
from sentry.platform import filter as filters
from sentry.platform import filter_cache


@pytest.fixture
def compiles(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What was compiled, by arguments."""
    calls: list[tuple[str, str]] = []
    compiled = filter_cache._compile

    def counting(profile: str, network: str, traced: bool) -> bytes:
        calls.append((profile, network))
        return compiled(profile, network, traced)

    monkeypatch.setattr(filter_cache, "_compile", counting)
    return calls


def get(directory: Path, profile: str = "standard", network: str = "none") -> bytes:
    return filter_cache.program(profile, network, str(directory))


def only(directory: Path) -> Path:
    [path] = directory.iterdir()
    return path


def test_a_program_is_compiled_once(tmp_path: Path, compiles: list[tuple[str, str]]) -> None:
    expected = filters.program("standard")
    assert [get(tmp_path) for _ in range(3)] == [expected] * 3
    assert compiles == [("standard", "none")]
    assert only(tmp_path).stat().st_mode & 0o777 == 0o600


def test_each_profile_and_network_has_its_own(tmp_path: Path, compiles: list[tuple[str, str]]) -> None:
    variants = [("standard", "none"), ("strict", "none"), ("standard", "sandbox")]
    for _ in range(2):
        assert [get(tmp_path, *v) for v in variants] == [filters.program(*v) for v in variants]
    assert compiles == variants
    assert len(list(tmp_path.iterdir())) == 3
    traced = filter_cache.program("standard", "none", str(tmp_path), traced=True)
    assert traced == filters.program("standard", traced=True) != get(tmp_path)
    assert len(list(tmp_path.iterdir())) == 4


def test_what_was_prepared_needs_no_directory(tmp_path: Path, compiles: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filter_cache, "_prepared", {})
    filter_cache.prepare("strict", "host")
    assert get(tmp_path, "strict", "host") == filters.program("strict", "host")
    assert filter_cache.program("strict", "host", str(tmp_path), ["uname"]) == filters.program("strict", "host", ["uname"])
    assert not list(tmp_path.iterdir())
    traced = filter_cache.program("strict", "host", str(tmp_path), traced=True)
    assert traced == filters.program("strict", "host", traced=True)
    assert get(tmp_path, "strict") == filters.program("strict", "none")
    assert compiles == [("strict", "host"), ("strict", "host"), ("strict", "none")]


@pytest.mark.parametrize("source", filter_cache.SOURCES)
def test_another_table_is_another_file(
    tmp_path: Path, compiles: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    cache, copy = tmp_path / "cache", tmp_path / "sentry"
    cache.mkdir()
    base = Path(sentry.__file__ or "").parent
    for name in filter_cache.SOURCES:
        target = copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((base / name).read_bytes())
    monkeypatch.setattr(sentry, "__file__", str(copy / "__init__.py"))
    get(cache)
    facts = os.stat(copy / source)
    text = (copy / source).read_bytes()
    (copy / source).write_bytes(text.replace(b"e", b"E", 1))  # same size,
    os.utime(copy / source, ns=(facts.st_atime_ns, facts.st_mtime_ns))  # same time
    get(cache)
    assert len(compiles) == 2


def test_all_that_decides_a_program_is_hashed() -> None:
    code = "import sys, sentry.platform.filter as f; f.program('strict'); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    ours = {name for name in loaded if name.startswith("sentry.")} - {"sentry.platform", "sentry.syscalls"}
    assert ours == {"sentry." + name.removesuffix(".py").replace("/", ".") for name in filter_cache.SOURCES}


@pytest.mark.parametrize("damage", ["flip", "short", "empty", "long", "directory", "symlink", "foreign", "writable", "fifo"])
def test_what_is_not_believed(tmp_path: Path, compiles: list[tuple[str, str]], damage: str) -> None:
    expected = get(tmp_path)
    path = only(tmp_path)
    good = path.read_bytes()
    if damage == "flip":
        path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    elif damage == "short":
        path.write_bytes(good[:-8])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "long":
        path.write_bytes(good + bytes(8))
    elif damage == "foreign":
        if os.geteuid() != 0:
            pytest.skip("needs root to give a file away")
        os.chown(path, 12345, 12345)
    elif damage == "writable":
        path.chmod(0o622)
    else:
        path.unlink()
        if damage == "directory":
            path.mkdir()
        elif damage == "fifo":
            os.mkfifo(path)
        else:
            (tmp_path / "elsewhere").write_bytes(good)
            path.symlink_to(tmp_path / "elsewhere")
    assert get(tmp_path) == expected
    assert len(compiles) == 2
    if damage != "directory":
        assert path.read_bytes() == good, "it was replaced"
        assert get(tmp_path) == expected
        assert len(compiles) == 2


def test_a_file_of_another_variant_under_this_name(tmp_path: Path, compiles: list[tuple[str, str]]) -> None:
    get(tmp_path, "standard")
    path = only(tmp_path)
    strict = tmp_path / "strict"
    strict.mkdir()
    expected = get(strict, "strict")
    only(strict).write_bytes(path.read_bytes())
    assert get(strict, "strict") == expected
    assert len(compiles) == 3


def test_without_a_directory_it_is_compiled_each_time(tmp_path: Path, compiles: list[tuple[str, str]]) -> None:
    for _ in range(2):
        assert get(tmp_path / "none") == filters.program("standard")
    assert len(compiles) == 2


def test_without_sources_it_is_compiled(tmp_path: Path, compiles: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    expected = filters.program("standard")
    monkeypatch.setattr(sentry, "__file__", str(tmp_path / "sentry" / "__init__.py"))
    assert get(tmp_path) == expected
    assert compiles
    assert list(tmp_path.iterdir()) == []


def test_a_hit_imports_neither_table_nor_assembler(tmp_path: Path) -> None:
    get(tmp_path)
    code = f"import sys, sentry.platform.filter_cache as c; c.program('standard', 'none', {str(tmp_path)!r}); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {name for name in loaded if name.startswith("sentry.")} == {"sentry.platform", "sentry.platform.filter_cache"}
    assert "hashlib" not in loaded
