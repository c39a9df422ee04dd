/*
 * A harness for tests of system calls, in one header. A family of cases is one C file:
 *
 *     #include "harness.h"
 *     ERR(missing, ENOENT, SYS(open, "no such", O_RDONLY, 0))
 *     CASE(truncates) { file("f", "text"); OK(SYS(open, "f", O_WRONLY | O_TRUNC, 0)); EQ(0, size_of("f")); }
 *
 * Every case runs in a process of its own, in an empty directory of its own, for at most a few seconds. What is printed is
 * TAP version 13. A case passes when it returns, fails at the first assertion that does not hold, and may call skip().
 * SYS() is the system call and nothing else: its value, or -errno.
 *
 *     FAMILY [--list] [--scratch DIR] [--limit SECONDS] [CASE...]
 *
 * Exit status: 0 when all passed or were skipped, 1 when some failed, 2 for a wrong command line.
 */
#ifndef HARNESS_H
#define HARNESS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <linux/capability.h>

#define UNUSED __attribute__((unused))

/* ---- the system call itself ---- */

static inline long raw_call(long nr, long a, long b, long c, long d, long e, long f) {
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

/* What is newer than the headers may be. */
#ifndef __NR_cachestat
#define __NR_cachestat 451
#endif
#ifndef __NR_fchmodat2
#define __NR_fchmodat2 452
#endif
#ifndef __NR_futex_wake
#define __NR_futex_wake 454
#endif
#ifndef __NR_statmount
#define __NR_statmount 457
#endif
#ifndef __NR_mseal
#define __NR_mseal 462
#endif

#define W(x) ((long)(x))
#define RAW0(n) raw_call(n, 0, 0, 0, 0, 0, 0)
#define RAW1(n, a) raw_call(n, W(a), 0, 0, 0, 0, 0)
#define RAW2(n, a, b) raw_call(n, W(a), W(b), 0, 0, 0, 0)
#define RAW3(n, a, b, c) raw_call(n, W(a), W(b), W(c), 0, 0, 0)
#define RAW4(n, a, b, c, d) raw_call(n, W(a), W(b), W(c), W(d), 0, 0)
#define RAW5(n, a, b, c, d, e) raw_call(n, W(a), W(b), W(c), W(d), W(e), 0)
#define RAW6(n, a, b, c, d, e, f) raw_call(n, W(a), W(b), W(c), W(d), W(e), W(f))
#define SEVENTH(_0, _1, _2, _3, _4, _5, _6, chosen, ...) chosen
#define NUMBERED(...) SEVENTH(__VA_ARGS__, RAW6, RAW5, RAW4, RAW3, RAW2, RAW1, RAW0)(__VA_ARGS__)
/* SYS(openat, AT_FDCWD, "f", O_RDONLY): the value, or -errno. */
#define SYS(name, ...) NUMBERED(__NR_##name __VA_OPT__(,) __VA_ARGS__)

/* ---- cases ---- */

struct test_case {
    const char *name;
    void (*run)(void);
};

#define CASE(name_)                                                                                                        \
    static void case_##name_(void);                                                                                        \
    static const struct test_case entry_##name_ = {#name_, case_##name_};                                                  \
    static const struct test_case *const listed_##name_ __attribute__((used, section("cases"))) = &entry_##name_;         \
    static void case_##name_(void)
/* The call fails with that errno, in an empty directory and without preparation. */
#define ERR(name_, errno_, ...) CASE(name_) { FAILS_AS(#__VA_ARGS__, errno_, __VA_ARGS__); }
/* The call succeeds with that value. */
#define VAL(name_, value_, ...) CASE(name_) { EQ_AS(#__VA_ARGS__, value_, __VA_ARGS__); }

/* What any call says of a path that leads nowhere; `path` stands in the call for it. */
#define PATH_ERRORS(name_, ...)                                                                                            \
    static long name_##_of(const char *path) { return W(__VA_ARGS__); }                                                    \
    CASE(name_##_missing) { FAILS(ENOENT, name_##_of("none")); FAILS(ENOENT, name_##_of("none/f")); FAILS(ENOENT, name_##_of("")); } \
    CASE(name_##_not_a_directory) { file("f", ""); FAILS(ENOTDIR, name_##_of("f/x")); }                                    \
    CASE(name_##_loop) { slink("l", "l"); FAILS(ELOOP, name_##_of("l/x")); }                                               \
    CASE(name_##_too_long) { FAILS(ENAMETOOLONG, name_##_of(letters(256))); FAILS(ENAMETOOLONG, name_##_of(dots(4096, "f"))); } \
    CASE(name_##_bad_pointer) { FAILS(EFAULT, name_##_of(BAD)); }                                                          \
    CASE(name_##_no_search_permission) { dir_mode("d", 0700); file("d/f", ""); become(USER, GROUP); FAILS(EACCES, name_##_of("d/f")); }

/* A program: what this binary does when a case executes it as `SELF name ...`. */
#define PROGRAM(name_)                                                                                                     \
    static int program_##name_(int argc, char **argv);                                                                     \
    static const struct test_program program_entry_##name_ = {#name_, program_##name_};                                    \
    static const struct test_program *const program_listed_##name_ __attribute__((used, section("programs"))) =           \
        &program_entry_##name_;                                                                                            \
    static int program_##name_(int argc UNUSED, char **argv UNUSED)

struct test_program {
    const char *name;
    int (*run)(int argc, char **argv);
};

extern const struct test_case *const __start_cases[], *const __stop_cases[];
extern const struct test_program *const __start_programs[] __attribute__((weak));
extern const struct test_program *const __stop_programs[] __attribute__((weak));

enum { PASSED = 0, FAILED = 1, SKIPPED = 77 };

static struct {
    char text[1024];
} *verdict;

static const char *scratch_base = "/tmp";
static char SELF[PATH_MAX];

static const struct {
    int number;
    const char *name;
} errno_names[] = {
#define N(e) {e, #e}
    N(EPERM), N(ENOENT), N(ESRCH), N(EINTR), N(EIO), N(ENXIO), N(E2BIG), N(ENOEXEC), N(EBADF), N(ECHILD), N(EAGAIN), N(ENOMEM),
    N(EACCES), N(EFAULT), N(ENOTBLK), N(EBUSY), N(EEXIST), N(EXDEV), N(ENODEV), N(ENOTDIR), N(EISDIR), N(EINVAL), N(ENFILE), N(EMFILE),
    N(ENOTTY), N(ETXTBSY), N(EFBIG), N(ENOSPC), N(ESPIPE), N(EROFS), N(EMLINK), N(EPIPE), N(EDOM), N(ERANGE), N(EDEADLK),
    N(ENAMETOOLONG), N(ENOLCK), N(ENOSYS), N(ENOTEMPTY), N(ELOOP), N(ENOMSG), N(EIDRM), N(ENODATA), N(ETIME), N(EPROTO), N(EBADMSG),
    N(EOVERFLOW), N(ELIBBAD), N(EUSERS), N(ENOTSOCK), N(EDESTADDRREQ), N(EMSGSIZE), N(EPROTOTYPE), N(ENOPROTOOPT), N(EPROTONOSUPPORT),
    N(ESOCKTNOSUPPORT), N(EOPNOTSUPP), N(EPFNOSUPPORT), N(EAFNOSUPPORT), N(EADDRINUSE), N(EADDRNOTAVAIL), N(ENETDOWN), N(ENETUNREACH),
    N(ECONNABORTED), N(ECONNRESET), N(ENOBUFS), N(EISCONN), N(ENOTCONN), N(ESHUTDOWN), N(ETIMEDOUT), N(ECONNREFUSED), N(EHOSTUNREACH),
    N(EALREADY), N(EINPROGRESS), N(ESTALE), N(EDQUOT), N(ECANCELED), N(ENOPKG), N(EOWNERDEAD), N(ENOTRECOVERABLE), N(ENOKEY),
#undef N
};

/* `value` as it is shown: a number, or the name of an errno. */
static UNUSED const char *shown(long value) {
    static char buffers[4][32];
    static int turn;
    char *buffer = buffers[turn++ % 4];
    if (value < 0 && value > -4096)
        for (size_t i = 0; i < sizeof errno_names / sizeof *errno_names; i++)
            if (errno_names[i].number == -value) {
                snprintf(buffer, sizeof buffers[0], "-%s", errno_names[i].name);
                return buffer;
            }
    snprintf(buffer, sizeof buffers[0], "%ld", value);
    return buffer;
}

/* The case has failed, in whichever of its processes: the first one that says why is heard. */
static UNUSED void __attribute__((noreturn, format(printf, 3, 4))) fail_at(const char *source, int line, const char *format, ...) {
    if (!verdict->text[0]) {
        char why[900];
        va_list list;
        va_start(list, format);
        vsnprintf(why, sizeof why, format, list);
        va_end(list);
        for (char *c = why; *c; c++)
            if (*c == '\n')
                *c = ' ';
        snprintf(verdict->text, sizeof verdict->text, "%s:%d: %s", source, line, why);
    }
    _exit(FAILED);
}
#define FAIL(...) fail_at(__FILE_NAME__, __LINE__, __VA_ARGS__)

/* The case cannot be decided here. */
static UNUSED void __attribute__((noreturn)) skip(const char *why) {
    snprintf(verdict->text, sizeof verdict->text, "%s", why);
    _exit(SKIPPED);
}

/* The value of a call that has to succeed. */
#define OK(...)                                                                                                            \
    ({                                                                                                                     \
        long ok_ = W(__VA_ARGS__);                                                                                         \
        if (ok_ < 0)                                                                                                       \
            FAIL("%s = %s", #__VA_ARGS__, shown(ok_));                                                                     \
        ok_;                                                                                                               \
    })
#define FAILS(errno_, ...) FAILS_AS(#__VA_ARGS__, errno_, __VA_ARGS__)
#define FAILS_AS(text_, errno_, ...)                                                                                       \
    do {                                                                                                                   \
        long got_ = W(__VA_ARGS__);                                                                                        \
        if (got_ != -(errno_))                                                                                             \
            FAIL("%s = %s, not %s", text_, shown(got_), shown(-(errno_)));                                                 \
    } while (0)
/* The same with two errnos, where the kernel or the platform may look at one thing or the other first. */
#define EITHER(one_, other_, ...)                                                                                          \
    do {                                                                                                                   \
        long got_ = W(__VA_ARGS__);                                                                                        \
        if (got_ != -(one_) && got_ != -(other_))                                                                          \
            FAIL("%s = %s, neither %s nor %s", #__VA_ARGS__, shown(got_), shown(-(one_)), shown(-(other_)));               \
    } while (0)
#define EQ(want, ...) EQ_AS(#__VA_ARGS__, want, __VA_ARGS__)
#define EQ_AS(text_, want, ...)                                                                                            \
    do {                                                                                                                   \
        long want_ = W(want), got_ = W(__VA_ARGS__);                                                                       \
        if (got_ != want_)                                                                                                 \
            FAIL("%s = %s, not %s", text_, shown(got_), shown(want_));                                                     \
    } while (0)
#define CHECK(...)                                                                                                         \
    do {                                                                                                                   \
        if (!(__VA_ARGS__))                                                                                                \
            FAIL("not so: %s", #__VA_ARGS__);                                                                              \
    } while (0)
#define STREQ(want, got)                                                                                                   \
    do {                                                                                                                   \
        const char *want_ = (want), *got_ = (got);                                                                         \
        if (strcmp(want_, got_) != 0)                                                                                      \
            FAIL("%s = \"%s\", not \"%s\"", #got, got_, want_);                                                            \
    } while (0)

/* ---- what cases are made of ---- */

static UNUSED void *const BAD = (void *)0x10; /* an address that is never mapped */
enum { USER = 1000, GROUP = 1000, OTHER = 2000 };

static UNUSED void file_at(const char *source, int line, const char *path, const char *content) {
    long fd = SYS(open, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        fail_at(source, line, "cannot make the file %s: %s", path, shown(fd));
    long length = strlen(content), wrote = SYS(write, fd, content, length);
    if (wrote != length)
        fail_at(source, line, "cannot write to %s: %s", path, shown(wrote));
    SYS(close, fd);
}
/* A file with that content, mode 0644. */
#define file(path, content) file_at(__FILE_NAME__, __LINE__, path, content)
#define dir(path) OK(SYS(mkdir, path, 0755))
#define dir_mode(path, mode) (OK(SYS(mkdir, path, 0755)), OK(SYS(chmod, path, mode)))
#define slink(target, path) OK(SYS(symlink, target, path))
#define fifo(path) OK(SYS(mknod, path, S_IFIFO | 0644, 0))

/* The file status, with stat(2) or lstat(2). */
static UNUSED struct stat stat_at(const char *source, int line, const char *path, int flags) {
    struct stat st;
    long error = SYS(newfstatat, AT_FDCWD, path, &st, flags);
    if (error)
        fail_at(source, line, "cannot stat %s: %s", path, shown(error));
    return st;
}
#define STAT(path) stat_at(__FILE_NAME__, __LINE__, path, 0)
#define LSTAT(path) stat_at(__FILE_NAME__, __LINE__, path, AT_SYMLINK_NOFOLLOW)
#define mode_of(path) (STAT(path).st_mode & 07777)
#define size_of(path) (STAT(path).st_size)

static UNUSED bool exists(const char *path) {
    struct stat st;
    return SYS(newfstatat, AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* The content of a file, at most 4095 bytes. */
static UNUSED const char *content_at(const char *source, int line, const char *path) {
    static char buffer[4096];
    long fd = SYS(open, path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        fail_at(source, line, "cannot open %s: %s", path, shown(fd));
    long length = 0, got;
    while (length < (long)sizeof buffer - 1 && (got = SYS(read, fd, buffer + length, sizeof buffer - 1 - length)) > 0)
        length += got;
    SYS(close, fd);
    buffer[length] = 0;
    return buffer;
}
#define CONTENT(path) content_at(__FILE_NAME__, __LINE__, path)

/* A name of `length` times the letter a; two may be in use. */
static UNUSED const char *letters(size_t length) {
    static char buffers[2][70000];
    static int turn;
    char *buffer = buffers[turn++ % 2];
    memset(buffer, 'a', length);
    buffer[length] = 0;
    return buffer;
}

/* A path of `length` bytes that leads nowhere but here: ././././ and so on, then `last`. */
static UNUSED const char *dots(size_t length, const char *last) {
    static char buffer[70000];
    size_t tail = strlen(last), i = 0;
    if ((length - tail) % 2)
        buffer[i++] = '.', buffer[i++] = '/', buffer[i++] = '/';
    for (; i < length - tail; i += 2)
        buffer[i] = '.', buffer[i + 1] = '/';
    strcpy(buffer + length - tail, last);
    return buffer;
}

#define need_root()                                                                                                        \
    do {                                                                                                                   \
        if (SYS(geteuid) != 0)                                                                                             \
            skip("needs root");                                                                                            \
    } while (0)

/* From here on this process is that user, in that group and no other, without capabilities. */
#define become(uid, gid)                                                                                                   \
    do {                                                                                                                   \
        need_root();                                                                                                       \
        OK(SYS(setgroups, 0, NULL));                                                                                       \
        OK(SYS(setresgid, gid, gid, gid));                                                                                 \
        OK(SYS(setresuid, uid, uid, uid));                                                                                 \
        SYS(prctl, PR_SET_DUMPABLE, 1, 0, 0, 0);                                                                           \
    } while (0)

static UNUSED long set_capabilities(uint64_t effective, uint64_t permitted, uint64_t inheritable) {
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{effective, permitted, inheritable}, {effective >> 32, permitted >> 32, inheritable >> 32}};
    return SYS(capset, &head, data);
}
static UNUSED uint64_t effective_capabilities(void) {
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0}};
    SYS(capget, &head, data);
    return data[0].effective | (uint64_t)data[1].effective << 32;
}
/* Without that capability, and else as before. */
#define without_cap(cap)                                                                                                   \
    do {                                                                                                                   \
        need_root();                                                                                                       \
        uint64_t have_ = effective_capabilities() & ~(1ULL << (cap));                                                      \
        OK(set_capabilities(have_, have_, 0));                                                                             \
    } while (0)
/* That user with these capabilities only, a mask. */
#define become_with(uid, gid, mask)                                                                                        \
    do {                                                                                                                   \
        need_root();                                                                                                       \
        OK(SYS(setgroups, 0, NULL));                                                                                       \
        OK(SYS(prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0));                                                                       \
        OK(SYS(setresgid, gid, gid, gid));                                                                                 \
        OK(SYS(setresuid, uid, uid, uid));                                                                                 \
        OK(set_capabilities(mask, mask, 0));                                                                               \
    } while (0)
#define CAP(name) (1ULL << CAP_##name)

/* Wait for a child process to end: its status as of wait(2). */
static UNUSED int ended_at(const char *source, int line, pid_t pid) {
    int status;
    long got;
    while ((got = SYS(wait4, pid, &status, 0, NULL)) == -EINTR)
        ;
    if (got != pid)
        fail_at(source, line, "wait4 = %s", shown(got));
    return status;
}
#define ENDED(pid) ended_at(__FILE_NAME__, __LINE__, pid)

static UNUSED void child_passed(const char *source, int line, pid_t pid) {
    int status = ended_at(source, line, pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED)
        _exit(SKIPPED);
    if (status)
        fail_at(source, line, "a process of the case ended with status %#x", status);
}
/* These statements in a process of their own, whose failure is the case's. */
#define CHILD(...)                                                                                                         \
    do {                                                                                                                   \
        pid_t child_ = fork();                                                                                             \
        if (child_ == 0) {                                                                                                 \
            __VA_ARGS__;                                                                                                   \
            _exit(PASSED);                                                                                                 \
        }                                                                                                                  \
        child_passed(__FILE_NAME__, __LINE__, child_);                                                                     \
    } while (0)
/* The same without waiting: JOIN(pid) later. */
#define SPAWN(...)                                                                                                         \
    ({                                                                                                                     \
        pid_t child_ = fork();                                                                                             \
        if (child_ == 0) {                                                                                                 \
            __VA_ARGS__;                                                                                                   \
            _exit(PASSED);                                                                                                 \
        }                                                                                                                  \
        child_;                                                                                                            \
    })
#define JOIN(pid) child_passed(__FILE_NAME__, __LINE__, pid)

/* ---- signals ---- */

static volatile sig_atomic_t signals_seen;
static UNUSED void on_signal(int number UNUSED) { signals_seen++; }

/* A handler that counts signals_seen; flags as of sigaction(2), SA_RESTART among them. */
static UNUSED void handle(int number, int flags) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = flags};
    sigaction(number, &action, NULL);
}
/* SIGALRM comes every `ms` milliseconds: again and again, so that none is too early. */
static UNUSED void tick(long ms) {
    struct itimerval every = {{ms / 1000, ms % 1000 * 1000}, {ms / 1000, ms % 1000 * 1000}};
    SYS(setitimer, ITIMER_REAL, &every, NULL);
}
/* The call is interrupted by a signal whose handler has no SA_RESTART. */
#define INTERRUPTED(...)                                                                                                   \
    do {                                                                                                                   \
        handle(SIGALRM, 0);                                                                                                \
        tick(20);                                                                                                          \
        FAILS(EINTR, __VA_ARGS__);                                                                                         \
        tick(0);                                                                                                           \
        CHECK(signals_seen > 0);                                                                                           \
    } while (0)
static void (*third_tick)(void);
static UNUSED void on_tick(int number UNUSED) {
    if (++signals_seen == 3)
        third_tick();
}
/* The call goes on after signals with SA_RESTART, until `release`, a function, has been called by the third. */
#define RESTARTED(release, ...)                                                                                            \
    ({                                                                                                                     \
        third_tick = release;                                                                                              \
        struct sigaction action_ = {.sa_handler = on_tick, .sa_flags = SA_RESTART};                                        \
        sigaction(SIGALRM, &action_, NULL);                                                                                \
        tick(20);                                                                                                          \
        long value_ = OK(__VA_ARGS__);                                                                                     \
        tick(0);                                                                                                           \
        CHECK(signals_seen >= 3);                                                                                          \
        value_;                                                                                                            \
    })

static UNUSED int64_t now_ns(clockid_t clock) {
    struct timespec ts;
    SYS(clock_gettime, clock, &ts);
    return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}
static UNUSED void sleep_ms(long ms) {
    struct timespec ts = {ms / 1000, ms % 1000 * 1000000};
    SYS(nanosleep, &ts, NULL);
}
/* Come back when the process sleeps in a call, or has ended; /proc/PID/stat says so. Where a sandbox traces, a held call is a stop: t. */
static UNUSED void until_sleeping(pid_t pid) {
    char path[40], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    for (int in_row = 0; in_row < 5;) { /* if it never does, the time of the case is up */
        long fd = SYS(open, path, O_RDONLY | O_CLOEXEC, 0);
        if (fd < 0)
            return;
        long length = SYS(read, fd, text, sizeof text - 1);
        SYS(close, fd);
        if (length <= 0)
            return;
        text[length] = 0;
        const char *after = strrchr(text, ')');
        in_row = after && strchr("SDZt", after[2]) ? in_row + 1 : 0;
        sleep_ms(2);
    }
}

/* ---- the run ---- */

static void remove_tree(int parent, const char *name, int depth) {
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
        return;
    if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || depth > 200)
        return;
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return;
    fchmod(fd, 0700);
    DIR *stream = fdopendir(fd);
    for (struct dirent *entry; stream && (entry = readdir(stream));)
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
            remove_tree(fd, entry->d_name, depth + 1);
    closedir(stream);
    unlinkat(parent, name, AT_REMOVEDIR);
}

/* In the process of the case: nothing is left open, ignored or pending, and the directory is empty. */
static void __attribute__((noreturn)) run_case(const struct test_case *test, const char *place) {
    setpgid(0, 0);
    umask(022);
    if (chdir(place) != 0)
        fail_at("harness.h", __LINE__, "cannot enter %s: %s", place, strerror(errno));
    test->run();
    _exit(PASSED);
}

/* Wait for the case, at most `limit` seconds. Its status, or -1 when its time was up. */
static int await_case(pid_t pid, int limit) {
    sigset_t chld;
    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    struct timespec end, now;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += limit;
    for (;;) {
        int status;
        pid_t got = waitpid(pid, &status, WNOHANG);
        if (got == pid)
            return status;
        clock_gettime(CLOCK_MONOTONIC, &now);
        long left = (end.tv_sec - now.tv_sec) * 1000 + (end.tv_nsec - now.tv_nsec) / 1000000;
        if (left <= 0)
            return -1;
        struct timespec wait = {left / 1000, left % 1000 * 1000000 + 1000};
        sigtimedwait(&chld, NULL, &wait);
    }
}

/* What a case has left running ends with it: its process group, and as a subreaper (or pid 1) our other children. */
static void end_leftovers(pid_t pid) {
    kill(-pid, SIGKILL);
    if (getpid() == 1)
        kill(-1, SIGKILL);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/children", getpid());
    for (int round = 0; round < 100; round++) {
        FILE *children = fopen(path, "re");
        for (int child; children && fscanf(children, "%d", &child) == 1;)
            kill(child, SIGKILL);
        if (children)
            fclose(children);
        int got = waitpid(-1, NULL, WNOHANG);
        if (got < 0)
            return;
        if (got == 0)
            sleep_ms(1);
    }
}

static int perform(const struct test_case *test, int number, int limit) {
    char place[PATH_MAX];
    snprintf(place, sizeof place, "%s/case.XXXXXX", scratch_base);
    verdict->text[0] = 0;
    if (!mkdtemp(place)) {
        printf("not ok %d - %s\n# cannot make %s: %s\n", number, test->name, place, strerror(errno));
        return FAILED;
    }
    chmod(place, 0755);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        run_case(test, place);
    }
    int status = await_case(pid, limit), result = FAILED;
    end_leftovers(pid);
    if (status == PASSED << 8) {
        result = PASSED;
        printf("ok %d - %s\n", number, test->name);
    } else if (status == SKIPPED << 8) {
        result = SKIPPED;
        printf("ok %d - %s # SKIP %s\n", number, test->name, verdict->text);
    } else {
        printf("not ok %d - %s\n", number, test->name);
        if (status == -1)
            printf("# not done after %d seconds%s%s\n", limit, verdict->text[0] ? "; " : "", verdict->text);
        else if (WIFSIGNALED(status))
            printf("# killed by signal %d (%s)\n", WTERMSIG(status), strsignal(WTERMSIG(status)));
        else if (verdict->text[0])
            printf("# %s\n", verdict->text);
        else
            printf("# exit status %d, and no word why\n", WEXITSTATUS(status));
    }
    fflush(stdout);
    remove_tree(AT_FDCWD, place, 0);
    return result;
}

static const struct test_case *case_named(const char *name) {
    for (const struct test_case *const *test = __start_cases; test < __stop_cases; test++)
        if (strcmp((*test)->name, name) == 0)
            return *test;
    return NULL;
}

static int usage(const char *program, const char *what) {
    fprintf(stderr, "%s: %s\nusage: %s [--list] [--scratch DIR] [--limit SECONDS] [CASE...]\n", program, what, program);
    return 2;
}

int main(int argc, char **argv) {
    if (__start_programs && argc > 1)
        for (const struct test_program *const *program = __start_programs; program < __stop_programs; program++)
            if (strcmp((*program)->name, argv[1]) == 0)
                return (*program)->run(argc - 1, argv + 1);
    int limit = 10, at = 1, failures = 0, number = 0;
    for (int n = 1; n < 32; n++)
        signal(n, SIG_DFL); /* nohup(1) hands on that one is ignored, shells do for jobs in the background */
    verdict = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (; at < argc && argv[at][0] == '-'; at++) {
        if (strcmp(argv[at], "--list") == 0) {
            for (const struct test_case *const *test = __start_cases; test < __stop_cases; test++)
                puts((*test)->name);
            return 0;
        }
        if (at + 1 < argc && strcmp(argv[at], "--scratch") == 0)
            scratch_base = argv[++at];
        else if (at + 1 < argc && strcmp(argv[at], "--limit") == 0 && atoi(argv[at + 1]) > 0)
            limit = atoi(argv[++at]);
        else
            return usage(argv[0], argv[at]);
    }
    for (int i = at; i < argc; i++)
        if (!case_named(argv[i]))
            return usage(argv[0], argv[i]);
    if (!realpath("/proc/self/exe", SELF) && !realpath(argv[0], SELF))
        return usage(argv[0], "cannot find its own file");
    sigset_t chld;
    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    sigprocmask(SIG_BLOCK, &chld, NULL);
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    long count = at < argc ? argc - at : __stop_cases - __start_cases;
    printf("TAP version 13\n1..%ld\n", count);
    for (long i = 0; i < count; i++)
        failures += perform(at < argc ? case_named(argv[at + i]) : __start_cases[i], ++number, limit) == FAILED;
    return failures ? 1 : 0;
}
#endif
