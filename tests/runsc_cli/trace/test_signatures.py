"""The table of signatures: every system call has one, of words that are known."""

from __future__ import annotations

import pytest

from runsc_cli.trace import names
from runsc_cli.trace.lines import NUMBER_WORDS, STRUCTURES
from runsc_cli.trace.signatures import SIGNATURES, TABLE, reads
from sentry.syscalls.numbers import NUMBERS
from sentry.syscalls.table import ROWS, Mediated, Native, leaves

_STEMS = {"path", "str", "in", "out", "argv", "env", "iov", "creat", "sockopt", *STRUCTURES}


def test_every_call_that_is_not_always_refused_has_a_signature() -> None:
    reached = {row.name for row in ROWS for p in ("standard", "strict") if {Native, Mediated} & {type(x) for x in leaves(row.disposition(p))}}
    assert not reached - set(TABLE)


def test_every_signature_is_of_a_call() -> None:
    assert not set(TABLE) - set(NUMBERS)
    calls = [name for line in SIGNATURES.splitlines() for name in line.partition(":")[0].split()]
    assert len(calls) == len(set(calls))


@pytest.mark.parametrize("name", sorted(TABLE))
def test_its_words_are_known(name: str) -> None:
    assert len(TABLE[name]) <= 6
    for word in TABLE[name]:
        known = word in names.BITS or word in names.ONE or word in names.WORDS or word in NUMBER_WORDS
        assert known or word.rstrip("0123456789") in _STEMS, word
    for _kind, arg, _more, limit in reads(name, 32):
        assert isinstance(arg, int)
        assert arg < 6
        assert isinstance(limit, int)
        assert 0 < limit <= 4096


def test_what_the_sentry_is_to_read() -> None:
    assert reads("renameat2", 32) == [["s", 1, 0, 4096], ["s", 3, 0, 4096]]
    assert reads("sendto", 32) == [["b", 1, 2, 32], ["b", 4, 5, 128]]
    assert reads("getpid", 32) == []
