"""The OCI runtime specification's config.json for Linux (config.md, config-linux.md; versions 1.0 to 1.3), as values.

Every property that concerns Linux is here, whether or not pysc can enforce it: what a config asks for is lost nowhere.
check.py decides what makes sense, enforce.py what pysc cannot do. Properties that the specification does not know are
ignored, as it demands. Attributes carry the specification's names in snake case. Types and
widths are checked by object.py, which reads the annotations.
"""

from __future__ import annotations

from runsc_cli.oci.object import I32, I64, U16, U32, U64, Object

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Where the specification's spelling is not the camel case of ours.
_SPELLING = {
    "block_io": "blockIO",
    "class_": "class",
    "class_id": "classID",
    "clos_id": "closID",
    "container_id": "containerID",
    "disable_oom_killer": "disableOOMKiller",
    "enable_cmt": "enableCMT",
    "enable_mbm": "enableMBM",
    "exec_cpu_affinity": "execCPUAffinity",
    "host_id": "hostID",
    "kernel_tcp": "kernelTCP",
    "throttle_read_iops_device": "throttleReadIOPSDevice",
    "throttle_write_iops_device": "throttleWriteIOPSDevice",
}


class _Object(Object):
    """A JSON object of the specification: immutable."""

    _spelling = _SPELLING


# --- process ---


class Box(_Object):
    """consoleSize: struct winsize, in characters."""

    height: U32
    width: U32


class User(_Object):
    """Ids as the container sees them; umask None: the one of whoever called pysc."""

    uid: U32 = 0
    gid: U32 = 0
    umask: U32 | None = None
    additional_gids: tuple[U32, ...] = ()
    username: str = ""


class Capabilities(_Object):
    """The five sets of capabilities(7), by name; runsc_cli/capabilities.py has the numbers."""

    bounding: tuple[str, ...] = ()
    effective: tuple[str, ...] = ()
    inheritable: tuple[str, ...] = ()
    permitted: tuple[str, ...] = ()
    ambient: tuple[str, ...] = ()


class Rlimit(_Object):
    """One setrlimit(2); runsc_cli/rlimits.py has the numbers."""

    type: str
    hard: U64
    soft: U64


class IOPriority(_Object):
    """ioprio_set(2)."""

    class_: str
    priority: I32 = 0


class Scheduler(_Object):
    """sched_setattr(2)."""

    policy: str
    nice: I32 = 0
    priority: I32 = 0
    flags: tuple[str, ...] = ()
    runtime: U64 = 0
    deadline: U64 = 0
    period: U64 = 0


class CPUAffinity(_Object):
    """CPU lists of a process that `exec` adds: before and after it enters the cgroup."""

    initial: str = ""
    final: str = ""


class Process(_Object):
    """What is executed in the container, and as whom. `exec --process FILE` reads one alone."""

    args: tuple[str, ...] = ()
    cwd: str = ""
    env: tuple[str, ...] = ()
    user: User = User()
    terminal: bool = False
    console_size: Box | None = None
    capabilities: Capabilities | None = None
    rlimits: tuple[Rlimit, ...] = ()
    no_new_privileges: bool = False
    oom_score_adj: I32 | None = None
    scheduler: Scheduler | None = None
    io_priority: IOPriority | None = None
    exec_cpu_affinity: CPUAffinity | None = None
    apparmor_profile: str = ""
    selinux_label: str = ""
    command_line: str = ""


# --- root, mounts, hooks ---


class Root(_Object):
    """The root file system: absolute, or relative to the bundle."""

    path: str = ""
    readonly: bool = False


class IDMapping(_Object):
    """A line of /proc/PID/uid_map or gid_map, user_namespaces(7)."""

    container_id: U32
    host_id: U32
    size: U32


class Mount(_Object):
    """mount(2); runsc_cli/mount_options.py reads the options."""

    destination: str = ""
    type: str = ""
    source: str = ""
    options: tuple[str, ...] = ()
    uid_mappings: tuple[IDMapping, ...] = ()
    gid_mappings: tuple[IDMapping, ...] = ()

    @property
    def target(self) -> str:
        """The destination from the container's root: a relative one is under /."""
        return self.destination if self.destination.startswith("/") else "/" + self.destination


class Hook(_Object):
    """A program run at a point of the container's life; timeout in seconds."""

    path: str = ""
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    timeout: I64 | None = None


class Hooks(_Object):
    """In the order they are run."""

    prestart: tuple[Hook, ...] = ()
    create_runtime: tuple[Hook, ...] = ()
    create_container: tuple[Hook, ...] = ()
    start_container: tuple[Hook, ...] = ()
    poststart: tuple[Hook, ...] = ()
    poststop: tuple[Hook, ...] = ()


# --- linux.resources ---


class DeviceRule(_Object):
    """An entry of the devices controller; None and -1 match every number."""

    allow: bool = False
    type: str = ""
    major: I64 | None = None
    minor: I64 | None = None
    access: str = ""


class Memory(_Object):
    """The memory controller, in bytes; -1 is without limit."""

    limit: I64 | None = None
    reservation: I64 | None = None
    swap: I64 | None = None
    kernel: I64 | None = None
    kernel_tcp: I64 | None = None
    swappiness: U64 | None = None
    disable_oom_killer: bool | None = None
    use_hierarchy: bool | None = None
    check_before_update: bool | None = None


class CPU(_Object):
    """The cpu and cpuset controllers; times in microseconds."""

    shares: U64 | None = None
    quota: I64 | None = None
    burst: U64 | None = None
    period: U64 | None = None
    realtime_runtime: I64 | None = None
    realtime_period: U64 | None = None
    cpus: str = ""
    mems: str = ""
    idle: I64 | None = None


