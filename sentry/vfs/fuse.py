"""The FUSE wire protocol for a small tree of generated files: a request in, a reply out, no I/O.

Models the user-space half of fs/fuse/ (fuse(4), include/uapi/linux/fuse.h, protocol 7.31 = Linux 5.4).
A node id is given by the tree and means the same for ever, so the server keeps no node table: FORGET
has nothing to do, and what a workload can make the server remember is bounded (see `_SNAPSHOT_BYTES`).

Files are opened with FOPEN_DIRECT_IO: every read(2) becomes a READ. The text is generated when a read
starts at offset 0 and kept for the handle, so a sequential reader sees one consistent text and a
program that rewinds (top, vmstat) sees fresh values, as a seq_file does.

Left out, all answered ENOSYS, which the kernel remembers: readdir, xattrs, poll, ioctl, locks.
"""

from __future__ import annotations

from errno import EACCES, EINVAL, EIO, ENOENT, ENOSYS, EPERM, EPROTO
from struct import Struct, error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final, Protocol

    class Tree(Protocol):
        """What is served. Every method may raise OSError; the caller of open(2), read(2), write(2) gets it."""

        def lookup(self, parent: int, name: bytes) -> Entry | None: ...
        def entry(self, nodeid: int) -> Entry | None: ...
        def read(self, nodeid: int) -> bytes: ...
        def write(self, nodeid: int, offset: int, data: bytes) -> int: ...

    Handler = Callable[["Connection", int, int, "bytes | memoryview"], bytes]


ROOT_ID: Final = 1

_MAJOR, _MINOR = 7, 31

LOOKUP: Final = 1
FORGET: Final = 2
GETATTR: Final = 3
SETATTR: Final = 4
OPEN: Final = 14
READ: Final = 15
WRITE: Final = 16
STATFS: Final = 17
RELEASE: Final = 18
FSYNC: Final = 20
FLUSH: Final = 25
INIT: Final = 26
INTERRUPT: Final = 36
DESTROY: Final = 38
BATCH_FORGET: Final = 42

# The kernel waits for no answer to these; an answer would be EINVAL.
_NO_REPLY = frozenset((FORGET, BATCH_FORGET, INTERRUPT))

fuse_in_header = Struct("<IIQQIIIHH")  # len opcode unique nodeid uid gid pid total_extlen padding
fuse_out_header = Struct("<IiQ")  # len error unique
fuse_init_in = Struct("<IIII")  # major minor max_readahead flags; flags2 and later are not needed
# major minor max_readahead flags max_background congestion_threshold max_write time_gran max_pages
# map_alignment flags2 max_stack_depth request_timeout unused[11]
fuse_init_out = Struct("<IIIIHHIIHHII24x")
# ino size blocks atime mtime ctime; the nsecs; mode nlink uid gid rdev blksize flags
fuse_attr = Struct("<QQQQQQIIIIIIIIII")
fuse_attr_out = Struct("<QII")  # attr_valid attr_valid_nsec dummy, then fuse_attr
fuse_entry_out = Struct("<QQQQII")  # nodeid generation entry_valid attr_valid and nsecs, then fuse_attr
fuse_setattr_in = Struct("<II80x")  # valid
fuse_open_in = Struct("<II")  # flags open_flags
fuse_open_out = Struct("<QIi")  # fh open_flags backing_id
fuse_read_in = Struct("<QQIIQII")  # fh offset size read_flags lock_owner flags padding
fuse_write_in = fuse_read_in
fuse_write_out = Struct("<II")  # size padding
fuse_release_in = Struct("<QIIQ")  # fh flags release_flags lock_owner
fuse_kstatfs = Struct("<QQQQQIIII24x")  # blocks bfree bavail files ffree bsize namelen frsize padding

