/* link(2), linkat(2) */
#include "harness.h"

#define LINK(a, b) SYS(link, a, b)
#define LINKAT(a, b, flags) SYS(linkat, AT_FDCWD, a, AT_FDCWD, b, flags)

CASE(links) { file("a", "abc"); EQ(0, LINK("a", "b")); EQ(STAT("a").st_ino, STAT("b").st_ino); EQ(2, STAT("a").st_nlink); STREQ("abc", CONTENT("b")); }
CASE(changes_ctime) { file("a", ""); struct stat before = STAT("a"); sleep_ms(20); OK(LINK("a", "b")); struct stat after = STAT("a"); CHECK(after.st_ctim.tv_sec > before.st_ctim.tv_sec || after.st_ctim.tv_nsec > before.st_ctim.tv_nsec); }
CASE(exists_) { file("a", ""); file("b", "b"); FAILS(EEXIST, LINK("a", "b")); FAILS(EEXIST, LINK("a", "a")); STREQ("b", CONTENT("b")); }
CASE(exists_as_link) { file("a", ""); slink("none", "l"); FAILS(EEXIST, LINK("a", "l")); }
CASE(directory) { dir("d"); FAILS(EPERM, LINK("d", "e")); FAILS(EPERM, LINK(".", "e")); }
CASE(symlink_itself) { slink("none", "l"); EQ(0, LINK("l", "m")); CHECK(S_ISLNK(LSTAT("m").st_mode)); EQ(2, LSTAT("l").st_nlink); }
CASE(fifo_) { fifo("p"); EQ(0, LINK("p", "q")); CHECK(S_ISFIFO(STAT("q").st_mode)); }
CASE(missing) { FAILS(ENOENT, LINK("none", "b")); file("a", ""); FAILS(ENOENT, LINK("a", "x/b")); }
CASE(empty_path) { file("a", ""); FAILS(ENOENT, LINK("", "b")); FAILS(ENOENT, LINK("a", "")); }
CASE(bad_pointer) { file("a", ""); FAILS(EFAULT, LINK(BAD, "b")); FAILS(EFAULT, LINK("a", BAD)); }
CASE(name_too_long) { file("a", ""); FAILS(ENAMETOOLONG, LINK("a", letters(256))); EQ(0, LINK("a", letters(255))); }
CASE(not_a_directory) { file("a", ""); FAILS(ENOTDIR, LINK("a/x", "b")); FAILS(ENOTDIR, LINK("a", "a/x")); FAILS(ENOTDIR, LINK("a/", "b")); }
CASE(target_with_slash) { file("a", ""); FAILS(ENOENT, LINK("a", "b/")); }
CASE(loop) { slink("l", "l"); FAILS(ELOOP, LINK("l/x", "b")); file("a", ""); FAILS(ELOOP, LINK("a", "l/x")); }
CASE(other_file_system) { file("a", ""); FAILS(EXDEV, LINK("a", "/tmp/link_x")); }
CASE(read_only_mount) { FAILS(EROFS, LINK("/tests/link", "/tests/link2")); }
CASE(no_write_permission) { dir_mode("d", 0555); file("a", ""); OK(SYS(chown, "a", USER, GROUP)); become(USER, GROUP); FAILS(EACCES, LINK("a", "d/b")); }
CASE(no_search_permission) { dir_mode("d", 0666); file("d/a", ""); dir_mode("e", 0777); become(USER, GROUP); FAILS(EACCES, LINK("d/a", "e/b")); }
CASE(flag_follow) { file("a", ""); slink("a", "l"); EQ(0, LINKAT("l", "m", AT_SYMLINK_FOLLOW)); CHECK(S_ISREG(LSTAT("m").st_mode)); EQ(2, STAT("a").st_nlink); }
CASE(flag_follow_dangling) { slink("none", "l"); FAILS(ENOENT, LINKAT("l", "m", AT_SYMLINK_FOLLOW)); }
CASE(flag_unknown) { file("a", ""); FAILS(EINVAL, LINKAT("a", "b", 0x100)); }
CASE(at_directories) { dir("p"); dir("q"); file("p/a", "abc"); EQ(0, SYS(linkat, OK(SYS(open, "p", O_RDONLY, 0)), "a", OK(SYS(open, "q", O_PATH, 0)), "b", 0)); STREQ("abc", CONTENT("q/b")); }
CASE(at_closed) { file("a", ""); FAILS(EBADF, SYS(linkat, 99, "a", AT_FDCWD, "b", 0)); FAILS(EBADF, SYS(linkat, AT_FDCWD, "a", 99, "b", 0)); }
CASE(at_file) { file("a", ""); int fd = OK(SYS(open, "a", O_RDONLY, 0)); FAILS(ENOTDIR, SYS(linkat, fd, "x", AT_FDCWD, "b", 0)); FAILS(ENOTDIR, SYS(linkat, AT_FDCWD, "a", fd, "b", 0)); }
CASE(empty_path_flag) { file("a", "abc"); int fd = OK(SYS(open, "a", O_RDONLY, 0)); EQ(0, SYS(linkat, fd, "", AT_FDCWD, "b", AT_EMPTY_PATH)); STREQ("abc", CONTENT("b")); }
CASE(empty_path_without_flag) { file("a", ""); int fd = OK(SYS(open, "a", O_RDONLY, 0)); FAILS(ENOENT, SYS(linkat, fd, "", AT_FDCWD, "b", 0)); }
CASE(deleted_file) { char p[40]; file("a", ""); sprintf(p, "/proc/self/fd/%ld", OK(SYS(open, "a", O_RDONLY, 0))); OK(SYS(unlink, "a")); FAILS(ENOENT, LINKAT(p, "b", AT_SYMLINK_FOLLOW)); }
CASE(through_proc) { char p[40]; file("a", "abc"); sprintf(p, "/proc/self/fd/%ld", OK(SYS(open, "a", O_RDONLY, 0))); EQ(0, LINKAT(p, "b", AT_SYMLINK_FOLLOW)); STREQ("abc", CONTENT("b")); }
CASE(proc_link_itself) { char p[40]; file("a", "abc"); sprintf(p, "/proc/self/fd/%ld", OK(SYS(open, "a", O_RDONLY, 0))); FAILS(EXDEV, LINKAT(p, "b", 0)); }
