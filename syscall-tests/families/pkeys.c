/* pkeys(7): where the processor has none, each call says so */
#include "harness.h"

static long key(int rights) { long k = SYS(pkey_alloc, 0, rights); if (k == -ENOSPC || k == -ENOSYS || k == -EINVAL) skip("no protection keys here"); return OK(k); }
static char *page(void) { return (char *)OK(SYS(mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)); }
static bool readable(char *at) { int p[2]; OK(SYS(pipe, p)); return SYS(write, p[1], at, 1) == 1; }

CASE(allocation_errors) { FAILS(EINVAL, SYS(pkey_alloc, 1, 0)); FAILS(EINVAL, SYS(pkey_alloc, 0, 0x80)); FAILS(EINVAL, SYS(pkey_free, 99)); FAILS(EINVAL, SYS(pkey_mprotect, page(), 4096, PROT_READ, 99)); }
CASE(without_a_key_it_is_mprotect) { char *p = page(); EQ(0, SYS(pkey_mprotect, p, 4096, PROT_NONE, -1)); CHECK(!readable(p)); EQ(0, SYS(pkey_mprotect, p, 4096, PROT_READ, -1)); CHECK(readable(p)); }
CASE(allocated_and_freed) { long k = key(0); CHECK(k > 0); EQ(0, SYS(pkey_free, k)); FAILS(EINVAL, SYS(pkey_free, k)); }
CASE(keys_run_out) { key(0); long k; int n = 1; while ((k = SYS(pkey_alloc, 0, 0)) > 0) n++; EQ(-ENOSPC, k); CHECK(n <= 15); }
CASE(a_page_gets_a_key) { long k = key(0); char *p = page(); *p = 1; EQ(0, SYS(pkey_mprotect, p, 4096, PROT_READ | PROT_WRITE, k)); EQ(1, *p); CHECK(readable(p)); }
CASE(access_disabled) { long k = key(1); char *p = page(); OK(SYS(pkey_mprotect, p, 4096, PROT_READ | PROT_WRITE, k)); pid_t c = SPAWN(*(volatile char *)p = 1); EQ(SIGSEGV, ENDED(c) & 127); }
