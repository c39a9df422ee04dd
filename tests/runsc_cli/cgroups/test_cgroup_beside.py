"""Where the sentry and the gofer are born."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest

from runsc_cli.cgroups import beside
from runsc_cli.cgroups.beside import COUNTED, Beside, enter
from runsc_cli.cgroups.hierarchy import UNIFIED, Hierarchies

if TYPE_CHECKING:
    from collections.abc import Callable

HEX = "0123456789abcdef" * 4
CADVISOR = re.compile("[a-z0-9]{64}")


@pytest.mark.parametrize("leaf", ["web", HEX, f"libpod-{HEX}", f"cri-containerd-{HEX}.scope", "a" * 255])
def test_no_engine_takes_the_name_for_a_containers(leaf: str) -> None:
    name = beside.name(leaf)
    assert name.startswith("pysc-")
    assert not CADVISOR.search(name)
    assert not name.endswith((".scope", ".slice", ".mount"))
    assert len(f"{name}.scope") < 255
    assert name != leaf


def test_one_container_one_name() -> None:
    leaves = ["web", "web2", HEX, HEX[::-1], "a" * 255, "a" * 254, "a" * 254 + "b"]
    assert len({beside.name(leaf) for leaf in leaves}) == len(leaves)


def born(place: Beside, show: Callable[[], str]) -> str:
    """What a process of `place` answers."""
    reading, writing = os.pipe()
    pid = place.fork()
    if pid == 0:
        try:
            enter(place.others)
            os.write(writing, show().encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading) as file:
        answer = file.read()
    os.waitpid(pid, 0)
    return answer


def cgroups() -> str:
    with open("/proc/self/cgroup") as file:
        return file.read()


def test_version_1(v1: Hierarchies, place: str) -> None:
    made = Beside(f"{place}/pod/web", "web")
    made.create()
    there = {line.split(":")[1]: line.split(":")[2] for line in born(made, cgroups).splitlines()}
    for name, path in there.items():
        inside = any(each in COUNTED for each in name.split(","))
        assert (path == f"{place}/pod/pysc-web") == inside, name
    made.unmake()
    assert not any(os.path.exists(f"{mount.point}{place}") for mount in v1.mounts.values())


def test_version_2(v2: Hierarchies, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside.layout, "find", lambda: v2)
    made = Beside(f"{place}/pod/web", "web")
    made.create()
    assert f"0::{place}/pod/pysc-web\n" in born(made, cgroups)
    assert born(made, lambda: str(os.getpid() == int(os.readlink("/proc/thread-self").split("/")[0]))) == "True"
    made.unmake()
    assert not os.path.exists(v2.mounts[UNIFIED].point + place)


def test_the_root_of_a_hierarchy_has_nothing_beside_it(host: Hierarchies) -> None:
    made = Beside("/", "web")
    made.create()
    assert made.paths == []
    assert born(made, lambda: "born") == "born"
