"""What a worker does for a client: takes over who that is, and does what its command line says."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import gc
import io
import os
import sys
from _socket import CMSG_SPACE, MSG_CMSG_CLOEXEC, SCM_CREDENTIALS, SCM_RIGHTS, SO_RCVTIMEO, SOL_SOCKET
from fcntl import F_DUPFD_CLOEXEC, F_SETFL, F_SETOWN, F_SETSIG, fcntl
from struct import Struct, pack

from runsc_cli import children
from runsc_cli.cgroups.beside import enter, fork_into
from runsc_cli.daemon import close_all_but, drop_stdio
from runsc_cli.process import exited
from runsc_cli.zygote.caller import Caller, Declined, change_settings, facts, fields, settings
from sentry.abi import PR_GET_MDWE, PR_GET_MEMORY_MERGE, PR_GET_SECUREBITS
from sentry.platform import signals, wire
from sentry.platform._native import ffi, lib
from sentry.platform.confine import where
from sentry.syscalls.numbers import NUMBERS

_AGREED = b"y"
_HELLO = Struct("<6i")
"""struct hello of the client, without the path that it was executed by."""
_UCRED = Struct("<iII")
_PATIENCE = 5
"""Seconds, as the client has."""


TYPE_CHECKING = False
if TYPE_CHECKING:
    from runsc_cli.zygote.server import Zygote


class Worker:
    """Serves the client at `conn`, whose pid is `client`, for `zygote`, who says that nothing has changed."""

    def __init__(self, conn: wire.Socket, client: int, zygote: Zygote) -> None:
        self._conn = conn
        self._client = client
        self._zygote = zygote
        self._kept = True
        """Whether another client may be served: not after one in another cgroup, where we were born again."""
        self._shown: list[bytes] = []

    def serve(self) -> bool:
        """Do what it asks for, or decline. Whether this process is as it was then, so that it can serve another one."""
        try:
            argv = self._take_over()
        except wire.Closed:
            return False  # who has only looked whether somebody is here, or had no patience
        except Exception as reason:  # whatever it is, the client can do it alone
            if self._zygote.log >= 0:
                why = str(reason) if isinstance(reason, Declined) else f"{reason!r}{where(reason)}"
                text = f"pid {self._client} has to do without the zygote: {why}\n"
                os.write(self._zygote.log, text.encode(errors="replace"))
            return False
        sys.argv = argv
        children.client = children.Client(self._conn, self._client)
        from runsc_cli.main import main

        code = main()
        sys.stderr.flush()
        self._let_go()
        kept = self._zygote.nest.over() and self._kept
        children.client.leave(code)
        return kept and self._as_before()

    def _let_go(self) -> None:
        """Hold nothing of the caller's when the command has ended."""
        signals.wakeup(-1)
        os.chdir("/")
        drop_stdio()
        sys.stdin = sys.stdout = sys.stderr = None  # what a failure has left in them goes to nobody
        gc.collect()  # what still has a descriptor closes it now, and not when its number is another's
        close_all_but(0, 1, 2, self._conn.fileno(), *self._zygote.descriptors())

    def _as_before(self) -> bool:
        """Wait until the client has gone, which has sent us signals, and look whether the command has left its marks on us."""
        children.client = children.nest = None
        self._conn.setsockopt(SOL_SOCKET, SO_RCVTIMEO, pack("ll", _PATIENCE, 0))
        try:
            if self._conn.recv(1):
                return False
        except OSError:
            return False
        self._conn.close()
        _show(self._shown)
        own_signals()
        try:
            change_settings(settings(0), self._zygote.settings)
        except (OSError, ValueError):
            return False  # that was for ever
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
            return False  # it has left somebody behind
        except ChildProcessError:
            pass
        status = fields("self")
        return status["Threads"] == "1" and status["Seccomp"] == "0" and facts("self", status) == self._zygote.facts

    def _receive(self) -> tuple[bytes, list[int]]:
        """A message that the client itself has sent, and the descriptors with it. Raises Closed, Declined, OSError when none comes."""
        data, control, _flags, _address = self._conn.recvmsg(wire.MAX_MESSAGE, CMSG_SPACE(_UCRED.size) + CMSG_SPACE(4), MSG_CMSG_CLOEXEC)
        if not data:
            raise wire.Closed
        came = {kind: raw for level, kind, raw in control if level == SOL_SOCKET}
        if _UCRED.unpack(came[SCM_CREDENTIALS])[0] != self._client:
            raise Declined("a message of another process than the one that has connected")
        return data, [fd for (fd,) in Struct("<i").iter_unpack(came.get(SCM_RIGHTS, b""))]

    def _take_over(self) -> list[str]:
        """The command line. When it is returned, the command is ours to do."""
        self._conn.setsockopt(SOL_SOCKET, SO_RCVTIMEO, pack("ll", _PATIENCE, 0))
        hello, fds = self._receive()
        (number, pidfd, *inherited), name = _HELLO.unpack_from(hello), hello[_HELLO.size :]
        (process,) = fds
        # It was alive when it sent both, so this is no other process that has its number; and while it is alive there will be none.
        if int(fields("self", f"fdinfo/{process}")["Pid"]) != self._client:
            raise Declined("a pidfd of another process")
        caller = Caller(self._client)
        caller.check(self._zygote.command)
        caller.compare(self._zygote.facts)
        if inherited != _inherited() or inherited[-1]:  # two policies of one mode can be for other nodes
            raise Declined(f"securebits, MDWE, memory merging and policy are {inherited}, the zygote's {_inherited()}")
        caller.check_environment()
        cgroups = caller.cgroups()
        _join(*cgroups)
        if not self._zygote.ready.recv(1):
            raise Declined("pysc was changed")
        numbers = caller.numbers({number, pidfd})
        above = max(numbers) + 1
        self._conn = wire.Socket(fileno=raised(self._conn.detach(), above))
        self._zygote.raise_descriptors(above)
        process = raised(process, above)
        caller.take(numbers, above, self._zygote.settings)
        children.nest = self._zygote.nest
        if any(cgroups) or caller.ignored or caller.settings != self._zygote.settings:
            children.nest.be_like(caller.settings, caller.ignored, *cgroups)
        self._kept = not any(cgroups)
        sys.stdin, sys.stdout, sys.stderr = (_stream(fd) for fd in range(3))
        self._shown = _show([name, *caller.argv[1:]])
        ours, leash = os.pidfd_open(os.getpid()), _leash()
        wire.send_fds(self._conn, _AGREED, (ours, leash))
        os.close(ours)
        os.close(leash)
        if self._receive()[0] != _AGREED:
            raise Declined("it does not agree")
        if exited([process], 0):
            raise wire.Closed
        os.close(process)
        self._conn.setsockopt(SOL_SOCKET, SO_RCVTIMEO, pack("ll", 0, 0))
        return [os.fsdecode(each) for each in (name, *caller.argv[1:])]


