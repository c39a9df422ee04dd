"""The inside of `tests.sentry.harness`: a process that becomes the first of a container and makes raw system calls.

Started by exec after it has made its user namespace, as a container's program is: only then does the kernel let the sentry look into
it when it is not dumpable. It imports nothing once its tree is the container's, and no more than it needs before.
"""

from __future__ import annotations

import ctypes
import fcntl
import marshal
import mmap
import os
import pickle
import signal
import struct
import sys
import traceback
from types import CellType, FunctionType
from typing import TYPE_CHECKING

from sentry.abi import (
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    FSCONFIG_CMD_CREATE,
    FSMOUNT_CLOEXEC,
    FSOPEN_CLOEXEC,
    PR_CAP_AMBIENT,
    PR_CAP_AMBIENT_CLEAR_ALL,
    PR_CAP_AMBIENT_RAISE,
    PR_SET_DUMPABLE,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_PDEATHSIG,
    SECCOMP_FILTER_FLAG_NEW_LISTENER,
    SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
)
from sentry.platform import wire
from sentry.platform._native import ffi, lib
from sentry.syscalls.numbers import NUMBERS

if TYPE_CHECKING:
    from collections.abc import Callable

    Argument = int | bytes | "Buffer" | None

BASE = b"/work/base"
"""The working directory of a body. It may also write to /work."""

UNMAPPED = 0x1000
KERNEL_ADDRESS = 0xFFFF_8000_0000_0000

ALL_CAPABILITIES = (1 << 41) - 1

_NAMESPACES = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWCGROUP
_DEADLINE = 60

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]


