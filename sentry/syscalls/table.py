"""Which system call goes where. The filter, `pysc help-syscalls` and the count of the attack surface come from here.

The rule of thumb (docs/design.md): what turns a name into an object is mediated, what acts on an object that is held is native.
A row has one disposition a profile:

- NATIVE: the host kernel executes it, the sentry never hears of it.
- NativeIf(rule, otherwise): native where the argument registers pass a test (`sentry.syscalls.arguments`); MediatedIf and
  DeniedIf alike.
- MEDIATED: a handler in sentry/syscalls decides, and acts or lets the kernel continue.
- Denied(errno): refused. The sentry is told and counts it, unless `counted` is false: then the filter itself answers.

`standard` is for speed: stat, access, readlink, chdir and the like, which yield no object, are native. `strict` mediates them
as well, and cuts what registers can tell apart, few programs need and kernel exploits like: priority-inheriting futexes,
out-of-band data, timers on CPU time, page merging.

A row may have another disposition in network mode `sandbox`, where sockets are not the kernel's as in `none` and `host`, and in
`shared`, which is `host` where that means the host's own network namespace: there abstract names are the host's.

What is not in the table (337 to 423, and 471 on) is ENOSYS, counted. The x32 ABI is ENOSYS; a call by another architecture's
entry (int 0x80) kills the process, for its numbers mean other calls (`sentry.platform.filter`).

Support says how much of Linux's behaviour a workload gets in the `standard` profile: FULL, PARTIAL, STUB or NONE, the last three
with a note. For what is refused the note says why, and how programs do without.
"""

from __future__ import annotations

import time
from errno import (
    EAFNOSUPPORT,
    EBUSY,
    EINVAL,
    ENOPKG,
    ENOPROTOOPT,
    ENOSYS,
    EOPNOTSUPP,
    EPERM,
    EPROTONOSUPPORT,
    ESOCKTNOSUPPORT,
    errorcode,
)

from sentry.platform.bpf import Equal
from sentry.syscalls import arguments as when
from sentry.syscalls.numbers import NUMBERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Final, TypeAlias

    from sentry.platform.bpf import Rule

    Disposition: TypeAlias = "Native | Mediated | Denied | If"

FULL: Final = "full"
PARTIAL: Final = "partial"
STUB: Final = "stub"
NONE: Final = "none"
PROFILES = ("standard", "strict")
NETWORKS = ("none", "host", "shared", "sandbox")


class Native:
    """Executed by the host kernel."""

    __slots__ = ()

    def __str__(self) -> str:
        return "native"


class Mediated:
    """Decided by a handler of the sentry."""

    __slots__ = ()

    def __str__(self) -> str:
        return "mediated"


class Denied:
    """Refused with `errno`; `counted` by the sentry, or answered by the filter alone."""

    __slots__ = ("counted", "errno")

    def __init__(self, errno: int, *, counted: bool = True) -> None:
        self.errno = errno
        self.counted = counted

    def __str__(self) -> str:
        return "EOPNOTSUPP" if self.errno == EOPNOTSUPP else errorcode[self.errno]  # the module has its alias


class If:
    """One or the other, by a test of the argument registers."""

    __slots__ = ("otherwise", "rule", "then")

    def __init__(self, rule: Rule, then: Disposition, otherwise: Disposition) -> None:
        self.rule = rule
        self.then = then
        self.otherwise = otherwise

    def __str__(self) -> str:
        return " or ".join(dict.fromkeys(map(str, leaves(self))))

    def describe(self) -> str:
        """With the rules in words."""
        rest = self.otherwise.describe() if isinstance(self.otherwise, If) else str(self.otherwise)
        return f"{self.then} if {self.rule}, else {rest}"


NATIVE: Final = Native()
MEDIATED: Final = Mediated()


class NativeIf(If):
    """Native where `rule` holds."""

    __slots__ = ()

    def __init__(self, rule: Rule, otherwise: Disposition) -> None:
        super().__init__(rule, NATIVE, otherwise)


