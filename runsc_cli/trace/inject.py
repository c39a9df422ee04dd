"""--inject: faults in the words of strace, `openat:error=ENOSPC:when=3+`, as the sentry takes them (sentry/inject.py).

    SPEC   CALL[,CALL...]:ACTION[:ACTION...]
    ACTION error=ENOSPC, or ENOSPC alone; a number does as well
           retval=N             return N, without having done anything
           signal=SIGTERM       send it to the thread that calls
           delay_enter=TIME     before the call is made; microseconds, or with ns, us, ms, s
           delay_exit=TIME      after it was made
           when=FIRST[..LAST][+[STEP]]   which calls of a process; default all

What cannot be done exactly is refused, with the reason.
"""

from __future__ import annotations

import errno
import re
import signal

from runsc_cli.errors import UsageError, quote
from runsc_cli.trace.spec import check_name
from sentry.syscalls.notified import NO_RETURN
from sentry.syscalls.numbers import NUMBERS
from sentry.syscalls.table import ROWS, Native, leaves

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_UNITS = {"": 1e-6, "ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}
_TIME = re.compile(r"([0-9]{1,12})(ns|us|ms|s)?", re.ASCII)
_WHEN = re.compile(r"([0-9]{1,9})(?:\.\.([0-9]{1,9}))?(?:(\+)([0-9]{1,9})?)?", re.ASCII)
_LONGEST = 3600.0
"""Seconds of a delay."""

_CONTINUED = frozenset(
    "setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups capset umask chroot prctl chdir bind connect".split()
)
"""Mediated, but made by the kernel after the sentry has answered."""

_OPENS = frozenset(("open", "openat"))
"""Made by the sentry, but for places (O_PATH) and, in the profile standard, directories: of those nobody sees the return."""

_MORE_ERRNOS = {"ERESTARTSYS": 512}
_ERRNOS = {name: number for number, name in errno.errorcode.items()} | _MORE_ERRNOS | {"EOPNOTSUPP": errno.EOPNOTSUPP}


def parse(text: str, profile: str, network: str) -> dict[str, Any]:
    """One specification. `profile` and `network` are the container's. Raises UsageError."""
    calls, _, rest = text.removeprefix("inject=").partition(":")
    names = [name for name in calls.split(",") if name]
    if not names or not rest:
        raise _bad(text, "CALL[,CALL...]:ACTION[:ACTION...] is needed, as in openat:error=ENOSPC:when=3+")
    for name in names:
        check_name(name, f"--inject {quote(text)}")
        if name in NO_RETURN:
            raise _bad(text, f"{name}: {NO_RETURN[name]}")
    found: dict[str, Any] = {"error": 0, "retval": None, "signal": 0, "delay_enter": 0.0, "delay_exit": 0.0, "when": [1, 0, 1]}
    seen = set()
    for action in rest.split(":"):
        key, equals, value = action.partition("=")
        if not equals:
            key, value = "error", action
        if key not in found:
            raise _bad(text, f"{quote(action)} is none of error, retval, signal, delay_enter, delay_exit, when")
        if key in seen:
            raise _bad(text, f"{key} is there twice")
        seen.add(key)
        found[key] = _READ[key](text, value)
    _check(text, names, found, seen, profile, network)
    return found | {"numbers": sorted(NUMBERS[name] for name in names)}


def _check(text: str, names: list[str], found: dict[str, Any], seen: set[str], profile: str, network: str) -> None:
    if seen <= {"when"}:
        raise _bad(text, "says when, but not what: add error=, retval=, signal= or a delay")
    if {"error", "retval"} <= seen:
        raise _bad(text, "error and retval are two answers to one call")
    if "delay_exit" not in seen or seen & {"error", "retval"}:
        return
    by_name = {row.name: row for row in ROWS}
    for name in names:
        native = any(isinstance(leaf, Native) for leaf in leaves(by_name[name].disposition(profile, network)))
        if (native and name not in _OPENS) or name in _CONTINUED:
            raise _bad(text, f"delay_exit: {name} is made by the kernel once the sentry has answered, so nobody sees it return; use delay_enter")


def _error(text: str, value: str) -> int:
    if value in _ERRNOS:
        return _ERRNOS[value]
    if value.isascii() and value.isdigit() and 0 < int(value) < 4096:
        return int(value)
    raise _bad(text, f"{quote(value)} is no errno: a name as in errno(3), or a number from 1 to 4095")


def _retval(text: str, value: str) -> int:
    try:
        number = int(value, 0)
    except ValueError:
        number = -1
    if not 0 <= number < 1 << 63:
        raise _bad(text, f"retval {quote(value)}: a number from 0 is needed; error= is for failures")
    return number


def _signal(text: str, value: str) -> int:
    known = {s.name: int(s) for s in signal.Signals}
    number = known.get(value) or known.get(f"SIG{value}")
    if number is None and value.isascii() and value.isdigit() and 0 < int(value) < 65:
        number = int(value)
    if number is None:
        raise _bad(text, f"{quote(value)} is no signal")
    return number


def _delay(text: str, value: str) -> float:
    match = _TIME.fullmatch(value)
    if match is None:
        raise _bad(text, f"{quote(value)} is no time: microseconds, or a number with ns, us, ms or s")
    seconds = int(match[1]) * _UNITS[match[2] or ""]
    if seconds > _LONGEST:
        raise _bad(text, f"{quote(value)} is longer than an hour")
    return seconds


def _when(text: str, value: str) -> list[int]:
    """[first, last or 0, step]; step 0 is that one call alone."""
    match = _WHEN.fullmatch(value)
    if match is None:
        raise _bad(text, f"when {quote(value)}: FIRST[..LAST][+[STEP]] is needed, as in 3, 3+, 3+2, 3..5")
    first, last = int(match[1]), int(match[2] or 0)
    step = int(match[4]) if match[4] else 1 if match[3] or match[2] else 0
    if first < 1 or (match[2] and last < first) or (match[4] and step < 1):
        raise _bad(text, f"when {quote(value)}: calls are counted from 1, LAST is not before FIRST, and STEP is 1 at least")
    return [first, last, step]


_READ = {"error": _error, "retval": _retval, "signal": _signal, "delay_enter": _delay, "delay_exit": _delay, "when": _when}


def _bad(text: str, why: str) -> UsageError:
    return UsageError(f"--inject {quote(text)}: {why}")
