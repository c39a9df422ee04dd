/* signal(7): rt_sigaction, rt_sigprocmask, kill, tgkill, rt_sigqueueinfo, rt_sigtimedwait, rt_sigsuspend, sigaltstack, pause */
#include "harness.h"
#include <pthread.h>
static sigset_t m;
static siginfo_t i;
static void block(int n) { sigemptyset(&m); sigaddset(&m, n); sigprocmask(SIG_BLOCK, &m, NULL); }
static void info(int n UNUSED, siginfo_t *s, void *c UNUSED) { i = *s; signals_seen++; }
static void detailed(int n) { struct sigaction a = {.sa_sigaction = info, .sa_flags = SA_SIGINFO}; sigaction(n, &a, NULL); }
CASE(handler_runs) { handle(SIGUSR1, 0); EQ(0, SYS(kill, getpid(), SIGUSR1)); EQ(1, signals_seen); }
CASE(blocked_stays_pending) { handle(SIGUSR1, 0); block(SIGUSR1); raise(SIGUSR1); raise(SIGUSR1); EQ(0, signals_seen); uint64_t p; OK(SYS(rt_sigpending, &p, 8)); CHECK(p >> (SIGUSR1 - 1) & 1); sigprocmask(SIG_UNBLOCK, &m, NULL); EQ(1, signals_seen); }
CASE(realtime_signals_queue) { handle(40, 0); block(40); for (int k = 0; k < 3; k++) raise(40); sigprocmask(SIG_UNBLOCK, &m, NULL); EQ(3, signals_seen); }
CASE(sender_is_told) { detailed(SIGUSR1); SYS(kill, getpid(), SIGUSR1); EQ(SI_USER, i.si_code); EQ(getpid(), i.si_pid); EQ(0, i.si_uid); }
CASE(sender_in_another_process) { detailed(SIGUSR1); pid_t me = getpid(); pid_t p = SPAWN(kill(me, SIGUSR1)); ENDED(p); EQ(p, i.si_pid); }
CASE(queued_value) { detailed(SIGUSR1); EQ(0, sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 7})); EQ(7, i.si_int); EQ(SI_QUEUE, i.si_code); }
CASE(queue_forged) { siginfo_t f = {.si_code = SI_USER}; FAILS(EPERM, SYS(rt_sigqueueinfo, getppid(), SIGUSR1, &f)); }
CASE(fault_address) { detailed(SIGSEGV); pid_t p = SPAWN(struct sigaction a = {.sa_sigaction = info, .sa_flags = SA_SIGINFO | SA_RESETHAND}; sigaction(SIGSEGV, &a, NULL); *(volatile char *)BAD = 1); EQ(SIGSEGV, ENDED(p) & 127); }
CASE(reset_hand) { handle(SIGUSR1, SA_RESETHAND); raise(SIGUSR1); struct sigaction a; sigaction(SIGUSR1, NULL, &a); CHECK(a.sa_handler == SIG_DFL); }
CASE(nodefer) { handle(SIGUSR1, 0); block(SIGUSR2); struct sigaction a; sigaction(SIGUSR1, NULL, &a); CHECK(!(a.sa_flags & SA_NODEFER)); }
CASE(action_errors) { struct { void *h; long f; void *r; uint64_t m; } a = {0}; FAILS(EINVAL, SYS(rt_sigaction, SIGKILL, &a, NULL, 8)); FAILS(EINVAL, SYS(rt_sigaction, SIGSTOP, &a, NULL, 8)); FAILS(EINVAL, SYS(rt_sigaction, 0, &a, NULL, 8)); FAILS(EINVAL, SYS(rt_sigaction, 65, &a, NULL, 8)); FAILS(EINVAL, SYS(rt_sigaction, 1, &a, NULL, 4)); FAILS(EFAULT, SYS(rt_sigaction, 1, BAD, NULL, 8)); }
CASE(mask_errors) { uint64_t s = 0; FAILS(EINVAL, SYS(rt_sigprocmask, 9, &s, NULL, 8)); FAILS(EINVAL, SYS(rt_sigprocmask, 0, &s, NULL, 4)); FAILS(EFAULT, SYS(rt_sigprocmask, 0, BAD, NULL, 8)); }
CASE(kill_cannot_be_blocked) { uint64_t s = -1, o; OK(SYS(rt_sigprocmask, SIG_SETMASK, &s, NULL, 8)); OK(SYS(rt_sigprocmask, SIG_SETMASK, NULL, &o, 8)); CHECK(!(o >> (SIGKILL - 1) & 1)); }
CASE(kill_errors) { FAILS(ESRCH, SYS(kill, 4000000, 0)); FAILS(EINVAL, SYS(kill, getpid(), 65)); FAILS(EINVAL, SYS(kill, getpid(), -1)); EQ(0, SYS(kill, getpid(), 0)); FAILS(ESRCH, SYS(kill, -4000000, 0)); }
CASE(kill_permission) { pid_t p = SPAWN(pause()); CHILD(become(USER, GROUP); FAILS(EPERM, SYS(kill, p, SIGTERM)); FAILS(EPERM, SYS(kill, p, 0))); kill(p, SIGKILL); }
CASE(kill_same_user) { CHILD(become(USER, GROUP); pid_t p = SPAWN(pause()); EQ(0, SYS(kill, p, SIGTERM)); EQ(SIGTERM, ENDED(p))); }
CASE(kill_group) { pid_t p = SPAWN(setpgid(0, 0); for (;;) pause()); while (getpgid(p) != p) ; EQ(0, SYS(kill, -p, SIGTERM)); EQ(SIGTERM, ENDED(p)); }
CASE(tgkill_) { handle(SIGUSR1, 0); EQ(0, SYS(tgkill, getpid(), SYS(gettid), SIGUSR1)); EQ(1, signals_seen); FAILS(ESRCH, SYS(tgkill, getpid(), 4000000, 0)); FAILS(EINVAL, SYS(tgkill, -1, 1, 0)); FAILS(EINVAL, SYS(tkill, -1, 0)); EQ(0, SYS(tkill, SYS(gettid), 0)); }
CASE(timed_wait) { block(SIGUSR1); struct timespec t = {0, 1000000}; FAILS(EAGAIN, SYS(rt_sigtimedwait, &m, &i, &t, 8)); raise(SIGUSR1); EQ(SIGUSR1, SYS(rt_sigtimedwait, &m, &i, &t, 8)); EQ(getpid(), i.si_pid); t.tv_nsec = -1; FAILS(EINVAL, SYS(rt_sigtimedwait, &m, &i, &t, 8)); }
CASE(timed_wait_interrupted) { block(SIGUSR1); INTERRUPTED(SYS(rt_sigtimedwait, &m, &i, NULL, 8)); }
CASE(suspend) { handle(SIGUSR1, 0); block(SIGUSR1); raise(SIGUSR1); uint64_t none = 0; FAILS(EINTR, SYS(rt_sigsuspend, &none, 8)); EQ(1, signals_seen); raise(SIGUSR1); EQ(1, signals_seen); }
CASE(pause_) { INTERRUPTED(SYS(pause)); }
CASE(ignored_is_discarded) { signal(SIGUSR1, SIG_IGN); raise(SIGUSR1); handle(SIGUSR1, 0); EQ(0, signals_seen); }
CASE(alternate_stack) { static char st[65536]; stack_t s = {.ss_sp = st, .ss_size = sizeof st}; EQ(0, SYS(sigaltstack, &s, NULL)); stack_t o; OK(SYS(sigaltstack, NULL, &o)); EQ(st, o.ss_sp); s.ss_size = 10; FAILS(ENOMEM, SYS(sigaltstack, &s, NULL)); s.ss_flags = 99; FAILS(EINVAL, SYS(sigaltstack, &s, NULL)); }
CASE(nanosleep_interrupted) { handle(SIGALRM, 0); tick(20); struct timespec t = {100, 0}, rest = {0}; FAILS(EINTR, SYS(nanosleep, &t, &rest)); CHECK(rest.tv_sec > 80 && rest.tv_sec < 100); tick(0); }
