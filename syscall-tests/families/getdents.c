/* getdents64(2), getdents(2): what directories list */
#include "harness.h"

struct entry64 { uint64_t ino; int64_t off; unsigned short reclen; unsigned char type; char name[]; };
static char b[65536] __attribute__((aligned(8)));

/* How many entries `fd` lists, dots included; names that are `wanted` are counted in *hits. */
static int list(int fd, const char *wanted, int *hits, size_t size) {
    int count = 0;
    long got;
    if (hits) *hits = 0;
    while ((got = OK(SYS(getdents64, fd, b, size))) > 0)
        for (long at = 0; at < got; at += ((struct entry64 *)(b + at))->reclen) {
            count++;
            if (hits && !strcmp(((struct entry64 *)(b + at))->name, wanted)) ++*hits;
        }
    return count;
}
#define DIRECTORY(path) ((int)OK(SYS(open, path, O_RDONLY | O_DIRECTORY, 0)))

CASE(empty_directory) { dir("d"); EQ(2, list(DIRECTORY("d"), NULL, NULL, sizeof b)); }
CASE(dots) { int one, two; dir("d"); list(DIRECTORY("d"), ".", &one, sizeof b); list(DIRECTORY("d"), "..", &two, sizeof b); EQ(1, one); EQ(1, two); }
CASE(every_entry_once) { dir("d"); char n[16]; for (int i = 0; i < 300; i++) { sprintf(n, "d/%d", i); file(n, ""); } int hits; EQ(302, list(DIRECTORY("d"), "150", &hits, sizeof b)); EQ(1, hits); }
CASE(small_buffer) { dir("d"); char n[16]; for (int i = 0; i < 100; i++) { sprintf(n, "d/%d", i); file(n, ""); } EQ(102, list(DIRECTORY("d"), NULL, NULL, 64)); }
CASE(types) { dir("d"); file("d/f", ""); dir("d/s"); slink("x", "d/l"); fifo("d/p"); long got = OK(SYS(getdents64, DIRECTORY("d"), b, sizeof b)); int seen = 0; for (long at = 0; at < got;) { struct entry64 *e = (void *)(b + at); at += e->reclen; int want = *e->name == 'f' ? DT_REG : *e->name == 'l' ? DT_LNK : *e->name == 'p' ? DT_FIFO : DT_DIR; CHECK(e->type == want || e->type == DT_UNKNOWN); seen++; } EQ(6, seen); }
CASE(inode_numbers) { file("f", ""); long got = OK(SYS(getdents64, DIRECTORY("."), b, sizeof b)), seen = 0; for (long at = 0; at < got;) { struct entry64 *e = (void *)(b + at); at += e->reclen; if (!strcmp(e->name, "f")) { EQ(STAT("f").st_ino, e->ino); seen++; } } EQ(1, seen); }
CASE(end_stays_the_end) { dir("d"); int fd = DIRECTORY("d"); list(fd, NULL, NULL, sizeof b); EQ(0, SYS(getdents64, fd, b, sizeof b)); EQ(0, SYS(getdents64, fd, b, sizeof b)); }
CASE(rewind_) { dir("d"); int fd = DIRECTORY("d"); EQ(2, list(fd, NULL, NULL, sizeof b)); OK(SYS(lseek, fd, 0, SEEK_SET)); file("d/new", ""); EQ(3, list(fd, NULL, NULL, sizeof b)); }
CASE(seek_to_offset_of_an_entry) { dir("d"); file("d/a", ""); file("d/b", ""); int fd = DIRECTORY("d"); OK(SYS(getdents64, fd, b, sizeof b)); struct entry64 *first = (void *)b; int64_t off = first->off; OK(SYS(lseek, fd, off, SEEK_SET)); EQ(3, list(fd, NULL, NULL, sizeof b)); }
CASE(removal_while_reading) { dir("d"); char n[16]; for (int i = 0; i < 200; i++) { sprintf(n, "d/%d", i); file(n, ""); } int fd = DIRECTORY("d"); OK(SYS(getdents64, fd, b, 256)); for (int i = 0; i < 200; i++) { sprintf(n, "d/%d", i); OK(SYS(unlink, n)); } while (OK(SYS(getdents64, fd, b, 256)) > 0) ; OK(SYS(rmdir, "d")); }
CASE(kept_entries_are_seen_while_others_go) { dir("d"); char n[16]; for (int i = 0; i < 200; i++) { sprintf(n, "d/%d", i); file(n, ""); } int fd = DIRECTORY("d"), kept = 0; long got = OK(SYS(getdents64, fd, b, 512)); for (int i = 0; i < 200; i += 2) { sprintf(n, "d/%d", i); OK(SYS(unlink, n)); } do for (long at = 0; at < got;) { struct entry64 *e = (void *)(b + at); at += e->reclen; if (*e->name != '.' && atoi(e->name) % 2) kept++; } while ((got = OK(SYS(getdents64, fd, b, 512))) > 0); EQ(100, kept); }
CASE(removed_directory) { dir("d"); int fd = DIRECTORY("d"); OK(SYS(rmdir, "d")); FAILS(ENOENT, SYS(getdents64, fd, b, sizeof b)); }
CASE(buffer_too_small) { FAILS(EINVAL, SYS(getdents64, DIRECTORY("."), b, 1)); FAILS(EINVAL, SYS(getdents64, DIRECTORY("."), b, 0)); }
CASE(bad_buffer) { FAILS(EFAULT, SYS(getdents64, DIRECTORY("."), BAD, 4096)); }
CASE(file_) { file("f", ""); FAILS(ENOTDIR, SYS(getdents64, OK(SYS(open, "f", O_RDONLY, 0)), b, sizeof b)); }
CASE(pipe_) { int p[2]; OK(SYS(pipe, p)); FAILS(ENOTDIR, SYS(getdents64, p[0], b, sizeof b)); }
ERR(closed, EBADF, SYS(getdents64, 99, b, sizeof b))
CASE(path_descriptor) { FAILS(EBADF, SYS(getdents64, OK(SYS(open, ".", O_PATH, 0)), b, sizeof b)); }
CASE(old_call) { dir("d"); file("d/f", ""); long got = OK(SYS(getdents, DIRECTORY("d"), b, sizeof b)); int seen = 0; for (long at = 0; at < got;) { struct { unsigned long ino, off; unsigned short reclen; char name[]; } *e = (void *)(b + at); at += e->reclen; if (!strcmp(e->name, "f")) { EQ(DT_REG, b[at - 1]); seen++; } } EQ(1, seen); }
CASE(root_directory) { int hits; list(DIRECTORY("/"), "scratch", &hits, sizeof b); EQ(1, hits); }
CASE(proc_lists_self) { char pid[16]; int hits; sprintf(pid, "%ld", SYS(getpid)); list(DIRECTORY("/proc"), pid, &hits, sizeof b); EQ(1, hits); }
CASE(proc_fd) { char n[16]; int hits; int p[2]; OK(SYS(pipe, p)); sprintf(n, "%d", p[1]); list(DIRECTORY("/proc/self/fd"), n, &hits, sizeof b); EQ(1, hits); SYS(close, p[1]); list(DIRECTORY("/proc/self/fd"), n, &hits, sizeof b); EQ(1, hits); }
CASE(proc_task) { char n[16]; int hits; sprintf(n, "%ld", SYS(gettid)); EQ(3, list(DIRECTORY("/proc/self/task"), n, &hits, sizeof b)); EQ(1, hits); }
CASE(dev_has_null) { int hits; list(DIRECTORY("/dev"), "null", &hits, sizeof b); EQ(1, hits); }
CASE(no_read_permission) { dir_mode("d", 0711); become(USER, GROUP); FAILS(EACCES, SYS(open, "d", O_RDONLY | O_DIRECTORY, 0)); }
CASE(access_mode_write_not_possible) { FAILS(EISDIR, SYS(open, ".", O_RDWR | O_DIRECTORY, 0)); }
CASE(long_names) { dir("d"); OK(SYS(chdir, "d")); file(letters(255), ""); int hits; list(DIRECTORY("."), letters(255), &hits, 300); EQ(1, hits); }
