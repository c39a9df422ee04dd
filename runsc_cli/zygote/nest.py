"""Where sentries, gofers and who shows a trace are born for a worker: a process forked from the zygote that has touched nothing since.

A worker serves one command after another, and has read the config of each. What is forked from it would have those in its memory, and
would have to copy each page that either of the two writes. So it does not fork: it asks this process, whose memory is the zygote's.
"""

from __future__ import annotations

import os
from _pickle import dumps, loads
from _signal import SIG_BLOCK, SIG_UNBLOCK, pthread_sigmask  # type: ignore[import-not-found]
from errno import EAGAIN, EPIPE
from fcntl import F_DUPFD_CLOEXEC, fcntl
from resource import RLIMIT_NOFILE, getrlimit, setrlimit
from struct import Struct

from runsc_cli.cgroups.beside import enter, fork_into_open, fork_sibling
from runsc_cli.daemon import close_all_but, daemon, drop_stdio, name_process
from runsc_cli.errors import HostError
from runsc_cli.zygote.caller import change_settings, settings
from sentry.platform import signals, wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    from runsc_cli.zygote.caller import Settings

_ASKED, _ANSWER = Struct("<ii"), Struct("<i")
"""How many descriptors there are, and whether the last one is a cgroup; the first one holds the request. A pid or a negative errno."""
_DESCRIPTORS, _OVER = b"d", b"o"
_NAME = "pysc-nest"


class Nest:
    """The worker's end."""

    __slots__ = ("_in_step", "_like", "_unified", "sock")

    def __init__(self) -> None:
        """Fork it, from a process that has done nothing yet, and has no children by it. Raises OSError."""
        self._like: tuple[Settings, set[int], list[str]] | None = None
        self._unified = ""
        self._in_step = True
        self.sock, theirs = wire.pair()
        if fork_sibling() == 0:
            try:
                name_process(_NAME)
                drop_stdio()
                close_all_but(0, 1, 2, theirs.fileno())
                _serve(theirs)
            finally:
                os._exit(1)
        theirs.close()

    def be_like(self, theirs: Settings, ignored: set[int], unified: str, others: list[str]) -> None:
        """Who is started for this command has these settings, signals that it ignores, and cgroups where they are not ours.

        Those are directories: of version 2, empty if it is ours, and of version 1.
        """
        self._like = theirs, ignored, others
        self._unified = unified

    def start(self, name: str, keep: list[int], directory: str, work: Callable[..., None], *args: Any) -> int:
        """As daemon(): `work` is called with `args`, in the cgroup `directory` of version 2 if that is not empty. Raises HostError.

        `keep` has the numbers there that it has here. Until over() the pid that is returned is no other process's. Where this fails half way,
        an answer may still come, and nothing more be asked.
        """
        directory = directory or self._unified
        request, cgroup = os.memfd_create("request", os.MFD_CLOEXEC), -1
        try:
            os.write(request, dumps((name, keep, self._like, work, args), -1))
            fds = [request, *keep]
            if directory:
                cgroup = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                fds.append(cgroup)
            self._in_step = False
            wire.send_fds(self.sock, _ASKED.pack(len(fds), cgroup >= 0))
            for at in range(0, len(fds), wire.MAX_FDS):
                wire.send_fds(self.sock, _DESCRIPTORS, fds[at : at + wire.MAX_FDS])
            answer = self.sock.recv(_ANSWER.size)
            if not answer:
                raise wire.Closed
            (pid,) = _ANSWER.unpack(answer)
            self._in_step = True
            if pid < 0:
                raise OSError(-pid, os.strerror(-pid))
        except wire.Closed:
            raise HostError("ask", _NAME, BrokenPipeError(EPIPE, os.strerror(EPIPE))) from None
        except OSError as error:
            raise HostError("fork", directory or name, error) from None
        finally:
            for fd in (request, cgroup):
                if fd >= 0:
                    os.close(fd)
        return int(pid)

    def over(self) -> bool:
        """The command has ended: whoever was started for it is reaped as soon as it ends, too. Whether the next command can have this nest."""
        self._like, self._unified = None, ""
        try:
            if self._in_step:
                wire.send_fds(self.sock, _OVER)
        except wire.Closed:
            return False
        return self._in_step


def _serve(sock: wire.Socket) -> NoReturn:
    """Until the worker has gone. No child is reaped before its command is over: its number could be another process's by then."""
    chld = {signals.SIGCHLD}
    signals.handle(signals.SIGCHLD, lambda _signal, _frame: _reap())
    try:
        while True:
            data, fds = wire.recv_fds(sock)
            if data == _OVER:
                pthread_sigmask(SIG_UNBLOCK, chld)
                continue
            pthread_sigmask(SIG_BLOCK, chld)
            count, placed = _ASKED.unpack(data)
            while len(fds) < count:
                fds += wire.recv_fds(sock)[1]
            sock.send(_ANSWER.pack(_fork(fds, fds[-1] if placed else -1)))
            for fd in fds:
                os.close(fd)
    except wire.Closed:
        _reap()  # else they would be somebody else's to reap
        os._exit(0)


def _fork(fds: list[int], cgroup: int) -> int:
    """A pid or a negative errno. What the request says is read by the child alone: the next one is to find nothing of it in its memory."""
    try:
        pid = fork_into_open(cgroup) if cgroup >= 0 else os.fork()
    except OSError as error:
        return -(error.errno or EAGAIN)
    if pid == 0:
        _be_born(*fds)
    return pid


def _be_born(request: int, *fds: int) -> NoReturn:
    with open(request, "rb", closefd=False) as file:
        file.seek(0)
        name, numbers, like, work, args = loads(file.read())
    given = list(fds[: len(numbers)])

    def begin() -> None:
        _place(given, numbers)
        if like is not None:
            _be_like(*like)
        work(*args)

    daemon(name, given, begin, lambda: 0)
    os._exit(1)  # it does not return


def _place(fds: list[int], numbers: list[int]) -> None:
    """Give `fds`, all that is open but stdio, these numbers, which a client with other limits may have."""
    soft, hard = getrlimit(RLIMIT_NOFILE)
    setrlimit(RLIMIT_NOFILE, (hard, hard))
    above = max((*fds, *numbers, 2)) + 1
    copies = [fcntl(fd, F_DUPFD_CLOEXEC, above) for fd in fds]
    for fd in fds:
        os.close(fd)
    for copy, number in zip(copies, numbers, strict=True):
        os.dup2(copy, number, inheritable=False)
        os.close(copy)
    setrlimit(RLIMIT_NOFILE, (soft, hard))


def _be_like(theirs: Settings, ignored: set[int], cgroups: list[str]) -> None:
    enter(cgroups)
    change_settings(settings(0), theirs)
    for number in ignored:
        signals.handle(number, signals.SIG_IGN)


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return
