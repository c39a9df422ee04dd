"""The tree that the syscall tests work in, and the paths that are hard."""

from __future__ import annotations

import os
import socket

from tests.sentry.harness import KERNEL_ADDRESS, UNMAPPED, Buffer

LONG = b"n" * 256
TOO_LONG = b"./" * 2048
LONGEST = b"./" * 2047 + b"x"

PATHS = [
    b"",
    b"new",
    b"new/",
    b"new//",
    b"file",
    b"file/",
    b"file/x",
    b"file/.",
    b"dir",
    b"dir/",
    b"dir/.",
    b"dir/..",
    b"dir/../file",
    b"dir//inner",
    b"dir/new",
    b"full",
    b".",
    b"..",
    b"./",
    b"../base",
    b"../base/file",
    b"../beside",
    b"missing/new",
    b"missing/",
    b"to_file",
    b"to_file/",
    b"to_dir",
    b"to_dir/",
    b"to_dir/.",
    b"to_dir/inner",
    b"to_abs",
    b"to_abs/inner",
    b"to_up",
    b"to_up/beside",
    b"dangling",
    b"dangling/",
    b"dangling/x",
    b"loop",
    b"loop/",
    b"loop/x",
    b"there",
    b"chain",
    b"deep",
    b"locked",
    b"locked/x",
    b"locked/inside",
    b"readonly",
    b"readonly/inner",
    b"readonly/new",
    b"sticky/theirs",
    b"suid",
    b"fifo",
    b"sock",
    b"x" * 255,
    LONG,
    LONG + b"/x",
    LONGEST,
    TOO_LONG,
    b"/proc/self/cwd/file",
    b"/proc/thread-self/cwd/dir",
    b"/proc/self/fd/99",
    b"/dev/null/x",
]
"""Relative to `prepare`'s directory, or harmless for whatever is done to them. "BASE" stands for its absolute path."""

BASE_PATHS = [b"", b"/", b"/file", b"/dir/inner", b"/to_abs", b"//dir/../file"]


def prepare(base: str) -> None:
    """Files, directories and links of every kind; some that only root may touch."""

    def at(*parts: str) -> str:
        return os.path.join(base, *parts)

    def write(path: str, mode: int = 0o644) -> None:
        with open(path, "wb") as f:
            f.write(b"content")
        os.chmod(path, mode)

    os.chmod(base, 0o777)
    write(at("file"))
    write(at("..", "beside"))
    write(at("suid"), 0o6755)
    for name, mode in (("dir", 0o777), ("full", 0o755), ("sticky", 0o1777), ("locked", 0o700), ("readonly", 0o555)):
        os.mkdir(at(name))
        os.chmod(at(name), mode)
    write(at("dir", "inner"), 0o666)
    write(at("full", "inner"))
    write(at("locked", "inside"), 0o777)
    write(at("readonly", "inner"))
    write(at("sticky", "theirs"))
    write(at("mine"))
    os.chown(at("mine"), 1000, 1000)
    os.symlink("file", at("to_file"))
    os.symlink("dir", at("to_dir"))
    os.symlink("/work/base/dir", at("to_abs"))
    os.symlink("..", at("to_up"))
    os.symlink("nowhere", at("dangling"))
    os.symlink("loop", at("loop"))
    os.symlink("back", at("there"))
    os.symlink("there", at("back"))
    for i in range(50):
        os.symlink(f"chain{i + 1}" if i < 45 else "file", at(f"chain{i}"))
    os.symlink("chain36", at("chain"))  # 11 links: near 40 the kernel is not sure, it counts some twice when a walk begins anew
    os.symlink("chain2", at("deep"))  # 44 links
    os.mkfifo(at("fifo"), 0o666)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(at("sock"))


ODD_PATHS = [b"/proc/self", b"/proc/self/", b"/proc/self/exe", b"/proc/self/root/work/base/file", b"/dev/null", b"/dev/null/"]


def bad_pointers() -> list[int | Buffer | None]:
    """Paths that cannot be read, or just so."""
    return [None, UNMAPPED, KERNEL_ADDRESS, Buffer(9, b"file/x/yz"), Buffer(5, b"file\0")]


def everything(base: bytes) -> list[object]:
    """All of them; `base`: the absolute name of the tree."""
    return [*PATHS, *(base + p for p in BASE_PATHS), *ODD_PATHS, *bad_pointers()]
