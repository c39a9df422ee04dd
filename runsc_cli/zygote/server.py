"""The zygote itself: loads everything, listens, and forks workers. It reads nothing of what clients say, and holds nothing of any container.

A worker accepts clients by itself, one after the other.
"""

from __future__ import annotations

import gc
import os
import pkgutil
import sys
from _socket import SO_PASSCRED, SO_PEERCRED, SOL_SOCKET
from errno import ECONNREFUSED, ENOENT
from fcntl import LOCK_EX, flock
from select import POLLIN, poll
from struct import unpack
from time import sleep

from gofer import own_calls
from runsc_cli.daemon import close_all_but, name_process
from runsc_cli.errors import PyscError
from runsc_cli.spec import default_spec, parse
from runsc_cli.zygote.caller import facts, fields, identity, settings
from runsc_cli.zygote.nest import Nest
from runsc_cli.zygote.worker import Worker, own_signals, raised
from sentry import boot
from sentry.platform import confine, filter_cache, own_filter, wire
from sentry.platform.jsontext import dumps
from sentry.syscalls.table import NETWORKS, PROFILES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

DIRECTORY = "/run/pysc-zygote"
_BACKLOG = 1024
_IDLE = 2
"""Workers that stay when they have nothing to do."""
_COMMANDS = 100
"""That one worker does: nothing that they leave in its memory adds up for ever."""
_COME, _FREE, _YES = b"c", b"f", b"y"
_NAME, _WORKER = "pysc-zygote", "pysc"
"""By prctl(2); a worker has the first one while it has no client."""
_OTHER_DESCRIPTORS = 24
"""That the zygote may need beside one for each worker."""
_PAUSE = 0.1
"""Seconds, after what may fail again at once."""
_GLANCE = 5.0
"""Seconds between two looks at whether pysc is what it was, where nobody asks: after an upgrade nobody does."""
_PACKAGES = ("sentry", "gofer", "runsc_cli")
_RARE = (
    *("runsc_cli.cli", "runsc_cli.command", "runsc_cli.suite"),
    *("runsc_cli.cgroups.bus", "runsc_cli.cgroups.systemd", "sentry.platform._native_build"),
)
"""What needs third-party modules, or is no hot verb's."""


def path(command: str) -> str:
    """Of the socket for this installation: named by the client's file, which the client looks at as well. Raises PyscError."""
    try:
        with open(command, "rb") as file:
            made = file.read(4) == b"\x7fELF"
            found = os.fstat(file.fileno())
    except OSError:
        made = False
    if not made:
        raise PyscError(f"{command} asks no zygote: `{sys.executable} -Im runsc_cli.command` writes one that does")
    return f"{DIRECTORY}/{identity(found)}"


def load() -> None:
    """Import all that a worker may need, and make what depends on no container."""
    for package in _PACKAGES:
        for module in pkgutil.walk_packages(__import__(package).__path__, f"{package}."):
            if not module.name.startswith(_RARE):
                __import__(module.name)
    for profile in PROFILES:
        for network in NETWORKS:
            boot.prepare(profile, network)
            filter_cache.prepare(profile, network)
    own_filter.prepare(own_calls.CALLS)
    parse(dumps(default_spec()).encode(), trusted=False)
    gc.collect()
    gc.freeze()


