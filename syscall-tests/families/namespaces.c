/* namespaces(7): whether a program gets some of its own, and that it learns so; what it may do to those it is in */
#include "harness.h"
#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

/* A child in namespaces of its own, or EPERM. */
static void made(unsigned long flags) { long pid = SYS(clone, flags | SIGCHLD, 0, 0, 0, 0); if (pid == 0) _exit(4); if (pid > 0) EQ(4 << 8, ENDED(pid)); else EQ(-EPERM, pid); }
static void left(unsigned long flags) { CHILD(long r = SYS(unshare, flags); CHECK(r == 0 || r == -EPERM)); }
#define EACH(name, flag) \
    CASE(clone_##name) { made(flag); } \
    CASE(unshare_##name) { left(flag); } \
    CASE(name##_needs_rights) { become(USER, GROUP); FAILS(EPERM, SYS(clone, flag | SIGCHLD, 0, 0, 0, 0)); FAILS(EPERM, SYS(unshare, flag)); }
EACH(mount, CLONE_NEWNS)
EACH(uts, CLONE_NEWUTS)
EACH(ipc, CLONE_NEWIPC)
EACH(pid, CLONE_NEWPID)
EACH(net, CLONE_NEWNET)
EACH(cgroup, CLONE_NEWCGROUP)
CASE(clone_user) { made(CLONE_NEWUSER); }
CASE(unshare_user) { left(CLONE_NEWUSER); }
CASE(unshare_user_as_user) { become(USER, GROUP); left(CLONE_NEWUSER); }
CASE(unshare_time) { left(CLONE_NEWTIME); }
CASE(all_at_once) { made(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWCGROUP); }
CASE(contradictions) { EITHER(EINVAL, EPERM, SYS(clone, CLONE_NEWNS | CLONE_FS | SIGCHLD, 0, 0, 0, 0)); EITHER(EINVAL, EPERM, SYS(clone, CLONE_NEWPID | CLONE_THREAD | CLONE_SIGHAND | CLONE_VM, 0, 0, 0, 0)); EITHER(EINVAL, EPERM, SYS(clone, CLONE_NEWUSER | CLONE_FS | SIGCHLD, 0, 0, 0, 0)); }
static long enter(const char *name, int type) { char p[40]; sprintf(p, "/proc/self/ns/%s", name); long fd = SYS(open, p, O_RDONLY | O_CLOEXEC, 0); return fd < 0 ? fd : SYS(setns, fd, type); }
static void entered(const char *name, int type) { CHILD(long r = enter(name, type); CHECK(r == 0 || r == -EPERM || r == -EACCES)); }
CASE(enter_uts) { entered("uts", CLONE_NEWUTS); }
CASE(enter_ipc) { entered("ipc", 0); }
CASE(enter_net) { entered("net", CLONE_NEWNET); }
CASE(enter_own_user) { CHILD(long r = enter("user", CLONE_NEWUSER); CHECK(r == -EINVAL || r == -EPERM || r == -EACCES)); }
CASE(enter_as_user) { become(USER, GROUP); CHILD(long r = enter("uts", 0); CHECK(r == -EPERM || r == -EACCES)); }
CASE(enter_no_namespace) { file("f", ""); EITHER(EINVAL, EPERM, SYS(setns, OK(SYS(open, "f", O_RDONLY, 0)), 0)); }
CASE(links_name_them) { char t[64]; const char *names[] = {"mnt", "uts", "ipc", "pid", "net", "user", "cgroup"}; for (int k = 0; k < 7; k++) { char p[40]; sprintf(p, "/proc/self/ns/%s", names[k]); long n = OK(SYS(readlink, p, t, 63)); t[n] = 0; CHECK(strchr(t, '[')); CHECK(!strncmp(t, names[k], strlen(names[k]))); } }
CASE(same_for_all_processes) { char a[64], b[64] = ""; long n = OK(SYS(readlink, "/proc/self/ns/uts", a, 63)); a[n] = 0; int p[2]; OK(SYS(pipe, p)); CHILD(long k = OK(SYS(readlink, "/proc/self/ns/uts", b, 63)); OK(SYS(write, p[1], b, k))); EQ(n, SYS(read, p[0], b, 63)); STREQ(a, b); }
CASE(host_name_is_ones_own) { OK(SYS(sethostname, "renamed", 7)); struct { char f[6][65]; } u; OK(SYS(uname, &u)); STREQ("renamed", u.f[1]); OK(SYS(sethostname, "syscalls", 8)); FAILS(EINVAL, SYS(sethostname, "x", 65)); FAILS(EFAULT, SYS(sethostname, BAD, 3)); }
CASE(host_name_as_user) { become(USER, GROUP); FAILS(EPERM, SYS(sethostname, "x", 1)); FAILS(EPERM, SYS(setdomainname, "x", 1)); }
