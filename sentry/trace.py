"""Looking at mediated calls as they are answered, for `pysc trace` and --strace; and the place where faults are put in.

While nobody looks there is nothing of this on the path of a call: a dispatcher's table holds the plain handlers. A trace, or a fault
(sentry/inject.py), puts wrapped ones in their place, which see the same outcome and send the same reply. The native loop for opens is
off meanwhile (`CredentialCache.watched`).

What goes out are compact records and no text: names, flags and quoting are for whoever reads them (runsc_cli/trace), outside of the
wall. Which argument is a string, and how long a structure is, the reader has told us. What is read of the caller's memory here is for
looking only: the handler reads its own copy and decides on that, so a racing thread can make a line differ from what was done.

A reader is a pipe that we write to without ever waiting. One record is one write of at most PIPE_BUF bytes, which is whole or
nothing (pipe(7)); what does not fit is counted, and the count is the next record. So a slow reader costs the container nothing, and us
no memory.
"""

from __future__ import annotations

import errno
import os
from select import POLLOUT, poll
from struct import iter_unpack, pack, unpack
from time import monotonic_ns, sleep, time_ns

from sentry.abi import SECCOMP_USER_NOTIF_FLAG_CONTINUE
from sentry.platform._native import ffi, lib
from sentry.platform.threads import Lock
from sentry.task import CONTINUE, HELD, Fd, Fds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, TypeAlias

    from sentry.inject import Faults
    from sentry.kernel import Kernel
    from sentry.task import Task

    Handler: TypeAlias = Callable[[Task], object]

PIPE_BUF = 4096
CALL, UNFINISHED, RESUMED, DROPPED = range(4)
"""Kinds of record."""

MEDIATED, CONTINUED, INJECTED, KILLED = range(4)
"""What has become of a call. CONTINUED: the kernel executes it, and its result is not known here."""

MAX_TRACES = 8
HEAD = "<HBBIIiqQQ6Q"
HEAD_SIZE = 88
READ = "<BBBhH"
"""Before the bytes of one read: argument, what kind of it, which element, -errno or 1 for cut short, length."""
READ_SIZE = 7
_MOST_ELEMENTS = 32
_EXECUTES = (59, 322)
_OPENS = frozenset((2, 257))


class Trace:
    """One reader: its pipe, and what it wants to see."""

    __slots__ = ("_lock", "_reads", "dropped", "fd", "numbers")

    def __init__(self, fd: int, numbers: Sequence[int] | None, reads: dict[str, list[list[Any]]]) -> None:
        """`numbers`: of the calls it wants, None is all. `reads`: by number what to read of memory, see runsc_cli/trace/signatures.py."""
        self.fd = fd
        self.numbers = None if numbers is None else frozenset(numbers)
        self.dropped = 0
        self._lock = Lock()
        self._reads = {int(number): plan for number, plan in reads.items()}

    def wants(self, nr: int) -> bool:
        return self.numbers is None or nr in self.numbers

    def plan(self, nr: int) -> list[list[Any]]:
        return self._reads.get(nr, [])

    def write(self, record: bytes) -> None:
        """Give it to the reader, or count it."""
        with self._lock:
            if self.fd < 0:
                return
            try:
                if self.dropped:
                    os.write(self.fd, pack(HEAD, HEAD_SIZE, DROPPED, 0, 0, 0, 0, self.dropped, time_ns(), 0, 0, 0, 0, 0, 0, 0))
                    self.dropped = 0
                os.write(self.fd, record)
            except OSError:  # it is full; or nobody reads any more, which the main thread will see
                self.dropped += 1

    def finish(self) -> None:
        """Say how much was lost, if the reader takes it within a second."""
        if self.dropped:
            waiting = poll()
            waiting.register(self.fd, POLLOUT)
            waiting.poll(1000)
            self.write(b"")
        self.close()

    def close(self) -> None:
        """A thread that is about to write finds it closed: the number may be another file's soon."""
        with self._lock:
            fd, self.fd = self.fd, -1
            if fd >= 0:
                os.close(fd)


