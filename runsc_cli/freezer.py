"""Pause and resume: the freezer of cgroup version 1, and cgroup.freeze of version 2.

cgroup-v1/freezer-subsystem.rst, cgroup-v2.rst. Whether a container is paused is asked of the kernel, as all of its status is.

A task that waits for an answer of the sentry sleeps so that only a fatal signal wakes it: it freezes once it is answered. Nearly all
answers come at once; those that wait for somebody (an open of a FIFO) do not, so while a container freezes the sentry is told
to send these back (`restart`). A freezing task has a signal pending as far as the kernel is concerned: it freezes on its way
out of the call, and makes it again when it thaws.
"""

from __future__ import annotations

import os
from time import monotonic, sleep

from runsc_cli import directory
from runsc_cli.errors import PyscError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

TIMEOUT = 10.0
"""Seconds; longer means uninterruptible sleep."""

_PAUSE = 0.002


def _read(path: str) -> str:
    try:
        return directory.read(path)
    except OSError:  # not this version, or gone
        return ""


def frozen(cgroups: Iterable[str]) -> bool:
    """Whether all in there is frozen: by us, by somebody else, or since a cgroup above it is."""
    for cgroup in cgroups:
        state = _read(f"{cgroup}/freezer.state")
        if state:
            return state == "FROZEN\n"
    return any("frozen 1" in _read(f"{cgroup}/cgroup.events").splitlines() for cgroup in cgroups)


def freeze(cgroups: Iterable[str], restart: Callable[[], None]) -> None:
    """Raises PyscError, having thawed what it froze."""
    file, word, _ = _control(cgroups)
    deadline = monotonic() + TIMEOUT
    while True:
        _write(file, word)  # again each time: who forks meanwhile may have escaped
        restart()
        if frozen(cgroups):
            return
        if monotonic() > deadline:
            thaw(cgroups)
            raise PyscError(f"unable to freeze: some processes do not stop for {TIMEOUT:.0f} seconds; the container goes on")
        sleep(_PAUSE)


def thaw(cgroups: Iterable[str]) -> None:
    """Raises PyscError."""
    file, _, word = _control(cgroups)
    _write(file, word)


def _control(cgroups: Iterable[str]) -> tuple[str, str, str]:
    """The file, and what freezes and thaws when it is written there."""
    for name, words in (("freezer.state", ("FROZEN", "THAWED")), ("cgroup.freeze", ("1", "0"))):
        for cgroup in cgroups:
            if os.path.exists(f"{cgroup}/{name}"):
                return f"{cgroup}/{name}", *words
    raise PyscError("the container has no cgroup with a freezer: it cannot be paused")


def _write(path: str, word: str) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, word.encode())
        finally:
            os.close(fd)
    except OSError as error:
        raise PyscError(f"write {word} to {path}: {os.strerror(error.errno or 0).lower()}") from None
