"""The four sandboxes of the workload tests, and the engines with pysc as their runtime."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING

import pytest
from engines import Containerd, Docker, Podman, remove_cgroups
from workloads import KINDS, PROFILES, SHORT, NativeRuns, Sandbox, make_debian_root, public_directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from containers import Pysc


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is `long`, and sandboxes other than those of `short`: not skips, for nothing is missing."""
    if config.getoption("--long"):
        return
    everywhere = config.getoption("--all")

    def chosen(item: pytest.Item) -> bool:
        short = item.get_closest_marker("short")
        elsewhere = short is not None and not everywhere and item.callspec.params["sandbox"] not in (short.args or SHORT)
        return not elsewhere and item.get_closest_marker("long") is None

    left_out = [item for item in items if not chosen(item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def debian_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root directory for the host's /usr and /etc, shared: nobody may write to it."""
    return make_debian_root(tmp_path_factory.mktemp("debian") / "rootfs")


@pytest.fixture(scope="session")
def long(request: pytest.FixtureRequest) -> bool:
    """Whether workloads are to run in their full size, as `make test-workloads` wants it."""
    return bool(request.config.getoption("--long"))


def _native_runs(directory: Path, request: pytest.FixtureRequest) -> NativeRuns:
    return NativeRuns(directory, request.config.getoption("--results"), "full" if request.config.getoption("--long") else "short")


@pytest.fixture(scope="session")
def native_runs(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> NativeRuns:
    """Runs workloads without a sandbox, each once."""
    return _native_runs(tmp_path_factory.mktemp("native"), request)


@pytest.fixture(params=[f"{kind}-{profile}" for kind in KINDS for profile in PROFILES])
def sandbox(request: pytest.FixtureRequest, pysc: Pysc, debian_root: Path, tmp_path: Path) -> Sandbox:
    """`pysc do` and `pysc run` with a bundle, each in both profiles."""
    kind, _, profile = request.param.partition("-")
    return Sandbox(pysc, kind, profile, debian_root, tmp_path)


_numbers = itertools.count()


@pytest.fixture
def name() -> str:
    """That of a container."""
    return f"pysc-{os.getpid()}-{next(_numbers)}"


@pytest.fixture(scope="module")
def dockers_containerd(tmp_path_factory: pytest.TempPathFactory, busybox_rootfs: Path) -> Iterator[Containerd]:
    remove = remove_cgroups(("docker",))
    daemon = Containerd(tmp_path_factory.mktemp("c"), busybox_rootfs)
    yield daemon
    daemon.stop()
    remove()


@pytest.fixture(scope="module")
def dockerd(dockers_containerd: Containerd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    """Without packet filter and bridge, which a kernel need not have."""
    options = ("--iptables=false", "--ip6tables=false", "--bridge=none", "--ip-forward=false", "--ip-masq=false", "--default-runtime=pysc")
    daemon = Docker(dockers_containerd, tmp_path_factory.mktemp("d"), *options)
    yield daemon
    daemon.stop()


@pytest.fixture
def docker(dockerd: Docker) -> Iterator[Docker]:
    """It has no containers before and after a test."""
    yield dockerd
    dockerd.clear()


@pytest.fixture(scope="module")
def podmans_directory(tmp_path_factory: pytest.TempPathFactory, busybox_rootfs: Path) -> Iterator[Podman]:
    remove = remove_cgroups(("libpod_parent",))
    made = Podman(tmp_path_factory.mktemp("p"), busybox_rootfs)
    yield made
    made.stop()
    remove()


@pytest.fixture
def podman(podmans_directory: Podman) -> Iterator[Podman]:
    """It has neither containers nor pods before and after a test."""
    yield podmans_directory
    podmans_directory.clear()


@pytest.fixture
def public() -> Iterator[Path]:
    """In place of tmp_path for workloads of ordinary users."""
    with public_directory() as directory:
        yield directory


@pytest.fixture(scope="session")
def public_native_runs(request: pytest.FixtureRequest) -> Iterator[NativeRuns]:
    """`native_runs` in a directory that every user may enter."""
    with public_directory() as directory:
        yield _native_runs(directory, request)
