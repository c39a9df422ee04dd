"""Which system call goes where. The filter, the help page, the attack-surface count and the compatibility report come from here.

Dispositions:

- NATIVE: the host kernel executes it; the sentry does not see it.
- NativeIf(rule, otherwise): native while a test of the argument registers holds.
- MEDIATED: a handler in sentry/syscalls decides and acts.
- Denied(errno): refused. It goes to the sentry as well, which counts it, unless `counted` is false.

What is not in the table does not exist: ENOSYS, counted. Order and grouping are by what a call is about. DESIGN: a call is native when it
yields no object for a name, or acts on a descriptor that is held already (docs/design.md, "Which syscall goes where").
"""

from __future__ import annotations

from errno import EBUSY, EINVAL, ENOPROTOOPT, ENOSYS, EOPNOTSUPP, EPERM, EPROTONOSUPPORT

from sentry.platform.bpf import AllOf, AnyOf, In, Rule, Zero
from sentry.syscalls.numbers import NUMBERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

FULL, PARTIAL, STUB, NONE = "full", "partial", "stub", "none"
PROFILES = ("standard", "strict")
NETWORKS = ("none", "host")


class Native:
    """Executed by the host kernel."""

    __slots__ = ()


class Mediated:
    """Decided and emulated by the sentry."""

    __slots__ = ()


class Denied:
    """Refused with `errno`; `counted`: by the sentry, which remembers it, else by the filter alone."""

    __slots__ = ("counted", "errno")

    def __init__(self, errno: int, *, counted: bool = True) -> None:
        self.errno = errno
        self.counted = counted


class NativeIf:
    """Native where `rule` holds, else `otherwise`."""

    __slots__ = ("otherwise", "rule")

    def __init__(self, rule: Rule, otherwise: Mediated | Denied) -> None:
        self.rule = rule
        self.otherwise = otherwise


NATIVE: Final = Native()
MEDIATED: Final = Mediated()
Disposition = Native | Mediated | Denied | NativeIf


class Row:
    """One system call."""

    __slots__ = ("name", "note", "number", "standard", "strict", "support")

    def __init__(self, name: str, standard: Disposition, strict: Disposition, support: str, note: str) -> None:
        self.name = name
        self.number = NUMBERS[name]
        self.standard = standard
        self.strict = strict
        self.support = support
        self.note = note

    def disposition(self, profile: str) -> Disposition:
        return self.strict if profile == "strict" else self.standard

    def refusal(self, profile: str) -> int:
        """The errno when the sentry is asked and has no handler."""
        found = self.disposition(profile)
        if isinstance(found, NativeIf):
            found = found.otherwise
        return found.errno if isinstance(found, Denied) else ENOSYS


ROWS: list[Row] = []


def _add(names: str | Iterable[str], what: Disposition, support: str = "", note: str = "", *, strict: Disposition | None = None) -> None:
    for name in names.split() if isinstance(names, str) else names:
        level = support or (NONE if isinstance(what, Denied) else FULL)
        ROWS.append(Row(name, what, strict or what, level, note))


# ---- memory, threads, time, signals, processes: nothing is named ----

_add(
    "mmap mprotect munmap mremap brk madvise mincore msync mlock mlock2 munlock mlockall munlockall remap_file_pages pkey_mprotect "
    "pkey_alloc pkey_free mseal map_shadow_stack membarrier rseq process_madvise mbind set_mempolicy get_mempolicy "
    "set_mempolicy_home_node cachestat",
    NATIVE,
)
_add(
    "futex futex_waitv futex_wake futex_wait futex_requeue set_robust_list get_robust_list set_tid_address gettid getpid getppid "
    "getpgid setpgid getpgrp getsid setsid exit exit_group wait4 waitid execve execveat fork vfork arch_prctl",
    NATIVE,
)
_add(
    "rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigqueueinfo rt_tgsigqueueinfo rt_sigsuspend sigaltstack "
    "kill tkill tgkill pause alarm getitimer setitimer restart_syscall pidfd_open pidfd_send_signal pidfd_getfd",
    NATIVE,
)
_add(
    "nanosleep clock_nanosleep clock_gettime clock_getres gettimeofday time times timer_create timer_settime timer_gettime "
    "timer_getoverrun timer_delete getrusage",
    NATIVE,
)
_add(
    "sched_yield sched_setparam sched_getparam sched_setscheduler sched_getscheduler sched_get_priority_max sched_get_priority_min "
    "sched_rr_get_interval sched_setaffinity sched_getaffinity sched_setattr sched_getattr getpriority setpriority ioprio_set ioprio_get "
    "getcpu getrlimit setrlimit prlimit64",
    NATIVE,
)
_add("ptrace process_vm_readv process_vm_writev kcmp", NATIVE, note="the pid namespace bounds whom it reaches")
_add("getuid getgid geteuid getegid getgroups getresuid getresgid capget getrandom uname", NATIVE)

