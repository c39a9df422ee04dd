"""Attributes by path, against the same calls made natively: fs/open.c, fs/utimes.c, fs/xattr.c."""

from __future__ import annotations

import os
import resource
import signal
import struct
import time
from typing import TYPE_CHECKING

import pytest

from sentry.abi import AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW
from tests.sentry.harness import KERNEL_ADDRESS, UNMAPPED, Buffer, both
from tests.sentry.syscalls.names import BASE_PATHS, PATHS, prepare

if TYPE_CHECKING:
    from tests.sentry.harness import Caller

TIMES = struct.pack("<qqqq", 1_000_000_000, 5, 1_100_000_000, 7)
NOW, OMIT = (1 << 30) - 1, (1 << 30) - 2


def times(path: str) -> list[object]:
    """Access and modification time, but for what happened just now."""
    st = os.lstat(path)
    return ["now" if abs(ns - time.time_ns()) < 60_000_000_000 else ns for ns in (st.st_atime_ns, st.st_mtime_ns)]


def bad_pointers() -> list[int | Buffer | None]:
    return [None, UNMAPPED, KERNEL_ADDRESS, Buffer(9, b"file/x/yz"), Buffer(5, b"file\0")]


def calls(path: object) -> list[tuple[object, ...]]:
    """Every handler of the module, on `path`."""
    spec = Buffer(32, TIMES)
    value = Buffer(5, b"value")
    return [
        ("chmod", path, 0o7741),
        ("fchmodat", AT_FDCWD, path, 0o640),
        ("fchmodat2", AT_FDCWD, path, 0o604, 0),
        ("fchmodat2", AT_FDCWD, path, 0o600, AT_SYMLINK_NOFOLLOW),
        ("chown", path, 1000, 1000),
        ("chown", path, 0xFFFFFFFF, 0xFFFFFFFF),
        ("lchown", path, 1001, 0xFFFFFFFF),
        ("fchownat", AT_FDCWD, path, 1000, 1002, AT_SYMLINK_NOFOLLOW),
        ("utime", path, Buffer(16, TIMES[:16])),
        ("utimes", path, spec),
        ("futimesat", AT_FDCWD, path, spec),
        ("utimensat", AT_FDCWD, path, spec, 0),
        ("utimensat", AT_FDCWD, path, spec, AT_SYMLINK_NOFOLLOW),
        ("truncate", path, 3),
        ("setxattr", path, b"user.a", value, 5, 0),
        ("lsetxattr", path, b"trusted.b", value, 5, 0),
        ("getxattr", path, b"user.a", Buffer(5), 5),
        ("lgetxattr", path, b"trusted.b", Buffer(5), 5),
        ("listxattr", path, Buffer(100), 100),
        ("llistxattr", path, Buffer(100), 100),
        ("removexattr", path, b"user.a"),
        ("lremovexattr", path, b"trusted.b"),
    ]


@pytest.mark.parametrize("uid", [0, 1000])
def test_every_kind_of_path(uid: int) -> None:
    def body(k: Caller) -> None:
        for path in [*PATHS, *(k.base + p for p in BASE_PATHS), *bad_pointers()]:
            for name, *args in calls(path):
                k(str(name), *args)  # type: ignore[arg-type]
        for name in ("file", "dir", "to_file", "dangling", "mine", "suid", "dir/inner", "fifo"):
            k.note(name, times(name)[1])

    both(body, prepare, uid=uid)


def test_the_root_itself() -> None:
    def body(k: Caller) -> None:
        for root in (b"/", b"//", b"/..", b"/to_up"):
            for name, *args in calls(root):
                k(str(name), *args)  # type: ignore[arg-type]
        k.note(times("/"))

    both(body, prepare, chroot=True)


