/* proc(5): what programs read there, and links that are more than links */
#include "harness.h"
static char n[64], b[4096];
CASE(status) { sprintf(n, "Pid:\t%d\n", getpid()); CHECK(strstr(CONTENT("/proc/self/status"), n)); }
CASE(stat_) { EQ(getpid(), atoi(CONTENT("/proc/self/stat"))); }
CASE(cmdline) { STREQ(SELF, CONTENT("/proc/self/cmdline")); }
CASE(maps) { CHECK(strstr(CONTENT("/proc/self/maps"), SELF)); }
CASE(environ_is_private) { pid_t p = SPAWN(pause()); sprintf(n, "/proc/%d/environ", p); OK(SYS(open, n, O_RDONLY, 0)); CHILD(become(USER, GROUP); FAILS(EACCES, SYS(open, n, O_RDONLY, 0))); kill(p, SIGKILL); }
CASE(reads_are_fresh) { int fd = OK(SYS(open, "/proc/self/status", O_RDONLY, 0)); OK(SYS(read, fd, b, 4096)); OK(SYS(prctl, PR_SET_NAME, "renamed", 0, 0, 0)); OK(SYS(lseek, fd, 0, SEEK_SET)); OK(SYS(read, fd, b, 4096)); CHECK(!strncmp(b, "Name:\trenamed\n", 14)); }
CASE(comm_is_written) { int fd = OK(SYS(open, "/proc/self/comm", O_WRONLY, 0)); EQ(3, SYS(write, fd, "new", 3)); STREQ("new\n", CONTENT("/proc/self/comm")); }
CASE(oom_score_adj) { file("/proc/self/oom_score_adj", "500"); STREQ("500\n", CONTENT("/proc/self/oom_score_adj")); int fd = OK(SYS(open, "/proc/self/oom_score_adj", O_WRONLY, 0)); FAILS(EINVAL, SYS(write, fd, "5000", 4)); }
CASE(uptime) { double up = atof(CONTENT("/proc/uptime")); CHECK(up >= 0); }
CASE(cpuinfo_and_stat) { CHECK(strstr(CONTENT("/proc/cpuinfo"), "processor")); CHECK(!strncmp(CONTENT("/proc/stat"), "cpu ", 4)); }
CASE(filesystems) { CHECK(strstr(CONTENT("/proc/filesystems"), "\ttmpfs\n")); }
CASE(mounts) { CHECK(strstr(CONTENT("/proc/mounts"), " /proc proc ")); CHECK(strstr(CONTENT("/proc/self/mountinfo"), " /tmp ")); }
CASE(sysctl_) { OK(atol(CONTENT("/proc/sys/kernel/pid_max"))); OK(atol(CONTENT("/proc/sys/fs/file-max"))); STREQ("syscalls\n", CONTENT("/proc/sys/kernel/hostname")); STREQ("Linux\n", CONTENT("/proc/sys/kernel/ostype")); CHECK(strlen(CONTENT("/proc/sys/kernel/random/uuid")) == 37); }
CASE(missing) { FAILS(ENOENT, SYS(open, "/proc/none", O_RDONLY, 0)); FAILS(ENOENT, SYS(open, "/proc/self/none", O_RDONLY, 0)); FAILS(ENOENT, SYS(open, "/proc/4000000", O_RDONLY, 0)); }
CASE(nothing_is_created) { CHECK(SYS(open, "/proc/new", O_WRONLY | O_CREAT, 0644) < 0); CHECK(SYS(mkdir, "/proc/self/new", 0755) < 0); }
CASE(fd_reopened_has_its_own_offset) { file("f", "abc"); int fd = OK(SYS(open, "f", O_RDONLY, 0)); OK(SYS(lseek, fd, 2, SEEK_SET)); sprintf(n, "/proc/self/fd/%d", fd); int g = OK(SYS(open, n, O_RDONLY, 0)); EQ(0, SYS(lseek, g, 0, SEEK_CUR)); }
CASE(fd_of_a_deleted_file) { file("f", "abc"); int fd = OK(SYS(open, "f", O_RDONLY, 0)); OK(SYS(unlink, "f")); sprintf(n, "/proc/self/fd/%d", fd); STREQ("abc", CONTENT(n)); }
CASE(fd_of_a_pipe) { int p[2]; OK(SYS(pipe, p)); sprintf(n, "/proc/self/fd/%d", p[1]); int w = OK(SYS(open, n, O_WRONLY, 0)); OK(SYS(write, w, "x", 1)); EQ(1, SYS(read, p[0], b, 1)); }
CASE(fd_of_a_socket) { sprintf(n, "/proc/self/fd/%ld", OK(SYS(socket, AF_UNIX, SOCK_STREAM, 0))); FAILS(ENXIO, SYS(open, n, O_RDWR, 0)); }
CASE(fd_nofollow) { sprintf(n, "/proc/self/fd/%ld", OK(SYS(open, ".", O_RDONLY, 0))); FAILS(ELOOP, SYS(open, n, O_RDONLY | O_NOFOLLOW, 0)); }
CASE(fd_of_a_directory_as_path) { dir("d"); file("d/f", "abc"); sprintf(n, "/proc/self/fd/%ld/f", OK(SYS(open, "d", O_RDONLY, 0))); STREQ("abc", CONTENT(n)); }
CASE(cwd_as_path) { file("f", "abc"); STREQ("abc", CONTENT("/proc/self/cwd/f")); STREQ("abc", CONTENT("/proc/thread-self/cwd/f")); }
CASE(cwd_of_another) { file("f", "abc"); pid_t p = SPAWN(pause()); sprintf(n, "/proc/%d/cwd/f", p); STREQ("abc", CONTENT(n)); kill(p, SIGKILL); }
CASE(root_as_path) { CHECK(exists("/proc/self/root/scratch")); EQ(STAT("/").st_ino, STAT("/proc/self/root/..").st_ino); }
CASE(root_of_a_chrooted_one) { dir("d"); file("d/f", "abc"); int q[2]; OK(SYS(pipe, q)); pid_t p = SPAWN(OK(SYS(chroot, "d")); OK(SYS(write, q[1], "x", 1)); pause()); OK(SYS(read, q[0], b, 1)); sprintf(n, "/proc/%d/root/f", p); STREQ("abc", CONTENT(n)); kill(p, SIGKILL); }
CASE(fdinfo) { file("f", "abc"); int fd = OK(SYS(open, "f", O_RDONLY, 0)); OK(SYS(lseek, fd, 2, SEEK_SET)); sprintf(n, "/proc/self/fdinfo/%d", fd); CHECK(!strncmp(CONTENT(n), "pos:\t2\n", 7)); }
CASE(dev_fd) { file("f", "abc"); sprintf(n, "/dev/fd/%ld", OK(SYS(open, "f", O_RDONLY, 0))); STREQ("abc", CONTENT(n)); }
CASE(self_of_each_process) { CHILD(char t[32]; sprintf(t, "Pid:\t%d\n", getpid()); CHECK(strstr(CONTENT("/proc/self/status"), t))); }
CASE(children) { pid_t p = SPAWN(pause()); sprintf(n, "/proc/self/task/%d/children", getpid()); EQ(p, atoi(CONTENT(n))); kill(p, SIGKILL); }
CASE(ended_process) { pid_t p = SPAWN(pause()); sprintf(n, "/proc/%d/stat", p); int fd = OK(SYS(open, n, O_RDONLY, 0)); kill(p, SIGKILL); ENDED(p); FAILS(ESRCH, SYS(read, fd, b, 99)); FAILS(ENOENT, SYS(open, n, O_RDONLY, 0)); }
