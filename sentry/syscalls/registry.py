"""Handlers by name, and the unpacking of their arguments.

A handler's annotations say how wide and how signed each argument register is. They are looked up once, at registration; to look them up
for each call would cost more than the call. Nothing is compiled: `exec` of a line for each handler was 3 ms of every start.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from sentry.task import Task

    F = TypeVar("F", bound="Callable[..., object]")
    Unpack = Callable[[Task, int], object]

Dirfd = int
Int = int
UInt = int
Flags = int
Mode = int
Long = int
ULong = int
Size = int
Ptr = int
PathPtr = bytes


def _s32(_: Task, register: int) -> int:
    return (register & 0x7FFFFFFF) - (register & 0x80000000)


def _u32(_: Task, register: int) -> int:
    return register & 0xFFFFFFFF


def _s64(_: Task, register: int) -> int:
    return (register & 0x7FFFFFFFFFFFFFFF) - (register & 0x8000000000000000)


def _u64(_: Task, register: int) -> int:
    return register


def _path(task: Task, register: int) -> bytes:
    return task.read_cstr(register)


_UNPACK: dict[str, Unpack] = {
    "Dirfd": _s32,
    "Int": _s32,
    "UInt": _u32,
    "Flags": _u32,
    "Mode": _u32,
    "Long": _s64,
    "ULong": _u64,
    "Size": _u64,
    "Ptr": _u64,
    "PathPtr": _path,
}

handlers: dict[str, Callable[[Task], object]] = {}
"""System call name -> function of the task alone. An outcome is an int, Fd, CONTINUE or HELD; errors are OSError."""


def syscall(*names: str) -> Callable[[F], F]:
    """Register the decorated function as the handler of the system calls `names`."""

    def register(function: F) -> F:
        code = function.__code__
        annotations = function.__annotations__
        handler = _handler(function, [_UNPACK[annotations[p]] for p in code.co_varnames[1 : code.co_argcount]])
        for name in names:
            assert name not in handlers, name
            handlers[name] = handler
        return function

    return register


def _handler(f: Callable[..., Any], unpack: list[Unpack]) -> Callable[[Task], object]:
    """f(task, its arguments unpacked). Written out by the number of arguments: a loop would take as long as a short handler."""
    match unpack:
        case []:
            return f
        case [p]:
            return lambda t: f(t, p(t, t.args[0]))
        case [p, q]:
            return lambda t: f(t, p(t, t.args[0]), q(t, t.args[1]))
        case [p, q, r]:
            return lambda t: f(t, p(t, t.args[0]), q(t, t.args[1]), r(t, t.args[2]))
        case [p, q, r, s]:
            return lambda t: f(t, p(t, t.args[0]), q(t, t.args[1]), r(t, t.args[2]), s(t, t.args[3]))
        case _:
            return lambda t: f(t, *[u(t, a) for u, a in zip(unpack, t.args, strict=False)])
