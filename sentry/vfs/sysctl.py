"""/proc/sys: which names a container may read, and which it may write. An allowlist.

Model: proc_sys(5), the sysctl tables of kernel/sysctl.c, ipc/, net/, fs/. Namespaced variables are the container's
own and left to the kernel. Most others are constants of the running kernel that hold inside as outside: they
are read from it and cannot be written, whatever the file's mode says (with an identity-mapped user
namespace the container's root is the host's to sysctl_perm()). Counters of the host, paths of the host and its
identity are replaced. A name that is not here is refused.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sentry.vfs.procview import ProcView


def _names(directory: str, names: str) -> frozenset[bytes]:
    return frozenset((directory + name).encode() for name in names.split())


UTS = _names("kernel/", "hostname domainname")

IPC = _names(
    "kernel/",
    "auto_msgmni msg_next_id msgmax msgmnb msgmni sem sem_next_id shm_next_id shm_rmid_forced shmall shmmax shmmni",
) | _names("fs/mqueue/", "msg_default msg_max msgsize_default msgsize_max queues_max")

READ_ONLY = (
    _names(
        "kernel/",
        """
        apparmor_restrict_unprivileged_userns arch cap_last_cap core_pipe_limit core_uses_pid dmesg_restrict
        io_uring_disabled io_uring_group keys/gc_delay keys/maxbytes keys/maxkeys
        keys/persistent_keyring_expiry keys/root_maxbytes keys/root_maxkeys kptr_restrict max_lock_depth
        ngroups_max numa_balancing ostype overflowgid overflowuid panic panic_on_oops perf_cpu_time_max_percent
        perf_event_max_contexts_per_stack perf_event_max_sample_rate perf_event_max_stack
        perf_event_mlock_kb perf_event_paranoid pid_max print-fatal-signals printk printk_delay printk_devkmsg
        printk_ratelimit printk_ratelimit_burst pty/max pty/reserve random/entropy_avail random/poolsize
        random/urandom_min_reseed_secs random/uuid random/write_wakeup_threshold randomize_va_space
        sched_autogroup_enabled sched_cfs_bandwidth_slice_us sched_child_runs_first
        sched_deadline_period_max_us sched_deadline_period_min_us sched_rr_timeslice_ms sched_rt_period_us
        sched_rt_runtime_us sched_schedstats seccomp/actions_avail seccomp/actions_logged sysctl_writes_strict
        sysrq threads-max timer_migration unprivileged_bpf_disabled unprivileged_userns_clone
        yama/ptrace_scope
        """,
    )
    | _names(
        "fs/",
        """
        aio-max-nr dir-notify-enable epoll/max_user_watches fanotify/max_queued_events
        fanotify/max_user_groups fanotify/max_user_marks file-max inotify/max_queued_events
        inotify/max_user_instances inotify/max_user_watches lease-break-time leases-enable mount-max nr_open
        overflowgid overflowuid pipe-max-size pipe-user-pages-hard pipe-user-pages-soft protected_fifos
        protected_hardlinks protected_regular protected_symlinks suid_dumpable
        """,
    )
    | _names(
        "vm/",
        """
        admin_reserve_kbytes compact_unevictable_allowed compaction_proactiveness dirty_background_bytes
        dirty_background_ratio dirty_bytes dirty_expire_centisecs dirty_ratio dirty_writeback_centisecs
        dirtytime_expire_seconds extfrag_threshold hugetlb_shm_group laptop_mode legacy_va_layout
        lowmem_reserve_ratio max_map_count memfd_noexec min_free_kbytes min_slab_ratio min_unmapped_ratio
        mmap_min_addr mmap_rnd_bits mmap_rnd_compat_bits nr_hugepages nr_hugepages_mempolicy
        nr_overcommit_hugepages numa_stat numa_zonelist_order oom_dump_tasks oom_kill_allocating_task
        overcommit_kbytes overcommit_memory overcommit_ratio page-cluster page_lock_unfairness panic_on_oom
        percpu_pagelist_high_fraction stat_interval swappiness unprivileged_userfaultfd user_reserve_kbytes
        vfs_cache_pressure watermark_boost_factor watermark_scale_factor zone_reclaim_mode
        """,
    )
    | _names(
        "user/",
        """
        max_cgroup_namespaces max_fanotify_groups max_fanotify_marks max_inotify_instances max_inotify_watches
        max_ipc_namespaces max_mnt_namespaces max_net_namespaces max_pid_namespaces max_time_namespaces
        max_user_namespaces max_uts_namespaces
        """,
    )
    # fips_enabled: libcrypto, libgcrypt and Go must follow the machine's policy
    | _names("", "abi/vsyscall32 crypto/fips_enabled debug/exception-trace")
    | _names("dev/tty/", "ldisc_autoload legacy_tiocsti")
)

SYNTHESISED: dict[bytes, bytes | Callable[[ProcView], bytes]] = {
    # identity: boot_id is the same for everyone on the machine, release and version agree with uname(2)
    b"kernel/random/boot_id": lambda view: view.boot_id + b"\n",
    b"kernel/osrelease": lambda view: view.release + b"\n",
    b"kernel/version": lambda view: view.version + b"\n",
    # paths of host programs
    b"kernel/core_pattern": b"core\n",
    b"kernel/modprobe": b"/sbin/modprobe\n",
    # what the host has loaded, and how much everyone together has open
    b"kernel/tainted": b"0\n",
    b"kernel/pty/nr": b"0\n",
    b"fs/aio-nr": b"0\n",
    b"fs/dentry-state": b"0\t0\t45\t0\t0\t0\n",
    b"fs/file-nr": b"0\t0\t9223372036854775807\n",
    b"fs/inode-nr": b"0\t0\n",
    b"fs/inode-state": b"0\t0\t0\t0\t0\t0\t0\n",
}

# Of the network's variables when the network is not the container's: constants, but neither secrets nor the
# names of interfaces.
_SHARED_NET = (b"net/core/", b"net/ipv4/", b"net/ipv6/", b"net/unix/")
_PRIVATE_NET = (b"net/ipv4/conf/", b"net/ipv4/neigh/", b"net/ipv6/conf/", b"net/ipv6/neigh/")
_SECRET_NET = frozenset((
    b"net/core/netdev_rss_key",
    b"net/ipv4/fib_multipath_hash_seed",
    b"net/ipv4/tcp_fastopen_key",
))  # fmt: skip


def shared_net(name: bytes) -> bool:
    """Whether a variable below net/ may be read by a container without a network namespace of its own."""
    return name.startswith(_SHARED_NET) and not name.startswith(_PRIVATE_NET) and name not in _SECRET_NET


def names_interfaces(name: bytes) -> bool:
    """Whether the directory `name` has, or is, one for each interface of the network."""
    return (name + b"/").startswith(_PRIVATE_NET)


def generate(name: bytes, view: ProcView) -> bytes:
    """The text of a name in SYNTHESISED."""
    source = SYNTHESISED[name]
    return source if isinstance(source, bytes) else source(view)
