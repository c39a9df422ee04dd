"""What the arguments of each system call are: one table, of which follows what the sentry reads and how it is shown.

A line is a few calls and a word for each argument. man pages: syscalls(2) and that of each call. The words:

    fd dirfd int uint long ulong size off   numbers, with the width and sign of the kernel's prototype
    ptr id                                  an address in hex, NULL for 0; an id, -1 for "as it is"
    mode open map …                         as runsc_cli/trace/names.py has them
    creat                                   a mode, shown where the flags before it create something
    path str                                a string in memory; a path is shown whole
    in2 out                                 a buffer that is read, its length argument 2; one that is filled, its length the result
    argv env iov2                           an array of strings, how many there are; struct iovec[], as many as argument 2 says
    addr2                                   struct sockaddr, its length argument 2
    how times timevals utimbuf ts fds stat  structures
"""

from __future__ import annotations

SIGNATURES = """
read: fd ptr size
write: fd in2 size
open: path open creat
openat: dirfd path open creat
openat2: dirfd path how size
creat: path mode
close fsync fdatasync syncfs fchdir dup: fd
stat lstat: path stat
newfstatat: dirfd path stat at
fstat fstatfs: fd ptr
statx: dirfd path at statx ptr
statfs: path ptr
poll: ptr uint int
ppoll: ptr uint ts ptr size
lseek: fd off seek
mmap: ptr size prot map fd off
mprotect: ptr size prot
pkey_mprotect: ptr size prot int
munmap mlock munlock: ptr size
mlock2: ptr size uint
brk: ptr
mremap: ptr size size uint ptr
msync: ptr size msync
mincore: ptr size ptr
madvise: ptr size madvise
mlockall: uint
mseal: ptr size ulong
map_shadow_stack: ptr ulong uint
process_madvise: fd ptr size madvise uint
process_mrelease: fd uint
pkey_alloc: uint ulong
pkey_free: int
mbind: ptr ulong int ptr ulong uint
set_mempolicy: int ptr ulong
get_mempolicy: ptr ptr ulong ptr ulong
set_mempolicy_home_node: ulong ulong ulong ulong
remap_file_pages: ptr size ulong ulong ulong
userfaultfd memfd_secret: uint
rt_sigaction: signal ptr ptr size
rt_sigprocmask: sigmask ptr ptr size
rt_sigreturn pause sched_yield getpid getppid gettid getpgrp getuid geteuid getgid getegid setsid fork vfork:
munlockall sync inotify_init vhangup restart_syscall uretprobe uprobe:
rt_sigpending: ptr size
rt_sigtimedwait: ptr ptr ts size
rt_sigsuspend: ptr size
rt_sigqueueinfo: int signal ptr
rt_tgsigqueueinfo: int int signal ptr
sigaltstack: ptr ptr
kill tkill: int signal
tgkill: int int signal
ioctl: fd ioctl ptr
pread64: fd ptr size off
pwrite64: fd in2 size off
readv: fd ptr int
writev: fd iov2 int
preadv: fd ptr int off
pwritev: fd iov2 int off
preadv2: fd ptr int off off int
pwritev2: fd iov2 int off off int
access: path access
faccessat: dirfd path access
faccessat2: dirfd path access at_access
pipe: ptr
pipe2: ptr pipe
select pselect6: int ptr ptr ptr ptr ptr
shmget: int size int
shmat: int ptr int
shmctl: int int ptr
shmdt: ptr
semget: int int int
semop: int ptr size
semtimedop: int ptr size ts
semctl: int int int ptr
msgget: int int
msgsnd: int ptr size int
msgrcv: int ptr size long int
msgctl: int int ptr
mq_open: str open creat ptr
mq_unlink: str
mq_timedsend: fd in2 size uint ts
mq_timedreceive: fd ptr size ptr ts
mq_notify: fd ptr
mq_getsetattr: fd ptr ptr
dup2: fd fd
dup3: fd fd cloexec
close_range: fd fd uint
nanosleep: ts ptr
clock_nanosleep: clock timer ts ptr
clock_gettime clock_getres: clock ptr
clock_settime: clock ts
clock_adjtime: clock ptr
adjtimex: ptr
gettimeofday settimeofday: ptr ptr
time times: ptr
alarm: uint
getitimer: itimer ptr
setitimer: itimer ptr ptr
timer_create: clock ptr ptr
timer_settime: int uint ptr ptr
timer_gettime: int ptr
timer_getoverrun timer_delete: int
timerfd_create: clock tfd
timerfd_settime: fd uint ptr ptr
timerfd_gettime: fd ptr
sendfile: fd fd ptr size
splice: fd ptr fd ptr size uint
tee: fd fd size uint
vmsplice: fd iov2 ulong uint
copy_file_range: fd ptr fd ptr size uint
socket: af sock_type int
socketpair: af sock_type int fds
connect bind: fd addr2 int
accept getsockname getpeername: fd ptr ptr
accept4: fd ptr ptr sock_flags
listen: fd int
shutdown: fd shut
sendto: fd in2 size msg addr5 int
recvfrom: fd ptr size msg ptr ptr
sendmsg recvmsg: fd ptr msg
sendmmsg: fd ptr uint msg
recvmmsg: fd ptr uint msg ts
setsockopt: fd sol sockopt in4 int
getsockopt: fd sol sockopt ptr ptr
clone: clone_flags ptr ptr ptr ptr
clone3: ptr size
execve: path argv env
execveat: dirfd path argv env at
exit exit_group: int
wait4: int ptr wait ptr
waitid: idtype int ptr wait ptr
uname sysinfo: ptr
fcntl: fd fcntl ulong
flock: fd flock
truncate: path off
ftruncate: fd off
fallocate: fd falloc off off
fadvise64: fd off size fadvise
readahead: fd off size
sync_file_range: fd off off uint
getdents getdents64: fd ptr size
getcwd: ptr size
chdir chroot rmdir unlink: path
rename link symlink: path path
renameat: dirfd path dirfd path
renameat2: dirfd path dirfd path rename
linkat: dirfd path dirfd path at
symlinkat: path dirfd path
unlinkat: dirfd path at_remove
mkdir chmod: path mode
mkdirat fchmodat: dirfd path mode
fchmodat2: dirfd path mode at
fchmod: fd mode
mknod: path mode ulong
mknodat: dirfd path mode ulong
readlink: path out size
readlinkat: dirfd path out size
chown lchown: path id id
fchown: fd id id
fchownat: dirfd path id id at
utime: path utimbuf
utimes: path timevals
futimesat: dirfd path timevals
utimensat: dirfd path times at
umask: mode
getrlimit setrlimit: rlimit ptr
prlimit64: int rlimit ptr ptr
getrusage: rusage ptr
getcpu: ptr ptr ptr
ptrace: ptrace int ptr ptr
syslog: int ptr int
setuid setgid setfsuid setfsgid: id
setreuid setregid: id id
setresuid setresgid: id id id
getresuid getresgid: ptr ptr ptr
getgroups setgroups: int ptr
getpgid getsid: int
setpgid: int int
capget capset: ptr ptr
personality: ulong
getpriority: which int
setpriority: which int int
ioprio_get: int int
ioprio_set: int int int
sched_setparam sched_getparam: int ptr
sched_setscheduler: int int ptr
sched_getscheduler sched_get_priority_max sched_get_priority_min: int
sched_rr_get_interval: int ptr
sched_setaffinity sched_getaffinity: int uint ptr
sched_setattr: int ptr uint
sched_getattr: int ptr uint uint
prctl: prctl ulong ulong ulong ulong
arch_prctl: arch ptr
seccomp: seccomp uint ptr
mount: path path str mount ptr
umount2: path umount
pivot_root: path path
swapon: path int
swapoff acct uselib: path
reboot: uint uint uint ptr
sethostname setdomainname: in1 int
setxattr lsetxattr: path str in3 size int
fsetxattr: fd str in3 size int
getxattr lgetxattr: path str out size
fgetxattr: fd str ptr size
listxattr llistxattr: path out size
flistxattr: fd ptr size
removexattr lremovexattr: path str
fremovexattr: fd str
futex: ptr futex_op uint ptr ptr uint
futex_waitv: ptr uint uint ptr clock
futex_wake: ptr ulong int uint
futex_wait: ptr ulong ulong uint ptr clock
futex_requeue: ptr uint int int
set_tid_address: ptr
set_robust_list: ptr size
get_robust_list: int ptr ptr
rseq: ptr uint int uint
membarrier: int uint int
epoll_create: int
epoll_create1: epoll_flags
epoll_ctl: fd epoll fd ptr
epoll_wait: fd ptr int int
epoll_pwait: fd ptr int int ptr size
epoll_pwait2: fd ptr int ts ptr size
eventfd: uint
eventfd2: uint efd
signalfd: fd ptr size
signalfd4: fd ptr size sfd
inotify_init1: inotify
inotify_add_watch: fd path in
inotify_rm_watch: fd int
memfd_create: str mfd
getrandom: ptr size random
pidfd_open: int uint
pidfd_send_signal: fd signal ptr uint
pidfd_getfd: fd fd uint
kcmp: int int int ulong ulong
process_vm_readv process_vm_writev: int ptr ulong ptr ulong ulong
unshare: clone
setns: fd clone
landlock_create_ruleset: ptr size uint
landlock_add_rule: fd int ptr uint
landlock_restrict_self: fd uint
name_to_handle_at: dirfd path ptr ptr at
open_by_handle_at: fd ptr open
open_tree: dirfd path uint
move_mount: dirfd path dirfd path uint
fsopen: str uint
fspick: dirfd path uint
mount_setattr: dirfd path uint ptr size
perf_event_open: ptr int int int ulong
bpf: int ptr uint
add_key: str str ptr size int
request_key: str str str int
keyctl: int ulong ulong ulong ulong
io_uring_setup: uint ptr
fanotify_init: uint uint
fanotify_mark: fd uint ulong dirfd path
"""


