"""The log in runc's two formats, read by engines: text as logrus writes it, and JSON.

A container engine reads the last JSON line with "level":"error" of the file that it named with --log; the
file is appended to and never truncated. Without --log the lines go to stderr. With --log the error that
ends the command is *also* printed on stderr, plain, since engines show the output of kill and delete.

The stdlib's logging costs 13 ms to import, more than the interpreter; this is the part of it that we use.
"""

from __future__ import annotations

import os
import sys
import time

from runsc_cli.errors import HostError, PyscError, quote
from sentry.platform.jsontext import dumps

FORMATS = ("text", "json")

# logrus leaves a message of these bare and quotes every other.
_BARE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._/@^+")


class Log:
    """An open log: one write(2) a line, so that lines of several commands never mix."""

    __slots__ = ("_fd", "_json", "debugging", "to_file")

    def __init__(self, path: str | None = None, format: str = "text", *, debug: bool = False) -> None:
        if format not in FORMATS:
            raise PyscError(f"invalid log-format: {format}")
        self._json = format == "json"
        self._fd = 2
        self.debugging = debug
        self.to_file = bool(path)
        if path:
            try:
                self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            except OSError as error:
                raise HostError("open", path, error) from None

    def error(self, message: str) -> None:
        self._write("error", message)

    def warning(self, message: str) -> None:
        self._write("warning", message)

    def info(self, message: str) -> None:
        self._write("info", message)

    def debug(self, message: str) -> None:
        if self.debugging:
            self._write("debug", message)

    def fatal(self, message: str) -> None:
        """The error that ends the command: logged, and told to the caller when the log is a file."""
        self.error(message)
        if self.to_file:
            write_all(2, f"{message}\n")

    def _write(self, level: str, message: str) -> None:
        write_all(self._fd, record(level, message, timestamp(), json=self._json))


def record(level: str, message: str, time: str, *, json: bool) -> str:
    """One line of the log."""
    if json:
        return dumps({"level": level, "msg": message, "time": time}) + "\n"
    bare = message and _BARE.issuperset(message)
    return f'time="{time}" level={level} msg={message if bare else quote(message)}\n'


def timestamp() -> str:
    """Now, as RFC 3339 with seconds, in local time."""
    now = time.localtime()
    offset = now.tm_gmtoff // 60
    zone = f"{'-' if offset < 0 else '+'}{abs(offset) // 60:02}:{abs(offset) % 60:02}" if offset else "Z"
    return time.strftime("%Y-%m-%dT%H:%M:%S", now) + zone


def write_all(fd: int, text: str) -> None:
    """Write to a log or stderr. Nobody is left to tell when that fails: a full disk must not hide the error."""
    data = text.encode(errors="backslashreplace")
    if fd == 2 and sys.stderr is not None:
        sys.stderr.flush()
    try:
        while data:
            data = data[os.write(fd, data) :]
    except OSError:
        pass
