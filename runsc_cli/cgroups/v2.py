"""linux.resources as writes to the control files of cgroup version 2: Documentation/admin-guide/cgroup-v2.rst.

A config speaks version 1; the conversions are runc's, so that the same config weighs the same. 0 is unset, as engines write
it, except for pids.limit; -1 is without limit. What version 2 cannot do is refused by name. `unified` comes last and may
change what the rest has set.
"""

from __future__ import annotations

from runsc_cli.cgroups.hierarchy import UNIFIED
from runsc_cli.cgroups.v1 import pids as _pids
from runsc_cli.cgroups.v1 import rdma_writes
from runsc_cli.cgroups.write import Write
from runsc_cli.errors import SpecError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from runsc_cli.oci.model import Resources

# What version 1 calls a controller and version 2 calls otherwise; None: there is none.
NAMES: dict[str, str | None] = {"blkio": "io", "net_cls": None, "net_prio": None}


def _refuse(field: str, instead: str) -> SpecError:
    return SpecError(f"linux.resources.{field}", f"cgroup version 2 does not have it: {instead}")


def _number(value: int) -> str:
    return "max" if value < 0 else str(value)


def memory(resources: Resources) -> list[Write]:
    given = resources.memory
    if given is None:
        return []
    for asked, field in (
        (given.kernel is not None and given.kernel > 0, "kernel"),
        (given.kernel_tcp is not None and given.kernel_tcp > 0, "kernelTCP"),
        (given.swappiness is not None, "swappiness"),
        (given.disable_oom_killer, "disableOOMKiller"),
        (given.use_hierarchy is False, "useHierarchy"),
    ):
        if asked:
            raise _refuse(f"memory.{field}", "leave it out")
    out = []
    limit, swap = given.limit or 0, given.swap or 0
    if swap > 0 and limit == 0:
        raise SpecError("linux.resources.memory.swap", f"{swap} is memory plus swap: it needs limit beside it")
    if limit > 0 and swap > 0:
        swap -= limit  # version 2 counts swap alone
        # where the kernel has no swap, none is what was asked for
        out.append(Write(UNIFIED, "memory.swap.max", swap, "memory.swap", optional=swap == 0))
    elif swap or limit < 0:  # as in version 1, no limit on memory is none on swap either
        out.append(Write(UNIFIED, "memory.swap.max", _number(swap or -1), "memory.swap", optional=(swap or -1) < 0))
    if limit:
        out.append(Write(UNIFIED, "memory.max", _number(limit), "memory.limit"))
    if given.reservation:
        out.append(Write(UNIFIED, "memory.low", _number(given.reservation), "memory.reservation"))
    return out


def weight(shares: int) -> int:
    """cpu.weight for cpu.shares: 2 is 1, the default of 1024 is the default of 100, 262144 is 10000."""
    from math import ceil, log2

    if shares <= 2:
        return 1
    if shares >= 262144:
        return 10000
    l = log2(shares)
    return ceil(10 ** ((l * l + 125 * l) / 612 - 7 / 34))


def cpu(resources: Resources) -> list[Write]:
    given = resources.cpu
    if given is None:
        return []
    if given.realtime_period or given.realtime_runtime:
        raise _refuse("cpu.realtimePeriod", "leave it and realtimeRuntime out")
    out = []
    if given.shares:
        out.append(Write(UNIFIED, "cpu.weight", weight(given.shares), "cpu.shares"))
    if given.idle is not None:  # after the weight, which an idle group cannot be given
        out.append(Write(UNIFIED, "cpu.idle", given.idle, "cpu.idle"))
    if given.quota or given.period:
        quota = _number(given.quota or -1)
        out.append(Write(UNIFIED, "cpu.max", f"{quota} {given.period or 100000}", "cpu.quota"))
    if given.burst:
        out.append(Write(UNIFIED, "cpu.max.burst", given.burst, "cpu.burst"))
    return out


def cpuset(resources: Resources) -> list[Write]:
    given = resources.cpu
    if given is None:
        return []
    pairs = (("cpus", given.cpus), ("mems", given.mems))
    return [Write(UNIFIED, f"cpuset.{name}", value, f"cpu.{name}") for name, value in pairs if value]


def pids(resources: Resources) -> list[Write]:
    writes = _pids(resources)
    for write in writes:
        write.hierarchy = UNIFIED
    return writes


def io(resources: Resources) -> list[Write]:
    given = resources.block_io
    if given is None:
        return []
    if given.leaf_weight or any(device.leaf_weight for device in given.weight_device):
        raise _refuse("blockIO.leafWeight", "use weight")
    out = []
    if given.weight:
        # BFQ keeps the old scale; io.weight has that of cpu.weight
        scaled = Write(UNIFIED, "io.weight", max(1, 1 + (given.weight - 10) * 9999 // 990), "blockIO.weight")
        out.append(Write(UNIFIED, "io.bfq.weight", given.weight, "blockIO.weight", otherwise=scaled))
    for i, device in enumerate(given.weight_device):
        if device.weight:
            value = f"{device.major}:{device.minor} {device.weight}"
            out.append(Write(UNIFIED, "io.bfq.weight", value, f"blockIO.weightDevice[{i}].weight"))
    for limits, key, field in (
        (given.throttle_read_bps_device, "rbps", "throttleReadBpsDevice"),
        (given.throttle_write_bps_device, "wbps", "throttleWriteBpsDevice"),
        (given.throttle_read_iops_device, "riops", "throttleReadIOPSDevice"),
        (given.throttle_write_iops_device, "wiops", "throttleWriteIOPSDevice"),
    ):
        for i, limit in enumerate(limits):
            value = f"{limit.major}:{limit.minor} {key}={limit.rate or 'max'}"
            out.append(Write(UNIFIED, "io.max", value, f"blockIO.{field}[{i}]"))
    return out


def hugetlb(resources: Resources) -> list[Write]:
    out = []
    for i, each in enumerate(resources.hugepage_limits):
        file, field = f"hugetlb.{each.page_size}", f"hugepageLimits[{i}]"
        # Reservations first: a page that is reserved is not refused any more when it is touched. Linux 5.7.
        out.append(Write(UNIFIED, f"{file}.rsvd.max", each.limit, field, optional=True))
        out.append(Write(UNIFIED, f"{file}.max", each.limit, field))
    return out


def network(resources: Resources) -> list[Write]:
    given = resources.network
    if given is not None and (given.class_id or given.priorities):
        raise _refuse("network", "use the net_cls and net_prio controllers of version 1, or a policy on the interface")
    return []


def rdma(resources: Resources) -> list[Write]:
    return rdma_writes(UNIFIED, resources)


def unified(resources: Resources) -> list[Write]:
    """The config's own files, a write a line: io.max takes one device at a time."""
    return [Write(UNIFIED, file, line, f"unified[{file!r}]") for file, value in resources.unified.items() for line in value.splitlines() or [""]]


CONTROLLERS: dict[str, Callable[[Resources], list[Write]]] = {
    "cpuset": cpuset,
    "memory": memory,
    "cpu": cpu,
    "pids": pids,
    "blkio": io,
    "hugetlb": hugetlb,
    "net_cls": network,
    "net_prio": network,
    "rdma": rdma,
}
