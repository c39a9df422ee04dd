/* openat(2): the directory descriptor; O_PATH */
#include "harness.h"

CASE(relative_to_directory) { dir("d"); file("d/f", "abc"); int fd = OK(SYS(open, "d", O_RDONLY, 0)); char b[4] = ""; EQ(3, SYS(read, OK(SYS(openat, fd, "f", O_RDONLY, 0)), b, 3)); STREQ("abc", b); }
CASE(relative_to_path_descriptor) { dir("d"); file("d/f", ""); int fd = OK(SYS(open, "d", O_PATH | O_DIRECTORY, 0)); OK(SYS(openat, fd, "f", O_RDONLY, 0)); }
CASE(creates_in_directory) { dir("d"); int fd = OK(SYS(open, "d", O_RDONLY, 0)); OK(SYS(openat, fd, "f", O_WRONLY | O_CREAT, 0640)); EQ(0640, mode_of("d/f")); }
CASE(dot_dot_leaves_directory) { dir("d"); file("f", ""); int fd = OK(SYS(open, "d", O_RDONLY, 0)); OK(SYS(openat, fd, "../f", O_RDONLY, 0)); }
CASE(cwd) { file("f", ""); OK(SYS(openat, AT_FDCWD, "f", O_RDONLY, 0)); }
CASE(absolute_ignores_descriptor) { OK(SYS(openat, -1, "/", O_RDONLY, 0)); OK(SYS(openat, 99, "/", O_RDONLY, 0)); }
ERR(closed_descriptor, EBADF, SYS(openat, 99, "f", O_RDONLY, 0))
ERR(negative_descriptor, EBADF, SYS(openat, -1, "f", O_RDONLY, 0))
ERR(other_negative_descriptor, EBADF, SYS(openat, -99, "f", O_RDONLY, 0))
ERR(empty_path, ENOENT, SYS(openat, AT_FDCWD, "", O_RDONLY, 0))
CASE(empty_path_of_descriptor) { int fd = OK(SYS(open, ".", O_RDONLY, 0)); FAILS(ENOENT, SYS(openat, fd, "", O_RDONLY, 0)); }
CASE(file_descriptor) { file("f", ""); int fd = OK(SYS(open, "f", O_RDONLY, 0)); FAILS(ENOTDIR, SYS(openat, fd, "x", O_RDONLY, 0)); }
CASE(pipe_descriptor) { int p[2]; OK(SYS(pipe, p)); FAILS(ENOTDIR, SYS(openat, p[0], "x", O_RDONLY, 0)); }
CASE(bad_pointer_beats_bad_descriptor) { FAILS(EFAULT, SYS(openat, 99, BAD, O_RDONLY, 0)); }
CASE(upper_half_of_descriptor_is_ignored) { file("f", ""); OK(SYS(openat, 0x1234567800000000 | (unsigned)AT_FDCWD, "f", O_RDONLY, 0)); }
CASE(descriptor_follows_rename) { dir("d"); file("d/f", "abc"); int fd = OK(SYS(open, "d", O_RDONLY, 0)); OK(SYS(rename, "d", "e")); OK(SYS(openat, fd, "f", O_RDONLY, 0)); }
CASE(removed_directory) { dir("d"); int fd = OK(SYS(open, "d", O_RDONLY, 0)); OK(SYS(rmdir, "d")); FAILS(ENOENT, SYS(openat, fd, "f", O_RDONLY, 0)); FAILS(ENOENT, SYS(openat, fd, "f", O_WRONLY | O_CREAT, 0644)); OK(SYS(openat, fd, ".", O_RDONLY, 0)); }
CASE(no_search_permission) { dir_mode("d", 0744); file("d/f", ""); int fd = OK(SYS(open, "d", O_RDONLY, 0)); become(USER, GROUP); FAILS(EACCES, SYS(openat, fd, "f", O_RDONLY, 0)); }
CASE(descriptor_was_opened_with_more_rights) { dir_mode("d", 0711); file("d/f", ""); int fd = OK(SYS(open, "d", O_RDONLY, 0)); become(USER, GROUP); OK(SYS(openat, fd, "f", O_RDONLY, 0)); FAILS(EACCES, SYS(openat, fd, ".", O_RDONLY, 0)); }
CASE(parent_is_not_searchable) { dir_mode("p", 0700); dir("p/d"); file("p/d/f", ""); int fd = OK(SYS(open, "p/d", O_RDONLY, 0)); become(USER, GROUP); OK(SYS(openat, fd, "f", O_RDONLY, 0)); }
CASE(path_reading) { char c; file("f", "a"); int fd = OK(SYS(open, "f", O_PATH, 0)); FAILS(EBADF, SYS(read, fd, &c, 1)); FAILS(EBADF, SYS(write, fd, "x", 1)); FAILS(EBADF, SYS(lseek, fd, 0, SEEK_SET)); }
CASE(path_flags) { file("f", "a"); EQ(O_PATH, SYS(fcntl, OK(SYS(open, "f", O_PATH | O_WRONLY | O_TRUNC | O_APPEND, 0)), F_GETFL)); EQ(1, size_of("f")); }
CASE(path_cloexec) { file("f", "a"); EQ(FD_CLOEXEC, SYS(fcntl, OK(SYS(open, "f", O_PATH | O_CLOEXEC, 0)), F_GETFD)); }
CASE(path_needs_no_permission) { file("f", "a"); OK(SYS(chmod, "f", 0)); become(USER, GROUP); OK(SYS(open, "f", O_PATH, 0)); }
CASE(path_does_not_create) { FAILS(ENOENT, SYS(open, "f", O_PATH | O_CREAT, 0644)); CHECK(!exists("f")); }
CASE(path_needs_search_permission) { dir_mode("d", 0744); file("d/f", "a"); become(USER, GROUP); FAILS(EACCES, SYS(open, "d/f", O_PATH, 0)); }
CASE(path_of_link) { slink("none", "l"); FAILS(ENOENT, SYS(open, "l", O_PATH, 0)); int fd = OK(SYS(open, "l", O_PATH | O_NOFOLLOW, 0)); struct stat st; OK(SYS(fstat, fd, &st)); CHECK(S_ISLNK(st.st_mode)); }
CASE(path_of_link_read) { slink("target", "l"); char b[8] = ""; int fd = OK(SYS(open, "l", O_PATH | O_NOFOLLOW, 0)); EQ(6, SYS(readlinkat, fd, "", b, 8)); STREQ("target", b); }
CASE(path_of_fifo) { fifo("p"); OK(SYS(open, "p", O_PATH, 0)); }
CASE(path_fstat) { struct stat st; file("f", "abc"); OK(SYS(fstat, OK(SYS(open, "f", O_PATH, 0)), &st)); EQ(3, st.st_size); }
CASE(path_refuses_changes) { file("f", "a"); int fd = OK(SYS(open, "f", O_PATH, 0)); FAILS(EBADF, SYS(fchmod, fd, 0600)); FAILS(EBADF, SYS(fchown, fd, 0, 0)); FAILS(EBADF, SYS(ftruncate, fd, 0)); FAILS(EBADF, SYS(fsync, fd)); FAILS(EBADF, SYS(ioctl, fd, 0x541B, NULL)); FAILS(EBADF, SYS(fsetxattr, fd, "user.x", "", 0, 0)); }
CASE(path_refuses_mmap) { file("f", "a"); FAILS(EBADF, SYS(mmap, NULL, 4096, PROT_READ, MAP_PRIVATE, OK(SYS(open, "f", O_PATH, 0)), 0)); }
CASE(path_dup) { file("f", "a"); EQ(O_PATH, SYS(fcntl, OK(SYS(dup, OK(SYS(open, "f", O_PATH, 0)))), F_GETFL)); }
CASE(path_fchdir) { dir("d"); file("d/f", ""); OK(SYS(fchdir, OK(SYS(open, "d", O_PATH, 0)))); CHECK(exists("f")); }
CASE(path_directory_flag) { file("f", ""); FAILS(ENOTDIR, SYS(open, "f", O_PATH | O_DIRECTORY, 0)); }
CASE(path_reopened) { char here[64], b[4] = ""; file("f", "abc"); sprintf(here, "/proc/self/fd/%ld", OK(SYS(open, "f", O_PATH, 0))); EQ(3, SYS(read, OK(SYS(open, here, O_RDONLY, 0)), b, 3)); STREQ("abc", b); }
CASE(path_reopened_checks_permission) { char here[64]; file("f", "abc"); OK(SYS(chmod, "f", 0)); int fd = OK(SYS(open, "f", O_PATH, 0)); become(USER, GROUP); sprintf(here, "/proc/self/fd/%d", fd); FAILS(EACCES, SYS(open, here, O_RDONLY, 0)); }
