"""Classic BPF for seccomp(2): an assembler, a small language for argument tests, and a simulator of the kernel's reading.

Sources: linux/filter.h, linux/seccomp.h (struct seccomp_data), kernel/seccomp.c:seccomp_check_filter(). libseccomp would do, but
versions before 2.6.1 merge two 64-bit comparisons of one argument wrongly, and none runs without its C library; so what is
loaded is assembled here, and the tests decide every rule at its boundaries with `simulate`.

A rule says for which arguments a call passes. Registers have 64 bits; where the kernel's prototype takes an int it looks at the
low 32 alone, and so must a rule: `width` is the prototype's.
"""

from __future__ import annotations

from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

sock_filter = Struct("<HBBI")

AUDIT_ARCH_X86_64 = 0xC000003E
X32_BIT = 0x40000000

RET_KILL_PROCESS = 0x80000000
RET_ERRNO = 0x00050000
RET_USER_NOTIF = 0x7FC00000
RET_ALLOW = 0x7FFF0000

_LD_ABS, _JEQ, _JGE, _JGT, _JSET, _JA, _RET, _AND = 0x20, 0x15, 0x35, 0x25, 0x45, 0x05, 0x06, 0x54
_NR, _ARCH, _ARGS = 0, 4, 16
_LOW = 0xFFFFFFFF


class Rule:
    """A test of the argument registers."""

    __slots__ = ()

    def holds(self, args: Sequence[int]) -> bool:
        """The decision, in Python: what the assembled program has to agree with."""
        raise AssertionError(self)

    def assemble(self, a: Assembler, yes: str, no: str) -> None:
        """Code that ends in a jump to label `yes` or `no`."""
        raise AssertionError(self)


class In(Rule):
    """Argument `arg`, masked with `mask`, is one of `values`."""

    __slots__ = ("arg", "mask", "values", "width")

    def __init__(self, arg: int, values: Sequence[int], *, width: int = 32, mask: int = (1 << 64) - 1) -> None:
        self.arg = arg
        self.values = tuple(sorted({v & ((1 << width) - 1) for v in values}))
        self.width = width
        self.mask = mask & ((1 << width) - 1)

    def holds(self, args: Sequence[int]) -> bool:
        return args[self.arg] & self.mask in self.values

    def assemble(self, a: Assembler, yes: str, no: str) -> None:
        if self.width == 64:
            for value in self.values:
                nxt = a.label()
                a.load(_ARGS + 8 * self.arg + 4, self.mask >> 32)
                a.jump(_JEQ, value >> 32, "", nxt)
                a.load(_ARGS + 8 * self.arg, self.mask & _LOW)
                a.jump(_JEQ, value & _LOW, yes, nxt)
                a.place(nxt)
        else:
            a.load(_ARGS + 8 * self.arg, self.mask)
            for value in self.values:
                a.jump(_JEQ, value, yes, "")
        a.goto(no)


class Zero(Rule):
    """The bits `mask` of argument `arg` are all zero."""

    __slots__ = ("arg", "mask", "width")

    def __init__(self, arg: int, mask: int, *, width: int = 32) -> None:
        self.arg = arg
        self.mask = mask & ((1 << width) - 1)
        self.width = width

    def holds(self, args: Sequence[int]) -> bool:
        return not args[self.arg] & self.mask

    def assemble(self, a: Assembler, yes: str, no: str) -> None:
        if self.mask >> 32:
            a.load(_ARGS + 8 * self.arg + 4)
            a.jump(_JSET, self.mask >> 32, no, "")
        if self.mask & _LOW:
            a.load(_ARGS + 8 * self.arg)
            a.jump(_JSET, self.mask & _LOW, no, "")
        a.goto(yes)


class AllOf(Rule):
    """Every one of `rules` holds."""

    __slots__ = ("rules",)

    def __init__(self, *rules: Rule) -> None:
        self.rules = rules

    def holds(self, args: Sequence[int]) -> bool:
        return all(rule.holds(args) for rule in self.rules)

    def assemble(self, a: Assembler, yes: str, no: str) -> None:
        for rule in self.rules:
            nxt = a.label()
            rule.assemble(a, nxt, no)
            a.place(nxt)
        a.goto(yes)


class AnyOf(Rule):
    """At least one of `rules` holds."""

    __slots__ = ("rules",)

    def __init__(self, *rules: Rule) -> None:
        self.rules = rules

    def holds(self, args: Sequence[int]) -> bool:
        return any(rule.holds(args) for rule in self.rules)

    def assemble(self, a: Assembler, yes: str, no: str) -> None:
        for rule in self.rules:
            nxt = a.label()
            rule.assemble(a, yes, nxt)
            a.place(nxt)
        a.goto(no)