class MediatedIf(If):
    """Mediated where `rule` holds."""

    __slots__ = ()

    def __init__(self, rule: Rule, otherwise: Disposition) -> None:
        super().__init__(rule, MEDIATED, otherwise)


class DeniedIf(If):
    """Refused where `rule` holds."""

    __slots__ = ()

    def __init__(self, rule: Rule, errno: int, otherwise: Disposition) -> None:
        super().__init__(rule, Denied(errno), otherwise)


def leaves(disposition: Disposition) -> Iterator[Native | Mediated | Denied]:
    """What may become of a call, in the order of the tests."""
    while isinstance(disposition, If):
        yield from leaves(disposition.then)
        disposition = disposition.otherwise
    yield disposition


def decide(disposition: Disposition, args: Sequence[int]) -> Native | Mediated | Denied:
    """What becomes of a call with these six argument registers."""
    while isinstance(disposition, If):
        disposition = disposition.then if disposition.rule.holds(args) else disposition.otherwise
    return disposition


class Row:
    """One system call."""

    __slots__ = ("name", "note", "number", "sandbox", "shared", "standard", "strict", "support")

    def __init__(
        self,
        name: str,
        standard: Disposition,
        strict: Disposition,
        sandbox: Disposition | None,
        shared: Disposition | None,
        support: str,
        note: str,
    ) -> None:
        self.name = name
        self.number = NUMBERS[name]
        self.standard = standard
        self.strict = strict
        self.sandbox = sandbox
        self.shared = shared
        self.support = support
        self.note = note

    def disposition(self, profile: str, network: str = "none") -> Disposition:
        """Under that profile, in that network mode."""
        if network == "sandbox" and self.sandbox is not None:
            return self.sandbox
        if network == "shared" and self.shared is not None:
            return self.shared
        return self.strict if profile == "strict" else self.standard

    def refusal(self, profile: str, network: str = "none", args: Sequence[int] | None = None) -> int:
        """The errno of a call that is refused, ENOSYS if it has no handler; without `args` that of the last resort."""
        found = self.disposition(profile, network)
        leaf = list(leaves(found))[-1] if args is None else decide(found, args)
        return leaf.errno if isinstance(leaf, Denied) else ENOSYS


ROWS: list[Row] = []
"""By number."""


def _rows(
    names: str,
    standard: Disposition,
    support: str = "",
    note: str = "",
    *,
    strict: Disposition | None = None,
    sandbox: Disposition | None = None,
    shared: Disposition | None = None,
) -> None:
    if not support:
        support = NONE if isinstance(standard, Denied) else FULL
    ROWS.extend(Row(name, standard, strict or standard, sandbox, shared, support, note) for name in names.split())


# ---- memory ----

_rows("mmap munmap mremap mprotect brk mincore msync mlock mlock2 munlock mlockall munlockall", NATIVE)
_rows("pkey_mprotect pkey_alloc pkey_free mseal map_shadow_stack process_madvise process_mrelease", NATIVE)
_rows(
    "madvise",
    NATIVE,
    strict=NativeIf(when.MADVISE, Denied(EINVAL)),
    note="strict: no page merging (what is merged tells about other containers' memory), no injected memory errors",
)
_rows("mbind set_mempolicy get_mempolicy set_mempolicy_home_node", NATIVE, note="among the nodes of the container's cpuset")
_rows("migrate_pages move_pages", Denied(EPERM), note="move pages that others map as well; NUMA tools report it and go on")
_rows("remap_file_pages", Denied(ENOSYS), note="deprecated since Linux 3.16, its users take mmap")
_rows("memfd_secret", Denied(ENOSYS), note="nobody can read such memory, and so no path in it; callers take memfd_create")
_rows("userfaultfd", Denied(EPERM), note="holds the kernel in the middle of a copy; as with vm.unprivileged_userfaultfd=0")

# ---- threads and processes ----

