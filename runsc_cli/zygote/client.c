/*
 * The command `pysc` where runsc_cli/command.py has written it: asks the zygote, a process that has all modules loaded, to do its work,
 * and becomes the interpreter's command where there is none, or where that one declines. It has no policy and reads no argument.
 *
 * A worker of the zygote accepts us (runsc_cli/zygote/worker.py) and reads from /proc what we are: arguments, environment,
 * directory, descriptors, limits, identity. Three things cannot be done for us by a process that is not ours, and remain to us:
 *
 *   - signals are sent to us: each is passed on as it is, SIGCHLD too;
 *   - the container's processes are to be our children, for whoever started us finds them orphaned by us when we have ended (engines are
 *     subreapers): the stage is born here, and waited for here;
 *   - our end is the command's: SIGKILL to one of us ends the other.
 *
 * Each makes sure who the other is, by the pid that the kernel puts to its messages (SO_PASSCRED) and a pidfd that comes along: a number
 * alone could be another process's by the time that it is looked up in /proc. After the first message of the worker, which also has what
 * holds it to us, requests come one by one, each with its answer.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/prctl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* children.py has the same. */
enum { SPAWN = 1, WAIT = 2, EXIT = 3 };
enum { OWN_STDIO = 1, DEFAULT_SIGNALS = 2 }; /* of SPAWN: three descriptors more; no signal stays ignored */
enum { EXE, SOCK, STDIO, MOST_FDS = STDIO + 3 };
enum { WORKER, LEASH };

#define PATIENCE 5 /* seconds for a zygote that somebody has stopped; nothing is done before we agree */

#ifndef PR_GET_MDWE
#define PR_GET_MDWE 66
#endif
#ifndef PR_GET_MEMORY_MERGE
#define PR_GET_MEMORY_MERGE 68
#endif

/* The first message, our pidfd along with it: what /proc does not show. worker.py has the same. */
struct hello { int socket, pidfd, securebits, mdwe, merge, mempolicy; char name[PATH_MAX]; };
struct request { int number, op, a, b; };
struct answer { int number, result, status; };

static int zygote = -1;
static sigset_t callers_mask;

/* The command that runsc_cli/command.py has written for when there is no zygote: ../lib/pysc/NAME from where this file is. */
static const char *cold_path(void)
{
	static char path[PATH_MAX + 32];
	const char *name = (const char *)getauxval(AT_EXECFN);
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX);
	char *slash;

	if (n <= 0 || n == PATH_MAX || !(slash = memrchr(path, '/', n)))
		return NULL;
	name = name && strrchr(name, '/') ? strrchr(name, '/') + 1 : name;
	sprintf(slash, "/../lib/pysc/%s", name && !strcmp(name, "pysc-trusted") ? name : "pysc");
	return path;
}

/* A zygote listens where this very file says, so that none of another installation or version is found. */
static int connected(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct ucred peer;
	socklen_t size = sizeof peer;
	struct timeval patience = { PATIENCE, 0 };
	struct stat file;
	int fd, on = 1;

	if (geteuid() != 0 || getuid() != 0 || stat("/proc/self/exe", &file) < 0)
		return -1;
	snprintf(address.sun_path, sizeof address.sun_path, "/run/pysc-zygote/%lx.%lx", (long)file.st_dev, (long)file.st_ino);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	/* a number below 3 is stdio's, which the caller has closed: let the interpreter see it so */
	if (fd < 3 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || peer.uid != 0) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return fd;
}

/* Say who we are. */
static int introduce(const char *name)
{
	struct hello hello = { .socket = zygote, .pidfd = syscall(SYS_pidfd_open, getpid(), 0), .securebits = prctl(PR_GET_SECUREBITS),
			       .mdwe = prctl(PR_GET_MDWE, 0, 0, 0, 0), .merge = prctl(PR_GET_MEMORY_MERGE, 0, 0, 0, 0) };
	union { struct cmsghdr head; char space[CMSG_SPACE(sizeof(int))]; } control = { .head = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct iovec iov = { &hello, offsetof(struct hello, name) + strlen(name) };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };

	if (strlen(name) >= sizeof hello.name || hello.pidfd < 0)
		return 0;
	strcpy(hello.name, name);
	if (syscall(SYS_get_mempolicy, &hello.mempolicy, NULL, 0, NULL, 0) < 0)
		hello.mempolicy = 0; /* a kernel without */
	memcpy(CMSG_DATA(&control.head), &hello.pidfd, sizeof(int));
	return sendmsg(zygote, &message, MSG_NOSIGNAL) > 0;
}

