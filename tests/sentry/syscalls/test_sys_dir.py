"""Names in directories, against the same calls made natively: fs/namei.c."""

from __future__ import annotations

import errno
import os
from stat import S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK
from typing import TYPE_CHECKING

import pytest

from sentry.abi import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_REMOVEDIR,
    AT_SYMLINK_FOLLOW,
    RENAME_EXCHANGE,
    RENAME_NOREPLACE,
)
from tests.sentry.guest import readonly_here
from tests.sentry.harness import KERNEL_ADDRESS, UNMAPPED, Buffer, alone, both
from tests.sentry.syscalls.names import BASE_PATHS, PATHS, prepare

if TYPE_CHECKING:
    from tests.sentry.harness import Caller

P = "path"
"""Stands for a path in the signatures below."""

ONE_PATH = {
    "mkdir": (P, 0o755),
    "mkdirat": (AT_FDCWD, P, 0o1777),
    "mknod": (P, S_IFIFO | 0o666, 0),
    "mknodat": (AT_FDCWD, P, S_IFREG | 0o600, 0),
    "unlink": (P,),
    "unlinkat": (AT_FDCWD, P, 0),
    "rmdir": (P,),
}
TWO_PATHS = {
    "rename": (P, P),
    "renameat": (AT_FDCWD, P, AT_FDCWD, P),
    "renameat2": (AT_FDCWD, P, AT_FDCWD, P, RENAME_NOREPLACE),
    "link": (P, P),
    "linkat": (AT_FDCWD, P, AT_FDCWD, P, AT_SYMLINK_FOLLOW),
    "symlink": (P, P),
    "symlinkat": (P, AT_FDCWD, P),
}


def fill(signature: tuple[object, ...], *paths: object) -> list[object]:
    left = list(paths)
    return [left.pop(0) if a is P else a for a in signature]


def bad_pointers() -> list[object]:
    """Null, nothing there, the kernel's, a string that runs into an unmapped page, one that just does not."""
    return [None, UNMAPPED, KERNEL_ADDRESS, Buffer(9, b"file/x/yz"), Buffer(5, b"file\0")]


@pytest.mark.parametrize("uid", [0, 1000])
@pytest.mark.parametrize("name", ONE_PATH)
def test_every_kind_of_path(name: str, uid: int) -> None:
    def body(k: Caller) -> None:
        for path in [*PATHS, *(k.base + p for p in BASE_PATHS), *bad_pointers()]:
            k(name, *fill(ONE_PATH[name], path))

    both(body, prepare, uid=uid)


@pytest.mark.parametrize("uid", [0, 1000])
@pytest.mark.parametrize("name", TWO_PATHS)
@pytest.mark.parametrize("which", ["first", "second"])
def test_every_kind_of_two_paths(name: str, which: str, uid: int) -> None:
    def body(k: Caller) -> None:
        for i, path in enumerate([*PATHS, *(k.base + p for p in BASE_PATHS), *bad_pointers()]):
            if which == "first":
                k(name, *fill(TWO_PATHS[name], path, b"target%d" % i))
            else:
                k("mknod", b"source%d" % i, S_IFREG | 0o644, 0)
                k(name, *fill(TWO_PATHS[name], b"source%d" % i, path))

    both(body, prepare, uid=uid)


@pytest.mark.parametrize("name", TWO_PATHS)
def test_the_first_path_is_judged_before_the_second(name: str) -> None:
    def body(k: Caller) -> None:
        for first in (UNMAPPED, b"", b"missing/x", b"loop/x", b"file/x", b"file", b"x" * 5000):
            for second in (UNMAPPED, b"", b"missing/y", b"file/y", b"loop/y", b"y" * 5000):
                k(name, *fill(TWO_PATHS[name], first, second))

    both(body, prepare)


def test_the_root_itself() -> None:
    def body(k: Caller) -> None:
        for root in (b"/", b"//", b"/.", b"/..", b"/../.."):
            for name, signature in ONE_PATH.items():
                k(name, *fill(signature, root))
            for name, signature in TWO_PATHS.items():
                k(name, *fill(signature, root, b"new"))
                k(name, *fill(signature, b"/file", root))
        k("mkdir", b"/made", 0o755)
        k("unlink", b"/../../made/../file")

    both(body, prepare, chroot=True)


def test_dirfds() -> None:
    def body(k: Caller) -> None:
        there = os.open("dir", os.O_RDONLY)
        path = os.open("dir", os.O_PATH)
        file = os.open("file", os.O_RDONLY)
        gone_dir = os.mkdir("gone") or os.open("gone", os.O_RDONLY)
        os.rmdir("gone")
        for fd in (there, path, file, gone_dir, 99, -1, -5, 2**31, 2**32 + there):
            for leaf in (b"a", b"a/", b"../b", b".", k.base + b"/c%d" % (fd & 0xFF)):
                k("mkdirat", fd, leaf, 0o700)
                k("mknodat", fd, leaf + b"m", S_IFREG | 0o644, 0)
                k("symlinkat", b"to", fd, leaf + b"s")
                k("linkat", AT_FDCWD, b"file", fd, leaf + b"l", 0)
                k("linkat", fd, leaf + b"m", AT_FDCWD, b"back", 0)
                k("renameat", fd, leaf + b"m", fd, leaf + b"n")
                k("renameat2", fd, leaf + b"n", fd, leaf + b"s", RENAME_EXCHANGE)
                k("unlinkat", fd, leaf + b"n", 0)
                k("unlinkat", fd, leaf, AT_REMOVEDIR)

    both(body, prepare)


