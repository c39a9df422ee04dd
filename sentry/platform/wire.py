"""Messages with descriptors between our own processes: SOCK_SEQPACKET, JSON, SCM_RIGHTS.

Used by gofer, sentry and command line alike. `_socket` is the C half of the socket module: the Python half imports selectors and
enum, 6 ms of start-up for names that are not used here.
"""

from __future__ import annotations

import os
from _socket import AF_UNIX, CMSG_SPACE, MSG_CMSG_CLOEXEC, SCM_RIGHTS, SOCK_CLOEXEC, SOCK_SEQPACKET, SOL_SOCKET, socketpair
from _socket import socket as Socket
from struct import pack, unpack

from sentry.platform.jsontext import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

MAX_MESSAGE = 1 << 17
MAX_FDS = 64


class Closed(Exception):
    """The other end is gone."""


def pair() -> tuple[Socket, Socket]:
    """Two connected sockets, close-on-exec."""
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC)


def listener() -> Socket:
    """A socket to bind and listen on."""
    return Socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC)


def send_fds(sock: Socket, data: bytes, fds: Sequence[int] = ()) -> None:
    """One message: `data` and duplicates of `fds`. Raises Closed."""
    rights = [(SOL_SOCKET, SCM_RIGHTS, pack(f"{len(fds)}i", *fds))] if fds else []
    try:
        sock.sendmsg([data], rights)
    except (BrokenPipeError, ConnectionResetError):
        raise Closed from None


def recv_fds(sock: Socket) -> tuple[bytes, list[int]]:
    """One message and the descriptors that came with it, which are the caller's to close. Raises Closed."""
    try:
        data, control, _flags, _address = sock.recvmsg(MAX_MESSAGE, CMSG_SPACE(MAX_FDS * 4), MSG_CMSG_CLOEXEC)
    except ConnectionResetError:
        raise Closed from None
    fds: list[int] = []
    for level, kind, raw in control:
        if level == SOL_SOCKET and kind == SCM_RIGHTS:
            fds += unpack(f"{len(raw) // 4}i", raw[: len(raw) // 4 * 4])
    if not data:
        for fd in fds:
            os.close(fd)
        raise Closed
    return data, fds


def send(sock: Socket, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
    """One JSON object with descriptors."""
    send_fds(sock, dumps(message).encode(), fds)


def recv(sock: Socket) -> tuple[dict[str, Any], list[int]]:
    """One JSON object and its descriptors. Raises Closed, ValueError."""
    data, fds = recv_fds(sock)
    message = loads(data.decode())
    if not isinstance(message, dict):
        raise ValueError("not an object")
    return message, fds


__all__ = ["listener", "Closed", "Socket", "pair", "recv", "recv_fds", "send", "send_fds"]
