/* credentials(7): setuid and its like, setgroups, capset, prctl on capabilities */
#include "harness.h"
static uid_t r, e, s;
static void ids(int a, int b, int c) { SYS(getresuid, &r, &e, &s); EQ(a, r); EQ(b, e); EQ(c, s); }
CASE(setuid_by_root_sets_all) { need_root(); EQ(0, SYS(setuid, USER)); ids(USER, USER, USER); FAILS(EPERM, SYS(setuid, 0)); }
CASE(setuid_by_user) { need_root(); OK(SYS(setresuid, USER, USER, OTHER)); EQ(0, SYS(setuid, OTHER)); ids(USER, OTHER, OTHER); FAILS(EPERM, SYS(setuid, 5)); }
CASE(setreuid_) { need_root(); EQ(0, SYS(setreuid, USER, OTHER)); ids(USER, OTHER, OTHER); EQ(0, SYS(setreuid, OTHER, USER)); ids(OTHER, USER, USER); FAILS(EPERM, SYS(setreuid, 0, -1)); }
CASE(setresuid_) { need_root(); EQ(0, SYS(setresuid, 1, 2, 3)); ids(1, 2, 3); EQ(0, SYS(setresuid, 3, 1, 2)); ids(3, 1, 2); FAILS(EPERM, SYS(setresuid, 0, -1, -1)); EQ(0, SYS(setresuid, -1, -1, -1)); }
CASE(setgid_) { need_root(); EQ(0, SYS(setgid, GROUP)); EQ(GROUP, SYS(getegid)); become(USER, GROUP); FAILS(EPERM, SYS(setgid, OTHER)); FAILS(EPERM, SYS(setregid, OTHER, -1)); FAILS(EPERM, SYS(setresgid, -1, -1, OTHER)); }
CASE(groups) { need_root(); gid_t g[] = {5, 7, 6}, h[8]; EQ(0, SYS(setgroups, 3, g)); EQ(3, SYS(getgroups, 0, NULL)); EQ(3, SYS(getgroups, 8, h)); EQ(5, h[0]); FAILS(EINVAL, SYS(getgroups, 2, h)); FAILS(EINVAL, SYS(setgroups, 65537, g)); FAILS(EFAULT, SYS(setgroups, 1, BAD)); become(USER, GROUP); FAILS(EPERM, SYS(setgroups, 0, NULL)); }
CASE(fsuid_returns_the_old) { need_root(); EQ(0, SYS(setfsuid, USER)); EQ(USER, SYS(setfsuid, -1)); EQ(USER, SYS(setfsuid, 0)); become(USER, GROUP); SYS(setfsuid, 0); EQ(USER, SYS(setfsuid, -1)); }
CASE(setuid_drops_capabilities) { need_root(); CHECK(effective_capabilities() != 0); OK(SYS(setresuid, USER, USER, USER)); EQ(0, effective_capabilities()); }
CASE(euid_drops_and_regains) { need_root(); uint64_t c = effective_capabilities(); OK(SYS(setresuid, -1, USER, -1)); EQ(0, effective_capabilities()); OK(SYS(setresuid, -1, 0, -1)); EQ(c, effective_capabilities()); }
CASE(keep_capabilities) { become_with(USER, GROUP, CAP(KILL)); EQ(CAP(KILL), effective_capabilities()); FAILS(EPERM, set_capabilities(CAP(KILL) | CAP(CHOWN), CAP(KILL) | CAP(CHOWN), 0)); }
CASE(capset_errors) { struct __user_cap_header_struct h = {0x12345678, 0}; FAILS(EINVAL, SYS(capset, &h, NULL)); EQ(_LINUX_CAPABILITY_VERSION_3, h.version); FAILS(EFAULT, SYS(capget, BAD, NULL)); struct __user_cap_data_struct d[2]; h = (struct __user_cap_header_struct){_LINUX_CAPABILITY_VERSION_3, 4000000}; FAILS(ESRCH, SYS(capget, &h, d)); }
CASE(bounding_set) { need_root(); EQ(1, SYS(prctl, PR_CAPBSET_READ, CAP_KILL, 0, 0, 0)); EQ(0, SYS(prctl, PR_CAPBSET_DROP, CAP_KILL, 0, 0, 0)); EQ(0, SYS(prctl, PR_CAPBSET_READ, CAP_KILL, 0, 0, 0)); FAILS(EINVAL, SYS(prctl, PR_CAPBSET_READ, 99, 0, 0, 0)); become(USER, GROUP); FAILS(EPERM, SYS(prctl, PR_CAPBSET_DROP, CAP_CHOWN, 0, 0, 0)); }
CASE(ambient) { FAILS(EPERM, SYS(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0)); EQ(0, SYS(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_KILL, 0, 0)); EQ(0, SYS(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)); FAILS(EINVAL, SYS(prctl, PR_CAP_AMBIENT, 99, 0, 0, 0)); }
CASE(no_new_privs) { EQ(0, SYS(prctl, PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)); EQ(0, SYS(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)); EQ(1, SYS(prctl, PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)); FAILS(EINVAL, SYS(prctl, PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0)); CHILD(EQ(1, SYS(prctl, PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0))); }
CASE(name) { char b[17] = ""; EQ(0, SYS(prctl, PR_SET_NAME, "a-very-long-thread-name", 0, 0, 0)); OK(SYS(prctl, PR_GET_NAME, b, 0, 0, 0)); STREQ("a-very-long-thr", b); STREQ("a-very-long-thr\n", CONTENT("/proc/self/comm")); }
CASE(death_signal) { int x; EQ(0, SYS(prctl, PR_SET_PDEATHSIG, SIGUSR1, 0, 0, 0)); OK(SYS(prctl, PR_GET_PDEATHSIG, &x, 0, 0, 0)); EQ(SIGUSR1, x); FAILS(EINVAL, SYS(prctl, PR_SET_PDEATHSIG, 99, 0, 0, 0)); }
CASE(unknown_option) { FAILS(EINVAL, SYS(prctl, 12345, 0, 0, 0, 0)); }
CASE(no_id) { FAILS(EINVAL, SYS(setuid, -1)); FAILS(EINVAL, SYS(setgid, -1)); EQ(0, SYS(setregid, -1, -1)); EQ(0, SYS(setreuid, -1, -1)); EQ(0, SYS(setresgid, -1, -1, -1)); }
CASE(setregid_) { need_root(); gid_t a, c, d; EQ(0, SYS(setregid, GROUP, OTHER)); OK(SYS(getresgid, &a, &c, &d)); EQ(GROUP, a); EQ(OTHER, c); EQ(OTHER, d); FAILS(EFAULT, SYS(getresgid, BAD, &c, &d)); FAILS(EFAULT, SYS(getresuid, &a, BAD, &d)); }
CASE(setgroups_errors) { need_root(); FAILS(EINVAL, SYS(setgroups, 65537, NULL)); FAILS(EFAULT, SYS(setgroups, 2, BAD)); gid_t g[] = {5}; OK(SYS(setgroups, 1, g)); FAILS(EFAULT, SYS(getgroups, 1, BAD)); }
