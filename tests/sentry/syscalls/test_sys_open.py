"""open, openat, openat2 and creat against the same calls made natively: fs/open.c, fs/namei.c, fs/pipe.c."""

from __future__ import annotations

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
)
from sentry.platform._native import lib
from tests.sentry.harness import UNMAPPED, Buffer, alone, both
from tests.sentry.syscalls.names import everything, prepare

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
