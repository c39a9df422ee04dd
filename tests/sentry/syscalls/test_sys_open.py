"""open, openat, openat2 and creat against the same calls made natively: fs/open.c, fs/namei.c, fs/pipe.c."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import resource
import signal
import struct
import threading
from typing import TYPE_CHECKING

import pytest

from sentry.abi import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_SYMLINK_FOLLOW,
    MS_BIND,
    MS_NOSYMFOLLOW,
    MS_REMOUNT,
    O_TMPFILE,
    PR_SET_PDEATHSIG,
    RESOLVE_BENEATH,
    RESOLVE_CACHED,
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    RESOLVE_NO_XDEV,
)
from sentry.platform._native import lib
from tests.sentry.harness import KERNEL_ADDRESS, UNMAPPED, Buffer, alone, both
from tests.sentry.syscalls.names import BASE_PATHS, PATHS, prepare

if TYPE_CHECKING:
    from tests.sentry.harness import Caller

RDONLY, WRONLY, RDWR, NONBLOCK = os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_NONBLOCK
CREAT, EXCL, TRUNC, APPEND = os.O_CREAT, os.O_EXCL, os.O_TRUNC, os.O_APPEND
DIRECTORY, NOFOLLOW, PATH, CLOEXEC, NOATIME = os.O_DIRECTORY, os.O_NOFOLLOW, os.O_PATH, os.O_CLOEXEC, os.O_NOATIME

FLAGS = [
    RDONLY,
    WRONLY,
    RDWR,
    3,  # neither: for ioctl(2) alone
    WRONLY | TRUNC,
    RDONLY | TRUNC,
    RDWR | APPEND,
    DIRECTORY,
    DIRECTORY | WRONLY,
    NOFOLLOW,
    NOFOLLOW | WRONLY,
    NOFOLLOW | DIRECTORY,
    CREAT,
    CREAT | WRONLY,
    CREAT | WRONLY | TRUNC,
    CREAT | EXCL | WRONLY,
    CREAT | NOFOLLOW | WRONLY,
    CREAT | DIRECTORY,
    EXCL,
    PATH,
    PATH | NOFOLLOW,
    PATH | DIRECTORY,
    PATH | WRONLY | TRUNC,
    NOATIME,
    os.O_SYNC | RDWR,
    os.O_ASYNC,
    CLOEXEC,
    O_TMPFILE | RDWR,
    O_TMPFILE,
    1 << 30,
]
ODD_PATHS = [b"/proc/self", b"/proc/self/", b"/proc/self/exe", b"/proc/self/root/work/base/file", b"/dev/null", b"/dev/null/"]


def bad_pointers() -> list[int | Buffer | None]:
    return [None, UNMAPPED, KERNEL_ADDRESS, Buffer(9, b"file/x/yz"), Buffer(5, b"file\0")]


def everything(base: bytes) -> list[object]:
    return [*PATHS, *(base + p for p in BASE_PATHS), *ODD_PATHS, *bad_pointers()]


@pytest.mark.parametrize("profile", ["standard", "strict"])
@pytest.mark.parametrize("uid", [0, 1000])
def test_every_kind_of_path_with_every_flag(uid: int, profile: str) -> None:
    def body(k: Caller) -> None:
        for flags in FLAGS:
            for path in everything(k.base):
                k.opened(path, flags | NONBLOCK, 0o640)  # type: ignore[arg-type]
                if flags & CREAT and path in (b"new", b"dir/new", b"to_dir/new"):
                    k.quiet("unlink", path)  # type: ignore[arg-type]

    both(body, prepare, uid=uid, profile=profile)


@pytest.mark.parametrize("uid", [0, 1000])
def test_the_same_in_its_own_root(uid: int) -> None:
    """chroot(2): what "/" and ".." mean."""

    def body(k: Caller) -> None:
        for path in (b"/", b"/..", b"/../..", b"/file", b"/../file", b"/to_abs", b"/to_up", b"/to_up/file", b"to_up/../file", b"..", b"../file"):
            for flags in (RDONLY, PATH, CREAT | WRONLY, DIRECTORY, NOFOLLOW):
                k.opened(path, flags, 0o600)
        k.opened(b"/proc/self/status", RDONLY)
        os.mkdir("/inner")
        k("chroot", b"/inner")  # the working directory is outside now
        for path in (b"..", b"../..", b"file", b"../file", b"../../file", b"../inner/../file", b"/", b"/..", b"/../file"):
            k.opened(path, RDONLY)

    both(body, prepare, uid=uid if uid == 0 else 0, chroot=True)


def test_dirfds() -> None:
    def body(k: Caller) -> None:
        os.mkdir("gone")
        os.mkdir("gone/below")
        fds = [
            os.open("dir", RDONLY),
            os.open("dir", PATH),
            os.open("file", RDONLY),
            os.open("file", PATH),
            os.open("to_dir", PATH | NOFOLLOW),
            os.pipe()[0],
            os.open("gone", PATH),
            os.open("gone/below", RDONLY),
            os.open("/", PATH),
            os.open("/proc", RDONLY),
            os.open("/proc/self", RDONLY),
            os.open("/proc/self/fd", RDONLY),
            AT_FDCWD,
            99,
            -1,
            2**31,
        ]
        os.rmdir("gone/below")
        os.rmdir("gone")
        on_proc = fds[9:12]
        for fd in fds:
            for path in (b"inner", b"", b".", b"..", b"../..", b"../file", b"../base/file", b"self/comm", b"status", b"3", b"/work/base/file"):
                for flags in (RDONLY, PATH, CREAT | WRONLY, DIRECTORY, O_TMPFILE | WRONLY):
                    if flags & O_TMPFILE == O_TMPFILE and fd in on_proc:
                        continue  # EOPNOTSUPP as for the host's root, where the kernel says EACCES to one of a user namespace
                    k.opened(path, flags | NONBLOCK, 0o600, dirfd=fd)
            k.opened(None, RDONLY, dirfd=fd)
        os.chdir("/work/base")
        os.mkdir("dead")
        os.chdir("dead")
        os.rmdir("/work/base/dead")
        for path in (b".", b"..", b"../file", b"new", b"x/y", b"/work/base/file", b"/proc/self/cwd", b"/proc/self/cwd/..", b"/proc/self/cwd/x"):
            for flags in (RDONLY, CREAT | WRONLY, DIRECTORY, PATH):
                k.opened(path, flags, 0o600)

    both(body, prepare)


def test_other_entry_points() -> None:
    def body(k: Caller) -> None:
        for path in (b"file", b"new", b"missing/x", b"dir", b"loop", b"locked/x", b"/proc/self/cwd/file", None, UNMAPPED):
            k("creat", path, 0o4755)
            k("open", path, RDONLY, 0)
            k("open", path, CREAT | RDWR, 0o17777)
        # mode is not looked at without O_CREAT
        k("open", b"file", RDONLY, 0o7777777)

    both(body, prepare)


def test_what_a_descriptor_is_like() -> None:
    """The mode of its description, close-on-exec, where it starts, and that it is one description."""

    def body(k: Caller) -> None:
        for flags in (RDONLY, WRONLY, RDWR, RDWR | APPEND, RDWR | NONBLOCK, RDWR | os.O_SYNC, RDWR | os.O_DSYNC, RDONLY | NOATIME, CLOEXEC):
            for path in (b"file", b"to_file", b"../base/file", b"/proc/self/cwd/file", b"dir", b"/dev/null", b"/proc/self/comm"):
                fd = k("open", path, flags)
                if fd >= 0:
                    k.note(oct(fcntl.fcntl(fd, fcntl.F_GETFL)), fcntl.fcntl(fd, fcntl.F_GETFD))
                    os.close(fd)
        fd = k("open", b"file", RDWR | APPEND)
        os.write(fd, b"more")
        k.note(os.pread(fd, 100, 0), os.lseek(fd, 0, os.SEEK_CUR))
        other = k("open", b"file", RDWR)
        k.note(os.read(other, 3), os.lseek(fd, 0, os.SEEK_CUR))
        k.note(os.readlink(f"/proc/self/fd/{fd}"), sorted(int(n) for n in os.listdir("/proc/self/fd"))[:-1])

    both(body, prepare)


def test_the_lowest_free_number() -> None:
    def body(k: Caller) -> None:
        fds = [os.open("file", RDONLY) for _ in range(5)]
        os.close(fds[1])
        k("open", b"file", RDONLY)
        k("open", b"file", RDONLY)

    both(body, prepare)


@pytest.mark.parametrize("profile", ["standard", "strict"])
def test_with_no_descriptor_left_nothing_is_created_or_truncated(profile: str) -> None:
    def body(k: Caller) -> None:
        def all_kinds() -> None:
            k("open", b"file", RDONLY)
            k("open", b"/proc/self/comm", RDONLY)
            k("open", b"created", CREAT | WRONLY, 0o600)
            k("open", b"file", WRONLY | TRUNC)
            k("openat2", AT_FDCWD, b"beneath", Buffer(24, struct.pack("<QQQ", CREAT | WRONLY, 0o600, RESOLVE_BENEATH)), 24)
            k("open", b"dir/../file", WRONLY | TRUNC)
            k("open", b"", CREAT | WRONLY, 0o600)
            k("open", b"x" * 5000, CREAT | WRONLY, 0o600)
            k("open", 8, CREAT | WRONLY, 0o600)

        fds = [os.open("file", RDONLY) for _ in range(20)]
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (fds[-1] + 1, hard))
        all_kinds()
        resource.setrlimit(resource.RLIMIT_NOFILE, (fds[10], hard))
        all_kinds()
        os.close(fds[3])  # free, below descriptors that are above the limit
        k("open", b"created", CREAT | WRONLY, 0o600)
        all_kinds()
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    both(body, prepare, profile=profile)


@pytest.mark.parametrize("uid", [0, 1000])
def test_modes_and_umask(uid: int) -> None:
    def body(k: Caller) -> None:
        i = 0
        for umask in (0, 0o022, 0o077, 0o777, 0o137):
            os.umask(umask)
            for mode in (0, 0o644, 0o777, 0o7777, 0o1777, 0o2755, 0o4755, 0o10644, 0xFFFFFFFF):
                for directory in (b"dir/", b"sticky/", b"../base/dir/"):
                    i += 1
                    k.opened(directory + b"new%d" % i, CREAT | RDWR, mode)
                    k.opened(directory, O_TMPFILE | RDWR, mode)

    both(body, prepare, uid=uid)


def test_a_umask_of_one_process_is_not_anothers() -> None:
    def body(k: Caller) -> None:
        os.umask(0o022)
        k.opened(b"first", CREAT | WRONLY, 0o666)

        def child() -> None:
            os.umask(0o077)
            k.opened(b"second", CREAT | WRONLY, 0o666)

        k.in_child(child)
        k.opened(b"third", CREAT | WRONLY, 0o666)

        def thread() -> None:  # shares it: CLONE_FS
            os.umask(0o027)

        started = threading.Thread(target=thread)
        started.start()
        started.join()
        k.opened(b"fourth", CREAT | WRONLY, 0o666)

    both(body, prepare)
    both(body, prepare, no_new_privs=True)


def test_setgid_directories() -> None:
    """inode_init_owner(): the group is the directory's; the setgid bit of who is not in it goes."""

    def body(k: Caller) -> None:
        os.mkdir("group")
        os.chown("group", 0, 2000)
        os.chmod("group", 0o2777)
        for groups in ((), (2000,)):

            def child(groups: tuple[int, ...] = groups) -> None:
                os.setgroups(groups)
                os.setresgid(1000, 1000, 1000)
                os.setresuid(1000, 1000, 1000)
                for name in (b"group/new%d", b"../base/group/other%d"):
                    path = name % len(groups)
                    k.opened(path, CREAT | WRONLY, 0o2775)
                    k("mkdir", path + b"d", 0o775)
                    k("mknod", path + b"m", 0o102775, 0)
                    k("chmod", path, 0o2770)
                    k.opened(b"group", O_TMPFILE | WRONLY, 0o2775)

            k.in_child(child)

    both(body, prepare)


