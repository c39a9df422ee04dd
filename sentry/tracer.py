"""The platform ptrace: the loop of a tracer, where the kernel gives no user notification. One thread for the whole container.

Man pages: ptrace(2), seccomp(2). The workload's filter returns SECCOMP_RET_TRACE where it would have returned SECCOMP_RET_USER_NOTIF, so
native calls do not stop. The caller of a mediated one stops before it is made, its handler runs, and the outcome is put in:

- a value or an errno: the call is made none (orig_rax = -1), and the value is its result;
- CONTINUE: it goes on; the kernel asks the filters once more, ours lets pass what it sent to us;
- a descriptor: see sentry/injection.py;
- HELD: the caller stays in its stop. Whoever answers, on another thread, asks this thread to do it, since only it may;
- ERESTARTSYS: when the call is over the kernel is shown the number of the call again, which a skipped one has lost, and restarts it or
  returns EINTR, by SA_RESTART. PTRACE_INTERRUPT makes it look even if another thread has taken the signal.

What else is reported passes: signals are delivered, a stopped thread group stays stopped (PTRACE_LISTEN) until SIGCONT, children are
seized by the kernel when they are made, before they run.

Why the wall is closed when there is no tracer: SECCOMP_RET_TRACE is then ENOSYS. A process is seized after it has got its filter
and before it goes on; when this thread ends all tracees are killed (PTRACE_O_EXITKILL); CLONE_UNTRACED, ptrace(2) and a filter's listener,
whose owner could let calls pass, are refused by the filter. A tracee that SIGKILL takes out of its stop makes no call any more.

A caller's thread id is its own until this thread has reaped it, or until another thread of its process executes a program, which is
reported: what is read of a stopped caller is never another process's.
"""

from __future__ import annotations

import errno
import os
from collections import deque

from sentry.abi import ERESTARTSYS
from sentry.dispatch import Dispatcher
from sentry.injection import Pages, put
from sentry.platform import signals
from sentry.platform._native import ffi, lib
from sentry.platform.bpf import TRACE_MARK
from sentry.platform.confine import where
from sentry.platform.ptrace import CONT, INTERRUPT, LISTEN, NO_CALL, SYSCALL, Near, Registers, resume, seize, shares_memory
from sentry.platform.threads import Lock, get_ident, start_new_thread
from sentry.task import CONTINUE, HELD, Fd, Fds, HeldReply, Task

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Any

    from sentry.dispatch import Handler
    from sentry.kernel import Kernel
    from sentry.platform.ptrace import Asked

    Steps = Generator[Asked, int, list[int]]

_SETS = frozenset((b"SigPnd", b"ShdPnd", b"SigBlk", b"SigIgn", b"SigCgt"))
_STATUS = 16384
_IGNORED_BY_DEFAULT = sum(1 << number - 1 for number in (signals.SIGCHLD, signals.SIGCONT, signals.SIGURG, signals.SIGWINCH))
"""signal(7)."""

_RING = 0.001
"""Seconds after which the tracer's thread, which may have been about to wait, is rung for again."""


class TracedTask(Task):
    """The caller is in our stop."""

    __slots__ = ("_tracer",)

    def __init__(self, kernel: Kernel, serving: Any, tracer: Tracer) -> None:
        super().__init__(kernel, -1, serving)
        self._tracer = tracer

    def check(self) -> None:
        if lib.trace_alive(self.tid) < 0:
            raise OSError(errno.ESRCH, "the caller is gone")

    def meanwhile(self) -> None:
        self._tracer.answer_requests()

    def hold(self) -> HeldReply:
        return self._tracer.hold(self.tid)


