from __future__ import annotations

import pytest

from runsc_cli.argv import Call
from runsc_cli.cli import read
from runsc_cli.errors import UnknownVerb, UsageError
from runsc_cli.options import GLOBAL, VERBS, Verb


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        (["state"], 'pysc: "state" requires exactly 1 argument(s); see pysc state --help'),
        (["state", "a", "-x"], 'pysc: "state" requires exactly 1 argument(s); see pysc state --help'),
        (["kill", "a", "b", "c"], 'pysc: "kill" requires a maximum of 2 argument(s); see pysc kill --help'),
        (["--bogus", "state", "a"], "flag provided but not defined: -bogus"),
        (["create", "-bundel=x", "a"], "flag provided but not defined: -bundel; did you mean --bundle?"),
        (["run", "--bundle"], "flag needs an argument: -bundle"),
        (["---root", "x"], "bad flag syntax: ---root"),
        (["-=x"], "bad flag syntax: -=x"),
        (["create", "--preserve-fds", "x", "a"], 'invalid value "x" for flag -preserve-fds: parse error'),
        (["delete", "--force=maybe", "a"], 'invalid boolean value "maybe" for -force: parse error'),
        (["--log-format", "xml", "list"], "invalid log-format: xml"),
        (["list", "--format", ""], "invalid format option"),
    ],
)
def test_complaints_begin_as_runcs(argv: list[str], complaint: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(argv)
    assert caught.value.message == complaint
    assert caught.value.code == 1


@pytest.mark.parametrize("argv", [["bogus"], ["--root", "/x", "bogus", "--help"], ["help", "bogus"]], ids=str)
def test_an_unknown_verb(argv: list[str]) -> None:
    with pytest.raises(UnknownVerb, match=r"^No help topic for 'bogus'\n$"):
        read(argv)


@pytest.mark.parametrize("argv", [[], [""], ["help"], ["h"], ["--help"], ["-h", "bogus"], ["--root", "/x"]], ids=str)
def test_help_lists_all(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert read(argv) == 0
    shown = capsys.readouterr().out
    for verb in VERBS:
        assert f"\n  {verb.name} " in shown
    for option in GLOBAL:
        assert f"--{option.name}" in shown
    assert "Examples:" in shown


@pytest.mark.parametrize("verb", VERBS, ids=lambda v: v.name)
def test_help_of_a_verb(verb: Verb, capsys: pytest.CaptureFixture[str]) -> None:
    shown = []
    for argv in ([verb.name, "--help"], ["help", verb.name]):
        assert read(argv) == 0
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1]
    for option in verb.options:
        assert f"--{option.name}" in shown[0]
    assert f"pysc {verb.name}" in shown[0]
    for example in verb.examples:
        assert f"    {example}\n" in shown[0]


def test_a_flag_is_shown_without_a_value(capsys: pytest.CaptureFixture[str]) -> None:
    read(["delete", "--help"])
    assert "-f, --force  kill it first" in capsys.readouterr().out


def test_runscs_spelling_of_the_system_call_table() -> None:
    call = read(["--debug", "help", "syscalls"])
    assert isinstance(call, Call)
    assert (call.verb, call.globals["debug"], call.options) == ("help-syscalls", True, {"format": "table"})
