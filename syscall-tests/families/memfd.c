/* memfd_create(2), file seals of fcntl(2) */
#include "harness.h"
#define F(flags) ((int)OK(SYS(memfd_create, "x", flags)))
static char c;
CASE(reads_and_writes) { int fd = F(0); EQ(3, SYS(write, fd, "abc", 3)); EQ(1, SYS(pread64, fd, &c, 1, 1)); EQ('b', c); }
CASE(cloexec) { EQ(FD_CLOEXEC, SYS(fcntl, F(MFD_CLOEXEC), F_GETFD)); }
CASE(errors) { FAILS(EINVAL, SYS(memfd_create, "x", 0x4000)); FAILS(EFAULT, SYS(memfd_create, BAD, 0)); FAILS(EINVAL, SYS(memfd_create, letters(250), 0)); OK(SYS(memfd_create, letters(249), 0)); }
CASE(unsealable) { int fd = F(0); EQ(F_SEAL_SEAL, SYS(fcntl, fd, F_GET_SEALS)); FAILS(EPERM, SYS(fcntl, fd, F_ADD_SEALS, F_SEAL_WRITE)); }
CASE(seal_write) { int fd = F(MFD_ALLOW_SEALING); OK(SYS(write, fd, "a", 1)); EQ(0, SYS(fcntl, fd, F_ADD_SEALS, F_SEAL_WRITE)); FAILS(EPERM, SYS(write, fd, "b", 1)); FAILS(EPERM, SYS(mmap, NULL, 4096, PROT_WRITE, MAP_SHARED, fd, 0)); }
CASE(seal_write_while_mapped) { int fd = F(MFD_ALLOW_SEALING); OK(SYS(ftruncate, fd, 4096)); OK(SYS(mmap, NULL, 4096, PROT_WRITE, MAP_SHARED, fd, 0)); FAILS(EBUSY, SYS(fcntl, fd, F_ADD_SEALS, F_SEAL_WRITE)); }
CASE(seal_size) { int fd = F(MFD_ALLOW_SEALING); OK(SYS(ftruncate, fd, 100)); OK(SYS(fcntl, fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW)); FAILS(EPERM, SYS(ftruncate, fd, 50)); FAILS(EPERM, SYS(ftruncate, fd, 200)); EQ(0, SYS(ftruncate, fd, 100)); }
CASE(seal_seal) { int fd = F(MFD_ALLOW_SEALING); OK(SYS(fcntl, fd, F_ADD_SEALS, F_SEAL_SEAL)); FAILS(EPERM, SYS(fcntl, fd, F_ADD_SEALS, F_SEAL_WRITE)); }
CASE(seals_of_a_file) { file("f", ""); FAILS(EINVAL, SYS(fcntl, OK(SYS(open, "f", O_RDWR, 0)), F_GET_SEALS)); }
CASE(reopened_through_proc) { int fd = F(0); OK(SYS(write, fd, "abc", 3)); char p[40]; sprintf(p, "/proc/self/fd/%d", fd); int g = OK(SYS(open, p, O_RDONLY, 0)); EQ(1, SYS(read, g, &c, 1)); EQ('a', c); FAILS(EBADF, SYS(write, g, "x", 1)); }
CASE(reopened_for_writing) { int fd = F(0); char p[40]; sprintf(p, "/proc/self/fd/%d", fd); int g = OK(SYS(open, p, O_RDWR | O_TRUNC, 0)); EQ(1, SYS(write, g, "x", 1)); EQ(1, SYS(read, fd, &c, 1)); }
CASE(truncated_by_name) { int fd = F(0); char p[40]; OK(SYS(write, fd, "abc", 3)); sprintf(p, "/proc/self/fd/%d", fd); EQ(0, SYS(truncate, p, 1)); struct stat st; OK(SYS(fstat, fd, &st)); EQ(1, st.st_size); }
