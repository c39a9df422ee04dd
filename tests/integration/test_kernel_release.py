"""--kernel-release: uname(2) and /proc agree on a release that is not the host's, for all processes of a sandbox."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from containers import trusted

if TYPE_CHECKING:
    from containers import Bundles, Pysc

pytestmark = pytest.mark.integration

RELEASE = "5.15.0-of-nobody"
ASK = "uname -r; cat /proc/sys/kernel/osrelease; cut -d' ' -f3 /proc/version"


@pytest.mark.parametrize("profile", ["standard", "strict"])
def test_all_agree(pysc: Pysc, bundle: Bundles, profile: str) -> None:
    done = pysc("--profile", profile, "--kernel-release", RELEASE, "run", "-b", bundle(["sh", "-c", ASK]), pysc.id)
    assert (done.code, done.out.split(), done.err) == (0, [RELEASE] * 3, "")


def test_without_it_the_release_is_the_hosts(pysc: Pysc, bundle: Bundles) -> None:
    assert pysc("run", "-b", bundle(["sh", "-c", ASK]), pysc.id).out.split() == [os.uname().release] * 3


def test_the_rest_is_the_containers(pysc: Pysc, bundle: Bundles) -> None:
    """Host and domain name of its UTS namespace, the machine that its personality says."""
    box = bundle(["uname", "-snvm"], hostname="box", linux={"personality": {"domain": "LINUX32"}})
    host = os.uname()
    assert pysc("--kernel-release", RELEASE, "run", "-b", box, pysc.id).out == f"Linux box {host.version} i686\n"


def test_a_process_that_comes_later(pysc: Pysc, bundle: Bundles) -> None:
    """exec makes a filter of its own, without being told the option again."""
    box = bundle(["sh", "-c", "sleep 1000"])
    command = pysc.argv("--kernel-release", RELEASE, "run", "--detach", "-b", box, pysc.id)
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60, check=True)
    assert pysc("exec", pysc.id, "sh", "-c", ASK).out.split() == [RELEASE] * 3
    pysc("delete", "--force", pysc.id, check=True)


def test_a_command(pysc: Pysc) -> None:
    assert pysc("--kernel-release", RELEASE, "do", "--", "uname", "-r").out == f"{RELEASE}\n"


@pytest.mark.parametrize("release", ["6.1\n", "6 1", "6.1é", "6" * 65])
def test_what_is_no_release(pysc: Pysc, bundle: Bundles, release: str) -> None:
    done = pysc("--kernel-release", release, "run", "-b", bundle(["true"]), pysc.id)
    assert done.code == 1
    assert "at most 64 printable characters" in done.err


@trusted
def test_without_a_sandbox_the_kernel_answers(pysc: Pysc, bundle: Bundles) -> None:
    done = pysc("--kernel-release", RELEASE, "run", "-b", bundle(["true"]), pysc.id)
    assert done.code == 1
    assert "on the platform namespace the kernel itself answers uname(2)" in done.err
