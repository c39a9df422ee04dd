"""The workload's BPF program, kept as a file: assembling it costs 20 ms, reading it 0.1.

The cache lies below the state root, which is root's (or the user's) alone, and is named by the sources that decide it, so that
another version of pysc makes another file.
"""

from __future__ import annotations

import os
from zlib import crc32

import sentry

_SOURCES = ("syscalls/table.py", "syscalls/numbers.py", "platform/bpf.py", "platform/filter.py")


def program(profile: str, directory: str) -> bytes:
    """struct sock_filter[] for `profile`; `directory`: where the cache is kept."""
    stamp = crc32(profile.encode())
    base = os.path.dirname(sentry.__file__)
    for name in _SOURCES:
        facts = os.stat(os.path.join(base, name))
        stamp = crc32(b"%d.%d" % (facts.st_mtime_ns, facts.st_size), stamp)
    path = os.path.join(directory, f".filter-{profile}-{stamp:08x}.bpf")
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return _assemble(profile, path)
    try:
        facts = os.fstat(fd)
        raw = os.read(fd, 1 << 17)
    finally:
        os.close(fd)
    if facts.st_uid != os.geteuid() or len(raw) < 12 or crc32(raw[4:]) != int.from_bytes(raw[:4], "little"):
        return _assemble(profile, path)
    return raw[4:]


def _assemble(profile: str, path: str) -> bytes:
    from sentry.platform import filter as filters

    made = filters.program(profile)
    new = f"{path}.{os.getpid()}"
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, crc32(made).to_bytes(4, "little") + made)
    finally:
        os.close(fd)
    os.rename(new, path)
    return made
