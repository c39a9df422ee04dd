/* readlink(2), readlinkat(2), symlink(7), the links of proc(5) */
#include "harness.h"

static char b[PATH_MAX + 1];
#define LINK(path) SYS(readlink, path, b, sizeof b)

CASE(reads) { slink("target", "l"); EQ(6, LINK("l")); STREQ("target", b); }
CASE(no_nul_is_written) { slink("target", "l"); memset(b, 'x', sizeof b); EQ(6, LINK("l")); EQ('x', b[6]); }
CASE(truncated) { slink("target", "l"); EQ(3, SYS(readlink, "l", b, 3)); STREQ("tar", b); }
CASE(size_zero) { slink("t", "l"); FAILS(EINVAL, SYS(readlink, "l", b, 0)); FAILS(EINVAL, SYS(readlink, "l", b, -1)); }
CASE(file_) { file("f", ""); FAILS(EINVAL, LINK("f")); }
CASE(directory) { dir("d"); FAILS(EINVAL, LINK("d")); FAILS(EINVAL, LINK(".")); }
ERR(missing, ENOENT, LINK("none"))
ERR(empty_path, ENOENT, LINK(""))
ERR(bad_path, EFAULT, LINK(BAD))
CASE(bad_buffer) { slink("t", "l"); FAILS(EFAULT, SYS(readlink, "l", BAD, 10)); }
ERR(name_too_long, ENAMETOOLONG, LINK(letters(256)))
CASE(not_a_directory) { file("f", ""); FAILS(ENOTDIR, LINK("f/x")); }
CASE(loop_in_parent) { slink("l", "l"); FAILS(ELOOP, LINK("l/x")); EQ(1, LINK("l")); }
CASE(trailing_slash_follows) { dir("d"); slink("d", "l"); FAILS(EINVAL, LINK("l/")); }
CASE(follows_parents) { dir("d"); slink("t", "d/l"); slink("d", "p"); EQ(1, LINK("p/l")); }
CASE(long_target) { slink(letters(4095), "l"); EQ(4095, LINK("l")); }
CASE(no_search_permission) { dir_mode("d", 0666); slink("t", "d/l"); become(USER, GROUP); FAILS(EACCES, LINK("d/l")); }
CASE(needs_no_permission_on_link) { slink("t", "l"); become(USER, GROUP); EQ(1, LINK("l")); }
CASE(at_directory) { dir("d"); slink("t", "d/l"); EQ(1, SYS(readlinkat, OK(SYS(open, "d", O_RDONLY, 0)), "l", b, 9)); }
CASE(at_empty_path_of_link) { slink("t", "l"); EQ(1, SYS(readlinkat, OK(SYS(open, "l", O_PATH | O_NOFOLLOW, 0)), "", b, 9)); }
CASE(at_empty_path_of_file) { file("f", ""); FAILS(ENOENT, SYS(readlinkat, OK(SYS(open, "f", O_PATH, 0)), "", b, 9)); }
ERR(at_empty_path_of_cwd, ENOENT, SYS(readlinkat, AT_FDCWD, "", b, 9))
ERR(at_closed, EBADF, SYS(readlinkat, 99, "l", b, 9))
CASE(at_file) { file("f", ""); FAILS(ENOTDIR, SYS(readlinkat, OK(SYS(open, "f", O_RDONLY, 0)), "x", b, 9)); }
CASE(proc_self) { char pid[16]; sprintf(pid, "%ld", SYS(getpid)); b[LINK("/proc/self")] = 0; STREQ(pid, b); }
CASE(proc_thread_self) { char want[32]; sprintf(want, "%ld/task/%ld", SYS(getpid), SYS(gettid)); b[OK(LINK("/proc/thread-self"))] = 0; STREQ(want, b); }
CASE(proc_cwd) { char here[PATH_MAX]; getcwd(here, sizeof here); b[OK(LINK("/proc/self/cwd"))] = 0; STREQ(here, b); }
CASE(proc_cwd_removed) { dir("d"); OK(SYS(chdir, "d")); OK(SYS(rmdir, "../d")); b[OK(LINK("/proc/self/cwd"))] = 0; STREQ("/d (deleted)", strrchr(b, '/')); }
CASE(proc_root) { EQ(1, LINK("/proc/self/root")); EQ('/', b[0]); }
CASE(proc_exe) { b[OK(LINK("/proc/self/exe"))] = 0; STREQ(SELF, b); }
CASE(proc_fd_of_file) { char p[40], here[PATH_MAX]; file("f", ""); sprintf(p, "/proc/self/fd/%ld", OK(SYS(open, "f", O_RDONLY, 0))); getcwd(here, sizeof here); strcat(here, "/f"); b[OK(LINK(p))] = 0; STREQ(here, b); }
CASE(proc_fd_of_deleted) { char p[40]; file("f", ""); sprintf(p, "/proc/self/fd/%ld", OK(SYS(open, "f", O_RDONLY, 0))); OK(SYS(unlink, "f")); b[OK(LINK(p))] = 0; STREQ("/f (deleted)", strrchr(b, '/')); }
CASE(proc_fd_of_pipe) { char p[40], want[40]; int fds[2]; OK(SYS(pipe, fds)); struct stat st; OK(SYS(fstat, fds[0], &st)); sprintf(want, "pipe:[%lu]", (long)st.st_ino); sprintf(p, "/proc/self/fd/%d", fds[0]); b[OK(LINK(p))] = 0; STREQ(want, b); }
CASE(proc_fd_of_socket) { char p[40]; sprintf(p, "/proc/self/fd/%ld", OK(SYS(socket, AF_UNIX, SOCK_STREAM, 0))); OK(LINK(p)); CHECK(strncmp(b, "socket:[", 8) == 0); }
CASE(proc_fd_of_eventfd) { char p[40]; sprintf(p, "/proc/self/fd/%ld", OK(SYS(eventfd2, 0, 0))); b[OK(LINK(p))] = 0; STREQ("anon_inode:[eventfd]", b); }
CASE(proc_fd_of_memfd) { char p[40]; sprintf(p, "/proc/self/fd/%ld", OK(SYS(memfd_create, "name", 0))); b[OK(LINK(p))] = 0; STREQ("/memfd:name (deleted)", b); }
CASE(proc_fd_closed) { FAILS(ENOENT, LINK("/proc/self/fd/99")); }
CASE(proc_of_child) { pid_t p = SPAWN(pause()); char path[40], here[PATH_MAX]; sprintf(path, "/proc/%d/cwd", p); getcwd(here, sizeof here); b[OK(LINK(path))] = 0; STREQ(here, b); kill(p, SIGKILL); }
CASE(proc_of_nobody) { FAILS(ENOENT, LINK("/proc/4194304/exe")); }
CASE(proc_fd_of_a_stranger) { pid_t p = SPAWN(pause()); char path[40]; sprintf(path, "/proc/%d/fd/0", p); become(USER, GROUP); FAILS(EACCES, LINK(path)); }
