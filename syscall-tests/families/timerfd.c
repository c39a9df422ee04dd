/* timerfd_create(2) */
#include "harness.h"
#include <sys/timerfd.h>
static uint64_t v;
static struct itimerspec t, old;
CASE(expires) { int fd = OK(SYS(timerfd_create, CLOCK_MONOTONIC, 0)); t.it_value.tv_nsec = 1000000; EQ(0, SYS(timerfd_settime, fd, 0, &t, NULL)); EQ(8, SYS(read, fd, &v, 8)); EQ(1, v); }
CASE(interval) { int fd = OK(SYS(timerfd_create, CLOCK_MONOTONIC, 0)); t.it_value.tv_nsec = t.it_interval.tv_nsec = 1000000; OK(SYS(timerfd_settime, fd, 0, &t, NULL)); sleep_ms(10); EQ(8, SYS(read, fd, &v, 8)); CHECK(v >= 5); }
CASE(absolute_in_the_past) { int fd = OK(SYS(timerfd_create, CLOCK_REALTIME, 0)); t.it_value.tv_sec = 1; OK(SYS(timerfd_settime, fd, TFD_TIMER_ABSTIME, &t, NULL)); EQ(8, SYS(read, fd, &v, 8)); EQ(1, v); }
CASE(disarmed) { int fd = OK(SYS(timerfd_create, CLOCK_MONOTONIC, TFD_NONBLOCK)); FAILS(EAGAIN, SYS(read, fd, &v, 8)); t.it_value.tv_sec = 100; OK(SYS(timerfd_settime, fd, 0, &t, NULL)); EQ(0, SYS(timerfd_gettime, fd, &old)); CHECK(old.it_value.tv_sec > 80); t.it_value.tv_sec = 0; OK(SYS(timerfd_settime, fd, 0, &t, &old)); CHECK(old.it_value.tv_sec > 80); OK(SYS(timerfd_gettime, fd, &old)); EQ(0, old.it_value.tv_sec); }
CASE(errors) { FAILS(EINVAL, SYS(timerfd_create, 99, 0)); FAILS(EINVAL, SYS(timerfd_create, CLOCK_MONOTONIC, 1)); int fd = OK(SYS(timerfd_create, CLOCK_MONOTONIC, 0)); FAILS(EINVAL, SYS(read, fd, &v, 4)); t.it_value.tv_nsec = -1; FAILS(EINVAL, SYS(timerfd_settime, fd, 0, &t, NULL)); FAILS(EBADF, SYS(timerfd_settime, 99, 0, &old, NULL)); FAILS(EINVAL, SYS(timerfd_settime, OK(SYS(eventfd, 0)), 0, &old, NULL)); FAILS(EFAULT, SYS(timerfd_settime, fd, 0, BAD, NULL)); }
CASE(interrupted) { int fd = OK(SYS(timerfd_create, CLOCK_MONOTONIC, 0)); INTERRUPTED(SYS(read, fd, &v, 8)); }
CASE(polls) { int fd = OK(SYS(timerfd_create, CLOCK_BOOTTIME, TFD_CLOEXEC)); EQ(FD_CLOEXEC, SYS(fcntl, fd, F_GETFD)); t.it_value.tv_nsec = 1; OK(SYS(timerfd_settime, fd, 0, &t, NULL)); struct pollfd q = {fd, POLLIN, 0}; EQ(1, SYS(poll, &q, 1, -1)); }
CASE(counts_expirations) { int fd = OK(SYS(timerfd_create, CLOCK_MONOTONIC, 0)); struct itimerspec s = {{0, 1000000}, {0, 1000000}}; OK(SYS(timerfd_settime, fd, 0, &s, NULL)); struct timespec t = {0, 10000000}; OK(SYS(nanosleep, &t, NULL)); uint64_t n; EQ(8, SYS(read, fd, &n, 8)); CHECK(n >= 9); }
CASE(setting_gives_the_old) { int fd = OK(SYS(timerfd_create, CLOCK_MONOTONIC, 0)); struct itimerspec s = {{7, 0}, {100, 0}}, o, none = {{0}}; OK(SYS(timerfd_settime, fd, 0, &s, NULL)); EQ(0, SYS(timerfd_settime, fd, 0, &none, &o)); EQ(7, o.it_interval.tv_sec); CHECK(o.it_value.tv_sec > 80); EQ(0, SYS(timerfd_gettime, fd, &o)); EQ(0, o.it_value.tv_sec); }
CASE(time_in_the_past_is_over) { int fd = OK(SYS(timerfd_create, CLOCK_REALTIME, TFD_NONBLOCK)); struct itimerspec s = {{0, 0}, {1, 0}}; OK(SYS(timerfd_settime, fd, 1, &s, NULL)); uint64_t n; EQ(8, SYS(read, fd, &n, 8)); EQ(1, n); }