class TracedReply(HeldReply):
    """A reply that is owed to a stopped caller; given by the tracer's thread."""

    __slots__ = ("_tracer",)

    def __init__(self, tid: int, kernel: Kernel, tracer: Tracer) -> None:
        super().__init__(-1, 0, tid, kernel)
        self._tracer = tracer

    def waiting(self) -> bool:
        return self._tracer.waits(self)

    def signalled(self) -> bool:
        """Of a tracee the kernel keeps those signals as well that it ignores, for its tracer to see: kernel/signal.c:sig_ignored()."""
        try:
            status = os.open(b"%d/status" % self.tid, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self.kernel.procfd)
            try:
                text = os.read(status, _STATUS)
            finally:
                os.close(status)
        except OSError:  # it has ended
            return False
        sets = {name: int(value, 16) for name, _, value in (line.partition(b":\t") for line in text.splitlines()) if name in _SETS}
        pending, blocked, ignored, caught = sets[b"SigPnd"] | sets[b"ShdPnd"], sets[b"SigBlk"], sets[b"SigIgn"], sets[b"SigCgt"]
        return bool(pending & ~blocked & ~ignored & ~(_IGNORED_BY_DEFAULT & ~caught))

    def send(self, value: int) -> None:
        self._tracer.settle(self, value)

    def fail(self, error: int) -> None:
        self._tracer.settle(self, -error)

    def inject(self, fd: int, cloexec: bool) -> int:
        return self._tracer.settle(self, 0, Fd(fd, cloexec))


class _Request:
    """Something that the tracer's thread is asked to do. `done` is released when `result` is there."""

    __slots__ = ("act", "done", "heard", "result")

    def __init__(self, act: Callable[[_Request], bool]) -> None:
        """`act` returns whether it is done; if not, somebody calls finish() later."""
        self.act = act
        self.done = Lock()
        self.done.acquire()
        self.heard = False
        self.result = 0

    def finish(self, result: int) -> None:
        self.result = result
        self.done.release()


