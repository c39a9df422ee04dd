from __future__ import annotations

import array
import os
import socket
import termios
from typing import TYPE_CHECKING

import pytest

from runsc_cli.console import RawMode, copy_window_size, send_fd, send_master, set_window_size, window_size
from runsc_cli.errors import ConsoleError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def pty() -> Iterator[tuple[int, int]]:
    """Master and slave."""
    master, slave = os.openpty()
    yield master, slave
    os.close(slave)
    os.close(master)


def test_the_size_of_a_window(pty: tuple[int, int]) -> None:
    master, slave = pty
    set_window_size(master, 50, 132)
    assert window_size(slave) == (50, 132)


def test_what_is_no_terminal_has_no_size() -> None:
    with open(os.devnull) as null:
        null_fd = null.fileno()
        assert window_size(null_fd) is None
    assert window_size(null_fd) is None, "closed"


def test_the_size_is_taken_from_whichever_stream_is_a_terminal(pty: tuple[int, int]) -> None:
    master, slave = pty
    set_window_size(master, 7, 9)
    inner_master, inner_slave = os.openpty()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            null = os.open(os.devnull, os.O_RDWR)
            for fd, source in ((0, null), (1, null), (2, slave)):
                os.dup2(source, fd)
            if copy_window_size(inner_master):
                os.dup2(null, 2)
                code = 2 if copy_window_size(inner_master) else 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    assert window_size(inner_slave) == (7, 9)
    os.close(inner_master)
    os.close(inner_slave)


def test_raw_mode_passes_every_byte_and_is_undone(pty: tuple[int, int]) -> None:
    master, slave = pty
    before = termios.tcgetattr(slave)
    with RawMode(slave):
        os.write(master, b"\x03\x04\x1a\r\x11")
        assert os.read(slave, 10) == b"\x03\x04\x1a\r\x11"
        os.write(slave, b"a\nb")
        assert os.read(master, 10) == b"a\nb"
    assert termios.tcgetattr(slave) == before


def test_raw_mode_is_undone_after_an_error(pty: tuple[int, int]) -> None:
    _, slave = pty
    before = termios.tcgetattr(slave)
    with pytest.raises(ZeroDivisionError), RawMode(slave):
        raise ZeroDivisionError
    assert termios.tcgetattr(slave) == before


def test_raw_mode_can_be_applied_again(pty: tuple[int, int]) -> None:
    _, slave = pty
    before = termios.tcgetattr(slave)
    with RawMode(slave) as mode:
        raw = termios.tcgetattr(slave)
        termios.tcsetattr(slave, termios.TCSANOW, before)
        mode.apply()
        assert termios.tcgetattr(slave) == raw


def test_raw_mode_of_what_is_no_terminal_does_nothing() -> None:
    reading, writing = os.pipe()
    with RawMode(reading) as mode:
        mode.apply()
    os.close(reading)
    os.close(writing)


def test_a_terminal_that_hung_up_needs_no_restoring() -> None:
    master, slave = os.openpty()
    with RawMode(slave):
        os.close(master)
    os.close(slave)


@pytest.mark.parametrize("depth", [0, 30], ids=["short", "longer-than-sun_path"])
def test_the_master_arrives_as_runc_sends_it(depth: int, pty: tuple[int, int], tmp_path: Path) -> None:
    master, slave = pty
    directory = tmp_path.joinpath(*["deep" * 2] * depth)
    directory.mkdir(parents=True, exist_ok=True)
    parent = os.open(directory, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"/proc/self/fd/{parent}/console.sock")
        listening.listen()
        send_master(str(directory / "console.sock"), master, "/dev/pts/7")
        connection, _ = listening.accept()
        with connection:
            payload, ancillary, _, _ = connection.recvmsg(100, socket.CMSG_SPACE(64))
            assert connection.recv(1) == b""
    os.close(parent)
    assert payload == b"/dev/pts/7"
    ((level, kind, data),) = ancillary
    assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
    (received,) = array.array("i", data)
    os.write(slave, b"x")
    assert os.read(received, 1) == b"x"
    os.close(received)


def test_nobody_listens(pty: tuple[int, int], tmp_path: Path) -> None:
    with pytest.raises(ConsoleError, match=r"^console socket '.*/none': no such file or directory$"):
        send_master(str(tmp_path / "none"), pty[0], "x")
    with pytest.raises(ConsoleError, match=r"^pidfd socket "):
        send_fd(str(tmp_path / ("n" * 200)), pty[0], "x", "pidfd socket")
