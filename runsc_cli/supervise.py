"""The foreground of run, exec and do: wait for the container's process, pass signals on, carry its terminal.

Theory of operation. One poll(2) loop without threads. Signals arrive as bytes on a pipe (Python's wakeup fd: the C
handler writes the number), so none is lost between two looks. SIGCHLD means reap, and not only the process
we wait for: the caller made us a subreaper, prctl(2) PR_SET_CHILD_SUBREAPER, so what the container leaves
behind becomes ours. Every other signal goes to the process; with a terminal SIGWINCH becomes its new size.

The relay between the caller's terminal and the pty's master is two queues. A side is read only while its queue
has room and written only when poll says that it takes some, so a container that does not read its input never
keeps its output from being shown, nor a signal from being passed on. When the process has ended, what is in
the pty is shown until the kernel says that no slave is open (EIO), or, when a process that outlives it
keeps one, until nothing has come for a moment.
"""

from __future__ import annotations

import os
from select import POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, poll
from time import monotonic

from runsc_cli import children
from sentry.platform.signals import (  # fmt: skip
    SIG_DFL,
    SIG_IGN,
    SIGBUS,
    SIGCHLD,
    SIGCONT,
    SIGFPE,
    SIGHUP,
    SIGILL,
    SIGINT,
    SIGKILL,
    SIGPIPE,
    SIGQUIT,
    SIGSEGV,
    SIGSTOP,
    SIGSYS,
    SIGTERM,
    SIGTRAP,
    SIGTTIN,
    SIGTTOU,
    SIGWINCH,
    SIGXFSZ,
    every,
    handle,
    handler,
    wakeup,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType, TracebackType
    from typing import Any, Self

    from runsc_cli.console import RawMode

_KEPT = frozenset((
    SIGKILL, SIGSTOP,  # cannot be caught
    SIGCHLD,  # ours
    SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS,  # our own faults
    SIGPIPE, SIGXFSZ,  # Python ignores them, and they concern what we write
    SIGTTIN, SIGTTOU,  # job control of our own reading and writing
))  # fmt: skip

_QUEUE = 1 << 16  # bytes a direction may hold
_CHUNK = 4096  # PIPE_BUF: a pipe or terminal that polls as writable takes as much without blocking
_DRAIN_MS = 100  # silence that ends the draining of a pty which somebody still has open
_DRAIN_MOST = 2.0  # seconds; somebody who never falls silent is not waited for
_ENDING = frozenset((SIGINT, SIGTERM, SIGHUP, SIGQUIT))
_END_OF_FILE = b"\x04"  # the default VEOF, termios(3)


class Signals:
    """Signals caught from `with Signals() as signals` on; open it before the process starts, or lose some.

    A signal that is ignored when we start, as SIGHUP under nohup(1), stays ignored.
    """

    __slots__ = ("_before", "_wakeup", "_write", "fd")

    def __enter__(self) -> Self:
        self.fd, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._wakeup = wakeup(self._write)
        self._before: dict[int, Any] = {}
        for number in (every() - _KEPT) | {SIGCHLD}:
            if handler(number) != SIG_IGN:
                self._before[number] = handle(number, _noted)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        for number, before in self._before.items():
            handle(number, SIG_DFL if before is None else before)
        wakeup(self._wakeup)
        os.close(self.fd)
        os.close(self._write)

    def read(self) -> bytes:
        """The numbers of the signals that came, each a byte."""
        try:
            return os.read(self.fd, _CHUNK)
        except BlockingIOError:
            return b""


def _noted(number: int, frame: FrameType | None) -> None:
    """The wakeup fd has told already."""


class Relay:
    """Bytes between the caller's stdin and stdout and the master of a pty."""

    __slots__ = ("_in", "_out", "master", "stdin", "stdout", "to_master", "to_stdout")

    def __init__(self, master: int, stdin: int = 0, stdout: int = 1) -> None:
        os.set_blocking(master, False)
        self.master = master
        self.stdin = stdin
        self.stdout = stdout
        self.to_master = bytearray()
        self.to_stdout = bytearray()
        self._in = True  # stdin may still give something
        self._out = True  # the master may

    @property
    def finished(self) -> bool:
        """All that the pty will ever give has been written."""
        return not self._out and not self.to_stdout

    def interest(self) -> dict[int, int]:
        """What to poll for, by descriptor."""
        wanted: dict[int, int] = {}
        if self._in and self._out and len(self.to_master) < _QUEUE:
            wanted[self.stdin] = POLLIN
        if self._out:
            wanted[self.master] = POLLIN if len(self.to_stdout) < _QUEUE else 0
            if self.to_master:
                wanted[self.master] |= POLLOUT
        if self.to_stdout:
            wanted[self.stdout] = wanted.get(self.stdout, 0) | POLLOUT
        return wanted

    def stop_reading_stdin(self) -> None:
        """What is typed from now on is for whoever has the terminal next."""
        self._in = False

    def stop_reading_master(self) -> None:
        self._out = False

    def handle(self, fd: int, events: int) -> None:
        """Move what poll found ready."""
        if fd == self.master:
            if events & (POLLIN | POLLHUP | POLLERR):
                self._read_master()
            if events & POLLOUT and self._out:
                self._write_master()
            return
        if fd == self.stdin and events & (POLLIN | POLLHUP | POLLERR | POLLNVAL) and self._in:
            self._read_stdin()
        if fd == self.stdout and events & (POLLOUT | POLLERR | POLLHUP | POLLNVAL) and self.to_stdout:
            self._write_stdout()

    def _read_master(self) -> None:
        try:
            data = os.read(self.master, _CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""  # EIO: no slave is open any more
        self._out = bool(data)
        self.to_stdout += data

    def _write_master(self) -> None:
        try:
            del self.to_master[: os.write(self.master, self.to_master)]
        except BlockingIOError:
            return
        except OSError:
            self.to_master.clear()  # EIO; reading will tell

    def _read_stdin(self) -> None:
        try:
            data = os.read(self.stdin, _CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._in = bool(data)
        # A file or pipe that ends does not close a terminal: say it as a person would.
        self.to_master += data or _END_OF_FILE

    def _write_stdout(self) -> None:
        try:
            del self.to_stdout[: os.write(self.stdout, self.to_stdout[:_CHUNK])]
        except BlockingIOError:
            return
        except OSError:
            self.to_stdout.clear()  # the reader went away: the container must not hang for it


def supervise(pid: int, master: int | None = None, signals: Signals | None = None) -> int:
    """Wait for our child `pid`; its exit code, 128+n after signal n.

    `master` is the pty of the container's terminal: relayed with our stdin and stdout, closed at the end.
    `signals` are those caught since before the child was started; opened here when not given.
    """
    if signals is None:
        with Signals() as signals:
            return supervise(pid, master, signals)
    if master is None:
        return _loop(pid, None, signals, None)
    from runsc_cli.console import RawMode, copy_window_size  # not where there is no terminal: a library to load

    try:
        with RawMode(0) as terminal:
            copy_window_size(master)
            return _loop(pid, Relay(master), signals, terminal)
    finally:
        os.close(master)


def _loop(pid: int, relay: Relay | None, signals: Signals, terminal: RawMode | None) -> int:
    code = _reap(pid)
    while code is None:
        _poll(signals, relay, None)
        numbers = signals.read()
        if SIGCHLD in numbers:
            code = _reap(pid)
        if code is None:
            _pass_on(numbers, pid, relay, terminal)
    if relay is not None:
        _drain(relay, signals)
    return code


def _poll(signals: Signals, relay: Relay | None, timeout: float | None) -> bool:
    """Wait for a signal or for bytes to move, and move them; False when `timeout` milliseconds passed."""
    waiting = poll()
    waiting.register(signals.fd, POLLIN)
    if relay is not None:
        for fd, events in relay.interest().items():
            waiting.register(fd, events)
    ready = waiting.poll(timeout)
    for fd, events in ready:
        if relay is not None and fd != signals.fd:
            relay.handle(fd, events)
    return bool(ready)


def _drain(relay: Relay, signals: Signals) -> None:
    """Show what the ended process wrote. A signal ends even that: whoever sends it has seen enough."""
    relay.stop_reading_stdin()
    deadline = monotonic() + _DRAIN_MOST
    while not relay.finished:
        if monotonic() > deadline:
            relay.stop_reading_master()
        # What is queued for stdout is owed however long it takes; what the pty may still hold is not.
        if not _poll(signals, relay, None if relay.to_stdout else _DRAIN_MS):
            return
        if not _ENDING.isdisjoint(signals.read()):
            return


def _pass_on(numbers: bytes, pid: int, relay: Relay | None, terminal: RawMode | None) -> None:
    for number in numbers:
        if number == SIGCHLD:
            continue
        if relay is not None and terminal is not None:
            if number == SIGCONT:
                terminal.apply()
            if number in (SIGWINCH, SIGCONT):
                from runsc_cli.console import copy_window_size

                copy_window_size(relay.master)
                continue
        try:
            os.kill(pid, number)  # our child, not reaped: the pid is its own
        except ProcessLookupError:
            return


def _reap(pid: int) -> int | None:
    """Reap every child that has ended; the exit code of `pid` when it is among them."""
    code = None
    while True:
        try:
            child, status = children.reap()
        except ChildProcessError:
            if code is None:
                raise
            return code
        if child == 0:
            return code
        if child == pid:
            code = os.waitstatus_to_exitcode(status)
            code = 128 - code if code < 0 else code
