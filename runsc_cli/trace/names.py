"""Symbolic names of numbers in arguments: flags, commands, families. By the words that signatures.py uses for them.

Names come from where they are in the project already (sentry.abi, sentry.syscalls.arguments) or from the standard library; what
neither has stands here. Sources: the kernel's uapi headers.
"""

from __future__ import annotations

import _socket
import mmap
import os
import select
import signal

from sentry import abi
from sentry.syscalls import arguments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType
    from typing import TypeAlias

    Names: TypeAlias = Mapping[str, int]


def _of(module: ModuleType, *prefixes: str, without: tuple[str, ...] = ()) -> dict[str, int]:
    return {n: v for n, v in vars(module).items() if n.startswith(prefixes) and isinstance(v, int) and n not in without}


def _bits(*names: str, first: int = 0) -> dict[str, int]:
    """Names of successive bits; an empty one is a bit without a name."""
    return {name: 1 << at for at, name in enumerate(names, first) if name}


def _row(*names: str, first: int = 0) -> dict[str, int]:
    return {name: at for at, name in enumerate(names, first) if name}


_AT = _of(abi, "AT_", without=("AT_FDCWD", "AT_REMOVEDIR", "AT_EACCESS"))
_CLOEXEC_NONBLOCK = {"CLOEXEC": abi.O_CLOEXEC, "NONBLOCK": abi.O_NONBLOCK}


def _with(prefix: str, **more: int) -> dict[str, int]:
    return {prefix + name: value for name, value in (_CLOEXEC_NONBLOCK | more).items()}


BITS: dict[str, Names] = {
    "at": _AT,
    "at_remove": {"AT_REMOVEDIR": abi.AT_REMOVEDIR},
    "at_access": _AT | {"AT_EACCESS": abi.AT_EACCESS},
    "resolve": _of(abi, "RESOLVE_", without=("RESOLVE_ALL",)),
    "rename": _of(abi, "RENAME_"),
    "mount": _of(abi, "MS_"),
    "umount": _of(abi, "UMOUNT_") | {"MNT_FORCE": 1, "MNT_DETACH": 2, "MNT_EXPIRE": 4},
    "prot": _of(mmap, "PROT_"),
    "xattr": _bits("XATTR_CREATE", "XATTR_REPLACE"),
    "msg": _of(_socket, "MSG_"),
    "pipe": {"O_CLOEXEC": abi.O_CLOEXEC, "O_NONBLOCK": abi.O_NONBLOCK, "O_DIRECT": abi.O_DIRECT},
    "cloexec": {"O_CLOEXEC": abi.O_CLOEXEC},
    "sock_flags": _with("SOCK_"),
    "efd": _with("EFD_", SEMAPHORE=1),
    "epoll_flags": {"EPOLL_CLOEXEC": abi.O_CLOEXEC},
    "inotify": _with("IN_"),
    "sfd": _with("SFD_"),
    "tfd": _with("TFD_"),
    "mfd": _bits("MFD_CLOEXEC", "MFD_ALLOW_SEALING", "MFD_HUGETLB", "MFD_NOEXEC_SEAL", "MFD_EXEC"),
    "random": _bits("GRND_NONBLOCK", "GRND_RANDOM", "GRND_INSECURE"),
    "wait": _bits("WNOHANG", "WUNTRACED", "WEXITED", "WCONTINUED") | {"WNOWAIT": 1 << 24, "__WALL": 1 << 30},
    "in": _bits(*("IN_ACCESS IN_MODIFY IN_ATTRIB IN_CLOSE_WRITE IN_CLOSE_NOWRITE IN_OPEN IN_MOVED_FROM IN_MOVED_TO IN_CREATE IN_DELETE "
                  "IN_DELETE_SELF IN_MOVE_SELF").split())
    | {"IN_ONLYDIR": 1 << 24, "IN_DONT_FOLLOW": 1 << 25, "IN_EXCL_UNLINK": 1 << 26, "IN_MASK_ADD": 1 << 29, "IN_ONESHOT": 1 << 31},
    "clone": _of(abi, "CLONE_")
    | _bits("CLONE_VM", "CLONE_FS", "CLONE_FILES", "CLONE_SIGHAND", "CLONE_PIDFD", "CLONE_PTRACE", "CLONE_VFORK", first=8)
    | _bits("CLONE_THREAD", "", "CLONE_SYSVSEM", "CLONE_SETTLS", "CLONE_PARENT_SETTID", "CLONE_CHILD_CLEARTID", first=16)
    | {"CLONE_CHILD_SETTID": 1 << 24, "CLONE_IO": 1 << 31},
    "falloc": _bits("FALLOC_FL_KEEP_SIZE", "FALLOC_FL_PUNCH_HOLE", "", "FALLOC_FL_COLLAPSE_RANGE", "FALLOC_FL_ZERO_RANGE"),
    "flock": _bits("LOCK_SH", "LOCK_EX", "LOCK_NB", "LOCK_UN"),
    "msync": _bits("MS_ASYNC", "MS_INVALIDATE", "MS_SYNC"),
    "statx": _bits(*(f"STATX_{n}" for n in "TYPE MODE NLINK UID GID ATIME MTIME CTIME INO SIZE BLOCKS BTIME MNT_ID DIOALIGN".split())),
    "timer": _bits("TIMER_ABSTIME"),
    "personality": {},
}  # fmt: skip
"""Flags that are or'ed together."""

