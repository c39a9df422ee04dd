/* rename(2), renameat(2), renameat2(2) */
#include "harness.h"
#include <linux/fs.h>

#define RENAME(a, b) SYS(rename, a, b)
#define RENAME2(a, b, flags) SYS(renameat2, AT_FDCWD, a, AT_FDCWD, b, flags)

CASE(renames) { file("a", "abc"); EQ(0, RENAME("a", "b")); CHECK(!exists("a")); STREQ("abc", CONTENT("b")); }
CASE(keeps_the_inode) { file("a", ""); long ino = STAT("a").st_ino; OK(RENAME("a", "b")); EQ(ino, STAT("b").st_ino); }
CASE(replaces) { file("a", "new"); file("b", "old"); EQ(0, RENAME("a", "b")); STREQ("new", CONTENT("b")); CHECK(!exists("a")); }
CASE(replaces_read_only_file) { file("a", "new"); file("b", "old"); OK(SYS(chmod, "b", 0)); EQ(0, RENAME("a", "b")); }
CASE(replaced_file_stays_open) { char b[4] = ""; file("a", "new"); file("b", "old"); int fd = OK(SYS(open, "b", O_RDONLY, 0)); OK(RENAME("a", "b")); EQ(3, SYS(read, fd, b, 3)); STREQ("old", b); }
CASE(onto_itself) { file("a", "abc"); EQ(0, RENAME("a", "a")); STREQ("abc", CONTENT("a")); }
CASE(onto_other_name_of_the_same) { file("a", ""); OK(SYS(link, "a", "b")); EQ(0, RENAME("a", "b")); CHECK(exists("a") && exists("b")); }
CASE(directory) { dir("a"); file("a/f", "abc"); EQ(0, RENAME("a", "b")); STREQ("abc", CONTENT("b/f")); }
CASE(directory_onto_empty) { dir("a"); file("a/f", ""); dir("b"); EQ(0, RENAME("a", "b")); CHECK(exists("b/f")); }
CASE(directory_onto_full) { dir("a"); dir("b"); file("b/f", ""); FAILS(ENOTEMPTY, RENAME("a", "b")); }
CASE(directory_onto_file) { dir("a"); file("b", ""); FAILS(ENOTDIR, RENAME("a", "b")); }
CASE(file_onto_directory) { file("a", ""); dir("b"); FAILS(EISDIR, RENAME("a", "b")); }
CASE(directory_into_itself) { dir("a"); FAILS(EINVAL, RENAME("a", "a/b")); dir("a/b"); FAILS(EINVAL, RENAME("a", "a/b/c")); }
CASE(directory_onto_its_parent) { dir("a"); dir("a/b"); FAILS(ENOTEMPTY, RENAME("a/b", "a")); }
CASE(directory_dot_dot_follows) { dir("p"); dir("q"); dir("p/d"); OK(RENAME("p/d", "q/d")); EQ(STAT("q").st_ino, STAT("q/d/..").st_ino); }
CASE(link_itself) { slink("none", "l"); EQ(0, RENAME("l", "m")); CHECK(S_ISLNK(LSTAT("m").st_mode)); }
CASE(onto_link) { file("a", "abc"); file("t", "target"); slink("t", "l"); EQ(0, RENAME("a", "l")); CHECK(S_ISREG(LSTAT("l").st_mode)); STREQ("target", CONTENT("t")); }
CASE(fifo_) { fifo("a"); EQ(0, RENAME("a", "b")); CHECK(S_ISFIFO(STAT("b").st_mode)); }
CASE(missing) { file("b", ""); FAILS(ENOENT, RENAME("none", "b")); CHECK(exists("b")); }
CASE(missing_parent) { file("a", ""); FAILS(ENOENT, RENAME("a", "x/b")); FAILS(ENOENT, RENAME("x/a", "b")); }
CASE(empty_path) { file("a", ""); FAILS(ENOENT, RENAME("", "b")); FAILS(ENOENT, RENAME("a", "")); }
CASE(bad_pointer) { file("a", ""); FAILS(EFAULT, RENAME(BAD, "b")); FAILS(EFAULT, RENAME("a", BAD)); }
CASE(name_too_long) { file("a", ""); FAILS(ENAMETOOLONG, RENAME("a", letters(256))); FAILS(ENAMETOOLONG, RENAME(letters(256), "b")); EQ(0, RENAME("a", letters(255))); }
CASE(parent_is_file) { file("a", ""); file("f", ""); FAILS(ENOTDIR, RENAME("f/x", "b")); FAILS(ENOTDIR, RENAME("a", "f/x")); }
CASE(loop) { file("a", ""); slink("l", "l"); FAILS(ELOOP, RENAME("l/x", "b")); FAILS(ELOOP, RENAME("a", "l/x")); }
CASE(dot) { dir("d"); FAILS(EBUSY, RENAME(".", "x")); FAILS(EBUSY, RENAME("d", ".")); FAILS(EBUSY, RENAME("d/.", "x")); FAILS(EBUSY, RENAME("d", "d/..")); }
CASE(file_with_slash) { file("a", ""); FAILS(ENOTDIR, RENAME("a/", "b")); FAILS(ENOTDIR, RENAME("a", "b/")); CHECK(exists("a")); }
CASE(directory_with_slash) { dir("a"); EQ(0, RENAME("a/", "b/")); CHECK(exists("b")); }
CASE(other_file_system) { file("a", ""); FAILS(EXDEV, RENAME("a", "/tmp/rename_x")); }
CASE(mount_point) { FAILS(EBUSY, RENAME("/proc", "/proc2")); FAILS(EBUSY, RENAME("/tmp", "/tmp2")); }
CASE(read_only_mount) { FAILS(EROFS, RENAME("/tests/rename", "/tests/renamed")); }
CASE(no_write_permission_in_source) { dir_mode("p", 0555); dir_mode("q", 0777); file("p/a", ""); become(USER, GROUP); FAILS(EACCES, RENAME("p/a", "q/a")); }
CASE(no_write_permission_in_target) { dir_mode("p", 0777); dir_mode("q", 0555); file("p/a", ""); become(USER, GROUP); FAILS(EACCES, RENAME("p/a", "q/a")); }
CASE(no_search_permission) { dir_mode("p", 0666); dir_mode("q", 0777); file("p/a", ""); become(USER, GROUP); FAILS(EACCES, RENAME("p/a", "q/a")); }
CASE(directory_needs_write_to_move) { dir_mode("p", 0777); dir_mode("q", 0777); dir("p/d"); become(USER, GROUP); FAILS(EACCES, RENAME("p/d", "q/d")); EQ(0, RENAME("p/d", "p/e")); }
CASE(sticky_source) { dir_mode("p", 01777); file("p/a", ""); become(USER, GROUP); FAILS(EPERM, RENAME("p/a", "p/b")); }
CASE(sticky_target) { dir_mode("p", 01777); file("p/b", ""); file("p/a", ""); OK(SYS(chown, "p/a", USER, GROUP)); become(USER, GROUP); FAILS(EPERM, RENAME("p/a", "p/b")); EQ(0, RENAME("p/a", "p/c")); }
CASE(link_counts) { dir("p"); dir("q"); dir("p/d"); long p = STAT("p").st_nlink, q = STAT("q").st_nlink; OK(RENAME("p/d", "q/d")); EQ(p - 1, STAT("p").st_nlink); EQ(q + 1, STAT("q").st_nlink); }
CASE(changes_ctime_of_file) { file("a", ""); long before = STAT("a").st_ctim.tv_nsec + STAT("a").st_ctime * 1000000000; sleep_ms(20); OK(RENAME("a", "b")); CHECK(STAT("b").st_ctim.tv_nsec + STAT("b").st_ctime * 1000000000 > before); }
CASE(open_descriptor_follows) { file("a", "abc"); int fd = OK(SYS(open, "a", O_RDONLY, 0)); OK(RENAME("a", "b")); struct stat st; OK(SYS(fstat, fd, &st)); EQ(STAT("b").st_ino, st.st_ino); }
CASE(working_directory_follows) { dir("a"); OK(SYS(chdir, "a")); OK(RENAME("../a", "../b")); char b[PATH_MAX]; OK(SYS(getcwd, b, sizeof b)); STREQ("/b", strrchr(b, '/')); }
CASE(at_directories) { dir("p"); dir("q"); file("p/a", "abc"); EQ(0, SYS(renameat, OK(SYS(open, "p", O_RDONLY, 0)), "a", OK(SYS(open, "q", O_PATH, 0)), "b")); STREQ("abc", CONTENT("q/b")); }
CASE(at_closed) { file("a", ""); FAILS(EBADF, SYS(renameat, 99, "a", AT_FDCWD, "b")); FAILS(EBADF, SYS(renameat, AT_FDCWD, "a", 99, "b")); }
CASE(at_file) { file("a", ""); int fd = OK(SYS(open, "a", O_RDONLY, 0)); FAILS(ENOTDIR, SYS(renameat, fd, "x", AT_FDCWD, "b")); FAILS(ENOTDIR, SYS(renameat, AT_FDCWD, "a", fd, "b")); }
CASE(noreplace) { file("a", "new"); file("b", "old"); FAILS(EEXIST, RENAME2("a", "b", RENAME_NOREPLACE)); STREQ("old", CONTENT("b")); EQ(0, RENAME2("a", "c", RENAME_NOREPLACE)); STREQ("new", CONTENT("c")); }
CASE(noreplace_onto_dangling_link) { file("a", ""); slink("none", "l"); FAILS(EEXIST, RENAME2("a", "l", RENAME_NOREPLACE)); }
CASE(noreplace_onto_itself) { file("a", ""); FAILS(EEXIST, RENAME2("a", "a", RENAME_NOREPLACE)); }
CASE(exchange) { file("a", "A"); file("b", "B"); EQ(0, RENAME2("a", "b", RENAME_EXCHANGE)); STREQ("B", CONTENT("a")); STREQ("A", CONTENT("b")); }
CASE(exchange_file_and_directory) { file("a", "A"); dir("b"); file("b/f", ""); EQ(0, RENAME2("a", "b", RENAME_EXCHANGE)); CHECK(exists("a/f")); STREQ("A", CONTENT("b")); }
CASE(exchange_missing) { file("a", "A"); FAILS(ENOENT, RENAME2("a", "b", RENAME_EXCHANGE)); FAILS(ENOENT, RENAME2("b", "a", RENAME_EXCHANGE)); }
CASE(exchange_into_itself) { dir("a"); dir("a/b"); FAILS(EINVAL, RENAME2("a", "a/b", RENAME_EXCHANGE)); FAILS(EINVAL, RENAME2("a/b", "a", RENAME_EXCHANGE)); }
CASE(exchange_and_noreplace) { file("a", ""); file("b", ""); FAILS(EINVAL, RENAME2("a", "b", RENAME_EXCHANGE | RENAME_NOREPLACE)); }
CASE(whiteout_and_exchange) { file("a", ""); file("b", ""); FAILS(EINVAL, RENAME2("a", "b", RENAME_EXCHANGE | RENAME_WHITEOUT)); }
CASE(unknown_flag) { file("a", ""); FAILS(EINVAL, RENAME2("a", "b", 8)); }
CASE(flags_zero) { file("a", "abc"); EQ(0, RENAME2("a", "b", 0)); STREQ("abc", CONTENT("b")); }
