"""Supervision needs a process to itself, since it reaps whatever ends: each test forks one."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import termios
from typing import TYPE_CHECKING

import pytest

from runsc_cli.console import set_window_size
from runsc_cli.supervise import _QUEUE, Relay, Signals, supervise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Start = Callable[..., int]

_PR_SET_CHILD_SUBREAPER = 36
_PATIENCE_MS = 20_000


@pytest.fixture
def start() -> Iterator[Start]:
    """Forks a process that runs `act`, with other stdio where given; what still runs is ended after the test."""
    started: list[int] = []

    def fork(act: Callable[[], int], stdin: int = -1, stdout: int = -1) -> int:
        pid = os.fork()
        if pid == 0:
            code = 99
            try:
                for fd, source in ((0, stdin), (1, stdout)):
                    os.dup2(source if source != -1 else os.open(os.devnull, os.O_RDWR), fd)
                os.closerange(3, 256)  # the test's ends of pipes, or they would never be closed
                code = act()
            finally:
                os._exit(code)
        started.append(pid)
        return pid

    yield fork
    for pid in started:
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            continue


def code_of(pid: int) -> int:
    """How a process ends that has not hung."""
    pidfd = os.pidfd_open(pid)
    waiting = select.poll()
    waiting.register(pidfd, select.POLLIN)
    ended = waiting.poll(_PATIENCE_MS)
    os.close(pidfd)
    assert ended, "it hangs"
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def read(fd: int) -> bytes:
    """What comes next; nothing at the end."""
    waiting = select.poll()
    waiting.register(fd, select.POLLIN)
    assert waiting.poll(_PATIENCE_MS), "nothing comes"
    return os.read(fd, 1 << 16)


def read_until(fd: int, wanted: bytes) -> bytes:
    data = b""
    while wanted not in data:
        more = read(fd)
        assert more, data
        data += more
    return data


def read_to_end(fd: int) -> bytes:
    chunks = []
    while chunk := read(fd):
        chunks.append(chunk)
    return b"".join(chunks)


def shell(script: str, slave: int = -1, closing: tuple[int, ...] = ()) -> int:
    """Start `sh -c script`, as a session with `slave` for terminal when there is one."""
    pid = os.fork()
    if pid == 0:
        try:
            for fd in closing:
                os.close(fd)
            if slave != -1:
                os.login_tty(slave)
            os.execv("/bin/sh", ["sh", "-c", script])
        finally:
            os._exit(98)
    if slave != -1:
        os.close(slave)
    return pid


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143)])
def test_the_exit_code(script: str, code: int, start: Start) -> None:
    assert code_of(start(lambda: supervise(shell(script)))) == code


@pytest.mark.parametrize("name", ["INT", "TERM", "HUP", "QUIT", "USR1", "USR2", "WINCH", "CONT", "TSTP", "ALRM"])
def test_signals_are_passed_on(name: str, start: Start) -> None:
    reading, writing = os.pipe()
    script = f"trap 'kill -9 $!; exit 21' {name}; sleep infinity & echo ready; while :; do wait; done"

    def act() -> int:
        with Signals() as signals:
            return supervise(shell(script), signals=signals)

    supervisor = start(act, stdout=writing)
    read_until(reading, b"ready\n")
    os.kill(supervisor, getattr(signal, f"SIG{name}"))
    assert code_of(supervisor) == 21
    os.close(reading)
    os.close(writing)


def test_a_signal_before_the_start_is_not_lost(start: Start) -> None:
    def act() -> int:
        with Signals() as signals:
            os.kill(os.getpid(), signal.SIGTERM)
            return supervise(shell("exec sleep infinity"), signals=signals)

    assert code_of(start(act)) == 128 + signal.SIGTERM


def test_an_ignored_signal_stays_ignored(start: Start) -> None:
    def act() -> int:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with Signals() as signals:
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGUSR1)
            return list(signals.read()).count(signal.SIGUSR1) - len(signals.read())

    assert code_of(start(act)) == 1


def test_the_handlers_are_those_of_before(start: Start) -> None:
    def act() -> int:
        before = [signal.getsignal(number) for number in signal.valid_signals()]
        with Signals():
            pass
        return 0 if before == [signal.getsignal(number) for number in signal.valid_signals()] else 1

    assert code_of(start(act)) == 0


def test_orphans_are_reaped_while_the_process_runs(start: Start) -> None:
    # It ends once the orphan has left /proc, that is when somebody has reaped it.
    script = "orphan=$(sh -c 'true & echo $!'); while [ -e /proc/$orphan ]; do :; done; exit 5"

    def act() -> int:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        return supervise(shell(script))

    assert code_of(start(act)) == 5


def test_a_process_that_is_not_our_child(start: Start) -> None:
    def act() -> int:
        try:
            return supervise(1)
        except ChildProcessError:
            return 42

    assert code_of(start(act)) == 42


def on_a_pty(script: str) -> Callable[[], int]:
    """Supervises a shell on a pty of its own."""

    def act() -> int:
        master, slave = os.openpty()
        with Signals() as signals:
            return supervise(shell(script, slave, closing=(master,)), master, signals)

    return act


def test_what_is_typed_and_what_is_written(start: Start) -> None:
    stdin, typing = os.pipe()
    reading, stdout = os.pipe()
    supervisor = start(on_a_pty("stty -echo; echo ready; cat; exit 3"), stdin, stdout)
    os.close(stdin)
    os.close(stdout)
    read_until(reading, b"ready\r\n")
    os.write(typing, b"hello\n")
    assert read_until(reading, b"\n") == b"hello\r\n"
    os.close(typing)  # becomes the terminal's end of file, which ends cat
    assert read_to_end(reading) == b""
    assert code_of(supervisor) == 3
    os.close(reading)


def test_all_output_is_shown_also_when_the_process_has_ended(start: Start) -> None:
    reading, stdout = os.pipe()
    supervisor = start(on_a_pty("head -c 1000000 /dev/zero | tr '\\0' x; printf end"), stdout=stdout)
    os.close(stdout)
    data = read_to_end(reading)
    assert code_of(supervisor) == 0
    assert data == b"x" * 1_000_000 + b"end"
    os.close(reading)


def test_a_reader_that_went_away_does_not_hang_the_container(start: Start) -> None:
    reading, stdout = os.pipe()
    os.close(reading)
    supervisor = start(on_a_pty("head -c 1000000 /dev/zero; exit 4"), stdout=stdout)
    os.close(stdout)
    assert code_of(supervisor) == 4


def test_a_process_that_keeps_the_terminal_is_not_waited_for(start: Start) -> None:
    reading, stdout = os.pipe()
    supervisor = start(on_a_pty("trap '' HUP; sleep infinity & echo $!; exit 6"), stdout=stdout)
    os.close(stdout)
    left = int(read_until(reading, b"\n"))
    try:
        assert code_of(supervisor) == 6
    finally:
        os.kill(left, signal.SIGKILL)
        os.close(reading)


def test_one_that_never_falls_silent_is_not_either(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runsc_cli.supervise._DRAIN_MOST", 0.0)
    stdin, typing = os.pipe()
    reading, stdout = os.pipe()
    supervisor = start(on_a_pty("trap '' HUP; yes & read line; exit 6"), stdin, stdout)
    os.close(stdin)
    os.close(stdout)
    read_until(reading, b"y")
    os.close(typing)
    read_to_end(reading)  # `yes` itself ends when the master is closed: EIO
    assert code_of(supervisor) == 6
    os.close(reading)


def test_the_callers_terminal_is_raw_meanwhile_and_as_before_then(start: Start) -> None:
    outer, terminal = os.openpty()
    before = termios.tcgetattr(terminal)
    supervisor = start(on_a_pty("echo ready; read line; exit 8"), terminal, terminal)
    read_until(outer, b"ready\r\n")
    assert termios.tcgetattr(terminal) != before
    os.write(outer, b"\r")
    assert code_of(supervisor) == 8
    assert termios.tcgetattr(terminal) == before
    os.close(outer)
    os.close(terminal)


def test_ctrl_c_is_the_containers(start: Start) -> None:
    outer, terminal = os.openpty()
    script = "trap 'kill -9 $!; exit 9' INT; sleep infinity & echo ready; while :; do wait; done"
    supervisor = start(on_a_pty(script), terminal, terminal)
    read_until(outer, b"ready\r\n")
    os.write(outer, b"\x03")
    assert code_of(supervisor) == 9
    os.close(outer)
    os.close(terminal)


def test_the_window_has_the_callers_size_and_follows_it(start: Start) -> None:
    outer, terminal = os.openpty()
    set_window_size(outer, 30, 90)
    script = "trap 'stty size' WINCH; stty size; sleep infinity & echo ready; while :; do wait; done"
    supervisor = start(on_a_pty(script), terminal, terminal)
    assert b"30 90\r\n" in read_until(outer, b"ready\r\n")
    set_window_size(outer, 44, 111)
    os.kill(supervisor, signal.SIGWINCH)
    read_until(outer, b"44 111\r\n")
    os.kill(supervisor, signal.SIGKILL)
    os.close(outer)
    os.close(terminal)


class Ends:
    """A relay between socket pairs, so that both sides can be played."""

    def __init__(self) -> None:
        self.master, self.slave = os.openpty()
        self.stdin, self.typing = os.pipe()
        self.reading, self.stdout = os.pipe()
        self.relay = Relay(self.master, self.stdin, self.stdout)


def test_a_direction_is_read_while_its_queue_has_room() -> None:
    ends = Ends()
    relay = ends.relay
    assert relay.interest() == {ends.stdin: select.POLLIN, ends.master: select.POLLIN}
    relay.to_master += bytes(_QUEUE)
    assert relay.interest() == {ends.master: select.POLLIN | select.POLLOUT}
    relay.to_stdout += bytes(_QUEUE)
    assert relay.interest() == {ends.master: select.POLLOUT, ends.stdout: select.POLLOUT}


def test_the_end_of_stdin_is_typed_as_a_person_would() -> None:
    ends = Ends()
    os.close(ends.typing)
    ends.relay.handle(ends.stdin, select.POLLHUP)
    assert ends.relay.to_master == b"\x04"
    assert ends.stdin not in ends.relay.interest()


def test_a_stdin_that_is_closed_is_at_its_end() -> None:
    ends = Ends()
    os.close(ends.stdin)
    ends.relay.handle(ends.stdin, select.POLLNVAL)
    assert ends.stdin not in ends.relay.interest()


def test_the_relay_is_finished_when_the_pty_is_and_all_is_written() -> None:
    ends = Ends()
    os.write(ends.slave, b"last words")
    os.close(ends.slave)
    while not ends.relay.to_stdout:
        ends.relay.handle(ends.master, select.POLLIN)
    ends.relay.handle(ends.master, select.POLLIN | select.POLLHUP)
    assert not ends.relay.finished
    ends.relay.handle(ends.stdout, select.POLLOUT)
    assert ends.relay.finished
    assert os.read(ends.reading, 100) == b"last words"
    assert ends.relay.interest() == {}
