/* openat(2), mkdirat(2), renameat2(2) and the like: the errors of names below a directory's descriptor, which are the same for all of them */
#include "harness.h"

static int d;
static struct { unsigned bytes; int type; char handle[128]; } handle_ = {128, 0, ""};
static int mount_id;
static char buffer[4096];

/* `d`: a directory with a file, a link to itself, and a directory that nobody else may search. */
static void place(void) {
    dir("d");
    file("d/f", "");
    slink("l", "d/l");
    dir("d/closed");
    file("d/closed/f", "");
    OK(SYS(chmod, "d/closed", 0700));
    d = OK(SYS(open, "d", O_RDONLY | O_DIRECTORY, 0));
}

#define ERRORS(name, ...)                                                                                                  \
    static long name##_of(const char *p) { return SYS(name, __VA_ARGS__); }                                                \
    PATH_CASES(name, name##_of)
#define PATH_CASES(name, call)                                                                                             \
    CASE(name##_missing) { place(); FAILS(ENOENT, call("none/f")); FAILS(ENOENT, call("")); }                              \
    CASE(name##_not_a_directory) { place(); FAILS(ENOTDIR, call("f/x")); d = OK(SYS(open, "d/f", O_RDONLY, 0)); FAILS(ENOTDIR, call("x")); } \
    CASE(name##_loop) { place(); FAILS(ELOOP, call("l/x")); }                                                              \
    CASE(name##_too_long) { place(); FAILS(ENAMETOOLONG, call(letters(256))); FAILS(ENAMETOOLONG, call(dots(4096, "f"))); } \
    CASE(name##_bad_pointer) { place(); FAILS(EFAULT, call(BAD)); }                                                        \
    CASE(name##_closed) { d = 99; FAILS(EBADF, call("f")); FAILS(ENOENT, call("/none/f")); }                               \
    CASE(name##_no_search_permission) { place(); become(USER, GROUP); FAILS(EACCES, call("closed/f")); }

ERRORS(openat, d, p, O_RDONLY, 0)
ERRORS(mkdirat, d, p, 0755)
ERRORS(mknodat, d, p, S_IFREG | 0644, 0)
ERRORS(unlinkat, d, p, 0)
ERRORS(symlinkat, "t", d, p)
ERRORS(renameat, d, p, d, "new")
ERRORS(renameat2, d, p, d, "new", RENAME_NOREPLACE)
ERRORS(linkat, d, p, d, "new", 0)
ERRORS(fchmodat, d, p, 0600)
ERRORS(fchownat, d, p, -1, -1, 0)
ERRORS(faccessat, d, p, F_OK)
ERRORS(faccessat2, d, p, F_OK, AT_EACCESS)
ERRORS(newfstatat, d, p, buffer, 0)
ERRORS(statx, d, p, 0, 0x7ff, buffer)
ERRORS(readlinkat, d, p, buffer, sizeof buffer)
ERRORS(utimensat, d, p, NULL, 0)
ERRORS(futimesat, d, p, NULL)
ERRORS(name_to_handle_at, d, p, &handle_, &mount_id, 0)
ERRORS(execveat, d, p, NULL, NULL, 0)

/* The second name of those that take two. */
static long renameat_to(const char *p) { return SYS(renameat, AT_FDCWD, "d/f", d, p); }
static long linkat_to(const char *p) { return SYS(linkat, AT_FDCWD, "d/f", d, p, 0); }
#define SECOND_NAME(name)                                                                                                  \
    CASE(name##_missing) { place(); FAILS(ENOENT, name("none/f")); FAILS(ENOENT, name("")); }                              \
    CASE(name##_not_a_directory) { place(); FAILS(ENOTDIR, name("f/x")); d = OK(SYS(open, "d/f", O_RDONLY, 0)); FAILS(ENOTDIR, name("x")); } \
    CASE(name##_loop) { place(); FAILS(ELOOP, name("l/x")); }                                                              \
    CASE(name##_too_long) { place(); FAILS(ENAMETOOLONG, name(letters(256))); }                                            \
    CASE(name##_bad_pointer) { place(); FAILS(EFAULT, name(BAD)); }                                                        \
    CASE(name##_closed) { place(); d = 99; FAILS(EBADF, name("g")); }                                                      \
    CASE(name##_other_mount) { place(); FAILS(EXDEV, name("/tmp/at_f")); }
SECOND_NAME(renameat_to)
SECOND_NAME(linkat_to)

/* ---- a read-only mount, below a descriptor of it ---- */

static void read_only(void) { file("f", ""); d = OK(SYS(open, "/tests", O_RDONLY | O_DIRECTORY, 0)); }
CASE(read_only_makes_nothing) { read_only(); FAILS(EROFS, SYS(mkdirat, d, "new", 0755)); FAILS(EROFS, SYS(mknodat, d, "new", S_IFIFO | 0644, 0)); FAILS(EROFS, SYS(symlinkat, "t", d, "new")); FAILS(EROFS, SYS(openat, d, "new", O_WRONLY | O_CREAT, 0644)); FAILS(EROFS, SYS(openat, d, ".data", O_WRONLY, 0)); }
CASE(read_only_removes_nothing) { read_only(); FAILS(EROFS, SYS(unlinkat, d, ".data", 0)); FAILS(EROFS, SYS(renameat, d, ".data", d, "new")); FAILS(EROFS, SYS(renameat2, d, ".data", d, "new", RENAME_NOREPLACE)); FAILS(EROFS, SYS(linkat, d, ".data", d, "new", 0)); }
CASE(read_only_changes_nothing) { read_only(); FAILS(EROFS, SYS(fchmodat, d, ".data", 0600)); FAILS(EROFS, SYS(fchownat, d, ".data", 1, 1, 0)); FAILS(EROFS, SYS(utimensat, d, ".data", NULL, 0)); FAILS(EROFS, SYS(futimesat, d, ".data", NULL)); FAILS(EROFS, SYS(faccessat, d, ".data", W_OK)); FAILS(EROFS, SYS(faccessat2, d, ".data", W_OK, AT_EACCESS)); }

/* ---- what is there already, or of another kind ---- */

CASE(exists_already) { place(); FAILS(EEXIST, SYS(mkdirat, d, "f", 0755)); FAILS(EEXIST, SYS(mknodat, d, "f", S_IFREG | 0644, 0)); FAILS(EEXIST, SYS(symlinkat, "t", d, "f")); FAILS(EEXIST, SYS(linkat, d, "f", d, "l", 0)); FAILS(EEXIST, SYS(openat, d, "f", O_CREAT | O_EXCL | O_WRONLY, 0644)); FAILS(EEXIST, SYS(openat, d, "l", O_CREAT | O_EXCL | O_WRONLY, 0644)); FAILS(EEXIST, SYS(renameat2, d, "closed", d, "f", RENAME_NOREPLACE)); }
CASE(open_of_a_directory_or_socket) { place(); FAILS(EISDIR, SYS(openat, d, "closed", O_WRONLY, 0)); FAILS(EISDIR, SYS(openat, d, "closed", O_RDONLY | O_CREAT, 0644)); OK(SYS(mknodat, d, "s", S_IFSOCK | 0644, 0)); FAILS(ENXIO, SYS(openat, d, "s", O_RDONLY, 0)); FAILS(ELOOP, SYS(openat, d, "l", O_RDONLY | O_NOFOLLOW, 0)); FAILS(ENOTDIR, SYS(openat, d, "f", O_RDONLY | O_DIRECTORY, 0)); }
CASE(open_flags_that_exclude_each_other) { place(); FAILS(EINVAL, SYS(openat, d, "f", O_RDONLY | O_TMPFILE, 0644)); FAILS(EINVAL, SYS(openat, d, ".", O_TMPFILE | O_RDWR | O_CREAT, 0644)); }
CASE(rename_onto_another_kind) { place(); FAILS(EISDIR, SYS(renameat, d, "f", d, "closed")); FAILS(ENOTDIR, SYS(renameat, d, "closed", d, "f")); FAILS(EISDIR, SYS(renameat2, d, "f", d, "closed", 0)); FAILS(ENOTDIR, SYS(renameat2, d, "closed", d, "f", 0)); }
CASE(rename_onto_a_full_directory) { place(); OK(SYS(mkdirat, d, "e", 0755)); FAILS(ENOTEMPTY, SYS(renameat, d, "e", d, "closed")); FAILS(ENOTEMPTY, SYS(renameat2, d, "e", d, "closed", 0)); FAILS(ENOTEMPTY, SYS(unlinkat, d, "closed", AT_REMOVEDIR)); }
CASE(rename_into_itself) { place(); FAILS(EINVAL, SYS(renameat, d, "closed", d, "closed/x")); FAILS(EINVAL, SYS(renameat2, d, "closed", d, "closed/x", 0)); FAILS(EINVAL, SYS(renameat2, d, "f", d, "g", 64)); FAILS(EINVAL, SYS(renameat2, d, "f", d, "g", RENAME_NOREPLACE | RENAME_EXCHANGE)); }
CASE(rename_of_dots_and_mount_points) { place(); FAILS(EBUSY, SYS(renameat, d, ".", d, "g")); FAILS(EBUSY, SYS(renameat2, d, "f", d, "closed/..", 0)); int root = OK(SYS(open, "/", O_RDONLY, 0)); FAILS(EBUSY, SYS(renameat, root, "proc", root, "procs")); FAILS(EBUSY, SYS(unlinkat, root, "proc", AT_REMOVEDIR)); }
CASE(other_mounts) { place(); int t = OK(SYS(open, "/tmp", O_RDONLY, 0)); FAILS(EXDEV, SYS(renameat, d, "f", t, "at_f")); FAILS(EXDEV, SYS(renameat2, d, "f", t, "at_f", RENAME_NOREPLACE)); FAILS(EXDEV, SYS(linkat, d, "f", t, "at_f", 0)); }
CASE(readlink_of_no_link) { place(); FAILS(EINVAL, SYS(readlinkat, d, "f", buffer, 9)); FAILS(EINVAL, SYS(readlinkat, d, "l", buffer, 0)); FAILS(EFAULT, SYS(readlinkat, d, "l", BAD, 9)); }
CASE(unknown_flags) { place(); FAILS(EINVAL, SYS(unlinkat, d, "f", 1)); FAILS(EINVAL, SYS(linkat, d, "f", d, "g", 1)); FAILS(EINVAL, SYS(fchownat, d, "f", -1, -1, 1)); FAILS(EINVAL, SYS(faccessat2, d, "f", F_OK, 1)); FAILS(EINVAL, SYS(utimensat, d, "f", NULL, 1)); FAILS(EINVAL, SYS(newfstatat, d, "f", buffer, 1)); FAILS(EINVAL, SYS(name_to_handle_at, d, "f", &handle_, &mount_id, 8)); FAILS(EINVAL, SYS(faccessat, d, "f", 8)); }

/* ---- by whom ---- */

static void foreign(void) { dir_mode("d", 01777); file("d/f", ""); OK(SYS(chmod, "d/f", 0666)); dir("d/e"); d = OK(SYS(open, "d", O_RDONLY, 0)); }
CASE(sticky_directory) { foreign(); become(USER, GROUP); FAILS(EPERM, SYS(unlinkat, d, "f", 0)); FAILS(EPERM, SYS(unlinkat, d, "e", AT_REMOVEDIR)); FAILS(EPERM, SYS(renameat, d, "f", d, "g")); FAILS(EPERM, SYS(renameat2, d, "f", d, "g", RENAME_NOREPLACE)); OK(SYS(mknodat, d, "own", S_IFREG | 0644, 0)); FAILS(EPERM, SYS(renameat, d, "own", d, "f")); EQ(0, SYS(renameat, d, "own", d, "own2")); }
CASE(only_its_owner_changes_it) { foreign(); become(USER, GROUP); FAILS(EPERM, SYS(fchmodat, d, "f", 0600)); FAILS(EPERM, SYS(fchownat, d, "f", USER, GROUP, 0)); struct timespec t[2] = {{1, 0}, {1, 0}}; FAILS(EPERM, SYS(utimensat, d, "f", t, 0)); struct timeval v[2] = {{1, 0}, {1, 0}}; FAILS(EPERM, SYS(futimesat, d, "f", v)); EQ(0, SYS(utimensat, d, "f", NULL, 0)); FAILS(EPERM, SYS(openat, d, "f", O_RDONLY | O_NOATIME, 0)); }
CASE(times_of_what_one_may_not_write) { foreign(); OK(SYS(chmod, "d/f", 0644)); become(USER, GROUP); FAILS(EACCES, SYS(utimensat, d, "f", NULL, 0)); FAILS(EACCES, SYS(futimesat, d, "f", NULL)); FAILS(EACCES, SYS(faccessat, d, "f", W_OK)); FAILS(EACCES, SYS(faccessat2, d, "f", X_OK, AT_EACCESS)); }
CASE(no_write_permission) { place(); file("d/closed/g", ""); OK(SYS(chmod, "d/closed", 0755)); become(USER, GROUP); FAILS(EACCES, SYS(mkdirat, d, "closed/x", 0755)); FAILS(EACCES, SYS(symlinkat, "t", d, "closed/x")); FAILS(EACCES, SYS(unlinkat, d, "closed/f", 0)); FAILS(EACCES, SYS(renameat, d, "closed/f", d, "closed/x")); FAILS(EACCES, SYS(openat, d, "closed/x", O_WRONLY | O_CREAT, 0644)); FAILS(EACCES, SYS(openat, d, "closed/f", O_WRONLY, 0)); }
CASE(link_of_a_directory) { place(); FAILS(EPERM, SYS(linkat, d, "closed", d, "x", 0)); FAILS(EPERM, SYS(linkat, d, "closed", d, "x", AT_SYMLINK_FOLLOW)); }

/* ---- descriptors ---- */

CASE(no_descriptor_left) { place(); struct rlimit none = {d + 1, d + 1}; OK(SYS(prlimit64, 0, RLIMIT_NOFILE, &none, NULL)); FAILS(EMFILE, SYS(openat, d, "f", O_RDONLY, 0)); FAILS(EMFILE, SYS(openat, d, "new", O_WRONLY | O_CREAT, 0644)); CHECK(!exists("d/new")); FAILS(EMFILE, SYS(creat, "d/new", 0644)); CHECK(!exists("d/new")); FAILS(EMFILE, SYS(open, "d", O_PATH, 0)); }
CASE(of_a_removed_directory) { place(); OK(SYS(mkdirat, d, "e", 0755)); int e = OK(SYS(openat, d, "e", O_RDONLY, 0)); OK(SYS(unlinkat, d, "e", AT_REMOVEDIR)); FAILS(ENOENT, SYS(openat, e, "new", O_WRONLY | O_CREAT, 0644)); FAILS(ENOENT, SYS(mkdirat, e, "new", 0755)); FAILS(ENOENT, SYS(symlinkat, "t", e, "new")); FAILS(ENOENT, SYS(renameat, d, "f", e, "new")); FAILS(ENOENT, SYS(linkat, d, "f", e, "new", 0)); OK(SYS(openat, e, ".", O_RDONLY, 0)); }
CASE(of_a_moved_directory) { place(); OK(SYS(rename, "d", "moved")); EQ(0, SYS(mkdirat, d, "new", 0755)); CHECK(exists("moved/new")); EQ(0, SYS(unlinkat, d, "f", 0)); CHECK(!exists("moved/f")); }
CASE(by_a_path_descriptor) { place(); d = OK(SYS(open, "d", O_PATH | O_DIRECTORY, 0)); OK(SYS(openat, d, "f", O_RDONLY, 0)); EQ(0, SYS(mkdirat, d, "new", 0755)); EQ(0, SYS(symlinkat, "t", d, "s")); EQ(0, SYS(renameat, d, "s", d, "t")); EQ(0, SYS(fchmodat, d, "f", 0600)); EQ(0, SYS(linkat, d, "f", d, "g", 0)); EQ(0, SYS(unlinkat, d, "g", 0)); EQ(0600, mode_of("d/f")); }
