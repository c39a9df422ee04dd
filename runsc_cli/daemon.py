"""Processes of ours that outlive the command: the sentry and the gofer."""

from __future__ import annotations

import os

from runsc_cli.errors import HostError
from sentry.abi import PR_SET_NAME
from sentry.platform import signals
from sentry.platform._native import ffi, lib
from sentry.platform.confine import where
from sentry.syscalls.numbers import NUMBERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container


_UMASK = 0o022
"""What the gofer makes is the container's to see, and not by who may call us with which umask."""


def daemon(name: str, keep: list[int], work: Callable[[], None], fork: Callable[[], int] = os.fork) -> int:
    """Fork a process of ours that holds no descriptor but `keep`, in a session of its own; returns its pid. Raises HostError."""
    try:
        pid = fork()
    except OSError as e:
        raise HostError("fork", name, e) from None
    if pid:
        return pid
    code = 1
    try:
        os.setsid()
        os.umask(_UMASK)
        _own_signals()
        name_process(name)
        drop_stdio(keep)
        close_all_but(0, 1, 2, *keep)
        work()
        code = 0
    except BaseException as error:
        # nobody above us is to go on with the caller's stack; with --debug stderr is the terminal or log
        os.write(2, f"{name}: {error!r}{where(error)}\n".encode(errors="replace"))
    finally:
        os._exit(code)


def drop_stdio(keep: Container[int] = ()) -> None:
    """Have nothing to read and nobody to write to in the place of stdio, but for the descriptors `keep`."""
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for fd in range(3):
        if fd not in keep:
            os.dup2(null, fd)
    if null > 2:
        os.close(null)


def name_process(name: str) -> None:
    """What ps(1) and /proc/PID/stat show as this process's command: PR_SET_NAME, at most 15 bytes."""
    title = ffi.new("char[]", name.encode())
    lib.prctl_(PR_SET_NAME, int(ffi.cast("uintptr_t", title)), 0, 0, 0)


def _own_signals() -> None:
    """Forget the caller's handlers and mask. The wake-up descriptor is closed here and its number may soon be another file's."""
    signals.wakeup(-1)
    for number in signals.every() - {signals.SIGKILL, signals.SIGSTOP}:
        if callable(signals.handler(number)):
            signals.handle(number, signals.SIG_DFL)
    signals.unblock_all()


def close_all_but(*keep: int) -> None:
    """Close every descriptor of this process but those."""
    low = 0
    for fd in sorted({*keep}):
        if fd > low:
            os.closerange(low, fd)
        low = fd + 1
    lib.syscall6(NUMBERS["close_range"], low, 0xFFFFFFFF, 0, 0, 0, 0)  # to the end of the table
