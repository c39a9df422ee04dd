"""linux.netDevices: network devices of the host that move into the container's network namespace. rtnetlink(7), network_namespaces(7).

config-linux.md: a device keeps its permanent addresses of global scope and is up when the container starts; a name that is taken
there is an error, unless it is a pattern (eth%d). When the container ends the kernel decides: a physical device goes back to the
host's namespace, a virtual one ends. Routes are not kept, as the specification says nothing of them.
"""

from __future__ import annotations

import os
from struct import Struct, pack

from runsc_cli.errors import SpecError
from sentry.abi import CLONE_NEWNET
from sentry.platform._native import lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self, TypeAlias

    from runsc_cli.oci.model import Spec

    Address: TypeAlias = "tuple[int, int, dict[int, bytes]]"
    """Family, length of the prefix, IFA_* attributes."""

_NLMSGHDR, _IFINFOMSG, _IFADDRMSG, _RTATTR = Struct("=IHHII"), Struct("=BxHiII"), Struct("=BBBBi"), Struct("=HH")
_NEWLINK, _GETLINK, _NEWADDR, _GETADDR, _ERROR, _DONE = 16, 18, 20, 22, 2, 3
_REQUEST, _ACK, _EXCL, _CREATE, _DUMP = 0x1, 0x4, 0x200, 0x400, 0x300
_IFNAME, _NET_NS_FD, _IFF_UP = 3, 28, 1
_KEPT = (1, 2, 4)  # IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST
_IFA_FLAGS, _IFA_F_PERMANENT = 8, 0x80
_AF_NETLINK, _SOCK_RAW = 16, 3


def move(spec: Spec, pid: int) -> None:
    """Into the network namespace of process `pid`. Raises SpecError."""
    namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        with _Netlink() as host:
            for name, device in spec.linux.net_devices.items():
                field = f"linux.netDevices[{name!r}]"
                try:
                    index = host.index(name)
                    addresses = list(host.addresses(index))
                    there = _in(namespace, lambda netlink: netlink.indices())
                    called = _attribute(_IFNAME, (device.name or name).encode() + b"\0")
                    host.change(index, 0, _attribute(_NET_NS_FD, pack("=i", namespace)), called)
                    error = _set_up(namespace, device.name or name, there, addresses)
                except OSError as e:
                    error = e.errno or 0
                if error:
                    raise SpecError(field, f"move it into the container: {os.strerror(error).lower()}")
    finally:
        os.close(namespace)


def _set_up(namespace: int, name: str, before: bytes, addresses: list[Address]) -> int:
    """Give what has come to the namespace its addresses, and start it. Returns an errno. `before`: which devices were there."""

    def work(netlink: _Netlink) -> bytes:
        if "%" in name:  # the kernel has chosen the name
            index = next(iter(_numbers(netlink.indices()) - _numbers(before)))
        else:
            index = netlink.index(name)
        for address in addresses:
            netlink.add(index, address)
        netlink.change(index, _IFF_UP)
        return b""

    try:
        _in(namespace, work)
    except OSError as error:
        return error.errno or 0
    return 0


def _numbers(indices: bytes) -> set[int]:
    return {int.from_bytes(indices[i : i + 4], "little") for i in range(0, len(indices), 4)}


def _in(namespace: int, work: Callable[[_Netlink], bytes]) -> bytes:
    """What `work(netlink)` returns in a process that is in that network namespace. Raises OSError."""
    answer, tell = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        code = 255
        try:
            code = -lib.setns_(namespace, CLONE_NEWNET)
            if code == 0:
                with _Netlink() as netlink:
                    os.write(tell, work(netlink))
        except OSError as error:
            code = error.errno or 255
        finally:
            os._exit(code)
    os.close(tell)
    data = b""
    while piece := os.read(answer, 1 << 16):
        data += piece
    os.close(answer)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code:
        raise OSError(abs(code), os.strerror(abs(code)))
    return data


class _Netlink:
    """A socket for requests about the devices of the network namespace in which it is made."""

    __slots__ = ("_socket",)

    def __enter__(self) -> Self:
        from _socket import SOCK_CLOEXEC, socket

        self._socket = socket(_AF_NETLINK, _SOCK_RAW | SOCK_CLOEXEC, 0)
        self._socket.bind((0, 0))
        return self

    def __exit__(self, *_error: object) -> None:
        self._socket.close()

    def _ask(self, kind: int, flags: int, body: bytes) -> Iterator[tuple[int, bytes]]:
        """The answers: type and body of each. Raises OSError."""
        self._socket.send(_NLMSGHDR.pack(_NLMSGHDR.size + len(body), kind, flags | _REQUEST, 1, 0) + body)
        while True:
            data = self._socket.recv(1 << 18)
            while data:
                size, answer, _, _, _ = _NLMSGHDR.unpack_from(data)
                if answer == _DONE:
                    return
                if answer == _ERROR:
                    error = int.from_bytes(data[16:20], "little", signed=True)
                    if error:
                        raise OSError(-error, os.strerror(-error))
                    return
                yield answer, data[_NLMSGHDR.size : size]
                data = data[size + 3 & ~3 :]

    def index(self, name: str) -> int:
        """Of a device. Raises OSError (ENODEV)."""
        body = _IFINFOMSG.pack(0, 0, 0, 0, 0) + _attribute(_IFNAME, name.encode() + b"\0")
        answers = [answer for _, answer in self._ask(_GETLINK, _ACK, body)]  # all of them: what is left would answer the next question
        return int(_IFINFOMSG.unpack_from(answers[0])[2])

    def indices(self) -> bytes:
        """Of all devices, four bytes each."""
        answers = self._ask(_GETLINK, _DUMP, _IFINFOMSG.pack(0, 0, 0, 0, 0))
        return b"".join(pack("=i", _IFINFOMSG.unpack_from(answer)[2]) for _, answer in answers)

    def addresses(self, index: int) -> Iterator[Address]:
        """The permanent ones of global scope."""
        for _, answer in self._ask(_GETADDR, _DUMP, _IFADDRMSG.pack(0, 0, 0, 0, 0)):
            family, prefix, flags, scope, device = _IFADDRMSG.unpack_from(answer)
            attributes = dict(_attributes(answer[_IFADDRMSG.size :]))
            if _IFA_FLAGS in attributes:
                flags = int.from_bytes(attributes[_IFA_FLAGS], "little")
            if device == index and scope == 0 and flags & _IFA_F_PERMANENT:
                yield family, prefix, {kind: value for kind, value in attributes.items() if kind in _KEPT}

    def change(self, index: int, flags: int, *attributes: bytes) -> None:
        """Set flags, and what the attributes say."""
        for _ in self._ask(_NEWLINK, _ACK, _IFINFOMSG.pack(0, 0, index, flags, flags) + b"".join(attributes)):
            pass

    def add(self, index: int, address: Address) -> None:
        """Give a device an address."""
        family, prefix, attributes = address
        body = _IFADDRMSG.pack(family, prefix, 0, 0, index) + b"".join(_attribute(kind, value) for kind, value in attributes.items())
        for _ in self._ask(_NEWADDR, _ACK | _CREATE | _EXCL, body):
            pass


def _attribute(kind: int, value: bytes) -> bytes:
    data = _RTATTR.pack(_RTATTR.size + len(value), kind) + value
    return data + bytes(-len(data) % 4)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _RTATTR.size:
        size, kind = _RTATTR.unpack_from(data)
        if size < _RTATTR.size:
            return
        yield kind, data[_RTATTR.size : size]
        data = data[size + 3 & ~3 :]
