/*
 * Runs a command and kills one of its processes, or another one, at a system call of its choice.
 *
 *     killer CLOCK N VICTIM LOG COMMAND...
 *
 * CLOCK is the process whose steps are counted, by its place in the family: cli is the command, sentry its first child that is
 * forked, gofer the second (with --directfs=false files is, and gofer the third), stage the one that it spawns, and whoever comes from that. A step is a system call that something
 * outside of the process can notice; at the entry of number N, before it is executed, VICTIM gets SIGKILL: a place in the family,
 * or a pid; where it is CLOCK, whoever takes the step; "interrupt" is CLOCK, and SIGINT. Everybody else goes on. The exit code is the command's, or 128 + its signal.
 *
 * One line in the file LOG for each step of CLOCK: its number, that of the call, who exists by then; and "killed" when VICTIM was.
 * With N = 0 nobody is.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum place { CLI, SENTRY, FILES, GOFER, STAGE, PLACES, NOBODY = -1 };

static const char *const names[] = { "cli", "sentry", "files", "gofer", "stage" };

struct tracee {
	pid_t tid;
	int place;
	int leader;
};

static struct tracee tracees[256];
static int ntracees;
static int place_pid[PLACES];
static int record, clock_, victim = NOBODY, victim_pid, number, steps, done;
static int has_files, fatal = SIGKILL;

static void fail(const char *what)
{
	perror(what);
	exit(99);
}

static struct tracee *find(pid_t tid)
{
	for (int i = 0; i < ntracees; i++)
		if (tracees[i].tid == tid)
			return &tracees[i];
	return NULL;
}

static void forget(pid_t tid)
{
	struct tracee *t = find(tid);

	if (!t)
		return;
	if (t->leader && place_pid[t->place] == tid)
		place_pid[t->place] = 0;
	*t = tracees[--ntracees];
}

static void add(pid_t tid, int place, int leader)
{
	if (ntracees == 256)
		exit(98);
	tracees[ntracees++] = (struct tracee){ tid, place, leader };
	if (leader && place != NOBODY)
		place_pid[place] = tid;
}

static int is_plain_file(pid_t tid, int fd)
{
	char name[64];
	struct stat facts;

	snprintf(name, sizeof name, "/proc/%d/fd/%d", tid, fd);
	return stat(name, &facts) == 0 && S_ISREG(facts.st_mode);
}

/* Whether the process tells anybody, or is told anything, by this call. */
static int is_step(pid_t tid, const struct __ptrace_syscall_info *s)
{
	switch (s->entry.nr) {
	case SYS_close:
		return !is_plain_file(tid, s->entry.args[0]);
	case SYS_openat: case SYS_open:
		return !!(s->entry.args[s->entry.nr == SYS_openat ? 2 : 1] & (O_ACCMODE | O_CREAT | O_TRUNC));
	case SYS_openat2:
		return 0;
	case SYS_read: case SYS_pread64: case SYS_lseek: case SYS_readv: case SYS_getdents64: case SYS_fstat: case SYS_newfstatat:
	case SYS_stat: case SYS_lstat: case SYS_statx: case SYS_statfs: case SYS_fstatfs: case SYS_readlink: case SYS_readlinkat:
	case SYS_access: case SYS_faccessat: case SYS_faccessat2: case SYS_getcwd: case SYS_mmap: case SYS_munmap: case SYS_mprotect:
	case SYS_mremap: case SYS_brk: case SYS_madvise: case SYS_rt_sigaction: case SYS_rt_sigprocmask: case SYS_rt_sigreturn:
	case SYS_sigaltstack: case SYS_getpid: case SYS_gettid: case SYS_getuid: case SYS_geteuid: case SYS_getgid: case SYS_getegid:
	case SYS_getppid: case SYS_uname: case SYS_ioctl: case SYS_fcntl: case SYS_dup: case SYS_dup2: case SYS_dup3: case SYS_futex:
	case SYS_poll: case SYS_ppoll: case SYS_clock_gettime: case SYS_clock_nanosleep: case SYS_nanosleep: case SYS_getrandom:
	case SYS_prlimit64: case SYS_set_tid_address: case SYS_set_robust_list: case SYS_rseq: case SYS_arch_prctl: case SYS_pipe2:
	case SYS_sched_getaffinity: case SYS_sched_setaffinity: case SYS_epoll_create1: case SYS_socketpair: case SYS_capget:
	case SYS_memfd_create: case SYS_pidfd_open: case SYS_process_vm_readv: case SYS_restart_syscall: case SYS_umask:
	case SYS_sched_yield: case SYS_getsockopt: case SYS_getsockname: case SYS_sysinfo: case SYS_getpgid: case SYS_getsid:
		return 0;
	}
	return 1;
}