def _table() -> dict[str, tuple[str, ...]]:
    found = {}
    for line in SIGNATURES.split("\n"):
        calls, _, words = line.partition(":")
        for name in calls.split():
            found[name] = tuple(words.split())
    return found


TABLE = _table()
"""System call name -> a word for each argument. What is in none is shown as six numbers in hex."""

PATH_MAX = 4096

_FIXED = {"how": 24, "times": 32, "timevals": 32, "utimbuf": 16, "ts": 16}
_FILLED = {"stat": 144, "fds": 8}


def reads(name: str, limit: int) -> list[list[object]]:
    """What of memory the sentry is to read for a call: kind, argument, length or where it is, most bytes. For sentry/trace.py.

    Kinds: s a string, b a buffer whose length is in an argument, f a structure, F one that is filled, o a buffer that is filled, v argv,
    i struct iovec[]. `limit`: how many bytes of a string or buffer are shown.
    """
    plan: list[list[object]] = []
    for arg, word in enumerate(TABLE.get(name, ())):
        stem = word.rstrip("0123456789")
        more = int(word[len(stem) :] or 0)
        if word == "path":
            plan.append(["s", arg, 0, PATH_MAX])
        elif word == "str":
            plan.append(["s", arg, 0, limit + 1])
        elif stem in ("in", "addr") and word != "in":
            plan.append(["b", arg, more, limit if stem == "in" else 128])
        elif word == "out":
            plan.append(["o", arg, 0, limit])
        elif word == "argv":
            plan.append(["v", arg, 0, limit + 1])
        elif stem == "iov":
            plan.append(["i", arg, more, limit])
        elif word in _FIXED:
            plan.append(["f", arg, _FIXED[word], _FIXED[word]])
        elif word in _FILLED:
            plan.append(["F", arg, _FILLED[word], _FILLED[word]])
    return plan
