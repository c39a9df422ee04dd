"""Name resolution as a property: in one mount namespace the sentry finds what the kernel finds, for any tree and any path.

Beside the caller under the filter there is a process without one, in the same namespaces, of the same user, in the same directory. Both
make each lookup; errno, or device, inode and mount of what was opened, must agree. The trees have links that lead everywhere,
mounts, and directories that may not be searched or are sticky; they are random, and shrink when there is a difference.
"""

from __future__ import annotations

import errno
import os
import pickle
import socket
import struct
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sentry.abi import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_SYMLINK_NOFOLLOW,
    MS_BIND,
    MS_NOSYMFOLLOW,
    MS_REC,
    RESOLVE_BENEATH,
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    RESOLVE_NO_XDEV,
)
from sentry.platform._native import ffi, lib
from tests.sentry.guest import Buffer
from tests.sentry.harness import alone

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sentry.guest import Caller

    Query = tuple[str, int, bytes, int, int]
    Node = tuple[str, str, str]

EXAMPLES = int(os.environ.get("PYSC_RESOLVE_EXAMPLES", "25"))
LOOKUPS = 250
"""In each tree."""

PLACES = ["a", "a/a", "a/a/a", "a/a/b", "a/b", "a/b/a", "a/b/b", "b", "b/a", "b/a/a", "b/a/b", "b/b", "b/b/a", "b/b/b"]
"""Where a tree has something, parents first."""

KINDS = ["dir"] * 10 + ["link"] * 10 + ["file", "file", "locked", "sticky", "sticky"]
KINDS += ["bind", "bind", "tmpfs", "nosymfollow", "nested", "stacked", "covered"]
MOUNTS = ("bind", "tmpfs", "nosymfollow", "nested", "stacked")
"""nested: a mount below a mount; stacked: one on top of another; covered: a file with a file mounted on it."""

CREATED = 0o600
"""The mode of what a lookup with O_CREAT makes; nothing in a tree has it."""

LEFT = ("left",)
"""The result of a lookup whose creature could not be removed."""

STEPS = ["a", "b", "a", "b", "a", "b", "..", "..", ".", "", "c"]
CLIMBING = ["../base/", "a/../../base/", "../../work/base/"]
STARTS = ["", "", "", "", "", "", *CLIMBING, "/work/base/", "/", "//work/./base//"]
PROC_STARTS = [
    "/proc/1/cwd/",
    "/proc/self/root/work/base/",
    "/proc/self/fd/80/",
    "/proc/self/fd/81/../",
    "/proc/thread-self/cwd/",
    "/proc/thread-self/root/../work/base/",
    "/proc/1/root/proc/self/cwd/",
    "/proc/../work/base/",
]
ENDS = ["", "", "", "", "/", "//", "/.", "/.."]
CALLS = ["openat"] * 4 + ["openat2"] * 6 + ["newfstatat", "statx", "faccessat2", "readlinkat", "truncate", "lgetxattr", "getxattr"]
CALLS += ["mkdirat", "mkdirat", "symlinkat", "mknodat"]
MAKING = ("mkdirat", "symlinkat", "mknodat")
WAYS = [
    os.O_RDONLY,
    os.O_DIRECTORY,
    os.O_NOFOLLOW,
    os.O_NOFOLLOW | os.O_DIRECTORY,
    os.O_WRONLY,
    os.O_CREAT,
    os.O_CREAT | os.O_EXCL,
]
RESTRICTIONS = [
    0,
    RESOLVE_BENEATH,
    RESOLVE_IN_ROOT,
    RESOLVE_NO_XDEV,
    RESOLVE_NO_XDEV,
    RESOLVE_NO_SYMLINKS,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_IN_ROOT | RESOLVE_NO_XDEV,
]

texts = st.builds(
    lambda start, parts, end: start + "/".join(parts) + end,
    st.sampled_from([*STARTS, *PROC_STARTS]),
    st.lists(st.sampled_from(STEPS), min_size=1, max_size=4),
    st.sampled_from(ENDS),
)
trees = st.tuples(*(st.tuples(st.just(place), st.sampled_from(KINDS), texts) for place in PLACES)).map(list)
places = st.sampled_from([".", "a", "b", "a/a", "a/b", "b/a", "b/b", "/work", "/"])


