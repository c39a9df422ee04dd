/* wait4(2), waitid(2) */
#include "harness.h"
static int s;
static siginfo_t i;
#define WAITID(kind, id, flags) SYS(waitid, kind, id, &i, flags, NULL)
CASE(exited) { pid_t p = SPAWN(_exit(5)); EQ(p, SYS(wait4, p, &s, 0, NULL)); EQ(5 << 8, s); FAILS(ECHILD, SYS(wait4, p, &s, 0, NULL)); }
CASE(any) { pid_t p = SPAWN(_exit(1)); EQ(p, SYS(wait4, -1, &s, 0, NULL)); }
CASE(own_group) { pid_t p = SPAWN(_exit(1)); EQ(p, SYS(wait4, 0, &s, 0, NULL)); }
CASE(group) { pid_t p = SPAWN(pause()); OK(SYS(setpgid, p, p)); kill(p, SIGKILL); FAILS(ECHILD, SYS(wait4, 0, &s, 0, NULL)); EQ(p, SYS(wait4, -p, &s, 0, NULL)); EQ(SIGKILL, s); }
CASE(nohang) { pid_t p = SPAWN(pause()); EQ(0, SYS(wait4, p, &s, WNOHANG, NULL)); kill(p, SIGKILL); }
CASE(none) { FAILS(ECHILD, SYS(wait4, -1, &s, 0, NULL)); FAILS(ECHILD, SYS(wait4, 1, &s, 0, NULL)); }
CASE(errors) { FAILS(EINVAL, SYS(wait4, -1, &s, 0x100, NULL)); FAILS(ESRCH, SYS(wait4, INT_MIN, &s, 0, NULL)); SPAWN(_exit(0)); FAILS(EFAULT, SYS(wait4, -1, BAD, 0, NULL)); }
CASE(stopped_and_continued) { pid_t p = SPAWN(pause()); kill(p, SIGSTOP); EQ(p, SYS(wait4, p, &s, WUNTRACED, NULL)); CHECK(WIFSTOPPED(s)); EQ(SIGSTOP, WSTOPSIG(s)); kill(p, SIGCONT); EQ(p, SYS(wait4, p, &s, WCONTINUED, NULL)); CHECK(WIFCONTINUED(s)); kill(p, SIGKILL); }
CASE(core_flag) { pid_t p = SPAWN(struct rlimit l = {0, 0}; SYS(setrlimit, RLIMIT_CORE, &l); raise(SIGTERM)); EQ(SIGTERM, ENDED(p)); }
CASE(usage) { struct rusage u; pid_t p = SPAWN(for (volatile int k = 0; k < 20000000; k++) ;); EQ(p, SYS(wait4, p, &s, 0, &u)); CHECK(u.ru_utime.tv_usec + u.ru_utime.tv_sec * 1000000 > 0); }
CASE(id_exited) { pid_t p = SPAWN(_exit(5)); EQ(0, WAITID(P_PID, p, WEXITED)); EQ(CLD_EXITED, i.si_code); EQ(5, i.si_status); EQ(p, i.si_pid); EQ(SIGCHLD, i.si_signo); EQ(0, i.si_uid); }
CASE(id_killed) { pid_t p = SPAWN(pause()); kill(p, SIGKILL); EQ(0, WAITID(P_PID, p, WEXITED)); EQ(CLD_KILLED, i.si_code); EQ(SIGKILL, i.si_status); }
CASE(id_nowait) { pid_t p = SPAWN(_exit(5)); EQ(0, WAITID(P_PID, p, WEXITED | WNOWAIT)); EQ(p, SYS(wait4, p, &s, 0, NULL)); }
CASE(id_stopped) { pid_t p = SPAWN(pause()); kill(p, SIGSTOP); EQ(0, WAITID(P_PID, p, WSTOPPED)); EQ(CLD_STOPPED, i.si_code); kill(p, SIGCONT); EQ(0, WAITID(P_PID, p, WCONTINUED)); EQ(CLD_CONTINUED, i.si_code); kill(p, SIGKILL); }
CASE(id_nohang) { pid_t p = SPAWN(pause()); i.si_pid = 9; EQ(0, WAITID(P_ALL, 0, WEXITED | WNOHANG)); EQ(0, i.si_pid); kill(p, SIGKILL); }
CASE(id_errors) { FAILS(EINVAL, WAITID(P_ALL, 0, 0)); FAILS(EINVAL, WAITID(99, 0, WEXITED)); FAILS(EINVAL, WAITID(P_PID, 0, WEXITED)); FAILS(ECHILD, WAITID(P_PID, 1, WEXITED)); FAILS(EBADF, WAITID(3, 99, WEXITED)); }
CASE(interrupted) { pid_t p = SPAWN(for (;;) pause()); INTERRUPTED(SYS(wait4, p, &s, 0, NULL)); kill(p, SIGKILL); }
static pid_t sleeper;
static void end(void) { kill(sleeper, SIGKILL); }
CASE(restarted) { sleeper = SPAWN(for (;;) pause()); EQ(sleeper, RESTARTED(end, SYS(wait4, sleeper, &s, 0, NULL))); }
CASE(ignored_children_are_not_kept) { signal(SIGCHLD, SIG_IGN); SPAWN(_exit(0)); FAILS(ECHILD, SYS(wait4, -1, &s, 0, NULL)); }
CASE(child_signal) { handle(SIGCHLD, 0); pid_t p = SPAWN(_exit(0)); ENDED(p); EQ(1, signals_seen); }
