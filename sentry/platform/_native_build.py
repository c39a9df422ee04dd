"""Build `sentry.platform._native`: the few system calls that the hot path makes and Python has no name for.

The C here holds no policy: each function is one system call, or a short run of them that would cost a GIL hand-off
and a Python frame each. Errors come back as negative errno. cffi in API mode costs 1 ms of import; ctypes costs 8.

`native/declared.h` is what Python sees; the rest of `native/` is compiled as one unit.
"""

from pathlib import Path

from cffi import FFI

NATIVE = Path(__file__).parent / "native"
SOURCES = ("common.h", "notify.c", "memory.c", "names.c", "task.c", "serve.c", "trace.c", "identity.c", "calls.c")

ffibuilder = FFI()
ffibuilder.cdef((NATIVE / "declared.h").read_text())
ffibuilder.set_source(
    "sentry.platform._native",
    "".join(f'#include "{name}"\n' for name in SOURCES),
    include_dirs=[str(NATIVE)],
    depends=[str(NATIVE / name) for name in SOURCES],
    py_limited_api=True,
    extra_compile_args=["-O2", "-Wall", "-Wno-unused-function"],
)

if __name__ == "__main__":
    ffibuilder.compile(verbose=True)