def questions(seed: int) -> list[Query]:
    """Lookups: call, dirfd, path, flags, restrictions. No strategy makes them: each stands alone, so nothing is to be shrunk."""
    choose = Random(seed).choice
    found = []
    for _ in range(LOOKUPS):
        start = choose(PROC_STARTS) if choose(range(8)) == 0 else choose(STARTS)
        path = start + "/".join(choose(STEPS) for _ in range(choose(range(1, 5)))) + choose(ENDS)
        found.append((choose(CALLS), choose([-1, -1, -1, 0, 0, 1, 1, 2]), path.encode(), choose(WAYS), choose(RESTRICTIONS)))
    return found


def make(tree: list[Node]) -> None:
    """In the container, never outside, since links are followed: make what can be made of the tree.

    A node whose parent is no directory, or that is there already, is left out. What is in a sticky directory belongs to somebody else
    than the directory: who may follow or open it is protected_symlinks' to say.
    """
    for place, kind, text in tree:
        path = os.path.join("/work/base", place)
        try:
            if kind in ("file", "covered"):
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644))
            elif kind == "link":
                os.symlink(text or ".", path)
            else:
                os.mkdir(path)
            if os.stat(os.path.dirname(path)).st_mode & 0o1000:
                os.chown(path, 1000, 1000, follow_symlinks=False)
            if kind == "locked":
                os.mkdir(path + "/a")
                os.chmod(path, 0o700)
            elif kind == "sticky":
                os.chmod(path, 0o1777)
        except OSError:
            continue


def mount(tree: list[Node]) -> None:
    """In the container: the mounts of the tree, where they can be made."""
    for place, kind, text in tree:
        target = os.path.realpath(os.path.join("/work/base", place))
        if not target.startswith("/work/base/"):
            continue
        if kind == "covered" and os.path.isfile(target):
            lib.mount_(b"/etc/hostname", target.encode(), ffi.NULL, MS_BIND, ffi.NULL)
        if kind not in MOUNTS or not os.path.isdir(target):
            continue
        if kind == "bind":
            source = os.path.join("/work/base", text.split("/")[0])
            lib.mount_(source.encode(), target.encode(), ffi.NULL, MS_BIND | MS_REC, ffi.NULL)
            continue
        for where, again in ((target, kind == "stacked"), (target + "/a", kind != "nested")):
            if again and where != target:
                continue
            for _ in range(1 + again):
                if lib.mount_(b"none", where.encode(), b"tmpfs", MS_NOSYMFOLLOW if kind == "nosymfollow" else 0, ffi.NULL) == 0:
                    with suppress(OSError):  # the mount may have hidden its own way
                        os.mkdir(where + "/a")
                        os.symlink(text or ".", where + "/b")


def lookup(k: Caller, query: Query) -> tuple[object, ...]:
    """Make one lookup: -errno, or what was found. What it creates is removed again, so that the other side may as well.

    Of what was opened: device, inode and mount; of what was created its name, too.
    """
    name, dirfd, path, flags, resolve = query
    directory = AT_FDCWD if dirfd < 0 else 80 + dirfd
    if name == "newfstatat":
        raw = Buffer(144)
        result = k.quiet(name, directory, path, raw, AT_SYMLINK_NOFOLLOW if flags & os.O_NOFOLLOW else 0)
        return (result,) if result < 0 else (0, *struct.unpack_from("<QQ", raw.content))
    if name == "readlinkat":
        raw = Buffer(256)
        result = k.quiet(name, directory, path, raw, 256)
        return (result, raw.content[: max(result, 0)])
    if name == "statx":
        raw = Buffer(256)
        result = k.quiet(name, directory, path, AT_SYMLINK_NOFOLLOW if flags & os.O_NOFOLLOW else 0, 0x17FF, raw)
        return (result,) if result < 0 else (0, *struct.unpack_from("<Q", raw.content, 0x20), *struct.unpack_from("<IIQ", raw.content, 0x88))
    if name == "faccessat2":
        return (k.quiet(name, directory, path, os.R_OK, AT_SYMLINK_NOFOLLOW if flags & os.O_NOFOLLOW else 0),)
    if name == "truncate":  # of files that are empty, or not there
        return (k.quiet(name, path, 0),)
    if name in ("getxattr", "lgetxattr"):
        return (k.quiet(name, path, b"user.none", 0, 0),)
    if name in MAKING:
        if name == "symlinkat":
            result = k.quiet(name, b"nowhere", directory, path)
        else:
            result = k.quiet(name, directory, path, CREATED | (0o010000 if name == "mknodat" else 0), 0)
        if result < 0:
            return (result,)
        fd = k.quiet("openat", directory, path, os.O_PATH | os.O_NOFOLLOW)
        return removed(fd)
    if name == "openat2":
        mode = CREATED if flags & os.O_CREAT else 0
        how = Buffer(24, struct.pack("<QQQ", flags | os.O_NONBLOCK, mode, resolve))
        while (fd := k.quiet(name, directory, path, how, 24)) == -errno.EAGAIN:  # somebody on this machine has mounted or renamed
            pass
    else:
        fd = k.quiet(name, directory, path, flags | os.O_NONBLOCK, CREATED)
    if fd < 0:
        return (fd,)
    st = os.fstat(fd)
    if st.st_mode & 0o7777 == CREATED:
        return removed(fd)
    found = st.st_dev, st.st_ino, mount_of(k, fd)
    os.close(fd)
    return 0, *found


