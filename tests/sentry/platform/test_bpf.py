"""The assembler against the kernel's reading of its programs, and rules against what they say in Python."""

from __future__ import annotations

import ctypes
import json
import subprocess
from typing import TYPE_CHECKING

import pytest
from bpf_vm import MAX_INSNS, check, constant_allow, execute, simulate
from hypothesis import given
from hypothesis import strategies as st

from sentry.platform.bpf import (
    AND,
    ARGS,
    AUDIT_ARCH_X86_64,
    JA,
    JEQ,
    JGE,
    JGT,
    JSET,
    LD_ABS,
    RET,
    RET_ALLOW,
    RET_ERRNO,
    AllOf,
    AnyOf,
    Assembler,
    Equal,
    In,
    MaskZero,
    Not,
    Rule,
    sock_filter,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

U32 = (1 << 32) - 1
U64 = (1 << 64) - 1
YES, NO = RET_ALLOW, RET_ERRNO | 1


def compiled(rule: Rule) -> bytes:
    a = Assembler()
    no, yes = a.ret(NO), a.ret(YES)
    return a.program(rule.compile(a, yes, no))


def decide(program: bytes, *args: int) -> bool:
    registers = (*args, *[0] * (6 - len(args)))
    return {YES: True, NO: False}[simulate(program, 0, AUDIT_ARCH_X86_64, registers)]


def code(*instructions: tuple[int, int, int, int]) -> bytes:
    return b"".join(sock_filter.pack(*i) for i in instructions)


def around(value: int) -> set[int]:
    """Registers that a test for `value` might take for it, or not."""
    near = {value, value - 1, value + 1, value ^ 1 << 31, value ^ 1 << 63}
    garbage = {v & U32 | high for v in near for high in (0, 1 << 32, 1 << 63, U32 << 32)}
    return {v & U64 for v in near | garbage | {0, 1 << 31, U32, 1 << 32, 1 << 63, U64}}


# ---- widths, as C has them ----


@given(st.integers(0, U64), st.integers(-(1 << 31), U32))
def test_a_32_bit_argument_is_what_the_kernel_s_int_is(register: int, value: int) -> None:
    same = ctypes.c_uint32(register).value == ctypes.c_uint32(value).value
    assert decide(compiled(Equal(0, value)), register) == same


@pytest.mark.parametrize("value", [0, 1, 0x5401, U32, -1, 1 << 31])
def test_garbage_in_the_upper_half_of_a_32_bit_argument_changes_nothing(value: int) -> None:
    program = compiled(Equal(3, value))
    for high in (0, 1, 1 << 31, U32):
        assert decide(program, 0, 0, 0, high << 32 | value & U32)
        assert not decide(program, 0, 0, 0, high << 32 | (value ^ 4) & U32)


@pytest.mark.parametrize("value", [0, 1, U32, 1 << 32, -1, 1 << 63, 0x123456789ABCDEF0])
def test_a_64_bit_argument_is_compared_whole(value: int) -> None:
    program = compiled(Equal(0, value, width=64))
    for register in around(value):
        assert decide(program, register) == (register == value & U64), hex(register)


@pytest.mark.parametrize("width", [32, 64])
def test_each_bit_of_a_mask(width: int) -> None:
    mask = 0x8000_0001_8002_0400
    program = compiled(MaskZero(1, mask, width=width))
    for bit in range(64):
        assert decide(program, U64, 1 << bit) == (bit >= width or not mask >> bit & 1), bit
        assert decide(program, 0, 1 << bit | ~mask & U64) == (bit >= width or not mask >> bit & 1), bit
    assert decide(program, U64, 0)


def test_a_masked_value() -> None:
    program = compiled(In(1, (1, 2), mask=0xF))
    stream_nonblock_cloexec = 1 | 0o4000 | 0o2000000
    assert decide(program, 0, stream_nonblock_cloexec)
    assert decide(program, 0, 2 | 0xFFFFFFF0)
    assert not decide(program, 0, 3)
    assert not decide(program, 0, 0x11 ^ 1)


def test_a_rule_that_can_never_hold_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="never holds"):
        Equal(0, 0x10, mask=0xF)


# ---- sets of values ----


