/* The identity of the calling thread: credentials(7), capabilities(7). */

/* A thread of its own umask and working directory: umask(2) acts on the fs_struct. */
static int own_fs_struct(void) { RET(unshare(CLONE_FS)); }

static int capset_all(uint64_t permitted, uint64_t effective, uint64_t inheritable)
{
    struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct d[2] = {
        { effective, permitted, inheritable },
        { effective >> 32, permitted >> 32, inheritable >> 32 },
    };
    RET(syscall(SYS_capset, &h, d));
}

/* Where setgroups(2) is denied (a user namespace of a single id) everybody has the groups that it came with. */
static int has_groups(uint32_t ngroups, const uint32_t *groups)
{
    gid_t own[256];
    int n = getgroups(256, own);

    return n >= 0 && (uint32_t)n == ngroups && memcmp(own, groups, n * sizeof(*own)) == 0;
}

/* The calling thread alone: raw system calls, not glibc's, which change all threads. */
static int assume(uint32_t fsuid, uint32_t fsgid, uint32_t ngroups, const uint32_t *groups, uint64_t effective)
{
    struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct d[2];

    if (syscall(SYS_capget, &h, d) < 0)
        return -errno;
    d[0].effective = d[0].permitted; /* the acting identity may lack CAP_SETUID and CAP_SETGID */
    d[1].effective = d[1].permitted;
    if (syscall(SYS_capset, &h, d) < 0)
        return -errno;
    if (syscall(SYS_setgroups, ngroups, groups) < 0 && !(errno == EPERM && has_groups(ngroups, groups)))
        return -errno;
    syscall(SYS_setfsgid, fsgid);
    if (syscall(SYS_setfsgid, -1) != (long)fsgid)
        return -EPERM;
    syscall(SYS_setfsuid, fsuid);
    if (syscall(SYS_setfsuid, -1) != (long)fsuid)
        return -EPERM;
    d[0].effective = effective & d[0].permitted;
    d[1].effective = effective >> 32 & d[1].permitted;
    RET(syscall(SYS_capset, &h, d));
}

static uint32_t set_umask(uint32_t mask) { return umask(mask); }
