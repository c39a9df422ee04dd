"""The network interfaces of a container at its start, for `class/net` of the generated /sys: netdevice(7), sysfs(5).

They are asked for in the container's network namespace, which we enter for that moment. Those that a hook makes later are not among them.
"""

from __future__ import annotations

import fcntl
import os
import struct
from _socket import AF_INET, SOCK_DGRAM, if_nameindex
from _socket import socket as Socket

from runsc_cli import directory
from sentry.abi import CLONE_NEWNET
from sentry.platform._native import lib

_SIOCGIFFLAGS, _SIOCGIFMTU, _SIOCGIFHWADDR = 0x8913, 0x8921, 0x8927
_ifreq = struct.Struct("16s24s")
_HEADER_LINES = 2  # of /proc/net/dev


def of(init: int, netns: int) -> list[tuple[str, int, str, int, int, int]]:
    """(name, index, address, MTU, IFF_* flags, ARPHRD_* type) of the interfaces in `netns`, where the process `init` is; none if loopback is all.

    None, too, where we may not enter it: an ordinary user's.
    """
    if directory.read(f"/proc/{init}/net/dev").count("\n") <= _HEADER_LINES + 1:
        return []
    own = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if lib.setns_(netns, CLONE_NEWNET) < 0:
            return []
        try:
            return _all()
        finally:
            if lib.setns_(own, CLONE_NEWNET) < 0:
                raise OSError(1, "return to the host's network namespace")
    finally:
        os.close(own)


def _all() -> list[tuple[str, int, str, int, int, int]]:
    found = []
    sock = Socket(AF_INET, SOCK_DGRAM)
    try:
        for index, name in if_nameindex():
            try:
                flags, mtu, hardware = (_ask(sock, name, request) for request in (_SIOCGIFFLAGS, _SIOCGIFMTU, _SIOCGIFHWADDR))
            except OSError:  # gone meanwhile
                continue
            (kind,) = struct.unpack_from("<H", hardware)
            address = ":".join(f"{byte:02x}" for byte in hardware[2:8])
            found.append((name, index, address, *struct.unpack_from("<i", mtu), *struct.unpack_from("<H", flags), kind))
    finally:
        sock.close()
    return found


def _ask(sock: Socket, name: str, request: int) -> bytes:
    """The union of struct ifreq after an ioctl that asks about the interface `name`."""
    answer = fcntl.ioctl(sock.fileno(), request, _ifreq.pack(os.fsencode(name), b""))
    return bytes(_ifreq.unpack(answer)[1])
