"""The FUSE protocol as a script of requests and replies, and the server on a real mount."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import struct
import subprocess
import threading
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentry.vfs import fuse
from sentry.vfs.fuse import Connection, Entry
from sentry.vfs.serve import MOUNT_OPTIONS, OPEN_FLAGS, Server, snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Container

    Inside = Callable[[Callable[[Container], Any]], Any]


class Counter:
    """A tree with one directory of files: count, slow-changing text; note, writable; broken, a bug."""

    names: ClassVar = {b"count": 2, b"note": 3, b"broken": 4, b"gone": 5, b"wild": 6, b"exit": 7}

    def __init__(self) -> None:
        self.reads = 0
        self.written: list[tuple[int, bytes]] = []

    def lookup(self, parent: int, name: bytes) -> Entry | None:
        return self.entry(self.names[name]) if parent == 1 and name in self.names else None

    def entry(self, nodeid: int) -> Entry | None:
        if nodeid == 1:
            return Entry(1, 0o40555)
        if nodeid not in self.names.values():
            return None
        return Entry(nodeid, 0o100644 if nodeid == 3 else 0o100444)

    def read(self, nodeid: int) -> bytes:
        if nodeid == 4:
            raise ValueError("bug in the tree")
        if nodeid == 5:
            raise ProcessLookupError(errno.ESRCH, "gone")
        if nodeid == 6:
            raise OSError(100_000, "not an errno")
        if nodeid == 7:
            raise SystemExit
        self.reads += 1
        return b"reading %d: " % self.reads + b"x" * 100

    def write(self, nodeid: int, offset: int, data: bytes) -> int:
        if data.startswith(b"bad"):
            raise OSError(errno.EINVAL, "bad value")
        self.written.append((offset, data))
        return len(data)


def request(opcode: int, body: bytes = b"", nodeid: int = 1, unique: int = 7) -> bytes:
    size = fuse.fuse_in_header.size + len(body)
    return fuse.fuse_in_header.pack(size, opcode, unique, nodeid, 0, 0, 0, 0, 0) + body


def answer(reply: bytes, unique: int = 7) -> tuple[int, bytes]:
    """(errno, body) of a reply, whose header must be right."""
    size, error, got = fuse.fuse_out_header.unpack_from(reply)
    assert (size, got) == (len(reply), unique)
    return -error, reply[fuse.fuse_out_header.size :]


def read_body(handle: int, offset: int, size: int = 40) -> bytes:
    return fuse.fuse_read_in.pack(handle, offset, size, 0, 0, 0, 0)


@pytest.fixture
def tree() -> Counter:
    return Counter()


@pytest.fixture
def bugs() -> list[Exception]:
    return []


@pytest.fixture
def connection(tree: Counter, bugs: list[Exception]) -> Connection:
    return Connection(tree, bugs.append)


@pytest.mark.parametrize(
    ("major", "minor", "expected"),
    [(7, 45, 0), (7, 31, 0), (8, 0, 0), (7, 30, errno.EPROTO), (6, 99, errno.EPROTO)],
)
def test_init_takes_7_31_and_later(connection: Connection, major: int, minor: int, expected: int) -> None:
    error, body = answer(connection.receive(request(fuse.INIT, struct.pack("<IIII", major, minor, 65536, 0xFFFF))))
    assert error == expected
    if not error:
        assert struct.unpack_from("<II", body) == (7, 31)
        assert len(body) == 64


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (request(fuse.LOOKUP, b"absent\0"), errno.ENOENT),
        (request(fuse.LOOKUP, b"count\0", nodeid=2), errno.ENOENT),
        (request(fuse.GETATTR, bytes(16), nodeid=99), errno.ENOENT),
        (request(fuse.OPEN, struct.pack("<II", os.O_RDONLY, 0), nodeid=2), 0),
        (request(fuse.OPEN, struct.pack("<II", os.O_RDWR, 0), nodeid=2), errno.EACCES),
        (request(fuse.OPEN, struct.pack("<II", os.O_WRONLY, 0), nodeid=3), 0),
        (request(fuse.OPEN, b"", nodeid=2), errno.EINVAL),
        (request(fuse.READ, read_body(1, 0), nodeid=5), errno.ESRCH),
        (request(fuse.READ, read_body(1, 0), nodeid=6), errno.EIO),
        (request(fuse.READ, b"short", nodeid=2), errno.EINVAL),
        (request(fuse.WRITE, read_body(1, 0, 3) + b"abc", nodeid=2), errno.EACCES),
        (request(fuse.WRITE, read_body(1, 0, 9) + b"abc", nodeid=3), errno.EINVAL),
        (request(fuse.WRITE, read_body(1, 0, 3) + b"bad", nodeid=3), errno.EINVAL),
        (request(fuse.SETATTR, struct.pack("<II80x", 1 << 3, 0), nodeid=3), 0),
        (request(fuse.SETATTR, struct.pack("<II80x", 1 << 0, 0), nodeid=3), errno.EPERM),
        (request(fuse.STATFS), 0),
        (request(fuse.FSYNC, bytes(16), nodeid=2), 0),
        (request(fuse.RELEASE, bytes(24), nodeid=2), 0),
        (request(fuse.FLUSH, bytes(24), nodeid=2), errno.ENOSYS),
        (request(fuse.DESTROY), 0),
        (request(28, bytes(24)), errno.ENOSYS),  # READDIR
        (request(40, bytes(24)), errno.ENOSYS),  # POLL
        (request(4096), errno.ENOSYS),
    ],
)
def test_one_request(connection: Connection, message: bytes, expected: int) -> None:
    assert answer(connection.receive(message))[0] == expected


@pytest.mark.parametrize("opcode", [fuse.FORGET, fuse.BATCH_FORGET, fuse.INTERRUPT])
def test_no_reply(connection: Connection, opcode: int) -> None:
    assert connection.receive(request(opcode, bytes(16))) == b""


def test_a_sequential_reader_sees_one_text_and_a_rewinding_one_fresh_ones(connection: Connection) -> None:
    def read(handle: int, offset: int) -> bytes:
        error, body = answer(connection.receive(request(fuse.READ, read_body(handle, offset), nodeid=2)))
        assert error == 0
        return body

    first = read(1, 0)
    assert first.startswith(b"reading 1: ")
    assert read(2, 0).startswith(b"reading 2: ")
    text = first + read(1, 40) + read(1, 80)
    assert text == b"reading 1: " + b"x" * 100
    assert read(1, len(text)) == b""
    assert read(1, 0).startswith(b"reading 3: ")
    assert read(2, 8) == b"2: " + b"x" * 37  # still its own text


def test_texts_kept_are_bounded(connection: Connection, tree: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuse, "_SNAPSHOT_BYTES", 1000)
    for handle in range(1, 101):
        connection.receive(request(fuse.READ, read_body(handle, 0), nodeid=2))
    assert connection._held == sum(map(len, connection._snapshots.values())) <= 1000
    # the oldest was dropped: its reader gets a new text, not an error
    assert answer(connection.receive(request(fuse.READ, read_body(1, 8), nodeid=2)))[1][:3] == b"101"
    for handle in range(1, 101):
        connection.receive(request(fuse.RELEASE, struct.pack("<QIIQ", handle, 0, 0, 0), nodeid=2))
    assert (connection._held, connection._snapshots) == (0, {})


def test_a_text_larger_than_the_bound_is_still_served(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuse, "_SNAPSHOT_BYTES", 10)
    assert answer(connection.receive(request(fuse.READ, read_body(1, 0), nodeid=2)))[1].startswith(b"reading 1")
    assert connection._held == 0


def test_write_reaches_the_tree(connection: Connection, tree: Counter) -> None:
    error, body = answer(connection.receive(request(fuse.WRITE, read_body(1, 5, 3) + b"abc", nodeid=3)))
    assert (error, struct.unpack("<II", body)) == (0, (3, 0))
    assert tree.written == [(5, b"abc")]


def test_a_bug_in_the_tree_is_reported_and_answered(connection: Connection, bugs: list[Exception]) -> None:
    assert answer(connection.receive(request(fuse.READ, read_body(1, 0), nodeid=4)))[0] == errno.EIO
    assert [str(bug) for bug in bugs] == ["bug in the tree"]


def well_formed(reply: bytes, message: bytes) -> bool:
    if not reply:
        return True
    size, error, unique = fuse.fuse_out_header.unpack_from(reply)
    asked = fuse.fuse_in_header.unpack_from(message)[2]
    return (size, unique) == (len(reply), asked) and -512 < error <= 0 and (not error or len(reply) == 16)


@given(message=st.binary(max_size=300))
def test_any_bytes(message: bytes) -> None:
    bugs: list[Exception] = []
    assert well_formed(Connection(Counter(), bugs.append).receive(message), message)


@given(
    script=st.lists(
        st.tuples(st.integers(0, 60), st.binary(max_size=100), st.integers(0, 9), st.integers(0, 2**64 - 1)),
        max_size=20,
    )
)
def test_any_requests(script: list[tuple[int, bytes, int, int]]) -> None:
    bugs: list[Exception] = []
    connection = Connection(Counter(), bugs.append)
    for opcode, body, nodeid, unique in script:
        if nodeid == 7:
            continue  # its tree method raises SystemExit
        message = request(opcode, body, nodeid, unique)
        assert well_formed(connection.receive(message), message)
    assert all(str(bug) == "bug in the tree" for bug in bugs)


# ---- on a real mount ----


def errno_of(call: object, *args: object) -> int:
    try:
        call(*args)  # type: ignore[operator]
    except OSError as e:
        return e.errno or -1
    return 0


def serve(box: Container) -> tuple[int, threading.Thread, list[Exception]]:
    bugs: list[Exception] = []
    root = box.mount_fuse(MOUNT_OPTIONS)
    thread = threading.Thread(target=Server(box.fuse_fd, Counter(), bugs.append).serve, daemon=True)
    thread.start()
    return root, thread, bugs


def test_live_reads_and_synchronous_errors(in_container: Inside) -> None:
    def inside(box: Container) -> None:
        root, _thread, bugs = serve(box)
        fd = os.open("count", os.O_RDONLY, dir_fd=root)
        assert os.pread(fd, 10, 0) == b"reading 1:"
        assert os.pread(fd, 10, 0) == b"reading 2:"
        assert os.read(fd, 4096) == b"reading 3: " + b"x" * 100
        assert os.read(fd, 4096) == b""
        os.lseek(fd, 0, os.SEEK_SET)
        assert os.read(fd, 10) == b"reading 4:"
        assert os.readlink(f"/proc/self/fd/{fd}") == "/count"

        stat = os.fstat(fd)
        assert (stat.st_mode, stat.st_size, stat.st_uid, stat.st_nlink) == (0o100444, 0, 0, 1)
        assert select.select([fd], [], [], 0)[0] == [fd]
        assert errno_of(os.ftruncate, fd, 0) == errno.EINVAL  # not open for writing
        assert errno_of(os.fchmod, fd, 0o777) == errno.EPERM
        assert errno_of(os.fchown, fd, 1, 1) == errno.EPERM
        assert errno_of(os.listxattr, fd) == errno.EOPNOTSUPP
        assert errno_of(fcntl.ioctl, fd, 0x5413, bytes(8)) == errno.ENOTTY
        os.fsync(fd)
        fcntl.flock(fd, fcntl.LOCK_SH)

        # Root has CAP_DAC_OVERRIDE, and is refused all the same.
        assert errno_of(lambda: os.open("count", os.O_RDWR, dir_fd=root)) == errno.EACCES
        assert errno_of(lambda: os.open("absent", os.O_RDONLY, dir_fd=root)) == errno.ENOENT

        note = os.open("note", os.O_WRONLY | os.O_TRUNC, dir_fd=root)
        assert os.write(note, b"ok") == 2
        assert errno_of(os.write, note, b"bad value") == errno.EINVAL
        os.ftruncate(note, 0)
        os.close(note)

        broken = os.open("broken", os.O_RDONLY, dir_fd=root)
        assert errno_of(os.read, broken, 10) == errno.EIO
        assert [str(bug) for bug in bugs] == ["bug in the tree"]

    in_container(inside)


def test_opened_for_others_and_read_by_others(in_container: Inside) -> None:
    """The opener has taken a user's fsuid; the reader is that user, in another process."""

    def inside(box: Container) -> str:
        root, _thread, _bugs = serve(box)
        box.libc.setfsuid(1000)
        fd = os.open("count", os.O_RDONLY, dir_fd=root)
        assert errno_of(lambda: os.open("note", os.O_WRONLY, dir_fd=root)) == errno.EACCES
        box.libc.setfsuid(0)
        cat = subprocess.run(["cat"], stdin=fd, capture_output=True, user=1000, group=1000, extra_groups=[], check=True)
        return cat.stdout.decode()

    assert in_container(inside).startswith("reading 1: ")


