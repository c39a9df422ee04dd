/*
 * An open waits for a lease, fcntl(2), while a thread puts one directory or another under the descriptor that the name is below: one
 * where a file has the lease, or /proc. Says what the opens gave: a file of the kernel's procfs must not be among it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRIES 10000
#define DIRECTORY 50
#define NAME "uptime"

static int ours, proc;
static volatile int ended;

static void *change(void *unused)
{
    while (!ended) {
        dup2(proc, DIRECTORY);
        dup2(ours, DIRECTORY);
    }
    return unused;
}

static void lease(void)
{
    int fd = open("/mnt/d/" NAME, O_RDWR | O_CREAT, 0644);

    signal(SIGIO, SIG_IGN);
    for (;;) {
        if (fcntl(fd, F_SETLEASE, F_WRLCK) < 0)
            continue; /* somebody has it open */
        while (fcntl(fd, F_GETLEASE) == F_WRLCK)
            usleep(100);
        usleep(1000); /* the open is to find it so for a while */
        fcntl(fd, F_SETLEASE, F_UNLCK);
    }
}

int main(void)
{
    int own = 0, generated = 0, kernels = 0;
    pthread_t thread;
    pid_t holder;

    mkdir("/mnt/d", 0755);
    close(open("/mnt/d/" NAME, O_RDWR | O_CREAT, 0644));
    ours = open("/mnt/d", O_RDONLY | O_DIRECTORY);
    proc = open("/proc", O_RDONLY | O_DIRECTORY);
    dup2(ours, DIRECTORY);
    holder = fork();
    if (!holder)
        lease();
    pthread_create(&thread, NULL, change, NULL);
    for (int i = 0; i < TRIES && !kernels; i++) {
        int fd = openat(DIRECTORY, NAME, O_RDONLY);
        struct statfs what;

        if (fd < 0) {
            if (errno != EAGAIN)
                perror(NAME);
            continue;
        }
        fstatfs(fd, &what);
        if (what.f_type == 0x9fa0)
            kernels++;
        else if (what.f_type == 0x01021994)
            own++;
        else
            generated++;
        close(fd);
    }
    ended = 1;
    pthread_join(thread, NULL);
    kill(holder, SIGKILL);
    waitpid(holder, NULL, 0);
    printf("%s %s %s\n", own ? "own" : "-", generated ? "generated" : "-", kernels ? "kernel's" : "-");
    return 0;
}
