"""Whether the section `linux` of a config makes sense: config-linux.md, value by value.

The rules are the specification's; where it is silent they are the kernel's, since a value that a later write(2) to
cgroupfs or /proc refuses is better refused before anything exists.
"""

from __future__ import annotations

from runsc_cli.errors import SpecError
from runsc_cli.namespaces import is_ours_at
from runsc_cli.oci import check_seccomp
from runsc_cli.oci.values import NOBODY, absolute, cpu_list, id_mappings, one_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runsc_cli.oci.model import (
        CPU,
        BlockIO,
        Device,
        DeviceRule,
        Linux,
        Memory,
        MemoryPolicy,
        NetDevice,
        Resources,
        Spec,
    )

NAMESPACES = ("pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time")
IFNAMSIZ = 16
_PROPAGATION = ("shared", "slave", "private", "unbindable", "rshared", "rslave", "rprivate", "runbindable")
_MEMORY_MODES = tuple(
    "MPOL_" + name for name in ["DEFAULT", "BIND", "INTERLEAVE", "WEIGHTED_INTERLEAVE", "PREFERRED", "PREFERRED_MANY", "LOCAL"]
)
_MEMORY_FLAGS = ("MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES")
_IPC_SYSCTLS = (
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
)


def linux(spec: Spec) -> None:
    """The whole section. Raises SpecError."""
    section = spec.linux
    _namespaces(section)
    for i, device in enumerate(section.devices):
        _device(device, f"linux.devices[{i}]")
    for name, paths in (("maskedPaths", section.masked_paths), ("readonlyPaths", section.readonly_paths)):
        for i, path in enumerate(paths):
            absolute(path, f"linux.{name}[{i}]")
    if section.rootfs_propagation:
        one_of(section.rootfs_propagation, _PROPAGATION, "linux.rootfsPropagation")
    for name in section.sysctl:
        _sysctl(name, section)
    if section.personality is not None:
        one_of(section.personality.domain, ("LINUX", "LINUX32"), "linux.personality.domain")
        if section.personality.flags:
            raise SpecError("linux.personality.flags", "the specification defines none: leave it out")
    if section.memory_policy is not None:
        _memory_policy(section.memory_policy)
    for name, net_device in section.net_devices.items():
        _net_device(name, net_device, section)
    if section.seccomp is not None:
        check_seccomp.seccomp(section.seccomp, "linux.seccomp")
    if section.resources is not None:
        resources(section.resources, "linux.resources")


def _namespaces(section: Linux) -> None:
    seen: set[str] = set()
    for i, namespace in enumerate(section.namespaces):
        at = f"linux.namespaces[{i}]"
        one_of(namespace.type, NAMESPACES, f"{at}.type")
        if namespace.type in seen:
            raise SpecError(f"{at}.type", f"{namespace.type!r} is given twice: keep one")
        seen.add(namespace.type)
        if namespace.path:
            absolute(namespace.path, f"{at}.path")
    id_mappings(section.uid_mappings, "linux.uidMappings")
    id_mappings(section.gid_mappings, "linux.gidMappings")
    if bool(section.uid_mappings) != bool(section.gid_mappings):
        lacking = "gidMappings" if section.uid_mappings else "uidMappings"
        raise SpecError(f"linux.{lacking}", "is missing: a user namespace needs both mappings")
    if section.uid_mappings and "user" not in seen:
        raise SpecError("linux.uidMappings", 'needs a namespace of type "user" in linux.namespaces')
    time = section.namespace("time")
    if section.time_offsets and (time is None or time.path):
        raise SpecError("linux.timeOffsets", 'needs a new namespace of type "time" in linux.namespaces')
    for clock, offset in section.time_offsets.items():
        at = f"linux.timeOffsets[{clock!r}]"
        if clock not in ("monotonic", "boottime"):
            raise SpecError(at, 'is no clock: it is "monotonic" or "boottime"')
        if offset.nanosecs >= 1_000_000_000:
            raise SpecError(f"{at}.nanosecs", f"{offset.nanosecs} is a second or more")


def _device(device: Device, at: str) -> None:
    absolute(device.path, f"{at}.path")
    one_of(device.type, ("c", "b", "u", "p"), f"{at}.type")
    if device.type != "p":
        # include/linux/kdev_t.h: 12 and 20 bits
        if not 0 <= device.major < 1 << 12:
            raise SpecError(f"{at}.major", f"{device.major} is outside 0 to 4095")
        if not 0 <= device.minor < 1 << 20:
            raise SpecError(f"{at}.minor", f"{device.minor} is outside 0 to 1048575")
    for name, value in (("uid", device.uid), ("gid", device.gid)):
        if value == NOBODY:
            raise SpecError(f"{at}.{name}", f"{value} is no id, it means -1 to the kernel")


def sysctl_path(name: str) -> str:
    """The file below /proc/sys, as sysctl(8) finds it: whichever of . and / comes first separates the components."""
    dot, slash = name.find("."), name.find("/")
    if dot >= 0 and (slash < 0 or dot < slash):
        return name.translate({ord("."): "/", ord("/"): "."})
    return name


def sysctl_namespace(name: str) -> str:
    """The kind of namespace that a kernel parameter is kept in, "" for what is the whole host's."""
    components = sysctl_path(name).split("/")
    dotted = ".".join(components)
    if components[0] == "net":
        return "network"
    if dotted in _IPC_SYSCTLS or components[:2] == ["fs", "mqueue"]:
        return "ipc"
    return "uts" if dotted == "kernel.domainname" else ""


def _sysctl(name: str, section: Linux) -> None:
    """Only what a namespace of the container's own holds: anything else would be the host's."""
    at = f"linux.sysctl[{name!r}]"
    components = sysctl_path(name).split("/")
    if any(not component.strip(".") for component in components) or len(components) < 2:
        raise SpecError(at, 'is no name of a kernel parameter: write it as "net.core.somaxconn"')
    value = section.sysctl[name]
    if not value.isascii() or not value.replace("\t", "").isprintable():
        raise SpecError(at, f"{value!r} is no value: it is one line of ASCII")
    if components == ["kernel", "hostname"]:
        raise SpecError(at, "is set with the field hostname")
    need = sysctl_namespace(name)
    if not need:
        raise SpecError(at, "is not kept per namespace: it would change the host")
    namespace = section.namespace(need)
    if namespace is None or (namespace.path and is_ours_at(namespace.path, need)):
        raise SpecError(at, f"needs a {need} namespace of the container's own: it would change the host")


def _memory_policy(policy: MemoryPolicy) -> None:
    at = "linux.memoryPolicy"
    one_of(policy.mode, _MEMORY_MODES, f"{at}.mode")
    cpu_list(policy.nodes, f"{at}.nodes")
    for i, flag in enumerate(policy.flags):
        one_of(flag, _MEMORY_FLAGS, f"{at}.flags[{i}]")


def _interface(name: str, at: str) -> None:
    """net/core/dev.c:dev_valid_name()."""
    if not 0 < len(name.encode()) < IFNAMSIZ or name in (".", "..") or any(c in "/:" or c.isspace() for c in name):
        raise SpecError(at, f"{name!r} is no name of a network device")


def _net_device(name: str, device: NetDevice, section: Linux) -> None:
    at = f"linux.netDevices[{name!r}]"
    _interface(name, at)
    if device.name:
        _interface(device.name, f"{at}.name")
    if section.namespace("network") is None:
        raise SpecError(at, 'needs a namespace of type "network" in linux.namespaces')


# --- resources ---


def resources(resources: Resources, at: str) -> None:
    """Limits of the cgroup; `at` is what stands before the fields' names."""
    for i, rule in enumerate(resources.devices):
        _device_rule(rule, f"{at}.devices[{i}]")
    if resources.memory is not None:
        _memory(resources.memory, f"{at}.memory")
    if resources.cpu is not None:
        _cpu(resources.cpu, f"{at}.cpu")
    if resources.pids is not None and resources.pids.limit is not None and resources.pids.limit < -1:
        raise SpecError(f"{at}.pids.limit", f"{resources.pids.limit} is negative: -1 is no limit")
    if resources.block_io is not None:
        _block_io(resources.block_io, f"{at}.blockIO")
    for i, limit in enumerate(resources.hugepage_limits):
        number, unit = limit.page_size[:-2], limit.page_size[-2:]
        if unit not in ("KB", "MB", "GB") or not (number.isascii() and number.isdigit()) or number[0] == "0":
            raise SpecError(f"{at}.hugepageLimits[{i}].pageSize", f'{limit.page_size!r} is no size: write it as "2MB"')
    if resources.network is not None:
        for i, priority in enumerate(resources.network.priorities):
            _interface(priority.name, f"{at}.network.priorities[{i}].name")
    for name, rdma in resources.rdma.items():
        if not name or any(c == "/" or c.isspace() for c in name):
            raise SpecError(f"{at}.rdma[{name!r}]", "is no name of a device")
        if rdma.hca_handles is None and rdma.hca_objects is None:
            raise SpecError(f"{at}.rdma[{name!r}]", "limits nothing: give hcaHandles or hcaObjects")
    for name in resources.unified:
        # The key becomes a file name below the container's cgroup.
        if "/" in name or not name.strip("."):
            raise SpecError(f"{at}.unified[{name!r}]", 'is no file of a cgroup: write it as "memory.high"')


def _device_rule(rule: DeviceRule, at: str) -> None:
    if rule.type not in ("", "a", "b", "c"):
        raise SpecError(f"{at}.type", f"{rule.type!r} is unknown: it is one of a, b, c")
    for name, number in (("major", rule.major), ("minor", rule.minor)):
        if number is not None and not -1 <= number <= 0xFFFFFFFF:
            raise SpecError(f"{at}.{name}", f"{number} is no device number: -1 matches all")
    if not rule.access or rule.access.strip("rwm"):
        raise SpecError(f"{at}.access", f"{rule.access!r} is no access: it is made of r, w and m")


def _memory(memory: Memory, at: str) -> None:
    for name in ("limit", "reservation", "swap", "kernel"):
        value = getattr(memory, name)
        if value is not None and value < -1:
            raise SpecError(f"{at}.{name}", f"{value} is negative: -1 is no limit")
    if memory.kernel_tcp is not None and memory.kernel_tcp < -1:
        raise SpecError(f"{at}.kernelTCP", f"{memory.kernel_tcp} is negative: -1 is no limit")
    if memory.swappiness is not None and memory.swappiness > 100:
        raise SpecError(f"{at}.swappiness", f"{memory.swappiness} is outside 0 to 100")
    limit, swap = memory.limit or 0, memory.swap or 0
    if 0 < swap < limit:
        raise SpecError(f"{at}.swap", f"{swap} is below limit {limit}: it is memory plus swap")


def _cpu(cpu: CPU, at: str) -> None:
    cpu_list(cpu.cpus, f"{at}.cpus")
    cpu_list(cpu.mems, f"{at}.mems")
    if cpu.idle not in (None, 0, 1):
        raise SpecError(f"{at}.idle", f"{cpu.idle} is neither 0 nor 1")
    if cpu.burst and cpu.quota is not None and 0 < cpu.quota < cpu.burst:
        raise SpecError(f"{at}.burst", f"{cpu.burst} is above quota {cpu.quota}")


def _block_io(block_io: BlockIO, at: str) -> None:
    def weights(owner: object, at: str) -> None:
        for name, field in (("weight", "weight"), ("leaf_weight", "leafWeight")):
            value = getattr(owner, name)
            if value is not None and value > 1000:  # 0 is unset, as Docker writes it
                raise SpecError(f"{at}.{field}", f"{value} is outside 1 to 1000")

    weights(block_io, at)
    for i, device in enumerate(block_io.weight_device):
        weights(device, f"{at}.weightDevice[{i}]")
        if device.weight is None and device.leaf_weight is None:
            raise SpecError(f"{at}.weightDevice[{i}]", "weighs nothing: give weight or leafWeight")
    for name, field in (
        ("weight_device", "weightDevice"),
        ("throttle_read_bps_device", "throttleReadBpsDevice"),
        ("throttle_write_bps_device", "throttleWriteBpsDevice"),
        ("throttle_read_iops_device", "throttleReadIOPSDevice"),
        ("throttle_write_iops_device", "throttleWriteIOPSDevice"),
    ):
        for i, device in enumerate(getattr(block_io, name)):
            if device.major < 0 or device.minor < 0:
                raise SpecError(f"{at}.{field}[{i}]", f"{device.major}:{device.minor} is no device")
