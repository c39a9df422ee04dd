"""Acting on an object that has been looked up.

A lookup ends in an O_PATH descriptor, which most path system calls do not take. But an acting thread's working directory is
/proc/self/fd, so the relative name b"7" is the magic link to what descriptor 7 denotes: one jump, with no name on the way that
anybody could exchange. proc_pid_fd(5), fs/proc/fd.c:proc_fd_link(). The jump ends at the object itself, also at a symbolic link.
"""

from __future__ import annotations


def magic_link(fd: int) -> bytes:
    """The name of our descriptor `fd`, for an acting thread."""
    return b"%d" % fd


def value(result: int) -> int:
    """The result of a native call: its value, or OSError from -errno."""
    if result < 0:
        raise OSError(-result, "native call")
    return result
