"""The workload's filter against the table it was made from, in the simulator and in the kernel."""

from __future__ import annotations

import errno
import os
import pickle
import random
import traceback
from typing import TYPE_CHECKING

import pytest
from boundaries import EDGES, U32, U64, boundary_calls
from bpf_vm import check, constant_allow, execute
from hypothesis import given
from hypothesis import strategies as st

from sentry.abi import PR_SET_NO_NEW_PRIVS
from sentry.platform import filter as filters
from sentry.platform.bpf import (
    AUDIT_ARCH_X86_64,
    RET_ALLOW,
    RET_ERRNO,
    RET_KILL_PROCESS,
    RET_TRACE,
    RET_USER_NOTIF,
    TRACE_MARK,
    X32_BIT,
    sock_filter,
)
from sentry.syscalls.numbers import NUMBERS
from sentry.syscalls.table import NETWORKS, PROFILES, ROWS, Denied, If, Mediated, Native, decide

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bpf_vm import Instruction

    from sentry.platform.bpf import Rule
    from sentry.syscalls.table import Disposition, Row

BY_NAME = {row.name: row for row in ROWS}
VARIANTS = [(profile, network) for profile in PROFILES for network in NETWORKS]
PROGRAMS: dict[tuple[str, str], list[Instruction]] = {v: check(filters.program(*v)) for v in VARIANTS}
AUDIT_ARCH_I386 = 0x40000003


def returned(disposition: Disposition, args: tuple[int, ...]) -> int:
    leaf = decide(disposition, args)
    if isinstance(leaf, Native):
        return RET_ALLOW
    return RET_ERRNO | leaf.errno if isinstance(leaf, Denied) and not leaf.counted else RET_USER_NOTIF


def rules_of(disposition: Disposition) -> Iterator[Rule]:
    while isinstance(disposition, If):
        yield disposition.rule
        disposition = disposition.otherwise


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_each_row_at_the_boundaries_of_its_rules(row: Row) -> None:
    for variant in VARIANTS:
        disposition = row.disposition(*variant)
        for args in boundary_calls(rules_of(disposition)):
            got = execute(PROGRAMS[variant], row.number, AUDIT_ARCH_X86_64, args)[0]
            assert got == returned(disposition, args), (variant, [hex(a) for a in args])


def test_a_traced_filter_differs_in_who_is_asked_and_who_may_trace() -> None:
    """RET_TRACE in the place of RET_USER_NOTIF, everywhere; nobody else traces, and nobody is born untraced or gets a listener."""
    clone, ptrace = BY_NAME["clone"].number, BY_NAME["ptrace"].number
    for variant in (("standard", "none"), ("strict", "shared")):
        traced = check(filters.program(*variant, traced=True))
        for row in ROWS:
            disposition = row.disposition(*variant)
            for args in boundary_calls(rules_of(disposition)):
                told = returned(disposition, args)
                expected = RET_TRACE | TRACE_MARK if told == RET_USER_NOTIF else told
                if row.number == ptrace or (row.number == clone and args[0] & 0x800000):
                    expected = RET_ERRNO | errno.EPERM
                got = execute(traced, row.number, AUDIT_ARCH_X86_64, args)[0]
                assert got == expected, (variant, row.name, [hex(a) for a in args])
        for nr in (600, 1000, X32_BIT - 1):
            assert execute(traced, nr, AUDIT_ARCH_X86_64, [0] * 6)[0] == RET_TRACE | TRACE_MARK
        untraced = execute(traced, clone, AUDIT_ARCH_X86_64, [0x800000 | 17, 0, 0, 0, 0, 0])[0]
        listener = execute(traced, NUMBERS["seccomp"], AUDIT_ARCH_X86_64, [1, 8, 0, 0, 0, 0])[0]
        assert (untraced, listener) == (RET_ERRNO | errno.EPERM, RET_TRACE | TRACE_MARK)
        assert RET_USER_NOTIF not in {k for op, _, _, k in sock_filter.iter_unpack(filters.program(*variant, traced=True)) if op == 6}


registers = st.one_of(st.integers(0, U64), st.integers(0, 300), st.sampled_from(sorted(EDGES)))


@given(st.sampled_from(ROWS), st.sampled_from(VARIANTS), st.lists(registers, min_size=6, max_size=6), st.integers(0, U64))
def test_any_registers(row: Row, variant: tuple[str, str], args: list[int], ip: int) -> None:
    got = execute(PROGRAMS[variant], row.number, AUDIT_ARCH_X86_64, args, ip)[0]
    assert got == returned(row.disposition(*variant), tuple(args))


