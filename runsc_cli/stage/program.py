"""Programs of raw system calls for the stage, and the process that executes them.

See stage.c for the why and for the format. A program is a list of calls whose arguments are numbers, data, the results
of earlier calls or descriptors sent along:

    p = Program()
    fd = p.call("openat", AT_FDCWD, b"/dev/null", os.O_RDWR, 0)
    p.call("dup3", fd, 0, 0)
    stage.run(p)
"""

from __future__ import annotations

import errno
import os
import struct
from _socket import MSG_DONTWAIT

from runsc_cli import children
from sentry.platform._native import lib
from sentry.platform.wire import Closed, Socket, pair, send_fds
from sentry.syscalls.numbers import NUMBERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    Argument: TypeAlias = "int | bytes | Result | Passed | FilterProgram | ErrorText | list[bytes]"

_MAY_FAIL, _FORK, _ANSWER, _INIT = 1, 2, 4, 8
_VALUE, _BLOB, _RESULT, _FD, _VECTOR, _FPROG, _ERROR, _ERROR_LEN = range(8)
_MAX_OPS = 1024
_ANSWER_SIZE = 8 + 8 * _MAX_OPS
_ERRORS, _TEXT = 134, 63  # EHWPOISON, 133, is the last that Linux has
_OP = struct.Struct("<HHI6Q")
_HEAD = struct.Struct("<II")
_U64 = (1 << 64) - 1

_SIGKILL = 9

BINARY = os.path.join(os.path.dirname(__file__), "stage")


class Result:
    """Argument: what call number `index` of this program returned."""

    __slots__ = ("index",)

    def __init__(self, index: int) -> None:
        self.index = index


