/* open(2), path_resolution(7) */
#include "harness.h"

#define OPEN(path, flags) SYS(open, path, flags, 0644)

CASE(lowest_descriptor) { file("f", ""); int a = OK(OPEN("f", O_RDONLY)), b = OK(OPEN("f", O_RDONLY)); OK(SYS(close, a)); EQ(a, OPEN("f", O_RDONLY)); CHECK(b != a); }
CASE(creates) { OK(OPEN("f", O_WRONLY | O_CREAT)); EQ(0644, mode_of("f")); EQ(0, size_of("f")); }
CASE(create_mode_is_masked) { SYS(umask, 077); OK(SYS(open, "f", O_WRONLY | O_CREAT, 0666)); EQ(0600, mode_of("f")); }
CASE(create_mode_setuid) { OK(SYS(open, "f", O_WRONLY | O_CREAT, 04755)); EQ(04755, mode_of("f")); }
CASE(create_mode_sticky) { OK(SYS(open, "f", O_WRONLY | O_CREAT, 01644)); EQ(01644, mode_of("f")); }
CASE(create_mode_zero_is_writable) { become(USER, GROUP); OK(SYS(chdir, "/tmp")); SYS(unlink, "open_zero"); int fd = OK(SYS(open, "open_zero", O_RDWR | O_CREAT, 0)); EQ(1, SYS(write, fd, "x", 1)); FAILS(EACCES, OPEN("open_zero", O_RDONLY)); OK(SYS(unlink, "open_zero")); }
CASE(create_existing_keeps_mode) { file("f", "abc"); OK(SYS(chmod, "f", 0600)); OK(SYS(open, "f", O_WRONLY | O_CREAT, 0666)); EQ(0600, mode_of("f")); EQ(3, size_of("f")); }
CASE(create_owner) { dir_mode("d", 0777); become(USER, OTHER); OK(OPEN("d/f", O_WRONLY | O_CREAT)); EQ(USER, STAT("d/f").st_uid); EQ(OTHER, STAT("d/f").st_gid); }
CASE(create_in_setgid_directory) { dir("d"); OK(SYS(chown, "d", 0, 77)); OK(SYS(chmod, "d", 02777)); become(USER, GROUP); OK(OPEN("d/f", O_WRONLY | O_CREAT)); EQ(77, STAT("d/f").st_gid); EQ(0644, mode_of("d/f")); }
CASE(setgid_bit_of_foreign_group_is_dropped) { dir("d"); OK(SYS(chown, "d", 0, 77)); OK(SYS(chmod, "d", 02777)); become(USER, GROUP); OK(SYS(open, "d/f", O_WRONLY | O_CREAT, 02755)); EQ(0755, mode_of("d/f")); }
CASE(exclusive) { OK(OPEN("f", O_WRONLY | O_CREAT | O_EXCL)); FAILS(EEXIST, OPEN("f", O_WRONLY | O_CREAT | O_EXCL)); }
CASE(exclusive_on_dangling_link) { slink("none", "l"); FAILS(EEXIST, OPEN("l", O_WRONLY | O_CREAT | O_EXCL)); CHECK(!exists("none")); }
CASE(exclusive_on_directory) { dir("d"); FAILS(EEXIST, OPEN("d", O_RDONLY | O_CREAT | O_EXCL)); }
CASE(exclusive_read_only_mount) { FAILS(EEXIST, OPEN("/tests/open", O_RDONLY | O_CREAT | O_EXCL)); }
CASE(create_through_dangling_link) { slink("none", "l"); OK(OPEN("l", O_WRONLY | O_CREAT)); CHECK(S_ISREG(LSTAT("none").st_mode)); CHECK(S_ISLNK(LSTAT("l").st_mode)); }
CASE(create_through_link_to_missing_directory) { slink("a/b", "l"); FAILS(ENOENT, OPEN("l", O_WRONLY | O_CREAT)); }
CASE(create_with_trailing_slash) { FAILS(EISDIR, OPEN("f/", O_WRONLY | O_CREAT)); CHECK(!exists("f")); }
CASE(create_dot) { FAILS(EISDIR, OPEN(".", O_WRONLY | O_CREAT)); }
CASE(create_directory_readable) { dir("d"); FAILS(EISDIR, OPEN("d", O_RDONLY | O_CREAT)); }
CASE(create_and_directory) { FAILS(EINVAL, OPEN("d", O_RDONLY | O_CREAT | O_DIRECTORY)); CHECK(!exists("d")); }
CASE(truncates) { file("f", "abc"); OK(OPEN("f", O_WRONLY | O_TRUNC)); EQ(0, size_of("f")); }
CASE(truncates_read_only_descriptor) { file("f", "abc"); OK(OPEN("f", O_RDONLY | O_TRUNC)); EQ(0, size_of("f")); }
CASE(truncate_needs_write) { file("f", "abc"); become(USER, GROUP); FAILS(EACCES, OPEN("f", O_RDONLY | O_TRUNC)); EQ(3, size_of("f")); }
CASE(truncate_updates_mtime) { file("f", "abc"); struct timespec t[2] = {{1, 0}, {1, 0}}; OK(SYS(utimensat, AT_FDCWD, "f", t, 0)); OK(OPEN("f", O_WRONLY | O_TRUNC)); CHECK(STAT("f").st_mtime > 1); }
CASE(append) { file("f", "abc"); int fd = OK(OPEN("f", O_WRONLY | O_APPEND)); OK(SYS(lseek, fd, 0, SEEK_SET)); EQ(1, SYS(write, fd, "d", 1)); STREQ("abcd", CONTENT("f")); }
CASE(offset_begins_at_zero) { file("f", "abc"); int fd = OK(OPEN("f", O_RDONLY)); EQ(0, SYS(lseek, fd, 0, SEEK_CUR)); }
CASE(own_offset_for_each_open) { char c; file("f", "abc"); int a = OK(OPEN("f", O_RDONLY)), b = OK(OPEN("f", O_RDONLY)); OK(SYS(read, a, &c, 1)); EQ(0, SYS(lseek, b, 0, SEEK_CUR)); }
CASE(read_only_cannot_write) { file("f", ""); int fd = OK(OPEN("f", O_RDONLY)); FAILS(EBADF, SYS(write, fd, "x", 1)); }
CASE(write_only_cannot_read) { char c; file("f", "x"); int fd = OK(OPEN("f", O_WRONLY)); FAILS(EBADF, SYS(read, fd, &c, 1)); }
CASE(access_mode_three) { char c; file("f", "x"); int fd = OK(OPEN("f", O_ACCMODE)); FAILS(EBADF, SYS(read, fd, &c, 1)); FAILS(EBADF, SYS(write, fd, "x", 1)); }
CASE(access_mode_three_needs_both) { file("f", "x"); become(USER, GROUP); FAILS(EACCES, OPEN("f", O_ACCMODE)); }
CASE(flags_are_kept) { file("f", ""); int fd = OK(OPEN("f", O_RDWR | O_APPEND | O_NONBLOCK)); EQ(O_RDWR | O_APPEND | O_NONBLOCK | 0100000, SYS(fcntl, fd, F_GETFL)); }
CASE(creation_flags_are_not_kept) { int fd = OK(OPEN("f", O_RDWR | O_CREAT | O_EXCL | O_TRUNC | O_NOCTTY)); EQ(O_RDWR | 0100000, SYS(fcntl, fd, F_GETFL)); }
CASE(blocking_is_kept) { file("f", ""); int fd = OK(OPEN("f", O_RDONLY)); EQ(0100000, SYS(fcntl, fd, F_GETFL)); }
CASE(sync_flags_are_kept) { file("f", ""); int fd = OK(OPEN("f", O_WRONLY | O_SYNC)); EQ(O_WRONLY | O_SYNC | 0100000, SYS(fcntl, fd, F_GETFL)); }
CASE(dsync_flag_is_kept) { file("f", ""); int fd = OK(OPEN("f", O_WRONLY | O_DSYNC)); EQ(O_WRONLY | O_DSYNC | 0100000, SYS(fcntl, fd, F_GETFL)); }
CASE(directory_flag_is_kept) { int fd = OK(OPEN(".", O_RDONLY | O_DIRECTORY)); EQ(O_DIRECTORY | 0100000, SYS(fcntl, fd, F_GETFL)); }
CASE(nofollow_flag_is_kept) { file("f", ""); int fd = OK(OPEN("f", O_RDONLY | O_NOFOLLOW)); EQ(O_NOFOLLOW | 0100000, SYS(fcntl, fd, F_GETFL)); }
CASE(noatime_flag_is_kept) { file("f", ""); int fd = OK(OPEN("f", O_RDONLY | O_NOATIME)); EQ(O_NOATIME | 0100000, SYS(fcntl, fd, F_GETFL)); }
CASE(noatime_of_a_stranger) { file("f", ""); become(USER, GROUP); FAILS(EPERM, OPEN("f", O_RDONLY | O_NOATIME)); }
CASE(noatime_of_the_owner) { file("f", ""); OK(SYS(chown, "f", USER, GROUP)); become(USER, GROUP); OK(OPEN("f", O_RDONLY | O_NOATIME)); }
CASE(cloexec) { file("f", ""); EQ(FD_CLOEXEC, SYS(fcntl, OK(OPEN("f", O_RDONLY | O_CLOEXEC)), F_GETFD)); }
CASE(no_cloexec) { file("f", ""); EQ(0, SYS(fcntl, OK(OPEN("f", O_RDONLY)), F_GETFD)); }
CASE(unknown_flags_are_ignored) { file("f", ""); OK(OPEN("f", O_RDONLY | 0x40000000)); }
CASE(directory_read_only) { dir("d"); OK(OPEN("d", O_RDONLY)); }
CASE(directory_for_writing) { dir("d"); FAILS(EISDIR, OPEN("d", O_WRONLY)); FAILS(EISDIR, OPEN("d", O_RDWR)); }
CASE(directory_truncated) { dir("d"); FAILS(EISDIR, OPEN("d", O_RDONLY | O_TRUNC)); }
CASE(directory_flag_on_file) { file("f", ""); FAILS(ENOTDIR, OPEN("f", O_RDONLY | O_DIRECTORY)); }
CASE(directory_flag_on_link_to_directory) { dir("d"); slink("d", "l"); OK(OPEN("l", O_RDONLY | O_DIRECTORY)); }
CASE(directory_nofollow_on_link) { dir("d"); slink("d", "l"); FAILS(ENOTDIR, OPEN("l", O_RDONLY | O_DIRECTORY | O_NOFOLLOW)); }
CASE(read_of_directory) { char c; FAILS(EISDIR, SYS(read, OK(OPEN(".", O_RDONLY)), &c, 1)); }
CASE(nofollow_on_link) { file("f", ""); slink("f", "l"); FAILS(ELOOP, OPEN("l", O_RDONLY | O_NOFOLLOW)); }
CASE(nofollow_on_dangling_link) { slink("none", "l"); FAILS(ELOOP, OPEN("l", O_RDONLY | O_NOFOLLOW)); }
CASE(nofollow_create_on_link) { slink("none", "l"); FAILS(ELOOP, OPEN("l", O_WRONLY | O_CREAT | O_NOFOLLOW)); CHECK(!exists("none")); }
CASE(nofollow_with_slash) { dir("d"); slink("d", "l"); OK(OPEN("l/", O_RDONLY | O_NOFOLLOW)); }
CASE(nofollow_does_not_regard_parents) { dir("d"); file("d/f", ""); slink("d", "l"); OK(OPEN("l/f", O_RDONLY | O_NOFOLLOW)); }
CASE(follows_link) { file("f", "abc"); slink("f", "l"); STREQ("abc", CONTENT("l")); }
CASE(follows_absolute_link) { char here[PATH_MAX], there[PATH_MAX + 8]; OK(SYS(getcwd, here, sizeof here)); snprintf(there, sizeof there, "%s/f", here); file("f", "abc"); slink(there, "l"); STREQ("abc", CONTENT("l")); }
CASE(follows_chain_of_links) { file("l0", "abc"); for (int i = 1; i <= 40; i++) { char a[8], b[8]; sprintf(a, "l%d", i - 1); sprintf(b, "l%d", i); slink(a, b); } STREQ("abc", CONTENT("l40")); }
CASE(too_many_links) { file("l0", "abc"); for (int i = 1; i <= 41; i++) { char a[8], b[8]; sprintf(a, "l%d", i - 1); sprintf(b, "l%d", i); slink(a, b); } FAILS(ELOOP, OPEN("l41", O_RDONLY)); }
CASE(loop) { slink("l", "l"); FAILS(ELOOP, OPEN("l", O_RDONLY)); FAILS(ELOOP, OPEN("l", O_WRONLY | O_CREAT)); }
CASE(loop_in_parent) { slink("b", "a"); slink("a", "b"); FAILS(ELOOP, OPEN("a/f", O_RDONLY)); }
CASE(link_with_slash_to_file) { file("f", ""); slink("f", "l"); FAILS(ENOTDIR, OPEN("l/", O_RDONLY)); }
CASE(link_whose_target_has_slash) { file("f", ""); slink("f/", "l"); FAILS(ENOTDIR, OPEN("l", O_RDONLY)); }
CASE(link_to_dot_dot) { dir("d"); file("f", "abc"); slink("..", "d/up"); STREQ("abc", CONTENT("d/up/f")); }
CASE(dot_dot_after_link) { dir("a"); dir("a/b"); file("a/f", "a"); file("f", "top"); slink("a/b", "l"); STREQ("a", CONTENT("l/../f")); }
CASE(dot_dot_at_root) { OK(OPEN("/../../..", O_RDONLY)); EQ(STAT("/").st_ino, STAT("/../..").st_ino); }
ERR(missing, ENOENT, OPEN("none", O_RDONLY))
ERR(empty_path, ENOENT, OPEN("", O_RDONLY))
ERR(missing_parent, ENOENT, OPEN("a/b", O_WRONLY | O_CREAT))
CASE(file_as_directory) { file("f", ""); FAILS(ENOTDIR, OPEN("f/x", O_RDONLY)); FAILS(ENOTDIR, OPEN("f/x", O_WRONLY | O_CREAT)); }
CASE(file_with_slash) { file("f", ""); FAILS(ENOTDIR, OPEN("f/", O_RDONLY)); }
CASE(file_with_dot) { file("f", ""); FAILS(ENOTDIR, OPEN("f/.", O_RDONLY)); FAILS(ENOTDIR, OPEN("f/..", O_RDONLY)); }
CASE(slashes_in_row) { dir("d"); file("d/f", "abc"); STREQ("abc", CONTENT(".//d////f")); }
ERR(bad_pointer, EFAULT, OPEN(BAD, O_RDONLY))
ERR(null_pointer, EFAULT, OPEN(NULL, O_RDONLY))
ERR(kernel_pointer, EFAULT, OPEN(0xffff800000000000, O_RDONLY))
CASE(path_ends_at_page_end) { file("f", "abc"); char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); munmap(p + 4096, 4096); strcpy(p + 4094, "f"); OK(OPEN(p + 4094, O_RDONLY)); }
CASE(path_runs_into_unmapped_page) { char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); munmap(p + 4096, 4096); memset(p + 4090, 'a', 6); FAILS(EFAULT, OPEN(p + 4090, O_RDONLY)); }
CASE(path_across_pages) { file("abcdef", ""); char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); strcpy(p + 4093, "abcdef"); OK(OPEN(p + 4093, O_RDONLY)); }
CASE(path_in_read_only_memory) { file("f", ""); char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); strcpy(p, "f"); mprotect(p, 4096, PROT_READ); OK(OPEN(p, O_RDONLY)); }
CASE(path_in_unreadable_memory) { char *p = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); FAILS(EFAULT, OPEN(p, O_RDONLY)); }
CASE(name_of_255) { OK(OPEN(letters(255), O_WRONLY | O_CREAT)); }
ERR(name_of_256, ENAMETOOLONG, OPEN(letters(256), O_WRONLY | O_CREAT))
ERR(missing_name_of_256, ENAMETOOLONG, OPEN(letters(256), O_RDONLY))
CASE(path_of_4095) { file("f", "abc"); OK(OPEN(dots(4095, "f"), O_RDONLY)); }
ERR(path_of_4096, ENAMETOOLONG, OPEN(dots(4096, "f"), O_RDONLY))
CASE(names_of_any_bytes) { OK(OPEN("\x01\xff\n\\ \x7f", O_WRONLY | O_CREAT)); CHECK(exists("\x01\xff\n\\ \x7f")); }
CASE(no_read_permission) { file("f", ""); OK(SYS(chmod, "f", 0)); become(USER, GROUP); FAILS(EACCES, OPEN("f", O_RDONLY)); }
CASE(owner_without_permission) { file("f", ""); OK(SYS(chown, "f", USER, GROUP)); OK(SYS(chmod, "f", 0077)); become(USER, GROUP); FAILS(EACCES, OPEN("f", O_RDONLY)); }
CASE(group_without_permission) { file("f", ""); OK(SYS(chown, "f", 0, GROUP)); OK(SYS(chmod, "f", 0606)); become(USER, GROUP); FAILS(EACCES, OPEN("f", O_RDONLY)); }
CASE(group_permission) { file("f", ""); OK(SYS(chown, "f", 0, GROUP)); OK(SYS(chmod, "f", 0040)); become(USER, GROUP); OK(OPEN("f", O_RDONLY)); FAILS(EACCES, OPEN("f", O_WRONLY)); }
CASE(supplementary_group) { file("f", ""); OK(SYS(chown, "f", 0, 77)); OK(SYS(chmod, "f", 0040)); gid_t groups[] = {5, 77}; OK(SYS(setgroups, 2, groups)); OK(SYS(setresgid, GROUP, GROUP, GROUP)); OK(SYS(setresuid, USER, USER, USER)); OK(OPEN("f", O_RDONLY)); }
CASE(other_permission) { file("f", ""); OK(SYS(chmod, "f", 0004)); become(USER, GROUP); OK(OPEN("f", O_RDONLY)); FAILS(EACCES, OPEN("f", O_RDWR)); }
CASE(no_search_permission) { dir_mode("d", 0744); file("d/f", ""); become(USER, GROUP); FAILS(EACCES, OPEN("d/f", O_RDONLY)); }
CASE(no_search_permission_for_missing) { dir_mode("d", 0744); become(USER, GROUP); FAILS(EACCES, OPEN("d/none", O_RDONLY)); }
CASE(search_without_read) { dir_mode("d", 0711); file("d/f", "abc"); become(USER, GROUP); STREQ("abc", CONTENT("d/f")); FAILS(EACCES, OPEN("d", O_RDONLY)); }
CASE(no_write_in_parent) { dir("d"); become(USER, GROUP); FAILS(EACCES, OPEN("d/f", O_WRONLY | O_CREAT)); FAILS(EACCES, OPEN("d/f", O_WRONLY | O_CREAT | O_EXCL)); }
CASE(create_existing_without_write_in_parent) { dir("d"); file("d/f", ""); OK(SYS(chmod, "d/f", 0666)); become(USER, GROUP); OK(OPEN("d/f", O_WRONLY | O_CREAT)); }
CASE(root_reads_anything) { need_root(); file("f", "abc"); OK(SYS(chmod, "f", 0)); STREQ("abc", CONTENT("f")); OK(OPEN("f", O_WRONLY)); }
CASE(root_without_override) { file("f", "abc"); OK(SYS(chown, "f", USER, GROUP)); OK(SYS(chmod, "f", 0600)); uint64_t none = effective_capabilities() & ~(CAP(DAC_OVERRIDE) | CAP(DAC_READ_SEARCH)); OK(set_capabilities(none, none, 0)); FAILS(EACCES, OPEN("f", O_RDONLY)); }
CASE(read_search_capability) { dir_mode("d", 0700); file("d/f", "abc"); OK(SYS(chmod, "d/f", 0)); become_with(USER, GROUP, CAP(DAC_READ_SEARCH)); OK(OPEN("d/f", O_RDONLY)); FAILS(EACCES, OPEN("d/f", O_WRONLY)); }
CASE(override_capability) { dir_mode("d", 0700); file("d/f", "abc"); OK(SYS(chmod, "d/f", 0)); become_with(USER, GROUP, CAP(DAC_OVERRIDE)); OK(OPEN("d/f", O_RDWR)); }
CASE(real_uid_does_not_count) { file("f", ""); OK(SYS(chmod, "f", 0600)); need_root(); OK(SYS(setresuid, 0, USER, 0)); FAILS(EACCES, OPEN("f", O_RDONLY)); OK(SYS(setresuid, 0, 0, 0)); OK(OPEN("f", O_RDONLY)); }
CASE(fsuid_counts) { file("f", ""); OK(SYS(chmod, "f", 0600)); need_root(); SYS(setfsuid, USER); FAILS(EACCES, OPEN("f", O_RDONLY)); SYS(setfsuid, 0); OK(OPEN("f", O_RDONLY)); }
CASE(fsgid_counts) { dir_mode("d", 0777); need_root(); SYS(setfsgid, 77); OK(OPEN("d/f", O_WRONLY | O_CREAT)); EQ(77, STAT("d/f").st_gid); }
CASE(descriptor_outlives_permission) { char c; file("f", "a"); int fd = OK(OPEN("f", O_RDONLY)); OK(SYS(chmod, "f", 0)); become(USER, GROUP); EQ(1, SYS(read, fd, &c, 1)); }
CASE(sticky_directory_foreign_file) { dir_mode("d", 01777); file("d/f", ""); OK(SYS(chmod, "d/f", 0666)); OK(SYS(chown, "d/f", OTHER, OTHER)); become(USER, GROUP); OK(OPEN("d/f", O_RDWR)); }
CASE(descriptor_outlives_unlink) { char b[4] = ""; file("f", "abc"); int fd = OK(OPEN("f", O_RDONLY)); OK(SYS(unlink, "f")); EQ(3, SYS(read, fd, b, 3)); STREQ("abc", b); FAILS(ENOENT, OPEN("f", O_RDONLY)); }
CASE(read_only_mount) { FAILS(EROFS, OPEN("/tests/new", O_WRONLY | O_CREAT)); FAILS(EROFS, OPEN("/tests/.data", O_WRONLY)); FAILS(EROFS, OPEN("/tests/.data", O_RDONLY | O_TRUNC)); }
CASE(read_only_mount_reading) { OK(OPEN("/tests/open", O_RDONLY)); OK(OPEN("/tests/.data", O_RDONLY | O_CREAT)); }
CASE(descriptor_limit) { file("f", ""); struct rlimit few = {8, 8}; OK(SYS(setrlimit, RLIMIT_NOFILE, &few)); long fd; while ((fd = OPEN("f", O_RDONLY)) >= 0) CHECK(fd < 8); EQ(-EMFILE, fd); }
CASE(descriptor_limit_does_not_create) { struct rlimit none = {0, 0}; OK(SYS(setrlimit, RLIMIT_NOFILE, &none)); FAILS(EMFILE, OPEN("f", O_WRONLY | O_CREAT)); CHECK(!exists("f")); }
CASE(unix_socket) { OK(SYS(mknod, "s", S_IFSOCK | 0644, 0)); FAILS(ENXIO, OPEN("s", O_RDONLY)); FAILS(ENXIO, OPEN("s", O_RDWR)); }
CASE(path_descriptor_of_unix_socket) { OK(SYS(mknod, "s", S_IFSOCK | 0644, 0)); OK(OPEN("s", O_PATH)); }
CASE(device_null) { char c; int fd = OK(OPEN("/dev/null", O_RDWR)); EQ(1, SYS(write, fd, "x", 1)); EQ(0, SYS(read, fd, &c, 1)); }
CASE(device_zero) { char c = 1; EQ(1, SYS(read, OK(OPEN("/dev/zero", O_RDONLY)), &c, 1)); EQ(0, c); }
CASE(device_full) { int fd = OK(OPEN("/dev/full", O_WRONLY)); FAILS(ENOSPC, SYS(write, fd, "x", 1)); }
CASE(device_truncated) { OK(OPEN("/dev/null", O_WRONLY | O_CREAT | O_TRUNC)); }
CASE(random_devices) { char b[16] = ""; EQ(16, SYS(read, OK(OPEN("/dev/urandom", O_RDONLY)), b, 16)); EQ(16, SYS(read, OK(OPEN("/dev/random", O_RDONLY)), b, 16)); }
CASE(no_controlling_terminal) { setsid(); FAILS(ENXIO, OPEN("/dev/tty", O_RDWR)); }
CASE(direct_flag_or_refused) { file("f", ""); long fd = OPEN("f", O_RDONLY | O_DIRECT); CHECK(fd >= 0 || fd == -EINVAL); if (fd >= 0) CHECK(SYS(fcntl, fd, F_GETFL) & O_DIRECT); }
CASE(large_file) { int fd = OK(OPEN("f", O_RDWR | O_CREAT)); OK(SYS(ftruncate, fd, 1LL << 33)); EQ(1LL << 33, SYS(lseek, fd, 0, SEEK_END)); SYS(close, fd); fd = OK(OPEN("f", O_RDONLY)); EQ(1LL << 33, SYS(lseek, fd, 0, SEEK_END)); }