class Tracer(Dispatcher):
    """The tables of a dispatcher, and the tracees. All that has no lock belongs to the tracer's thread."""

    __slots__ = ("_asked", "_given", "_held", "_idle", "_interrupted", "_mark", "_near", "_pages", "_requests", "_steps", "_task", "_thread")

    traceable = False

    def __init__(
        self, kernel: Kernel, handlers: dict[int, Handler], denied: dict[int, int], names: dict[int, str], selffd: int
    ) -> None:
        super().__init__(kernel, handlers, denied, names, selffd)
        self._mark = os.urandom(16)
        self._pages: dict[int, Pages] = {}
        """The address space of each tracee."""
        self._steps: dict[int, Steps] = {}
        """Tracees that are made to execute calls of ours."""
        self._asked: dict[int, Asked] = {}
        """Which one each of them executes at present."""
        self._near: dict[int, Near] = {}
        self._given: dict[int, _Request] = {}
        """Those of them whose reply was held: who waits for the number."""
        self._interrupted: set[int] = set()
        """Those of them whose thread group was stopped meanwhile."""
        self._held: dict[int, HeldReply] = {}
        """Changed by the tracer's thread, looked at by others: single dict operations."""
        self._requests: deque[_Request] = deque()
        self._idle = Lock()
        """Waited for while there are no tracees."""
        self._idle.acquire()
        self._thread = 0
        self._task: TracedTask

    # ---- for other threads ----

    def attach(self, pid: int) -> None:
        """Seize a process that has its filter already. Raises OSError."""
        if not self._thread:
            start_new_thread(self._run, ())

        def act(request: _Request) -> bool:
            try:
                seize(pid)
            except OSError as e:
                request.result = -(e.errno or errno.EIO)
            else:
                self._pages[pid] = Pages(self._mark)
            return True

        error = self._ask(act)
        if error:
            raise OSError(-error, os.strerror(-error), f"trace process {pid}")

    def holds(self, reply: HeldReply) -> bool:
        return self._held.get(reply.tid) is reply

    def waits(self, reply: HeldReply) -> bool:
        """Whether the caller has not got its reply: a descriptor that is given takes some steps of the tracee."""
        return self.holds(reply) or reply.tid in self._given

    def settle(self, reply: HeldReply, value: int, given: Fd | None = None) -> int:
        """Answer a held call, once; returns the number of what was given in the caller, or -errno."""

        def act(request: _Request) -> bool:
            if not self.holds(reply):
                if given is not None:
                    os.close(given.fd)
                request.result = -errno.ESRCH
                return True
            if given is not None:
                self._given[reply.tid] = request
                del self._held[reply.tid]
                self._begin(reply.tid, self._put([given.fd], given.cloexec, reply.tid))
                return False
            del self._held[reply.tid]
            self._answer(reply.tid, value)
            return True

        return self._ask(act)

    def _ask(self, act: Callable[[_Request], bool]) -> int:
        request = _Request(act)
        self._requests.append(request)
        if self._idle.locked():
            try:
                self._idle.release()
            except RuntimeError:  # somebody else has done it just now
                pass
        wait = 0.0
        while not request.done.acquire(True, wait):
            if self._thread and not request.heard:
                signals.thread_kill(self._thread, signals.SIGUSR1)
            wait = -1 if request.heard else _RING
        return request.result

    def enter_thread(self) -> None:
        """Of a held call: made by the tracer's thread, which has SIGUSR1 blocked, but can be interrupted."""
        super().enter_thread()
        signals.unblock(signals.SIGUSR1)

    # ---- the tracer's thread ----

    def hold(self, tid: int) -> HeldReply:
        """The caller stays where it is."""
        reply = self._held[tid] = TracedReply(tid, self._kernel, self)
        return reply

    def _run(self) -> None:
        try:
            super().enter_thread()
            self._thread = get_ident()
            self._loop_of_tracees()
        except BaseException as error:
            # Tracees would be killed when this thread ends: the sentry ends, and with it the container.
            self._kernel.say("the tracer's thread has failed: %r%s", error, where(error))
            os._exit(1)

    def _loop_of_tracees(self) -> None:
        serving, stop = ffi.new("struct serving *"), ffi.new("struct traced *")
        call = ffi.addressof(serving, "call")
        task = self._task = TracedTask(self._kernel, serving, self)
        wait = lib.trace_wait
        while True:
            self.answer_requests()
            error = wait(stop, call)
            if error == -errno.ECHILD:
                self._idle.acquire()
            elif error == 0:
                tid, what = stop.tid, stop.what
                if tid in self._steps and what != lib.TRACED_ENDED:
                    self._injecting(tid, what, stop.value, call)
                elif what == lib.TRACED_CALL:
                    task.begin(0, tid, call.nr, lib.NOT_TRIED)
                    self._call(task, stop.value)
                else:
                    self._other(tid, what, stop.value)
            elif error != -errno.EINTR:
                raise OSError(-error, "waitpid")

    def answer_requests(self) -> None:
        """Do what other threads have asked for. Also within a call, where this thread waits for one of them."""
        while self._requests:
            request = self._requests.popleft()
            request.heard = True
            if request.act(request):
                request.done.release()

    def _call(self, task: TracedTask, mark: int) -> None:
        """A tracee is at the begin of a call that the filter has sent to us."""
        tid, nr = task.tid, task.nr
        if mark != TRACE_MARK:  # of a filter of the workload's own: to it there is no tracer
            lib.trace_reply(tid, -errno.ENOSYS)
            return
        handler = self._handlers.get(nr)
        if handler is None:
            lib.trace_reply(tid, -self._refusal(nr))
            return
        counts = self._kernel.counts
        counts[nr] = counts.get(nr, 0) + 1
        try:
            outcome = handler(task)
        except OSError as e:
            lib.trace_reply(tid, -(e.errno or errno.EIO))
            return
        except Exception:
            self._kernel.bug(tid, self.name(nr), list(task.args))
            return
        if outcome.__class__ is int:
            lib.trace_reply(tid, outcome)
        elif isinstance(outcome, Fd):
            self._begin(tid, self._put([outcome.fd], outcome.cloexec, tid, controls=outcome.controls))
        elif isinstance(outcome, Fds):
            self._begin(tid, self._put(list(outcome.fds), outcome.cloexec, tid, outcome.address))
        elif outcome is CONTINUE:
            resume(tid)
        else:
            assert outcome is HELD, outcome

    def _answer(self, tid: int, value: int) -> None:
        if value == -ERESTARTSYS:
            self._begin(tid, _restart(tid, value, self._interrupted))
        else:
            lib.trace_reply(tid, value)

    def _other(self, tid: int, what: int, value: int) -> None:
        if what == lib.TRACED_SIGNAL:
            resume(tid, CONT, value)
        elif what == lib.TRACED_STOPPED:
            resume(tid, LISTEN)
        elif what == lib.TRACED_ENDED:
            self._forget(tid)
        else:
            if what == lib.TRACED_CHILD:
                self._child(tid, value)
            elif what == lib.TRACED_EXECUTED:
                self._forget(value)
                self._forget(tid)
            resume(tid)

    def _child(self, tid: int, child: int) -> None:
        pages = self._pages_of(tid)
        if child not in self._pages:
            self._pages[child] = pages if shares_memory(tid) else pages.copy()

    def _pages_of(self, tid: int) -> Pages:
        pages = self._pages.get(tid)
        if pages is None:
            pages = self._pages[tid] = Pages(self._mark)
        return pages

    def _forget(self, tid: int) -> None:
        """The thread has ended, or its memory has."""
        self._pages.pop(tid, None)
        self._held.pop(tid, None)
        self._interrupted.discard(tid)
        steps = self._steps.pop(tid, None)
        if steps is not None:
            steps.close()
            self._asked.pop(tid, None)
            self._near.pop(tid).end()
        request = self._given.pop(tid, None)
        if request is not None:
            request.finish(-errno.ESRCH)

    # ---- calls that are made in the place of others ----

    def _put(self, fds: list[int], cloexec: bool, tid: int, address: int = 0, controls: bool = False) -> Steps:
        return put(tid, fds, cloexec, self._pages_of(tid), self._leader, address, controls)

    def _leader(self, tid: int) -> int:
        return self._kernel.credentials.ids(tid).tgid

    def _begin(self, tid: int, steps: Steps) -> None:
        self._steps[tid] = steps
        self._near[tid] = Near(tid)
        self._step(tid, None)

    def _step(self, tid: int, result: int | None) -> None:
        """Go on with the tracee's steps."""
        try:
            self._asked[tid] = self._steps[tid].send(result)  # type: ignore[arg-type]
        except StopIteration as end:
            numbers: list[int] = end.value
        except OSError as e:
            if e.errno != errno.ESRCH:
                raise
            numbers = [-errno.ESRCH]  # killed: its end will be reported
        else:
            resume(tid, SYSCALL)
            return
        del self._steps[tid]
        self._asked.pop(tid, None)
        if tid in self._interrupted:
            self._interrupted.discard(tid)
            resume(tid, INTERRUPT)
        resume(tid)
        self._near.pop(tid).end()
        request = self._given.pop(tid, None)
        if request is not None:
            request.finish(numbers[0] if numbers else 0)

    def _injecting(self, tid: int, what: int, value: int, call: Any) -> None:
        if what == lib.TRACED_RETURNED:
            self._step(tid, value)
            return
        if what == lib.TRACED_CALL and self._asked[tid] != (call.nr, *call.args[0 : len(self._asked[tid]) - 1]):
            # Somebody has changed the instruction that it went back to: it runs code of its own, whose calls nobody has decided.
            lib.trace_refuse(tid, -errno.ENOSYS)
        if what == lib.TRACED_STOPPED:
            self._interrupted.add(tid)
        elif what == lib.TRACED_EXECUTED:  # another thread has: this one is no more
            self._forget(value)
            self._forget(tid)
            resume(tid)
            return
        resume(tid, SYSCALL, value if what == lib.TRACED_SIGNAL else 0)


def _restart(tid: int, value: int, interrupted: set[int]) -> Steps:
    """Steps after which the kernel restarts the call at whose begin the tracee is, or returns EINTR. Raises ESRCH."""
    registers = Registers(tid)
    yield registers.instead(NO_CALL)
    registers.restart(-value)
    interrupted.add(tid)
    return []
