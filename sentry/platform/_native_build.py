"""Build `sentry.platform._native`: the few system calls that the hot path makes and Python has no name for.

The C here holds no policy: each function is one system call, or a short run of them that would cost a GIL hand-off
and a Python frame each. Errors come back as negative errno. cffi in API mode costs 1 ms of import; ctypes costs 8.
"""

from cffi import FFI

CDEF = """
/* ---- seccomp user notification: seccomp_unotify(2) ---- */
struct notif { uint64_t id; uint32_t pid; int32_t nr; uint64_t args[6]; };
int notif_recv(int listener, struct notif *out);
int notif_send(int listener, uint64_t id, int64_t value, int error, int flags);
int notif_addfd(int listener, uint64_t id, int tid, int fd, int cloexec);
int notif_put(int listener, uint64_t id, int fd, int cloexec);
int notif_valid(int listener, uint64_t id);
int notif_sync_wakeup(int listener);
int filter_install(const void *program, int length, unsigned flags);
int name_refused_calls(const char *process);

/* ---- the loop of a listener ---- */
#define NOT_TRIED ...
struct opened { uint32_t mode; uint32_t uid; uint32_t gid; uint64_t dev; uint64_t rdev; uint64_t ino; };
struct serving {
    struct notif call;
    int32_t tried;
    int32_t acting;
    int32_t root, procfd;
    int32_t note_missing;
    uint64_t proc_dev;
    uint64_t flags;
    uint64_t opens[2];
    char path[4096];
    struct opened opened;
};
int serve(int listener, struct serving *s, const int *uniform);

/* ---- ptrace(2): a tracer's side ---- */
struct traced { int32_t tid; int32_t what; int64_t value; };
#define TRACED_CALL ...
#define TRACED_ENTERED ...
#define TRACED_RETURNED ...
#define TRACED_CHILD ...
#define TRACED_EXECUTED ...
#define TRACED_SIGNAL ...
#define TRACED_STOPPED ...
#define TRACED_TRAPPED ...
#define TRACED_ENDED ...
#define TRACED_OTHER ...
int trace_seize(int tid);
int trace_wait(struct traced *out, struct notif *call);
int trace_reply(int tid, int64_t value);
int trace_refuse(int tid, int64_t value);
int trace_resume(int tid, int request, int signal);
int trace_alive(int tid);
int trace_near(int tid, uint64_t *was);
int trace_apart(int tid, uint64_t *was);
int trace_flags(int tid, uint64_t *out);
int trace_registers(int tid, uint64_t *registers, int set);
int trace_signal_mask(int tid, uint64_t *mask, int set);
int pass_fd(int sock, int fd);

/* ---- memory of another process: process_vm_readv(2) ---- */
int read_cstr(int pid, uint64_t addr, char *buf, int size);
int read_mem(int pid, uint64_t addr, char *buf, int size);
int write_mem(int pid, uint64_t addr, const char *buf, int size);

/* ---- names: openat2(2) ---- */
#define WALK ...
int open_beneath(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve, struct opened *out);
int open_name(int listener, uint64_t id, int tid, int dirfd, uint64_t addr, int root, int procfd, uint64_t flags,
              uint64_t mode, char *path, struct opened *out);
int openat2_raw(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve);
int fd_info(int fd, struct opened *out);
int64_t fd_mount(int fd);
int64_t fd_type(int fd);

/* ---- another task: proc(5), pidfd_getfd(2) ---- */
struct creds {
    uint32_t tgid, uid, euid, suid, fsuid, gid, egid, sgid, fsgid, umask, threads, ngroups;
    uint64_t cap_eff, pending, blocked;
    uint32_t ns_tgid, ns_tid, zombie;
    uint32_t groups[1024];
};
int read_creds(int procfd, int tid, struct creds *out);
int proc_open(int procfd, int tid, const char *what, int flags);
int proc_identity(int procfd, int tid, uint64_t *out);
int proc_same(int procfd, int tid, uint64_t ino, uint64_t ids);
int get_fd(int tid, int fd);
int descriptor_left(int procfd, int tid);

/* ---- identity of the calling thread ---- */
int own_fs_struct(void);
int assume(uint32_t fsuid, uint32_t fsgid, uint32_t ngroups, const uint32_t *groups, uint64_t effective);
uint32_t set_umask(uint32_t mask);
int capset_all(uint64_t permitted, uint64_t effective, uint64_t inheritable);

/* ---- calls that the os module does not have ---- */
long syscall6(long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f);
int open_tree_(int dir, const char *path, unsigned flags);
int move_mount_(int from, const char *from_path, int to, const char *to_path, unsigned flags);
int mount_setattr_(int dir, const char *path, unsigned flags, uint64_t set, uint64_t clr, uint64_t propagation, int userns);
int fsopen_(const char *type, unsigned flags);
int fsconfig_(int fd, unsigned cmd, const char *key, const char *value, int aux);
int fsmount_(int fd, unsigned flags, unsigned attrs);
int fchmodat2_(int dir, const char *path, unsigned mode, int flags);
int renameat2_(int olddir, const char *old, int newdir, const char *new_, unsigned flags);
int umount2_(const char *path, int flags);
int pivot_root_(const char *new_root, const char *put_old);
int setns_(int fd, int type);
int unshare_(int flags);
int locked_mount_namespace(int procfd);
int prctl_(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d);
int mount_(const char *source, const char *target, const char *type, unsigned long flags, const char *data);
int inotify_add_watch_(int fd, const char *path, uint32_t mask);
int statx_raw(int dir, const char *path, int flags, unsigned mask, char *out);
int fstatat_raw(int dir, const char *path, char *out, int flags);
int statfs_raw(const char *path, char *out);
int sysinfo_raw(char *out);
int sched_getaffinity_raw(int tid, unsigned size, char *out);
int faccessat2_(int dir, const char *path, int mode, int flags);
int utimensat_(int dir, const char *path, const char *times, int flags);
long getxattr_(const char *path, const char *name, char *value, size_t size);
long listxattr_(const char *path, char *list, size_t size);
int bind_(int fd, const char *addr, unsigned len);
int connect_(int fd, const char *addr, unsigned len);
int sock_option(int fd, int level, int name);
"""

