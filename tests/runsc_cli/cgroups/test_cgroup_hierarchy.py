from __future__ import annotations

import os

import pytest

from runsc_cli.cgroups.hierarchy import UNIFIED, Hierarchies, Mount, clean, parse_mounts, parse_own

HYBRID = """\
22 1 254:0 / / rw - ext4 /dev/vda rw
31 22 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,release_agent=/lib/agent,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
42 31 0:39 / /sys/fs/cgroup/mine rw,relatime - cgroup cgroup rw,name=mine
"""
PURE = """\
22 1 254:0 / / rw - ext4 /dev/vda rw
31 22 0:28 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate
"""


def points(mountinfo: str) -> dict[str, str]:
    return {name: mount.point for name, mount in parse_mounts(mountinfo).items()}


def test_each_controller_has_the_mount_it_is_on() -> None:
    assert points(HYBRID) == {
        "memory": "/sys/fs/cgroup/memory",
        "cpu": "/sys/fs/cgroup/cpu,cpuacct",
        "cpuacct": "/sys/fs/cgroup/cpu,cpuacct",
        "name=systemd": "/sys/fs/cgroup/systemd",
        UNIFIED: "/sys/fs/cgroup/unified",
    }


def test_pure_is_version_2_with_at_most_systemds_own_hierarchy_beside() -> None:
    assert Hierarchies(parse_mounts(PURE), {}).pure
    assert Hierarchies(parse_mounts(PURE + "40 31 0:37 / /run/c rw - cgroup cgroup rw,name=systemd\n"), {}).pure
    assert not Hierarchies(parse_mounts(HYBRID), {}).pure
    assert not Hierarchies({}, {}).pure


@pytest.mark.parametrize("cover", ["/sys/fs/cgroup", "/sys/fs/", "/"])
def test_a_mount_over_the_hierarchies_hides_them(cover: str) -> None:
    hidden = HYBRID + f"50 31 0:50 / {cover} rw - tmpfs tmpfs rw\n"
    assert points(hidden) == {}
    assert points(hidden + "51 50 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n") == {UNIFIED: "/sys/fs/cgroup"}


def test_a_mount_beside_hides_nothing() -> None:
    assert points(HYBRID + "50 31 0:50 / /sys/fs/cgroup/mem rw - tmpfs tmpfs rw\n") == points(HYBRID)


def test_blanks_in_a_mount_point_are_octal() -> None:
    mounts = parse_mounts(r"31 22 0:28 /a\134b /my\040groups\011x rw - cgroup2 cgroup2 rw")
    assert (mounts[UNIFIED].point, mounts[UNIFIED].root) == ("/my groups\tx", "/a\\b")


def test_own_cgroup_by_controller() -> None:
    text = "12:cpu,cpuacct:/system.slice/a:b\n5:name=systemd:/x\n0::/user.slice/session-1.scope\n"
    slice = "/system.slice/a:b"
    assert parse_own(text) == {"cpu": slice, "cpuacct": slice, "name=systemd": "/x", UNIFIED: "/user.slice/session-1.scope"}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", ""),
        ("/a/b", "/a/b"),
        ("/../../etc", "/etc"),
        ("../../etc", "etc"),
        ("a/../../b/./c//", "b/c"),
        ("//a", "/a"),
        (".", ""),
        ("/", "/"),
    ],
)
def test_a_path_never_leads_above_where_it_starts(path: str, expected: str) -> None:
    assert clean(path) == expected


@pytest.mark.parametrize(
    ("path", "memory", "unified"),
    [
        ("", "/m/own/web", "/u/web"),
        ("pod/web", "/m/own/pod/web", "/u/pod/web"),
        ("/pod/web", "/m/pod/web", "/u/pod/web"),
        ("/pod/../../../web", "/m/web", "/u/web"),
        ("../../web", "/m/own/web", "/u/web"),
        ("system.slice:pysc:web", "/m/own/system.slice:pysc:web", "/u/system.slice:pysc:web"),
    ],
)
def test_leaves_are_where_runc_has_them(path: str, memory: str, unified: str) -> None:
    there = Hierarchies({"memory": Mount("/m", "/"), UNIFIED: Mount("/u", "/")}, {"memory": "/own", UNIFIED: "/own"})
    assert there.leaf("memory", path, "web") == memory
    assert there.leaf(UNIFIED, path, "web") == unified


@pytest.mark.parametrize(("own", "leaf"), [("/docker/1/own", "/m/own/web"), ("/docker/1", "/m/web"), ("/elsewhere", "/m/web")])
def test_inside_a_container_the_mount_shows_a_part_of_the_hierarchy(own: str, leaf: str) -> None:
    assert Hierarchies({"memory": Mount("/m", "/docker/1")}, {"memory": own}).leaf("memory", "", "web") == leaf


@pytest.mark.parametrize(
    ("directory", "why"),
    [
        ("/m/own/web", ""),
        ("/m/ow", ""),
        ("/m/own/x/ours/web", ""),
        ("/u/web", ""),
        ("/m/own/x/ours", "is our own cgroup or lies above it"),
        ("/m/own", "is our own cgroup or lies above it"),
        ("/u/else", "is our own cgroup or lies above it"),
        ("/m", "lies below no cgroup mount"),
        ("/mm/web", "lies below no cgroup mount"),
        ("/etc", "lies below no cgroup mount"),
        ("/m/web/../..", "is no plain path"),
        ("m/web", "lies below no cgroup mount"),
    ],
)
def test_what_can_be_no_containers_cgroup(directory: str, why: str) -> None:
    mounts = {"memory": Mount("/m", "/"), UNIFIED: Mount("/u", "/")}
    assert Hierarchies(mounts, {"memory": "/own/x/ours", UNIFIED: "/else"}).objection(directory) == why


def test_what_is_found_here_are_cgroups(host: Hierarchies) -> None:
    for name, mount in host.mounts.items():
        assert os.path.exists(f"{mount.point}/cgroup.procs"), name
        assert name in host.own
