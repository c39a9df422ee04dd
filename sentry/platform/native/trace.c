/* ptrace(2): a tracer's side. */

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
