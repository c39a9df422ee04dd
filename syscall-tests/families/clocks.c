/* clock_gettime(2), clock_nanosleep(2), timer_create(2), setitimer(2), alarm(2) */
#include "harness.h"
static struct timespec t;
CASE(clocks) { int ids[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID, CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME, CLOCK_TAI}; for (int k = 0; k < 9; k++) { EQ(0, SYS(clock_gettime, ids[k], &t)); EQ(0, SYS(clock_getres, ids[k], &t)); } FAILS(EINVAL, SYS(clock_gettime, 99, &t)); FAILS(EFAULT, SYS(clock_gettime, 0, BAD)); }
CASE(monotonic) { int64_t a = now_ns(CLOCK_MONOTONIC); for (int k = 0; k < 1000; k++) { int64_t b = now_ns(CLOCK_MONOTONIC); CHECK(b >= a); a = b; } }
CASE(time_of_day) { struct timeval v; EQ(0, SYS(gettimeofday, &v, NULL)); long n = SYS(time, NULL); CHECK(labs(n - v.tv_sec) <= 1); }
CASE(setting_as_user) { become(USER, GROUP); t = (struct timespec){1, 0}; FAILS(EPERM, SYS(clock_settime, CLOCK_REALTIME, &t)); struct timeval v = {1, 0}; FAILS(EPERM, SYS(settimeofday, &v, NULL)); }
CASE(sleep_) { int64_t a = now_ns(CLOCK_MONOTONIC); t = (struct timespec){0, 10000000}; EQ(0, SYS(nanosleep, &t, NULL)); CHECK(now_ns(CLOCK_MONOTONIC) - a >= 10000000); t.tv_nsec = 1000000000; FAILS(EINVAL, SYS(nanosleep, &t, NULL)); FAILS(EFAULT, SYS(nanosleep, BAD, NULL)); }
CASE(sleep_until) { SYS(clock_gettime, CLOCK_MONOTONIC, &t); EQ(0, SYS(clock_nanosleep, CLOCK_MONOTONIC, 1, &t, NULL)); FAILS(EINVAL, SYS(clock_nanosleep, 99, 0, &t, NULL)); t = (struct timespec){100, 0}; INTERRUPTED(SYS(clock_nanosleep, CLOCK_MONOTONIC, 0, &t, NULL)); }
CASE(alarm_) { handle(SIGALRM, 0); EQ(0, SYS(alarm, 100)); long left = SYS(alarm, 0); CHECK(left > 80 && left <= 100); }
CASE(interval_timer) { handle(SIGALRM, 0); struct itimerval v = {{0, 0}, {0, 5000}}, o; EQ(0, SYS(setitimer, ITIMER_REAL, &v, NULL)); while (!signals_seen) ; EQ(1, signals_seen); EQ(0, SYS(getitimer, ITIMER_REAL, &o)); EQ(0, o.it_value.tv_usec); FAILS(EINVAL, SYS(setitimer, 9, &v, NULL)); }
CASE(cpu_interval_timer) { handle(SIGVTALRM, 0); struct itimerval v = {{0, 0}, {0, 5000}}; EQ(0, SYS(setitimer, ITIMER_VIRTUAL, &v, NULL)); while (!signals_seen) ; }
CASE(timer) { handle(SIGUSR1, 0); struct sigevent e = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1}; int id; EQ(0, SYS(timer_create, CLOCK_MONOTONIC, &e, &id)); struct itimerspec s = {{0, 0}, {0, 1000000}}, o; EQ(0, SYS(timer_settime, id, 0, &s, NULL)); while (!signals_seen) sleep_ms(1); EQ(0, SYS(timer_gettime, id, &o)); EQ(0, SYS(timer_getoverrun, id)); EQ(0, SYS(timer_delete, id)); FAILS(EINVAL, SYS(timer_delete, id)); FAILS(EINVAL, SYS(timer_create, 99, &e, &id)); }
CASE(timer_on_cpu_time) { int id; EQ(0, SYS(timer_create, CLOCK_PROCESS_CPUTIME_ID, NULL, &id)); EQ(0, SYS(timer_delete, id)); }