def test_flags() -> None:
    def body(k: Caller) -> None:
        for bit in range(32):
            k("unlinkat", AT_FDCWD, UNMAPPED, 1 << bit)
            k("renameat2", AT_FDCWD, UNMAPPED, AT_FDCWD, b"x", 1 << bit)
            k("linkat", AT_FDCWD, UNMAPPED, AT_FDCWD, b"x", 1 << bit)
        for flags in range(8):
            k("mknod", b"a", S_IFREG | 0o644, 0)
            k("renameat2", AT_FDCWD, b"a", AT_FDCWD, b"b", flags)
            k("renameat2", AT_FDCWD, b"a", AT_FDCWD, b"dir", flags)
            k("renameat2", AT_FDCWD, b"dir", AT_FDCWD, b"dir/inner", flags)

    both(body, prepare)


@pytest.mark.parametrize("uid", [0, 1000])
def test_mknod_types_and_modes(uid: int) -> None:
    def body(k: Caller) -> None:
        kinds = (0, S_IFREG, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK, S_IFDIR, S_IFLNK, 0o170000, 0o030000, 0o1000000)
        for i, kind in enumerate(kinds):
            for dev in (0, 0x103):
                k("mknod", b"node%d.%d" % (i, dev), kind | 0o7777, dev)
                k("mknod", UNMAPPED, kind, dev)
        os.umask(0o037)
        k("mknod", b"masked", S_IFREG | 0o666, 0)
        k("mkdir", b"masked_dir", 0o7777)
        os.umask(0)
        k("mkdir", b"open_dir", 0o17777)

    both(body, prepare, uid=uid)


@pytest.mark.parametrize("dumpable", [True, False])
def test_linkat_gives_an_unnamed_file_a_name(dumpable: bool) -> None:
    """open(2), O_TMPFILE: linkat of /proc/self/fd/N with AT_SYMLINK_FOLLOW."""

    def body(k: Caller) -> None:
        fd = os.open(".", os.O_TMPFILE | os.O_WRONLY, 0o640)
        os.write(fd, b"data")
        k("linkat", AT_FDCWD, b"/proc/self/fd/%d" % fd, AT_FDCWD, b"named", AT_SYMLINK_FOLLOW)
        k("linkat", AT_FDCWD, b"/proc/self/fd/%d" % fd, AT_FDCWD, b"link", 0)
        excl = os.open(".", os.O_TMPFILE | os.O_WRONLY | os.O_EXCL, 0o640)
        k("linkat", AT_FDCWD, b"/proc/self/fd/%d" % excl, AT_FDCWD, b"never", AT_SYMLINK_FOLLOW)

    both(body, prepare, uid=1000, dumpable=dumpable)


def test_linkat_empty_path() -> None:
    def body(k: Caller) -> None:
        fd = os.open("file", os.O_RDONLY)
        link = os.open("to_file", os.O_PATH | os.O_NOFOLLOW)
        k("linkat", fd, b"", AT_FDCWD, b"named", AT_EMPTY_PATH)
        k("linkat", fd, b"", AT_FDCWD, b"named2", 0)
        k("linkat", fd, b"file", AT_FDCWD, b"named3", AT_EMPTY_PATH)
        k("linkat", link, b"", AT_FDCWD, b"same_link", AT_EMPTY_PATH)
        k("linkat", AT_FDCWD, b"", AT_FDCWD, b"directory", AT_EMPTY_PATH)
        k("linkat", 99, b"", AT_FDCWD, b"none", AT_EMPTY_PATH)

    both(body, prepare)


def test_linkat_empty_path_needs_a_capability() -> None:
    """As before Linux 6.10: whoever is not privileged must go through /proc/self/fd."""

    def body(k: Caller) -> int:
        fd = os.open("mine", os.O_RDONLY)
        return k("linkat", fd, b"", AT_FDCWD, b"named", AT_EMPTY_PATH)

    assert alone(body, prepare, uid=1000).value == -errno.ENOENT


def test_links_are_not_followed_in_the_last_component() -> None:
    def body(k: Caller) -> None:
        k("link", b"to_file", b"another")
        k("linkat", AT_FDCWD, b"to_file", AT_FDCWD, b"followed", AT_SYMLINK_FOLLOW)
        k("rename", b"to_dir", b"renamed")
        k("unlink", b"dangling")
        k("rmdir", b"to_abs")
        k("mkdir", b"loop", 0o755)

    both(body, prepare)


def test_a_read_only_file_system_is_reported() -> None:
    """EROFS is what a workload hits when it lacks a --write: it is noted for the report."""

    def body(k: Caller) -> None:
        k("mkdir", b"ro/new", 0o755)
        k("rename", b"file", b"ro/new")
        k("unlink", b"ro/missing")
        k("rmdir", b"ro/there")

    def read_only() -> None:
        os.makedirs("ro/there")
        readonly_here("ro")

    denials = both(body, prepare, setup=read_only).denials
    assert set(denials) == {("write", "ro/new"), ("write", "ro/missing"), ("write", "ro/there")}
