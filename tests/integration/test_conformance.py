"""What runtime.md and config.md say a runtime MUST do, where no other test shows it: docs/conformance.md links them all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from containers import Bundle, Bundles, Done, Pysc, requires

from runsc_cli.version import SPEC_VERSION

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    requires("busybox"),
]


def call(pysc: Pysc, *words: object, out: Path | None = None) -> Done:
    """A command whose container has /dev/null, or `out`, as its output and not our pipes."""
    errors = pysc.root.parent / "errors"
    with errors.open("w") as err, (out or Path("/dev/null")).open("a") as stdout:
        ran = subprocess.run(pysc.argv(*words), stdin=subprocess.DEVNULL, stdout=stdout, stderr=err, check=False, timeout=60)
    return Done([], ran.returncode, "", errors.read_text())


def state(pysc: Pysc) -> Any:
    return json.loads(pysc("state", pysc.id, check=True).out)


# ---- runtime.md: state, lifecycle, operations ----


def test_the_state(pysc: Pysc, bundle: Bundles) -> None:
    made = bundle(["sleep", "1000"], annotations={"org.example": "value"})
    done = call(pysc, "create", "-b", os.path.relpath(made.path), pysc.id)
    assert done.code == 0, done
    seen = state(pysc)
    pid = seen["pid"]
    assert seen["ociVersion"] == SPEC_VERSION
    assert (seen["id"], seen["status"], seen["bundle"]) == (pysc.id, "created", str(made.path))
    assert seen["annotations"] == {"org.example": "value"}
    assert Path(f"/proc/{pid}/comm").read_text() == "pysc-init\n"
    pysc("start", pysc.id, check=True)
    assert (state(pysc)["status"], state(pysc)["pid"]) == ("running", pid)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert state(pysc)["status"] == "stopped"
    pysc("delete", pysc.id, check=True)


def test_create_does_all_but_run_the_program(pysc: Pysc, bundle: Bundles, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.touch()
    made = bundle(["sh", "-c", "echo ran; hostname"], hostname="before")
    assert call(pysc, "create", "-b", made, pysc.id, out=out).code == 0
    pid = state(pysc)["pid"]
    assert os.readlink(f"/proc/{pid}/ns/mnt") != os.readlink("/proc/self/ns/mnt")
    assert out.read_text() == ""
    made.config["process"]["args"] = ["echo", "changed"]
    made.config["hostname"] = "after"
    made.write()
    pysc("start", pysc.id, check=True)
    os.waitpid(pid, 0)
    assert out.read_text() == "ran\nbefore\n"
    pysc("delete", pysc.id, check=True)


@pytest.mark.parametrize("word", ["TERM", "SIGTERM", "15", "term"])
def test_kill_takes_names_and_numbers(pysc: Pysc, bundle: Bundles, tmp_path: Path, word: str) -> None:
    out = tmp_path / "out"
    out.touch()
    made = bundle(["sh", "-c", "trap 'echo got; exit 3' TERM; echo ready; while :; do sleep 0.05; done"])
    assert call(pysc, "run", "-d", "-b", made, pysc.id, out=out).code == 0
    pid = state(pysc)["pid"]
    while out.read_text() != "ready\n":
        pass
    pysc("kill", pysc.id, word, check=True)
    _, status = os.waitpid(pid, 0)
    assert (out.read_text(), os.waitstatus_to_exitcode(status)) == ("ready\ngot\n", 3)
    pysc("delete", pysc.id, check=True)


@pytest.mark.parametrize("verb", [["state"], ["start"], ["kill"], ["delete"], ["pause"], ["resume"], ["ps"], ["events"], ["update"]])
def test_an_operation_without_its_container(pysc: Pysc, verb: list[str]) -> None:
    done = pysc(*verb, pysc.id)
    assert (done.code, "container does not exist" in done.err) == (1, True), done
    done = pysc(*verb)
    assert done.code == 1
    assert "requires " in done.err


def test_an_error_leaves_the_environment_as_it_was(pysc: Pysc, bundle: Bundles) -> None:
    """Every later step of create fails once: nothing is there afterwards, and the id can be used."""
    for broken in (
        {"root": {"path": "/nonexistent"}},
        {"process": {"args": ["/nonexistent"]}},
        {"process": {"rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1 << 40, "soft": 1}]}},
        {"hooks": {"createRuntime": [{"path": "/bin/false"}]}},
        {"linux": {"sysctl": {"net.luck": "1"}}},
    ):
        done = pysc("create", "-b", bundle(["true"], **broken), pysc.id)
        assert done.code == 1, broken
        assert pysc.containers() == []
        assert list(pysc.cgroups()) == []
    assert pysc("run", "-b", bundle(["echo", "x"]), pysc.id).out == "x\n"


def test_delete_removes_what_create_made_and_nothing_else(pysc: Pysc, bundle: Bundles) -> None:
    made = bundle(["true"], writable=True)
    before = sorted(os.listdir(made.rootfs))
    assert call(pysc, "create", "-b", made, pysc.id).code == 0
    assert list(pysc.cgroups()) != []
    pysc("delete", pysc.id, check=True)
    assert pysc.containers() == []
    assert list(pysc.cgroups()) == []
    assert sorted(os.listdir(made.rootfs)) == before
    assert (made.path / "config.json").exists()


# ---- config.md ----


def test_what_is_not_known_is_ignored(pysc: Pysc, bundle: Bundles) -> None:
    made = bundle(["echo", "x"], invented={"a": 1}, annotations={"org.example.unknown": "?"})
    made.config["process"]["invented"] = [1]
    made.config["linux"]["invented"] = True
    made.write()
    assert pysc("run", "-b", made, pysc.id).out == "x\n"


@pytest.mark.parametrize("absolute", [True, False])
def test_the_root_and_whether_it_can_be_written(pysc: Pysc, bundle: Bundles, absolute: bool) -> None:
    made = bundle(["sh", "-c", "echo x >/file"], writable=True)
    made.config["root"] = {"path": str(made.rootfs) if absolute else "rootfs", "readonly": True}
    made.write()
    assert "Read-only file system" in pysc("run", "-b", made, pysc.id).err
    made.config["root"]["readonly"] = False
    made.write()
    assert pysc("run", "-b", made, pysc.id).code == 0
    assert (made.rootfs / "file").read_text() == "x\n"


def test_mounts_are_made_in_their_order(pysc: Pysc, bundle: Bundles, tmp_path: Path) -> None:
    (tmp_path / "volume").mkdir()
    (tmp_path / "volume" / "file").touch()
    made = bundle(["sh", "-c", "ls /a/b; ls /c; cd /; ls rel"], writable=True)
    volume = {"type": "bind", "source": str(tmp_path / "volume"), "options": ["bind"]}
    made.config["mounts"] += [
        {"destination": "/a", "type": "tmpfs", "source": "a"},
        {"destination": "/a/b", **volume},
        {"destination": "/c", **volume},
        {"destination": "/c", "type": "tmpfs", "source": "over"},
        {"destination": "rel", **volume},
    ]
    made.write()
    done = pysc("run", "-b", made, pysc.id)
    assert done.out == "file\nfile\n"
    assert "'rel' is not absolute and is taken from /" in done.err


DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}


def test_default_devices_and_links(pysc: Pysc, bundle: Bundles) -> None:
    script = """cd /dev
        for d in null zero full random urandom tty; do stat -c '%n %F %t %T' $d; done
        for l in fd stdin stdout stderr ptmx; do readlink $l; done"""
    lines = pysc("run", "-b", bundle(["sh", "-c", script]), pysc.id).out.splitlines()
    assert lines[:6] == [f"{name} character special file {major:x} {minor:x}" for name, (major, minor) in DEVICES.items()]
    assert lines[6:] == ["/proc/self/fd", "/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2", "pts/ptmx"]


@pytest.mark.parametrize(
    ("name", "value", "file"),
    [
        ("net.core.somaxconn", "257", "/proc/sys/net/core/somaxconn"),
        ("kernel.shmmax", "65536", "/proc/sys/kernel/shmmax"),
        ("fs.mqueue.msg_max", "17", "/proc/sys/fs/mqueue/msg_max"),
    ],
)
def test_kernel_parameters(pysc: Pysc, bundle: Bundles, name: str, value: str, file: str) -> None:
    assert pysc("run", "-b", bundle(["cat", file], linux={"sysctl": {name: value}}), pysc.id).out == f"{value}\n"


def limit(version_1: str) -> Callable[[str], str]:
    controller = version_1.partition(".")[0]

    def read(cgroup: str) -> str:
        return Path(f"/sys/fs/cgroup/{controller}{cgroup}/{version_1}").read_text().strip()

    return read


@pytest.mark.skipif(not os.path.exists("/sys/fs/cgroup/memory/tasks"), reason="needs cgroup version 1")
def test_limits_are_those_of_the_containers_cgroup(pysc: Pysc, bundle: Bundles) -> None:
    """cgroupsPath: below the mount point, and the same value is the same place. Its cgroup is found there, with every limit."""
    resources = {
        "memory": {"limit": 64 << 20, "reservation": 32 << 20, "swappiness": 7},
        "cpu": {"shares": 512, "quota": 50_000, "period": 100_000, "burst": 10_000, "cpus": "0", "mems": "0"},
        "pids": {"limit": 50},
        "blockIO": {"throttleReadBpsDevice": _disk(rate=1 << 20)},
    }
    path = f"/pysc-conformance/{pysc.id}"
    made = bundle(["sleep", "1000"], linux={"cgroupsPath": path, "resources": resources})
    assert call(pysc, "run", "-d", "-b", made, pysc.id).code == 0
    expected = {
        "memory.limit_in_bytes": str(64 << 20), "memory.soft_limit_in_bytes": str(32 << 20), "memory.swappiness": "7",
        "cpu.shares": "512", "cpu.cfs_quota_us": "50000", "cpu.cfs_period_us": "100000", "cpu.cfs_burst_us": "10000",
        "cpuset.cpus": "0", "cpuset.mems": "0", "pids.max": "50",
    }  # fmt: skip
    assert {file: limit(file)(path) for file in expected} == expected
    if resources["blockIO"]["throttleReadBpsDevice"]:
        assert limit("blkio.throttle.read_bps_device")(path).endswith(f" {1 << 20}")
    pysc("delete", "--force", pysc.id, check=True)
    for directory, _, _ in os.walk("/sys/fs/cgroup"):
        if directory.endswith("/pysc-conformance"):
            os.rmdir(directory)


def _disk(rate: int) -> list[dict[str, int]]:
    disks = [name for name in os.listdir("/sys/block") if not name.startswith(("loop", "ram", "zram"))] if os.path.isdir("/sys/block") else []
    numbers = [Path(f"/sys/block/{name}/dev").read_text().strip().split(":") for name in disks[:1]]
    return [{"major": int(major), "minor": int(minor), "rate": rate} for major, minor in numbers]


@pytest.mark.parametrize("kind", ["cgroup", "cgroup2"])
def test_a_cgroup_mount_is_read_only(pysc: Pysc, bundle: Bundles, kind: str) -> None:
    """Nothing can be made there, with a cgroup or without (then it is empty). What is there: test_limits_shown.py."""
    made = bundle(["sh", "-c", "mkdir /sys/fs/cgroup/x; for each in /sys/fs/cgroup/*/; do [ ! -d $each ] || mkdir $each/x; done; echo end"])
    made.config["mounts"].append({"destination": "/sys/fs/cgroup", "type": kind, "source": "cgroup", "options": ["nosuid", "ro"]})
    made.write()
    for options in ((), ("--ignore-cgroups",)):
        done = pysc(*options, "run", "-b", made, pysc.id)
        assert done.out == "end\n", done
        assert {line.rpartition(": ")[2] for line in done.err.splitlines()} <= {"Read-only file system", "No space left on device"}, done
    assert len(done.err.splitlines()) == 1, done


LISTEN = """
import os, sys
os.dup2(os.open(sys.argv[1], os.O_RDONLY), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_sockets_that_were_opened_for_it(pysc: Pysc, bundle: Bundles, tmp_path: Path) -> None:
    """Only what LISTEN_FDS and --preserve-fds say goes along; the workload is told that it is its own: sd_listen_fds(3)."""
    (tmp_path / "socket").write_text("given\n")
    script = "cat <&3; echo $LISTEN_FDS $LISTEN_PID $$; ls /proc/self/fd | wc -l"
    argv = pysc.argv("run", "-b", bundle(["sh", "-c", script]), pysc.id)
    command = [sys.executable, "-c", LISTEN, str(tmp_path / "socket"), *argv]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "given\n1 1 1\n5\n", done
    # of another process's it hears nothing
    environ = {**os.environ, "LISTEN_FDS": "1", "LISTEN_PID": "1"}
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False, env=environ)
    assert done.stdout.splitlines()[-2:] == ["1", "4"], done


def test_a_bundle_is_what_the_current_directory_is(pysc: Pysc, bundle: Bundles) -> None:
    made: Bundle = bundle(["echo", "x"])
    assert pysc("run", pysc.id, cwd=made.path).out == "x\n"
