/* utimensat(2), utime(2), utimes(2), futimesat(2) */
#include "harness.h"
#include <utime.h>


static long set(const char *path, long as, long an, long ms, long mn, int flags) {
    struct timespec t[2] = {{as, an}, {ms, mn}};
    return SYS(utimensat, AT_FDCWD, path, t, flags);
}

CASE(sets_both) { file("f", ""); EQ(0, set("f", 100, 5, 200, 7, 0)); EQ(100, STAT("f").st_atime); EQ(5, STAT("f").st_atim.tv_nsec); EQ(200, STAT("f").st_mtime); EQ(7, STAT("f").st_mtim.tv_nsec); }
CASE(null_is_now) { file("f", ""); set("f", 1, 0, 1, 0, 0); long before = time(NULL) - 1; EQ(0, SYS(utimensat, AT_FDCWD, "f", NULL, 0)); CHECK(STAT("f").st_mtime >= before && STAT("f").st_atime >= before); }
CASE(now_) { file("f", ""); long before = time(NULL) - 1; EQ(0, set("f", 0, UTIME_NOW, 5, 0, 0)); CHECK(STAT("f").st_atime >= before); EQ(5, STAT("f").st_mtime); }
CASE(omit_) { file("f", ""); set("f", 1, 0, 2, 0, 0); EQ(0, set("f", 9, UTIME_OMIT, 7, 0, 0)); EQ(1, STAT("f").st_atime); EQ(7, STAT("f").st_mtime); }
CASE(omit_both) { file("f", ""); set("f", 1, 0, 2, 0, 0); EQ(0, set("f", 0, UTIME_OMIT, 0, UTIME_OMIT, 0)); EQ(2, STAT("f").st_mtime); }
CASE(omit_both_of_missing) { EQ(0, set("none", 0, UTIME_OMIT, 0, UTIME_OMIT, 0)); }
CASE(bad_nanoseconds) { file("f", ""); FAILS(EINVAL, set("f", 0, 1000000000, 0, 0, 0)); FAILS(EINVAL, set("f", 0, 0, 0, -1, 0)); }
CASE(before_the_epoch) { file("f", ""); EQ(0, set("f", -100, 0, -200, 0, 0)); EQ(-200, STAT("f").st_mtime); }
CASE(after_2038) { file("f", ""); EQ(0, set("f", 1LL << 32, 0, 1LL << 32, 0, 0)); EQ(1LL << 32, STAT("f").st_mtime); }
CASE(follows_link) { file("f", ""); slink("f", "l"); EQ(0, set("l", 1, 0, 2, 0, 0)); EQ(2, STAT("f").st_mtime); }
CASE(nofollow) { file("f", ""); slink("f", "l"); EQ(0, set("l", 1, 0, 2, 0, AT_SYMLINK_NOFOLLOW)); EQ(2, LSTAT("l").st_mtime); CHECK(STAT("f").st_mtime != 2); }
CASE(directory) { dir("d"); EQ(0, set("d", 1, 0, 2, 0, 0)); EQ(2, STAT("d").st_mtime); }
CASE(missing) { FAILS(ENOENT, set("none", 1, 0, 1, 0, 0)); FAILS(ENOENT, set("", 1, 0, 1, 0, 0)); }
CASE(bad_path) { FAILS(EFAULT, set(BAD, 1, 0, 1, 0, 0)); }
CASE(bad_times) { file("f", ""); FAILS(EFAULT, SYS(utimensat, AT_FDCWD, "f", BAD, 0)); }
CASE(name_too_long) { FAILS(ENAMETOOLONG, set(letters(256), 1, 0, 1, 0, 0)); }
CASE(not_a_directory) { file("f", ""); FAILS(ENOTDIR, set("f/x", 1, 0, 1, 0, 0)); }
CASE(loop) { slink("l", "l"); FAILS(ELOOP, set("l", 1, 0, 1, 0, 0)); EQ(0, set("l", 1, 0, 1, 0, AT_SYMLINK_NOFOLLOW)); }
CASE(unknown_flag) { file("f", ""); FAILS(EINVAL, set("f", 1, 0, 1, 0, 0x8000)); }
CASE(stranger_sets) { file("f", ""); OK(SYS(chmod, "f", 0666)); become(USER, GROUP); FAILS(EPERM, set("f", 1, 0, 1, 0, 0)); FAILS(EPERM, set("f", 0, UTIME_NOW, 0, UTIME_OMIT, 0)); }
CASE(writer_sets_now) { file("f", ""); OK(SYS(chmod, "f", 0666)); set("f", 1, 0, 1, 0, 0); become(USER, GROUP); EQ(0, SYS(utimensat, AT_FDCWD, "f", NULL, 0)); EQ(0, set("f", 0, UTIME_NOW, 0, UTIME_NOW, 0)); CHECK(STAT("f").st_mtime > 1); }
CASE(reader_sets_now) { file("f", ""); become(USER, GROUP); FAILS(EACCES, SYS(utimensat, AT_FDCWD, "f", NULL, 0)); FAILS(EACCES, set("f", 0, UTIME_NOW, 0, UTIME_NOW, 0)); }
CASE(owner_without_write) { file("f", ""); OK(SYS(chown, "f", USER, GROUP)); OK(SYS(chmod, "f", 0)); become(USER, GROUP); EQ(0, set("f", 1, 0, 2, 0, 0)); EQ(2, STAT("f").st_mtime); }
CASE(capability) { file("f", ""); become_with(USER, GROUP, CAP(FOWNER)); EQ(0, set("f", 1, 0, 2, 0, 0)); }
CASE(no_search_permission) { dir_mode("d", 0666); file("d/f", ""); become(USER, GROUP); FAILS(EACCES, set("d/f", 1, 0, 1, 0, 0)); }
CASE(read_only_mount) { FAILS(EROFS, set("/tests/utimens", 1, 0, 1, 0, 0)); }
CASE(descriptor) { file("f", ""); struct timespec t[2] = {{1, 0}, {2, 0}}; EQ(0, SYS(utimensat, OK(SYS(open, "f", O_RDONLY, 0)), NULL, t, 0)); EQ(2, STAT("f").st_mtime); }
CASE(descriptor_with_flag) { struct timespec t[2] = {{1, 0}, {2, 0}}; FAILS(EINVAL, SYS(utimensat, OK(SYS(open, ".", O_RDONLY, 0)), NULL, t, AT_SYMLINK_NOFOLLOW)); }
ERR(descriptor_closed, EBADF, SYS(utimensat, 99, NULL, NULL, 0))
ERR(null_path_of_cwd, EFAULT, SYS(utimensat, AT_FDCWD, NULL, NULL, 0))
CASE(empty_path_flag) { file("f", ""); struct timespec t[2] = {{1, 0}, {2, 0}}; EQ(0, SYS(utimensat, OK(SYS(open, "f", O_RDONLY, 0)), "", t, AT_EMPTY_PATH)); EQ(2, STAT("f").st_mtime); }
CASE(at_directory) { dir("d"); file("d/f", ""); struct timespec t[2] = {{1, 0}, {2, 0}}; EQ(0, SYS(utimensat, OK(SYS(open, "d", O_RDONLY, 0)), "f", t, 0)); EQ(2, STAT("d/f").st_mtime); }
CASE(utime_) { file("f", ""); struct utimbuf t = {5, 6}; EQ(0, SYS(utime, "f", &t)); EQ(5, STAT("f").st_atime); EQ(6, STAT("f").st_mtime); EQ(0, SYS(utime, "f", NULL)); CHECK(STAT("f").st_mtime > 6); }
CASE(utime_errors) { file("f", ""); FAILS(ENOENT, SYS(utime, "none", NULL)); FAILS(EFAULT, SYS(utime, "f", BAD)); }
CASE(utimes_) { file("f", ""); struct timeval t[2] = {{5, 7}, {6, 8}}; EQ(0, SYS(utimes, "f", t)); EQ(6, STAT("f").st_mtime); EQ(8000, STAT("f").st_mtim.tv_nsec); }
CASE(utimes_bad_microseconds) { file("f", ""); struct timeval t[2] = {{5, 1000000}, {6, 8}}; FAILS(EINVAL, SYS(utimes, "f", t)); }
CASE(futimesat_) { dir("d"); file("d/f", ""); struct timeval t[2] = {{5, 7}, {6, 8}}; int fd = OK(SYS(open, "d", O_RDONLY, 0)); EQ(0, SYS(futimesat, fd, "f", t)); EQ(6, STAT("d/f").st_mtime); EQ(0, SYS(futimesat, fd, NULL, t)); EQ(6, STAT("d").st_mtime); }

