"""Descriptors into a tracee's table: what SECCOMP_IOCTL_NOTIF_ADDFD does for a notified caller, done by the caller itself.

At the begin of its call the tracee is made to execute others in its place, one after the other from the same instruction, and gets
the result that its own call would have had:

    mmap            once in an address space: a page for what the kernel reads and writes here
    socketpair      the two lowest free numbers, low and high; both close on exec
                    we take `low` (pidfd_getfd(2)), and
    close low       have it for ourselves now: send the descriptor
    recvmsg high    it gets the lowest free number, as that of open(2) does
    close high
    ioctl           TIOCSCTTY, if it is a terminal whose open makes it the controlling one

All its signals are blocked meanwhile, but those that cannot be: they are delivered when it has its own mask back. A stop of its thread
group (SIGSTOP) is carried out then, too.

What others see. Threads and processes that share memory or descriptors with the caller can see the page and both sockets, close them,
or write to the page. They reach nothing that way that the caller does not get: the message holds the one descriptor
that is its own in a moment, is sent when the call has been decided, and the socket carries no other. What the page says is believed in two
places: the numbers of the sockets, of which ours must be a UNIX socket of the caller's table, and the number that the caller is told. Who
writes there deceives itself. And who changes the instruction that the caller goes back to makes it run code of its own: a call there that
would come to us is not made, unless it is the very one that we have asked for (sentry/tracer.py).

A page is found again by a random mark in it: where the workload has unmapped it, or mapped something else, the mark is not there and
another page is made.
"""

from __future__ import annotations

import errno
import os
import struct

from sentry.platform._native import ffi, lib
from sentry.platform.ptrace import ALL_SIGNALS, MASK64, Registers, signal_mask

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from typing import TypeAlias

    from sentry.platform.ptrace import Asked

    Steps: TypeAlias = Generator[Asked, int, list[int]]
    """Each step lets the tracee go on until a call of its is over, which it yields, and is sent the result; returns the numbers."""

_CLOSE, _MMAP, _IOCTL, _RECVMSG, _SOCKETPAIR = 3, 9, 16, 47, 53
_TIOCSCTTY = 0x540E
_AF_UNIX, _SOCK_STREAM, _SOCK_CLOEXEC = 1, 1, 0o2000000
_MSG_DONTWAIT, _MSG_CMSG_CLOEXEC = 0x40, 0x40000000
_READ_WRITE, _PRIVATE_ANONYMOUS = 3, 0x22
_PAGE = 4096
_MARK = 16
_NUMBERS, _BYTE, _IOV, _MSG, _CONTROL = 16, 24, 32, 48, 104
_CONTROL_SPACE = 24
_head = struct.Struct("<QQQQQIxxxxQQQQIxxxx")  # two ints and a byte, struct iovec, struct msghdr
_cmsghdr = struct.Struct("<QIIi")


class Pages:
    """The pages of one address space: those that no thread of it is using now."""

    __slots__ = ("free", "mark")

    def __init__(self, mark: bytes, free: Sequence[int] = ()) -> None:
        """`mark`: of the container, random."""
        self.mark = mark
        self.free = list(free)

    def copy(self) -> Pages:
        """Of a process that fork(2) makes."""
        return Pages(self.mark, self.free)

    def take(self, tid: int) -> int:
        """The address of a page that is still there, or 0."""
        found = ffi.new("char[]", _MARK)
        while self.free:
            page = self.free.pop()
            if lib.read_mem(tid, page, found, _MARK) == _MARK and bytes(ffi.buffer(found, _MARK)) == self.mark:
                return page
        return 0


class _Caller:
    """A tracee that stands at the begin of its call, then at the end of one that we have made of it."""

    __slots__ = ("_begun", "registers", "tid")

    def __init__(self, tid: int) -> None:
        self.tid = tid
        self.registers = Registers(tid)
        self._begun = False

    def call(self, number: int, *args: int) -> Generator[Asked, int, int]:
        """Have it make this call. Raises the call's error, and ESRCH."""
        asked = (self.registers.again if self._begun else self.registers.instead)(number, *args)
        self._begun = True
        result = yield asked
        if result < 0:
            raise OSError(-result, "injected call")
        return result

    def read(self, address: int, size: int) -> bytes:
        buffer = ffi.new("char[]", size)
        if lib.read_mem(self.tid, address, buffer, size) != size:
            raise OSError(errno.EFAULT, "injected call")
        return bytes(ffi.buffer(buffer, size))

    def write(self, address: int, data: bytes) -> None:
        if lib.write_mem(self.tid, address, data, len(data)) != len(data):
            raise OSError(errno.EFAULT, "injected call")


