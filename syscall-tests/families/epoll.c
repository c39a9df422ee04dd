/* epoll(7) */
#include "harness.h"
#include <sys/epoll.h>

static struct epoll_event e, got[8];
static int p[2];
static int ep(void) { return OK(SYS(epoll_create1, 0)); }
static long add(int fd, int what, uint32_t events) { e.events = events; e.data.fd = what; return SYS(epoll_ctl, fd, EPOLL_CTL_ADD, what, &e); }
static int piped(uint32_t events) { int fd = ep(); OK(SYS(pipe, p)); OK(add(fd, p[0], events)); return fd; }
#define READY(fd) SYS(epoll_wait, fd, got, 8, 0)

CASE(waits_for_input) { int fd = piped(EPOLLIN); EQ(0, READY(fd)); SYS(write, p[1], "x", 1); EQ(1, READY(fd)); EQ(EPOLLIN, got[0].events); EQ(p[0], got[0].data.fd); EQ(1, READY(fd)); }
CASE(edge) { int fd = piped(EPOLLIN | EPOLLET); SYS(write, p[1], "x", 1); EQ(1, READY(fd)); EQ(0, READY(fd)); SYS(write, p[1], "x", 1); EQ(1, READY(fd)); }
CASE(oneshot) { int fd = piped(EPOLLIN | EPOLLONESHOT); SYS(write, p[1], "x", 1); EQ(1, READY(fd)); EQ(0, READY(fd)); OK(SYS(epoll_ctl, fd, EPOLL_CTL_MOD, p[0], &e)); EQ(1, READY(fd)); }
CASE(hangup_is_always_told) { int fd = piped(0); SYS(close, p[1]); EQ(1, READY(fd)); EQ(EPOLLHUP, got[0].events); }
CASE(modified) { int fd = piped(EPOLLIN); SYS(write, p[1], "x", 1); e.events = 0; OK(SYS(epoll_ctl, fd, EPOLL_CTL_MOD, p[0], &e)); EQ(0, READY(fd)); }
CASE(deleted) { int fd = piped(EPOLLIN); SYS(write, p[1], "x", 1); OK(SYS(epoll_ctl, fd, EPOLL_CTL_DEL, p[0], NULL)); EQ(0, READY(fd)); FAILS(ENOENT, SYS(epoll_ctl, fd, EPOLL_CTL_DEL, p[0], NULL)); }
CASE(closed_goes_away) { int fd = piped(EPOLLIN); SYS(write, p[1], "x", 1); SYS(close, p[0]); EQ(0, READY(fd)); }
CASE(dup_keeps_it) { int fd = piped(EPOLLIN); SYS(write, p[1], "x", 1); OK(SYS(dup, p[0])); SYS(close, p[0]); EQ(1, READY(fd)); }
CASE(added_twice) { int fd = piped(EPOLLIN); FAILS(EEXIST, add(fd, p[0], EPOLLIN)); OK(add(fd, OK(SYS(dup, p[0])), EPOLLIN)); }
CASE(errors) { int fd = piped(EPOLLIN); FAILS(EBADF, add(99, p[0], EPOLLIN)); FAILS(EBADF, add(fd, 99, EPOLLIN)); FAILS(EINVAL, add(fd, fd, EPOLLIN)); FAILS(EINVAL, add(p[0], p[1], EPOLLIN)); FAILS(EFAULT, SYS(epoll_ctl, fd, EPOLL_CTL_ADD, p[1], BAD)); FAILS(EINVAL, SYS(epoll_ctl, fd, 9, p[1], &e)); FAILS(ENOENT, SYS(epoll_ctl, fd, EPOLL_CTL_MOD, p[1], &e)); }
CASE(regular_file) { file("f", ""); FAILS(EPERM, add(ep(), OK(SYS(open, "f", O_RDONLY, 0)), EPOLLIN)); }
CASE(wait_errors) { int fd = ep(); FAILS(EINVAL, SYS(epoll_wait, fd, got, 0, 0)); FAILS(EBADF, SYS(epoll_wait, 99, got, 1, 0)); FAILS(EINVAL, SYS(epoll_wait, OK(SYS(eventfd2, 0, 0)), got, 1, 0)); fd = piped(EPOLLIN); SYS(write, p[1], "x", 1); FAILS(EFAULT, SYS(epoll_wait, fd, BAD, 1, 0)); }
CASE(create_) { FAILS(EINVAL, SYS(epoll_create, 0)); OK(SYS(epoll_create, 1)); FAILS(EINVAL, SYS(epoll_create1, 1)); EQ(FD_CLOEXEC, SYS(fcntl, OK(SYS(epoll_create1, EPOLL_CLOEXEC)), F_GETFD)); }
CASE(nested) { int outer = ep(), inner = piped(EPOLLIN); OK(add(outer, inner, EPOLLIN)); EQ(0, READY(outer)); SYS(write, p[1], "x", 1); EQ(1, READY(outer)); EQ(inner, got[0].data.fd); FAILS(ELOOP, add(inner, outer, EPOLLIN)); }
CASE(interrupted) { int fd = piped(EPOLLIN); INTERRUPTED(SYS(epoll_wait, fd, got, 8, -1)); }
CASE(interrupted_in_spite_of_restart) { int fd = piped(EPOLLIN); handle(SIGALRM, SA_RESTART); tick(20); FAILS(EINTR, SYS(epoll_wait, fd, got, 8, -1)); tick(0); }
CASE(signal_mask) { int fd = piped(EPOLLIN); sigset_t all, none; sigfillset(&all); sigemptyset(&none); sigprocmask(SIG_BLOCK, &all, NULL); handle(SIGUSR1, 0); raise(SIGUSR1); EQ(0, signals_seen); FAILS(EINTR, SYS(epoll_pwait, fd, got, 8, 1000, &none, 8)); EQ(1, signals_seen); }
CASE(nanosecond_timeout) { int fd = ep(); struct timespec t = {0, 1000000}; EQ(0, SYS(epoll_pwait2, fd, got, 8, &t, NULL, 0)); t.tv_nsec = -1; FAILS(EINVAL, SYS(epoll_pwait2, fd, got, 8, &t, NULL, 0)); }
