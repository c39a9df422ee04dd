"""Namespaces that the config names, or does not have: as engines do for pods and for --ipc=host."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from containers import Bundles, Pysc, requires

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    requires("busybox", "unshare"),
]

SCRIPT = "readlink /proc/self/ns/ipc; touch /dev/mqueue/mine && ls /dev/mqueue && rm /dev/mqueue/mine"


@pytest.fixture
def holder() -> Iterator[int]:
    """A process with an IPC namespace of its own; its pid."""
    with subprocess.Popen(["unshare", "-i", "sh", "-c", "echo ready; exec sleep 1000"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.kill()


def test_message_queues_of_a_namespace_that_is_joined(pysc: Pysc, bundle: Bundles, holder: int) -> None:
    made = bundle(["sh", "-c", SCRIPT])
    path = f"/proc/{holder}/ns/ipc"
    next(each for each in made.config["linux"]["namespaces"] if each["type"] == "ipc")["path"] = path
    made.write()
    assert pysc("run", "-b", made, pysc.id).out == f"{os.readlink(path)}\nmine\n"


def test_message_queues_of_the_hosts_namespace(pysc: Pysc, bundle: Bundles) -> None:
    made = bundle(["sh", "-c", SCRIPT.replace("mine", pysc.id)])
    made.config["linux"]["namespaces"] = [each for each in made.config["linux"]["namespaces"] if each["type"] != "ipc"]
    made.write()
    out = pysc("run", "-b", made, pysc.id).out.split()
    assert out[0] == os.readlink("/proc/self/ns/ipc")
    assert pysc.id in out


def test_a_path_that_leads_nowhere(pysc: Pysc, bundle: Bundles) -> None:
    made = bundle(["true"])
    next(each for each in made.config["linux"]["namespaces"] if each["type"] == "ipc")["path"] = "/nonexistent"
    made.write()
    assert "open /nonexistent: no such file or directory" in pysc("run", "-b", made, pysc.id).err
