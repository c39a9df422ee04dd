"""linux.resources on paper: which files get which values, before any of it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from runsc_cli.cgroups import v1, v2
from runsc_cli.errors import SpecError
from runsc_cli.oci.model import Resources

if TYPE_CHECKING:
    from types import ModuleType

LARGE = {
    "memory": {"limit": 1000, "swap": 3000, "reservation": 500},
    "cpu": {"shares": 1024, "quota": 50000, "period": 200000, "burst": 1000, "cpus": "0-1", "mems": "0", "idle": 0},
    "pids": {"limit": 100},
    "blockIO": {
        "weight": 500,
        "weightDevice": [{"major": 8, "minor": 0, "weight": 300}],
        "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 600}],
        "throttleWriteBpsDevice": [{"major": 8, "minor": 1, "rate": 601}],
        "throttleReadIOPSDevice": [{"major": 8, "minor": 2, "rate": 602}],
        "throttleWriteIOPSDevice": [{"major": 8, "minor": 3, "rate": 0}],
    },
    "hugepageLimits": [{"pageSize": "2MB", "limit": 2097152}],
    "rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10000}, "mlx4_0": {"hcaObjects": 5}},
}


def resources(given: dict[str, Any]) -> Resources:
    return Resources.of(given)


def plan(version: ModuleType, given: dict[str, Any]) -> list[str]:
    """The writes in their order, as file = value."""
    sections = dict.fromkeys(version.CONTROLLERS.values())
    return [write.describe().partition(": ")[2] for section in sections for write in section(resources(given))]


def test_everything_in_version_1() -> None:
    assert plan(v1, LARGE | {"network": {"classID": 0x100001, "priorities": [{"name": "eth0", "priority": 5}]}}) == [
        "cpuset.cpus = 0-1",
        "cpuset.mems = 0",
        "memory.limit_in_bytes = 1000",
        "memory.memsw.limit_in_bytes = 3000",
        "memory.soft_limit_in_bytes = 500",
        "cpu.shares = 1024",
        "cpu.cfs_period_us = 200000",
        "cpu.cfs_quota_us = 50000",
        "cpu.cfs_burst_us = 1000",
        "cpu.idle = 0",
        "pids.max = 100",
        "blkio.weight = 500",
        "blkio.weight_device = 8:0 300",
        "blkio.throttle.read_bps_device = 8:0 600",
        "blkio.throttle.write_bps_device = 8:1 601",
        "blkio.throttle.read_iops_device = 8:2 602",
        "blkio.throttle.write_iops_device = 8:3 0",
        "hugetlb.2MB.rsvd.limit_in_bytes = 2097152",
        "hugetlb.2MB.limit_in_bytes = 2097152",
        "net_cls.classid = 1048577",
        "net_prio.ifpriomap = eth0 5",
        "rdma.max = mlx5_1 hca_handle=3 hca_object=10000",
        "rdma.max = mlx4_0 hca_object=5",
    ]


def test_everything_in_version_2() -> None:
    assert plan(v2, LARGE) == [
        "cpuset.cpus = 0-1",
        "cpuset.mems = 0",
        "memory.swap.max = 2000",
        "memory.max = 1000",
        "memory.low = 500",
        "cpu.weight = 100",
        "cpu.idle = 0",
        "cpu.max = 50000 200000",
        "cpu.max.burst = 1000",
        "pids.max = 100",
        "io.bfq.weight = 500",
        "io.bfq.weight = 8:0 300",
        "io.max = 8:0 rbps=600",
        "io.max = 8:1 wbps=601",
        "io.max = 8:2 riops=602",
        "io.max = 8:3 wiops=max",
        "hugetlb.2MB.rsvd.max = 2097152",
        "hugetlb.2MB.max = 2097152",
        "rdma.max = mlx5_1 hca_handle=3 hca_object=10000",
        "rdma.max = mlx4_0 hca_object=5",
    ]


@pytest.mark.parametrize("version", [v1, v2])
def test_what_engines_write_for_unset(version: ModuleType) -> None:
    docker = {
        "memory": {"limit": 0, "swap": 0, "reservation": 0, "kernel": 0, "kernelTCP": 0, "disableOOMKiller": False},
        "cpu": {"shares": 0, "quota": 0, "period": 0, "burst": 0, "realtimePeriod": 0, "realtimeRuntime": 0, "cpus": ""},
        "pids": {},
        "blockIO": {"weight": 0, "leafWeight": 0},
        "network": {"classID": 0},
    }
    assert plan(version, docker) == []
    assert plan(version, {}) == []


@pytest.mark.parametrize(
    ("given", "first", "second"),
    [
        ({"memory": {"limit": -1}}, ["memory.limit_in_bytes = -1"], ["memory.swap.max = max", "memory.max = max"]),
        ({"memory": {"swap": -1}}, ["memory.memsw.limit_in_bytes = -1"], ["memory.swap.max = max"]),
        (
            {"memory": {"limit": 10, "swap": 10}},
            ["memory.limit_in_bytes = 10", "memory.memsw.limit_in_bytes = 10"],
            ["memory.swap.max = 0", "memory.max = 10"],
        ),
        (
            {"memory": {"limit": 10, "swap": -1}},
            ["memory.limit_in_bytes = 10", "memory.memsw.limit_in_bytes = -1"],
            ["memory.swap.max = max", "memory.max = 10"],
        ),
        ({"memory": {"reservation": -1}}, ["memory.soft_limit_in_bytes = -1"], ["memory.low = max"]),
        ({"memory": {"kernel": -1, "kernelTCP": -1}}, [], []),
        ({"cpu": {"quota": -1}}, ["cpu.cfs_quota_us = -1"], ["cpu.max = max 100000"]),
        ({"cpu": {"period": 50000}}, ["cpu.cfs_period_us = 50000"], ["cpu.max = max 50000"]),
        ({"cpu": {"quota": 50000}}, ["cpu.cfs_quota_us = 50000"], ["cpu.max = 50000 100000"]),
        ({"cpu": {"idle": 1, "shares": 2}}, ["cpu.shares = 2", "cpu.idle = 1"], ["cpu.weight = 1", "cpu.idle = 1"]),
        ({"pids": {"limit": -1}}, ["pids.max = max"], ["pids.max = max"]),
        ({"pids": {"limit": 0}}, ["pids.max = 0"], ["pids.max = 0"]),
    ],
)
def test_no_limit_and_the_smallest(given: dict[str, Any], first: list[str], second: list[str]) -> None:
    assert plan(v1, given) == first
    assert plan(v2, given) == second


def test_what_only_version_1_has() -> None:
    assert plan(v1, {"memory": {"swappiness": 0, "disableOOMKiller": True, "useHierarchy": True, "kernelTCP": 6}}) == [
        "memory.use_hierarchy = 1",
        "memory.kmem.tcp.limit_in_bytes = 6",
        "memory.swappiness = 0",
        "memory.oom_control = 1",
    ]
    assert plan(v1, {"cpu": {"realtimePeriod": 1000, "realtimeRuntime": 500}}) == [
        "cpu.rt_period_us = 1000",
        "cpu.rt_runtime_us = 500",
    ]
    leaves = {"leafWeight": 7, "weightDevice": [{"major": 8, "minor": 0, "leafWeight": 9}]}
    assert plan(v1, {"blockIO": leaves}) == ["blkio.leaf_weight = 7", "blkio.leaf_weight_device = 8:0 9"]


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("memory.kernel", {"memory": {"kernel": 5}}),
        ("memory.kernelTCP", {"memory": {"kernelTCP": 5}}),
        ("memory.swappiness", {"memory": {"swappiness": 0}}),
        ("memory.disableOOMKiller", {"memory": {"disableOOMKiller": True}}),
        ("memory.useHierarchy", {"memory": {"useHierarchy": False}}),
        ("memory.swap", {"memory": {"swap": 5}}),
        ("cpu.realtimePeriod", {"cpu": {"realtimeRuntime": 5}}),
        ("blockIO.leafWeight", {"blockIO": {"leafWeight": 5}}),
        ("network", {"network": {"classID": 5}}),
        ("network", {"network": {"priorities": [{"name": "lo", "priority": 1}]}}),
    ],
)
def test_what_version_2_cannot_do_is_refused_by_name(field: str, given: dict[str, Any]) -> None:
    with pytest.raises(SpecError) as caught:
        plan(v2, given)
    assert caught.value.path == f"linux.resources.{field}"


def test_a_limit_on_kernel_memory_that_linux_takes_and_ignores() -> None:
    with pytest.raises(SpecError) as caught:
        plan(v1, {"memory": {"kernel": 5}})
    assert caught.value.path == "linux.resources.memory.kernel"


@pytest.mark.parametrize("shares", [1, 262145])
def test_shares_that_the_kernel_would_change_without_a_word(shares: int) -> None:
    with pytest.raises(SpecError, match="outside what the kernel allows"):
        plan(v1, {"cpu": {"shares": shares}})


@pytest.mark.parametrize(("shares", "weight"), [(1, 1), (2, 1), (3, 2), (1024, 100), (2048, 174), (262143, 10000), (1 << 40, 10000)])
def test_shares_become_weights_as_in_runc(shares: int, weight: int) -> None:
    assert v2.weight(shares) == weight


def test_weights_never_fall_or_leave_their_range() -> None:
    weights = [v2.weight(shares) for shares in range(2, 262145, 37)]
    assert weights == sorted(weights)
    assert weights[0] == 1
    assert weights[-1] <= 10000


@pytest.mark.parametrize(("given", "scaled"), [(1, 1), (10, 1), (100, 910), (500, 4950), (1000, 10000)])
def test_io_weight_where_there_is_no_bfq(given: int, scaled: int, tmp_path: Any) -> None:
    (tmp_path / "io.weight").touch()
    [write] = v2.io(resources({"blockIO": {"weight": given}}))
    write.execute(str(tmp_path))
    assert (tmp_path / "io.weight").read_text() == str(scaled)


def test_unified_is_written_line_by_line() -> None:
    given = resources({"unified": {"io.max": "259:0 rbps=1\n253:0 rbps=2", "memory.high": "5", "memory.low": ""}})
    assert [write.describe() for write in v2.unified(given)] == [
        "unified: io.max = 259:0 rbps=1",
        "unified: io.max = 253:0 rbps=2",
        "unified: memory.high = 5",
        "unified: memory.low = ",
    ]


def test_a_file_that_the_kernel_lacks(tmp_path: Any) -> None:
    """Reservations of huge pages are left out before Linux 5.7; swap that does not exist is as good as forbidden."""
    for write in v2.hugetlb(resources({"hugepageLimits": [{"pageSize": "2MB", "limit": 5}]})):
        if write.optional:
            write.execute(str(tmp_path))
        else:
            with pytest.raises(SpecError) as caught:
                write.execute(str(tmp_path))
    why = f"write '5' to {tmp_path}/hugetlb.2MB.max: no such file or directory"
    assert str(caught.value) == f"linux.resources.hugepageLimits[0]: {why}"
    none, some = ({"memory": {"limit": 10, "swap": swap}} for swap in (10, 20))
    assert [write.optional for write in v2.memory(resources(none)) if write.file == "memory.swap.max"] == [True]
    assert [write.optional for write in v2.memory(resources(some)) if write.file == "memory.swap.max"] == [False]
