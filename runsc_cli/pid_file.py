"""The file of --pid-file."""

from __future__ import annotations

import errno
import os

from runsc_cli.errors import HostError


def write(path: str, pid: int) -> None:
    """The pid, decimal, without a newline. The file comes into being whole, or not at all: open(2), O_TMPFILE."""
    try:
        fd = os.open(os.path.dirname(path) or ".", os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o666)
    except OSError as e:
        if e.errno not in (errno.EOPNOTSUPP, errno.EISDIR):  # a file system without it, such as NFS
            raise HostError("open", path, e) from None
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    try:
        os.write(fd, str(pid).encode())
        if not os.fstat(fd).st_nlink:
            _unlink(path)
            # with a directory descriptor, though it is not looked at: else this is link(2), which does not follow
            os.link(f"/proc/self/fd/{fd}", path, src_dir_fd=fd, follow_symlinks=True)
    except OSError as e:
        raise HostError("write", path, e) from None
    finally:
        os.close(fd)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
