"""The system call suite: the families about names, in both profiles; and its runner when things go wrong. `make syscall-tests` runs it all."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from containers import requires
from engines import pysc_binary

from runsc_cli.suite.sources import DEFAULT

if TYPE_CHECKING:
    from pathlib import Path

    from containers import Pysc

pytestmark = [pytest.mark.integration, requires("make", "cc")]

QUICK = "open openat2 stat access readlink rename chdir exec fifo unixsocket".split()


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("profile", "options"), [("standard", ""), ("strict", ""), ("strict", " --directfs=false")])
def test_the_quick_part_fails_only_as_listed(pysc: Pysc, tmp_path: Path, profile: str, options: str) -> None:
    where = ["--platform", f"notify{options}", "--profile", profile, "--json", tmp_path / "out.json"]
    done = pysc("syscall-tests", "--quiet", *where, *QUICK, timeout=280)
    assert done.code == 0, str(done)  # a string is not cut by pytest
    assert done.out.splitlines()[-1].endswith(" skipped")
    columns = json.loads((tmp_path / "out.json").read_text())["columns"]
    assert list(columns) == ["native", f"notify {profile}{options}"]
    assert columns["native"]["counts"]["failed"] == 0
    assert columns["native"]["counts"]["passed"] > 400
    assert "but passed" not in done.out


def test_the_installed_command_and_a_container_without_a_sandbox() -> None:
    argv = [pysc_binary(), "syscall-tests", "--platform", "notify", "--platform", "namespace", "umask", "unlink"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed, 0 failed, 0 skipped" in done.stdout.splitlines()[-1]


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A suite of one family that does what a family should not."""
    directory = tmp_path / "suite"
    (directory / "families").mkdir(parents=True)
    for name in ("harness.h", "native.c", "Makefile"):
        shutil.copy(f"{DEFAULT}/{name}", directory)
    (directory / "deviations.txt").write_text("")
    (directory / "families" / "bad.c").write_text(
        '#include "harness.h"\n'
        "CASE(good) { CHECK(1); }\n"
        "CASE(crashes) { *(volatile int *)BAD = 1; }\n"
        "CASE(hangs) { for (;;) pause(); }\n"
        "CASE(leaves_processes) { if (!fork()) { setsid(); for (;;) pause(); } }\n"
        "CASE(fails_in_a_child) { CHILD(EQ(1, 2)); }\n"
        "CASE(exits) { _exit(3); }\n"
        'CASE(skipped) { skip("not here"); }\n'
        'CASE(leaves_files) { dir_mode("d", 0); file("d/f", ""); OK(SYS(chmod, "d", 0)); }\n'
    )
    return directory


def test_cases_that_crash_hang_or_leave_things(pysc: Pysc, suite: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names = "good crashes leaves_processes fails_in_a_child exits skipped leaves_files".split()
    out = tmp_path / "out.json"
    done = pysc("syscall-tests", "--quiet", "--sources", suite, "--json", out, *(f"bad.{name}" for name in names))
    assert done.code == 1
    columns = json.loads(out.read_text())["columns"]
    for column in columns.values():
        cases = column["cases"]
        passed = [name for name in cases if cases[name]["status"] == "passed"]
        assert passed == ["bad.good", "bad.leaves_processes", "bad.leaves_files"]
        assert "signal 11" in cases["bad.crashes"]["why"]
        assert "2 = 2, not 1" in cases["bad.fails_in_a_child"]["why"]
        assert "exit status 3" in cases["bad.exits"]["why"]
        assert cases["bad.skipped"] == {"status": "skipped", "why": "not here"}
    assert "bad.crashes" in done.out


def test_a_case_that_hangs_is_ended(pysc: Pysc, suite: Path) -> None:
    done = pysc("syscall-tests", "--quiet", "--sources", suite, "--platform", "native", "bad.hangs", "bad.good")
    assert done.code == 1
    assert "bad.hangs: not done after 30 seconds" in done.out
    assert done.out.endswith("1 passed, 1 failed, 0 skipped\n")


def test_a_compiler_that_is_missing(pysc: Pysc, suite: Path) -> None:
    done = pysc("syscall-tests", "--sources", suite, "--platform", "native", env={"CC": "no-such-compiler"})
    assert done.code == 1
    assert "the syscall tests cannot be built (Debian: gcc libc6-dev linux-libc-dev)" in done.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "among the syscall tests"),
        (["bad.none"], "in the family bad"),
        (["--platform", "no-such-runtime --x"], "no platform or runtime"),
        (["--profile", "lax"], "invalid value"),
    ],
)
def test_what_is_not_there(pysc: Pysc, suite: Path, words: list[str], message: str) -> None:
    done = pysc("syscall-tests", "--sources", suite, *words)
    assert done.code == 1
    assert message in done.err


def test_no_suite_there(pysc: Pysc, tmp_path: Path) -> None:
    done = pysc("syscall-tests", "--sources", tmp_path)
    assert done.code == 1
    assert "no syscall tests in" in done.err


def test_the_list(pysc: Pysc, suite: Path) -> None:
    done = pysc("syscall-tests", "--sources", suite, "--list", "bad.good", "bad.exits", check=True)
    assert done.out.split() == ["bad.good", "bad.exits"]


def test_the_sources_have_no_warnings(tmp_path: Path) -> None:
    made = subprocess.run(
        ["make", "-s", "-C", DEFAULT, f"BUILD={tmp_path}", "WERROR=-Werror", f"{tmp_path}/open", f"{tmp_path}/.native"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