_CLONE_NEW = 0x80 | 0x20000 | 0x2000000 | 0x4000000 | 0x8000000 | 0x10000000 | 0x20000000 | 0x40000000
_add("clone", NativeIf(Zero(0, _CLONE_NEW, width=64), Denied(EPERM)), PARTIAL, "no new namespaces: EPERM")
_add("clone3", Denied(ENOSYS, counted=False), NONE, "its flags are in memory; libraries fall back to clone")
_add("unshare", NativeIf(Zero(0, _CLONE_NEW, width=64), Denied(EPERM)), PARTIAL, "no new namespaces: EPERM")
_add("setns", Denied(EPERM), NONE, "a sandbox is left by nobody")

# ---- identity: the kernel's books; the sentry only learns that its cache is stale (CONTINUE) ----

_add(
    "setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups capset umask",
    MEDIATED,
    note="continued: the effect is the kernel's, on the caller",
)
_PRCTL_PASS = (
    *(1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 19, 20, 21, 22, 23, 25, 26, 27, 29, 30, 33, 34, 36, 37),
    *(38, 39, 40, 41, 42, 45, 46, 48, 51, 52, 53, 63, 64, 65, 66, 67, 68, 70, 74, 78),
    *(0x53564D41, 0x59616D61),  # PR_SET_VMA, PR_SET_PTRACER
)
_add(
    "prctl",
    NativeIf(In(0, _PRCTL_PASS), MEDIATED),
    PARTIAL,
    "keepcaps, bounding set, securebits and ambient set go to the sentry, continued; PR_SET_MM, PR_TASK_PERF_EVENTS_*, PR_SET_SYSCALL_USER_DISPATCH and unknown options: EINVAL",
)
_add("chroot", MEDIATED, note="continued: the new root is in the caller's view")
_add("personality", NativeIf(In(0, (0, 0xFFFFFFFF, 0x40000, 0x400000, 0x440000)), Denied(EINVAL)), PARTIAL, "PER_LINUX with ADDR_NO_RANDOMIZE or READ_IMPLIES_EXEC")
_add("seccomp", NativeIf(AnyOf(In(0, (0, 2, 3)), AllOf(In(0, (1,)), Zero(1, 8))), Denied(EBUSY)), PARTIAL, "no listener of the workload's own: there is one already")
_add("landlock_create_ruleset landlock_add_rule landlock_restrict_self", NATIVE)

# ---- I/O on what is held ----

_add(
    "read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek close close_range dup dup2 dup3 fstat fstatfs "
    "ftruncate fallocate fsync fdatasync syncfs sync sync_file_range readahead fadvise64 flock fchdir fchmod fchown getdents getdents64 "
    "sendfile splice tee vmsplice copy_file_range fsetxattr fgetxattr flistxattr fremovexattr",
    NATIVE,
)
_add("pipe", NATIVE)
_add("pipe2", NativeIf(In(1, (0, 0o4000, 0o2000000, 0o2004000, 0o40000, 0o44000, 0o2040000, 0o2044000)), Denied(EINVAL)), PARTIAL, "no O_NOTIFICATION_PIPE")
_add(
    "poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 eventfd eventfd2 signalfd "
    "signalfd4 timerfd_create timerfd_settime timerfd_gettime memfd_create inotify_init inotify_init1 inotify_rm_watch",
    NATIVE,
)
_FCNTL = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 15, 16, 36, 37, 38, 1024, 1025, 1027, 1028, 1029, 1030, 1031, 1032, 1033, 1034, 1035, 1036, 1037, 1038)
_add("fcntl", NativeIf(In(1, _FCNTL), Denied(EINVAL)), PARTIAL, "no F_NOTIFY; unknown commands EINVAL")
_IOCTL = (
    # termios and job control; TIOCSTI, TIOCLINUX and TIOCSETD never
    *(0x5401, 0x5402, 0x5403, 0x5404, 0x5405, 0x5406, 0x5407, 0x5408, 0x5409, 0x540A, 0x540B, 0x540C, 0x540D, 0x540E, 0x540F),
    *(0x5410, 0x5411, 0x5413, 0x5414, 0x5415, 0x541A, 0x5420, 0x5422, 0x5424, 0x5425, 0x5429, 0x802C542A, 0x402C542B, 0x402C542C),
    *(0x402C542D, 0x80045430, 0x40045431, 0x80045438, 0x80045439, 0x5441),
    # FIONREAD FIONBIO FIONCLEX FIOCLEX FIOASYNC FIOQSIZE FIOSETOWN FIOGETOWN SIOCATMARK SIOCOUTQ
    *(0x541B, 0x5421, 0x5450, 0x5451, 0x5452, 0x5460, 0x8901, 0x8902, 0x8903, 0x8904, 0x8905),
    # SIOCGIF*: of the container's own network namespace
    *(0x8910, 0x8912, 0x8913, 0x8915, 0x8917, 0x8919, 0x891B, 0x891D, 0x8921, 0x8927, 0x8933, 0x8942, 0x8970),
    # FICLONE FICLONERANGE FS_IOC_GETFLAGS FS_IOC_FSGETXATTR FS_IOC_FIEMAP, epoll parameters
    *(0x40049409, 0x4020940D, 0x80086601, 0x801C581F, 0xC020660B, 0x80088A02, 0x40088A01),
)
_add("ioctl", NativeIf(In(1, _IOCTL), MEDIATED), PARTIAL, "by number: terminals, sockets, files; the rest ENOTTY")

