"""open, openat, openat2, creat: from a name to a descriptor.

Man pages: open(2), openat2(2), fifo(7), tty(4). The kernel opens, as the caller, on the sentry's side of the same mount tree;
the descriptor is then put into the caller's table, so everything that follows (read, mmap, flock…) is native.

O_PATH: a descriptor opened so cannot be put into another's table (the kernel's fget() refuses it), so the call is the kernel's. The filter
lets it pass, and where all opens are sent here (`sentry.syscalls.notified`) it is continued. Its flags are in a register, so whatever a
racing thread makes of the name, the caller gets a place in its own view and no access; when it is opened through /proc/self/fd it
comes here. openat2(2) has its flags in memory, where O_PATH may have become O_RDWR when the kernel reads them: ENOSYS with O_PATH,
callers fall back.

Descriptors that the container was given from outside (stdio above all) may denote objects that belong to no id of its user namespace, a
pipe or file of the host's root. `/dev/stderr` and its like would then fail, for nobody behind the wall may open them, so who holds such an
object already gets a duplicate of what it holds: with the offset and status flags of the original, and without O_TRUNC. Where the
original's reads wait, and O_NONBLOCK asks that they do not, the duplicate would be a trap: EACCES, which is the kernel's answer. (Writes wait for
whoever reads outside, as those of the original do.) What the container may open again by itself, as an ordinary user's own files and pipes, is a
new description with the flags that were asked for, and for no more than what it was given for: namei.py, check_held().

Left out on the platform notify: opening a terminal never makes it the controlling terminal (as with O_NOCTTY; TIOCSCTTY does). It would
become that of the process which opens it, drivers/tty/tty_io.c:tty_open_proc_set_tty(), and continued the call would read its path again.
On ptrace the caller itself makes the TIOCSCTTY, on the descriptor that it has got (`sentry.injection`).
"""

from __future__ import annotations

import errno
import os
from fcntl import F_GETFL, fcntl
from select import POLLIN, poll
from stat import S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFMT, S_IFREG

from sentry.abi import (
    AT_FDCWD,
    CAP_DAC_OVERRIDE,
    O_ACCMODE,
    O_CLOEXEC,
    O_CREAT,
    O_DIRECTORY,
    O_LARGEFILE,
    O_NOCTTY,
    O_NOFOLLOW,
    O_NONBLOCK,
    O_PATH,
    O_TMPFILE,
    O_TRUNC,
    O_VALID,
    RESOLVE_ALL,
    RESOLVE_CACHED,
    RESOLVE_IN_ROOT,
    RESOLVE_NO_SYMLINKS,
)
from sentry.devices import READ, WRITE, allows
from sentry.kernel import MAX_DENIALS
from sentry.platform._native import ffi, lib
from sentry.syscalls.raw import value
from sentry.syscalls.registry import Dirfd, Flags, Mode, Ptr, Size, syscall
from sentry.task import CONTINUE, Fd
from sentry.vfs.resolve import lookup, open_at, open_pointer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sentry.task import HeldReply, Task

_PATH_FLAGS = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC
_TMPFILE = O_TMPFILE & ~O_DIRECTORY
_CREATING = O_CREAT | _TMPFILE
_TERMINAL_FLAGS = O_ACCMODE | O_NONBLOCK | O_CLOEXEC
_DEV_TTY = os.makedev(5, 0)
_PTS_MAJORS = range(136, 144)
_HOW_SIZE = 24
OVERFLOW_UID = 65534
"""Whose files are that belong to no id of the user namespace: proc_sys_kernel(5), overflowuid."""


@syscall("openat")
def openat(task: Task, dirfd: Dirfd, path: Ptr, flags: Flags, mode: Mode) -> object:
    """openat(2). Linux: fs/open.c:do_sys_open(), which ignores unknown flags."""
    return _openat(task, dirfd, path, flags & O_VALID, mode)


@syscall("open")
def open_(task: Task, path: Ptr, flags: Flags, mode: Mode) -> object:
    """open(2)."""
    return _openat(task, AT_FDCWD, path, flags & O_VALID, mode)


