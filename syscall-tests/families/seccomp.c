/* seccomp(2): a workload's own filters */
#include "harness.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
static long install(int number, unsigned action, unsigned flags) { static struct sock_filter f[4]; f[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0); f[1] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ, number, 0, 1); f[2] = (struct sock_filter)BPF_STMT(BPF_RET, action); f[3] = (struct sock_filter)BPF_STMT(BPF_RET, SECCOMP_RET_ALLOW); struct sock_fprog p = {4, f}; return SYS(seccomp, SECCOMP_SET_MODE_FILTER, flags, &p); }
CASE(errno_) { EQ(0, install(__NR_getppid, SECCOMP_RET_ERRNO | 77, 0)); EQ(-77, SYS(getppid)); CHECK(SYS(getpid) > 0); }
CASE(errno_of_a_mediated_call) { EQ(0, install(__NR_mkdir, SECCOMP_RET_ERRNO | EXDEV, 0)); FAILS(EXDEV, SYS(mkdir, "d", 0755)); CHECK(!exists("d")); }
CASE(other_calls_go_on) { EQ(0, install(__NR_getppid, SECCOMP_RET_ERRNO | 77, 0)); OK(SYS(mkdir, "d", 0755)); CHECK(exists("d")); }
CASE(kill_) { pid_t p = SPAWN(install(__NR_getppid, SECCOMP_RET_KILL_PROCESS, 0); SYS(getppid)); EQ(SIGSYS, ENDED(p) & 127); }
static void trapped(int n UNUSED, siginfo_t *i, void *c UNUSED) { signals_seen = i->si_syscall; }
CASE(trap) { struct sigaction a = {.sa_sigaction = trapped, .sa_flags = SA_SIGINFO}; sigaction(SIGSYS, &a, NULL); EQ(0, install(__NR_getppid, SECCOMP_RET_TRAP, 0)); SYS(getppid); EQ(__NR_getppid, signals_seen); }
CASE(inherited) { OK(install(__NR_getppid, SECCOMP_RET_ERRNO | 77, 0)); CHILD(EQ(-77, SYS(getppid))); }
CASE(stacked) { OK(install(__NR_getppid, SECCOMP_RET_ERRNO | 77, 0)); OK(install(__NR_getuid, SECCOMP_RET_ERRNO | 78, 0)); EQ(-77, SYS(getppid)); EQ(-78, SYS(getuid)); }
CASE(needs_no_new_privs) { become(USER, GROUP); FAILS(EACCES, install(__NR_getppid, SECCOMP_RET_ALLOW, 0)); OK(SYS(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)); EQ(0, install(__NR_getppid, SECCOMP_RET_ALLOW, 0)); }
CASE(errors) { FAILS(EINVAL, SYS(seccomp, 99, 0, NULL)); FAILS(EINVAL, SYS(seccomp, SECCOMP_SET_MODE_FILTER, 0x8000, NULL)); FAILS(EFAULT, SYS(seccomp, SECCOMP_SET_MODE_FILTER, 0, BAD)); struct sock_fprog p = {0, NULL}; FAILS(EINVAL, SYS(seccomp, SECCOMP_SET_MODE_FILTER, 0, &p)); }
CASE(action_available) { unsigned a = SECCOMP_RET_ERRNO; EQ(0, SYS(seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &a)); a = 0x12340000; FAILS(EOPNOTSUPP, SYS(seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &a)); }
CASE(listener_of_ones_own) { long fd = install(__NR_getppid, SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER); CHECK(fd >= 0); }