# ---- System V and POSIX IPC: an IPC namespace of the container's own ----

_add("shmget shmat shmctl shmdt semget semop semctl semtimedop msgget msgsnd msgrcv msgctl", NATIVE)
_add("mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr", NATIVE)

# ---- names ----

_add("open openat openat2 creat", MEDIATED, PARTIAL, "opening a terminal does not make it the controlling terminal; openat2 with O_PATH: ENOSYS")
_add(
    "mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 link linkat symlink symlinkat chmod fchmodat fchmodat2 "
    "chown lchown fchownat utime utimes futimesat truncate",
    MEDIATED,
)
_add("mknod mknodat", MEDIATED, PARTIAL, "FIFOs, sockets and files; devices EPERM, as in any user namespace")
_add("utimensat", NativeIf(In(1, (0,), width=64), MEDIATED))
_add("setxattr lsetxattr getxattr lgetxattr listxattr llistxattr removexattr lremovexattr", MEDIATED)
_add("inotify_add_watch", MEDIATED)
_add("mount", MEDIATED, PARTIAL, "tmpfs, bind, remount and propagation, with CAP_SYS_ADMIN; others EPERM")
_add("umount2", MEDIATED)
_add("sysinfo", MEDIATED, note="the container's memory and uptime")
_add(
    "stat lstat newfstatat statx access faccessat faccessat2 readlink readlinkat chdir statfs",
    NATIVE,
    strict=MEDIATED,
    note="native in the standard profile: it yields no object, and the kernel's view is the container's",
)
_add("getcwd", NATIVE)

# ---- sockets: kernel sockets of the container's own network namespace ----

