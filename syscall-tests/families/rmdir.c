/* rmdir(2), unlinkat(AT_REMOVEDIR) */
#include "harness.h"

CASE(removes) { dir("d"); EQ(0, SYS(rmdir, "d")); CHECK(!exists("d")); }
CASE(not_empty) { dir("d"); file("d/f", ""); FAILS(ENOTEMPTY, SYS(rmdir, "d")); CHECK(exists("d/f")); }
CASE(file_) { file("f", ""); FAILS(ENOTDIR, SYS(rmdir, "f")); }
CASE(link_to_directory) { dir("d"); slink("d", "l"); FAILS(ENOTDIR, SYS(rmdir, "l")); FAILS(ENOTDIR, SYS(rmdir, "l/")); CHECK(exists("d")); }
CASE(dot) { FAILS(EINVAL, SYS(rmdir, ".")); dir("d"); FAILS(EINVAL, SYS(rmdir, "d/.")); }
CASE(dot_dot) { FAILS(ENOTEMPTY, SYS(rmdir, "..")); dir("d"); FAILS(ENOTEMPTY, SYS(rmdir, "d/..")); }
ERR(root, EBUSY, SYS(rmdir, "/"))
ERR(missing, ENOENT, SYS(rmdir, "none"))
ERR(empty_path, ENOENT, SYS(rmdir, ""))
ERR(bad_pointer, EFAULT, SYS(rmdir, BAD))
ERR(name_too_long, ENAMETOOLONG, SYS(rmdir, letters(256)))
CASE(loop) { slink("l", "l"); FAILS(ELOOP, SYS(rmdir, "l/d")); }
CASE(parent_is_file) { file("f", ""); FAILS(ENOTDIR, SYS(rmdir, "f/d")); }
CASE(trailing_slash) { dir("d"); EQ(0, SYS(rmdir, "d//")); CHECK(!exists("d")); }
CASE(mount_point) { FAILS(EBUSY, SYS(rmdir, "/proc")); FAILS(EBUSY, SYS(rmdir, "/tmp")); }
CASE(read_only_mount) { FAILS(EROFS, SYS(rmdir, "/tests/none")); }
CASE(no_write_permission) { dir_mode("p", 0555); dir("p/d"); become(USER, GROUP); FAILS(EACCES, SYS(rmdir, "p/d")); }
CASE(no_search_permission) { dir_mode("p", 0666); dir("p/d"); become(USER, GROUP); FAILS(EACCES, SYS(rmdir, "p/d")); }
CASE(owner_of_the_parent_suffices) { dir("p"); OK(SYS(chown, "p", USER, GROUP)); dir("p/d"); become(USER, GROUP); EQ(0, SYS(rmdir, "p/d")); }
CASE(sticky_parent) { dir_mode("p", 01777); dir("p/d"); become(USER, GROUP); FAILS(EPERM, SYS(rmdir, "p/d")); }
CASE(sticky_parent_own_directory) { dir_mode("p", 01777); dir("p/d"); OK(SYS(chown, "p/d", USER, GROUP)); become(USER, GROUP); EQ(0, SYS(rmdir, "p/d")); }
CASE(sticky_parent_of_ones_own) { dir("p"); OK(SYS(chown, "p", USER, GROUP)); OK(SYS(chmod, "p", 01755)); dir("p/d"); become(USER, GROUP); EQ(0, SYS(rmdir, "p/d")); }
CASE(sticky_parent_with_capability) { dir_mode("p", 01777); dir("p/d"); become_with(USER, GROUP, CAP(FOWNER)); EQ(0, SYS(rmdir, "p/d")); }
CASE(working_directory) { dir("d"); OK(SYS(chdir, "d")); EQ(0, SYS(rmdir, "../d")); char b[64]; FAILS(ENOENT, SYS(getcwd, b, 64)); }
CASE(open_directory) { dir("d"); int fd = OK(SYS(open, "d", O_RDONLY, 0)); EQ(0, SYS(rmdir, "d")); struct stat st; OK(SYS(fstat, fd, &st)); EQ(0, st.st_nlink); }
CASE(at_flag) { dir("d"); int fd = OK(SYS(open, ".", O_RDONLY, 0)); EQ(0, SYS(unlinkat, fd, "d", AT_REMOVEDIR)); CHECK(!exists("d")); }
CASE(at_flag_on_file) { file("f", ""); FAILS(ENOTDIR, SYS(unlinkat, AT_FDCWD, "f", AT_REMOVEDIR)); }
CASE(link_count_of_parent) { dir("p"); dir("p/d"); long n = STAT("p").st_nlink; OK(SYS(rmdir, "p/d")); EQ(n - 1, STAT("p").st_nlink); }