def mount_of(k: Caller, fd: int) -> int:
    """The mount that `fd` is on. statx(2), STATX_MNT_ID."""
    out = Buffer(256)
    k.quiet("statx", fd, b"", AT_EMPTY_PATH, 0x1000, out)
    return int(struct.unpack_from("<Q", out.content, 0x90)[0])


def removed(fd: int) -> tuple[object, ...]:
    """0, device, type and name of the new object `fd`, which is removed and closed. LEFT where its name leads elsewhere: under a mount."""
    st, name = os.fstat(fd), os.readlink(f"/proc/self/fd/{fd}")
    os.close(fd)
    try:
        there = os.lstat(name)
    except OSError:
        return LEFT
    if (there.st_dev, there.st_ino) != (st.st_dev, st.st_ino):
        return LEFT
    (os.rmdir if st.st_mode & 0o40000 else os.unlink)(name)
    return 0, st.st_dev, st.st_mode, name


def creates(query: Query) -> bool:
    name, _dirfd, _path, flags, _resolve = query
    return name in MAKING or (name.startswith("open") and bool(flags & os.O_CREAT))


def start_native(tree: list[Node], uid: int, cwd: str, dirfds: tuple[str, ...], chroot: bool, also: Callable[[], None], k: Caller) -> None:
    """Make everything. Descriptors 80 and on: the dirfds. Descriptor 91 leads to a process that makes lookups and is under no filter."""
    make(tree)
    mount(tree)
    also()
    os.chdir(cwd if os.path.isdir(cwd) and os.path.realpath(cwd).startswith("/work/") else "/work/base")
    for i, path in enumerate(dirfds):
        os.dup2(os.open(path if os.path.exists(path) else ".", os.O_PATH), 80 + i)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        ours.close()
        if chroot:
            os.chroot(".")
            os.chdir("/")
        if uid:
            k.become(uid)
        while message := theirs.recv(1 << 16):
            theirs.send(pickle.dumps(lookup(k, pickle.loads(message))))
        os._exit(0)
    os.dup2(ours.fileno(), 91)


def differences(
    tree: list[Node],
    asked: list[Query],
    uid: int,
    cwd: str = ".",
    dirfds: tuple[str, ...] = (),
    chroot: bool = False,
    also: Callable[[], None] | None = None,
) -> list[object]:
    """The lookups in which the two do not agree: query, the kernel's answer, the sentry's. `also`: what is done to the tree."""

    def before() -> None:
        from tests.sentry.guest import Caller  # it is there already

        start_native(tree, uid, cwd, dirfds, chroot, also or (lambda: None), Caller(b"/work/base"))

    def body(k: Caller) -> list[object]:
        native = socket.socket(fileno=91)

        def ask(query: Query) -> object:
            native.send(pickle.dumps(query))
            return pickle.loads(native.recv(1 << 16))

        found: list[object] = []
        for query in asked:
            theirs = ask(query)
            if theirs == LEFT:
                continue
            ours = lookup(k, query)
            # a walk that was disturbed and begins anew has the links counted already that it had followed: the kernel may change its mind
            if ours != theirs and ours != ask(query):
                found.append((query, theirs, ours))
        native.close()
        return found

    return alone(body, lambda base: os.chmod(base, 0o755), uid=uid, setup=before, chroot=chroot).value  # type: ignore[return-value]


