"""Processes of the host, named so that a recycled pid is never mistaken for the process that had it.

A process is its pid and its start time (field 22 of /proc/PID/stat, proc_pid_stat(5), in clock ticks since
boot). Acting on it goes through a pidfd (pidfd_open(2), pidfd_send_signal(2)): the descriptor is opened, the
start time is compared, and from then on the descriptor cannot mean anything else.

`signal` is not imported: it pulls in `enum`, 4 ms on every kill of an engine. `_signal` is the builtin below it.
"""

from __future__ import annotations

import os
from _signal import pidfd_send_signal  # type: ignore[import-not-found]
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

SIGKILL = 9


class Process:
    """One process; equal when pid and start time are."""

    __slots__ = ("pid", "start")

    def __init__(self, pid: int, start: int) -> None:
        self.pid = pid
        self.start = start

    @classmethod
    def of(cls, pid: int) -> Process:
        """The process that has `pid` now; ProcessLookupError when there is none."""
        return cls(pid, _stat(pid)[1])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Process) and (self.pid, self.start) == (other.pid, other.start)

    def __hash__(self) -> int:
        return hash((self.pid, self.start))

    def __repr__(self) -> str:
        return f"Process({self.pid}, {self.start})"

    def alive(self) -> bool:
        """It has not ended. A zombie has: nobody may ever reap it, and runc calls it stopped."""
        try:
            status, start = _stat(self.pid)
        except ProcessLookupError:
            return False
        return start == self.start and status not in "ZX"

    def open(self) -> int:
        """A pidfd of it, also of a zombie; ProcessLookupError when it has been reaped."""
        pidfd = os.pidfd_open(self.pid)
        try:
            if _stat(self.pid)[1] != self.start:
                raise ProcessLookupError(3, "the pid belongs to another process", str(self.pid))
        except BaseException:
            os.close(pidfd)
            raise
        return pidfd

    def send(self, signal: int) -> None:
        """Send a signal; ProcessLookupError when it has ended."""
        pidfd = self.open()
        try:
            pidfd_send_signal(pidfd, signal)
        finally:
            os.close(pidfd)


def exited(pidfds: Iterable[int], timeout: float | None) -> bool:
    """Wait until every process has ended (reaped or not), at most `timeout` seconds."""
    from select import POLLIN, poll

    waiting = poll()
    left = set(pidfds)
    for pidfd in left:
        waiting.register(pidfd, POLLIN)
    deadline = None if timeout is None else monotonic() + timeout
    while left:
        remaining = None if deadline is None else max(0.0, deadline - monotonic()) * 1000
        ready = waiting.poll(remaining)
        if not ready:
            return False
        for pidfd, _ in ready:
            waiting.unregister(pidfd)
            left.discard(pidfd)
    return True


def kill(processes: Iterable[Process]) -> None:
    """SIGKILL them, those that are still there."""
    for process in processes:
        try:
            process.send(SIGKILL)
        except ProcessLookupError:
            continue


def end(processes: Iterable[Process], timeout: float) -> bool:
    """SIGKILL them and wait until they have ended; True unless some outlive `timeout` seconds."""
    pidfds = []
    try:
        for process in processes:
            try:
                pidfds.append(process.open())
                pidfd_send_signal(pidfds[-1], SIGKILL)
            except ProcessLookupError:
                continue
        return not pidfds or exited(pidfds, timeout)
    finally:
        for pidfd in pidfds:
            os.close(pidfd)


def _stat(pid: int) -> tuple[str, int]:
    """State and start time of /proc/PID/stat."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ProcessLookupError(3, "no such process", str(pid)) from None
    try:
        text = os.read(fd, 4096)
    finally:
        os.close(fd)
    # The second field is the name in parentheses, and may hold anything.
    fields = text[text.rindex(b")") + 2 :].split()
    return fields[0].decode(), int(fields[19])
