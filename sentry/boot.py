"""The life of a sentry: from a fork of the command line to the end of its container.

It is forked before the command line reads config.json, so that its imports run on the other CPU meanwhile. Then one message
brings everything it will ever hold: descriptors and plain values. It joins the container's user, network, IPC, UTS and mount namespaces,
gives up its root, its capabilities and all system calls but its own few (sentry/own_calls.py), answers, and serves.

The mount namespace matters: to a process outside of it the kernel answers the removal of a mount point by detaching the mount, and
not with EBUSY (fs/namespace.c:is_local_mountpoint()). From then on nothing can be imported: between joining it and taking the
empty root names would be looked up in the workload's tree.
"""

from __future__ import annotations

import gc
import os
import select
import sys

from gofer.client import GoferClient
from sentry.abi import (
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    O_DIRECTORY,
    O_PATH,
    PR_SET_DUMPABLE,
    PR_SET_NO_NEW_PRIVS,
)
from sentry.creds import ALL_CAPS, SOCKET_CAPS, CredentialCache
from sentry.devices import Rule
from sentry.dispatch import Dispatcher
from sentry.holds import Holds
from sentry.kernel import Kernel
from sentry.own_calls import CALLS, FILES_ALONE, WITHOUT_FILES, shared, tracing
from sentry.platform import own_filter, signals, wire
from sentry.platform._native import ffi, lib
from sentry.platform.confine import empty_root, forbid_imports
from sentry.platform.groups import drop_groups
from sentry.platform.jsontext import dumps
from sentry.syscalls import load
from sentry.syscalls.table import SOCKETS
from sentry.trace import MAX_TRACES, Trace
from sentry.unix_sockets import UnixSockets
from sentry.vfs.proc import Proc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sentry.files import FileServer

_NAMESPACES = (("net", CLONE_NEWNET), ("ipc", CLONE_NEWIPC), ("uts", CLONE_NEWUTS), ("user", CLONE_NEWUSER))
"""The user namespace last: a network namespace that the config names may belong to the host's, and can be joined with its rights alone."""


def prepare(profile: str, network: str) -> None:
    """Do beforehand what takes milliseconds and has to do with no container but by `profile` and `network`, which may be others yet."""
    load.by_number(profile, network)
    own_filter.prepare(CALLS)


def run(sock: wire.Socket) -> None:
    """The sentry process. `sock` leads to the command line that makes the container; if that dies first, so do we."""
    try:
        message, fds = wire.recv(sock)
    except wire.Closed:
        return
    given = dict(zip(message["fds"], fds, strict=True))
    try:
        sentry = Sentry(sock, message, given)
    except OSError as e:
        wire.send(sock, {"error": f"{e.filename or e.args[-1]}: {e.strerror}".lower()})
        return
    wire.send(sock, {"ok": True})
    sentry.serve()


