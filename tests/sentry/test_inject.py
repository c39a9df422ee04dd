"""Which calls a fault strikes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sentry.inject import MAX_PROCESSES, Fault

if TYPE_CHECKING:
    from collections.abc import Callable


def fault(when: list[int]) -> Fault:
    plain: dict[str, Any] = {"numbers": [257], "error": 28, "retval": None, "signal": 0, "delay_enter": 0.0, "delay_exit": 0.0, "when": when}
    return Fault(plain)


def of(pid: int) -> Callable[[], tuple[int, int]]:
    return lambda: (pid, pid + 1000)


@pytest.mark.parametrize(
    ("when", "struck"),
    [
        ([1, 0, 1], [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ([1, 0, 0], [1]),
        ([3, 0, 0], [3]),
        ([3, 0, 1], [3, 4, 5, 6, 7, 8, 9]),
        ([3, 0, 2], [3, 5, 7, 9]),
        ([3, 5, 1], [3, 4, 5]),
        ([1, 2, 1], [1, 2]),
        ([2, 7, 3], [2, 5]),
    ],
)
def test_when(when: list[int], struck: list[int]) -> None:
    subject = fault(when)
    assert [n for n in range(1, 10) if subject.strikes(of(1))] == struck


def test_each_process_is_counted_by_itself() -> None:
    subject = fault([2, 0, 0])
    assert [subject.strikes(of(pid)) for pid in (1, 2, 1, 2, 1, 2)] == [False, False, True, True, False, False]


def test_a_number_that_another_process_has_got_begins_anew() -> None:
    subject = fault([2, 0, 0])
    assert [subject.strikes(lambda n=n: (7, n)) for n in (1, 2, 1, 2)] == [False, False, True, True]  # type: ignore[misc]


def test_counts_are_bounded_and_who_called_last_is_kept() -> None:
    subject = fault([2, 0, 0])
    subject.strikes(of(0))
    for pid in range(1, MAX_PROCESSES + 100):
        subject.strikes(of(pid))
    assert len(subject._counts) == MAX_PROCESSES
    assert subject.strikes(of(MAX_PROCESSES + 99))
    assert not subject.strikes(of(0))  # forgotten: counted from one again


def test_who_it_is_is_not_asked_where_it_does_not_matter() -> None:
    def asked() -> tuple[int, int]:
        raise AssertionError

    assert fault([1, 0, 1]).strikes(asked)
