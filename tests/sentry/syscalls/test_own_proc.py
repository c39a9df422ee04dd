"""A caller's own entries in /proc, also when it is not dumpable: then they belong to root, and yet its descriptors are its own.

fs/proc/base.c:task_dump_owner(), fs/proc/fd.c:proc_fd_permission(), kernel/ptrace.c:__ptrace_may_access().
"""

from __future__ import annotations

import errno
import os
import threading
from typing import TYPE_CHECKING

import pytest

from sentry.abi import AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_FOLLOW, AT_SYMLINK_NOFOLLOW, PR_SET_DUMPABLE
from tests.sentry.harness import Buffer, alone, both
from tests.sentry.syscalls.names import prepare

if TYPE_CHECKING:
    from tests.sentry.harness import Caller

RDONLY, WRONLY, RDWR = os.O_RDONLY, os.O_WRONLY, os.O_RDWR
OWN = (
    b"auxv",
    b"cmdline",
    b"comm",
    b"coredump_filter",
    b"cwd",
    b"environ",
    b"exe",
    b"fd",
    b"fdinfo",
    b"fdinfo/0",
    b"io",
    b"limits",
    b"maps",
    b"map_files",
    b"mem",
    b"net/dev",
    b"ns/user",
    b"oom_score_adj",
    b"personality",
    b"root",
    b"smaps",
    b"stat",
    b"status",
    b"syscall",
    b"task",
    b"uid_map",
    b"wchan",
)
WAYS = (b"/proc/self/", b"/proc/thread-self/", b"/proc/1/", b"/proc/1/task/1/")


def undump(k: Caller, dumpable: bool) -> None:
    if not dumpable:
        k("prctl", PR_SET_DUMPABLE, 0)


@pytest.mark.parametrize("dumpable", [True, False])
@pytest.mark.parametrize("uid", [0, 1000])
def test_own_descriptors(uid: int, dumpable: bool) -> None:
    def body(k: Caller) -> None:
        undump(k, dumpable)
        fds = {
            "file": os.open("file", RDONLY),
            "mine": os.open("mine", RDWR),
            "path": os.open("file", os.O_PATH),
            "directory": os.open("dir", RDONLY),
            "link": os.open("to_file", os.O_PATH | os.O_NOFOLLOW),
            "pipe": os.pipe()[0],
            "fifo": os.open("fifo", RDONLY | os.O_NONBLOCK),
            "unnamed": os.open(".", os.O_TMPFILE | RDWR, 0o600),
            "none": 99,
        }
        os.unlink("file") if uid == 0 else None
        for number in fds.values():
            for way in (*WAYS, b"/dev/"):
                path = way + b"fd/%d" % number
                for flags in (RDONLY | os.O_NONBLOCK, RDWR | os.O_NONBLOCK, os.O_DIRECTORY, os.O_NOFOLLOW):
                    k.opened(path, flags)
                k("readlink", path, Buffer(1), 1)
                k("stat", path, Buffer(144))
                k("lstat", path, Buffer(144))
                k("access", path, 4)
                k("access", path + b"/inner", 4)
                k("chmod", path, 0o640)
                k.opened(path + b"/inner", RDONLY)
                k.opened(path + b"/..", RDONLY)
        k("linkat", AT_FDCWD, b"/proc/self/fd/%d" % fds["unnamed"], AT_FDCWD, b"dir/named", AT_SYMLINK_FOLLOW)
        k("linkat", AT_FDCWD, b"/dev/fd/%d" % fds["unnamed"], AT_FDCWD, b"dir/named", AT_SYMLINK_FOLLOW)
        k("mkdir", b"/proc/self/fd/%d/new" % fds["directory"], 0o755)
        k("truncate", b"/proc/self/fd/%d" % fds["mine"], 3)
        k("chdir", b"/proc/self/fd/%d" % fds["directory"])
        k("chdir", b"/proc/self/fd")
        k("open", b"%d" % fds["mine"], RDONLY)
        k("open", b"../fd/./%d" % fds["mine"], RDONLY)
        k("open", b"../fdinfo/%d" % fds["mine"], RDONLY)

    both(body, prepare, uid=uid, dumpable=dumpable)


@pytest.mark.parametrize("dumpable", [True, False])
@pytest.mark.parametrize("uid", [0, 1000])
def test_own_files(uid: int, dumpable: bool) -> None:
    def body(k: Caller) -> None:
        undump(k, dumpable)
        for name in OWN:
            for way in WAYS:
                for flags in (RDONLY, WRONLY, os.O_NOFOLLOW, os.O_DIRECTORY, os.O_PATH):
                    k.opened(way + name, flags)
                if name != b"wchan":
                    k("access", way + name, 4)
                k("lstat", way + name, Buffer(144))
                k("readlink", way + name, Buffer(1), 1)

    both(body, prepare, uid=uid, dumpable=dumpable)


