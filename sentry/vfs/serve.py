"""Generated files as real fds: a FUSE server thread, or sealed memfds where there is no /dev/fuse.

The sentry mounts FUSE in the container's user namespace (fsopen(2), options `MOUNT_OPTIONS` and `fd`),
keeps the detached mount, opens files below it and donates those fds. Reads then go from the workload to
this thread through the kernel; the dispatcher has no part in them.

/dev/fuse must be opened by a process of the very user namespace that mounts (fs/fuse/inode.c:
fuse_get_tree()). The device is often 0600 root; a process that has joined the user namespace and not
yet changed its uid is still the host's root to the file's permission check, and is let in.

A server that is not served hangs its readers, so the device is closed on every way out of `serve`:
the kernel then fails all requests with ECONNABORTED or ENOTCONN.

The tree must not open files of its own mount, nor wait for the dispatcher.
"""

from __future__ import annotations

import fcntl
import os
from errno import EAGAIN, EINTR, ENODEV, ENOENT

from sentry.platform.threads import start_new_thread
from sentry.vfs.fuse import BUFFER, Connection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from sentry.vfs.fuse import Tree

# allow_other: the openers are the container's users, not only its root (and a holder of the fd may
# fstat it). default_permissions: the kernel checks mode bits against the opener's fsuid, which the
# acting sentry thread has taken from the caller.
MOUNT_OPTIONS: Final[dict[bytes, bytes | None]] = {
    b"source": b"proc",
    b"rootmode": b"40000",
    b"user_id": b"0",
    b"group_id": b"0",
    b"allow_other": None,
    b"default_permissions": None,
}

# What the opener adds to the caller's flags. Since Linux 6.5 splice_read of FUSE goes through the page cache, where
# a file of size 0 is at its end at once: sendfile(2), and with it busybox cat, would find every file empty.
# fs/splice.c:vfs_splice_read() reads an O_DIRECT file directly. FUSE asks for no alignment.
OPEN_FLAGS: Final = os.O_DIRECT

_MFD_NOEXEC_SEAL = 8  # Linux 6.3
_F_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


class Server:
    """Owns a /dev/fuse fd and answers what arrives on it, one request at a time."""

    __slots__ = ("_connection", "_fd", "_report")

    def __init__(self, fuse_fd: int, tree: Tree, report: Callable[[Exception], None], seconds: int = 0) -> None:
        self._fd = fuse_fd
        self._report = report
        self._connection = Connection(tree, report, seconds)

    def start(self) -> None:
        """Serve on a thread of its own. It ends when the last reference to the mount is gone."""
        start_new_thread(self.serve, ())

    def serve(self) -> None:
        """Answer requests until the mount is gone."""
        buffer = bytearray(BUFFER)
        view = memoryview(buffer)
        receive = self._connection.receive
        try:
            while True:
                try:
                    size = os.readv(self._fd, (buffer,))
                    if not size:
                        return
                    reply = receive(view[:size])
                    if reply:
                        os.write(self._fd, reply)
                except OSError as e:
                    if e.errno == ENODEV:
                        return
                    # ENOENT: the request was interrupted before it was read, or while it was answered.
                    if e.errno not in (ENOENT, EINTR, EAGAIN):
                        self._report(e)
                        return
        finally:
            os.close(self._fd)


def snapshot(content: bytes, name: str, fds: int | None = None) -> int:
    """A sealed memfd that holds `content`; for hosts without FUSE. Values do not change any more.

    With `fds`, an fd of a /proc/self/fd directory, the result is opened read-only, so that write(2)
    fails as it does on a read-only file.
    """
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        fd = os.memfd_create(name, flags | _MFD_NOEXEC_SEAL)
    except OSError:  # before Linux 6.3
        fd = os.memfd_create(name, flags)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(fd, rest) :]
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _F_SEALS)
        if fds is None:
            os.lseek(fd, 0, os.SEEK_SET)
            return os.dup(fd)
        return os.open(b"%d" % fd, os.O_RDONLY | os.O_CLOEXEC, dir_fd=fds)
    finally:
        os.close(fd)
