from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from runsc_cli.cgroups.hierarchy import UNIFIED
from runsc_cli.cgroups.limits import limits, open_levels
from sentry.vfs.procread import cgroup_reader

if TYPE_CHECKING:
    from pathlib import Path

    from runsc_cli.cgroups.hierarchy import Hierarchies


def values(paths: dict[str, str]) -> dict[str, object]:
    found = limits(paths)
    return {name: getattr(found, name) for name in type(found).__slots__}


def put(directory: str, **values: str) -> None:
    for name, value in values.items():
        with open(f"{directory}/{name.replace('__', '.')}", "w") as file:
            file.write(value)


def test_a_new_leaf_of_version_1_has_no_limit_of_its_own(v1: Hierarchies, place: str) -> None:
    names = ("memory", "cpu", "pids")
    paths = {name: v1.mounts[name].point + place for name in names}
    for path in paths.values():
        os.mkdir(path)
    assert values(paths) == {"memory": None, "memory_and_swap": None, "cpu": None, "cpus": "", "pids": None}


def test_the_tightest_limit_on_the_way_up(v1: Hierarchies, place: str) -> None:
    names = ("memory", "cpu", "pids", "cpuset")
    paths = {name: f"{v1.mounts[name].point}{place}/pod/web" for name in names}
    for path in paths.values():
        os.makedirs(path)
    pod = {name: os.path.dirname(path) for name, path in paths.items()}
    put(pod["memory"], memory__limit_in_bytes="67108864", memory__memsw__limit_in_bytes="134217728")
    put(paths["memory"], memory__limit_in_bytes="33554432")
    put(pod["pids"], pids__max="50")
    put(paths["pids"], pids__max="60")
    put(pod["cpu"], cpu__cfs_quota_us="150000")
    put(paths["cpu"], cpu__cfs_period_us="50000", cpu__cfs_quota_us="25000")
    for directory in (os.path.dirname(pod["cpuset"]), pod["cpuset"], paths["cpuset"]):
        put(directory, cpuset__mems="0", cpuset__cpus="0")
    expected = {"memory": 33554432, "memory_and_swap": 134217728, "cpu": 0.5, "cpus": "0", "pids": 50}
    assert values(paths) == expected


@pytest.fixture
def tree(tmp_path: Path) -> str:
    """The files of a version 2 pod and its leaf."""
    leaf = tmp_path / "pod" / "web"
    leaf.mkdir(parents=True)
    for directory in (tmp_path, tmp_path / "pod", leaf):
        (directory / "cgroup.procs").touch()
    put(str(tmp_path / "pod"), memory__max="1000\n", memory__swap__max="max\n", pids__max="7\n", cpu__max="max 100000\n")
    put(str(leaf), memory__max="2000\n", memory__swap__max="500\n", pids__max="max\n", cpu__max="150000 100000\n")
    put(str(leaf), cpuset__cpus__effective="0-1\n")
    return str(leaf)


def test_version_2_counts_swap_alone(tree: str) -> None:
    assert values({UNIFIED: tree}) == {"memory": 1000, "memory_and_swap": 2500, "cpu": 1.5, "cpus": "0-1", "pids": 7}


def test_a_container_without_cgroups() -> None:
    assert values({}) == {"memory": None, "memory_and_swap": None, "cpu": None, "cpus": "", "pids": None}
    assert open_levels({}) == []


def test_open_levels_are_what_the_views_of_proc_read(tree: str) -> None:
    levels = open_levels({UNIFIED: tree})
    try:
        readers = [cgroup_reader(level) for level in levels]
        assert [reader(b"memory.max") for reader in readers[:2]] == [b"2000\n", b"1000\n"]
        assert len(readers) == 3
    finally:
        for level in levels:
            for fd in level.values():
                os.close(fd)


def test_open_levels_of_version_1(v1: Hierarchies, place: str) -> None:
    paths = {name: v1.mounts[name].point + place for name in ("memory", "cpu", "freezer")}
    for path in paths.values():
        os.mkdir(path)
    put(paths["memory"], memory__limit_in_bytes="33554432")
    levels = open_levels(paths)
    try:
        assert [set(level) for level in levels] == [{b"memory", b"cpu"}, {b"memory", b"cpu"}]
        assert cgroup_reader(levels[0])(b"memory.limit_in_bytes") == b"33554432\n"
        assert cgroup_reader(levels[0])(b"cpu.shares") == b"1024\n"
    finally:
        for level in levels:
            for fd in level.values():
                os.close(fd)
