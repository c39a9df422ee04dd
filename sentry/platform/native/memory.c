/* The memory of another process: process_vm_readv(2). */

static int read_mem(int pid, uint64_t addr, char *buf, int size)
{
    struct iovec l = { buf, size }, r = { (void *)addr, size };
    RET(process_vm_readv(pid, &l, 1, &r, 1, 0));
}

static int write_mem(int pid, uint64_t addr, const char *buf, int size)
{
    struct iovec l = { (void *)buf, size }, r = { (void *)addr, size };
    RET(process_vm_writev(pid, &l, 1, &r, 1, 0));
}

/* strncpy_from_user(): the length, or -ENAMETOOLONG without a NUL in size bytes. Never reads past a page it may not. */
static int read_cstr(int pid, uint64_t addr, char *buf, int size)
{
    int done = 0;

    while (done < size) {
        int want = 4096 - ((addr + done) & 4095), got;
        char *end;

        if (want > size - done)
            want = size - done;
        got = read_mem(pid, addr + done, buf + done, want);
        if (got < 0)
            return got == -ESRCH ? got : -EFAULT;
        end = memchr(buf + done, 0, got);
        if (end)
            return end - buf;
        if (got < want)
            return -EFAULT;
        done += got;
    }
    return -ENAMETOOLONG;
}
