"""Classic BPF for seccomp(2): an assembler, and the rules about argument registers that it compiles.

Linux: include/uapi/linux/{filter,bpf_common,seccomp}.h, kernel/seccomp.c. libseccomp would do, but versions before 2.6.1
merge two 64-bit comparisons of one argument wrongly; so what is loaded is assembled here, and the tests decide every rule
at its boundaries with a simulator, which reads a program as the kernel does.

Jumps go forward only, and conditional ones reach 255 instructions. So a program is built from its end: what an instruction
leads to exists already and is named by its distance from the end (a *node*). Equal tails are then shared without
search, and a target that is too far away gets a stepping stone on the spot.

A rule states how wide its argument is in the system call's prototype. Of an int or unsigned int the kernel ignores the
upper half of the register, whatever a caller left there, and so must the filter: else ioctl with a dirty register would
be one request to the filter and another to the kernel. Of a long or pointer both halves are compared.
"""

from __future__ import annotations

from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

sock_filter = Struct("<HBBI")

LD_ABS = 0x20  # BPF_LD | BPF_W | BPF_ABS: A = a word of struct seccomp_data
AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
JA, JEQ, JGT, JGE, JSET = 0x05, 0x15, 0x25, 0x35, 0x45  # BPF_JMP | BPF_J* | BPF_K
RET = 0x06  # BPF_RET | BPF_K

NR, ARCH, IP, ARGS = 0, 4, 8, 16  # offsets in struct seccomp_data
AUDIT_ARCH_X86_64 = 0xC000003E
X32_BIT = 0x40000000
NO_CALL = 0xFFFFFFFF
"""Number -1: what a tracer writes to have a call skipped, ptrace(2)."""

RET_KILL_PROCESS = 0x80000000
RET_KILL_THREAD = 0
RET_TRAP = 0x00030000
RET_ERRNO = 0x00050000
RET_USER_NOTIF = 0x7FC00000
RET_TRACE = 0x7FF00000
TRACE_MARK = 0x5043
"""SECCOMP_RET_DATA of our own RET_TRACE: a workload's filters may return it as well."""
RET_LOG = 0x7FFC0000
RET_ALLOW = 0x7FFF0000

REACH = 255
CHAIN = 4
"""So many values are compared one after the other; more are searched."""

_U32 = 0xFFFFFFFF
_U64 = 0xFFFFFFFFFFFFFFFF


class Assembler:
    """A program under construction, last instruction first. A node is an index into it."""

    __slots__ = ("_code", "_known", "_stones")

    def __init__(self) -> None:
        self._code: list[tuple[int, int, int, int]] = []
        self._known: dict[tuple[int, ...], int] = {}
        self._stones: dict[int, int] = {}

    def ret(self, value: int) -> int:
        """End with `value`, a SECCOMP_RET_*."""
        known = self._known.get((RET, value))
        if known is None:
            known = self._known[RET, value] = self._append(RET, 0, 0, value)
        return known

    def jump(self, op: int, k: int, yes: int, no: int) -> int:
        """Compare A with `k`; go on at `yes` or `no`."""
        if yes == no:
            return yes
        key = (op, k, yes, no)
        known = self._known.get(key)
        if known is None:
            while True:
                here = len(self._code) - 1
                if here - yes > REACH:
                    yes = self._stone(yes, REACH - 1)
                elif here - no > REACH:
                    no = self._stone(no, REACH - 1)
                else:
                    break
            known = self._known[key] = self._append(op, here - yes, here - no, k)
        return known

    def load(self, offset: int, then: int) -> int:
        """A = the word at `offset` of struct seccomp_data; go on at `then`."""
        return self._straight(LD_ABS, offset, then)

    def mask(self, bits: int, then: int) -> int:
        """A &= `bits`; go on at `then`."""
        return then if bits == _U32 else self._straight(AND, bits, then)

    def skip_load(self, offset: int, node: int) -> int:
        """`node` for one who has the word at `offset` in A already."""
        op, _, _, k = self._code[node]
        return node - 1 if op == LD_ABS and k == offset else node

    def search(self, cuts: Sequence[tuple[int, int]]) -> int:
        """Binary search in pairs (start, node), sorted, the first start 0: go on at the last whose start is at most A."""
        if len(cuts) == 1:
            return cuts[0][1]
        middle = len(cuts) // 2
        above = self.search(cuts[middle:])
        below = self.search(cuts[:middle])
        return self.jump(JGE, cuts[middle][0], above, below)

    def member(self, values: Sequence[int], yes: int, no: int) -> int:
        """Whether A is one of `values`, which are sorted."""
        if len(values) <= CHAIN:
            for value in reversed(values):
                no = self.jump(JEQ, value, yes, no)
            return no
        members = set(values)
        cuts = {0: no} | {v + 1: no for v in values if v + 1 not in members and v != _U32}
        cuts |= {v: yes for v in values if v == 0 or v - 1 not in members}
        return self.search(sorted(cuts.items()))

    def program(self, entry: int) -> bytes:
        """The array of struct sock_filter that starts at node `entry`."""
        if entry != len(self._code) - 1:
            self._stone(entry, 0)
        pack = sock_filter.pack
        return b"".join([pack(*instruction) for instruction in reversed(self._code)])

    def _append(self, op: int, jt: int, jf: int, k: int) -> int:
        self._code.append((op, jt, jf, k))
        return len(self._code) - 1

    def _straight(self, op: int, k: int, then: int) -> int:
        """An instruction that can only be followed by the next one."""
        key = (op, k, then)
        known = self._known.get(key)
        if known is None:
            if then != len(self._code) - 1:
                self._stone(then, 0)
            known = self._known[key] = self._append(op, 0, 0, k)
        return known

    def _stone(self, node: int, reach: int) -> int:
        """One of the last `reach` instructions, or a new one, that leads to `node`: a jump, or its copy if it is a return."""
        here = len(self._code) - 1
        stone = self._stones.get(node)
        if stone is None or here - stone > reach:
            op, _, _, k = self._code[node]
            stone = self._append(RET, 0, 0, k) if op == RET else self._append(JA, 0, 0, here - node)
            self._stones[node] = stone
        return stone


