"""Records as lines: what strace would print, and that nothing in a record can break a line or the reader."""

from __future__ import annotations

import errno
import json
import os
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runsc_cli.trace.lines import Lines, Record, quoted, records
from sentry.syscalls.numbers import NUMBERS
from sentry.trace import CALL, CONTINUED, DROPPED, HEAD, HEAD_SIZE, INJECTED, KILLED, MEDIATED, READ, RESUMED, UNFINISHED

AT_FDCWD = (1 << 64) - 100


def record(
    name: str, *args: int, reads: tuple[tuple[int, str, int, int, bytes], ...] = (), result: int = 0, kind: int = CALL, outcome: int = MEDIATED
) -> bytes:
    """As sentry/trace.py writes it, of thread 7 in process 3, after 123 µs. `reads`: argument, kind, element, status, bytes."""
    body = b"".join(struct.pack(READ, arg, ord(what), element, status, len(data)) + data for arg, what, element, status, data in reads)
    registers = [*args, *[0] * (6 - len(args))]
    number = NUMBERS[name]
    return struct.pack(HEAD, HEAD_SIZE + len(body), kind, outcome, 3, 7, number, result, 1_500_000_000, 123_000, *registers) + body


def line(*args: object, limit: int = 32, **more: object) -> str:
    return Lines(limit=limit).line(Record(record(*args, **more)))  # type: ignore[arg-type]


