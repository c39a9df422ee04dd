"""stat, access, readlink, statfs and chdir by path, against the same calls made natively: fs/stat.c, fs/open.c."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from typing import TYPE_CHECKING

import pytest

from sentry.abi import AT_EACCESS, AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_FOLLOW, AT_SYMLINK_NOFOLLOW
from tests.sentry.harness import KERNEL_ADDRESS, UNMAPPED, Buffer, both
from tests.sentry.syscalls.names import BASE_PATHS, PATHS, prepare

if TYPE_CHECKING:
    from tests.sentry.harness import Caller

_AT_STATX_FORCE_SYNC, _AT_STATX_DONT_SYNC = 0x2000, 0x4000


def bad_pointers() -> list[int | Buffer | None]:
    return [None, UNMAPPED, KERNEL_ADDRESS, Buffer(9, b"file/x/yz"), Buffer(5, b"file\0")]


def facts(raw: bytes) -> tuple[int, ...]:
    """Of a struct stat, what is alike in twin directories: st_nlink st_mode st_uid st_gid st_rdev st_size."""
    nlink, mode, uid, gid, rdev, size = struct.unpack_from("<16xQIII4xQq", raw)
    return nlink, mode, uid, gid, rdev, size if mode & 0o170000 == 0o100000 else 0


def calls(path: object) -> list[tuple[object, ...]]:
    """Every handler of the module but chdir, on `path`."""
    return [
        ("stat", path, Buffer(144)),
        ("lstat", path, Buffer(144)),
        ("newfstatat", AT_FDCWD, path, Buffer(144), 0),
        ("newfstatat", AT_FDCWD, path, Buffer(144), AT_SYMLINK_NOFOLLOW),
        ("statx", AT_FDCWD, path, 0, 0xFFF, Buffer(256)),
        ("statx", AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | _AT_STATX_DONT_SYNC, 0xFFF, Buffer(256)),
        ("statfs", path, Buffer(120)),
        *(("access", path, mode) for mode in range(9)),
        *(("faccessat", AT_FDCWD, path, mode) for mode in (0, 4, 2, 1)),
        *(("faccessat2", AT_FDCWD, path, mode, AT_EACCESS) for mode in (0, 4, 2, 1)),
        ("faccessat2", AT_FDCWD, path, 4, AT_SYMLINK_NOFOLLOW),
        *(("name_to_handle_at", AT_FDCWD, path, Buffer(136, b"\x80"), Buffer(8), flags) for flags in (0, AT_SYMLINK_FOLLOW, 1, 2, 0x200)),
        ("readlink", path, Buffer(100), 100),
        ("readlinkat", AT_FDCWD, path, Buffer(3), 3),
    ]


@pytest.mark.parametrize("uid", [0, 1000])
def test_every_kind_of_path(uid: int) -> None:
    def body(k: Caller) -> None:
        for path in [*PATHS, *(k.base + p for p in BASE_PATHS), *bad_pointers(), b"/proc/version", b"/dev/null"]:
            for name, *args in calls(path):
                result = k(str(name), *args)  # type: ignore[arg-type]
                if result == 0 and name in ("stat", "lstat", "newfstatat") and not str(path).startswith("b'/proc"):
                    k.note(facts(next(a for a in args if isinstance(a, Buffer) and a.size == 144).content))

    both(body, prepare, uid=uid)


def test_the_structures_are_the_kernels() -> None:
    """Every byte, for one and the same object."""

    def body(k: Caller) -> None:
        for path in (b"/usr", b"/dev/null", b"/proc/self", b"/usr/bin/env", b"/etc"):
            raw = Buffer(144)
            k("lstat", path, raw)
            k.note(raw.content if path != b"/proc/self" else facts(raw.content))
            for mask in (0, 0x7FF, 0x3FFF):
                raw = Buffer(256)
                k("statx", AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, mask, raw)
                content = raw.content[:0x90] + raw.content[0x98:]  # without stx_mnt_id: each container has mounts of its own
                k.note(content if path != b"/proc/self" else content[:4])
        raw = Buffer(120)
        k("statfs", b"/proc", raw)
        k.note(raw.content[:56], raw.content[64:])  # without f_fsid, the number of the container's own procfs

    both(body, prepare)


@pytest.mark.parametrize("uid", [0, 1000])
def test_dirfds_and_empty_paths(uid: int) -> None:
    def body(k: Caller) -> None:
        fds = [
            os.open("dir", os.O_RDONLY),
            os.open("dir", os.O_PATH),
            os.open("file", os.O_RDONLY),
            os.open("mine", os.O_PATH),
            os.open("to_file", os.O_PATH | os.O_NOFOLLOW),
            os.open("fifo", os.O_PATH),
            os.pipe()[0],
            AT_FDCWD,
            99,
            -1,
        ]
        for fd in fds:
            for path in (b"inner", b"", None, b"../file", b"..", k.base + b"/file"):
                for flags in (0, AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW):
                    buffer = Buffer(144)
                    if k("newfstatat", fd, path, buffer, flags) == 0:
                        k.note(facts(buffer.content))
                    k("statx", fd, path, flags, 0xFFF, Buffer(256))
                    k("faccessat2", fd, path, 4, flags)
                    k("faccessat2", fd, path, 2, flags | AT_EACCESS)
                k("faccessat", fd, path, 4)
                k.read("readlinkat", fd, path, size=10)

    both(body, prepare, uid=uid)


def test_flags_and_modes() -> None:
    def body(k: Caller) -> None:
        for bit in range(32):
            k("newfstatat", AT_FDCWD, UNMAPPED, UNMAPPED, 1 << bit)
            k("statx", AT_FDCWD, UNMAPPED, 1 << bit, 0, UNMAPPED)
            k("statx", AT_FDCWD, UNMAPPED, 0, 1 << bit, UNMAPPED)
            k("faccessat2", AT_FDCWD, UNMAPPED, 0, 1 << bit)
            k("faccessat", AT_FDCWD, UNMAPPED, 1 << bit)
            k("access", UNMAPPED, 1 << bit)
        k("statx", AT_FDCWD, b"file", _AT_STATX_FORCE_SYNC | _AT_STATX_DONT_SYNC, 0, Buffer(256))
        k("statx", AT_FDCWD, b"file", _AT_STATX_FORCE_SYNC, 0, Buffer(256))

    both(body, prepare)


def test_handles() -> None:
    def body(k: Caller) -> None:
        directory = os.open("dir", os.O_PATH)
        for bit in range(32):
            k("name_to_handle_at", AT_FDCWD, b"file", Buffer(136, b"\x80"), Buffer(8), 1 << bit)
        for flags in (3, 0x202, 0x1002, 0x201, 0x1200):
            k("name_to_handle_at", directory, b"inner", Buffer(136, b"\x80"), Buffer(8), flags)
        for size in (0, 1, 8, 127, 128, 129, 4096, 0xFFFFFFFF):
            handle, mount = Buffer(max(8, min(size + 8, 8192)), size.to_bytes(4, "little")), Buffer(4)
            result = k("name_to_handle_at", directory, b"", handle, mount, AT_EMPTY_PATH)
            if result in (0, -errno.EOVERFLOW):
                k.note(handle.content[:8], mount.content != bytes(4))
        for bad in (None, UNMAPPED, KERNEL_ADDRESS, Buffer(3), Buffer(7)):
            k("name_to_handle_at", AT_FDCWD, b"file", bad, Buffer(4), 0)
            k("name_to_handle_at", AT_FDCWD, b"file", Buffer(136, b"\x80"), bad, 0)
            k("name_to_handle_at", AT_FDCWD, bad, bad, bad, 0)

    both(body, prepare)


def test_a_handle_and_a_mount_are_those_that_the_kernel_gives() -> None:
    def body(k: Caller) -> None:
        def told(path: bytes, flags: int) -> tuple[bytes, bytes]:
            handle, mount = Buffer(136, b"\x80"), Buffer(8)
            k("name_to_handle_at", AT_FDCWD, path, handle, mount, flags)
            return handle.content, mount.content

        k.note(told(b"file", 0) == told(b"./dir/../file", 0), told(b"file", 0)[0] != told(b"dir", 0)[0])
        k.note(told(b"to_file", 0)[0] != told(b"file", 0)[0], told(b"to_file", AT_SYMLINK_FOLLOW) == told(b"file", 0))
        with open("/proc/self/mountinfo", "rb") as f:
            mounts = {int(line.split()[0]) for line in f}
        k.note(int.from_bytes(told(b"file", 0)[1], "little") in mounts)

    both(body, prepare)


def test_results_that_cannot_be_written() -> None:
    def body(k: Caller) -> None:
        for bad in (None, UNMAPPED, KERNEL_ADDRESS, Buffer(100)):
            for path in (b"file", b"missing", b"loop"):
                k("stat", path, bad)
                k("lstat", path, bad)
                k("newfstatat", AT_FDCWD, path, bad, 0)
                k("statx", AT_FDCWD, path, 0, 0, bad)
                k("statfs", path, bad)
        for path in (b"to_file", b"file", b"missing"):
            for bad in (None, UNMAPPED, Buffer(2)):
                k("readlink", path, bad, 4)
                k("readlinkat", AT_FDCWD, path, bad, 4)

    both(body, prepare)


def test_readlink() -> None:
    def body(k: Caller) -> None:
        for size in (1, 3, 4, 100, 5000):
            k.read("readlink", b"to_file", size=size)
        for size in (0, -1, -(2**31), 2**32, 2**32 + 4):
            k("readlink", b"to_file", Buffer(100), size)
            k("readlink", UNMAPPED, UNMAPPED, size)
        os.symlink("t" * 4000, "long")
        k.read("readlink", b"long", size=4096)

    both(body, prepare)


def test_links_of_procfs_are_the_callers() -> None:
    def body(k: Caller) -> None:
        fd = os.open("file", os.O_RDONLY)
        links = (b"self", b"thread-self", b"self/cwd", b"self/fd/%d" % fd, b"mounts", b"self/ns/user", b"1/cwd", b"net")
        for link in links:
            buffer = Buffer(200)
            k("readlink", b"/proc/" + link, buffer, 200 if b"ns/" not in link else 6)  # the namespaces of the two runs are two
            k.note(buffer.content.rstrip(b"\0"))

    both(body, prepare)


@pytest.mark.parametrize("uids", [(1000, 0, 0), (0, 1000, 0), (1000, 1001, 1000), (0, 0, 0)])
@pytest.mark.parametrize("capabilities", [True, False])
def test_access_is_about_the_real_ids(uids: tuple[int, int, int], capabilities: bool) -> None:
    """access(2): real uid and gid, and for root the permitted capabilities; AT_EACCESS: the effective ones."""

    def body(k: Caller) -> None:
        if not capabilities:
            libc = ctypes.CDLL(None)
            header, data = struct.pack("<Ii", 0x20080522, 0), Buffer(24)
            libc.syscall(125, header, ctypes.c_void_p(data.address))
            permitted = struct.unpack("<6I", data.content)
            lowered = struct.pack("<6I", 0, permitted[1], permitted[2], 0, permitted[4], permitted[5])
            k("capset", Buffer(8, header), Buffer(24, lowered))
        k("setresgid", *uids)
        k("setresuid", *uids)
        for path in (b"file", b"mine", b"locked", b"locked/inside", b"readonly/inner", b"dir/inner", b"suid", b"missing"):
            for mode in range(8):
                k("access", path, mode)
                k("faccessat2", AT_FDCWD, path, mode, 0)
                k("faccessat2", AT_FDCWD, path, mode, AT_EACCESS)
        for path in (b"file", b"locked/inside"):  # the next call is made with the effective identity again
            k("access", path, 4)
            k("stat", path, Buffer(144))

    both(body, prepare)


@pytest.mark.parametrize("uid", [0, 1000])
def test_chdir(uid: int) -> None:
    def body(k: Caller) -> None:
        for path in [*PATHS, *(k.base + p for p in BASE_PATHS), *bad_pointers()]:
            if k("chdir", path) == 0:
                k.note(os.path.basename(os.getcwd()) if path not in (b"..", b"to_up") else "top")
                os.chdir(k.base)

    both(body, prepare, uid=uid)
