"""/sys/class/net has the interfaces of the container's network namespace."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from containers import requires

if TYPE_CHECKING:
    from collections.abc import Iterator

    from containers import Bundles, Pysc

pytestmark = [pytest.mark.integration, requires("ip", "unshare")]

SETUP = """ip link add eth0 address 02:5e:c2:00:00:07 mtu 1400 type veth peer name eth1 && ip link set eth1 up && ip link set eth0 up &&
echo ready; read _"""
ASK = "ls /sys/class/net; for name in address mtu operstate type flags; do cat /sys/class/net/eth0/$name; done"


@pytest.fixture
def network() -> Iterator[str]:
    """The path of a network namespace with interfaces, as an engine makes one."""
    with subprocess.Popen(["unshare", "--net", "sh", "-c", SETUP], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        said = holder.stdout.readline()
        if not said:
            pytest.skip("the kernel has no veth devices (CONFIG_VETH)")
        yield f"/proc/{holder.pid}/ns/net"
        holder.stdin.close()


def test_of_a_namespace_that_an_engine_has_made(pysc: Pysc, bundle: Bundles, network: str) -> None:
    box = bundle(["sh", "-c", ASK])
    for namespace in box.config["linux"]["namespaces"]:
        if namespace["type"] == "network":
            namespace["path"] = network
    box.write()
    done = pysc("--network", "host", "run", "-b", box, pysc.id)
    assert done.out.split() == ["eth0", "eth1", "lo", "02:5e:c2:00:00:07", "1400", "up", "1", "0x1003"], done


@pytest.mark.parametrize("mode", ["host", "none"])
def test_of_ones_own(pysc: Pysc, bundle: Bundles, mode: str) -> None:
    box = bundle(["sh", "-c", "ls /sys/class/net; cat /sys/class/net/lo/type"])
    assert pysc("--network", mode, "run", "-b", box, pysc.id).out.split() == ["lo", "772"]
