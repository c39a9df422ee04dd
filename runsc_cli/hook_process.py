"""One hook: a program of the administrator's that is given the container's state on stdin and is waited for.

config.md, "POSIX-platform Hooks". It has the caller's identity and namespaces, but those of the container that it is told to enter;
of descriptors it has its stdio alone. What it prints is read to the end and kept up to a bound. A hook that outlives its
timeout is killed with its process group, and so is one that runs when a signal ends the command.
"""

from __future__ import annotations

import os
from time import monotonic

from runsc_cli import children
from runsc_cli.errors import PyscError, strerror
from sentry.abi import CLONE_NEWPID, CLONE_PARENT, PR_SET_PDEATHSIG
from sentry.platform import signals
from sentry.platform._native import lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Self, TypeAlias

    from runsc_cli.oci.model import Hook

    Start: TypeAlias = "Callable[[int, int, int], int]"
    """Start it with these descriptors as stdio; returns the pid of a child of ours that leads a process group."""

KEPT = 1 << 13
"""Bytes of stdout, and of stderr, that an error shows."""

_CHUNK = 1 << 16
_CLONE, _CLOSE_RANGE, _CLOSE_RANGE_CLOEXEC = 56, 436, 4
_ENDING = (signals.SIGHUP, signals.SIGINT, signals.SIGQUIT, signals.SIGTERM)


class Place:
    """Where a hook runs: its working directory, and with `flags` (CLONE_NEW*) the namespaces of the process behind `pidfd`."""

    __slots__ = ("cwd", "flags", "pidfd")

    def __init__(self, cwd: str, pidfd: int = -1, flags: int = 0) -> None:
        self.cwd = cwd
        self.pidfd = pidfd
        self.flags = flags


def execute(start: Start, state: bytes, timeout: int | None) -> None:
    """Run a hook to its end. Raises PyscError that says how it failed; `timeout` in seconds."""
    stdin = os.memfd_create("state", os.MFD_CLOEXEC)
    try:
        os.write(stdin, state)
        os.lseek(stdin, 0, os.SEEK_SET)
        out, err = _Output(), _Output()
        with _Signals() as caught:
            try:
                pid = start(stdin, out.theirs, err.theirs)
            finally:
                out.give()
                err.give()
            status = _watch(pid, (out, err), timeout, caught)
    finally:
        os.close(stdin)
    if status is None:
        raise PyscError(f"hook ran past specified timeout of {timeout:.1f}s")
    if status:
        raise PyscError(f"{_ended(status)}, stdout: {out.text()}, stderr: {err.text()}")


class _Output:
    """One of its two streams: the pipe, and what is kept of it."""

    __slots__ = ("_dropped", "_kept", "fd", "theirs")

    def __init__(self) -> None:
        self.fd, self.theirs = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.fd, False)
        self._kept = bytearray()
        self._dropped = 0

    def give(self) -> None:
        """Keep the reading end alone."""
        os.close(self.theirs)

    def read(self) -> bool:
        """Take what is there; false at the end of it."""
        try:
            piece = os.read(self.fd, _CHUNK)
        except BlockingIOError:
            return True
        room = KEPT - len(self._kept)
        self._kept += piece[:room]
        self._dropped += len(piece[room:])
        return bool(piece)

    def text(self) -> str:
        more = f" ... and {self._dropped} bytes more" if self._dropped else ""
        return self._kept.decode(errors="backslashreplace") + more


class _Signals:
    """Meanwhile a signal that asks the command to end is noted, so that it takes back what it has made. They come as bytes to `fd`.

    A handler that raises would do so anywhere, also where nobody knows yet whom to kill.
    """

    __slots__ = ("_before", "_wakeup", "_write", "fd")

    def __enter__(self) -> Self:
        self.fd, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._wakeup = signals.wakeup(self._write)
        self._before = {n: signals.handler(n) for n in _ENDING if signals.handler(n) != signals.SIG_IGN}
        for number in self._before:
            signals.handle(number, _noted)
        return self

    def check(self) -> None:
        """Raises PyscError for one that ends the command; others are passed on to whoever listened before."""
        for number in os.read(self.fd, _CHUNK):
            if number in self._before:
                raise PyscError(f"interrupted by signal {number}")
            if self._wakeup >= 0:
                os.write(self._wakeup, bytes((number,)))

    def __exit__(self, *_error: object) -> None:
        for number, before in self._before.items():
            signals.handle(number, signals.SIG_DFL if before is None else before)
        signals.wakeup(self._wakeup)
        os.close(self.fd)
        os.close(self._write)


def _noted(_number: int, _frame: FrameType | None) -> None:
    """The wakeup descriptor has told already."""


