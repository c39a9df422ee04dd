/* What Python sees of it, in cffi's dialect of C: `...` is for the compiler to say. */

/* ---- seccomp user notification: seccomp_unotify(2) ---- */
struct notif { uint64_t id; uint32_t pid; int32_t nr; uint64_t args[6]; };
int notif_recv(int listener, struct notif *out);
int notif_send(int listener, uint64_t id, int64_t value, int error, int flags);
int notif_addfd(int listener, uint64_t id, int tid, int fd, int cloexec);
int notif_put(int listener, uint64_t id, int fd, int cloexec);
int notif_valid(int listener, uint64_t id);
int notif_sync_wakeup(int listener);
int filter_install(const void *program, int length, unsigned flags);
int name_refused_calls(const char *process);

/* ---- the loop of a listener ---- */
#define NOT_TRIED ...
struct opened { uint32_t mode; uint32_t uid; uint32_t gid; uint64_t dev; uint64_t rdev; uint64_t ino; };
struct serving {
    struct notif call;
    int32_t tried;
    int32_t acting;
    int32_t root, procfd;
    int32_t note_missing;
    int32_t calls;
    int32_t files;
    uint8_t elsewhere[64];
    uint64_t proc_dev;
    uint64_t flags;
    uint64_t opens[2];
    char path[4096];
    struct opened opened;
};
int serve(int listener, struct serving *s, const int *uniform, const int *held);

/* ---- ptrace(2): a tracer's side ---- */
struct traced { int32_t tid; int32_t what; int64_t value; };
#define TRACED_CALL ...
#define TRACED_ENTERED ...
#define TRACED_RETURNED ...
#define TRACED_CHILD ...
#define TRACED_EXECUTED ...
#define TRACED_SIGNAL ...
#define TRACED_STOPPED ...
#define TRACED_TRAPPED ...
#define TRACED_ENDED ...
#define TRACED_OTHER ...
int trace_seize(int tid);
int trace_wait(struct traced *out, struct notif *call);
int trace_reply(int tid, int64_t value);
int trace_refuse(int tid, int64_t value);
int trace_resume(int tid, int request, int signal);
int trace_alive(int tid);
int trace_near(int tid, uint64_t *was);
int trace_apart(int tid, uint64_t *was);
int trace_flags(int tid, uint64_t *out);
int trace_registers(int tid, uint64_t *registers, int set);
int trace_signal_mask(int tid, uint64_t *mask, int set);
int pass_fd(int sock, int fd);

/* ---- memory of another process: process_vm_readv(2) ---- */
int read_cstr(int pid, uint64_t addr, char *buf, int size);
int read_mem(int pid, uint64_t addr, char *buf, int size);
int write_mem(int pid, uint64_t addr, const char *buf, int size);

/* ---- names: openat2(2) ---- */
#define WALK ...
int open_beneath(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve, struct opened *out);
int open_name(int listener, uint64_t id, int tid, int dirfd, uint64_t addr, int root, int procfd, uint64_t flags,
              uint64_t mode, char *path, struct opened *out);
int openat2_raw(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve);
int fd_info(int fd, struct opened *out);
int64_t fd_mount(int fd);
int64_t fd_type(int fd);

/* ---- another task: proc(5), pidfd_getfd(2) ---- */
struct creds {
    uint32_t tgid, uid, euid, suid, fsuid, gid, egid, sgid, fsgid, umask, threads, ngroups;
    uint64_t cap_eff, pending, blocked;
    uint32_t ns_tgid, ns_tid, zombie;
    uint32_t groups[1024];
};
int read_creds(int procfd, int tid, struct creds *out);
int proc_open(int procfd, int tid, const char *what, int flags);
int proc_identity(int procfd, int tid, uint64_t *out);
int proc_same(int procfd, int tid, uint64_t ino, uint64_t ids);
int get_fd(int tid, int fd);
int get_fd_of_leader(int tid, int leader, int fd);
int descriptor_left(int procfd, int tid);

/* ---- identity of the calling thread ---- */
int own_fs_struct(void);
int assume(uint32_t fsuid, uint32_t fsgid, uint32_t ngroups, const uint32_t *groups, uint64_t effective);
uint32_t set_umask(uint32_t mask);
int capset_all(uint64_t permitted, uint64_t effective, uint64_t inheritable);

/* ---- calls that the os module does not have ---- */
long syscall6(long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f);
int open_tree_(int dir, const char *path, unsigned flags);
int move_mount_(int from, const char *from_path, int to, const char *to_path, unsigned flags);
int mount_setattr_(int dir, const char *path, unsigned flags, uint64_t set, uint64_t clr, uint64_t propagation, int userns);
int fsopen_(const char *type, unsigned flags);
int fsconfig_(int fd, unsigned cmd, const char *key, const char *value, int aux);
int fsmount_(int fd, unsigned flags, unsigned attrs);
int fchmodat2_(int dir, const char *path, unsigned mode, int flags);
int renameat2_(int olddir, const char *old, int newdir, const char *new_, unsigned flags);
int umount2_(const char *path, int flags);
int pivot_root_(const char *new_root, const char *put_old);
int setns_(int fd, int type);
int unshare_(int flags);
int locked_mount_namespace(int procfd);
int prctl_(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d);
int mount_(const char *source, const char *target, const char *type, unsigned long flags, const char *data);
int inotify_add_watch_(int fd, const char *path, uint32_t mask);
int statx_raw(int dir, const char *path, int flags, unsigned mask, char *out);
int fstatat_raw(int dir, const char *path, char *out, int flags);
int statfs_raw(const char *path, char *out);
int sysinfo_raw(char *out);
int sched_getaffinity_raw(int tid, unsigned size, char *out);
int faccessat2_(int dir, const char *path, int mode, int flags);
int utimensat_(int dir, const char *path, const char *times, int flags);
long getxattr_(const char *path, const char *name, char *value, size_t size);
long listxattr_(const char *path, char *list, size_t size);
int bind_(int fd, const char *addr, unsigned len);
int connect_(int fd, const char *addr, unsigned len);
int sock_option(int fd, int level, int name);
