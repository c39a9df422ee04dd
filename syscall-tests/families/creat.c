/* creat(2) */
#include "harness.h"

CASE(creates) { int fd = OK(SYS(creat, "f", 0640)); EQ(0640, mode_of("f")); EQ(O_WRONLY | 0100000, SYS(fcntl, fd, F_GETFL)); EQ(0, SYS(fcntl, fd, F_GETFD)); }
CASE(truncates) { file("f", "abc"); OK(SYS(creat, "f", 0640)); EQ(0, size_of("f")); EQ(0644, mode_of("f")); }
CASE(umask) { SYS(umask, 0137); OK(SYS(creat, "f", 0777)); EQ(0640, mode_of("f")); }
CASE(read_only_mode_is_writable) { int fd = OK(SYS(creat, "f", 0400)); EQ(1, SYS(write, fd, "x", 1)); }
CASE(cannot_read) { char c; FAILS(EBADF, SYS(read, OK(SYS(creat, "f", 0644)), &c, 1)); }
CASE(directory) { dir("d"); FAILS(EISDIR, SYS(creat, "d", 0644)); }
ERR(empty_path, ENOENT, SYS(creat, "", 0644))
ERR(missing_parent, ENOENT, SYS(creat, "a/f", 0644))
CASE(file_as_directory) { file("f", ""); FAILS(ENOTDIR, SYS(creat, "f/x", 0644)); }
ERR(bad_pointer, EFAULT, SYS(creat, BAD, 0644))
ERR(name_too_long, ENAMETOOLONG, SYS(creat, letters(256), 0644))
CASE(loop) { slink("l", "l"); FAILS(ELOOP, SYS(creat, "l", 0644)); }
CASE(follows_link) { slink("f", "l"); OK(SYS(creat, "l", 0644)); CHECK(S_ISREG(LSTAT("f").st_mode)); }
CASE(no_permission_in_directory) { dir("d"); become(USER, GROUP); FAILS(EACCES, SYS(creat, "d/f", 0644)); }
CASE(no_permission_on_file) { file("f", "abc"); become(USER, GROUP); FAILS(EACCES, SYS(creat, "f", 0644)); EQ(3, size_of("f")); }
CASE(read_only_mount) { FAILS(EROFS, SYS(creat, "/tests/f", 0644)); }
CASE(setgid_kept_for_owner_group) { OK(SYS(creat, "f", 02755)); EQ(02755, mode_of("f")); }
CASE(setgid_without_group_execution) { OK(SYS(creat, "f", 02644)); EQ(02644, mode_of("f")); }
