"""The scanner, and its agreement with click: what one understands, the other understands alike."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from runsc_cli.argv import Call, scan, scan_globals
from runsc_cli.cli import read
from runsc_cli.errors import UsageError
from runsc_cli.options import CHOICE, FLAG, GLOBAL, INT, INTS, LIST, VERBS, Option, Verb

WORDS = st.text(alphabet="ab/=. é-", max_size=6)
PLAIN = WORDS.filter(lambda word: word == "-" or not word.startswith("-"))


def defaults(table: tuple[Option, ...], **given: Any) -> dict[str, Any]:
    return {option.key: option.initial() for option in table} | given


@st.composite
def spelt(draw: st.DrawFn, option: Option) -> tuple[list[str], Any]:
    """One occurrence of an option as Go's flag package spells it, and its value."""
    name = draw(st.sampled_from([n for n in (option.name, option.short) if n]))
    dashes = draw(st.sampled_from(["-", "--"]))
    if option.kind == FLAG:
        value: Any = draw(st.booleans())
        text = draw(st.sampled_from(["1", "T", "true", "TRUE"] if value else ["0", "f", "false", "False"]))
        if value and draw(st.booleans()):
            return [f"{dashes}{name}"], True
        return [f"{dashes}{name}={text}"], value
    if option.kind == CHOICE:
        if draw(st.booleans()):
            return [f"{dashes}{name}"], "true"
        value = draw(WORDS)
        return [f"{dashes}{name}={value}"], value
    if option.kind in (INT, INTS):
        value = draw(st.integers(-99, 10**9))
    elif option.choices:
        value = draw(st.sampled_from(option.choices))
    else:
        value = draw(WORDS)
    return draw(st.sampled_from([[f"{dashes}{name}={value}"], [f"{dashes}{name}", str(value)]])), value


@st.composite
def options_of(draw: st.DrawFn, table: tuple[Option, ...]) -> tuple[list[list[str]], dict[str, Any]]:
    """Some options, as pieces of a command line, and all their values."""
    values = defaults(table)
    pieces = []
    for option in draw(st.lists(st.sampled_from(table), max_size=4)) if table else []:
        piece, value = draw(spelt(option))
        pieces.append(piece)
        if option.kind in (LIST, INTS):
            values[option.key].append(value)
        else:
            values[option.key] = value
    return pieces, values


@st.composite
def calls(draw: st.DrawFn) -> tuple[list[str], Call]:
    """A well-formed command line and what it means."""
    verb: Verb = draw(st.sampled_from(VERBS))
    table = tuple(option for option in GLOBAL if option.name != "version")
    before, globals = draw(options_of(table))
    pieces, options = draw(options_of(verb.options))
    count = draw(st.integers(verb.least, verb.least + 3 if verb.most is None else verb.most))
    if verb.command:
        first = draw(st.lists(PLAIN, min_size=min(count, 1), max_size=min(count, 1)))
        args = first + draw(st.lists(WORDS, min_size=count - len(first), max_size=count - len(first)))
        tail = [word for piece in pieces for word in piece] + (["--"] if draw(st.booleans()) else []) + args
    else:
        args = draw(st.lists(PLAIN, min_size=count, max_size=count))
        mixed: list[list[str]] = []
        slots = draw(st.lists(st.integers(0, len(pieces)), min_size=count, max_size=count).map(sorted))
        for at in range(len(pieces) + 1):
            mixed += [[arg] for arg, slot in zip(args, slots, strict=True) if slot == at]
            mixed += pieces[at : at + 1]
        tail = [word for piece in mixed for word in piece]
    head = [word for piece in before for word in piece] + (["--"] if draw(st.booleans()) else [])
    return [*head, verb.name, *tail], Call(verb.name, globals | {"version": False}, options, args)


@given(calls())
@settings(max_examples=300)
def test_both_readers_understand_a_well_formed_call(case: tuple[list[str], Call]) -> None:
    argv, meant = case
    assert scan(argv) == meant
    assert read(argv) == meant
    assert scan_globals(argv) == meant.globals


VOCABULARY = [
    "state", "kill", "delete", "list", "exec", "do", "run", "spec", "ps", "wait", "help", "version", "bogus",
    "web", "9", "-9", "-", "--", "---", "-=", "--=x", "", "-a", "--all", "-all=false", "--all=maybe", "--force", "-f",
    "json", "--format=json", "--format=xml", "-format", "--root", "/r", "-root=/x", "--log-format", "text", "-e", "A=1",
    "--env=B=2", "-t", "-tty=0", "--help", "-h", "--help=false", "-v", "--version", "--version=0", "--debug", "--cap",
    "--preserve-fds", "3", "-d", "-g", "--bogus", "-x=1",
]  # fmt: skip


@example(["kill", "--all=maybe", "state", "-a"])
@given(st.lists(st.sampled_from(VOCABULARY), max_size=7))
@settings(max_examples=1000)
def test_both_readers_agree_about_any_command_line(argv: list[str]) -> None:
    scanned = scan(argv)
    shown = io.StringIO()
    try:
        with contextlib.redirect_stdout(shown):
            explained = read(argv)
    except UsageError as error:
        assert scanned is None
        assert error.message
        return
    if isinstance(explained, Call):
        assert scanned == explained
    else:
        assert scanned is None
        assert explained == 0
        assert "Usage: pysc" in shown.getvalue()


def test_a_containerd_call() -> None:
    line = "--root /r --log /b/log.json --log-format json create --bundle /b --pid-file /b/init.pid web"
    call = scan(line.split())
    assert call is not None
    assert call.verb == "create"
    assert call.globals == defaults(GLOBAL, root="/r", log="/b/log.json", log_format="json")
    assert call.options["bundle"] == "/b"
    assert call.options["pid_file"] == "/b/init.pid"
    assert call.args == ["web"]


def test_the_words_of_a_command_are_its_own() -> None:
    call = scan(["exec", "-t", "web", "ls", "-l", "--", "-t"])
    assert call is not None
    assert call.args == ["web", "ls", "-l", "--", "-t"]
    call = scan(["do", "--", "-odd", "--quiet"])
    assert call is not None
    assert call.args == ["-odd", "--quiet"]
    assert call.options["quiet"] is False


def test_options_may_follow_the_arguments_as_with_runc() -> None:
    call = scan(["kill", "web", "--all", "KILL"])
    assert call is not None
    assert (call.args, call.options["all"]) == (["web", "KILL"], True)
    call = scan(["kill", "web", "-9"])
    assert call is not None
    assert call.args == ["web", "-9"]
    call = scan(["run", "web", "-bundle=/b"])
    assert call is not None
    assert call.options["bundle"] == "/b"


@pytest.mark.parametrize(
    "argv",
    [[], [""], ["help"], ["state"], ["state", "a", "b"], ["state", "-x", "a"], ["--root"], ["--bogus"], ["-h"],
     ["state", "a", "--help"], ["kill", "-9", "a"], ["list", "--quiet="], ["create", "--preserve-fds", "x", "a"]],
    ids=str,
)  # fmt: skip
def test_what_is_irregular_is_left_to_click(argv: list[str]) -> None:
    assert scan(argv) is None


def test_the_version_is_printed_whatever_follows() -> None:
    for argv in (["--version"], ["-v", "state"], ["--root", "/x", "-v", "bogus"]):
        call = scan(argv)
        assert call is not None
        assert call.verb == "version"
