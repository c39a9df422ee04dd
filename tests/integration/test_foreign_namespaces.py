"""Namespaces that the config names, or does not have: as engines do for pods and for --ipc=host."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from containers import Bundle, Bundles, Pysc, both_platforms, requires

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.integration,
    both_platforms,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    requires("busybox", "unshare", "nsenter"),
]

SCRIPT = "readlink /proc/self/ns/ipc; touch /dev/mqueue/mine && ls /dev/mqueue && rm /dev/mqueue/mine"


@pytest.fixture
def holder() -> Iterator[int]:
    """A process with IPC, network and UTS namespaces of its own; its pid."""
    with subprocess.Popen(["unshare", "-inu", "sh", "-c", "echo ready; exec sleep 1000"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.kill()


def join(made: Bundle, holder: int, kind: str, name: str = "") -> str:
    """Write a config that names the holder's namespace; returns its path."""
    path = f"/proc/{holder}/ns/{name or kind}"
    spaces = made.config["linux"]["namespaces"]
    made.config["linux"]["namespaces"] = [each for each in spaces if each["type"] != kind] + [{"type": kind, "path": path}]
    made.write()
    return path


def inside(holder: int, *argv: str) -> str:
    """What a command prints in the holder's namespaces."""
    return subprocess.run(["nsenter", "-t", str(holder), "-i", "-n", "-u", *argv], capture_output=True, text=True, check=True).stdout


def test_message_queues_of_a_namespace_that_is_joined(pysc: Pysc, bundle: Bundles, holder: int) -> None:
    made = bundle(["sh", "-c", SCRIPT])
    path = join(made, holder, "ipc")
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


def test_kernel_parameters_of_a_namespace_that_is_joined(pysc: Pysc, bundle: Bundles, holder: int) -> None:
    sysctl = {
        "net.ipv4.ip_forward": "1",
        "net.ipv4.ping_group_range": "0 2147483647",
        "net/ipv4/conf/lo/forwarding": "0",
        "kernel.shm_rmid_forced": "1",
        "fs.mqueue.msg_max": "7",
        "kernel.domainname": "dom",
    }
    paths = ("ipv4/ip_forward", "ipv4/ping_group_range", "ipv4/conf/lo/forwarding")
    made = bundle(["sh", "-c", "cd /proc/sys/net; cat " + " ".join(paths)], linux={"sysctl": sysctl})
    for kind, name in (("network", "net"), ("ipc", ""), ("uts", "")):
        join(made, holder, kind, name)
    made.config["hostname"] = "box"
    made.write()
    last = 2147483647 if pysc.platform == "namespace" else 65535  # the container's last group
    assert pysc("run", "-b", made, pysc.id).out == f"1\n0\t{last}\n0\n"
    shown = inside(holder, "cat", "/proc/sys/kernel/shm_rmid_forced", "/proc/sys/fs/mqueue/msg_max", "/proc/sys/kernel/domainname")
    assert shown == "1\n7\ndom\n"
    assert inside(holder, "uname", "-n") == "box\n"


@pytest.mark.parametrize("may", [True, False])
def test_ports_below_1024_of_a_namespace_that_is_joined(pysc: Pysc, bundle: Bundles, holder: int, may: bool) -> None:
    inside(holder, "ip", "link", "set", "lo", "up")
    made = bundle(["sh", "-c", "echo served | nc -l -p 80 & pid=$!; until nc 127.0.0.1 80 2>/dev/null || ! kill -0 $pid 2>/dev/null; do :; done"])
    if not may:
        for caps in made.config["process"]["capabilities"].values():
            caps.remove("CAP_NET_BIND_SERVICE")
    join(made, holder, "network", "net")
    done = pysc("run", "-b", made, pysc.id)
    assert (done.out, "Permission denied" in done.err) == (("served\n", False) if may else ("", True)), done


def test_the_hosts_own_namespaces_are_left_as_they_are(pysc: Pysc, bundle: Bundles) -> None:
    made = bundle(["true"])
    capabilities = {kind: ["CAP_NET_BIND_SERVICE"] for kind in ("bounding", "permitted", "effective")}
    made.config["process"]["capabilities"] = capabilities
    made.config["linux"]["namespaces"] = [each for each in made.config["linux"]["namespaces"] if each["type"] != "network"]
    made.config["linux"]["namespaces"].append({"type": "network", "path": "/proc/self/ns/net"})
    made.write()
    argv = ["unshare", "--net", "sh", "-c", '"$@" && cat /proc/sys/net/ipv4/ip_unprivileged_port_start', "sh"]
    done = subprocess.run([*argv, *pysc.argv("run", "-b", made, pysc.id)], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "1024\n", done


@pytest.mark.parametrize("field", ["hostname", "domainname"])
def test_the_hosts_names_are_not_changed(pysc: Pysc, bundle: Bundles, field: str) -> None:
    made = bundle(["true"])
    made.config.pop("hostname", None)
    made.config[field] = os.uname().nodename
    next(each for each in made.config["linux"]["namespaces"] if each["type"] == "uts")["path"] = "/proc/self/ns/uts"
    made.write()
    done = pysc("run", "-b", made, pysc.id)
    assert done.code == 1
    assert f"{field}: needs a namespace" in done.err
