"""What native/declared.h declares: each function is native and returns an integer; ffi is cffi's."""

from collections.abc import Callable
from typing import Any

class _Lib:
    WALK: int
    NOT_TRIED: int
    TRACED_CALL: int
    TRACED_ENTERED: int
    TRACED_RETURNED: int
    TRACED_CHILD: int
    TRACED_EXECUTED: int
    TRACED_SIGNAL: int
    TRACED_STOPPED: int
    TRACED_TRAPPED: int
    TRACED_ENDED: int
    def __getattr__(self, name: str) -> Callable[..., int]: ...

lib: _Lib
ffi: Any
