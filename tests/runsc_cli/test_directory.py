from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from runsc_cli import directory

if TYPE_CHECKING:
    from pathlib import Path


def test_a_lock_excludes_others_and_waits_no_longer_than_told(tmp_path: Path) -> None:
    fd = directory.lock(str(tmp_path))
    with pytest.raises(BlockingIOError):
        directory.lock(str(tmp_path), timeout=0.01)
    os.close(fd)
    os.close(directory.lock(str(tmp_path), timeout=0))


def test_only_a_directory_is_locked(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "file").touch()
    for name in ("link", "file"):
        with pytest.raises(NotADirectoryError):
            directory.lock(str(tmp_path / name))
    with pytest.raises(FileNotFoundError):
        directory.lock(str(tmp_path / "none"))


def test_a_lock_is_close_on_exec(tmp_path: Path) -> None:
    fd = directory.lock(str(tmp_path))
    assert not os.get_inheritable(fd)
    os.close(fd)


def test_read_takes_the_whole_file(tmp_path: Path) -> None:
    text = "é" * 100_000
    (tmp_path / "f").write_text(text)
    assert directory.read(str(tmp_path / "f")) == text


def test_empty_keeps_what_it_is_told_to(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "keep").touch()
    fd = os.open(tmp_path, os.O_RDONLY)
    directory.empty(fd, keep="keep")
    assert os.listdir(tmp_path) == ["keep"]
    directory.unlink(fd, "keep")
    directory.unlink(fd, "keep")
    os.close(fd)
    assert os.listdir(tmp_path) == []
