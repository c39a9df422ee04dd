"""Names that are long, strange, or full of dots and slashes, and /proc/self in the middle of them: as the kernel takes them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tests.sentry.harness import Buffer, both
from tests.sentry.syscalls.names import prepare

if TYPE_CHECKING:
    from tests.sentry.harness import Caller

RDONLY, WRONLY, NONBLOCK = os.O_RDONLY, os.O_WRONLY, os.O_NONBLOCK
CREAT, EXCL = os.O_CREAT, os.O_EXCL
DIRECTORY, NOFOLLOW, PATH = os.O_DIRECTORY, os.O_NOFOLLOW, os.O_PATH


def test_long_names() -> None:
    def body(k: Caller) -> None:
        deep = b"d" * 200
        os.chdir("/tmp")
        for _ in range(30):
            os.mkdir(deep)
            os.chdir(deep)
        for _ in range(30):
            os.chdir("..")
        os.chdir("/work/base")
        for size in (254, 255, 256, 257):
            for way in (b"", b"dir/", b"../base/", b"/work/base/", b"/proc/self/cwd/"):
                for flags in (RDONLY, CREAT | WRONLY, PATH):
                    k.opened(way + b"n" * size, flags, 0o600)
                    k.opened(way + b"n" * size + b"/x", flags, 0o600)
        for size in (4094, 4095, 4096, 4097, 5000, 10000):
            for unit in (b"./", b"/", b"dir/../", b"//proc/self/cwd/./"[: 18]):
                path = (unit * size)[: size - 5] + b"/file"
                k.opened(path, RDONLY)
                k("mkdir", path, 0o755)
                k("readlink", path, Buffer(10), 10)
                k("rename", b"file", path)
                k("symlink", path, b"s%d" % size)
                k.quiet("unlink", b"s%d" % size)
            k.opened(b"/tmp/" + (deep + b"/") * (size // 201) + b"x" * (size % 201 - 5), RDONLY)
            k("symlink", b"t" * size, b"long%d" % size)
            k.opened(b"long%d" % size, RDONLY)
        tail = Buffer(4096, b"./" * 2045 + b"/file\0")
        k.opened(tail, RDONLY)
        k.opened(Buffer(4095, b"./" * 2045 + b"/file"), RDONLY)

    both(body, prepare)


def test_strange_names() -> None:
    def body(k: Caller) -> None:
        names = (b"\xff\xfe", b"\n", b" ", b"\x01\x7f", "ü".encode(), b"...", b"..x", b".x", b"-", b"\xc3", b"%s%n", b"a\\b", b"*")
        for name in names:
            for way in (b"", b"dir/", b"../base/", b"/work/base/"):
                k.opened(way + name, RDONLY)
                k("mkdir", way + name, 0o755)
                k.opened(way + name + b"/" + name, CREAT | EXCL | WRONLY, 0o600)
                k.opened(way + name + b"/" + name, RDONLY)
                k("symlink", name, way + name + b"l")
                k.read("readlink", way + name + b"l", size=20)
                k.opened(way + name + b"l/" + name, RDONLY)
                k("setxattr", way + name, b"user." + name, Buffer(1), 1, 0)
                k("stat", way + name, Buffer(144))

    both(body, prepare)


def test_dots_and_slashes() -> None:
    def body(k: Caller) -> None:
        pieces = (b"dir", b"..", b".", b"", b"to_dir", b"to_up", b"to_abs", b"file", b"missing", b"inner")
        for one in pieces:
            for two in pieces:
                for three in pieces:
                    path = one + b"/" + two + b"/" + three
                    k.opened(path, RDONLY)
                    k.opened(path + b"/", CREAT | WRONLY, 0o600)
                    k.opened(b"/work/base/" + path, DIRECTORY)
                    k.opened(b"/proc/self/cwd/" + path, PATH)

    both(body, prepare)


def test_proc_self_in_many_places() -> None:
    def body(k: Caller) -> None:
        os.symlink("/proc/self", "me")
        os.symlink("/proc/self/cwd/dir", "through")
        os.symlink("/proc/thread-self/root", "root")
        os.symlink("/proc/self/exe", "exe")
        os.symlink("/proc/self/fd/0", "zero")
        os.symlink("/dev/fd", "fds")
        fd = os.open("dir", RDONLY)
        for path in (
            b"me",
            b"me/",
            b"me/comm",
            b"me/../self/comm",
            b"me/../version/..",
            b"me/cwd/file",
            b"me/cwd/../base/file",
            b"me/fd/%d/inner" % fd,
            b"me/fd/%d/../file" % fd,
            b"me/task/1/cwd/file",
            b"me/ns/user",
            b"through",
            b"through/inner",
            b"through/../file",
            b"root",
            b"root/work/base/file",
            b"root/..",
            b"root/proc/self/comm",
            b"exe",
            b"exe/",
            b"fds/%d" % fd,
            b"fds/%d/inner" % fd,
            b"fds/../comm",
            b"/proc/self/../self/../1/comm",
            b"/proc/self/cwd/me/cwd/me/comm",
            b"/proc/mounts/x",
            b"/proc/self/nothing",
            b"/proc/1",
            b"/proc/1/task/1/task",
            b"/proc/2",
            b"/proc/0",
            b"/proc/01/comm",
            b"/proc/+1/comm",
            b"/proc/99999999999999999999",
            b"/proc/self/fd/-1",
            b"/proc/self/fd/99999999999",
            b"/proc/self/map_files",
            b"/dev/fd/%d" % fd,
            b"/dev/stdin/x",
        ):
            for flags in (RDONLY, NOFOLLOW, PATH | NOFOLLOW, DIRECTORY, CREAT | RDONLY, CREAT | EXCL | WRONLY):
                k.opened(path, flags | NONBLOCK, 0o600)

    both(body, prepare)
    both(body, prepare, uid=1000)
