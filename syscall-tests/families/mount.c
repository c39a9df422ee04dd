/* mount(2), umount2(2), and the newer interface */
#include "harness.h"

#define TMPFS(where, flags) SYS(mount, "t", where, "tmpfs", flags, NULL)

CASE(tmpfs) { dir("d"); dev_t dev = STAT("d").st_dev; EQ(0, TMPFS("d", 0)); CHECK(STAT("d").st_dev != dev); file("d/f", "abc"); STREQ("abc", CONTENT("d/f")); OK(SYS(umount2, "d", 0)); CHECK(!exists("d/f")); }
CASE(tmpfs_options) { dir("d"); EQ(0, SYS(mount, "t", "d", "tmpfs", 0, "mode=0711,uid=1000,gid=2000,size=64k")); EQ(0711, mode_of("d")); EQ(1000, STAT("d").st_uid); EQ(2000, STAT("d").st_gid); OK(SYS(umount2, "d", 0)); }
CASE(tmpfs_size) { dir("d"); OK(SYS(mount, "t", "d", "tmpfs", 0, "size=16k")); int fd = OK(SYS(open, "d/f", O_WRONLY | O_CREAT, 0644)); static char b[65536]; EQ(16384, SYS(write, fd, b, sizeof b)); FAILS(ENOSPC, SYS(write, fd, b, 1)); SYS(close, fd); OK(SYS(umount2, "d", 0)); }
CASE(tmpfs_bad_option) { dir("d"); FAILS(EINVAL, SYS(mount, "t", "d", "tmpfs", 0, "nonsense=1")); }
CASE(read_only) { dir("d"); EQ(0, TMPFS("d", MS_RDONLY)); FAILS(EROFS, SYS(open, "d/f", O_WRONLY | O_CREAT, 0644)); OK(SYS(umount2, "d", 0)); }
CASE(noexec) { dir("d"); EQ(0, TMPFS("d", MS_NOEXEC)); file("d/f", "#!/tests/mount\n"); OK(SYS(chmod, "d/f", 0755)); FAILS(EACCES, SYS(execve, "d/f", NULL, NULL)); OK(SYS(umount2, "d", 0)); }
CASE(over_a_file) { file("f", ""); FAILS(ENOTDIR, TMPFS("f", 0)); }
CASE(missing) { FAILS(ENOENT, TMPFS("none", 0)); }
CASE(empty_path) { FAILS(ENOENT, TMPFS("", 0)); }
CASE(unknown_type) { dir("d"); FAILS(ENODEV, SYS(mount, "x", "d", "no-such-type", 0, NULL)); }
CASE(null_type) { dir("d"); FAILS(EINVAL, SYS(mount, "x", "d", NULL, 0, NULL)); }
CASE(bad_pointers) { dir("d"); FAILS(EFAULT, SYS(mount, "x", BAD, "tmpfs", 0, NULL)); FAILS(EFAULT, SYS(mount, "x", "d", BAD, 0, NULL)); FAILS(EFAULT, SYS(mount, BAD, "d", "tmpfs", 0, NULL)); FAILS(EFAULT, SYS(mount, "x", "d", "tmpfs", 0, BAD)); }
CASE(as_user) { dir("d"); OK(SYS(chown, "d", USER, GROUP)); become(USER, GROUP); FAILS(EPERM, TMPFS("d", 0)); FAILS(EPERM, SYS(umount2, "/tmp", 0)); }
CASE(without_capability) { dir("d"); without_cap(CAP_SYS_ADMIN); FAILS(EPERM, TMPFS("d", 0)); }
CASE(name_too_long) { FAILS(ENAMETOOLONG, TMPFS(letters(256), 0)); }
CASE(loop) { slink("l", "l"); FAILS(ELOOP, TMPFS("l", 0)); }
CASE(bind_directory) { dir("a"); dir("b"); file("a/f", "abc"); EQ(0, SYS(mount, "a", "b", NULL, MS_BIND, NULL)); STREQ("abc", CONTENT("b/f")); file("b/g", "x"); CHECK(exists("a/g")); OK(SYS(umount2, "b", 0)); CHECK(!exists("b/f")); }
CASE(bind_file) { file("a", "A"); file("b", "B"); EQ(0, SYS(mount, "a", "b", NULL, MS_BIND, NULL)); STREQ("A", CONTENT("b")); OK(SYS(umount2, "b", 0)); STREQ("B", CONTENT("b")); }
CASE(bind_kinds_differ) { file("a", ""); dir("d"); FAILS(ENOTDIR, SYS(mount, "a", "d", NULL, MS_BIND, NULL)); FAILS(ENOTDIR, SYS(mount, "d", "a", NULL, MS_BIND, NULL)); }
CASE(bind_missing) { dir("d"); FAILS(ENOENT, SYS(mount, "none", "d", NULL, MS_BIND, NULL)); FAILS(EINVAL, SYS(mount, NULL, "d", NULL, MS_BIND, NULL)); FAILS(EINVAL, SYS(mount, "", "d", NULL, MS_BIND, NULL)); }
CASE(bind_is_not_recursive) { dir("a"); dir("a/t"); dir("b"); OK(TMPFS("a/t", 0)); file("a/t/f", ""); OK(SYS(mount, "a", "b", NULL, MS_BIND, NULL)); CHECK(!exists("b/t/f")); OK(SYS(umount2, "b", 0)); OK(SYS(mount, "a", "b", NULL, MS_BIND | MS_REC, NULL)); CHECK(exists("b/t/f")); OK(SYS(umount2, "b", MNT_DETACH)); OK(SYS(umount2, "a/t", 0)); }
CASE(bind_made_read_only) { dir("a"); dir("b"); OK(SYS(mount, "a", "b", NULL, MS_BIND, NULL)); EQ(0, SYS(mount, NULL, "b", NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL)); FAILS(EROFS, SYS(mkdir, "b/d", 0755)); OK(SYS(mkdir, "a/d", 0755)); OK(SYS(umount2, "b", 0)); }
CASE(rename_across_a_bind) { dir("a"); dir("b"); file("a/f", ""); OK(SYS(mount, "a", "b", NULL, MS_BIND, NULL)); FAILS(EXDEV, SYS(rename, "a/f", "b/g")); FAILS(EXDEV, SYS(link, "a/f", "b/g")); OK(SYS(umount2, "b", 0)); }
CASE(remount_tmpfs_read_only) { dir("d"); OK(TMPFS("d", 0)); EQ(0, SYS(mount, NULL, "d", NULL, MS_REMOUNT | MS_RDONLY, NULL)); FAILS(EROFS, SYS(mkdir, "d/x", 0755)); EQ(0, SYS(mount, NULL, "d", NULL, MS_REMOUNT, NULL)); OK(SYS(mkdir, "d/x", 0755)); OK(SYS(umount2, "d", 0)); }
CASE(remount_of_no_mount) { dir("d"); FAILS(EINVAL, SYS(mount, NULL, "d", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL)); }
CASE(propagation) { dir("d"); OK(TMPFS("d", 0)); EQ(0, SYS(mount, NULL, "d", NULL, MS_PRIVATE, NULL)); EQ(0, SYS(mount, NULL, "d", NULL, MS_SHARED, NULL)); FAILS(EINVAL, SYS(mount, NULL, "d", NULL, MS_PRIVATE | MS_SHARED, NULL)); OK(SYS(umount2, "d", 0)); }
CASE(propagation_of_no_mount) { dir("d"); FAILS(EINVAL, SYS(mount, NULL, "d", NULL, MS_PRIVATE, NULL)); }
CASE(unbindable) { dir("a"); dir("b"); OK(TMPFS("a", 0)); OK(SYS(mount, NULL, "a", NULL, MS_UNBINDABLE, NULL)); FAILS(EINVAL, SYS(mount, "a", "b", NULL, MS_BIND, NULL)); OK(SYS(umount2, "a", 0)); }
CASE(stacked) { dir("d"); OK(TMPFS("d", 0)); file("d/1", ""); OK(TMPFS("d", 0)); CHECK(!exists("d/1")); OK(SYS(umount2, "d", 0)); CHECK(exists("d/1")); OK(SYS(umount2, "d", 0)); CHECK(!exists("d/1")); }
CASE(dot_dot_leaves_a_mount) { dir("d"); OK(TMPFS("d", 0)); file("f", "abc"); dir("d/s"); STREQ("abc", CONTENT("d/s/../../f")); OK(SYS(umount2, "d", 0)); }
CASE(shown_in_mountinfo) { dir("mntpt"); OK(TMPFS("mntpt", 0)); char t[100000]; int fd = OK(SYS(open, "/proc/self/mountinfo", O_RDONLY, 0)); long n = 0, got; while ((got = SYS(read, fd, t + n, sizeof t - 1 - n)) > 0) n += got; t[n] = 0; CHECK(strstr(t, "/mntpt ")); OK(SYS(umount2, "mntpt", 0)); }
CASE(unmount_busy) { dir("d"); OK(TMPFS("d", 0)); int fd = OK(SYS(open, "d", O_RDONLY, 0)); FAILS(EBUSY, SYS(umount2, "d", 0)); SYS(close, fd); EQ(0, SYS(umount2, "d", 0)); }
CASE(unmount_busy_by_cwd) { dir("d"); OK(TMPFS("d", 0)); OK(SYS(chdir, "d")); FAILS(EBUSY, SYS(umount2, ".", 0)); OK(SYS(chdir, "/")); }
CASE(unmount_with_a_mount_below) { dir("d"); OK(TMPFS("d", 0)); dir("d/e"); OK(TMPFS("d/e", 0)); FAILS(EBUSY, SYS(umount2, "d", 0)); OK(SYS(umount2, "d/e", 0)); EQ(0, SYS(umount2, "d", 0)); }
CASE(unmount_lazily) { dir("d"); OK(TMPFS("d", 0)); file("d/f", "abc"); int fd = OK(SYS(open, "d/f", O_RDONLY, 0)); EQ(0, SYS(umount2, "d", MNT_DETACH)); CHECK(!exists("d/f")); char b[4] = ""; EQ(3, SYS(read, fd, b, 3)); STREQ("abc", b); }
CASE(unmount_no_mount) { dir("d"); FAILS(EINVAL, SYS(umount2, "d", 0)); file("f", ""); FAILS(EINVAL, SYS(umount2, "f", 0)); }
CASE(unmount_nofollow) { dir("d"); OK(TMPFS("d", 0)); slink("d", "l"); FAILS(EINVAL, SYS(umount2, "l", UMOUNT_NOFOLLOW)); EQ(0, SYS(umount2, "l", 0)); }
CASE(unmount_errors) { FAILS(ENOENT, SYS(umount2, "none", 0)); FAILS(EFAULT, SYS(umount2, BAD, 0)); FAILS(EINVAL, SYS(umount2, "/tmp", 0x100)); FAILS(EINVAL, SYS(umount2, "/tmp", MNT_EXPIRE | MNT_DETACH)); }
CASE(unlink_of_a_mount_point) { dir("d"); OK(TMPFS("d", 0)); FAILS(EBUSY, SYS(rmdir, "d")); FAILS(EBUSY, SYS(rename, "d", "e")); OK(SYS(umount2, "d", 0)); EQ(0, SYS(rmdir, "d")); }
CASE(move) { dir("a"); dir("b"); OK(TMPFS("a", 0)); file("a/f", ""); EQ(0, SYS(mount, "a", "b", NULL, MS_MOVE, NULL)); CHECK(exists("b/f")); CHECK(!exists("a/f")); OK(SYS(umount2, "b", 0)); }
CASE(proc_) { dir("d"); EQ(0, SYS(mount, "proc", "d", "proc", 0, NULL)); CHECK(exists("d/self")); OK(SYS(umount2, "d", 0)); }
CASE(new_interface) { dir("d"); int fs = OK(SYS(fsopen, "tmpfs", 0)); OK(SYS(fsconfig, fs, 6, NULL, NULL, 0)); int m = OK(SYS(fsmount, fs, 0, 0)); EQ(0, SYS(move_mount, m, "", AT_FDCWD, "d", 4)); OK(SYS(umount2, "d", MNT_DETACH)); }
CASE(unmount_name_too_long) { FAILS(ENAMETOOLONG, SYS(umount2, letters(256), 0)); FAILS(ELOOP, (slink("l", "l"), SYS(umount2, "l", 0))); }
CASE(unmount_when_expired) { dir("d"); OK(TMPFS("d", 0)); FAILS(EINVAL, SYS(umount2, "d", MNT_EXPIRE | MNT_DETACH)); FAILS(EAGAIN, SYS(umount2, "d", MNT_EXPIRE)); EQ(0, SYS(umount2, "d", MNT_EXPIRE)); FAILS(EINVAL, SYS(umount2, "d", 0)); }
CASE(remount_read_only_with_a_writer) { dir("d"); OK(TMPFS("d", 0)); int fd = OK(SYS(open, "d/f", O_WRONLY | O_CREAT, 0644)); FAILS(EBUSY, SYS(mount, NULL, "d", NULL, MS_REMOUNT | MS_RDONLY, NULL)); SYS(close, fd); EQ(0, SYS(mount, NULL, "d", NULL, MS_REMOUNT | MS_RDONLY, NULL)); OK(SYS(umount2, "d", 0)); }
