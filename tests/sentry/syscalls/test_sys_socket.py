"""bind and connect, against the same calls made natively: net/socket.c."""

from __future__ import annotations

import errno
import os
import signal
import socket
import struct
import threading
from typing import TYPE_CHECKING

import pytest

from tests.sentry.harness import KERNEL_ADDRESS, UNMAPPED, Buffer, alone, both
from tests.sentry.syscalls.names import prepare

if TYPE_CHECKING:
    from tests.sentry.harness import Caller


def inet(host: str, port: int) -> bytes:
    return struct.pack("<H", socket.AF_INET) + struct.pack("!H4s8x", port, socket.inet_aton(host))


def inet6(host: str, port: int) -> bytes:
    return struct.pack("<H", socket.AF_INET6) + struct.pack("!HI16sI", port, 0, socket.inet_pton(socket.AF_INET6, host), 0)


def unix(name: bytes) -> bytes:
    return struct.pack("<H", socket.AF_UNIX) + name


def at(k: Caller, name: str, sock: socket.socket, address: bytes) -> int:
    return k(name, sock.fileno(), Buffer(len(address), address), len(address))


@pytest.mark.parametrize("uid", [0, 1000])
def test_tcp(uid: int) -> None:
    def body(k: Caller) -> None:
        server, client, refused = socket.socket(), socket.socket(), socket.socket()
        at(k, "bind", server, inet("127.0.0.1", 4000))
        at(k, "bind", client, inet("127.0.0.1", 4000))
        at(k, "bind", client, inet("127.0.0.1", 4001))
        at(k, "bind", client, inet("127.0.0.1", 4002))
        at(k, "bind", refused, inet("192.0.2.1", 0))
        k.note(server.getsockname(), client.getsockname())
        server.listen(1)
        at(k, "connect", client, inet("127.0.0.1", 4000))
        at(k, "connect", client, inet("127.0.0.1", 4000))
        peer, _ = server.accept()
        peer.send(b"through")
        k.note(client.recv(10), client.getpeername(), peer.getpeername())
        at(k, "connect", refused, inet("127.0.0.1", 4009))
        at(k, "connect", refused, inet("192.0.2.1", 1))
        refused.setblocking(False)
        at(k, "connect", refused, inet("127.0.0.1", 4000))
        k.note(refused.getblocking(), client.getblocking())

    both(body, prepare, uid=uid)


def test_udp_and_ipv6() -> None:
    def body(k: Caller) -> None:
        one, two = socket.socket(type=socket.SOCK_DGRAM), socket.socket(type=socket.SOCK_DGRAM)
        at(k, "bind", one, inet("127.0.0.1", 5000))
        at(k, "connect", two, inet("127.0.0.1", 5000))
        two.send(b"hello")
        k.note(one.recv(10), two.getpeername())
        at(k, "connect", two, struct.pack("<H14x", socket.AF_UNSPEC))
        at(k, "connect", two, inet("192.0.2.1", 53))
        six = socket.socket(socket.AF_INET6)
        at(k, "bind", six, inet6("::1", 6000))
        at(k, "bind", six, inet("127.0.0.1", 6000))
        k.note(six.getsockname())
        six.listen()
        other = socket.socket(socket.AF_INET6)
        at(k, "connect", other, inet6("::1", 6000))
        at(k, "connect", other, inet6("2001:db8::1", 6000))

    both(body, prepare)


@pytest.mark.parametrize("name", ["bind", "connect"])
def test_bad_arguments(name: str) -> None:
    def body(k: Caller) -> None:
        for family in (socket.AF_INET, socket.AF_UNIX, socket.AF_NETLINK):
            sock = socket.socket(family, socket.SOCK_DGRAM)
            for address in (None, UNMAPPED, KERNEL_ADDRESS, Buffer(2, b"\2\0"), Buffer(16, inet("127.0.0.1", 0))):
                for length in (-1, -(2**31), 129, 2**31 - 1, 128, 17, 2, 1, 0):
                    k(name, sock.fileno(), address, length)
            sock.close()
        address = Buffer(16, inet("127.0.0.1", 0))
        file, path, pipe = os.open("file", os.O_RDONLY), os.open("file", os.O_PATH), os.pipe()[0]
        for fd in (file, path, pipe, 99, -1, 2**31):
            k(name, fd, address, 16)
            k(name, fd, UNMAPPED, -1)

    both(body, prepare)


