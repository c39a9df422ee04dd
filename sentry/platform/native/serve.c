/* The loop of a listener. */

static __thread struct { int tid, pidfd; } asked; /* whose pidfd is kept; tid 0: nobody's */

static void forget_asked(void)
{
    if (asked.tid)
        close(asked.pidfd);
    asked.tid = 0;
}

/*
 * A duplicate of the descriptor that a thread opens below, -1 if it cannot be had so. It takes half of what the way by /proc/TID/fd does while
 * one thread opens file after file. The pidfd is of the thread that had the number when it was opened; where that one has ended we ask anew.
 */
static int get_directory(int tid, int fd)
{
    int r = -1;

    for (int tries = 0; r < 0 && tries < 2; tries++) {
        if (asked.tid != tid || tries) {
            forget_asked();
            if ((asked.pidfd = syscall(SYS_pidfd_open, tid, PIDFD_THREAD)) < 0)
                return -1;
            asked.tid = tid;
        }
        r = syscall(SYS_pidfd_getfd, asked.pidfd, fd, 0);
        if (r < 0 && errno != ESRCH)
            return -1;
    }
    return r;
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
        dir = -1;
        if (dirfd != AT_FDCWD && (dir = get_directory(tid, dirfd)) < 0) /* before Linux 6.9 a thread has no pidfd */
            snprintf(what, sizeof what, "fd/%d", dirfd);
        if (dir < 0)
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

#define NOT_TRIED (-100001)

struct serving {
    struct notif call;  /* what the caller of serve() is to handle */
    int32_t tried;      /* what open_name() gave for it, or NOT_TRIED; path and opened are its other results */
    int32_t acting;     /* whether this thread has the identity that everybody shares while *uniform */
    int32_t root, procfd;
    int32_t note_missing; /* somebody wants to know what was not found */
    int32_t calls;      /* the socket by which they come, or -1: they are received here */
    int32_t files;      /* the socket by which those that name files go on, or -1: they are handled here */
    uint8_t elsewhere[64]; /* by number, a bit each: those that go on */
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

/* The next call, from the kernel or from the process that receives them: 0, or -ENOTCONN when there will be none. */
static int next_call(int listener, struct serving *s)
{
    ssize_t n;

    if (s->calls < 0)
        return notif_recv(listener, &s->call);
    do
        n = read(s->calls, &s->call, sizeof s->call);
    while (n < 0 && errno == EINTR);
    return n == sizeof s->call ? 0 : -ENOTCONN;
}

/* Send the call of *s to the process that handles its like, if that is another one: whether that was done. *error: -errno, if it is gone. */
static int handed_on(struct serving *s, int *error)
{
    unsigned nr = s->call.nr;
    ssize_t n;

    if (s->files < 0 || nr >= 8 * sizeof s->elsewhere || !(s->elsewhere[nr / 8] >> nr % 8 & 1))
        return 0;
    do
        n = write(s->files, &s->call, sizeof s->call);
    while (n < 0 && errno == EINTR);
    *error = n < 0 ? -errno : 0;
    return n >= 0;
}

/*
 * Receive calls, hand on those that are not for this process, and answer those that nothing is to be decided about: an open that gives
 * a regular file or a directory, off procfs, or nothing, while everybody in the container has one identity, which this thread has taken, and
 * no reply is held: of a FIFO, it might meet who waits in place of a dead caller (sentry/holds.py).
 * Returns 0 with the first other call, or -errno when nobody is left behind the listener. An open that was tried is not tried again: what
 * it gave is in *s.
 */
static int serve(int listener, struct serving *s, const int *uniform, const int *held)
{
    const volatile int *same = uniform, *waits = held;
    int r;

    do {
        r = next_call(listener, s);
        s->tried = NOT_TRIED;
    } while (!r && (handed_on(s, &r) || (s->acting && *same && !*waits && answer(listener, s))));
    roam();
    if (r)
        forget_asked();
    return r;
}
