"""The kernel's reading of a seccomp program: what it would refuse to load, and what it would decide.

Linux: kernel/seccomp.c:seccomp_check_filter(), seccomp_is_const_allow(), net/core/filter.c:bpf_check_classic(), all by their
text. For the tests, which decide every rule with it, and for whoever wants to look at a filter that somebody else compiled.
"""

from __future__ import annotations

from sentry.platform.bpf import (
    AND,
    ARCH,
    AUDIT_ARCH_X86_64,
    JA,
    JEQ,
    JGE,
    JGT,
    JSET,
    LD_ABS,
    NR,
    RET,
    RET_ALLOW,
    sock_filter,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_INSNS = 4096  # BPF_MAXINSNS
MEMWORDS = 16  # BPF_MEMWORDS

_X = 0x08  # BPF_X: the operand is the index register, not k
_ALU = {op: code for code, op in enumerate(("add", "sub", "mul", "div", "or", "and", "lsh", "rsh", "neg"))}
_ALU["xor"] = 10
_LD_LEN, _LDX_LEN, _LD_IMM, _LDX_IMM = 0x80, 0x81, 0x00, 0x01
_LD_MEM, _LDX_MEM, _ST, _STX, _TAX, _TXA, _RET_A = 0x60, 0x61, 0x02, 0x03, 0x07, 0x87, 0x16
_ALU_OPS = {0x04 | code << 4: name for name, code in _ALU.items()}
_BINARY = {op | x: name for op, name in _ALU_OPS.items() if name != "neg" for x in (0, _X)}
_COMPARE = {op | x for op in (JEQ, JGT, JGE, JSET) for x in (0, _X)}
_NEG = 0x84
_ALLOWED = {
    *(LD_ABS, _LD_LEN, _LDX_LEN, _LD_IMM, _LDX_IMM, _LD_MEM, _LDX_MEM, _ST, _STX, _TAX, _TXA, RET, _RET_A, JA, _NEG),
    *_BINARY,
    *_COMPARE,
}
_SECCOMP_DATA = 64
_U32 = 0xFFFFFFFF

Instruction = tuple[int, int, int, int]


def check(program: bytes) -> list[Instruction]:
    """The instructions (code, jt, jf, k) of a program that the kernel would load. ValueError says why it would not."""
    if len(program) % 8 or not 0 < len(program) // 8 <= MAX_INSNS:
        raise ValueError(f"{len(program) / 8:g} instructions")
    code = list(sock_filter.iter_unpack(program))
    for pc, (op, jt, jf, k) in enumerate(code):
        left = len(code) - pc - 1
        if op not in _ALLOWED:
            raise ValueError(f"instruction {pc}: code {op:#x} is not for seccomp")
        if op == LD_ABS and (k % 4 or k >= _SECCOMP_DATA):
            raise ValueError(f"instruction {pc}: load at {k} of struct seccomp_data")
        if (op == JA and k >= left) or (op in _COMPARE and max(jt, jf) >= left):
            raise ValueError(f"instruction {pc}: jump out of the program")
        if op in (_LD_MEM, _LDX_MEM, _ST, _STX) and k >= MEMWORDS:
            raise ValueError(f"instruction {pc}: scratch word {k}")
        if (_BINARY.get(op) == "div" and not op & _X and k == 0) or (op in (0x64, 0x74) and k >= 32):
            raise ValueError(f"instruction {pc}: operand {k}")
    if code[-1][0] not in (RET, _RET_A):
        raise ValueError("the last instruction is no return")
    _check_stores(code)
    return code


def _check_stores(code: list[Instruction]) -> None:
    """check_load_and_stores(): no scratch word is read before every way to the read has written it."""
    masks = [~0] * len(code)
    valid = 0
    for pc, (op, jt, jf, k) in enumerate(code):
        valid &= masks[pc]
        if op in (_ST, _STX):
            valid |= 1 << k
        elif op in (_LD_MEM, _LDX_MEM) and not valid & 1 << k:
            raise ValueError(f"instruction {pc}: scratch word {k} was not written")
        elif op == JA:
            masks[pc + 1 + k] &= valid
            valid = ~0
        elif op in _COMPARE:
            masks[pc + 1 + jt] &= valid
            masks[pc + 1 + jf] &= valid
            valid = ~0


def execute(code: list[Instruction], nr: int, arch: int, args: Sequence[int], ip: int = 0) -> tuple[int, int]:
    """(return value, number of instructions executed) for one system call, of a program that was checked."""
    words = [nr & _U32, arch & _U32]
    for value in (ip, *args):
        words += value & _U32, value >> 32 & _U32
    acc = index = pc = steps = 0
    memory = [0] * MEMWORDS
    while True:
        op, jt, jf, k = code[pc]
        pc += 1
        steps += 1
        if op == LD_ABS:
            acc = words[k // 4]
        elif op in _COMPARE:
            operand = index if op & _X else k
            kind = op & ~_X
            taken = {JEQ: acc == operand, JGT: acc > operand, JGE: acc >= operand, JSET: acc & operand != 0}[kind]
            pc += jt if taken else jf
        elif op == JA:
            pc += k
        elif op == RET:
            return k, steps
        elif op == _RET_A:
            return acc, steps
        elif op in _BINARY:
            operand = index if op & _X else k
            if _BINARY[op] == "div" and operand == 0:
                return 0, steps
            acc = _calculate(_BINARY[op], acc, operand)
        elif op == _NEG:
            acc = -acc & _U32
        elif op in (_LD_LEN, _LD_IMM, _LD_MEM, _TXA):
            acc = {_LD_LEN: _SECCOMP_DATA, _LD_IMM: k, _TXA: index}.get(op, memory[k % MEMWORDS])
        elif op in (_LDX_LEN, _LDX_IMM, _LDX_MEM, _TAX):
            index = {_LDX_LEN: _SECCOMP_DATA, _LDX_IMM: k, _TAX: acc}.get(op, memory[k % MEMWORDS])
        else:
            memory[k] = acc if op == _ST else index


def _calculate(name: str, a: int, b: int) -> int:
    """One arithmetic instruction on 32 bits; shifts count modulo 32, as the kernel's code generator has it."""
    values = {"add": a + b, "sub": a - b, "mul": a * b, "or": a | b, "and": a & b, "xor": a ^ b}
    if name == "div":
        return a // b
    if name in ("lsh", "rsh"):
        return a << b % 32 & _U32 if name == "lsh" else a >> b % 32
    return values[name] & _U32


def simulate(program: bytes, nr: int, arch: int, args: Sequence[int], ip: int = 0) -> int:
    """What the kernel would return for one system call. ValueError where it would not load `program`."""
    return execute(check(program), nr, arch, args, ip)[0]


def constant_allow(program: bytes, nr: int, arch: int = AUDIT_ARCH_X86_64) -> bool:
    """Whether the kernel sees, when it loads `program`, that `nr` is always allowed, and never runs it for that call.

    seccomp_is_const_allow(), Linux 5.11: such calls are a bit in a bitmap, and the filter costs them nothing.
    """
    code = check(program)
    known = {NR: nr, ARCH: arch}
    acc = pc = 0
    while True:
        op, jt, jf, k = code[pc]
        pc += 1
        if op == LD_ABS and k in known:
            acc = known[k]
        elif op == RET:
            return k == RET_ALLOW
        elif op == JA:
            pc += k
        elif op in (JEQ, JGE, JGT, JSET):
            pc += jt if {JEQ: acc == k, JGE: acc >= k, JGT: acc > k, JSET: acc & k != 0}[op] else jf
        elif op == AND:
            acc &= k
        else:
            return False
