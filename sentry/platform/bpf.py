"""Classic BPF for seccomp: an assembler, and the rules about argument registers that it compiles.

Man pages: seccomp(2), bpf(4) of the BSDs for the instructions. Linux: include/uapi/linux/{filter,bpf_common,seccomp}.h,
kernel/seccomp.c. `sentry.platform.bpf_vm` executes such programs; the tests decide every rule there.

Jumps go forward only and conditional ones reach 255 instructions. So a program is built from its end: whatever an instruction
jumps to exists already and is named by its distance from the end (a *node*), equal tails are shared, and a target that
is too far gets a stepping stone. Labels that are patched later would need none of this, but a second pass instead.

A rule states how wide its argument is in the system call's prototype. Of a 32-bit argument (int, unsigned int) the kernel
ignores the upper half of the register, whatever a caller left there, and so must the filter, or `ioctl` with a
dirty register would be another request to the filter than to the kernel. Of a 64-bit one both halves are compared.
"""

from __future__ import annotations

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

LD_ABS = 0x20  # BPF_LD | BPF_W | BPF_ABS: A = a word of struct seccomp_data
AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
JA = 0x05
JEQ = 0x15  # BPF_JMP | BPF_JEQ | BPF_K, and so on
JGT = 0x25
JGE = 0x35
JSET = 0x45
RET = 0x06  # BPF_RET | BPF_K

# struct seccomp_data
NR = 0
ARCH = 4
IP = 8
ARGS = 16

AUDIT_ARCH_X86_64 = 0xC000003E

RET_KILL_PROCESS = 0x80000000
RET_KILL_THREAD = 0
RET_TRAP = 0x00030000
RET_ERRNO = 0x00050000
RET_USER_NOTIF = 0x7FC00000
RET_TRACE = 0x7FF00000
RET_LOG = 0x7FFC0000
RET_ALLOW = 0x7FFF0000

REACH = 255
U32 = 0xFFFFFFFF
U64 = 0xFFFFFFFFFFFFFFFF
CHAIN = 4
"""Up to so many values are compared one after the other, more by binary search."""

sock_filter = struct.Struct("<HBBI")


class Assembler:
    """A program under construction, last instruction first. A node is an index into it."""

    __slots__ = ("_code", "_known", "_stones")

    def __init__(self) -> None:
        self._code: list[tuple[int, int, int, int]] = []
        self._known: dict[tuple[int, int, int, int], int] = {}
        self._stones: dict[int, int] = {}

    def ret(self, value: int) -> int:
        """End with `value`, a SECCOMP_RET_*."""
        key = (RET, value, 0, 0)
        if key not in self._known:
            self._known[key] = self._append(RET, 0, 0, value)
        return self._known[key]

    def jump(self, op: int, k: int, yes: int, no: int) -> int:
        """Compare A with `k`; go on at node `yes` or `no`."""
        if yes == no:
            return yes
        key = (op, k, yes, no)
        if key not in self._known:
            while self._far(yes) or self._far(no):
                if self._far(yes):
                    yes = self._stone(yes)
                else:
                    no = self._stone(no)
            here = len(self._code)
            self._known[key] = self._append(op, here - yes - 1, here - no - 1, k)
        return self._known[key]

    def load(self, offset: int, then: int) -> int:
        """A = the word at `offset` of struct seccomp_data; go on at `then`."""
        return self._straight(LD_ABS, offset, then)

    def mask(self, bits: int, then: int) -> int:
        """A &= `bits`; go on at `then`."""
        return self._straight(AND, bits, then)

    def loaded(self, offset: int, node: int) -> int:
        """`node` without a load of the word that A holds already."""
        op, _jt, _jf, k = self._code[node]
        return node - 1 if op == LD_ABS and k == offset else node

    def dispatch(self, cuts: Sequence[tuple[int, int]]) -> int:
        """Binary search: of the pairs (start, node), sorted and the first one at 0, the last whose start is at most A."""
        if len(cuts) == 1:
            return cuts[0][1]
        middle = len(cuts) // 2
        above = self.dispatch(cuts[middle:])
        below = self.dispatch(cuts[:middle])
        return self.jump(JGE, cuts[middle][0], above, below)

    def program(self, entry: int) -> bytes:
        """The array of struct sock_filter that starts at node `entry`."""
        if entry != len(self._code) - 1:
            self._stone(entry)
        pack = sock_filter.pack
        return b"".join([pack(*instruction) for instruction in reversed(self._code)])

    def _append(self, op: int, jt: int, jf: int, k: int) -> int:
        self._code.append((op, jt, jf, k))
        return len(self._code) - 1

    def _straight(self, op: int, k: int, then: int) -> int:
        key = (op, k, then, 0)
        if key not in self._known:
            if then != len(self._code) - 1:
                self._stone(then)
            self._known[key] = self._append(op, 0, 0, k)
        return self._known[key]

    def _far(self, node: int) -> bool:
        return len(self._code) - node - 1 > REACH

    def _stone(self, node: int) -> int:
        """A node near the present end of the code that leads to `node`: its copy if it is a return, else a jump."""
        stone = self._stones.get(node)
        if stone is None or self._far(stone) or stone != len(self._code) - 1:
            op, _jt, _jf, k = self._code[node]
            if op == RET:
                stone = self._append(RET, 0, 0, k)
            else:
                stone = self._append(JA, 0, 0, len(self._code) - node - 1)
            self._stones[node] = stone
        return stone
