/* What a kernel may be built without and a sandbox may keep from programs: it works, or each of its calls is refused in a way that they know */
#include "harness.h"
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <linux/sched.h>

/* The value, or one of the errnos after which programs go on without. */
static long answered(const char *what, long r) { if (r < 0 && r != -EPERM && r != -ENOSYS) FAIL("%s = %s, neither a value nor -EPERM nor -ENOSYS", what, shown(r)); return r; }
#define ANSWERED(...) answered(#__VA_ARGS__, W(__VA_ARGS__))
static char b[4096] __attribute__((aligned(8)));

CASE(io_uring) { long fd = ANSWERED(SYS(io_uring_setup, 4, b)); if (fd >= 0) return; EQ(fd, SYS(io_uring_enter, 0, 1, 0, 0, NULL, 0)); EQ(fd, SYS(io_uring_register, 0, 0, NULL, 0)); }
CASE(kernel_aio) { long context = 0, r = ANSWERED(SYS(io_setup, 4, &context)); if (r == 0) { EQ(0, SYS(io_destroy, context)); return; } EQ(r, SYS(io_submit, 0, 0, NULL)); EQ(r, SYS(io_destroy, 0)); EQ(r, SYS(io_getevents, 0, 0, 0, NULL, NULL)); EQ(0, context); }
CASE(bpf_map) { union bpf_attr a = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1}; ANSWERED(SYS(bpf, BPF_MAP_CREATE, &a, sizeof a)); }
CASE(bpf_program_as_user) { become(USER, GROUP); union bpf_attr a = {.prog_type = BPF_PROG_TYPE_TRACEPOINT}; EITHER(EPERM, EINVAL, SYS(bpf, BPF_PROG_LOAD, &a, sizeof a)); }
CASE(userfaults) { ANSWERED(SYS(userfaultfd, O_CLOEXEC)); }
CASE(performance_counters) { struct perf_event_attr a = {.type = PERF_TYPE_SOFTWARE, .size = sizeof a, .config = PERF_COUNT_SW_TASK_CLOCK, .exclude_kernel = 1}; ANSWERED(SYS(perf_event_open, &a, 0, -1, -1, 0)); }
CASE(performance_of_the_machine_as_user) { become(USER, GROUP); struct perf_event_attr a = {.type = PERF_TYPE_SOFTWARE, .size = sizeof a, .config = PERF_COUNT_SW_CPU_CLOCK}; EITHER(EACCES, EPERM, SYS(perf_event_open, &a, -1, 0, -1, 0)); }
CASE(keyrings) { long key = ANSWERED(SYS(add_key, "user", "suite", "abc", 3, -1)); if (key < 0) { EQ(key, SYS(keyctl, 0, -1, 1)); EQ(key, SYS(request_key, "user", "suite", NULL, 0)); return; } char t[4] = ""; EQ(3, SYS(keyctl, 11, key, t, 4)); STREQ("abc", t); }
CASE(secret_memory) { long fd = SYS(memfd_secret, O_CLOEXEC); CHECK(fd >= 0 || fd == -ENOSYS); }
CASE(mount_interface) { long fd = ANSWERED(SYS(fsopen, "tmpfs", 1)); if (fd >= 0) return; EQ(fd, SYS(open_tree, AT_FDCWD, ".", 0)); EQ(fd, SYS(move_mount, -1, "", AT_FDCWD, ".", 4)); EQ(fd, SYS(fsmount, -1, 0, 0)); EQ(fd, SYS(fspick, AT_FDCWD, ".", 0)); }
CASE(clone3_) { struct clone_args a = {.exit_signal = SIGCHLD}; long pid = ANSWERED(SYS(clone3, &a, sizeof a)); if (pid == 0) _exit(3); if (pid > 0) EQ(3 << 8, ENDED(pid)); }
CASE(modules) { become(USER, GROUP); EITHER(EPERM, ENOSYS, SYS(finit_module, 0, "", 0)); EITHER(EPERM, ENOSYS, SYS(delete_module, "nothing", 0)); }
CASE(what_only_the_administrator_does) { become(USER, GROUP); FAILS(EPERM, SYS(reboot, 0xfee1dead, 672274793, 0, NULL)); FAILS(EPERM, SYS(swapon, "f", 0)); FAILS(EPERM, SYS(acct, NULL)); FAILS(EPERM, SYS(vhangup)); FAILS(EPERM, SYS(pivot_root, ".", ".")); FAILS(EPERM, SYS(chroot, "/")); EITHER(EPERM, ENOSYS, SYS(iopl, 3)); EITHER(EPERM, ENOSYS, SYS(ioperm, 0x80, 1, 1)); }
CASE(no_such_call) { FAILS(ENOSYS, RAW0(1000)); FAILS(ENOSYS, RAW0(-1)); FAILS(ENOSYS, RAW0(423)); FAILS(ENOSYS, RAW3(0x7fffffff, 1, 2, 3)); }
CASE(calls_that_are_gone) { FAILS(ENOSYS, SYS(uselib, "f")); FAILS(ENOSYS, SYS(tuxcall)); FAILS(ENOSYS, SYS(create_module)); FAILS(ENOSYS, SYS(getpmsg)); }
