/*
 * stdin is a file of the host's, open for reading. A thread puts it, and a file of our own that is open for both, under one number,
 * while that number is opened for writing by its name in /proc: what is written to must never be stdin's file.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRIES 20000
#define NUMBER 50

static int ours;
static volatile int ended;

static void *change(void *unused)
{
    while (!ended) {
        dup2(ours, NUMBER);
        dup2(0, NUMBER);
    }
    return unused;
}

int main(void)
{
    int own = 0, refused = 0, given = 0;
    struct stat theirs, what;
    pthread_t thread;

    fstat(0, &theirs);
    ours = open("/mnt/own", O_RDWR | O_CREAT, 0644);
    dup2(ours, NUMBER);
    pthread_create(&thread, NULL, change, NULL);
    for (int i = 0; i < TRIES && !given; i++) {
        int fd = open("/proc/self/fd/50", O_WRONLY); /* NUMBER */

        if (fd < 0) {
            refused++;
            continue;
        }
        fstat(fd, &what);
        if (what.st_ino == theirs.st_ino && what.st_dev == theirs.st_dev)
            given++;
        else
            own++;
        close(fd);
    }
    ended = 1;
    pthread_join(thread, NULL);
    printf("%s %s %s\n", own ? "own" : "-", refused ? "refused" : "-", given ? "given" : "-");
    return 0;
}