def test_unix_sockets_by_path() -> None:
    """The name that was bound is the name that was given, and the peer is the caller: unix(7), SO_PEERCRED."""

    def body(k: Caller) -> None:
        server, client = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
        at(k, "bind", server, unix(b"dir/server"))
        at(k, "bind", socket.socket(socket.AF_UNIX), unix(b"dir/server\0"))
        at(k, "bind", socket.socket(socket.AF_UNIX), unix(b"locked/server\0"))
        at(k, "bind", socket.socket(socket.AF_UNIX), unix(b"missing/server\0"))
        at(k, "bind", socket.socket(socket.AF_UNIX), unix(b"n" * 108))
        server.listen(1)
        at(k, "connect", client, unix(b"dir/server\0"))
        peer, name = server.accept()
        pid, uid, gid = struct.unpack("iii", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        k.note(server.getsockname(), client.getpeername(), name, pid == os.getpid(), uid, gid)
        for path in (b"file", b"dir", b"missing", b"sock", b"loop", b"to_file"):
            at(k, "connect", socket.socket(socket.AF_UNIX), unix(path + b"\0"))

    both(body, prepare, uid=1000)


def test_unix_sockets_without_a_path() -> None:
    def body(k: Caller) -> None:
        server = socket.socket(socket.AF_UNIX)
        at(k, "bind", server, unix(b"\0abstract"))
        k.note(server.getsockname())
        server.listen()
        at(k, "connect", socket.socket(socket.AF_UNIX), unix(b"\0abstract"))
        at(k, "connect", socket.socket(socket.AF_UNIX), unix(b"\0other"))
        automatic = socket.socket(socket.AF_UNIX)
        at(k, "bind", automatic, unix(b""))
        k.note(len(automatic.getsockname()))

    both(body, prepare)


def test_netlink_sockets_have_the_port_id_of_the_caller() -> None:
    def body(k: Caller) -> None:
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
        at(k, "bind", sock, struct.pack("<HHII", socket.AF_NETLINK, 0, 0, 0))
        k.note(sock.getsockname()[0] == os.getpid())

    both(body, prepare)


def test_other_families_are_refused() -> None:
    def body(k: Caller) -> list[int]:
        return [k(name, 90, Buffer(88), 88) for name in ("bind", "connect")]

    def inherited() -> None:
        os.dup2(socket.socket(socket.AF_PACKET, socket.SOCK_RAW).detach(), 90)

    run = alone(body, prepare, setup=inherited)
    assert run.value == [-errno.EAFNOSUPPORT] * 2
    assert set(run.denials) == {("bind", "address family 17"), ("connect", "address family 17")}


def test_a_connect_that_leads_nowhere_is_reported() -> None:
    def body(k: Caller) -> list[int]:
        kinds = (socket.SOCK_STREAM, socket.SOCK_DGRAM)
        found = [at(k, "connect", socket.socket(socket.AF_INET, kind), inet("93.184.216.34", 443)) for kind in kinds]
        return [*found, at(k, "connect", socket.socket(socket.AF_INET6), inet6("2001:db8::1", 80))]

    run = alone(body, prepare, network="none")
    assert run.value == [-errno.ENETUNREACH] * 3
    assert run.denials == {("connect", "93.184.216.34:443"): 2, ("connect", "[2001:db8::1]:80"): 1}


def full_backlog() -> tuple[socket.socket, list[socket.socket]]:
    """A listening socket that no further connection fits: tcp(7), listen(2)."""
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen(0)
    first = socket.socket()
    first.connect(server.getsockname())
    return server, [first]


def test_a_connect_that_waits_is_held_and_interrupted_by_a_signal() -> None:
    """connect(2): EINTR without SA_RESTART; meanwhile other calls of the process are answered."""

    def body(k: Caller) -> None:
        server, _keep = full_backlog()
        address = inet(*server.getsockname())
        signal.signal(signal.SIGALRM, lambda *_: None)
        signal.siginterrupt(signal.SIGALRM, True)
        main = threading.get_ident()
        reader, writer = os.pipe()

        def other() -> None:
            os.read(reader, 1)
            k("mkdir", b"meanwhile", 0o755)
            while not done:
                signal.pthread_kill(main, signal.SIGALRM)
                signal.sigtimedwait([signal.SIGUSR2], 0.02)

        done: list[int] = []
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
        thread = threading.Thread(target=other)
        thread.start()
        os.write(writer, b"x")
        sock = socket.socket()
        done.append(k("connect", sock.fileno(), Buffer(16, address), 16))
        thread.join()
        k.log.sort(key=str)
        k.log = [(entry[0], entry[-1]) for entry in k.log]

    both(body, prepare)


def test_a_held_connect_ends_with_its_caller() -> None:
    def body(k: Caller) -> int:
        server, _keep = full_backlog()
        child = os.fork()
        if child == 0:
            sock = socket.socket()
            k("connect", sock.fileno(), Buffer(16, inet(*server.getsockname())), 16)
            os._exit(0)
        os.kill(child, signal.SIGKILL)
        return os.waitpid(child, 0)[1]

    assert alone(body, prepare).value == signal.SIGKILL