_rows("exit exit_group wait4 waitid fork vfork execve execveat arch_prctl restart_syscall", NATIVE)
_rows("gettid getpid getppid getpgid getpgrp setpgid getsid setsid set_tid_address", NATIVE)
_rows("set_robust_list get_robust_list futex_waitv futex_wake futex_wait futex_requeue membarrier rseq", NATIVE)
_rows("pidfd_open pidfd_send_signal pidfd_getfd kcmp", NATIVE, note="the pid namespace bounds whom it reaches")
_rows("process_vm_readv process_vm_writev", NATIVE, note="the pid namespace bounds whom it reaches")
_rows("uretprobe uprobe", NATIVE, note="what the host's administrator traces with; a call of one's own is SIGILL")
_rows(
    "futex",
    NATIVE,
    strict=NativeIf(when.FUTEX_NOT_PI, Denied(ENOSYS)),
    note="strict: no priority inheritance (FUTEX_*_PI), as without CONFIG_FUTEX_PI: libc then refuses such mutexes",
)
_rows(
    "clone",
    NativeIf(when.CLONE, Denied(EPERM)),
    PARTIAL,
    "no namespace of one's own, no CLONE_PARENT",
)
_rows("clone3", Denied(ENOSYS, counted=False), note="its flags lie in memory; libraries fall back to clone")
_rows("unshare", NativeIf(when.UNSHARE, Denied(EPERM)), PARTIAL, "no namespace of one's own")
_rows("setns", Denied(EPERM), note="the container's namespaces are all it has")
_rows(
    "ptrace",
    NativeIf(when.PTRACE, Denied(EPERM)),
    PARTIAL,
    "the pid namespace bounds whom it reaches; never PTRACE_O_SUSPEND_SECCOMP",
)
_rows("sched_yield sched_getparam sched_setparam sched_getscheduler sched_setscheduler sched_getattr sched_setattr", NATIVE)
_rows("sched_get_priority_max sched_get_priority_min sched_rr_get_interval sched_setaffinity", NATIVE)
_rows("sched_getaffinity", MEDIATED, note="under a CPU quota as many CPUs as /proc shows")
_rows("getpriority setpriority ioprio_get ioprio_set getrlimit setrlimit prlimit64 getrusage times getcpu", NATIVE)
_rows("set_thread_area get_thread_area", Denied(ENOSYS), note="x86_64 has arch_prctl")
_rows("modify_ldt", Denied(ENOSYS), note="16-bit segments; as without CONFIG_MODIFY_LDT_SYSCALL")
_rows("iopl ioperm", Denied(EPERM), note="hardware ports; needs the host's CAP_SYS_RAWIO")
_rows(
    "personality",
    NativeIf(when.PERSONALITY, Denied(EPERM)),
    PARTIAL,
    "PER_LINUX and PER_LINUX32 with UNAME26, ADDR_NO_RANDOMIZE, READ_IMPLIES_EXEC; no mapping of page zero",
)

# ---- signals and time ----

_rows("rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigsuspend sigaltstack pause", NATIVE)
_rows("rt_sigqueueinfo rt_tgsigqueueinfo kill tkill tgkill", NATIVE, note="the pid namespace bounds whom it reaches")
_rows("nanosleep clock_nanosleep clock_gettime clock_getres gettimeofday time alarm getitimer setitimer", NATIVE)
_rows("timer_settime timer_gettime timer_getoverrun timer_delete", NATIVE)
_rows(
    "timer_create",
    NATIVE,
    strict=NativeIf(when.WALL_CLOCKS, Denied(EINVAL)),
    note="strict: no clock that counts CPU time; profilers fall back to setitimer",
)
_rows("adjtimex", NATIVE, PARTIAL, "reading; to set it needs the host's CAP_SYS_TIME")
_rows("clock_adjtime", NativeIf(Equal(0, time.CLOCK_REALTIME), Denied(EPERM)), PARTIAL, "reading; no clocks of devices")
_rows("settimeofday clock_settime", Denied(EPERM), note="the host's clock; as without CAP_SYS_TIME")

# ---- identity: the kernel keeps it; the sentry only learns that what it remembers is stale, and lets the call continue ----

