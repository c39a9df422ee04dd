"""Reading a config.json: the file is anybody's, a directory, a FIFO, 20 MB of brackets.

It is opened without blocking and read up to a bound. What is in it is spec.py's, which takes 4 ms to import: before that a sentry is started.
"""

from __future__ import annotations

import os
from errno import ENOENT
from stat import S_ISFIFO, S_ISREG

from runsc_cli.errors import HostError, PyscError

MAX_SIZE = 16 << 20
"""Bytes of a config.json; a real one has ten thousand."""


def of_bundle(bundle: str) -> bytes:
    """The bundle's config.json. Raises PyscError."""
    try:
        return read(os.path.join(bundle, "config.json"))
    except HostError as error:
        if error.errno != ENOENT:
            raise
        raise PyscError(f"{error.message}; `pysc spec` writes one, --bundle names the directory of another one") from None


def read(path: str, *, pipe: bool = False) -> bytes:
    """A regular file, or with `pipe` also what comes through a FIFO until its writers close it. Raises PyscError."""
    try:
        # O_NONBLOCK: a FIFO without a writer must not hold us, nor a device
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        raise HostError("open", path, error) from None
    try:
        facts = os.fstat(fd)
        if pipe and S_ISFIFO(facts.st_mode):
            os.set_blocking(fd, True)
        elif not S_ISREG(facts.st_mode):
            raise PyscError(f"{path} is not a regular file: it has to hold JSON as `pysc spec` writes it")
        data = bytearray()
        while len(data) <= MAX_SIZE:
            piece = os.read(fd, min(max(facts.st_size, 1 << 16), MAX_SIZE) + 1)
            if not piece:
                return bytes(data)
            data += piece
    except OSError as error:
        raise HostError("read", path, error) from None
    finally:
        os.close(fd)
    raise PyscError(f"{path} is larger than {MAX_SIZE >> 20} MiB: no config is")
