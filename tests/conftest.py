"""Fixtures of the integration tests, and the check that none of them leaves anything behind."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from containers import Bundles, Pysc, descendants, end_descendants, make_busybox_root, mounts_below, subreaper

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

_passed = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--every-step", action="store_true", help="kill at every step of every verb (test_killed.py): hours")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        item.stash[_passed] = report.passed
    return report


@pytest.fixture(scope="session")
def busybox_rootfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root file system with busybox and its applets, shared: nobody may write to it."""
    return make_busybox_root(tmp_path_factory.mktemp("busybox") / "rootfs")


@pytest.fixture
def bundle(tmp_path: Path, busybox_rootfs: Path) -> Bundles:
    """Makes bundles: bundle(["sh", "-c", "..."], hostname="box", process={"cwd": "/tmp"})."""
    return Bundles(tmp_path, busybox_rootfs)


@pytest.fixture
def pysc(tmp_path: Path) -> Pysc:
    """The command, with a --root of the test's own. tests/runsc_cli has a faster one that stays in this process."""
    return Pysc(tmp_path / "root")


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """No process, mount, cgroup or state of its containers is left after an integration test; one that failed is cleaned up."""
    if request.node.get_closest_marker("integration") is None:
        yield
        return
    if os.geteuid() != 0:
        pytest.skip("needs root: it makes containers with the host's id ranges")
    command: Pysc | None = request.getfixturevalue("pysc") if "pysc" in request.fixturenames else None
    tmp_path: Path = request.getfixturevalue("tmp_path")
    before = descendants()
    subreaper(True)
    try:
        yield
    finally:
        left = []
        if isinstance(command, Pysc):
            left += [f"container {id}" for id in command.clean()]
        left += [f"process {shown}" for shown in end_descendants(before)]
        subreaper(False)
    left += [f"mount {point}" for point in mounts_below(tmp_path)]
    if isinstance(command, Pysc):
        left += [f"cgroup {path}" for path in command.cgroups()]
    if request.node.stash.get(_passed, False):
        assert not left, f"left behind: {', '.join(left)}"
