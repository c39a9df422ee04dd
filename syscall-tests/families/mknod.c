/* mknod(2), mknodat(2) */
#include "harness.h"

CASE(regular) { EQ(0, SYS(mknod, "f", S_IFREG | 0640, 0)); CHECK(S_ISREG(STAT("f").st_mode)); EQ(0640, mode_of("f")); EQ(0, size_of("f")); }
CASE(type_zero_is_regular) { EQ(0, SYS(mknod, "f", 0640, 0)); CHECK(S_ISREG(STAT("f").st_mode)); }
CASE(fifo_) { EQ(0, SYS(mknod, "f", S_IFIFO | 0640, 0)); CHECK(S_ISFIFO(STAT("f").st_mode)); EQ(0640, mode_of("f")); }
CASE(socket_) { EQ(0, SYS(mknod, "f", S_IFSOCK | 0640, 0)); CHECK(S_ISSOCK(STAT("f").st_mode)); }
CASE(umask_) { SYS(umask, 026); EQ(0, SYS(mknod, "f", S_IFIFO | 0666, 0)); EQ(0640, mode_of("f")); }
CASE(fifo_as_user) { dir_mode("d", 0777); become(USER, GROUP); EQ(0, SYS(mknod, "d/f", S_IFIFO | 0640, 0)); EQ(USER, STAT("d/f").st_uid); }
CASE(character_device) { EQ(0, SYS(mknod, "f", S_IFCHR | 0640, 0x103)); CHECK(S_ISCHR(STAT("f").st_mode)); EQ(0x103, STAT("f").st_rdev); }
CASE(block_device) { EQ(0, SYS(mknod, "f", S_IFBLK | 0640, 0x700)); CHECK(S_ISBLK(STAT("f").st_mode)); }
CASE(whiteout) { EQ(0, SYS(mknod, "f", S_IFCHR, 0)); EQ(0, STAT("f").st_rdev); }
CASE(device_as_user) { dir_mode("d", 0777); become(USER, GROUP); FAILS(EPERM, SYS(mknod, "d/f", S_IFCHR | 0640, 0x103)); FAILS(EPERM, SYS(mknod, "d/f", S_IFBLK | 0640, 0x700)); }
CASE(device_without_capability) { without_cap(CAP_MKNOD); FAILS(EPERM, SYS(mknod, "f", S_IFCHR | 0640, 0x103)); }
ERR(directory, EPERM, SYS(mknod, "f", S_IFDIR | 0755, 0))
ERR(link_, EINVAL, SYS(mknod, "f", S_IFLNK | 0755, 0))
ERR(unknown_type, EINVAL, SYS(mknod, "f", 0030000, 0))
CASE(exists_) { file("f", ""); FAILS(EEXIST, SYS(mknod, "f", S_IFREG | 0644, 0)); slink("none", "l"); FAILS(EEXIST, SYS(mknod, "l", S_IFREG | 0644, 0)); FAILS(EEXIST, SYS(mknod, ".", S_IFREG | 0644, 0)); }
ERR(empty_path, ENOENT, SYS(mknod, "", S_IFREG, 0))
ERR(missing_parent, ENOENT, SYS(mknod, "a/f", S_IFREG, 0))
ERR(bad_pointer, EFAULT, SYS(mknod, BAD, S_IFREG, 0))
ERR(name_too_long, ENAMETOOLONG, SYS(mknod, letters(256), S_IFREG, 0))
CASE(parent_is_file) { file("f", ""); FAILS(ENOTDIR, SYS(mknod, "f/x", S_IFREG, 0)); }
CASE(trailing_slash) { FAILS(ENOENT, SYS(mknod, "f/", S_IFREG | 0644, 0)); }
CASE(loop) { slink("l", "l"); FAILS(ELOOP, SYS(mknod, "l/f", S_IFREG, 0)); }
CASE(no_write_permission) { dir_mode("d", 0555); become(USER, GROUP); FAILS(EACCES, SYS(mknod, "d/f", S_IFREG | 0644, 0)); }
CASE(read_only_mount) { FAILS(EROFS, SYS(mknod, "/tests/f", S_IFREG | 0644, 0)); }
CASE(at_directory) { dir("d"); EQ(0, SYS(mknodat, OK(SYS(open, "d", O_RDONLY, 0)), "f", S_IFIFO | 0600, 0)); CHECK(S_ISFIFO(STAT("d/f").st_mode)); }
ERR(at_closed, EBADF, SYS(mknodat, 99, "f", S_IFREG, 0))
CASE(at_file) { file("f", ""); FAILS(ENOTDIR, SYS(mknodat, OK(SYS(open, "f", O_RDONLY, 0)), "x", S_IFREG, 0)); }
CASE(setgid_directory) { dir("d"); OK(SYS(chown, "d", 0, 77)); OK(SYS(chmod, "d", 02777)); EQ(0, SYS(mknod, "d/f", S_IFIFO | 0644, 0)); EQ(77, STAT("d/f").st_gid); }
