"""What --strace and `pysc trace --syscalls` may say: `all`, `openat,read`, `%file`. Names of system calls, checked."""

from __future__ import annotations

from difflib import get_close_matches

from runsc_cli.errors import UsageError, quote
from runsc_cli.trace.signatures import TABLE, reads
from sentry.syscalls.notified import UNSOUND
from sentry.syscalls.numbers import NUMBERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ALL, MEDIATED = "all", "mediated"
_GROUPS = {"%file": frozenset(("path",)), "%desc": frozenset(("fd", "dirfd"))}
MOST_SHOWN = 1024
"""Bytes of a string: a record is 4096 at most."""


class Wanted:
    """Which calls are to be seen. `numbers` None: all that come to the sentry."""

    __slots__ = ("native", "numbers")

    def __init__(self, text: str, option: str) -> None:
        """`option` is named in errors. Raises UsageError."""
        self.native: frozenset[str] = frozenset()
        """Calls that have to be sent to the sentry for it, should they be native."""
        self.numbers: list[int] | None = None
        text = text.removeprefix("trace=")
        if text in ("true", MEDIATED, ""):
            return
        if text == ALL:
            self.native = frozenset(NUMBERS) - frozenset(UNSOUND)
            return
        chosen = _expanded([word for word in text.replace(" ", "").split(",") if word])
        for name in chosen:
            check_name(name, option)
            if name in UNSOUND:
                raise UsageError(f"{option}: {name} cannot be traced: {UNSOUND[name]}")
        self.native = frozenset(chosen)
        self.numbers = sorted(NUMBERS[name] for name in self.native)

    def request(self, limit: int) -> dict[str, Any]:
        """What the sentry is told. `limit`: how many bytes of a string are shown."""
        numbers = NUMBERS.values() if self.numbers is None else self.numbers
        named = {number: name for name, number in NUMBERS.items()}
        plans = {str(number): reads(named[number], limit) for number in numbers}
        return {"numbers": self.numbers, "reads": {number: plan for number, plan in plans.items() if plan}}


def _expanded(words: list[str]) -> list[str]:
    """strace's groups: %file is what takes a path, %desc what takes a descriptor."""
    names: list[str] = []
    for word in words:
        wanted = _GROUPS.get(word)
        if wanted is None:
            names.append(word)
        else:
            names += [name for name, kinds in TABLE.items() if wanted & set(kinds) and name not in UNSOUND]
    return names


def check_name(name: str, option: str) -> None:
    """Raises UsageError for what is no system call."""
    if name in NUMBERS:
        return
    if name.startswith("%"):
        raise UsageError(f"{option}: {quote(name)} is no group of system calls: there are %file and %desc")
    near = get_close_matches(name, NUMBERS, n=1)
    hint = f"; did you mean {near[0]}?" if near else "; pysc help-syscalls lists them"
    raise UsageError(f"{option}: {quote(name)} is not a system call of x86_64{hint}")


def check_limit(limit: int, option: str) -> int:
    """How many bytes of a string are shown. Raises UsageError."""
    if not 0 <= limit <= MOST_SHOWN:
        raise UsageError(f"{option} {limit}: a number from 0 to {MOST_SHOWN} is needed")
    return limit
