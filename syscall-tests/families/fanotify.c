/* fanotify(7) */
#include "harness.h"
#include <sys/fanotify.h>

CASE(watches) { int fd = OK(SYS(fanotify_init, FAN_CLASS_NOTIF | FAN_NONBLOCK, O_RDONLY)); file("f", ""); EQ(0, SYS(fanotify_mark, fd, FAN_MARK_ADD, FAN_OPEN, AT_FDCWD, "f")); CONTENT("f"); char b[256]; CHECK(SYS(read, fd, b, sizeof b) > 0); }
CASE(refused_as_user) { become(USER, GROUP); long fd = SYS(fanotify_init, FAN_CLASS_CONTENT, O_RDONLY); EQ(-EPERM, fd); }