@pytest.mark.parametrize("uid", [0, 1000])
def test_dirfds_and_empty_paths(uid: int) -> None:
    def body(k: Caller) -> None:
        spec = Buffer(32, TIMES)
        fds = [
            os.open("dir", os.O_RDONLY),
            os.open("dir", os.O_PATH),
            os.open("file", os.O_RDONLY),
            os.open("mine", os.O_PATH),
            os.open("to_file", os.O_PATH | os.O_NOFOLLOW),
            os.pipe()[0],
            AT_FDCWD,
            99,
            -1,
        ]
        for fd in fds:
            for path in (b"inner", b"", None, b"../file", k.base + b"/file"):
                for flags in (0, AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW):
                    k("fchmodat2", fd, path, 0o620, flags)
                    k("fchownat", fd, path, uid, uid, flags)
                    k("utimensat", fd, path, spec, flags)
                    k("utimensat", fd, path, None, flags)
                k("fchmodat", fd, path, 0o640)
                k("futimesat", fd, path, spec)
        k.note(times("dir/inner") if uid == 0 else None)

    both(body, prepare, uid=uid)


def test_flags() -> None:
    def body(k: Caller) -> None:
        for bit in range(32):
            k("fchmodat2", AT_FDCWD, UNMAPPED, 0, 1 << bit)
            k("fchownat", AT_FDCWD, UNMAPPED, 0, 0, 1 << bit)
            k("utimensat", AT_FDCWD, UNMAPPED, None, 1 << bit)
            k("utimensat", 0, None, None, 1 << bit)
            k("setxattr", UNMAPPED, UNMAPPED, None, 0, 1 << bit)

    both(body, prepare)


def test_modes() -> None:
    def body(k: Caller) -> None:
        for mode in (0, 0o7777, 0o17777, 0o100644, 0xFFFFFFFF):
            k("chmod", b"file", mode)
            k.note(oct(os.stat("file").st_mode))

    both(body, prepare)


def test_times() -> None:
    def body(k: Caller) -> None:
        for a_sec, a, m_sec, m in [
            (1, 0, 2, 999_999_999),
            (1, 1_000_000_000, 2, 0),
            (1, 0, 2, -1),
            (-5, 0, -6, 1),
            (3, OMIT, 4, 8),
            (3, 8, 4, OMIT),
            (3, OMIT, 4, OMIT),
            (9, 999_999, 9, 1_000_000),
            (9, -1, 9, 0),
            (2**62, 0, -(2**62), 0),
        ]:
            spec = Buffer(32, struct.pack("<qqqq", a_sec, a, m_sec, m))
            for path in (b"file", b"missing", UNMAPPED):
                k("utimensat", AT_FDCWD, path, spec, 0)
                k("utimes", path, spec)
                k("futimesat", AT_FDCWD, path, spec)
                k("utime", path, spec)
            k.note(times("file"))
        for short in (Buffer(31), Buffer(15), UNMAPPED, KERNEL_ADDRESS):
            for name, *args in (
                ("utimensat", AT_FDCWD, b"file", short, 0),
                ("utimes", b"missing", short),
                ("utime", b"file", short),
            ):
                k(str(name), *args)  # type: ignore[arg-type]
            k("futimesat", AT_FDCWD, b"file", short)

    both(body, prepare)


def test_the_present() -> None:
    def body(k: Caller) -> None:
        before = os.stat("mine").st_mtime_ns
        spec = Buffer(32, struct.pack("<qqqq", 0, NOW, 0, NOW))
        past = Buffer(32, struct.pack("<qqqq", 5, 5, 5, 5))
        for name, *args in (
            ("utimensat", AT_FDCWD, b"mine", spec, 0),
            ("utimensat", AT_FDCWD, b"mine", None, 0),
            ("utimes", b"mine", None),
            ("utime", b"mine", None),
            ("futimesat", AT_FDCWD, b"mine", None),
        ):
            k("utimensat", AT_FDCWD, b"mine", past, 0)
            k(str(name), *args)  # type: ignore[arg-type]
            k.note(os.stat("mine").st_mtime_ns >= before, os.stat("mine").st_atime_ns >= before)

    both(body, prepare, uid=1000)