@pytest.mark.parametrize("variant", VARIANTS, ids="-".join)
def test_numbers_that_nobody_has(variant: tuple[str, str]) -> None:
    def decision(nr: int, arch: int = AUDIT_ARCH_X86_64) -> int:
        return execute(PROGRAMS[variant], nr, arch, [0] * 6)[0]

    known = {row.number for row in ROWS}
    unknown = [*(nr for nr in range(600) if nr not in known), 1000, X32_BIT - 1]
    assert {decision(nr) for nr in unknown} == {RET_USER_NOTIF}
    x32 = [X32_BIT, X32_BIT | 1, X32_BIT | 512, 1 << 31, U32 - 1]
    assert {decision(nr) for nr in x32} == {RET_ERRNO | errno.ENOSYS}
    assert decision(U32) == RET_ALLOW
    for nr in (0, 1, 5, 39, U32, X32_BIT):
        assert decision(nr, AUDIT_ARCH_I386) == decision(nr, AUDIT_ARCH_X86_64 ^ 1) == decision(nr, 0) == RET_KILL_PROCESS


@pytest.mark.parametrize("variant", VARIANTS, ids="-".join)
def test_a_native_call_costs_nothing_in_the_kernel(variant: tuple[str, str]) -> None:
    """What is native whatever its arguments is recognised by seccomp_is_const_allow(), and nothing else is."""
    program = filters.program(*variant)
    for row in ROWS:
        assert constant_allow(program, row.number) == isinstance(row.disposition(*variant), Native), row.name


HOT = {"read": 12, "write": 12, "futex": 15, "openat": 16, "mmap": 12, "fcntl": 17, "ioctl": 20, "clone": 15, "recvfrom": 18}


@pytest.mark.parametrize("variant", VARIANTS, ids="-".join)
def test_the_instructions_of_frequent_calls(variant: tuple[str, str]) -> None:
    calls = {"fcntl": (0, 3), "ioctl": (0, 0x5401), "clone": (17,)}
    for name, most in HOT.items():
        args = (*calls.get(name, ()), 0, 0, 0, 0, 0, 0)[:6]
        assert execute(PROGRAMS[variant], NUMBERS[name], AUDIT_ARCH_X86_64, args)[1] <= most, name


def test_what_is_to_be_sent_to_the_sentry_is_and_nothing_else_changes() -> None:
    chosen = {"read", "ioctl", "clone", "openat", "execve"}
    for variant in VARIANTS:
        program = check(filters.program(*variant, chosen))
        for row in ROWS:
            for args in boundary_calls(rules_of(row.disposition(*variant))):
                wanted = RET_USER_NOTIF if row.name in chosen else returned(row.disposition(*variant), args)
                assert execute(program, row.number, AUDIT_ARCH_X86_64, args)[0] == wanted, row.name
        assert filters.notified(*variant, chosen) == filters.notified(*variant) | {NUMBERS[name] for name in chosen}


def test_the_attack_surface() -> None:
    for variant in VARIANTS:
        counts = filters.surface(*variant)
        assert sum(counts.values()) == len(ROWS)
        assert counts["native"] == sum(isinstance(row.disposition(*variant), Native) for row in ROWS)
    standard, strict = filters.surface("standard"), filters.surface("strict")
    assert strict["native"] < standard["native"]
    assert strict["denied"] == standard["denied"]


# ---- the kernel ----

NOTIFIED = errno.EL2HLT
"""What a notification becomes where there is no listener."""


def without_listener(program: bytes) -> bytes:
    code = list(sock_filter.iter_unpack(program))
    told = [(op, jt, jf, RET_ERRNO | NOTIFIED if k == RET_USER_NOTIF and op == 6 else k) for op, jt, jf, k in code]
    return b"".join(sock_filter.pack(*i) for i in told)


