"""Mounts of the host that are shared, as systemd has all of them: what a container mounts stays in it."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from containers import Bundles, Pysc, both_platforms, requires, sandboxed

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.integration,
    both_platforms,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    requires("busybox", "unshare"),
]


@sandboxed
@requires("mount")
@pytest.mark.parametrize("option", ["", "rprivate", "rslave", "rshared"])
def test_what_is_mounted_in_the_container_does_not_appear_on_the_host(pysc: Pysc, bundle: Bundles, tmp_path: Path, option: str) -> None:
    volume = tmp_path / "volume"
    (volume / "config").mkdir(parents=True)
    (volume / "workload").mkdir()
    made = bundle(["sh", "-c", "mount -t tmpfs none /tmp/workload; grep -c /tmp/ /proc/self/mounts"])
    made.config["process"]["capabilities"] = {kind: ["CAP_SYS_ADMIN"] for kind in ("bounding", "permitted", "effective")}
    options = ["rbind", *filter(None, [option])]
    made.config["mounts"] += [
        {"destination": "/tmp", "type": "bind", "source": str(volume), "options": options},
        {"destination": "/tmp/config", "type": "tmpfs", "source": "tmpfs"},
    ]
    made.write()
    script = 'mount --bind "$0" "$0" && mount --make-shared "$0" && "$@"; grep -c "$0/" /proc/self/mountinfo'
    argv = ["unshare", "-m", "sh", "-c", script, str(volume), *pysc.argv("run", "-b", made, pysc.id)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "2\n0\n", done
    assert ("what the container mounts below '/tmp' stays in it all the same" in done.stderr) is (option == "rshared")


@requires("mount", "nsenter")
def test_what_is_mounted_on_the_host_appears_in_a_slave(pysc: Pysc, bundle: Bundles, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    (volume / "later").mkdir(parents=True)
    made = bundle(["sh", "-c", "echo ready; read line; ls /tmp/later"])
    made.config["mounts"].append({"destination": "/tmp", "type": "bind", "source": str(volume), "options": ["rbind", "rslave"]})
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
