/* getrlimit(2), prlimit64(2), getrusage(2), times(2), getpriority(2) */
#include "harness.h"
#include <sys/times.h>
static struct rlimit l, o;
CASE(set_and_get) { l = (struct rlimit){100, 200}; EQ(0, SYS(setrlimit, RLIMIT_NOFILE, &l)); EQ(0, SYS(getrlimit, RLIMIT_NOFILE, &o)); EQ(100, o.rlim_cur); EQ(200, o.rlim_max); CHILD(SYS(getrlimit, RLIMIT_NOFILE, &o); EQ(100, o.rlim_cur)); }
CASE(soft_above_hard) { l = (struct rlimit){3, 2}; FAILS(EINVAL, SYS(setrlimit, RLIMIT_NOFILE, &l)); }
CASE(raise_as_user) { l = (struct rlimit){100, 200}; OK(SYS(setrlimit, RLIMIT_CPU, &l)); become(USER, GROUP); l.rlim_max = 300; FAILS(EPERM, SYS(setrlimit, RLIMIT_CPU, &l)); l = (struct rlimit){200, 200}; EQ(0, SYS(setrlimit, RLIMIT_CPU, &l)); }
CASE(errors) { FAILS(EINVAL, SYS(getrlimit, 99, &o)); FAILS(EFAULT, SYS(getrlimit, 0, BAD)); FAILS(ESRCH, SYS(prlimit64, 4000000, 0, NULL, NULL)); }
CASE(of_a_child) { pid_t p = SPAWN(pause()); l = (struct rlimit){50, 60}; EQ(0, SYS(prlimit64, p, RLIMIT_NOFILE, &l, &o)); EQ(0, SYS(prlimit64, p, RLIMIT_NOFILE, NULL, &o)); EQ(50, o.rlim_cur); kill(p, SIGKILL); }
CASE(of_a_stranger) { pid_t p = SPAWN(pause()); CHILD(become(USER, GROUP); FAILS(EPERM, SYS(prlimit64, p, RLIMIT_NOFILE, NULL, &o))); kill(p, SIGKILL); }
CASE(cpu_limit) { pid_t p = SPAWN(l = (struct rlimit){1, 1}; SYS(setrlimit, RLIMIT_CPU, &l); for (;;) ;); int s = ENDED(p); CHECK(WTERMSIG(s) == SIGKILL || WTERMSIG(s) == SIGXCPU); }
CASE(usage) { struct rusage u; EQ(0, SYS(getrusage, RUSAGE_SELF, &u)); CHECK(u.ru_maxrss > 0); EQ(0, SYS(getrusage, RUSAGE_CHILDREN, &u)); EQ(0, SYS(getrusage, RUSAGE_THREAD, &u)); FAILS(EINVAL, SYS(getrusage, 9, &u)); FAILS(EFAULT, SYS(getrusage, 0, BAD)); }
CASE(times_) { struct tms t; CHECK(SYS(times, &t) != -EFAULT); FAILS(EFAULT, SYS(times, BAD)); }
CASE(priority) { EQ(20, SYS(getpriority, PRIO_PROCESS, 0)); EQ(0, SYS(setpriority, PRIO_PROCESS, 0, 5)); EQ(15, SYS(getpriority, PRIO_PROCESS, 0)); FAILS(EINVAL, SYS(getpriority, 9, 0)); FAILS(ESRCH, SYS(getpriority, PRIO_PROCESS, 4000000)); }
CASE(priority_as_user) { become(USER, GROUP); OK(SYS(setpriority, PRIO_PROCESS, 0, 5)); FAILS(EACCES, SYS(setpriority, PRIO_PROCESS, 0, 0)); }
CASE(io_priority) { EQ(0, SYS(ioprio_set, 1, 0, 2 << 13 | 3)); EQ(2 << 13 | 3, SYS(ioprio_get, 1, 0)); FAILS(EINVAL, SYS(ioprio_get, 9, 0)); FAILS(EINVAL, SYS(ioprio_set, 1, 0, 7 << 13)); }

/* ---- no descriptor left: what makes one says so, and does nothing else ---- */

static void none_left(void) { struct rlimit r = {3, 3}; while (SYS(close, 3) == 0) ; OK(SYS(prlimit64, 0, RLIMIT_NOFILE, &r, NULL)); }
#define NONE_LEFT(name, ...) CASE(none_left_for_##name) { none_left(); FAILS(EMFILE, SYS(name, __VA_ARGS__)); }
static int two[2];
NONE_LEFT(dup, 0)
NONE_LEFT(pipe2, two, O_CLOEXEC)
NONE_LEFT(socket, AF_UNIX, SOCK_STREAM, 0)
NONE_LEFT(socketpair, AF_UNIX, SOCK_STREAM, 0, two)
NONE_LEFT(epoll_create1, 0)
NONE_LEFT(eventfd2, 0, 0)
NONE_LEFT(inotify_init1, 0)
NONE_LEFT(timerfd_create, CLOCK_MONOTONIC, 0)
NONE_LEFT(memfd_create, "m", 0)
NONE_LEFT(pidfd_open, getpid(), 0)
NONE_LEFT(open, "/dev/null", O_RDONLY, 0)
NONE_LEFT(openat, AT_FDCWD, "/proc/version", O_RDONLY, 0)
CASE(none_left_for_fcntl) { none_left(); FAILS(EINVAL, SYS(fcntl, 0, F_DUPFD, 3)); FAILS(EMFILE, SYS(fcntl, 0, F_DUPFD, 0)); FAILS(EBADF, SYS(dup2, 0, 3)); FAILS(EBADF, SYS(dup3, 0, 3, 0)); }
CASE(none_left_for_signalfd) { uint64_t set = 0; none_left(); FAILS(EMFILE, SYS(signalfd4, -1, &set, 8, 0)); }
CASE(none_left_for_a_queue) { none_left(); FAILS(EMFILE, SYS(mq_open, "limits", O_RDWR | O_CREAT, 0600, NULL)); FAILS(ENOENT, SYS(mq_unlink, "limits")); }
CASE(none_left_for_accept) { struct { short family; char path[20]; } name = {AF_UNIX, "s"}; none_left(); struct rlimit r = {3, 3}; SYS(close, 0); SYS(close, 1); SYS(close, 2); int l = OK(SYS(socket, AF_UNIX, SOCK_STREAM, 0)), c = OK(SYS(socket, AF_UNIX, SOCK_STREAM, 0)); OK(SYS(bind, l, &name, 4)); OK(SYS(listen, l, 1)); OK(SYS(connect, c, &name, 4)); r.rlim_cur = 2; OK(SYS(prlimit64, 0, RLIMIT_NOFILE, &r, NULL)); FAILS(EMFILE, SYS(accept, l, NULL, NULL)); FAILS(EMFILE, SYS(accept4, l, NULL, NULL, SOCK_CLOEXEC)); }
