/* chroot(2) */
#include "harness.h"

static char b[PATH_MAX + 100];

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
ERR(chroot_too_long, ENAMETOOLONG, SYS(chroot, letters(256)))
ERR(chroot_path_too_long, ENAMETOOLONG, SYS(chroot, dots(4096, "d")))