def test_sticky_directories() -> None:
    """may_follow_link(), may_create_in_sticky(), may_linkat(): fs.protected_*, whatever the host has set them to."""

    def before() -> None:
        os.mkdir("shared")
        os.chmod("shared", 0o1777)
        for owner in (0, 1000, 1001):
            path = f"shared/of{owner}"
            for kind in ("file", "link", "fifo"):
                if kind == "file":
                    os.close(os.open(path + kind, CREAT | WRONLY, 0o666))
                    os.chmod(path + kind, 0o666)
                elif kind == "link":
                    os.symlink("../dir/inner", path + kind)
                else:
                    os.mkfifo(path + kind)
                    os.chmod(path + kind, 0o666)
                os.chown(path + kind, owner, owner, follow_symlinks=False)

    def body(k: Caller) -> None:
        for owner in (0, 1000, 1001):
            for kind in (b"file", b"link", b"fifo"):
                for way in (b"shared/", b"/work/base/shared/", b"../base/shared/", b"/proc/self/cwd/shared/"):
                    path = way + b"of%d" % owner + kind
                    for flags in (RDONLY, WRONLY, CREAT | WRONLY, CREAT | RDWR | TRUNC, NOFOLLOW, PATH):
                        k.opened(path, flags | NONBLOCK, 0o600)
                    k("access", path, 4)
                    k("chmod", path, 0o666)
                    k("access", path + b"/x", 4)
                    k("link", path, b"dir/linked")
                    k.quiet("unlink", b"dir/linked")
                    k("rename", path, path + b"2")
                    k("unlink", path)

    both(body, prepare, uid=1000, setup=before)
    both(body, prepare, uid=0, setup=before)


