/* read(2), write(2), pread, pwrite, readv, writev, preadv2, lseek(2) */
#include "harness.h"
#include <sys/uio.h>

static char b[65536];
static int rw(const char *content) { file("f", content); return OK(SYS(open, "f", O_RDWR, 0)); }

CASE(read_all) { EQ(3, SYS(read, rw("abc"), b, 9)); CHECK(!memcmp(b, "abc", 3)); }
CASE(read_at_end) { int fd = rw("abc"); OK(SYS(read, fd, b, 9)); EQ(0, SYS(read, fd, b, 9)); }
CASE(read_nothing) { EQ(0, SYS(read, rw("abc"), b, 0)); }
CASE(read_bad_buffer) { FAILS(EFAULT, SYS(read, rw("abc"), BAD, 3)); }
ERR(read_closed, EBADF, SYS(read, 99, b, 1))
ERR(write_closed, EBADF, SYS(write, 99, b, 1))
CASE(write_bad_buffer) { FAILS(EFAULT, SYS(write, rw(""), BAD, 3)); }
CASE(write_nothing) { EQ(0, SYS(write, rw("abc"), b, 0)); EQ(3, size_of("f")); }
CASE(write_moves_the_offset) { int fd = rw(""); EQ(3, SYS(write, fd, "abc", 3)); EQ(3, SYS(lseek, fd, 0, SEEK_CUR)); }
CASE(write_over_the_limit) { int fd = rw(""); struct rlimit l = {10, 10}; OK(SYS(setrlimit, RLIMIT_FSIZE, &l)); signal(SIGXFSZ, SIG_IGN); EQ(10, SYS(write, fd, b, 20)); FAILS(EFBIG, SYS(write, fd, b, 1)); }
CASE(hole) { int fd = rw(""); OK(SYS(lseek, fd, 10000, SEEK_SET)); EQ(1, SYS(write, fd, "x", 1)); EQ(1, SYS(pread64, fd, b, 1, 5000)); EQ(0, b[0]); EQ(10001, size_of("f")); }
CASE(pread_keeps_the_offset) { int fd = rw("abcdef"); EQ(2, SYS(pread64, fd, b, 2, 3)); CHECK(!memcmp(b, "de", 2)); EQ(0, SYS(lseek, fd, 0, SEEK_CUR)); }
CASE(pread_errors) { int p[2]; OK(SYS(pipe, p)); FAILS(ESPIPE, SYS(pread64, p[0], b, 1, 0)); FAILS(EINVAL, SYS(pread64, rw("a"), b, 1, -1)); FAILS(EBADF, SYS(pread64, 99, b, 1, 0)); }
CASE(pwrite_) { int fd = rw("abcdef"); EQ(2, SYS(pwrite64, fd, "XY", 2, 1)); STREQ("aXYdef", CONTENT("f")); EQ(0, SYS(lseek, fd, 0, SEEK_CUR)); }
CASE(pwrite_and_append) { file("f", "abc"); int fd = OK(SYS(open, "f", O_WRONLY | O_APPEND, 0)); EQ(1, SYS(pwrite64, fd, "X", 1, 0)); STREQ("abcX", CONTENT("f")); }
CASE(vectors) { int fd = rw(""); struct iovec v[] = {{"ab", 2}, {NULL, 0}, {"cd", 2}}; EQ(4, SYS(writev, fd, v, 3)); STREQ("abcd", CONTENT("f")); struct iovec r[] = {{b, 1}, {b + 10, 9}}; OK(SYS(lseek, fd, 0, SEEK_SET)); EQ(4, SYS(readv, fd, r, 2)); CHECK(b[0] == 'a' && b[10] == 'b'); }
CASE(vector_errors) { int fd = rw("abc"); struct iovec v[] = {{b, -1}}; FAILS(EINVAL, SYS(readv, fd, v, 1)); FAILS(EINVAL, SYS(readv, fd, v, -1)); FAILS(EINVAL, SYS(readv, fd, v, 1025)); FAILS(EFAULT, SYS(readv, fd, BAD, 1)); EQ(0, SYS(readv, fd, v, 0)); }
CASE(preadv_) { int fd = rw("abcdef"); struct iovec v = {b, 2}; EQ(2, SYS(preadv, fd, &v, 1, 2, 0)); CHECK(!memcmp(b, "cd", 2)); }
CASE(preadv2_) { int fd = rw("abcdef"); struct iovec v = {b, 2}; EQ(2, SYS(preadv2, fd, &v, 1, -1, -1, 0)); EQ(2, SYS(lseek, fd, 0, SEEK_CUR)); FAILS(EOPNOTSUPP, SYS(preadv2, fd, &v, 1, 0, 0, 0x8000)); }
CASE(pwritev2_append) { int fd = rw("abc"); struct iovec v = {"x", 1}; EQ(1, SYS(pwritev2, fd, &v, 1, 0, 0, 16)); STREQ("abcx", CONTENT("f")); }
CASE(seek_) { int fd = rw("abcdef"); EQ(4, SYS(lseek, fd, 4, SEEK_SET)); EQ(5, SYS(lseek, fd, 1, SEEK_CUR)); EQ(4, SYS(lseek, fd, -2, SEEK_END)); EQ(100, SYS(lseek, fd, 100, SEEK_SET)); EQ(0, SYS(read, fd, b, 1)); }
CASE(seek_errors) { int fd = rw("abc"); FAILS(EINVAL, SYS(lseek, fd, -1, SEEK_SET)); FAILS(EINVAL, SYS(lseek, fd, 0, 9)); FAILS(EBADF, SYS(lseek, 99, 0, 0)); int p[2]; OK(SYS(pipe, p)); FAILS(ESPIPE, SYS(lseek, p[0], 0, SEEK_SET)); }
CASE(seek_data_and_hole) { int fd = rw("abc"); EQ(3, SYS(lseek, fd, 0, SEEK_HOLE)); EQ(1, SYS(lseek, fd, 1, SEEK_DATA)); FAILS(ENXIO, SYS(lseek, fd, 3, SEEK_DATA)); FAILS(ENXIO, SYS(lseek, fd, 9, SEEK_HOLE)); }
CASE(offset_is_shared_by_dup) { int fd = rw("abc"), d = OK(SYS(dup, fd)); OK(SYS(read, fd, b, 1)); EQ(1, SYS(lseek, d, 0, SEEK_CUR)); }
CASE(offset_is_shared_with_a_child) { int fd = rw("abc"); CHILD(OK(SYS(read, fd, b, 2))); EQ(2, SYS(lseek, fd, 0, SEEK_CUR)); }
