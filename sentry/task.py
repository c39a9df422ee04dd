"""One intercepted system call: who made it, with what arguments, and what the sentry may ask about the caller.

The kernel keeps the books (docs/design.md, rule 1): nothing here is a copy of a task's state that outlives the call, but
for credentials, whose cache is explained in `sentry/creds.py`. The caller is stopped in its system call while a
handler runs, so its own registers do not change, but its memory, descriptors and working directory may: other threads
and processes share them. Read memory once, decide and act on the copy; of a descriptor or directory, on the one that was taken.
"""

from __future__ import annotations

import errno
import os
from fcntl import F_GETFL, fcntl
from struct import pack

from sentry.abi import O_DIRECTORY, O_PATH, PATH_MAX
from sentry.platform._native import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any, Protocol

    from sentry.creds import Credentials, Ids
    from sentry.kernel import Kernel


if TYPE_CHECKING:

    class Watch(Protocol):
        """What wants to know of replies that are detached: sentry/trace.py."""

        def held(self, task: Task) -> None: ...

        def resumed(self, listener: int, ident: int, result: int) -> None: ...


_LOWEST = 64
"""Descriptors that are looked at: stdio, those of `--preserve-fds`, and where a shell puts copies of them."""


class Fd:
    """Outcome: put `fd` into the caller's table, return its number there. Our own copy is closed before the caller goes on.

    `controls`: a terminal opened to become the caller's controlling one, if the kernel agrees, where the platform can ask it to.
    """

    __slots__ = ("cloexec", "controls", "fd")

    def __init__(self, fd: int, cloexec: bool, controls: bool = False) -> None:
        self.fd = fd
        self.cloexec = cloexec
        self.controls = controls


class Fds:
    """Outcome: put several into the caller's table and their numbers, each an int, at `address`; the call returns 0."""

    __slots__ = ("address", "cloexec", "fds")

    def __init__(self, fds: Sequence[int], cloexec: bool, address: int) -> None:
        self.fds = fds
        self.cloexec = cloexec
        self.address = address

    def put(self, task: Task) -> int:
        """Do it, and close ours; what the call is to return: 0 or -errno."""
        numbers = [lib.notif_put(task.listener, task.id, fd, self.cloexec) for fd in self.fds]
        if min(numbers) < 0:
            return min(numbers)
        try:
            task.write(self.address, pack(f"<{len(numbers)}i", *numbers))
        except OSError as e:
            return -(e.errno or errno.EFAULT)
        return 0


