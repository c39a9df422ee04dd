/*
 * Opens names that somebody else changes meanwhile, many times, and counts what the opens lead to.
 *
 *     race BASE OUTSIDE TRIES SCENARIO...     the attack; one line for each scenario
 *     race --swap BASE                        exchange names below BASE/vol until stdin ends
 *
 * Files say what they are: "allowed", or "SECRET" where the caller must never get to. A line is the scenario's name and then
 * outcome=count: raced (the name changed while the open was under way), allowed, secret, empty, and E<errno>.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX 4096

static const char *base, *outside;
static char path[MAX]; /* what is opened, and rewritten by a thread */
static char text[2][MAX];
static struct open_how how, hows[2];
static atomic_int stop;
static atomic_ulong here;                 /* changes of the buffer */
static atomic_ulong *theirs;              /* of names, counted by the process that swaps */
static atomic_ulong *changes = &here;
static unsigned counts[256];
static unsigned raced, allowed, secret, empty;
static int writing_is_secret; /* the file may be read, and whoever may write to it has got too far */

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

/* Between no time at all and some microseconds: as long as an open takes, so that it is hit at every point. */
static void wait_a_little(void)
{
	static __thread uint32_t x = 2463534242u;

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	for (unsigned i = x % 512; i; i--)
		__builtin_ia32_pause();
}

static void *rewrite(void *unused)
{
	(void)unused;
	for (int i = 0; !atomic_load(&stop); i ^= 1) {
		memcpy(path, text[i], strlen(text[i]) + 1);
		how = hows[i];
		atomic_fetch_add(&here, 1);
		wait_a_little();
	}
	return NULL;
}

static void outcome(int fd)
{
	char content[8] = "";
	int got;

	if (fd < 0) {
		counts[-fd]++;
		return;
	}
	got = read(fd, content, 7);
	if (writing_is_secret && (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY)
		secret++;
	else if (got == 0)
		empty++;
	else if (!memcmp(content, "allowed", 7))
		allowed++;
	else if (!memcmp(content, "SECRET", 6))
		secret++;
	else {
		fprintf(stderr, "neither: %d %.7s\n", got, content);
		exit(1);
	}
	close(fd);
}

static void report(const char *name)
{
	printf("%s raced=%u allowed=%u secret=%u empty=%u", name, raced, allowed, secret, empty);
	for (int i = 0; i < 256; i++)
		if (counts[i])
			printf(" E%d=%u", i, counts[i]);
	printf("\n");
	fflush(stdout);
	raced = allowed = secret = empty = 0;
	memset(counts, 0, sizeof counts);
}

static int try(int flags)
{
	long r = flags == -1 ? syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how) : syscall(SYS_openat, AT_FDCWD, path, flags, 0600);
	return r < 0 ? -errno : (int)r;
}

static void attack(const char *name, int tries, int flags, int rewriting)
{
	pthread_t thread;

	atomic_store(&stop, 0);
	memcpy(path, text[0], MAX);
	how = hows[0];
	if (rewriting && pthread_create(&thread, NULL, rewrite, NULL))
		fail("pthread_create");
	while (tries--) {
		unsigned long before = atomic_load(changes);
		int fd = try(flags);

		raced += atomic_load(changes) != before;
		outcome(fd);
	}
	atomic_store(&stop, 1);
	if (rewriting)
		pthread_join(thread, NULL);
	report(name);
}

static void enter(const char *directory)
{
	char name[MAX];

	snprintf(name, sizeof name, "%s%s", base, directory);
	if (chdir(name))
		fail(name);
}

/* A scenario whose path is rewritten: `good` below base, and `bad`, below base too unless it begins with '=' or ends with '='. */
static void buffer(const char *name, int tries, const char *good, const char *bad, int flags)
{
	snprintf(text[0], MAX, "%s%s", *good == '/' ? base : "", good);
	if (*bad == '=')
		snprintf(text[1], MAX, "%s/secret", outside);
	else if (bad[strlen(bad) - 1] == '=')
		snprintf(text[1], MAX, "%.*s%s/secret", (int)strlen(bad) - 1, bad, outside);
	else
		snprintf(text[1], MAX, "%s%s", base, bad);
	attack(name, tries, flags, 1);
}

