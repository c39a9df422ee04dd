"""openat2(2) against the same call made natively: fs/open.c:build_open_flags(), fs/namei.c."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from typing import TYPE_CHECKING

import pytest

from sentry.abi import (
    AT_FDCWD,
    O_TMPFILE,
    RESOLVE_BENEATH,
    RESOLVE_CACHED,
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    RESOLVE_NO_XDEV,
)
from tests.sentry.harness import KERNEL_ADDRESS, UNMAPPED, Buffer, alone, both
from tests.sentry.syscalls.names import everything, prepare

if TYPE_CHECKING:
    from tests.sentry.harness import Caller

RDONLY, WRONLY, RDWR, NONBLOCK = os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_NONBLOCK
CREAT = os.O_CREAT
DIRECTORY, PATH = os.O_DIRECTORY, os.O_PATH


def how(flags: int, mode: int = 0, resolve: int = 0) -> Buffer:
    return Buffer(24, struct.pack("<QQQ", flags, mode, resolve))


RESOLVES = [
    0,
    RESOLVE_NO_XDEV,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    RESOLVE_BENEATH,
    RESOLVE_IN_ROOT,
    RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
    RESOLVE_IN_ROOT | RESOLVE_NO_XDEV,
    RESOLVE_BENEATH | RESOLVE_IN_ROOT,
    0x40,
]


@pytest.mark.parametrize("resolve", RESOLVES)
def test_openat2_resolve(resolve: int) -> None:
    def body(k: Caller) -> None:
        os.symlink("/file", "to_root_file")
        os.symlink("../../..", "to_top")
        os.symlink("/proc/self/cwd", "to_cwd")
        paths = (
            *(p for p in everything(k.base) if p not in (b"", b"/proc/self/fd/99")),
            b"/",
            b"/..",
            b"/file",
            b"/dir/inner",
            b"to_root_file",
            b"to_top",
            b"to_top/work/base/file",
            b"to_cwd/file",
            b"dir/../../base/file",
            b"dir/../dir/inner",
            b"../base/dir/inner",
            b"/proc/self/comm",
            b"/dev/null",
            b"/../../file",
        )
        for dirfd in (AT_FDCWD, os.open("/work", os.O_PATH), os.open("dir", RDONLY), os.open("/", RDONLY), 99):
            for path in paths:
                for flags, mode in ((NONBLOCK, 0), (CREAT | WRONLY | NONBLOCK, 0o600)):
                    fd = -errno.EAGAIN  # somebody on the machine has renamed or mounted meanwhile
                    while fd == -errno.EAGAIN:
                        fd = k.quiet("openat2", dirfd, path, how(flags, mode, resolve), 24)
                    k.note(dirfd, path, oct(flags), oct(os.fstat(fd).st_mode) if fd >= 0 else "", fd)
                    if fd >= 0:
                        os.close(fd)

    both(body, prepare)
    both(body, prepare, uid=1000)


def test_openat2_arguments() -> None:
    def body(k: Caller) -> None:
        for bit in range(64):
            if 1 << bit != PATH:
                k("openat2", AT_FDCWD, b"file", how(1 << bit), 24)
            k("openat2", AT_FDCWD, b"file", how(0, 1 << bit), 24)
            k("openat2", AT_FDCWD, b"new%d" % bit, how(CREAT, 1 << bit), 24)
            if 1 << bit != RESOLVE_CACHED:
                k("openat2", AT_FDCWD, b"file", how(0, 0, 1 << bit), 24)
        for flags in (CREAT | DIRECTORY, O_TMPFILE, O_TMPFILE | RDWR, os.O_TMPFILE & ~DIRECTORY, PATH | WRONLY, PATH | CREAT, 3, 1 << 40):
            k("openat2", AT_FDCWD, b"dir", how(flags, 0o600 if flags & (CREAT | O_TMPFILE) else 0), 24)
        for size in (0, 1, 16, 23, 24, 25, 32, 4096, 4097, 1 << 40):
            zero, other = Buffer(4100), Buffer(4100)
            ctypes.memset(other.address + 24, 1, 4000)
            k("openat2", AT_FDCWD, b"file", zero, size)
            k("openat2", AT_FDCWD, b"file", other, size)
            k("openat2", AT_FDCWD, UNMAPPED, other, size)
        for bad in (None, UNMAPPED, KERNEL_ADDRESS, Buffer(23)):
            k("openat2", AT_FDCWD, b"file", bad, 24)
            k("openat2", AT_FDCWD, UNMAPPED, bad, 24)

    both(body, prepare)


def test_openat2_with_o_path_is_not_there() -> None:
    """A path descriptor cannot be given to another process, and the flags lie in memory: callers fall back to openat(2)."""

    def body(k: Caller) -> list[int]:
        return [k("openat2", AT_FDCWD, b"file", how(PATH), 24), k("openat2", AT_FDCWD, b"file", how(0, 0, RESOLVE_CACHED), 24)]

    o_path, cached = alone(body, prepare).value  # type: ignore[misc]
    assert o_path == -errno.ENOSYS
    assert cached == -errno.EAGAIN or cached >= 0