def path(arg: int, text: bytes) -> tuple[int, str, int, int, bytes]:
    return arg, "s", 0, 0, text


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (record("openat", AT_FDCWD, 9, 0o2000000, reads=(path(1, b"/etc/hostname"),), result=3),
         'openat(AT_FDCWD, "/etc/hostname", O_RDONLY|O_CLOEXEC) = 3'),
        (record("openat", AT_FDCWD, 9, 0o102, 0o644, reads=(path(1, b"f"),), result=-13),
         'openat(AT_FDCWD, "f", O_RDWR|O_CREAT, 0644) = -1 EACCES (Permission denied)'),
        (record("openat", 4, 9, 0o20200002, 0o600, reads=(path(1, b"."),), result=5), 'openat(4, ".", O_RDWR|O_TMPFILE, 0600) = 5'),
        (record("open", 9, 0o4010001, reads=(path(0, b"f"),), result=5), 'open("f", O_WRONLY|O_SYNC) = 5'),
        (record("open", 0, 0, result=-14), "open(NULL, O_RDONLY) = -1 EFAULT (Bad address)"),
        (record("open", 0xDEAD, 0, reads=((0, "s", 0, -14, b""),), result=-14), "open(0xdead, O_RDONLY) = -1 EFAULT (Bad address)"),
        (record("mkdir", 9, 0o755, reads=(path(0, b"d"),)), 'mkdir("d", 0755) = 0'),
        (record("mknodat", AT_FDCWD, 9, 0o10666, reads=(path(1, b"p"),)), 'mknodat(AT_FDCWD, "p", S_IFIFO|0666, 0) = 0'),
        (record("unlinkat", 3, 9, 0x200, reads=(path(1, b"d"),)), 'unlinkat(3, "d", AT_REMOVEDIR) = 0'),
        (record("faccessat2", 3, 9, 6, 0x200, reads=(path(1, b"d"),)), 'faccessat2(3, "d", W_OK|R_OK, AT_EACCESS) = 0'),
        (record("access", 9, 0, reads=(path(0, b"d"),)), 'access("d", F_OK) = 0'),
        (record("chown", 9, 0xFFFFFFFF, 5, reads=(path(0, b"d"),)), 'chown("d", -1, 5) = 0'),
        (record("openat2", 3, 9, 10, 24, reads=(path(1, b"d"), (2, "f", 0, 0, struct.pack("<QQQ", 0o100, 0o600, 0x10))), result=4),
         'openat2(3, "d", {flags=O_RDONLY|O_CREAT, mode=0600, resolve=RESOLVE_IN_ROOT}, 24) = 4'),
        (record("write", 1, 9, 40, reads=((1, "b", 0, 1, b"x" * 32),), outcome=CONTINUED),
         f'write(1, "{"x" * 32}"..., 40) = ?'),
        (record("writev", 1, 9, 1, reads=((1, "i", 0, 0, struct.pack("<QQ", 8, 2)), (1, "b", 0, 0, b"ab")), outcome=CONTINUED),
         'writev(1, [{iov_base="ab", iov_len=2}], 1) = ?'),
        (record("execve", 9, 10, 11, reads=(path(0, b"/bin/sh"), (1, "s", 0, 0, b"sh"), (1, "s", 1, 0, b"-c"), (1, "v", 2, 1, b"")),
                outcome=CONTINUED),
         'execve("/bin/sh", ["sh", "-c", ...], 0xb) = ?'),
        (record("socket", 2, 0o2000001, 0, result=3), "socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, 0) = 3"),
        (record("connect", 3, 9, 16, reads=((1, "b", 0, 0, struct.pack("<H", 2) + struct.pack(">H4s8x", 443, bytes([192, 0, 2, 1]))),),
                result=-101),
         'connect(3, {sa_family=AF_INET, sin_port=htons(443), sin_addr=inet_addr("192.0.2.1")}, 16) = -1 ENETUNREACH (Network is unreachable)'),
        (record("connect", 3, 9, 28, reads=((1, "b", 0, 0, struct.pack("<H", 10) + struct.pack(
            ">HI16sI", 53, 0, socket.inet_pton(socket.AF_INET6, "::1"), 0)),)),
         ('connect(3, {sa_family=AF_INET6, sin6_port=htons(53), sin6_flowinfo=0, sin6_addr=inet_pton(AF_INET6, "::1"), sin6_scope_id=0}, 28)'
         " = 0")),
        (record("bind", 3, 9, 7, reads=((1, "b", 0, 0, b"\1\0/s\0xx"),)), 'bind(3, {sa_family=AF_UNIX, sun_path="/s"}, 7) = 0'),
        (record("bind", 3, 9, 5, reads=((1, "b", 0, 0, b"\1\0\0ab"),)), 'bind(3, {sa_family=AF_UNIX, sun_path=@"ab"}, 5) = 0'),
        (record("bind", 3, 9, 1, reads=((1, "b", 0, 0, b"\2"),), result=-22), "bind(3, 0x9, 1) = -1 EINVAL (Invalid argument)"),
        (record("socketpair", 1, 1, 0, 9, reads=((3, "F", 0, 0, struct.pack("<2i", 3, 4)),)),
         "socketpair(AF_UNIX, SOCK_STREAM, 0, [3, 4]) = 0"),
        (record("setsockopt", 3, 1, 2, 9, 4, reads=((3, "b", 0, 0, b"\1\0\0\0"),), outcome=CONTINUED),
         r'setsockopt(3, SOL_SOCKET, SO_REUSEADDR, "\1\0\0\0", 4) = ?'),
        (record("utimensat", AT_FDCWD, 9, 10, 0,
                reads=(path(1, b"f"), (2, "f", 0, 0, struct.pack("<4q", 5, 6, 0, 0x3FFFFFFE)))),
         'utimensat(AT_FDCWD, "f", [{tv_sec=5, tv_nsec=6}, UTIME_OMIT], 0) = 0'),
        (record("readlink", 9, 10, 64, reads=(path(0, b"l"), (1, "o", 0, 0, b"there")), result=5), 'readlink("l", "there", 64) = 5'),
        (record("mmap", 0, 4096, 3, 0x22, (1 << 64) - 1, 0, outcome=CONTINUED),
         "mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = ?"),
        (record("clone", 0x1200011, 0, outcome=INJECTED, result=-11),
         ("clone(CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD, NULL, NULL, NULL, NULL) = -1 EAGAIN"
         " (Resource temporarily unavailable) (INJECTED)")),
        (record("fsync", 3, outcome=INJECTED), "fsync(3) = 0 (INJECTED)"),
        (record("openat", AT_FDCWD, 9, 0, reads=(path(1, b"p"),), result=-512),
         'openat(AT_FDCWD, "p", O_RDONLY) = ? ERESTARTSYS (To be restarted if SA_RESTART is set)'),
        (record("umask", 0o22, outcome=CONTINUED), "umask(022) = ?"),
        (record("mkdir", 9, 0, reads=(path(0, b"d"),), outcome=KILLED), 'mkdir("d", 000) = ? (killed: the sentry failed)'),
        (record("ioctl", 0, 0x5412, 9, result=-25), "ioctl(0, TIOCSTI, 0x9) = -1 ENOTTY (Inappropriate ioctl for device)"),
    ],
)  # fmt: skip
def test_as_strace_prints_it(raw: bytes, shown: str) -> None:
    assert Lines().line(Record(raw)) == f"[pid     7] {shown} <0.000123>\n"


def test_a_call_that_waits_is_two_lines() -> None:
    assert line("open", 9, 0, reads=(path(0, b"p"),), kind=UNFINISHED) == '[pid     7] open("p", O_RDONLY <unfinished ...>\n'
    assert line("open", 9, 0, kind=RESUMED, result=3) == "[pid     7] <... open resumed>) = 3 <0.000123>\n"