static void step(pid_t tid, long nr)
{
	char line[256];
	int n;

	steps++;
	n = snprintf(line, sizeof line, "%d %ld", steps, nr);
	for (int i = 0; i < PLACES; i++)
		if (place_pid[i])
			n += snprintf(line + n, sizeof line - n, " %s", names[i]);
	dprintf(record, "%s\n", line);
	if (steps != number)
		return;
	if (victim != NOBODY)
		victim_pid = victim == clock_ ? tid : place_pid[victim];
	if (victim_pid > 0 && kill(victim_pid, fatal) == 0)
		dprintf(record, "killed\n");
	done = 1;
}

static void resume(pid_t tid, int signal)
{
	struct tracee *t = find(tid);
	int counted = t && t->place == clock_ && !done;

	if (ptrace(counted || !t ? PTRACE_SYSCALL : PTRACE_CONT, tid, 0, signal) && errno != ESRCH)
		fail("resume");
}

static void born(pid_t parent, int event)
{
	struct tracee *p = find(parent);
	unsigned long child;
	int place;
	static int forks;

	if (ptrace(PTRACE_GETEVENTMSG, parent, 0, &child) || !p)
		return;
	place = p->place;
	if (place == CLI && event == PTRACE_EVENT_FORK)
		place = forks++ == 0 ? SENTRY : has_files && forks == 2 ? FILES : GOFER;
	else if (place == CLI)
		place = STAGE;
	add(child, place, place != p->place || place == STAGE);
}

static void stopped(pid_t tid, int status)
{
	struct __ptrace_syscall_info info;
	int signal = WSTOPSIG(status), event = status >> 16;

	if (event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK || event == PTRACE_EVENT_CLONE)
		born(tid, event);
	else if (signal == (SIGTRAP | 0x80)) {
		struct tracee *t = find(tid);

		memset(&info, 0, sizeof info);
		if (t && t->place == clock_ && !done && ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof info, &info) > 0 &&
		    info.op == PTRACE_SYSCALL_INFO_ENTRY && is_step(tid, &info))
			step(tid, info.entry.nr);
	} else if (!event && signal != SIGTRAP) {
		resume(tid, signal);
		return;
	}
	resume(tid, 0);
}

static int place_of(const char *name)
{
	for (int i = 0; i < PLACES; i++)
		if (!strcmp(name, names[i]))
			return i;
	return NOBODY;
}

int main(int argc, char **argv)
{
	int status, ready[2];
	pid_t cli, tid;

	if (argc < 6)
		return 97;
	clock_ = place_of(argv[1]);
	number = atoi(argv[2]);
	victim = place_of(argv[3]);
	if (!strcmp(argv[3], "interrupt")) {
		victim = clock_;
		fatal = SIGINT;
	}
	if (victim == NOBODY)
		victim_pid = atoi(argv[3]);
	for (int i = 5; i < argc; i++)
		has_files |= !strcmp(argv[i], "--directfs=false");
	record = open(argv[4], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (record < 0)
		fail(argv[4]);
	if (pipe2(ready, O_CLOEXEC))
		fail("pipe");
	cli = fork();
	if (cli == 0) {
		close(ready[1]);
		if (read(ready[0], &status, 1) == 0)
			execv(argv[5], argv + 5);
		_exit(127);
	}
	add(cli, CLI, 1);
	/* Not PTRACE_ATTACH or _TRACEME: their children begin with a SIGSTOP, which stays when the tracer is gone. */
	if (ptrace(PTRACE_SEIZE, cli, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE))
		fail("seize");
	if (ptrace(PTRACE_INTERRUPT, cli, 0, 0) || waitpid(cli, &status, 0) != cli || !WIFSTOPPED(status))
		fail("interrupt");
	resume(cli, 0);
	close(ready[0]);
	close(ready[1]);
	while ((tid = waitpid(-1, &status, __WALL)) > 0) {
		if (WIFSTOPPED(status)) {
			stopped(tid, status);
			continue;
		}
		forget(tid);
		if (tid == cli) /* whoever is left is no longer traced */
			return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	}
	return 95;
}
