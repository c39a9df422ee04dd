/* unlink(2), unlinkat(2) */
#include "harness.h"

CASE(removes) { file("f", ""); EQ(0, SYS(unlink, "f")); CHECK(!exists("f")); }
CASE(removes_one_of_two_names) { file("f", "abc"); OK(SYS(link, "f", "g")); EQ(0, SYS(unlink, "f")); STREQ("abc", CONTENT("g")); EQ(1, STAT("g").st_nlink); }
CASE(removes_the_link_itself) { file("f", ""); slink("f", "l"); EQ(0, SYS(unlink, "l")); CHECK(exists("f")); CHECK(!exists("l")); }
CASE(dangling_link) { slink("none", "l"); EQ(0, SYS(unlink, "l")); }
CASE(fifo_) { fifo("p"); EQ(0, SYS(unlink, "p")); }
CASE(socket_) { OK(SYS(mknod, "s", S_IFSOCK | 0600, 0)); EQ(0, SYS(unlink, "s")); }
CASE(directory) { dir("d"); FAILS(EISDIR, SYS(unlink, "d")); CHECK(exists("d")); }
CASE(dot) { FAILS(EISDIR, SYS(unlink, ".")); FAILS(EISDIR, SYS(unlink, "..")); FAILS(EISDIR, SYS(unlink, "/")); }
CASE(directory_with_slash) { dir("d"); FAILS(EISDIR, SYS(unlink, "d/")); }
CASE(file_with_slash) { file("f", ""); FAILS(ENOTDIR, SYS(unlink, "f/")); CHECK(exists("f")); }
CASE(link_with_slash) { dir("d"); slink("d", "l"); FAILS(ENOTDIR, SYS(unlink, "l/")); CHECK(exists("l")); }
ERR(missing, ENOENT, SYS(unlink, "none"))
ERR(missing_with_slash, ENOENT, SYS(unlink, "none/"))
ERR(empty_path, ENOENT, SYS(unlink, ""))
ERR(bad_pointer, EFAULT, SYS(unlink, BAD))
ERR(name_too_long, ENAMETOOLONG, SYS(unlink, letters(256)))
ERR(path_too_long, ENAMETOOLONG, SYS(unlink, dots(4096, "f")))
CASE(loop) { slink("l", "l"); FAILS(ELOOP, SYS(unlink, "l/f")); EQ(0, SYS(unlink, "l")); }
CASE(parent_is_file) { file("f", ""); FAILS(ENOTDIR, SYS(unlink, "f/x")); }
CASE(no_write_permission) { dir_mode("d", 0555); file("d/f", ""); become(USER, GROUP); FAILS(EACCES, SYS(unlink, "d/f")); }
CASE(no_search_permission) { dir_mode("d", 0666); file("d/f", ""); become(USER, GROUP); FAILS(EACCES, SYS(unlink, "d/f")); }
CASE(needs_no_permission_on_file) { dir_mode("d", 0777); file("d/f", ""); OK(SYS(chmod, "d/f", 0)); become(USER, GROUP); EQ(0, SYS(unlink, "d/f")); }
CASE(sticky_foreign_file) { dir_mode("d", 01777); file("d/f", ""); OK(SYS(chmod, "d/f", 0777)); become(USER, GROUP); FAILS(EPERM, SYS(unlink, "d/f")); }
CASE(sticky_own_file) { dir_mode("d", 01777); file("d/f", ""); OK(SYS(chown, "d/f", USER, GROUP)); become(USER, GROUP); EQ(0, SYS(unlink, "d/f")); }
CASE(sticky_own_directory) { dir("d"); OK(SYS(chown, "d", USER, GROUP)); OK(SYS(chmod, "d", 01777)); file("d/f", ""); become(USER, GROUP); EQ(0, SYS(unlink, "d/f")); }
CASE(sticky_with_capability) { dir_mode("d", 01777); file("d/f", ""); become_with(USER, GROUP, CAP(FOWNER)); EQ(0, SYS(unlink, "d/f")); }
CASE(sticky_group_does_not_help) { dir_mode("d", 01777); file("d/f", ""); OK(SYS(chown, "d/f", 0, GROUP)); OK(SYS(chmod, "d/f", 0770)); become(USER, GROUP); FAILS(EPERM, SYS(unlink, "d/f")); }
CASE(read_only_mount) { FAILS(EROFS, SYS(unlink, "/tests/unlink")); }
CASE(open_file_goes_on) { char b[4] = ""; file("f", "abc"); int fd = OK(SYS(open, "f", O_RDWR, 0)); EQ(0, SYS(unlink, "f")); EQ(3, SYS(read, fd, b, 3)); EQ(1, SYS(write, fd, "d", 1)); struct stat st; OK(SYS(fstat, fd, &st)); EQ(4, st.st_size); EQ(0, st.st_nlink); }
CASE(name_can_be_used_again) { file("f", "old"); int fd = OK(SYS(open, "f", O_RDONLY, 0)); OK(SYS(unlink, "f")); file("f", "new"); char b[4] = ""; EQ(3, SYS(read, fd, b, 3)); STREQ("old", b); STREQ("new", CONTENT("f")); }
CASE(at_directory) { dir("d"); file("d/f", ""); EQ(0, SYS(unlinkat, OK(SYS(open, "d", O_RDONLY, 0)), "f", 0)); CHECK(!exists("d/f")); }
CASE(at_path_descriptor) { dir("d"); file("d/f", ""); EQ(0, SYS(unlinkat, OK(SYS(open, "d", O_PATH, 0)), "f", 0)); }
ERR(at_unknown_flag, EINVAL, SYS(unlinkat, AT_FDCWD, "f", 0x100))
ERR(at_closed, EBADF, SYS(unlinkat, 99, "f", 0))
CASE(at_file) { file("f", ""); FAILS(ENOTDIR, SYS(unlinkat, OK(SYS(open, "f", O_RDONLY, 0)), "x", 0)); }
CASE(proc_file) { long r = SYS(unlink, "/proc/version"); CHECK(r == -EPERM || r == -EACCES || r == -EROFS); CHECK(exists("/proc/version")); }
CASE(mount_point_file) { file("f", ""); OK(SYS(mount, "f", "f", NULL, MS_BIND, NULL)); FAILS(EBUSY, SYS(unlink, "f")); OK(SYS(umount2, "f", 0)); OK(SYS(unlink, "f")); }
CASE(nlink_and_ctime) { file("f", ""); OK(SYS(link, "f", "g")); int fd = OK(SYS(open, "f", O_RDONLY, 0)); OK(SYS(unlink, "g")); struct stat st; OK(SYS(fstat, fd, &st)); EQ(1, st.st_nlink); }
