"""Namespaces that the config names, or does not have: as engines do for pods and for --ipc=host."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from containers import Bundles, Pysc, requires

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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


# ---- mounts of the host that are shared, as systemd has all of them ----


@requires("mount")
@pytest.mark.parametrize("option", ["", "rprivate", "rslave", "rshared"])
def test_what_is_mounted_in_the_container_does_not_appear_on_the_host(pysc: Pysc, bundle: Bundles, tmp_path: Path, option: str) -> None:
    volume = tmp_path / "volume"
    (volume / "config").mkdir(parents=True)
    (volume / "workload").mkdir()
    made = bundle(["sh", "-c", "mount -t tmpfs none /vol/workload; grep -c /vol/ /proc/self/mounts"])
    made.config["process"]["capabilities"] = {kind: ["CAP_SYS_ADMIN"] for kind in ("bounding", "permitted", "effective")}
    options = ["rbind", *filter(None, [option])]
    made.config["mounts"] += [
        {"destination": "/vol", "type": "bind", "source": str(volume), "options": options},
        {"destination": "/vol/config", "type": "tmpfs", "source": "tmpfs"},
    ]
    made.write()
    script = 'mount --bind "$0" "$0" && mount --make-shared "$0" && "$@"; grep -c "$0/" /proc/self/mountinfo'
    argv = ["unshare", "-m", "sh", "-c", script, str(volume), *pysc.argv("run", "-b", made, pysc.id)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "2\n0\n", done


@requires("mount", "nsenter")
def test_what_is_mounted_on_the_host_appears_in_a_slave(pysc: Pysc, bundle: Bundles, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    (volume / "later").mkdir(parents=True)
    made = bundle(["sh", "-c", "echo ready; read line; ls /vol/later"])
    made.config["mounts"].append({"destination": "/vol", "type": "bind", "source": str(volume), "options": ["rbind", "rslave"]})
    made.write()
    script = 'mount --bind "$0" "$0" && mount --make-shared "$0" && exec "$@"'
    argv = ["unshare", "-m", "sh", "-c", script, str(volume), *pysc.argv("run", "-b", made, pysc.id)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        later = f"mount -t tmpfs none {volume}/later && touch {volume}/later/file"
        subprocess.run(["nsenter", "-t", str(running.pid), "-m", "sh", "-c", later], check=True)
        out, _ = running.communicate("go\n", timeout=60)
    assert out == "file\n"
