"""Calls that must wait: held replies.

A FIFO opened before its other end, a connect to a slow peer: the kernel's own blocking call is made on a thread of its own
(the GIL is released), and its result is the reply. The caller sits in a killable sleep meanwhile, which signals
do not end; so while anything is held one thread looks, every 10 ms, at the signals of the held callers. A
deliverable signal interrupts our call (SIGUSR1, EINTR) and the caller gets ERESTARTSYS: the kernel runs its handler
and restarts the call or returns EINTR, by SA_RESTART. A caller that died is treated alike, without a reply; and so are all while
the container freezes (runsc_cli/freezer.py). Until then what waits in place of the dead is there for others to meet, a reader of a FIFO
say; so who opens something that may be it calls `end_dead` before, and the loops in C open nothing while anything is `held`.
"""

from __future__ import annotations

import errno
import os
import time

from sentry.abi import ERESTARTSYS
from sentry.platform import signals
from sentry.platform._native import ffi
from sentry.platform.threads import Lock, get_ident, start_new_thread
from sentry.task import HELD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from sentry.creds import CredentialCache, Credentials
    from sentry.task import HeldReply, Task

    Deliver: TypeAlias = Callable[[HeldReply, int, int], None]

TICK = 0.01
"""Seconds between two looks at the signals of held callers."""

MAX_HOLDS = 512
"""Threads that may wait at once; beyond it a call fails with ENOMEM, as it may on Linux."""


class _Hold:
    __slots__ = ("done", "ended", "ready", "reply", "restart", "thread")

    def __init__(self, reply: HeldReply, ready: Callable[[], bool]) -> None:
        self.reply = reply
        self.ready = ready
        self.thread = 0
        self.done = False
        self.ended = Lock()
        """Held until the thread has let go of everything."""
        self.ended.acquire()
        self.restart = False
        """The caller gets ERESTARTSYS whether or not a signal waits for it."""


class Holds:
    """The held replies of one container. `_lock` protects `_holds` and `_watching`."""

    __slots__ = ("_credentials", "_enter_thread", "_holds", "_lock", "_watching", "held")

    def __init__(self, credentials: CredentialCache, enter_thread: Callable[[], None]) -> None:
        self._credentials = credentials
        self._enter_thread = enter_thread
        self._lock = Lock()
        self._holds: set[_Hold] = set()
        self._watching = False
        self.held = ffi.new("int *")
        """How many there are; the loops of the listeners look at it."""

    def blocking(
        self, task: Task, call: Callable[[], int], deliver: Deliver, fd: int, *, ready: Callable[[], bool] = bool
    ) -> object:
        """Make `call` (a raw system call: result or -errno, not retried on EINTR) as the caller, on another thread.

        `deliver` turns its result into the reply. With it `fd`, which `call` works on, becomes `deliver`'s to close: before the reply,
        since the caller may not find its file open in our hands.
        While `ready()` the call is interrupted as well and made again: for what its blocking would miss.
        Returns HELD. Raises ENOMEM when too many calls wait.
        """
        hold = _Hold(task.hold(), ready)
        creds = task.creds
        with self._lock:
            if len(self._holds) >= MAX_HOLDS:
                os.close(fd)
                raise OSError(errno.ENOMEM, "too many waiting calls")
            self._holds.add(hold)
            self.held[0] = len(self._holds)
            start_watch = not self._watching
            self._watching = True
        if start_watch:
            start_new_thread(self._watch, ())
        start_new_thread(self._wait, (hold, creds, call, deliver, fd))
        return HELD

    def restart(self) -> None:
        """Send back all that wait now. Right only while they are being frozen: the kernel then makes the calls again, later."""
        with self._lock:
            for hold in self._holds:
                hold.restart = True

    def end_dead(self, task: Task) -> None:
        """End the waits whose callers were killed, and see those to their end that have just been replied to, before `task` is served.

        A caller that is killed after this was there when that call was made.
        """
        with self._lock:
            over = [hold for hold in self._holds if not hold.reply.waiting()]
        for hold in over:
            while not hold.ended.acquire(timeout=0.001):
                if not hold.done:
                    self._interrupt(hold)
                task.meanwhile()
            hold.ended.release()  # another listener's thread may wait for it as well

    def _interrupt(self, hold: _Hold) -> None:
        with self._lock:  # a thread that is still in the set has not ended
            if hold.thread and hold in self._holds:
                signals.thread_kill(hold.thread, signals.SIGUSR1)

    def _wait(self, hold: _Hold, creds: Credentials, call: Callable[[], int], deliver: Deliver, fd: int) -> None:
        reply = hold.reply
        try:
            self._enter_thread()
            self._credentials.assume(creds)
            hold.thread = get_ident()
            result = -errno.EINTR
            while result == -errno.EINTR and reply.waiting():
                result = -ERESTARTSYS if hold.restart or reply.signalled() else call()
            hold.done = True
            deliver(reply, result, fd)
        except OSError as e:
            if not hold.done:
                os.close(fd)
            reply.fail(e.errno or errno.EIO)
        except Exception:
            reply.kernel.bug(reply.tid, "held call", [])
        finally:
            hold.done = True
            with self._lock:
                self._holds.discard(hold)
                self.held[0] = len(self._holds)
            hold.ended.release()

    def _watch(self) -> None:
        while True:
            time.sleep(TICK)
            with self._lock:
                if not self._holds:
                    self._watching = False
                    return
                held = list(self._holds)
            for hold in held:
                if hold.thread and not hold.done and (not hold.reply.waiting() or hold.restart or hold.reply.signalled() or hold.ready()):
                    self._interrupt(hold)