def raised(fd: int, above: int) -> int:
    """The same descriptor with another number, from `above` on, if it has a lower one."""
    if fd >= above:
        return fd
    higher = fcntl(fd, F_DUPFD_CLOEXEC, above)
    os.close(fd)
    return higher


def _join(unified: str, others: list[str]) -> None:
    """Go to the cgroups `others` of version 1 and be born again in `unified`; see cgroups/beside.py for why so. Raises OSError, HostError."""
    if unified and fork_into(unified):
        os._exit(0)
    enter(others)


def _inherited() -> list[int]:
    """What struct hello has of a process, and /proc has not."""
    policy = ffi.new("int *")
    lib.syscall6(NUMBERS["get_mempolicy"], int(ffi.cast("uintptr_t", policy)), 0, 0, 0, 0, 0)
    asked = (lib.prctl_(option, 0, 0, 0, 0) for option in (PR_GET_SECUREBITS, PR_GET_MDWE, PR_GET_MEMORY_MERGE))
    return [*(max(value, -1) for value in asked), policy[0]]  # -1: the kernel has no such thing


def _show(argv: list[bytes]) -> list[bytes]:
    """Have ps(1) show whose work this process does: as much as fits where the zygote's own arguments are. Returns what it has shown before."""
    with open("/proc/self/stat", "rb") as file:
        start, end = (int(field) for field in file.read().rpartition(b")")[2].split()[45:47])  # proc_pid_stat(5): arg_start, arg_end
    with open("/proc/self/mem", "r+b", 0) as memory:
        memory.seek(start)
        before = memory.read(end - start)
        memory.seek(start)
        memory.write(b"\0".join(argv)[: end - start - 1].ljust(end - start, b"\0"))
    return before.rstrip(b"\0").split(b"\0")


def own_signals() -> None:
    """What a worker finds, when it is forked or begins again: the defaults, but that its children are reaped by the kernel."""
    for number in signals.every() - {signals.SIGKILL, signals.SIGSTOP, signals.SIGPIPE, signals.SIGXFSZ}:
        signals.handle(number, signals.SIG_DFL)
    signals.handle(signals.SIGCHLD, signals.SIG_IGN)
    for number in (signals.SIGTERM, signals.SIGINT):
        signals.handle(number, _signal.default_int_handler)
    signals.unblock_all()


def _leash() -> int:
    """The end of a pipe that the client is to hold: when it is gone, however the client ended, this process gets SIGKILL: fcntl(2)."""
    ours, theirs = os.pipe2(os.O_CLOEXEC)
    fcntl(ours, F_SETOWN, os.getpid())
    fcntl(ours, F_SETSIG, signals.SIGKILL)
    fcntl(ours, F_SETFL, os.O_ASYNC)
    return theirs


def _stream(fd: int) -> io.TextIOWrapper:
    """As the interpreter makes them for stdio that is no terminal, where the character set is UTF-8."""
    raw = io.FileIO(fd, "r" if fd == 0 else "w", closefd=False)
    buffered = io.BufferedReader(raw) if fd == 0 else io.BufferedWriter(raw)
    errors = "backslashreplace" if fd == 2 else "surrogateescape"
    return io.TextIOWrapper(buffered, "utf-8", errors, line_buffering=fd == 2)