def _watch(pid: int, outputs: tuple[_Output, _Output], timeout: int | None, caught: _Signals) -> int | None:
    """Wait for our child `pid`; its wait status, None when it took too long. Whatever happens it has ended then.

    Somebody whom it leaves behind may hold its pipes open: only its own end is waited for.
    """
    from select import POLLIN, poll

    deadline = None if timeout is None else monotonic() + timeout
    status = None
    pidfd = os.pidfd_open(pid)
    try:
        waiting = poll()
        by_fd = {output.fd: output for output in outputs}
        for fd in (pidfd, caught.fd, *by_fd):
            waiting.register(fd, POLLIN)
        while status is None:
            ready = waiting.poll(None if deadline is None else max(0.0, deadline - monotonic()) * 1000)
            if not ready:
                return None
            for fd, _events in ready:
                if fd == pidfd:
                    status = children.wait(pid)
                elif fd == caught.fd:
                    caught.check()
                elif not by_fd[fd].read():
                    waiting.unregister(fd)
        for output in outputs:
            output.read()
        return status
    finally:
        if status is None:
            os.killpg(pid, signals.SIGKILL)
            children.wait(pid)
        os.close(pidfd)
        for output in outputs:
            os.close(output.fd)


def _ended(status: int) -> str:
    """A wait status as Go's os.ProcessState words it."""
    number = status & 0x7F
    if not number:
        return f"exit status {status >> 8}"
    from _signal import strsignal  # type: ignore[import-not-found]

    core = " (core dumped)" if os.WCOREDUMP(status) else ""
    return f"signal: {str(strsignal(number)).lower()}{core}"


def spawn(hook: Hook, place: Place) -> Start:
    """How to start a program of the host's. Raises PyscError when it cannot be executed, as Go words it."""

    def start(stdin: int, out: int, err: int) -> int:
        answer, report = os.pipe2(os.O_CLOEXEC)
        child = os.fork()
        if child == 0:
            _child(hook, place, (stdin, out, err), report)
        os.close(report)
        said = b""
        while piece := os.read(answer, 4096):  # until it has executed
            said += piece
        os.close(answer)
        # in any order, since two have written
        words = dict(line.split(" ", 1) for line in said.decode(errors="replace").splitlines())
        pid = child
        if "pid" in words:
            os.waitpid(child, 0)
            pid = int(words["pid"])
        if "error" in words:
            os.waitpid(pid, 0)  # a namespace whose zombies nobody reaps does not end
            raise PyscError(words["error"])
        return pid

    return start


def _child(hook: Hook, place: Place, stdio: tuple[int, int, int], report: int) -> None:
    """In the forked process: become the hook. What happens is said to `report`, which execve(2) closes."""
    doing = f"fork/exec {hook.path}"
    try:
        _forget_signals()
        for number, fd in enumerate(stdio):
            os.dup2(fd, number)
        lib.syscall6(_CLOSE_RANGE, 3, 0xFFFFFFFF, _CLOSE_RANGE_CLOEXEC, 0, 0, 0)  # also what our caller has left open
        if place.flags:
            doing = "join the container's namespaces"
            _checked(lib.setns_(place.pidfd, place.flags))
            if place.flags & CLONE_NEWPID:
                _go_on_in_child(report)
        lib.prctl_(PR_SET_PDEATHSIG, signals.SIGKILL, 0, 0, 0)
        os.setpgid(0, 0)
        doing = f"chdir {place.cwd}"
        os.chdir(place.cwd)
        doing = f"fork/exec {hook.path}"
        environ = dict(e.partition("=")[::2] for e in hook.env) if hook.env else dict(os.environ)
        os.execve(hook.path, list(hook.args or (hook.path,)), environ)
    except BaseException as error:
        reason = strerror(error) if isinstance(error, OSError) else str(error)
        os.write(report, f"error {doing}: {reason}\n".encode(errors="replace"))
    finally:
        os._exit(127)


def _go_on_in_child(report: int) -> None:
    """A pid namespace that was joined is that of our children: let one go on, a child of the command as we are."""
    pid = _checked(lib.syscall6(_CLONE, CLONE_PARENT | signals.SIGCHLD, 0, 0, 0, 0, 0))
    if pid:
        os.write(report, f"pid {pid}\n".encode())
        os._exit(0)


def _forget_signals() -> None:
    """The command's handlers, and its pipe for them; what Python ignores and a program does not expect to be."""
    signals.wakeup(-1)
    for number in (*_ENDING, signals.SIGPIPE, signals.SIGXFSZ):
        if number not in _ENDING or signals.handler(number) != signals.SIG_IGN:
            signals.handle(number, signals.SIG_DFL)


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(-result, os.strerror(-result))
    return int(result)