/* ---- a program that runs, a file with a lease ---- */

PROGRAM(waits) { SYS(write, 1, "x", 1); for (;;) pause(); return argc; }
/* "prog" runs. */
static void running(void) {
    int q[2], in = OK(SYS(open, SELF, O_RDONLY, 0)), out = OK(SYS(open, "prog", O_WRONLY | O_CREAT | O_CLOEXEC, 0755));
    char x;
    struct stat st;
    OK(SYS(fstat, in, &st));
    EQ(st.st_size, SYS(sendfile, out, in, NULL, st.st_size));
    SYS(close, out);
    OK(SYS(pipe, q));
    SPAWN(OK(SYS(dup2, q[1], 1)); char *args[] = {"prog", "waits", NULL}; OK(SYS(execve, "prog", args, NULL)));
    EQ(1, SYS(read, q[0], &x, 1));
}
CASE(running_program) { running(); FAILS(ETXTBSY, OPEN("prog", O_WRONLY)); FAILS(ETXTBSY, OPEN("prog", O_RDWR)); FAILS(ETXTBSY, SYS(openat, AT_FDCWD, "./prog", O_WRONLY, 0)); FAILS(ETXTBSY, OPEN("prog", O_RDONLY | O_TRUNC)); OK(OPEN("prog", O_RDONLY)); }
CASE(running_program_is_not_truncated) { running(); long size = size_of("prog"); FAILS(ETXTBSY, SYS(creat, "prog", 0644)); FAILS(ETXTBSY, SYS(truncate, "prog", 0)); EQ(size, size_of("prog")); }
CASE(running_program_is_replaced) { running(); OK(SYS(unlink, "prog")); file("prog", "abc"); STREQ("abc", CONTENT("prog")); }
