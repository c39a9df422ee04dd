"""bind and connect, for the network modes `none` and `host`, in which sockets are the host kernel's.

Man pages: bind(2), connect(2), ip(7), ipv6(7), unix(7), netlink(7). Linux: net/socket.c.

AF_INET, AF_INET6: the address is read once, then the kernel acts on a duplicate of the caller's socket, as the caller, so the
address that was looked at is the one that is used. A connect that may wait is a held reply (`sentry.holds`).

AF_UNIX, AF_NETLINK: CONTINUE. The kernel notes who connects (SO_PEERCRED, SCM_CREDENTIALS), which name was bound
(getsockname(2)) and whose port id it is: were we to make these calls, servers would take every client for the
sentry, that is for root. It is harmless, since paths are those of the caller's own view and abstract names and
netlink those of its network namespace; a racing thread reaches nothing else by writing to the address, or by putting
another socket under the descriptor: in these two modes no address is refused by us, only by the kernel.

socket, socketpair: AF_UNIX in network mode `shared`, see `sentry.unix_sockets`: pairs too, for a datagram
socket of one can send to any name, and any can be bound to one. Of a pair SO_PEERCRED names the sentry, root without a process id.

Left out: other address families, which socket(2) refuses too: EAFNOSUPPORT.
"""

from __future__ import annotations

import errno
import os
import struct
from _socket import AF_INET, AF_INET6, AF_NETLINK, AF_UNIX, SOCK_CLOEXEC, SOCK_STREAM, SOL_SOCKET, inet_ntop
from os import close

from sentry.platform._native import lib
from sentry.syscalls.raw import value
from sentry.syscalls.registry import Int, Ptr, syscall
from sentry.task import CONTINUE, Fd, Fds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sentry.kernel import Kernel
    from sentry.task import HeldReply, Task

_SOCKADDR_STORAGE = 128
_SO_TYPE = 3
_SO_DOMAIN = 39
_sockaddr_in = struct.Struct("!2xH4s")
_sockaddr_in6 = struct.Struct("!2xH4x16s")


@syscall("socket")
def socket(task: Task, domain: Int, kind: Int, protocol: Int) -> object:
    """socket(2). Linux: __sys_socket()."""
    unix = task.kernel.unix
    assert unix is not None, domain
    return Fd(value(unix.socket(task.creds, kind, protocol)), bool(kind & SOCK_CLOEXEC))


@syscall("socketpair")
def socketpair(task: Task, domain: Int, kind: Int, protocol: Int, pair: Ptr) -> object:
    """socketpair(2). Linux: __sys_socketpair(). Left out: if the table has room for one alone, that one stays there."""
    unix = task.kernel.unix
    assert unix is not None, domain
    task.write(pair, bytes(8))  # EFAULT, before anything exists
    both = unix.pair(task.creds, kind, protocol)
    return Fds(both, bool(kind & SOCK_CLOEXEC), pair)


@syscall("bind")
def bind(task: Task, fd: Int, addr: Ptr, length: Int) -> object:
    """bind(2). Linux: __sys_bind()."""
    sock = task.get_fd(fd)
    try:
        if not _is_inet(task, sock, "bind"):
            return CONTINUE
        sockaddr = _read_address(task, addr, length)
        task.assume()
        task.check()
        return value(lib.bind_(sock, sockaddr, len(sockaddr)))
    finally:
        close(sock)


@syscall("connect")
def connect(task: Task, fd: Int, addr: Ptr, length: Int) -> object:
    """connect(2). Linux: __sys_connect()."""
    sock = task.get_fd(fd)
    held = False
    try:
        if lib.sock_option(sock, SOL_SOCKET, _SO_DOMAIN) == -errno.ENOTSOCK:
            _read_address(task, addr, length)  # its errors come first here, unlike in bind(2)
        if not _is_inet(task, sock, "connect"):
            return CONTINUE
        sockaddr = _read_address(task, addr, length)
        task.assume()
        task.check()
        # O_NONBLOCK belongs to the open file description, which the caller's other threads see: it stays as it is
        if os.get_blocking(sock) and lib.sock_option(sock, SOL_SOCKET, _SO_TYPE) == SOCK_STREAM:
            held = True
            return _hold_connect(task, sock, sockaddr)
        result = lib.connect_(sock, sockaddr, len(sockaddr))
        _note(task.kernel, sockaddr, result)
        return value(result)
    finally:
        if not held:
            close(sock)


def _hold_connect(task: Task, sock: int, sockaddr: bytes) -> object:
    """Connect on a waiting thread, which closes `sock`."""
    kernel = task.kernel

    def deliver(reply: HeldReply, result: int, sock: int) -> None:
        close(sock)
        _note(kernel, sockaddr, result)
        if result < 0:
            reply.fail(-result)
        else:
            reply.send(result)

    return kernel.holds.blocking(task, lambda: lib.connect_(sock, sockaddr, len(sockaddr)), deliver, sock)


def _is_inet(task: Task, sock: int, what: str) -> bool:
    """Whether the call is ours to make. The socket decides, not sa_family. Raises ENOTSOCK, EBADF (O_PATH), EAFNOSUPPORT."""
    domain = value(lib.sock_option(sock, SOL_SOCKET, _SO_DOMAIN))
    if domain in (AF_INET, AF_INET6):
        return True
    if domain in (AF_UNIX, AF_NETLINK):
        return False
    task.kernel.denied(what, f"address family {domain}")
    raise OSError(errno.EAFNOSUPPORT, "socket")


def _read_address(task: Task, addr: int, length: int) -> bytes:
    """move_addr_to_kernel()."""
    if not 0 <= length <= _SOCKADDR_STORAGE:
        raise OSError(errno.EINVAL, "address length")
    return task.read(addr, length)


def _note(kernel: Kernel, sockaddr: bytes, result: int) -> None:
    """Network mode `none` is a network namespace without a route: whoever tries to leave it should be told why it fails."""
    if result == -errno.ENETUNREACH and kernel.network == "none":
        kernel.denied("connect", _describe(sockaddr))


def _describe(sockaddr: bytes) -> str:
    family = int.from_bytes(sockaddr[:2], "little")
    if family == AF_INET and len(sockaddr) >= _sockaddr_in.size:
        port, host = _sockaddr_in.unpack_from(sockaddr)
        return f"{inet_ntop(AF_INET, host)}:{port}"
    if family == AF_INET6 and len(sockaddr) >= _sockaddr_in6.size:
        port, host = _sockaddr_in6.unpack_from(sockaddr)
        return f"[{inet_ntop(AF_INET6, host)}]:{port}"
    return f"address family {family}"
