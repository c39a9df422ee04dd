/* execve(2), execveat(2) */
#include "harness.h"
#include <pthread.h>
#include <sys/auxv.h>

static char **none = (char *[]){NULL};
#define ARGS(...) ((char *[]){SELF, __VA_ARGS__, NULL})
#define EXEC(...) SYS(execve, SELF, ARGS(__VA_ARGS__), none)
/* A child that executes; its exit status. */
#define RUN(...) ({ pid_t p_ = fork(); if (p_ == 0) { __VA_ARGS__; _exit(99); } int s_ = ENDED(p_); WIFEXITED(s_) ? WEXITSTATUS(s_) : -WTERMSIG(s_); })

/* A copy of this program, where it may be changed. */
static void copy(const char *path, int mode) {
    int in = OK(SYS(open, SELF, O_RDONLY, 0)), out = OK(SYS(open, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0755));
    struct stat st;
    OK(SYS(fstat, in, &st));
    EQ(st.st_size, SYS(sendfile, out, in, NULL, st.st_size));
    SYS(close, in), SYS(close, out);
    OK(SYS(chmod, path, mode));
}
static void script(const char *path, const char *text) { file(path, text); OK(SYS(chmod, path, 0755)); }

PROGRAM(exit_with) { return atoi(argv[1]); }
PROGRAM(count_args) { return argc; }
PROGRAM(exit_by_name) { return argc > 1 && !strncmp(argv[1], "/dev/fd/", 8) && strstr(argv[1], "/s") ? 0 : 1; }
PROGRAM(env) { return getenv(argv[1]) && !strcmp(getenv(argv[1]), argv[2]) ? 0 : 1; }
PROGRAM(fd_open) { return SYS(fcntl, atoi(argv[1]), F_GETFD) >= 0; }
PROGRAM(ids) { return SYS(getuid) == atoi(argv[1]) && SYS(geteuid) == atoi(argv[2]) && SYS(getgid) == atoi(argv[3]) && SYS(getegid) == atoi(argv[4]) ? 0 : 1; }
PROGRAM(ignored) { struct sigaction a; sigaction(atoi(argv[1]), NULL, &a); return a.sa_handler == SIG_IGN ? 1 : a.sa_handler == SIG_DFL ? 0 : 2; }
PROGRAM(blocked) { sigset_t s; sigprocmask(0, NULL, &s); return sigismember(&s, atoi(argv[1])); }
PROGRAM(comm) { char n[16]; SYS(prctl, PR_GET_NAME, n, 0, 0, 0); return strcmp(n, argv[1]); }
PROGRAM(has_pid) { return SYS(getpid) != atoi(argv[1]) || SYS(gettid) != atoi(argv[1]); }
PROGRAM(has_umask) { return SYS(umask, 0); }
PROGRAM(caps) { return effective_capabilities() != 0; }
PROGRAM(dumpable) { return SYS(prctl, PR_GET_DUMPABLE, 0, 0, 0, 0); }
PROGRAM(secure) { return getauxval(AT_SECURE); }
PROGRAM(fs_ids) { return SYS(setfsuid, -1) != atoi(argv[1]); }
PROGRAM(opens) { return SYS(open, argv[1], O_RDONLY, 0) < 0; }

