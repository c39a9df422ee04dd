/*
 * The stage: the program that enters a container's namespaces, becomes its first process and execs the workload.
 *
 * It knows nothing of containers. It executes *programs*, arrays of raw system calls that runsc_cli/stage/program.py
 * assembles, so that every decision stays in Python while no Python interpreter is ever inside a container: what a
 * container can reach through /proc/PID/exe is this file, sealed in a memfd (CVE-2019-5736).
 *
 * A program arrives as one message on a socket: a memfd that holds it, followed by the descriptors it uses, which are
 * appended to a table. The answer is one message: the results of all calls, or where it stopped and why.
 * Only read(2) and write(2) are used once the program is mapped, so a program may install a seccomp filter.
 *
 * The socket's number is the first argument. Below it are stdio and what the workload is given of the caller's; above it the
 * caller may have left anything, even a directory of the host, so that is closed before anything else (CVE-2024-21626).
 *
 * As pid 1 of its pid namespace it would get no signal that it does not handle, not even SIGTERM: pid_namespaces(7). Those that
 * end `runc init` end it too, so that a created container can be ended by a plain kill. execve(2) forgets the handlers.
 */
#include <linux/fcntl.h>
#include <linux/mman.h>
#include <linux/unistd.h>

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;
typedef long s64;

#define MAX_OPS 1024
#define MAX_FDS 253 /* SCM_MAX_FD */

enum { /* struct op.flags */
	OP_MAY_FAIL = 1, /* go on after an error */
	OP_FORK = 2,     /* the parent answers with the result and exits, the child goes on */
	OP_ANSWER = 4,   /* answer with the results so far, then wait for one byte before going on */
	OP_INIT = 8,     /* the parent looks after its child until the end, the child goes on */
};

enum { /* how struct op.arg[i] is to be read: four bits each in struct op.kinds */
	ARG_VALUE = 0,  /* the value itself */
	ARG_BLOB = 1,   /* offset of data in the program */
	ARG_RESULT = 2, /* the result of call number arg[i] of this program */
	ARG_FD = 3,     /* descriptor number arg[i] of the table */
	ARG_VECTOR = 4, /* offset of an array of offsets, ended by ~0: argv, envp */
	ARG_FPROG = 5,  /* offset of a struct sock_fprog whose pointer is an offset */
	ARG_ERROR = 6,  /* the text of the errno of a call: its number << 32 | offset of an array of struct text, by errno */
	ARG_ERROR_LEN = 7, /* the same, its length */
};

struct op {
	u16 nr;
	u16 flags;
	u32 kinds;
	u64 arg[6];
};

struct text {
	u8 len;
	char text[63];
};

struct program { /* followed by nops struct op, then data */
	u32 nops;
	u32 size;
};

struct answer {
	int failed; /* index of the call that failed, or -1 */
	int error;  /* its errno */
	s64 result[MAX_OPS];
};

struct iovec { void *base; u64 len; };
struct msghdr { void *name; u32 namelen; struct iovec *iov; u64 iovlen; void *control; u64 controllen; int flags; };
struct cmsghdr { u64 len; int level, type; };

struct sigaction { void (*handler)(int); u64 flags; void (*restorer)(void); u64 mask; };

#define SA_RESTORER 0x04000000 /* the kernel wants one, also for a handler that does not return */
#define SIG_IGN ((void (*)(int))1)

static int fds[MAX_FDS * 2];
static int nfds;
static int sock;
static struct answer answer;
static u8 control[sizeof(struct cmsghdr) + sizeof(int) * MAX_FDS + 8] __attribute__((aligned(8)));

