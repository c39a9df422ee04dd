/* umask(2) */
#include "harness.h"

CASE(umask_returns_the_old) { SYS(umask, 027); EQ(027, SYS(umask, 07777)); EQ(0777, SYS(umask, 0)); }
CASE(umask_is_inherited) { SYS(umask, 031); CHILD(EQ(031, SYS(umask, 0))); EQ(031, SYS(umask, 0)); }
CASE(umask_counts_for_all) { SYS(umask, 0777); OK(SYS(open, "f", O_WRONLY | O_CREAT, 0777)); OK(SYS(mkdir, "d", 0777)); OK(SYS(mknod, "p", S_IFIFO | 0777, 0)); EQ(0, mode_of("f")); EQ(0, mode_of("d")); EQ(0, mode_of("p")); }
CASE(umask_changes_are_seen_at_once) { for (int i = 0; i < 8; i++) { char n[8]; sprintf(n, "f%d", i); SYS(umask, i << 3); OK(SYS(open, n, O_WRONLY | O_CREAT, 0777)); EQ(0777 & ~(i << 3), mode_of(n)); } }
CASE(own_to_a_thread_after_unshare) { CHILD(OK(SYS(unshare, CLONE_FS)); SYS(umask, 077); file("mine", ""); EQ(0600, mode_of("mine"))); file("ours", ""); EQ(0644, mode_of("ours")); }
CASE(of_a_fifo_and_a_directory) { SYS(umask, 027); OK(SYS(mknod, "p", S_IFIFO | 0666, 0)); EQ(0640, mode_of("p")); OK(SYS(mkdir, "d", 0777)); EQ(0750, mode_of("d")); }
CASE(not_of_chmod) { SYS(umask, 077); file("f", ""); OK(SYS(chmod, "f", 0666)); EQ(0666, mode_of("f")); }