class Assembler:
    """Instructions with symbolic jumps. Conditional jumps reach 255 instructions; longer ones go over a JA."""

    __slots__ = ("_code", "_labels", "_next")

    def __init__(self) -> None:
        self._code: list[tuple[int, int, str, str]] = []
        self._labels: dict[str, int] = {}
        self._next = 0

    def label(self) -> str:
        self._next += 1
        return f"L{self._next}"

    def place(self, label: str) -> None:
        self._labels[label] = len(self._code)

    def load(self, offset: int, mask: int = _LOW) -> None:
        self._code.append((_LD_ABS, offset, "", ""))
        if mask != _LOW:
            self._code.append((_AND, mask, "", ""))

    def jump(self, op: int, value: int, yes: str, no: str) -> None:
        """Compare; "" falls through. Written as two short hops over unconditional jumps, which have a 32-bit reach."""
        if yes and no:
            self._code.append((op, value, "+0", "+1"))
            self._code.append((_JA, 0, yes, ""))
            self._code.append((_JA, 0, no, ""))
        elif yes:
            self._code.append((op, value, "+0", "+1"))
            self._code.append((_JA, 0, yes, ""))
        else:
            self._code.append((op, value, "+1", "+0"))
            self._code.append((_JA, 0, no, ""))

    def goto(self, label: str) -> None:
        self._code.append((_JA, 0, label, ""))

    def ret(self, value: int) -> None:
        self._code.append((_RET, value, "", ""))

    def program(self) -> bytes:
        """The bytes of struct sock_filter[]."""
        out = bytearray()
        for i, (op, k, yes, no) in enumerate(self._code):
            if op == _JA:
                out += sock_filter.pack(op, 0, 0, self._labels[yes] - i - 1)
            elif yes or no:
                out += sock_filter.pack(op, int(yes), int(no), k)
            else:
                out += sock_filter.pack(op, 0, 0, k)
        return bytes(out)


class Verdict:
    """What to return for one system call: `rule` None: `passed` always; else `passed` where it holds, `failed` elsewhere."""

    __slots__ = ("failed", "passed", "rule")

    def __init__(self, passed: int, rule: Rule | None = None, failed: int = 0) -> None:
        self.passed = passed
        self.rule = rule
        self.failed = failed


def assemble(verdicts: dict[int, Verdict], default: int) -> bytes:
    """A filter: by number, binary search, so that the cost of a call grows with the logarithm of the table.

    The x32 ABI gets ENOSYS, as from a kernel without it; another architecture's call kills the process.
    """
    a = Assembler()
    a.load(_ARCH)
    right = a.label()
    a.jump(_JEQ, AUDIT_ARCH_X86_64, right, "")
    a.ret(RET_KILL_PROCESS)
    a.place(right)
    a.load(_NR)
    native = a.label()
    a.jump(_JGE, X32_BIT, "", native)
    a.ret(RET_ERRNO | 38)
    a.place(native)
    returns: dict[int, str] = {}

    def returning(value: int) -> str:
        if value not in returns:
            returns[value] = a.label()
        return returns[value]

    rules: list[tuple[str, Verdict]] = []
    ranges = _ranges(verdicts, default)

    def search(low: int, high: int) -> None:
        if low == high:
            verdict = ranges[low][1]
            if verdict.rule is None:
                a.goto(returning(verdict.passed))
            else:
                label = a.label()
                rules.append((label, verdict))
                a.goto(label)
            return
        middle = (low + high + 1) // 2
        upper = a.label()
        a.jump(_JGE, ranges[middle][0], upper, "")
        search(low, middle - 1)
        a.place(upper)
        search(middle, high)

    search(0, len(ranges) - 1)
    for label, verdict in rules:
        a.place(label)
        assert verdict.rule is not None
        verdict.rule.assemble(a, returning(verdict.passed), returning(verdict.failed))
    for value, label in returns.items():
        a.place(label)
        a.ret(value)
    return a.program()


def _ranges(verdicts: dict[int, Verdict], default: int) -> list[tuple[int, Verdict]]:
    """(first number, verdict) of runs of numbers that are treated alike."""
    out: list[tuple[int, Verdict]] = []
    fallback = Verdict(default)
    for nr in range(max(verdicts) + 2):
        verdict = verdicts.get(nr, fallback)
        if out and out[-1][1].rule is None and verdict.rule is None and out[-1][1].passed == verdict.passed:
            continue
        out.append((nr, verdict))
    return out


def simulate(program: bytes, nr: int, args: Sequence[int], arch: int = AUDIT_ARCH_X86_64) -> int:
    """What the kernel returns for a call. ValueError where it would refuse to load the program."""
    if len(program) % 8 or not 0 < len(program) <= 8 * 4096:
        raise ValueError("length")
    code = [sock_filter.unpack_from(program, i) for i in range(0, len(program), 8)]
    data = nr.to_bytes(4, "little") + arch.to_bytes(4, "little") + bytes(8)
    data += b"".join((a & (1 << 64) - 1).to_bytes(8, "little") for a in args)
    for i, (op, jt, jf, k) in enumerate(code):
        if op in (_JEQ, _JGE, _JGT, _JSET) and i + 1 + max(jt, jf) >= len(code):
            raise ValueError(f"jump out of the program at {i}")
        if op == _JA and i + 1 + k >= len(code):
            raise ValueError(f"jump out of the program at {i}")
        if op == _LD_ABS and (k % 4 or k > 60):
            raise ValueError(f"load outside struct seccomp_data at {i}")
        if op not in (_LD_ABS, _JEQ, _JGE, _JGT, _JSET, _JA, _RET, _AND):
            raise ValueError(f"instruction {op:#x} at {i}")
    if code[-1][0] != _RET:
        raise ValueError("falls off the end")
    pc = acc = 0
    while True:
        op, jt, jf, k = code[pc]
        pc += 1
        if op == _RET:
            return int(k)
        if op == _LD_ABS:
            acc = int.from_bytes(data[k : k + 4], "little")
        elif op == _AND:
            acc &= k
        elif op == _JA:
            pc += k
        else:
            taken = {_JEQ: acc == k, _JGE: acc >= k, _JGT: acc > k, _JSET: bool(acc & k)}[op]
            pc += jt if taken else jf