def test_truncate() -> None:
    def body(k: Caller) -> None:
        for length in (0, 1, 4096, 2**40, -1, -(2**63), 2**63 - 1):
            k("truncate", b"file", length)
            k("truncate", UNMAPPED, length)
            k.note(os.stat("file").st_size)

    both(body, prepare)


def test_truncate_keeps_to_the_limit_of_the_caller() -> None:
    """setrlimit(2), RLIMIT_FSIZE: EFBIG and SIGXFSZ."""

    def body(k: Caller) -> None:
        def limited() -> None:
            received: list[int] = []
            signal.signal(signal.SIGXFSZ, lambda number, _: received.append(number))
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, 200))
            for length in (100, 101, 7, 2**40):
                k("truncate", b"file", length)
                k.note(os.stat("file").st_size, received)
            k("truncate", b"dir", 2**40)

        k.in_child(limited)

    both(body, prepare)


def test_xattr_bounds() -> None:
    def body(k: Caller) -> None:
        value = Buffer(70000, b"v" * 70000)
        for name in (b"", b"user.", b"user." + b"n" * 250, b"user." + b"n" * 251, b"nonsense", b"user.x", None, UNMAPPED):
            for size in (0, 1, 4000, 65536, 65537, 2**40, 2**63):
                k("setxattr", b"file", name, value, size, 0)
                k("getxattr", b"file", name, value, size)
                k("listxattr", b"file", value, size)
            k("removexattr", b"file", name)
        k("getxattr", b"file", Buffer(6, b"user.x"), value, 10)
        k("getxattr", b"file", Buffer(300, b"n" * 300), value, 10)

    both(body, prepare)


def test_xattr_values() -> None:
    def body(k: Caller) -> None:
        k("setxattr", b"file", b"user.a", Buffer(4, b"a\0bc"), 4, os.XATTR_CREATE)
        k("setxattr", b"file", b"user.a", Buffer(4, b"abcd"), 4, os.XATTR_CREATE)
        k("setxattr", b"file", b"user.b", Buffer(4, b"abcd"), 4, os.XATTR_REPLACE)
        k("setxattr", b"file", b"user.empty", None, 0, 0)
        k("setxattr", b"file", b"user.bad", UNMAPPED, 4, 0)
        k("setxattr", b"file", b"user.bad", Buffer(4), 5, 0)
        for size in (0, 3, 4, 100):
            k.read("getxattr", b"file", b"user.a", size=size)
        for size in (0, 6, 7, 18, 19, 100):
            k.read("listxattr", b"file", size=size)
        k("getxattr", b"file", b"user.a", UNMAPPED, 4)
        k("getxattr", b"file", b"user.empty", UNMAPPED, 4)
        k("getxattr", b"file", b"user.missing", UNMAPPED, 4)
        k("listxattr", b"file", UNMAPPED, 100)
        k("removexattr", b"file", b"user.missing")
        k("setxattr", b"dir", b"system.posix_acl_default", Buffer(4, b"\2\0\0\0"), 4, 0)
        k.read("lgetxattr", b"to_file", b"user.a", size=100)
        k.read("getxattr", b"to_file", b"user.a", size=100)

    both(body, prepare)


def test_xattrs_of_a_symbolic_link() -> None:
    """l*xattr(2) act on the link itself."""

    def body(k: Caller) -> None:
        k("lsetxattr", b"to_file", b"trusted.link", Buffer(1, b"1"), 1, 0)
        k("lsetxattr", b"to_file", b"user.link", Buffer(1, b"1"), 1, 0)
        k("setxattr", b"to_file", b"trusted.file", Buffer(1, b"2"), 1, 0)
        for path in (b"to_file", b"file"):
            k.read("llistxattr", path, size=100)
        k("lremovexattr", b"to_file", b"trusted.link")

    both(body, prepare)


def test_a_caller_without_privilege() -> None:
    def body(k: Caller) -> None:
        for path in (b"file", b"mine", b"dir/inner", b"locked/inside", b"suid", b"sticky/theirs"):
            for name, *args in calls(path):
                k(str(name), *args)  # type: ignore[arg-type]

    both(body, prepare, uid=1000)