class Rule:
    """A test of the argument registers. Values, compared by what they say."""

    __slots__ = ()

    def holds(self, args: Sequence[int]) -> bool:
        """The decision in Python, on six unsigned 64-bit registers: what the compiled rule has to agree with."""
        raise NotImplementedError

    def compile(self, a: Assembler, yes: int, no: int) -> int:
        """The node of code that goes on at `yes` or `no`."""
        raise NotImplementedError

    def words(self) -> Iterable[In]:
        """The tests that this one is made of."""
        raise NotImplementedError


class In(Rule):
    """Argument `arg`, of which only `mask` counts, is one of `values`; with names where it is given a dict."""

    __slots__ = ("arg", "mask", "named", "values", "width")

    def __init__(self, arg: int, values: Sequence[int] | dict[str, int], *, mask: int = _U64, width: int = 32) -> None:
        """`width` is that of the argument in the system call's prototype, 32 or 64. Values may be negative, as in C."""
        full = {32: _U32, 64: _U64}[width]
        self.named = values if isinstance(values, dict) else {hex(v & full): v for v in values}
        """For people. Of a MaskZero the names are those of bits that are not set."""
        self.arg = arg
        self.values = tuple(sorted({v & full for v in self.named.values()}))
        self.mask = mask & full
        self.width = width
        if any(v & ~self.mask for v in self.values):
            raise ValueError(f"never holds: {self}")

    def holds(self, args: Sequence[int]) -> bool:
        return args[self.arg] & self.mask in self.values

    def compile(self, a: Assembler, yes: int, no: int) -> int:
        low = ARGS + 8 * self.arg
        if self.width == 32:
            return self._word(a, low, self.mask, self.values, yes, no)
        node = no
        for high in sorted({v >> 32 for v in self.values}, reverse=True):
            lows = tuple(v & _U32 for v in self.values if v >> 32 == high)
            found = self._word(a, low, self.mask & _U32, lows, yes, no)
            node = self._word(a, low + 4, self.mask >> 32, (high,), found, node)
        return node

    @staticmethod
    def _word(a: Assembler, offset: int, mask: int, values: tuple[int, ...], yes: int, no: int) -> int:
        """The word at `offset`, masked, is one of `values`."""
        if mask == 0:
            return yes
        if values == (0,) and mask != _U32:  # without AND, so that A still holds the whole word
            return a.load(offset, a.jump(JSET, mask, a.skip_load(offset, no), a.skip_load(offset, yes)))
        if mask == _U32:
            yes, no = a.skip_load(offset, yes), a.skip_load(offset, no)
        return a.load(offset, a.mask(mask, a.member(values, yes, no)))

    def words(self) -> Iterable[In]:
        return (self,)

    def __str__(self) -> str:
        full = self.mask == (_U32 if self.width == 32 else _U64)
        what = f"args[{self.arg}]" if full else f"args[{self.arg}] & {self.mask:#x}"
        names = " ".join(self.named)
        return f"{what} = {names}" if len(self.named) == 1 else f"{what} in {{{names}}}"