def test_sendfile_and_splice_see_the_text(in_container: Inside) -> None:
    """busybox cat. With OPEN_FLAGS, since filemap_splice_read() takes a file of size zero to be empty."""

    def inside(box: Container) -> None:
        root, _thread, _bugs = serve(box)
        fd = os.open("count", os.O_RDONLY | OPEN_FLAGS, dir_fd=root)
        reader, writer = os.pipe()
        assert os.sendfile(writer, fd, None, 4096) == 111
        assert os.read(reader, 4096) == b"reading 1: " + b"x" * 100
        assert os.sendfile(writer, fd, None, 4096) == 0
        assert os.splice(fd, writer, 4096, offset_src=0) == 111
        assert os.read(reader, 4096).startswith(b"reading 2: ")
        # As without: no alignment, offsets as ever
        assert os.pread(fd, 3, 1) == b"ead"
        assert os.lseek(fd, 0, os.SEEK_CUR) == 111

    in_container(inside)


def test_many_readers_at_once(in_container: Inside) -> None:
    def inside(box: Container) -> int:
        root, _thread, _bugs = serve(box)
        wrong = []

        def read() -> None:
            for _ in range(50):
                fd = os.open("count", os.O_RDONLY, dir_fd=root)
                text = b""
                while part := os.read(fd, 16):
                    text += part
                number = text.split(b" ")[1].rstrip(b":")
                if text != b"reading %s: " % number + b"x" * 100:
                    wrong.append(text)
                os.close(fd)

        readers = [threading.Thread(target=read) for _ in range(8)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        return len(wrong)

    assert in_container(inside) == 0


def test_the_thread_ends_with_the_mount(in_container: Inside) -> None:
    def inside(box: Container) -> bool:
        root, thread, _bugs = serve(box)
        os.close(os.open("count", os.O_RDONLY, dir_fd=root))
        os.close(root)
        thread.join(10)
        return thread.is_alive()

    assert in_container(inside) is False


def test_readers_fail_when_the_server_dies(in_container: Inside) -> None:
    """SystemExit ends the thread in the middle of a request. The device is closed, the reader is not left hanging."""

    def inside(box: Container) -> int:
        root, thread, _bugs = serve(box)
        fd = os.open("exit", os.O_RDONLY, dir_fd=root)
        code = errno_of(os.read, fd, 10)
        thread.join(10)
        assert not thread.is_alive()
        assert errno_of(os.read, fd, 10) in (errno.ENOTCONN, errno.ECONNABORTED)
        return code

    assert in_container(inside) in (errno.ENOTCONN, errno.ECONNABORTED)


# ---- without FUSE ----


def test_snapshot_is_read_only() -> None:
    fds = os.open("/proc/self/fd", os.O_RDONLY | os.O_DIRECTORY)
    fd = snapshot(b"text\n" * 10_000, "meminfo", fds)
    with os.fdopen(fd, "rb") as file:
        assert file.read() == b"text\n" * 10_000
        assert errno_of(os.write, fd, b"x") == errno.EBADF
        assert not os.get_inheritable(fd)
        again = os.open(f"/proc/self/fd/{fd}", os.O_RDWR)
        assert errno_of(os.write, again, b"x") == errno.EPERM
        assert errno_of(os.ftruncate, again, 0) == errno.EPERM
        os.close(again)
    os.close(fds)


def test_snapshot_without_a_proc() -> None:
    fd = snapshot(b"text\n", "meminfo")
    assert os.read(fd, 100) == b"text\n"
    assert errno_of(os.write, fd, b"x") == errno.EPERM
    os.close(fd)
