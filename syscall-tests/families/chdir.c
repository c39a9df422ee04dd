/* chdir(2), fchdir(2), getcwd(2), chroot(2), umask(2) */
#include "harness.h"

static char b[PATH_MAX + 100];

CASE(changes) { dir("d"); file("d/f", ""); EQ(0, SYS(chdir, "d")); CHECK(exists("f")); OK(SYS(getcwd, b, sizeof b)); STREQ("/d", strrchr(b, '/')); }
CASE(follows_link) { dir("d"); slink("d", "l"); EQ(0, SYS(chdir, "l")); OK(SYS(getcwd, b, sizeof b)); STREQ("/d", strrchr(b, '/')); }
CASE(dot_dot) { dir("d"); EQ(0, SYS(chdir, "d")); EQ(0, SYS(chdir, "..")); CHECK(exists("d")); }
CASE(root) { EQ(0, SYS(chdir, "/")); EQ(0, SYS(chdir, "..")); EQ(2, SYS(getcwd, b, sizeof b)); STREQ("/", b); }
CASE(file_) { file("f", ""); FAILS(ENOTDIR, SYS(chdir, "f")); }
ERR(missing, ENOENT, SYS(chdir, "none"))
ERR(empty_path, ENOENT, SYS(chdir, ""))
ERR(bad_pointer, EFAULT, SYS(chdir, BAD))
ERR(name_too_long, ENAMETOOLONG, SYS(chdir, letters(256)))
CASE(loop) { slink("l", "l"); FAILS(ELOOP, SYS(chdir, "l")); }
CASE(no_search_permission) { dir_mode("d", 0666); become(USER, GROUP); FAILS(EACCES, SYS(chdir, "d")); }
CASE(search_permission_suffices) { dir_mode("d", 0711); become(USER, GROUP); EQ(0, SYS(chdir, "d")); }
CASE(root_needs_none) { need_root(); dir_mode("d", 0); EQ(0, SYS(chdir, "d")); }
CASE(is_inherited) { dir("d"); OK(SYS(chdir, "d")); CHILD(OK(SYS(getcwd, b, sizeof b)); STREQ("/d", strrchr(b, '/'))); }
CASE(of_a_child_is_its_own) { dir("d"); CHILD(OK(SYS(chdir, "d"))); CHECK(exists("d")); }
CASE(descriptor) { dir("d"); file("d/f", ""); EQ(0, SYS(fchdir, OK(SYS(open, "d", O_RDONLY, 0)))); CHECK(exists("f")); }
CASE(descriptor_of_file) { file("f", ""); FAILS(ENOTDIR, SYS(fchdir, OK(SYS(open, "f", O_RDONLY, 0)))); }
ERR(descriptor_closed, EBADF, SYS(fchdir, 99))
CASE(descriptor_without_permission) { dir_mode("d", 0744); int fd = OK(SYS(open, "d", O_RDONLY, 0)); become(USER, GROUP); FAILS(EACCES, SYS(fchdir, fd)); }
CASE(descriptor_of_removed) { dir("d"); int fd = OK(SYS(open, "d", O_RDONLY, 0)); OK(SYS(rmdir, "d")); EQ(0, SYS(fchdir, fd)); FAILS(ENOENT, SYS(open, "f", O_WRONLY | O_CREAT, 0644)); }
CASE(cwd_length_counts_nul) { OK(SYS(chdir, "/")); EQ(2, SYS(getcwd, b, 2)); FAILS(ERANGE, SYS(getcwd, b, 1)); FAILS(ERANGE, SYS(getcwd, b, 0)); }
ERR(cwd_bad_pointer, EFAULT, SYS(getcwd, BAD, 4096))
CASE(cwd_removed) { dir("d"); OK(SYS(chdir, "d")); OK(SYS(rmdir, "../d")); FAILS(ENOENT, SYS(getcwd, b, sizeof b)); }
CASE(cwd_of_renamed) { dir("d"); OK(SYS(chdir, "d")); OK(SYS(rename, "../d", "../e")); OK(SYS(getcwd, b, sizeof b)); STREQ("/e", strrchr(b, '/')); }
CASE(cwd_deeper_than_a_path) { for (int i = 0; i < 20; i++) { OK(SYS(mkdir, letters(250), 0755)); OK(SYS(chdir, letters(250))); } FAILS(ENAMETOOLONG, SYS(getcwd, b, sizeof b)); file("f", "abc"); STREQ("abc", CONTENT("f")); OK(SYS(unlink, "f")); }
CASE(chroot_) { dir("d"); file("d/f", "abc"); EQ(0, SYS(chroot, "d")); STREQ("abc", CONTENT("/f")); }
CASE(chroot_bounds_dot_dot) { dir("d"); file("d/f", "abc"); OK(SYS(chroot, "d")); OK(SYS(chdir, "/")); STREQ("abc", CONTENT("../../f")); FAILS(ENOENT, SYS(open, "/../scratch", O_RDONLY, 0)); }
CASE(chroot_bounds_absolute_links) { dir("d"); file("d/f", "abc"); slink("/f", "d/l"); OK(SYS(chroot, "d")); OK(SYS(chdir, "/")); STREQ("abc", CONTENT("l")); }
CASE(chroot_keeps_the_working_directory) { dir("d"); file("f", "abc"); OK(SYS(chroot, "d")); STREQ("abc", CONTENT("f")); OK(SYS(getcwd, b, sizeof b)); CHECK(!strncmp(b, "(unreachable)", 13)); }
CASE(chroot_is_inherited) { dir("d"); file("d/f", "abc"); OK(SYS(chroot, "d")); CHILD(STREQ("abc", CONTENT("/f"))); }
CASE(chroot_creating) { dir("d"); OK(SYS(chroot, "d")); OK(SYS(mkdir, "/new", 0755)); OK(SYS(chdir, "/..")); CHECK(exists("new")); }
CASE(chroot_unlinking) { dir("d"); file("d/f", ""); OK(SYS(chroot, "d")); OK(SYS(unlink, "/f")); OK(SYS(symlink, "/x", "/l")); OK(SYS(rename, "/l", "/m")); FAILS(ENOENT, SYS(open, "/m", O_RDONLY, 0)); }
CASE(chroot_bounds_stat) { struct stat st; dir("d"); file("d/f", "abc"); OK(SYS(chroot, "d")); OK(SYS(stat, "/f", &st)); EQ(3, st.st_size); FAILS(ENOENT, SYS(stat, "/scratch", &st)); }
CASE(chroot_into_itself_again) { dir("d"); dir("d/e"); file("d/e/f", "abc"); OK(SYS(chroot, "d")); OK(SYS(chdir, "/")); OK(SYS(chroot, "e")); STREQ("abc", CONTENT("/f")); }
CASE(chroot_of_file) { file("f", ""); FAILS(ENOTDIR, SYS(chroot, "f")); }
ERR(chroot_missing, ENOENT, SYS(chroot, "none"))
ERR(chroot_bad_pointer, EFAULT, SYS(chroot, BAD))
CASE(chroot_loop) { slink("l", "l"); FAILS(ELOOP, SYS(chroot, "l")); }
CASE(chroot_as_user) { become(USER, GROUP); FAILS(EPERM, SYS(chroot, ".")); }
CASE(chroot_without_capability) { without_cap(CAP_SYS_CHROOT); FAILS(EPERM, SYS(chroot, ".")); }
CASE(chroot_no_search_permission) { dir_mode("d", 0666); become_with(USER, GROUP, CAP(SYS_CHROOT)); FAILS(EACCES, SYS(chroot, "d")); }
CASE(umask_returns_the_old) { SYS(umask, 027); EQ(027, SYS(umask, 07777)); EQ(0777, SYS(umask, 0)); }
CASE(umask_is_inherited) { SYS(umask, 031); CHILD(EQ(031, SYS(umask, 0))); EQ(031, SYS(umask, 0)); }
CASE(umask_counts_for_all) { SYS(umask, 0777); OK(SYS(open, "f", O_WRONLY | O_CREAT, 0777)); OK(SYS(mkdir, "d", 0777)); OK(SYS(mknod, "p", S_IFIFO | 0777, 0)); EQ(0, mode_of("f")); EQ(0, mode_of("d")); EQ(0, mode_of("p")); }
CASE(umask_changes_are_seen_at_once) { for (int i = 0; i < 8; i++) { char n[8]; sprintf(n, "f%d", i); SYS(umask, i << 3); OK(SYS(open, n, O_WRONLY | O_CREAT, 0777)); EQ(0777 & ~(i << 3), mode_of(n)); } }
