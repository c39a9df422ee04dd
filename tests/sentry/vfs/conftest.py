"""A container's namespaces for tests that need a real procfs or a real FUSE mount, in a forked child."""

from __future__ import annotations

import ctypes
import os
import pickle
import select
import signal
import time
import traceback
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

CLONE_NEWTIME = 0x00000080
CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
_ALL = CLONE_NEWTIME | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET
PR_SET_PDEATHSIG = 1
DEADLINE = 60
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


class Container:
    """What a function inside gets."""

    libc = libc

    def __init__(self, fuse_fd: int) -> None:
        self.fuse_fd = fuse_fd
        """/dev/fuse, opened by this user namespace."""

    @staticmethod
    def mount(source: bytes, target: bytes, fstype: bytes | None = None, flags: int = 0, data: bytes | None = None) -> None:
        check(libc.mount(source, target, fstype, flags, data))

    def bind(self, source: str, target: str) -> None:
        self.mount(source.encode(), target.encode(), flags=MS_BIND)

    @staticmethod
    def clone(path: str) -> int:
        """open_tree(2): a detached copy of the one mount at `path`."""
        at_fdcwd, open_tree_clone = -100, 1
        return check(libc.syscall(428, at_fdcwd, path.encode(), open_tree_clone | os.O_CLOEXEC))

    def mount_fuse(self, options: dict[bytes, bytes | None]) -> int:
        """A detached FUSE mount: fsopen(2), fsconfig(2), fsmount(2)."""
        if self.fuse_fd < 0:
            raise NoFuse
        set_flag, set_string, create = 0, 1, 6
        fs = check(libc.syscall(430, b"fuse", 1))
        for name, value in {**options, b"fd": b"%d" % self.fuse_fd}.items():
            check(libc.syscall(431, fs, set_flag if value is None else set_string, name, value, 0))
        check(libc.syscall(431, fs, create, None, None, 0))
        nosuid_nodev_noexec = 2 | 4 | 8
        mount_fd = check(libc.syscall(432, fs, 1, nosuid_nodev_noexec))
        os.close(fs)
        return mount_fd


class NoFuse(Exception):
    """The host has no /dev/fuse."""


def _child(function: Callable[[Container], Any], ready: int, go: int, out: int) -> None:
    check(libc.unshare(_ALL))
    os.write(ready, b"x")
    os.read(go, 1)
    # Still the host's root to /dev/fuse's mode bits, already in the user namespace that will mount.
    fuse_fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC) if os.path.exists("/dev/fuse") else -1
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    container = Container(fuse_fd)
    container.mount(b"none", b"/", flags=MS_REC | MS_PRIVATE)
    init = os.fork()
    if init == 0:
        result: tuple[bool | None, Any]
        try:
            check(libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL))
            container.mount(b"proc", b"/proc", b"proc")
            result = (True, function(container))
        except NoFuse:
            result = (None, "needs /dev/fuse")
        except BaseException:  # the parent fails the test with it
            result = (False, traceback.format_exc())
        with os.fdopen(out, "wb") as pipe:
            pickle.dump(result, pipe)
        os._exit(0)
    # A copy of the device would keep the connection alive when its server has died.
    if fuse_fd >= 0:
        os.close(fuse_fd)
    os.close(out)
    os.waitpid(init, 0)


@pytest.fixture
def in_container() -> Callable[[Callable[[Container], Any]], Any]:
    """Run a function as pid 1 and root of new namespaces whose uptime is zero; its result."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to map a range of ids")

    def run(function: Callable[[Container], Any]) -> Any:
        ready, ready_w = os.pipe()
        go_r, go = os.pipe()
        result_r, result_w = os.pipe()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                _child(function, ready_w, go_r, result_w)
                code = 0
            except BaseException:  # a forked child must not return into pytest
                traceback.print_exc()
            finally:
                os._exit(code)
        for fd in (ready_w, go_r, result_w):
            os.close(fd)
        try:
            if os.read(ready, 1):
                for kind in ("uid", "gid"):
                    _write(f"/proc/{child}/{kind}_map", "0 100000 65536")
                up = int(time.clock_gettime(time.CLOCK_BOOTTIME))
                monotonic = int(time.clock_gettime(time.CLOCK_MONOTONIC))
                _write(f"/proc/{child}/timens_offsets", f"monotonic -{monotonic} 0\nboottime -{up} 0\n")
                os.write(go, b"x")
            with os.fdopen(result_r, "rb") as pipe:
                hangs = not select.select([pipe], [], [], DEADLINE)[0]
                if hangs:
                    os.kill(child, signal.SIGKILL)  # and with it, init
                data = pipe.read()
        finally:
            os.close(ready)
            os.close(go)
            os.waitpid(child, 0)
        assert not hangs, f"no result after {DEADLINE} s"
        assert data, "the child died before it had a result"
        ok, value = pickle.loads(data)
        if ok is None:
            pytest.skip(value)
        assert ok, value
        return value

    return run


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)
