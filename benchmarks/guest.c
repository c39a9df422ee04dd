/*
 * What runs inside the container, static so that it runs in any root.
 *
 *   guest micro ROUNDS        one line "NAME NANOSECONDS" for each system call and round
 *   guest repeat N COMMAND... one line "NANOSECONDS" for each of N runs of the command, its stdout thrown away
 *   guest nothing             ends at once: what fork_exec starts
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROUND_NS 20000000L /* how long a round is to take */

extern char **environ;
static char self[PATH_MAX];
static int zero, null, pipes[2];
static uint32_t word;
static char byte;

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000L + t.tv_nsec;
}

static void check(int failed, const char *what)
{
	if (failed) {
		perror(what);
		exit(1);
	}
}

static void run_getpid(void) { check(syscall(SYS_getpid) < 0, "getpid"); }

static void run_open(void)
{
	int fd = open(self, O_RDONLY | O_CLOEXEC);

	check(fd < 0 || close(fd), "open");
}

static void run_open_missing(void)
{
	check(open("/no/such/file", O_RDONLY) >= 0 || errno != ENOENT, "open of a missing file");
}

static void run_stat(void)
{
	struct stat st;

	check(stat(self, &st), "stat");
}

static void run_read(void) { check(read(zero, &byte, 1) != 1, "read"); }
static void run_write(void) { check(write(null, &byte, 1) != 1, "write"); }

static void run_pipe(void)
{
	check(write(pipes[1], &byte, 1) != 1 || read(pipes[0], &byte, 1) != 1, "pipe");
}

static void run_futex(void) { check(syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1) < 0, "futex"); }

static void run_mmap(void)
{
	char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	check(p == MAP_FAILED, "mmap");
	*p = 1;
	check(munmap(p, 4096), "munmap");
}

static void spawn(char **argv, posix_spawn_file_actions_t *actions)
{
	pid_t pid;
	int status, error = posix_spawnp(&pid, argv[0], actions, NULL, argv, environ);

	if (error) {
		fprintf(stderr, "%s: %s\n", argv[0], strerror(error));
		exit(1);
	}
	check(waitpid(pid, &status, 0) != pid, "waitpid");
	if (status) {
		fprintf(stderr, "%s: wait status %d\n", argv[0], status);
		exit(1);
	}
}

static void run_fork_exec(void)
{
	char *argv[] = {self, "nothing", NULL};

	spawn(argv, NULL);
}

static const struct {
	const char *name;
	void (*run)(void);
} calls[] = {
	{"getpid", run_getpid},
	{"open_close", run_open},
	{"open_missing", run_open_missing},
	{"stat", run_stat},
	{"read", run_read},
	{"write", run_write},
	{"pipe", run_pipe},
	{"futex_wake", run_futex},
	{"mmap_munmap", run_mmap},
	{"fork_exec", run_fork_exec},
};

static int64_t timed(void (*run)(void), long count)
{
	int64_t began = now();

	while (count--)
		run();
	return now() - began;
}

static void micro(int rounds)
{
	ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);

	check(length < 0, "/proc/self/exe");
	zero = open("/dev/zero", O_RDONLY);
	null = open("/dev/null", O_WRONLY);
	check(zero < 0 || null < 0 || pipe(pipes), "/dev and pipe");
	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
		/* one call to warm up, then as many as take a millisecond say how many make a round */
		long count = 1;
		int64_t took;

		timed(calls[i].run, 1);
		while ((took = timed(calls[i].run, count)) < 1000000)
			count *= 2;
		count = count * (ROUND_NS / 1000) / (took / 1000) + 1;
		for (int round = 0; round < rounds; round++)
			printf("%s %.2f\n", calls[i].name, (double)timed(calls[i].run, count) / count);
	}
}

static void repeat(int count, char **argv)
{
	posix_spawn_file_actions_t quiet;

	posix_spawn_file_actions_init(&quiet);
	posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0);
	while (count--) {
		int64_t began = now();

		spawn(argv, &quiet);
		printf("%ld\n", (long)(now() - began));
	}
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "micro"))
		micro(atoi(argv[2]));
	else if (argc > 3 && !strcmp(argv[1], "repeat"))
		repeat(atoi(argv[2]), argv + 3);
	else if (argc != 2 || strcmp(argv[1], "nothing"))
		return 2;
	return 0;
}