class Look:
    """One call, as one trace sees it."""

    __slots__ = ("_args", "_began", "_ids", "_nr", "_read", "_room", "_trace", "_when")

    def __init__(self, trace: Trace, task: Task, ids: tuple[int, int]) -> None:
        self._trace = trace
        self._nr = task.nr
        self._args = tuple(task.args)
        self._ids = ids
        self._began = monotonic_ns()
        self._when = time_ns()
        self._read = b""
        self._room = PIPE_BUF - HEAD_SIZE

    def look(self, task: Task, buffer: Any, result: int | None) -> None:
        """Read what the plan says: before the call (`result` None), or after it and before the reply."""
        plan = [step for step in self._trace.plan(self._nr) if (step[0] in "oF") == (result is not None)]
        left = len(plan)
        for kind, arg, more, limit in plan:
            self._step(task.tid, buffer, kind, arg, more, limit, self._room // left, result)
            left -= 1

    def _step(self, tid: int, buffer: Any, kind: str, arg: int, more: int, limit: int, room: int, result: int | None) -> None:
        addr = self._args[arg]
        if not addr:
            return
        if kind == "s":
            self._string(tid, buffer, arg, 0, addr, limit, room)
        elif kind in "bfFo":
            size = self._args[more] if kind == "b" else more if kind in "fF" else result or 0
            self._bytes(tid, buffer, arg, kind, 0, addr, size, limit, room)
        elif kind == "v":
            self._vector(tid, buffer, arg, addr, limit, room)
        elif kind == "i":
            self._iovec(tid, buffer, arg, addr, self._args[more], limit, room)

    def _put(self, arg: int, kind: str, element: int, status: int, data: bytes) -> None:
        self._read += pack(READ, arg, ord(kind), element, status, len(data)) + data
        self._room -= READ_SIZE + len(data)

    def _string(self, tid: int, buffer: Any, arg: int, element: int, addr: int, limit: int, room: int) -> bool:
        size = min(limit, room - READ_SIZE, PIPE_BUF)
        if size <= 0:
            return False
        length = lib.read_cstr(tid, addr, buffer, size)
        if length == -errno.ENAMETOOLONG:
            self._put(arg, "s", element, 1, bytes(ffi.buffer(buffer, size)))
        else:
            self._put(arg, "s", element, min(length, 0), bytes(ffi.buffer(buffer, max(length, 0))))
        return True

    def _bytes(self, tid: int, buffer: Any, arg: int, kind: str, element: int, addr: int, size: int, limit: int, room: int) -> None:
        wanted = min(size, limit, room - READ_SIZE, PIPE_BUF)
        if wanted <= 0:
            if not size and room >= READ_SIZE:
                self._put(arg, kind, element, 0, b"")
            return
        got = lib.read_mem(tid, addr, buffer, wanted)
        status = got if got < 0 else int(wanted < size)
        self._put(arg, kind, element, status, bytes(ffi.buffer(buffer, max(got, 0))))

    def _vector(self, tid: int, buffer: Any, arg: int, addr: int, limit: int, room: int) -> None:
        """argv: an array of pointers that ends with a null one."""
        got = lib.read_mem(tid, addr, buffer, 8 * (_MOST_ELEMENTS + 1))
        pointers = unpack(f"<{got // 8}Q", bytes(ffi.buffer(buffer, got // 8 * 8))) if got > 0 else ()
        end = pointers.index(0) if 0 in pointers else len(pointers)
        shown = pointers[: min(end, _MOST_ELEMENTS)]
        for element, pointer in enumerate(shown):
            before = self._room
            if not self._string(tid, buffer, arg, element, pointer, limit, room):
                shown = shown[:element]
                break
            room -= before - self._room
        complete = 0 in pointers and len(shown) == end
        if self._room >= READ_SIZE:
            self._put(arg, "v", len(shown), got if got < 0 else int(not complete), b"")

    def _iovec(self, tid: int, buffer: Any, arg: int, addr: int, count: int, limit: int, room: int) -> None:
        """struct iovec[]: the addresses and lengths, then what they point to."""
        shown = min(count, _MOST_ELEMENTS)
        got = lib.read_mem(tid, addr, buffer, 16 * shown) if shown else 0
        table = bytes(ffi.buffer(buffer, got // 16 * 16)) if got > 0 else b""
        if room < READ_SIZE + len(table):
            return
        self._put(arg, "i", 0, got if got < 0 else int(count > len(table) // 16), table)
        room -= READ_SIZE + len(table)
        for element, (base, size) in enumerate(iter_unpack("<QQ", table)):
            before = self._room
            if room < READ_SIZE + 1:
                break
            self._bytes(tid, buffer, arg, "b", element, base, size, limit, room)
            room -= before - self._room

    def forget(self) -> None:
        """What was read may have been another's."""
        self._read = b""

    def tell(self, kind: int, outcome: int, result: int) -> None:
        """Write the record."""
        passed = monotonic_ns() - self._began
        size = HEAD_SIZE + len(self._read)
        head = pack(HEAD, size, kind, outcome, *self._ids, self._nr, result, self._when, passed, *self._args)
        self._trace.write(head + self._read)
        self._read = b""


def _read(looks: Sequence[Look], task: Task, buffer: Any, result: int | None) -> None:
    """Look at the caller's memory. If it was killed meanwhile its number may be another task's, whose memory nobody is shown."""
    for look in looks:
        look.look(task, buffer, result)
    if looks and lib.notif_valid(task.listener, task.id) < 0:
        for look in looks:
            look.forget()


class Watch:
    """The wrapped handlers of one container, the traces, and the faults. Changed by the main thread alone, used by all."""

    __slots__ = ("_current", "_handlers", "_held", "_kernel", "_plain", "_stages", "_unhandled", "faults", "stages_known", "traces")

    def __init__(self, kernel: Kernel, handlers: dict[int, Handler], denied: dict[int, int], deny: Callable[[int], Handler]) -> None:
        """`handlers`: the dispatchers' table, which is changed in place. `deny`: a handler that refuses a number of `denied`."""
        self._kernel = kernel
        self._handlers = handlers
        self._plain = {**{number: deny(number) for number in denied}, **handlers}
        self._unhandled = denied.keys() - handlers.keys()
        self._current: dict[tuple[int, int], list[Look]] = {}
        self._held: dict[tuple[int, int], list[Look]] = {}
        self._stages: dict[int, int] = {}
        self.stages_known = False
        """Whether the filter sends execve(2), so that it can be seen where a process of ours becomes the workload."""
        self.faults: Faults | None = None
        self.traces: tuple[Trace, ...] = ()

    def stage(self, listener: int, pid: int) -> None:
        """What comes through `listener` is not the workload's until somebody there executes it; what `pid`, ours, does never is."""
        if self.stages_known:
            self._stages[listener] = -pid

    def change(self, traces: Sequence[Trace]) -> None:
        """Show it to these from now on, and to nobody else."""
        self.traces = tuple(traces)
        always = set(self.faults.numbers) if self.faults is not None else set()
        if self.stages_known and (always or traces):
            always.update(_EXECUTES)
        for number, plain in self._plain.items():
            if number in always or any(trace.wants(number) for trace in traces):
                self._handlers[number] = self._wrapped(plain)
            elif number in self._unhandled:
                self._handlers.pop(number, None)
            else:
                self._handlers[number] = plain
        watched = any(self._handlers[number] is not self._plain[number] for number in _OPENS & self._handlers.keys())
        self._kernel.credentials.watch(watched)

    def quiet(self) -> None:
        """Wait, a second at most, until what the last calls have left to tell is told."""
        for _ in range(1000):
            if not self._current:
                break
            sleep(0.001)

    def _wrapped(self, plain: Handler) -> Handler:
        return lambda task: self._watched(task, plain)

    def _is_stage(self, task: Task) -> bool:
        """Whether it is a process of ours that calls: it has still to become the workload, by its execve(2), or looks after that."""
        pid = self._stages.get(task.listener, 0)
        if not pid:
            return False
        if pid < 0:  # nobody has executed anything yet
            if task.nr not in _EXECUTES:
                return True
            if task.tid == -pid:
                del self._stages[task.listener]
            else:
                self._stages[task.listener] = -pid
            return True
        return task.tid == pid

    def _watched(self, task: Task, plain: Handler) -> object:
        if self._is_stage(task):
            return plain(task)
        buffer = ffi.new("char[]", PIPE_BUF)
        looks = self._looks(task, buffer)
        faults = self.faults
        fault = faults.of(task) if faults is not None else None
        if faults is None or fault is None:
            return self._answer(task, plain, looks, buffer, MEDIATED)
        return fault.act(faults, task, plain, lambda own, handler, done: self._answer(own, handler, looks, buffer, done))

    def _looks(self, task: Task, buffer: Any) -> list[Look]:
        wanting = [trace for trace in self.traces if trace.wants(task.nr)]
        if not wanting:
            return []
        try:
            ids = task.ids
            found = [Look(trace, task, (ids.ns_tgid, ids.ns_tid)) for trace in wanting]
        except OSError:  # it has been killed meanwhile
            found = [Look(trace, task, (0, 0)) for trace in wanting]
        _read(found, task, buffer, None)
        return found

    def _answer(self, task: Task, handler: Handler, looks: list[Look], buffer: Any, done: int) -> object:
        """What the dispatcher does with an outcome, and the records. There is nothing left for the dispatcher to answer."""
        key = task.listener, task.id
        self._current[key] = looks
        try:
            return self._act(task, handler, looks, buffer, done)
        finally:
            self._current.pop(key, None)

    def _act(self, task: Task, handler: Handler, looks: list[Look], buffer: Any, done: int) -> object:
        listener, ident = task.listener, task.id
        try:
            outcome = handler(task)
        except OSError as e:
            error = -(e.errno or errno.EIO)
            lib.notif_send(listener, ident, 0, error, 0)
            self._tell(listener, ident, looks, done, error)
            return HELD
        except Exception:
            self._tell(listener, ident, looks, KILLED, 0)
            raise
        if outcome.__class__ is int:
            result: int = outcome
            _read(looks, task, buffer, result)
            lib.notif_send(listener, ident, result, 0, 0)
            self._tell(listener, ident, looks, done, result)
        elif outcome.__class__ is Fd:
            result = lib.notif_addfd(listener, ident, task.tid, outcome.fd, outcome.cloexec)
            if result < 0:
                lib.notif_send(listener, ident, 0, result, 0)
            self._tell(listener, ident, looks, done, result)
        elif outcome is CONTINUE:
            self._tell(listener, ident, looks, CONTINUED, 0)
            lib.notif_send(listener, ident, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE)
        elif outcome.__class__ is Fds:
            result = outcome.put(task)
            _read(looks, task, buffer, result)
            lib.notif_send(listener, ident, 0, result, 0)
            self._tell(listener, ident, looks, done, result)
        else:
            assert outcome is HELD, outcome
        return HELD

    def _tell(self, listener: int, ident: int, looks: list[Look], outcome: int, result: int) -> None:
        held = self._held.pop((listener, ident), None) is not None
        for look in looks:
            look.tell(RESUMED if held else CALL, outcome, result)

    def refused(self, task: Task, error: int) -> None:
        """A number that is no system call's."""
        if not self._is_stage(task):
            buffer = ffi.new("char[]", PIPE_BUF)
            for look in self._looks(task, buffer):
                look.tell(CALL, MEDIATED, -error)

    def held(self, task: Task) -> None:
        """The handler of this call is about to detach its reply."""
        looks = self._current.get((task.listener, task.id))
        if looks:
            for look in looks:
                look.tell(UNFINISHED, MEDIATED, 0)
            self._held[task.listener, task.id] = looks

    def resumed(self, listener: int, ident: int, result: int) -> None:
        """A held call has been answered."""
        for look in self._held.pop((listener, ident), ()):
            look.tell(RESUMED, MEDIATED, result)