def in_child(program: bytes, body: Callable[[Callable[..., int]], object]) -> object:
    """`body` in a process with that filter; it gets a function that makes a raw system call."""
    lib = pytest.importorskip("sentry.platform._native").lib
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            lib.prctl_(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            answer: object = lib.filter_install(program, len(program) // 8, 0)

            def call(name: str | int, *args: int) -> int:
                nr = NUMBERS[name] if isinstance(name, str) else name
                return int(lib.syscall6(nr, *[a & U64 for a in args], *[0] * (6 - len(args))))

            if answer == 0:
                answer = body(call)
            os.write(into, pickle.dumps(answer))
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(into)
    with open(out, "rb") as pipe:
        data = pipe.read()
    _, status = os.waitpid(pid, 0)
    assert status == 0
    return pickle.loads(data)


def kernel_loads(program: bytes) -> bool:
    lib = pytest.importorskip("sentry.platform._native").lib
    pid = os.fork()
    if pid == 0:
        lib.prctl_(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        os._exit(0 if lib.filter_install(program, len(program) // 8, 0) == 0 else 3)
    _, status = os.waitpid(pid, 0)  # whatever the filter makes of exit_group
    return status != 3 << 8


REFUSED = [
    (f"{row.name}{args}", row, args)
    for row, args in [
        *((BY_NAME[name], ()) for name in ("openat", "mkdir", "execve", "bpf", "io_uring_setup", "clone3", "getppid", "stat")),
        (BY_NAME["ioctl"], (0, 0x5412)),
        (BY_NAME["ioctl"], (-1, 0xDEAD << 32 | 0x5401)),
        (BY_NAME["socket"], (38, 5, 0)),
        (BY_NAME["socket"], (0xBAD << 32 | 1, 1 | 0o2000000, 0)),
        (BY_NAME["clone"], (0x10000000 | 17, 0, 0, 0, 0)),
        (BY_NAME["unshare"], (0x40000000,)),
        (BY_NAME["personality"], (U64,)),
        (BY_NAME["personality"], (0x100000,)),
        (BY_NAME["utimensat"], (-1, 0, 0, 0)),
        (BY_NAME["utimensat"], (-1, 1 << 32, 0, 0)),
        (BY_NAME["setsockopt"], (-1, 6, 31)),
        (BY_NAME["setsockopt"], (-1, 6, 1)),
        (BY_NAME["seccomp"], (1, 8, 0)),
        (BY_NAME["seccomp"], (2, 0, 0)),
    ]
]


@pytest.mark.parametrize("variant", [v for v in VARIANTS if v[1] != "host"], ids="-".join)
def test_the_kernel_decides_as_the_simulator(variant: tuple[str, str]) -> None:
    program = without_listener(filters.program(*variant))
    code = check(program)

    def body(call: Callable[..., int]) -> list[int]:
        return [call(row.name, *args) for _, row, args in REFUSED]

    results = in_child(program, body)
    assert isinstance(results, list)
    refusals = 0
    for (what, row, args), result in zip(REFUSED, results, strict=True):
        six = (*(a & U64 for a in args), 0, 0, 0, 0, 0, 0)[:6]
        decision = execute(code, row.number, AUDIT_ARCH_X86_64, six)[0]
        if decision == RET_ALLOW:
            assert result not in (-NOTIFIED, -errno.ENOSYS), what
        else:
            assert result == -(decision & 0xFFFF), what
            refusals += 1
    assert 10 < refusals < len(REFUSED)


def test_the_kernel_loads_every_variant_and_refuses_what_check_refuses() -> None:
    for variant in VARIANTS:
        assert in_child(without_listener(filters.program(*variant)), lambda call: call("getpid")) != -NOTIFIED
    good = sock_filter.pack(6, 0, 0, RET_ALLOW)
    rng = random.Random(20)
    wrong = [
        sock_filter.pack(0x28, 0, 0, 0) + good,
        sock_filter.pack(0x20, 0, 0, 64) + good,
        sock_filter.pack(0x15, 0, 1, 0) + good,
        sock_filter.pack(0x05, 0, 0, 1) + good,
        sock_filter.pack(0x94, 0, 0, 3) + good,
        sock_filter.pack(0x60, 0, 0, 0) + good,
        sock_filter.pack(0x34, 0, 0, 0) + good,
        good * 4097,
    ]
    wrong += [sock_filter.pack(rng.randrange(0x100), rng.randrange(3), 0, rng.randrange(70)) + good * 2 for _ in range(60)]
    for program in wrong:
        try:
            check(program)
            loads = True
        except ValueError:
            loads = False
        assert kernel_loads(program) == loads, program[:8].hex()


def test_numbers_beyond_the_table_in_the_kernel() -> None:
    program = without_listener(filters.program("standard"))
    results = in_child(program, lambda call: [call(nr) for nr in (337, 1000, X32_BIT | 39, U32)])
    assert results == [-NOTIFIED, -NOTIFIED, -errno.ENOSYS, -errno.ENOSYS]


def test_mediated_rows_are_told_to_the_sentry() -> None:
    for variant in VARIANTS:
        for row in ROWS:
            if isinstance(row.disposition(*variant), Mediated):
                assert execute(PROGRAMS[variant], row.number, AUDIT_ARCH_X86_64, [0] * 6)[0] == RET_USER_NOTIF
