"""The loop: receive a notification, call its handler, reply. One thread per listener, one listener per `create` or `exec`.

Model: seccomp_unotify(2). A single receiver per listener, because the kernel wakes every thread that waits on one, and
because with the synchronous wake-up (Linux 6.6) the hand-off caller -> sentry -> caller stays on one CPU: 6 us for
a round trip instead of 45. The loop must never block for a workload (docs/design.md, rule 4): see `sentry.holds`.
"""

from __future__ import annotations

import errno
import os

from sentry.abi import O_VALID, SECCOMP_USER_NOTIF_FLAG_CONTINUE
from sentry.platform._native import ffi, lib
from sentry.platform.confine import where
from sentry.platform.threads import start_new_thread
from sentry.task import CONTINUE, HELD, Fd, Fds, Task
from sentry.trace import Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from sentry.kernel import Kernel

    Handler = Callable[[Task], object]

_OPEN, _OPENAT = 2, 257

_NO_DEVICE = (1 << 64) - 1
"""st_dev of no file: that of the procfs of a container that has none."""

UNKNOWN = -1
"""What numbers that are no system call's are counted as, all together: a workload must not be able to fill our memory."""


class Dispatcher:
    """Handlers by number, and the threads that serve the container's listeners."""

    __slots__ = ("_denied", "_elsewhere", "_handlers", "_kernel", "_names", "_selffd", "_servings", "watch")

    traceable = True
    """Whether `pysc trace` can look at the calls."""

    def __init__(
        self, kernel: Kernel, handlers: dict[int, Handler], denied: dict[int, int], names: dict[int, str], selffd: int
    ) -> None:
        """`handlers` and `denied` (an errno) by system call number; what is in neither gets ENOSYS.

        `selffd` is our /proc/self/fd: each serving thread makes it its working directory; -1: there is none.
        """
        self._kernel = kernel
        self._handlers = handlers
        self._denied = denied
        self._names = {UNKNOWN: "unknown", **names}
        self._selffd = selffd
        self._elsewhere: frozenset[int] = frozenset()
        self._servings: list[Any] = []
        self.watch: Watch | None = None
        """Made by start_watching()."""

    def name(self, nr: int) -> str:
        """The name of system call `nr`, or its number."""
        return self._names.get(nr, str(nr))

    def mediated(self) -> dict[str, int]:
        """How often each system call was mediated, by name."""
        counts = dict(self._kernel.counts)
        for serving in list(self._servings):
            _add_opens(counts, serving)
        return {self.name(number): count for number, count in sorted(counts.items()) if count}

    def hand_on(self, numbers: Iterable[int]) -> None:
        """Calls of these numbers are another process's to handle: sentry/files.py. To be called before serve()."""
        self._elsewhere = frozenset(numbers)

    def start_watching(self) -> Watch:
        """Be ready to trace calls or to put faults in; changes nothing yet."""
        if self.watch is None:
            self._kernel.watch = self.watch = Watch(self._kernel, self._handlers, self._denied, self._deny)
        return self.watch

    def serve(self, listener: int, stage: int = 0, calls: int = -1) -> None:
        """Serve `listener` on a thread of its own until no task is left behind it. `stage`: who becomes the workload behind it.

        `calls`: the socket by which they are handed to the process that they are for, from the one that receives them (sentry/files.py).
        """
        if self.watch is not None:
            self.watch.stage(listener, stage)
        start_new_thread(self._serve, (listener, calls))

    def attach(self, pid: int) -> None:
        """Where there are no listeners: see sentry/tracer.py. Raises OSError."""
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), f"trace process {pid}")

    def enter_thread(self) -> None:
        """Make the calling thread one that may act for callers: own umask and working directory."""
        error = lib.own_fs_struct()
        if error:
            raise OSError(-error, "unshare(CLONE_FS)")
        if self._selffd >= 0:
            os.fchdir(self._selffd)

    def _serve(self, listener: int, calls: int) -> None:
        try:
            self._serve_to_the_end(listener, calls)
        except BaseException as error:
            # Nobody would answer the tasks behind this listener any more: the sentry ends, and with it the container.
            self._kernel.say("a listener's thread has failed: %r%s", error, where(error))
            os._exit(1)

    def _serve_to_the_end(self, listener: int, calls: int) -> None:
        self.enter_thread()
        if lib.notif_sync_wakeup(listener) < 0:
            self._kernel.say("this kernel has no synchronous wake-up (Linux 6.6): each mediated call costs 40 us more")
        serving = ffi.new("struct serving *")
        serving.calls, serving.files = (-1, calls) if self._elsewhere else (calls, -1)
        for number in self._elsewhere:
            serving.elsewhere[number // 8] |= 1 << number % 8
        self._servings.append(serving)
        try:
            self._loop(listener, serving)
        finally:
            os.close(listener)
            if calls >= 0:
                os.close(calls)
            self._servings.remove(serving)
            _add_opens(self._kernel.counts, serving)

    def _loop(self, listener: int, serving: Any) -> None:
        kernel = self._kernel
        serving.root, serving.procfd = kernel.root, kernel.procfd
        serving.proc_dev, serving.flags = kernel.proc.dev & _NO_DEVICE, O_VALID
        serving.note_missing = kernel.missing is not None
        call = serving.call
        task = Task(kernel, listener, serving)
        handlers = self._handlers
        counts = kernel.counts
        serve, send, uniform, held = lib.serve, lib.notif_send, kernel.credentials.is_uniform, kernel.holds.held
        while True:
            serving.acting = not kernel.chrooted and task.acts_for_everybody()
            error = serve(listener, serving, uniform, held)
            if error:
                if error != -errno.ENOTCONN:
                    kernel.say("listener: %s", os.strerror(-error))
                return
            nr = call.nr
            task.begin(call.id, call.pid, nr, serving.tried)
            handler = handlers.get(nr)
            if handler is None:
                self._refuse(task)
                continue
            counts[nr] = counts.get(nr, 0) + 1
            try:
                outcome = handler(task)
            except OSError as e:
                # The caller may be gone by now; whatever the kernel then says of its reply is of no use to anybody.
                send(listener, task.id, 0, -(e.errno or errno.EIO), 0)
                continue
            except Exception:
                kernel.bug(task.tid, self.name(nr), list(task.args))
                continue
            if outcome.__class__ is int:
                send(listener, task.id, outcome, 0, 0)
            elif outcome.__class__ is Fd:
                error = lib.notif_addfd(listener, task.id, task.tid, outcome.fd, outcome.cloexec)
                if error < 0:
                    send(listener, task.id, 0, error, 0)
            elif outcome is CONTINUE:
                send(listener, task.id, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE)
            elif outcome.__class__ is Fds:
                send(listener, task.id, 0, outcome.put(task), 0)
            else:
                assert outcome is HELD, outcome

    def _refuse(self, task: Task) -> None:
        error = self._refusal(task.nr)
        lib.notif_send(task.listener, task.id, 0, -error, 0)
        if self.watch is not None:
            self.watch.refused(task, error)

    def _refusal(self, nr: int) -> int:
        """The errno of a call without a handler, which is counted."""
        counted = nr if nr in self._names else UNKNOWN
        self._kernel.counts[counted] = self._kernel.counts.get(counted, 0) + 1
        self._kernel.denied("syscall", self.name(nr))
        return self._denied.get(nr, errno.ENOSYS)

    def _deny(self, nr: int) -> Handler:
        """What _refuse() does, as a handler."""
        name, error = self.name(nr), self._denied[nr]

        def deny(_: Task) -> object:
            self._kernel.denied("syscall", name)
            raise OSError(error, name)

        return deny


def _add_opens(counts: dict[int, int], serving: Any) -> None:
    """The calls that a native loop has answered."""
    for number, count in zip((_OPEN, _OPENAT), serving.opens, strict=True):
        counts[number] = counts.get(number, 0) + count
