/* chown(2), lchown(2), fchown(2), fchownat(2) */
#include "harness.h"

#define OWNED(path, uid, gid) do { EQ(uid, LSTAT(path).st_uid); EQ(gid, LSTAT(path).st_gid); } while (0)

CASE(sets_both) { file("f", ""); EQ(0, SYS(chown, "f", USER, OTHER)); OWNED("f", USER, OTHER); }
CASE(minus_one_keeps) { file("f", ""); EQ(0, SYS(chown, "f", USER, -1)); OWNED("f", USER, 0); EQ(0, SYS(chown, "f", -1, OTHER)); OWNED("f", USER, OTHER); EQ(0, SYS(chown, "f", -1, -1)); OWNED("f", USER, OTHER); }
CASE(follows_link) { file("f", ""); slink("f", "l"); EQ(0, SYS(chown, "l", USER, OTHER)); OWNED("f", USER, OTHER); OWNED("l", 0, 0); }
CASE(link_itself) { file("f", ""); slink("f", "l"); EQ(0, SYS(lchown, "l", USER, OTHER)); OWNED("l", USER, OTHER); OWNED("f", 0, 0); }
CASE(dangling_link_itself) { slink("none", "l"); EQ(0, SYS(lchown, "l", USER, OTHER)); OWNED("l", USER, OTHER); FAILS(ENOENT, SYS(chown, "l", USER, OTHER)); }
CASE(directory) { dir("d"); EQ(0, SYS(chown, "d", USER, OTHER)); OWNED("d", USER, OTHER); }
ERR(missing, ENOENT, SYS(chown, "none", 1, 1))
ERR(empty_path, ENOENT, SYS(chown, "", 1, 1))
ERR(bad_pointer, EFAULT, SYS(chown, BAD, 1, 1))
ERR(name_too_long, ENAMETOOLONG, SYS(chown, letters(256), 1, 1))
CASE(not_a_directory) { file("f", ""); FAILS(ENOTDIR, SYS(chown, "f/x", 1, 1)); FAILS(ENOTDIR, SYS(lchown, "f/", 1, 1)); }
CASE(loop) { slink("l", "l"); FAILS(ELOOP, SYS(chown, "l", 1, 1)); EQ(0, SYS(lchown, "l", 1, 1)); }
CASE(user_cannot_give_away) { file("f", ""); OK(SYS(chown, "f", USER, GROUP)); become(USER, GROUP); FAILS(EPERM, SYS(chown, "f", OTHER, -1)); FAILS(EPERM, SYS(chown, "f", 0, -1)); }
CASE(user_may_keep) { file("f", ""); OK(SYS(chown, "f", USER, GROUP)); become(USER, GROUP); EQ(0, SYS(chown, "f", USER, GROUP)); EQ(0, SYS(chown, "f", -1, -1)); }
CASE(user_may_choose_own_group) { file("f", ""); OK(SYS(chown, "f", USER, GROUP)); gid_t g[] = {GROUP, 77}; OK(SYS(setgroups, 2, g)); OK(SYS(setresgid, GROUP, GROUP, GROUP)); OK(SYS(setresuid, USER, USER, USER)); EQ(0, SYS(chown, "f", -1, 77)); FAILS(EPERM, SYS(chown, "f", -1, 78)); OWNED("f", USER, 77); }
CASE(stranger_may_nothing) { file("f", ""); OK(SYS(chmod, "f", 0777)); become(USER, GROUP); FAILS(EPERM, SYS(chown, "f", USER, -1)); FAILS(EPERM, SYS(chown, "f", -1, GROUP)); FAILS(EPERM, SYS(chown, "f", 0, 0)); }
CASE(capability) { file("f", ""); become_with(USER, GROUP, CAP(CHOWN)); EQ(0, SYS(chown, "f", OTHER, OTHER)); OWNED("f", OTHER, OTHER); }
CASE(root_without_capability) { file("f", ""); without_cap(CAP_CHOWN); FAILS(EPERM, SYS(chown, "f", USER, -1)); }
CASE(no_search_permission) { dir_mode("d", 0666); file("d/f", ""); become(USER, GROUP); FAILS(EACCES, SYS(chown, "d/f", -1, -1)); }
CASE(read_only_mount) { FAILS(EROFS, SYS(chown, "/tests/chown", 1, 1)); FAILS(EROFS, SYS(lchown, "/tests/chown", 1, 1)); }
CASE(clears_setuid) { file("f", ""); OK(SYS(chmod, "f", 06755)); EQ(0, SYS(chown, "f", USER, GROUP)); EQ(0755, mode_of("f")); }
CASE(keeps_setgid_without_execution) { file("f", ""); OK(SYS(chmod, "f", 02644)); EQ(0, SYS(chown, "f", USER, GROUP)); EQ(02644, mode_of("f")); }
CASE(keeps_bits_of_directory) { dir("d"); OK(SYS(chmod, "d", 06755)); EQ(0, SYS(chown, "d", USER, GROUP)); EQ(06755, mode_of("d")); }
CASE(user_clears_setuid) { file("f", ""); OK(SYS(chown, "f", USER, GROUP)); become(USER, GROUP); OK(SYS(chmod, "f", 06755)); EQ(0, SYS(chown, "f", USER, GROUP)); EQ(0755, mode_of("f")); }
CASE(changes_ctime) { file("f", ""); struct stat before = STAT("f"); sleep_ms(20); OK(SYS(chown, "f", -1, 5)); struct stat after = STAT("f"); CHECK(after.st_ctim.tv_sec > before.st_ctim.tv_sec || after.st_ctim.tv_nsec > before.st_ctim.tv_nsec); EQ(before.st_mtime, after.st_mtime); }
CASE(highest_id) { file("f", ""); EQ(0, SYS(chown, "f", 65534, 65534)); OWNED("f", 65534, 65534); }
CASE(descriptor) { file("f", ""); EQ(0, SYS(fchown, OK(SYS(open, "f", O_RDONLY, 0)), USER, OTHER)); OWNED("f", USER, OTHER); }
CASE(descriptor_without_right) { file("f", ""); int fd = OK(SYS(open, "f", O_RDONLY, 0)); become(USER, GROUP); FAILS(EPERM, SYS(fchown, fd, USER, GROUP)); }
ERR(descriptor_closed, EBADF, SYS(fchown, 99, 1, 1))
CASE(at_directory) { dir("d"); file("d/f", ""); EQ(0, SYS(fchownat, OK(SYS(open, "d", O_RDONLY, 0)), "f", USER, OTHER, 0)); OWNED("d/f", USER, OTHER); }
CASE(at_nofollow) { file("f", ""); slink("f", "l"); EQ(0, SYS(fchownat, AT_FDCWD, "l", USER, OTHER, AT_SYMLINK_NOFOLLOW)); OWNED("l", USER, OTHER); OWNED("f", 0, 0); }
CASE(at_empty_path) { file("f", ""); EQ(0, SYS(fchownat, OK(SYS(open, "f", O_RDONLY, 0)), "", USER, OTHER, AT_EMPTY_PATH)); OWNED("f", USER, OTHER); }
CASE(at_empty_path_of_path_descriptor) { file("f", ""); EQ(0, SYS(fchownat, OK(SYS(open, "f", O_PATH, 0)), "", USER, OTHER, AT_EMPTY_PATH)); OWNED("f", USER, OTHER); }
CASE(at_empty_path_of_link) { slink("none", "l"); EQ(0, SYS(fchownat, OK(SYS(open, "l", O_PATH | O_NOFOLLOW, 0)), "", USER, OTHER, AT_EMPTY_PATH)); OWNED("l", USER, OTHER); }
CASE(at_empty_path_of_cwd) { dir("d"); OK(SYS(chdir, "d")); EQ(0, SYS(fchownat, AT_FDCWD, "", USER, OTHER, AT_EMPTY_PATH)); OWNED(".", USER, OTHER); }
ERR(at_empty_without_flag, ENOENT, SYS(fchownat, AT_FDCWD, "", 1, 1, 0))
ERR(at_unknown_flag, EINVAL, SYS(fchownat, AT_FDCWD, ".", 1, 1, 0x8000))
ERR(at_closed, EBADF, SYS(fchownat, 99, "f", 1, 1, 0))

/* ---- lchown(2) ---- */

PATH_ERRORS(lchown, SYS(lchown, path, -1, -1))
CASE(lchown_not_the_owner) { slink("none", "l"); become(USER, GROUP); FAILS(EPERM, SYS(lchown, "l", USER, GROUP)); }