@pytest.mark.parametrize(
    "values", [(0,), (U32,), (0, U32), range(9), range(0, 100, 2), (5, 6, 7, 9, U32 - 1, U32), range(1, 600, 3)]
)
def test_a_set_by_chain_or_by_search(values: Sequence[int]) -> None:
    program = check(compiled(In(2, values)))
    for value in {r for v in values for r in around(v)}:
        got = execute(program, 0, 0, (0, 0, value, 0, 0, 0))[0]
        assert got == (YES if value & U32 in values else NO), hex(value)


def test_a_set_of_64_bit_values_with_equal_halves() -> None:
    values = {high << 32 | low for high in (0, 1, 7, U32) for low in (0, 1, 7, U32)} - {7 << 32 | 1, 1}
    program = check(compiled(In(0, sorted(values), width=64)))
    for value in {r for v in values for r in around(v)}:
        assert execute(program, 0, 0, (value, 0, 0, 0, 0, 0))[0] == (YES if value in values else NO), hex(value)


def test_a_long_set_costs_its_logarithm() -> None:
    program = check(compiled(In(0, range(0, 2000, 2))))
    stones = 2  # where the halves are further apart than a jump reaches
    assert max(execute(program, 0, 0, (v, 0, 0, 0, 0, 0))[1] for v in range(2001)) <= 2 + 11 + stones


# ---- combinations ----

registers = st.one_of(st.integers(0, 9), st.sampled_from(sorted(around(1 << 32) | around(5))), st.integers(0, U64))
masks = st.sampled_from([U64, 0xF, 1 << 31, 3 << 31, U32 << 32, 1 << 63 | 1])


@st.composite
def leaves(draw: st.DrawFn) -> Rule:
    arg = draw(st.integers(0, 2))
    width = draw(st.sampled_from([32, 64]))
    mask = draw(masks)
    if draw(st.booleans()):
        return MaskZero(arg, mask, width=width)
    values = draw(st.lists(registers, min_size=1, max_size=8))
    full = mask & (U32 if width == 32 else U64)
    return In(arg, [v & full for v in values], mask=mask, width=width)


rules = st.recursive(
    leaves(),
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.lists(inner, min_size=1, max_size=4).map(lambda r: AllOf(*r)),
        st.lists(inner, min_size=1, max_size=4).map(lambda r: AnyOf(*r)),
    ),
    max_leaves=12,
)


@given(rules, st.lists(st.tuples(registers, registers, registers), min_size=1, max_size=20))
def test_a_compiled_rule_decides_as_the_rule(rule: Rule, calls: list[tuple[int, int, int]]) -> None:
    program = check(compiled(rule))
    boundary = [v for word in rule.words() for value in word.values for v in (value, value + 1, value | 1 << 32)]
    calls += [(v & U64, v & U64, v & U64) for v in boundary]
    for call in calls:
        args = (*call, 0, 0, 0)
        assert execute(program, 0, 0, args)[0] == (YES if rule.holds(args) else NO), (str(rule), call)


def test_rules_read_as_text() -> None:
    rule = AnyOf(In(1, {"A": 1, "B": 2}), AllOf(Equal(0, 3), Not(MaskZero(2, {"FLAG": 8}))), MaskZero(0, 6))
    assert str(rule) == ("(args[1] in {A B} or (args[0] = 0x3 and not args[2] without FLAG) or args[0] without 0x6)")


# ---- long programs ----


def test_targets_out_of_reach_get_stepping_stones() -> None:
    """A jump reaches 255 instructions; here each of 40 numbers has a rule of some 60 and they share both ends."""
    a = Assembler()
    no, yes = a.ret(NO), a.ret(YES)
    rules = [In(n % 6, [n * 1000 + 3 * i for i in range(20)]) for n in range(40)]
    nodes = [rule.compile(a, yes, no) for rule in rules]
    program = check(a.program(a.load(0, a.search(list(enumerate(nodes))))))
    assert len(program) > 1000
    for n, rule in enumerate(rules):
        for value in (rule.values[0], rule.values[-1], rule.values[7], rule.values[3] + 1):
            args = (value,) * 6
            assert execute(program, n, 0, args)[0] == (YES if rule.holds(args) else NO), (n, value)