_rows("getuid geteuid getresuid getgid getegid getresgid getgroups capget", NATIVE)
_rows(
    "setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups capset umask",
    MEDIATED,
    note="continued: the kernel makes the change, in the container's user namespace",
)
_rows("chroot", MEDIATED, note="continued: the new root lies in the caller's view")
_rows(
    "prctl",
    NativeIf(
        when.PRCTL,
        MediatedIf(when.PRCTL_IDENTITY, DeniedIf(when.PRCTL_PRIVILEGED, EPERM, Denied(EINVAL))),
    ),
    PARTIAL,
    "an allowlist; not PR_SET_MM, memory merging, speculation control, system call dispatch, core scheduling",
)
_rows(
    "seccomp",
    NativeIf(when.SECCOMP, Denied(EBUSY)),
    PARTIAL,
    "filters of the workload's own come on top; no listener: the kernel allows one, which is the sentry's; "
    "SECCOMP_RET_TRACE is weaker than it: of a call that the sentry decides a filter's tracer is not told",
)
_rows(
    "landlock_create_ruleset landlock_add_rule landlock_restrict_self",
    Denied(ENOSYS),
    note="binds who asks for it, and not the sentry, which opens files in its place: not half enforced; programs go on without",
)

# ---- I/O on what is held ----

_rows("read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek getdents getdents64", NATIVE)
_rows("fstat fstatfs ftruncate fallocate fadvise64 readahead fsync fdatasync syncfs sync sync_file_range flock", NATIVE)
_rows("sendfile splice tee vmsplice copy_file_range fchdir fchmod fchown", NATIVE)
_rows("fsetxattr fgetxattr flistxattr fremovexattr", NATIVE)
_rows("close close_range dup dup2 dup3 pipe poll ppoll select pselect6", NATIVE)
_rows("epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 eventfd eventfd2", NATIVE)
_rows("signalfd signalfd4 timerfd_create timerfd_settime timerfd_gettime memfd_create getrandom", NATIVE)
_rows("inotify_init inotify_init1 inotify_rm_watch", NATIVE)
_rows("pipe2", NativeIf(when.PIPE2, Denied(ENOPKG)), PARTIAL, "no O_NOTIFICATION_PIPE; as without CONFIG_WATCH_QUEUE")
_rows("fcntl", NativeIf(when.FCNTL, Denied(EINVAL)), PARTIAL, "an allowlist; not F_NOTIFY, whose successor is inotify")
_rows(
    "ioctl",
    NativeIf(when.IOCTL, MEDIATED),
    PARTIAL,
    "an allowlist of terminal, descriptor, file and interface requests; never TIOCSTI, TIOCLINUX, TIOCSETD; others ENOTTY",
)
_rows(
    "io_setup io_destroy io_getevents io_submit io_cancel io_pgetevents",
    Denied(ENOSYS),
    note="kernel AIO; as without CONFIG_AIO: databases fall back to threads",
)
_rows(
    "io_uring_setup io_uring_enter io_uring_register",
    Denied(ENOSYS),
    note="does what other calls do, past every filter; liburing's users fall back to epoll and threads",
)
_rows("cachestat", Denied(ENOSYS), note="tells what others have read of a shared file; nothing depends on it")

# ---- names of files ----

