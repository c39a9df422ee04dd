/* name_to_handle_at(2), open_by_handle_at(2) */
#include "harness.h"

static struct { struct file_handle h; char space[128]; } h;
static int mount_id;
#define NAME(path, flags) (h.h.handle_bytes = 128, SYS(name_to_handle_at, AT_FDCWD, path, &h, &mount_id, flags))

CASE(handle_of_a_file) { file("f", ""); EQ(0, NAME("f", 0)); CHECK(h.h.handle_bytes > 0); }
CASE(opened_by_handle) { file("f", "abc"); OK(NAME("f", 0)); int m = OK(SYS(open, ".", O_RDONLY, 0)); char b[4] = ""; EQ(3, SYS(read, OK(SYS(open_by_handle_at, m, &h, O_RDONLY)), b, 3)); }
CASE(size_is_told) { file("f", ""); h.h.handle_bytes = 0; FAILS(EOVERFLOW, SYS(name_to_handle_at, AT_FDCWD, "f", &h, &mount_id, 0)); CHECK(h.h.handle_bytes > 0); }
CASE(opening_as_user) { file("f", ""); h.h.handle_bytes = 8; int m = OK(SYS(open, ".", O_RDONLY, 0)); become(USER, GROUP); FAILS(EPERM, SYS(open_by_handle_at, m, &h, O_RDONLY)); }
CASE(unknown_flag) { FAILS(EINVAL, NAME(".", 0x8000)); }
