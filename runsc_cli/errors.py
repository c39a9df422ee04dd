"""Errors that a person or an engine is told about, in runc's words.

Engines match these texts: containerd's shim takes "does not exist" and "container not running" from
kill, Docker turns "executable file not found" into exit code 127. A text that runc has is runc's to the
letter; the others are lower case, without a full stop, with the value and what to do next.

    PyscError                       exit code 1
    +-- UsageError                  wrong options or arguments
    |   +-- UnknownVerb             exit code 3
    +-- InvalidId                   "invalid container ID format", "container id cannot be empty"
    +-- ContainerNotFound           "container does not exist"
    +-- ContainerExists             "container with given ID already exists"
    +-- BadState                    the container is not in the state that the command needs
    |   +-- NotRunning              "container not running"
    |   +-- AlreadyRunning          "cannot start an already running container"
    |   +-- HasStopped              "cannot start a container that has stopped"
    |   +-- NotPaused               "container not paused"
    |   +-- NotStopped              "cannot delete container ID that is not stopped: STATUS"
    +-- Locked                      another command holds the container's lock and does not finish
    +-- StateDamaged                state.json cannot be read
    +-- SpecError                   config.json: the path of the field and what is wrong with it
    +-- UnknownSignal               "unknown signal "X""
    +-- ConsoleError                terminal or console socket
    +-- StillAlive                  processes survive SIGKILL for longer than we wait
    +-- HostError                   a system call on the host failed: what was tried, on what, why
"""

from __future__ import annotations

import os


class PyscError(Exception):
    """One line for the user. `code` is the exit code of the command."""

    code = 1

    def __init__(self, message: str, *, code: int | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code

    @property
    def message(self) -> str:
        return str(self.args[0])


class UsageError(PyscError):
    """The command line itself is wrong."""


class UnknownVerb(UsageError):
    code = 3

    def __init__(self, verb: str) -> None:
        # The line break at the end is runc's, inside the message.
        super().__init__(f"No help topic for '{verb}'\n")


class InvalidId(PyscError):
    def __init__(self, message: str = "invalid container ID format") -> None:
        super().__init__(message)


class ContainerNotFound(PyscError):
    def __init__(self) -> None:
        super().__init__("container does not exist")


class ContainerExists(PyscError):
    def __init__(self) -> None:
        super().__init__("container with given ID already exists")


class BadState(PyscError):
    """The container is not in the state that the command needs."""


class NotRunning(BadState):
    def __init__(self) -> None:
        super().__init__("container not running")


class AlreadyRunning(BadState):
    def __init__(self) -> None:
        super().__init__("cannot start an already running container")


class HasStopped(BadState):
    def __init__(self) -> None:
        super().__init__("cannot start a container that has stopped")


class NotPaused(BadState):
    def __init__(self) -> None:
        super().__init__("container not paused")


class NotStopped(BadState):
    def __init__(self, id: str, status: str) -> None:
        super().__init__(f"cannot delete container {id} that is not stopped: {status}")


class Locked(PyscError):
    def __init__(self, id: str) -> None:
        super().__init__(f"container {id} is locked by another command that does not finish; end that first")


class StateDamaged(PyscError):
    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"state file {path!r} is damaged: {why}; remove the container with delete --force")


class SpecError(PyscError):
    """A field of config.json. `path` is written as in the file: process.rlimits[0].type."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path}: {why}" if path else why)
        self.path = path
        self.why = why


class UnknownSignal(PyscError):
    def __init__(self, signal: str) -> None:
        super().__init__(f"unknown signal {quote(signal)}")


class ConsoleError(PyscError):
    """A terminal or a console socket."""


class StillAlive(PyscError):
    """Processes that SIGKILL did not end in time, usually in uninterruptible sleep."""


class HostError(PyscError):
    """A system call on the host failed, worded as Go's os.PathError: runc's callers know that form."""

    def __init__(self, doing: str, target: str, error: OSError) -> None:
        super().__init__(f"{doing} {target}: {strerror(error)}")
        self.errno = error.errno


def strerror(error: OSError) -> str:
    """The text of an errno as Go prints it: lower case."""
    text = os.strerror(error.errno) if error.errno else str(error)
    return text[:1].lower() + text[1:]


_ESCAPES = {7: "a", 8: "b", 12: "f", 10: "n", 13: "r", 9: "t", 11: "v", 34: '"', 92: "\\"}


def quote(text: str) -> str:
    """`text` in double quotes as Go's %q writes it, the form of runc's messages and log."""
    out = []
    for char in text:
        code = ord(char)
        if code in _ESCAPES:
            out.append("\\" + _ESCAPES[code])
        elif char.isprintable():
            out.append(char)
        elif 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8, PEP 383
            out.append(f"\\x{code - 0xDC00:02x}")
        elif code < 0x80:
            out.append(f"\\x{code:02x}")
        else:
            out.append(f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
    return f'"{"".join(out)}"'
