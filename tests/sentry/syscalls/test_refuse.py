"""Refusals that depend on arguments, as the sentry gives them."""

from __future__ import annotations

import errno
from typing import Any, cast

import pytest

from sentry.syscalls.refuse import by_arguments
from sentry.syscalls.table import ROWS

BY_NAME = {row.name: row for row in ROWS}


class FakeKernel:
    """Remembers denials."""

    def __init__(self) -> None:
        self.denials: list[tuple[str, str]] = []

    def denied(self, kind: str, what: str) -> None:
        self.denials.append((kind, what))


class FakeTask:
    """Argument registers and a kernel."""

    def __init__(self, *args: int) -> None:
        self.args = [*args, *[0] * (6 - len(args))]
        self.kernel = FakeKernel()


def answer(task: Any) -> object:
    return 77


def call(name: str, handler: Any, *args: int, profile: str = "standard") -> tuple[object, list[tuple[str, str]]]:
    """(value or -errno, denials)."""
    task = FakeTask(*args)
    found = by_arguments(BY_NAME[name], profile, "none", handler)
    assert found is not None
    try:
        return found(cast("Any", task)), task.kernel.denials
    except OSError as e:
        assert e.errno is not None
        return -e.errno, task.kernel.denials


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ((17, 3, 0x300), errno.EPERM),
        ((2, 1, 262), errno.EPROTONOSUPPORT),
        ((2, 5, 132), errno.ESOCKTNOSUPPORT),
        ((38, 5, 0), errno.EAFNOSUPPORT),
    ],
)
def test_a_socket_is_refused_as_linux_would(args: tuple[int, ...], error: int) -> None:
    assert call("socket", None, *args) == (-error, [("syscall", "socket")])


def test_a_handler_runs_only_for_what_is_mediated() -> None:
    assert call("prctl", answer, 24) == (77, [])
    assert call("prctl", answer, 35) == (-errno.EPERM, [("syscall", "prctl")])
    assert call("prctl", answer, 59) == (-errno.EINVAL, [("syscall", "prctl")])


@pytest.mark.parametrize("name", ["openat", "ioctl", "utimensat", "umask"])
def test_rows_with_one_outcome_at_the_sentry_keep_their_handler(name: str) -> None:
    assert by_arguments(BY_NAME[name], "standard", "none", answer) is answer


@pytest.mark.parametrize("name", ["bpf", "clone", "setsockopt", "read"])
def test_rows_with_one_errno_need_no_handler(name: str) -> None:
    assert by_arguments(BY_NAME[name], "standard", "none", None) is None