CASE(executes) { EQ(7, RUN(EXEC("exit_with", "7"))); }
CASE(arguments) { EQ(4, RUN(EXEC("count_args", "", "a b", "c"))); }
CASE(environment) { EQ(0, RUN(SYS(execve, SELF, ARGS("env", "NAME", "value"), ((char *[]){"NAME=value", NULL})))); }
CASE(null_environment) { EQ(1, RUN(SYS(execve, SELF, ARGS("env", "NAME", "value"), NULL))); }
CASE(relative_path) { copy("prog", 0755); EQ(3, RUN(SYS(execve, "prog", ARGS("exit_with", "3"), none))); EQ(3, RUN(SYS(execve, "./prog", ARGS("exit_with", "3"), none))); }
CASE(through_link) { slink(SELF, "l"); EQ(3, RUN(SYS(execve, "l", ARGS("exit_with", "3"), none))); }
CASE(proc_self_exe) { EQ(3, RUN(SYS(execve, "/proc/self/exe", ARGS("exit_with", "3"), none))); }
CASE(exe_names_the_program) { copy("prog", 0755); pid_t p = SPAWN(pause()); char path[40], b[PATH_MAX]; sprintf(path, "/proc/%d/exe", p); b[OK(SYS(readlink, path, b, sizeof b))] = 0; STREQ(SELF, b); kill(p, SIGKILL); }
CASE(keeps_the_pid) { EQ(0, RUN(char n[16]; sprintf(n, "%ld", SYS(getpid)); EXEC("has_pid", n))); }
CASE(comm_is_the_file_name) { copy("prog", 0755); EQ(0, RUN(SYS(execve, "prog", ARGS("comm", "prog"), none))); }
CASE(cloexec) { file("f", ""); EQ(0, RUN(SYS(dup2, OK(SYS(open, "f", O_RDONLY, 0)), 50); SYS(fcntl, 50, F_SETFD, FD_CLOEXEC); EXEC("fd_open", "50"))); }
CASE(no_cloexec) { file("f", ""); EQ(1, RUN(SYS(dup2, OK(SYS(open, "f", O_RDONLY, 0)), 50); EXEC("fd_open", "50"))); }
CASE(failed_exec_keeps_cloexec_open) { file("f", ""); int fd = OK(SYS(open, "f", O_RDONLY | O_CLOEXEC, 0)); FAILS(ENOENT, SYS(execve, "none", ARGS("x"), none)); EQ(FD_CLOEXEC, SYS(fcntl, fd, F_GETFD)); }
CASE(umask_stays) { SYS(umask, 031); EQ(031, RUN(EXEC("has_umask"))); }
CASE(cwd_stays) { copy("prog", 0755); dir("d"); file("d/f", ""); EQ(0, RUN(OK(SYS(chdir, "d")); SYS(execve, "../prog", ARGS("opens", "f"), none))); }
CASE(ignored_signals_stay) { EQ(1, RUN(signal(SIGUSR1, SIG_IGN); EXEC("ignored", "10"))); }
CASE(handlers_are_reset) { EQ(0, RUN(handle(SIGUSR1, 0); EXEC("ignored", "10"))); }
CASE(blocked_signals_stay) { EQ(1, RUN(sigset_t s; sigemptyset(&s); sigaddset(&s, SIGUSR1); sigprocmask(SIG_BLOCK, &s, NULL); EXEC("blocked", "10"))); }
ERR(missing, ENOENT, SYS(execve, "none", none, none))
ERR(empty_path, ENOENT, SYS(execve, "", none, none))
ERR(bad_pointer, EFAULT, SYS(execve, BAD, none, none))
CASE(bad_arguments) { FAILS(EFAULT, SYS(execve, SELF, BAD, none)); FAILS(EFAULT, SYS(execve, SELF, ((char *[]){BAD, NULL}), none)); FAILS(EFAULT, SYS(execve, SELF, ARGS("x"), BAD)); }
ERR(name_too_long, ENAMETOOLONG, SYS(execve, letters(256), none, none))
ERR(path_too_long, ENAMETOOLONG, SYS(execve, dots(4096, "f"), none, none))
CASE(not_executable) { file("f", "#!/x\n"); FAILS(EACCES, SYS(execve, "f", ARGS("x"), none)); }
CASE(directory) { dir("d"); FAILS(EACCES, SYS(execve, "d", ARGS("x"), none)); }
CASE(fifo_) { fifo("p"); OK(SYS(chmod, "p", 0755)); FAILS(EACCES, SYS(execve, "p", ARGS("x"), none)); }
CASE(not_a_directory) { file("f", ""); FAILS(ENOTDIR, SYS(execve, "f/x", ARGS("x"), none)); }
CASE(loop) { slink("l", "l"); FAILS(ELOOP, SYS(execve, "l", ARGS("x"), none)); }
CASE(unknown_format) { script("f", "no program\n"); FAILS(ENOEXEC, SYS(execve, "f", ARGS("x"), none)); }
CASE(empty_file) { script("f", ""); FAILS(ENOEXEC, SYS(execve, "f", ARGS("x"), none)); }
CASE(damaged_elf) { script("f", "\177ELF"); FAILS(ENOEXEC, SYS(execve, "f", ARGS("x"), none)); }
CASE(open_for_writing) { copy("prog", 0755); int fd = OK(SYS(open, "prog", O_WRONLY, 0)); FAILS(ETXTBSY, SYS(execve, "prog", ARGS("exit_with", "0"), none)); SYS(close, fd); EQ(5, RUN(SYS(execve, "prog", ARGS("exit_with", "5"), none))); }
CASE(no_execute_permission) { copy("prog", 0644); FAILS(EACCES, SYS(execve, "prog", ARGS("x"), none)); copy("prog2", 0744); become(USER, GROUP); FAILS(EACCES, SYS(execve, "prog2", ARGS("x"), none)); }
CASE(execute_without_read) { copy("prog", 0711); become(USER, GROUP); EQ(4, RUN(SYS(execve, "prog", ARGS("exit_with", "4"), none))); }
CASE(no_search_permission) { dir_mode("d", 0666); copy("d/prog", 0755); become(USER, GROUP); FAILS(EACCES, SYS(execve, "d/prog", ARGS("x"), none)); }
CASE(noexec_mount) { copy("/dev/shm/prog", 0755); FAILS(EACCES, SYS(execve, "/dev/shm/prog", ARGS("x"), none)); OK(SYS(unlink, "/dev/shm/prog")); }
CASE(script_) { char t[PATH_MAX]; sprintf(t, "#!%s exit_with\n", SELF); script("7", t); EQ(7, RUN(SYS(execve, "7", ARGS("ignored"), none))); }
CASE(script_arguments) { char t[PATH_MAX]; sprintf(t, "#!%s  count_args \n", SELF); script("s", t); EQ(4, RUN(SYS(execve, "s", ARGS("a", "b"), none))); }
CASE(script_without_interpreter) { script("s", "#!\n"); FAILS(ENOEXEC, SYS(execve, "s", ARGS("x"), none)); }
CASE(script_missing_interpreter) { script("s", "#!/none\n"); FAILS(ENOENT, SYS(execve, "s", ARGS("x"), none)); }
CASE(script_of_scripts) { char t[PATH_MAX]; sprintf(t, "#!%s count_args\n", SELF); script("a", t); script("b", "#!a\n"); EQ(4, RUN(SYS(execve, "b", ARGS("x"), none))); }
CASE(script_loop) { script("a", "#!a\n"); FAILS(ELOOP, SYS(execve, "a", ARGS("x"), none)); }
CASE(script_interpreter_is_not_executable) { file("i", "x"); script("s", "#!i\n"); FAILS(EACCES, SYS(execve, "s", ARGS("x"), none)); }
CASE(argument_too_long) { char *big = malloc(200000); memset(big, 'a', 199999); big[199999] = 0; FAILS(E2BIG, SYS(execve, SELF, ARGS("exit_with", big), none)); }
CASE(arguments_too_many) { char **many = calloc(4000002, sizeof *many); for (int i = 0; i < 4000000; i++) many[i] = "aaaa"; FAILS(E2BIG, SYS(execve, SELF, many, none)); }
CASE(long_argument) { char *big = malloc(130000); memset(big, 'a', 129999); big[129999] = 0; EQ(2, RUN(EXEC("count_args", big))); }
CASE(setuid) { copy("prog", 0755); OK(SYS(chown, "prog", OTHER, 0)); OK(SYS(chmod, "prog", 04755)); become(USER, GROUP); EQ(0, RUN(SYS(execve, "prog", ARGS("ids", "1000", "2000", "1000", "1000"), none))); }
CASE(setgid) { copy("prog", 0755); OK(SYS(chown, "prog", 0, OTHER)); OK(SYS(chmod, "prog", 02755)); become(USER, GROUP); EQ(0, RUN(SYS(execve, "prog", ARGS("ids", "1000", "1000", "1000", "2000"), none))); }
CASE(setuid_root_has_capabilities) { copy("prog", 0755); OK(SYS(chmod, "prog", 04755)); become(USER, GROUP); EQ(1, RUN(SYS(execve, "prog", ARGS("caps"), none))); }
CASE(setuid_changes_file_access) { copy("prog", 0755); OK(SYS(chmod, "prog", 04755)); file("secret", "x"); OK(SYS(chmod, "secret", 0600)); become(USER, GROUP); FAILS(EACCES, SYS(open, "secret", O_RDONLY, 0)); EQ(0, RUN(SYS(execve, "prog", ARGS("opens", "secret"), none))); }
CASE(setuid_file_access_of_a_user) { copy("prog", 0755); OK(SYS(chown, "prog", OTHER, OTHER)); OK(SYS(chmod, "prog", 04755)); file("theirs", "x"); OK(SYS(chown, "theirs", OTHER, OTHER)); OK(SYS(chmod, "theirs", 0600)); file("mine", "x"); OK(SYS(chown, "mine", USER, GROUP)); OK(SYS(chmod, "mine", 0600)); become(USER, GROUP); EQ(0, RUN(SYS(execve, "prog", ARGS("opens", "theirs"), none))); EQ(1, RUN(SYS(execve, "prog", ARGS("opens", "mine"), none))); }
CASE(setuid_and_no_new_privs) { copy("prog", 0755); OK(SYS(chown, "prog", OTHER, 0)); OK(SYS(chmod, "prog", 04755)); become(USER, GROUP); OK(SYS(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)); EQ(0, RUN(SYS(execve, "prog", ARGS("ids", "1000", "1000", "1000", "1000"), none))); }
CASE(setuid_is_secure_mode) { copy("prog", 0755); OK(SYS(chown, "prog", OTHER, 0)); OK(SYS(chmod, "prog", 04755)); become(USER, GROUP); EQ(1, RUN(SYS(execve, "prog", ARGS("secure"), none))); EQ(0, RUN(EXEC("secure"))); }
CASE(setuid_of_script_is_ignored) { char t[PATH_MAX]; sprintf(t, "#!%s caps\n", SELF); script("s", t); OK(SYS(chmod, "s", 04755)); become(USER, GROUP); EQ(0, RUN(SYS(execve, "s", ARGS("x"), none))); }
CASE(file_capability) { copy("prog", 0755); uint32_t v[] = {0x02000001, 1 << CAP_NET_BIND_SERVICE, 0, 0, 0}; OK(SYS(setxattr, "prog", "security.capability", v, sizeof v, 0)); become(USER, GROUP); EQ(1, RUN(SYS(execve, "prog", ARGS("caps"), none))); }
CASE(user_loses_capabilities) { become_with(USER, GROUP, CAP(KILL)); EQ(0, RUN(EXEC("caps"))); }
CASE(user_loses_file_capabilities_at_once) { file("f", ""); OK(SYS(chmod, "f", 0600)); become_with(USER, GROUP, CAP(DAC_OVERRIDE)); OK(SYS(open, "f", O_RDONLY, 0)); EQ(1, RUN(EXEC("opens", "f"))); OK(SYS(open, "f", O_RDONLY, 0)); }
CASE(ambient_capabilities_stay) { need_root(); uint64_t m = CAP(KILL); OK(SYS(setgroups, 0, NULL)); OK(SYS(prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0)); OK(SYS(setresuid, USER, USER, USER)); OK(set_capabilities(m, m, m)); OK(SYS(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0)); EQ(1, RUN(EXEC("caps"))); }
CASE(fsuid_follows_euid) { need_root(); EQ(0, RUN(OK(SYS(setresuid, USER, USER, USER)); EXEC("fs_ids", "1000"))); }
CASE(at_directory) { dir("d"); copy("d/prog", 0755); int fd = OK(SYS(open, "d", O_RDONLY, 0)); EQ(6, RUN(SYS(execveat, fd, "prog", ARGS("exit_with", "6"), none, 0))); }
CASE(at_descriptor) { int fd = OK(SYS(open, SELF, O_RDONLY, 0)); EQ(6, RUN(SYS(execveat, fd, "", ARGS("exit_with", "6"), none, AT_EMPTY_PATH))); }
CASE(at_path_descriptor) { int fd = OK(SYS(open, SELF, O_PATH | O_CLOEXEC, 0)); EQ(6, RUN(SYS(execveat, fd, "", ARGS("exit_with", "6"), none, AT_EMPTY_PATH))); }
CASE(at_memfd) { int fd = OK(SYS(memfd_create, "prog", MFD_CLOEXEC)), in = OK(SYS(open, SELF, O_RDONLY, 0)); struct stat st; OK(SYS(fstat, in, &st)); EQ(st.st_size, SYS(sendfile, fd, in, NULL, st.st_size)); char p[40]; sprintf(p, "/proc/self/fd/%d", fd); int ro = OK(SYS(open, p, O_RDONLY, 0)); SYS(close, fd); EQ(6, RUN(SYS(execveat, ro, "", ARGS("exit_with", "6"), none, AT_EMPTY_PATH))); }
CASE(at_script_by_cloexec_descriptor) { char t[PATH_MAX]; sprintf(t, "#!%s exit_with\n", SELF); script("s", t); FAILS(ENOENT, SYS(execveat, OK(SYS(open, "s", O_RDONLY | O_CLOEXEC, 0)), "", ARGS("x"), none, AT_EMPTY_PATH)); }
CASE(at_nofollow) { slink(SELF, "l"); FAILS(ELOOP, SYS(execveat, AT_FDCWD, "l", ARGS("x"), none, AT_SYMLINK_NOFOLLOW)); }
ERR(at_unknown_flag, EINVAL, SYS(execveat, AT_FDCWD, "f", none, none, 0x8000))
ERR(at_closed, EBADF, SYS(execveat, 99, "f", none, none, 0))
ERR(at_closed_empty, EBADF, SYS(execveat, 99, "", none, none, AT_EMPTY_PATH))
ERR(at_empty_without_flag, ENOENT, SYS(execveat, AT_FDCWD, "", none, none, 0))
static void *pausing(void *x) { pause(); return x; }
static void *executing(void *x UNUSED) { EXEC("exit_with", "8"); return NULL; }
CASE(ends_other_threads) { EQ(8, RUN(pthread_t t; for (int i = 0; i < 4; i++) pthread_create(&t, NULL, pausing, NULL); EXEC("exit_with", "8"))); }
CASE(from_a_thread) { EQ(8, RUN(pthread_t t; pthread_create(&t, NULL, executing, NULL); pause())); }
CASE(from_a_thread_keeps_the_pid) { pid_t p = fork(); if (!p) { pthread_t t; pthread_create(&t, NULL, executing, NULL); pause(); } EQ(8 << 8, ENDED(p)); }
CASE(after_vfork) { pid_t p = vfork(); if (!p) { EXEC("exit_with", "9"); _exit(1); } EQ(9 << 8, ENDED(p)); }
CASE(deleted_program) { copy("prog", 0755); int fd = OK(SYS(open, "prog", O_RDONLY, 0)); OK(SYS(unlink, "prog")); EQ(2, RUN(SYS(execveat, fd, "", ARGS("exit_with", "2"), none, AT_EMPTY_PATH))); }
CASE(at_script_by_descriptor) { char t[PATH_MAX]; sprintf(t, "#!%s count_args\n", SELF); script("s", t); int fd = OK(SYS(open, "s", O_RDONLY, 0)); EQ(3, RUN(SYS(execveat, fd, "", ARGS("x"), none, AT_EMPTY_PATH))); }
CASE(at_script_in_a_directory) { dir("d"); char t[PATH_MAX]; sprintf(t, "#!%s exit_by_name\n", SELF); script("d/s", t); int fd = OK(SYS(open, "d", O_RDONLY, 0)); EQ(0, RUN(SYS(execveat, fd, "s", ARGS("x"), none, 0))); }
CASE(at_script_in_a_cloexec_directory) { dir("d"); char t[PATH_MAX]; sprintf(t, "#!%s exit_with\n", SELF); script("d/s", t); int fd = OK(SYS(open, "d", O_RDONLY | O_CLOEXEC, 0)); FAILS(ENOENT, SYS(execveat, fd, "s", ARGS("x"), none, 0)); }
CASE(at_script_with_blanks) { char t[PATH_MAX]; sprintf(t, "#! \t%s  \tcount_args \t \n", SELF); script("s", t); EQ(3, RUN(SYS(execveat, AT_FDCWD, "s", ARGS("y"), none, 0))); }
CASE(at_absolute_path_ignores_the_descriptor) { EQ(6, RUN(SYS(execveat, 99, SELF, ARGS("exit_with", "6"), none, 0))); }
CASE(at_a_directory) { dir("d"); FAILS(EACCES, SYS(execveat, AT_FDCWD, "d", none, none, 0)); FAILS(EACCES, SYS(execveat, OK(SYS(open, "d", O_PATH, 0)), "", none, none, AT_EMPTY_PATH)); }
CASE(at_descriptor_not_executable) { file("f", "x"); FAILS(EACCES, SYS(execveat, OK(SYS(open, "f", O_RDONLY, 0)), "", none, none, AT_EMPTY_PATH)); }
CASE(at_link_is_followed) { slink(SELF, "l"); EQ(6, RUN(SYS(execveat, AT_FDCWD, "l", ARGS("exit_with", "6"), none, 0))); }
CASE(at_fifo) { fifo("p"); OK(SYS(chmod, "p", 0755)); FAILS(EACCES, SYS(execveat, AT_FDCWD, "p", none, none, 0)); }
CASE(at_magic_link) { char p[40]; sprintf(p, "/proc/self/fd/%ld", OK(SYS(open, SELF, O_PATH | O_CLOEXEC, 0))); EQ(6, RUN(SYS(execveat, AT_FDCWD, p, ARGS("exit_with", "6"), none, 0))); }
CASE(script_of_a_script) { char t[PATH_MAX]; sprintf(t, "#!%s count_args\n", SELF); script("one", t); script("two", "#!./one\n"); EQ(4, RUN(SYS(execve, "two", ARGS("z"), none))); }
