"""linux.netDevices: a device of the host's that moves into the container. Ours are made in a network namespace of the test's own."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from containers import Bundles, Done, Pysc, requires

if TYPE_CHECKING:
    from containers import Bundle

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    requires("busybox", "unshare", "ip"),
]

SETUP = """ip link add v0 type veth peer name v1 && ip addr add 10.9.0.1/24 dev v0 && ip addr add 10.9.1.1/32 scope link dev v0 &&
    ip addr add fd00:9::1/64 dev v0 && ip link set v1 up"""


def run(pysc: Pysc, made: Bundle, after: str = "true") -> Done:
    """With a pair of devices beside us, v0 and v1."""
    argv = ["unshare", "-n", "sh", "-c", f'{SETUP} && {{ "$@"; code=$?; {after}; exit $code; }}', "sh", *pysc.argv("run", "-b", made, pysc.id)]
    ran = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    if "Unknown device type" in ran.stderr:
        pytest.skip("the kernel has no veth devices (CONFIG_VETH)")
    return Done(argv, ran.returncode, ran.stdout, ran.stderr)



@pytest.mark.parametrize(("asked", "name"), [({}, "v0"), ({"name": "inside"}, "inside"), ({"name": "eth%d"}, "eth0")])
def test_a_device_moves_with_its_addresses(pysc: Pysc, bundle: Bundles, asked: dict[str, Any], name: str) -> None:
    made = bundle(["sh", "-c", "ifconfig"], linux={"netDevices": {"v0": asked}})
    done = run(pysc, made, "ip -o link | cut -d: -f2")
    assert done.code == 0, done
    shown = done.out.split("\n\n")
    device = next(text for text in shown if text.startswith(f"{name} "))
    assert "inet addr:10.9.0.1" in device
    assert "Mask:255.255.255.0" in device
    assert "fd00:9::1/64" in device
    assert "10.9.1.1" not in done.out  # not of global scope
    assert "UP BROADCAST RUNNING" in device
    assert "v0" not in done.out.splitlines()[-1]


@pytest.mark.parametrize(
    ("devices", "says"),
    [
        ({"v9": {}}, "linux.netDevices['v9']: move it into the container: no such device"),
        ({"v0": {"name": "lo"}}, "linux.netDevices['v0']: move it into the container: file exists"),
        ({"lo": {}}, "linux.netDevices['lo']: move it into the container: invalid argument"),
    ],
)
def test_what_cannot_be_moved(pysc: Pysc, bundle: Bundles, devices: dict[str, Any], says: str) -> None:
    done = run(pysc, bundle(["true"], linux={"netDevices": devices}))
    assert (done.code, says in done.err) == (1, True), done
    assert pysc.containers() == []
