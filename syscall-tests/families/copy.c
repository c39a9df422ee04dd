/* sendfile(2), splice(2), tee(2), vmsplice(2), copy_file_range(2) */
#include "harness.h"
#include <sys/uio.h>

static int in(void) { file("a", "abcdef"); return OK(SYS(open, "a", O_RDONLY, 0)); }
static int out(void) { return OK(SYS(open, "b", O_RDWR | O_CREAT, 0644)); }
static int p[2], q[2];
static char b[64];
#define PIPE(x) OK(SYS(pipe, x))

CASE(sendfile_) { int a = in(); EQ(6, SYS(sendfile, out(), a, NULL, 99)); STREQ("abcdef", CONTENT("b")); EQ(6, SYS(lseek, a, 0, SEEK_CUR)); }
CASE(sendfile_offset) { int a = in(); off_t o = 2; EQ(3, SYS(sendfile, out(), a, &o, 3)); STREQ("cde", CONTENT("b")); EQ(5, o); EQ(0, SYS(lseek, a, 0, SEEK_CUR)); }
CASE(sendfile_errors) { int a = in(); FAILS(EBADF, SYS(sendfile, 99, a, NULL, 1)); FAILS(EBADF, SYS(sendfile, a, a, NULL, 1)); off_t o = -1; FAILS(EINVAL, SYS(sendfile, out(), a, &o, 1)); FAILS(EFAULT, SYS(sendfile, out(), a, BAD, 1)); }
CASE(sendfile_to_append) { int a = in(); out(); FAILS(EINVAL, SYS(sendfile, OK(SYS(open, "b", O_WRONLY | O_APPEND, 0)), a, NULL, 1)); }
CASE(sendfile_to_socket) { int a = in(); OK(SYS(socketpair, AF_UNIX, SOCK_STREAM, 0, p)); EQ(6, SYS(sendfile, p[0], a, NULL, 6)); EQ(6, SYS(read, p[1], b, 9)); }
CASE(splice_in) { int a = in(); PIPE(p); EQ(6, SYS(splice, a, NULL, p[1], NULL, 99, 0)); EQ(6, SYS(read, p[0], b, 9)); CHECK(!memcmp(b, "abcdef", 6)); }
CASE(splice_out) { PIPE(p); OK(SYS(write, p[1], "xyz", 3)); EQ(3, SYS(splice, p[0], NULL, out(), NULL, 3, 0)); STREQ("xyz", CONTENT("b")); }
CASE(splice_offset) { int a = in(); off_t o = 3; PIPE(p); EQ(2, SYS(splice, a, &o, p[1], NULL, 2, 0)); EQ(5, o); EQ(2, SYS(read, p[0], b, 9)); CHECK(!memcmp(b, "de", 2)); }
CASE(splice_errors) { int a = in(); FAILS(EINVAL, SYS(splice, a, NULL, out(), NULL, 1, 0)); PIPE(p); off_t o = 0; FAILS(ESPIPE, SYS(splice, a, NULL, p[1], &o, 1, 0)); FAILS(EBADF, SYS(splice, 99, NULL, p[1], NULL, 1, 0)); FAILS(EINVAL, SYS(splice, p[0], NULL, p[1], NULL, 1, 0)); FAILS(EAGAIN, SYS(splice, p[0], NULL, out(), NULL, 1, 2)); FAILS(EINVAL, SYS(splice, a, NULL, p[1], NULL, 1, 0x100)); }
CASE(tee_) { PIPE(p); PIPE(q); OK(SYS(write, p[1], "xyz", 3)); EQ(3, SYS(tee, p[0], q[1], 3, 0)); EQ(3, SYS(read, p[0], b, 9)); EQ(3, SYS(read, q[0], b, 9)); FAILS(EINVAL, SYS(tee, in(), q[1], 3, 0)); }
CASE(vmsplice_) { PIPE(p); struct iovec v = {"abc", 3}; EQ(3, SYS(vmsplice, p[1], &v, 1, 0)); EQ(3, SYS(read, p[0], b, 9)); FAILS(EBADF, SYS(vmsplice, in(), &v, 1, 0)); }
CASE(range) { int a = in(); off_t o = 1, t = 2; EQ(3, SYS(copy_file_range, a, &o, out(), &t, 3, 0)); EQ(4, o); EQ(5, t); EQ(5, size_of("b")); }
CASE(range_at_end) { int a = in(); OK(SYS(lseek, a, 6, SEEK_SET)); EQ(0, SYS(copy_file_range, a, NULL, out(), NULL, 3, 0)); }
CASE(range_errors) { int a = in(); FAILS(EINVAL, SYS(copy_file_range, a, NULL, out(), NULL, 3, 1)); FAILS(EBADF, SYS(copy_file_range, out(), NULL, a, NULL, 3, 0)); FAILS(EBADF, SYS(copy_file_range, 99, NULL, out(), NULL, 3, 0)); FAILS(EISDIR, SYS(copy_file_range, OK(SYS(open, ".", O_RDONLY, 0)), NULL, out(), NULL, 3, 0)); PIPE(p); FAILS(EINVAL, SYS(copy_file_range, p[0], NULL, out(), NULL, 3, 0)); FAILS(EBADF, SYS(copy_file_range, a, NULL, OK(SYS(open, "b", O_WRONLY | O_APPEND, 0)), NULL, 3, 0)); }
CASE(range_overlapping) { file("a", "abcdef"); int a = OK(SYS(open, "a", O_RDWR, 0)); off_t o = 0, t = 1; FAILS(EINVAL, SYS(copy_file_range, a, &o, a, &t, 3, 0)); }
