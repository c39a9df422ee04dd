/* openat2(2) */
#include "harness.h"
#include <linux/openat2.h>

/* Tried again when anybody, in any container, has renamed or mounted something meanwhile: a .. could not be proven not to escape then. */
static long how(int dirfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve) {
    struct open_how h = {flags, mode, resolve};
    long fd;
    do
        fd = SYS(openat2, dirfd, path, &h, sizeof h);
    while (fd == -EAGAIN && resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT));
    return fd;
}
#define HERE(path, flags, mode, resolve) how(AT_FDCWD, path, flags, mode, resolve)

CASE(opens) { file("f", "abc"); char b[4] = ""; EQ(3, SYS(read, OK(HERE("f", O_RDONLY, 0, 0)), b, 3)); STREQ("abc", b); }
CASE(creates) { OK(HERE("f", O_WRONLY | O_CREAT, 0640, 0)); EQ(0640, mode_of("f")); }
CASE(cloexec) { file("f", ""); EQ(FD_CLOEXEC, SYS(fcntl, OK(HERE("f", O_RDONLY | O_CLOEXEC, 0, 0)), F_GETFD)); }
CASE(unknown_flag) { file("f", ""); FAILS(EINVAL, HERE("f", 1ULL << 40, 0, 0)); FAILS(EINVAL, HERE("f", 0x40000000, 0, 0)); }
CASE(mode_without_create) { file("f", ""); FAILS(EINVAL, HERE("f", O_RDONLY, 0644, 0)); }
ERR(mode_with_unknown_bits, EINVAL, HERE("f", O_WRONLY | O_CREAT, 010644, 0))
ERR(unknown_resolve, EINVAL, HERE("f", O_RDONLY, 0, 1 << 10))
ERR(beneath_and_in_root, EINVAL, HERE("f", O_RDONLY, 0, RESOLVE_BENEATH | RESOLVE_IN_ROOT))
ERR(directory_and_create, EINVAL, HERE("f", O_DIRECTORY | O_CREAT, 0644, 0))
CASE(size_too_small) { struct open_how h = {0}; FAILS(EINVAL, SYS(openat2, AT_FDCWD, ".", &h, 23)); FAILS(EINVAL, SYS(openat2, AT_FDCWD, ".", &h, 0)); }
CASE(size_larger_and_zero) { uint64_t h[5] = {O_RDONLY}; OK(SYS(openat2, AT_FDCWD, ".", h, sizeof h)); }
CASE(size_larger_and_set) { uint64_t h[5] = {O_RDONLY, 0, 0, 0, 1}; FAILS(E2BIG, SYS(openat2, AT_FDCWD, ".", h, sizeof h)); }
CASE(size_huge) { struct open_how h = {0}; FAILS(E2BIG, SYS(openat2, AT_FDCWD, ".", &h, 1 << 20)); }
ERR(bad_how, EFAULT, SYS(openat2, AT_FDCWD, ".", BAD, sizeof(struct open_how)))
ERR(bad_path, EFAULT, HERE(BAD, O_RDONLY, 0, 0))
ERR(missing, ENOENT, HERE("none", O_RDONLY, 0, 0))
ERR(empty_path, ENOENT, HERE("", O_RDONLY, 0, 0))
ERR(bad_descriptor, EBADF, how(99, "f", O_RDONLY, 0, 0))
CASE(no_symlinks) { file("f", ""); slink("f", "l"); FAILS(ELOOP, HERE("l", O_RDONLY, 0, RESOLVE_NO_SYMLINKS)); OK(HERE("f", O_RDONLY, 0, RESOLVE_NO_SYMLINKS)); }
CASE(no_symlinks_in_parents) { dir("d"); file("d/f", ""); slink("d", "l"); FAILS(ELOOP, HERE("l/f", O_RDONLY, 0, RESOLVE_NO_SYMLINKS)); }
CASE(no_symlinks_with_path_and_nofollow) { slink("none", "l"); OK(HERE("l", O_PATH | O_NOFOLLOW, 0, RESOLVE_NO_SYMLINKS)); }
CASE(no_magic_links) { char here[64]; file("f", ""); sprintf(here, "/proc/self/fd/%ld", OK(SYS(open, "f", O_RDONLY, 0))); FAILS(ELOOP, HERE(here, O_RDONLY, 0, RESOLVE_NO_MAGICLINKS)); OK(HERE(here, O_RDONLY, 0, 0)); }
CASE(no_magic_links_lets_others) { file("f", ""); slink("f", "l"); OK(HERE("l", O_RDONLY, 0, RESOLVE_NO_MAGICLINKS)); }
CASE(no_xdev) { FAILS(EXDEV, HERE("/proc/version", O_RDONLY, 0, RESOLVE_NO_XDEV)); dir("d"); OK(HERE("d", O_RDONLY, 0, RESOLVE_NO_XDEV)); }
CASE(no_xdev_upwards) { OK(SYS(chdir, "/tmp")); FAILS(EXDEV, HERE("../scratch", O_RDONLY, 0, RESOLVE_NO_XDEV)); }
CASE(beneath) { dir("d"); file("d/f", ""); OK(HERE("d/f", O_RDONLY, 0, RESOLVE_BENEATH)); OK(HERE("d/../d/f", O_RDONLY, 0, RESOLVE_BENEATH)); }
CASE(beneath_absolute) { FAILS(EXDEV, HERE("/", O_RDONLY, 0, RESOLVE_BENEATH)); }
CASE(beneath_dot_dot) { FAILS(EXDEV, HERE("..", O_RDONLY, 0, RESOLVE_BENEATH)); FAILS(EXDEV, HERE("../x", O_WRONLY | O_CREAT, 0644, RESOLVE_BENEATH)); }
CASE(beneath_link_out) { slink("../x", "l"); FAILS(EXDEV, HERE("l", O_RDONLY, 0, RESOLVE_BENEATH)); slink("/", "r"); FAILS(EXDEV, HERE("r", O_RDONLY, 0, RESOLVE_BENEATH)); }
CASE(beneath_link_within) { file("f", ""); dir("d"); slink("../f", "d/l"); OK(HERE("d/l", O_RDONLY, 0, RESOLVE_BENEATH)); }
CASE(beneath_descriptor) { dir("d"); file("d/f", ""); int fd = OK(SYS(open, "d", O_RDONLY, 0)); OK(how(fd, "f", O_RDONLY, 0, RESOLVE_BENEATH)); FAILS(EXDEV, how(fd, "..", O_RDONLY, 0, RESOLVE_BENEATH)); }
CASE(beneath_while_names_change) { dir("d"); file("f", ""); file("g", ""); int q[2]; OK(SYS(pipe, q)); pid_t c = SPAWN(for (OK(SYS(rename, "g", "h")), OK(SYS(write, q[1], "x", 1)); ; OK(SYS(rename, "h", "g")), OK(SYS(rename, "g", "h"))) ;); char x; EQ(1, SYS(read, q[0], &x, 1)); for (int i = 0; i < 1000; i++) { long fd = HERE("d/../f", O_RDONLY, 0, RESOLVE_BENEATH); OK(fd); SYS(close, fd); } kill(c, SIGKILL); }
CASE(in_root_absolute) { dir("d"); file("d/f", "abc"); int fd = OK(SYS(open, "d", O_RDONLY, 0)); char b[4] = ""; EQ(3, SYS(read, OK(how(fd, "/f", O_RDONLY, 0, RESOLVE_IN_ROOT)), b, 3)); }
CASE(in_root_dot_dot) { dir("d"); file("d/f", ""); int fd = OK(SYS(open, "d", O_RDONLY, 0)); OK(how(fd, "../../f", O_RDONLY, 0, RESOLVE_IN_ROOT)); }
CASE(in_root_absolute_link) { dir("d"); file("d/f", ""); slink("/f", "d/l"); int fd = OK(SYS(open, "d", O_RDONLY, 0)); OK(how(fd, "l", O_RDONLY, 0, RESOLVE_IN_ROOT)); }
CASE(in_root_creates) { dir("d"); slink("/new", "d/l"); int fd = OK(SYS(open, "d", O_RDONLY, 0)); OK(how(fd, "l", O_WRONLY | O_CREAT, 0644, RESOLVE_IN_ROOT)); CHECK(exists("d/new")); }
CASE(path) { file("f", ""); EQ(O_PATH, SYS(fcntl, OK(HERE("f", O_PATH, 0, 0)), F_GETFL)); }
CASE(path_with_other_flags) { file("f", ""); FAILS(EINVAL, HERE("f", O_PATH | O_RDWR, 0, 0)); FAILS(EINVAL, HERE("f", O_PATH | O_CREAT, 0644, 0)); }
CASE(permission) { file("f", ""); OK(SYS(chmod, "f", 0600)); become(USER, GROUP); FAILS(EACCES, HERE("f", O_RDONLY, 0, 0)); }
CASE(exclusive) { file("f", ""); FAILS(EEXIST, HERE("f", O_WRONLY | O_CREAT | O_EXCL, 0644, 0)); }
CASE(nofollow) { slink("f", "l"); FAILS(ELOOP, HERE("l", O_RDONLY | O_NOFOLLOW, 0, 0)); }
CASE(loop) { slink("l", "l"); FAILS(ELOOP, HERE("l", O_RDONLY, 0, 0)); }
CASE(beneath_absolute_link_within) { file("f", ""); char here[PATH_MAX]; OK(SYS(getcwd, here, sizeof here)); strcat(here, "/f"); slink(here, "l"); FAILS(EXDEV, HERE("l", O_RDONLY, 0, RESOLVE_BENEATH)); }
CASE(beneath_magic_link) { char p[64]; sprintf(p, "self/fd/%ld", OK(SYS(open, "/tmp", O_RDONLY, 0))); int fd = OK(SYS(open, "/proc", O_RDONLY, 0)); FAILS(EXDEV, how(fd, p, O_RDONLY, 0, RESOLVE_BENEATH)); FAILS(EXDEV, how(fd, p, O_RDONLY, 0, RESOLVE_IN_ROOT)); }
CASE(beneath_up_and_down_again) { dir("d"); file("f", ""); int fd = OK(SYS(open, "d", O_RDONLY, 0)); FAILS(EXDEV, how(fd, "../f", O_RDONLY, 0, RESOLVE_BENEATH)); FAILS(EXDEV, how(fd, "../d/.", O_RDONLY, 0, RESOLVE_BENEATH)); }
CASE(beneath_chain_of_links) { dir("d"); dir("d/e"); file("d/f", "abc"); slink("e/m", "d/l"); slink("../f", "d/e/m"); int fd = OK(SYS(open, "d", O_RDONLY, 0)); char t[4] = ""; EQ(3, SYS(read, OK(how(fd, "l", O_RDONLY, 0, RESOLVE_BENEATH)), t, 3)); }
CASE(in_root_link_that_climbs) { dir("d"); dir("d/e"); file("d/f", "abc"); slink("../../../../f", "d/e/l"); int fd = OK(SYS(open, "d", O_RDONLY, 0)); char t[4] = ""; EQ(3, SYS(read, OK(how(fd, "e/l", O_RDONLY, 0, RESOLVE_IN_ROOT)), t, 3)); }
CASE(in_root_of_the_working_directory) { file("f", ""); OK(HERE("/f", O_RDONLY, 0, RESOLVE_IN_ROOT)); FAILS(ENOENT, HERE("/tmp", O_RDONLY, 0, RESOLVE_IN_ROOT)); }
CASE(no_symlinks_covers_magic_links) { char p[64]; sprintf(p, "/proc/self/fd/%ld", OK(SYS(open, "/tmp", O_RDONLY, 0))); FAILS(ELOOP, HERE(p, O_RDONLY, 0, RESOLVE_NO_SYMLINKS)); FAILS(ELOOP, HERE("/proc/self", O_RDONLY, 0, RESOLVE_NO_SYMLINKS)); }
CASE(no_xdev_by_a_link) { slink("/proc", "l"); FAILS(EXDEV, HERE("l/version", O_RDONLY, 0, RESOLVE_NO_XDEV)); }
CASE(all_restrictions_together) { dir("d"); file("d/f", ""); OK(HERE("d/f", O_RDONLY, 0, RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)); }
CASE(cached_is_answered_or_tried_again) { file("f", ""); long fd = HERE("f", O_RDONLY, 0, RESOLVE_CACHED); CHECK(fd >= 0 || fd == -EAGAIN); FAILS(EAGAIN, HERE("g", O_WRONLY | O_CREAT, 0644, RESOLVE_CACHED)); CHECK(!exists("g")); }
