"""Fixtures of the integration tests, and the check that none of them leaves anything behind."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from containers import NEST, ZYGOTE, Bundles, Pysc, descendants, end_descendants, make_busybox_root, mounts_below, subreaper
from zygote import Zygote, settle

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

_passed = pytest.StashKey[bool]()


def _close_inherited() -> None:
    """What whoever started the tests has left open would be in every container of theirs. Python's own descriptors are not inheritable."""
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        try:
            if fd > 2 and os.get_inheritable(fd):
                os.close(fd)
        except OSError:
            continue  # the listing's own


_close_inherited()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the workloads in their full size, in every sandbox")
    parser.addoption("--all", action="store_true", help="run the workloads in every sandbox, but not in their full size")
    parser.addoption("--results", type=Path, help="append a line of JSON for each workload in each sandbox (scripts/workload_table.py)")
    parser.addoption("--every-step", action="store_true", help="kill at every step of every verb (test_killed.py): hours")
    parser.addoption("--zygote", action="store_true", help="the command is the one that asks a zygote, which is started")


@pytest.fixture(scope="session", autouse=True)
def _zygote(request: pytest.FixtureRequest) -> Iterator[None]:
    if not request.config.getoption("--zygote"):
        yield
        return
    with Zygote() as zygote:
        Pysc.zygote = zygote
        yield


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    mark = metafunc.definition.get_closest_marker("platforms")
    if mark is not None and "platform" in metafunc.fixturenames:
        metafunc.parametrize("platform", mark.args, indirect=True, ids=list(mark.args) if len(mark.args) > 1 else [""])


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
def platform(request: pytest.FixtureRequest) -> str:
    """The platform of `pysc`: notify, unless a mark says otherwise (containers.both_platforms, sandboxed, trusted)."""
    return str(getattr(request, "param", "notify"))


@pytest.fixture
def pysc(tmp_path: Path, platform: str) -> Pysc:
    """The command, with a --root of the test's own. tests/runsc_cli has a faster one that stays in this process."""
    return Pysc(tmp_path / "root", platform)


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """No process, mount, cgroup or state nor a file in the shared root is left after an integration test; one that failed is cleaned up."""
    if request.node.get_closest_marker("integration") is None:
        yield
        return
    if os.geteuid() != 0:
        pytest.skip("needs root: it makes containers with the host's id ranges")
    command: Pysc | None = request.getfixturevalue("pysc") if "pysc" in request.fixturenames else None
    tmp_path: Path = request.getfixturevalue("tmp_path")
    shared: Path | None = request.getfixturevalue("busybox_rootfs") if "busybox_rootfs" in request.fixturenames else None
    before = descendants()
    entries = set(os.listdir(shared)) if shared else set()
    subreaper(True)
    try:
        yield
    finally:
        left = []
        if isinstance(command, Pysc):
            left += [f"container {id}" for id in command.clean()]
        for zygote in Zygote.running:
            zygote.rest()
        settle(ZYGOTE, NEST)
        left += [f"process {shown}" for shown in end_descendants(before)]
        subreaper(False)
    left += [f"mount {point}" for point in mounts_below(tmp_path)]
    if isinstance(command, Pysc):
        left += [f"cgroup {path}" for path in command.cgroups()]
    left += [f"{name} in the shared root" for name in (set(os.listdir(shared)) if shared else set()) - entries]
    if request.node.stash.get(_passed, False):
        assert not left, f"left behind: {', '.join(left)}"
