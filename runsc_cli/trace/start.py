"""--strace and --inject: what a sentry is told at its start, and the process of ours that shows what it writes."""

from __future__ import annotations

import os
from fcntl import fcntl
from select import POLLIN, poll

from runsc_cli import children
from runsc_cli.daemon import daemon
from runsc_cli.errors import HostError, UsageError
from runsc_cli.trace.spec import Wanted, check_limit
from sentry.syscalls.numbers import NUMBERS
from sentry.syscalls.table import SOCKETS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runsc_cli.oci.model import Spec
    from runsc_cli.options import Options
    from runsc_cli.stage.program import Stage
    from runsc_cli.state import State
    from runsc_cli.trace.lines import Lines

_F_SETPIPE_SZ = 1031
_PIPE = 1 << 20
"""Bytes of records that wait in the kernel: what an ordinary user may ask for, /proc/sys/fs/pipe-max-size."""

_PATIENCE_MS = 10_000
_LISTENER = "anon_inode:seccomp notify"


def pipe() -> tuple[int, int]:
    """Its ends, read and write; the latter does not block."""
    read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        fcntl(write, _F_SETPIPE_SZ, _PIPE)
    except OSError:  # a user who has too many already keeps what there is: 64 KiB
        pass
    return read, write


class Tracing:
    """What one container is started with."""

    def __init__(self, options: Options, state: State) -> None:
        """Checks the options, and writes into the state which native calls are sent to the sentry. Raises UsageError."""
        self._options = options
        self._id = state.id
        self._wanted: Wanted | None = None
        self._faults: list[dict[str, Any]] = []
        self._done = -1
        asked = options["strace_syscalls"] or options["strace"]
        native: set[str] = set()
        if asked and asked.lower() != "false":
            self._wanted = Wanted(asked, "--strace")
            check_limit(options["strace_log_size"], "--strace-log-size")
            native |= self._wanted.native
        if options["inject"]:
            from runsc_cli.trace.inject import parse

            self._faults = [parse(text, state.profile, state.network) for text in options["inject"]]
            named = {number: name for name, number in NUMBERS.items()}
            numbers = {number for fault in self._faults for number in fault["numbers"]}
            native.update(named[number] for number in numbers)
            if not options["directfs"] and numbers & SOCKETS:
                sockets = ", ".join(sorted(named[number] for number in numbers & SOCKETS))
                raise UsageError(f"--inject {sockets}: with --directfs=false only calls that the file server handles can be made to fail")
        if self._wanted is not None or self._faults:
            native.update(("execve", "execveat"))  # where a process of ours becomes the workload is seen by them
        self._notified = state.notified = sorted(native)

    def describe(self, given: dict[str, int], spec: Spec) -> dict[str, Any]:
        """What the sentry gets in addition; start the process that shows what it writes."""
        message: dict[str, Any] = {"notified": self._notified, "faults": self._faults}
        if self._wanted is not None:
            read, given["trace"] = pipe()
            message["trace"] = self._wanted.request(self._options["strace_log_size"])
            self._show(read, spec)
        return message

    def _show(self, read: int, spec: Spec) -> None:
        from runsc_cli.trace.lines import Lines

        path = self._options["strace_log"].replace("%ID%", self._id)
        out = 2
        if path:
            try:
                out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            except OSError as e:
                raise HostError("open", path, e) from None
        raw = not path and spec.process.terminal and os.isatty(2)  # the caller's terminal is in raw mode then
        json = self._options["strace_format"] == "json"
        lines = Lines(json=json, limit=self._options["strace_log_size"], bracket=not path, newline="\r\n" if raw else "\n")
        self._done, ended = os.pipe2(os.O_CLOEXEC)

        name, keep = "pysc-strace", [read, out, ended]
        if children.nest is not None:
            children.nest.start(name, keep, "", _show_all, read, out, lines)
        else:
            daemon(name, keep, lambda: _show_all(read, out, lines))
        os.close(ended)
        os.close(read)
        if path:
            os.close(out)

    def finish(self) -> None:
        """The container has ended: wait until all is shown."""
        if self._done >= 0:
            waiting = poll()
            waiting.register(self._done, POLLIN)
            waiting.poll(_PATIENCE_MS)
            os.close(self._done)
            self._done = -1


def _show_all(read: int, out: int, lines: Lines) -> None:
    """What is shown comes from the workload in the end: this process reads, writes, and can do nothing else."""
    from runsc_cli.trace import reader
    from sentry.abi import PR_SET_NO_NEW_PRIVS
    from sentry.platform import own_filter
    from sentry.platform._native import lib

    lib.prctl_(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    own_filter.install({**own_filter.PROCESS, "read": None}, "pysc-strace", debug=False)
    reader.show(read, out, lines)


def background(options: Options) -> None:
    """For a container that outlives the command. Raises UsageError where its lines would have nowhere to go."""
    asked = options["strace_syscalls"] or options["strace"]
    if asked.lower() not in ("", "false") and not options["strace_log"]:
        raise UsageError("--strace: a container in the background has no stderr to write to: add --strace-log FILE, or use pysc trace")


def find_listener(stage: Stage) -> int:
    """The listener of a stage whose very answer waits for the sentry: -1 when it has answered, or ended.

    The filter sends its write(2) to the sentry, which does not have the listener yet.
    """
    waiting = poll()
    waiting.register(stage.socket.fileno(), POLLIN)
    while not waiting.poll(1):
        try:
            # below it are the descriptors that the workload is given of the caller's, and the stage's socket
            numbers = sorted(map(int, os.listdir(f"/proc/{stage.pid}/fd")), reverse=True)
            for number in numbers:
                if number > stage.number and os.readlink(f"/proc/{stage.pid}/fd/{number}") == _LISTENER:
                    return stage.take_fd(number)
        except OSError:  # closed meanwhile, or it has ended
            continue
    return -1
