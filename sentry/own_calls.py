"""The system calls that a sentry makes once it serves: its own seccomp filter, see sentry/platform/own_filter.py.

No execve, no process of its own, no socket but those it was given or takes from a caller, no ptrace, no mount, no namespace, no module,
no bpf, nothing executable in memory. Each family stands where the handlers of the same name are (sentry/syscalls); libc decides which
of two spellings of a call it makes.
"""

from __future__ import annotations

from sentry.platform.bpf import AnyOf, Equal, In
from sentry.platform.own_filter import PROCESS, THREADS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sentry.platform.own_filter import Calls

_RECEIVING = {"SECCOMP_IOCTL_NOTIF_RECV": 0xC0502100}
_ANSWERING = {
    "SECCOMP_IOCTL_NOTIF_SEND": 0xC0182101,
    "SECCOMP_IOCTL_NOTIF_ID_VALID": 0x40082102,
    "SECCOMP_IOCTL_NOTIF_ADDFD": 0x40182103,
}
_RARE_REQUESTS = {
    "SECCOMP_IOCTL_NOTIF_SET_FLAGS": 0x40082104,
    "FIONBIO": 0x5421,  # os.set_blocking()
    "FIOCLEX": 0x5451,  # os.set_inheritable()
    "TCGETS": 0x5401,  # Python asks it of each file that it opens: sources, to show an error
}

_CALLERS: Calls = {
    **PROCESS,
    **THREADS,
    "fcntl": In(1, {"F_SETFD": 2, "F_GETFL": 3, "F_SETFL": 4, "F_DUPFD_CLOEXEC": 1030, "F_ADD_SEALS": 1033}),
    # the caller: its memory, descriptors, CPU; its end, by a bug of ours, the gofer's death or RLIMIT_FSIZE
    "process_vm_readv": None,
    "process_vm_writev": None,
    "pidfd_open": None,
    "pidfd_getfd": None,
    "kcmp": Equal(2, 2),  # KCMP_FILES, before Linux 6.9
    "sched_setaffinity": None,
    "prlimit64": Equal(2, 0, width=64),  # to ask
    "kill": Equal(1, 9),
    "pidfd_send_signal": Equal(1, 9),
    "tgkill": In(2, {"SIGUSR1": 10, "SIGXFSZ": 25}),  # SIGUSR1: our own threads, out of a held call
    # identity of a thread that acts for a caller: sentry/creds.py
    "capget": None,
    "capset": None,
    "setgroups": None,
    "getgroups": None,  # where setgroups is denied
    "setfsuid": None,
    "setfsgid": None,
    "umask": None,
    "unshare": Equal(0, 0x200, width=64),  # CLONE_FS
}
"""To act for callers, whatever they ask for."""

_FILES: Calls = {
    "fchdir": None,
    # names: sys_open, sentry/vfs
    "openat2": None,
    "read": None,
    "fstat": None,
    "openat": None,
    "newfstatat": None,
    "statx": None,
    "readlink": None,
    "readlinkat": None,
    "fstatfs": None,
    "getdents64": None,
    "lseek": None,
    "readv": None,  # of the FUSE device
    "memfd_create": None,  # generated files, where there is no FUSE
    # sys_dir
    "mkdirat": None,
    "mknodat": None,
    "unlinkat": None,
    "renameat2": None,
    "linkat": None,
    "symlinkat": None,
    # sys_attr
    "chmod": None,
    "fchmodat2": None,
    "chown": None,
    "utimensat": None,
    "truncate": None,
    "setxattr": None,
    "getxattr": None,
    "listxattr": None,
    "removexattr": None,
    # sys_stat, sys_misc
    "statfs": None,
    "faccessat2": None,
    "name_to_handle_at": None,
    "inotify_add_watch": None,
}
_SOCKETS: Calls = {
    # sys_socket, and the control socket
    "bind": None,
    "connect": None,
    "getsockopt": None,
    "getsockname": None,
    "accept4": None,
}

CALLS: Calls = {**_CALLERS, **_FILES, **_SOCKETS, "ioctl": AnyOf(In(1, {**_RECEIVING, **_ANSWERING}), In(1, _RARE_REQUESTS))}

WITHOUT_FILES: Calls = {**_CALLERS, **_SOCKETS, "ioctl": CALLS["ioctl"], "socketpair": Equal(0, 1)}
"""Where another process has the files (sentry/files.py): no call that takes a name, and AF_UNIX pairs to hand it calls by."""

FILES_ALONE: Calls = {**_CALLERS, **_FILES, "ioctl": AnyOf(In(1, _ANSWERING), In(1, _RARE_REQUESTS))}
"""That process: it is handed calls and receives none."""


def shared(calls: Calls) -> Calls:
    """In network mode `shared`: AF_UNIX sockets as well, made in a network namespace of our own (sentry/unix_sockets.py)."""
    return {**calls, "socket": Equal(0, 1), "socketpair": Equal(0, 1)}


def tracing(calls: Calls) -> Calls:
    """On the platform ptrace: a tracer's calls as well. Whom it may seize is for the kernel to say, as everywhere in this file."""
    return {**calls, "ptrace": In(0, _PTRACE, width=64), "wait4": None}


_PTRACE = {
    "PTRACE_POKEUSER": 6,
    "PTRACE_CONT": 7,
    "PTRACE_GETREGS": 12,
    "PTRACE_SETREGS": 13,
    "PTRACE_SYSCALL": 24,
    "PTRACE_GETEVENTMSG": 0x4201,
    "PTRACE_SEIZE": 0x4206,
    "PTRACE_INTERRUPT": 0x4207,
    "PTRACE_LISTEN": 0x4208,
    "PTRACE_GETSIGMASK": 0x420A,
    "PTRACE_SETSIGMASK": 0x420B,
    "PTRACE_GET_SYSCALL_INFO": 0x420E,
}
