/* stat(2), lstat(2), fstat(2), newfstatat */
#include "harness.h"

static struct stat st;

CASE(regular_file) { file("f", "abc"); OK(SYS(stat, "f", &st)); CHECK(S_ISREG(st.st_mode)); EQ(3, st.st_size); EQ(1, st.st_nlink); EQ(0644, st.st_mode & 07777); EQ(0, st.st_uid); EQ(0, st.st_gid); }
CASE(directory) { dir("d"); OK(SYS(stat, "d", &st)); CHECK(S_ISDIR(st.st_mode)); CHECK(st.st_nlink >= 1); }
CASE(fifo_) { fifo("p"); OK(SYS(stat, "p", &st)); CHECK(S_ISFIFO(st.st_mode)); }
CASE(socket_) { OK(SYS(mknod, "s", S_IFSOCK | 0600, 0)); OK(SYS(stat, "s", &st)); CHECK(S_ISSOCK(st.st_mode)); }
CASE(device) { OK(SYS(stat, "/dev/null", &st)); CHECK(S_ISCHR(st.st_mode)); EQ(0x103, st.st_rdev); }
CASE(blocks) { file("f", letters(10000)); OK(SYS(stat, "f", &st)); CHECK(st.st_blocks >= 10000 / 512); CHECK(st.st_blksize >= 512); }
CASE(hole_has_no_blocks) { file("f", ""); OK(SYS(truncate, "f", 1 << 20)); OK(SYS(stat, "f", &st)); EQ(1 << 20, st.st_size); EQ(0, st.st_blocks); }
CASE(same_inode_for_links) { file("f", ""); OK(SYS(link, "f", "g")); EQ(STAT("f").st_ino, STAT("g").st_ino); EQ(STAT("f").st_dev, STAT("g").st_dev); EQ(2, STAT("f").st_nlink); }
CASE(follows_link) { file("f", "abc"); slink("f", "l"); OK(SYS(stat, "l", &st)); EQ(3, st.st_size); CHECK(S_ISREG(st.st_mode)); }
CASE(lstat_does_not_follow) { slink("target", "l"); OK(SYS(lstat, "l", &st)); CHECK(S_ISLNK(st.st_mode)); EQ(6, st.st_size); EQ(0777, st.st_mode & 0777); }
CASE(lstat_with_slash_follows) { dir("d"); slink("d", "l"); OK(SYS(lstat, "l/", &st)); CHECK(S_ISDIR(st.st_mode)); }
CASE(lstat_follows_parents) { dir("d"); file("d/f", ""); slink("d", "l"); OK(SYS(lstat, "l/f", &st)); CHECK(S_ISREG(st.st_mode)); }
CASE(dangling_link) { slink("none", "l"); FAILS(ENOENT, SYS(stat, "l", &st)); OK(SYS(lstat, "l", &st)); }
CASE(loop) { slink("l", "l"); FAILS(ELOOP, SYS(stat, "l", &st)); OK(SYS(lstat, "l", &st)); }
ERR(missing, ENOENT, SYS(stat, "none", &st))
ERR(empty_path, ENOENT, SYS(stat, "", &st))
ERR(lstat_empty_path, ENOENT, SYS(lstat, "", &st))
CASE(file_as_directory) { file("f", ""); FAILS(ENOTDIR, SYS(stat, "f/x", &st)); FAILS(ENOTDIR, SYS(stat, "f/", &st)); FAILS(ENOTDIR, SYS(lstat, "f/", &st)); FAILS(ENOTDIR, SYS(stat, "f/.", &st)); }
ERR(bad_path, EFAULT, SYS(stat, BAD, &st))
ERR(bad_buffer, EFAULT, SYS(stat, ".", BAD))
ERR(missing_beats_bad_buffer, ENOENT, SYS(stat, "none", BAD))
ERR(name_too_long, ENAMETOOLONG, SYS(stat, letters(256), &st))
ERR(path_too_long, ENAMETOOLONG, SYS(stat, dots(4096, "."), &st))
CASE(longest_path) { OK(SYS(stat, dots(4095, "."), &st)); }
CASE(no_search_permission) { dir_mode("d", 0666); file("d/f", ""); become(USER, GROUP); FAILS(EACCES, SYS(stat, "d/f", &st)); FAILS(EACCES, SYS(lstat, "d/none", &st)); }
CASE(needs_no_permission_on_the_file) { file("f", ""); OK(SYS(chmod, "f", 0)); become(USER, GROUP); OK(SYS(stat, "f", &st)); }
CASE(root_directory) { OK(SYS(stat, "/", &st)); long ino = st.st_ino; OK(SYS(stat, "/..", &st)); EQ(ino, st.st_ino); }
CASE(fstat_file) { file("f", "abc"); int fd = OK(SYS(open, "f", O_RDONLY, 0)); OK(SYS(fstat, fd, &st)); EQ(3, st.st_size); EQ(STAT("f").st_ino, st.st_ino); }
CASE(fstat_deleted) { file("f", "abc"); int fd = OK(SYS(open, "f", O_RDONLY, 0)); OK(SYS(unlink, "f")); OK(SYS(fstat, fd, &st)); EQ(0, st.st_nlink); }
CASE(fstat_pipe) { int p[2]; OK(SYS(pipe, p)); OK(SYS(fstat, p[0], &st)); CHECK(S_ISFIFO(st.st_mode)); }
CASE(fstat_socket) { OK(SYS(fstat, OK(SYS(socket, AF_UNIX, SOCK_STREAM, 0)), &st)); CHECK(S_ISSOCK(st.st_mode)); }
ERR(fstat_closed, EBADF, SYS(fstat, 99, &st))
CASE(fstat_bad_buffer) { FAILS(EFAULT, SYS(fstat, OK(SYS(open, ".", O_RDONLY, 0)), BAD)); }
CASE(times_of_a_new_file) { long before = time(NULL) - 1; file("f", ""); OK(SYS(stat, "f", &st)); CHECK(st.st_atime >= before && st.st_mtime >= before && st.st_ctime >= before && st.st_mtime <= time(NULL) + 1); }
CASE(chmod_changes_ctime) { file("f", ""); struct timespec t[2] = {{1, 0}, {1, 0}}; OK(SYS(utimensat, AT_FDCWD, "f", t, 0)); OK(SYS(chmod, "f", 0600)); OK(SYS(stat, "f", &st)); EQ(1, st.st_mtime); CHECK(st.st_ctime > 1); }
CASE(write_changes_mtime) { file("f", ""); struct timespec t[2] = {{1, 0}, {1, 0}}; OK(SYS(utimensat, AT_FDCWD, "f", t, 0)); file("f", "x"); CHECK(STAT("f").st_mtime > 1); EQ(1, STAT("f").st_atime); }
CASE(new_entry_changes_directory) { dir("d"); struct timespec t[2] = {{1, 0}, {1, 0}}; OK(SYS(utimensat, AT_FDCWD, "d", t, 0)); file("d/f", ""); CHECK(STAT("d").st_mtime > 1); }
CASE(at_directory) { dir("d"); file("d/f", "abc"); int fd = OK(SYS(open, "d", O_RDONLY, 0)); OK(SYS(newfstatat, fd, "f", &st, 0)); EQ(3, st.st_size); }
CASE(at_path_descriptor) { dir("d"); file("d/f", "abc"); int fd = OK(SYS(open, "d", O_PATH, 0)); OK(SYS(newfstatat, fd, "f", &st, 0)); EQ(3, st.st_size); }
CASE(at_nofollow) { slink("none", "l"); OK(SYS(newfstatat, AT_FDCWD, "l", &st, AT_SYMLINK_NOFOLLOW)); CHECK(S_ISLNK(st.st_mode)); }
CASE(at_empty_path) { file("f", "abc"); int fd = OK(SYS(open, "f", O_RDONLY, 0)); OK(SYS(newfstatat, fd, "", &st, AT_EMPTY_PATH)); EQ(3, st.st_size); }
CASE(at_empty_path_of_cwd) { OK(SYS(newfstatat, AT_FDCWD, "", &st, AT_EMPTY_PATH)); CHECK(S_ISDIR(st.st_mode)); EQ(STAT(".").st_ino, st.st_ino); }
CASE(at_empty_path_of_link_descriptor) { slink("none", "l"); int fd = OK(SYS(open, "l", O_PATH | O_NOFOLLOW, 0)); OK(SYS(newfstatat, fd, "", &st, AT_EMPTY_PATH)); CHECK(S_ISLNK(st.st_mode)); }
CASE(at_empty_path_of_pipe) { int p[2]; OK(SYS(pipe, p)); OK(SYS(newfstatat, p[0], "", &st, AT_EMPTY_PATH)); CHECK(S_ISFIFO(st.st_mode)); }
CASE(at_empty_path_closed) { FAILS(EBADF, SYS(newfstatat, 99, "", &st, AT_EMPTY_PATH)); }
CASE(at_empty_path_with_name) { file("f", "abc"); OK(SYS(newfstatat, AT_FDCWD, "f", &st, AT_EMPTY_PATH)); EQ(3, st.st_size); }
ERR(at_empty_path_without_flag, ENOENT, SYS(newfstatat, AT_FDCWD, "", &st, 0))
ERR(at_unknown_flag, EINVAL, SYS(newfstatat, AT_FDCWD, ".", &st, 0x40000))
ERR(at_closed, EBADF, SYS(newfstatat, 99, "f", &st, 0))
CASE(at_file) { file("f", ""); int fd = OK(SYS(open, "f", O_RDONLY, 0)); FAILS(ENOTDIR, SYS(newfstatat, fd, "x", &st, 0)); }
CASE(at_no_automount) { OK(SYS(newfstatat, AT_FDCWD, ".", &st, AT_NO_AUTOMOUNT)); }
CASE(proc_self) { OK(SYS(lstat, "/proc/self", &st)); CHECK(S_ISLNK(st.st_mode)); OK(SYS(stat, "/proc/self", &st)); CHECK(S_ISDIR(st.st_mode)); }
CASE(proc_descriptor_link) { char p[40]; file("f", "abc"); sprintf(p, "/proc/self/fd/%ld", OK(SYS(open, "f", O_RDONLY, 0))); OK(SYS(stat, p, &st)); EQ(3, st.st_size); OK(SYS(lstat, p, &st)); CHECK(S_ISLNK(st.st_mode)); }
CASE(proc_descriptor_link_of_pipe) { char p[40]; int fds[2]; OK(SYS(pipe, fds)); sprintf(p, "/proc/self/fd/%d", fds[0]); OK(SYS(stat, p, &st)); CHECK(S_ISFIFO(st.st_mode)); }
CASE(other_device_for_proc) { CHECK(STAT("/proc").st_dev != STAT(".").st_dev); }

/* ---- lstat(2) ---- */

static struct stat ls;
PATH_ERRORS(lstat, SYS(lstat, path, &ls))
CASE(lstat_bad_buffer) { slink("none", "l"); FAILS(EFAULT, SYS(lstat, "l", BAD)); }
