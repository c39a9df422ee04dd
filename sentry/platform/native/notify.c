/* seccomp user notification: seccomp_unotify(2), seccomp(2). */

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
