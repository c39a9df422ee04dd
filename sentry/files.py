"""--directfs=false: a container's calls are handled by two processes, and the one that receives them holds no file.

    caller ── notification ──► sentry ── struct notif ──► file server ── ADDFD, SEND ──► caller
                                 │   (a socket for each listener)
                                 └── sockets, and what is refused: answered here

The **file server** is the sentry as it is without the option (sentry/boot.py): handlers, resolver, procfs, held replies. But its calls
come by a socket from the process beside it, and its filter lacks the ioctl that receives notifications. It answers the caller itself, so
a descriptor goes from there into the caller's table and is never the sentry's, and nothing waits in the sentry for a held call.

The **sentry** has an empty mount namespace, no procfs, no descriptor of a directory, and no system call in its filter that takes a name.
It handles sockets and refuses what is refused. What it must know of a caller (ids, capabilities, pending signals) it asks the other.

Requests between the two are made by the sentry alone, one at a time: so neither can wait for the other in a circle. If one dies, the
other kills the container.
"""

from __future__ import annotations

import errno
import os

from sentry.abi import AT_FDCWD, CLONE_NEWNS, MOVE_MOUNT_F_EMPTY_PATH, MS_PRIVATE, MS_REC, UMOUNT_MNT_DETACH
from sentry.creds import CredentialCache, Credentials
from sentry.platform import wire
from sentry.platform._native import ffi, lib
from sentry.platform.threads import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

_SENTRY_HAS = ("user", "empty", "init", "gofer_pid", "control", "log", "trace")
_SENTRY_ALONE_HAS = frozenset(("control", "gofer_pid"))
"""Of the descriptors that a sentry is given at its start."""

_GROUPS = ffi.offsetof("struct creds", "groups")


def boot_both(sentry: wire.Socket, files: wire.Socket, message: dict[str, Any], given: dict[str, int]) -> None:
    """Send each half what it needs of that which a sentry with files is given. Raises Closed."""
    asking, asked = wire.pair()
    try:
        has = {name: given[name] for name in _SENTRY_HAS if name in given} | {"files": asking.fileno()}
        wire.send(sentry, {**message, "fds": list(has)}, list(has.values()))
        has = {name: fd for name, fd in given.items() if name not in _SENTRY_ALONE_HAS} | {"asked": asked.fileno()}
        wire.send(files, {**message, "fds": list(has)}, list(has.values()))
    finally:
        asking.close()
        asked.close()


class FileServer:
    """The other process, as the sentry sees it. `_lock`: one request at a time."""

    __slots__ = ("_lock", "sock")

    def __init__(self, sock: wire.Socket) -> None:
        self.sock = sock
        self._lock = Lock()

    def ask(self, message: dict[str, Any], fds: Sequence[int] = ()) -> dict[str, Any]:
        """Its answer. Raises EPROTO when it refuses, ESRCH when it is gone: the main thread will see that as well, and end the container."""
        try:
            with self._lock:
                wire.send(self.sock, message, fds)
                answer = wire.recv(self.sock)[0]
        except wire.Closed:
            raise OSError(errno.ESRCH, "the file server is gone") from None
        if "error" in answer:
            raise OSError(errno.EPROTO, answer["error"])
        return answer

    def attach(self, message: dict[str, Any], listener: int) -> int:
        """It serves what comes through `listener` as well. Returns the socket by which its calls go to it. Raises OSError."""
        ours, theirs = wire.pair()
        try:
            self.ask(message, [listener, theirs.fileno()])
        finally:
            theirs.close()
        return ours.detach()


class AskedCredentials(CredentialCache):
    """Of callers, as the file server has them now. Nothing is cached: calls on sockets are few, and a cache hears of changes only in there."""

    __slots__ = ("_server",)

    def __init__(self, server: FileServer) -> None:
        super().__init__(-1)
        self._server = server

    def of(self, tid: int) -> Credentials:
        return Credentials.of(self.facts(tid))

    def facts(self, tid: int) -> Any:
        return unpacked(self._server.ask({"op": "facts", "tid": tid}))


def packed(credentials: CredentialCache, tid: int) -> dict[str, Any]:
    """The answer to such a question."""
    try:
        facts = credentials.facts(tid)
    except OSError as e:
        return {"errno": e.errno}
    return {"facts": ffi.buffer(facts, _GROUPS + 4 * facts.ngroups)[:].hex()}


def unpacked(answer: dict[str, Any]) -> Any:
    """struct creds. Raises OSError."""
    if "errno" in answer:
        raise OSError(answer["errno"], "credentials")
    facts = ffi.new("struct creds *")
    raw = bytes.fromhex(answer["facts"])
    ffi.memmove(facts, raw, min(len(raw), ffi.sizeof("struct creds")))
    return facts


class _Elsewhere:
    """Stands for what the sentry has no part of: a handler that asks for it is not one of its own, and its task is killed."""

    dev = -1
    """st_dev of no file."""
    view = None


ELSEWHERE: Any = _Elsewhere()


def empty_namespace(mount: int) -> None:
    """A mount namespace of this process's own with nothing in it but `mount`, a detached one. Needs CAP_SYS_ADMIN. Raises OSError."""
    _check(lib.unshare_(CLONE_NEWNS), "unshare(CLONE_NEWNS)")
    _check(lib.mount_(ffi.NULL, b"/", ffi.NULL, MS_REC | MS_PRIVATE, ffi.NULL), "make mounts private")
    _check(lib.move_mount_(mount, b"", AT_FDCWD, b"/", MOVE_MOUNT_F_EMPTY_PATH), "mount the empty root")
    os.fchdir(mount)
    _check(lib.pivot_root_(b".", b"."), "pivot_root")
    _check(lib.umount2_(b".", UMOUNT_MNT_DETACH), "leave the host's tree")


def _check(result: int, what: str) -> None:
    if result < 0:
        raise OSError(-result, os.strerror(-result), what)