_IN_FUTEX = arguments.FUTEX_NOT_PI.named | {"FUTEX_LOCK_PI": 6, "FUTEX_UNLOCK_PI": 7, "FUTEX_TRYLOCK_PI": 8}

ONE: dict[str, Names] = {
    "af": _of(_socket, "AF_"),
    "sock": _of(_socket, "SOCK_", without=("SOCK_CLOEXEC", "SOCK_NONBLOCK")),
    "fcntl": arguments.FCNTL.named | {"F_NOTIFY": 1026},
    "ioctl": arguments.IOCTL.named | {"TIOCSTI": 0x5412, "TIOCLINUX": 0x541C, "TIOCSETD": 0x5423, "TIOCCONS": 0x541D},
    "prctl": arguments.PRCTL.named | arguments.PRCTL_IDENTITY.named | arguments.PRCTL_PRIVILEGED.named,
    "seek": _row("SEEK_SET", "SEEK_CUR", "SEEK_END", "SEEK_DATA", "SEEK_HOLE"),
    "signal": {s.name: int(s) for s in signal.Signals} | {"0": 0},
    "sigmask": _row("SIG_BLOCK", "SIG_UNBLOCK", "SIG_SETMASK"),
    "epoll": _row("EPOLL_CTL_ADD", "EPOLL_CTL_DEL", "EPOLL_CTL_MOD", first=1),
    "madvise": _row("MADV_NORMAL", "MADV_RANDOM", "MADV_SEQUENTIAL", "MADV_WILLNEED", "MADV_DONTNEED")
    | {"MADV_FREE": 8, "MADV_DONTFORK": 10, "MADV_DOFORK": 11, "MADV_MERGEABLE": 12, "MADV_HUGEPAGE": 14, "MADV_NOHUGEPAGE": 15,
       "MADV_DONTDUMP": 16, "MADV_POPULATE_READ": 22, "MADV_POPULATE_WRITE": 23, "MADV_HWPOISON": 100, "MADV_SOFT_OFFLINE": 101},
    "clock": _row("CLOCK_REALTIME", "CLOCK_MONOTONIC", "CLOCK_PROCESS_CPUTIME_ID", "CLOCK_THREAD_CPUTIME_ID", "CLOCK_MONOTONIC_RAW",
                  "CLOCK_REALTIME_COARSE", "CLOCK_MONOTONIC_COARSE", "CLOCK_BOOTTIME"),
    "sol": {"SOL_IP": 0, "SOL_SOCKET": 1, "SOL_TCP": 6, "SOL_UDP": 17, "SOL_IPV6": 41, "SOL_NETLINK": 270},
    "shut": _row("SHUT_RD", "SHUT_WR", "SHUT_RDWR"),
    "rlimit": _row(*(f"RLIMIT_{n}" for n in "CPU FSIZE DATA STACK CORE RSS NPROC NOFILE MEMLOCK AS LOCKS SIGPENDING MSGQUEUE NICE "
                     "RTPRIO RTTIME".split())),
    "arch": {"ARCH_SET_GS": 0x1001, "ARCH_SET_FS": 0x1002, "ARCH_GET_FS": 0x1003, "ARCH_GET_GS": 0x1004},
    "which": _row("PRIO_PROCESS", "PRIO_PGRP", "PRIO_USER"),
    "rusage": {"RUSAGE_SELF": 0, "RUSAGE_CHILDREN": -1, "RUSAGE_THREAD": 1},
    "idtype": _row("P_ALL", "P_PID", "P_PGID", "P_PIDFD"),
    "itimer": _row("ITIMER_REAL", "ITIMER_VIRTUAL", "ITIMER_PROF"),
    "seccomp": _row("SECCOMP_SET_MODE_STRICT", "SECCOMP_SET_MODE_FILTER", "SECCOMP_GET_ACTION_AVAIL", "SECCOMP_GET_NOTIF_SIZES"),
    "fadvise": _row(*(f"POSIX_FADV_{n}" for n in "NORMAL RANDOM SEQUENTIAL WILLNEED DONTNEED NOREUSE".split())),
    "ptrace": _row(*(f"PTRACE_{n}" for n in "TRACEME PEEKTEXT PEEKDATA PEEKUSER POKETEXT POKEDATA POKEUSER CONT KILL SINGLESTEP".split()))
    | {"PTRACE_GETREGS": 12, "PTRACE_SETREGS": 13, "PTRACE_ATTACH": 16, "PTRACE_DETACH": 17, "PTRACE_SYSCALL": 24,
       "PTRACE_SETOPTIONS": 0x4200, "PTRACE_GETEVENTMSG": 0x4201, "PTRACE_GETREGSET": 0x4204, "PTRACE_SEIZE": 0x4206,
       "PTRACE_GET_SYSCALL_INFO": 0x420E},
}  # fmt: skip
"""Numbers that stand for one thing."""