def test_mounts_whose_links_are_not_followed() -> None:
    """MS_NOSYMFOLLOW: ELOOP for every link on them, in the middle too."""

    def body(k: Caller) -> None:
        k("mount", b"/work/base/dir", b"/work/base/full", None, MS_BIND, None)
        os.symlink("inner", "full/last")
        os.symlink(".", "full/middle")
        k("mount", None, b"full", None, MS_BIND | MS_REMOUNT | MS_NOSYMFOLLOW, None)
        for path in (b"full/last", b"full/middle/inner", b"full/inner", b"full/middle", b"dir/middle/last"):
            for way in (b"", b"/work/base/", b"../base/", b"/proc/self/cwd/"):
                for flags in (RDONLY, NOFOLLOW, PATH, CREAT | WRONLY, DIRECTORY):
                    k.opened(way + path, flags, 0o600)

    both(body, prepare)


# ---- long, strange ----


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


# ---- openat2 ----


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


# ---- unnamed files, links ----


@pytest.mark.parametrize("uid", [0, 1000])
def test_unnamed_files_get_names(uid: int) -> None:
    def body(k: Caller) -> None:
        for i, directory in enumerate((b".", b"dir", b"../base/dir", b"/proc/self/cwd", b"/tmp", b"locked", b"file", b"missing", b"readonly")):
            for flags in (RDWR, WRONLY | EXCL, RDONLY):
                fd = k("openat", AT_FDCWD, directory, O_TMPFILE | flags, 0o640)
                if fd < 0:
                    continue
                os.write(fd, b"data")
                k.note(os.fstat(fd).st_nlink, oct(os.fstat(fd).st_mode))
                name = b"dir/named%d.%d" % (i, flags)
                k("linkat", AT_FDCWD, b"/proc/self/fd/%d" % fd, AT_FDCWD, name, AT_SYMLINK_FOLLOW)
                k("linkat", AT_FDCWD, b"/proc/self/fd/%d" % fd, AT_FDCWD, name, AT_SYMLINK_FOLLOW)
                k("linkat", AT_FDCWD, b"/proc/self/fd/%d" % fd, AT_FDCWD, name + b"l", 0)
                if uid == 0:
                    k("linkat", fd, b"", AT_FDCWD, name + b"e", AT_EMPTY_PATH)
                k.note(os.fstat(fd).st_nlink)
                os.close(fd)

    both(body, prepare, uid=uid)


