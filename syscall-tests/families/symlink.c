/* symlink(2), symlinkat(2) */
#include "harness.h"

static char b[PATH_MAX];

CASE(makes_a_link) { EQ(0, SYS(symlink, "target", "l")); CHECK(S_ISLNK(LSTAT("l").st_mode)); EQ(6, LSTAT("l").st_size); b[OK(SYS(readlink, "l", b, 99))] = 0; STREQ("target", b); }
CASE(owner) { dir_mode("d", 0777); become(USER, OTHER); EQ(0, SYS(symlink, "t", "d/l")); EQ(USER, LSTAT("d/l").st_uid); EQ(OTHER, LSTAT("d/l").st_gid); }
CASE(umask_does_not_count) { SYS(umask, 0777); EQ(0, SYS(symlink, "t", "l")); EQ(0777, LSTAT("l").st_mode & 0777); }
CASE(exists_) { file("f", ""); FAILS(EEXIST, SYS(symlink, "t", "f")); dir("d"); FAILS(EEXIST, SYS(symlink, "t", "d")); slink("x", "l"); FAILS(EEXIST, SYS(symlink, "t", "l")); FAILS(EEXIST, SYS(symlink, "t", ".")); }
CASE(any_text) { EQ(0, SYS(symlink, "//a b/../\xff", "l")); b[OK(SYS(readlink, "l", b, 99))] = 0; STREQ("//a b/../\xff", b); }
ERR(empty_target, ENOENT, SYS(symlink, "", "l"))
ERR(empty_path, ENOENT, SYS(symlink, "t", ""))
ERR(missing_parent, ENOENT, SYS(symlink, "t", "a/l"))
CASE(bad_pointer) { FAILS(EFAULT, SYS(symlink, BAD, "l")); FAILS(EFAULT, SYS(symlink, "t", BAD)); }
CASE(target_of_4095) { EQ(0, SYS(symlink, letters(4095), "l")); }
CASE(target_of_4096) { FAILS(ENAMETOOLONG, SYS(symlink, letters(4096), "l")); }
CASE(name_too_long) { FAILS(ENAMETOOLONG, SYS(symlink, "t", letters(256))); EQ(0, SYS(symlink, "t", letters(255))); }
CASE(parent_is_file) { file("f", ""); FAILS(ENOTDIR, SYS(symlink, "t", "f/l")); }
CASE(loop) { slink("l", "l"); FAILS(ELOOP, SYS(symlink, "t", "l/x")); }
CASE(trailing_slash) { FAILS(ENOENT, SYS(symlink, "t", "l/")); }
CASE(no_write_permission) { dir_mode("d", 0555); become(USER, GROUP); FAILS(EACCES, SYS(symlink, "t", "d/l")); }
CASE(no_search_permission) { dir_mode("d", 0666); become(USER, GROUP); FAILS(EACCES, SYS(symlink, "t", "d/l")); }
CASE(read_only_mount) { FAILS(EROFS, SYS(symlink, "t", "/tests/l")); }
CASE(through_linked_parent) { dir("d"); slink("d", "p"); EQ(0, SYS(symlink, "t", "p/l")); CHECK(exists("d/l")); }
CASE(at_directory) { dir("d"); EQ(0, SYS(symlinkat, "t", OK(SYS(open, "d", O_RDONLY, 0)), "l")); CHECK(exists("d/l")); }
ERR(at_closed, EBADF, SYS(symlinkat, "t", 99, "l"))
CASE(at_file) { file("f", ""); FAILS(ENOTDIR, SYS(symlinkat, "t", OK(SYS(open, "f", O_RDONLY, 0)), "l")); }
CASE(resolved_at_the_time_of_use) { slink("f", "l"); file("f", "one"); STREQ("one", CONTENT("l")); OK(SYS(rename, "f", "g")); file("f", "two"); STREQ("two", CONTENT("l")); }
CASE(relative_to_its_directory) { dir("d"); file("d/f", "abc"); slink("f", "d/l"); STREQ("abc", CONTENT("d/l")); }
CASE(empty_components) { dir("d"); file("d/f", "abc"); slink(".//d/.///f", "l"); STREQ("abc", CONTENT("l")); }
CASE(path_longer_than_limit_after_expansion) { dir("d"); file("d/f", "abc"); slink(dots(4000, "d"), "l"); STREQ("abc", CONTENT("l/f")); }