/* ---- utime(2) and utimes(2): the errors of utimensat(2) ---- */

PATH_ERRORS(utime, SYS(utime, path, NULL))
PATH_ERRORS(utimes, SYS(utimes, path, NULL))
static struct utimbuf whole = {5, 6};
static struct timeval micro[2] = {{5, 7}, {6, 8}};
CASE(old_calls_not_the_owner) { file("f", ""); OK(SYS(chmod, "f", 0666)); become(USER, GROUP); FAILS(EPERM, SYS(utime, "f", &whole)); FAILS(EPERM, SYS(utimes, "f", micro)); EQ(0, SYS(utime, "f", NULL)); EQ(0, SYS(utimes, "f", NULL)); }
CASE(old_calls_no_write_permission) { file("f", ""); become(USER, GROUP); FAILS(EACCES, SYS(utime, "f", NULL)); FAILS(EACCES, SYS(utimes, "f", NULL)); }
CASE(old_calls_read_only_mount) { FAILS(EROFS, SYS(utime, "/tests/.data", NULL)); FAILS(EROFS, SYS(utimes, "/tests/.data", micro)); }
CASE(old_calls_bad_times) { file("f", ""); FAILS(EFAULT, SYS(utime, "f", BAD)); FAILS(EFAULT, SYS(utimes, "f", BAD)); FAILS(EFAULT, SYS(futimesat, AT_FDCWD, "f", BAD)); }