FUSE_ATOMIC_O_TRUNC: Final = 1 << 3  # `echo x > file` is an OPEN then, not an OPEN and a SETATTR
FOPEN_DIRECT_IO: Final = 1 << 0
FOPEN_NOFLUSH: Final = 1 << 5  # close(2) need not wait for the server (Linux 5.16; FLUSH is ENOSYS before)
_FATTR_OWNERSHIP = 1 << 0 | 1 << 1 | 1 << 2  # FATTR_MODE FATTR_UID FATTR_GID

MAX_WRITE: Final = 4096  # the kernel's own minimum; a write to a sysctl is at most a page
BUFFER: Final = 8192  # FUSE_MIN_READ_BUFFER; read(2) on the device wants at least this

_FOREVER = 1 << 31  # seconds; a node never changes its type, mode or name
_O_ACCMODE = 3
_SNAPSHOT_BYTES = 4 << 20


class Entry:
    """One node: a directory, or a file of mode `mode` owned by the container's root."""

    __slots__ = ("mode", "nodeid")

    def __init__(self, nodeid: int, mode: int) -> None:
        self.nodeid = nodeid
        self.mode = mode

    @property
    def writable(self) -> bool:
        return bool(self.mode & 0o222)


class Connection:
    """The state of one mount: handle numbers and the texts that readers are in the middle of."""

    __slots__ = ("_handles", "_held", "_report", "_seconds", "_snapshots", "_tree")

    def __init__(self, tree: Tree, report: Callable[[Exception], None], seconds: int = 0) -> None:
        """`report` gets the exception of a bug in the tree; it does the formatting (importing traceback takes 15 ms).

        `seconds` is the files' time stamp.
        """
        self._tree = tree
        self._report = report
        self._seconds = seconds
        self._handles = 0
        self._snapshots: dict[int, bytes] = {}
        self._held = 0

    def receive(self, message: bytes | memoryview) -> bytes:
        """Answer one request; b"" when the kernel expects none. Never raises."""
        if len(message) < fuse_in_header.size:
            return b""
        _, opcode, unique, nodeid, *_ = fuse_in_header.unpack_from(message)
        if opcode in _NO_REPLY:
            return b""
        try:
            body = _HANDLERS.get(opcode, _enosys)(self, nodeid, unique, message[fuse_in_header.size :])
        except OSError as e:
            return _failure(unique, e.errno)
        except error:  # struct.error: shorter than its opcode says
            return _failure(unique, EINVAL)
        except Exception as e:  # a bug in the tree must not end the server: report it, answer EIO
            self._report(e)
            return _failure(unique, EIO)
        return fuse_out_header.pack(fuse_out_header.size + len(body), 0, unique) + body

    def _init(self, _nodeid: int, _unique: int, body: bytes | memoryview) -> bytes:
        major, minor, _readahead, flags = fuse_init_in.unpack_from(body)
        if major < _MAJOR or (major == _MAJOR and minor < _MINOR):
            raise OSError(EPROTO, "kernel speaks an older FUSE protocol")
        # A newer major: the kernel sends a second INIT with ours.
        flags &= FUSE_ATOMIC_O_TRUNC
        return fuse_init_out.pack(_MAJOR, _MINOR, 0, flags, 0, 0, MAX_WRITE, 1, 0, 0, 0, 0)

    def _lookup(self, nodeid: int, _unique: int, body: bytes | memoryview) -> bytes:
        entry = self._tree.lookup(nodeid, bytes(body).partition(b"\0")[0])
        if entry is None:
            raise OSError(ENOENT, "no such entry")
        return fuse_entry_out.pack(entry.nodeid, 0, _FOREVER, _FOREVER, 0, 0) + self._attr(entry)

    def _getattr(self, nodeid: int, _unique: int, _body: bytes | memoryview) -> bytes:
        return fuse_attr_out.pack(_FOREVER, 0, 0) + self._attr(self._entry(nodeid))

    def _setattr(self, nodeid: int, _unique: int, body: bytes | memoryview) -> bytes:
        """ftruncate(2), futimens(3): as in procfs, without effect. Owner and mode are not the workload's."""
        (valid, _padding) = fuse_setattr_in.unpack_from(body)
        if valid & _FATTR_OWNERSHIP:
            raise OSError(EPERM, "owner and mode are fixed")
        return self._getattr(nodeid, 0, b"")

    def _open(self, nodeid: int, _unique: int, body: bytes | memoryview) -> bytes:
        flags, _ = fuse_open_in.unpack_from(body)
        # default_permissions checks the mode bits, but CAP_DAC_OVERRIDE passes them.
        if flags & _O_ACCMODE and not self._entry(nodeid).writable:
            raise OSError(EACCES, "read-only file")
        self._handles += 1
        return fuse_open_out.pack(self._handles, FOPEN_DIRECT_IO | FOPEN_NOFLUSH, 0)

    def _read(self, nodeid: int, _unique: int, body: bytes | memoryview) -> bytes:
        handle, offset, size, *_ = fuse_read_in.unpack_from(body)
        text = self._snapshots.get(handle) if offset else None
        if text is None:
            text = self._tree.read(nodeid)
            self._keep(handle, text)
        if offset >= len(text):
            self._drop(handle)  # the reader has seen the end
        return text[offset : offset + size]

    def _write(self, nodeid: int, _unique: int, body: bytes | memoryview) -> bytes:
        handle, offset, size, *_ = fuse_write_in.unpack_from(body)
        data = bytes(body[fuse_write_in.size : fuse_write_in.size + size])
        if len(data) != size:
            raise OSError(EINVAL, "short write request")
        if not self._entry(nodeid).writable:
            raise OSError(EACCES, "read-only file")
        self._drop(handle)
        return fuse_write_out.pack(self._tree.write(nodeid, offset, data), 0)

    def _release(self, _nodeid: int, _unique: int, body: bytes | memoryview) -> bytes:
        self._drop(fuse_release_in.unpack_from(body)[0])
        return b""

    def _statfs(self, _nodeid: int, _unique: int, _body: bytes | memoryview) -> bytes:
        return fuse_kstatfs.pack(0, 0, 0, 0, 0, 4096, 255, 4096, 0)

    def _done(self, _nodeid: int, _unique: int, _body: bytes | memoryview) -> bytes:
        return b""

    def _entry(self, nodeid: int) -> Entry:
        entry = self._tree.entry(nodeid)
        if entry is None:
            raise OSError(ENOENT, "no such node")
        return entry

    def _attr(self, entry: Entry) -> bytes:
        links = 1 if entry.mode & 0o100000 else 2
        t = self._seconds
        return fuse_attr.pack(entry.nodeid, 0, 0, t, t, t, 0, 0, 0, entry.mode, links, 0, 0, 0, 4096, 0)

    def _keep(self, handle: int, text: bytes) -> None:
        """Remember the text for the handle's next read; the oldest ones give way."""
        self._drop(handle)
        self._snapshots[handle] = text
        self._held += len(text)
        while self._held > _SNAPSHOT_BYTES:
            self._drop(next(iter(self._snapshots)))

    def _drop(self, handle: int) -> None:
        self._held -= len(self._snapshots.pop(handle, b""))


def _enosys(_connection: Connection, _nodeid: int, _unique: int, _body: bytes | memoryview) -> bytes:
    raise OSError(ENOSYS, "not served")


def _failure(unique: int, errno: int | None) -> bytes:
    # dev.c:fuse_dev_do_write() takes -511..-1 and nothing else.
    code = errno if errno is not None and 0 < errno < 512 else EIO
    return fuse_out_header.pack(fuse_out_header.size, -code, unique)


_HANDLERS: dict[int, Handler] = {
    INIT: Connection._init,
    LOOKUP: Connection._lookup,
    GETATTR: Connection._getattr,
    SETATTR: Connection._setattr,
    OPEN: Connection._open,
    READ: Connection._read,
    WRITE: Connection._write,
    STATFS: Connection._statfs,
    RELEASE: Connection._release,
    FSYNC: Connection._done,
    DESTROY: Connection._done,
    FLUSH: _enosys,
}
