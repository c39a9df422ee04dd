"""What --strace, --syscalls and --inject may say."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runsc_cli.errors import UsageError
from runsc_cli.trace.inject import parse
from runsc_cli.trace.spec import Wanted
from sentry.syscalls.notified import UNSOUND
from sentry.syscalls.numbers import NUMBERS


def fault(text: str) -> dict[str, Any]:
    return parse(text, "standard", "none")


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("openat:ENOSPC", {"error": 28}),
        ("openat:error=ENOSPC", {"error": 28}),
        ("inject=openat:error=ENOSPC", {"error": 28}),
        ("openat:error=28", {"error": 28}),
        ("openat:ENOTSUP", {"error": 95}),
        ("openat:EOPNOTSUPP", {"error": 95}),
        ("openat:ENOSPC:when=3", {"error": 28, "when": [3, 0, 0]}),
        ("openat:ENOSPC:when=3+", {"error": 28, "when": [3, 0, 1]}),
        ("openat:when=3+2:ENOSPC", {"error": 28, "when": [3, 0, 2]}),
        ("openat:ENOSPC:when=3..5", {"error": 28, "when": [3, 5, 1]}),
        ("openat:ENOSPC:when=3..9+2", {"error": 28, "when": [3, 9, 2]}),
        ("openat:retval=0x10", {"retval": 16}),
        ("openat:signal=SIGTERM", {"signal": 15}),
        ("openat:signal=USR1:EINTR", {"signal": 10, "error": 4}),
        ("openat:signal=34", {"signal": 34}),
        ("openat:delay_enter=1500", {"delay_enter": 0.0015}),
        ("openat:delay_enter=20ms:delay_exit=1s", {"delay_enter": 0.02, "delay_exit": 1.0}),
    ],
)
def test_what_is_understood(text: str, changed: dict[str, Any]) -> None:
    plain = {"error": 0, "retval": None, "signal": 0, "delay_enter": 0.0, "delay_exit": 0.0, "when": [1, 0, 1], "numbers": [257]}
    assert fault(text) == plain | changed


def test_several_calls() -> None:
    assert fault("clone,fork,vfork:EAGAIN")["numbers"] == [56, 57, 58]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "CALL"),
        ("openat", "CALL"),
        (":ENOSPC", "CALL"),
        ("opneat:ENOSPC", "did you mean openat?"),
        ("openat:ENOSUCH", "no errno"),
        ("openat:error=0", "no errno"),
        ("openat:error=4096", "no errno"),
        ("openat:eror=ENOSPC", "none of error, retval"),
        ("openat:ENOSPC:error=EIO", "twice"),
        ("openat:ENOSPC:retval=0", "two answers"),
        ("openat:retval=-1", "from 0"),
        ("openat:when=3", "not what"),
        ("openat:ENOSPC:when=0", "counted from 1"),
        ("openat:ENOSPC:when=5..3", "not before"),
        ("openat:ENOSPC:when=3+0", "at least"),
        ("openat:ENOSPC:when=+", "FIRST"),
        ("openat:ENOSPC:when=x", "FIRST"),
        ("openat:signal=SIGNOPE", "no signal"),
        ("openat:delay_enter=1m", "no time"),
        ("openat:delay_enter=3601s", "an hour"),
        ("rt_sigreturn:ENOSPC", "no caller"),
        ("exit_group:ENOSPC", "does not return"),
        ("restart_syscall:ENOSPC", "go on with another call"),
        ("clone3:ENOSPC", "ENOSYS before anybody"),
        ("read:delay_exit=1s", "use delay_enter"),
        ("setuid:delay_exit=1s", "use delay_enter"),
        ("stat:delay_exit=1s", "use delay_enter"),
    ],
)
def test_what_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(UsageError) as raised:
        fault(text)
    assert why in raised.value.message
    assert raised.value.message.startswith("--inject ")
    assert "\n" not in raised.value.message


def test_a_delay_behind_a_call_depends_on_who_makes_it() -> None:
    assert parse("stat:delay_exit=1s", "strict", "none")["delay_exit"] == 1.0
    assert fault("read:EIO:delay_exit=1s")["delay_exit"] == 1.0


@given(st.text(max_size=60))
def test_any_text_is_understood_or_refused(text: str) -> None:
    for prefix in ("", "openat:", "openat:ENOSPC:when="):
        try:
            fault(prefix + text)
        except UsageError as error:
            assert "\n" not in error.message


@pytest.mark.parametrize("text", ["", "true", "mediated"])
def test_the_mediated_calls(text: str) -> None:
    wanted = Wanted(text, "--strace")
    assert wanted.numbers is None
    assert not wanted.native


def test_all_calls_but_those_that_cannot_be_sent() -> None:
    wanted = Wanted("all", "--strace")
    assert wanted.numbers is None
    assert wanted.native == set(NUMBERS) - set(UNSOUND)


def test_some_calls() -> None:
    wanted = Wanted("openat,read", "--strace")
    assert wanted.numbers == [0, 257]
    assert wanted.native == {"openat", "read"}
    assert wanted.request(32)["reads"] == {"257": [["s", 1, 0, 4096]]}


def test_straces_groups_and_prefix() -> None:
    files = Wanted("trace=%file", "--strace").native
    assert {"openat", "execve", "rename", "mount", "inotify_add_watch"} < files
    assert not files & {"read", "socket", "mmap"}
    assert {"read", "openat", "mmap", "epoll_ctl"} < Wanted("%desc,getpid", "--strace").native
    assert "getpid" in Wanted("%desc,getpid", "--strace").native


@pytest.mark.parametrize(("text", "why"), [("opne", "did you mean open?"), ("rt_sigreturn", "cannot be traced"), ("clone3", "ENOSYS")])
def test_no_such_calls(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        Wanted(text, "--strace")
