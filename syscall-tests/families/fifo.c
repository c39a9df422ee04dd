/* fifo(7): opens that wait, and what interrupts them */
#include "harness.h"

#define OPEN(flags) SYS(open, "p", flags, 0)

CASE(reader_waits_for_writer) { fifo("p"); pid_t c = SPAWN(int fd = OK(OPEN(O_WRONLY)); EQ(3, SYS(write, fd, "abc", 3))); int fd = OK(OPEN(O_RDONLY)); char b[4] = ""; EQ(3, SYS(read, fd, b, 3)); STREQ("abc", b); JOIN(c); }
CASE(writer_waits_for_reader) { fifo("p"); pid_t c = SPAWN(char b[4]; int fd = OK(OPEN(O_RDONLY)); EQ(3, SYS(read, fd, b, 3))); int fd = OK(OPEN(O_WRONLY)); EQ(3, SYS(write, fd, "abc", 3)); JOIN(c); }
CASE(reader_really_waits) { fifo("p"); pid_t c = SPAWN(OK(OPEN(O_RDONLY))); until_sleeping(c); EQ(0, SYS(wait4, c, NULL, WNOHANG, NULL)); OK(OPEN(O_WRONLY)); JOIN(c); }
CASE(writer_really_waits) { fifo("p"); pid_t c = SPAWN(OK(OPEN(O_WRONLY))); until_sleeping(c); EQ(0, SYS(wait4, c, NULL, WNOHANG, NULL)); OK(OPEN(O_RDONLY)); JOIN(c); }
CASE(reader_nonblocking) { fifo("p"); int fd = OK(OPEN(O_RDONLY | O_NONBLOCK)); char c; EQ(0, SYS(read, fd, &c, 1)); }
CASE(writer_nonblocking) { fifo("p"); FAILS(ENXIO, OPEN(O_WRONLY | O_NONBLOCK)); OK(OPEN(O_RDONLY | O_NONBLOCK)); OK(OPEN(O_WRONLY | O_NONBLOCK)); }
CASE(nonblocking_is_kept) { fifo("p"); EQ(O_NONBLOCK | 0100000, SYS(fcntl, OK(OPEN(O_RDONLY | O_NONBLOCK)), F_GETFL)); }
CASE(blocking_is_kept) { fifo("p"); int fd = OK(OPEN(O_RDONLY | O_NONBLOCK)); int w = OK(OPEN(O_WRONLY)); EQ(O_WRONLY | 0100000, SYS(fcntl, w, F_GETFL)); SYS(close, fd); }
CASE(blocked_reader_gets_a_blocking_descriptor) { fifo("p"); pid_t c = SPAWN(OK(OPEN(O_WRONLY))); EQ(0100000, SYS(fcntl, OK(OPEN(O_RDONLY)), F_GETFL)); JOIN(c); }
CASE(both_ways_does_not_wait) { fifo("p"); int fd = OK(OPEN(O_RDWR)); char c; EQ(1, SYS(write, fd, "x", 1)); EQ(1, SYS(read, fd, &c, 1)); }
CASE(reader_interrupted) { fifo("p"); INTERRUPTED(OPEN(O_RDONLY)); }
CASE(writer_interrupted) { fifo("p"); INTERRUPTED(OPEN(O_WRONLY)); }
CASE(at_interrupted) { dir("d"); fifo("d/p"); int d = OK(SYS(open, "d", O_RDONLY, 0)); INTERRUPTED(SYS(openat, d, "p", O_RDONLY, 0)); INTERRUPTED(SYS(openat, d, "p", O_WRONLY, 0)); }
CASE(creat_interrupted) { fifo("p"); INTERRUPTED(SYS(creat, "p", 0644)); }
CASE(openat2_interrupted) { fifo("p"); uint64_t how[3] = {O_RDONLY, 0, 0}; INTERRUPTED(SYS(openat2, AT_FDCWD, "p", how, sizeof how)); how[0] = O_WRONLY; how[2] = 8; INTERRUPTED(SYS(openat2, AT_FDCWD, "p", how, sizeof how)); }
static pid_t helper;
static void make_writer(void) { helper = fork(); if (!helper) { OK(OPEN(O_WRONLY | O_NONBLOCK) == -ENXIO ? OPEN(O_WRONLY) : 0); pause(); } }
static void make_reader(void) { helper = fork(); if (!helper) { OK(OPEN(O_RDONLY)); pause(); } }
CASE(reader_restarted) { fifo("p"); RESTARTED(make_writer, OPEN(O_RDONLY)); }
CASE(writer_restarted) { fifo("p"); RESTARTED(make_reader, OPEN(O_WRONLY)); }
CASE(creat_restarted) { fifo("p"); RESTARTED(make_reader, SYS(creat, "p", 0644)); }
CASE(openat2_restarted) { fifo("p"); uint64_t how[3] = {O_RDONLY, 0, 8}; RESTARTED(make_writer, SYS(openat2, AT_FDCWD, "p", how, sizeof how)); }
CASE(reader_killed) { fifo("p"); pid_t c = SPAWN(OPEN(O_RDONLY)); until_sleeping(c); kill(c, SIGKILL); EQ(SIGKILL, ENDED(c)); FAILS(ENXIO, OPEN(O_WRONLY | O_NONBLOCK)); }
CASE(writer_killed) { fifo("p"); pid_t c = SPAWN(OPEN(O_WRONLY)); until_sleeping(c); kill(c, SIGKILL); EQ(SIGKILL, ENDED(c)); pid_t r = SPAWN(OK(OPEN(O_RDONLY))); until_sleeping(r); EQ(0, SYS(wait4, r, NULL, WNOHANG, NULL)); OK(OPEN(O_WRONLY)); JOIN(r); }
CASE(reader_killed_and_a_writer_that_waits) { fifo("p"); pid_t c = SPAWN(OPEN(O_RDONLY)); until_sleeping(c); kill(c, SIGKILL); EQ(SIGKILL, ENDED(c)); pid_t w = SPAWN(OK(OPEN(O_WRONLY))); until_sleeping(w); EQ(0, SYS(wait4, w, NULL, WNOHANG, NULL)); OK(OPEN(O_RDONLY)); JOIN(w); }
CASE(one_of_two_readers_killed) { fifo("p"); pid_t c = SPAWN(OPEN(O_RDONLY)), d = SPAWN(int fd = OK(OPEN(O_RDONLY)); char b; EQ(1, SYS(read, fd, &b, 1))); until_sleeping(c); until_sleeping(d); kill(c, SIGKILL); EQ(SIGKILL, ENDED(c)); EQ(1, SYS(write, OK(OPEN(O_WRONLY | O_NONBLOCK)), "x", 1)); JOIN(d); }
CASE(one_of_two_writers_killed) { fifo("p"); pid_t c = SPAWN(OPEN(O_WRONLY)), d = SPAWN(EQ(1, SYS(write, OK(OPEN(O_WRONLY)), "x", 1))); until_sleeping(c); until_sleeping(d); kill(c, SIGKILL); EQ(SIGKILL, ENDED(c)); char b; EQ(1, SYS(read, OK(OPEN(O_RDONLY)), &b, 1)); JOIN(d); }
CASE(reader_terminated) { fifo("p"); pid_t c = SPAWN(OPEN(O_RDONLY)); until_sleeping(c); kill(c, SIGTERM); EQ(SIGTERM, ENDED(c)); }
CASE(end_of_file_after_last_writer) { fifo("p"); int r = OK(OPEN(O_RDONLY | O_NONBLOCK)), w = OK(OPEN(O_WRONLY)); char c; FAILS(EAGAIN, SYS(read, r, &c, 1)); SYS(close, w); EQ(0, SYS(read, r, &c, 1)); }
CASE(broken_pipe) { fifo("p"); int r = OK(OPEN(O_RDONLY | O_NONBLOCK)), w = OK(OPEN(O_WRONLY)); SYS(close, r); signal(SIGPIPE, SIG_IGN); FAILS(EPIPE, SYS(write, w, "x", 1)); }
CASE(data_of_a_writer_that_left) { fifo("p"); pid_t c = SPAWN(int fd = OK(OPEN(O_WRONLY)); EQ(3, SYS(write, fd, "abc", 3))); int fd = OK(OPEN(O_RDONLY)); JOIN(c); char b[8]; EQ(3, SYS(read, fd, b, 8)); EQ(0, SYS(read, fd, b, 8)); }
CASE(two_readers_are_released) { fifo("p"); pid_t a = SPAWN(OK(OPEN(O_RDONLY))), b = SPAWN(OK(OPEN(O_RDONLY))); until_sleeping(a); until_sleeping(b); int w = OK(OPEN(O_WRONLY)); JOIN(a); JOIN(b); SYS(close, w); }
CASE(no_permission) { fifo("p"); OK(SYS(chmod, "p", 0600)); become(USER, GROUP); FAILS(EACCES, OPEN(O_RDONLY)); FAILS(EACCES, OPEN(O_WRONLY)); }
CASE(seek_) { fifo("p"); FAILS(ESPIPE, SYS(lseek, OK(OPEN(O_RDWR)), 0, SEEK_SET)); }
CASE(truncate_flag_is_ignored) { fifo("p"); OK(OPEN(O_RDWR | O_TRUNC)); }
CASE(exclusive) { fifo("p"); FAILS(EEXIST, SYS(open, "p", O_RDWR | O_CREAT | O_EXCL, 0)); }
CASE(create_opens_it) { fifo("p"); OK(SYS(open, "p", O_RDWR | O_CREAT, 0644)); }
CASE(unlinked_while_waiting) { fifo("p"); OK(SYS(link, "p", "q")); pid_t c = SPAWN(OK(OPEN(O_RDONLY))); until_sleeping(c); OK(SYS(unlink, "p")); OK(SYS(open, "q", O_WRONLY, 0)); JOIN(c); }
CASE(others_go_on_meanwhile) { fifo("p"); pid_t c = SPAWN(OPEN(O_RDONLY)); until_sleeping(c); for (int i = 0; i < 50; i++) file("f", "x"); STREQ("x", CONTENT("f")); kill(c, SIGKILL); }
CASE(cloexec_of_a_waiting_open) { fifo("p"); pid_t c = SPAWN(OK(OPEN(O_WRONLY))); EQ(FD_CLOEXEC, SYS(fcntl, OK(OPEN(O_RDONLY | O_CLOEXEC)), F_GETFD)); JOIN(c); }
CASE(at_descriptor) { dir("d"); fifo("d/p"); int d = OK(SYS(open, "d", O_RDONLY, 0)); pid_t c = SPAWN(OK(SYS(openat, d, "p", O_WRONLY, 0))); OK(SYS(openat, d, "p", O_RDONLY, 0)); JOIN(c); }
