"""Leaves on this machine's hierarchies, and the version 2 tree as a tree of files."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from runsc_cli.cgroups import driver
from runsc_cli.cgroups.device_filter import DeviceFilter
from runsc_cli.cgroups.hierarchy import UNIFIED, Hierarchies, Mount
from runsc_cli.errors import HostError, PyscError, SpecError
from runsc_cli.oci.model import Resources

if TYPE_CHECKING:
    from pathlib import Path

    from stand_ins import Spawn

LIMITS: dict[str, Any] = {
    "memory": {"limit": 67108864, "swap": 134217728, "reservation": 33554432, "swappiness": 10},
    "cpu": {"shares": 512, "quota": 50000, "period": 200000, "cpus": "0", "mems": "0"},
    "pids": {"limit": 99},
}


# What becomes of them in version 2, without swappiness and with memory.high.
VERSION_2 = {
    "memory.max": "67108864",
    "memory.swap.max": "67108864",
    "memory.low": "33554432",
    "memory.high": "62914560",
    "cpu.weight": "59",
    "cpu.max": "50000 200000",
    "cpuset.cpus": "0",
    "cpuset.mems": "0",
    "pids.max": "99",
}


def plan(place: str, given: dict[str, Any] | None = None, **more: Any) -> driver.Cgroup:
    resources = None if given is None else Resources.of(given)
    return driver.plan(place, "web", resources, **more)


def read(path: str) -> str:
    with open(path) as file:
        return file.read().rstrip("\n")


def present(host: Hierarchies, path: str) -> list[str]:
    """The hierarchies that have a cgroup `path`."""
    return [name for name, mount in host.mounts.items() if os.path.exists(mount.point + path)]


# --- version 1, on this machine ---


def test_a_leaf_in_every_hierarchy_with_its_limits(v1: Hierarchies, place: str) -> None:
    cgroup = plan(f"{place}/pod/web", LIMITS)
    assert present(v1, place) == []
    cgroup.create()
    assert cgroup.paths == {name: f"{mount.point}{place}/pod/web" for name, mount in v1.mounts.items() if name != UNIFIED}
    for name, file, value in (
        ("memory", "memory.limit_in_bytes", "67108864"),
        ("memory", "memory.memsw.limit_in_bytes", "134217728"),
        ("memory", "memory.soft_limit_in_bytes", "33554432"),
        ("memory", "memory.swappiness", "10"),
        ("cpu", "cpu.shares", "512"),
        ("cpu", "cpu.cfs_quota_us", "50000"),
        ("cpu", "cpu.cfs_period_us", "200000"),
        ("cpuset", "cpuset.cpus", "0"),
        ("cpuset", "cpuset.mems", "0"),
        ("pids", "pids.max", "99"),
    ):
        assert read(f"{cgroup.paths[name]}/{file}") == value, file
    driver.remove(cgroup.paths.values())
    assert present(v1, f"{place}/pod/web") == []


def test_without_resources_devices_are_still_limited_and_processes_can_enter(v1: Hierarchies, place: str, spawn: Spawn) -> None:
    cgroup = plan(place)
    cgroup.create()
    assert "c 1:3 rwm" in read(f"{cgroup.paths['devices']}/devices.list").splitlines()
    assert "a *:* rwm" not in read(f"{cgroup.paths['devices']}/devices.list").splitlines()
    for name in ("cpuset.cpus", "cpuset.mems"):
        assert read(f"{cgroup.paths['cpuset']}/{name}") == read(f"{v1.mounts['cpuset'].point}/{name}")
    process = spawn()
    cgroup.add(process.pid)
    assert driver.pids(cgroup.paths.values()) == [process.pid]
    process.kill()
    process.wait()
    driver.remove(cgroup.paths.values())


def test_a_cpuset_parent_that_nobody_has_filled_yet(v1: Hierarchies, place: str) -> None:
    point = v1.mounts["cpuset"].point
    os.mkdir(point + place)
    plan(f"{place}/web").create()
    assert read(f"{point}{place}/cpuset.cpus") == read(f"{point}{place}/web/cpuset.cpus") == read(f"{point}/cpuset.cpus")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"cpu": {"cpus": "4000"}}, "linux.resources.cpu.cpus: write '4000' to {cpuset}/cpuset.cpus: "),
        ({"cpu": {"quota": 1}}, "linux.resources.cpu.quota: write '1' to {cpu}/cpu.cfs_quota_us: invalid argument"),
        (
            {"memory": {"limit": 1 << 30, "swap": 1}},
            "linux.resources.memory.swap: write '1' to {memory}/memory.memsw.limit_in_bytes",
        ),
        (
            {"memory": {"swappiness": 5000}},
            "linux.resources.memory.swappiness: write '5000' to {memory}/memory.swappiness: invalid",
        ),
    ],
)
def test_what_the_kernel_refuses_leaves_nothing(v1: Hierarchies, place: str, given: dict[str, Any], message: str) -> None:
    point = v1.mounts["pids"].point
    os.mkdir(point + place)  # not ours
    cgroup = plan(f"{place}/pod/web", given)
    with pytest.raises(SpecError) as caught:
        cgroup.create()
    assert message.format(**cgroup.paths) in str(caught.value)
    assert present(v1, place) == ["pids"]
    assert os.path.exists(point + place)
    assert present(v1, f"{place}/pod") == []


def test_a_leaf_that_others_are_in(v1: Hierarchies, place: str, spawn: Spawn) -> None:
    process = spawn()
    directory = v1.mounts["pids"].point + place
    os.mkdir(directory)
    driver.add(directory, process.pid)
    with pytest.raises(PyscError, match=r"container's cgroup is not empty: 1 process\(es\) found"):
        plan(place).create()
    assert present(v1, place) == ["pids"]
    process.kill()
    process.wait()


def test_an_empty_leaf_is_taken_and_not_removed_on_failure(v1: Hierarchies, place: str) -> None:
    os.mkdir(v1.mounts["pids"].point + place)
    with pytest.raises(SpecError):
        plan(place, {"cpu": {"cpus": "4000"}}).create()
    assert present(v1, place) == ["pids"]
    plan(place, {"pids": {"limit": 3}}).create()
    assert read(f"{v1.mounts['pids'].point}{place}/pids.max") == "3"


def test_a_frozen_parent_would_freeze_the_container_before_it_starts(v1: Hierarchies, place: str) -> None:
    parent = v1.mounts["freezer"].point + place
    os.mkdir(parent)
    with open(f"{parent}/freezer.state", "w") as file:
        file.write("FROZEN")
    with pytest.raises(PyscError, match="container's cgroup unexpectedly frozen"):
        plan(f"{place}/web").create()
    assert os.path.exists(parent)
    assert present(v1, f"{place}/web") == []


@pytest.mark.parametrize(
    ("name", "path", "given"),
    [
        ("net_cls", "network.classID", {"network": {"classID": 5}}),
        ("rdma", "rdma['mlx']", {"rdma": {"mlx": {"hcaHandles": 1}}}),
    ],
)
def test_a_controller_that_is_missing_matters_when_it_is_needed(v1: Hierarchies, name: str, path: str, given: Any) -> None:
    if name in v1.mounts:
        pytest.skip(f"this machine has {name}")
    with pytest.raises(SpecError) as caught:
        plan("", given)
    why = f"this host has no {name} cgroup controller: mount it, or leave the limit out"
    assert str(caught.value) == f"linux.resources.{path}: {why}"


def test_the_root_of_a_hierarchy_is_no_place_for_a_container(host: Hierarchies) -> None:
    with pytest.raises(SpecError, match=r"linux\.cgroupsPath: '/' is the root of the hierarchy"):
        plan("/")


def test_a_host_without_cgroups() -> None:
    with pytest.raises(PyscError, match="no cgroup hierarchy is mounted"):
        plan("", hierarchies=Hierarchies({}, {}))


def test_a_parent_that_somebody_removes_meanwhile(v1: Hierarchies, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure that is not the config's: the error names the directory, and the rest is taken back."""
    real = os.mkdir

    def mkdir(path: str, mode: int) -> None:
        if path.startswith(v1.mounts["freezer"].point):
            raise OSError(errno.ENOSPC, "", path)
        real(path, mode)

    monkeypatch.setattr(os, "mkdir", mkdir)
    cgroup = plan(place)
    with pytest.raises(HostError) as caught:
        cgroup.create()
    assert str(caught.value) == f"make cgroup {cgroup.paths['freezer']}: no space left on device"
    assert present(v1, place) == []


