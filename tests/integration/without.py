"""without.py CALL=ERRNO,... PROGRAM ARG...: run a program on a kernel that lacks system calls, by a seccomp filter of this test.

CALL may be NAME, or NAME+FLAG: with that flag in its second argument alone, seccomp(SECCOMP_SET_MODE_FILTER)'s or pidfd_open(2)'s say.
"""

from __future__ import annotations

import os
import sys

from sentry.platform._native import lib
from sentry.platform.bpf import RET_ALLOW, RET_ERRNO, Assembler, MaskZero, Not, by_number
from sentry.syscalls.numbers import NUMBERS


def lacking(calls: dict[str, int]) -> bytes:
    """struct sock_filter[]: each call answers its errno, all others pass."""
    a = Assembler()
    nodes = {}
    for name, error in calls.items():
        call, _, flag = name.partition("+")
        node = a.ret(RET_ERRNO | error)
        nodes[NUMBERS[call]] = Not(MaskZero(1, int(flag))).compile(a, node, a.ret(RET_ALLOW)) if flag else node
    return by_number(a, nodes, a.ret(RET_ALLOW), a.ret(RET_ALLOW), a.ret(RET_ALLOW))


def main() -> None:
    calls = {name: int(error) for name, _, error in (each.partition("=") for each in sys.argv[1].split(","))}
    program = lacking(calls)
    error = lib.filter_install(program, len(program) // 8, 0)
    if error:
        raise OSError(-error, "seccomp")
    os.execv(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
