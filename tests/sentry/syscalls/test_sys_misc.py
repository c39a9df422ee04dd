"""inotify_add_watch against the same calls made natively; sysinfo against /proc; ioctl."""

from __future__ import annotations

import errno
import os
import struct
from typing import TYPE_CHECKING

import pytest

from tests.sentry.harness import KERNEL_ADDRESS, UNMAPPED, Buffer, alone, both
from tests.sentry.syscalls.names import BASE_PATHS, PATHS, prepare

if TYPE_CHECKING:
    from tests.sentry.harness import Caller

IN_ALL_EVENTS, IN_CREATE, IN_ATTRIB = 0xFFF, 0x100, 0x4
IN_ONLYDIR, IN_DONT_FOLLOW, IN_MASK_CREATE, IN_MASK_ADD = 0x01000000, 0x02000000, 0x10000000, 0x20000000


@pytest.mark.parametrize("uid", [0, 1000])
def test_watch_every_kind_of_path(uid: int) -> None:
    def body(k: Caller) -> None:
        fd = k("inotify_init1", 0)
        bad = [None, UNMAPPED, KERNEL_ADDRESS, Buffer(9, b"file/x/yz"), Buffer(5, b"file\0")]
        for path in [*PATHS, *(k.base + p for p in BASE_PATHS), *bad]:
            for flags in (0, IN_DONT_FOLLOW, IN_ONLYDIR, IN_ONLYDIR | IN_DONT_FOLLOW):
                k("inotify_add_watch", fd, path, IN_ALL_EVENTS | flags)

    both(body, prepare, uid=uid)


def test_watch_arguments() -> None:
    def body(k: Caller) -> None:
        fd, other = k("inotify_init1", 0), os.open("file", os.O_RDONLY)
        path = os.open("file", os.O_PATH)
        for number in (fd, other, path, 99, -1):
            for mask in (0, IN_CREATE, 1 << 12, 1 << 27, 1 << 30, 0xFFFFFFFF, IN_CREATE | IN_MASK_ADD | IN_MASK_CREATE):
                for name in (b"dir", UNMAPPED, b"missing"):
                    k("inotify_add_watch", number, name, mask)
        for bit in range(32):
            k("inotify_add_watch", fd, b"full", 1 << bit)
        k("inotify_add_watch", fd, b"full", IN_CREATE | IN_MASK_CREATE)

    both(body, prepare)


def test_events_arrive() -> None:
    def body(k: Caller) -> None:
        fd = k("inotify_init1", os.O_NONBLOCK)
        k("inotify_add_watch", fd, b"dir", IN_CREATE)
        k("inotify_add_watch", fd, b"to_file", IN_ATTRIB | IN_DONT_FOLLOW)
        k("mkdir", b"dir/new", 0o755)
        k("chmod", b"to_file", 0o600)
        k("lchown", b"to_file", 5, 5)
        k.note(os.read(fd, 4096))

    both(body, prepare)


def test_sysinfo_agrees_with_proc() -> None:
    def body(k: Caller) -> tuple[bytes, int]:
        buffer = Buffer(112)
        assert k("sysinfo", buffer) == 0
        return buffer.content, k("sysinfo", Buffer(111))

    run = alone(body, prepare)
    content, short = run.value  # type: ignore[misc]
    uptime, *loads = struct.unpack_from("<q3Q", content)
    total, free = struct.unpack_from("<2Q", content, 32)
    swap_total, swap_free, processes = struct.unpack_from("<2QH", content, 64)
    (unit,) = struct.unpack_from("<I", content, 104)
    with open("/proc/meminfo") as f:
        host = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in f}
    assert 0 <= uptime < 60
    assert loads == [0, 0, 0]
    assert (total, unit) == (host["MemTotal"], 1)
    assert 0 < free <= total
    assert swap_free <= swap_total == host["SwapTotal"]
    assert processes == 1
    assert content[108:] == bytes(4)
    assert short == -errno.EFAULT


def test_other_ioctls_are_unknown_to_every_driver() -> None:
    def body(k: Caller) -> list[int]:
        return [k("ioctl", fd, 0x89F0, UNMAPPED) for fd in (0, os.pipe()[0], 99, -1)]

    run = alone(body, prepare)
    assert run.value == [-errno.ENOTTY, -errno.ENOTTY, -errno.EBADF, -errno.EBADF]
    assert run.denials[("ioctl", "0x89f0")] == 2