SOURCE = r"""
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/statfs.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS                 /* Linux 6.6 */
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, uint64_t)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif
#ifndef PIDFD_THREAD                                  /* Linux 6.9 */
#define PIDFD_THREAD O_EXCL
#endif
#ifndef __NR_faccessat2                               /* Linux 5.8 */
#define __NR_faccessat2 439
#endif
#ifndef __NR_fchmodat2                                /* Linux 6.6 */
#define __NR_fchmodat2 452
#endif

#define O_LARGEFILE_BIT 0100000 /* fcntl.h says 0 for a 64-bit program; the kernel sets it itself */

#define RET(expr) do { long r_ = (expr); return r_ < 0 ? -errno : (int)r_; } while (0)

struct notif { uint64_t id; uint32_t pid; int32_t nr; uint64_t args[6]; };

/* Returns 0, or -ENOTCONN when no task is left behind the listener. */
static int notif_recv(int listener, struct notif *out)
{
    struct seccomp_notif n;

    for (;;) {
        memset(&n, 0, sizeof n);
        if (!ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &n))
            break;
        if (errno == ENOENT) { /* the task died first, or all of them have */
            struct pollfd p = { listener, POLLIN, 0 };
            if (poll(&p, 1, 0) > 0 && p.revents & POLLHUP)
                return -ENOTCONN;
        } else if (errno != EINTR)
            return -errno;
    }
    out->id = n.id;
    out->pid = n.pid;
    out->nr = n.data.nr;
    memcpy(out->args, n.data.args, sizeof out->args);
    return 0;
}

static int notif_send(int listener, uint64_t id, int64_t value, int error, int flags)
{
    struct seccomp_notif_resp r = { id, value, error, flags };
    RET(ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &r));
}

/*
 * The hand-over of a descriptor on one CPU.
 *
 * The caller has to run to install the descriptor, and we are woken when it has. Left alone the scheduler wakes each of us
 * on an idle CPU, and waking a CPU of a virtual machine costs 40 us. With both affinities narrowed to this CPU meanwhile
 * the hand-offs are context switches. The caller has its own back before its call returns; we keep ours narrow while one
 * caller opens one file after the other, for a change of affinity takes a microsecond.
 */
#define STREAK 32   /* before we stay, so that callers who take turns do not wake us on the other's CPU */
#define STAY 256    /* before we look anew where the caller has been moved to */

static __thread struct {
    cpu_set_t ours;     /* empty: not asked yet */
    int caller, streak; /* who was served last, and how often in a row */
    int staying;
} here;

static void stay(void)
{
    cpu_set_t one;

    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    here.staying = sched_setaffinity(0, sizeof one, &one) == 0;
}

static void roam(void)
{
    if (here.staying)
        sched_setaffinity(0, sizeof here.ours, &here.ours);
    here.staying = 0;
}

/*
 * Put fd into the caller's table and let its call return the number.
 *
 * When the caller goes on, our own copy is closed and its affinity is its own again. A copy that lingered here would be a writer
 * that makes execve(2) fail with ETXTBSY, a reader that swallows what a FIFO's next writer writes, the keeper of a flock(2). So
 * this is not one step (SECCOMP_ADDFD_FLAG_SEND) but two: install, then reply. A caller that is bound to one CPU is left alone.
 *
 * may_stay: this thread goes on to serve(), which calls roam().
 */
static int hand_over(int listener, uint64_t id, int tid, int fd, int cloexec, int may_stay)
{
    struct seccomp_notif_addfd a = { .id = id, .srcfd = fd, .newfd_flags = cloexec ? O_CLOEXEC : 0 };
    cpu_set_t was, narrow, now;
    int narrowed = 0, r;

    if (!CPU_COUNT(&here.ours) && sched_getaffinity(0, sizeof here.ours, &here.ours) < 0)
        CPU_ZERO(&here.ours);
    here.streak = tid == here.caller ? here.streak + 1 : 0;
    here.caller = tid;
    if (CPU_COUNT(&here.ours) && sched_getaffinity(tid, sizeof was, &was) == 0 && CPU_COUNT(&was) > 1) {
        CPU_ZERO(&narrow);
        CPU_SET(sched_getcpu(), &narrow);
        narrowed = sched_setaffinity(tid, sizeof narrow, &narrow) == 0;
        if (narrowed && !here.staying)
            stay();
    }
    do
        r = ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &a);
    while (r < 0 && errno == EINTR);
    r = r < 0 ? -errno : r;
    close(fd);
    if (!may_stay || !narrowed || here.streak < STREAK || here.streak % STAY == 0)
        roam();
    if (narrowed && sched_getaffinity(tid, sizeof now, &now) == 0 && CPU_EQUAL(&now, &narrow))
        sched_setaffinity(tid, sizeof was, &was); /* nobody has given it another meanwhile */
    if (r >= 0) {
        int error = notif_send(listener, id, r, 0, 0);
        return error < 0 ? error : r;
    }
    return r;
}

static int notif_addfd(int listener, uint64_t id, int tid, int fd, int cloexec)
{
    return hand_over(listener, id, tid, fd, cloexec, 0);
}

/* Into the caller's table, which goes on waiting: for calls that return more than one. */
static int notif_put(int listener, uint64_t id, int fd, int cloexec)
{
    struct seccomp_notif_addfd a = { .id = id, .srcfd = fd, .newfd_flags = cloexec ? O_CLOEXEC : 0 };
    int r;

    do
        r = ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &a);
    while (r < 0 && errno == EINTR);
    r = r < 0 ? -errno : r;
    close(fd);
    return r;
}

static int notif_valid(int listener, uint64_t id)
{
    RET(ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id));
}

static int notif_sync_wakeup(int listener)
{
    RET(ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP));
}

static int filter_install(const void *program, int length, unsigned flags)
{
    struct sock_fprog p = { length, (void *)program };
    RET(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &p));
}

static char refused_by[32];

static void refused(int number, siginfo_t *info, void *context)
{
    long long *r = ((ucontext_t *)context)->uc_mcontext.gregs;
    char text[160];
    int n = snprintf(text, sizeof text, "%s: system call %d(%#llx, %#llx, %#llx) is not one of its own\n", refused_by,
                     info->si_syscall, r[REG_RDI], r[REG_RSI], r[REG_RDX]);

    (void)!write(2, text, n);
    _exit(128 + number);
}

/* SECCOMP_RET_TRAP: say on stderr which call it was, and end. */
static int name_refused_calls(const char *process)
{
    struct sigaction action = { .sa_sigaction = refused, .sa_flags = SA_SIGINFO };

    snprintf(refused_by, sizeof refused_by, "%s", process);
    RET(sigaction(SIGSYS, &action, NULL));
}

static int read_mem(int pid, uint64_t addr, char *buf, int size)
{
    struct iovec l = { buf, size }, r = { (void *)addr, size };
    RET(process_vm_readv(pid, &l, 1, &r, 1, 0));
}

static int write_mem(int pid, uint64_t addr, const char *buf, int size)
{
    struct iovec l = { (void *)buf, size }, r = { (void *)addr, size };
    RET(process_vm_writev(pid, &l, 1, &r, 1, 0));
}

/* strncpy_from_user(): the length, or -ENAMETOOLONG without a NUL in size bytes. Never reads past a page it may not. */
static int read_cstr(int pid, uint64_t addr, char *buf, int size)
{
    int done = 0;

    while (done < size) {
        int want = 4096 - ((addr + done) & 4095), got;
        char *end;

        if (want > size - done)
            want = size - done;
        got = read_mem(pid, addr + done, buf + done, want);
        if (got < 0)
            return got == -ESRCH ? got : -EFAULT;
        end = memchr(buf + done, 0, got);
        if (end)
            return end - buf;
        if (got < want)
            return -EFAULT;
        done += got;
    }
    return -ENAMETOOLONG;
}

static int openat2_raw(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
    struct open_how how = { .flags = flags | O_CLOEXEC, .mode = mode, .resolve = resolve };
    RET(syscall(SYS_openat2, dir, path, &how, sizeof how));
}

struct opened { uint32_t mode; uint32_t uid; uint32_t gid; uint64_t dev; uint64_t rdev; uint64_t ino; };

static int fd_info(int fd, struct opened *out)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return -errno;
    out->mode = st.st_mode;
    out->uid = st.st_uid;
    out->gid = st.st_gid;
    out->dev = st.st_dev;
    out->rdev = st.st_rdev;
    out->ino = st.st_ino;
    return 0;
}

/* stx_mnt_id: which mount of the tree fd lies on. */
static int64_t fd_mount(int fd)
{
    struct statx stx;
    if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &stx) < 0)
        return -errno;
    return stx.stx_mnt_id;
}

/* f_type of fstatfs(2), which takes an O_PATH descriptor. */
static int64_t fd_type(int fd)
{
    struct statfs st;
    return fstatfs(fd, &st) < 0 ? -errno : (int64_t)st.f_type;
}

#define WALK (-100000)

/*
 * One lookup by the kernel, across mounts but never through a magic link. WALK: the answer depends on whose /proc/self it is,
 * or the walk leaves dir by ".." or an absolute link; the caller must walk component by component.
 *
 * O_NONBLOCK is added so that a FIFO cannot hold this thread, and taken away again from what cannot block.
 */
static int open_beneath(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve, struct opened *out)
{
    uint64_t extra = flags & O_PATH ? 0 : O_NONBLOCK;
    int fd, probe, there = 0;

    resolve |= RESOLVE_NO_MAGICLINKS;
    for (int tries = 0; ; tries++) {
        fd = openat2_raw(dir, path, flags | extra, mode, resolve);
        if (fd != -EAGAIN || tries == 100)
            break;
        /* RESOLVE_IN_ROOT and BENEATH: a rename raced with "..". Or the name is found, but a lease is held on the file. */
        probe = openat2_raw(dir, path, O_PATH | (flags & (O_NOFOLLOW | O_DIRECTORY)), 0, resolve);
        if (probe >= 0) {
            close(probe);
            if (there++)
                return -EAGAIN;
        }
    }
    if (fd >= 0) {
        int r = fd_info(fd, out);
        if (r < 0) {
            close(fd);
            return r;
        }
        if (extra && !(flags & O_NONBLOCK) && (S_ISREG(out->mode) || S_ISDIR(out->mode)))
            fcntl(fd, F_SETFL, (int)(flags & ~(uint64_t)O_NONBLOCK));
        return fd;
    }
    if (fd == -EXDEV || fd == -ELOOP || fd == -EAGAIN)
        return WALK;
    if (fd == -EACCES) {
        /* On procfs a process may search what is its own, whoever owns it: did the walk get there? */
        if (fd_type(dir) == PROC_SUPER_MAGIC)
            return WALK;
        probe = openat2_raw(dir, path, O_PATH, 0, resolve | RESOLVE_NO_XDEV);
        if (probe >= 0)
            close(probe);
        return probe == -EXDEV || probe == -ELOOP ? WALK : fd;
    }
    if (fd != -ENOENT)
        return fd;
    /* /proc/self does not exist for the sentry, which is not in that pid namespace: was it on the way? */
    probe = openat2_raw(dir, path, O_PATH, 0, resolve | RESOLVE_NO_SYMLINKS);
    if (probe == -ENOENT)
        return -ENOENT;
    if (probe >= 0)
        close(probe);
    probe = openat2_raw(dir, path, O_PATH, 0, resolve | RESOLVE_NO_XDEV);
    if (probe == -ENOENT)
        return fd_type(dir) == PROC_SUPER_MAGIC ? WALK : -ENOENT;
    if (probe >= 0)
        close(probe);
    return WALK;
}

static int proc_open(int procfd, int tid, const char *what, int flags)
{
    char path[64];
    snprintf(path, sizeof path, "%d/%s", tid, what);
    RET(openat(procfd, path, flags | O_CLOEXEC));
}

#define MAX_SLOTS 4096

/*
 * 0, or -EMFILE when another descriptor would be one too many for tid: the kernel looks for a free number before it creates or truncates
 * anything, ADDFD afterwards. Linux 6.2 says in st_size how many are open. Where that cannot be known, and with many, ADDFD decides.
 */
static int descriptor_left(int procfd, int tid)
{
    struct rlimit limit;
    struct stat st;
    char path[32];
    unsigned i;

    snprintf(path, sizeof path, "%d/fd", tid);
    if (fstatat(procfd, path, &st, 0) < 0 || prlimit(tid, RLIMIT_NOFILE, NULL, &limit) < 0)
        return 0;
    if ((rlim_t)st.st_size < limit.rlim_cur || limit.rlim_cur > MAX_SLOTS)
        return 0;
    for (i = 0; i < limit.rlim_cur; i++) { /* some may be above a limit that was lowered */
        snprintf(path, sizeof path, "%d/fd/%u", tid, i);
        if (fstatat(procfd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
            return 0;
    }
    return -EMFILE;
}

/*
 * The common open in one call: read the caller's path (PATH_MAX bytes at path), find the directory that it starts from, make
 * sure that the caller still waits, and open. As open_beneath(); WALK also when that directory cannot be had so. Without a
 * listener (-1) the caller is in a tracer's stop: its number is its own until the tracer has reaped it.
 */
static int open_name(int listener, uint64_t id, int tid, int dirfd, uint64_t addr, int root, int procfd, uint64_t flags,
                     uint64_t mode, char *path, struct opened *out)
{
    int dir = root, r = read_cstr(tid, addr, path, 4096);

    if (r < 0)
        return r;
    if (!path[0])
        return -ENOENT;
    if (flags & (O_CREAT | O_TRUNC) && (r = descriptor_left(procfd, tid)) < 0)
        return r;
    if (path[0] != '/') {
        char what[16] = "cwd";
        if (dirfd != AT_FDCWD)
            snprintf(what, sizeof what, "fd/%d", dirfd);
        dir = proc_open(procfd, tid, what, O_PATH | O_DIRECTORY);
        if (dir < 0)
            return WALK;
    }
    if (listener >= 0 && ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) < 0)
        r = -ESRCH;
    else
        r = open_beneath(dir, path, flags, mode, dir == root ? RESOLVE_IN_ROOT : RESOLVE_BENEATH, out);
    if (dir != root)
        close(dir);
    return r;
}

struct creds {
    uint32_t tgid, uid, euid, suid, fsuid, gid, egid, sgid, fsgid, umask, threads, ngroups;
    uint64_t cap_eff, pending, blocked;
    uint32_t ns_tgid, ns_tid, zombie;
    uint32_t groups[1024];
};

#define NOT_TRIED (-100001)

struct serving {
    struct notif call;  /* what the caller of serve() is to handle */
    int32_t tried;      /* what open_name() gave for it, or NOT_TRIED; path and opened are its other results */
    int32_t acting;     /* whether this thread has the identity that everybody shares while *uniform */
    int32_t root, procfd;
    int32_t note_missing; /* somebody wants to know what was not found */
    uint64_t proc_dev;  /* st_dev of the procfs, whose files are not for everybody */
    uint64_t flags;     /* of open(2): those that the kernel knows */
    uint64_t opens[2];  /* how many calls of open(2) and openat(2) were answered here */
    char path[4096];
    struct opened opened;
};

/* Try the call of *s; 1 when it has been answered. */
static int answer(int listener, struct serving *s)
{
    struct notif *c = &s->call;
    int at = c->nr == SYS_openat, dirfd = at ? (int)c->args[0] : AT_FDCWD, r;
    uint64_t flags, mode;

    if (c->nr != SYS_open && !at)
        return 0;
    flags = c->args[at + 1] & s->flags;
    mode = flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY)) ? c->args[at + 2] & 07777 : 0;
    if (flags & O_PATH)
        return 0;
    s->tried = open_name(listener, c->id, c->pid, dirfd, c->args[at], s->root, s->procfd, flags | O_LARGEFILE_BIT | O_NOCTTY,
                         mode, s->path, &s->opened);
    if (s->tried == -ENOENT && !s->note_missing) {
        notif_send(listener, c->id, 0, -ENOENT, 0);
    } else {
        if (s->tried < 0 || !(S_ISREG(s->opened.mode) || S_ISDIR(s->opened.mode)) || s->opened.dev == s->proc_dev)
            return 0;
        r = hand_over(listener, c->id, c->pid, s->tried, flags & O_CLOEXEC, 1);
        if (r < 0)
            notif_send(listener, c->id, 0, r, 0);
    }
    s->opens[at]++;
    return 1;
}

/*
 * Receive calls, and answer those that nothing is to be decided about: an open that gives a regular file or a directory, off
 * procfs, or nothing, while everybody in the container has one identity, which this thread has taken. Returns 0 with the first other
 * call, or as notif_recv(). An open that was tried is not tried again: what it gave is in *s.
 */
static int serve(int listener, struct serving *s, const int *uniform)
{
    int r;

    do {
        r = notif_recv(listener, &s->call);
        s->tried = NOT_TRIED;
    } while (!r && s->acting && *(const volatile int *)uniform && answer(listener, s));
    roam();
    return r;
}

/*
 * Tracees. All of these are for the thread that has seized them, and -ESRCH says that a tracee has been killed meanwhile.
 */
struct traced { int32_t tid; int32_t what; int64_t value; };

enum { /* struct traced.what, and what value is */
    TRACED_CALL,     /* a filter has returned SECCOMP_RET_TRACE: its data; the call is in *call */
    TRACED_ENTERED,  /* a call begins */
    TRACED_RETURNED, /* it is over: its result */
    TRACED_CHILD,    /* a thread or process has been made: its tid */
    TRACED_EXECUTED, /* execve(2): the tid until then */
    TRACED_SIGNAL,   /* a signal is to be delivered: its number */
    TRACED_STOPPED,  /* the thread group is stopped: by which signal */
    TRACED_TRAPPED,  /* PTRACE_EVENT_STOP otherwise: a new tracee, SIGCONT, PTRACE_INTERRUPT */
    TRACED_ENDED,    /* it is no more */
    TRACED_OTHER,
};

#define TRACE_OPTIONS (PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC | \
                       PTRACE_O_TRACESECCOMP | PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL)

static int trace_seize(int tid) { RET(ptrace(PTRACE_SEIZE, tid, 0, TRACE_OPTIONS)); }

/* One change of a tracee of this thread: 0, or -EINTR after SIGUSR1, or -ECHILD when it has none. */
static int trace_wait(struct traced *out, struct notif *call)
{
    struct __ptrace_syscall_info info;
    unsigned long message = 0;
    int status, event, signal, error;
    sigset_t bell;
    pid_t tid;

    /* Only here: a handler's own calls must not end with EINTR. */
    sigemptyset(&bell);
    sigaddset(&bell, SIGUSR1);
    pthread_sigmask(SIG_UNBLOCK, &bell, NULL);
    tid = waitpid(-1, &status, __WALL | __WNOTHREAD);
    error = errno;
    pthread_sigmask(SIG_BLOCK, &bell, NULL);
    if (tid < 0)
        return -error;
    out->tid = tid;
    out->value = 0;
    out->what = TRACED_OTHER;
    if (!WIFSTOPPED(status)) {
        out->what = TRACED_ENDED;
        return 0;
    }
    signal = WSTOPSIG(status);
    event = status >> 16;
    switch (event) {
    case 0:
        if (signal != (SIGTRAP | 0x80)) {
            out->what = TRACED_SIGNAL;
            out->value = signal;
            return 0;
        }
        if (ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof info, &info) < 0)
            return 0;
        out->what = info.op == PTRACE_SYSCALL_INFO_ENTRY ? TRACED_ENTERED : TRACED_RETURNED;
        if (info.op == PTRACE_SYSCALL_INFO_EXIT)
            out->value = info.exit.rval;
        return 0;
    case PTRACE_EVENT_SECCOMP:
        if (ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof info, &info) < 0 || info.op != PTRACE_SYSCALL_INFO_SECCOMP)
            return 0;
        out->what = TRACED_CALL;
        out->value = info.seccomp.ret_data;
        call->id = 0;
        call->pid = tid;
        call->nr = info.seccomp.nr;
        memcpy(call->args, info.seccomp.args, sizeof call->args);
        return 0;
    case PTRACE_EVENT_STOP:
        out->what = signal == SIGTRAP ? TRACED_TRAPPED : TRACED_STOPPED;
        out->value = signal;
        return 0;
    }
    if (ptrace(PTRACE_GETEVENTMSG, tid, 0, &message) < 0)
        return 0;
    out->value = message;
    if (event == PTRACE_EVENT_EXEC)
        out->what = TRACED_EXECUTED;
    else if (event == PTRACE_EVENT_CLONE || event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK)
        out->what = TRACED_CHILD;
    return 0;
}

#define REGISTER(name) offsetof(struct user_regs_struct, name)

/*
 * As in hand_over(): while one tracee makes one call after the other, or executes several for us, it and we share a CPU. It has its own
 * affinity back as soon as it is on the queue of this CPU, where it runs when we wait.
 */
#define AFFINITY_WORDS (sizeof(cpu_set_t) / sizeof(uint64_t))

/* A stopped tracee: 1 when it may run on this CPU alone, for the present, and was is what trace_apart() needs. */
static int trace_near(int tid, uint64_t *was)
{
    cpu_set_t narrow;

    here.streak = tid == here.caller ? here.streak + 1 : 0;
    here.caller = tid;
    if (!CPU_COUNT(&here.ours) && sched_getaffinity(0, sizeof here.ours, &here.ours) < 0)
        CPU_ZERO(&here.ours);
    if (!CPU_COUNT(&here.ours) || sched_getaffinity(tid, sizeof(cpu_set_t), (cpu_set_t *)was) < 0 || CPU_COUNT((cpu_set_t *)was) < 2)
        return 0;
    CPU_ZERO(&narrow);
    CPU_SET(sched_getcpu(), &narrow);
    if (sched_setaffinity(tid, sizeof narrow, &narrow) < 0)
        return 0;
    if (!here.staying)
        stay();
    return 1;
}

static int trace_apart(int tid, uint64_t *was)
{
    cpu_set_t now;

    if (sched_getaffinity(tid, sizeof now, &now) == 0 && CPU_COUNT(&now) == 1 && CPU_ISSET(sched_getcpu(), &now))
        sched_setaffinity(tid, sizeof(cpu_set_t), (cpu_set_t *)was); /* nobody has given it another meanwhile */
    if (here.streak < STREAK || here.streak % STAY == 0)
        roam();
    return 0;
}

/* A call that was stopped at its begin will not be made, and give value. */
static int trace_refuse(int tid, int64_t value)
{
    RET(ptrace(PTRACE_POKEUSER, tid, REGISTER(orig_rax), -1L) < 0 ? -1L : ptrace(PTRACE_POKEUSER, tid, REGISTER(rax), value));
}

/* Likewise, and the caller goes on. */
static int trace_reply(int tid, int64_t value)
{
    uint64_t was[AFFINITY_WORDS];
    int near = 0, r = trace_refuse(tid, value);

    if (r < 0)
        return r;
    if (tid == here.caller && here.streak >= STREAK)
        near = trace_near(tid, was);
    else
        here.streak = tid == here.caller ? here.streak + 1 : 0;
    here.caller = tid;
    r = ptrace(PTRACE_CONT, tid, 0, 0L) < 0 ? -errno : 0;
    if (near)
        trace_apart(tid, was);
    else
        roam();
    return r;
}

static int trace_resume(int tid, int request, int signal) { RET(ptrace(request, tid, 0, (long)signal)); }

static int trace_alive(int tid)
{
    unsigned long message;
    RET(ptrace(PTRACE_GETEVENTMSG, tid, 0, &message));
}

/* out: the number of the call that a stopped tracee is in, and its first argument. */
static int trace_flags(int tid, uint64_t *out)
{
    struct user_regs_struct r;

    if (ptrace(PTRACE_GETREGS, tid, 0, &r) < 0)
        return -errno;
    out[0] = r.orig_rax;
    out[1] = r.rdi;
    return 0;
}

static int trace_registers(int tid, uint64_t *registers, int set)
{
    RET(ptrace(set ? PTRACE_SETREGS : PTRACE_GETREGS, tid, 0, registers));
}

static int trace_signal_mask(int tid, uint64_t *mask, int set)
{
    RET(ptrace(set ? PTRACE_SETSIGMASK : PTRACE_GETSIGMASK, tid, sizeof *mask, mask));
}

/* One byte with fd on a UNIX socket. */
static int pass_fd(int sock, int fd)
{
    char byte = 0;
    struct iovec iov = { &byte, 1 };
    union { struct cmsghdr head; char space[CMSG_SPACE(sizeof(int))]; } control = { .head = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_LEN(sizeof(int)) };
    int domain = 0;
    socklen_t size = sizeof domain;

    if (getsockopt(sock, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0)
        return -errno;
    if (domain != AF_UNIX)
        return -EAFNOSUPPORT;
    memcpy(CMSG_DATA(&control.head), &fd, sizeof fd);
    RET(sendmsg(sock, &m, MSG_DONTWAIT | MSG_NOSIGNAL));
}

/* out: the inode of /proc/TID, and its owner: the effective uid and gid of the thread. */
static int proc_identity(int procfd, int tid, uint64_t *out)
{
    char path[16];
    struct stat st;
    snprintf(path, sizeof path, "%d", tid);
    if (fstatat(procfd, path, &st, 0) < 0)
        return -errno;
    out[0] = st.st_ino;
    out[1] = (uint64_t)st.st_uid << 32 | st.st_gid;
    return 0;
}

static int proc_same(int procfd, int tid, uint64_t ino, uint64_t ids)
{
    uint64_t now[2];
    return proc_identity(procfd, tid, now) == 0 && now[0] == ino && now[1] == ids;
}

static uint32_t last_number(const char *s)
{
    uint32_t v = 0;
    for (; *s && *s != '\n'; s++)
        if (*s == ' ' || *s == '\t')
            v = strtoul(s + 1, NULL, 10);
    return v;
}

/* /proc/TID/status in one pass; proc_pid_status(5). -E2BIG when it has more groups than we keep. */
static int read_creds(int procfd, int tid, struct creds *out)
{
    static __thread char text[16384];
    int fd = proc_open(procfd, tid, "status", O_RDONLY), n;
    char *p, *e;

    if (fd < 0)
        return fd;
    n = read(fd, text, sizeof text - 1);
    if (n < 0)
        n = -errno;
    close(fd);
    if (n <= 0)
        return n ? n : -ESRCH;
    text[n] = 0;
    memset(out, 0, offsetof(struct creds, groups));
    for (p = text; *p; p = *e ? e + 1 : e) {
        e = strchrnul(p, '\n');
        if (!strncmp(p, "Umask:", 6)) out->umask = strtoul(p + 6, NULL, 8);
        else if (!strncmp(p, "State:", 6)) out->zombie = p[7] == 'Z' || p[7] == 'X';
        else if (!strncmp(p, "Tgid:", 5)) out->tgid = strtoul(p + 5, NULL, 10);
        else if (!strncmp(p, "Uid:", 4)) sscanf(p + 4, "%u %u %u %u", &out->uid, &out->euid, &out->suid, &out->fsuid);
        else if (!strncmp(p, "Gid:", 4)) sscanf(p + 4, "%u %u %u %u", &out->gid, &out->egid, &out->sgid, &out->fsgid);
        else if (!strncmp(p, "Groups:", 7)) {
            char *q = p + 7, *end;
            for (;;) {
                unsigned long g = strtoul(q, &end, 10);
                if (end == q || end > e)
                    break;
                if (out->ngroups == 1024)
                    return -E2BIG;
                out->groups[out->ngroups++] = g;
                q = end;
            }
        }
        else if (!strncmp(p, "NStgid:", 7)) out->ns_tgid = last_number(p + 7);
        else if (!strncmp(p, "NSpid:", 6)) out->ns_tid = last_number(p + 6);
        else if (!strncmp(p, "Threads:", 8)) out->threads = strtoul(p + 8, NULL, 10);
        else if (!strncmp(p, "SigPnd:", 7)) out->pending |= strtoull(p + 7, NULL, 16);
        else if (!strncmp(p, "ShdPnd:", 7)) out->pending |= strtoull(p + 7, NULL, 16);
        else if (!strncmp(p, "SigBlk:", 7)) out->blocked = strtoull(p + 7, NULL, 16);
        else if (!strncmp(p, "CapEff:", 7)) { out->cap_eff = strtoull(p + 7, NULL, 16); break; }
    }
    return 0;
}

static int get_fd(int tid, int fd)
{
    int pidfd = syscall(SYS_pidfd_open, tid, PIDFD_THREAD), r;

    if (pidfd < 0 && errno == EINVAL) /* before Linux 6.9 only a thread group leader has a pidfd */
        pidfd = syscall(SYS_pidfd_open, tid, 0);
    if (pidfd < 0)
        return -errno;
    r = syscall(SYS_pidfd_getfd, pidfd, fd, 0);
    if (r < 0)
        r = -errno;
    close(pidfd);
    return r;
}

/* A thread of its own umask and working directory: umask(2) acts on the fs_struct. */
static int own_fs_struct(void) { RET(unshare(CLONE_FS)); }

static int capset_all(uint64_t permitted, uint64_t effective, uint64_t inheritable)
{
    struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct d[2] = {
        { effective, permitted, inheritable },
        { effective >> 32, permitted >> 32, inheritable >> 32 },
    };
    RET(syscall(SYS_capset, &h, d));
}

/* Where setgroups(2) is denied (a user namespace of a single id) everybody has the groups that it came with. */
static int has_groups(uint32_t ngroups, const uint32_t *groups)
{
    gid_t own[256];
    int n = getgroups(256, own);

    return n >= 0 && (uint32_t)n == ngroups && memcmp(own, groups, n * sizeof(*own)) == 0;
}

/* The calling thread alone: raw system calls, not glibc's, which change all threads. */
static int assume(uint32_t fsuid, uint32_t fsgid, uint32_t ngroups, const uint32_t *groups, uint64_t effective)
{
    struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct d[2];

    if (syscall(SYS_capget, &h, d) < 0)
        return -errno;
    d[0].effective = d[0].permitted; /* the acting identity may lack CAP_SETUID and CAP_SETGID */
    d[1].effective = d[1].permitted;
    if (syscall(SYS_capset, &h, d) < 0)
        return -errno;
    if (syscall(SYS_setgroups, ngroups, groups) < 0 && !(errno == EPERM && has_groups(ngroups, groups)))
        return -errno;
    syscall(SYS_setfsgid, fsgid);
    if (syscall(SYS_setfsgid, -1) != (long)fsgid)
        return -EPERM;
    syscall(SYS_setfsuid, fsuid);
    if (syscall(SYS_setfsuid, -1) != (long)fsuid)
        return -EPERM;
    d[0].effective = effective & d[0].permitted;
    d[1].effective = effective >> 32 & d[1].permitted;
    RET(syscall(SYS_capset, &h, d));
}

static uint32_t set_umask(uint32_t mask) { return umask(mask); }

static long syscall6(long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
    long r = syscall(nr, a, b, c, d, e, f);
    return r < 0 ? -errno : r;
}

static int open_tree_(int dir, const char *path, unsigned flags) { RET(syscall(428, dir, path, flags)); }
static int move_mount_(int from, const char *from_path, int to, const char *to_path, unsigned flags)
{ RET(syscall(429, from, from_path, to, to_path, flags)); }
static int fsopen_(const char *type, unsigned flags) { RET(syscall(430, type, flags)); }
static int fsconfig_(int fd, unsigned cmd, const char *key, const char *value, int aux)
{ RET(syscall(431, fd, cmd, key, value, aux)); }
static int fsmount_(int fd, unsigned flags, unsigned attrs) { RET(syscall(432, fd, flags, attrs)); }
static int mount_setattr_(int dir, const char *path, unsigned flags, uint64_t set, uint64_t clr, uint64_t propagation, int userns)
{
    uint64_t attr[4] = { set, clr, propagation, userns < 0 ? 0 : userns };
    RET(syscall(442, dir, path, flags, attr, sizeof attr));
}
static int fchmodat2_(int dir, const char *path, unsigned mode, int flags) { RET(syscall(__NR_fchmodat2, dir, path, mode, flags)); }
static int renameat2_(int olddir, const char *old, int newdir, const char *new_, unsigned flags)
{ RET(syscall(SYS_renameat2, olddir, old, newdir, new_, flags)); }
static int umount2_(const char *path, int flags) { RET(umount2(path, flags)); }
static int pivot_root_(const char *new_root, const char *put_old) { RET(syscall(SYS_pivot_root, new_root, put_old)); }
static int setns_(int fd, int type) { RET(setns(fd, type)); }
static int unshare_(int flags) { RET(unshare(flags)); }

static int mount_namespace_of_child(void *procfd_in_namespace_out)
{
    int *fd = procfd_in_namespace_out;
    int opened = openat(*fd, "self/ns/mnt", O_RDONLY | O_CLOEXEC);

    *fd = opened < 0 ? -errno : opened;
    return 0;
}

/*
 * A copy of the caller's mount namespace that belongs to another user namespace, a child of the caller's: in such a copy every mount is
 * locked, mount_namespaces(7). A child makes it that shares memory and descriptors with us and ends at once.
 */
static int locked_mount_namespace(int procfd)
{
    static char stack[16384] __attribute__((aligned(16)));
    int fd = procfd;
    int flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_VM | CLONE_VFORK | CLONE_FILES | SIGCHLD;
    pid_t pid = clone(mount_namespace_of_child, stack + sizeof stack, flags, &fd);

    if (pid < 0)
        return -errno;
    while (waitpid(pid, NULL, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return fd;
}
static int prctl_(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)
{ RET(prctl(option, a, b, c, d)); }
static int mount_(const char *source, const char *target, const char *type, unsigned long flags, const char *data)
{ RET(mount(source, target, type, flags, data)); }
static int inotify_add_watch_(int fd, const char *path, uint32_t mask) { RET(inotify_add_watch(fd, path, mask)); }
static int statx_raw(int dir, const char *path, int flags, unsigned mask, char *out)
{ RET(syscall(SYS_statx, dir, path, flags, mask, out)); }
static int fstatat_raw(int dir, const char *path, char *out, int flags) { RET(syscall(SYS_newfstatat, dir, path, out, flags)); }
static int statfs_raw(const char *path, char *out) { RET(syscall(SYS_statfs, path, out)); }
static int sysinfo_raw(char *out) { RET(syscall(SYS_sysinfo, out)); }
static int sched_getaffinity_raw(int tid, unsigned size, char *out) { RET(syscall(SYS_sched_getaffinity, tid, size, out)); }
static int faccessat2_(int dir, const char *path, int mode, int flags)
{ RET(syscall(__NR_faccessat2, dir, path, mode, flags)); }
static int utimensat_(int dir, const char *path, const char *times, int flags)
{ RET(syscall(SYS_utimensat, dir, path, times, flags)); }
static long getxattr_(const char *path, const char *name, char *value, size_t size)
{ RET(syscall(SYS_getxattr, path, name, value, size)); }
static long listxattr_(const char *path, char *list, size_t size) { RET(syscall(SYS_listxattr, path, list, size)); }
static int bind_(int fd, const char *addr, unsigned len) { RET(syscall(SYS_bind, fd, addr, len)); }
static int connect_(int fd, const char *addr, unsigned len) { RET(syscall(SYS_connect, fd, addr, len)); }
/* An option whose value is an int, or -errno. */
static int sock_option(int fd, int level, int name)
{
    int value;
    socklen_t len = sizeof value;
    return getsockopt(fd, level, name, &value, &len) < 0 ? -errno : value;
}
"""

ffibuilder = FFI()
ffibuilder.cdef(CDEF)
ffibuilder.set_source(
    "sentry.platform._native", SOURCE, py_limited_api=True, extra_compile_args=["-O2", "-Wall", "-Wno-unused-function"]
)

if __name__ == "__main__":
    ffibuilder.compile(verbose=True)
