"""Run system calls twice: natively, and through the sentry's handlers. Both runs must see, and leave behind, the same.

A test gives a body: a function of a `Caller`, which makes raw system calls and logs each with its result. The body runs
in a forked child in a directory of its own; then in another child, in a twin directory, with a seccomp filter that
sends the calls of the handlers to a real dispatcher on a thread of this process. Compared are the logs and the two trees.
"""

from __future__ import annotations

import ctypes
import io
import mmap
import os
import pickle
import shutil
import signal
import stat
import struct
import tempfile
import traceback
from typing import TYPE_CHECKING

from sentry.creds import CredentialCache
from sentry.dispatch import Dispatcher
from sentry.holds import Holds
from sentry.kernel import Kernel
from sentry.platform._native import lib
from sentry.syscalls import sys_attr, sys_dir, sys_identity, sys_misc, sys_mount, sys_socket, sys_stat
from sentry.syscalls.numbers import NUMBERS
from sentry.syscalls.registry import handlers
from sentry.vfs.proc import Proc

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Body = Callable[["Caller"], object]

FAMILIES = (sys_attr, sys_dir, sys_identity, sys_misc, sys_mount, sys_socket, sys_stat)
UNMAPPED = 0x1000
KERNEL_ADDRESS = 0xFFFF_8000_0000_0000

_LOAD_NR = (0x20, 0, 0, 0)
_RET_ALLOW = (0x06, 0, 0, 0x7FFF0000)
_RET_USER_NOTIF = (0x06, 0, 0, 0x7FC00000)
_NEW_LISTENER, _WAIT_KILLABLE = 8, 32

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

    @property
    def content(self) -> bytes:
        return ctypes.string_at(self.address, self.size)


class Caller:
    """Raw system calls of the child, and their log."""

    def __init__(self, base: bytes) -> None:
        self.base = base
        """The absolute path of the working directory."""
        self.log: list[object] = []
        self.calls: dict[str, int] = {}

    def __call__(self, name: str, *args: int | bytes | Buffer | None) -> int:
        """System call `name`: its value or -errno. bytes are passed as a string in guest memory, None as a null pointer."""
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
        if result == -1:
            result = -ctypes.get_errno()
        self.log.append((name, *(_show(arg, self.base) for arg in args), result))
        return int(result)

    def note(self, *what: object) -> None:
        """Something else that must be the same in both runs."""
        self.log.append(what)

    def read(self, name: str, *args: int | bytes | None, size: int) -> bytes:
        """A call whose last arguments are a buffer and its size; what it wrote is logged and returned."""
        buffer = Buffer(size)
        result = self(name, *args, buffer, size)
        self.note("content", buffer.content)
        return buffer.content[: max(result, 0)]


def _show(arg: object, base: bytes) -> object:
    if isinstance(arg, bytes):
        shown = arg.replace(base, b"BASE")
        return shown if len(shown) < 100 else shown[:40] + b"...(%d)" % len(shown)
    return "buffer" if isinstance(arg, Buffer) else arg


# ---- the child ----


def _program(numbers: list[int]) -> bytes:
    """struct sock_filter[]: USER_NOTIF for these numbers, ALLOW for all others."""
    jumps = [(0x15, len(numbers) - i, 0, number) for i, number in enumerate(numbers)]
    return b"".join(struct.pack("<HBBI", *step) for step in [_LOAD_NR, *jumps, _RET_ALLOW, _RET_USER_NOTIF])


