"""What a seccomp profile of a config decides, read rule by rule, and the calls at which it may change its mind."""

from __future__ import annotations

import itertools
import os
import sys
from errno import ENOSYS, EPERM
from typing import TYPE_CHECKING

from runsc_cli.seccomp import program_of
from sentry.platform import bpf
from sentry.platform.bpf import AUDIT_ARCH_X86_64
from sentry.syscalls.numbers import NUMBERS

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "sentry", "platform"))
from boundaries import EDGES, U64, near
from bpf_vm import check, execute

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from runsc_cli.oci.model import Seccomp, SeccompArg

RETURNS = {
    "KILL": bpf.RET_KILL_THREAD,
    "KILL_THREAD": bpf.RET_KILL_THREAD,
    "KILL_PROCESS": bpf.RET_KILL_PROCESS,
    "TRAP": bpf.RET_TRAP,
    "ERRNO": bpf.RET_ERRNO,
    "TRACE": bpf.RET_TRACE,
    "LOG": bpf.RET_LOG,
    "ALLOW": bpf.RET_ALLOW,
}
STRICTEST_FIRST = ("KILL_PROCESS", "KILL_THREAD", "KILL", "TRAP", "ERRNO", "TRACE", "LOG", "ALLOW")

HOLDS = {
    "NE": lambda a, v, _: a != v,
    "LT": lambda a, v, _: a < v,
    "LE": lambda a, v, _: a <= v,
    "EQ": lambda a, v, _: a == v,
    "GE": lambda a, v, _: a >= v,
    "GT": lambda a, v, _: a > v,
    "MASKED_EQ": lambda a, v, w: a & v == w & v,
}


def returned(action: str, errno: int | None) -> int:
    name = action.removeprefix("SCMP_ACT_")
    return RETURNS[name] | ((EPERM if errno is None else errno) if name in ("ERRNO", "TRACE") else 0)


def holds(arg: SeccompArg, args: tuple[int, ...]) -> bool:
    return bool(HOLDS[arg.op.removeprefix("SCMP_CMP_")](args[arg.index], arg.value, arg.value_two))


def decide(profile: Seccomp, number: int, args: tuple[int, ...], mediated: Collection[int] = ()) -> int:
    """SECCOMP_RET_* for a call; nobody traces one that the sandbox mediates."""
    value = _decide(profile, number, args)
    return bpf.RET_ERRNO | ENOSYS if number in mediated and value & 0xFFFF0000 == bpf.RET_TRACE else value


def _decide(profile: Seccomp, number: int, args: tuple[int, ...]) -> int:
    default = returned(profile.default_action, profile.default_errno_ret)
    known = [NUMBERS[name] for rule in profile.syscalls for name in rule.names if name in NUMBERS]
    permissive = profile.default_action in ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE")
    if known and number > max(known) and not permissive:
        return bpf.RET_ERRNO | ENOSYS
    rules = [rule for rule in profile.syscalls if number in [NUMBERS.get(name) for name in rule.names]]
    rules = [rule for rule in rules if returned(rule.action, rule.errno_ret) != default]
    for rule in rules:
        if not rule.args:
            return returned(rule.action, rule.errno_ret)
    true = []
    for rule in rules:
        indices = [arg.index for arg in rule.args]
        how = any if len(set(indices)) < len(indices) else all
        if how(holds(arg, args) for arg in rule.args):
            true.append(rule)
    if not true:
        return default
    decisive = min(true, key=lambda rule: STRICTEST_FIRST.index(rule.action.removeprefix("SCMP_ACT_")))
    return returned(decisive.action, decisive.errno_ret)


def calls(profile: Seccomp, number: int) -> Iterator[tuple[int, ...]]:
    """Argument registers around all that the profile compares them with."""
    values: list[set[int]] = [set() for _ in range(6)]
    for rule in profile.syscalls:
        if number in [NUMBERS.get(name) for name in rule.names]:
            for arg in rule.args:
                mask = arg.value if arg.op == "SCMP_CMP_MASKED_EQ" else U64
                center = arg.value_two if arg.op == "SCMP_CMP_MASKED_EQ" else arg.value
                values[arg.index] |= near(center, mask) | {1 << bit for bit in range(64) if mask >> bit & 1 and mask != U64}
    used = [i for i in range(6) if values[i]]
    if not used:
        yield from ((edge,) * 6 for edge in sorted(EDGES))
        return
    most = max(2, 8 >> len(used))
    for one in used:
        few = [sorted(values[i])[:: -(-len(values[i]) // most)] if i in used and i != one else [0] for i in range(6)]
        for call in itertools.product(*few):
            for value in values[one] | EDGES:
                yield (*call[:one], value, *call[one + 1 :])


def check_program(profile: Seccomp, mediated: Collection[int] = ()) -> int:
    """Run the compiled profile at all its boundaries, for every number there is and some there are not; how many calls that were."""
    code = check(program_of(profile, mediated=mediated))
    count = 0
    for number in (*range(480), 511, 1000, 0x3FFFFFFF):
        for args in calls(profile, number):
            got = execute(code, number, AUDIT_ARCH_X86_64, args)[0]
            assert got == decide(profile, number, args, mediated), (number, [hex(a) for a in args], hex(got))
            count += 1
    return count
