"""The processes that are to be children of the command: the stages, for whose end whoever started the command may wait.

That is who calls us, unless a zygote's worker does a command's work: then it is the client (runsc_cli/zygote/client.c), which
is asked. Its requests and answers are struct request and struct answer there.
"""

from __future__ import annotations

import os
from struct import Struct
from time import sleep

from runsc_cli.process import exited
from sentry.platform import signals, wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runsc_cli.zygote.nest import Nest

_SPAWN, _WAIT, _EXIT = 1, 2, 3
_OWN_STDIO, _DEFAULT_SIGNALS = 1, 2
_REQUEST, _ANSWER = Struct("<iiii"), Struct("<iii")
_ANY = -1
_RETRY = 0.001

_PYTHON_IGNORES = (signals.SIGPIPE, signals.SIGXFSZ)
"""An ignored signal stays ignored across execve(2), and a workload expects the default."""


class Client:
    """The command's own process `pid`, at the other end of `sock`; one thread asks."""

    __slots__ = ("_asked", "_sock", "pid")

    def __init__(self, sock: wire.Socket, pid: int) -> None:
        self._sock = sock
        self.pid = pid
        self._asked = 0

    def ask(self, operation: int, a: int, b: int = 0, fds: Sequence[int] = ()) -> tuple[int, int]:
        """Result and wait status. Raises OSError; without a client this process is killed."""
        self._asked += 1
        wire.send_fds(self._sock, _REQUEST.pack(self._asked, operation, a, b), fds)
        number = 0
        while number != self._asked:  # what an interrupted call (KeyboardInterrupt) has not waited for comes first
            number, result, status = _ANSWER.unpack(self._sock.recv(_ANSWER.size))
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        return result, status

    def leave(self, code: int) -> None:
        """The command ends with exit code `code`."""
        wire.send_fds(self._sock, _REQUEST.pack(0, _EXIT, code, 0))


client: Client | None = None
nest: Nest | None = None
"""Where processes of ours are forked that a workload may attack, if it is not from this one."""


def command() -> int:
    """The pid of the process whose end is the command's: this one, unless it is a worker, which may do others after it."""
    return os.getpid() if client is None else client.pid


def spawn(exe: int, sock: int, number: int, stdio: Sequence[int], *, ignoring: bool) -> int:
    """Start the stage, the program of descriptor `exe`, which is above `number`; returns its pid. Raises OSError.

    It gets `stdio`, the caller's descriptors from 3 up to `number`, and `sock` as that. `ignoring`: as in Stage.
    """
    if client is not None:
        own = tuple(stdio) != (0, 1, 2)
        flags = (_OWN_STDIO if own else 0) | (0 if ignoring else _DEFAULT_SIGNALS)
        return client.ask(_SPAWN, number, flags, (exe, sock, *(stdio if own else ())))[0]
    actions = [(os.POSIX_SPAWN_DUP2, fd, i) for i, fd in enumerate(stdio) if fd != i]
    actions.append((os.POSIX_SPAWN_DUP2, sock, number))
    default = _PYTHON_IGNORES if ignoring else signals.every()
    return os.posix_spawn(f"/proc/self/fd/{exe}", ["pysc-init", str(number)], {}, file_actions=actions, setsigdef=default)


def wait(pid: int) -> int:
    """waitpid(2) for a child of this process, or one that spawn() or its program has made: its wait status. Raises ChildProcessError."""
    try:
        return os.waitpid(pid, 0)[1]
    except ChildProcessError:
        if client is None:
            raise
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        raise ChildProcessError(pid) from None
    try:
        exited([pidfd], None)
    finally:
        os.close(pidfd)
    while True:
        found, status = client.ask(_WAIT, pid)
        if found:
            return status
        sleep(_RETRY)  # a tracer has not let go of it yet


def reap() -> tuple[int, int]:
    """Any child that has ended: its pid and wait status, or 0 and 0 while none has. Raises ChildProcessError when there is none left."""
    if client is None:
        return os.waitpid(_ANY, os.WNOHANG)
    try:
        ended = os.waitpid(_ANY, os.WNOHANG)
        if ended[0]:
            return ended
    except ChildProcessError:
        pass
    return client.ask(_WAIT, _ANY)
