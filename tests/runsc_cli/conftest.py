"""A state store of the test's own, and processes that play the parts of a container's."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from stand_ins import Answer

from runsc_cli.main import main
from runsc_cli.process import Process
from runsc_cli.state import RUNNING, Container, Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from stand_ins import Pysc, Spawn


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "root"))


@pytest.fixture
def pysc(store: Store, capfd: pytest.CaptureFixture[str]) -> Pysc:
    """Runs the command in this process, on the test's store."""

    def run(*argv: str) -> Answer:
        capfd.readouterr()
        code = main(["--root", store.root, *argv])
        sys.stdout.flush()
        out, err = capfd.readouterr()
        return Answer(code, out, err)

    return run


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    """Starts a process, by default one that waits for ever; all are ended and reaped after the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*argv: str) -> subprocess.Popen[str]:
        started.append(subprocess.Popen(argv or ("sleep", "infinity"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def running(store: Store, spawn: Spawn) -> Callable[[str], Container]:
    """A container that runs: its init is a process of the test."""

    def make(id: str = "web") -> Container:
        with store.create(id) as container:
            state = container.state
            state.bundle, state.rootfs = "/bundle", "/bundle/rootfs"
            state.annotations = {"a.b": "c"}
            state.init = Process.of(spawn().pid)
            state.phase = RUNNING
            container.save()
        return container

    return make


@pytest.fixture
def pid_namespace(spawn: Spawn) -> Callable[[], int]:
    """Starts an init, pid 1 of a pid namespace of its own, with two children; its pid on the host."""

    def start() -> int:
        script = "sleep infinity & sleep infinity & echo ready; wait"
        outer = spawn("unshare", "--pid", "--fork", "--kill-child", "sh", "-c", script)
        assert outer.stdout is not None
        if outer.stdout.readline() != "ready\n":
            pytest.skip("no permission to make a pid namespace")
        with open(f"/proc/{outer.pid}/task/{outer.pid}/children") as children:
            return int(children.read())

    return start


@pytest.fixture(params=["freezer", "unified", ""], ids=["v1-freezer", "hybrid-v2", "v2"])
def cgroup(request: pytest.FixtureRequest) -> Iterator[str]:
    """A fresh cgroup of each hierarchy that this machine has."""
    path = os.path.join("/sys/fs/cgroup", request.param, f"pysc-test-{os.getpid()}")
    if not os.path.exists(os.path.join(os.path.dirname(path), "cgroup.procs")):
        pytest.skip(f"no cgroup hierarchy at {os.path.dirname(path)}")
    try:
        os.mkdir(path)
    except OSError as error:
        pytest.skip(f"cannot make a cgroup: {error}")
    yield path
    for directory, _, _ in os.walk(path, topdown=False):
        os.rmdir(directory)
