"""Handlers by name, and the unpacking of their arguments.

A handler's annotations say how wide and how signed each argument register is; from them one small function is generated at
registration, because looking annotations up for each call would cost more than the call (10 us against 0.2).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from sentry.task import Task

    F = TypeVar("F", bound="Callable[..., object]")

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

_S32 = "(a[{i}] & 0x7fffffff) - (a[{i}] & 0x80000000)"
_U32 = "a[{i}] & 0xffffffff"
_S64 = "(a[{i}] & 0x7fffffffffffffff) - (a[{i}] & 0x8000000000000000)"
_UNPACK = {
    "Dirfd": _S32,
    "Int": _S32,
    "UInt": _U32,
    "Flags": _U32,
    "Mode": _U32,
    "Long": _S64,
    "ULong": "a[{i}]",
    "Size": "a[{i}]",
    "Ptr": "a[{i}]",
    "PathPtr": "t.read_cstr(a[{i}])",
}

handlers: dict[str, Callable[[Task], object]] = {}
"""System call name -> function of the task alone. An outcome is an int, Fd, CONTINUE or HELD; errors are OSError."""


def syscall(*names: str) -> Callable[[F], F]:
    """Register the decorated function as the handler of the system calls `names`."""

    def register(function: F) -> F:
        code = function.__code__
        parameters = code.co_varnames[1 : code.co_argcount]
        unpacked = [_UNPACK[function.__annotations__[p]].format(i=i) for i, p in enumerate(parameters)]
        scope: dict[str, Callable[[Task], object]] = {"f": function}
        exec(f"def g(t):\n a = t.args\n return f({', '.join(['t', *unpacked])})", scope)
        for name in names:
            assert name not in handlers, name
            handlers[name] = scope["g"]
        return function

    return register
