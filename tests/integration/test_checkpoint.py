"""checkpoint and restore: refused in words, and the container goes on."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from containers import Bundles, Pysc, requires

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    requires("busybox"),
]


def test_the_container_goes_on(pysc: Pysc, bundle: Bundles, tmp_path: Path) -> None:
    argv = pysc.argv("run", "-d", "-b", bundle(["sleep", "1000"]), pysc.id)
    subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True, timeout=60)
    # podman's and containerd's calls
    for more in ([], ["--leave-running", "--tcp-established", "--ext-unix-sk", "--file-locks", "--empty-ns", "network", "--status-fd", "3"]):
        done = pysc("checkpoint", "--image-path", tmp_path / "dump", "--work-path", tmp_path, *more, pysc.id)
        assert (done.code, "checkpoint is not supported on platform notify: CRIU cannot dump" in done.err) == (1, True), done
    assert not (tmp_path / "dump").exists()
    assert json.loads(pysc("state", pysc.id, check=True).out)["status"] == "running"
    pysc("delete", "--force", pysc.id, check=True)


def test_of_a_trusted_container_it_says_what_is_missing(pysc: Pysc, bundle: Bundles) -> None:
    argv = pysc.argv("--platform", "namespace", "run", "-d", "-b", bundle(["sleep", "1000"]), pysc.id)
    subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True, timeout=60)
    done = pysc("checkpoint", pysc.id)
    assert (done.code, "on platform namespace: pysc does not drive CRIU" in done.err) == (1, True), done
    pysc("delete", "--force", pysc.id, check=True)


def test_of_what_does_not_run(pysc: Pysc) -> None:
    assert "container does not exist" in pysc("checkpoint", pysc.id).err


def test_nothing_is_restored(pysc: Pysc, bundle: Bundles, tmp_path: Path) -> None:
    made = bundle(["true"])
    done = pysc("restore", "--image-path", tmp_path, "--detach", "--pid-file", tmp_path / "pid", "--bundle", made, pysc.id)
    assert (done.code, "restore is not supported" in done.err) == (1, True), done
    assert pysc.containers() == []
    assert not (tmp_path / "pid").exists()
    assert "--image-path" in pysc("checkpoint", "--help").out  # which podman asks for
