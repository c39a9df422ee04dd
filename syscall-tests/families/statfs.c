/* statfs(2), fstatfs(2), sync(2), syncfs(2) */
#include "harness.h"
#include <sys/vfs.h>

static struct statfs s;

CASE(values) { EQ(0, SYS(statfs, ".", &s)); CHECK(s.f_bsize > 0); CHECK(s.f_blocks >= s.f_bfree); CHECK(s.f_bfree >= s.f_bavail || s.f_bavail == 0); EQ(255, s.f_namelen); }
CASE(proc_type) { EQ(0, SYS(statfs, "/proc", &s)); EQ(0x9fa0, s.f_type); }
CASE(tmpfs_type) { EQ(0, SYS(statfs, "/tmp", &s)); EQ(0x01021994, s.f_type); }
CASE(read_only_flag) { EQ(0, SYS(statfs, "/tests", &s)); CHECK(s.f_flags & 1); OK(SYS(statfs, ".", &s)); CHECK(!(s.f_flags & 1)); }
CASE(follows_link) { slink("/proc", "l"); EQ(0, SYS(statfs, "l", &s)); EQ(0x9fa0, s.f_type); }
CASE(same_for_files_of_one) { file("f", ""); OK(SYS(statfs, "f", &s)); long t = s.f_type; OK(SYS(statfs, ".", &s)); EQ(t, s.f_type); }
ERR(missing, ENOENT, SYS(statfs, "none", &s))
ERR(empty_path, ENOENT, SYS(statfs, "", &s))
ERR(bad_path, EFAULT, SYS(statfs, BAD, &s))
ERR(bad_buffer, EFAULT, SYS(statfs, ".", BAD))
ERR(name_too_long, ENAMETOOLONG, SYS(statfs, letters(256), &s))
CASE(not_a_directory) { file("f", ""); FAILS(ENOTDIR, SYS(statfs, "f/x", &s)); }
CASE(loop) { slink("l", "l"); FAILS(ELOOP, SYS(statfs, "l", &s)); }
CASE(no_search_permission) { dir_mode("d", 0666); file("d/f", ""); become(USER, GROUP); FAILS(EACCES, SYS(statfs, "d/f", &s)); }
CASE(descriptor) { EQ(0, SYS(fstatfs, OK(SYS(open, "/proc", O_RDONLY, 0)), &s)); EQ(0x9fa0, s.f_type); }
CASE(descriptor_of_pipe) { int p[2]; OK(SYS(pipe, p)); EQ(0, SYS(fstatfs, p[0], &s)); EQ(0x50495045, s.f_type); }
CASE(path_descriptor) { EQ(0, SYS(fstatfs, OK(SYS(open, "/tmp", O_PATH, 0)), &s)); EQ(0x01021994, s.f_type); }
ERR(descriptor_closed, EBADF, SYS(fstatfs, 99, &s))
CASE(syncfs_) { EQ(0, SYS(syncfs, OK(SYS(open, "/tmp", O_RDONLY, 0)))); FAILS(EBADF, SYS(syncfs, 99)); }
CASE(fsync_) { int fd = OK(SYS(open, "f", O_RDWR | O_CREAT, 0644)); EQ(0, SYS(fsync, fd)); EQ(0, SYS(fdatasync, fd)); FAILS(EBADF, SYS(fsync, 99)); int p[2]; OK(SYS(pipe, p)); FAILS(EINVAL, SYS(fsync, p[0])); }
CASE(sync_file_range_) { int fd = OK(SYS(open, "f", O_RDWR | O_CREAT, 0644)); EQ(0, SYS(sync_file_range, fd, 0, 0, 0)); FAILS(EINVAL, SYS(sync_file_range, fd, -1, 0, 0)); FAILS(EINVAL, SYS(sync_file_range, fd, 0, 0, 64)); int p[2]; OK(SYS(pipe, p)); FAILS(ESPIPE, SYS(sync_file_range, p[0], 0, 0, 0)); }
