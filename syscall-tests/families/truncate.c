/* truncate(2), ftruncate(2), fallocate(2) */
#include "harness.h"
#include <linux/falloc.h>

CASE(shortens) { file("f", "abcdef"); EQ(0, SYS(truncate, "f", 3)); STREQ("abc", CONTENT("f")); }
CASE(extends_with_zeros) { file("f", "abc"); EQ(0, SYS(truncate, "f", 6)); EQ(6, size_of("f")); char b[6]; EQ(6, SYS(read, OK(SYS(open, "f", O_RDONLY, 0)), b, 6)); CHECK(!memcmp(b, "abc\0\0\0", 6)); }
CASE(zeros_after_shortening) { file("f", "abcdef"); OK(SYS(truncate, "f", 1)); OK(SYS(truncate, "f", 6)); char b[6]; EQ(6, SYS(read, OK(SYS(open, "f", O_RDONLY, 0)), b, 6)); CHECK(!memcmp(b, "a\0\0\0\0\0", 6)); }
CASE(negative) { file("f", "abc"); FAILS(EINVAL, SYS(truncate, "f", -1)); EQ(3, size_of("f")); }
CASE(directory) { dir("d"); FAILS(EISDIR, SYS(truncate, "d", 0)); }
CASE(fifo_) { fifo("p"); FAILS(EINVAL, SYS(truncate, "p", 0)); }
CASE(device) { FAILS(EINVAL, SYS(truncate, "/dev/null", 0)); }
ERR(missing, ENOENT, SYS(truncate, "none", 0))
ERR(empty_path, ENOENT, SYS(truncate, "", 0))
ERR(bad_pointer, EFAULT, SYS(truncate, BAD, 0))
ERR(name_too_long, ENAMETOOLONG, SYS(truncate, letters(256), 0))
CASE(not_a_directory) { file("f", ""); FAILS(ENOTDIR, SYS(truncate, "f/x", 0)); FAILS(ENOTDIR, SYS(truncate, "f/", 0)); }
CASE(loop) { slink("l", "l"); FAILS(ELOOP, SYS(truncate, "l", 0)); }
CASE(follows_link) { file("f", "abc"); slink("f", "l"); EQ(0, SYS(truncate, "l", 1)); EQ(1, size_of("f")); }
CASE(no_write_permission) { file("f", "abc"); become(USER, GROUP); FAILS(EACCES, SYS(truncate, "f", 0)); }
CASE(no_search_permission) { dir_mode("d", 0666); file("d/f", ""); become(USER, GROUP); FAILS(EACCES, SYS(truncate, "d/f", 0)); }
CASE(read_only_mount) { FAILS(EROFS, SYS(truncate, "/tests/truncate", 0)); }
CASE(running_program) { FAILS(EROFS, SYS(truncate, SELF, 0)); }
CASE(keeps_the_offset) { file("f", "abcdef"); int fd = OK(SYS(open, "f", O_RDWR, 0)); OK(SYS(lseek, fd, 5, SEEK_SET)); OK(SYS(truncate, "f", 1)); EQ(5, SYS(lseek, fd, 0, SEEK_CUR)); char c; EQ(0, SYS(read, fd, &c, 1)); }
CASE(size_limit) { file("f", ""); struct rlimit l = {100, 100}; OK(SYS(setrlimit, RLIMIT_FSIZE, &l)); signal(SIGXFSZ, SIG_IGN); FAILS(EFBIG, SYS(truncate, "f", 101)); EQ(0, SYS(truncate, "f", 100)); }
CASE(size_limit_signals) { file("f", ""); struct rlimit l = {100, 100}; OK(SYS(setrlimit, RLIMIT_FSIZE, &l)); handle(SIGXFSZ, 0); FAILS(EFBIG, SYS(truncate, "f", 101)); EQ(1, signals_seen); }
CASE(updates_times) { file("f", "abc"); struct timespec t[2] = {{1, 0}, {1, 0}}; OK(SYS(utimensat, AT_FDCWD, "f", t, 0)); OK(SYS(truncate, "f", 1)); CHECK(STAT("f").st_mtime > 1); }
CASE(descriptor) { file("f", "abc"); EQ(0, SYS(ftruncate, OK(SYS(open, "f", O_WRONLY, 0)), 1)); EQ(1, size_of("f")); }
CASE(descriptor_read_only) { file("f", "abc"); FAILS(EINVAL, SYS(ftruncate, OK(SYS(open, "f", O_RDONLY, 0)), 1)); }
CASE(descriptor_negative) { file("f", "abc"); FAILS(EINVAL, SYS(ftruncate, OK(SYS(open, "f", O_WRONLY, 0)), -1)); }
CASE(descriptor_of_pipe) { int p[2]; OK(SYS(pipe, p)); FAILS(EINVAL, SYS(ftruncate, p[1], 0)); }
CASE(descriptor_outlives_permission) { file("f", "abc"); int fd = OK(SYS(open, "f", O_WRONLY, 0)); OK(SYS(chmod, "f", 0)); become(USER, GROUP); EQ(0, SYS(ftruncate, fd, 0)); }
ERR(descriptor_closed, EBADF, SYS(ftruncate, 99, 0))
#define RW OK(SYS(open, "f", O_RDWR | O_CREAT, 0644))
CASE(allocate) { EQ(0, SYS(fallocate, RW, 0, 0, 8192)); EQ(8192, size_of("f")); CHECK(STAT("f").st_blocks >= 16); }
CASE(allocate_keep_size) { EQ(0, SYS(fallocate, RW, FALLOC_FL_KEEP_SIZE, 0, 8192)); EQ(0, size_of("f")); CHECK(STAT("f").st_blocks >= 16); }
CASE(allocate_punch_hole) { int fd = RW; file("f", letters(8192)); EQ(0, SYS(fallocate, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096)); char c = 1; EQ(1, SYS(pread64, fd, &c, 1, 0)); EQ(0, c); EQ(8192, size_of("f")); }
CASE(allocate_bad_range) { int fd = RW; FAILS(EINVAL, SYS(fallocate, fd, 0, -1, 10)); FAILS(EINVAL, SYS(fallocate, fd, 0, 0, 0)); FAILS(EINVAL, SYS(fallocate, fd, 0, 0, -1)); }
CASE(allocate_too_large) { FAILS(EFBIG, SYS(fallocate, RW, 0, 1LL << 62, 1LL << 61)); }
CASE(allocate_read_only) { file("f", ""); FAILS(EBADF, SYS(fallocate, OK(SYS(open, "f", O_RDONLY, 0)), 0, 0, 1)); }
CASE(allocate_pipe) { int p[2]; OK(SYS(pipe, p)); FAILS(ESPIPE, SYS(fallocate, p[1], 0, 0, 1)); }
CASE(allocate_unknown_mode) { FAILS(EOPNOTSUPP, SYS(fallocate, RW, 0x8000, 0, 1)); }
ERR(allocate_closed, EBADF, SYS(fallocate, 99, 0, 0, 1))
