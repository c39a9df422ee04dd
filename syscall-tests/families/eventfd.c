/* eventfd(2) */
#include "harness.h"
static uint64_t v;
CASE(counts) { int fd = OK(SYS(eventfd2, 3, 0)); v = 4; EQ(8, SYS(write, fd, &v, 8)); EQ(8, SYS(read, fd, &v, 8)); EQ(7, v); }
CASE(semaphore) { int fd = OK(SYS(eventfd2, 2, 1 | O_NONBLOCK)); EQ(8, SYS(read, fd, &v, 8)); EQ(1, v); EQ(8, SYS(read, fd, &v, 8)); FAILS(EAGAIN, SYS(read, fd, &v, 8)); }
CASE(nonblocking) { int fd = OK(SYS(eventfd2, 0, O_NONBLOCK)); FAILS(EAGAIN, SYS(read, fd, &v, 8)); v = -2; EQ(8, SYS(write, fd, &v, 8)); v = 1; FAILS(EAGAIN, SYS(write, fd, &v, 8)); }
CASE(errors) { int fd = OK(SYS(eventfd2, 0, 0)); FAILS(EINVAL, SYS(read, fd, &v, 4)); FAILS(EINVAL, SYS(write, fd, &v, 4)); v = -1; FAILS(EINVAL, SYS(write, fd, &v, 8)); FAILS(EINVAL, SYS(eventfd2, 0, 0x100)); }
CASE(interrupted) { int fd = OK(SYS(eventfd2, 0, 0)); INTERRUPTED(SYS(read, fd, &v, 8)); }
CASE(cloexec) { EQ(FD_CLOEXEC, SYS(fcntl, OK(SYS(eventfd2, 0, O_CLOEXEC)), F_GETFD)); }
CASE(shared_with_a_child) { int fd = OK(SYS(eventfd, 0)); CHILD(v = 5; EQ(8, SYS(write, fd, &v, 8))); EQ(8, SYS(read, fd, &v, 8)); EQ(5, v); }
CASE(polled) { int fd = OK(SYS(eventfd, 0)); struct pollfd f = {fd, POLLIN | POLLOUT, 0}; EQ(1, SYS(poll, &f, 1, 0)); EQ(POLLOUT, f.revents); uint64_t c = -2ULL; OK(SYS(write, fd, &c, 8)); EQ(1, SYS(poll, &f, 1, 0)); EQ(POLLIN, f.revents); }
CASE(opened_again_by_its_link) { char p[40]; sprintf(p, "/proc/self/fd/%ld", OK(SYS(eventfd, 0))); FAILS(ENXIO, SYS(open, p, O_RDWR, 0)); }
