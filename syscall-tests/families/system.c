/* uname(2), sethostname(2), sysinfo(2), personality(2), and what belongs to the host's administrator */
#include "harness.h"
#include <sys/sysinfo.h>
#include <sys/utsname.h>
static struct utsname u;
static struct sysinfo i;
CASE(uname_) { EQ(0, SYS(uname, &u)); STREQ("Linux", u.sysname); STREQ("x86_64", u.machine); STREQ("syscalls", u.nodename); FAILS(EFAULT, SYS(uname, BAD)); }
CASE(hostname) { EQ(0, SYS(sethostname, "other", 5)); OK(SYS(uname, &u)); STREQ("other", u.nodename); OK(SYS(sethostname, "syscalls", 8)); FAILS(EINVAL, SYS(sethostname, "x", 65)); FAILS(EINVAL, SYS(sethostname, "x", -1)); FAILS(EFAULT, SYS(sethostname, BAD, 5)); }
CASE(hostname_as_user) { become(USER, GROUP); FAILS(EPERM, SYS(sethostname, "x", 1)); FAILS(EPERM, SYS(setdomainname, "x", 1)); }
CASE(sysinfo_) { EQ(0, SYS(sysinfo, &i)); CHECK(i.uptime >= 0); CHECK(i.totalram > 0 && i.freeram <= i.totalram); CHECK(i.procs > 0); CHECK(i.mem_unit > 0); FAILS(EFAULT, SYS(sysinfo, BAD)); }
CASE(sysinfo_agrees_with_proc) { OK(SYS(sysinfo, &i)); long kb = atol(strchr(CONTENT("/proc/meminfo"), ':') + 1); EQ(i.totalram * i.mem_unit / 1024, kb); }
CASE(personality_) { long o = OK(SYS(personality, 0xffffffff)); EQ(o, SYS(personality, 0x0040000)); EQ(0x0040000, SYS(personality, 0xffffffff)); }
CASE(refused_as_user) { become(USER, GROUP); FAILS(EPERM, SYS(reboot, 0xfee1dead, 672274793, 0, NULL)); FAILS(EPERM, SYS(swapoff, "none")); FAILS(EPERM, SYS(acct, NULL)); FAILS(EPERM, SYS(vhangup)); FAILS(EPERM, SYS(pivot_root, ".", ".")); }
CASE(gone_system_calls) { FAILS(ENOSYS, SYS(create_module)); FAILS(ENOSYS, SYS(query_module)); FAILS(ENOSYS, SYS(get_kernel_syms)); FAILS(ENOSYS, SYS(security)); FAILS(ENOSYS, SYS(vserver)); FAILS(ENOSYS, SYS(afs_syscall)); FAILS(ENOSYS, SYS(tuxcall)); FAILS(ENOSYS, SYS(getpmsg)); }
CASE(no_such_number) { FAILS(ENOSYS, raw_call(400, 0, 0, 0, 0, 0, 0)); FAILS(ENOSYS, raw_call(9999, 0, 0, 0, 0, 0, 0)); FAILS(ENOSYS, raw_call(-1, 0, 0, 0, 0, 0, 0)); }
CASE(x32_numbers) { FAILS(ENOSYS, raw_call(0x40000000 + 39, 0, 0, 0, 0, 0, 0)); }