@pytest.mark.timeout(30 + 2 * EXAMPLES)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    tree=trees,
    seed=st.integers(0, 1 << 32),
    uid=st.sampled_from([0, 1000]),
    cwd=places,
    dirfds=st.tuples(places, texts),
    chroot=st.sampled_from([False, False, False, True]),
)
def test_the_sentry_finds_what_the_kernel_finds(tree: list[Node], seed: int, uid: int, cwd: str, dirfds: tuple[str, ...], chroot: bool) -> None:
    # what is created through a directory outside of a root has no name by which it could be removed
    asked = [query for query in questions(seed) if not (chroot and creates(query))]
    assert differences(tree, asked, uid, cwd, dirfds, chroot) == []


def test_an_absolute_link_below_a_root_that_nobody_looked_at() -> None:
    """RESOLVE_NO_XDEV with a relative path: EXDEV even on one mount, unless the walk has come by the root, or by ".."."""
    tree = [("a", "dir", ""), ("a/a", "link", "/a"), ("a/b", "link", "../b"), ("b", "link", "/a")]
    paths = [b"a/a", b"b", b"a/b", b"../b", b"a/../b", b"/b", b"/a/a/a"]
    asked = [("openat2", dirfd, path, 0, RESOLVE_NO_XDEV | more) for dirfd in (-1, 0) for path in paths for more in (0, RESOLVE_NO_MAGICLINKS)]
    assert differences(tree, asked, 0, dirfds=(".",), chroot=True) == []


def test_dot_dot_at_the_root_enters_what_is_mounted_on_it() -> None:
    """fs/namei.c:handle_dots(): the root is not left, but the mount on it is followed; a path from the root does not do so."""
    tree = [("a", "dir", ""), ("a/a", "dir", ""), ("a/a/a", "file", ""), ("b", "link", "/../a"), ("b/a", "link", "/.."), ("b/b", "dir", "")]

    def before() -> None:
        assert lib.mount_(b"/work/base/a", b"/", ffi.NULL, MS_BIND, ffi.NULL) == 0

    paths = [
        b"/",
        b"/..",
        b"/../a",
        b"/../a/a",
        b"/../b",
        b"b",
        b"b/a",
        b"../../..",
        b"../../../a",
        b"../../../proc/self",
        b"/proc/self/../../../a",
    ]
    asked = [(call, -1, path, 0, how) for call in ("openat2", "newfstatat") for path in paths for how in (0, RESOLVE_NO_XDEV, RESOLVE_IN_ROOT)]
    assert differences(tree, asked, 0, also=before) == []


def test_a_file_of_another_mount_is_no_directory() -> None:
    """RESOLVE_NO_XDEV: that it is another mount is said before that it is no directory."""
    tree = [("a", "covered", ""), ("b", "file", "")]
    paths = [start + path for start in (b"", b"../base/", b"/work/base/") for path in (b"a", b"a/", b"a/b", b"a/..", b"b", b"b/", b"b/b")]
    asked = [("openat2", -1, path, 0, how) for path in paths for how in (0, RESOLVE_NO_XDEV)]
    assert differences(tree, asked, 0) == []


def test_as_many_links_as_linux_follows() -> None:
    """MAXSYMLINKS: 40 are followed, 41 are not, in one path or one after another, on the fast way and on the slow one."""

    def before() -> None:
        os.symlink(".", "0")
        for i in range(1, 42):
            os.symlink(f"{i - 1}", f"{i}")

    paths = [
        start + path
        for start in (b"", b"../base/", b"/work/base/", b"/proc/self/cwd/")
        for count in (38, 39, 40, 41)
        for path in (b"0/" * count, b"0/" * count + b"..", b"%d" % count, b"%d/c" % count)
    ]
    asked = [(call, -1, path, flags, 0) for call in ("openat", "newfstatat") for path in paths for flags in (0, os.O_NOFOLLOW)]
    # near 40 the kernel is not sure: of a walk that begins anew, since somebody renames or mounts, it counts some links twice
    assert any(differences([], asked, 0, also=before) == [] for _ in range(5))


