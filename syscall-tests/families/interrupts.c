/* signal(7), "Interruption of system calls": which calls a handler ends, which ones SA_RESTART lets go on, and which ones it does not */
#include "harness.h"
#include <linux/futex.h>
#include <mqueue.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/un.h>
#include <termios.h>
#ifndef __NR_futex_waitv
#define __NR_futex_waitv 449
#endif

static char b[65536];
static struct iovec v = {b, 1};
static struct timespec long_time = {100, 0};
static int p[2], a_, b_, word;
static pid_t other;

/* EINTR though the handler has SA_RESTART. */
#define NEVER_RESTARTED(...) do { handle(SIGALRM, SA_RESTART); tick(20); FAILS(EINTR, __VA_ARGS__); tick(0); CHECK(signals_seen > 0); } while (0)
#define BOTH_WAYS(...) do { INTERRUPTED(__VA_ARGS__); NEVER_RESTARTED(__VA_ARGS__); } while (0)

static void pair(int type) { OK(SYS(socketpair, AF_UNIX, type, 0, p)); }
static void pipe_(void) { OK(SYS(pipe, p)); }
static void fill(int fd) { int flags = OK(SYS(fcntl, fd, F_GETFL)); OK(SYS(fcntl, fd, F_SETFL, flags | O_NONBLOCK)); while (SYS(write, fd, b, sizeof b) > 0) ; while (SYS(write, fd, b, 1) > 0) ; OK(SYS(fcntl, fd, F_SETFL, flags)); }
static void put(void) { OK(SYS(write, p[1], "x", 1)); }
static void drain(void) { int n = 1; while (SYS(ioctl, p[0], FIONREAD, &n) == 0 && n > 0) OK(SYS(read, p[0], b, sizeof b)); }

/* ---- pipes ---- */

CASE(readv_) { pipe_(); INTERRUPTED(SYS(readv, p[0], &v, 1)); EQ(1, RESTARTED(put, SYS(readv, p[0], &v, 1))); }
CASE(write_to_a_full_pipe_goes_on) { pipe_(); fill(p[1]); EQ(1, RESTARTED(drain, SYS(write, p[1], b, 1))); }
CASE(writev_to_a_full_pipe) { pipe_(); fill(p[1]); INTERRUPTED(SYS(writev, p[1], &v, 1)); }
CASE(what_was_written_is_told) { pipe_(); int room = OK(SYS(fcntl, p[1], F_GETPIPE_SZ)); static char big[1 << 20]; handle(SIGALRM, 0); tick(20); EQ(room, SYS(write, p[1], big, sizeof big)); tick(0); }
CASE(splice_) { pipe_(); int q[2]; OK(SYS(pipe, q)); INTERRUPTED(SYS(splice, p[0], NULL, q[1], NULL, 1, 0)); EQ(1, RESTARTED(put, SYS(splice, p[0], NULL, q[1], NULL, 1, 0))); }
CASE(tee_) { pipe_(); int q[2]; OK(SYS(pipe, q)); INTERRUPTED(SYS(tee, p[0], q[1], 1, 0)); EQ(1, RESTARTED(put, SYS(tee, p[0], q[1], 1, 0))); }
CASE(vmsplice_) { pipe_(); fill(p[1]); INTERRUPTED(SYS(vmsplice, p[1], &v, 1, 0)); }
CASE(sendfile_to_a_full_pipe) { pipe_(); fill(p[1]); file("f", "abc"); int f = OK(SYS(open, "f", O_RDONLY, 0)); INTERRUPTED(SYS(sendfile, p[1], f, NULL, 3)); }

/* ---- sockets ---- */

static struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
static struct mmsghdr mm = {.msg_hdr = {.msg_iov = &v, .msg_iovlen = 1}};
CASE(receiving_goes_on) { pair(SOCK_STREAM); EQ(1, RESTARTED(put, SYS(recvfrom, p[0], b, 1, 0, NULL, NULL))); }
CASE(recvmsg_) { pair(SOCK_DGRAM); INTERRUPTED(SYS(recvmsg, p[0], &m, 0)); EQ(1, RESTARTED(put, SYS(recvmsg, p[0], &m, 0))); }
CASE(recvmmsg_) { pair(SOCK_DGRAM); INTERRUPTED(SYS(recvmmsg, p[0], &mm, 1, 0, NULL)); EQ(1, RESTARTED(put, SYS(recvmmsg, p[0], &mm, 1, 0, NULL))); }
CASE(read_of_a_socket) { pair(SOCK_SEQPACKET); INTERRUPTED(SYS(read, p[0], b, 1)); EQ(1, RESTARTED(put, SYS(read, p[0], b, 1))); }
CASE(sending_to_a_full_socket) { pair(SOCK_STREAM); fill(p[1]); INTERRUPTED(SYS(sendto, p[1], b, 1, 0, NULL, 0)); EQ(1, RESTARTED(drain, SYS(sendto, p[1], b, 1, 0, NULL, 0))); }
CASE(sendmsg_to_a_full_socket) { pair(SOCK_DGRAM); fill(p[1]); INTERRUPTED(SYS(sendmsg, p[1], &m, 0)); EQ(1, RESTARTED(drain, SYS(sendmsg, p[1], &m, 0))); }
CASE(sendmmsg_to_a_full_socket) { pair(SOCK_DGRAM); fill(p[1]); INTERRUPTED(SYS(sendmmsg, p[1], &mm, 1, 0)); }
CASE(receive_with_a_timeout) { pair(SOCK_STREAM); struct timeval t = {100, 0}; OK(SYS(setsockopt, p[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t)); BOTH_WAYS(SYS(read, p[0], b, 1)); BOTH_WAYS(SYS(recvmsg, p[0], &m, 0)); }
CASE(send_with_a_timeout) { pair(SOCK_STREAM); fill(p[1]); struct timeval t = {100, 0}; OK(SYS(setsockopt, p[1], SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t)); BOTH_WAYS(SYS(write, p[1], b, 1)); }

static struct sockaddr_un name = {AF_UNIX, "s"};
static void listening(int backlog) { a_ = OK(SYS(socket, AF_UNIX, SOCK_STREAM, 0)); OK(SYS(bind, a_, &name, sizeof name)); OK(SYS(listen, a_, backlog)); b_ = OK(SYS(socket, AF_UNIX, SOCK_STREAM, 0)); }
static void come(void) { OK(SYS(connect, b_, &name, sizeof name)); }
static void take(void) { OK(SYS(accept, a_, NULL, NULL)); }
CASE(accept_goes_on) { listening(1); OK(RESTARTED(come, SYS(accept, a_, NULL, NULL))); }
CASE(accept4_) { listening(1); INTERRUPTED(SYS(accept4, a_, NULL, NULL, SOCK_CLOEXEC)); EQ(FD_CLOEXEC, SYS(fcntl, OK(RESTARTED(come, SYS(accept4, a_, NULL, NULL, SOCK_CLOEXEC))), F_GETFD)); }
CASE(accept_with_an_address_goes_on) { listening(1); struct sockaddr_un got; unsigned n = sizeof got; OK(RESTARTED(come, SYS(accept, a_, &got, &n))); EQ(AF_UNIX, got.sun_family); }
CASE(accept_with_a_timeout) { listening(1); struct timeval t = {100, 0}; OK(SYS(setsockopt, a_, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t)); BOTH_WAYS(SYS(accept, a_, NULL, NULL)); }
CASE(connect_to_a_full_queue) { listening(0); come(); int c = OK(SYS(socket, AF_UNIX, SOCK_STREAM, 0)); INTERRUPTED(SYS(connect, c, &name, sizeof name)); }
CASE(connect_to_a_full_queue_goes_on) { listening(0); come(); int c = OK(SYS(socket, AF_UNIX, SOCK_STREAM, 0)); EQ(0, RESTARTED(take, SYS(connect, c, &name, sizeof name))); }
CASE(datagram_by_address_to_a_full_queue) { a_ = OK(SYS(socket, AF_UNIX, SOCK_DGRAM, 0)); OK(SYS(bind, a_, &name, sizeof name)); b_ = OK(SYS(socket, AF_UNIX, SOCK_DGRAM, 0)); while (SYS(sendto, b_, "x", 1, MSG_DONTWAIT, &name, sizeof name) == 1) ; INTERRUPTED(SYS(sendto, b_, "x", 1, 0, &name, sizeof name)); }

/* ---- locks ---- */

static long lock(int fd, int command, int type) { struct flock l = {.l_type = type, .l_whence = SEEK_SET}; return SYS(fcntl, fd, command, &l); }
static void unlock(void) { kill(other, SIGKILL); }
static void locked_by_another(int command) { file("f", ""); a_ = OK(SYS(open, "f", O_RDWR, 0)); pipe_(); other = SPAWN(int fd = OK(SYS(open, "f", O_RDWR, 0)); OK(command ? lock(fd, command, F_WRLCK) : SYS(flock, fd, LOCK_EX)); put(); for (;;) pause()); EQ(1, SYS(read, p[0], b, 1)); }
CASE(flock_goes_on) { locked_by_another(0); EQ(0, RESTARTED(unlock, SYS(flock, a_, LOCK_EX))); }
CASE(flock_shared) { locked_by_another(0); INTERRUPTED(SYS(flock, a_, LOCK_SH)); }
CASE(record_lock_goes_on) { locked_by_another(F_SETLKW); EQ(0, RESTARTED(unlock, lock(a_, F_SETLKW, F_WRLCK))); }
CASE(record_lock_shared) { locked_by_another(F_SETLKW); INTERRUPTED(lock(a_, F_SETLKW, F_RDLCK)); }
CASE(description_lock) { locked_by_another(F_OFD_SETLKW); INTERRUPTED(lock(a_, F_OFD_SETLKW, F_WRLCK)); EQ(0, RESTARTED(unlock, lock(a_, F_OFD_SETLKW, F_WRLCK))); }

/* ---- children ---- */

static void child(void) { other = SPAWN(for (;;) pause()); }
CASE(waitid_) { child(); siginfo_t i; INTERRUPTED(SYS(waitid, P_PID, other, &i, WEXITED, NULL)); EQ(0, RESTARTED(unlock, SYS(waitid, P_PID, other, &i, WEXITED, NULL))); EQ(other, i.si_pid); }
CASE(waitid_of_a_pidfd) { child(); siginfo_t i; int fd = OK(SYS(pidfd_open, other, 0)); INTERRUPTED(SYS(waitid, P_PIDFD, fd, &i, WEXITED, NULL)); EQ(0, RESTARTED(unlock, SYS(waitid, P_PIDFD, fd, &i, WEXITED, NULL))); }
CASE(wait_for_a_stop) { child(); int s; INTERRUPTED(SYS(wait4, other, &s, WUNTRACED, NULL)); kill(other, SIGKILL); }

CASE(vfork_does_not_end_early) { handle(SIGALRM, 0); tick(5); volatile int64_t end = now_ns(CLOCK_MONOTONIC) + 40000000; pid_t c = vfork(); if (c == 0) { while (now_ns(CLOCK_MONOTONIC) < end) ; _exit(0); } CHECK(now_ns(CLOCK_MONOTONIC) >= end); tick(0); CHECK(c > 0); }

/* ---- sleeping, and waiting for one of several ---- */

CASE(nanosleep_tells_what_is_left) { struct timespec left = {0}; BOTH_WAYS(SYS(nanosleep, &long_time, &left)); CHECK(left.tv_sec > 80 && left.tv_sec < 100); }
CASE(clock_nanosleep_tells_what_is_left) { struct timespec left = {0}; BOTH_WAYS(SYS(clock_nanosleep, CLOCK_BOOTTIME, 0, &long_time, &left)); CHECK(left.tv_sec > 80); }
CASE(clock_nanosleep_until_tells_nothing) { struct timespec at, left = {7, 7}; SYS(clock_gettime, CLOCK_MONOTONIC, &at); at.tv_sec += 100; INTERRUPTED(SYS(clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &at, &left)); EQ(7, left.tv_sec); }
CASE(poll_) { struct pollfd f = {.fd = -1}; BOTH_WAYS(SYS(poll, &f, 1, -1)); BOTH_WAYS(SYS(poll, &f, 1, 100000)); }
CASE(ppoll_) { BOTH_WAYS(SYS(ppoll, NULL, 0, NULL, NULL, 8)); BOTH_WAYS(SYS(ppoll, NULL, 0, &long_time, NULL, 8)); }
CASE(select_) { struct timeval t = {100, 0}; BOTH_WAYS(SYS(select, 0, NULL, NULL, NULL, NULL)); INTERRUPTED(SYS(select, 0, NULL, NULL, NULL, &t)); CHECK(t.tv_sec < 100); }
CASE(pselect_) { BOTH_WAYS(SYS(pselect6, 0, NULL, NULL, NULL, &long_time, NULL)); }
CASE(epoll_wait_) { int e = OK(SYS(epoll_create1, 0)); struct epoll_event got; BOTH_WAYS(SYS(epoll_wait, e, &got, 1, -1)); BOTH_WAYS(SYS(epoll_pwait, e, &got, 1, 100000, NULL, 8)); }
#ifdef __NR_epoll_pwait2
CASE(epoll_pwait2_) { int e = OK(SYS(epoll_create1, 0)); struct epoll_event got; BOTH_WAYS(SYS(epoll_pwait2, e, &got, 1, &long_time, NULL, 8)); }
#endif
CASE(sigsuspend_) { uint64_t none = 0; BOTH_WAYS(SYS(rt_sigsuspend, &none, 8)); }
CASE(sigtimedwait_) { uint64_t usr1 = 1 << (SIGUSR1 - 1); siginfo_t i; OK(SYS(rt_sigprocmask, SIG_BLOCK, &usr1, NULL, 8)); BOTH_WAYS(SYS(rt_sigtimedwait, &usr1, &i, &long_time, 8)); }
CASE(pause_) { BOTH_WAYS(SYS(pause)); }
static void wake(void) { word = 1; OK(SYS(futex, &word, FUTEX_WAKE, 1, NULL, NULL, 0)); }
CASE(futex_goes_on) { handle(SIGALRM, SA_RESTART); third_tick = wake; struct sigaction action = {.sa_handler = on_tick, .sa_flags = SA_RESTART}; sigaction(SIGALRM, &action, NULL); tick(20); long r = SYS(futex, &word, FUTEX_WAIT, 0, NULL, NULL, 0); tick(0); CHECK(r == 0 || r == -EAGAIN); CHECK(signals_seen >= 3); }
CASE(futex_with_a_timeout) { BOTH_WAYS(SYS(futex, &word, FUTEX_WAIT, 0, &long_time, NULL, 0)); }
CASE(futex_until) { struct timespec at; SYS(clock_gettime, CLOCK_MONOTONIC, &at); at.tv_sec += 100; INTERRUPTED(SYS(futex, &word, FUTEX_WAIT_BITSET, 0, &at, NULL, 1)); }
CASE(futex_waitv_) { struct { uint64_t value, address; uint32_t flags, reserved; } w = {0, (uintptr_t)&word, 2, 0}; INTERRUPTED(SYS(futex_waitv, &w, 1, 0, NULL, 0)); }

/* ---- System V and POSIX IPC ---- */

CASE(semop_) { int id = OK(SYS(semget, IPC_PRIVATE, 1, 0600)); struct sembuf d = {0, -1, 0}; BOTH_WAYS(SYS(semop, id, &d, 1)); BOTH_WAYS(SYS(semtimedop, id, &d, 1, &long_time)); OK(SYS(semctl, id, 0, IPC_RMID)); }
CASE(messages) { int id = OK(SYS(msgget, IPC_PRIVATE, 0600)); static struct { long t; char c[4000]; } t = {1, ""}; BOTH_WAYS(SYS(msgrcv, id, &t, 16, 0, 0)); while (SYS(msgsnd, id, &t, 4000, IPC_NOWAIT) == 0) ; BOTH_WAYS(SYS(msgsnd, id, &t, 4000, 0)); OK(SYS(msgctl, id, IPC_RMID, NULL)); }
static struct mq_attr attributes = {0, 1, 16, 0};
static void queue(void) { a_ = OK(SYS(mq_open, "interrupts", O_RDWR | O_CREAT | O_EXCL, 0600, &attributes)); OK(SYS(mq_unlink, "interrupts")); }
static void post(void) { OK(SYS(mq_timedsend, a_, "y", 1, 0, NULL)); }
static void fetch(void) { OK(SYS(mq_timedreceive, a_, b, 16, NULL, NULL)); }
CASE(queue_receive) { queue(); INTERRUPTED(SYS(mq_timedreceive, a_, b, 16, NULL, NULL)); EQ(1, RESTARTED(post, SYS(mq_timedreceive, a_, b, 16, NULL, NULL))); }
CASE(queue_send) { queue(); post(); INTERRUPTED(SYS(mq_timedsend, a_, "z", 1, 0, NULL)); EQ(0, RESTARTED(fetch, SYS(mq_timedsend, a_, "z", 1, 0, NULL))); }

/* ---- other descriptors ---- */

static void count(void) { uint64_t one = 1; OK(SYS(write, a_, &one, 8)); }
CASE(eventfd_) { a_ = OK(SYS(eventfd, 0)); INTERRUPTED(SYS(read, a_, b, 8)); EQ(8, RESTARTED(count, SYS(read, a_, b, 8))); uint64_t most = -2ULL; OK(SYS(write, a_, &most, 8)); INTERRUPTED(SYS(write, a_, &most, 8)); }
CASE(timerfd_) { a_ = OK(SYS(timerfd_create, CLOCK_MONOTONIC, 0)); INTERRUPTED(SYS(read, a_, b, 8)); }
static void make(void) { file("d/new", ""); }
CASE(inotify_) { dir("d"); a_ = OK(SYS(inotify_init1, 0)); OK(SYS(inotify_add_watch, a_, "d", IN_CREATE)); INTERRUPTED(SYS(read, a_, b, 4096)); CHECK(RESTARTED(make, SYS(read, a_, b, 4096)) > 0); }
static void terminal(void) { int u, l = 0; char n[40]; a_ = OK(SYS(open, "/dev/ptmx", O_RDWR | O_NOCTTY, 0)); OK(SYS(ioctl, a_, TIOCSPTLCK, &l)); OK(SYS(ioctl, a_, TIOCGPTN, &u)); sprintf(n, "/dev/pts/%d", u); b_ = OK(SYS(open, n, O_RDWR | O_NOCTTY, 0)); }
static void type(void) { OK(SYS(write, a_, "q\n", 2)); }
CASE(terminal_goes_on) { terminal(); EQ(2, RESTARTED(type, SYS(read, b_, b, 64))); }
CASE(terminal_that_is_full) { terminal(); struct termios t; OK(SYS(ioctl, b_, TCGETS, &t)); t.c_oflag = 0; OK(SYS(ioctl, b_, TCSETS, &t)); fill(b_); INTERRUPTED(SYS(write, b_, b, 1)); }
CASE(terminal_master) { terminal(); INTERRUPTED(SYS(read, a_, b, 64)); }

/* ---- signals that are not delivered do not interrupt ---- */

#define OPEN(flags) SYS(open, "p", flags, 0)
static void poke(pid_t c, int number) { for (int k = 0; k < 3; k++) { until_sleeping(c); kill(c, number); } until_sleeping(c); EQ(0, SYS(wait4, c, NULL, WNOHANG, NULL)); }
CASE(ignored_signal) { fifo("p"); pid_t c = SPAWN(signal(SIGUSR1, SIG_IGN); OK(OPEN(O_RDONLY))); poke(c, SIGUSR1); OK(OPEN(O_WRONLY)); JOIN(c); }
CASE(signal_ignored_by_default) { fifo("p"); pid_t c = SPAWN(OK(OPEN(O_WRONLY))); poke(c, SIGWINCH); poke(c, SIGCHLD); OK(OPEN(O_RDONLY)); JOIN(c); }
CASE(blocked_signal) { fifo("p"); pid_t c = SPAWN(uint64_t set = 1 << (SIGUSR1 - 1); OK(SYS(rt_sigprocmask, SIG_BLOCK, &set, NULL, 8)); OK(OPEN(O_RDONLY))); poke(c, SIGUSR1); OK(OPEN(O_WRONLY)); JOIN(c); }
static void until_stopped(pid_t c) { int s; EQ(c, SYS(wait4, c, &s, WUNTRACED, NULL)); CHECK(WIFSTOPPED(s)); }
CASE(stopped_while_it_opens) { fifo("p"); pid_t c = SPAWN(OK(OPEN(O_RDONLY))); until_sleeping(c); kill(c, SIGSTOP); until_stopped(c); kill(c, SIGCONT); until_sleeping(c); EQ(0, SYS(wait4, c, NULL, WNOHANG, NULL)); OK(OPEN(O_WRONLY)); JOIN(c); }
CASE(stopped_while_it_connects) { listening(0); come(); pid_t c = SPAWN(OK(SYS(connect, OK(SYS(socket, AF_UNIX, SOCK_STREAM, 0)), &name, sizeof name))); until_sleeping(c); kill(c, SIGSTOP); until_stopped(c); kill(c, SIGCONT); until_sleeping(c); take(); JOIN(c); }
CASE(stopped_while_it_waits_for_a_lock) { locked_by_another(F_SETLKW); pid_t c = SPAWN(OK(lock(a_, F_SETLKW, F_WRLCK))); until_sleeping(c); kill(c, SIGSTOP); until_stopped(c); kill(c, SIGCONT); until_sleeping(c); unlock(); ENDED(other); JOIN(c); }
CASE(stopped_while_it_sleeps) { pid_t c = SPAWN(EQ(0, SYS(nanosleep, &long_time, NULL))); until_sleeping(c); kill(c, SIGSTOP); until_stopped(c); kill(c, SIGCONT); until_sleeping(c); EQ(0, SYS(wait4, c, NULL, WNOHANG, NULL)); kill(c, SIGKILL); EQ(SIGKILL, ENDED(c)); }

/* ---- what does not wait is not interrupted, however often a handler without SA_RESTART runs ---- */

static void tick_often(void) { struct itimerval every = {{0, 200}, {0, 200}}; handle(SIGALRM, 0); OK(SYS(setitimer, ITIMER_REAL, &every, NULL)); }
CASE(opens_of_files_are_not_interrupted) { file("f", ""); tick_often(); for (int i = 0; i < 10000; i++) SYS(close, OK(SYS(open, "f", O_RDONLY, 0))); tick(0); CHECK(signals_seen > 0); }