def _child(body: Body, base: bytes, uid: int, chroot: bool, mediated: list[int] | None, ready: Any, out: int) -> None:
    os.chdir(base)
    os.umask(0o022)
    if mediated is not None:
        program = _program(mediated)
        listener = lib.filter_install(program, len(program) // 8, _NEW_LISTENER | _WAIT_KILLABLE)
        if listener < 0:
            raise OSError(-listener, "seccomp")
        os.write(ready[1], struct.pack("<i", listener))
        os.close(listener) if os.read(ready[2], 1) else None
    caller = Caller(b"/" if chroot else base)
    if chroot:
        caller("chroot", b".")
        caller("chdir", b"/")
    if uid:
        os.setgroups([uid])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    value = body(caller)
    with os.fdopen(out, "wb") as pipe:
        pickle.dump((caller.log, caller.calls, value), pipe)


class Run:
    """What one run logged, returned and left behind."""

    def __init__(self, log: list[object], calls: dict[str, int], value: object, kernel: Kernel | None) -> None:
        self.log = log
        self.calls = calls
        self.value = value
        self.kernel = kernel


def run(
    body: Body,
    base: bytes,
    *,
    uid: int = 0,
    chroot: bool = False,
    sentry: Sentry | None = None,
    setup: Callable[[], object] | None = None,
) -> Run:
    """Run `body` in a forked child in directory `base`, under `sentry` if there is one."""
    out_r, out_w = os.pipe()
    up_r, up_w = os.pipe()
    down_r, down_w = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            for fd in (out_r, up_r, down_w):
                os.close(fd)
            signal.alarm(60)
            if setup:
                setup()
            _child(body, base, uid, chroot, sentry and sentry.numbers, (up_r, up_w, down_r), out_w)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    for fd in (out_w, up_w, down_r):
        os.close(fd)
    try:
        if sentry:
            sentry.attach(pid, *struct.unpack("<i", os.read(up_r, 4)))
            os.write(down_w, b"x")
        with os.fdopen(out_r, "rb") as pipe:
            answer = pipe.read()
    finally:
        os.close(up_r)
        os.close(down_w)
        _, status = os.waitpid(pid, 0)
    log_text = sentry.log.getvalue() if sentry else ""
    assert "internal error" not in log_text, log_text
    assert status == 0, f"the child ended with {os.waitstatus_to_exitcode(status)}; {log_text}"
    log, calls, value = pickle.loads(answer)
    return Run(log, calls, value, sentry and sentry.kernel)


# ---- the sentry ----


class Sentry:
    """A dispatcher with the handlers under test, in this process, for one run."""

    def __init__(self, root: int | None = None, *, network: str = "host", gofer: Any = None, names: Any = None) -> None:
        modules = {m.__name__ for m in FAMILIES}
        if names is None:
            names = [n for n, h in handlers.items() if h.__globals__["f"].__module__ in modules]  # type: ignore[attr-defined]
        self.numbers = sorted(NUMBERS[name] for name in names)
        procfd = os.open("/proc", os.O_PATH)
        self._selffd = os.open("/proc/self/fd", os.O_PATH)
        self._rootfd = os.open("/", os.O_PATH) if root is None else root
        credentials = CredentialCache(procfd)
        self.log = io.StringIO()
        self.kernel = Kernel(
            root=self._rootfd,
            procfd=procfd,
            profile="strict",
            network=network,
            credentials=credentials,
            proc=(proc := Proc(self._rootfd, procfd, {"own_netns": True}, {})),
            holds=Holds(credentials, self._enter_thread),
            gofer=gofer,
            view=proc.view,
            log=self.log,
        )
        table = {NUMBERS[name]: handlers[name] for name in names}
        self._dispatcher = Dispatcher(self.kernel, table, {}, {nr: name for name, nr in NUMBERS.items()}, self._selffd)
        signal.signal(signal.SIGUSR1, lambda _signal, _frame: None)

    def _enter_thread(self) -> None:
        self._dispatcher.enter_thread()

    def attach(self, pid: int, number: int) -> None:
        """Serve the listener that process `pid` has as descriptor `number`."""
        listener = lib.get_fd(pid, number)
        assert listener >= 0, os.strerror(-listener)
        self._dispatcher.serve(listener)

    def close(self) -> None:
        for fd in (self._selffd, self._rootfd, self.kernel.procfd):
            os.close(fd)


# ---- twins ----


def twin(prepare: Callable[[str], None]) -> str:
    """A fresh directory that everybody may search, filled by `prepare`; the working directory is `base` in it."""
    top = tempfile.mkdtemp(prefix="pysc-", dir="/tmp")
    os.chmod(top, 0o755)
    base = os.path.join(top, "base")
    os.mkdir(base)
    prepare(base)
    return base


def tree(base: str) -> dict[str, tuple[object, ...]]:
    """Everything in and above `base`, but times and inode numbers."""
    found = {}
    top = os.path.dirname(base)
    for directory, directories, files in os.walk(top):
        for name in (*directories, *files, "."):
            path = os.path.join(directory, name)
            st = os.lstat(path)
            link = os.readlink(path) if stat.S_ISLNK(st.st_mode) else ""
            size = st.st_size if stat.S_ISREG(st.st_mode) else 0
            xattrs = {n: os.getxattr(path, n, follow_symlinks=False) for n in os.listxattr(path, follow_symlinks=False)}
            found[os.path.relpath(path, top)] = (oct(st.st_mode), st.st_uid, st.st_gid, st.st_nlink, size, link, xattrs)
    return found


def both(body: Body, prepare: Callable[[str], None], *, uid: int = 0, chroot: bool = False, network: str = "host") -> Run:
    """Run `body` natively and mediated; fail unless logs and trees are alike. Returns the mediated run."""
    bases = [twin(prepare), twin(prepare)]
    sentry = Sentry(network=network)
    try:
        native = run(body, bases[0].encode(), uid=uid, chroot=chroot)
        mediated = run(body, bases[1].encode(), uid=uid, chroot=chroot, sentry=sentry)
        assert mediated.log == native.log
        assert tree(bases[1]) == tree(bases[0])
        for name, count in mediated.calls.items():
            if NUMBERS[name] in sentry.numbers:
                assert sentry.kernel.counts.get(NUMBERS[name], 0) >= count, f"{name} did not reach its handler"
        return mediated
    finally:
        sentry.close()
        for base in bases:
            shutil.rmtree(os.path.dirname(base))


def alone(
    body: Body, prepare: Callable[[str], None], *, uid: int = 0, network: str = "host", gofer: Any = None, names: Any = None
) -> Run:
    """Run `body` mediated only, where it is not meant to be as natively."""
    base = twin(prepare)
    sentry = Sentry(network=network, gofer=gofer, names=names)
    try:
        return run(body, base.encode(), uid=uid, sentry=sentry)
    finally:
        sentry.close()
        shutil.rmtree(os.path.dirname(base))
