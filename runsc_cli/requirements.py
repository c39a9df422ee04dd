"""What pysc needs of the kernel, looked at when something has failed and by `doctor`: which of it is missing here, in words.

Nothing of this runs on the way to a container. A host may lack a call because its kernel is older than Linux 5.19, because it was
built without, or because pysc itself runs in a sandbox (another runtime's seccomp profile) whose answers look like that.
"""

from __future__ import annotations

import errno
import os

from sentry.abi import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    CLONE_NEWUSER,
    FSOPEN_CLOEXEC,
    MOUNT_ATTR_RDONLY,
    O_PATH,
    OPEN_TREE_CLOEXEC,
    SECCOMP_FILTER_FLAG_NEW_LISTENER,
    SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
)
from sentry.platform._native import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SECCOMP, _CLOSE_RANGE, _MOVE_MOUNT = 317, 436, 429
_CLOSE_RANGE_CLOEXEC = 4
_NO_FD = (1 << 32) - 2
_BAD = (1 << 64) - 1  # -1


def _address(value: object) -> int:
    return int(ffi.cast("uintptr_t", value))


def _closed(fd: int) -> int:
    if fd >= 0:
        os.close(fd)
    return fd


def _pidfd_open() -> int:
    return _closed(os.pidfd_open(os.getpid()))


def _process_vm_readv() -> int:
    byte = ffi.new("char[]", b"x")
    return int(lib.read_mem(os.getpid(), _address(byte), ffi.new("char[]", 1), 1))


def _seccomp(flag: int) -> int:
    """Without a program: EFAULT is the answer of a kernel that knows the flag."""
    result = int(lib.syscall6(_SECCOMP, 1, flag, 0, 0, 0, 0))
    return 0 if result == -errno.EFAULT else result


def _user_namespace() -> int:
    pid = os.fork()
    if pid == 0:
        os._exit(-lib.unshare_(CLONE_NEWUSER))
    return -os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _known(result: int) -> int:
    """The result of a call that was made wrong on purpose: only what says that there is no such call counts."""
    return result if result in (-errno.ENOSYS, -errno.EPERM) else 0


_PROBES: tuple[tuple[str, str, Callable[[], int]], ...] = (
    ("user namespaces", "user.max_user_namespaces may be 0", _user_namespace),
    ("seccomp user notification", "Linux 5.0", lambda: _seccomp(SECCOMP_FILTER_FLAG_NEW_LISTENER)),
    (
        "seccomp's SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
        "Linux 5.19",
        lambda: _seccomp(SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV),
    ),
    ("process_vm_readv(2)", "CONFIG_CROSS_MEMORY_ATTACH", _process_vm_readv),
    ("pidfd_open(2)", "Linux 5.3", _pidfd_open),
    ("pidfd_getfd(2)", "Linux 5.6", lambda: _known(_closed(lib.get_fd(os.getpid(), 2)))),
    ("openat2(2)", "Linux 5.6", lambda: _closed(lib.openat2_raw(AT_FDCWD, b"/", O_PATH, 0, 0))),
    ("close_range(2)", "Linux 5.11", lambda: lib.syscall6(_CLOSE_RANGE, _NO_FD, _NO_FD, _CLOSE_RANGE_CLOEXEC, 0, 0, 0)),
    ("memfd_create(2)", "Linux 3.17", lambda: _closed(os.memfd_create("probe", os.MFD_CLOEXEC))),
    ("fsopen(2)", "Linux 5.2", lambda: _closed(lib.fsopen_(b"tmpfs", FSOPEN_CLOEXEC))),
    ("open_tree(2)", "Linux 5.2", lambda: _closed(lib.open_tree_(AT_FDCWD, b"/", OPEN_TREE_CLOEXEC))),
    ("move_mount(2)", "Linux 5.2", lambda: _known(int(lib.syscall6(_MOVE_MOUNT, _BAD, 0, _BAD, 0, 0, 0)))),
    (
        "mount_setattr(2)",
        "Linux 5.12",
        lambda: _known(lib.mount_setattr_(-1, b"", AT_EMPTY_PATH, MOUNT_ATTR_RDONLY, 0, 0, -1)),
    ),
)
_ROOTS = frozenset(("fsopen(2)", "move_mount(2)", "mount_setattr(2)"))
"""What others than root are refused outside of a user namespace of their own."""


def looked_at() -> Iterator[tuple[str, str, str]]:
    """(name, since when there is such a thing, why it is not to be had here: empty when it is) of each."""
    for name, since, probe in _PROBES:
        if name in _ROOTS and os.geteuid() != 0:
            continue
        try:
            result = probe()
        except OSError as e:
            result = -(e.errno or errno.EIO)
        yield name, since, os.strerror(-result).lower() if result < 0 else ""


def missing() -> list[str]:
    """Each thing that is not to be had here: "openat2(2) (Linux 5.6): function not implemented"."""
    return [f"{name} ({since}): {why}" for name, since, why in looked_at() if why]


def explained(message: str) -> str:
    """`message`, and what is missing here, if that is why."""
    lacking = missing()
    if not lacking:
        return message
    return f"{message}; pysc cannot do without what is missing here: {', '.join(lacking)}"
