"""Faults: calls that fail, or return, without having been made, after strace's `inject`.

The caller waits in its call, so an error is what the kernel would have returned; nothing was done. `when` counts the calls of a
*process* (thread group) that a fault is for, as strace counts those of a tracee: threads share one count, a child begins at one, execve(2)
changes nothing. A count belongs to a process by its number and the inode of its /proc directory, which no other process will have.

A delay is spent on a thread of its own: the loop of a listener never waits. The caller sits in a killable sleep, which signals do not end,
as under strace.
"""

from __future__ import annotations

import os
from time import sleep

from sentry.platform._native import ffi, lib
from sentry.platform.threads import Lock, start_new_thread
from sentry.task import HELD, Task
from sentry.trace import INJECTED, MEDIATED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    Handler: TypeAlias = Callable[[Task], object]
    Answer: TypeAlias = Callable[[Task, Handler, int], object]

MAX_PROCESSES = 4096
"""Whose calls are counted at once; beyond it who has called least recently begins anew."""

MAX_DELAYED = 256
"""Calls that are delayed at once; one more is made without a delay."""

_TGKILL = 234


class Fault:
    """What happens to some calls of some numbers."""

    __slots__ = ("_counts", "_first", "_last", "_lock", "_step", "after", "before", "error", "numbers", "retval", "signal")

    def __init__(self, plain: dict[str, Any]) -> None:
        """`plain`: as runsc_cli/trace/inject.py makes it of a specification. Times in seconds."""
        self.numbers = frozenset(plain["numbers"])
        self.error: int = plain["error"]
        self.retval: int | None = plain["retval"]
        self.signal: int = plain["signal"]
        self.before: float = plain["delay_enter"]
        self.after: float = plain["delay_exit"]
        first, last, step = plain["when"]
        self._first: int = first
        self._last: int = last
        self._step: int = step
        self._lock = Lock()
        """Protects _counts: each listener has a thread."""
        self._counts: dict[tuple[int, int], int] = {}

    def strikes(self, process: Callable[[], tuple[int, int]]) -> bool:
        """Whether this call of the number is one of those it is for. `process` names the caller's; it is asked if that matters."""
        if self._first == 1 and self._step == 1 and not self._last:
            return True
        key = process()
        with self._lock:
            count = self._counts.pop(key, 0) + 1
            if len(self._counts) >= MAX_PROCESSES:
                del self._counts[next(iter(self._counts))]
            self._counts[key] = count  # at the end: who has called least recently is the first
        if count < self._first or (self._last and count > self._last):
            return False
        return count == self._first if not self._step else (count - self._first) % self._step == 0

    def act(self, faults: Faults, task: Task, plain: Handler, answer: Answer) -> object:
        """Answer the call, by `answer(task, handler, outcome)`."""
        if self.signal:
            lib.syscall6(_TGKILL, task.ids.tgid, task.tid, self.signal, 0, 0, 0)
        handler, done = plain, MEDIATED
        if self.error:
            handler, done = self._fail, INJECTED
        elif self.retval is not None:
            handler, done = self._return, INJECTED
        if self.before or self.after:
            return self._later(faults, task, handler, done, answer)
        return answer(task, handler, done)

    def _fail(self, _: Task) -> object:
        raise OSError(self.error, os.strerror(self.error))

    def _return(self, _: Task) -> object:
        return self.retval

    def _slowly(self, handler: Handler, task: Task) -> object:
        sleep(self.before)
        try:
            return handler(task)
        finally:
            sleep(self.after)

    def _later(self, faults: Faults, task: Task, handler: Handler, done: int, answer: Answer) -> object:
        if not faults.delay():
            return answer(task, handler, done)
        own, buffers = _own_task(task)

        def work(_: object) -> None:
            try:
                faults.enter_thread()
                answer(own, lambda task: self._slowly(handler, task), done)
            except Exception:
                own.kernel.bug(own.tid, "delayed call", list(own.args))
            finally:
                faults.delayed()

        start_new_thread(work, (buffers,))
        return HELD


class Faults:
    """All faults of a container."""

    __slots__ = ("_delayed", "_faults", "_lock", "_procfd", "enter_thread", "numbers")

    def __init__(self, plain: list[dict[str, Any]], procfd: int, enter_thread: Callable[[], None]) -> None:
        """`enter_thread`: makes the calling thread one that may act for callers (Dispatcher.enter_thread)."""
        self._faults = [Fault(each) for each in plain]
        self._procfd = procfd
        self.enter_thread = enter_thread
        self._delayed = 0
        self._lock = Lock()
        self.numbers: frozenset[int] = frozenset().union(*(fault.numbers for fault in self._faults))

    def of(self, task: Task) -> Fault | None:
        """What strikes this call: the first that does; the others count it too."""
        found = None
        for fault in self._faults:
            if task.nr in fault.numbers and fault.strikes(lambda: self._process(task)) and found is None:
                found = fault
        return found

    def _process(self, task: Task) -> tuple[int, int]:
        """The number of the caller's process, and the inode of its /proc directory. (0, 0) when it is gone."""
        try:
            tgid = task.ids.tgid
        except OSError:
            return 0, 0
        identity = ffi.new("uint64_t[2]")
        return (tgid, identity[0]) if lib.proc_identity(self._procfd, tgid, identity) == 0 else (0, 0)

    def delay(self) -> bool:
        """Whether one call more may be delayed; delayed() is then to be called when it was."""
        with self._lock:
            if self._delayed >= MAX_DELAYED:
                return False
            self._delayed += 1
            return True

    def delayed(self) -> None:
        with self._lock:
            self._delayed -= 1


def _own_task(task: Task) -> tuple[Task, object]:
    """The call for another thread, with buffers of its own, which somebody must keep as long as it is used."""
    serving = ffi.new("struct serving *")
    serving.call.args = list(task.args)
    own = Task(task.kernel, task.listener, serving)
    own.begin(task.id, task.tid, task.nr, lib.NOT_TRIED)
    return own, serving


__all__ = ["MAX_DELAYED", "MAX_PROCESSES", "Fault", "Faults"]