class Pids(_Object):
    """The pids controller."""

    limit: I64 | None = None


class WeightDevice(_Object):
    """A weight of one block device."""

    major: I64
    minor: I64
    weight: U16 | None = None
    leaf_weight: U16 | None = None


class ThrottleDevice(_Object):
    """A rate limit of one block device: bytes or operations a second."""

    major: I64
    minor: I64
    rate: U64 = 0


class BlockIO(_Object):
    """The blkio (v1) and io (v2) controllers."""

    weight: U16 | None = None
    leaf_weight: U16 | None = None
    weight_device: tuple[WeightDevice, ...] = ()
    throttle_read_bps_device: tuple[ThrottleDevice, ...] = ()
    throttle_write_bps_device: tuple[ThrottleDevice, ...] = ()
    throttle_read_iops_device: tuple[ThrottleDevice, ...] = ()
    throttle_write_iops_device: tuple[ThrottleDevice, ...] = ()


class HugepageLimit(_Object):
    """The hugetlb controller, for one page size."""

    page_size: str
    limit: U64


class InterfacePriority(_Object):
    """A line of net_prio.ifpriomap."""

    name: str
    priority: U32


class NetworkResources(_Object):
    """The net_cls and net_prio controllers."""

    class_id: U32 | None = None
    priorities: tuple[InterfacePriority, ...] = ()


class Rdma(_Object):
    """The rdma controller, for one device."""

    hca_handles: U32 | None = None
    hca_objects: U32 | None = None


class Resources(_Object):
    """linux.resources, and what `update --resources` reads."""

    devices: tuple[DeviceRule, ...] = ()
    memory: Memory | None = None
    cpu: CPU | None = None
    pids: Pids | None = None
    block_io: BlockIO | None = None
    hugepage_limits: tuple[HugepageLimit, ...] = ()
    network: NetworkResources | None = None
    rdma: dict[str, Rdma] = {}
    unified: dict[str, str] = {}


# --- linux ---


class Namespace(_Object):
    """One to create, or with a path one to join: namespaces(7)."""

    type: str
    path: str = ""


class Device(_Object):
    """mknod(2) inside the container."""

    path: str = ""
    type: str = ""
    major: I64 = 0
    minor: I64 = 0
    file_mode: U32 | None = None
    uid: U32 | None = None
    gid: U32 | None = None


class SeccompArg(_Object):
    """A comparison on one argument of a syscall."""

    index: U32
    value: U64
    op: str
    value_two: U64 = 0


class SeccompRule(_Object):
    """An entry of linux.seccomp.syscalls."""

    names: tuple[str, ...] = ()
    action: str = ""
    errno_ret: U32 | None = None
    args: tuple[SeccompArg, ...] = ()


class Seccomp(_Object):
    """The profile the container brings, in libseccomp's words: seccomp(2)."""

    default_action: str = ""
    default_errno_ret: U32 | None = None
    architectures: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    listener_path: str = ""
    listener_metadata: str = ""
    syscalls: tuple[SeccompRule, ...] = ()


class TimeOffset(_Object):
    """A line of /proc/PID/timens_offsets, time_namespaces(7)."""

    secs: I64 = 0
    nanosecs: U32 = 0


class Personality(_Object):
    """personality(2)."""

    domain: str = ""
    flags: tuple[str, ...] = ()


class IntelRdt(_Object):
    """resctrl: cache and memory bandwidth of Intel's Resource Director Technology."""

    clos_id: str = ""
    schemata: str | tuple[str, ...] = ""
    l3_cache_schema: str = ""
    mem_bw_schema: str = ""
    enable_monitoring: bool = False
    enable_cmt: bool = False
    enable_mbm: bool = False


class MemoryPolicy(_Object):
    """set_mempolicy(2)."""

    mode: str = ""
    nodes: str = ""
    flags: tuple[str, ...] = ()


class NetDevice(_Object):
    """A network device of the host that moves into the container; name: what it is called there."""

    name: str = ""


class Linux(_Object):
    """The section that only Linux has."""

    namespaces: tuple[Namespace, ...] = ()
    uid_mappings: tuple[IDMapping, ...] = ()
    gid_mappings: tuple[IDMapping, ...] = ()
    time_offsets: dict[str, TimeOffset] = {}
    devices: tuple[Device, ...] = ()
    cgroups_path: str = ""
    resources: Resources | None = None
    sysctl: dict[str, str] = {}
    seccomp: Seccomp | None = None
    rootfs_propagation: str = ""
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()
    mount_label: str = ""
    personality: Personality | None = None
    intel_rdt: IntelRdt | None = None
    memory_policy: MemoryPolicy | None = None
    net_devices: dict[str, NetDevice] = {}

    def namespace(self, kind: str) -> Namespace | None:
        """The entry for a kind of namespace ("pid"), None where the container shares its caller's."""
        return next((each for each in self.namespaces if each.type == kind), None)


class Spec(_Object):
    """config.json."""

    oci_version: str
    process: Process
    root: Root
    hostname: str = ""
    domainname: str = ""
    mounts: tuple[Mount, ...] = ()
    hooks: Hooks = Hooks()
    annotations: dict[str, str] = {}
    linux: Linux = Linux()
    solaris: Any = None
    windows: Any = None
    vm: Any = None
    zos: Any = None

    @property
    def memory_limit(self) -> int:
        """linux.resources.memory.limit, bytes; 0 where there is none."""
        memory = self.linux.resources.memory if self.linux.resources else None
        return max(0, memory.limit or 0) if memory else 0
