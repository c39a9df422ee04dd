/* pidfd_open(2), pidfd_send_signal(2), pidfd_getfd(2) */
#include "harness.h"
static siginfo_t i;
CASE(signals) { pid_t p = SPAWN(pause()); int fd = OK(SYS(pidfd_open, p, 0)); EQ(0, SYS(pidfd_send_signal, fd, SIGTERM, NULL, 0)); EQ(SIGTERM, ENDED(p)); FAILS(ESRCH, SYS(pidfd_send_signal, fd, 0, NULL, 0)); }
CASE(polls_at_the_end) { pid_t p = SPAWN(pause()); struct pollfd q = {OK(SYS(pidfd_open, p, 0)), POLLIN, 0}; EQ(0, SYS(poll, &q, 1, 0)); kill(p, SIGKILL); EQ(1, SYS(poll, &q, 1, -1)); ENDED(p); }
CASE(waits) { pid_t p = SPAWN(_exit(5)); int fd = OK(SYS(pidfd_open, p, 0)); EQ(0, SYS(waitid, 3, fd, &i, WEXITED, NULL)); EQ(5, i.si_status); EQ(p, i.si_pid); }
CASE(gets_a_descriptor) { int q[2]; OK(SYS(pipe, q)); pid_t p = SPAWN(SYS(dup2, q[0], 55); char c; SYS(close, q[0]); SYS(write, q[1], "r", 1); pause(); (void)c); char c; EQ(1, SYS(read, q[0], &c, 1)); int fd = OK(SYS(pidfd_open, p, 0)); int g = OK(SYS(pidfd_getfd, fd, 55, 0)); OK(SYS(write, q[1], "z", 1)); EQ(1, SYS(read, g, &c, 1)); EQ('z', c); FAILS(EBADF, SYS(pidfd_getfd, fd, 99, 0)); kill(p, SIGKILL); }
CASE(errors) { FAILS(EINVAL, SYS(pidfd_open, 0, 0)); FAILS(EINVAL, SYS(pidfd_open, -1, 0)); FAILS(ESRCH, SYS(pidfd_open, 4000000, 0)); FAILS(EINVAL, SYS(pidfd_open, getpid(), 0x8000)); FAILS(EBADF, SYS(pidfd_send_signal, 99, 0, NULL, 0)); FAILS(EBADF, SYS(pidfd_send_signal, 0, 0, NULL, 0)); FAILS(EINVAL, SYS(pidfd_send_signal, OK(SYS(pidfd_open, getpid(), 0)), 0, NULL, 99)); }
CASE(cloexec) { EQ(FD_CLOEXEC, SYS(fcntl, OK(SYS(pidfd_open, getpid(), 0)), F_GETFD)); }
CASE(gets_a_mediated_file) { file("f", "abc"); int q[2]; OK(SYS(pipe, q)); pid_t p = SPAWN(int fd = OK(SYS(open, "f", O_RDONLY, 0)); OK(SYS(dup2, fd, 66)); OK(SYS(write, q[1], "r", 1)); pause()); char c[4] = ""; EQ(1, SYS(read, q[0], c, 1)); int fd = OK(SYS(pidfd_getfd, OK(SYS(pidfd_open, p, 0)), 66, 0)); EQ(3, SYS(read, fd, c, 3)); STREQ("abc", c); kill(p, SIGKILL); }
CASE(of_a_dead_process) { pid_t p = SPAWN(_exit(0)); int fd = OK(SYS(pidfd_open, p, 0)); ENDED(p); FAILS(ESRCH, SYS(pidfd_send_signal, fd, SIGKILL, NULL, 0)); FAILS(ESRCH, SYS(pidfd_getfd, fd, 0, 0)); }