@syscall("creat")
def creat(task: Task, path: Ptr, mode: Mode) -> object:
    """creat(2)."""
    return _openat(task, AT_FDCWD, path, os.O_WRONLY | O_CREAT | O_TRUNC, mode)


@syscall("openat2")
def openat2(task: Task, dirfd: Dirfd, path: Ptr, how: Ptr, size: Size) -> object:
    """openat2(2). Linux: fs/open.c:build_open_flags() refuses what it does not know."""
    if size < _HOW_SIZE:
        raise OSError(errno.EINVAL, "open_how")
    if size > 4096:
        raise OSError(errno.E2BIG, "open_how")
    raw = task.read(how, size)
    if any(raw[_HOW_SIZE:]):
        raise OSError(errno.E2BIG, "open_how")
    flags, mode, resolve = (int.from_bytes(raw[i : i + 8], "little") for i in (0, 8, 16))
    if flags & ~O_VALID or resolve & ~RESOLVE_ALL or mode & ~0o7777 or (mode and not flags & _CREATING):
        raise OSError(errno.EINVAL, "open_how")
    if flags & O_PATH:
        raise OSError(errno.EINVAL if flags & ~_PATH_FLAGS else errno.ENOSYS, "open_how")
    _check_flags(flags, mode, resolve)
    if resolve & RESOLVE_CACHED:
        raise OSError(errno.EAGAIN, "RESOLVE_CACHED")
    return _openat(task, dirfd, path, flags, mode, resolve)


def _check_flags(flags: int, mode: int, resolve: int) -> None:
    """build_open_flags(), which comes before the path is read and is the kernel's: an empty path is the next error. Raises EINVAL."""
    error = lib.openat2_raw(AT_FDCWD, b"", flags, mode, resolve)
    if error != -errno.ENOENT:
        value(error)


def _openat(task: Task, dirfd: int, path: int, flags: int, mode: int, resolve: int = 0) -> object:
    """`path` is the address: it is read once, into `task.path`."""
    if flags & O_PATH:
        return CONTINUE
    cloexec = flags & O_CLOEXEC
    may_control = not flags & O_NOCTTY
    flags |= O_LARGEFILE | O_NOCTTY
    mode = mode & 0o7777 if flags & _CREATING else 0
    if flags & _TMPFILE or (flags & O_CREAT and flags & O_DIRECTORY):
        _check_flags(flags, mode, resolve)
    holds = task.kernel.holds
    if holds.held[0]:
        holds.end_dead(task)
    try:
        if resolve:
            name = task.read_cstr(path)
            if flags & (O_CREAT | O_TRUNC):
                value(lib.descriptor_left(task.kernel.procfd, task.tid))
            fd = open_at(task, dirfd, name, flags, mode, resolve)
        else:
            fd = open_pointer(task, dirfd, path, flags, mode)
    except OSError as e:
        if e.errno in (errno.ENXIO, errno.EAGAIN):
            return _open_later(task, dirfd, ffi.string(task.path), flags, resolve, e.errno)
        if e.errno == errno.EACCES and not resolve and (held := _held_already(task, dirfd, ffi.string(task.path), flags)):
            return held
        if e.errno == errno.EACCES and flags & _TMPFILE and _root_on_procfs(task, dirfd, ffi.string(task.path), resolve):
            raise OSError(errno.EOPNOTSUPP, "O_TMPFILE") from None
        if e.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            task.kernel.denied("open", f"{os.fsdecode(ffi.string(task.path))} ({'write' if flags & O_ACCMODE else 'read'})")
        elif e.errno == errno.ENOENT and (missing := task.kernel.missing) is not None and len(missing) < MAX_DENIALS:
            name = ffi.string(task.path)
            if name[:1] == b"/":
                missing.add(name)
        raise
    kind = S_IFMT(task.opened.mode)
    if kind in (S_IFREG, S_IFDIR):
        return Fd(fd, bool(cloexec))
    return _open_special(task, fd, kind, flags, may_control)


