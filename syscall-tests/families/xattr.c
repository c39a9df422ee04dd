/* xattr(7): setxattr, getxattr, listxattr, removexattr, and their l and f variants */
#include "harness.h"
#include <sys/xattr.h>

static char b[70000];
#define SET(path, name, value) SYS(setxattr, path, name, value, strlen(value), 0)
#define GET(path, name) SYS(getxattr, path, name, b, sizeof b)

CASE(sets_and_gets) { file("f", ""); EQ(0, SET("f", "user.a", "abc")); EQ(3, GET("f", "user.a")); CHECK(!memcmp(b, "abc", 3)); }
CASE(empty_value) { file("f", ""); EQ(0, SYS(setxattr, "f", "user.a", "", 0, 0)); EQ(0, GET("f", "user.a")); }
CASE(replaces) { file("f", ""); OK(SET("f", "user.a", "abc")); EQ(0, SET("f", "user.a", "x")); EQ(1, GET("f", "user.a")); }
CASE(create_flag) { file("f", ""); EQ(0, SYS(setxattr, "f", "user.a", "x", 1, XATTR_CREATE)); FAILS(EEXIST, SYS(setxattr, "f", "user.a", "y", 1, XATTR_CREATE)); EQ(1, GET("f", "user.a")); EQ('x', b[0]); }
CASE(replace_flag) { file("f", ""); FAILS(ENODATA, SYS(setxattr, "f", "user.a", "x", 1, XATTR_REPLACE)); OK(SET("f", "user.a", "x")); EQ(0, SYS(setxattr, "f", "user.a", "y", 1, XATTR_REPLACE)); }
CASE(unknown_flag) { file("f", ""); FAILS(EINVAL, SYS(setxattr, "f", "user.a", "x", 1, 4)); }
CASE(size_only) { file("f", ""); OK(SET("f", "user.a", "abc")); EQ(3, SYS(getxattr, "f", "user.a", NULL, 0)); }
CASE(buffer_too_small) { file("f", ""); OK(SET("f", "user.a", "abc")); FAILS(ERANGE, SYS(getxattr, "f", "user.a", b, 2)); }
CASE(no_such_attribute) { file("f", ""); FAILS(ENODATA, GET("f", "user.none")); FAILS(ENODATA, SYS(removexattr, "f", "user.none")); }
CASE(no_such_namespace) { file("f", ""); FAILS(EOPNOTSUPP, SET("f", "nowhere.a", "x")); FAILS(EOPNOTSUPP, SET("f", "plain", "x")); }
CASE(empty_name) { file("f", ""); FAILS(ERANGE, SET("f", "", "x")); FAILS(ERANGE, GET("f", "")); }
CASE(namespace_alone) { file("f", ""); FAILS(EINVAL, SET("f", "user.", "x")); }
CASE(name_of_255) { file("f", ""); char n[300] = "user."; memset(n + 5, 'a', 250); n[255] = 0; EQ(0, SET("f", n, "x")); n[255] = 'a'; n[256] = 0; FAILS(ERANGE, SET("f", n, "x")); FAILS(ERANGE, GET("f", n)); }
CASE(value_too_large) { file("f", ""); FAILS(E2BIG, SYS(setxattr, "f", "user.a", b, 65537, 0)); }
CASE(removes) { file("f", ""); OK(SET("f", "user.a", "x")); EQ(0, SYS(removexattr, "f", "user.a")); FAILS(ENODATA, GET("f", "user.a")); }
CASE(list) { file("f", ""); OK(SET("f", "user.a", "x")); OK(SET("f", "user.bc", "x")); EQ(15, SYS(listxattr, "f", b, sizeof b)); CHECK(memmem(b, 15, "user.a", 7) && memmem(b, 15, "user.bc", 8)); }
CASE(list_size) { file("f", ""); OK(SET("f", "user.a", "x")); EQ(7, SYS(listxattr, "f", NULL, 0)); FAILS(ERANGE, SYS(listxattr, "f", b, 3)); }
CASE(list_empty) { file("f", ""); EQ(0, SYS(listxattr, "f", b, sizeof b)); }
CASE(bad_pointers) { file("f", ""); FAILS(EFAULT, SYS(setxattr, BAD, "user.a", "x", 1, 0)); FAILS(EFAULT, SYS(setxattr, "f", BAD, "x", 1, 0)); FAILS(EFAULT, SYS(setxattr, "f", "user.a", BAD, 1, 0)); OK(SET("f", "user.a", "x")); FAILS(EFAULT, SYS(getxattr, "f", "user.a", BAD, 10)); FAILS(EFAULT, SYS(listxattr, "f", BAD, 100)); FAILS(EFAULT, SYS(removexattr, BAD, "user.a")); }
ERR(missing, ENOENT, SET("none", "user.a", "x"))
ERR(get_missing, ENOENT, GET("none", "user.a"))
ERR(empty_path, ENOENT, SET("", "user.a", "x"))
CASE(not_a_directory) { file("f", ""); FAILS(ENOTDIR, SET("f/x", "user.a", "x")); FAILS(ENOTDIR, GET("f/x", "user.a")); FAILS(ENOTDIR, SYS(listxattr, "f/x", b, 9)); }
CASE(loop) { slink("l", "l"); FAILS(ELOOP, SET("l", "user.a", "x")); FAILS(ELOOP, GET("l", "user.a")); FAILS(ELOOP, SYS(removexattr, "l", "user.a")); }
CASE(follows_link) { file("f", ""); slink("f", "l"); EQ(0, SET("l", "user.a", "x")); EQ(1, GET("f", "user.a")); EQ(0, SYS(removexattr, "l", "user.a")); FAILS(ENODATA, GET("f", "user.a")); }
CASE(user_attributes_of_a_link) { slink("none", "l"); FAILS(EPERM, SYS(lsetxattr, "l", "user.a", "x", 1, 0)); }
CASE(l_on_file) { file("f", ""); EQ(0, SYS(lsetxattr, "f", "user.a", "x", 1, 0)); EQ(1, SYS(lgetxattr, "f", "user.a", b, 9)); EQ(7, SYS(llistxattr, "f", b, 99)); EQ(0, SYS(lremovexattr, "f", "user.a")); }
CASE(l_get_of_link) { file("f", ""); OK(SET("f", "user.a", "x")); slink("f", "l"); long r = SYS(lgetxattr, "l", "user.a", b, 9); CHECK(r == -ENODATA || r == -EPERM || r == -EOPNOTSUPP); EQ(0, SYS(llistxattr, "l", b, 99)); }
CASE(user_attributes_of_a_fifo) { fifo("p"); FAILS(EPERM, SET("p", "user.a", "x")); }
CASE(directory) { dir("d"); EQ(0, SET("d", "user.a", "x")); EQ(1, GET("d", "user.a")); }
CASE(sticky_directory_of_another) { dir_mode("d", 01777); become(USER, GROUP); FAILS(EPERM, SET("d", "user.a", "x")); }
CASE(no_write_permission) { file("f", ""); become(USER, GROUP); FAILS(EACCES, SET("f", "user.a", "x")); FAILS(EACCES, SYS(removexattr, "f", "user.a")); }
CASE(no_read_permission) { file("f", ""); OK(SET("f", "user.a", "x")); OK(SYS(chmod, "f", 0)); become(USER, GROUP); FAILS(EACCES, GET("f", "user.a")); }
CASE(read_only_mount) { FAILS(EROFS, SET("/tests/xattr", "user.a", "x")); FAILS(EROFS, SYS(removexattr, "/tests/xattr", "user.a")); }
CASE(trusted_as_user) { file("f", ""); OK(SYS(chown, "f", USER, GROUP)); become(USER, GROUP); FAILS(EPERM, SET("f", "trusted.a", "x")); FAILS(ENODATA, GET("f", "trusted.a")); }
CASE(trusted_as_root) { file("f", ""); EQ(0, SET("f", "trusted.a", "x")); EQ(1, GET("f", "trusted.a")); }
CASE(security_as_user) { file("f", ""); OK(SYS(chown, "f", USER, GROUP)); become(USER, GROUP); FAILS(EPERM, SET("f", "security.x", "x")); }
CASE(capability_with_a_bad_value) { file("f", ""); FAILS(EINVAL, SET("f", "security.capability", "x")); }
CASE(file_capability) { file("f", ""); uint32_t v[] = {0x02000000, 1 << 10, 0, 0, 0}; EQ(0, SYS(setxattr, "f", "security.capability", v, sizeof v, 0)); EQ(20, GET("f", "security.capability")); CHECK(!memcmp(b, v, 20)); }
CASE(chown_removes_file_capability) { file("f", ""); uint32_t v[] = {0x02000000, 1 << 10, 0, 0, 0}; OK(SYS(setxattr, "f", "security.capability", v, sizeof v, 0)); OK(SYS(chown, "f", USER, GROUP)); FAILS(ENODATA, GET("f", "security.capability")); }
CASE(write_removes_file_capability) { file("f", ""); uint32_t v[] = {0x02000000, 1 << 10, 0, 0, 0}; OK(SYS(setxattr, "f", "security.capability", v, sizeof v, 0)); file("f", "x"); FAILS(ENODATA, GET("f", "security.capability")); }
CASE(acl) { file("f", ""); uint32_t acl[] = {2, 7 << 16 | 1, -1, 4 << 16 | 2, USER, 4 << 16 | 4, -1, 7 << 16 | 0x10, -1, 0 << 16 | 0x20, -1}; long r = SYS(setxattr, "f", "system.posix_acl_access", acl, sizeof acl, 0); if (r == -EOPNOTSUPP) skip("the file system keeps no ACL"); EQ(0, r); OK(SYS(chmod, "f", 0670)); become(USER, GROUP); OK(SYS(open, "f", O_RDONLY, 0)); FAILS(EACCES, SYS(open, "f", O_RDWR, 0)); }
CASE(default_acl_beats_umask) { dir("d"); uint32_t acl[] = {2, 7 << 16 | 1, -1, 7 << 16 | 4, -1, 7 << 16 | 0x20, -1}; long r = SYS(setxattr, "d", "system.posix_acl_default", acl, sizeof acl, 0); if (r == -EOPNOTSUPP) skip("the file system keeps no ACL"); EQ(0, r); SYS(umask, 077); OK(SYS(open, "d/f", O_WRONLY | O_CREAT, 0666)); EQ(0666, mode_of("d/f")); OK(SYS(mkdir, "d/d", 0777)); EQ(0777, mode_of("d/d")); }
CASE(descriptor) { file("f", ""); int fd = OK(SYS(open, "f", O_RDWR, 0)); EQ(0, SYS(fsetxattr, fd, "user.a", "x", 1, 0)); EQ(1, SYS(fgetxattr, fd, "user.a", b, 9)); EQ(7, SYS(flistxattr, fd, b, 99)); EQ(0, SYS(fremovexattr, fd, "user.a")); }
ERR(descriptor_closed, EBADF, SYS(fgetxattr, 99, "user.a", NULL, 0))
CASE(proc_) { FAILS(EOPNOTSUPP, GET("/proc/version", "user.a")); }

