"""Pointers that lead nowhere, in every argument of every mediated call, against the same calls made natively.

`POINTERS` has a row for each call that the table mediates in either profile: one that is added there needs one here.
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

import pytest

from sentry.abi import AT_FDCWD, MS_BIND
from sentry.syscalls import load
from sentry.syscalls.table import MEDIATED, NETWORKS, PROFILES, ROWS, leaves
from tests.sentry.guest import Buffer
from tests.sentry.harness import both

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sentry.guest import Caller


class In:
    """What the call reads: these bytes."""

    def __init__(self, content: bytes) -> None:
        self.content = content


class Text(In):
    """A string that the call reads, to its NUL."""

    def __init__(self, text: bytes) -> None:
        super().__init__(text + b"\0")


class Out:
    """What the call writes: this many bytes."""

    def __init__(self, size: int) -> None:
        self.size = size


FILE, NEW, LINK = Text(b"file"), Text(b"new"), Text(b"to_file")
TIMES, INET = In(struct.pack("<4q", 1, 2, 3, 4)), In(struct.pack("<H", 2) + struct.pack("!H4s8x", 0, b"\x7f\0\0\1"))
SOCKET, INOTIFY = 60, 61
"""Descriptors that every caller has."""

POINTERS: dict[str, list[tuple[object, ...]]] = {
    "access": [(FILE, 4)],
    "bind": [(SOCKET, INET, 16)],
    "capset": [(In(struct.pack("<Ii", 0x20080522, 0)), In(bytes(24)))],
    "chdir": [(Text(b"dir"),)],
    "chmod": [(FILE, 0o640)],
    "chown": [(FILE, 0, 0)],
    "chroot": [(Text(b"."),)],
    "connect": [(SOCKET, INET, 16)],
    "creat": [(NEW, 0o640)],
    "faccessat": [(AT_FDCWD, FILE, 4)],
    "faccessat2": [(AT_FDCWD, FILE, 4, 0)],
    "fchmodat": [(AT_FDCWD, FILE, 0o640)],
    "fchmodat2": [(AT_FDCWD, FILE, 0o640, 0)],
    "fchownat": [(AT_FDCWD, FILE, 0, 0, 0)],
    "futimesat": [(AT_FDCWD, FILE, TIMES)],
    "getxattr": [(FILE, Text(b"user.there"), Out(5), 5)],
    "inotify_add_watch": [(INOTIFY, FILE, 0xFFF)],
    "ioctl": [],  # nothing is read of what reaches the sentry
    "lchown": [(LINK, 0, 0)],
    "lgetxattr": [(FILE, Text(b"user.there"), Out(5), 5)],
    "link": [(FILE, NEW)],
    "linkat": [(AT_FDCWD, FILE, AT_FDCWD, NEW, 0)],
    "listxattr": [(FILE, Out(11), 11)],
    "llistxattr": [(FILE, Out(11), 11)],
    "lremovexattr": [(FILE, Text(b"user.there"))],
    "lsetxattr": [(FILE, Text(b"user.new"), In(b"value"), 5, 0)],
    "lstat": [(LINK, Out(144))],
    "mkdir": [(NEW, 0o755)],
    "mkdirat": [(AT_FDCWD, NEW, 0o755)],
    "mknod": [(NEW, 0o100644, 0)],
    "mknodat": [(AT_FDCWD, NEW, 0o100644, 0)],
    "mount": [
        (Text(b"none"), Text(b"dir"), Text(b"tmpfs"), 0, Text(b"size=64k")),
        (Text(b"dir"), Text(b"full"), None, MS_BIND, None),
    ],
    "name_to_handle_at": [(AT_FDCWD, FILE, In(struct.pack("<Ii128x", 128, 0)), Out(4), 0)],
    "newfstatat": [(AT_FDCWD, FILE, Out(144), 0)],
    "open": [(FILE, os.O_RDONLY), (NEW, os.O_CREAT | os.O_WRONLY, 0o600), (FILE, os.O_PATH)],
    "openat": [(AT_FDCWD, FILE, os.O_RDONLY), (AT_FDCWD, NEW, os.O_CREAT | os.O_WRONLY, 0o600), (AT_FDCWD, FILE, os.O_PATH)],
    "openat2": [(AT_FDCWD, FILE, In(bytes(24)), 24), (AT_FDCWD, FILE, In(bytes(16) + b"\4" + bytes(7)), 24)],
    "prctl": [],
    "readlink": [(LINK, Out(4), 4)],
    "readlinkat": [(AT_FDCWD, LINK, Out(4), 4)],
    "removexattr": [(FILE, Text(b"user.there"))],
    "rename": [(FILE, NEW)],
    "renameat": [(AT_FDCWD, FILE, AT_FDCWD, NEW)],
    "renameat2": [(AT_FDCWD, FILE, AT_FDCWD, NEW, 1)],
    "rmdir": [(Text(b"empty"),)],
    "sched_getaffinity": [(0, 8, Out(8))],
    "setgroups": [(2, In(struct.pack("<2I", 5, 6)))],
    "socket": [],
    "socketpair": [(1, 1, 0, Out(8))],
    "setxattr": [(FILE, Text(b"user.new"), In(b"value"), 5, 0)],
    "stat": [(FILE, Out(144))],
    "statfs": [(FILE, Out(120))],
    "statx": [(AT_FDCWD, FILE, 0, 0xFFF, Out(256))],
    "symlink": [(Text(b"to"), NEW)],
    "symlinkat": [(Text(b"to"), AT_FDCWD, NEW)],
    "sysinfo": [(Out(112),)],
    "truncate": [(FILE, 3)],
    "umount2": [(Text(b"dir"), 0)],
    "unlink": [(FILE,)],
    "unlinkat": [(AT_FDCWD, FILE, 0)],
    "utime": [(FILE, In(struct.pack("<2q", 1, 2)))],
    "utimensat": [(AT_FDCWD, FILE, TIMES, 0)],
    "utimes": [(FILE, TIMES)],
    **{name: [] for name in "setfsgid setfsuid setgid setregid setresgid setresuid setreuid setuid umask".split()},
}
"""Arguments with which the call succeeds, as root in a directory of `prepare_each`; none where no argument is a pointer."""

NOWHERE = (0, 1, 0x1000, 0x7FFF_FFFF_F000, 0x8000_0000_0000, 0xDEAD_BEEF_0000_0000, 0xFFFF_8000_0000_0000, 0xFFFF_FFFF_FFFF_FFFF)


def mediated(profile: str, network: str) -> set[str]:
    """The calls that a handler decides about there, for some arguments at least."""
    handlers, _, names = load.by_number(profile, network)
    asked = {row.name for row in ROWS if any(leaf is MEDIATED for leaf in leaves(row.disposition(profile, network)))}
    return asked & {names[number] for number in handlers}


def test_every_mediated_call_has_a_row() -> None:
    everywhere = set().union(*(mediated(profile, network) for profile in PROFILES for network in NETWORKS))
    assert everywhere == POINTERS.keys()


def good(argument: object) -> object:
    """Guest memory for one argument, the last bytes before what is not mapped."""
    if isinstance(argument, In):
        return Buffer(len(argument.content), argument.content)
    return Buffer(argument.size) if isinstance(argument, Out) else argument


def bad(argument: In | Out) -> list[object]:
    """Addresses without memory; memory that ends a byte too early, that may not be read, or not be written."""
    size = len(argument.content) if isinstance(argument, In) else argument.size
    content = argument.content[: size - 1] if isinstance(argument, In) else b""
    short = Buffer(size - 1, content)
    closed = Buffer(size, argument.content if isinstance(argument, In) else b"")
    closed.protect(0 if isinstance(argument, In) else 1)
    return [*NOWHERE, short, closed]


def prepare_each(base: str) -> None:
    """For each call a directory of its own."""
    os.chmod(base, 0o777)
    for name in POINTERS:
        here = os.path.join(base, name)
        os.mkdir(here)
        for directory in ("dir", "full", "empty"):
            os.mkdir(os.path.join(here, directory))
        for path in ("file", "dir/inner", "full/inner"):
            with open(os.path.join(here, path), "w") as file:
                file.write("content")
        os.symlink("file", os.path.join(here, "to_file"))
        os.setxattr(os.path.join(here, "file"), "user.there", b"value")


WHERE = [*((profile, "host") for profile in PROFILES), ("standard", "shared")]


def for_each(k: Caller, names: list[str], body: Callable[[str], None]) -> None:
    """body(name) in the directory of each call, in a child process."""
    for name in names:
        os.chdir("/work/base/" + name)

        def child(name: str = name) -> None:
            os.dup2(k.quiet("socket", 2, 2, 0), SOCKET)
            os.dup2(k.quiet("inotify_init1", 0), INOTIFY)
            body(name)
            k("mkdir", b"still_there", 0o755)

        k.in_child(child)


@pytest.mark.parametrize(("profile", "network"), WHERE)
def test_one_bad_pointer_at_a_time(profile: str, network: str) -> None:
    names = sorted(mediated(profile, network))

    def body(k: Caller) -> None:
        def try_(name: str) -> None:
            for row in POINTERS[name]:
                for i, argument in enumerate(row):
                    for pointer in bad(argument) if isinstance(argument, (In, Out)) else ():
                        k(name, *(pointer if j == i else good(a) for j, a in enumerate(row)))  # type: ignore[arg-type]
                        undo(k)

        for_each(k, names, try_)

    both(body, prepare_each, profile=profile, network=network)


def undo(k: Caller) -> None:
    """A call that took a null pointer for "none" has done something."""
    k.quiet("umount2", b"dir", 2)
    k.quiet("umount2", b"full", 2)
    k.quiet("unlink", b"new")


@pytest.mark.parametrize(("profile", "network"), WHERE)
def test_the_rows_are_good(profile: str, network: str) -> None:
    """Lest EFAULT above stands in the place of another error."""
    names = sorted(mediated(profile, network))

    def body(k: Caller) -> None:
        def call(name: str) -> None:
            if name == "umount2":
                k("mount", b"none", b"dir", b"tmpfs", 0, None)
            for row in POINTERS[name]:
                k(name, *(good(argument) for argument in row))  # type: ignore[arg-type]
                undo(k)

        for_each(k, names, call)

    results = {entry[0]: entry[-1] for entry in both(body, prepare_each, profile=profile, network=network).log}
    assert {name: result for name, result in results.items() if result < 0} == {}