_TERMINAL = "opening a terminal does not make it the controlling one (on ptrace it does)"
_OPEN = _TERMINAL + "; native with O_PATH, and in standard for a directory that is read, but on the host's network, whose interfaces /proc/sys names"
_rows(
    "open",
    NativeIf(when.OPEN_DIRECTORY, MEDIATED),
    PARTIAL,
    _OPEN,
    strict=NativeIf(when.OPEN_PATH_ONLY, MEDIATED),
    shared=NativeIf(when.OPEN_PATH_ONLY, MEDIATED),
)
_rows(
    "openat",
    NativeIf(when.OPENAT_DIRECTORY, MEDIATED),
    PARTIAL,
    _OPEN,
    strict=NativeIf(when.OPENAT_PATH_ONLY, MEDIATED),
    shared=NativeIf(when.OPENAT_PATH_ONLY, MEDIATED),
)
_rows("creat", MEDIATED, PARTIAL, _TERMINAL)
_rows("openat2", MEDIATED, PARTIAL, _TERMINAL + "; with O_PATH: ENOSYS")
_rows("mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 link linkat symlink symlinkat truncate", MEDIATED)
_rows("chmod fchmodat fchmodat2 chown lchown fchownat utime utimes inotify_add_watch", MEDIATED)
_rows("utimensat futimesat", NativeIf(when.NO_PATH, MEDIATED), note="native without a path: futimens")
_rows("mknod mknodat", MEDIATED, PARTIAL, "FIFOs, sockets and files; devices EPERM, as in any user namespace")
_rows("setxattr lsetxattr removexattr lremovexattr", MEDIATED)
_rows("getcwd", NATIVE)
_rows(
    "stat lstat access faccessat faccessat2 readlink readlinkat statfs getxattr lgetxattr listxattr llistxattr",
    NATIVE,
    strict=MEDIATED,
    note="standard: it yields no object, and the kernel's view is the container's",
)
_rows(
    "newfstatat statx",
    NATIVE,
    strict=NativeIf(when.NO_PATH, MEDIATED),
    note="strict: native for a descriptor without a path; with an empty path the kernel would read it again",
)
_rows("chdir", NATIVE, strict=MEDIATED, note="strict: continued once the path was looked at")
_rows("mount", MEDIATED, PARTIAL, "tmpfs, bind, remount and propagation, with CAP_SYS_ADMIN; others EPERM")
_rows("umount2", MEDIATED)
_rows("pivot_root", Denied(EPERM), note="the root belongs to the mount tree that the sentry resolves in; chroot is there")
_rows(
    "open_tree open_tree_attr move_mount fsopen fsconfig fsmount fspick mount_setattr statmount listmount",
    Denied(ENOSYS),
    note="the mount interface of Linux 5.2; libmount falls back to mount and /proc/self/mountinfo",
)
_rows("name_to_handle_at", NATIVE, strict=MEDIATED, note="to compare files and mounts by: a handle opens nothing here")
_rows("open_by_handle_at", Denied(EPERM), note="a handle opens what no path of the container leads to")
_rows("fanotify_init fanotify_mark", Denied(EPERM), note="watches whole file systems of the host; inotify is there")
_rows(
    "setxattrat getxattrat listxattrat removexattrat file_getattr file_setattr",
    Denied(ENOSYS),
    note="paths that nobody mediates yet; libc falls back to the older calls",
)

# ---- System V and POSIX IPC: in an IPC namespace of the container's own ----

_rows("shmget shmat shmctl shmdt semget semop semctl semtimedop msgget msgsnd msgrcv msgctl", NATIVE)
_rows("mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr", NATIVE)

# ---- sockets: the kernel's, in the container's network namespace, but in network mode `sandbox` ----

_NO_OOB_2 = NativeIf(when.NOT_OOB_2, Denied(EOPNOTSUPP))
_NO_OOB_3 = NativeIf(when.NOT_OOB_3, Denied(EOPNOTSUPP))
_OOB = "strict: no out-of-band data"

