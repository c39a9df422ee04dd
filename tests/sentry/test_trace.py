"""What a trace writes, and that it never waits for whoever reads. With this process's own memory as the caller's."""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from runsc_cli.trace.lines import Lines, Record, records
from runsc_cli.trace.signatures import reads
from sentry.creds import CredentialCache
from sentry.platform._native import ffi
from sentry.syscalls.numbers import NUMBERS
from sentry.trace import CALL, DROPPED, HEAD_SIZE, MEDIATED, PIPE_BUF, Look, Trace, Watch

BUFFER = ffi.new("char[]", PIPE_BUF)


class Caller:
    """A call of our own."""

    def __init__(self, nr: int, *args: int) -> None:
        self.nr = nr
        self.tid = os.getpid()
        self.args = [*args, *[0] * (6 - len(args))]


def address(data: bytes) -> tuple[int, object]:
    """Of a copy of `data`, and what keeps that."""
    kept = ctypes.create_string_buffer(data, len(data))
    return ctypes.addressof(kept), kept


def pipe() -> tuple[int, int]:
    return os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)


def told(name: str, *args: int, result: int = 0, limit: int = 32, plan: list[list[Any]] | None = None) -> list[Record]:
    reading, writing = pipe()
    number = NUMBERS[name]
    trace = Trace(writing, None, {str(number): reads(name, limit) if plan is None else plan})
    caller = cast("Any", Caller(number, *args))
    look = Look(trace, caller, (1, 1))
    look.look(caller, BUFFER, None)
    look.look(caller, BUFFER, result)
    look.tell(CALL, MEDIATED, result)
    trace.close()
    raw = bytearray(os.read(reading, 1 << 16))
    os.close(reading)
    assert len(raw) <= PIPE_BUF
    return list(records(raw))


def shown(name: str, *args: int, result: int = 0, limit: int = 32) -> str:
    (record,) = told(name, *args, result=result, limit=limit)
    return Lines(limit=limit).line(record).partition("] ")[2].rpartition(" <")[0]


def test_a_path_and_a_buffer() -> None:
    path, keep = address(b"/etc/x\0")
    assert shown("mkdir", path, 0o755) == 'mkdir("/etc/x", 0755) = 0'
    data, keep2 = address(b"0123456789")
    assert shown("write", 1, data, 10, limit=4) == 'write(1, "0123"..., 10) = 0'
    assert shown("write", 1, data, 4, limit=4) == 'write(1, "0123", 4) = 0'
    assert shown("readlink", path, data, 10, result=3) == 'readlink("/etc/x", "012", 10) = 3'
    assert keep
    assert keep2


def test_arrays() -> None:
    a, keep_a = address(b"one\0")
    b, keep_b = address(b"two\0")
    vector, keep = address(struct.pack("<3Q", a, b, 0))
    assert shown("execve", a, vector, 0) == 'execve("one", ["one", "two"], NULL) = 0'
    iov, keep_iov = address(struct.pack("<4Q", a, 3, 1, 2))
    assert shown("writev", 1, iov, 2) == 'writev(1, [{iov_base="one", iov_len=3}, {iov_base=0x1, iov_len=2}], 2) = 0'
    assert keep
    assert keep_a
    assert keep_b
    assert keep_iov


def test_more_than_a_record_holds_is_cut_and_the_record_stays_whole() -> None:
    long, keep = address(b"x" * 4095 + b"\0")
    (record,) = told("rename", long, long)
    lengths = [len(data) for parts in record.reads.values() for _, data in parts]
    assert len(lengths) == 2
    assert all(1900 < length < 2048 for length in lengths)
    vector, keep2 = address(struct.pack("<33Q", *[long] * 32, 0))
    told("execve", long, vector, 0, limit=1000)
    iov, keep3 = address(struct.pack("<Q", long) * 2 * 32)
    told("writev", 1, iov, 1 << 40, limit=1024)
    assert keep
    assert keep2
    assert keep3