class Zygote:
    """The process that listens, and in each worker what that has of it.

    `command`: the client's file, by which they know each other. `facts`, `settings`: by caller.py. `log`: where refusals go, or -1. A worker
    has `ready`, by which it says when a client has come, and a byte comes back when nothing was changed, or when it is free, and the listener
    comes back if it may stay; and `nest`.
    """

    nest: Nest
    ready: wire.Socket

    def __init__(self, client: str, *, debug: bool) -> None:
        """Listen for those that execute the file `client`. `debug`: say on stderr whom we decline and why. Raises PyscError."""
        self._where = path(client)
        self.command = os.path.basename(self._where)
        self._client = os.path.abspath(client)
        self.facts = facts("self", fields("self"))
        self.settings = settings(0)
        self.log = os.dup(2) if debug else -1
        self._modules = _modules()
        self._listener = _listen(self._where)
        self._workers: dict[wire.Socket, bool] = {}
        """The other end of `ready` of each, and whether it has a client."""
        self._most = self.settings["RLIMIT_NOFILE"][0] - _OTHER_DESCRIPTORS

    def serve(self) -> None:
        """Until SIGTERM or SIGINT. Raises PyscError when a module has been changed."""
        own_signals()
        os.chdir("/")
        name_process(_NAME)
        try:
            print(f"listening at {self._where}", file=sys.stderr, flush=True)
            while True:
                self._turn()
        except KeyboardInterrupt:
            return
        finally:
            os.unlink(self._where)

    def _turn(self) -> None:
        """See to it that a worker waits for a client, and hear what they say. Raises PyscError."""
        alone = all(self._workers.values()) and not self._fork()
        heard = _ready(_GLANCE, [*self._workers, *([self._listener] if alone else [])])
        if not heard:
            self._look()
        for sock in heard:
            if sock is self._listener:
                self._send_away()
            else:
                self._hear(sock)

    def _send_away(self) -> None:
        """A client, which may have better luck without us."""
        try:
            self._accept().close()
        except BlockingIOError:
            return  # a worker has become free, and was faster
        except OSError as error:
            print(f"accept: {error.strerror}", file=sys.stderr, flush=True)
            sleep(_PAUSE)

    def _fork(self) -> bool:
        """A worker, unless there are too many of them, or of processes."""
        if len(self._workers) >= self._most:
            return False
        ours, theirs = wire.pair()
        try:
            pid = os.fork()
        except OSError as error:
            print(f"fork: {error.strerror}", file=sys.stderr, flush=True)
            ours.close()
            theirs.close()
            return False
        if pid == 0:
            ours.close()
            self.ready = theirs
            self._work()
        theirs.close()
        self._workers[ours] = False
        return True

    def _hear(self, worker: wire.Socket) -> None:
        """It has a client, to be told that pysc was not changed, which else raises PyscError; or would wait for another; or has ended."""
        try:
            said = worker.recv(1)
            if said == _COME:
                self._workers[worker] = True
                self._look()  # while the worker looks at its client
                wire.send_fds(worker, _YES)
            elif said == _FREE and list(self._workers.values()).count(False) < _IDLE:
                self._workers[worker] = False
                wire.send_fds(worker, _YES, [self._listener.fileno()])
            else:
                waited = not self._workers.pop(worker)
                worker.close()
                if waited:  # the next one may do the same
                    print("a worker has ended that waited for a client", file=sys.stderr, flush=True)
                    sleep(_PAUSE)
        except (wire.Closed, ConnectionResetError):
            return  # it has declined, and the end is still to be read

    def _look(self) -> None:
        """Raises PyscError when this is no longer the pysc that is there."""
        try:
            same = _modules() == self._modules and identity(os.stat(self._client)) == self.command
        except OSError:
            same = False
        if not same:
            raise PyscError("pysc was changed: start its zygote again")

    def _accept(self) -> wire.Socket:
        fd, _address = self._listener._accept()  # type: ignore[attr-defined]
        return wire.Socket(fileno=fd)

    def _work(self) -> NoReturn:
        """The worker: one client after the other, while it is what it was."""
        try:
            os.setsid()  # the zygote's terminal, and what it sends to a process group, is not for commands
            self._workers.clear()
            self.nest = Nest()
            close_all_but(0, 1, 2, self._listener.fileno(), *self.descriptors())
            gc.disable()
            commands = 0
            while self._serve_one():
                commands += 1
                if commands == _COMMANDS or not self._may_stay():
                    break
        except Exception as error:
            if self.log >= 0:
                os.write(self.log, f"worker: {error!r}{confine.where(error)}\n".encode(errors="replace"))
        finally:
            os._exit(1)

    def _may_stay(self) -> bool:
        """Whether the zygote has a use for us; then we listen again."""
        self.ready.send(_FREE)
        try:
            _yes, (listener,) = wire.recv_fds(self.ready)
        except wire.Closed:
            return False
        self._listener = wire.Socket(fileno=listener)
        return True

    def _serve_one(self) -> bool:
        """Wait for a client and serve it. Whether there can be another one; so not when the zygote or the nest has ended."""
        while True:
            heard = _ready(_GLANCE, [self._listener, self.ready, self.nest.sock])
            if self.ready in heard or self.nest.sock in heard:
                return False
            if heard:
                try:
                    conn = self._accept()
                    break
                except BlockingIOError:
                    continue  # another one was faster
        self._listener.close()  # should the zygote be killed, its clients are to find that nobody listens
        self.ready.send(_COME)
        name_process(_WORKER)
        client, _uid, _gid = unpack("iII", conn.getsockopt(SOL_SOCKET, SO_PEERCRED, 12))
        fit = Worker(conn, client, self).serve()
        name_process(_NAME)
        return fit

    def descriptors(self) -> list[int]:
        """What a worker has beside those of its caller."""
        return [self.ready.fileno(), self.nest.sock.fileno(), *([self.log] if self.log >= 0 else [])]

    def raise_descriptors(self, above: int) -> None:
        """Give them numbers from `above` on."""
        self.ready, self.nest.sock = (wire.Socket(fileno=raised(sock.detach(), above)) for sock in (self.ready, self.nest.sock))
        self.log = raised(self.log, above) if self.log >= 0 else -1


def _ready(timeout: float, socks: list[wire.Socket]) -> list[wire.Socket]:
    """Those of which something can be received or accepted, or whose other end is gone, now or within `timeout` seconds."""
    waiting = poll()
    by_number = {sock.fileno(): sock for sock in socks}
    for fd in by_number:
        waiting.register(fd, POLLIN)
    return [by_number[fd] for fd, _event in waiting.poll(timeout * 1000)]


def _listen(where: str) -> wire.Socket:
    os.makedirs(DIRECTORY, 0o700, exist_ok=True)
    there = os.lstat(DIRECTORY)
    if there.st_uid != 0 or there.st_mode & 0o077:
        raise PyscError(f"{DIRECTORY} is open to others: remove it")
    listener = wire.listener()
    listener.setsockopt(SOL_SOCKET, SO_PASSCRED, 1)  # accepted ones have it, too
    listener.setblocking(False)
    new = f"{where}.new"
    directory = os.open(DIRECTORY, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    flock(directory, LOCK_EX)  # of two that start, the second one finds the first
    try:
        if listens(where):
            raise PyscError("there is a zygote already")
        if os.path.exists(new):
            os.unlink(new)
        listener.bind(new)
        listener.listen(_BACKLOG)
        os.rename(new, where)
    finally:
        os.close(directory)
    return listener


def listens(where: str) -> bool:
    """Whether there is a zygote. Raises OSError."""
    probe = wire.listener()
    try:
        probe.connect(where)
    except OSError as error:
        if error.errno not in (ECONNREFUSED, ENOENT):
            raise
        return False
    finally:
        probe.close()
    return True


def _modules() -> list[tuple[str, int, int]]:
    """What was loaded, and when it was written: who changes pysc does not want to run what it was."""
    ours = [module for name, module in sys.modules.items() if name.partition(".")[0] in _PACKAGES]
    files = [file for module in ours if (file := getattr(module, "__file__", None))]
    return [(file, found.st_mtime_ns, found.st_ino) for file in files if (found := os.stat(file))]