/* ---- of a link itself: lsetxattr and its like ---- */

PATH_ERRORS(lsetxattr, SYS(lsetxattr, path, "user.a", "x", 1, 0))
PATH_ERRORS(lgetxattr, SYS(lgetxattr, path, "user.a", b, sizeof b))
PATH_ERRORS(llistxattr, SYS(llistxattr, path, b, sizeof b))
PATH_ERRORS(lremovexattr, SYS(lremovexattr, path, "user.a"))
CASE(link_forms_of_a_file) { file("f", ""); EQ(0, SYS(lsetxattr, "f", "user.a", "abc", 3, XATTR_CREATE)); FAILS(EEXIST, SYS(lsetxattr, "f", "user.a", "x", 1, XATTR_CREATE)); EQ(3, SYS(lgetxattr, "f", "user.a", b, 9)); FAILS(ERANGE, SYS(lgetxattr, "f", "user.a", b, 2)); EQ(7, SYS(llistxattr, "f", b, 99)); FAILS(ERANGE, SYS(llistxattr, "f", b, 3)); EQ(0, SYS(lremovexattr, "f", "user.a")); FAILS(ENODATA, SYS(lremovexattr, "f", "user.a")); FAILS(ENODATA, SYS(lsetxattr, "f", "user.a", "x", 1, XATTR_REPLACE)); }
CASE(link_forms_no_such_namespace) { file("f", ""); FAILS(EOPNOTSUPP, SYS(lsetxattr, "f", "nowhere.a", "x", 1, 0)); FAILS(EOPNOTSUPP, SYS(lgetxattr, "f", "nowhere.a", b, 9)); FAILS(EOPNOTSUPP, SYS(lremovexattr, "f", "nowhere.a")); FAILS(EOPNOTSUPP, SYS(getxattr, "f", "nowhere.a", b, 9)); FAILS(EOPNOTSUPP, SYS(removexattr, "f", "nowhere.a")); }
CASE(link_forms_value_too_long) { file("f", ""); FAILS(E2BIG, SYS(lsetxattr, "f", "user.a", b, 65537, 0)); FAILS(ERANGE, SYS(lsetxattr, "f", "", "x", 1, 0)); FAILS(ERANGE, SYS(lgetxattr, "f", letters(256), b, 9)); }
CASE(link_forms_read_only_mount) { FAILS(EROFS, SYS(lsetxattr, "/tests/.data", "user.a", "x", 1, 0)); FAILS(EROFS, SYS(lremovexattr, "/tests/.data", "user.a")); }
CASE(not_on_proc) { FAILS(EOPNOTSUPP, SYS(setxattr, "/proc/self/comm", "user.a", "x", 1, 0)); FAILS(EOPNOTSUPP, SYS(getxattr, "/proc/self/status", "user.a", b, 9)); FAILS(EOPNOTSUPP, SYS(removexattr, "/proc/self/comm", "user.a")); }