def test_path_descriptors() -> None:
    """open(2), O_PATH: what they are good for; and opening them for good through /proc/self/fd."""

    def body(k: Caller) -> None:
        for path in (b"file", b"dir", b"to_file", b"fifo", b"sock", b"locked", b"/proc/self/comm", b"/proc/version", b"/dev/null"):
            for flags in (PATH, PATH | NOFOLLOW, PATH | DIRECTORY):
                fd = k("open", path, flags)
                if fd < 0:
                    continue
                for mode in (RDONLY, WRONLY, RDWR):
                    if path != b"/proc/version":
                        k.opened(b"/proc/self/fd/%d" % fd, mode | NONBLOCK)
                k.opened(b"inner", RDONLY, dirfd=fd)
                k("fchdir", fd)
                os.chdir("/work/base")
                k("fstat", fd, Buffer(144))
                k("read", fd, Buffer(1), 1)
                k("fchmod", fd, 0o644)
                k("fchmodat2", fd, b"", 0o644, AT_EMPTY_PATH) if not path.startswith(b"/") else None
                k("newfstatat", fd, b"", Buffer(144), AT_EMPTY_PATH)
                k("readlinkat", fd, b"", Buffer(4), 4)
                k("close", fd)

    both(body, prepare)
    both(body, prepare, uid=1000)


# ---- FIFOs ----


