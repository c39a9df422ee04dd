"""From the pipe that a sentry writes to, to the lines that somebody reads.

The pipe is emptied before anything is shown: the sentry does not wait, and what finds no room in it is lost. What was taken waits
here, up to a bound.
"""

from __future__ import annotations

import os
from select import POLLIN, poll

from runsc_cli.trace.lines import Lines, records

_CHUNK = 1 << 20
_BACKLOG = 64 << 20
"""Bytes of records that wait here at most."""

_AT_ONCE = 1 << 16


def show(pipe: int, out: int, lines: Lines) -> None:
    """Until the writer has closed the pipe, which does not block. Raises OSError when `out` cannot be written to."""
    waiting = poll()
    waiting.register(pipe, POLLIN)
    backlog = bytearray()
    open_ = True
    while open_ or backlog:
        if open_ and not backlog:
            waiting.poll()
        while open_ and len(backlog) < _BACKLOG:
            try:
                data = os.read(pipe, _CHUNK)
            except BlockingIOError:
                break
            backlog += data
            open_ = bool(data)
        if not backlog:
            continue
        part = _first(backlog)
        _write(out, "".join(lines.line(record) for record in records(part)))


def _first(backlog: bytearray) -> bytearray:
    """Take whole records from the start of it, as many as are shown at once."""
    at = 0
    while len(backlog) - at >= 2 and at < _AT_ONCE:
        size = backlog[at] | backlog[at + 1] << 8
        if not size or len(backlog) - at < size:
            break
        at += size
    if not at:  # a record comes whole
        raise ValueError("the sentry has written what is no record")
    part = backlog[:at]
    del backlog[:at]
    return part


def _write(out: int, text: str) -> None:
    data = text.encode("ascii")
    while data:
        data = data[os.write(out, data) :]