def _open_special(task: Task, fd: int, kind: int, flags: int, may_control: bool = False) -> object:
    """`fd` was opened with O_NONBLOCK: give it the caller's mode, or wait as the caller has asked to. `may_control`: without O_NOCTTY."""
    cloexec = bool(flags & O_CLOEXEC)
    if kind == S_IFIFO and not flags & (O_NONBLOCK | O_ACCMODE):
        return _hold_reader(task, fd, flags)
    if kind in (S_IFCHR, S_IFBLK):
        _check_device(task, fd, "c" if kind == S_IFCHR else "b", flags)
    if not flags & O_NONBLOCK:
        os.set_blocking(fd, True)
    # slaves of pseudoterminals are all the terminals that a container has; drivers/tty/tty_io.c:tty_open_proc_set_tty()
    terminal = kind == S_IFCHR and os.major(task.opened.rdev) in _PTS_MAJORS
    return Fd(fd, cloexec, terminal and may_control and flags & O_ACCMODE != os.O_WRONLY)


def _check_device(task: Task, fd: int, kind: str, flags: int) -> None:
    """The device rules of the container. Raises EPERM, as the devices cgroup would, having closed `fd`.

    The second wall: what an image brings cannot be opened at all, since its mounts are nodev.
    """
    access = (READ, WRITE, READ | WRITE, READ | WRITE)[flags & O_ACCMODE]
    major, minor = os.major(task.opened.rdev), os.minor(task.opened.rdev)
    if not allows(task.kernel.devices, kind, major, minor, access):
        os.close(fd)
        task.kernel.denied("open", f"{'character' if kind == 'c' else 'block'} device {major}:{minor}")
        raise OSError(errno.EPERM, "device")


def _open_later(task: Task, dirfd: int, path: bytes, flags: int, resolve: int, error: int) -> object:
    """An open that would have waited: ENXIO is a FIFO without a reader, EAGAIN a file that somebody has a lease on (fcntl(2)).

    ENXIO also says that we have no /dev/tty, but the caller may. Everything else is the caller's error.

    The name is looked up once more, and what it leads to by now, of a descriptor or directory that another thread changes say, has been
    judged as something that is to be looked at. So it has to be what needs no other judgement to be opened.
    """
    fd = open_at(task, dirfd, path, O_PATH | flags & O_NOFOLLOW, 0, resolve)
    kind = S_IFMT(task.opened.mode)
    found = kind == S_IFIFO if error == errno.ENXIO else kind == S_IFREG and not _is_judged(task, fd)
    if found and not flags & O_NONBLOCK:
        return _hold_open(task, fd, flags)
    os.close(fd)
    if error == errno.ENXIO and kind == S_IFCHR and task.opened.rdev == _DEV_TTY:
        return _open_special(task, _controlling_terminal(task, flags), kind, flags)
    raise OSError(error, "open")


def _is_judged(task: Task, fd: int) -> bool:
    """Whether what may become of the regular file `fd` depends on how it is opened: on procfs, or given from outside."""
    proc = task.kernel.proc
    return task.opened.dev in (proc.dev, proc.generated_dev) or task.kernel.is_outside(fd)


def _held_already(task: Task, dirfd: int, path: bytes, flags: int) -> Fd | None:
    """A duplicate of the caller's descriptor for the object that `path` leads to, if nobody of the container owns that."""
    if flags & O_CREAT and flags & os.O_EXCL:
        return None
    try:
        found = lookup(task, dirfd, path, follow=not flags & O_NOFOLLOW)
    except OSError:
        return None
    try:
        if task.opened.uid != OVERFLOW_UID:
            return None
        kind = S_IFMT(task.opened.mode)
        if not kind:  # of fs/anon_inodes.c, an eventfd say: what has no name is not opened again, by whomever
            raise OSError(errno.ENXIO, "no file")
        for held in task.same(found):
            if _serves(fcntl(held, F_GETFL), flags, kind):
                lib.fd_info(held, task.opened)
                return Fd(held, bool(flags & O_CLOEXEC))
            os.close(held)
    finally:
        os.close(found)
    return None


def _root_on_procfs(task: Task, dirfd: int, path: bytes, resolve: int) -> bool:
    """Whether `path` leads to procfs and modes do not bind the caller: the kernel asks for the right to write first, and that directories of
    procfs belong to no id of the user namespace must not make the difference."""
    if not task.creds.cap_eff >> CAP_DAC_OVERRIDE & 1:
        return False
    try:
        os.close(open_at(task, dirfd, path, O_PATH | O_DIRECTORY, 0, resolve))
    except OSError:
        return False
    return bool(task.opened.dev == task.kernel.proc.dev)