class Passed:
    """Argument: a descriptor of ours, sent along with the program."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd


class FilterProgram:
    """Argument: a struct sock_fprog for the filter `bpf` (an array of struct sock_filter)."""

    __slots__ = ("bpf",)

    def __init__(self, bpf: bytes) -> None:
        self.bpf = bpf


class ErrorText:
    """Argument: the text of the errno with which the call of `result` failed and a newline, or with `length` how long that is."""

    __slots__ = ("length", "result")

    def __init__(self, result: Result, *, length: bool = False) -> None:
        self.result = result
        self.length = length

    @staticmethod
    def table() -> bytes:
        """struct text[], by errno."""
        texts = [f"{os.strerror(error).lower()}\n".encode()[-_TEXT:] for error in range(_ERRORS)]
        return b"".join(bytes((len(text),)) + text.ljust(_TEXT, b"\0") for text in texts)


class StageError(Exception):
    """A call of a program failed: `errno`, and `what` it was for."""

    def __init__(self, what: str, error: int) -> None:
        super().__init__(f"{what}: {os.strerror(error).lower()}")
        self.what = what
        self.errno = error


class StageEnded(StageError):
    """The stage has ended with wait status `status`, before its time and without a word."""

    def __init__(self, status: int) -> None:
        number = status & 0x7F
        how = f"was killed by signal {number}" if number else f"ended with exit code {status >> 8}"
        hint = ": the memory limit may be too low" if number == 9 else ""
        Exception.__init__(self, f"the container's first process {how}{hint}")
        self.what = how
        self.errno = errno.ESRCH


class Program:
    """An array of system calls, built in order."""

    __slots__ = ("_blob", "_fds", "_ops", "_what")

    def __init__(self) -> None:
        self._ops: list[tuple[int, int, Sequence[Argument]]] = []
        self._what: list[str] = []
        self._blob = bytearray()
        self._fds: list[int] = []

    def call(
        self,
        name: str,
        *args: Argument,
        what: str = "",
        may_fail: bool = False,
        fork: bool = False,
        answer: bool = False,
        init: bool = False,
    ) -> Result:
        """Append a call. `what` names it in errors. `answer`: report, then wait.

        `fork`: the parent ends, the child goes on. `init`: the child goes on, the parent looks after it and ends when it ends.
        """
        flags = (_MAY_FAIL if may_fail else 0) | (_FORK if fork else 0) | (_ANSWER if answer else 0) | (_INIT if init else 0)
        self._ops.append((NUMBERS[name], flags, args))
        self._what.append(what or name)
        return Result(len(self._ops) - 1)

    def __bool__(self) -> bool:
        return bool(self._ops)

    def describe(self, index: int) -> str:
        return self._what[index]

    def encode(self, fd_base: int) -> tuple[bytes, list[int]]:
        """The bytes of the program, and the descriptors to send; `fd_base` is how many the stage has already."""
        if len(self._ops) > _MAX_OPS:
            raise StageError(f"{len(self._ops)} steps where {_MAX_OPS} is the most", errno.E2BIG)
        data_at = _HEAD.size + _OP.size * len(self._ops)
        data = bytearray()
        fds: list[int] = []
        out = bytearray()
        texts = 0

        def place(raw: bytes) -> int:
            data.extend(b"\0" * (-len(data) % 8))
            offset = data_at + len(data)
            data.extend(raw + b"\0")
            return offset

        for nr, flags, args in self._ops:
            kinds = 0
            values = [0] * 6
            for i, arg in enumerate(args):
                if isinstance(arg, int):
                    kind, values[i] = _VALUE, arg & _U64
                elif isinstance(arg, bytes):
                    kind, values[i] = _BLOB, place(arg)
                elif isinstance(arg, Result):
                    kind, values[i] = _RESULT, arg.index
                elif isinstance(arg, Passed):
                    kind, values[i] = _FD, fd_base + len(fds)
                    fds.append(arg.fd)
                elif isinstance(arg, FilterProgram):
                    where = place(arg.bpf)
                    kind, values[i] = _FPROG, place(struct.pack("<H6xQ", len(arg.bpf) // 8, where))
                elif isinstance(arg, ErrorText):
                    texts = texts or place(arg.table())
                    kind, values[i] = _ERROR_LEN if arg.length else _ERROR, arg.result.index << 32 | texts
                else:
                    offsets = [place(item) for item in arg]
                    kind, values[i] = _VECTOR, place(struct.pack(f"<{len(offsets) + 1}Q", *offsets, _U64))
                kinds |= kind << (4 * i)
            out += _OP.pack(nr, flags, kinds, *values)
        return _HEAD.pack(len(self._ops), data_at + len(data)) + bytes(out) + bytes(data), fds


class Stage:
    """A running stage. `pid` is a child of ours; after a forking program it is the new process; 0 when it has ended.

    It holds stdio, the `preserve_fds` descriptors that follow, as we were given them, and the socket.
    """

    __slots__ = ("_fds_sent", "_program", "number", "pid", "socket")

    def __init__(self, stdio: Sequence[int] = (0, 1, 2), preserve_fds: int = 0, *, ignoring: bool = False) -> None:
        """`ignoring`: it ignores the signals that the caller ignores (nohup(1)), as a command of a shell's does; else none is ignored."""
        number = self.number = 3 + preserve_fds
        """Of its end of the socket. What is above it comes from us."""
        ours, theirs = pair()
        exe = _sealed_copy(above=number)
        try:
            self.pid = children.spawn(exe, theirs.fileno(), number, stdio, ignoring=ignoring)
        finally:
            os.close(exe)
            theirs.close()
        self.socket: Socket = ours
        self._fds_sent = 0
        self._program: Program | None = None

    def send(self, program: Program) -> None:
        """Send a program without waiting for its answer. Raises StageError."""
        raw, fds = program.encode(self._fds_sent)
        memfd = os.memfd_create("program", os.MFD_CLOEXEC)
        try:
            os.write(memfd, raw)
            send_fds(self.socket, struct.pack("<Q", len(raw)), [memfd, *fds])
        except Closed:
            raise StageEnded(self._reap()) from None
        finally:
            os.close(memfd)
        self._fds_sent += len(fds)
        self._program = program

    def answer(self, flags: int = 0) -> list[int]:
        """The results of the program sent last (up to where it stopped to answer). `flags` are recv(2)'s. Raises StageError."""
        try:
            raw = self.socket.recv(_ANSWER_SIZE, flags)
        except ConnectionResetError:  # it ended without having read all of what we sent
            raw = b""
        if len(raw) < 8:
            raise StageEnded(self._reap())
        failed, error = struct.unpack_from("<ii", raw)
        if failed >= 0 and self._program is not None:
            raise StageError(self._program.describe(failed), error)
        return list(struct.unpack_from(f"<{(len(raw) - 8) // 8}q", raw, 8))

    def run(self, program: Program) -> list[int]:
        """Send and wait for the answer."""
        self.send(program)
        return self.answer()

    def fork(self, program: Program, clone: Result, meanwhile: Callable[[], object] | None = None) -> list[int]:
        """Run a program that forks at `clone`; from then on this is the child, whose results are returned.

        `meanwhile` is called while the stage works.
        """
        self.send(program)
        if meanwhile is not None:
            meanwhile()
        first = self.answer()
        if first[clone.index]:
            parent, child = first, self.answer()
            children.wait(self.pid)
        else:
            # The parent ends with its answer. Without one it was killed just then: do not wait for it, nor the child for us.
            status = children.wait(self.pid)
            try:
                parent, child = self.answer(MSG_DONTWAIT), first
            except BlockingIOError:
                self.pid = 0
                self.socket.close()
                raise StageEnded(status) from None
        self.pid = parent[clone.index]
        return child

    def executed(self) -> None:
        """Wait until the last call, execve(2), has happened: it closes the socket. Raises StageError when it failed."""
        raw = self.socket.recv(_ANSWER_SIZE)
        if raw and self._program is not None:
            failed, error = struct.unpack_from("<ii", raw)
            raise StageError(self._program.describe(failed), error)

    def end(self) -> None:
        """Kill it, if it has not been found ended."""
        if self.pid > 0:
            try:
                os.kill(self.pid, _SIGKILL)
            except ProcessLookupError:
                pass
            self._reap()

    def _reap(self) -> int:
        """Wait until it has ended; its wait status. From then on its number may be another process's: forget it."""
        pid, self.pid = self.pid, 0
        try:
            return children.wait(pid) if pid > 0 else 0
        except ChildProcessError:
            return 0

    def proceed(self) -> None:
        """Let a program go on that has stopped to answer."""
        self.socket.send(b"g")

    def take_fd(self, number: int) -> int:
        """A duplicate of the stage's descriptor `number`. Raises OSError."""
        fd = lib.get_fd(self.pid, number)
        if fd < 0:
            raise OSError(-fd, "descriptor of the stage")
        return int(fd)


def _sealed_copy(above: int) -> int:
    """The stage's program in a sealed memfd with a number `above` that: nobody can write to what a container may open as /proc/PID/exe."""
    from fcntl import F_ADD_SEALS, F_DUPFD_CLOEXEC, F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_WRITE, fcntl

    with open(BINARY, "rb") as f:
        code = f.read()
    fd = os.memfd_create("pysc-init", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, code)
    fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
    if fd > above:
        return fd
    higher = fcntl(fd, F_DUPFD_CLOEXEC, above + 1)
    os.close(fd)
    return higher

