"""Records of a sentry as lines, in the manner of strace -f, or as JSON objects.

All bytes in a record are the workload's: whatever they are, a line stays one line of printable ASCII, and what cannot be understood
is shown as a number. strace(1) is the model for the form; the sentry's side, and the layout of a record, are in sentry/trace.py.
"""

from __future__ import annotations

import errno
import os
import struct
from _socket import inet_ntop

from runsc_cli.trace import names
from runsc_cli.trace.signatures import TABLE
from sentry.platform.jsontext import dumps
from sentry.syscalls.numbers import NUMBERS
from sentry.trace import CALL, CONTINUED, DROPPED, HEAD, HEAD_SIZE, INJECTED, KILLED, READ, READ_SIZE, RESUMED, UNFINISHED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Final

    Reads = dict[tuple[int, int], list[tuple[int, bytes]]]

CALLS: Final = {number: name for name, number in NUMBERS.items()}
_OUTCOMES = ("mediated", "continued", "injected", "killed")
_ERESTARTSYS = 512
_ESCAPES = {9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}
_TMPFILE = 0o20000000
_UTIME = {0x3FFFFFFF: "UTIME_NOW", 0x3FFFFFFE: "UTIME_OMIT"}
_WANTS_HEX = frozenset(("mmap", "mremap", "brk", "shmat"))


class Record:
    """One record, taken apart. Raises struct.error or ValueError when it is none."""

    __slots__ = ("args", "kind", "nr", "outcome", "passed", "pid", "reads", "result", "tid", "when")

    def __init__(self, raw: bytes) -> None:
        fields = struct.unpack_from(HEAD, raw)
        size, self.kind, self.outcome, self.pid, self.tid, self.nr, self.result, self.when, self.passed = fields[:9]
        self.args: tuple[int, ...] = fields[9:]
        self.reads: Reads = {}
        at = HEAD_SIZE
        while at < size:
            arg, kind, element, status, length = struct.unpack_from(READ, raw, at)
            at += READ_SIZE
            if at + length > size:
                raise ValueError("a read that is longer than its record")
            self.reads.setdefault((arg, kind), []).append((status, raw[at : at + length]))
            at += length

    @property
    def name(self) -> str:
        return CALLS.get(self.nr, f"syscall_{self.nr & 0xFFFFFFFF:#x}")


def records(buffer: bytearray) -> Iterator[Record]:
    """The whole records at the start of `buffer`, which are taken from it. Raises ValueError where it holds something else."""
    at = 0
    try:
        while len(buffer) - at >= HEAD_SIZE:
            size = buffer[at] | buffer[at + 1] << 8
            if size < HEAD_SIZE:
                raise ValueError("not a record")
            if len(buffer) - at < size:
                break
            raw = bytes(buffer[at : at + size])
            at += size
            yield Record(raw)
    finally:
        del buffer[:at]


def quoted(data: bytes, limit: int, *, cut: bool = False) -> str:
    """As strace quotes a string: printable ASCII, escapes, octal numbers; ... behind it when it goes on."""
    cut = cut or len(data) > limit
    out = []
    data = data[:limit]
    for at, byte in enumerate(data):
        if byte in _ESCAPES:
            out.append(_ESCAPES[byte])
        elif 0x20 <= byte < 0x7F:
            out.append(chr(byte))
        else:
            digit_follows = at + 1 < len(data) and 0x30 <= data[at + 1] <= 0x39
            out.append(f"\\{byte:03o}" if digit_follows else f"\\{byte:o}")
    return f'"{"".join(out)}"' + ("..." if cut else "")


def _s32(value: int) -> int:
    return (value & 0x7FFFFFFF) - (value & 0x80000000)


def _s64(value: int) -> int:
    return (value & 0x7FFFFFFFFFFFFFFF) - (value & 0x8000000000000000)


def _pointer(value: int) -> str:
    return hex(value) if value else "NULL"


def _dirfd(value: int) -> str:
    return "AT_FDCWD" if _s32(value) == -100 else str(_s32(value))


NUMBER_WORDS: dict[str, Callable[[int], str]] = {
    "fd": lambda v: str(_s32(v)),
    "dirfd": _dirfd,
    "int": lambda v: str(_s32(v)),
    "uint": lambda v: str(v & 0xFFFFFFFF),
    "id": lambda v: "-1" if v & 0xFFFFFFFF == 0xFFFFFFFF else str(v & 0xFFFFFFFF),
    "long": lambda v: str(_s64(v)),
    "off": lambda v: str(_s64(v)),
    "size": str,
    "ulong": lambda v: str(v) if v < 1 << 31 else hex(v),
    "ptr": _pointer,
}