POINTERS = st.one_of(st.integers(0, (1 << 64) - 1), st.sampled_from([0, 1, 4095, (1 << 47) - 1, 1 << 47, (1 << 64) - 1, id(BUFFER)]))


@settings(deadline=None)  # it asks the kernel, on a machine that may be busy
@given(st.sampled_from(sorted(NUMBERS)), st.lists(POINTERS, min_size=6, max_size=6), st.integers(-4095, 1 << 40), st.integers(0, 1024))
def test_any_pointers(name: str, args: list[int], result: int, limit: int) -> None:
    (record,) = told(name, *args, result=result, limit=limit)
    assert Lines(limit=limit).line(record).count("\n") == 1


def test_a_reader_that_does_not_read_costs_nothing_and_learns_what_it_has_missed() -> None:
    reading, writing = pipe()
    trace = Trace(writing, None, {})
    record = b"\x58" + bytes(HEAD_SIZE - 1)
    for _ in range(10_000):
        trace.write(record)
    assert trace.dropped > 0
    dropped = trace.dropped
    kept = os.read(reading, 1 << 20)
    assert len(kept) + dropped * HEAD_SIZE == 10_000 * HEAD_SIZE
    trace.write(record)
    first, second = records(bytearray(os.read(reading, 1 << 20)))
    assert (first.kind, first.result) == (DROPPED, dropped)
    assert second.kind == 0
    trace.close()
    os.close(reading)


def test_the_last_loss_is_told_at_the_end() -> None:
    reading, writing = pipe()
    trace = Trace(writing, None, {})
    while not trace.dropped:
        trace.write(b"\x58" + bytes(HEAD_SIZE - 1))
    os.read(reading, 1 << 20)
    trace.finish()
    (last,) = records(bytearray(os.read(reading, 1 << 20)))
    assert (last.kind, last.result) == (DROPPED, 1)
    os.close(reading)


def test_a_closed_trace_writes_nowhere() -> None:
    reading, writing = pipe()
    trace = Trace(writing, None, {})
    trace.close()
    victim_read, victim = pipe()  # which gets the number that was free
    trace.write(b"x")
    os.set_blocking(victim_read, False)
    os.close(victim)
    assert os.read(victim_read, 1) == b""
    os.close(victim_read)
    os.close(reading)


class Credentials:
    """Remembers whether native loops may answer."""

    watched = False

    def watch(self, watched: bool) -> None:
        self.watched = watched


class Kernel:
    """What a Watch asks of one."""

    def __init__(self) -> None:
        self.credentials = Credentials()


def test_when_nobody_looks_the_table_is_as_it_was() -> None:
    """The plain handlers are there again, what had none has none, and the loop in C may answer opens."""

    def plain(_: object) -> object:
        return 0

    handlers: dict[int, Any] = {257: plain, 83: plain}
    kernel = Kernel()
    watch = Watch(cast("Any", kernel), handlers, {165: 1}, lambda _: plain)
    reading, writing = pipe()
    trace = Trace(writing, None, {})
    watch.change([trace])
    assert all(handler is not plain for handler in handlers.values())
    assert set(handlers) == {83, 165, 257}
    assert kernel.credentials.watched
    watch.change([Trace(-1, [83], {})])
    assert handlers[257] is plain
    assert handlers[83] is not plain
    assert not kernel.credentials.watched
    watch.change([])
    assert handlers == {257: plain, 83: plain}
    trace.close()
    os.close(reading)


def test_native_loops_answer_again_when_nobody_looks_unless_identities_have_parted_meanwhile() -> None:
    cache = CredentialCache(-1, no_new_privs=True)
    cache.uniform = cast("Any", object())
    cache.watch(True)
    assert not cache.is_uniform[0]
    cache.watch(False)
    assert cache.is_uniform[0]
    cache.watch(True)
    cache.forget_all()
    cache.watch(False)
    assert not cache.is_uniform[0]