def put(
    tid: int, fds: Sequence[int], cloexec: bool, pages: Pages, leader: Callable[[int], int], address: int = 0, controls: bool = False
) -> Steps:
    """Steps that put `fds`, which are closed, into the table of tracee `tid`, which has been stopped at the begin of a call.

    Its call then returns the number of the only one; with `address` the numbers are written there and it returns 0. On an error, as
    EMFILE, it returns that, and a negative errno is the only number. `leader`: the process of a thread. `controls`: the one is a terminal that
    becomes the controlling one, unless the kernel says no to that. Raises ESRCH.
    """
    left = list(fds)
    numbers: list[int] = []
    try:
        caller = _Caller(tid)
        mask = signal_mask(tid, ALL_SIGNALS)
        page = 0
        try:
            page = pages.take(tid)
            if not page:
                page = yield from caller.call(_MMAP, 0, _PAGE, _READ_WRITE, _PRIVATE_ANONYMOUS, MASK64, 0)
            while left:
                numbers.append((yield from _receive(caller, page, pages.mark, left, cloexec, leader)))
            if address:
                caller.write(address, struct.pack(f"<{len(numbers)}i", *numbers))
            if controls:
                yield from _control(caller, numbers[0])
        except OSError as e:
            if e.errno == errno.ESRCH:
                raise
            numbers = [-(e.errno or errno.EIO)]
        finally:
            if page:
                pages.free.append(page)
        caller.registers.finish(0 if address and numbers[0] >= 0 else numbers[0])
        signal_mask(tid, mask)
    finally:
        for fd in left:
            os.close(fd)
    return numbers


def _control(caller: _Caller, number: int) -> Generator[Asked, int, None]:
    """The terminal becomes the controlling one of the caller, or not, and its open succeeds either way.

    The kernel asks for what it asks of an open: a session leader that has none, and a terminal that is no other session's.
    ioctl_tty(2), drivers/tty/tty_jobctrl.c:tiocsctty().
    """
    try:
        yield from caller.call(_IOCTL, number, _TIOCSCTTY, 0)
    except OSError as e:
        if e.errno == errno.ESRCH:
            raise


def _receive(
    caller: _Caller, page: int, mark: bytes, left: list[int], cloexec: bool, leader: Callable[[int], int]
) -> Generator[Asked, int, int]:
    """The first of `left`, which is taken from it and closed; returns its number in the caller."""
    head = _head.pack(0, 0, page + _BYTE, 1, 0, 0, page + _IOV, 1, page + _CONTROL, _CONTROL_SPACE, 0)
    caller.write(page, mark + head + bytes(_CONTROL_SPACE))
    yield from caller.call(_SOCKETPAIR, _AF_UNIX, _SOCK_STREAM | _SOCK_CLOEXEC, 0, page + _NUMBERS)
    low, high = struct.unpack("<II", caller.read(page + _NUMBERS, 8))
    try:
        ours = lib.get_fd(caller.tid, low)
        if ours == -errno.EINVAL:
            ours = lib.get_fd_of_leader(caller.tid, leader(caller.tid), low)
        yield from caller.call(_CLOSE, low)
        _send(ours, left)
        flags = _MSG_DONTWAIT | (_MSG_CMSG_CLOEXEC if cloexec else 0)
        yield from caller.call(_RECVMSG, high, page + _MSG, flags)
    except OSError:
        yield from caller.call(_CLOSE, high)
        raise
    length, _level, _type, number = _cmsghdr.unpack(caller.read(page + _CONTROL, _cmsghdr.size))
    yield from caller.call(_CLOSE, high)
    if length != _cmsghdr.size:
        raise OSError(errno.EMFILE, "no descriptor came")
    return int(number)


def _send(ours: int, left: list[int]) -> None:
    """The first of `left` goes over the socket `ours`, and both are closed. Raises OSError."""
    if ours < 0:
        raise OSError(-ours, "socket of the caller")
    error = lib.pass_fd(ours, left[0])
    os.close(ours)
    if error < 0:
        raise OSError(-error, "socket of the caller")
    os.close(left.pop(0))
