/* landlock(7): rules that a program sets itself. On a kernel without it each call is ENOSYS or EOPNOTSUPP, and nothing else is to be seen */
#include "harness.h"
#include <linux/landlock.h>

#define READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define WRITE (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_SYM | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR)

static long version(void) { return SYS(landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION); }
static void need(void) { long v = version(); if (v == -ENOSYS || v == -EOPNOTSUPP) skip("no Landlock here"); OK(v); }
static int ruleset(uint64_t handled) { struct landlock_ruleset_attr a = {.handled_access_fs = handled}; return OK(SYS(landlock_create_ruleset, &a, sizeof a, 0)); }
static void allow(int rules, const char *path, uint64_t access) { struct landlock_path_beneath_attr a = {access, OK(SYS(open, path, O_PATH | O_CLOEXEC, 0))}; EQ(0, SYS(landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &a, 0)); SYS(close, a.parent_fd); }
static void restrict_(int rules) { OK(SYS(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)); EQ(0, SYS(landlock_restrict_self, rules, 0)); SYS(close, rules); }
static void tree(void) { need(); dir("in"); dir("out"); file("in/f", "abc"); file("out/f", "xyz"); }

CASE(there) { CHECK(OK(version()) >= 1); }
CASE(missing_together) { long v = version(); if (v > 0) return; struct landlock_ruleset_attr a = {.handled_access_fs = READ}; EQ(v, SYS(landlock_create_ruleset, &a, sizeof a, 0)); EQ(v, SYS(landlock_restrict_self, -1, 0)); }
CASE(errors) { need(); struct landlock_ruleset_attr a = {.handled_access_fs = READ}; FAILS(EINVAL, SYS(landlock_create_ruleset, &a, sizeof a, 0x80)); FAILS(EINVAL, SYS(landlock_create_ruleset, &a, 1, 0)); FAILS(EFAULT, SYS(landlock_create_ruleset, BAD, sizeof a, 0)); a.handled_access_fs = 1ULL << 60; FAILS(EINVAL, SYS(landlock_create_ruleset, &a, sizeof a, 0)); a.handled_access_fs = 0; FAILS(ENOMSG, SYS(landlock_create_ruleset, &a, 8, 0)); FAILS(EBADF, SYS(landlock_add_rule, -1, LANDLOCK_RULE_PATH_BENEATH, &a, 0)); }
CASE(rule_errors) { need(); int r = ruleset(READ); struct landlock_path_beneath_attr a = {READ, -1}; FAILS(EBADF, SYS(landlock_add_rule, r, LANDLOCK_RULE_PATH_BENEATH, &a, 0)); a.parent_fd = OK(SYS(open, ".", O_PATH, 0)); a.allowed_access = 0; FAILS(ENOMSG, SYS(landlock_add_rule, r, LANDLOCK_RULE_PATH_BENEATH, &a, 0)); a.allowed_access = WRITE; FAILS(EINVAL, SYS(landlock_add_rule, r, LANDLOCK_RULE_PATH_BENEATH, &a, 0)); FAILS(EINVAL, SYS(landlock_add_rule, r, 99, &a, 0)); FAILS(EFAULT, SYS(landlock_add_rule, r, LANDLOCK_RULE_PATH_BENEATH, BAD, 0)); }
CASE(needs_no_new_privs) { need(); int r = ruleset(READ); become(USER, GROUP); FAILS(EPERM, SYS(landlock_restrict_self, r, 0)); OK(SYS(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)); EQ(0, SYS(landlock_restrict_self, r, 0)); }
CASE(held_objects_go_on) { tree(); int r = ruleset(READ | WRITE), fd = OK(SYS(open, "out/f", O_RDWR, 0)); char c[4] = ""; restrict_(r); EQ(3, SYS(read, fd, c, 3)); EQ(1, SYS(write, fd, "w", 1)); }
CASE(reading) { tree(); int r = ruleset(READ); allow(r, "in", READ); restrict_(r); OK(SYS(open, "in/f", O_RDONLY, 0)); FAILS(EACCES, SYS(open, "out/f", O_RDONLY, 0)); OK(SYS(open, "out/f", O_WRONLY, 0)); FAILS(EACCES, SYS(open, "out", O_RDONLY | O_DIRECTORY, 0)); }
CASE(writing) { tree(); int r = ruleset(WRITE); allow(r, "in", WRITE); restrict_(r); OK(SYS(open, "in/f", O_WRONLY, 0)); FAILS(EACCES, SYS(open, "out/f", O_WRONLY, 0)); OK(SYS(open, "out/f", O_RDONLY, 0)); }
CASE(creating) { tree(); int r = ruleset(WRITE); allow(r, "in", WRITE); restrict_(r); OK(SYS(open, "in/g", O_WRONLY | O_CREAT, 0644)); FAILS(EACCES, SYS(open, "out/g", O_WRONLY | O_CREAT, 0644)); OK(SYS(mkdir, "in/d", 0755)); FAILS(EACCES, SYS(mkdir, "out/d", 0755)); OK(SYS(symlink, "x", "in/l")); FAILS(EACCES, SYS(symlink, "x", "out/l")); }
CASE(removing) { tree(); int r = ruleset(WRITE); allow(r, "in", WRITE); restrict_(r); EQ(0, SYS(unlink, "in/f")); FAILS(EACCES, SYS(unlink, "out/f")); FAILS(EACCES, SYS(rmdir, "out")); CHECK(exists("out/f")); }
CASE(renaming_out) { tree(); int r = ruleset(WRITE); allow(r, "in", WRITE); restrict_(r); EQ(0, SYS(rename, "in/f", "in/g")); long e = SYS(rename, "in/g", "out/g"); CHECK(e == -EACCES || e == -EXDEV); FAILS(EACCES, SYS(rename, "out/f", "out/g")); }
CASE(through_a_link) { tree(); slink("../out/f", "in/l"); int r = ruleset(READ); allow(r, "in", READ); restrict_(r); FAILS(EACCES, SYS(open, "in/l", O_RDONLY, 0)); }
CASE(relative_to_a_descriptor) { tree(); int r = ruleset(READ), d = OK(SYS(open, "out", O_RDONLY | O_DIRECTORY, 0)); allow(r, "in", READ); restrict_(r); FAILS(EACCES, SYS(openat, d, "f", O_RDONLY, 0)); }
CASE(truncating) { tree(); if (version() < 3) skip("Landlock 3"); int r = ruleset(1ULL << 14); allow(r, "in", 1ULL << 14); restrict_(r); EQ(0, SYS(truncate, "in/f", 1)); FAILS(EACCES, SYS(truncate, "out/f", 1)); FAILS(EACCES, SYS(open, "out/f", O_WRONLY | O_TRUNC, 0)); }
CASE(inherited_by_children) { tree(); int r = ruleset(READ); allow(r, "in", READ); restrict_(r); CHILD(FAILS(EACCES, SYS(open, "out/f", O_RDONLY, 0)); OK(SYS(open, "in/f", O_RDONLY, 0))); }
CASE(only_for_the_one_who_asks) { tree(); CHILD(restrict_(ruleset(READ))); OK(SYS(open, "out/f", O_RDONLY, 0)); }
CASE(layers_add_up) { tree(); int r = ruleset(READ); allow(r, ".", READ); int s = ruleset(READ); allow(s, "in", READ); restrict_(r); OK(SYS(open, "out/f", O_RDONLY, 0)); restrict_(s); FAILS(EACCES, SYS(open, "out/f", O_RDONLY, 0)); OK(SYS(open, "in/f", O_RDONLY, 0)); }
CASE(mounts_are_refused) { tree(); int r = ruleset(READ); allow(r, "/", READ); restrict_(r); FAILS(EPERM, SYS(mount, "t", "in", "tmpfs", 0, NULL)); }
CASE(ptrace_of_the_less_restricted) { tree(); pid_t p = SPAWN(for (;;) pause()); CHILD(restrict_(ruleset(READ)); FAILS(EPERM, SYS(ptrace, 16, p, 0, 0))); kill(p, SIGKILL); }
