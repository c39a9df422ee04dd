/* chdir(2), fchdir(2), getcwd(2) */
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
