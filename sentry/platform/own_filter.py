"""The filter that each of our own long-lived processes puts on itself once it is set up: an allowlist of its system calls.

Man page: seccomp(2). The lists are in sentry/own_calls.py and gofer/own_calls.py; here is what both need because they are
Python programs. They were found by running the tests under strace, and by reading for what libc and the interpreter do in other
versions. Where arguments can tell use from misuse, registers are compared.

A call that is not on the list ends the whole process at once (SECCOMP_RET_KILL_PROCESS), and with it the container: sentry and gofer
watch each other. Nobody can catch it, and whoever runs code of his own in the process cannot try calls out. Which it was is in the
kernel's log: "audit: type=1326 … comm="pysc-sentry" … syscall=41". With `pysc --debug` the answer is SECCOMP_RET_TRAP: the call is not
executed either, but a handler in C, which needs no interpreter, says on stderr which call it was and ends the process with
exit code 159 (128 + SIGSYS). An intruder could exchange that handler; hence not always.

What it costs: the kernel knows at installation which calls pass whatever their arguments (seccomp_is_const_allow(), Linux 5.11) and does
not run the filter for them. The sentry's most frequent calls are such, but for ioctl and fcntl.
"""

from __future__ import annotations

import errno
import os

from sentry.platform._native import lib
from sentry.platform.bpf import RET_ALLOW, RET_ERRNO, RET_KILL_PROCESS, RET_TRAP, Assembler, In, MaskZero, by_number
from sentry.syscalls.numbers import NUMBERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeAlias

    from sentry.platform.bpf import Rule

    Calls: TypeAlias = "Mapping[str, Rule | int | None]"

TSYNC, SPEC_ALLOW = 1, 4
"""SECCOMP_FILTER_FLAG_*: for all threads; without the store bypass mitigation that a filter brought before Linux 5.16."""

_NOT_EXECUTABLE = MaskZero(2, {"PROT_EXEC": 4}, width=64)

PROCESS: Calls = {
    # memory, none of it code: no library is loaded any more
    "mmap": _NOT_EXECUTABLE,
    "mprotect": _NOT_EXECUTABLE,
    "munmap": None,
    "mremap": None,
    "brk": None,
    "madvise": None,
    # locks, sleep, signals that interrupt and resume a call
    "futex": None,
    "poll": None,
    "restart_syscall": None,
    "rt_sigreturn": None,
    "rt_sigprocmask": None,
    # the vDSO's calls, where it has to ask the kernel
    "clock_gettime": None,
    "clock_getres": None,
    "gettimeofday": None,
    "getcpu": None,
    "getrandom": None,
    # whatever a library may ask for at any time, and says nothing to anybody
    "getpid": None,
    "gettid": None,
    "sched_yield": None,
    # descriptors that are held
    "write": None,
    "close": None,
    "recvmsg": None,
    "sendmsg": None,
    "exit_group": None,
}

THREADS: Calls = {
    # pthread_create(3): CLONE_VM | _FS | _FILES | _SIGHAND | _THREAD | _SYSVSEM | _SETTLS | _PARENT_SETTID | _CHILD_CLEARTID
    "clone": In(0, {"a thread": 0x3D0F00}, width=64),
    "clone3": errno.ENOSYS,  # its flags lie in memory; libc falls back to clone
    "rt_sigaction": In(0, {"SIGCANCEL": 32, "SIGSETXID": 33}),  # of libc, when a process gets its second thread
    "set_robust_list": None,
    "rseq": None,
    "exit": None,
    # its name (Python 3.14), the name of its stack (glibc 2.42)
    "prctl": In(0, {"PR_SET_NAME": 15, "PR_SET_VMA": 0x53564D41}),
    "clock_nanosleep": None,
    "sched_getaffinity": None,
}


def allowlist(calls: Calls, default: int = RET_KILL_PROCESS) -> bytes:
    """struct sock_filter[] that allows these calls: with a rule only where it holds, with an errno not, but fails them with that.

    `default` is the answer to the rest.
    """
    a = Assembler()
    no, yes = a.ret(default), a.ret(RET_ALLOW)
    nodes = {}
    for name, rule in calls.items():
        if isinstance(rule, int):
            nodes[NUMBERS[name]] = a.ret(RET_ERRNO | rule)
        else:
            nodes[NUMBERS[name]] = yes if rule is None else rule.compile(a, yes, no)
    return by_number(a, nodes, no, no, no)


_prepared: list[tuple[Calls, bytes]] = []


def prepare(calls: Calls) -> None:
    """Make the filter that install() is expected to be asked for, if that is not done: a millisecond."""
    if not any(known is calls for known, _program in _prepared):
        _prepared.append((calls, allowlist(calls)))


def install(calls: Calls, process: str, *, debug: bool, flags: int = TSYNC | SPEC_ALLOW) -> None:
    """Allow this process nothing but `calls` from now on. Needs no_new_privs. Raises OSError.

    `debug`: name what was refused, with `process` in front, on stderr.
    """
    if debug:
        lib.name_refused_calls(process.encode())
    made = next((program for known, program in _prepared if known is calls and not debug), b"")
    made = made or allowlist(calls, RET_TRAP if debug else RET_KILL_PROCESS)
    result = lib.filter_install(made, len(made) // 8, flags)
    if result:  # positive: the thread that has a filter of its own
        error = -result if result < 0 else errno.EBUSY
        raise OSError(error, os.strerror(error), "install the process's own filter")