@pytest.mark.parametrize("dumpable", [True, False])
def test_another_process(dumpable: bool) -> None:
    """Of the same user: open if it is dumpable."""

    def body(k: Caller) -> None:
        undump(k, dumpable)
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(write)
            os.read(read, 1)
            os._exit(0)
        names = (*OWN, b"fd/%d" % read, b"exe/x", b"cwd/file", b"fd/99")
        for name in (n for n in names if n != b"fdinfo/0"):  # here the sentry tells that there is something
            for flags in (RDONLY, os.O_PATH, os.O_NOFOLLOW):
                k.opened(b"/proc/%d/%s" % (child, name), flags)
            k("access", b"/proc/%d/%s" % (child, name), 4)
            k("readlink", b"/proc/%d/%s" % (child, name), Buffer(1), 1)
        os.close(write)
        os.waitpid(child, 0)

    both(body, prepare, uid=1000, dumpable=dumpable)


@pytest.mark.parametrize("dumpable", [True, False])
def test_another_thread_of_its_own(dumpable: bool) -> None:
    def body(k: Caller) -> None:
        undump(k, dumpable)
        fd = os.open("mine", RDWR)
        k.note(os.getpid())

        def thread() -> None:
            tid = threading.get_native_id()
            for path in (b"/proc/self/fd/%d", b"/proc/thread-self/fd/%d", b"/proc/1/task/%d/fd/%%d" % tid, b"/proc/%d/fd/%%d" % tid):
                for flags in (RDWR, os.O_NOFOLLOW):
                    k.opened(path % fd, flags)
            k.read("readlink", b"/proc/thread-self", size=20)
            k.read("readlink", b"/proc/self", size=20)
            k.opened(b"/proc/thread-self/mem", RDWR)
            k.opened(b"/proc/self/task/1/maps", RDONLY)

        started = threading.Thread(target=thread)
        started.start()
        started.join()

    both(body, prepare, uid=1000, dumpable=dumpable)


@pytest.mark.parametrize("dumpable", [True, False])
@pytest.mark.parametrize("uid", [0, 1000])
def test_dirfds(uid: int, dumpable: bool) -> None:
    """A dirfd of the caller's, O_PATH or not, when /proc/PID/fd is not its own."""

    def body(k: Caller) -> None:
        undump(k, dumpable)
        fds = [os.open("dir", os.O_PATH), os.open("dir", RDONLY), os.open("file", os.O_PATH), AT_FDCWD]
        os.mkdir("dir/gone")
        fds.append(os.open("dir/gone", os.O_PATH))
        os.rmdir("dir/gone")
        for fd in fds:
            for name in (b"inner", b"new", b"../file", b".", b"", b"../dir/../dir/inner"):
                opened_at = k("openat", fd, name, RDONLY)
                if opened_at >= 0:
                    k("close", opened_at)
                k("newfstatat", fd, name, Buffer(144), 0)
                k("newfstatat", fd, name, Buffer(144), AT_EMPTY_PATH)
                k("fchmodat2", fd, name, 0o700, AT_EMPTY_PATH)
                k("faccessat2", fd, name, 4, AT_SYMLINK_NOFOLLOW)
                k("mkdirat", fd, name, 0o755)

    both(body, prepare, uid=uid, dumpable=dumpable)


@pytest.mark.parametrize("uid", [0, 1000])
def test_attributes(uid: int) -> None:
    """proc_setattr(), proc_notify_change(), proc_sys_setattr()."""

    def body(k: Caller) -> None:
        times = Buffer(32, bytes(32))
        names = (b"", b"self", b"1", b"self/comm", b"self/fd", b"self/exe", b"self/maps", b"meminfo", b"version", b"tty", b"net/dev")
        for name in (*names, b"sys/kernel/hostname", b"sys/kernel", b"sysvipc", b"sysvipc/msg", b"self/ns/user", b"nothing"):
            path = b"/proc/" + name
            k("fchmodat2", AT_FDCWD, path, 0o777, AT_SYMLINK_NOFOLLOW)
            k("lchown", path, 0, 0)
            k("lchown", path, 0xFFFFFFFF, 0xFFFFFFFF)
            k("lchown", path, 1000, 1000)
            if b"exe" not in name and b"ns" not in name:
                k("chmod", path, 0o777)
                k("chown", path, uid, uid)
                k("utimensat", AT_FDCWD, path, times, 0)
                if name != b"self/fd":  # EACCES: the permission of the link by which we name it comes first
                    k("setxattr", path, b"user.x", Buffer(1), 1, 0)
                k("truncate", path, 0)
                k("truncate", path, 1 << 30)
            k("getxattr", path, b"user.x", None, 0)
            k("listxattr", path, None, 0)
            k("statfs", path, Buffer(120))
            k("rename", path, b"x")
            k("link", path, b"x")
            k("unlink", path)
            k("rmdir", path)
            k("mkdir", path + b"/x", 0o755)

    both(body, prepare, uid=uid)


def test_what_is_the_machines_is_not_changed_by_a_container_that_has_its_root() -> None:
    """The modes and times here are those that it has, lest a failure changes the host's."""

    def body(k: Caller) -> list[int]:
        results = []
        for path in (b"/proc/tty", b"/proc/version", b"/proc"):
            st = os.stat(path)
            results.append(k("chmod", path, st.st_mode))
            results.append(k("chown", path, 0, 0))
            results.append(k("utimensat", AT_FDCWD, path, None, 0))
        return results

    run = alone(body, prepare, first_host_id=0)
    assert run.value == [-errno.EPERM] * 9
