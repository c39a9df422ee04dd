"""TAP, deviations and counts: text in, values out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runsc_cli.errors import PyscError
from runsc_cli.suite import deviations, report, tap
from runsc_cli.suite.outcome import Outcome
from runsc_cli.suite.page import html
from runsc_cli.suite.tap import FAILED, PASSED, SKIPPED, Result

if TYPE_CHECKING:
    from pathlib import Path

OUTPUT = """TAP version 13
1..4
ok 1 - opens
a runtime says something
not ok 2 - closes
# open.c:7: SYS(close, 3) = -EBADF
ok 3 - waits # SKIP needs root
not ok 4 - reads
"""


def test_results_by_name() -> None:
    assert tap.read(OUTPUT) == {
        "opens": Result(PASSED),
        "closes": Result(FAILED, "open.c:7: SYS(close, 3) = -EBADF"),
        "waits": Result(SKIPPED, "needs root"),
        "reads": Result(FAILED),
    }


def test_a_case_without_a_result_has_failed() -> None:
    results = tap.complete(tap.read("ok 1 - a\n"), ["a", "b"], "no result: exit status 137")
    assert results == {"a": Result(PASSED), "b": Result(FAILED, "no result: exit status 137")}


def outcome(tmp_path: Path, lines: str, status: str = FAILED) -> Outcome:
    path = tmp_path / "deviations.txt"
    path.write_text(lines)
    out = Outcome(deviations.read(str(path)))
    out.columns["native"] = {"open": {"a": Result(PASSED), "b": Result(PASSED)}}
    out.columns["notify strict"] = {"open": {"a": Result(PASSED), "b": Result(status, "<seen>")}}
    return out


def test_an_unlisted_failure_counts(tmp_path: Path) -> None:
    out = outcome(tmp_path, "# nothing\n")
    assert not out.as_listed()
    shown = report.terminal(out)
    assert "open.b: <seen>" in shown
    assert shown.endswith("1 passed, 1 failed, 0 skipped\n")


@pytest.mark.parametrize("line", ["notify open.b why", "notify/strict open.b why", "notify open.* why"])
def test_a_listed_failure_is_accepted_and_shown(tmp_path: Path, line: str) -> None:
    out = outcome(tmp_path, line + "\n")
    assert out.as_listed()
    shown = report.terminal(out)
    assert "open.b: why" in shown
    assert shown.endswith("1 of the failed are listed deviations\n1 passed, 1 failed, 0 skipped\n")


@pytest.mark.parametrize("line", ["notify/standard open.b why", "runc open.b why", "notify open.a why"])
def test_a_deviation_of_something_else_is_none(tmp_path: Path, line: str) -> None:
    assert not outcome(tmp_path, line + "\n").as_listed()


def test_a_deviation_that_passes_is_told(tmp_path: Path) -> None:
    out = outcome(tmp_path, "notify open.b why\n", PASSED)
    assert out.stale() == ["notify strict: open.b"]
    assert "listed as deviations, but passed" in report.terminal(out)


def test_a_native_failure_is_never_accepted_as_a_deviation_of_the_platform(tmp_path: Path) -> None:
    out = outcome(tmp_path, "notify open.b why\n")
    out.columns["native"]["open"]["a"] = Result(FAILED, "wrong")
    assert not out.as_listed()


def test_a_line_that_is_no_deviation(tmp_path: Path) -> None:
    with pytest.raises(PyscError, match="line 1: a deviation is"):
        outcome(tmp_path, "notify open.b\n")


def test_the_reports(tmp_path: Path) -> None:
    out = outcome(tmp_path, "notify open.b why\n")
    assert '"deviation": "why"' in report.as_json(out)
    assert "| open | 2/2 | 1/2 |" in report.markdown(out, "make compatibility")
    page = html(out, [{"name": "open", "standard": "mediated", "strict": "mediated", "support": "full", "note": "a & b"}])
    assert "&lt;seen&gt;" in page
    assert "<seen>" not in page
    assert "a &amp; b" in page
    assert "http" not in page