/* A scenario with one name that leads elsewhere every moment. */
static void names(const char *name, int tries, const char *good, int flags)
{
	changes = theirs;
	snprintf(text[0], MAX, "%s%s", *good == '/' ? base : "", good);
	attack(name, tries, flags, 0);
	changes = &here;
}

static void scenario(const char *name, int tries)
{
	if (!strcmp(name, "masked"))
		buffer(name, tries, "/vol/open", "/masked", O_RDONLY);
	else if (!strcmp(name, "outside"))
		buffer(name, tries, "/vol/open", "=", O_RDONLY);
	else if (!strcmp(name, "climbing"))
		buffer(name, tries, "open", "../../../../../../../../../../../../../../../..=", O_RDONLY);
	else if (!strcmp(name, "unreadable"))
		buffer(name, tries, "/vol/open", "/private/secret", O_RDONLY);
	else if (!strcmp(name, "readonly"))
		buffer(name, tries, "/vol/open", "/ro/secret", O_RDWR);
	else if (!strcmp(name, "creating"))
		buffer(name, tries, "/vol/open", "/ro/new", O_RDWR | O_CREAT);
	else if (!strcmp(name, "flags")) { /* openat2: the path stays, the flags are in memory */
		hows[0] = (struct open_how){ .flags = O_RDONLY };
		hows[1] = (struct open_how){ .flags = O_RDWR };
		writing_is_secret = 1;
		buffer(name, tries, "/ro/open", "/ro/open", -1);
		writing_is_secret = 0;
	} else if (!strcmp(name, "link"))
		names(name, tries, "/vol/link", O_RDONLY);
	else if (!strcmp(name, "directory"))
		names(name, tries, "/vol/d/secret", O_RDONLY);
	else if (!strcmp(name, "directory-climbing"))
		names(name, tries, "/vol/c/secret", O_RDONLY);
	else if (!strcmp(name, "directory-readonly"))
		names(name, tries, "/vol/w/secret", O_RDWR | O_CREAT);
	else if (!strcmp(name, "moved-out"))
		names(name, tries, "/vol/m/in/../secret", O_RDONLY);
	else if (!strcmp(name, "moved-out-relative")) {
		do /* the moment in which it is there */
			(void)0;
		while (snprintf(text[1], MAX, "%s/vol/m/in", base) && chdir(text[1]) && errno == ENOENT);
		names(name, tries, "../secret", O_RDONLY);
	} else
		fail(name);
	enter("/vol");
}

static void exchange(const char *a, const char *b)
{
	if (renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE))
		fail(a);
}

static void move(const char *from, const char *to)
{
	if (rename(from, to))
		fail(from);
}

static void swap(void)
{
	struct pollfd input = { 0, POLLIN, 0 };

	for (unsigned i = 0; poll(&input, 1, 0) == 0; i++) {
		exchange("link", "link2");
		exchange("d", "d2");
		wait_a_little();
		exchange("c", "c2");
		exchange("w", "w2");
		if (i & 1)
			move("../in", "m/in");
		else
			move("m/in", "../in");
		atomic_fetch_add(theirs, 1);
		wait_a_little();
	}
	if (renameat2(AT_FDCWD, "../in", AT_FDCWD, "m/in", RENAME_NOREPLACE) && errno != ENOENT)
		fail("in");
}

static void share_counter(void)
{
	int fd = open("count", O_RDWR);

	if (fd < 0)
		fail("count");
	theirs = mmap(NULL, sizeof *theirs, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (theirs == MAP_FAILED)
		fail("mmap");
	close(fd);
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "--swap")) {
		base = argv[2];
		enter("/vol");
		share_counter();
		swap();
		return 0;
	}
	if (argc < 5)
		return 2;
	base = argv[1];
	outside = argv[2];
	enter("/vol");
	share_counter();
	for (int i = 4; i < argc; i++)
		scenario(argv[i], atoi(argv[3]));
	return 0;
}
