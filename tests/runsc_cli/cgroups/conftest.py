"""Cgroups of a test's own in the hierarchies of this machine."""

from __future__ import annotations

import errno
import itertools
import os
from typing import TYPE_CHECKING

import pytest

from runsc_cli.cgroups import hierarchy
from runsc_cli.cgroups.hierarchy import UNIFIED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runsc_cli.cgroups.hierarchy import Hierarchies

_number = itertools.count()


@pytest.fixture(scope="session")
def host() -> Hierarchies:
    """The hierarchies that this machine has and that we may make cgroups in."""
    found = hierarchy.find()
    if not found.mounts:
        pytest.skip("no cgroup hierarchy is mounted")
    if not all(os.access(mount.point, os.W_OK) for mount in found.mounts.values()):
        pytest.skip("no permission to make cgroups")
    return found


@pytest.fixture
def v1(host: Hierarchies) -> Hierarchies:
    missing = {"memory", "pids", "cpu", "cpuset", "devices", "freezer"} - set(host.mounts)
    if missing:
        pytest.skip(f"no cgroup version 1 mount of {', '.join(sorted(missing))}")
    return host


@pytest.fixture
def v2(host: Hierarchies) -> Iterator[Hierarchies]:
    """The version 2 tree alone, whatever else there is. Its root enables afterwards what it did before."""
    if UNIFIED not in host.mounts:
        pytest.skip("no cgroup version 2 hierarchy is mounted")
    control = f"{host.mounts[UNIFIED].point}/cgroup.subtree_control"
    before = _words(control)
    yield hierarchy.Hierarchies({UNIFIED: host.mounts[UNIFIED]}, host.own)
    for name in _words(control) - before:
        try:
            with open(control, "w") as file:
                file.write("-" + name)
        except OSError as e:
            if e.errno != errno.EBUSY:  # another container has begun to use it
                raise


def _words(path: str) -> set[str]:
    with open(path) as file:
        return set(file.read().split())


@pytest.fixture
def place(host: Hierarchies) -> Iterator[str]:
    """An absolute cgroupsPath that nobody else has; whatever is below it is removed in all hierarchies after the test."""
    path = f"/pysc-test-{os.getpid()}-{next(_number)}"
    yield path
    for mount in host.mounts.values():
        for directory, _, _ in os.walk(mount.point + path, topdown=False):
            os.rmdir(directory)
