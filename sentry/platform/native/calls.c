/* Calls that the os module does not have. */

static long syscall6(long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
    long r = syscall(nr, a, b, c, d, e, f);
    return r < 0 ? -errno : r;
}

static int open_tree_(int dir, const char *path, unsigned flags) { RET(syscall(428, dir, path, flags)); }
static int move_mount_(int from, const char *from_path, int to, const char *to_path, unsigned flags)
{ RET(syscall(429, from, from_path, to, to_path, flags)); }
static int fsopen_(const char *type, unsigned flags) { RET(syscall(430, type, flags)); }
static int fsconfig_(int fd, unsigned cmd, const char *key, const char *value, int aux)
{ RET(syscall(431, fd, cmd, key, value, aux)); }
static int fsmount_(int fd, unsigned flags, unsigned attrs) { RET(syscall(432, fd, flags, attrs)); }
static int mount_setattr_(int dir, const char *path, unsigned flags, uint64_t set, uint64_t clr, uint64_t propagation, int userns)
{
    uint64_t attr[4] = { set, clr, propagation, userns < 0 ? 0 : userns };
    RET(syscall(442, dir, path, flags, attr, sizeof attr));
}
static int fchmodat2_(int dir, const char *path, unsigned mode, int flags) { RET(syscall(__NR_fchmodat2, dir, path, mode, flags)); }
static int renameat2_(int olddir, const char *old, int newdir, const char *new_, unsigned flags)
{ RET(syscall(SYS_renameat2, olddir, old, newdir, new_, flags)); }
static int umount2_(const char *path, int flags) { RET(umount2(path, flags)); }
static int pivot_root_(const char *new_root, const char *put_old) { RET(syscall(SYS_pivot_root, new_root, put_old)); }
static int setns_(int fd, int type) { RET(setns(fd, type)); }
static int unshare_(int flags) { RET(unshare(flags)); }

static int mount_namespace_of_child(void *procfd_in_namespace_out)
{
    int *fd = procfd_in_namespace_out;
    int opened = openat(*fd, "self/ns/mnt", O_RDONLY | O_CLOEXEC);

    *fd = opened < 0 ? -errno : opened;
    return 0;
}

/*
 * A copy of the caller's mount namespace that belongs to another user namespace, a child of the caller's: in such a copy every mount is
 * locked, mount_namespaces(7). A child makes it that shares memory and descriptors with us and ends at once.
 */
static int locked_mount_namespace(int procfd)
{
    static char stack[16384] __attribute__((aligned(16)));
    int fd = procfd;
    int flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_VM | CLONE_VFORK | CLONE_FILES | SIGCHLD;
    pid_t pid = clone(mount_namespace_of_child, stack + sizeof stack, flags, &fd);

    if (pid < 0)
        return -errno;
    while (waitpid(pid, NULL, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return fd;
}
static int prctl_(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)
{ RET(prctl(option, a, b, c, d)); }
static int mount_(const char *source, const char *target, const char *type, unsigned long flags, const char *data)
{ RET(mount(source, target, type, flags, data)); }
static int inotify_add_watch_(int fd, const char *path, uint32_t mask) { RET(inotify_add_watch(fd, path, mask)); }
static int statx_raw(int dir, const char *path, int flags, unsigned mask, char *out)
{ RET(syscall(SYS_statx, dir, path, flags, mask, out)); }
static int fstatat_raw(int dir, const char *path, char *out, int flags) { RET(syscall(SYS_newfstatat, dir, path, out, flags)); }
static int statfs_raw(const char *path, char *out) { RET(syscall(SYS_statfs, path, out)); }
static int sysinfo_raw(char *out) { RET(syscall(SYS_sysinfo, out)); }
static int sched_getaffinity_raw(int tid, unsigned size, char *out) { RET(syscall(SYS_sched_getaffinity, tid, size, out)); }
static int faccessat2_(int dir, const char *path, int mode, int flags)
{ RET(syscall(__NR_faccessat2, dir, path, mode, flags)); }
static int utimensat_(int dir, const char *path, const char *times, int flags)
{ RET(syscall(SYS_utimensat, dir, path, times, flags)); }
static long getxattr_(const char *path, const char *name, char *value, size_t size)
{ RET(syscall(SYS_getxattr, path, name, value, size)); }
static long listxattr_(const char *path, char *list, size_t size) { RET(syscall(SYS_listxattr, path, list, size)); }
static int bind_(int fd, const char *addr, unsigned len) { RET(syscall(SYS_bind, fd, addr, len)); }
static int connect_(int fd, const char *addr, unsigned len) { RET(syscall(SYS_connect, fd, addr, len)); }
/* An option whose value is an int, or -errno. */
static int sock_option(int fd, int level, int name)
{
    int value;
    socklen_t len = sizeof value;
    return getsockopt(fd, level, name, &value, &len) < 0 ? -errno : value;
}
