/* chmod(2), fchmod(2), fchmodat(2), fchmodat2(2) */
#include "harness.h"

CASE(sets_mode) { file("f", ""); EQ(0, SYS(chmod, "f", 0751)); EQ(0751, mode_of("f")); }
CASE(all_bits) { file("f", ""); EQ(0, SYS(chmod, "f", 07777)); EQ(07777, mode_of("f")); EQ(0, SYS(chmod, "f", 0)); EQ(0, mode_of("f")); }
CASE(type_bits_are_ignored) { file("f", ""); EQ(0, SYS(chmod, "f", S_IFDIR | 0600)); EQ(0600, mode_of("f")); CHECK(S_ISREG(STAT("f").st_mode)); }
CASE(umask_does_not_count) { file("f", ""); SYS(umask, 077); EQ(0, SYS(chmod, "f", 0666)); EQ(0666, mode_of("f")); }
CASE(directory) { dir("d"); EQ(0, SYS(chmod, "d", 01700)); EQ(01700, mode_of("d")); }
CASE(follows_link) { file("f", ""); slink("f", "l"); EQ(0, SYS(chmod, "l", 0600)); EQ(0600, mode_of("f")); EQ(0777, LSTAT("l").st_mode & 0777); }
CASE(dangling_link) { slink("none", "l"); FAILS(ENOENT, SYS(chmod, "l", 0600)); }
ERR(missing, ENOENT, SYS(chmod, "none", 0600))
ERR(empty_path, ENOENT, SYS(chmod, "", 0600))
ERR(bad_pointer, EFAULT, SYS(chmod, BAD, 0600))
ERR(name_too_long, ENAMETOOLONG, SYS(chmod, letters(256), 0600))
CASE(not_a_directory) { file("f", ""); FAILS(ENOTDIR, SYS(chmod, "f/x", 0600)); FAILS(ENOTDIR, SYS(chmod, "f/", 0600)); }
CASE(loop) { slink("l", "l"); FAILS(ELOOP, SYS(chmod, "l", 0600)); }
CASE(not_the_owner) { file("f", ""); OK(SYS(chmod, "f", 0666)); become(USER, GROUP); FAILS(EPERM, SYS(chmod, "f", 0777)); }
CASE(owner) { file("f", ""); OK(SYS(chown, "f", USER, GROUP)); become(USER, GROUP); EQ(0, SYS(chmod, "f", 0)); EQ(0, SYS(chmod, "f", 0600)); }
CASE(group_member_is_no_owner) { file("f", ""); OK(SYS(chown, "f", 0, GROUP)); become(USER, GROUP); FAILS(EPERM, SYS(chmod, "f", 0660)); }
CASE(capability) { file("f", ""); become_with(USER, GROUP, CAP(FOWNER)); EQ(0, SYS(chmod, "f", 0600)); EQ(0600, mode_of("f")); }
CASE(root_without_capability) { file("f", ""); OK(SYS(chown, "f", USER, GROUP)); without_cap(CAP_FOWNER); FAILS(EPERM, SYS(chmod, "f", 0600)); }
CASE(no_search_permission) { dir_mode("d", 0666); file("d/f", ""); OK(SYS(chown, "d/f", USER, GROUP)); become(USER, GROUP); FAILS(EACCES, SYS(chmod, "d/f", 0600)); }
CASE(read_only_mount) { FAILS(EROFS, SYS(chmod, "/tests/chmod", 0700)); }
CASE(setgid_of_a_foreign_group_is_cleared) { file("f", ""); OK(SYS(chown, "f", USER, 77)); become(USER, GROUP); EQ(0, SYS(chmod, "f", 02755)); EQ(0755, mode_of("f")); }
CASE(setgid_of_ones_own_group) { file("f", ""); OK(SYS(chown, "f", USER, GROUP)); become(USER, GROUP); EQ(0, SYS(chmod, "f", 02755)); EQ(02755, mode_of("f")); }
CASE(setgid_of_a_supplementary_group) { file("f", ""); OK(SYS(chown, "f", USER, 77)); gid_t g = 77; OK(SYS(setgroups, 1, &g)); OK(SYS(setresgid, GROUP, GROUP, GROUP)); OK(SYS(setresuid, USER, USER, USER)); EQ(0, SYS(chmod, "f", 02755)); EQ(02755, mode_of("f")); }
CASE(setuid_by_owner) { file("f", ""); OK(SYS(chown, "f", USER, GROUP)); become(USER, GROUP); EQ(0, SYS(chmod, "f", 04755)); EQ(04755, mode_of("f")); }
CASE(sticky_by_owner) { file("f", ""); OK(SYS(chown, "f", USER, GROUP)); become(USER, GROUP); EQ(0, SYS(chmod, "f", 01644)); EQ(01644, mode_of("f")); }
CASE(write_clears_setuid) { file("f", "abc"); OK(SYS(chown, "f", USER, GROUP)); OK(SYS(chmod, "f", 06777)); int fd; become(OTHER, OTHER); fd = OK(SYS(open, "f", O_WRONLY, 0)); EQ(1, SYS(write, fd, "x", 1)); EQ(0777, mode_of("f")); }
CASE(truncate_clears_setuid) { file("f", "abc"); OK(SYS(chown, "f", USER, GROUP)); OK(SYS(chmod, "f", 06777)); become(OTHER, OTHER); OK(SYS(truncate, "f", 1)); EQ(0777, mode_of("f")); }
CASE(open_truncate_clears_setuid) { file("f", "abc"); OK(SYS(chown, "f", USER, GROUP)); OK(SYS(chmod, "f", 04777)); become(OTHER, OTHER); OK(SYS(open, "f", O_WRONLY | O_TRUNC, 0)); EQ(0777, mode_of("f")); }
CASE(root_write_keeps_setuid) { file("f", "abc"); OK(SYS(chmod, "f", 04777)); int fd = OK(SYS(open, "f", O_WRONLY, 0)); EQ(1, SYS(write, fd, "x", 1)); EQ(04777, mode_of("f")); }
CASE(descriptor) { file("f", ""); EQ(0, SYS(fchmod, OK(SYS(open, "f", O_RDONLY, 0)), 0600)); EQ(0600, mode_of("f")); }
CASE(descriptor_of_deleted) { file("f", ""); int fd = OK(SYS(open, "f", O_RDONLY, 0)); OK(SYS(unlink, "f")); EQ(0, SYS(fchmod, fd, 0600)); struct stat st; OK(SYS(fstat, fd, &st)); EQ(0600, st.st_mode & 07777); }
CASE(descriptor_not_the_owner) { file("f", ""); int fd = OK(SYS(open, "f", O_RDONLY, 0)); become(USER, GROUP); FAILS(EPERM, SYS(fchmod, fd, 0600)); }
CASE(descriptor_read_only_mount) { FAILS(EROFS, SYS(fchmod, OK(SYS(open, "/tests/chmod", O_RDONLY, 0)), 0600)); }
ERR(descriptor_closed, EBADF, SYS(fchmod, 99, 0600))
CASE(at_directory) { dir("d"); file("d/f", ""); EQ(0, SYS(fchmodat, OK(SYS(open, "d", O_RDONLY, 0)), "f", 0600)); EQ(0600, mode_of("d/f")); }
ERR(at_closed, EBADF, SYS(fchmodat, 99, "f", 0600))
CASE(at_file) { file("f", ""); FAILS(ENOTDIR, SYS(fchmodat, OK(SYS(open, "f", O_RDONLY, 0)), "x", 0600)); }
CASE(two) { file("f", ""); EQ(0, SYS(fchmodat2, AT_FDCWD, "f", 0600, 0)); EQ(0600, mode_of("f")); }
CASE(two_nofollow_on_file) { file("f", ""); EQ(0, SYS(fchmodat2, AT_FDCWD, "f", 0600, AT_SYMLINK_NOFOLLOW)); EQ(0600, mode_of("f")); }
CASE(two_nofollow_on_link) { file("f", ""); slink("f", "l"); FAILS(EOPNOTSUPP, SYS(fchmodat2, AT_FDCWD, "l", 0600, AT_SYMLINK_NOFOLLOW)); EQ(0644, mode_of("f")); }
CASE(two_empty_path) { file("f", ""); EQ(0, SYS(fchmodat2, OK(SYS(open, "f", O_PATH, 0)), "", 0600, AT_EMPTY_PATH)); EQ(0600, mode_of("f")); }
ERR(two_unknown_flag, EINVAL, SYS(fchmodat2, AT_FDCWD, ".", 0600, 0x8000))
