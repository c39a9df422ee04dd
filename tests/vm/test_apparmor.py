"""process.apparmorProfile on a host that has AppArmor: applied, and refused where the profile is not loaded."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from containers import Bundles, Pysc, both_platforms

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180), both_platforms]

PROFILE = """
profile pysc-test flags=(attach_disconnected,mediate_deleted) {
  file, capability, signal, network, mount, umount, ptrace, unix,
  deny /**/busybox-no x,
  deny /busybox-no x,
  deny /bin/busybox-no x,
}
"""


@pytest.fixture
def profile(tmp_path: Path) -> Iterator[str]:
    file = tmp_path / "profile"
    file.write_text(PROFILE)
    subprocess.run(["apparmor_parser", "--replace", "--skip-cache", file], check=True)
    yield "pysc-test"
    subprocess.run(["apparmor_parser", "--remove", file], check=True)


def test_the_host_has_it() -> None:
    assert Path("/sys/module/apparmor/parameters/enabled").read_text() == "Y\n"


def test_a_profile_is_applied(pysc: Pysc, bundle: Bundles, profile: str) -> None:
    made = bundle(["sleep", "1000"], process={"apparmorProfile": profile})
    argv = pysc.argv("run", "-d", "-b", made, pysc.id)
    subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True, timeout=120)
    pid = json.loads(pysc("state", pysc.id, check=True).out)["pid"]
    assert Path(f"/proc/{pid}/attr/apparmor/current").read_text() == f"{profile} (enforce)\n"
    assert pysc("exec", pysc.id, "cat", "/etc/passwd", check=True).out.startswith("root:")
    file = made.path / "pid"
    subprocess.run(pysc.argv("exec", "-d", "--pid-file", file, pysc.id, "sleep", "999"), stdin=subprocess.DEVNULL, check=True, timeout=60)
    assert Path(f"/proc/{file.read_text()}/attr/apparmor/current").read_text() == f"{profile} (enforce)\n"
    os.kill(int(file.read_text()), 9)
    os.waitpid(int(file.read_text()), 0)  # a pid namespace ends when nobody outside has a child in it to wait for
    pysc("delete", "--force", pysc.id, check=True)


def test_what_the_profile_denies(pysc: Pysc, bundle: Bundles, profile: str) -> None:
    """A native call of the workload's; what is opened for it is the sandbox's matter, and not the profile's."""
    made = bundle(["sh", "-c", "ls -l /proc/self/exe && exec /bin/busybox-no true"], writable=True)
    shutil.copy(made.rootfs / "bin/busybox", made.rootfs / "bin/busybox-no")
    assert pysc("run", "-b", made, pysc.id).code == 0
    made.config["process"]["apparmorProfile"] = profile
    made.write()
    done = pysc("run", "-b", made, pysc.id)
    assert (done.code, "ermission denied" in done.err) == (126, True), done


@pytest.mark.parametrize("verb", ["run", "exec"])
def test_a_profile_that_is_not_loaded(pysc: Pysc, bundle: Bundles, verb: str) -> None:
    made = bundle(["sleep", "1000"], process={"apparmorProfile": "not-there"} if verb == "run" else {})
    argv = pysc.argv("run", "-d", "-b", made, pysc.id)
    file = made.path / "says"
    with file.open("w") as err:  # a pipe would have an end only with the container
        ran = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err, check=False, timeout=120)
    says = file.read_text()
    if verb == "exec":
        assert ran.returncode == 0, says
        done = pysc("exec", "--apparmor", "not-there", pysc.id, "true")
        assert done.code == 255, done
        says = done.err
        pysc("delete", "--force", pysc.id, check=True)
    assert "process.apparmorProfile: put the process under 'not-there': no such file or directory" in says
    assert pysc.containers() == []
