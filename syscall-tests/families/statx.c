/* statx(2) */
#include "harness.h"
#include <linux/stat.h>

static struct statx sx;
#define STATX(path, flags, mask) SYS(statx, AT_FDCWD, path, flags, mask, &sx)

CASE(basic) { file("f", "abc"); OK(STATX("f", 0, STATX_BASIC_STATS)); EQ(STATX_BASIC_STATS, sx.stx_mask & STATX_BASIC_STATS); EQ(3, sx.stx_size); CHECK(S_ISREG(sx.stx_mode)); EQ(0644, sx.stx_mode & 07777); EQ(1, sx.stx_nlink); }
CASE(same_as_stat) { file("f", "abc"); struct stat st = STAT("f"); OK(STATX("f", 0, STATX_BASIC_STATS)); EQ(st.st_ino, sx.stx_ino); EQ(st.st_uid, sx.stx_uid); EQ(st.st_mtim.tv_nsec, sx.stx_mtime.tv_nsec); EQ(st.st_dev, (uint64_t)sx.stx_dev_major << 8 | sx.stx_dev_minor); EQ(st.st_blocks, sx.stx_blocks); }
CASE(mount_id) { OK(STATX(".", 0, STATX_MNT_ID)); CHECK(sx.stx_mask & STATX_MNT_ID); CHECK(sx.stx_mnt_id > 0); }
CASE(mount_root) { OK(STATX("/proc", 0, 0)); CHECK(sx.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT); CHECK(sx.stx_attributes & STATX_ATTR_MOUNT_ROOT); dir("d"); OK(STATX("d", 0, 0)); CHECK(!(sx.stx_attributes & STATX_ATTR_MOUNT_ROOT)); }
CASE(follows_link) { file("f", "abc"); slink("f", "l"); OK(STATX("l", 0, STATX_SIZE)); EQ(3, sx.stx_size); }
CASE(nofollow) { slink("target", "l"); OK(STATX("l", AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS)); CHECK(S_ISLNK(sx.stx_mode)); EQ(6, sx.stx_size); }
CASE(empty_path) { file("f", "abc"); OK(SYS(statx, OK(SYS(open, "f", O_RDONLY, 0)), "", AT_EMPTY_PATH, STATX_SIZE, &sx)); EQ(3, sx.stx_size); }
CASE(empty_path_of_cwd) { OK(STATX("", AT_EMPTY_PATH, STATX_INO)); EQ(STAT(".").st_ino, sx.stx_ino); }
CASE(null_path) { file("f", "abc"); long r = SYS(statx, OK(SYS(open, "f", O_RDONLY, 0)), NULL, AT_EMPTY_PATH, STATX_SIZE, &sx); if (r == -EFAULT) skip("a null path is allowed since Linux 6.11"); EQ(0, r); EQ(3, sx.stx_size); }
CASE(at_directory) { dir("d"); file("d/f", "abc"); OK(SYS(statx, OK(SYS(open, "d", O_PATH, 0)), "f", 0, STATX_SIZE, &sx)); EQ(3, sx.stx_size); }
CASE(sync_types) { OK(STATX(".", AT_STATX_FORCE_SYNC, STATX_SIZE)); OK(STATX(".", AT_STATX_DONT_SYNC, STATX_SIZE)); FAILS(EINVAL, STATX(".", AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC, STATX_SIZE)); }
ERR(reserved_mask, EINVAL, STATX(".", 0, 0x80000000))
ERR(unknown_flag, EINVAL, STATX(".", 0x40000, STATX_SIZE))
ERR(missing, ENOENT, STATX("none", 0, STATX_SIZE))
ERR(empty_without_flag, ENOENT, STATX("", 0, STATX_SIZE))
ERR(bad_path, EFAULT, STATX(BAD, 0, STATX_SIZE))
ERR(null_without_flag, EFAULT, STATX(NULL, 0, STATX_SIZE))
ERR(bad_buffer, EFAULT, SYS(statx, AT_FDCWD, ".", 0, STATX_SIZE, BAD))
ERR(closed, EBADF, SYS(statx, 99, "f", 0, STATX_SIZE, &sx))
ERR(closed_and_empty, EBADF, SYS(statx, 99, "", AT_EMPTY_PATH, STATX_SIZE, &sx))
ERR(name_too_long, ENAMETOOLONG, STATX(letters(256), 0, 0))
CASE(not_a_directory) { file("f", ""); FAILS(ENOTDIR, STATX("f/", 0, 0)); FAILS(ENOTDIR, SYS(statx, OK(SYS(open, "f", O_RDONLY, 0)), "x", 0, 0, &sx)); }
CASE(loop) { slink("l", "l"); FAILS(ELOOP, STATX("l", 0, 0)); OK(STATX("l", AT_SYMLINK_NOFOLLOW, 0)); }
CASE(no_search_permission) { dir_mode("d", 0666); file("d/f", ""); become(USER, GROUP); FAILS(EACCES, STATX("d/f", 0, 0)); }
CASE(device) { OK(STATX("/dev/null", 0, STATX_BASIC_STATS)); CHECK(S_ISCHR(sx.stx_mode)); EQ(1, sx.stx_rdev_major); EQ(3, sx.stx_rdev_minor); }
CASE(birth_time) { long before = time(NULL) - 1; file("f", ""); OK(STATX("f", 0, STATX_BTIME)); if (!(sx.stx_mask & STATX_BTIME)) skip("the file system keeps no birth time"); CHECK(sx.stx_btime.tv_sec >= before && sx.stx_btime.tv_sec <= time(NULL) + 1); }
