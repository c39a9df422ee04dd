/* open(2) with O_TMPFILE, and linkat(2) of what it makes */
#include "harness.h"

#define LINKAT(a, b, flags) SYS(linkat, AT_FDCWD, a, AT_FDCWD, b, flags)

CASE(tmpfile_) { int fd = OK(SYS(open, ".", O_RDWR | O_TMPFILE, 0640)); struct stat st; OK(SYS(fstat, fd, &st)); EQ(0, st.st_nlink); EQ(0640, st.st_mode & 07777); EQ(3, SYS(write, fd, "abc", 3)); }
CASE(tmpfile_gets_a_name) { char p[40]; int fd = OK(SYS(open, ".", O_RDWR | O_TMPFILE, 0640)); EQ(3, SYS(write, fd, "abc", 3)); sprintf(p, "/proc/self/fd/%d", fd); EQ(0, LINKAT(p, "f", AT_SYMLINK_FOLLOW)); STREQ("abc", CONTENT("f")); EQ(1, STAT("f").st_nlink); }
CASE(tmpfile_gets_a_name_by_descriptor) { int fd = OK(SYS(open, ".", O_RDWR | O_TMPFILE, 0640)); EQ(0, SYS(linkat, fd, "", AT_FDCWD, "f", AT_EMPTY_PATH)); CHECK(exists("f")); }
CASE(tmpfile_exclusive_gets_none) { char p[40]; int fd = OK(SYS(open, ".", O_RDWR | O_TMPFILE | O_EXCL, 0640)); sprintf(p, "/proc/self/fd/%d", fd); FAILS(ENOENT, LINKAT(p, "f", AT_SYMLINK_FOLLOW)); }
CASE(tmpfile_is_in_no_listing) { OK(SYS(open, ".", O_WRONLY | O_TMPFILE, 0640)); DIR *d = opendir("."); int n = 0; while (readdir(d)) n++; EQ(2, n); }
CASE(tmpfile_read_only) { FAILS(EINVAL, SYS(open, ".", O_RDONLY | O_TMPFILE, 0640)); }
CASE(tmpfile_and_create) { FAILS(EINVAL, SYS(open, ".", O_RDWR | O_TMPFILE | O_CREAT, 0640)); }
CASE(tmpfile_on_file) { file("f", ""); FAILS(ENOTDIR, SYS(open, "f", O_RDWR | O_TMPFILE, 0640)); }
CASE(tmpfile_in_missing) { FAILS(ENOENT, SYS(open, "none", O_RDWR | O_TMPFILE, 0640)); }
CASE(tmpfile_umask) { SYS(umask, 077); int fd = OK(SYS(open, ".", O_RDWR | O_TMPFILE, 0666)); struct stat st; OK(SYS(fstat, fd, &st)); EQ(0600, st.st_mode & 07777); }
CASE(tmpfile_no_permission) { dir_mode("d", 0555); become(USER, GROUP); FAILS(EACCES, SYS(open, "d", O_RDWR | O_TMPFILE, 0640)); }
CASE(tmpfile_read_only_mount) { FAILS(EROFS, SYS(open, "/tests", O_RDWR | O_TMPFILE, 0640)); }
CASE(tmpfile_on_proc) { FAILS(EOPNOTSUPP, SYS(open, "/proc", O_RDWR | O_TMPFILE, 0640)); FAILS(EPERM, SYS(open, "/proc/self", O_WRONLY | O_TMPFILE, 0640)); slink("/proc", "l"); FAILS(EOPNOTSUPP, SYS(open, "l", O_WRONLY | O_TMPFILE, 0640)); FAILS(ENOTDIR, SYS(open, "/proc/version", O_WRONLY | O_TMPFILE, 0640)); FAILS(ENOENT, SYS(open, "/proc/none", O_WRONLY | O_TMPFILE, 0640)); }
CASE(tmpfile_on_proc_without_the_right) { without_cap(CAP_DAC_OVERRIDE); FAILS(EACCES, SYS(open, "/proc", O_RDWR | O_TMPFILE, 0640)); }
CASE(tmpfile_on_tmpfs) { OK(SYS(open, "/tmp", O_RDWR | O_TMPFILE, 0640)); }
CASE(tmpfile_on_proc_as_user) { become(USER, GROUP); FAILS(EACCES, SYS(open, "/proc", O_RDWR | O_TMPFILE, 0640)); }
