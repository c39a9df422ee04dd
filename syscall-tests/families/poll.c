/* poll(2), ppoll(2), select(2), pselect6(2) */
#include "harness.h"
#include <sys/select.h>

static int p[2];
static struct pollfd q;
static fd_set r, w;
#define PIPE OK(SYS(pipe, p))

CASE(timeout) { int64_t t = now_ns(CLOCK_MONOTONIC); EQ(0, SYS(poll, NULL, 0, 20)); CHECK(now_ns(CLOCK_MONOTONIC) - t >= 20000000); }
CASE(closed_descriptor) { q = (struct pollfd){99, POLLIN, 0}; EQ(1, SYS(poll, &q, 1, 0)); EQ(POLLNVAL, q.revents); }
CASE(negative_is_ignored) { q = (struct pollfd){-1, POLLIN, 7}; EQ(0, SYS(poll, &q, 1, 0)); EQ(0, q.revents); }
CASE(file_is_always_ready) { file("f", ""); q = (struct pollfd){OK(SYS(open, "f", O_RDWR, 0)), POLLIN | POLLOUT, 0}; EQ(1, SYS(poll, &q, 1, 0)); EQ(POLLIN | POLLOUT, q.revents); }
CASE(writable) { PIPE; q = (struct pollfd){p[1], POLLOUT, 0}; EQ(1, SYS(poll, &q, 1, -1)); EQ(POLLOUT, q.revents); }
CASE(errors) { FAILS(EFAULT, SYS(poll, BAD, 1, 0)); FAILS(EINVAL, SYS(poll, &q, 1 << 20, 0)); }
CASE(interrupted) { INTERRUPTED(SYS(poll, NULL, 0, -1)); }
CASE(ppoll_mask) { sigset_t all, none; sigfillset(&all); sigemptyset(&none); sigprocmask(SIG_BLOCK, &all, NULL); handle(SIGUSR1, 0); raise(SIGUSR1); FAILS(EINTR, SYS(ppoll, NULL, 0, NULL, &none, 8)); EQ(1, signals_seen); }
CASE(ppoll_errors) { struct timespec t = {0, 1000000000}; FAILS(EINVAL, SYS(ppoll, NULL, 0, &t, NULL, 8)); sigset_t s; sigemptyset(&s); FAILS(EINVAL, SYS(ppoll, NULL, 0, NULL, &s, 4)); }
CASE(ppoll_writes_the_rest) { PIPE; SYS(write, p[1], "x", 1); struct timespec t = {100, 0}; q = (struct pollfd){p[0], POLLIN, 0}; EQ(1, SYS(ppoll, &q, 1, &t, NULL, 8)); CHECK((t.tv_sec > 80 && t.tv_sec < 100) || (t.tv_sec == 100 && t.tv_nsec == 0)); }
CASE(select_reads) { PIPE; FD_ZERO(&r); FD_SET(p[0], &r); struct timeval t = {0, 0}; EQ(0, SYS(select, p[0] + 1, &r, NULL, NULL, &t)); CHECK(!FD_ISSET(p[0], &r)); SYS(write, p[1], "x", 1); FD_SET(p[0], &r); EQ(1, SYS(select, p[0] + 1, &r, NULL, NULL, &t)); CHECK(FD_ISSET(p[0], &r)); }
CASE(select_writes) { PIPE; FD_ZERO(&w); FD_SET(p[1], &w); EQ(1, SYS(select, p[1] + 1, NULL, &w, NULL, NULL)); }
CASE(select_errors) { FD_ZERO(&r); FD_SET(30, &r); FAILS(EBADF, SYS(select, 31, &r, NULL, NULL, NULL)); FAILS(EINVAL, SYS(select, -1, NULL, NULL, NULL, NULL)); struct timeval t = {0, -1}; FAILS(EINVAL, SYS(select, 0, NULL, NULL, NULL, &t)); FAILS(EFAULT, SYS(select, 1, BAD, NULL, NULL, NULL)); }
CASE(select_interrupted) { INTERRUPTED(SYS(select, 0, NULL, NULL, NULL, NULL)); }
CASE(pselect_timeout) { struct timespec t = {0, 1000}; EQ(0, SYS(pselect6, 0, NULL, NULL, NULL, &t, NULL)); t.tv_nsec = -1; FAILS(EINVAL, SYS(pselect6, 0, NULL, NULL, NULL, &t, NULL)); }
