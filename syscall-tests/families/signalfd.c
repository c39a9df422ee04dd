/* signalfd(2) */
#include "harness.h"
#include <sys/signalfd.h>
static struct signalfd_siginfo i;
static uint64_t s = 1UL << (SIGUSR1 - 1);
static int fd_(int flags) { sigset_t m; sigemptyset(&m); sigaddset(&m, SIGUSR1); sigprocmask(SIG_BLOCK, &m, NULL); return OK(SYS(signalfd4, -1, &s, 8, flags)); }
CASE(reads_a_signal) { int fd = fd_(0); kill(getpid(), SIGUSR1); EQ(sizeof i, SYS(read, fd, &i, sizeof i)); EQ(SIGUSR1, i.ssi_signo); EQ(getpid(), i.ssi_pid); EQ(SI_USER, i.ssi_code); }
CASE(value_is_carried) { int fd = fd_(0); sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 42}); EQ(sizeof i, SYS(read, fd, &i, sizeof i)); EQ(42, i.ssi_int); }
CASE(nonblocking) { FAILS(EAGAIN, SYS(read, fd_(SFD_NONBLOCK), &i, sizeof i)); }
CASE(mask_is_changed) { int fd = fd_(SFD_NONBLOCK); uint64_t none = 0; EQ(fd, SYS(signalfd4, fd, &none, 8, 0)); kill(getpid(), SIGUSR1); FAILS(EAGAIN, SYS(read, fd, &i, sizeof i)); }
CASE(errors) { FAILS(EINVAL, SYS(signalfd4, -1, &s, 4, 0)); FAILS(EINVAL, SYS(signalfd4, -1, &s, 8, 1)); FAILS(EBADF, SYS(signalfd4, 99, &s, 8, 0)); FAILS(EINVAL, SYS(signalfd4, OK(SYS(eventfd, 0)), &s, 8, 0)); FAILS(EINVAL, SYS(read, fd_(0), &i, 10)); FAILS(EFAULT, SYS(signalfd4, -1, BAD, 8, 0)); }
CASE(sender_is_told) { uint64_t m = 1 << (SIGUSR1 - 1); OK(SYS(rt_sigprocmask, SIG_BLOCK, &m, NULL, 8)); int fd = OK(SYS(signalfd4, -1, &m, 8, 0)); pid_t p = SPAWN(kill(getppid(), SIGUSR1)); uint32_t i[32]; EQ(128, SYS(read, fd, i, sizeof i)); EQ(SIGUSR1, i[0]); EQ(p, i[3]); EQ(0, i[4]); JOIN(p); }
CASE(another_mask_takes_over) { uint64_t one = 1 << (SIGUSR1 - 1), two = 1 << (SIGUSR2 - 1), both = one | two; OK(SYS(rt_sigprocmask, SIG_BLOCK, &both, NULL, 8)); int fd = OK(SYS(signalfd4, -1, &one, 8, SOCK_NONBLOCK)); kill(getpid(), SIGUSR2); uint32_t i[32]; FAILS(EAGAIN, SYS(read, fd, i, sizeof i)); EQ(fd, SYS(signalfd4, fd, &two, 8, 0)); EQ(128, SYS(read, fd, i, sizeof i)); EQ(SIGUSR2, i[0]); }
