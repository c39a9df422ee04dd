/* Another task: proc(5), pidfd_getfd(2). */

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

struct creds {
    uint32_t tgid, uid, euid, suid, fsuid, gid, egid, sgid, fsgid, umask, threads, ngroups;
    uint64_t cap_eff, pending, blocked;
    uint32_t ns_tgid, ns_tid, zombie;
    uint32_t groups[1024];
};

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

/* A duplicate of a descriptor of thread tid's. -EINVAL: before Linux 6.9 only a thread group leader has a pidfd, and it is none. */
static int get_fd(int tid, int fd)
{
    int pidfd = syscall(SYS_pidfd_open, tid, PIDFD_THREAD), r;

    if (pidfd < 0 && errno == EINVAL) {
        pidfd = syscall(SYS_pidfd_open, tid, 0);
        if (pidfd < 0 && errno == ENOENT)
            return -EINVAL;
    }
    if (pidfd < 0)
        return -errno;
    r = syscall(SYS_pidfd_getfd, pidfd, fd, 0);
    if (r < 0)
        r = -errno;
    close(pidfd);
    return r;
}

/* The same by its leader's pidfd. -ENOSYS where that has another table, or none any more, or nobody can tell (CONFIG_KCMP). */
static int get_fd_of_leader(int tid, int leader, int fd)
{
    return syscall(SYS_kcmp, tid, leader, KCMP_FILES, 0, 0) ? -ENOSYS : get_fd(leader, fd);
}
