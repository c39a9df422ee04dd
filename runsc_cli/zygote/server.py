"""The zygote itself: loads everything, listens, forks. It reads nothing of what clients say, and holds nothing of any container."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import gc
import os
import pkgutil
import sys
from _socket import SO_PASSCRED, SO_PEERCRED, SOL_SOCKET
from errno import ECONNREFUSED, ENOENT
from fcntl import LOCK_EX, flock
from struct import unpack

from gofer import own_calls
from runsc_cli.errors import PyscError
from runsc_cli.spec import default_spec, parse
from runsc_cli.zygote.caller import facts, fields, identity
from runsc_cli.zygote.worker import Worker
from sentry import boot
from sentry.platform import filter_cache, own_filter, signals, wire
from sentry.platform.jsontext import dumps
from sentry.syscalls.table import NETWORKS, PROFILES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

DIRECTORY = "/run/pysc-zygote"
_BACKLOG = 1024
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
    """`command`: the client's file, by which they know each other. `facts`: of caller.facts(). `log`: where refusals go, or -1."""

    __slots__ = ("_client", "_listener", "_modules", "_where", "command", "facts", "log")

    def __init__(self, client: str, *, debug: bool) -> None:
        """Listen for those that execute the file `client`. `debug`: say on stderr whom we decline and why. Raises PyscError."""
        where = path(client)
        self.command = os.path.basename(where)
        self._client = os.path.abspath(client)
        self.facts = facts("self", fields("self"))
        self.log = os.dup(2) if debug else -1
        self._where = where
        self._modules = _modules()
        self._listener = _listen(where)

    def serve(self) -> None:
        """Until SIGTERM or SIGINT. Raises PyscError when a module has been changed."""
        for number in signals.every() - {signals.SIGKILL, signals.SIGSTOP, signals.SIGPIPE, signals.SIGXFSZ}:
            signals.handle(number, signals.SIG_DFL)  # as workers expect it
        signals.handle(signals.SIGCHLD, signals.SIG_IGN)  # workers are reaped by the kernel
        for number in (signals.SIGTERM, signals.SIGINT):
            signals.handle(number, _signal.default_int_handler)
        try:
            print(f"listening at {self._where}", file=sys.stderr, flush=True)
            while True:
                self._accept()
        except KeyboardInterrupt:
            return
        finally:
            os.unlink(self._where)

    def _accept(self) -> None:
        try:
            fd, _address = self._listener._accept()  # type: ignore[attr-defined]
        except TimeoutError:
            self._look()
            return
        conn = wire.Socket(fileno=fd)
        ready, go = os.pipe2(os.O_CLOEXEC)
        try:
            pid = os.fork()
        except OSError as error:  # too many processes: the client may have better luck alone
            print(f"fork: {error.strerror}", file=sys.stderr, flush=True)
            pid = -1
        if pid == 0:
            os.close(go)
            self._work(conn, ready)
        os.close(ready)
        conn.close()
        try:
            self._look()  # while the worker looks at its client
            os.write(go, b"0")
        except BrokenPipeError:
            return  # the worker has declined
        finally:
            os.close(go)

    def _look(self) -> None:
        """Raises PyscError when this is no longer the pysc that is there."""
        try:
            same = _modules() == self._modules and identity(os.stat(self._client)) == self.command
        except OSError:
            same = False
        if not same:
            raise PyscError("pysc was changed: start its zygote again")

    def _work(self, conn: wire.Socket, ready: int) -> NoReturn:
        try:
            os.setsid()  # the zygote's terminal, and what it sends to a process group, is not for commands
            client, _uid, _gid = unpack("iII", conn.getsockopt(SOL_SOCKET, SO_PEERCRED, 12))
            Worker(conn, client, self, ready).serve()
        finally:
            os._exit(1)


def _listen(where: str) -> wire.Socket:
    os.makedirs(DIRECTORY, 0o700, exist_ok=True)
    there = os.lstat(DIRECTORY)
    if there.st_uid != 0 or there.st_mode & 0o077:
        raise PyscError(f"{DIRECTORY} is open to others: remove it")
    listener = wire.listener()
    listener.setsockopt(SOL_SOCKET, SO_PASSCRED, 1)  # accepted ones have it, too
    listener.settimeout(_GLANCE)
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
