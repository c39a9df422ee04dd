"""ptrace(2) as a tracer needs it here: what python-ptrace has no name for, and what it has, in one typed place.

Seized tracees (PTRACE_SEIZE), SECCOMP_RET_TRACE stops, PTRACE_GET_SYSCALL_INFO, PTRACE_LISTEN and PTRACE_INTERRUPT, PTRACE_O_EXITKILL.
A tracee belongs to the thread that has seized it: all of this is for that thread alone. The C side is native/trace.c.

That a tracee is gone (ESRCH) is no error: SIGKILL takes it out of every stop, and its end is reported like everything else.
"""

from __future__ import annotations

import errno
import os

from sentry.platform._native import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    Asked: TypeAlias = tuple[int, ...]
    """A call that a tracee is made to execute: its number and arguments."""

CONT, SYSCALL, INTERRUPT, LISTEN = 7, 24, 0x4207, 0x4208
"""PTRACE_*: go on; until the next call begins or is over; stop at the next occasion; stay stopped with the thread group."""

ALL_SIGNALS = (1 << 64) - 1
MASK64 = (1 << 64) - 1

_REGISTERS = 27  # struct user_regs_struct, x86_64: sys/user.h
_R10, _R9, _R8, _RAX, _RDX, _RSI, _RDI, _ORIG_RAX, _RIP = 7, 8, 9, 10, 12, 13, 14, 15, 16
_ARGUMENTS = (_RDI, _RSI, _RDX, _R10, _R8, _R9)
_SYSCALL_INSTRUCTION = 2
"""Bytes: 0f 05. There is no other way in, since calls of other architectures end the process."""

NO_CALL = MASK64
"""In orig_rax: no call, so nothing is made and a signal restarts nothing."""


def seize(tid: int) -> None:
    """PTRACE_SEIZE with all that this tracer asks for; what the tracee makes is seized with it. Raises OSError."""
    error = lib.trace_seize(tid)
    if error:
        raise OSError(-error, f"trace process {tid}: {os.strerror(-error).lower()}")


class Registers:
    """The registers of a stopped tracee, to be changed and put back."""

    __slots__ = ("_values", "tid")

    def __init__(self, tid: int) -> None:
        """Raises ESRCH when it is gone."""
        self.tid = tid
        self._values: Any = ffi.new("uint64_t[]", _REGISTERS)
        error = lib.trace_registers(tid, self._values, 0)
        if error:
            raise OSError(-error, "registers")

    def _put(self, changes: dict[int, int]) -> None:
        values = ffi.new("uint64_t[]", list(self._values))
        for index, value in changes.items():
            values[index] = value & MASK64
        error = lib.trace_registers(self.tid, values, 1)
        if error:
            raise OSError(-error, "registers")

    def instead(self, number: int, *args: int) -> Asked:
        """At the begin of a call: make another one. Raises ESRCH."""
        self._put({_ORIG_RAX: number, **dict(zip(_ARGUMENTS, args, strict=False))})
        return number, *args

    def again(self, number: int, *args: int) -> Asked:
        """At the end of a call: back to its instruction, for another one. Raises ESRCH.

        The tracee runs until it makes it. What the instruction is by then is in its hands: it may make another call.
        """
        back = self._values[_RIP] - _SYSCALL_INSTRUCTION
        self._put({_RAX: number, _RIP: back, **dict(zip(_ARGUMENTS, args, strict=False))})
        return number, *args

    def finish(self, value: int) -> None:
        """As they were, and `value` as the result of the call. Raises ESRCH."""
        self._put({_RAX: value, _ORIG_RAX: NO_CALL})

    def restart(self, error: int) -> None:
        """At the end of a call: the kernel sees `error`, ERESTARTSYS, as the result of the call that began. Raises ESRCH."""
        self._put({_RAX: -error})


class Near:
    """While it lives, its tracee and this thread share a CPU: each stop is then a context switch, and no other CPU has to be woken."""

    __slots__ = ("_near", "_was", "tid")

    def __init__(self, tid: int) -> None:
        self.tid = tid
        self._was = ffi.new("uint64_t[]", _AFFINITY_WORDS)
        self._near = lib.trace_near(tid, self._was)

    def end(self) -> None:
        """To be called when the tracee goes on."""
        if self._near:
            lib.trace_apart(self.tid, self._was)


_AFFINITY_WORDS = 16  # cpu_set_t


def signal_mask(tid: int, mask: int) -> int:
    """Change the signals that a stopped tracee blocks; returns those that it blocked before. Raises ESRCH."""
    memory = ffi.new("uint64_t *")
    error = lib.trace_signal_mask(tid, memory, 0)
    before = int(memory[0])
    memory[0] = mask
    error = error or lib.trace_signal_mask(tid, memory, 1)
    if error:
        raise OSError(-error, "signal mask")
    return before


def resume(tid: int, request: int = CONT, signal: int = 0) -> None:
    """Let a stopped tracee go on."""
    error = lib.trace_resume(tid, request, signal)
    if error and error != -errno.ESRCH:
        raise OSError(-error, f"ptrace request {request:#x}")


def shares_memory(tid: int) -> bool:
    """At TRACED_CHILD: whether the child has its maker's memory, and no copy. Of one that is gone it does not matter."""
    memory = ffi.new("uint64_t[]", 2)
    if lib.trace_flags(tid, memory):
        return False
    return memory[0] == _VFORK or (memory[0] == _CLONE and bool(memory[1] & _CLONE_VM))


_CLONE, _VFORK, _CLONE_VM = 56, 58, 0x100
