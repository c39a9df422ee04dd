"""Workload: a program that confines itself, by seccomp filters of its own in all their actions and by Landlock, where that is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from containers import requires
from workloads import Workload

if TYPE_CHECKING:
    from pathlib import Path

    from workloads import NativeRuns, Sandbox

pytestmark = [pytest.mark.integration, requires("gcc")]

PROGRAM = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define ANSWER(action) BPF_STMT(BPF_RET | BPF_K, action)
#define ON(number, action) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), ANSWER(action)
#define SAY(what, call) do { errno = 0; long r = (call); printf("%s: %s\n", what, r >= 0 ? "ok" : strerrorname_np(errno)); } while (0)
#define IN_A_CHILD(what, call) do { pid_t p = fork(); if (!p) { call; _exit(7); } int s; waitpid(p, &s, 0); \
    printf("%s: %s %d\n", what, WIFSIGNALED(s) ? "signal" : "exit", WIFSIGNALED(s) ? WTERMSIG(s) : WEXITSTATUS(s)); } while (0)

static int pipes[2][2];

static void trapped(int sig, siginfo_t *info, void *context)
{
    (void)sig; (void)context;
    int made = info->si_syscall == SYS_mkdirat || info->si_syscall == SYS_mkdir;
    printf("SIGSYS: %s, errno %d\n", made ? "mkdir" : "another call", info->si_errno);
}

static void *other(void *unused)
{
    char c;
    (void)unused;
    if (read(pipes[0][0], &c, 1) != 1) abort();
    SAY("another thread, writing", open("new", O_WRONLY | O_CREAT, 0600));
    return NULL;
}

static int landlock(void)
{
    struct landlock_ruleset_attr attr = {.handled_access_fs = LANDLOCK_ACCESS_FS_READ_FILE};
    int rules = syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
    if (rules < 0) {
        printf("Landlock: %s", strerrorname_np(errno));
        struct landlock_path_beneath_attr below = {.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE, .parent_fd = 0};
        syscall(SYS_landlock_add_rule, 0, LANDLOCK_RULE_PATH_BENEATH, &below, 0);
        printf(" %s", strerrorname_np(errno));
        syscall(SYS_landlock_restrict_self, 0, 0);
        printf(" %s\n", strerrorname_np(errno));
        return 0;
    }
    const char *allowed[] = {"/usr", "/etc", "/proc", "mine", "program"};
    for (unsigned i = 0; i < sizeof allowed / sizeof *allowed; i++) {
        int fd = open(allowed[i], O_PATH | O_CLOEXEC);
        struct landlock_path_beneath_attr below = {.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE, .parent_fd = fd};
        if (fd >= 0 && syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &below, 0)) perror("add_rule");
        close(fd);
    }
    if (syscall(SYS_landlock_restrict_self, rules, 0)) perror("restrict_self");
    printf("Landlock: on\n");
    return 1;
}

int main(int argc, char **argv)
{
    if (argc > 1) { // what has been executed by the confined
        SAY("after exec, writing", open("new", O_WRONLY | O_CREAT, 0600));
        SAY("after exec, reading", open("mine/file", O_RDONLY));
        return 0;
    }
    struct sock_filter first[] = {
        LOAD(arch), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0), ANSWER(SECCOMP_RET_KILL_PROCESS), LOAD(nr),
        ON(SYS_mkdirat, SECCOMP_RET_TRAP | 77), ON(SYS_mkdir, SECCOMP_RET_TRAP | 77), ON(SYS_unlinkat, SECCOMP_RET_KILL_PROCESS),
        ON(SYS_unlink, SECCOMP_RET_KILL_PROCESS), ON(SYS_getppid, SECCOMP_RET_TRACE),
        ON(SYS_truncate, SECCOMP_RET_ERRNO | EDOM), ON(SYS_chmod, SECCOMP_RET_ERRNO | 0), ON(SYS_uname, SECCOMP_RET_LOG),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 3), LOAD(args[2]),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_WRONLY | O_RDWR | O_CREAT, 0, 1),
        ANSWER(SECCOMP_RET_ERRNO | EXDEV), ANSWER(SECCOMP_RET_ALLOW),
    };
    struct sock_filter second[] = {
        LOAD(nr), ON(SYS_rename, SECCOMP_RET_ERRNO | ERANGE), ON(SYS_rmdir, SECCOMP_RET_KILL_THREAD), ANSWER(SECCOMP_RET_ALLOW),
    };
    struct sock_filter wrong[] = {LOAD(nr), BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 4000), ANSWER(SECCOMP_RET_ALLOW)};
    struct sock_fprog programs[] = {{sizeof first / sizeof *first, first}, {sizeof second / sizeof *second, second}, {3, wrong}};
    struct sigaction action = {.sa_sigaction = trapped, .sa_flags = SA_SIGINFO};
    pthread_t thread;
    unsigned int actions[] = {SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_TRAP, SECCOMP_RET_ERRNO, SECCOMP_RET_USER_NOTIF, 0x12340000};

    setvbuf(stdout, NULL, _IOLBF, 0);
    sigaction(SIGSYS, &action, NULL);
    if (pipe(pipes[0])) abort();
    pthread_create(&thread, NULL, other, NULL);
    for (unsigned i = 0; i < 5; i++)
        SAY("action there", syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &actions[i]));
    SAY("no new privileges", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    int confined = landlock();
    SAY("a wrong filter", syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &programs[2]));
    SAY("the first, for all threads", syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &programs[0]));
    SAY("the second", prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &programs[1]));
    printf("mode %d\n", prctl(PR_GET_SECCOMP, 0, 0, 0, 0));

    SAY("reading", open("mine/file", O_RDONLY));
    SAY("reading another's", open("others/file", O_RDONLY));
    SAY("writing", open("new", O_WRONLY | O_CREAT, 0600));
    if (write(pipes[0][1], "x", 1) != 1) abort();
    pthread_join(thread, NULL);
    mkdir("directory", 0700);
    SAY("is it there", access("directory", F_OK));
    SAY("truncate", truncate("mine/file", 0));
    SAY("chmod, said to have happened", chmod("mine/file", 0));
    struct stat facts;
    SAY("stat", stat("mine/file", &facts));
    printf("mode %o, %ld bytes\n", facts.st_mode & 07777, (long)facts.st_size);
    SAY("getppid, which nobody traces", syscall(SYS_getppid));
    SAY("rename", rename("mine/file", "mine/other"));
    IN_A_CHILD("unlink", unlink("mine/file"));
    IN_A_CHILD("rmdir", rmdir("directory"));
    IN_A_CHILD("exec", execl(argv[0], argv[0], "again", NULL));
    SAY("still there", access("mine/file", F_OK));
    return confined == -1;
}
"""

SCRIPT = r"""
set -eu
gcc -O1 -o program program.c -pthread
mkdir mine others
echo text | tee mine/file > others/file
./program
ls
"""


def test_filters_of_its_own_and_landlock(sandbox: Sandbox, native_runs: NativeRuns, tmp_path: Path) -> None:
    workload = Workload("own walls", ["sh", "-c", SCRIPT], {"program.c": PROGRAM})
    expected, _ = native_runs(workload)
    assert expected.code == 0, expected
    done = sandbox.run(workload.prepare(tmp_path / "work"), workload.argv)
    lines = expected.out.splitlines()
    if "Landlock: on" in lines:  # it is said not to be there, and all else is as it is without
        assert "reading another's: EACCES" in lines, expected
        lines[lines.index("Landlock: on")] = "Landlock: ENOSYS ENOSYS ENOSYS"
        lines[lines.index("reading another's: EACCES")] = "reading another's: ok"
    assert (done.out.splitlines(), done.code) == (lines, 0), done