class Buffer:
    """Guest memory: `size` bytes that end where a page ends, with nothing mapped behind it."""

    def __init__(self, size: int, content: bytes = b"") -> None:
        pages = -(-max(size, 1) // mmap.PAGESIZE) * mmap.PAGESIZE
        start = _libc.mmap(None, pages + mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_WRITE, 0x22, -1, 0)
        _libc.mprotect(ctypes.c_void_p(start + pages), mmap.PAGESIZE, 0)
        self.address = start + pages - size
        self.size = size
        ctypes.memmove(self.address, content, len(content))

    def protect(self, rights: int) -> None:
        """mprotect(2) of its pages with PROT_* `rights`."""
        start = self.address & -mmap.PAGESIZE
        _libc.mprotect(ctypes.c_void_p(start), self.address + self.size - start, rights)

    @property
    def content(self) -> bytes:
        return ctypes.string_at(self.address, self.size)


class Caller:
    """Raw system calls, and their log."""

    def __init__(self, base: bytes) -> None:
        self.base = base
        """The absolute path of the working directory."""
        self.log: list[tuple[object, ...]] = []
        self.calls: dict[str, int] = {}

    def __call__(self, name: str, *args: Argument) -> int:
        """System call `name`: its value or -errno. bytes are passed as a string in guest memory, None as a null pointer."""
        result = self.quiet(name, *args)
        self.log.append((name, *(_show(arg) for arg in args), result))
        return result

    def quiet(self, name: str, *args: Argument) -> int:
        """The same, without a place in the log."""
        self.calls[name] = self.calls.get(name, 0) + 1
        keep: list[object] = []
        raw = []
        for arg in args:
            if isinstance(arg, bytes):
                text = ctypes.create_string_buffer(arg)
                keep.append(text)
                raw.append(ctypes.c_ulong(ctypes.addressof(text)))
            elif isinstance(arg, Buffer):
                raw.append(ctypes.c_ulong(arg.address))
            else:
                raw.append(ctypes.c_ulong((arg or 0) & 0xFFFF_FFFF_FFFF_FFFF))
        ctypes.set_errno(0)
        result = _libc.syscall(ctypes.c_long(NUMBERS[name]), *raw)
        return -ctypes.get_errno() if result == -1 else int(result)

    def note(self, *what: object) -> None:
        """Something else that must be the same in both runs."""
        self.log.append(tuple(_show(each) for each in what))

    def opened(self, path: Argument, flags: int, mode: int = 0, dirfd: int = -100) -> None:
        """openat(2) and close(2) in one line of the log, with what was opened: type and mode, links of a file, owner, device, flags.

        O_NOFOLLOW has had its effect by then: the sentry's slow path drops it from what F_GETFL shows.
        """
        result = self.quiet("openat", dirfd, path, flags, mode)
        facts: tuple[object, ...] = ()
        if result >= 0:
            st = os.fstat(result)
            links = st.st_nlink if st.st_mode & 0o100000 else 0
            shown = fcntl.fcntl(result, fcntl.F_GETFL) & ~os.O_NOFOLLOW
            facts = (oct(st.st_mode), links, st.st_uid, st.st_gid, st.st_rdev, oct(shown))
            os.close(result)
        self.log.append(("open", dirfd, _show(path), oct(flags), facts, result))

    def read(self, name: str, *args: Argument, size: int) -> bytes:
        """A call whose last arguments are a buffer and its size; what it wrote is logged and returned."""
        buffer = Buffer(size)
        result = self(name, *args, buffer, size)
        self.note("content", buffer.content)
        return buffer.content[: max(result, 0)]

    def become(self, uid: int, *, dumpable: bool = True) -> None:
        """Become user and group `uid`; `dumpable`: as it is after an exec, and is not after the change alone."""
        os.setgroups([uid])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        lib.prctl_(PR_SET_DUMPABLE, int(dumpable), 0, 0, 0)

    def in_child(self, body: Callable[[], object]) -> None:
        """`body()` in a child process; what it logs comes back. Its exit status is logged, unless it is 0."""
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                start = len(self.log)
                os.close(read)
                body()
                with os.fdopen(write, "wb") as pipe:
                    pickle.dump((self.log[start:], self.calls), pipe)
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        os.close(write)
        with os.fdopen(read, "rb") as pipe:
            raw = pipe.read()
        _, status = os.waitpid(pid, 0)
        if raw:
            log, self.calls = pickle.loads(raw)
            self.log += log
        if status:
            self.note("exit status", status)


def _show(arg: object) -> object:
    if isinstance(arg, bytes):
        return arg if len(arg) < 100 else arg[:40] + b"...(%d)" % len(arg)
    return "buffer" if isinstance(arg, Buffer) else arg


def function(
    code: bytes, used: dict[str, object], defaults: tuple[object, ...] | None, keyword: dict[str, object] | None, cells: list[object]
) -> FunctionType:
    """A function that the harness has sent by value: `used` are the globals that it names, `cells` its closure."""
    scope = {"__builtins__": __builtins__, **used}
    made = FunctionType(marshal.loads(code), scope, None, defaults, tuple(CellType(cell) for cell in cells))
    made.__kwdefaults__ = keyword
    return made


def checked(result: int) -> int:
    """`result`, or the OSError that it stands for."""
    if result < 0:
        raise OSError(-result, os.strerror(-result))
    return result


def become_guest(number: int, path: list[str]) -> None:
    """In a fork of the harness: make a user namespace and execute this module in it. The ids are nobody's yet, so that the
    modules of root may still be read, and the capabilities are ambient, so that the exec keeps them."""
    os.set_inheritable(number, True)
    checked(lib.unshare_(CLONE_NEWUSER))
    checked(lib.capset_all(ALL_CAPABILITIES, ALL_CAPABILITIES, ALL_CAPABILITIES))
    for capability in range(ALL_CAPABILITIES.bit_length()):
        checked(lib.prctl_(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0))
    script = f"import sys; sys.path[:] = {path!r}; from tests.sentry import guest; guest.main({number})"
    os.execv(sys.executable, [sys.executable, "-S", "-E", "-c", script])


def main(number: int) -> None:
    """The process that the harness has started: descriptor `number` leads to it."""
    sock = wire.Socket(fileno=number)
    wire.send(sock, {"unshared": True})
    raw, _ = wire.recv_fds(sock)
    task = pickle.loads(raw)
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    checked(lib.prctl_(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))
    checked(lib.capset_all(ALL_CAPABILITIES, ALL_CAPABILITIES, 0))
    checked(lib.unshare_(_NAMESPACES))
    pid = os.fork()
    if pid:
        sock.close()
        _, status = os.waitpid(pid, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    status = 1
    try:
        _first_process(sock, **task)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _first_process(
    sock: wire.Socket,
    body: Callable[[Caller], object],
    setup: Callable[[], object] | None,
    program: bytes,
    uid: int,
    dumpable: bool,
    chroot: bool,
    no_new_privs: bool,
) -> None:
    checked(lib.prctl_(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    signal.alarm(_DEADLINE)
    _loopback_up()
    context = checked(lib.fsopen_(b"proc", FSOPEN_CLOEXEC))
    checked(lib.fsconfig_(context, FSCONFIG_CMD_CREATE, ffi.NULL, ffi.NULL, 0))
    proc = checked(lib.fsmount_(context, FSMOUNT_CLOEXEC, 0))
    os.close(context)
    wire.send(sock, {"proc": True}, [proc])
    os.close(proc)
    _, [mounts] = wire.recv(sock)  # the tree is there
    checked(lib.setns_(mounts, CLONE_NEWNS))
    os.close(mounts)
    os.chdir(BASE)
    os.umask(0o022)
    if setup:
        setup()
    if no_new_privs:
        checked(lib.prctl_(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    if program:
        flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
        listener = checked(lib.filter_install(program, len(program) // 8, flags))
        wire.send(sock, {"listener": True}, [listener])
        os.close(listener)
        wire.recv(sock)
    caller = Caller(b"/" if chroot else BASE)
    if chroot:
        caller("chroot", b".")
        caller("chdir", b"/")
    if uid:
        caller.become(uid, dumpable=dumpable)
    value = body(caller)
    result = os.memfd_create("result")
    with os.fdopen(os.dup(result), "wb") as file:
        pickle.dump((caller.log, caller.calls, value), file)
    wire.send(sock, {"result": True}, [result])


def _loopback_up() -> None:
    sock = checked(lib.syscall6(NUMBERS["socket"], 2, 2, 0, 0, 0, 0))
    request = ctypes.create_string_buffer(struct.pack("16sH22x", b"lo", 1 | 64), 40)
    checked(lib.syscall6(NUMBERS["ioctl"], sock, 0x8914, ctypes.addressof(request), 0, 0, 0))
    os.close(sock)


def readonly_here(path: str) -> None:
    """Put an empty, read-only tmpfs on `path`, which must exist. For `setup`."""
    context = checked(lib.fsopen_(b"tmpfs", FSOPEN_CLOEXEC))
    checked(lib.fsconfig_(context, FSCONFIG_CMD_CREATE, ffi.NULL, ffi.NULL, 0))
    fd = checked(lib.fsmount_(context, FSMOUNT_CLOEXEC, 1))
    target = os.open(path, os.O_PATH)
    checked(lib.move_mount_(fd, b"", target, b"", 0x44))
    for each in (context, fd, target):
        os.close(each)