class Lines:
    """What is shown how. `limit`: bytes of a string."""

    def __init__(self, *, json: bool = False, limit: int = 32, bracket: bool = True, newline: str = "\n") -> None:
        """`bracket`: the process as `[pid  12] `, as strace has it on a terminal, else as in its files."""
        self._json = json
        self._limit = max(limit, 0)
        self._bracket = bracket
        self._newline = newline

    def line(self, record: Record) -> str:
        """With its line break."""
        text = self._object(record) if self._json else self._text(record)
        return text + self._newline

    # ---- text ----

    def _text(self, r: Record) -> str:
        if r.kind == DROPPED:
            return f"--- {r.result} records were dropped: the reader is too slow ---"
        who = f"[pid {r.tid:5}] " if self._bracket else f"{r.tid:<5} "
        if r.kind == UNFINISHED:
            return f"{who}{r.name}({', '.join(self._arguments(r))} <unfinished ...>"
        begin = f"<... {r.name} resumed>)" if r.kind == RESUMED else f"{r.name}({', '.join(self._arguments(r))})"
        return f"{who}{begin} = {self._result(r)} <{r.passed / 1e9:.6f}>"

    def _result(self, r: Record) -> str:
        injected = " (INJECTED)" if r.outcome == INJECTED else ""
        if r.outcome == CONTINUED:
            return "?"
        if r.outcome == KILLED:
            return "? (killed: the sentry failed)"
        if -4096 < r.result < 0:
            if r.result == -_ERESTARTSYS:
                return f"? ERESTARTSYS (To be restarted if SA_RESTART is set){injected}"
            return f"-1 {errno.errorcode.get(-r.result, f'E{-r.result}')} ({os.strerror(-r.result)}){injected}"
        if r.name in _WANTS_HEX:
            return hex(r.result & (1 << 64) - 1) + injected
        return str(r.result) + injected

    # ---- JSON ----

    def _object(self, r: Record) -> str:
        if r.kind == DROPPED:
            return dumps({"dropped": r.result, "time": r.when / 1e9})
        found: dict[str, Any] = {"pid": r.pid, "tid": r.tid, "time": r.when / 1e9, "call": r.name, "nr": r.nr}
        if r.kind != RESUMED:
            found["args"] = self._arguments(r)
        if r.kind != CALL:
            found["state"] = "unfinished" if r.kind == UNFINISHED else "resumed"
        if r.kind == UNFINISHED:
            return dumps(found)
        found["outcome"] = _OUTCOMES[r.outcome] if r.outcome < len(_OUTCOMES) else str(r.outcome)
        if -4096 < r.result < 0:
            found["result"] = -1
            found["error"] = errno.errorcode.get(-r.result, str(-r.result))
        elif r.outcome not in (CONTINUED, KILLED):
            found["result"] = r.result
        found["duration"] = r.passed / 1e9
        return dumps(found)

    # ---- arguments ----

    def _arguments(self, r: Record) -> list[str]:
        words = TABLE.get(r.name)
        if words is None:
            return [hex(value) for value in r.args]
        shown = []
        for arg, word in enumerate(words):
            if word == "creat":
                if r.args[arg - 1] & (0o100 | _TMPFILE):
                    shown.append(names.mode(r.args[arg] & 0xFFFFFFFF))
                continue
            shown.append(self._argument(r, arg, word))
        return shown

    def _argument(self, r: Record, arg: int, word: str) -> str:
        value = r.args[arg]
        if word in NUMBER_WORDS:
            return NUMBER_WORDS[word](value)
        if word in names.WORDS:
            return names.WORDS[word](value & 0xFFFFFFFF)
        if word in names.BITS:
            return names.bits(value & 0xFFFFFFFF, names.BITS[word])
        if word in names.ONE:
            return names.one(_s32(value), names.ONE[word]) if _s32(value) < 0 else names.one(value & 0xFFFFFFFF, names.ONE[word])
        if word == "sockopt":
            return names.sock_option(r.args[arg - 1] & 0xFFFFFFFF, value & 0xFFFFFFFF)
        if not value:
            return "NULL"
        return self._memory(r, arg, word)

    def _memory(self, r: Record, arg: int, word: str) -> str:
        stem = word.rstrip("0123456789")
        if stem == "argv":
            return self._vector(r, arg)
        if stem == "iov":
            return self._iovec(r, arg)
        found = [read for kind in b"sbfFo" for read in r.reads.get((arg, kind), ())]
        if not found or found[0][0] < 0:
            return _pointer(r.args[arg])
        status, data = found[0]
        if stem in ("path", "str", "in", "out"):
            return quoted(data, 4096 if stem == "path" else self._limit, cut=status == 1)
        try:
            return STRUCTURES[stem](data)
        except (struct.error, ValueError, KeyError):
            return _pointer(r.args[arg])

    def _vector(self, r: Record, arg: int) -> str:
        (status, _), *_ = r.reads.get((arg, ord("v")), [(-1, b"")])
        if status < 0:
            return _pointer(r.args[arg])
        strings = []
        for how, data in r.reads.get((arg, ord("s")), ()):
            strings.append(quoted(data, self._limit, cut=how == 1) if how >= 0 else "0x?")
        return f"[{', '.join(strings + ['...'] * (status == 1))}]"

    def _iovec(self, r: Record, arg: int) -> str:
        (status, table), *_ = r.reads.get((arg, ord("i")), [(-1, b"")])
        if status < 0:
            return _pointer(r.args[arg])
        parts = r.reads.get((arg, ord("b")), [])
        shown = []
        for at in range(len(table) // 16):
            base, size = struct.unpack_from("<QQ", table, 16 * at)
            how, data = parts[at] if at < len(parts) else (-1, b"")
            text = quoted(data, self._limit, cut=how == 1) if how >= 0 else _pointer(base)
            shown.append(f"{{iov_base={text}, iov_len={size}}}")
        return f"[{', '.join(shown + ['...'] * (status == 1))}]"


# ---- structures ----


def _sockaddr(data: bytes) -> str:
    (family,) = struct.unpack_from("<H", data)
    name = names.one(family, names.ONE["af"])
    rest = data[2:]
    if name == "AF_UNIX":
        if rest[:1] == b"\0" and len(rest) > 1:
            return f"{{sa_family=AF_UNIX, sun_path=@{quoted(rest[1:], 108)}}}"
        return f"{{sa_family=AF_UNIX, sun_path={quoted(rest.partition(bytes(1))[0], 108)}}}" if rest else "{sa_family=AF_UNIX}"
    if name == "AF_INET":
        port, address = struct.unpack_from(">H4s", rest)
        return f'{{sa_family=AF_INET, sin_port=htons({port}), sin_addr=inet_addr("{inet_ntop(2, address)}")}}'
    if name == "AF_INET6":
        port, flow, address, scope = struct.unpack_from(">HI16sI", rest)
        where = f'inet_pton(AF_INET6, "{inet_ntop(10, address)}")'
        scope = int.from_bytes(scope.to_bytes(4, "big"), "little")
        return f"{{sa_family=AF_INET6, sin6_port=htons({port}), sin6_flowinfo={flow}, sin6_addr={where}, sin6_scope_id={scope}}}"
    if name == "AF_NETLINK":
        pid, groups = struct.unpack_from("<2xII", rest)
        return f"{{sa_family=AF_NETLINK, nl_pid={pid}, nl_groups={groups:#x}}}"
    return f"{{sa_family={name}, sa_data={quoted(rest, 32)}}}"


def _how(data: bytes) -> str:
    flags, mode, resolve = struct.unpack_from("<QQQ", data)
    text = f"{{flags={names.open_flags(flags)}"
    if flags & (0o100 | _TMPFILE) or mode:
        text += f", mode={names.mode(mode)}"
    return text + f", resolve={names.bits(resolve, names.BITS['resolve'])}}}"


def _timespec(seconds: int, nanoseconds: int) -> str:
    return _UTIME.get(nanoseconds) or f"{{tv_sec={seconds}, tv_nsec={nanoseconds}}}"


def _ts(data: bytes) -> str:
    return f"{{tv_sec={struct.unpack_from('<q', data)[0]}, tv_nsec={struct.unpack_from('<q', data, 8)[0]}}}"


def _times(data: bytes) -> str:
    numbers = struct.unpack_from("<4q", data)
    return f"[{_timespec(*numbers[:2])}, {_timespec(*numbers[2:])}]"


def _timevals(data: bytes) -> str:
    a, b, c, d = struct.unpack_from("<4q", data)
    return f"[{{tv_sec={a}, tv_usec={b}}}, {{tv_sec={c}, tv_usec={d}}}]"


def _utimbuf(data: bytes) -> str:
    actime, modtime = struct.unpack_from("<2q", data)
    return f"{{actime={actime}, modtime={modtime}}}"


def _stat(data: bytes) -> str:
    mode, _uid, _gid, _pad, rdev, size = struct.unpack_from("<4IQq", data, 24)
    if mode & 0o170000 in (0o020000, 0o060000):
        return f"{{st_mode={names.mode(mode)}, st_rdev=makedev({os.major(rdev):#x}, {os.minor(rdev):#x}), ...}}"
    return f"{{st_mode={names.mode(mode)}, st_size={size}, ...}}"


def _fds(data: bytes) -> str:
    return "[{}, {}]".format(*struct.unpack_from("<2i", data))


STRUCTURES: dict[str, Callable[[bytes], str]] = {
    "addr": _sockaddr,
    "how": _how,
    "ts": _ts,
    "times": _times,
    "timevals": _timevals,
    "utimbuf": _utimbuf,
    "stat": _stat,
    "fds": _fds,
}