/* One message; what comes along goes to `fds`, -1 for what does not. *sender: the pid of who sent it. */
static ssize_t receive(void *data, size_t size, int *fds, pid_t *sender)
{
	union { struct cmsghdr head; char space[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int) * MOST_FDS)]; } control;
	struct iovec iov = { data, size };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
	struct ucred who = { 0 };
	struct cmsghdr *c;
	size_t length;
	ssize_t n;

	memset(fds, -1, sizeof(int) * MOST_FDS);
	do
		n = recvmsg(zygote, &message, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	for (c = n < 0 ? NULL : CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
		length = c->cmsg_len - CMSG_LEN(0);
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && length <= sizeof(int) * MOST_FDS)
			memcpy(fds, CMSG_DATA(c), length);
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS && length == sizeof who)
			memcpy(&who, CMSG_DATA(c), sizeof who);
	}
	*sender = who.pid;
	return n;
}

/* What stands behind `key` in a line of a file, which is short: proc(5). */
static int line(const char *path, const char *key, char *value, size_t size)
{
	static char text[16384];
	char *at, *end;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

	if (fd >= 0)
		close(fd);
	if (n < 0)
		return 0;
	text[n] = 0;
	at = strstr(text, key);
	if (!at || (at != text && at[-1] != '\n'))
		return 0;
	at += strlen(key);
	end = strchrnul(at, '\n');
	if ((size_t)(end - at) >= size)
		return 0;
	memcpy(value, at, end - at);
	value[end - at] = 0;
	return 1;
}

/*
 * Whether we may do what the process behind `pidfd` says, which is `pid` since it has sent its own: it has all the rights that we have, in
 * the namespaces that count for them. A container with the host's root, to which somebody shows the socket's directory, has not.
 */
static int may_ask_us(int pidfd, pid_t pid)
{
	static const char *const namespaces[] = { "user", "mnt", "pid" };
	char path[64], theirs[64], ours[64];
	struct pollfd ended = { pidfd, POLLIN, 0 };
	ssize_t n;

	snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
	if (!line(path, "Pid:\t", theirs, sizeof theirs) || atoi(theirs) != pid)
		return 0;
	for (size_t i = 0; i < sizeof namespaces / sizeof *namespaces; i++) {
		snprintf(path, sizeof path, "/proc/%d/ns/%s", pid, namespaces[i]);
		n = readlink(path, theirs, sizeof theirs);
		snprintf(path, sizeof path, "/proc/self/ns/%s", namespaces[i]);
		if (n <= 0 || n != readlink(path, ours, sizeof ours) || memcmp(theirs, ours, n))
			return 0;
	}
	snprintf(path, sizeof path, "/proc/%d/status", pid);
	return line(path, "CapEff:", theirs, sizeof theirs) && line("/proc/self/status", "CapEff:", ours, sizeof ours) && !strcmp(theirs, ours) &&
	       poll(&ended, 1, 0) == 0;
}

/* In the child. Returns an errno only when it failed. */
static int execute_stage(int number, int flags, int *fds)
{
	char digits[16];
	char *argv[] = { "pysc-init", digits, NULL }, *envp[] = { NULL };
	struct sigaction usual = { .sa_handler = SIG_DFL }, now;
	int signal, i, from[MOST_FDS];

	for (signal = 1; signal < NSIG; signal++)
		if (flags & DEFAULT_SIGNALS || signal == SIGPIPE || signal == SIGXFSZ) {
			if (sigaction(signal, NULL, &now) == 0 && now.sa_handler == SIG_IGN)
				sigaction(signal, &usual, NULL);
		}
	/* first above all numbers that are about to be given */
	for (i = 0; i < MOST_FDS; i++)
		if ((from[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, number + 1)) < 0 && fds[i] >= 0)
			return errno;
	for (i = 0; i < 3 && flags & OWN_STDIO; i++)
		if (dup2(from[STDIO + i], i) < 0)
			return errno;
	if (dup2(from[SOCK], number) < 0)
		return errno;
	sprintf(digits, "%d", number);
	sigprocmask(SIG_SETMASK, &callers_mask, NULL);
	syscall(SYS_execveat, from[EXE], "", argv, envp, AT_EMPTY_PATH);
	return errno;
}