_SOCKET = NativeIf(
    when.SOCKET,
    DeniedIf(
        when.SOCKET_RAW,
        EPERM,
        DeniedIf(when.SOCKET_PROTOCOL, EPROTONOSUPPORT, DeniedIf(when.INET, ESOCKTNOSUPPORT, Denied(EAFNOSUPPORT))),
    ),
)
_SOCKETPAIR = NativeIf(when.UNIX, DeniedIf(when.INET, EOPNOTSUPP, Denied(EAFNOSUPPORT)))
_rows(
    "socket",
    _SOCKET,
    PARTIAL,
    "UNIX, TCP, UDP and ping over IPv4 and IPv6, NETLINK_ROUTE; raw and packet sockets EPERM, others are not there",
    sandbox=MEDIATED,
    shared=MediatedIf(when.UNIX, _SOCKET),
)
_rows(
    "socketpair",
    _SOCKETPAIR,
    PARTIAL,
    "AF_UNIX, as Linux but for TIPC",
    shared=MediatedIf(when.UNIX, _SOCKETPAIR),
)
_rows("bind connect", MEDIATED)
_rows("listen shutdown getsockname getpeername", NATIVE, sandbox=MEDIATED)
_rows("accept accept4", NATIVE, sandbox=NativeIf(when.NO_PEER_ADDRESS, MEDIATED))
_rows("sendto recvfrom", NATIVE, strict=_NO_OOB_3, sandbox=NativeIf(when.NO_ADDRESS, MEDIATED), note=_OOB)
_rows("sendmsg recvmsg", NATIVE, strict=_NO_OOB_2, sandbox=MEDIATED, note=_OOB)
_rows("sendmmsg recvmmsg", NATIVE, strict=_NO_OOB_3, sandbox=MEDIATED, note=_OOB)
_rows(
    "setsockopt",
    NativeIf(when.SETSOCKOPT, Denied(ENOPROTOOPT)),
    PARTIAL,
    "an allowlist of levels and names; no socket filters, TCP_ULP, _REPAIR, _FASTOPEN, netfilter, IPsec, SO_ZEROCOPY, SOL_UDP",
    sandbox=MEDIATED,
)
_rows(
    "getsockopt",
    NativeIf(when.GETSOCKOPT, Denied(ENOPROTOOPT)),
    PARTIAL,
    "an allowlist of levels and names; nothing of netfilter",
    sandbox=MEDIATED,
)

SOCKETS = frozenset(NUMBERS[name] for name in ("socket", "socketpair", "bind", "connect"))
"""What a sentry handles itself while another process has the files: sentry/files.py. The rest of what is mediated is that one's."""

# ---- the system: what is the host's ----

_rows("sethostname setdomainname", NATIVE, note="a UTS namespace of the container's own")
_rows("uname", NATIVE, note="of the container's UTS namespace; mediated if --kernel-release gives another release than the host's")
_rows("sysinfo", MEDIATED, PARTIAL, "the container's memory, uptime and processes; load averages are zero")
_rows("syslog", Denied(EPERM), note="the host's kernel log; dmesg reports it")
_rows("bpf", Denied(EPERM), note="programs in the kernel; as with kernel.unprivileged_bpf_disabled=2")
_rows("perf_event_open", Denied(EPERM), note="as with kernel.perf_event_paranoid=3; profilers fall back to timers")
_rows("add_key request_key keyctl", Denied(ENOSYS), note="keyrings have no namespace; as without CONFIG_KEYS")
_rows("lsm_get_self_attr lsm_set_self_attr lsm_list_modules", Denied(ENOSYS), note="the host's security modules")
_rows("listns", Denied(ENOSYS), note="the host's namespaces; lsns reads /proc")
_rows("init_module finit_module delete_module kexec_load kexec_file_load reboot", Denied(EPERM), note="the host's kernel")
_rows("swapon swapoff acct quotactl quotactl_fd vhangup", Denied(EPERM), note="the host's; as without the capability")
_rows(
    "create_module get_kernel_syms query_module _sysctl nfsservctl uselib ustat sysfs lookup_dcookie getpmsg putpmsg "
    "afs_syscall tuxcall security vserver epoll_ctl_old epoll_wait_old",
    Denied(ENOSYS),
    note="gone from Linux, or never there on x86_64",
)

ROWS.sort(key=lambda row: row.number)


def traced_disposition(name: str, disposition: Disposition) -> Disposition:
    """On the platform ptrace: a process has one tracer, which is the sentry, and must not get rid of it."""
    if name == "ptrace":
        return Denied(EPERM, counted=False)
    if name == "clone":
        return If(when.TRACED_CLONE, disposition, Denied(EPERM, counted=False))
    return disposition
