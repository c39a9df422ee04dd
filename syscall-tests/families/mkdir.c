/* mkdir(2), mkdirat(2) */
#include "harness.h"

CASE(makes_a_directory) { EQ(0, SYS(mkdir, "d", 0755)); CHECK(S_ISDIR(STAT("d").st_mode)); EQ(0755, mode_of("d")); }
CASE(mode_is_masked) { SYS(umask, 027); EQ(0, SYS(mkdir, "d", 0777)); EQ(0750, mode_of("d")); }
CASE(sticky_bit) { EQ(0, SYS(mkdir, "d", 01777)); EQ(01755, mode_of("d")); }
CASE(setuid_bit_is_ignored) { EQ(0, SYS(mkdir, "d", 04755)); EQ(0755, mode_of("d")); }
CASE(setgid_bit_is_ignored) { EQ(0, SYS(mkdir, "d", 02755)); EQ(0755, mode_of("d")); }
CASE(setgid_is_inherited) { dir_mode("p", 02777); OK(SYS(chown, "p", 0, 77)); OK(SYS(chmod, "p", 02777)); EQ(0, SYS(mkdir, "p/d", 0755)); EQ(02755, mode_of("p/d")); EQ(77, STAT("p/d").st_gid); }
CASE(exists) { dir("d"); FAILS(EEXIST, SYS(mkdir, "d", 0755)); }
CASE(exists_as_file) { file("f", ""); FAILS(EEXIST, SYS(mkdir, "f", 0755)); }
CASE(exists_as_link) { slink("nowhere", "l"); FAILS(EEXIST, SYS(mkdir, "l", 0755)); CHECK(!exists("nowhere")); }
ERR(dot, EEXIST, SYS(mkdir, ".", 0755))
ERR(dot_dot, EEXIST, SYS(mkdir, "..", 0755))
ERR(root, EEXIST, SYS(mkdir, "/", 0755))
ERR(empty_path, ENOENT, SYS(mkdir, "", 0755))
ERR(parent_missing, ENOENT, SYS(mkdir, "a/b", 0755))
CASE(parent_is_file) { file("f", ""); FAILS(ENOTDIR, SYS(mkdir, "f/d", 0755)); }
CASE(parent_is_dangling_link) { slink("nowhere", "l"); FAILS(ENOENT, SYS(mkdir, "l/d", 0755)); }
CASE(trailing_slash) { EQ(0, SYS(mkdir, "d/", 0755)); CHECK(exists("d")); }
CASE(trailing_slashes) { EQ(0, SYS(mkdir, "d///", 0755)); CHECK(exists("d")); }
CASE(trailing_dot) { FAILS(ENOENT, SYS(mkdir, "d/.", 0755)); dir("d"); FAILS(EEXIST, SYS(mkdir, "d/.", 0755)); }
CASE(dangling_link_with_slash) { slink("nowhere", "l"); FAILS(EEXIST, SYS(mkdir, "l/", 0755)); }
CASE(name_of_255) { EQ(0, SYS(mkdir, letters(255), 0755)); CHECK(exists(letters(255))); }
ERR(name_of_256, ENAMETOOLONG, SYS(mkdir, letters(256), 0755))
CASE(path_of_4095) { EQ(0, SYS(mkdir, dots(4095, "d"), 0755)); CHECK(exists("d")); }
ERR(path_of_4096, ENAMETOOLONG, SYS(mkdir, dots(4096, "d"), 0755))
ERR(bad_pointer, EFAULT, SYS(mkdir, BAD, 0755))
ERR(null_pointer, EFAULT, SYS(mkdir, NULL, 0755))
CASE(loop) { slink("b", "a"); slink("a", "b"); FAILS(ELOOP, SYS(mkdir, "a/d", 0755)); }
CASE(no_write_permission) { dir_mode("p", 0555); OK(SYS(chown, "p", USER, GROUP)); become(USER, GROUP); FAILS(EACCES, SYS(mkdir, "p/d", 0755)); }
CASE(no_search_permission) { dir_mode("p", 0666); OK(SYS(chown, "p", USER, GROUP)); become(USER, GROUP); FAILS(EACCES, SYS(mkdir, "p/d", 0755)); }
CASE(existing_beats_permission) { dir("p"); dir("p/d"); become(USER, GROUP); FAILS(EEXIST, SYS(mkdir, "p/d", 0755)); }
CASE(owner_is_the_caller) { dir_mode("p", 0777); become(USER, OTHER); EQ(0, SYS(mkdir, "p/d", 0755)); EQ(USER, STAT("p/d").st_uid); EQ(OTHER, STAT("p/d").st_gid); }
CASE(link_count_of_parent) { dir("p"); long before = STAT("p").st_nlink; dir("p/a"); dir("p/b"); EQ(before + 2, STAT("p").st_nlink); }
CASE(removed_directory) { dir("p"); OK(SYS(chdir, "p")); OK(SYS(rmdir, "../p")); FAILS(ENOENT, SYS(mkdir, "d", 0755)); }
CASE(at_descriptor) { dir("p"); int fd = OK(SYS(open, "p", O_RDONLY | O_DIRECTORY, 0)); EQ(0, SYS(mkdirat, fd, "d", 0700)); EQ(0700, mode_of("p/d")); }
CASE(at_path_descriptor) { dir("p"); int fd = OK(SYS(open, "p", O_PATH, 0)); EQ(0, SYS(mkdirat, fd, "d", 0700)); CHECK(exists("p/d")); }
CASE(at_file) { file("f", ""); int fd = OK(SYS(open, "f", O_RDONLY, 0)); FAILS(ENOTDIR, SYS(mkdirat, fd, "d", 0700)); }
ERR(at_closed, EBADF, SYS(mkdirat, 99, "d", 0700))
ERR(at_negative, EBADF, SYS(mkdirat, -1, "d", 0700))
ERR(at_proc, ENOENT, SYS(mkdir, "/proc/new", 0755))
CASE(at_closed_and_absolute) { EQ(0, SYS(mkdirat, 99, "/tmp/mkdir_absolute", 0700)); EQ(0, SYS(rmdir, "/tmp/mkdir_absolute")); }
CASE(read_only_mount) { FAILS(EROFS, SYS(mkdir, "/tests/d", 0755)); }
CASE(existing_beats_read_only) { FAILS(EEXIST, SYS(mkdir, "/tests", 0755)); }
