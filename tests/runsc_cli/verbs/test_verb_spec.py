from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from runsc_cli.spec import load

if TYPE_CHECKING:
    from pathlib import Path

    from stand_ins import Pysc


def test_it_writes_a_config_that_can_be_loaded(pysc: Pysc, tmp_path: Path) -> None:
    (tmp_path / "rootfs").mkdir()
    answer = pysc("spec", "--bundle", str(tmp_path), "--", "/bin/echo", "-n", "hello")
    assert (answer.code, answer.out, answer.err) == (0, "", "")
    text = (tmp_path / "config.json").read_text()
    assert text.startswith('{\n\t"ociVersion": "')
    assert json.loads(text)["process"]["args"] == ["/bin/echo", "-n", "hello"]
    load(str(tmp_path))


def test_it_runs_a_shell_unless_told_otherwise(pysc: Pysc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert pysc("spec", "--rootless").code == 0
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["process"]["args"] == ["sh"]
    assert "uidMappings" in config["linux"]


def test_it_overwrites_nothing(pysc: Pysc, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("mine")
    answer = pysc("spec", "--bundle", str(tmp_path))
    assert answer.code == 1
    assert answer.message == f"File {tmp_path}/config.json exists. Remove it first"
    assert (tmp_path / "config.json").read_text() == "mine"


def test_a_bundle_that_is_not_there(pysc: Pysc, tmp_path: Path) -> None:
    answer = pysc("spec", "--bundle", str(tmp_path / "none"))
    assert answer.message == f"open {tmp_path}/none/config.json: no such file or directory"