def _serves(held: int, flags: int, kind: int) -> bool:
    """Whether a duplicate of what is open with the flags `held` will do for an open with `flags`."""
    asked = flags & O_ACCMODE
    if held & O_ACCMODE not in (os.O_RDWR, asked):
        return False
    return not flags & O_NONBLOCK or bool(held & O_NONBLOCK) or asked == os.O_WRONLY or kind == S_IFREG


def _hold_reader(task: Task, fd: int, flags: int) -> object:
    """Wait for a writer, fifo(7). `fd` is a reader already, opened without waiting, and is what the caller gets.

    It may not be opened anew when a writer comes: one that comes, writes and leaves before that would be missed. poll(2) on `fd`
    shows data, or the hang-up of a writer that has been; one that is there and silent is found by a second, blocking open.
    """
    name = b"%d" % fd

    def came() -> bool:
        watch = poll()  # one for each call: two threads ask, and a poll object is for one at a time
        watch.register(fd, POLLIN)
        return bool(watch.poll(0))

    def wait() -> int:
        if came():
            return 0
        second = lib.openat2_raw(AT_FDCWD, name, os.O_RDONLY, 0, 0)
        if second < 0:
            return int(second)
        os.close(second)
        return 0

    def deliver(reply: HeldReply, result: int, fd: int) -> None:
        if result < 0:
            os.close(fd)
            reply.fail(-result)
            return
        os.set_blocking(fd, True)
        error = reply.inject(fd, bool(flags & O_CLOEXEC))
        if error < 0:
            reply.fail(-error)

    return task.kernel.holds.blocking(task, wait, deliver, fd, ready=came)


def _hold_open(task: Task, fd: int, flags: int) -> object:
    """Open the object behind `fd` again, blocking, on a waiting thread."""
    name = b"%d" % fd
    flags &= ~(O_CREAT | O_NOFOLLOW | os.O_EXCL)

    def deliver(reply: HeldReply, result: int, fd: int) -> None:
        os.close(fd)
        if result < 0:
            reply.fail(-result)
            return
        error = reply.inject(result, bool(flags & O_CLOEXEC))
        if error < 0:
            reply.fail(-error)

    return task.kernel.holds.blocking(task, lambda: lib.openat2_raw(AT_FDCWD, name, flags, 0, 0), deliver, fd)


def _controlling_terminal(task: Task, flags: int) -> int:
    """/dev/tty is the opener's: find the caller's, /proc/TID/stat field 7, among the container's pseudoterminals.

    Whoever has it may open it, whatever the mode of /dev/pts/N, so we open with our own rights. Raises ENXIO when the caller has none
    or when it is not one of the container's. tty(4), proc_pid_stat(5); drivers/tty/tty_io.c:tty_open_current_tty().
    """
    stat = lib.proc_open(task.kernel.procfd, task.tid, b"stat", os.O_RDONLY)
    if stat < 0:
        raise OSError(errno.ENXIO, "/dev/tty")
    try:
        fields = os.read(stat, 4096).rpartition(b")")[2].split()
    finally:
        os.close(stat)
    number = int(fields[4])
    major, minor = number >> 8 & 0xFFF, number & 0xFF | number >> 12 & 0xFFF00
    task.check()
    task.forget_acting()
    task.kernel.credentials.resume_own()
    name = b"dev/pts/%d" % (minor + ((major - 136) << 8))
    fd = lib.openat2_raw(task.kernel.root, name, flags & _TERMINAL_FLAGS | O_NOCTTY | O_NONBLOCK, 0, RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS)
    if fd < 0:
        raise OSError(errno.ENXIO, "/dev/tty")
    lib.fd_info(fd, task.opened)
    if S_IFMT(task.opened.mode) != S_IFCHR or task.opened.rdev != os.makedev(major, minor):
        os.close(fd)
        raise OSError(errno.ENXIO, "/dev/tty")
    return int(fd)