def test_in_a_file_the_process_has_no_brackets_and_a_raw_terminal_gets_its_carriage_return() -> None:
    assert Lines(bracket=False).line(Record(record("fsync", 3))) == "7     fsync(3) = 0 <0.000123>\n"
    assert Lines(newline="\r\n").line(Record(record("fsync", 3))).endswith(">\r\n")


def test_what_was_lost_is_said() -> None:
    raw = record("read", result=17, kind=DROPPED)
    assert Lines().line(Record(raw)) == "--- 17 records were dropped: the reader is too slow ---\n"
    assert json.loads(Lines(json=True).line(Record(raw)))["dropped"] == 17


def test_json() -> None:
    raw = record("openat", AT_FDCWD, 9, 0, reads=(path(1, b'a"\n\xff'),), result=-2)
    assert json.loads(Lines(json=True).line(Record(raw))) == {
        "pid": 3,
        "tid": 7,
        "time": 1.5,
        "call": "openat",
        "nr": 257,
        "args": ["AT_FDCWD", r'"a\"\n\377"', "O_RDONLY"],
        "outcome": "mediated",
        "result": -1,
        "error": "ENOENT",
        "duration": 0.000123,
    }
    continued = json.loads(Lines(json=True).line(Record(record("umask", 0o22, outcome=CONTINUED))))
    assert "result" not in continued
    assert continued["outcome"] == "continued"


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"abc", '"abc"'),
        (b'"\\\t\n\v\f\r', r'"\"\\\t\n\v\f\r"'),
        (b"\0\1\x7f\xff", r'"\0\1\177\377"'),
        (b"\0001", r'"\0001"'),  # a digit follows: three digits, or it would be another number
        (b"\x1b[2J", r'"\33[2J"'),
        ("é".encode(), r'"\303\251"'),
    ],
)
def test_quoting(data: bytes, shown: str) -> None:
    assert quoted(data, 32) == shown


def test_a_long_string_is_cut_where_it_was_asked_for() -> None:
    assert quoted(b"abcdef", 3) == '"abc"...'
    assert quoted(b"abc", 3) == '"abc"'
    assert quoted(b"abc", 3, cut=True) == '"abc"...'
    assert line("mq_unlink", 9, reads=((0, "s", 0, 1, b"abcd"),), limit=3).startswith('[pid     7] mq_unlink("abc"...)')


# ---- whatever it is ----

U64 = st.one_of(st.integers(0, (1 << 64) - 1), st.integers(0, 300), st.sampled_from([AT_FDCWD, (1 << 64) - 1, 1 << 63, 1 << 31, 1 << 32]))
READS = st.lists(
    st.tuples(st.integers(0, 7), st.sampled_from("sbfFoviQ"), st.integers(0, 255), st.integers(-4096, 1), st.binary(max_size=160)), max_size=6
)


def one_printable_line(text: str) -> bool:
    return text.endswith("\n") and all(0x20 <= ord(char) < 0x7F for char in text[:-1])


@given(
    st.sampled_from(sorted(NUMBERS)),
    st.lists(U64, min_size=6, max_size=6),
    READS,
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.integers(0, 3),
    st.integers(0, 255),
)
def test_any_record_of_any_call_is_one_line(
    name: str, args: list[int], reads: list[tuple[int, str, int, int, bytes]], result: int, kind: int, outcome: int
) -> None:
    found = Record(record(name, *args, reads=tuple(reads), result=result, kind=kind, outcome=outcome))
    assert one_printable_line(Lines().line(found))
    text = Lines(json=True).line(found)
    assert one_printable_line(text)
    json.loads(text)


@given(st.integers(-(1 << 31), (1 << 31) - 1), st.integers(0, 5))
def test_any_number_has_a_line(nr: int, outcome: int) -> None:
    found = Record(struct.pack(HEAD, HEAD_SIZE, CALL, outcome, 1, 1, nr, -errno.ENOSYS, 0, 0, 1, 2, 3, 4, 5, 6))
    assert one_printable_line(Lines().line(found))
    json.loads(Lines(json=True).line(found))


@given(st.binary(max_size=400))
def test_what_is_no_record_is_refused_and_never_loops(raw: bytes) -> None:
    buffer = bytearray(raw)
    try:
        for found in records(buffer):
            Lines().line(found)
    except (ValueError, struct.error):
        return
    assert len(buffer) < HEAD_SIZE or len(buffer) < buffer[0] | buffer[1] << 8


@given(st.binary(max_size=200))
def test_a_quoted_string_reads_back_as_what_it_was(data: bytes) -> None:
    text = quoted(data, 200)
    assert text[1:-1].encode().decode("unicode_escape").encode("latin-1") == data


def test_the_texts_of_errors_are_libcs() -> None:
    assert f"({os.strerror(errno.ENOSPC)})" in line("mkdir", 9, 0, result=-errno.ENOSPC)