/* The stage as our child: its pid, or a negated errno. The memory is shared until it executes, as with vfork(2). */
static int spawn(int number, int flags, int *fds)
{
	volatile int error = 0;
	pid_t pid = vfork();

	if (pid == 0) {
		error = execute_stage(number, flags, fds);
		_exit(127);
	}
	if (pid < 0)
		return -errno;
	if (error) {
		waitpid(pid, NULL, 0);
		return -error;
	}
	return pid;
}

/* End as the worker did, of which we only know that it is gone: of the last signal that it had from us and could end of, or killed. */
static void __attribute__((noreturn)) end_by(int number)
{
	sigset_t one;

	signal(number, SIG_DFL);
	sigemptyset(&one);
	sigaddset(&one, number);
	raise(number);
	sigprocmask(SIG_UNBLOCK, &one, NULL);
	raise(SIGKILL);
	_exit(128 + number);
}

static int ends(int signal)
{
	return signal != SIGCHLD && signal != SIGCONT && signal != SIGTSTP && signal != SIGTTIN && signal != SIGTTOU && signal != SIGURG &&
	       signal != SIGWINCH;
}

/* Whether the worker would be stopped by it: as a command does, we stop then, and it with us. Its process group is not the terminal's. */
static int stops(int signal, pid_t worker)
{
	char path[64], mask[64];
	unsigned long long bit = 1ull << (signal - 1);

	if (signal != SIGTSTP && signal != SIGTTIN && signal != SIGTTOU)
		return 0;
	snprintf(path, sizeof path, "/proc/%d/status", worker);
	return line(path, "SigCgt:", mask, sizeof mask) && !(strtoull(mask, NULL, 16) & bit) && line(path, "SigIgn:", mask, sizeof mask) &&
	       !(strtoull(mask, NULL, 16) & bit);
}

static void __attribute__((noreturn)) serve(int worker, pid_t pid, int signals)
{
	struct pollfd ready[] = { { zygote, POLLIN, 0 }, { signals, POLLIN, 0 } };
	struct signalfd_siginfo came;
	struct request request;
	struct answer answer;
	pid_t sender;
	int fds[MOST_FDS], last = SIGKILL, i;

	for (;;) {
		if (poll(ready, 2, -1) < 0)
			continue;
		if (ready[1].revents & POLLIN && read(signals, &came, sizeof came) == sizeof came) {
			if (stops(came.ssi_signo, pid)) {
				syscall(SYS_pidfd_send_signal, worker, SIGSTOP, NULL, 0);
				raise(SIGSTOP);
				continue; /* SIGCONT is passed on like others */
			}
			last = ends(came.ssi_signo) ? (int)came.ssi_signo : last;
			syscall(SYS_pidfd_send_signal, worker, came.ssi_signo, NULL, 0);
		}
		if (!ready[0].revents)
			continue;
		if (receive(&request, sizeof request, fds, &sender) != sizeof request)
			end_by(last);
		answer = (struct answer){ .number = request.number, .result = -EINVAL };
		if (request.op == EXIT)
			_exit(request.a);
		if (request.op == SPAWN)
			answer.result = spawn(request.a, request.b, fds);
		if (request.op == WAIT && (answer.result = waitpid(request.a, &answer.status, WNOHANG)) < 0)
			answer.result = -errno;
		for (i = 0; i < MOST_FDS; i++)
			if (fds[i] >= 0)
				close(fds[i]);
		send(zygote, &answer, sizeof answer, MSG_NOSIGNAL);
	}
}

int main(int argc, char **argv)
{
	const char *path = cold_path(), *name = (const char *)getauxval(AT_EXECFN);
	int fds[MOST_FDS], signals;
	pid_t worker;
	char agreed = 0;
	sigset_t all;

	(void)argc;
	if (!path || !name) {
		fprintf(stderr, "pysc: /proc is needed to find the command's other half\n");
		return 1;
	}
	zygote = connected();
	if (zygote >= 0 && introduce(name) && receive(&agreed, 1, fds, &worker) == 1 && fds[LEASH] >= 0 && may_ask_us(fds[WORKER], worker)) {
		sigfillset(&all);
		sigprocmask(SIG_SETMASK, &all, &callers_mask);
		signals = signalfd(-1, &all, SFD_CLOEXEC);
		if (signals >= 0 && send(zygote, &agreed, 1, MSG_NOSIGNAL) == 1)
			serve(fds[WORKER], worker, signals);
		fprintf(stderr, "pysc: the zygote ended while it was asked: try again\n");
		return 1;
	}
	execv(path, argv); /* what is ours is closed by it */
	fprintf(stderr, "pysc: %s: %s: link to this program where it was installed, instead of copying it\n", path, strerror(errno));
	return 1;
}
