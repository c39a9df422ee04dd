/* pipe(7) */
#include "harness.h"

static int p[2];
static char b[1 << 20];
#define PIPE(flags) OK(SYS(pipe2, p, flags))

CASE(carries) { PIPE(0); EQ(3, SYS(write, p[1], "abc", 3)); EQ(3, SYS(read, p[0], b, 9)); CHECK(!memcmp(b, "abc", 3)); }
CASE(ends_have_one_direction) { PIPE(0); FAILS(EBADF, SYS(write, p[0], "x", 1)); FAILS(EBADF, SYS(read, p[1], b, 1)); }
CASE(end_of_file) { PIPE(0); SYS(close, p[1]); EQ(0, SYS(read, p[0], b, 1)); }
CASE(broken) { PIPE(0); SYS(close, p[0]); signal(SIGPIPE, SIG_IGN); FAILS(EPIPE, SYS(write, p[1], "x", 1)); }
CASE(broken_signals) { PIPE(0); SYS(close, p[0]); handle(SIGPIPE, 0); FAILS(EPIPE, SYS(write, p[1], "x", 1)); EQ(1, signals_seen); }
CASE(nonblocking) { PIPE(O_NONBLOCK); FAILS(EAGAIN, SYS(read, p[0], b, 1)); while (SYS(write, p[1], b, 4096) == 4096) ; FAILS(EAGAIN, SYS(write, p[1], b, 1)); }
CASE(flags) { PIPE(O_CLOEXEC); EQ(FD_CLOEXEC, SYS(fcntl, p[0], F_GETFD)); EQ(FD_CLOEXEC, SYS(fcntl, p[1], F_GETFD)); FAILS(EINVAL, SYS(pipe2, p, O_CREAT)); }
CASE(bad_pointer) { FAILS(EFAULT, SYS(pipe, BAD)); FAILS(EFAULT, SYS(pipe2, NULL, 0)); }
CASE(descriptor_limit) { struct rlimit l = {4, 4}; OK(SYS(setrlimit, RLIMIT_NOFILE, &l)); FAILS(EMFILE, SYS(pipe, p)); }
CASE(capacity) { PIPE(0); EQ(65536, SYS(fcntl, p[0], F_GETPIPE_SZ)); EQ(131072, SYS(fcntl, p[0], F_SETPIPE_SZ, 100000)); EQ(4096, SYS(fcntl, p[1], F_SETPIPE_SZ, 1)); }
CASE(capacity_in_use) { PIPE(0); EQ(8192, SYS(write, p[1], b, 8192)); FAILS(EBUSY, SYS(fcntl, p[1], F_SETPIPE_SZ, 4096)); }
CASE(atomic_writes) { PIPE(O_NONBLOCK); OK(SYS(fcntl, p[1], F_SETPIPE_SZ, 4096)); EQ(1, SYS(write, p[1], "x", 1)); FAILS(EAGAIN, SYS(write, p[1], b, 4096)); }
CASE(partial_large_write) { PIPE(O_NONBLOCK); long n = OK(SYS(write, p[1], b, sizeof b)); EQ(65536, n); }
CASE(read_interrupted) { PIPE(0); INTERRUPTED(SYS(read, p[0], b, 1)); }
CASE(write_interrupted) { PIPE(O_NONBLOCK); while (SYS(write, p[1], b, 4096) > 0) ; SYS(fcntl, p[1], F_SETFL, 0); INTERRUPTED(SYS(write, p[1], b, 1)); }
static void put(void) { SYS(write, p[1], "x", 1); }
CASE(read_restarted) { PIPE(0); EQ(1, RESTARTED(put, SYS(read, p[0], b, 1))); }
CASE(bytes_waiting) { int n; PIPE(0); OK(SYS(write, p[1], b, 77)); OK(SYS(ioctl, p[0], 0x541B, &n)); EQ(77, n); }
CASE(polling) { PIPE(0); struct pollfd q = {p[0], POLLIN, 0}; EQ(0, SYS(poll, &q, 1, 0)); put(); EQ(1, SYS(poll, &q, 1, 0)); EQ(POLLIN, q.revents); SYS(close, p[1]); EQ(1, SYS(poll, &q, 1, 0)); EQ(POLLIN | POLLHUP, q.revents); }
CASE(poll_of_a_broken_one) { PIPE(0); SYS(close, p[0]); struct pollfd q = {p[1], POLLOUT, 0}; EQ(1, SYS(poll, &q, 1, 0)); EQ(POLLOUT | POLLERR, q.revents); }
CASE(packets) { PIPE(O_DIRECT); OK(SYS(write, p[1], "ab", 2)); OK(SYS(write, p[1], "c", 1)); EQ(2, SYS(read, p[0], b, 9)); EQ(1, SYS(read, p[0], b, 9)); }