@pytest.mark.parametrize("distance", range(250, 262))
def test_both_targets_at_the_edge_of_reach(distance: int) -> None:
    a = Assembler()
    yes, no = a.load(ARGS, a.ret(1)), a.load(ARGS, a.ret(2))
    for i in range(distance):
        a._append(RET, 0, 0, 1000 + i)
    program = a.program(a.load(0, a.jump(JEQ, 7, yes, no)))
    assert [simulate(program, nr, 0, [0] * 6) for nr in (7, 8)] == [1, 2]


def test_a_word_that_is_loaded_is_not_loaded_again() -> None:
    program = check(compiled(AnyOf(Equal(0, 1), Equal(0, 5), MaskZero(0, 0xF0))))
    load, first, second, third, end = 1, 1, 1, 1, 1
    assert execute(program, 0, 0, (0x10, 0, 0, 0, 0, 0)) == (NO, load + first + second + third + end)


# ---- what the kernel refuses ----

ret = (RET, 0, 0, RET_ALLOW)


@pytest.mark.parametrize(
    ("program", "why"),
    [
        (b"", "0 instructions"),
        (code(ret)[:7], "instructions"),
        (code(ret) * (MAX_INSNS + 1), "4097"),
        (code((LD_ABS, 0, 0, 2), ret), "load at 2"),
        (code((LD_ABS, 0, 0, 64), ret), "load at 64"),
        (code((LD_ABS, 0, 0, U32 & -4), ret), "load at"),
        (code((0x28, 0, 0, 0), ret), "not for seccomp"),  # BPF_LD | BPF_H | BPF_ABS: half a word
        (code((0x94, 0, 0, 3), ret), "not for seccomp"),  # BPF_MOD
        (code((JEQ, 0, 1, 0), ret), "out of the program"),
        (code((JEQ, 255, 0, 0), ret), "out of the program"),
        (code((JA, 0, 0, 1), ret), "out of the program"),
        (code((JA, 0, 0, U32), ret), "out of the program"),
        (code((LD_ABS, 0, 0, 0)), "no return"),
        (code((0x34, 0, 0, 0), ret), "operand 0"),  # division by zero
        (code((0x64, 0, 0, 32), ret), "operand 32"),  # shift by 32
        (code((0x60, 0, 0, 0), ret), "not written"),  # M[0]
        (code((0x02, 0, 0, 16), ret), "scratch word 16"),
        (code((JEQ, 0, 1, 0), (0x02, 0, 0, 3), (0x60, 0, 0, 3), ret), "not written"),  # on one of two ways
    ],
)
def test_what_the_kernel_would_not_load(program: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        check(program)


def test_the_instructions_that_we_do_not_write_but_others_may() -> None:
    program = code(
        (LD_ABS, 0, 0, 0),  # A = nr
        (0x02, 0, 0, 1),  # M[1] = A
        (0x07, 0, 0, 0),  # X = A
        (0x0C, 0, 0, 0),  # A += X
        (0x24, 0, 0, 3),  # A *= 3
        (0x14, 0, 0, 1),  # A -= 1
        (0xA4, 0, 0, 0xFF),  # A ^= 0xff
        (0x74, 0, 0, 1),  # A >>= 1
        (0x61, 0, 0, 1),  # X = M[1]
        (0x3C, 0, 0, 0),  # A /= X
        (0x16, 0, 0, 0),  # return A
    )
    for nr in (1, 7, 100):
        assert simulate(program, nr, 0, [0] * 6) == ((nr * 6 - 1) ^ 0xFF) // 2 // nr
    assert simulate(program, 0, 0, [0] * 6) == 0  # division by X = 0 ends the program with 0


def test_what_the_kernel_allows_without_running() -> None:
    body = ((LD_ABS, 0, 0, 0), (JGE, 0, 1, 5), (JGT, 0, 0, 9))
    program = code(*body, ret, (JSET, 1, 0, 8), ret, (LD_ABS, 0, 0, ARGS), (AND, 0, 0, 0), ret)
    assert [constant_allow(program, nr) for nr in (4, 6, 10)] == [True, True, True]
    assert not constant_allow(code((LD_ABS, 0, 0, ARGS), ret), 0)
    assert not constant_allow(code((RET, 0, 0, NO)), 0)


# ---- libseccomp, the yardstick where it is right ----

LIBSECCOMP = """
import ctypes, json, os, sys
sys.path.insert(0, "/usr/lib/python3/dist-packages")
import seccomp
library = ctypes.CDLL("libseccomp.so.2")
library.seccomp_version.restype = ctypes.POINTER(ctypes.c_uint * 3)
print(*library.seccomp_version().contents)
for line in sys.stdin:
    f = seccomp.SyscallFilter(seccomp.ERRNO(1))
    for tests in json.loads(line):
        f.add_rule(seccomp.ALLOW, 0, *[seccomp.Arg(arg, getattr(seccomp, op), *values) for arg, op, *values in tests])
    with os.fdopen(os.memfd_create("bpf"), "w+b") as file:
        f.export_bpf(file)
        file.seek(0)
        print(file.read().hex())
"""

Tests = list[list[tuple[int | str, ...]]]
"""Alternatives, each a conjunction of (argument, operator, operands)."""


def libseccomp(filters: list[Tests]) -> tuple[tuple[int, ...], list[bytes]]:
    """(version, the program for each filter), by the distribution's binding, which only its own interpreter can load."""
    try:
        run = subprocess.run(
            ["/usr/bin/python3", "-c", LIBSECCOMP],
            input="".join(json.dumps(f) + "\n" for f in filters),
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        pytest.skip("no /usr/bin/python3")
    if "No module named 'seccomp'" in run.stderr:
        pytest.skip("python3-seccomp is not installed")
    assert run.returncode == 0, run.stderr
    version, *programs = run.stdout.split("\n")[:-1]
    return tuple(map(int, version.split())), [bytes.fromhex(p) for p in programs]


def as_tests(rule: Rule) -> Tests:
    """`rule` in libseccomp's terms."""
    if isinstance(rule, In):
        mask = rule.mask & (U32 if rule.width == 32 else U64)
        return [[(rule.arg, "MASKED_EQ", mask, value)] for value in rule.values]
    if isinstance(rule, AnyOf):
        return [tests for part in rule.rules for tests in as_tests(part)]
    assert isinstance(rule, AllOf)
    product: Tests = [[]]
    for part in rule.rules:
        product = [[*left, *right] for left in product for right in as_tests(part)]
    return product


def product_of(candidates: Sequence[Iterable[int]]) -> list[tuple[int, ...]]:
    calls: list[tuple[int, ...]] = [()]
    for values in candidates:
        calls = [(*call, value) for call in calls for value in values]
    return calls


SAMPLES = [
    Equal(0, 7),
    Equal(0, 1 << 40 | 3, width=64),
    In(1, (1, 2, 5), mask=0xF),
    In(0, (0x5401, 0x5413, 0x80045430)),
    In(0, (1 << 32, 1, 1 << 63 | 1), width=64),
    AllOf(Equal(0, 2), In(1, (1, 2), mask=0xF), In(2, (0, 6))),
    AnyOf(AllOf(Equal(0, 1), In(1, (7, 8))), AllOf(Equal(0, 6), In(1, (1, 3)))),
]


def test_libseccomp_decides_alike() -> None:
    _version, programs = libseccomp([as_tests(rule) for rule in SAMPLES])
    for rule, program in zip(SAMPLES, programs, strict=True):
        theirs, ours = check(program), check(compiled(rule))
        near: list[set[int]] = [{0}, {0}, {0}]
        for word in rule.words():
            near[word.arg] |= {r for v in word.values for r in (v, v ^ 1, v | 1 << 32, v | 0x10, v & U32, v | 1 << 63)}
        for call in product_of([sorted(values) for values in near]):
            args = (*call, 0, 0, 0)
            got = {name: execute(p, 0, AUDIT_ARCH_X86_64, args)[0] == YES for name, p in (("t", theirs), ("o", ours))}
            assert got["t"] == got["o"] == rule.holds(args), (str(rule), call)


def test_libseccomp_before_2_6_1_merges_two_comparisons_of_one_argument_wrongly() -> None:
    """GHSA-4q85-33p6-j5g6: the reason why what is loaded is assembled here. args[0] >= 1 or args[0] < 2**33."""
    version, [program] = libseccomp([[[(0, "GE", 1)], [(0, "LT", 1 << 33)]]])
    allowed = simulate(program, 0, AUDIT_ARCH_X86_64, (1 << 33, 0, 0, 0, 0, 0)) == RET_ALLOW
    assert allowed == (version >= (2, 6, 1))
