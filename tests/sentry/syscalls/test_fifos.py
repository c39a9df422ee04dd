"""Opens of FIFOs that wait, are interrupted, and end with their caller, against the same calls made natively: fs/pipe.c:fifo_open()."""

from __future__ import annotations

import fcntl
import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.sentry.harness import both
from tests.sentry.syscalls.names import prepare

if TYPE_CHECKING:
    from tests.sentry.harness import Caller

RDONLY, WRONLY, RDWR, NONBLOCK = os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_NONBLOCK
CREAT, EXCL = os.O_CREAT, os.O_EXCL


def fifo(k: Caller, flags: int, peer: int, content: bytes = b"") -> None:
    """Open a FIFO with `flags` while another process opens it the other way, writes and leaves."""
    ready, go = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(ready, 1)
        fd = os.open("dir/pipe", peer)
        if content:
            os.write(fd, content)
        elif peer == RDONLY:
            os.read(fd, 10)
        if peer == RDWR:  # it waits for nobody; what it has written would go with it
            os.read(ready, 1)
        os._exit(0)
    os.write(go, b"x")
    fd = k("open", b"dir/pipe", flags)
    if flags == RDONLY:
        k.note(os.read(fd, 100), oct(fcntl.fcntl(fd, fcntl.F_GETFL)))
        if peer == RDWR:
            os.write(go, b"x")
    else:
        k.note(os.write(fd, b"12345"))
    k("close", fd)
    k.note(os.waitpid(child, 0)[1])
    os.close(ready)
    os.close(go)


def test_fifos_wait_for_each_other() -> None:
    def body(k: Caller) -> None:
        for _ in range(10):
            fifo(k, RDONLY, WRONLY, b"content")
            fifo(k, WRONLY, RDONLY)
            fifo(k, RDONLY, WRONLY)
            fifo(k, RDONLY, RDWR, b"both")
        k.opened(b"dir/pipe", RDWR)
        k.opened(b"dir/pipe", RDONLY | NONBLOCK)
        k.opened(b"dir/pipe", WRONLY | NONBLOCK)
        k.opened(b"dir/pipe", CREAT | EXCL | WRONLY | NONBLOCK)
        k.opened(b"sock", RDONLY)
        k.opened(b"sock", WRONLY)

    both(body, prepare, setup=pipes)


WAITS = pytest.mark.parametrize("flags", [RDONLY, WRONLY, RDONLY | CREAT, WRONLY | CREAT])
WAYS = pytest.mark.parametrize("path", [b"dir/pipe", b"/work/base/dir/pipe", b"../base/dir/pipe", b"to_pipe", b"/proc/self/cwd/dir/pipe"])


def pipes() -> None:
    os.mkfifo("dir/pipe")
    os.chmod("dir/pipe", 0o666)
    os.symlink("dir/pipe", "to_pipe")


@WAITS
@WAYS
def test_a_signal_ends_the_wait(flags: int, path: bytes) -> None:
    """signal(7): EINTR without SA_RESTART."""

    def body(k: Caller) -> None:
        caught: list[int] = []
        signal.signal(signal.SIGUSR2, lambda *_: caught.append(1))
        signal.siginterrupt(signal.SIGUSR2, True)
        parent = os.getpid()
        child = os.fork()
        if child == 0:
            while signal.sigtimedwait([signal.SIGTERM], 0.02) is None:
                os.kill(parent, signal.SIGUSR2)
            os._exit(0)
        k("open", path, flags, 0o600)
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)
        k.note(bool(caught))

    def before() -> None:
        pipes()
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])

    both(body, prepare, setup=before)


@WAITS
@WAYS
def test_a_signal_with_sa_restart_does_not_end_the_wait(flags: int, path: bytes) -> None:
    def body(k: Caller) -> None:
        signal.signal(signal.SIGUSR2, lambda *_: None)
        signal.siginterrupt(signal.SIGUSR2, False)
        parent = os.getpid()
        child = os.fork()
        if child == 0:
            for _ in range(3):
                os.kill(parent, signal.SIGUSR2)
                while pending(parent):  # until it was delivered
                    os.sched_yield()
            fd = os.open("dir/pipe", WRONLY if flags & os.O_ACCMODE == RDONLY else RDONLY)
            os.read(fd, 1) if flags & WRONLY else None
            os._exit(0)
        fd = k("open", path, flags, 0o600)
        os.close(fd)
        k.note(os.waitpid(child, 0)[1])

    both(body, prepare, setup=pipes)


def pending(pid: int) -> int:
    """ShdPnd of a process: proc_pid_status(5)."""
    with open(f"/proc/{pid}/status") as file:
        return int(file.read().partition("ShdPnd:")[2].split(None, 1)[0], 16)


def state(pid: int) -> str:
    """R, S, D…: proc_pid_stat(5)."""
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(") ")[2][0]


def test_a_waiting_open_ends_with_its_caller() -> None:
    def body(k: Caller) -> None:
        os.mkfifo("dir/other")  # a waiting reader of the sentry's is still there for a moment
        for path, flags in ((b"dir/pipe", RDONLY), (b"dir/other", WRONLY)):
            child = os.fork()
            if child == 0:
                k("open", path, flags)
                os._exit(0)
            while state(child) not in "SD":
                os.sched_yield()
            os.kill(child, signal.SIGKILL)
            k.note(os.waitpid(child, 0)[1])

    both(body, prepare, setup=pipes)