class _Marker:
    """An outcome without a value."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


CONTINUE = _Marker("CONTINUE")
"""Outcome: let the kernel execute the call. Only when no argument that matters lies in memory (rule 5)."""

HELD = _Marker("HELD")
"""Outcome: somebody else will answer (`Task.hold`)."""


class Task:
    """The caller of one intercepted system call. Reused by its dispatcher for the next: do not keep it, `hold()` it."""

    __slots__ = ("_acting", "_creds", "args", "id", "kernel", "listener", "nr", "opened", "path", "tid", "tried")

    def __init__(self, kernel: Kernel, listener: int, serving: Any) -> None:
        """`serving`: the struct serving of its dispatcher, for whose buffers it has names."""
        self.kernel = kernel
        self.listener = listener
        """-1: there is none, the caller is in a tracer's stop (sentry/tracer.py)."""
        self.id = 0
        self.tid = 0
        """Thread id in the sentry's pid namespace."""
        self.nr = 0
        self.args: Sequence[int] = serving.call.args
        """The six argument registers, unsigned 64-bit."""
        self.opened = ffi.addressof(serving, "opened")
        """Type, owner and device of the object that the last lookup found."""
        self.path = serving.path
        """Buffer for the path that was read last."""
        self.tried = lib.NOT_TRIED
        """What the open of this call has given already, if anything: see open_pointer()."""
        self._creds: Credentials | None = None
        self._acting: Credentials | None = None

    def begin(self, ident: int, tid: int, nr: int, tried: int) -> None:
        """The dispatcher has received another call; `args` is its view of the registers."""
        self.id = ident
        self.tid = tid
        self.nr = nr
        self.tried = tried
        self._creds = None

    # ---- memory ----

    def read_cstr(self, addr: int, limit: int = PATH_MAX) -> bytes:
        """The string at `addr`, at most `limit` (4096) bytes with its NUL. Raises EFAULT, ENAMETOOLONG."""
        length = lib.read_cstr(self.tid, addr, self.path, limit)
        if length < 0:
            raise OSError(-length, "guest string")
        return bytes(ffi.buffer(self.path, length))

    def read(self, addr: int, size: int) -> bytes:
        """Exactly `size` bytes at `addr`. Raises EFAULT. The caller bounds `size`."""
        if size == 0:
            return b""
        buffer = ffi.new("char[]", size)
        if lib.read_mem(self.tid, addr, buffer, size) != size:
            raise OSError(errno.EFAULT, "guest memory")
        return bytes(ffi.buffer(buffer, size))

    def write(self, addr: int, data: bytes) -> None:
        """Write `data` at `addr`. Raises EFAULT; ESRCH when the caller is gone, for its thread id may be somebody else's by now."""
        self.check()
        if data and lib.write_mem(self.tid, addr, data, len(data)) != len(data):
            raise OSError(errno.EFAULT, "guest memory")

    # ---- identity ----

    @property
    def creds(self) -> Credentials:
        """The caller's credentials and umask, as the kernel has them now."""
        found = self._creds
        if found is None:
            found = self._creds = self.kernel.credentials.of(self.tid)
        return found

    @property
    def ids(self) -> Ids:
        """The process that the caller belongs to."""
        return self.kernel.credentials.ids(self.tid)

    def assume(self) -> None:
        """Give this thread the caller's file system identity, so that the kernel checks permissions as for the caller."""
        creds = self._creds = self._creds or self.kernel.credentials.of(self.tid)
        if creds is not self._acting:
            self._acting = None
            self.kernel.credentials.assume(creds)
            self._acting = creds

    def acts_for_everybody(self) -> bool:
        """Whether this thread has the identity that all tasks of the container share at present."""
        return self._acting is not None and self._acting is self.kernel.credentials.uniform

    def forget_acting(self) -> None:
        """This thread has taken another identity than `assume` gave it."""
        self._acting = None

    def ptrace_rights(self, ns_pid: int) -> PtraceRights:
        """`with task.ptrace_rights(pid):` act without the sentry's own CAP_SYS_PTRACE, unless it is about the caller itself."""
        return PtraceRights(self, ns_pid)

    def own_rights(self) -> OwnRights:
        """`with task.own_rights():` act with the sentry's rights, for what the kernel lets the caller do and not us in its place."""
        return OwnRights(self)

    # ---- objects ----

    def cwd(self) -> int:
        """O_PATH descriptor of the caller's working directory; the handler closes it."""
        fd = lib.proc_open(self.kernel.procfd, self.tid, b"cwd", O_PATH | O_DIRECTORY)
        if fd < 0:
            raise OSError(-fd, "cwd")
        return fd

    def root(self) -> int:
        """O_PATH descriptor of the caller's root directory; the handler closes it."""
        fd = lib.proc_open(self.kernel.procfd, self.tid, b"root", O_PATH | O_DIRECTORY)
        if fd < 0:
            raise OSError(-fd, "root")
        return fd

    def get_fd(self, fd: int) -> int:
        """A duplicate of the caller's descriptor `fd`, the same open file description; the handler closes it. pidfd_getfd(2).

        Raises EBADF; ENOSYS before Linux 6.9 where a thread has another table of descriptors than its process's first one.
        """
        if fd < 0:
            raise OSError(errno.EBADF, "fd")
        copy = lib.get_fd(self.tid, fd)
        if copy == -errno.EINVAL:
            copy = lib.get_fd_of_leader(self.tid, self.ids.tgid, fd)
        if copy < 0:
            raise OSError(-copy, "fd")
        return copy

    def same(self, fd: int, also: int = -1) -> Iterator[int]:
        """Duplicates of the caller's descriptors, of number `also` and the lowest ones, by which it has the same object as `fd` open.

        Each is the open file description that the caller has there (none of O_PATH, which is no access), and is whoever asked's to close.
        """
        wanted = os.fstat(fd)
        for number in (also, *range(_LOWEST)):
            try:
                copy = self.get_fd(number)
            except OSError:
                continue
            if os.path.samestat(os.fstat(copy), wanted) and not fcntl(copy, F_GETFL) & O_PATH:
                yield copy
            else:
                os.close(copy)

    def path_fd(self, fd: int) -> int:
        """O_PATH descriptor of what the caller's descriptor `fd` denotes; the handler closes it. Raises EBADF."""
        if fd < 0:
            raise OSError(errno.EBADF, "dirfd")
        copy = lib.proc_open(self.kernel.procfd, self.tid, b"fd/%d" % fd, O_PATH)
        if copy == -errno.ENOENT:
            raise OSError(errno.EBADF, "dirfd")
        if copy == -errno.EACCES:  # the caller is not dumpable: its /proc/TID/fd belongs to root
            return self.get_fd(fd)
        if copy < 0:
            raise OSError(-copy, "dirfd")
        return copy

    # ---- the reply ----

    def check(self) -> None:
        """Raise ESRCH unless the caller still waits: once it was killed, what we read may have been another task's.

        To be called after the last read of the caller's memory or /proc and before anything is done for it.
        """
        if lib.notif_valid(self.listener, self.id) < 0:
            raise OSError(errno.ESRCH, "the caller is gone")

    def meanwhile(self) -> None:
        """Called now and then while this thread waits for another one of ours: what that one may be waiting for in its turn."""

    def hold(self) -> HeldReply:
        """Detach the reply from this call; the handler then returns HELD and answers from another thread."""
        if self.kernel.watch is not None:
            self.kernel.watch.held(self)
        return HeldReply(self.listener, self.id, self.tid, self.kernel)