class Equal(In):
    """Argument `arg`, of which only `mask` counts, is `value`."""

    __slots__ = ()

    def __init__(self, arg: int, value: int, *, mask: int = _U64, width: int = 32) -> None:
        super().__init__(arg, (value,), mask=mask, width=width)


class MaskZero(In):
    """Of the bits `mask` of argument `arg` none is set; with names where it is given a dict."""

    __slots__ = ()

    def __init__(self, arg: int, mask: int | dict[str, int], *, width: int = 32) -> None:
        named = {} if isinstance(mask, int) else mask
        bits = mask if isinstance(mask, int) else 0
        for bit in named.values():
            bits |= bit
        super().__init__(arg, (0,), mask=bits, width=width)
        self.named = named

    def __str__(self) -> str:
        return f"args[{self.arg}] without {' '.join(self.named) or hex(self.mask)}"


class AtLeast(Rule):
    """Argument `arg`, all 64 bits of it, is `value` or more, without sign."""

    __slots__ = ("arg", "value")

    def __init__(self, arg: int, value: int) -> None:
        self.arg = arg
        self.value = value

    def holds(self, args: Sequence[int]) -> bool:
        return args[self.arg] >= self.value

    def compile(self, a: Assembler, yes: int, no: int) -> int:
        low = ARGS + 8 * self.arg
        equal = a.load(low, a.jump(JGE, self.value & _U32, yes, no))
        return a.load(low + 4, a.jump(JGT, self.value >> 32, yes, a.jump(JEQ, self.value >> 32, equal, no)))

    def words(self) -> Iterable[In]:
        return (Equal(self.arg, self.value, width=64),)

    def __str__(self) -> str:
        return f"args[{self.arg}] >= {self.value:#x}"


class AllOf(Rule):
    """Every one of `rules` holds."""

    __slots__ = ("rules",)

    def __init__(self, *rules: Rule) -> None:
        self.rules = rules

    def holds(self, args: Sequence[int]) -> bool:
        return all(rule.holds(args) for rule in self.rules)

    def compile(self, a: Assembler, yes: int, no: int) -> int:
        for rule in reversed(self.rules):
            yes = rule.compile(a, yes, no)
        return yes

    def words(self) -> Iterable[In]:
        return (word for rule in self.rules for word in rule.words())

    def __str__(self) -> str:
        return "(" + " and ".join(map(str, self.rules)) + ")"


class AnyOf(Rule):
    """At least one of `rules` holds."""

    __slots__ = ("rules",)

    def __init__(self, *rules: Rule) -> None:
        self.rules = rules

    def holds(self, args: Sequence[int]) -> bool:
        return any(rule.holds(args) for rule in self.rules)

    def compile(self, a: Assembler, yes: int, no: int) -> int:
        for rule in reversed(self.rules):
            no = rule.compile(a, yes, no)
        return no

    def words(self) -> Iterable[In]:
        return (word for rule in self.rules for word in rule.words())

    def __str__(self) -> str:
        return "(" + " or ".join(map(str, self.rules)) + ")"


class Not(Rule):
    """`rule` does not hold."""

    __slots__ = ("rule",)

    def __init__(self, rule: Rule) -> None:
        self.rule = rule

    def holds(self, args: Sequence[int]) -> bool:
        return not self.rule.holds(args)

    def compile(self, a: Assembler, yes: int, no: int) -> int:
        return self.rule.compile(a, no, yes)

    def words(self) -> Iterable[In]:
        return self.rule.words()

    def __str__(self) -> str:
        return f"not {self.rule}"


def by_number(a: Assembler, nodes: dict[int, int], default: int, x32: int, no_call: int) -> bytes:
    """The program that goes to `nodes` by system call number, and kills the process for another architecture's call.

    Nodes are those of `a`, too: `default` for numbers that are not in `nodes`, `x32` for the x32 ABI, `no_call` for NO_CALL.
    """
    cuts: list[tuple[int, int]] = []
    last = max(nodes) + 1
    for nr in range(last + 1):
        node = nodes.get(nr, default)
        if not cuts or cuts[-1][1] != node:
            cuts.append((nr, node))
    if x32 != default:
        cuts.append((X32_BIT, x32))
    if no_call != x32:
        cuts.append((NO_CALL, no_call))
    search = a.load(NR, a.search(cuts))
    return a.program(a.load(ARCH, a.jump(JEQ, AUDIT_ARCH_X86_64, search, a.ret(RET_KILL_PROCESS))))
