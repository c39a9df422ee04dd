"""linux.resources as writes to the control files of cgroup version 1: Documentation/admin-guide/cgroup-v1/.

0 is unset, as engines write it, except for pids.limit and swappiness; -1 is without limit. A function a controller; its writes
go to a leaf that is new, so the order is that of growing, a limit before the one that has to be above it. What this kernel has
no file for it refuses itself, by name.
"""

from __future__ import annotations

from runsc_cli.cgroups.write import Write
from runsc_cli.errors import SpecError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from runsc_cli.oci.model import Resources

MIN_SHARES, MAX_SHARES = 2, 262144  # kernel/sched/sched.h; a value outside is changed without a word


def memory(resources: Resources) -> list[Write]:
    given = resources.memory
    if given is None:
        return []
    if given.kernel is not None and given.kernel > 0:  # the file is there, and does nothing
        why = "Linux 5.16 and later have no limit on kernel memory alone: leave it out, limit counts it too"
        raise SpecError("linux.resources.memory.kernel", why)
    out = []
    if given.use_hierarchy is not None:
        out.append(Write("memory", "memory.use_hierarchy", int(given.use_hierarchy), "memory.useHierarchy"))
    for value, file, field in (
        (given.limit, "memory.limit_in_bytes", "limit"),
        (given.swap, "memory.memsw.limit_in_bytes", "swap"),
        (given.reservation, "memory.soft_limit_in_bytes", "reservation"),
        # -1 is what a leaf has; kernels without the file need not be told.
        (max(given.kernel_tcp or 0, 0), "memory.kmem.tcp.limit_in_bytes", "kernelTCP"),
    ):
        if value:
            out.append(Write("memory", file, value, f"memory.{field}"))
    if given.swappiness is not None:
        out.append(Write("memory", "memory.swappiness", given.swappiness, "memory.swappiness"))
    if given.disable_oom_killer:
        out.append(Write("memory", "memory.oom_control", 1, "memory.disableOOMKiller"))
    return out


def cpu(resources: Resources) -> list[Write]:
    given = resources.cpu
    if given is None:
        return []
    if given.shares and not MIN_SHARES <= given.shares <= MAX_SHARES:
        why = f"{given.shares} is outside what the kernel allows, {MIN_SHARES} to {MAX_SHARES}"
        raise SpecError("linux.resources.cpu.shares", why)
    out = [
        Write("cpu", file, value, f"cpu.{field}")
        for value, file, field in (
            (given.shares, "cpu.shares", "shares"),
            (given.period, "cpu.cfs_period_us", "period"),
            (given.quota, "cpu.cfs_quota_us", "quota"),
            (given.burst, "cpu.cfs_burst_us", "burst"),
            (given.realtime_period, "cpu.rt_period_us", "realtimePeriod"),
            (given.realtime_runtime, "cpu.rt_runtime_us", "realtimeRuntime"),
        )
        if value
    ]
    if given.idle is not None:  # after the shares, which an idle group cannot be given
        out.append(Write("cpu", "cpu.idle", given.idle, "cpu.idle"))
    return out


def cpuset(resources: Resources) -> list[Write]:
    given = resources.cpu
    if given is None:
        return []
    pairs = (("cpus", given.cpus), ("mems", given.mems))
    return [Write("cpuset", f"cpuset.{name}", value, f"cpu.{name}") for name, value in pairs if value]


def pids(resources: Resources) -> list[Write]:
    limit = resources.pids.limit if resources.pids is not None else None
    if limit is None:
        return []
    return [Write("pids", "pids.max", limit if limit >= 0 else "max", "pids.limit")]


def blkio(resources: Resources) -> list[Write]:
    given = resources.block_io
    if given is None:
        return []
    out = []

    def weight(name: str, value: str | int, field: str) -> None:
        """Kernels have the file of CFQ (before 5.0) or that of BFQ, or neither."""
        bfq = Write("blkio", f"blkio.bfq.{name}", value, field)
        out.append(Write("blkio", f"blkio.{name}", value, field, otherwise=bfq))

    if given.weight:
        weight("weight", given.weight, "blockIO.weight")
    if given.leaf_weight:
        weight("leaf_weight", given.leaf_weight, "blockIO.leafWeight")
    for i, device in enumerate(given.weight_device):
        node, field = f"{device.major}:{device.minor}", f"blockIO.weightDevice[{i}]"
        if device.weight:
            weight("weight_device", f"{node} {device.weight}", f"{field}.weight")
        if device.leaf_weight:
            weight("leaf_weight_device", f"{node} {device.leaf_weight}", f"{field}.leafWeight")
    for limits, file, field in (
        (given.throttle_read_bps_device, "read_bps", "throttleReadBpsDevice"),
        (given.throttle_write_bps_device, "write_bps", "throttleWriteBpsDevice"),
        (given.throttle_read_iops_device, "read_iops", "throttleReadIOPSDevice"),
        (given.throttle_write_iops_device, "write_iops", "throttleWriteIOPSDevice"),
    ):
        for i, limit in enumerate(limits):
            value = f"{limit.major}:{limit.minor} {limit.rate}"
            out.append(Write("blkio", f"blkio.throttle.{file}_device", value, f"blockIO.{field}[{i}]"))
    return out


def hugetlb(resources: Resources) -> list[Write]:
    out = []
    for i, each in enumerate(resources.hugepage_limits):
        file, field = f"hugetlb.{each.page_size}", f"hugepageLimits[{i}]"
        # Reservations first: a page that is reserved is not refused any more when it is touched. Linux 5.7.
        out.append(Write("hugetlb", f"{file}.rsvd.limit_in_bytes", each.limit, field, optional=True))
        out.append(Write("hugetlb", f"{file}.limit_in_bytes", each.limit, field))
    return out


def net_cls(resources: Resources) -> list[Write]:
    given = resources.network
    return [Write("net_cls", "net_cls.classid", given.class_id, "network.classID")] if given and given.class_id else []


def net_prio(resources: Resources) -> list[Write]:
    priorities = resources.network.priorities if resources.network is not None else ()
    return [
        Write("net_prio", "net_prio.ifpriomap", f"{each.name} {each.priority}", f"network.priorities[{i}]") for i, each in enumerate(priorities)
    ]


def rdma(resources: Resources) -> list[Write]:
    return rdma_writes("rdma", resources)


def rdma_writes(hierarchy: str, resources: Resources) -> list[Write]:
    """The same file in both versions."""
    out = []
    for name, limit in resources.rdma.items():
        value = name
        if limit.hca_handles is not None:
            value += f" hca_handle={limit.hca_handles}"
        if limit.hca_objects is not None:
            value += f" hca_object={limit.hca_objects}"
        out.append(Write(hierarchy, "rdma.max", value, f"rdma[{name!r}]"))
    return out


CONTROLLERS: dict[str, Callable[[Resources], list[Write]]] = {
    "cpuset": cpuset,
    "memory": memory,
    "cpu": cpu,
    "pids": pids,
    "blkio": blkio,
    "hugetlb": hugetlb,
    "net_cls": net_cls,
    "net_prio": net_prio,
    "rdma": rdma,
}
