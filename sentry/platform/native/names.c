/* Names: openat2(2), and what an open file is. */

static int openat2_raw(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
    struct open_how how = { .flags = flags | O_CLOEXEC, .mode = mode, .resolve = resolve };
    RET(syscall(SYS_openat2, dir, path, &how, sizeof how));
}

struct opened { uint32_t mode; uint32_t uid; uint32_t gid; uint64_t dev; uint64_t rdev; uint64_t ino; };

static int fd_info(int fd, struct opened *out)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return -errno;
    out->mode = st.st_mode;
    out->uid = st.st_uid;
    out->gid = st.st_gid;
    out->dev = st.st_dev;
    out->rdev = st.st_rdev;
    out->ino = st.st_ino;
    return 0;
}

/* stx_mnt_id: which mount of the tree fd lies on. */
static int64_t fd_mount(int fd)
{
    struct statx stx;
    if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &stx) < 0)
        return -errno;
    return stx.stx_mnt_id;
}

/* f_type of fstatfs(2), which takes an O_PATH descriptor. */
static int64_t fd_type(int fd)
{
    struct statfs st;
    return fstatfs(fd, &st) < 0 ? -errno : (int64_t)st.f_type;
}

#define WALK (-100000)

/*
 * One lookup by the kernel, across mounts but never through a magic link. WALK: the answer depends on whose /proc/self it is,
 * or the walk leaves dir by ".." or an absolute link; the caller must walk component by component.
 *
 * O_NONBLOCK is added so that a FIFO cannot hold this thread, and taken away again from what cannot block.
 */
static int open_beneath(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve, struct opened *out)
{
    uint64_t extra = flags & O_PATH ? 0 : O_NONBLOCK;
    int fd, probe, there = 0;

    resolve |= RESOLVE_NO_MAGICLINKS;
    for (int tries = 0; ; tries++) {
        fd = openat2_raw(dir, path, flags | extra, mode, resolve);
        if (fd != -EAGAIN || tries == 100)
            break;
        /* RESOLVE_IN_ROOT and BENEATH: a rename raced with "..". Or the name is found, but a lease is held on the file. */
        probe = openat2_raw(dir, path, O_PATH | (flags & (O_NOFOLLOW | O_DIRECTORY)), 0, resolve);
        if (probe >= 0) {
            close(probe);
            if (there++)
                return -EAGAIN;
        }
    }
    if (fd >= 0) {
        int r = fd_info(fd, out);
        if (r < 0) {
            close(fd);
            return r;
        }
        if (extra && !(flags & O_NONBLOCK) && (S_ISREG(out->mode) || S_ISDIR(out->mode)))
            fcntl(fd, F_SETFL, (int)(flags & ~(uint64_t)O_NONBLOCK));
        return fd;
    }
    if (fd == -EXDEV || fd == -ELOOP || fd == -EAGAIN)
        return WALK;
    if (fd == -EACCES) {
        /* On procfs a process may search what is its own, whoever owns it: did the walk get there? */
        if (fd_type(dir) == PROC_SUPER_MAGIC)
            return WALK;
        probe = openat2_raw(dir, path, O_PATH, 0, resolve | RESOLVE_NO_XDEV);
        if (probe >= 0)
            close(probe);
        return probe == -EXDEV || probe == -ELOOP ? WALK : fd;
    }
    if (fd != -ENOENT)
        return fd;
    /* /proc/self does not exist for the sentry, which is not in that pid namespace: was it on the way? */
    probe = openat2_raw(dir, path, O_PATH, 0, resolve | RESOLVE_NO_SYMLINKS);
    if (probe == -ENOENT)
        return -ENOENT;
    if (probe >= 0)
        close(probe);
    probe = openat2_raw(dir, path, O_PATH, 0, resolve | RESOLVE_NO_XDEV);
    if (probe == -ENOENT)
        return fd_type(dir) == PROC_SUPER_MAGIC ? WALK : -ENOENT;
    if (probe >= 0)
        close(probe);
    return WALK;
}
