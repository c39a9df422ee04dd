/*
 * Runs a program of the suite on the kernel itself: no filter, no user namespace, all of root's rights. It gets the root directory that
 * containers get, in namespaces that end with it, so that what cases mount, name or leave behind is nobody else's.
 *
 *     native ROOT TESTS PROGRAM [ARGUMENT...]      TESTS is shown as /tests
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void must(long result, const char *what) {
    if (result < 0) {
        perror(what);
        exit(125);
    }
}

static void put(const char *source, const char *target, const char *type, unsigned long flags, const char *data) {
    must(mount(source, target, type, flags, data), target);
}

static void loopback_up(void) {
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    must(fd, "socket");
    must(ioctl(fd, SIOCSIFFLAGS, &request), "lo");
    close(fd);
}

static void devices(void) {
    static const char *const names[] = {"null", "zero", "full", "random", "urandom", "tty"};
    put("tmpfs", "dev", "tmpfs", MS_NOSUID, "mode=755");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char target[32], source[32];
        snprintf(target, sizeof target, "dev/%s", names[i]);
        snprintf(source, sizeof source, "/dev/%s", names[i]);
        must(mknod(target, S_IFREG | 0644, 0), target);
        put(source, target, NULL, MS_BIND, NULL);
    }
    must(mkdir("dev/pts", 0755), "dev/pts");
    put("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5");
    must(mkdir("dev/shm", 0755), "dev/shm");
    put("shm", "dev/shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777");
    must(symlink("pts/ptmx", "dev/ptmx"), "dev/ptmx");
    must(symlink("/proc/self/fd", "dev/fd"), "dev/fd");
    must(symlink("/proc/self/fd/0", "dev/stdin"), "dev/stdin");
    must(symlink("/proc/self/fd/1", "dev/stdout"), "dev/stdout");
    must(symlink("/proc/self/fd/2", "dev/stderr"), "dev/stderr");
}

static void enter(const char *root, const char *tests) {
    put(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    put(root, root, NULL, MS_BIND | MS_REC, NULL);
    must(chdir(root), root);
    put("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    put("sysfs", "sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, NULL);
    devices();
    put("tmpfs", "tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777");
    put(tests, "tests", NULL, MS_BIND, NULL);
    put(NULL, "tests", NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL);
    must(syscall(SYS_pivot_root, ".", "."), "pivot_root");
    must(umount2(".", MNT_DETACH), "umount");
    must(chdir("/"), "/");
}

int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "usage: %s ROOT TESTS PROGRAM [ARGUMENT...]\n", argv[0]);
        return 125;
    }
    must(unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWPID), "unshare");
    pid_t pid = fork();
    must(pid, "fork");
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        struct rlimit files = {1024, 1024};
        setrlimit(RLIMIT_NOFILE, &files);
        setsid();
        loopback_up();
        must(sethostname("syscalls", 8), "sethostname");
        enter(argv[1], argv[2]);
        execv(argv[3], argv + 3);
        must(-1, argv[3]);
    }
    int status;
    must(waitpid(pid, &status, 0), "wait");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
