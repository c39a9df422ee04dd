"""doctor: what it says of this host, and of one that lacks something."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runsc_cli import requirements
from runsc_cli.verbs.features import features

if TYPE_CHECKING:
    from containers import Pysc

pytestmark = [pytest.mark.integration, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

WITHOUT = Path(__file__).with_name("without.py")
EINVAL, ENOSYS, EPERM = 22, 38, 1


def findings(value: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in value["findings"]}


def test_the_table_and_json_say_the_same(pysc: Pysc) -> None:
    table = pysc("doctor", check=True).out
    value = json.loads(pysc("doctor", "--format", "json", check=True).out)
    rows = [line.split(None, 1) for line in table.splitlines() if line.startswith("  ")]
    platforms = [[("yes" if facts["works"] else "no"), name] for name, facts in value["platforms"].items()]
    expected = [["yes" if each["ok"] else "NO" if each["required"] else "no", each["name"]] for each in value["findings"]] + platforms
    assert [[state, rest[: len(name)]] for (state, rest), (_, name) in zip(rows, expected, strict=True)] == expected
    assert value["features"] == features()


def test_what_a_start_needs_is_what_is_looked_at(pysc: Pysc) -> None:
    found = findings(json.loads(pysc("doctor", "-f", "json", check=True).out))
    for name, _, why in requirements.looked_at():
        assert found[name]["required"] is True
        assert found[name]["ok"] is (why == "")


def test_it_leaves_nothing_and_says_what_is_true(pysc: Pysc) -> None:
    before = Path("/proc/self/mountinfo").read_text()
    found = findings(json.loads(pysc("doctor", "-f", "json", check=True).out))
    assert Path("/proc/self/mountinfo").read_text() == before
    assert found["memory"]["ok"] is (os.path.exists("/sys/fs/cgroup/memory/tasks") or "memory" in _controllers())
    assert found["FUSE in a user namespace"]["ok"] is os.path.exists("/dev/fuse")
    assert found["/"]["detail"].split()[1:] == ["on", "/"]
    assert found["systemd"]["ok"] is os.path.isdir("/run/systemd/system")


def _controllers() -> str:
    path = Path("/sys/fs/cgroup/cgroup.controllers")
    return path.read_text() if path.exists() else ""


@pytest.mark.parametrize(
    ("call", "error", "name", "required", "working"),
    [
        ("openat2", ENOSYS, "openat2(2)", True, set()),
        ("seccomp+32", EINVAL, "seccomp's SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", True, {"ptrace"}),
        ("unshare", EPERM, "user namespaces", True, set()),
        ("mount_setattr", ENOSYS, "mount_setattr(2)", True, set()),
        ("ioctl", ENOSYS, "SECCOMP_IOCTL_NOTIF_ADDFD", True, {"ptrace"}),
        ("ioctl", ENOSYS, "SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP", False, {"ptrace"}),
        ("pidfd_open+128", EINVAL, "PIDFD_THREAD", False, {"notify", "ptrace"}),
        ("ptrace", EPERM, "ptrace(2) of filtered calls", False, {"notify"}),
    ],
)
def test_a_host_that_lacks_something(pysc: Pysc, call: str, error: int, name: str, required: bool, working: set[str]) -> None:
    argv = [sys.executable, str(WITHOUT), f"{call}={error}", *pysc.argv("doctor", "-f", "json")]
    ran = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == (0 if working else 1), ran.stderr
    value = json.loads(ran.stdout)
    found = findings(value)[name]
    assert (found["ok"], found["required"]) == (False, required)
    assert os.strerror(error).lower() in found["detail"]
    platforms = value["platforms"]
    assert {each for each in ("notify", "ptrace") if platforms[each]["works"]} == working
    assert (name in platforms["notify"].get("missing", [])) is required
    assert (name in platforms["ptrace"].get("missing", [])) is ("ptrace" not in working)
