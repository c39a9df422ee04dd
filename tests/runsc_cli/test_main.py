from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from runsc_cli.errors import ContainerNotFound, PyscError
from runsc_cli.main import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stand_ins import Pysc

PYSC = [sys.executable, "-m", "runsc_cli.main"]


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[], int]], None]:
    """Replaces what a verb does."""

    def replace(name: str, action: Callable[[], int]) -> None:
        module = ModuleType(f"runsc_cli.verbs.{name}")
        module.run = lambda options, args, context: action()  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)

    return replace


def raises(error: BaseException) -> Callable[[], int]:
    def act() -> int:
        raise error

    return act


def test_the_verbs_answer_is_the_exit_code(pysc: Pysc, verb: Callable[..., None]) -> None:
    verb("start", lambda: 42)
    assert pysc("start", "web").code == 42


def test_an_error_is_one_line(pysc: Pysc) -> None:
    answer = pysc("state", "web")
    assert (answer.code, answer.out) == (1, "")
    assert re.fullmatch(r'time="[^"]+" level=error msg="container does not exist"\n', answer.err)


def test_a_log_file_gets_the_record_and_stderr_the_message(pysc: Pysc, tmp_path: Path) -> None:
    log = tmp_path / "log.json"
    answer = pysc("--log", str(log), "--log-format", "json", "state", "web")
    assert answer.err == "container does not exist\n"
    record = json.loads(log.read_text())
    assert sorted(record) == ["level", "msg", "time"]
    assert (record["level"], record["msg"]) == ("error", "container does not exist")


def test_a_usage_error_reaches_the_log_too(pysc: Pysc, tmp_path: Path) -> None:
    log = tmp_path / "log.json"
    answer = pysc("--log", str(log), "--log-format", "json", "state")
    assert answer.code == 1
    assert json.loads(log.read_text())["msg"] == 'pysc: "state" requires exactly 1 argument(s); see pysc state --help'


def test_a_log_that_cannot_be_opened(pysc: Pysc) -> None:
    answer = pysc("--log", "/nonexistent/log", "state", "web")
    assert (answer.code, answer.message) == (1, "open /nonexistent/log: no such file or directory")


@pytest.mark.parametrize(
    ("name", "argv", "message", "code"),
    [
        ("create", ["create", "web"], "pysc create failed: container does not exist", 1),
        ("run", ["run", "web"], "pysc run failed: container does not exist", 1),
        ("exec", ["exec", "web", "true"], "exec failed: container does not exist", 255),
        ("start", ["start", "web"], "container does not exist", 1),
    ],
)
def test_create_run_and_exec_say_what_failed_as_runc_does(
    name: str, argv: list[str], message: str, code: int, pysc: Pysc, verb: Callable[..., None]
) -> None:
    verb(name, raises(ContainerNotFound()))
    answer = pysc(*argv)
    assert (answer.message, answer.code) == (message, code)


def test_an_error_may_have_its_own_code(pysc: Pysc, verb: Callable[..., None]) -> None:
    verb("do", raises(PyscError("no", code=127)))
    assert pysc("do", "x").code == 127


def test_a_wrong_exec_is_not_a_failed_exec(pysc: Pysc) -> None:
    answer = pysc("exec")
    assert answer.code == 1
    assert answer.message.startswith('pysc: "exec" requires')


def test_a_bug_is_one_line_and_its_traceback_for_debug_only(pysc: Pysc, verb: Callable[..., None]) -> None:
    verb("start", raises(ZeroDivisionError("division by zero")))
    answer = pysc("start", "web")
    assert answer.code == 1
    assert answer.message == "internal error: ZeroDivisionError: division by zero; --debug shows where"
    answer = pysc("--debug", "start", "web")
    assert answer.code == 1
    assert answer.err.count("Traceback") == 1


def test_a_host_error_that_nobody_expected_names_the_file(pysc: Pysc, verb: Callable[..., None]) -> None:
    verb("start", raises(OSError(28, "No space left on device", "/run/x")))
    assert pysc("start", "web").message == "/run/x: no space left on device"


def test_ctrl_c_is_silent(pysc: Pysc, verb: Callable[..., None]) -> None:
    verb("start", raises(KeyboardInterrupt()))
    answer = pysc("start", "web")
    assert (answer.code, answer.out, answer.err) == (130, "", "")


def test_an_unknown_verb_has_code_3(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["bogus"]) == 3
    assert capfd.readouterr().err.endswith(" level=error msg=\"No help topic for 'bogus'\\n\"\n")


def test_a_reader_that_went_away_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    answer = subprocess.run([*PYSC, "--help"], stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (answer.returncode, answer.stderr) == (1, b"")


def test_without_any_standard_stream() -> None:
    answer = subprocess.run(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *PYSC, "--version"], check=False)
    assert answer.returncode == 0


def test_a_full_disk_under_stdout_is_an_error() -> None:
    with open("/dev/full", "w") as full:
        answer = subprocess.run([*PYSC, "version"], stdout=full, stderr=subprocess.PIPE, check=False)
    assert answer.returncode == 1
    assert b"no space left on device" in answer.stderr
    assert b"Traceback" not in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def test_an_id_of_bytes_that_are_no_text_is_refused_politely() -> None:
    answer = subprocess.run([*PYSC, "state", b"\xff\xfe"], stderr=subprocess.PIPE, check=False)
    assert answer.returncode == 1
    assert b'msg="invalid container ID format"' in answer.stderr


def test_a_terminated_command_dies_of_the_signal() -> None:
    code = "import os, signal; from runsc_cli.main import main; os.kill(os.getpid(), signal.SIGTERM); main(['version'])"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGTERM
