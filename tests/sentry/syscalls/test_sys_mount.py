"""mount and umount2, against the same calls made natively: fs/namespace.c."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from sentry.abi import (
    MS_BIND,
    MS_MOVE,
    MS_NOATIME,
    MS_NODEV,
    MS_NODIRATIME,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    MS_RELATIME,
    MS_REMOUNT,
    MS_SHARED,
    MS_SILENT,
    MS_SLAVE,
    MS_STRICTATIME,
    MS_UNBINDABLE,
    UMOUNT_MNT_DETACH,
    UMOUNT_MNT_EXPIRE,
    UMOUNT_NOFOLLOW,
)
from tests.sentry.harness import KERNEL_ADDRESS, UNMAPPED, Buffer, alone, both
from tests.sentry.syscalls.names import PATHS, prepare

if TYPE_CHECKING:
    from tests.sentry.harness import Caller


def mounts(base: bytes, *points: bytes) -> list[tuple[bytes, ...]]:
    """(mount point, options, whether shared, type) of what is mounted below `base` or at `points`."""
    found = []
    with open("/proc/self/mountinfo", "rb") as f:
        for line in f:
            before, _, after = line.partition(b" - ")
            point, options, *optional = before.split()[4:]
            if point.startswith(base) or point in points:
                kinds = b",".join(o.partition(b":")[0] for o in optional)
                found.append((point.replace(base, b"BASE"), options, kinds, after.split()[0]))
    return found


def bad_pointers() -> list[int | Buffer | None]:
    return [None, UNMAPPED, KERNEL_ADDRESS, Buffer(9, b"file/x/yz"), Buffer(4, b"dir\0")]


@pytest.mark.parametrize("uid", [0, 1000])
def test_every_kind_of_target(uid: int) -> None:
    def body(k: Caller) -> None:
        for path in [*PATHS, *bad_pointers()]:
            if path in (b"..", b".", b"to_up", b"../base", b"./", b"dir/.."):
                continue  # what is mounted over the working directory is out of its reach
            if k("mount", b"none", path, b"tmpfs", 0, None) == 0:
                k.note(mounts(k.base))
                k("umount2", path, 0)
            k("umount2", path, 0)
            k("umount2", path, UMOUNT_NOFOLLOW)

    both(body, prepare, uid=uid)


def test_every_kind_of_source() -> None:
    def body(k: Caller) -> None:
        for path in [*PATHS, *bad_pointers()]:
            for target in (b"full", b"mine", b"missing", b"to_dir", UNMAPPED):
                if not str(path).startswith("b'/proc") and k("mount", path, target, None, MS_BIND, None) == 0:
                    k.note(len(mounts(k.base)))
                    k("umount2", target, 0)

    both(body, prepare)


def test_strings() -> None:
    def body(k: Caller) -> None:
        texts = (None, UNMAPPED, b"", b"tmpfs", b"nonsense", b"x" * 4095, b"x" * 4096, Buffer(5, b"tmpfs"), Buffer(6, b"tmpfs\0"))
        for text in texts:
            k("mount", b"none", b"dir", text, 0, None)
            k("mount", text, b"dir", b"tmpfs", 0, None)
            k("mount", text, b"missing", text, 0, None)
            k("mount", text, b"full", None, MS_BIND, None)

    both(body, prepare)


def test_flags_of_a_tmpfs_and_remount() -> None:
    def body(k: Caller) -> None:
        flags = (
            0,
            MS_RDONLY | MS_NOSUID,
            MS_NODEV | MS_NOEXEC,
            MS_NOATIME,
            MS_NOATIME | MS_NODIRATIME,
            MS_STRICTATIME,
            MS_STRICTATIME | MS_NOATIME,
            MS_RELATIME,
            0xC0ED0000 | MS_NODEV,
        )
        for flag in flags:
            k("mount", b"none", b"dir", b"tmpfs", flag, None)
            k.note(mounts(k.base))
            for again in (*flags, MS_NODIRATIME):
                k("mount", None, b"dir", None, MS_REMOUNT | MS_BIND | again, None)
                k.note(mounts(k.base))
            k("umount2", b"dir", 0)
        k("mount", None, b"dir", None, MS_REMOUNT | MS_BIND, None)
        k("mount", None, b"dir", b"tmpfs", 1 << 31, None)
        k("mount", None, UNMAPPED, b"tmpfs", 1 << 31, None)

    both(body, prepare)


def test_a_remounted_tmpfs() -> None:
    def body(k: Caller) -> None:
        k("mount", b"none", b"dir", b"tmpfs", 0, None)
        k("mount", None, b"dir", None, MS_REMOUNT | MS_RDONLY, None)
        k("mkdir", b"dir/new", 0o755)
        k("mount", None, b"dir", None, MS_REMOUNT, None)
        k("mkdir", b"dir/new", 0o755)

    both(body, prepare)


def test_options_of_a_tmpfs() -> None:
    def body(k: Caller) -> None:
        page = Buffer(8, b"mode=700")  # ends without a NUL where the mapping ends
        for data in (
            None,
            b"",
            b"size=64k",
            b"size=10%,mode=1770,uid=1000,gid=1001,nr_inodes=50",
            b"mode=9",
            b"size=much",
            b"nonsense",
            b"nonsense=1",
            b"size",
            page,
            UNMAPPED,
            KERNEL_ADDRESS,
        ):
            if k("mount", b"none", b"dir", b"tmpfs", 0, data) == 0:
                st, fs = os.stat("dir"), os.statvfs("dir")
                k.note(oct(st.st_mode), st.st_uid, st.st_gid, fs.f_blocks, fs.f_files)
                k("umount2", b"dir", 0)

    both(body, prepare)


def test_bind_mounts() -> None:
    def body(k: Caller) -> None:
        k("mount", b"none", b"dir", b"tmpfs", 0, None)
        k("mkdir", b"dir/below", 0o755)
        k("mount", b"none", b"dir/below", b"tmpfs", 0, None)
        k("mount", b"dir", b"full", None, MS_BIND, None)
        k.note(mounts(k.base))
        k("umount2", b"full", 0)
        k("mount", b"dir", b"full", b"ignored", MS_BIND | MS_REC | MS_RDONLY, b"ignored")
        k.note(mounts(k.base))
        k("umount2", b"dir/below", 0)
        k("umount2", b"full", 0)
        k("umount2", b"full", UMOUNT_MNT_DETACH)
        k("mount", b"file", b"mine", None, MS_BIND, None)
        k("mount", None, b"mine", None, MS_BIND | MS_REMOUNT | MS_RDONLY, None)
        k.note(mounts(k.base))
        k("truncate", b"mine", 3)
        k("unlink", b"locked/inside")

    both(body, prepare)


def test_propagation() -> None:
    def body(k: Caller) -> None:
        k("mount", b"none", b"dir", b"tmpfs", 0, None)
        for flag in (MS_SHARED, MS_SLAVE, MS_SHARED, MS_PRIVATE, MS_UNBINDABLE, MS_SHARED | MS_PRIVATE, MS_SHARED | MS_RDONLY):
            k("mount", None, b"dir", None, flag, None)
            k("mount", b"dir", b"full", None, MS_BIND, None)
            k.note(mounts(k.base))
            k("umount2", b"full", 0)
            k("mount", None, b"dir", None, flag | MS_REC | MS_SILENT, None)
        k("mount", None, b"full", None, MS_SHARED, None)

    both(body, prepare)


def test_moves() -> None:
    def body(k: Caller) -> None:
        for source in (None, b"", b"missing", b"dir", b"file", UNMAPPED, b"/proc", b"/"):
            k("mount", source, b"full", None, MS_MOVE, None)
        k("mount", b"none", b"dir", b"tmpfs", MS_NOEXEC, None)
        k("mkdir", b"dir/below", 0o755)
        k("mount", b"none", b"dir/below", b"tmpfs", 0, None)
        k("mkdir", b"dir/below/new", 0o755)
        for target in (b"file", b"missing", b"dir/below", b"dir", UNMAPPED):
            k("mount", b"dir", target, None, MS_MOVE, None)
        k("mount", b"to_dir", b"full", b"ignored", MS_MOVE | MS_RDONLY, b"ignored")
        k.note(mounts(k.base), os.listdir("dir"), os.listdir("full/below"))
        k("mount", b"full/below", b"sticky", None, MS_MOVE, None)
        k.note(mounts(k.base))
        k("mount", b"file", b"mine", None, MS_BIND, None)
        k("mount", b"mine", b"full", None, MS_MOVE, None)
        k("mount", b"mine", b"suid", None, MS_MOVE, None)
        k.note(mounts(k.base))
        k("mount", None, b"full", None, MS_SHARED, None)
        k("mkdir", b"full/again", 0o755)
        k("mount", b"none", b"full/again", b"tmpfs", 0, None)
        k("mount", b"full/again", b"readonly", None, MS_MOVE, None)

    both(body, prepare)


def test_nodev_that_is_locked_stays() -> None:
    """What the config mounts is nodev, and who is root of the machine does not name what is there already."""

    def body(k: Caller) -> list[object]:
        results = [k("mount", b"/usr", b"dir", None, MS_BIND, None)]
        results += [k("mount", None, b"dir", None, MS_BIND | MS_REMOUNT | how, None) for how in (MS_RDONLY | MS_NOSUID, MS_NOSUID, MS_RDONLY)]
        return [results, mounts(k.base)[-1][1].split(b",")]

    results, options = alone(body, prepare).value
    assert results == [0, 0, -errno.EPERM, -errno.EPERM]
    assert {b"ro", b"nosuid", b"nodev"} <= set(options)


def test_umount() -> None:
    def body(k: Caller) -> None:
        for bit in range(32):
            k("umount2", UNMAPPED, 1 << bit)
        k("umount2", b"dir", 0)
        k("umount2", b"file", 0)
        k("mount", b"none", b"dir", b"tmpfs", 0, None)
        k("mount", b"none", b"dir", b"tmpfs", MS_RDONLY, None)
        held = os.open("dir", os.O_RDONLY)
        k("umount2", b"dir", 0)
        k("umount2", b"dir", UMOUNT_MNT_EXPIRE)
        os.close(held)
        k("umount2", b"dir", UMOUNT_MNT_EXPIRE)
        k("umount2", b"dir", UMOUNT_MNT_EXPIRE | UMOUNT_MNT_DETACH)
        k("umount2", b"dir", 0)
        k.note(mounts(k.base))
        held = os.open("dir", os.O_RDONLY)
        k("umount2", b"to_dir", UMOUNT_NOFOLLOW)
        k("umount2", b"to_dir", UMOUNT_MNT_DETACH)
        k.note(mounts(k.base))
        k("umount2", b"dir", 0)

    both(body, prepare)


def test_without_the_capability() -> None:
    """may_mount(), after the paths have been looked at."""

    def body(k: Caller) -> None:
        for target in (b"dir", b"missing", b"locked/x", UNMAPPED):
            k("mount", b"none", target, b"tmpfs", 0, None)
            k("mount", b"none", target, b"nonsense", 0, None)
            k("mount", b"missing", target, None, MS_BIND, None)
            k("mount", None, target, None, MS_REMOUNT | MS_BIND, None)
            k("umount2", target, 0)

    both(body, prepare, uid=1000)


def test_what_is_refused() -> None:
    def body(k: Caller) -> list[int]:
        return [
            k("mount", b"proc", b"dir", b"proc", 0, None),
            k("mount", b"none", b"dir", b"overlay", 0, b"lowerdir=/"),
            k("mount", b"/proc", b"dir", None, MS_BIND, None),
            k("mount", b"/proc/sys", b"dir", None, MS_BIND | MS_REC, None),
            k("mount", b"/proc/version", b"file", None, MS_BIND, None),
            k("mount", None, b"/proc", None, MS_REMOUNT | MS_RDONLY, None),
            k("umount2", b"/", 0),
        ]

    run = alone(body, prepare)
    assert run.value == [-errno.EPERM] * 7
    assert ("mount", "overlay") in run.denials
    assert ("mount", "bind of /proc/sys") in run.denials


def test_a_mount_point_cannot_be_removed() -> None:
    """rmdir(2), unlink(2), rename(2): EBUSY."""

    def body(k: Caller) -> None:
        k("mount", b"none", b"full", b"tmpfs", 0, None)
        k("mount", b"file", b"mine", None, MS_BIND, None)
        k("rmdir", b"full")
        k("unlink", b"mine")
        k("rename", b"full", b"elsewhere")
        k("rename", b"file", b"mine")
        k.note(mounts(k.base))

    both(body, prepare)
