/* fork(2), vfork(2), clone(2), exit_group(2), unshare(2), setns(2) */
#include "harness.h"
#include <pthread.h>

CASE(fork_) { pid_t me = SYS(getpid); CHILD(EQ(me, SYS(getppid)); CHECK(SYS(getpid) != me)); }
CASE(memory_is_copied) { volatile int x = 1; CHILD(x = 2); EQ(1, x); }
CASE(vfork_shares_memory) { volatile int x = 1; pid_t p = vfork(); if (!p) { x = 2; _exit(0); } EQ(2, x); ENDED(p); }
CASE(exit_status) { pid_t p = SPAWN(_exit(300)); EQ(300 % 256 << 8, ENDED(p)); }
CASE(orphan_goes_to_the_reaper) { OK(SYS(prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)); CHILD(if (!fork()) { while (getppid() == 1) ; sleep_ms(20); _exit(7); }); int s; OK(SYS(wait4, -1, &s, 0, NULL)); EQ(7 << 8, s); }
CASE(clone_signal) { pid_t p = SYS(clone, 0, 0, 0, 0, 0); if (!p) SYS(exit, 3); FAILS(ECHILD, SYS(wait4, p, NULL, 0, NULL)); int s; EQ(p, SYS(wait4, p, &s, 0x80000000, NULL)); EQ(3 << 8, s); }
CASE(clone_files) { pid_t p = SYS(clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0); if (!p) { SYS(open, "/dev/null", O_RDONLY, 0); SYS(dup2, 0, 77); SYS(exit, 0); } ENDED(p); OK(SYS(fcntl, 77, F_GETFD)); }
CASE(clone_fs) { dir("d"); pid_t p = SYS(clone, CLONE_FS | SIGCHLD, 0, 0, 0, 0); if (!p) { SYS(chdir, "d"); SYS(umask, 0); SYS(exit, 0); } ENDED(p); FAILS(ENOENT, SYS(chdir, "d")); OK(SYS(open, "f", O_WRONLY | O_CREAT, 0666)); EQ(0666, mode_of("f")); }
CASE(clone_parent_tid) { int t = 0; pid_t p = SYS(clone, CLONE_PARENT_SETTID | SIGCHLD, 0, &t, 0, 0); if (!p) SYS(exit, 0); EQ(p, t); ENDED(p); }
CASE(clone_pidfd) { int fd = -1; pid_t p = SYS(clone, CLONE_PIDFD | SIGCHLD, 0, &fd, 0, 0); if (!p) SYS(exit, 0); siginfo_t i; EQ(0, SYS(waitid, 3, fd, &i, WEXITED, NULL)); EQ(p, i.si_pid); }
CASE(clone_bad_flags) { FAILS(EINVAL, SYS(clone, CLONE_THREAD, 0, 0, 0, 0)); FAILS(EINVAL, SYS(clone, CLONE_SIGHAND, 0, 0, 0, 0)); EITHER(EINVAL, EPERM, SYS(clone, CLONE_FS | CLONE_NEWNS, 0, 0, 0, 0)); }
static void *leave(void *x) { _exit(6); return x; }
CASE(exit_group_ends_all_threads) { pid_t p = fork(); if (!p) { pthread_t t; pthread_create(&t, NULL, leave, NULL); pause(); } EQ(6 << 8, ENDED(p)); }
static void *tid(void *x) { *(long *)x = SYS(gettid); return NULL; }
CASE(threads_share_the_pid) { pthread_t t; long other = 0; pthread_create(&t, NULL, tid, &other); pthread_join(t, NULL); CHECK(other > 0 && other != SYS(gettid)); }
static void *cwd(void *x) { SYS(chdir, "d"); return x; }
CASE(threads_share_the_directory) { dir("d"); file("d/f", ""); pthread_t t; pthread_create(&t, NULL, cwd, NULL); pthread_join(t, NULL); CHECK(exists("f")); }
static void *own_cwd(void *x) { SYS(unshare, CLONE_FS); SYS(chdir, "d"); *(bool *)x = exists("f"); return NULL; }
CASE(unshare_fs) { dir("d"); file("d/f", ""); pthread_t t; bool found = false; pthread_create(&t, NULL, own_cwd, &found); pthread_join(t, NULL); CHECK(found); CHECK(exists("d")); }
CASE(unshare_errors) { EITHER(EINVAL, EPERM, SYS(unshare, 1)); EQ(0, SYS(unshare, 0)); }
CASE(setns_errors) { CHECK(SYS(setns, 99, 0) < 0); }
CASE(namespaces_as_user_need_rights) { become(USER, GROUP); FAILS(EPERM, SYS(unshare, CLONE_NEWUTS)); FAILS(EPERM, SYS(unshare, CLONE_NEWNS)); }
CASE(process_limit) { become(USER, GROUP); struct rlimit l = {0, 0}; OK(SYS(setrlimit, RLIMIT_NPROC, &l)); FAILS(EAGAIN, SYS(fork)); }