def test_a_root_below_the_directory_stops_dot_dot() -> None:
    """chroot(2) leaves descriptors and the working directory where they are: a walk from above the root stays in it once it has come by."""
    tree = [("a", "dir", ""), ("a/a", "link", ".."), ("a/b", "link", "../a"), ("a/b/a", "dir", ""), ("b", "dir", "")]
    paths = [b"base/..", b"base/../a", b"base/a/..", b"base/a/../..", b"base/a/a/..", b"base/a/a/../b", b"base/a/b", b"base/./../..", b".."]
    asked = [
        (call, dirfd, path, flags, how)
        for call in ("openat", "openat2", "newfstatat")
        for dirfd in (0, 1)
        for path in paths
        for flags in (0, os.O_NOFOLLOW)
        for how in (0, RESOLVE_BENEATH, RESOLVE_IN_ROOT, RESOLVE_NO_SYMLINKS, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)
    ]
    assert differences(tree, asked, 0, dirfds=("/work", "/"), chroot=True) == []


RENAMED = 500
"""Rounds of lookups while names change."""


def start_renaming() -> None:
    """The tree, and a process under no filter that moves `d` from `a` to `b` and back, and lets `s` be a directory and a link in turn.

    It ends when nobody has descriptor 91 any more.
    """
    for path in ("a/d/e", "b", "s"):
        os.makedirs(path)
    for path in ("a/m", "b/m", "s/m", "a/d/e/f"):
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    os.symlink("a/d/e", "l")
    os.symlink("a", "t")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        ours.close()
        names = ffi.new("char[]", b"s"), ffi.new("char[]", b"t")
        one, other = (int(ffi.cast("uintptr_t", name)) for name in names)
        done = False
        while not done:
            os.rename("a/d", "b/d")
            lib.syscall6(316, AT_FDCWD, one, AT_FDCWD, other, 2, 0)  # renameat2, RENAME_EXCHANGE
            os.rename("b/d", "a/d")
            with suppress(BlockingIOError):
                done = not theirs.recv(1, socket.MSG_DONTWAIT)
        os._exit(0)
    os.dup2(ours.fileno(), 91)


def test_renames_while_a_name_is_walked() -> None:
    """A walk finds what was of that name at some moment of it, as the kernel's would, or nothing; and none of it is another error."""
    starts = [b"", b"../base/", b"/work/base/", b"/proc/self/cwd/", b"../base/../base/"]
    climbing = [b"a/d/e/../../m", b"l/../../m", b"b/d/e/../../m", b"a/d/../m"]
    flat = [b"a/d/e/f", b"l/f", b"b/d/e/f"]
    swapped = [b"s/m", b"t/m", b"s/../s/m"]

    def body(k: Caller) -> object:
        of_a, of_b = os.stat("a/m").st_ino, os.stat("b/m").st_ino
        found = []
        shown = set()
        for i in range(RENAMED):
            start = starts[i % len(starts)]
            for kind, paths in ((0, climbing), (1, flat), (2, swapped)):
                fd = k.quiet("openat", AT_FDCWD, start + paths[i % len(paths)], 0, 0)
                if fd >= 0:
                    ino, name = os.fstat(fd).st_ino, os.readlink(f"/proc/self/fd/{fd}")
                    os.close(fd)
                    shown.add((kind, "found"))
                    right = (ino in (of_a, of_b), name.endswith("/d/e/f"), name.endswith("/m") and ino != of_b)[kind]
                else:
                    shown.add((kind, fd))
                    right = fd == -errno.ENOENT and kind < 2
                if not right:
                    found.append((start, kind, fd, paths[i % len(paths)]))
        os.close(91)
        return found, sorted(map(str, shown))

    wrong, shown = alone(body, lambda base: os.chmod(base, 0o755), setup=start_renaming).value  # type: ignore[misc]
    assert wrong == []
    assert {"(0, 'found')", "(0, -2)", "(1, 'found')", "(1, -2)", "(2, 'found')"} <= set(shown)
