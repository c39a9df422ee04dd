"""What docker and podman do alike with pysc as their runtime: `run`, and what is done to a container afterwards."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pexpect
import pytest
from containers import requires
from engines import DOCKER_PROGRAMS, PODMAN_PROGRAMS, SYSTEMD, Engine

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.integration, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("dockerd", marks=requires("busybox", *DOCKER_PROGRAMS)),
        pytest.param("podmans_directory", marks=requires("busybox", "cc", *PODMAN_PROGRAMS)),
    ],
    ids=["docker", "podman"],
)
def installed(request: pytest.FixtureRequest) -> Engine:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Engine)
    return found


@pytest.fixture
def engine(installed: Engine) -> Iterator[Engine]:
    """It has no containers before and after a test."""
    yield installed
    installed.clear()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("true",), 0, ""),
        (("sh", "-c", "exit 7"), 7, ""),
        (("sh", "-c", "sh -c 'kill -KILL $$'; exit $?"), 137, ""),
        (("/nonexistent",), 127, "stat /nonexistent: no such file or directory"),
        (("nonexistent",), 127, "executable file not found in $PATH"),
        (("/etc/passwd",), 126, "permission denied"),
    ],
)
def test_exit_codes(engine: Engine, words: tuple[str, ...], code: int, said: str) -> None:
    done = engine.run(*words)
    assert (done.code, said in done.err) == (code, True), done


def test_output_and_input(engine: Engine) -> None:
    done = engine("run", "--rm", "-i", "--network", "none", "busybox", "sh", "-c", "cat; echo err >&2", input="of stdin\n")
    assert (done.out, done.err) == ("of stdin\n", "err\n"), done


def test_a_terminal(engine: Engine) -> None:
    argv = engine.argv("run", "--rm", "-it", "--network", "none", "busybox", "sh", "-c", "tty; stty size; read line; echo got $line; exit 5")
    child = pexpect.spawn(argv[0], argv[1:], timeout=60, dimensions=(33, 77))
    child.expect("/dev/pts/0")
    child.sendline("word")
    child.expect("got word")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 5


@pytest.mark.parametrize(
    ("options", "script", "out"),
    [
        (("--read-only",), "touch /x 2>/dev/null || echo cannot", "cannot"),
        (("--workdir", "/tmp", "--env", "A=b"), "pwd; echo $A", "/tmp\nb"),
        (("--cap-drop", "ALL"), "grep CapEff /proc/self/status", "CapEff:\t0000000000000000"),
        (("--cap-add", "SYS_ADMIN"), "mount -t tmpfs none /tmp && grep -c ' /tmp ' /proc/mounts", "1"),
        (("--security-opt", "seccomp=unconfined"), "grep Seccomp_filters /proc/self/status", "Seccomp_filters:\t1"),
        (("--security-opt", "no-new-privileges"), "grep NoNewPrivs /proc/self/status", "NoNewPrivs:\t1"),
        (("--memory", "50m"), "grep MemTotal /proc/meminfo", f"MemTotal:          {50 << 10} kB"),
        (("--cpus", "0.5"), "grep -c processor /proc/cpuinfo", "1"),
        (("--sysctl", "net.ipv4.ip_forward=1"), "cat /proc/sys/net/ipv4/ip_forward", "1"),
        (("--shm-size", "1m"), "df -k /dev/shm | tail -1 | awk '{print $2}'", "1024"),
        (("--device", "/dev/fuse"), "exec 3<>/dev/fuse && echo opened", "opened"),
        (("--oom-score-adj", "500"), "cat /proc/self/oom_score_adj", "500"),
        (("--uts", "host"), "hostname", os.uname().nodename),
    ],
)
def test_options(engine: Engine, options: tuple[str, ...], script: str, out: str) -> None:
    done = engine.run("sh", "-c", script, options=options)
    assert done.out == f"{out}\n", done


def test_pids_limit(engine: Engine) -> None:
    done = engine.run("sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do sleep 0.1 & done; wait; echo end", options=("--pids-limit", 5))
    assert "can't fork" in done.err, done


def test_exec(engine: Engine, name: str) -> None:
    engine.start(name, "sleep", "1000")
    done = engine("exec", "-u", "1000:7", "-w", "/tmp", "-e", "A=b", name, "sh", "-c", "pwd; id -u; id -g; echo $A; exit 4")
    assert (done.out, done.code) == ("/tmp\n1000\n7\nb\n", 4), done
    assert engine("exec", "-i", name, "cat", input="of stdin").out == "of stdin"
    for word, text in (("/nonexistent", "no such file or directory"), ("nonexistent", "executable file not found")):
        done = engine("exec", name, word)
        assert (done.code, text in done.out + done.err) == (126 if done.code == 126 else 127, True), done
    engine("exec", "-d", name, "touch", "/tmp/made", check=True)
    while engine("exec", name, "test", "-e", "/tmp/made").code:
        pass
    argv = engine.argv("exec", "-it", name, "sh", "-c", "tty; read line; echo got $line; exit 6")
    child = pexpect.spawn(argv[0], argv[1:], timeout=60)
    child.expect("/dev/pts/0")
    child.sendline("word")
    child.expect("got word")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 6


def test_pause_and_unpause(engine: Engine, name: str) -> None:
    engine.start(name, "sleep", "1000")
    engine("pause", name, check=True)
    assert engine.state(name)["Status"] == "paused"
    engine("unpause", name, check=True)
    assert engine("exec", name, "echo", "alive").out == "alive\n"
    engine("pause", name, check=True)
    engine("rm", "--force", name, check=True)


@pytest.mark.skipif(not SYSTEMD, reason="systemd and cgroup version 2 alone: make test-vm")
def test_systemd_makes_the_cgroup(engine: Engine, name: str) -> None:
    engine.start(name, "sleep", "1000", options=("--memory", "64m", "--cpus", "0.5", "--pids-limit", "50"))
    id = json.loads(engine("inspect", name, check=True).out)[0]["Id"]
    leaf = Path("/sys/fs/cgroup" + Path(f"/proc/{engine.state(name)['Pid']}/cgroup").read_text().strip().removeprefix("0::"))
    assert leaf.name.endswith(f"-{id}.scope"), leaf
    assert [(leaf / file).read_text() for file in ("memory.max", "cpu.max", "pids.max")] == [f"{64 << 20}\n", "50000 100000\n", "50\n"]
    engine("update", "--memory", "48m", "--memory-swap", "96m", name, check=True)
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    assert [(leaf / file).read_text() for file in ("memory.max", "memory.swap.max")] == [f"{48 << 20}\n"] * 2
    engine("pause", name, check=True)
    assert "frozen 1" in (leaf / "cgroup.events").read_text()
    engine("unpause", name, check=True)
    engine("rm", "--force", name, check=True)
    listed = subprocess.run(["systemctl", "list-units", "--plain", "--no-legend", f"*{id[:32]}*"], capture_output=True, text=True, check=True)
    assert (leaf.exists(), [line for line in listed.stdout.splitlines() if "pysc" in line or leaf.name in line]) == (False, [])


def test_a_restart_policy(engine: Engine, name: str) -> None:
    engine.start(name, "sh", "-c", "echo once >> /count; [ $(grep -c . /count) -ge 3 ] && exit 0; exit 1", options=("--restart", "on-failure:5"))
    assert engine("wait", name).out in ("0\n", "1\n")
    while engine.state(name)["Status"] != "exited":
        pass
    found = json.loads(engine("inspect", name).out)[0]
    assert (found["RestartCount"], found["State"]["ExitCode"]) == (2, 0)


def test_volumes(engine: Engine, name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("of the host")
    tmp_path.chmod(0o777)
    script = "cat /bind/file; echo new > /bind/new; touch /ro/x 2>/dev/null || echo read-only; echo kept > /named/file; touch /anonymous/x"
    options = ("-v", f"{tmp_path}:/bind", "-v", f"{tmp_path}:/ro:ro", "-v", f"{name}:/named", "-v", "/anonymous")
    done = engine.run("sh", "-c", script, options=options)
    assert done.out == "of the hostread-only\n", done
    facts = (tmp_path / "new").stat()
    assert (facts.st_uid, facts.st_gid) == (0, 0)  # root in the container is root on disk, as with runc
    assert engine.run("cat", "/named/file", options=("-v", f"{name}:/named")).out == "kept\n"
    engine("volume", "rm", name, check=True)


def test_changes_are_in_the_layer(engine: Engine, name: str) -> None:
    script = "echo text > /etc/new; rm /etc/group; chown 5:6 /etc/new"
    engine("run", "--network", "none", "--name", name, "busybox", "sh", "-c", script, check=True)
    assert set(engine("diff", name, check=True).out.splitlines()) >= {"A /etc/new", "D /etc/group"}
    engine("commit", name, f"{name}:latest", check=True)
    script = "cat /etc/new; stat -c %u:%g /etc/new; test -e /etc/group || echo gone"
    done = engine("run", "--rm", "--network", "none", f"{name}:latest", "sh", "-c", script)
    assert done.out == "text\n5:6\ngone\n", done
    engine("rmi", f"{name}:latest", check=True)


def test_copy_out(engine: Engine, name: str, tmp_path: Path) -> None:
    engine.start(name, "sh", "-c", "echo inside > /tmp/out; sleep 1000")
    while engine("exec", name, "test", "-s", "/tmp/out").code:
        pass
    engine("cp", f"{name}:/tmp/out", tmp_path / "out", check=True)
    assert (tmp_path / "out").read_text() == "inside\n"