def fifo(k: Caller, flags: int, peer: int, content: bytes = b"") -> None:
    """Open a FIFO with `flags` while another process opens it the other way, writes and leaves."""
    ready, go = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(ready, 1)
        fd = os.open("dir/pipe", peer)
        if content:
            os.write(fd, content)
        elif peer == RDONLY:
            os.read(fd, 10)
        if peer == RDWR:  # it waits for nobody; what it has written would go with it
            os.read(ready, 1)
        os._exit(0)
    os.write(go, b"x")
    fd = k("open", b"dir/pipe", flags)
    if flags == RDONLY:
        k.note(os.read(fd, 100), oct(fcntl.fcntl(fd, fcntl.F_GETFL)))
        if peer == RDWR:
            os.write(go, b"x")
    else:
        k.note(os.write(fd, b"12345"))
    k("close", fd)
    k.note(os.waitpid(child, 0)[1])
    os.close(ready)
    os.close(go)


def test_fifos_wait_for_each_other() -> None:
    def body(k: Caller) -> None:
        for _ in range(10):
            fifo(k, RDONLY, WRONLY, b"content")
            fifo(k, WRONLY, RDONLY)
            fifo(k, RDONLY, WRONLY)
            fifo(k, RDONLY, RDWR, b"both")
        k.opened(b"dir/pipe", RDWR)
        k.opened(b"dir/pipe", RDONLY | NONBLOCK)
        k.opened(b"dir/pipe", WRONLY | NONBLOCK)
        k.opened(b"dir/pipe", CREAT | EXCL | WRONLY | NONBLOCK)
        k.opened(b"sock", RDONLY)
        k.opened(b"sock", WRONLY)

    both(body, prepare, setup=pipes)


WAITS = pytest.mark.parametrize("flags", [RDONLY, WRONLY, RDONLY | CREAT, WRONLY | CREAT])
WAYS = pytest.mark.parametrize("path", [b"dir/pipe", b"/work/base/dir/pipe", b"../base/dir/pipe", b"to_pipe", b"/proc/self/cwd/dir/pipe"])


def pipes() -> None:
    os.mkfifo("dir/pipe")
    os.chmod("dir/pipe", 0o666)
    os.symlink("dir/pipe", "to_pipe")


@WAITS
@WAYS
def test_a_signal_ends_the_wait(flags: int, path: bytes) -> None:
    """signal(7): EINTR without SA_RESTART."""

    def body(k: Caller) -> None:
        caught: list[int] = []
        signal.signal(signal.SIGUSR2, lambda *_: caught.append(1))
        signal.siginterrupt(signal.SIGUSR2, True)
        parent = os.getpid()
        child = os.fork()
        if child == 0:
            while signal.sigtimedwait([signal.SIGTERM], 0.02) is None:
                os.kill(parent, signal.SIGUSR2)
            os._exit(0)
        k("open", path, flags, 0o600)
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)
        k.note(bool(caught))

    def before() -> None:
        pipes()
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])

    both(body, prepare, setup=before)


@WAITS
@WAYS
def test_a_signal_with_sa_restart_does_not_end_the_wait(flags: int, path: bytes) -> None:
    def body(k: Caller) -> None:
        signal.signal(signal.SIGUSR2, lambda *_: None)
        signal.siginterrupt(signal.SIGUSR2, False)
        parent = os.getpid()
        child = os.fork()
        if child == 0:
            for _ in range(3):
                os.kill(parent, signal.SIGUSR2)
                while pending(parent):  # until it was delivered
                    os.sched_yield()
            fd = os.open("dir/pipe", WRONLY if flags & os.O_ACCMODE == RDONLY else RDONLY)
            os.read(fd, 1) if flags & WRONLY else None
            os._exit(0)
        fd = k("open", path, flags, 0o600)
        os.close(fd)
        k.note(os.waitpid(child, 0)[1])

    both(body, prepare, setup=pipes)


def pending(pid: int) -> int:
    """ShdPnd of a process: proc_pid_status(5)."""
    with open(f"/proc/{pid}/status") as file:
        return int(file.read().partition("ShdPnd:")[2].split(None, 1)[0], 16)


def state(pid: int) -> str:
    """R, S, D…: proc_pid_stat(5)."""
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(") ")[2][0]