class Sentry:
    """The main thread: control requests, and whether init and gofer still live. Listeners have threads of their own.

    With --directfs=false it is one half (sentry/files.py): `given` has `files`, a socket to the process that has the container's files,
    or it is that process, and has `asked`, the other end.
    """

    __slots__ = ("_asked", "_control", "_dispatcher", "_files", "_gofer", "_holds", "_init", "_kernel", "_poll", "_sock", "_traces")

    def __init__(self, sock: wire.Socket, message: dict[str, Any], given: dict[str, int]) -> None:
        self._sock = sock
        self._init = given["init"]
        self._gofer = given.get("gofer_pid", -1)
        self._control = wire.Socket(fileno=given["control"]) if "control" in given else None
        self._asked = wire.Socket(fileno=given["asked"]) if "asked" in given else None
        self._files: FileServer | None = None
        if "files" in given or "asked" in given:
            from sentry import files
        if "files" in given:
            self._files = files.FileServer(wire.Socket(fileno=given["files"]))
        self._poll = select.poll()
        self._traces: dict[int, Trace] = {}
        byte = ffi.new("char[]", b"x")
        _check(lib.read_mem(os.getpid(), int(ffi.cast("uintptr_t", byte)), byte, 1), "read a process's memory: process_vm_readv(2)")
        log = os.fdopen(given["log"], "w", buffering=1, errors="backslashreplace") if "log" in given else sys.stderr
        # an ordinary user has rights over the others only from inside
        for name, kind in _NAMESPACES if os.geteuid() == 0 else sorted(_NAMESPACES, key=lambda n: n[0] != "user"):
            if name in given:
                _check(lib.setns_(given[name], kind), f"join the {name} namespace")
                os.close(given[name])
        if "user" in given:
            drop_groups()
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
        procfd = given.get("procfd", -1)
        handlers, denied, names = load.by_number(message["profile"], message["network"])
        if message.get("notified"):
            from sentry.syscalls import notified

            notified.add(handlers, message["notified"], message["profile"], message["network"])
        faults = message.get("faults", [])
        elsewhere: set[int] = set()
        if self._files is not None:
            elsewhere = handlers.keys() - SOCKETS | {number for fault in faults for number in fault["numbers"]}
            handlers = {number: handler for number, handler in handlers.items() if number not in elsewhere}
            faults = []
        if faults:
            from sentry.inject import Faults
        if message["release"]:
            from sentry.syscalls import sys_uname

            sys_uname.add(handlers, denied)
        dispatcher: type[Dispatcher] = Dispatcher
        if message["platform"] == "ptrace":
            from sentry.tracer import Tracer

            dispatcher = Tracer
        forbid_imports()
        selffd = -1
        credentials: CredentialCache
        proc: Proc
        gofer: GoferClient
        if self._files is not None:
            files.empty_namespace(given["empty"])
            credentials, proc, gofer = files.AskedCredentials(self._files), files.ELSEWHERE, files.ELSEWHERE
        else:
            _check(lib.setns_(given["mnt"], CLONE_NEWNS), "join the mount namespace")
            selffd = _check(lib.openat2_raw(procfd, b"self/fd", O_PATH | O_DIRECTORY, 0, 0), "/proc/self/fd")
            empty_root(given["empty"])
            os.close(given["mnt"])
            credentials = CredentialCache(procfd, message["no_new_privs"])
            proc = Proc(given["root"], procfd, message, given, load.LOOKING)
            gofer = GoferClient(wire.Socket(fileno=given["gofer"]))
        os.close(given["empty"])
        self._holds = holds = Holds(credentials, self._enter_thread)
        self._kernel = Kernel(
            root=given.get("root", -1),
            procfd=procfd,
            profile=message["profile"],
            network=message["network"],
            credentials=credentials,
            proc=proc,
            holds=holds,
            gofer=gofer,
            view=proc.view,
            devices=[Rule(*rule) for rule in message["devices"]],
            unix=UnixSockets(credentials) if message["network"] == "shared" and self._asked is None else None,
            log=log,
            debug=message["debug"],
        )
        self._kernel.note_outside(message["outside"])
        if message["record_missing"]:
            self._kernel.missing = set()
        self._dispatcher = dispatcher(self._kernel, handlers, denied, names, selffd)
        self._dispatcher.hand_on(elsewhere)
        if message.get("notified"):
            self._dispatcher.start_watching().stages_known = "execve" in message["notified"] and self._files is None
        if faults:
            watch = self._dispatcher.start_watching()
            watch.faults = Faults(faults, procfd, self._enter_thread)
            watch.change(())
        if "trace" in given:
            self._trace(given["trace"], message["trace"])
        _check(lib.prctl_(PR_SET_DUMPABLE, 0, 0, 0, 0), "PR_SET_DUMPABLE")
        _check(lib.prctl_(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "PR_SET_NO_NEW_PRIVS")
        # The bounding set of the workload is in it, since a ptrace access check compares capability sets.
        effective = ALL_CAPS if self._files is None else SOCKET_CAPS
        permitted = effective | (message["bounding"] if self._files is None else 0)
        if self._kernel.unix is not None:
            self._kernel.unix.start(lambda: lib.capset_all(permitted, effective, 0))
        _check(lib.capset_all(permitted, effective, 0), "capset")
        signals.handle(signals.SIGUSR1, lambda _signal, _frame: None)  # ends a held call with EINTR
        signals.handle(signals.SIGINT, signals.SIG_IGN)
        gc.disable()  # a pause for cyclic garbage would come in the middle of somebody's open; handlers make no cycles
        sys.setswitchinterval(0.05)
        calls = WITHOUT_FILES if self._files is not None else FILES_ALONE if self._asked is not None else CALLS
        if self._kernel.unix is not None:
            calls = shared(calls)
        if any(fault["signal"] for fault in faults):
            calls = {**calls, "tgkill": None}
        if message["release"]:
            calls = {**calls, "uname": None}
        if message["platform"] == "ptrace":
            calls = tracing(calls)
        own_filter.install(calls, "sentry" if self._asked is None else "file server", debug=message["debug"])
        if self._files is None:
            proc.start(self._kernel)

    def _enter_thread(self) -> None:
        self._dispatcher.enter_thread()

    def serve(self) -> None:
        """Until the container's first process has ended, or the gofer or the other half, which take the container along."""
        if self._asked is not None:
            self._serve_files(self._asked)
            return
        assert self._control is not None
        for fd in (self._init, self._gofer, self._sock.fileno(), self._control.fileno()):
            self._poll.register(fd, select.POLLIN)
        files = -1
        if self._files is not None:
            files = self._files.sock.fileno()
            self._poll.register(files, 0)  # POLLHUP: answers are for who has asked
        while True:
            for fd, _event in self._poll.poll():
                if fd == self._init:
                    self._finish()
                    return
                if fd in (self._gofer, files):
                    self._kernel.say("the %s has died: the container is killed", "gofer" if fd == self._gofer else "file server")
                    signals.pidfd_send(self._init, signals.SIGKILL)
                    return
                if fd == self._sock.fileno():
                    if not self._request(self._sock):
                        self._poll.unregister(fd)
                elif fd in self._traces:
                    self._untrace(fd)
                else:
                    connection = _accept(self._control)
                    self._request(connection)
                    connection.close()

    def _serve_files(self, asked: wire.Socket) -> None:
        """The same for the other half: it ends when the sentry does, and then there is no container."""
        self._sock.close()
        self._poll.register(asked.fileno(), select.POLLIN)
        while True:
            for fd, _event in self._poll.poll():
                if fd in self._traces:
                    self._untrace(fd)
                elif not self._request(asked):
                    self._finish_traces()
                    try:
                        signals.pidfd_send(self._init, signals.SIGKILL)
                    except ProcessLookupError:  # it has ended, and the sentry for that
                        pass
                    return

    def _request(self, sock: wire.Socket) -> bool:
        """Answer one request of the command line; false when it has gone."""
        try:
            message, fds = wire.recv(sock)
        except wire.Closed:
            return False
        except ValueError as e:
            self._kernel.say("control: %s", e)
            return False
        try:
            answer = self._answer(message, fds)
        except OSError as e:
            for fd in fds:  # nobody has taken them
                os.close(fd)
            self._kernel.say("control: %s", e)
            answer = {"error": str(e)}
        try:
            wire.send(sock, answer)
        except wire.Closed:  # a command that was interrupted, no reason to end a container
            return False
        return True

    def _answer(self, message: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        op = message.get("op")
        if op == "attach" and len(fds) == 1 + (self._asked is not None):
            self._kernel.credentials.forget_all()
            self._kernel.note_outside(message.get("outside", {}))
            if self._files is not None:
                fds.append(self._files.attach(message, fds[0]))
            self._dispatcher.serve(fds[0], message.get("pid", 0), *fds[1:])
        elif op == "trace" and len(fds) == 1 and self._dispatcher.traceable and len(self._traces) < MAX_TRACES:
            if self._files is not None:
                self._files.ask(message, fds)
            self._trace(fds[0], message)
        elif op == "seize" and not fds:
            self._kernel.credentials.forget_all()
            self._kernel.note_outside(message.get("outside", {}))
            return self._seize(message["pid"])
        elif op == "settled":
            if self._files is not None:
                self._files.ask(message)
            else:
                self._kernel.credentials.settled()
        elif op == "restart":
            if self._files is not None:
                self._files.ask(message)
            self._holds.restart()
        elif op == "report":
            return self._report()
        elif op == "facts" and self._asked is not None:
            from sentry.files import packed  # it is loaded

            return packed(self._kernel.credentials, message["tid"])
        else:
            for fd in fds:
                os.close(fd)
            what = f"{MAX_TRACES} traces of this container are running already" if op == "trace" else f"unknown request {op!r}"
            if op == "trace" and not self._dispatcher.traceable:
                what = "calls are traced on the platform notify alone"
            return {"error": what}
        return {"ok": True}

    def _trace(self, pipe: int, wanted: dict[str, Any]) -> None:
        """Show calls to whoever reads `pipe`, until it is closed there."""
        os.set_blocking(pipe, False)
        self._traces[pipe] = Trace(pipe, wanted.get("numbers"), wanted.get("reads", {}))
        self._poll.register(pipe, 0)  # POLLERR: nobody reads any more
        self._dispatcher.start_watching().change(tuple(self._traces.values()))

    def _untrace(self, pipe: int) -> None:
        self._poll.unregister(pipe)
        trace = self._traces.pop(pipe)
        self._dispatcher.start_watching().change(tuple(self._traces.values()))
        trace.close()

    def _seize(self, pid: int) -> dict[str, Any]:
        try:
            self._dispatcher.attach(pid)
        except OSError as e:
            return {"error": f"{e.filename or e.args[-1]}: {e.strerror}".lower()}
        return {"ok": True}

    def _report(self) -> dict[str, Any]:
        kernel = self._kernel
        denied = [[kind, what, count] for (kind, what), count in list(kernel.denials.items())]
        mediated = self._dispatcher.mediated()
        missing = sorted(os.fsdecode(path) for path in list(kernel.missing or ()))
        more = 0
        if self._files is not None:
            other = self._files.ask({"op": "report"})
            denied += other["denied"]
            mediated |= other["mediated"]  # what the one handles the other does not
            missing = other["missing"]
            more = other["more"]
        fitting = _fitting(denied)
        return {
            "mediated": mediated,
            "missing": _fitting(missing),
            "denied": fitting,
            "more": len(denied) - len(fitting) + more,
        }

    def _finish(self) -> None:
        """Init has ended. A `run` or `do` that still waits for us may want the report; --debug has it here where nobody asks."""
        self._finish_traces()
        poll = select.poll()
        poll.register(self._sock.fileno(), select.POLLIN)
        asked = False
        while poll.poll(1000) and self._request(self._sock):
            asked = True
        if self._kernel.debug and not asked:
            for name, count in self._report()["mediated"].items():
                self._kernel.say("mediated %s %d", name, count)

    def _finish_traces(self) -> None:
        if self._dispatcher.watch is not None:
            self._dispatcher.watch.quiet()
            for trace in self._traces.values():
                trace.finish()


def _fitting(rows: list[Any]) -> list[Any]:
    """Those that a report has room for: the names in them are the workload's, as long as it likes, and a message is not."""
    room = wire.MAX_MESSAGE // 3
    fitting = []
    for row in rows:
        size = len(dumps(row)) + 1
        if size <= room:
            fitting.append(row)
            room -= size
    return fitting


def _accept(sock: wire.Socket) -> wire.Socket:
    fd, _address = sock._accept()  # type: ignore[attr-defined]
    os.set_inheritable(fd, False)
    return wire.Socket(fileno=fd)


def _check(result: int, what: str) -> int:
    if result < 0:
        raise OSError(-result, os.strerror(-result), what)
    return result
