"""signal(7) by plain numbers: what the signal module wraps in enums, whose import is 4 ms of every start.

The names and their meanings are those of the signal module.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any, TypeAlias

    Handler: TypeAlias = "Callable[[int, FrameType | None], Any] | int | None"

SIG_DFL, SIG_IGN = int(_signal.SIG_DFL), int(_signal.SIG_IGN)
SIGHUP, SIGINT, SIGQUIT, SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGKILL, SIGUSR1, SIGSEGV = 1, 2, 3, 4, 5, 7, 8, 9, 10, 11
SIGPIPE, SIGTERM, SIGCHLD, SIGCONT, SIGSTOP, SIGTTIN, SIGTTOU, SIGURG, SIGXFSZ, SIGWINCH, SIGSYS = 13, 15, 17, 18, 19, 21, 22, 23, 25, 28, 31


def handle(number: int, handler: Handler) -> Handler:
    """signal.signal(): returns the handler before."""
    before: Handler = _signal.signal(number, handler)
    return before


def handler(number: int) -> Handler:
    """signal.getsignal(): None for one that was not installed from Python."""
    found: Handler = _signal.getsignal(number)
    return found


def every() -> frozenset[int]:
    """signal.valid_signals()."""
    return frozenset(_signal.valid_signals())


def wakeup(fd: int) -> int:
    """signal.set_wakeup_fd(): the numbers of signals are written to `fd` as bytes, -1 to end that; returns the one before."""
    before: int = _signal.set_wakeup_fd(fd, warn_on_full_buffer=False)
    return before


def thread_kill(thread: int, number: int) -> None:
    """signal.pthread_kill(). Raises OSError."""
    _signal.pthread_kill(thread, number)


class Uninterrupted:
    """`with Uninterrupted():` SIGINT, whose handler raises, waits: what is made there is also noted, for who takes it back."""

    __slots__ = ("_before",)

    def __enter__(self) -> None:
        self._before: set[int] = _signal.pthread_sigmask(_signal.SIG_BLOCK, (SIGINT,))

    def __exit__(self, *_: object) -> None:
        _signal.pthread_sigmask(_signal.SIG_SETMASK, self._before)


def unblock_all() -> None:
    """Have the calling thread's signal mask empty."""
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())


def unblock(number: int) -> None:
    """Take `number` out of the calling thread's signal mask: a new thread has that of its maker."""
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, (number,))


def pidfd_send(pidfd: int, number: int) -> None:
    """pidfd_send_signal(2). Raises OSError."""
    _signal.pidfd_send_signal(pidfd, number)