def test_a_waiting_open_ends_with_its_caller() -> None:
    def body(k: Caller) -> None:
        os.mkfifo("dir/other")  # a waiting reader of the sentry's is still there for a moment
        for path, flags in ((b"dir/pipe", RDONLY), (b"dir/other", WRONLY)):
            child = os.fork()
            if child == 0:
                k("open", path, flags)
                os._exit(0)
            while state(child) not in "SD":
                os.sched_yield()
            os.kill(child, signal.SIGKILL)
            k.note(os.waitpid(child, 0)[1])

    both(body, prepare, setup=pipes)


# ---- what else an open may meet ----


@pytest.mark.parametrize("chroot", [False, True])
def test_renames_elsewhere_are_not_seen(chroot: bool) -> None:
    """openat2(2) with RESOLVE_BENEATH or IN_ROOT says EAGAIN at ".." when anybody renames: it is ours to bear, not the caller's."""

    def before() -> None:
        os.mkdir("/tmp/elsewhere")
        if os.fork() == 0:
            lib.prctl_(PR_SET_PDEATHSIG, 9, 0, 0, 0)
            os.chdir("/tmp/elsewhere")
            os.mkdir("a")
            while True:
                os.rename("a", "b")
                os.rename("b", "a")

    def body(k: Caller) -> dict[int, int]:
        found: dict[int, int] = {}
        base = b"" if chroot else b"base/"
        for path in (b"a/" + b"../a/" * 8, b"../" + base + b"a", k.base + b"/" + b"../" * 8 + (b"" if chroot else b"work/base/") + b"a"):
            for _ in range(2000):
                result = k.quiet("openat", AT_FDCWD, path, WRONLY)
                found[result] = found.get(result, 0) + 1
        return found

    assert alone(body, lambda base: os.mkdir(base + "/a"), setup=before, chroot=chroot).value == {-errno.EISDIR: 6000}


@pytest.mark.parametrize("path", [b"file", b"/work/base/file", b"../base/file", b"to_file", b"/proc/self/cwd/file"])
def test_an_open_waits_for_a_lease_to_be_given_up(path: bytes) -> None:
    """fcntl(2), "Leases": a conflicting open breaks it and waits for the holder; with O_NONBLOCK it is EWOULDBLOCK."""

    def body(k: Caller) -> None:
        for flags in (RDONLY, WRONLY | NONBLOCK, WRONLY | TRUNC):
            ready, go = os.pipe()
            child = os.fork()
            if child == 0:
                signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGIO, signal.SIGTERM])
                fd = os.open("file", RDONLY)
                fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
                os.write(go, b"x")
                signal.sigwait([signal.SIGTERM] if flags & NONBLOCK else [signal.SIGIO, signal.SIGTERM])
                os._exit(0)
            os.read(ready, 1)
            k.opened(path, flags)
            os.kill(child, signal.SIGTERM)
            k.note(os.waitpid(child, 0)[1], os.stat("file").st_size)

    both(body, prepare)


def test_generated_files_through_a_descriptor() -> None:
    """sendfile(2) of what is opened again through /proc/self/fd finds the content, as of what was opened first."""

    def body(k: Caller) -> list[int]:
        first = k("open", b"/proc/meminfo", RDONLY)
        again = k("open", b"/proc/self/fd/%d" % first, RDONLY)
        sink = os.open("copy", CREAT | WRONLY)
        write = k("open", b"/proc/self/fd/%d" % first, WRONLY)
        return [k("sendfile", sink, first, None, 1 << 16), k("sendfile", sink, again, None, 1 << 16), write]

    for fuse in (True, False):
        direct, through, write = alone(body, prepare, fuse=fuse).value  # type: ignore[misc]
        assert direct > 100
        assert through > 100
        assert write == -errno.EACCES or not fuse  # a sealed snapshot


def test_block_devices_are_refused() -> None:
    def body(k: Caller) -> list[int]:
        return [k("open", b"/dev/loop0", RDONLY), k("open", b"/dev/null", RDWR), k("open", b"/dev/tty", RDWR)]

    missing, null, tty = alone(body, prepare).value  # type: ignore[misc]
    assert (missing, tty) == (-errno.ENOENT, -errno.ENXIO)
    assert null >= 0


def test_denials_are_remembered() -> None:
    def body(k: Caller) -> None:
        k("open", b"locked/inside", RDONLY)
        k("open", b"/work/base/readonly/new", CREAT | WRONLY, 0o600)
        k("open", b"missing", RDONLY)

    denials = alone(body, prepare, uid=1000).denials
    assert denials == {("open", "locked/inside (read)"): 1, ("open", "/work/base/readonly/new (write)"): 1}