static s64 call(u64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	s64 r;
	register u64 r10 __asm__("r10") = d;
	register u64 r8 __asm__("r8") = e;
	register u64 r9 __asm__("r9") = f;

	__asm__ volatile("syscall"
			 : "=a"(r)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return r;
}

static void __attribute__((noreturn)) leave(int code)
{
	for (;;)
		call(__NR_exit_group, code, 0, 0, 0, 0, 0);
}

static void end(int signal)
{
	leave(128 + signal);
}

/* SIGHUP, SIGINT, SIGQUIT, SIGTERM; one that is ignored (nohup pysc do) stays so for the workload. */
static void handle_signals(void)
{
	static const u8 signals[] = { 1, 2, 3, 15 };
	struct sigaction ending = { end, SA_RESTORER, (void (*)(void))end, 0 };
	struct sigaction now;
	struct sigaction usual = { 0 };
	u32 i;

	call(__NR_rt_sigaction, 32, (u64)&usual, 0, sizeof now.mask, 0, 0); /* glibc's own two, which its posix_spawn(3) */
	call(__NR_rt_sigaction, 33, (u64)&usual, 0, sizeof now.mask, 0, 0); /* leaves ignored */
	for (i = 0; i < sizeof signals; i++) {
		call(__NR_rt_sigaction, signals[i], 0, (u64)&now, sizeof now.mask, 0, 0);
		if (now.handler != SIG_IGN)
			call(__NR_rt_sigaction, signals[i], (u64)&ending, 0, sizeof now.mask, 0, 0);
	}
}

/*
 * Be the first process for `child`, which the kernel then treats as any other: signals that it has no handler for work. Pass on
 * what comes, reap what is orphaned, end as it ends. All signals are blocked already, hence kept and not ignored.
 */
static void __attribute__((noreturn)) look_after(int child)
{
	u64 all = ~0UL;
	int status;
	s64 number, pid;

	call(__NR_close_range, sock, ~0U, 0, 0, 0, 0);
	for (;;) {
		number = call(__NR_rt_sigtimedwait, (u64)&all, 0, 0, sizeof all, 0, 0);
		if (number != 17 /* SIGCHLD */) {
			if (number > 0)
				call(__NR_kill, child, number, 0, 0, 0, 0);
			continue;
		}
		while ((pid = call(__NR_wait4, -1, (u64)&status, 1 /* WNOHANG */, 0, 0, 0)) > 0)
			if (pid == child)
				leave(status & 127 ? 128 + (status & 127) : status >> 8 & 255);
	}
}

static void reply(u32 nops)
{
	u64 size = 8 + nops * sizeof(s64);

	if (call(__NR_write, sock, (u64)&answer, size, 0, 0, 0) != (s64)size)
		leave(255);
}

/* Receive one program; returns where it is mapped. The sender closing the socket ends the stage. */
static struct program *receive(void)
{
	u64 size;
	struct iovec iov = { &size, sizeof size };
	struct msghdr msg = { 0, 0, &iov, 1, control, sizeof control, 0 };
	struct cmsghdr *head = (struct cmsghdr *)control;
	int *passed = (int *)(control + sizeof *head);
	int count, i;
	s64 where;

	if (call(__NR_recvmsg, sock, (u64)&msg, 0x40000000 /* MSG_CMSG_CLOEXEC */, 0, 0, 0) != sizeof size)
		leave(255);
	if (msg.controllen < sizeof *head || msg.flags & 0x28 /* MSG_TRUNC, MSG_CTRUNC */)
		leave(255);
	count = (head->len - sizeof *head) / sizeof(int);
	if (count < 1 || nfds + count - 1 > MAX_FDS * 2)
		leave(255);
	for (i = 1; i < count; i++)
		fds[nfds++] = passed[i];
	where = call(__NR_mmap, 0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, passed[0], 0);
	if (where < 0 && where > -4096)
		leave(255);
	call(__NR_close, passed[0], 0, 0, 0, 0, 0);
	return (struct program *)where;
}

static u64 argument(struct program *p, u32 kind, u64 value)
{
	struct text *text;
	u64 *vector;

	switch (kind) {
	case ARG_BLOB:
		return (u64)p + value;
	case ARG_RESULT:
		return answer.result[value % MAX_OPS];
	case ARG_FD:
		return value < (u64)nfds ? (u64)fds[value] : ~0UL;
	case ARG_VECTOR:
		vector = (u64 *)((u64)p + value);
		for (; *vector != ~0UL; vector++)
			*vector += (u64)p;
		*vector = 0;
		return (u64)p + value;
	case ARG_FPROG:
		*(u64 *)((u64)p + value + 8) += (u64)p;
		return (u64)p + value;
	case ARG_ERROR:
	case ARG_ERROR_LEN:
		text = (struct text *)((u64)p + (u32)value) - answer.result[(value >> 32) % MAX_OPS];
		return kind == ARG_ERROR ? (u64)text->text : text->len;
	}
	return value;
}

static void execute(struct program *p)
{
	struct op *op = (struct op *)(p + 1);
	u64 a[6];
	u32 i, k;
	s64 r;
	char go;

	answer.failed = -1;
	answer.error = 0;
	for (i = 0; i < p->nops && i < MAX_OPS; i++, op++) {
		for (k = 0; k < 6; k++)
			a[k] = argument(p, op->kinds >> (4 * k) & 15, op->arg[k]);
		r = call(op->nr, a[0], a[1], a[2], a[3], a[4], a[5]);
		answer.result[i] = r;
		if (r < 0 && r > -4096 && !(op->flags & OP_MAY_FAIL)) {
			answer.failed = i;
			answer.error = -r;
			reply(i + 1);
			return;
		}
		if (op->flags & OP_FORK && r > 0) {
			reply(i + 1);
			leave(0);
		}
		if (op->flags & OP_INIT && r > 0)
			look_after(r);
		if (op->flags & OP_ANSWER) {
			reply(i + 1);
			if (call(__NR_read, sock, (u64)&go, 1, 0, 0, 0) != 1)
				leave(255);
		}
	}
	reply(p->nops);
}

static int number(const char *digits)
{
	int n = 0;

	while (*digits >= '0' && *digits <= '9')
		n = n * 10 + *digits++ - '0';
	return n;
}

/* `start`: argc, argv[]. */
void __attribute__((noreturn, used)) stage(u64 *start)
{
	struct program *p;

	if (start[0] != 2)
		leave(255);
	sock = number((const char *)start[2]);
	call(__NR_close_range, sock + 1, ~0U, 0, 0, 0, 0);
	handle_signals();
	for (;;) {
		p = receive();
		execute(p);
		call(__NR_munmap, (u64)p, p->size, 0, 0, 0, 0);
	}
}

/* A process starts with the stack aligned to 16 bytes; a function expects it so before the call. */
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tcall stage\n");
