"""The workload's filter, compiled before: on the start path neither the table nor the assembler is imported.

Compiling costs 3 ms, imports included, finding the result of the last time 0.4. A file is named by a hash of the sources
that decide it and of what was asked for, so whoever changes the table gets another file; times of modification would not do,
since packages may carry fixed ones. What is in it decides what a workload may do: it counts only if it belongs to us, nobody
else can write it, and its own hash is right. It comes into being whole, or not at all (open(2), O_TMPFILE).
"""

from __future__ import annotations

import os
import stat

import sentry

try:
    from _blake2 import blake2b  # hashlib would load OpenSSL: 5 ms
except ImportError:
    from hashlib import blake2b

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

SOURCES = (
    "syscalls/table.py",
    "syscalls/arguments.py",
    "syscalls/numbers.py",
    "platform/bpf.py",
    "platform/filter.py",
)
"""Below the sentry package: all modules that filter.program() consists of."""

_HASH = 16
_LARGEST = _HASH + 8 * 4096


def program(profile: str, network: str, directory: str, notify: Collection[str] = (), *, traced: bool = False) -> bytes:
    """filter.program(), with `directory` (of the user's own) as the cache; what is rare is not kept there."""
    if notify:
        from sentry.platform.filter import program as compiled

        return compiled(profile, network, notify, traced=traced)
    if (profile, network) in _prepared and not traced:
        return _prepared[profile, network]
    base = os.path.dirname(sentry.__file__)
    sources = [os.path.join(base, name) for name in SOURCES]
    asked = f"{profile} {network}{' traced' if traced else ''}"
    return cached(asked.encode(), sources, directory, lambda: _compile(profile, network, traced))


_prepared: dict[tuple[str, str], bytes] = {}


def prepare(profile: str, network: str) -> None:
    """Compile what program() will be asked for: who lives long enough for that sees to it that no source changes meanwhile."""
    _prepared[profile, network] = _compile(profile, network, False)


def cached(asked: bytes, sources: Sequence[str], directory: str, compile: Callable[[], bytes]) -> bytes:
    """What `compile` returns, which depends on `asked` and on the modules `sources` alone, with `directory` as the cache."""
    try:
        stamp = _stamp(asked, sources)
    except FileNotFoundError:  # installed without sources
        return compile()
    path = os.path.join(directory, f".filter-{stamp.hex()}.bpf")
    found = _read(path, stamp)
    if found is None:
        found = compile()
        _write(directory, path, _seal(found, stamp) + found)
    return found


def _compile(profile: str, network: str, traced: bool) -> bytes:
    from sentry.platform.filter import program as compiled

    return compiled(profile, network, traced=traced)


def _stamp(asked: bytes, sources: Sequence[str]) -> bytes:
    state = blake2b(asked, digest_size=_HASH)
    for name in sources:
        with open(name, "rb", buffering=0) as file:
            state.update(b"\0" + file.readall())
    return state.digest()


def _seal(made: bytes, stamp: bytes) -> bytes:
    return blake2b(made, digest_size=_HASH, key=stamp).digest()


def _read(path: str, stamp: bytes) -> bytes | None:
    """The program in the file at `path`, if there is one to be trusted."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:  # most often ENOENT; whatever it is, the program can be compiled
        return None
    try:
        facts = os.fstat(fd)
        if not stat.S_ISREG(facts.st_mode) or facts.st_uid != os.geteuid() or facts.st_mode & 0o022:
            return None
        raw = os.read(fd, _LARGEST + 1)
    finally:
        os.close(fd)
    seal, made = raw[:_HASH], raw[_HASH:]
    return made if made and seal == _seal(made, stamp) else None


def _write(directory: str, path: str, raw: bytes) -> None:
    """Best effort: a directory that is read-only, full or on a file system without O_TMPFILE costs the next one 3 ms."""
    try:
        fd = os.open(directory, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    except OSError:
        return
    try:
        if os.write(fd, raw) == len(raw):
            if os.path.lexists(path):  # and was not to be trusted
                os.unlink(path)
            # with a directory descriptor, though it is not looked at: else this is link(2), which does not follow
            os.link(f"/proc/self/fd/{fd}", path, src_dir_fd=fd, follow_symlinks=True)
    except OSError:
        return
    finally:
        os.close(fd)
