"""Calls that are sent to the sentry although they are native: what is decided there is what the filter would have decided."""

from __future__ import annotations

import errno
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentry.syscalls import notified
from sentry.syscalls.numbers import NUMBERS
from sentry.syscalls.table import PROFILES, ROWS, Denied, Mediated, Native, decide
from sentry.task import CONTINUE

BY_NAME = {row.name: row for row in ROWS}


class Kernel:
    """Counts, as a dispatcher has done before a handler runs."""

    def __init__(self, nr: int) -> None:
        self.counts = {nr: 1}
        self.denials: list[str] = []

    def denied(self, _kind: str, what: str) -> None:
        self.denials.append(what)


class Task:
    """Registers and a kernel."""

    def __init__(self, nr: int, args: list[int]) -> None:
        self.nr = nr
        self.args = args
        self.kernel = Kernel(nr)


def mediated(_: Any) -> object:
    return 77


U64 = st.one_of(st.integers(0, (1 << 64) - 1), st.integers(0, 300), st.sampled_from([0x5401, 0x5412, 0x20000, 1 << 32, 1 << 31]))


@given(st.sampled_from(sorted(BY_NAME)), st.sampled_from(PROFILES), st.lists(U64, min_size=6, max_size=6))
def test_as_the_table_says(name: str, profile: str, args: list[int]) -> None:
    row = BY_NAME[name]
    leaf = decide(row.disposition(profile), args)
    handlers: Any = {row.number: mediated} if any(isinstance(x, Mediated) for x in [leaf]) else {}
    notified.add(handlers, [name], profile, "none")
    task: Any = Task(row.number, args)
    if isinstance(leaf, Denied):
        with pytest.raises(OSError) as raised:
            handlers[row.number](task)
        assert raised.value.errno == leaf.errno
        assert task.kernel.denials == [name]
    else:
        assert handlers[row.number](task) is CONTINUE if isinstance(leaf, Native) else handlers[row.number](task) == 77
    assert task.kernel.counts[row.number] == (0 if isinstance(leaf, Native) else 1)


def test_others_are_left_alone() -> None:
    handlers: Any = {NUMBERS["openat"]: mediated}
    notified.add(handlers, ["read"], "standard", "none")
    assert handlers[NUMBERS["openat"]] is mediated
    assert set(handlers) == {NUMBERS["openat"], NUMBERS["read"]}


def test_what_cannot_be_sent_has_a_reason() -> None:
    assert set(notified.UNSOUND) < set(notified.NO_RETURN) < set(NUMBERS)
    assert BY_NAME["clone3"].refusal("standard") == errno.ENOSYS
