/* access(2), faccessat, faccessat2 */
#include "harness.h"

#define ACCESS(path, mode) SYS(access, path, mode)

CASE(exists_) { file("f", ""); EQ(0, ACCESS("f", F_OK)); }
ERR(missing, ENOENT, ACCESS("none", F_OK))
ERR(empty_path, ENOENT, ACCESS("", F_OK))
ERR(bad_pointer, EFAULT, ACCESS(BAD, F_OK))
CASE(bad_mode) { FAILS(EINVAL, ACCESS(".", 8)); FAILS(EINVAL, ACCESS(".", -1)); }
ERR(bad_mode_beats_missing, EINVAL, ACCESS("none", 8))
ERR(name_too_long, ENAMETOOLONG, ACCESS(letters(256), F_OK))
CASE(not_a_directory) { file("f", ""); FAILS(ENOTDIR, ACCESS("f/x", F_OK)); FAILS(ENOTDIR, ACCESS("f/", F_OK)); }
CASE(loop) { slink("l", "l"); FAILS(ELOOP, ACCESS("l", F_OK)); }
CASE(dangling) { slink("none", "l"); FAILS(ENOENT, ACCESS("l", F_OK)); }
CASE(root_may_read_and_write) { need_root(); file("f", ""); OK(SYS(chmod, "f", 0)); EQ(0, ACCESS("f", R_OK | W_OK)); }
CASE(root_may_not_execute_without_any_x) { need_root(); file("f", ""); FAILS(EACCES, ACCESS("f", X_OK)); OK(SYS(chmod, "f", 0001)); EQ(0, ACCESS("f", X_OK)); }
CASE(root_may_search) { need_root(); dir_mode("d", 0); EQ(0, ACCESS("d", X_OK | R_OK | W_OK)); }
CASE(owner_bits) { file("f", ""); OK(SYS(chown, "f", USER, GROUP)); OK(SYS(chmod, "f", 0400)); become(USER, GROUP); EQ(0, ACCESS("f", R_OK)); FAILS(EACCES, ACCESS("f", W_OK)); FAILS(EACCES, ACCESS("f", X_OK)); FAILS(EACCES, ACCESS("f", R_OK | W_OK)); }
CASE(group_bits) { file("f", ""); OK(SYS(chown, "f", 0, GROUP)); OK(SYS(chmod, "f", 0020)); become(USER, GROUP); EQ(0, ACCESS("f", W_OK)); FAILS(EACCES, ACCESS("f", R_OK)); }
CASE(other_bits) { file("f", ""); OK(SYS(chmod, "f", 0001)); become(USER, GROUP); EQ(0, ACCESS("f", X_OK)); FAILS(EACCES, ACCESS("f", R_OK)); }
CASE(search_in_parent) { dir_mode("d", 0666); file("d/f", ""); become(USER, GROUP); FAILS(EACCES, ACCESS("d/f", F_OK)); FAILS(EACCES, ACCESS("d/none", F_OK)); }
CASE(read_only_mount) { FAILS(EROFS, ACCESS("/tests/access", W_OK)); EQ(0, ACCESS("/tests/access", R_OK | X_OK)); FAILS(EROFS, ACCESS("/tests", W_OK)); }
CASE(device_on_read_only_mount) { EQ(0, ACCESS("/dev/null", W_OK)); }
CASE(real_uid_counts) { file("f", ""); OK(SYS(chmod, "f", 0600)); need_root(); OK(SYS(setresuid, USER, 0, 0)); FAILS(EACCES, ACCESS("f", R_OK)); OK(SYS(open, "f", O_RDONLY, 0)); }
CASE(real_root_counts) { file("f", ""); OK(SYS(chmod, "f", 0600)); need_root(); OK(SYS(setresuid, 0, USER, 0)); EQ(0, ACCESS("f", R_OK)); FAILS(EACCES, SYS(open, "f", O_RDONLY, 0)); }
CASE(real_gid_counts) { file("f", ""); OK(SYS(chown, "f", 0, 77)); OK(SYS(chmod, "f", 0040)); need_root(); OK(SYS(setgroups, 0, NULL)); OK(SYS(setresgid, GROUP, 77, 77)); OK(SYS(setresuid, USER, USER, USER)); FAILS(EACCES, ACCESS("f", R_OK)); OK(SYS(open, "f", O_RDONLY, 0)); }
CASE(capability_of_another_user_does_not_count) { file("f", ""); OK(SYS(chmod, "f", 0600)); become_with(USER, GROUP, CAP(DAC_OVERRIDE)); FAILS(EACCES, ACCESS("f", R_OK)); OK(SYS(open, "f", O_RDONLY, 0)); }
CASE(at_directory) { dir("d"); file("d/f", ""); EQ(0, SYS(faccessat, OK(SYS(open, "d", O_RDONLY, 0)), "f", F_OK)); }
ERR(at_closed, EBADF, SYS(faccessat, 99, "f", F_OK))
CASE(at_file) { file("f", ""); FAILS(ENOTDIR, SYS(faccessat, OK(SYS(open, "f", O_RDONLY, 0)), "x", F_OK)); }
ERR(at_bad_mode, EINVAL, SYS(faccessat, AT_FDCWD, ".", 16))
CASE(two_eaccess) { file("f", ""); OK(SYS(chmod, "f", 0600)); need_root(); OK(SYS(setresuid, USER, 0, 0)); FAILS(EACCES, SYS(faccessat2, AT_FDCWD, "f", R_OK, 0)); EQ(0, SYS(faccessat2, AT_FDCWD, "f", R_OK, AT_EACCESS)); }
CASE(two_eaccess_of_user) { file("f", ""); OK(SYS(chmod, "f", 0600)); need_root(); OK(SYS(setresuid, 0, USER, 0)); FAILS(EACCES, SYS(faccessat2, AT_FDCWD, "f", R_OK, AT_EACCESS)); }
CASE(two_nofollow) { slink("none", "l"); EQ(0, SYS(faccessat2, AT_FDCWD, "l", F_OK, AT_SYMLINK_NOFOLLOW)); FAILS(ENOENT, SYS(faccessat2, AT_FDCWD, "l", F_OK, 0)); }
CASE(two_empty_path) { file("f", ""); int fd = OK(SYS(open, "f", O_RDONLY, 0)); EQ(0, SYS(faccessat2, fd, "", R_OK, AT_EMPTY_PATH)); FAILS(EACCES, SYS(faccessat2, fd, "", X_OK, AT_EMPTY_PATH)); }
ERR(two_empty_without_flag, ENOENT, SYS(faccessat2, AT_FDCWD, "", F_OK, 0))
ERR(two_unknown_flag, EINVAL, SYS(faccessat2, AT_FDCWD, ".", F_OK, 0x8000))
ERR(two_closed, EBADF, SYS(faccessat2, 99, "f", F_OK, 0))
