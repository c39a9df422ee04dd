/* ptrace(2), process_vm_readv(2), kcmp(2) */
#include "harness.h"
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
static volatile long word = 0x1234;
static int s;
static pid_t traced(void) { pid_t p = SPAWN(SYS(ptrace, PTRACE_TRACEME, 0, 0, 0); raise(SIGSTOP); SYS(getppid); _exit(3)); EQ(p, SYS(wait4, p, &s, 0, NULL)); CHECK(WIFSTOPPED(s)); return p; }
CASE(traceme) { pid_t p = traced(); EQ(0, SYS(ptrace, PTRACE_CONT, p, 0, 0)); EQ(3 << 8, ENDED(p)); }
CASE(peek_and_poke) { pid_t p = traced(); long v; EQ(0, SYS(ptrace, PTRACE_PEEKDATA, p, &word, &v)); EQ(0x1234, v); EQ(0, SYS(ptrace, PTRACE_POKEDATA, p, &word, 0x77)); OK(SYS(ptrace, PTRACE_PEEKDATA, p, &word, &v)); EQ(0x77, v); EQ(0x1234, word); FAILS(EIO, SYS(ptrace, PTRACE_PEEKDATA, p, BAD, &v)); kill(p, SIGKILL); }
CASE(registers) { pid_t p = traced(); struct user_regs_struct r; EQ(0, SYS(ptrace, PTRACE_GETREGS, p, 0, &r)); CHECK(r.rip && r.rsp); EQ(0, SYS(ptrace, PTRACE_SETREGS, p, 0, &r)); kill(p, SIGKILL); }
CASE(system_calls) { pid_t p = traced(); OK(SYS(ptrace, PTRACE_SETOPTIONS, p, 0, PTRACE_O_TRACESYSGOOD)); OK(SYS(ptrace, PTRACE_SYSCALL, p, 0, 0)); OK(SYS(wait4, p, &s, 0, NULL)); EQ(SIGTRAP | 0x80, WSTOPSIG(s)); kill(p, SIGKILL); }
CASE(mediated_calls_are_seen_too) { pid_t p = SPAWN(SYS(ptrace, PTRACE_TRACEME, 0, 0, 0); raise(SIGSTOP); SYS(open, "none", O_RDONLY, 0); _exit(0)); OK(SYS(wait4, p, &s, 0, NULL)); int opens = 0; for (int k = 0; k < 20; k++) { OK(SYS(ptrace, PTRACE_SYSCALL, p, 0, 0)); OK(SYS(wait4, p, &s, 0, NULL)); if (!WIFSTOPPED(s)) break; struct user_regs_struct r; OK(SYS(ptrace, PTRACE_GETREGS, p, 0, &r)); if (r.orig_rax == __NR_open) { opens++; if (opens == 2) EQ(-ENOENT, r.rax); } } EQ(2, opens); }
CASE(single_step) { pid_t p = traced(); OK(SYS(ptrace, PTRACE_SINGLESTEP, p, 0, 0)); OK(SYS(wait4, p, &s, 0, NULL)); EQ(SIGTRAP, WSTOPSIG(s)); kill(p, SIGKILL); }
CASE(attach_and_detach) { pid_t p = SPAWN(for (;;) pause()); EQ(0, SYS(ptrace, PTRACE_ATTACH, p, 0, 0)); OK(SYS(wait4, p, &s, 0, NULL)); EQ(SIGSTOP, WSTOPSIG(s)); EQ(0, SYS(ptrace, PTRACE_DETACH, p, 0, 0)); kill(p, SIGKILL); }
CASE(seize_and_interrupt) { pid_t p = SPAWN(for (;;) pause()); EQ(0, SYS(ptrace, PTRACE_SEIZE, p, 0, 0)); EQ(0, SYS(ptrace, PTRACE_INTERRUPT, p, 0, 0)); OK(SYS(wait4, p, &s, 0, NULL)); EQ(PTRACE_EVENT_STOP, s >> 16); kill(p, SIGKILL); }
CASE(signal_is_suppressed) { pid_t p = SPAWN(SYS(ptrace, PTRACE_TRACEME, 0, 0, 0); raise(SIGUSR1); _exit(4)); OK(SYS(wait4, p, &s, 0, NULL)); EQ(SIGUSR1, WSTOPSIG(s)); OK(SYS(ptrace, PTRACE_CONT, p, 0, 0)); EQ(4 << 8, ENDED(p)); }
CASE(fork_event) { pid_t p = SPAWN(SYS(ptrace, PTRACE_TRACEME, 0, 0, 0); raise(SIGSTOP); if (!fork()) _exit(0); _exit(0)); OK(SYS(wait4, p, &s, 0, NULL)); OK(SYS(ptrace, PTRACE_SETOPTIONS, p, 0, PTRACE_O_TRACEFORK | PTRACE_O_EXITKILL)); OK(SYS(ptrace, PTRACE_CONT, p, 0, 0)); EQ(p, SYS(wait4, p, &s, 0, NULL)); EQ(PTRACE_EVENT_FORK, s >> 16); unsigned long c; OK(SYS(ptrace, PTRACE_GETEVENTMSG, p, 0, &c)); CHECK(c > 0); kill(p, SIGKILL); }
CASE(errors) { FAILS(ESRCH, SYS(ptrace, PTRACE_CONT, 4000000, 0, 0)); FAILS(ESRCH, SYS(ptrace, PTRACE_ATTACH, 4000000, 0, 0)); FAILS(EPERM, SYS(ptrace, PTRACE_ATTACH, getpid(), 0, 0)); pid_t p = SPAWN(pause()); FAILS(ESRCH, SYS(ptrace, PTRACE_CONT, p, 0, 0)); CHILD(become(USER, GROUP); FAILS(EPERM, SYS(ptrace, PTRACE_ATTACH, p, 0, 0))); kill(p, SIGKILL); }
CASE(memory_of_another) { word = 0x55; pid_t p = SPAWN(pause()); long v = 0; struct iovec l = {&v, 8}, r = {(void *)&word, 8}; EQ(8, SYS(process_vm_readv, p, &l, 1, &r, 1, 0)); EQ(0x55, v); v = 9; EQ(8, SYS(process_vm_writev, p, &l, 1, &r, 1, 0)); r.iov_base = BAD; FAILS(EFAULT, SYS(process_vm_readv, p, &l, 1, &r, 1, 0)); FAILS(ESRCH, SYS(process_vm_readv, 4000000, &l, 1, &r, 1, 0)); FAILS(EINVAL, SYS(process_vm_readv, p, &l, 1, &r, 1, 1)); CHILD(become(USER, GROUP); FAILS(EPERM, SYS(process_vm_readv, p, &l, 1, &r, 1, 0))); kill(p, SIGKILL); }
CASE(memory_file) { word = 0x66; pid_t p = SPAWN(pause()); char n[40]; long v = 0; sprintf(n, "/proc/%d/mem", p); EQ(8, SYS(pread64, OK(SYS(open, n, O_RDWR, 0)), &v, 8, &word)); EQ(0x66, v); kill(p, SIGKILL); }