class PtraceRights:
    """Within: the kernel's ptrace access checks (ptrace(2)) see the caller's rights and not ours."""

    __slots__ = ("_foreign", "_task")

    def __init__(self, task: Task, ns_pid: int) -> None:
        self._task = task
        ids = task.ids
        self._foreign = ns_pid not in (0, ids.ns_tgid, ids.ns_tid)

    def __enter__(self) -> None:
        if self._foreign:
            self._task.forget_acting()
            self._task.kernel.credentials.assume(self._task.creds, ptrace=False)

    def __exit__(self, *_: object) -> None:
        if self._foreign:
            self._task.assume()


class OwnRights:
    """Within: this thread is root of the container. It may look things up, and open nothing that the caller gets."""

    __slots__ = ("_task",)

    def __init__(self, task: Task) -> None:
        self._task = task

    def __enter__(self) -> None:
        self._task.forget_acting()
        self._task.kernel.credentials.resume_own()

    def __exit__(self, *_: object) -> None:
        self._task.assume()


class HeldReply:
    """A reply that is still owed. Exactly one of `send`, `fail` and `inject` ends it."""

    __slots__ = ("id", "kernel", "listener", "tid")

    def __init__(self, listener: int, ident: int, tid: int, kernel: Kernel) -> None:
        self.listener = listener
        self.id = ident
        self.tid = tid
        self.kernel = kernel

    def waiting(self) -> bool:
        """Whether the caller is still there."""
        return lib.notif_valid(self.listener, self.id) == 0

    def signalled(self) -> bool:
        """Whether a signal that the caller does not block is pending for it."""
        return self.kernel.credentials.signalled(self.tid)

    def send(self, value: int) -> None:
        lib.notif_send(self.listener, self.id, value, 0, 0)
        self._tell(value)

    def fail(self, error: int) -> None:
        """Answer errno `error`; ERESTARTSYS makes the kernel restart the call or return EINTR, by SA_RESTART."""
        lib.notif_send(self.listener, self.id, 0, -error, 0)
        self._tell(-error)

    def inject(self, fd: int, cloexec: bool) -> int:
        """Answer with descriptor `fd`, which is closed before the caller goes on. Returns the number in the caller or -errno."""
        number = lib.notif_addfd(self.listener, self.id, self.tid, fd, cloexec)
        if number >= 0:
            self._tell(number)
        return number

    def _tell(self, result: int) -> None:
        if self.kernel.watch is not None:
            self.kernel.watch.resumed(self.listener, self.id, result)
