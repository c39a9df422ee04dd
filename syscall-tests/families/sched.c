/* sched(7): affinity, policies, getcpu; membarrier(2), rseq(2), futex(2), getrandom(2) */
#include "harness.h"
#include <linux/futex.h>
#include <linux/membarrier.h>
static cpu_set_t c;
static int w, *fx = &w;
CASE(affinity) { OK(SYS(sched_getaffinity, 0, sizeof c, &c)); CHECK(CPU_COUNT(&c) > 0); int k = 0; while (!CPU_ISSET(k, &c)) k++; CPU_ZERO(&c); CPU_SET(k, &c); EQ(0, SYS(sched_setaffinity, 0, sizeof c, &c)); unsigned u; OK(SYS(getcpu, &u, NULL, NULL)); EQ(k, u); OK(SYS(sched_getaffinity, 0, sizeof c, &c)); EQ(1, CPU_COUNT(&c)); }
CASE(affinity_survives_mediated_calls) { OK(SYS(sched_getaffinity, 0, sizeof c, &c)); int n = CPU_COUNT(&c); for (int k = 0; k < 50; k++) file("f", ""); OK(SYS(sched_getaffinity, 0, sizeof c, &c)); EQ(n, CPU_COUNT(&c)); }
CASE(affinity_errors) { CPU_ZERO(&c); FAILS(EINVAL, SYS(sched_setaffinity, 0, sizeof c, &c)); FAILS(EFAULT, SYS(sched_setaffinity, 0, 128, BAD)); FAILS(ESRCH, SYS(sched_getaffinity, 4000000, sizeof c, &c)); FAILS(EINVAL, SYS(sched_getaffinity, 0, 1, &c)); }
CASE(policies) { EQ(0, SYS(sched_getscheduler, 0)); struct sched_param p = {0}; EQ(0, SYS(sched_setscheduler, 0, SCHED_BATCH, &p)); EQ(SCHED_BATCH, SYS(sched_getscheduler, 0)); FAILS(EINVAL, SYS(sched_setscheduler, 0, 99, &p)); p.sched_priority = 1; FAILS(EINVAL, SYS(sched_setscheduler, 0, SCHED_OTHER, &p)); FAILS(EINVAL, SYS(sched_setscheduler, 0, SCHED_OTHER, NULL)); FAILS(ESRCH, SYS(sched_getscheduler, 4000000)); }
CASE(real_time_as_user) { become(USER, GROUP); struct sched_param p = {1}; FAILS(EPERM, SYS(sched_setscheduler, 0, SCHED_FIFO, &p)); }
CASE(priorities) { EQ(99, SYS(sched_get_priority_max, SCHED_FIFO)); EQ(1, SYS(sched_get_priority_min, SCHED_RR)); EQ(0, SYS(sched_get_priority_max, SCHED_OTHER)); FAILS(EINVAL, SYS(sched_get_priority_max, 99)); EQ(0, SYS(sched_yield)); struct timespec t; EQ(0, SYS(sched_rr_get_interval, 0, &t)); }
CASE(membarrier_) { CHECK(SYS(membarrier, MEMBARRIER_CMD_QUERY, 0, 0) > 0); EQ(0, SYS(membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0)); EQ(0, SYS(membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0)); FAILS(EINVAL, SYS(membarrier, 1 << 30, 0, 0)); }
CASE(rseq_errors) { CHILD(char b[64]; CHECK(SYS(rseq, b, 1, 0, 0) < 0)); }
CASE(futex_wrong_value) { FAILS(EAGAIN, SYS(futex, fx, FUTEX_WAIT, 1, NULL, NULL, 0)); }
CASE(futex_timeout) { struct timespec t = {0, 1000000}; FAILS(ETIMEDOUT, SYS(futex, fx, FUTEX_WAIT, 0, &t, NULL, 0)); t.tv_nsec = -1; FAILS(EINVAL, SYS(futex, fx, FUTEX_WAIT, 0, &t, NULL, 0)); }
CASE(futex_wakes) { fx = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0); pid_t p = SPAWN(EQ(0, SYS(futex, fx, FUTEX_WAIT, 0, NULL, NULL, 0))); until_sleeping(p); EQ(1, SYS(futex, fx, FUTEX_WAKE, 9, NULL, NULL, 0)); JOIN(p); EQ(0, SYS(futex, fx, FUTEX_WAKE, 9, NULL, NULL, 0)); }
CASE(futex_requeues) { fx = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0); pid_t p = SPAWN(EQ(0, SYS(futex, fx, FUTEX_WAIT, 0, NULL, NULL, 0))); until_sleeping(p); EQ(1, SYS(futex, fx, FUTEX_CMP_REQUEUE, 0, 1, fx + 1, 0)); EQ(1, SYS(futex, fx + 1, FUTEX_WAKE, 1, NULL, NULL, 0)); JOIN(p); }
CASE(futex_errors) { FAILS(EINVAL, SYS(futex, (char *)fx + 1, FUTEX_WAIT, 0, NULL, NULL, 0)); FAILS(EFAULT, SYS(futex, 0x1000, FUTEX_WAIT, 0, NULL, NULL, 0)); FAILS(ENOSYS, SYS(futex, fx, 99, 0, NULL, NULL, 0)); FAILS(EINVAL, SYS(futex, fx, FUTEX_WAIT_BITSET, 0, NULL, NULL, 0)); }
CASE(futex_interrupted) { INTERRUPTED(SYS(futex, fx, FUTEX_WAIT, 0, NULL, NULL, 0)); }
CASE(futex_priority_inheritance) { EQ(0, SYS(futex, fx, FUTEX_LOCK_PI, 0, NULL, NULL, 0)); FAILS(EDEADLK, SYS(futex, fx, FUTEX_LOCK_PI, 0, NULL, NULL, 0)); EQ(0, SYS(futex, fx, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0)); FAILS(EPERM, SYS(futex, fx, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0)); }
CASE(random_) { char a[32], b[32]; EQ(32, SYS(getrandom, a, 32, 0)); EQ(32, SYS(getrandom, b, 32, 1)); CHECK(memcmp(a, b, 32)); FAILS(EINVAL, SYS(getrandom, a, 1, 0x80)); FAILS(EFAULT, SYS(getrandom, BAD, 1, 0)); }
