/* inotify(7) */
#include "harness.h"
#include <sys/inotify.h>

static char b[8192] __attribute__((aligned(8)));
static int instance(void) { return OK(SYS(inotify_init1, IN_NONBLOCK)); }
#define WATCH(fd, path, mask) SYS(inotify_add_watch, fd, path, mask)
/* Whether the events that are waiting have one with that mask and name. */
static bool seen(int fd, uint32_t mask, const char *name) {
    long got = SYS(read, fd, b, sizeof b);
    for (long at = 0; at < got;) {
        struct inotify_event *e = (void *)(b + at);
        if (e->mask == mask && !strcmp(e->len ? e->name : "", name)) return true;
        at += sizeof *e + e->len;
    }
    return false;
}

CASE(create_) { int fd = instance(); OK(WATCH(fd, ".", IN_CREATE)); file("f", ""); CHECK(seen(fd, IN_CREATE, "f")); }
CASE(create_directory) { int fd = instance(); OK(WATCH(fd, ".", IN_CREATE)); dir("d"); CHECK(seen(fd, IN_CREATE | IN_ISDIR, "d")); }
CASE(create_link) { int fd = instance(); OK(WATCH(fd, ".", IN_CREATE)); slink("x", "l"); CHECK(seen(fd, IN_CREATE, "l")); }
CASE(modify) { file("f", ""); int fd = instance(); OK(WATCH(fd, "f", IN_MODIFY)); file("f", "x"); CHECK(seen(fd, IN_MODIFY, "")); }
CASE(modify_by_truncate) { file("f", "abc"); int fd = instance(); OK(WATCH(fd, "f", IN_MODIFY)); OK(SYS(truncate, "f", 1)); CHECK(seen(fd, IN_MODIFY, "")); }
CASE(attrib) { file("f", ""); int fd = instance(); OK(WATCH(fd, "f", IN_ATTRIB)); OK(SYS(chmod, "f", 0600)); CHECK(seen(fd, IN_ATTRIB, "")); }
CASE(open_and_close) { file("f", ""); int fd = instance(); OK(WATCH(fd, "f", IN_OPEN | IN_CLOSE_NOWRITE | IN_CLOSE_WRITE)); SYS(close, OK(SYS(open, "f", O_RDONLY, 0))); CHECK(seen(fd, IN_OPEN, "")); OK(WATCH(fd, "f", IN_CLOSE_NOWRITE)); SYS(close, OK(SYS(open, "f", O_RDONLY, 0))); CHECK(seen(fd, IN_CLOSE_NOWRITE, "")); OK(WATCH(fd, "f", IN_CLOSE_WRITE)); SYS(close, OK(SYS(open, "f", O_WRONLY, 0))); CHECK(seen(fd, IN_CLOSE_WRITE, "")); }
CASE(one_open_is_one_event) { file("f", ""); int fd = instance(); OK(WATCH(fd, "f", IN_OPEN)); OK(SYS(open, "f", O_RDONLY, 0)); EQ(sizeof(struct inotify_event), SYS(read, fd, b, sizeof b)); FAILS(EAGAIN, SYS(read, fd, b, sizeof b)); }
CASE(one_close_is_one_event) { file("f", ""); int fd = instance(); int f = OK(SYS(open, "f", O_WRONLY, 0)); OK(WATCH(fd, "f", IN_CLOSE)); FAILS(EAGAIN, SYS(read, fd, b, sizeof b)); SYS(close, f); EQ(sizeof(struct inotify_event), SYS(read, fd, b, sizeof b)); FAILS(EAGAIN, SYS(read, fd, b, sizeof b)); }
CASE(create_open_close_in_order) { int fd = instance(); OK(WATCH(fd, ".", IN_CREATE | IN_OPEN | IN_CLOSE)); SYS(close, OK(SYS(open, "f", O_WRONLY | O_CREAT, 0644))); long got = OK(SYS(read, fd, b, sizeof b)); uint32_t want[] = {IN_CREATE, IN_OPEN, IN_CLOSE_WRITE}; int n = 0; for (long at = 0; at < got; n++) { struct inotify_event *e = (void *)(b + at); CHECK(n < 3); EQ(want[n], e->mask); at += sizeof *e + e->len; } EQ(3, n); }
CASE(stat_is_no_event) { file("f", ""); int fd = instance(); OK(WATCH(fd, "f", IN_ALL_EVENTS)); STAT("f"); CHECK(SYS(access, "f", R_OK) == 0); FAILS(EAGAIN, SYS(read, fd, b, sizeof b)); }
CASE(failed_open_is_no_event) { file("f", ""); int fd = instance(); OK(WATCH(fd, ".", IN_ALL_EVENTS)); OK(SYS(chmod, "f", 0)); SYS(read, fd, b, sizeof b); become(USER, GROUP); FAILS(EACCES, SYS(open, "f", O_RDONLY, 0)); FAILS(EAGAIN, SYS(read, fd, b, sizeof b)); }
CASE(delete_) { file("f", ""); int fd = instance(); OK(WATCH(fd, ".", IN_DELETE)); OK(SYS(unlink, "f")); CHECK(seen(fd, IN_DELETE, "f")); }
CASE(delete_self) { file("f", ""); int fd = instance(); OK(WATCH(fd, "f", IN_DELETE_SELF)); OK(SYS(unlink, "f")); CHECK(seen(fd, IN_DELETE_SELF, "")); }
CASE(ignored_after_delete) { dir("d"); int fd = instance(); OK(WATCH(fd, "d", IN_DELETE_SELF)); OK(SYS(rmdir, "d")); long got = OK(SYS(read, fd, b, sizeof b)); EQ(2 * sizeof(struct inotify_event), got); EQ(IN_IGNORED, ((struct inotify_event *)b)[1].mask); }
CASE(move_has_a_cookie) { file("a", ""); int fd = instance(); OK(WATCH(fd, ".", IN_MOVE)); OK(SYS(rename, "a", "b")); OK(SYS(read, fd, b, sizeof b)); struct inotify_event *e = (void *)b; EQ(IN_MOVED_FROM, e->mask); STREQ("a", e->name); uint32_t cookie = e->cookie; CHECK(cookie != 0); e = (void *)(b + sizeof *e + e->len); EQ(IN_MOVED_TO, e->mask); EQ(cookie, e->cookie); STREQ("b", e->name); }
CASE(move_self) { file("a", ""); int fd = instance(); OK(WATCH(fd, "a", IN_MOVE_SELF)); OK(SYS(rename, "a", "b")); CHECK(seen(fd, IN_MOVE_SELF, "")); }
CASE(access_) { file("f", "x"); int fd = instance(); OK(WATCH(fd, "f", IN_ACCESS)); CONTENT("f"); CHECK(seen(fd, IN_ACCESS, "")); }
CASE(same_watch_for_the_same_file) { file("f", ""); OK(SYS(link, "f", "g")); int fd = instance(); long w = OK(WATCH(fd, "f", IN_OPEN)); EQ(w, WATCH(fd, "g", IN_OPEN)); EQ(w, WATCH(fd, "./f", IN_MODIFY)); }
CASE(mask_is_replaced) { file("f", ""); int fd = instance(); OK(WATCH(fd, "f", IN_OPEN)); OK(WATCH(fd, "f", IN_ATTRIB)); CONTENT("f"); FAILS(EAGAIN, SYS(read, fd, b, sizeof b)); }
CASE(mask_is_added_to) { file("f", ""); int fd = instance(); OK(WATCH(fd, "f", IN_ATTRIB)); OK(WATCH(fd, "f", IN_OPEN | IN_MASK_ADD)); OK(SYS(chmod, "f", 0600)); CHECK(seen(fd, IN_ATTRIB, "")); CONTENT("f"); CHECK(seen(fd, IN_OPEN, "")); }
CASE(mask_create) { file("f", ""); int fd = instance(); OK(WATCH(fd, "f", IN_OPEN | IN_MASK_CREATE)); FAILS(EEXIST, WATCH(fd, "f", IN_OPEN | IN_MASK_CREATE)); FAILS(EINVAL, WATCH(fd, "f", IN_OPEN | IN_MASK_CREATE | IN_MASK_ADD)); }
CASE(oneshot) { file("f", ""); int fd = instance(); OK(WATCH(fd, "f", IN_OPEN | IN_ONESHOT)); CONTENT("f"); CHECK(seen(fd, IN_OPEN, "")); CONTENT("f"); CHECK(!seen(fd, IN_OPEN, "")); }
CASE(only_directories) { file("f", ""); FAILS(ENOTDIR, WATCH(instance(), "f", IN_OPEN | IN_ONLYDIR)); OK(WATCH(instance(), ".", IN_OPEN | IN_ONLYDIR)); }
CASE(dont_follow) { file("f", ""); slink("f", "l"); int fd = instance(); OK(WATCH(fd, "l", IN_ATTRIB | IN_DONT_FOLLOW)); OK(SYS(chmod, "f", 0600)); FAILS(EAGAIN, SYS(read, fd, b, sizeof b)); OK(SYS(lchown, "l", USER, GROUP)); CHECK(seen(fd, IN_ATTRIB, "")); }
CASE(follows) { file("f", ""); slink("f", "l"); int fd = instance(); OK(WATCH(fd, "l", IN_ATTRIB)); OK(SYS(chmod, "f", 0600)); CHECK(seen(fd, IN_ATTRIB, "")); }
CASE(errors) { int fd = instance(); FAILS(ENOENT, WATCH(fd, "none", IN_OPEN)); FAILS(ENOENT, WATCH(fd, "", IN_OPEN)); FAILS(EFAULT, WATCH(fd, BAD, IN_OPEN)); FAILS(EINVAL, WATCH(fd, ".", 0)); FAILS(EBADF, WATCH(99, ".", IN_OPEN)); FAILS(EINVAL, WATCH(OK(SYS(open, ".", O_RDONLY, 0)), ".", IN_OPEN)); }
CASE(no_read_permission) { file("f", ""); OK(SYS(chmod, "f", 0)); int fd = instance(); become(USER, GROUP); FAILS(EACCES, WATCH(fd, "f", IN_OPEN)); }
CASE(no_search_permission) { dir_mode("d", 0666); file("d/f", ""); int fd = instance(); become(USER, GROUP); FAILS(EACCES, WATCH(fd, "d/f", IN_OPEN)); }
CASE(remove_watch) { file("f", ""); int fd = instance(); long w = OK(WATCH(fd, "f", IN_OPEN)); EQ(0, SYS(inotify_rm_watch, fd, w)); CHECK(seen(fd, IN_IGNORED, "")); FAILS(EINVAL, SYS(inotify_rm_watch, fd, w)); FAILS(EBADF, SYS(inotify_rm_watch, 99, w)); }
CASE(buffer_too_small) { int fd = instance(); OK(WATCH(fd, ".", IN_CREATE)); file("f", ""); FAILS(EINVAL, SYS(read, fd, b, 4)); }
CASE(init_flags) { EQ(FD_CLOEXEC, SYS(fcntl, OK(SYS(inotify_init1, IN_CLOEXEC)), F_GETFD)); FAILS(EINVAL, SYS(inotify_init1, 0x1)); EQ(0, SYS(fcntl, OK(SYS(inotify_init)), F_GETFD)); }
CASE(read_interrupted) { int fd = OK(SYS(inotify_init)); INTERRUPTED(SYS(read, fd, b, sizeof b)); }
CASE(polls) { int fd = instance(); OK(WATCH(fd, ".", IN_CREATE)); struct pollfd p = {fd, POLLIN, 0}; EQ(0, SYS(poll, &p, 1, 0)); file("f", ""); EQ(1, SYS(poll, &p, 1, 0)); }
CASE(bytes_waiting) { int n = 0, fd = instance(); OK(WATCH(fd, ".", IN_CREATE)); file("f", ""); OK(SYS(ioctl, fd, 0x541B, &n)); EQ(sizeof(struct inotify_event) + 16, n); }
CASE(equal_events_are_merged) { file("f", ""); int fd = instance(); OK(WATCH(fd, "f", IN_ATTRIB)); for (int i = 0; i < 5; i++) OK(SYS(chmod, "f", 0600)); EQ(sizeof(struct inotify_event), SYS(read, fd, b, sizeof b)); }
CASE(other_processes_are_seen) { int fd = instance(); OK(WATCH(fd, ".", IN_CREATE)); CHILD(file("f", "")); CHECK(seen(fd, IN_CREATE, "f")); }
CASE(move_between_watched_directories) { dir("a"); dir("b"); file("a/f", ""); int fd = instance(), w = OK(WATCH(fd, "a", IN_MOVE)), x = OK(WATCH(fd, "b", IN_MOVE)); OK(SYS(rename, "a/f", "b/g")); OK(SYS(read, fd, b, sizeof b)); struct inotify_event *e = (void *)b, *f = (void *)(b + sizeof *e + e->len); EQ(IN_MOVED_FROM, e->mask); EQ(w, e->wd); STREQ("f", e->name); EQ(IN_MOVED_TO, f->mask); EQ(x, f->wd); STREQ("g", f->name); EQ(e->cookie, f->cookie); CHECK(e->cookie != 0); }
CASE(move_out_of_sight) { dir("a"); dir("b"); file("a/f", ""); int fd = instance(); OK(WATCH(fd, "a", IN_MOVE)); OK(SYS(rename, "a/f", "b/f")); CHECK(seen(fd, IN_MOVED_FROM, "f")); }
CASE(move_into_sight) { dir("a"); dir("b"); file("b/f", ""); int fd = instance(); OK(WATCH(fd, "a", IN_MOVE)); OK(SYS(rename, "b/f", "a/f")); CHECK(seen(fd, IN_MOVED_TO, "f")); }
CASE(move_of_a_directory) { dir("a"); dir("a/d"); int fd = instance(); OK(WATCH(fd, "a", IN_MOVE)); OK(SYS(rename, "a/d", "a/e")); CHECK(seen(fd, IN_MOVED_TO | IN_ISDIR, "e")); }
CASE(move_onto_a_watched_file) { file("a", ""); file("f", ""); int fd = instance(); OK(WATCH(fd, "f", IN_ATTRIB | IN_DELETE_SELF)); OK(SYS(rename, "a", "f")); CHECK(seen(fd, IN_DELETE_SELF, "")); }
CASE(moved_directory_is_still_watched) { dir("a"); int fd = instance(); OK(WATCH(fd, "a", IN_CREATE)); OK(SYS(rename, "a", "b")); file("b/f", ""); CHECK(seen(fd, IN_CREATE, "f")); }
CASE(exchange_moves_both) { file("a", ""); file("c", ""); int fd = instance(); OK(WATCH(fd, ".", IN_MOVED_TO)); OK(SYS(renameat2, AT_FDCWD, "a", AT_FDCWD, "c", 2)); OK(SYS(read, fd, b, sizeof b)); struct inotify_event *e = (void *)b, *f = (void *)(b + sizeof *e + e->len); CHECK(e->cookie != f->cookie); CHECK(strcmp(e->name, f->name)); }
CASE(name_too_long) { int fd = OK(SYS(inotify_init1, 0)); FAILS(ENAMETOOLONG, SYS(inotify_add_watch, fd, letters(256), IN_CREATE)); FAILS(ENAMETOOLONG, SYS(inotify_add_watch, fd, dots(4096, "f"), IN_CREATE)); }