_OPEN = _of(abi, "O_", without=("O_ACCMODE", "O_VALID"))
_ACCESS = ("O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE")
_MAP_TYPES = _row("MAP_FILE", "MAP_SHARED", "MAP_PRIVATE", "MAP_SHARED_VALIDATE")
_MAP = {"MAP_FIXED": 0x10, "MAP_ANONYMOUS": 0x20, "MAP_GROWSDOWN": 0x100, "MAP_DENYWRITE": 0x800, "MAP_LOCKED": 0x2000,
        "MAP_NORESERVE": 0x4000, "MAP_POPULATE": 0x8000, "MAP_NONBLOCK": 0x10000, "MAP_STACK": 0x20000, "MAP_HUGETLB": 0x40000,
        "MAP_SYNC": 0x80000, "MAP_FIXED_NOREPLACE": 0x100000}  # fmt: skip
_ACCESS_OK = {"R_OK": os.R_OK, "W_OK": os.W_OK, "X_OK": os.X_OK}
_FUTEX_FLAGS = {"FUTEX_PRIVATE_FLAG": 128, "FUTEX_CLOCK_REALTIME": 256}
_TYPES = {0o140000: "S_IFSOCK", 0o120000: "S_IFLNK", 0o100000: "S_IFREG", 0o060000: "S_IFBLK", 0o040000: "S_IFDIR",
          0o020000: "S_IFCHR", 0o010000: "S_IFIFO"}  # fmt: skip
POLL = _of(select, "POLL")


def bits(value: int, names: Names, none: str = "0") -> str:
    """`value` as names joined by |; those that stand for several bits first, what has no name as a number last."""
    found = []
    for name, bit in sorted(names.items(), key=lambda item: -item[1].bit_count()):
        if bit and value & bit == bit:
            found.append((bit, name))
            value &= ~bit
    text = [name for _, name in sorted(found)]
    if value:
        text.append(hex(value))
    return "|".join(text) or none


def one(value: int, names: Names) -> str:
    """The name of `value`, else the number."""
    return next((name for name, known in names.items() if known == value), hex(value))


def open_flags(value: int) -> str:
    rest = bits(value & ~3, _OPEN, "")
    return _ACCESS[value & 3] + (f"|{rest}" if rest else "")


def mode(value: int) -> str:
    """Permission bits in octal, with the type of the file in front if there is one: S_IFREG|0644."""
    kind = _TYPES.get(value & 0o170000)
    digits = f"0{value & 0o7777 if kind else value:o}".rjust(3, "0")
    return f"{kind}|{digits}" if kind else digits


def map_flags(value: int) -> str:
    rest = bits(value & ~0xF, _MAP, "")
    return one(value & 0xF, _MAP_TYPES) + (f"|{rest}" if rest else "")


def access_mode(value: int) -> str:
    return bits(value, _ACCESS_OK, "F_OK")


def clone_flags(value: int) -> str:
    """Flags and, in the low byte, the signal at the end."""
    number = value & 0xFF
    text = bits(value & 0xFFFFFF00, BITS["clone"], "")
    return "|".join(filter(None, (text, one(number, ONE["signal"]) if number else ""))) or "0"


def sock_type(value: int) -> str:
    rest = bits(value & ~0xF, BITS["sock_flags"], "")
    return one(value & 0xF, ONE["sock"]) + (f"|{rest}" if rest else "")


def futex_op(value: int) -> str:
    rest = bits(value & ~0x7F, _FUTEX_FLAGS, "")
    return one(value & 0x7F, _IN_FUTEX) + (f"|{rest}" if rest else "")


def sock_option(level: int, value: int) -> str:
    """The options are named where the filter allows them: sentry/syscalls/arguments.py."""
    for rule in (*arguments.GETSOCKOPT.rules, *arguments.SETSOCKOPT.rules):
        where, which = rule.rules  # type: ignore[attr-defined]
        if level in where.values:
            for name, known in which.named.items():
                if known == value:
                    return str(name)
    return str(value)


WORDS: dict[str, Callable[[int], str]] = {
    "open": open_flags,
    "mode": mode,
    "map": map_flags,
    "access": access_mode,
    "clone_flags": clone_flags,
    "sock_type": sock_type,
    "futex_op": futex_op,
}
"""Those with rules of their own."""