_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK = 1, 2, 10, 16
_TYPE = ~0o2004000  # SOCK_NONBLOCK, SOCK_CLOEXEC
_STREAM, _DGRAM, _RAW, _SEQPACKET = 1, 2, 3, 5
_INET = In(0, (_AF_INET, _AF_INET6))
_SOCKET = AnyOf(
    AllOf(In(0, (_AF_UNIX,)), In(1, (_STREAM, _DGRAM, _RAW, _SEQPACKET), mask=_TYPE)),
    AllOf(_INET, In(1, (_STREAM,), mask=_TYPE), In(2, (0, 6))),
    AllOf(_INET, In(1, (_DGRAM,), mask=_TYPE), In(2, (0, 17, 1, 58))),
    AllOf(In(0, (_AF_NETLINK,)), In(1, (_DGRAM, _RAW), mask=_TYPE), In(2, (0,))),
)
_add("socket", NativeIf(_SOCKET, Denied(EPROTONOSUPPORT)), PARTIAL, "UNIX, TCP, UDP, ping, rtnetlink; no raw and packet sockets")
_add("socketpair", NativeIf(In(0, (_AF_UNIX,)), Denied(EOPNOTSUPP)))
_add("bind connect", MEDIATED)
_add(
    "listen accept accept4 getsockname getpeername shutdown sendto recvfrom sendmsg recvmsg sendmmsg recvmmsg",
    NATIVE,
    note="the socket is the kernel's, in the container's network namespace",
)
_SOL_SOCKET = (*range(1, 14), 15, 16, 17, 18, 19, 20, 21, 28, 29, 30, 31, 34, 35, 36, 38, 39, 41, 42, 43, 45, 46, 47, 55, 56, 57, 59, 63, 64, 65, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 76, 77)
_TCP = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 16, 17, 18, 23, 24, 25, 26, 30, 36, 37)
_IP = (1, 2, 3, 4, 6, 7, 8, 10, 11, 12, 13, 14, 15, 18, 19, 20, 21, 22, 23, 24, 32, 33, 34, 35, 36, 37, 38, 39, 40, 49, 50, 51)
_IPV6 = (1, 2, 3, 4, 5, 7, 8, 11, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 49, 50, 51, 52, 53, 54, 55, 56, 59, 60, 61, 62, 66, 67, 70, 72, 73, 74, 75, 76, 78)
_OPTIONS = AnyOf(
    AllOf(In(1, (1,)), In(2, _SOL_SOCKET)),
    AllOf(In(1, (6,)), In(2, _TCP)),
    AllOf(In(1, (0,)), In(2, _IP)),
    AllOf(In(1, (41,)), In(2, _IPV6)),
    AllOf(In(1, (17,)), In(2, (1, 101, 102, 103, 104))),
    AllOf(In(1, (58, 255)), In(2, (1,))),
    AllOf(In(1, (270,)), In(2, (1, 2, 3, 9, 10, 11, 12))),
)
_NO_OPTION = "an allowlist of levels and names; no TCP_ULP, TCP_REPAIR, netfilter, socket filters"
_add("setsockopt getsockopt", NativeIf(_OPTIONS, Denied(ENOPROTOOPT)), PARTIAL, _NO_OPTION)

# ---- refused ----

_add("io_uring_setup io_uring_enter io_uring_register", Denied(ENOSYS), note="liburing's users fall back to system calls")
_add("io_setup io_destroy io_getevents io_submit io_cancel io_pgetevents", Denied(ENOSYS), note="kernel AIO: databases fall back to threads")
_add("bpf perf_event_open", Denied(EPERM), note="as Docker refuses them")
_add("userfaultfd", Denied(EPERM), note="as with vm.unprivileged_userfaultfd=0")
_add("add_key request_key keyctl", Denied(ENOSYS), note="keyrings are not namespaced")
_add("fanotify_init fanotify_mark", Denied(EPERM), note="inotify is there")
_add("name_to_handle_at open_by_handle_at", Denied(EOPNOTSUPP), note="a handle names a file beyond the view")
_add("fsopen fsconfig fsmount fspick move_mount open_tree open_tree_attr mount_setattr statmount listmount", Denied(ENOSYS), note="mount(2) is there, the newer interface not; libmount falls back")
_add("pivot_root", Denied(EPERM), note="chroot is there")
_add("init_module finit_module delete_module create_module query_module get_kernel_syms kexec_load kexec_file_load", Denied(EPERM), note="the host's kernel")
_add("swapon swapoff acct quotactl quotactl_fd reboot vhangup syslog", Denied(EPERM), note="the host's")
_add("settimeofday clock_settime clock_adjtime adjtimex", Denied(EPERM), note="the host's clock")
_add("sethostname setdomainname", NATIVE, note="a UTS namespace of the container's own")
_add("iopl ioperm modify_ldt", Denied(EPERM), note="hardware, 16-bit segments")
_add("move_pages migrate_pages", Denied(EPERM), note="NUMA placement of other processes")
_add("process_mrelease memfd_secret", Denied(ENOSYS), note="rarely there in practice; callers fall back")
_add("lsm_get_self_attr lsm_set_self_attr lsm_list_modules", Denied(ENOSYS), note="the host's security modules")
_add("setxattrat getxattrat listxattrat removexattrat file_getattr file_setattr", Denied(ENOSYS), note="newer spelling; libraries fall back")
_add(
    "uselib ustat sysfs _sysctl nfsservctl getpmsg putpmsg afs_syscall tuxcall security set_thread_area get_thread_area "
    "lookup_dcookie epoll_ctl_old epoll_wait_old vserver",
    Denied(ENOSYS),
    note="not on x86_64, or gone from Linux",
)

ROWS.sort(key=lambda row: row.number)