# --- a controller of each version ---


@pytest.fixture
def hugetlb(v1: Hierarchies, v2: Hierarchies) -> str:
    root = v2.mounts[UNIFIED].point
    if "hugetlb" in v1.mounts or "hugetlb" not in read(f"{root}/cgroup.controllers").split():
        pytest.skip("needs a hybrid layout with hugetlb in version 2")
    return root


def test_hybrid(hugetlb: str, place: str) -> None:
    given = {"hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}], "unified": {"cgroup.max.depth": "5"}}
    cgroup = plan(f"{place}/pod/web", LIMITS | given)
    cgroup.create()
    assert read(f"{cgroup.paths[UNIFIED]}/hugetlb.2MB.max") == "4194304"
    assert read(f"{cgroup.paths[UNIFIED]}/hugetlb.2MB.rsvd.max") == "4194304"
    assert read(f"{cgroup.paths[UNIFIED]}/cgroup.max.depth") == "5"
    assert read(f"{cgroup.paths['pids']}/pids.max") == "99"
    assert "hugetlb" in read(f"{hugetlb}/cgroup.subtree_control").split()
    driver.remove(cgroup.paths.values())


def test_hybrid_refuses_a_unified_file_of_a_version_1_controller(v1: Hierarchies) -> None:
    if UNIFIED not in v1.mounts:
        pytest.skip("no cgroup version 2 hierarchy is mounted")
    with pytest.raises(SpecError) as caught:
        plan("", {"unified": {"memory.high": "5"}})
    where = "the memory controller is in a version 1 hierarchy on this host"
    assert str(caught.value) == f"linux.resources.unified['memory.high']: {where}"


# --- version 2 ---


def test_pure_version_2_on_the_real_tree(v2: Hierarchies, place: str, spawn: Spawn) -> None:
    """Without limits: the leaf, the device program, the order in which things come and go."""
    cgroup = plan(f"{place}/pod/web", {}, hierarchies=v2)
    cgroup.create()
    assert cgroup.paths == {UNIFIED: f"{v2.mounts[UNIFIED].point}{place}/pod/web"}
    process = spawn()
    cgroup.add(process.pid)
    assert driver.pids(cgroup.paths.values()) == [process.pid]
    with pytest.raises(PyscError, match=r"not empty: 1 process\(es\)"):
        plan(f"{place}/pod/web", {}, hierarchies=v2).create()
    process.kill()
    process.wait()
    driver.remove(cgroup.paths.values())


def test_pure_version_2_limits(v2: Hierarchies, place: str) -> None:
    available = set(read(f"{v2.mounts[UNIFIED].point}/cgroup.controllers").split())
    missing = {"cpu", "cpuset", "memory", "pids"} - available
    if missing:
        pytest.skip(f"this machine's version 2 tree has no {', '.join(sorted(missing))} controller")
    limits = {**LIMITS, "memory": {"limit": 67108864, "swap": 134217728, "reservation": 33554432}}
    cgroup = plan(f"{place}/pod/web", {**limits, "unified": {"memory.high": "62914560"}}, hierarchies=v2)
    cgroup.create()
    for file, value in VERSION_2.items():
        assert read(f"{cgroup.paths[UNIFIED]}/{file}") == value, file
    assert set(read(f"{cgroup.paths[UNIFIED]}/cgroup.controllers").split()) == available
    driver.remove(cgroup.paths.values())


def test_pure_version_2_frozen_parent(v2: Hierarchies, place: str) -> None:
    parent = v2.mounts[UNIFIED].point + place
    os.mkdir(parent)
    with open(f"{parent}/cgroup.freeze", "w") as file:
        file.write("1")
    with pytest.raises(PyscError, match="container's cgroup unexpectedly frozen"):
        plan(f"{place}/web", {}, hierarchies=v2).create()
    assert not os.path.exists(f"{parent}/web")


def test_pure_version_2_below_a_threaded_cgroup(v2: Hierarchies, place: str) -> None:
    parent = v2.mounts[UNIFIED].point + place
    os.makedirs(f"{parent}/threads")
    with open(f"{parent}/threads/cgroup.type", "w") as file:
        file.write("threaded")
    with pytest.raises(PyscError, match=f"'{parent}/threads/web' is below a threaded cgroup"):
        plan(f"{place}/threads/web", {}, hierarchies=v2).create()
    assert not os.path.exists(f"{parent}/threads/web")


def test_pure_version_2_below_processes(v2: Hierarchies, place: str, spawn: Spawn) -> None:
    """Where a parent holds processes its children get no controllers: the error says which and why."""
    point = v2.mounts[UNIFIED].point
    if "hugetlb" not in read(f"{point}/cgroup.controllers").split():
        pytest.skip("this machine's version 2 tree has no hugetlb controller")
    process = spawn()
    os.mkdir(point + place)
    driver.add(point + place, process.pid)
    with pytest.raises(SpecError) as caught:
        plan(f"{place}/web", {"hugepageLimits": [{"pageSize": "2MB", "limit": 1}]}, hierarchies=v2).create()
    assert caught.value.path == "linux.resources.hugepageLimits[0]"
    assert str(caught.value).endswith(f"controller is not available in '{point}{place}/web': '{point}{place}' holds processes itself")
    assert read(f"{point}{place}/cgroup.type") == "domain"
    assert not os.path.exists(f"{point}{place}/web")
    process.kill()
    process.wait()
    os.rmdir(point + place)


CONTROLLERS = "cpuset cpu io memory hugetlb pids rdma"


class Tree:
    """Files that stand for a version 2 hierarchy: what is written to them stays, and mkdir(2) makes files as cgroupfs does."""

    def __init__(self, root: str) -> None:
        self.controllers = CONTROLLERS
        self.fill(root)

    def fill(self, directory: str) -> None:
        for name, text in {
            "cgroup.controllers": self.controllers,
            "cgroup.subtree_control": "",
            "cgroup.type": "domain",
            "cgroup.events": "populated 0\nfrozen 0",
            "cgroup.procs": "",
            "memory.max": "",
            "memory.swap.max": "",
            "memory.low": "",
            "memory.high": "",
            "cpu.weight": "",
            "cpu.max": "",
            "cpuset.cpus": "",
            "cpuset.mems": "",
            "pids.max": "",
        }.items():
            with open(f"{directory}/{name}", "w") as file:
                file.write(text)

    def mkdir(self, path: str, mode: int = 0o777) -> None:
        _mkdir(path, mode)
        self.fill(path)


_mkdir = os.mkdir


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    made = Tree(str(tmp_path))
    monkeypatch.setattr(os, "mkdir", made.mkdir)
    monkeypatch.setattr(DeviceFilter, "execute", lambda self, directory: None)  # files take no program
    return made


@pytest.fixture
def tree(tmp_path: Path, made: Tree) -> Hierarchies:
    return Hierarchies({UNIFIED: Mount(str(tmp_path), "/")}, {UNIFIED: "/user.slice/session.scope"})


def test_version_2_files(tree: Hierarchies) -> None:
    memory = {"limit": 67108864, "swap": 134217728, "reservation": 33554432}
    limits = {**LIMITS, "memory": memory, "unified": {"memory.high": "62914560"}}
    cgroup = plan("", limits, hierarchies=tree)
    cgroup.create()
    root = tree.mounts[UNIFIED].point
    leaf = cgroup.paths[UNIFIED]
    assert leaf == f"{root}/user.slice/web"
    for file, value in VERSION_2.items():
        assert read(f"{leaf}/{file}") == value, file
    everything = "+cpuset +cpu +io +memory +hugetlb +pids +rdma"
    assert [read(f"{path}/cgroup.subtree_control") for path in (root, f"{root}/user.slice", leaf)] == [everything, everything, ""]


def test_version_2_controllers_that_are_enabled_already(tree: Hierarchies) -> None:
    root = tree.mounts[UNIFIED].point
    with open(f"{root}/cgroup.subtree_control", "w") as file:
        file.write(CONTROLLERS)
    plan("/web", LIMITS | {"memory": {}}, hierarchies=tree).create()
    assert read(f"{root}/cgroup.subtree_control") == CONTROLLERS


def test_version_2_without_a_controller(tree: Hierarchies, made: Tree) -> None:
    made.controllers = "cpu"
    with pytest.raises(SpecError) as caught:
        plan("/web", {"pids": {"limit": 5}}, hierarchies=tree).create()
    leaf = f"{tree.mounts[UNIFIED].point}/web"
    assert str(caught.value) == f"linux.resources.pids.limit: the pids controller is not available in '{leaf}'"


def test_version_2_where_it_is_all_that_is_mounted(v2: Hierarchies) -> None:
    """In a mount namespace that has the real tree on /sys/fs/cgroup and nothing else."""
    mounts = "umount -R /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup"
    prefix = ("unshare", "--mount", "sh", "-c", f'{mounts} && exec "$@"', "sh")
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no permission to mount cgroup2 on /sys/fs/cgroup in a mount namespace")
    assert other("", "", "0", "auto", prefix=prefix) == repr(UNIFIED)


# --- not root ---

_CHILD = """
import sys
from runsc_cli.cgroups import driver
from runsc_cli.errors import PyscError
from runsc_cli.oci.model import Pids, Resources
place, limit, uid, rootless = sys.argv[1:5]
if uid != "0":
    import os
    os.setgroups([]); os.setresgid(int(uid), int(uid), int(uid)); os.setresuid(int(uid), int(uid), int(uid))
known = {"auto": None, "true": True, "false": False}
try:
    resources = Resources(pids=Pids(limit=int(limit))) if limit else None
    cgroup = driver.plan(place, "pysc-test-web", resources, rootless=known[rootless])
    cgroup.create()
    print(*map(repr, cgroup.paths))
    driver.remove(cgroup.paths.values())
except PyscError as e:
    print(e)
"""


def other(*argv: str, prefix: tuple[str, ...] = ()) -> str:
    """What a process that is somebody else gets: its leaves' hierarchies, or the error."""
    command = [*prefix, sys.executable, "-c", textwrap.dedent(_CHILD), *argv]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_a_user_gets_no_cgroup_and_no_error(v1: Hierarchies) -> None:
    assert other("", "", "65534", "auto") == ""
    assert other("", "", "65534", "true") == ""


def test_a_user_who_asks_for_a_limit_or_a_place_gets_an_error(v1: Hierarchies, place: str) -> None:
    why = "no permission to make a pids cgroup: run as root, have it delegated to you, or leave the limit out"
    assert other("", "5", "65534", "auto") == f"linux.resources.pids.limit: {why}"
    assert other(place, "", "65534", "auto").endswith(f"{place}: permission denied")
    assert other("", "", "65534", "false").endswith("web: permission denied")


def test_device_rules_are_left_to_the_user_namespace(v1: Hierarchies, place: str) -> None:
    """Root in a user namespace may make cgroups that it owns, but nobody there may write devices.deny."""
    prefix = ("unshare", "--user", "--map-root-user")
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no permission to make a user namespace")
    assert other(place, "5", "0", "auto", prefix=prefix).split() == [repr(name) for name in v1.mounts if name != UNIFIED]
