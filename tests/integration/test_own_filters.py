"""The sentry's and the gofer's own seccomp filters, on the real processes: they are there, and leave room for all that is mediated."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sentry.syscalls.numbers import NUMBERS
from sentry.syscalls.table import PROFILES, ROWS, Mediated, leaves

if TYPE_CHECKING:
    from containers import Bundles, Pysc

pytestmark = pytest.mark.integration

GUEST = Path(__file__).with_name("mediated_calls.py")


def status(task: Path) -> dict[str, str]:
    return dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines() if ":\t" in line)


@pytest.mark.parametrize("directfs", ["true", "false"])
@pytest.mark.parametrize("debug", [False, True])
def test_all_are_confined_before_the_workload_runs(pysc: Pysc, bundle: Bundles, debug: bool, directfs: str) -> None:
    words = ["--debug", "create"] if debug else ["create"]
    argv = pysc.argv(f"--directfs={directfs}", *words, "-b", bundle(["sleep", "1000"]), pysc.id)
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(argv, check=True, timeout=60, **quiet)  # type: ignore[call-overload] # the container has our stdio
    state = json.loads((pysc.root / pysc.id / "state.json").read_text())
    assert Path(f"/proc/{state['init'][0]}/comm").read_text() == "pysc-init\n"
    threads = {"gofer": 1, "sentry": 2}  # the sentry's first listener; FUSE
    if directfs == "false":
        threads["files"] = 2
    for who, least in threads.items():
        tasks = [status(task) for task in Path(f"/proc/{state[who][0]}/task").iterdir()]
        assert len(tasks) >= least
        for task in tasks:
            assert (task["Seccomp"], task["Seccomp_filters"], task["NoNewPrivs"]) == ("2", "1", "1")
        assert len({task["CapPrm"] for task in tasks}) == 1, "a thread that was there before capabilities were dropped"
    pysc("delete", "--force", pysc.id, check=True)


@pytest.mark.parametrize("directfs", ["true", "false"])
@pytest.mark.parametrize("profile", PROFILES)
def test_every_mediated_call_goes_through(pysc: Pysc, tmp_path: Path, profile: str, directfs: str) -> None:
    wanted = {row.name for row in ROWS for leaf in leaves(row.disposition(profile)) if isinstance(leaf, Mediated)}
    numbers = json.dumps({row.name: row.number for row in ROWS})
    words = ["--debug", f"--directfs={directfs}", "--profile", profile, "do", "--", "python3", "-B", "-c", GUEST.read_text(), numbers]
    done = pysc(*words, cwd=tmp_path, check=True)
    results = [line.split() for line in done.out.splitlines()]
    assert results[-1] == ["end"], done
    assert "is not one of its own" not in done.err
    counted = re.search(r"mediated \d+ system calls: ([^\n\"]*)", done.err)
    assert counted is not None, done
    mediated = {each.split()[0] for each in counted[1].split(", ")}
    assert wanted - mediated == set()
    assert NUMBERS.keys() >= mediated
    worked = {row[0] for row in results if len(row) == 2 and int(row[1]) >= 0}
    needs_more = {"ioctl", "mount", "umount2", "chroot", *(name for name in wanted if "xattr" in name)}  # privilege, Linux 6.6
    assert wanted - worked - needs_more == set()


MOUNTS = """
set -e
mkdir /tmp/m /tmp/n
mount -t tmpfs -o size=64k,mode=700,nosuid t /tmp/m
echo here > /tmp/m/f
mount --bind /tmp/m /tmp/n
mount -o remount,bind,ro /tmp/n
cat /tmp/n/f
touch /tmp/n/g || mount --make-private /tmp/n
mount --rbind /tmp/m /tmp/n
umount -l /tmp/n
umount /tmp/n
umount /tmp/m
umount /tmp/m || mount -t ext4 none /tmp/m || echo end
"""


def test_every_request_to_the_gofer_goes_through(pysc: Pysc, bundle: Bundles) -> None:
    made = bundle(["sh", "-c", MOUNTS], writable=True)
    for kind in ("bounding", "effective", "permitted"):
        made.config["process"]["capabilities"][kind].append("CAP_SYS_ADMIN")
    made.write()
    done = pysc("--debug", "run", "-b", made, pysc.id)
    assert (done.out, done.code) == ("here\nend\n", 0), done
    assert "is not one of its own" not in done.err


def test_exec_is_served_as_well(pysc: Pysc, bundle: Bundles) -> None:
    argv = pysc.argv("run", "--detach", "-b", bundle(["sleep", "1000"]), pysc.id)
    subprocess.run(argv, check=True, timeout=60, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(2):
        assert pysc("exec", pysc.id, "cat", "/proc/self/comm", check=True).out == "cat\n"
    pysc("delete", "--force", pysc.id, check=True)


WITHOUT_FUSE = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def mount(*args):
    if libc.mount(*args):
        raise OSError(ctypes.get_errno(), "mount")
assert libc.unshare(0x20000) == 0
mount(None, b"/", None, 0x44000, None)
mount(b"t", sys.argv[1].encode(), b"tmpfs", 0, None)
for name in os.listdir("/dev"):
    if name in ("null", "zero", "full", "random", "urandom", "tty"):
        open(f"{sys.argv[1]}/{name}", "w").close()
        mount(f"/dev/{name}".encode(), f"{sys.argv[1]}/{name}".encode(), None, 0x1000, None)
mount(sys.argv[1].encode(), b"/dev", None, 0x2000, None)
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_snapshots_where_the_host_has_no_fuse(pysc: Pysc, bundle: Bundles, tmp_path: Path) -> None:
    made = bundle(["sh", "-c", "grep -c MemTotal /proc/meminfo; cat /proc/sys/kernel/ostype"])
    (tmp_path / "dev").mkdir()
    argv = ["--debug", "run", "-b", made, pysc.id]
    command = [sys.executable, "-c", WITHOUT_FUSE, tmp_path / "dev", *pysc.argv(*argv)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)
    assert (done.stdout, done.returncode) == ("1\nLinux\n", 0), done.stderr
    assert "no /dev/fuse" in done.stderr


INTRUDED = """
import os, sys
from _socket import socket
from gofer import server
from runsc_cli.main import main
from sentry.syscalls import registry, sys_misc
if sys.argv[1] == "sentry":
    registry.handlers["sysinfo"] = lambda task: socket(2, 1).fileno()
else:
    server._request = lambda message, fds: os.open("/", os.O_PATH)
sys.exit(main(sys.argv[2:]))
"""
"""The command, with a sentry or gofer that somebody has made do something else: both are forked from it."""


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize(("who", "trigger", "refused"), [("sentry", "free", 41), ("gofer", "mount -t tmpfs t /tmp", 257)])
def test_one_call_of_another_kind_ends_the_container(
    pysc: Pysc, bundle: Bundles, who: str, trigger: str, refused: int, debug: bool
) -> None:
    made = bundle(["sh", "-c", f"{trigger}; while :; do sleep 1; done"], writable=True)
    for kind in ("bounding", "effective", "permitted"):
        made.config["process"]["capabilities"][kind].append("CAP_SYS_ADMIN")
    made.write()
    words = pysc.argv(*(["--debug"] if debug else []), "run", "-b", made, pysc.id)
    command = [sys.executable, "-P", "-c", INTRUDED, who, *words[words.index("runsc_cli.main") + 1 :]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 128 + 9, done
    assert (f"{who}: system call {refused}(" in done.stderr) == debug
