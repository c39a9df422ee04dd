/* mmap(2), munmap, mprotect, mremap, msync, madvise, mincore, mlock, brk */
#include "harness.h"
#include <setjmp.h>

static sigjmp_buf back;
static void fault(int n) { siglongjmp(back, n); }
/* The signal that reading (or writing) an address gives, 0 for none. */
static int touch(volatile char *a, bool write) { signal(SIGSEGV, fault); signal(SIGBUS, fault); int n = sigsetjmp(back, 1); if (!n) { if (write) *a = 1; else (void)*a; } return n; }
#define MAP(length, prot, flags, fd, off) SYS(mmap, NULL, length, prot, flags, fd, off)
#define ANON(length) ((char *)OK(MAP(length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)))
static int f_(const char *text, int flags) { file("f", text); return OK(SYS(open, "f", flags, 0)); }

CASE(anonymous_is_zero) { char *p = ANON(8192); EQ(0, p[0]); EQ(0, p[8191]); }
CASE(file_private) { char *p = (char *)OK(MAP(4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, f_("abc", O_RDONLY), 0)); CHECK(!memcmp(p, "abc", 4)); p[0] = 'X'; STREQ("abc", CONTENT("f")); }
CASE(file_shared) { char *p = (char *)OK(MAP(4096, PROT_READ | PROT_WRITE, MAP_SHARED, f_("abc", O_RDWR), 0)); p[0] = 'X'; STREQ("Xbc", CONTENT("f")); }
CASE(file_survives_close_and_unlink) { int fd = f_("abc", O_RDONLY); char *p = (char *)OK(MAP(4096, PROT_READ, MAP_PRIVATE, fd, 0)); SYS(close, fd); OK(SYS(unlink, "f")); CHECK(!memcmp(p, "abc", 3)); }
CASE(shared_write_needs_a_writable_descriptor) { FAILS(EACCES, MAP(4096, PROT_WRITE, MAP_SHARED, f_("abc", O_RDONLY), 0)); }
CASE(read_needs_a_readable_descriptor) { FAILS(EACCES, MAP(4096, PROT_READ, MAP_PRIVATE, f_("abc", O_WRONLY), 0)); }
CASE(beyond_the_end_is_sigbus) { char *p = (char *)OK(MAP(8192, PROT_READ, MAP_PRIVATE, f_("abc", O_RDONLY), 0)); EQ(0, touch(p + 4095, false)); EQ(SIGBUS, touch(p + 4096, false)); }
CASE(executable_from_a_noexec_mount) { file("/dev/shm/memory_x", "abc"); int fd = OK(SYS(open, "/dev/shm/memory_x", O_RDONLY, 0)); OK(SYS(unlink, "/dev/shm/memory_x")); FAILS(EPERM, MAP(4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0)); }
CASE(errors) { FAILS(EINVAL, MAP(0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)); FAILS(EINVAL, MAP(4096, PROT_READ, MAP_ANONYMOUS, -1, 0)); FAILS(EBADF, MAP(4096, PROT_READ, MAP_PRIVATE, 99, 0)); FAILS(EINVAL, MAP(4096, PROT_READ, MAP_PRIVATE, f_("a", O_RDONLY), 1)); FAILS(ENOMEM, MAP(1UL << 47, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)); }
CASE(directory_and_pipe) { FAILS(ENODEV, MAP(4096, PROT_READ, MAP_PRIVATE, OK(SYS(open, ".", O_RDONLY, 0)), 0)); int p[2]; OK(SYS(pipe, p)); FAILS(ENODEV, MAP(4096, PROT_READ, MAP_PRIVATE, p[0], 0)); }
CASE(fixed_noreplace) { char *p = ANON(4096); FAILS(EEXIST, SYS(mmap, p, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0)); EQ(p, SYS(mmap, p, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0)); }
CASE(page_zero_as_user) { become(USER, GROUP); long r = SYS(mmap, NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0); CHECK(r == -EPERM || r == -EACCES); }
CASE(unmapped) { char *p = ANON(8192); EQ(0, SYS(munmap, p, 4096)); EQ(SIGSEGV, touch(p, false)); EQ(0, touch(p + 4096, true)); FAILS(EINVAL, SYS(munmap, p + 1, 4096)); }
CASE(protection) { char *p = ANON(4096); EQ(0, SYS(mprotect, p, 4096, PROT_READ)); EQ(SIGSEGV, touch(p, true)); EQ(0, touch(p, false)); EQ(0, SYS(mprotect, p, 4096, PROT_NONE)); EQ(SIGSEGV, touch(p, false)); FAILS(ENOMEM, SYS(mprotect, p, 1UL << 40, PROT_READ)); FAILS(EINVAL, SYS(mprotect, p + 1, 10, PROT_READ)); }
CASE(protection_of_a_read_only_file) { char *p = (char *)OK(MAP(4096, PROT_READ, MAP_SHARED, f_("abc", O_RDONLY), 0)); FAILS(EACCES, SYS(mprotect, p, 4096, PROT_READ | PROT_WRITE)); }
CASE(shared_with_a_child) { char *p = (char *)OK(MAP(4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)); CHILD(p[0] = 7); EQ(7, p[0]); }
CASE(private_to_a_child) { char *p = ANON(4096); CHILD(p[0] = 7); EQ(0, p[0]); }
CASE(remap) { char *p = ANON(4096); p[5] = 9; char *q = (char *)OK(SYS(mremap, p, 4096, 65536, MREMAP_MAYMOVE, 0)); EQ(9, q[5]); EQ(0, touch(q + 65535, true)); FAILS(EINVAL, SYS(mremap, q, 65536, 0, MREMAP_MAYMOVE, 0)); }
CASE(sync_) { char *p = (char *)OK(MAP(4096, PROT_READ | PROT_WRITE, MAP_SHARED, f_("abc", O_RDWR), 0)); p[0] = 'X'; EQ(0, SYS(msync, p, 4096, MS_SYNC)); FAILS(EINVAL, SYS(msync, p, 4096, MS_SYNC | MS_ASYNC)); FAILS(ENOMEM, SYS(msync, 0x10000, 4096, MS_SYNC)); }
CASE(advice_dontneed) { char *p = ANON(4096); p[0] = 1; EQ(0, SYS(madvise, p, 4096, MADV_DONTNEED)); EQ(0, p[0]); FAILS(EINVAL, SYS(madvise, p, 4096, 9999)); FAILS(EINVAL, SYS(madvise, p + 1, 4096, MADV_NORMAL)); FAILS(ENOMEM, SYS(madvise, 0x10000, 4096, MADV_DONTNEED)); }
CASE(advice_dontfork) { char *p = ANON(4096); EQ(0, SYS(madvise, p, 4096, MADV_DONTFORK)); CHILD(EQ(SIGSEGV, touch(p, false))); }
CASE(advice_wipeonfork) { char *p = ANON(4096); p[0] = 1; EQ(0, SYS(madvise, p, 4096, MADV_WIPEONFORK)); CHILD(EQ(0, p[0])); EQ(1, p[0]); }
CASE(resident) { char *p = ANON(8192); unsigned char v[2]; p[0] = 1; EQ(0, SYS(mincore, p, 8192, v)); EQ(1, v[0] & 1); EQ(0, v[1] & 1); FAILS(ENOMEM, SYS(mincore, 0x10000, 4096, v)); FAILS(EFAULT, SYS(mincore, p, 4096, BAD)); }
CASE(locked) { char *p = ANON(4096); EQ(0, SYS(mlock, p, 4096)); EQ(0, SYS(munlock, p, 4096)); EQ(0, SYS(mlock2, p, 4096, 1)); FAILS(ENOMEM, SYS(mlock, 0x10000, 4096)); FAILS(EINVAL, SYS(mlock2, p, 4096, 8)); }
CASE(break_) { long at = SYS(brk, 0); EQ(at + 8192, SYS(brk, at + 8192)); *(char *)(at + 100) = 1; EQ(at, SYS(brk, at)); }
CASE(address_space_limit) { struct rlimit l = {1 << 26, 1 << 26}; OK(SYS(setrlimit, RLIMIT_AS, &l)); FAILS(ENOMEM, MAP(1 << 28, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)); }
CASE(write_of_a_mapped_program_file) { int fd = OK(SYS(open, SELF, O_RDONLY, 0)); char *p = (char *)OK(MAP(4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0)); CHECK(!memcmp(p, "\177ELF", 4)); p[0] = 0; }
CASE(huge_offset) { char *p = (char *)OK(MAP(4096, PROT_READ, MAP_PRIVATE, f_("abc", O_RDONLY), 1L << 30)); EQ(SIGBUS, touch(p, false)); }
