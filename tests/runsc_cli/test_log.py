from __future__ import annotations

import json
import os
import re
import time
from typing import TYPE_CHECKING

import pytest

from runsc_cli.errors import HostError, PyscError
from runsc_cli.log import Log, record, timestamp

if TYPE_CHECKING:
    from pathlib import Path

WHEN = "2026-11-24T03:38:30Z"


def test_the_text_format_is_logruss() -> None:
    assert record("error", 'unknown signal "X"', WHEN, json=False) == (f'time="{WHEN}" level=error msg="unknown signal \\"X\\""\n')
    assert record("error", "bare-word", WHEN, json=False) == f'time="{WHEN}" level=error msg=bare-word\n'
    assert record("error", "", WHEN, json=False) == f'time="{WHEN}" level=error msg=""\n'


def test_the_json_format_has_runcs_keys_in_its_order() -> None:
    line = record("error", "two\nlines é", WHEN, json=True)
    assert line.count("\n") == 1
    assert list(json.loads(line).items()) == [("level", "error"), ("msg", "two\nlines é"), ("time", WHEN)]


def test_a_file_is_appended_to_and_stderr_is_told_plainly(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "log.json"
    path.write_text("earlier\n")
    Log(str(path), "json").fatal("container not running")
    earlier, line = path.read_text().splitlines()
    assert earlier == "earlier"
    assert json.loads(line)["msg"] == "container not running"
    assert capfd.readouterr() == ("", "container not running\n")


def test_without_a_file_stderr_gets_the_record_once(capfd: pytest.CaptureFixture[str]) -> None:
    Log().fatal("container not running")
    out, err = capfd.readouterr()
    assert out == ""
    assert re.fullmatch(r'time="[^"]+" level=error msg="container not running"\n', err)


def test_debug_is_for_those_who_ask(capfd: pytest.CaptureFixture[str]) -> None:
    Log().debug("quiet")
    assert capfd.readouterr().err == ""
    Log(debug=True).debug("loud")
    assert "level=debug msg=loud" in capfd.readouterr().err


def test_a_warning_is_only_logged(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "log"
    Log(str(path)).warning("w")
    assert "level=warning msg=w" in path.read_text()
    assert capfd.readouterr().err == ""


def test_the_file_is_made_even_when_nothing_is_logged(tmp_path: Path) -> None:
    # containerd's shim reports "unable to retrieve OCI runtime error" for a file that is missing.
    Log(str(tmp_path / "log"))
    assert (tmp_path / "log").read_text() == ""


def test_a_log_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"^open .*/none/log: no such file or directory$"):
        Log(str(tmp_path / "none" / "log"))


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(PyscError, match=r"^invalid log-format: xml$"):
        Log(None, "xml")


def test_bytes_that_are_no_text_reach_the_log(capfd: pytest.CaptureFixture[str]) -> None:
    Log(format="json").error(os.fsdecode(b"a\xffb"))
    assert json.loads(capfd.readouterr().err)["msg"].startswith("a")


@pytest.mark.parametrize(("zone", "suffix"), [("UTC0", "Z"), ("XXX-5:30", "+05:30"), ("XXX3", "-03:00")])
def test_time_is_rfc3339_with_the_local_offset(zone: str, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d" + re.escape(suffix), timestamp())
    finally:
        monkeypatch.undo()
        time.tzset()
