"""Terminals: the caller's in raw mode, its size, and runc's protocol for handing a pty's master to an engine.

termios(3), ioctl_tty(2), pty(7). The pty itself is made inside the container, in its own devpts.
"""

from __future__ import annotations

import os
import termios
from fcntl import ioctl
from struct import Struct

from runsc_cli.errors import ConsoleError, strerror

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_WINSIZE = Struct("HHHH")  # rows, columns, and two that nobody fills in
_SUN_PATH = 108  # sizeof sockaddr_un.sun_path, unix(7), with the NUL


def window_size(fd: int) -> tuple[int, int] | None:
    """Rows and columns of a terminal; None when `fd` is none."""
    try:
        rows, columns, _, _ = _WINSIZE.unpack(ioctl(fd, termios.TIOCGWINSZ, bytes(_WINSIZE.size)))
    except OSError:
        return None
    return rows, columns


def set_window_size(fd: int, rows: int, columns: int) -> None:
    """The kernel sends SIGWINCH to the terminal's foreground process group when this changes its size."""
    ioctl(fd, termios.TIOCSWINSZ, _WINSIZE.pack(rows, columns, 0, 0))


def callers_window_size() -> tuple[int, int] | None:
    """Rows and columns of the caller's terminal, whichever of stdin, stdout and stderr is one."""
    for fd in (0, 1, 2):
        size = window_size(fd)
        if size is not None:
            return size
    return None


def copy_window_size(master: int) -> bool:
    """Give the pty the size of the caller's terminal, if that has one."""
    size = callers_window_size()
    if size is None:
        return False
    set_window_size(master, *size)
    return True


class RawMode:
    """The caller's terminal handed to the container: `with RawMode(0): ...`. Nothing when `fd` is no terminal.

    All processing is off (cfmakeraw(3)), output too: the container's own line discipline does it.
    """

    __slots__ = ("_before", "fd")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._before: list[int | list[bytes | int]] | None = None

    def __enter__(self) -> Self:
        if os.isatty(self.fd):
            self._before = termios.tcgetattr(self.fd)
            self.apply()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        if self._before is None:
            return
        try:
            # Wait until what the container wrote last is out; the caller's typing ahead is kept.
            termios.tcsetattr(self.fd, termios.TCSADRAIN, self._before)
        except termios.error:
            return  # it hung up: there is nothing left to restore

    def apply(self) -> None:
        """Again after a stop: the shell has given the terminal its own modes meanwhile."""
        if self._before is None:
            return
        iflag, oflag, cflag, lflag, ispeed, ospeed, cc = self._before
        raw = [
            _without(
                iflag,
                termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP
                | termios.INLCR | termios.IGNCR | termios.ICRNL | termios.IXON,
            ),
            _without(oflag, termios.OPOST),
            _without(cflag, termios.CSIZE | termios.PARENB) | termios.CS8,
            _without(lflag, termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN),
            ispeed,
            ospeed,
            _one_byte_reads(cc),
        ]  # fmt: skip
        termios.tcsetattr(self.fd, termios.TCSANOW, raw)


def _without(flags: int | list[bytes | int], these: int) -> int:
    if not isinstance(flags, int):
        raise TypeError("termios flags are a number")
    return flags & ~these


def _one_byte_reads(cc: int | list[bytes | int]) -> list[bytes | int]:
    if isinstance(cc, int):
        raise TypeError("termios control characters are a list")
    cc = list(cc)
    cc[termios.VMIN], cc[termios.VTIME] = 1, 0
    return cc


def send_master(path: str, master: int, name: str) -> None:
    """Hand the master of a terminal to whoever listens on --console-socket.

    runc's protocol: connect, one sendmsg(2) whose payload is the terminal's name and whose SCM_RIGHTS is the
    master, close. (The JSON messages of the runtime-tools are not what engines speak.)
    """
    send_fd(path, master, name, "console socket")


def send_pidfd(path: str, pid: int, kind: str) -> None:
    """Hand a pidfd of `pid`, a child of ours, to whoever listens on --pidfd-socket: "standard" is an init, "setns" a process of exec."""
    pidfd = os.pidfd_open(pid)
    try:
        send_fd(path, pidfd, kind, "pidfd socket")
    finally:
        os.close(pidfd)


def send_fd(path: str, fd: int, payload: str, what: str) -> None:
    """Send a descriptor to a unix stream socket."""
    from _socket import AF_UNIX, SCM_RIGHTS, SOCK_CLOEXEC, SOCK_STREAM, SOL_SOCKET, socket

    parent = -1
    sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)
    try:
        address = path
        if len(os.fsencode(path)) >= _SUN_PATH:
            parent = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            address = f"/proc/self/fd/{parent}/{os.path.basename(path)}"
        sock.connect(address)
        rights = (SOL_SOCKET, SCM_RIGHTS, fd.to_bytes(4, "little"))
        sock.sendmsg([os.fsencode(payload)], [rights])
    except OSError as error:
        raise ConsoleError(f"{what} {path!r}: {strerror(error)}") from None
    finally:
        sock.close()
        if parent != -1:
            os.close(parent)
