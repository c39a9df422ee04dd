/* flock(2), fcntl(2) record locks of processes and of open file descriptions, leases */
#include "harness.h"
#include <sys/file.h>

static int f_(void) { return OK(SYS(open, "f", O_RDWR | O_CREAT, 0644)); }
static long lock(int fd, int cmd, int type, off_t start, off_t length) { struct flock l = {.l_type = type, .l_start = start, .l_len = length}; return SYS(fcntl, fd, cmd, &l); }
static struct flock asked(int fd, int cmd, int type) { struct flock l = {.l_type = type}; OK(SYS(fcntl, fd, cmd, &l)); return l; }

CASE(flock_excludes) { int a = f_(), b = f_(); EQ(0, SYS(flock, a, LOCK_EX)); FAILS(EAGAIN, SYS(flock, b, LOCK_EX | LOCK_NB)); FAILS(EAGAIN, SYS(flock, b, LOCK_SH | LOCK_NB)); EQ(0, SYS(flock, a, LOCK_UN)); EQ(0, SYS(flock, b, LOCK_EX | LOCK_NB)); }
CASE(flock_shared) { int a = f_(), b = f_(); EQ(0, SYS(flock, a, LOCK_SH)); EQ(0, SYS(flock, b, LOCK_SH | LOCK_NB)); FAILS(EAGAIN, SYS(flock, b, LOCK_EX | LOCK_NB)); }
CASE(flock_of_dup_is_the_same) { int a = f_(), b = OK(SYS(dup, a)); EQ(0, SYS(flock, a, LOCK_EX)); EQ(0, SYS(flock, b, LOCK_EX | LOCK_NB)); EQ(0, SYS(flock, b, LOCK_UN)); EQ(0, SYS(flock, f_(), LOCK_EX | LOCK_NB)); }
CASE(flock_ends_with_close) { int a = f_(); OK(SYS(flock, a, LOCK_EX)); SYS(close, a); EQ(0, SYS(flock, f_(), LOCK_EX | LOCK_NB)); }
CASE(flock_inherited) { int a = f_(); OK(SYS(flock, a, LOCK_EX)); CHILD(EQ(0, SYS(flock, a, LOCK_EX | LOCK_NB)); FAILS(EAGAIN, SYS(flock, f_(), LOCK_EX | LOCK_NB))); }
CASE(flock_errors) { FAILS(EBADF, SYS(flock, 99, LOCK_EX)); FAILS(EINVAL, SYS(flock, f_(), 0)); }
CASE(flock_interrupted) { int a = f_(), b = f_(); OK(SYS(flock, a, LOCK_EX)); INTERRUPTED(SYS(flock, b, LOCK_EX)); }
CASE(flock_of_read_only_descriptor) { f_(); EQ(0, SYS(flock, OK(SYS(open, "f", O_RDONLY, 0)), LOCK_EX)); }
CASE(record) { int a = f_(); EQ(0, lock(a, F_SETLK, F_WRLCK, 0, 10)); CHILD(FAILS(EAGAIN, lock(f_(), F_SETLK, F_WRLCK, 5, 1)); FAILS(EAGAIN, lock(f_(), F_SETLK, F_RDLCK, 9, 1)); EQ(0, lock(f_(), F_SETLK, F_WRLCK, 10, 1))); }
CASE(record_of_oneself_never_conflicts) { EQ(0, lock(f_(), F_SETLK, F_WRLCK, 0, 0)); EQ(0, lock(f_(), F_SETLK, F_WRLCK, 0, 0)); }
CASE(record_who_holds) { int a = f_(); pid_t me = SYS(getpid); OK(lock(a, F_SETLK, F_WRLCK, 3, 4)); CHILD(struct flock l = asked(f_(), F_GETLK, F_RDLCK); EQ(F_WRLCK, l.l_type); EQ(3, l.l_start); EQ(4, l.l_len); EQ(me, l.l_pid)); }
CASE(record_free) { EQ(F_UNLCK, asked(f_(), F_GETLK, F_WRLCK).l_type); }
CASE(record_ends_with_any_close) { int a = f_(); OK(lock(a, F_SETLK, F_WRLCK, 0, 0)); SYS(close, f_()); CHILD(EQ(0, lock(f_(), F_SETLK, F_WRLCK, 0, 0))); }
CASE(record_is_not_inherited) { int a = f_(); OK(lock(a, F_SETLK, F_WRLCK, 0, 0)); CHILD(FAILS(EAGAIN, lock(a, F_SETLK, F_WRLCK, 0, 0))); }
CASE(record_split) { int a = f_(); OK(lock(a, F_SETLK, F_WRLCK, 0, 30)); OK(lock(a, F_SETLK, F_UNLCK, 10, 10)); CHILD(EQ(0, lock(f_(), F_SETLK, F_WRLCK, 10, 10)); FAILS(EAGAIN, lock(f_(), F_SETLK, F_WRLCK, 20, 1))); }
CASE(record_errors) { FAILS(EBADF, lock(99, F_SETLK, F_WRLCK, 0, 0)); f_(); FAILS(EBADF, lock(OK(SYS(open, "f", O_RDONLY, 0)), F_SETLK, F_WRLCK, 0, 0)); FAILS(EBADF, lock(OK(SYS(open, "f", O_WRONLY, 0)), F_SETLK, F_RDLCK, 0, 0)); FAILS(EINVAL, lock(f_(), F_SETLK, 9, 0, 0)); FAILS(EINVAL, lock(f_(), F_SETLK, F_WRLCK, -1, 0)); FAILS(EFAULT, SYS(fcntl, f_(), F_SETLK, BAD)); }
CASE(record_deadlock) { int a = f_(); OK(lock(a, F_SETLK, F_WRLCK, 0, 1)); int q[2]; char x; OK(SYS(pipe, q)); pid_t c = SPAWN(int d = f_(); OK(lock(d, F_SETLK, F_WRLCK, 1, 1)); OK(SYS(write, q[1], "x", 1)); lock(d, F_SETLKW, F_WRLCK, 0, 1)); EQ(1, SYS(read, q[0], &x, 1)); until_sleeping(c); FAILS(EDEADLK, lock(a, F_SETLKW, F_WRLCK, 1, 1)); kill(c, SIGKILL); }
CASE(record_wait_interrupted) { int a = f_(); int q[2]; char x; OK(SYS(pipe, q)); pid_t c = SPAWN(OK(lock(f_(), F_SETLK, F_WRLCK, 0, 0)); OK(SYS(write, q[1], "x", 1)); pause()); EQ(1, SYS(read, q[0], &x, 1)); INTERRUPTED(lock(a, F_SETLKW, F_WRLCK, 0, 0)); kill(c, SIGKILL); }
CASE(description) { int a = f_(), b = f_(); EQ(0, lock(a, F_OFD_SETLK, F_WRLCK, 0, 0)); FAILS(EAGAIN, lock(b, F_OFD_SETLK, F_WRLCK, 0, 0)); EQ(-1, asked(b, F_OFD_GETLK, F_WRLCK).l_pid); SYS(close, a); EQ(0, lock(b, F_OFD_SETLK, F_WRLCK, 0, 0)); }
CASE(description_inherited) { int a = f_(); OK(lock(a, F_OFD_SETLK, F_WRLCK, 0, 0)); CHILD(EQ(0, lock(a, F_OFD_SETLK, F_WRLCK, 0, 0))); }
CASE(description_pid_must_be_zero) { struct flock l = {.l_type = F_WRLCK, .l_pid = 1}; FAILS(EINVAL, SYS(fcntl, f_(), F_OFD_SETLK, &l)); }
CASE(lease_read) { signal(SIGIO, SIG_IGN); f_(); int r = OK(SYS(open, "f", O_RDONLY, 0)); for (int i = 3; i < 10; i++) if (i != r) SYS(close, i); EQ(0, SYS(fcntl, r, F_SETLEASE, F_RDLCK)); EQ(F_RDLCK, SYS(fcntl, r, F_GETLEASE)); FAILS(EAGAIN, SYS(open, "f", O_WRONLY | O_NONBLOCK, 0)); EQ(0, SYS(fcntl, r, F_SETLEASE, F_UNLCK)); OK(SYS(open, "f", O_WRONLY | O_NONBLOCK, 0)); }
