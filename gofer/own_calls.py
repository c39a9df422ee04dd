"""The system calls that a gofer makes once the mount tree is built: its own seccomp filter, see sentry/platform/own_filter.py.

One thread, which receives a request and makes a mount of descriptors. It opens nothing by name; the one name that it gives to the
kernel is that of a mount point to be unmounted, in a directory that it was handed, and never through a link.
"""

from __future__ import annotations

from sentry.abi import (
    AT_EMPTY_PATH,
    AT_RECURSIVE,
    FSCONFIG_CMD_CREATE,
    FSCONFIG_SET_FLAG,
    FSCONFIG_SET_STRING,
    FSMOUNT_CLOEXEC,
    FSOPEN_CLOEXEC,
    MOVE_MOUNT_F_EMPTY_PATH,
    MOVE_MOUNT_T_EMPTY_PATH,
    OPEN_TREE_CLOEXEC,
    OPEN_TREE_CLONE,
    UMOUNT_NOFOLLOW,
)
from sentry.platform.bpf import Equal, In, MaskZero, Not
from sentry.platform.own_filter import PROCESS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sentry.platform.own_filter import Calls

_COPY = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH

CALLS: Calls = {
    **PROCESS,
    "fsopen": Equal(1, FSOPEN_CLOEXEC),
    "fsconfig": In(1, {"flag": FSCONFIG_SET_FLAG, "string": FSCONFIG_SET_STRING, "create": FSCONFIG_CMD_CREATE}),
    "fsmount": Equal(1, FSMOUNT_CLOEXEC),
    "open_tree": In(2, {"a copy": _COPY, "a recursive copy": _COPY | AT_RECURSIVE}),
    "move_mount": Equal(4, MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH),
    "mount_setattr": In(2, {"a mount": AT_EMPTY_PATH, "a tree": AT_EMPTY_PATH | AT_RECURSIVE}),
    "umount2": Not(MaskZero(1, {"UMOUNT_NOFOLLOW": UMOUNT_NOFOLLOW})),
    "fchdir": None,
    "pidfd_send_signal": Equal(1, 9),
}
