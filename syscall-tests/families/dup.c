/* dup(2), dup2, dup3, close(2), close_range(2), fcntl(2) on descriptors */
#include "harness.h"
#include <pthread.h>

static int null_(void) { return OK(SYS(open, "/dev/null", O_RDWR, 0)); }
CASE(lowest) { int a = null_(); EQ(a + 1, SYS(dup, a)); }
ERR(closed, EBADF, SYS(dup, 99))
CASE(to_number) { EQ(50, SYS(dup2, null_(), 50)); EQ(1, SYS(write, 50, "x", 1)); }
CASE(to_itself) { int a = null_(); EQ(a, SYS(dup2, a, a)); FAILS(EBADF, SYS(dup2, 99, 99)); FAILS(EINVAL, SYS(dup3, a, a, 0)); }
CASE(replaces) { int p[2]; OK(SYS(pipe, p)); OK(SYS(dup2, null_(), p[1])); char c; EQ(0, SYS(read, p[0], &c, 1)); }
CASE(bad_number) { FAILS(EBADF, SYS(dup2, null_(), -1)); FAILS(EBADF, SYS(dup2, null_(), 1 << 20)); }
CASE(cloexec_is_not_copied) { int a = null_(); SYS(fcntl, a, F_SETFD, FD_CLOEXEC); EQ(0, SYS(fcntl, OK(SYS(dup, a)), F_GETFD)); EQ(FD_CLOEXEC, SYS(fcntl, OK(SYS(dup3, a, 60, O_CLOEXEC)), F_GETFD)); }
CASE(dup3_unknown_flag) { FAILS(EINVAL, SYS(dup3, null_(), 60, O_APPEND)); }
CASE(status_flags_are_shared) { int a = null_(), d = OK(SYS(dup, a)); OK(SYS(fcntl, a, F_SETFL, O_NONBLOCK)); CHECK(SYS(fcntl, d, F_GETFL) & O_NONBLOCK); }
CASE(fcntl_dup) { int a = null_(); EQ(70, SYS(fcntl, a, F_DUPFD, 70)); EQ(71, SYS(fcntl, a, F_DUPFD_CLOEXEC, 70)); EQ(FD_CLOEXEC, SYS(fcntl, 71, F_GETFD)); FAILS(EINVAL, SYS(fcntl, a, F_DUPFD, 1 << 20)); FAILS(EINVAL, SYS(fcntl, a, F_DUPFD, -1)); }
CASE(fcntl_errors) { FAILS(EBADF, SYS(fcntl, 99, F_GETFD)); FAILS(EINVAL, SYS(fcntl, null_(), 9999)); }
CASE(setfl_keeps_access_mode) { int a = null_(); OK(SYS(fcntl, a, F_SETFL, O_APPEND | O_RDONLY)); EQ(O_RDWR | O_APPEND | 0100000, SYS(fcntl, a, F_GETFL)); }
CASE(close_) { int a = null_(); EQ(0, SYS(close, a)); FAILS(EBADF, SYS(close, a)); FAILS(EBADF, SYS(close, -1)); }
CASE(range) { for (int i = 40; i < 50; i++) OK(SYS(dup2, null_(), i)); EQ(0, SYS(close_range, 42, 44, 0)); FAILS(EBADF, SYS(fcntl, 43, F_GETFD)); OK(SYS(fcntl, 45, F_GETFD)); EQ(0, SYS(close_range, 45, ~0U, 4)); EQ(FD_CLOEXEC, SYS(fcntl, 45, F_GETFD)); FAILS(EINVAL, SYS(close_range, 5, 4, 0)); FAILS(EINVAL, SYS(close_range, 5, 6, 1)); }
CASE(limit) { struct rlimit l = {10, 10}; int a = null_(); OK(SYS(setrlimit, RLIMIT_NOFILE, &l)); FAILS(EBADF, SYS(dup2, a, 10)); EQ(9, SYS(dup2, a, 9)); }
static int from_40(int n) { for (int i = 0; i < n; i++) OK(SYS(dup2, null_(), 40 + i)); return 40; }
static void *nothing(void *x) { for (;;) pause(); return x; }
CASE(range_of_one) { from_40(3); EQ(0, SYS(close_range, 41, 41, 0)); OK(SYS(fcntl, 40, F_GETFD)); FAILS(EBADF, SYS(fcntl, 41, F_GETFD)); OK(SYS(fcntl, 42, F_GETFD)); }
CASE(range_beyond_the_table) { EQ(0, SYS(close_range, 100000, ~0U, 0)); EQ(0, SYS(close_range, ~0U, ~0U, 0)); }
CASE(range_unshared) { from_40(3); EQ(0, SYS(close_range, 40, 50, 2)); FAILS(EBADF, SYS(fcntl, 42, F_GETFD)); }
CASE(range_unshared_from_a_thread) { from_40(3); pthread_t t; pthread_create(&t, NULL, nothing, NULL); EQ(0, SYS(close_range, 40, 41, 2)); FAILS(EBADF, SYS(fcntl, 40, F_GETFD)); file("f", "abc"); STREQ("abc", CONTENT("f")); }
CASE(range_cloexec_keeps_them_open) { from_40(3); EQ(0, SYS(close_range, 40, 41, 4)); EQ(FD_CLOEXEC, SYS(fcntl, 41, F_GETFD)); EQ(0, SYS(fcntl, 42, F_GETFD)); EQ(0, SYS(close_range, 40, 41, 6)); }
CASE(range_while_another_opens) { pid_t p = SPAWN(for (int k = 0; k < 200; k++) { SYS(close_range, 3, ~0U, 0); OK(SYS(open, "/dev/null", O_RDONLY, 0)); }); for (int k = 0; k < 200; k++) { file("f", "x"); STREQ("x", CONTENT("f")); } JOIN(p); }
