"""podman with pysc as its runtime, through conmon: containers, pods, and what is done to them."""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest
from containers import requires
from engines import CNI, PODMAN_PROGRAMS, Podman

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    requires("busybox", "cc", *PODMAN_PROGRAMS),
]

SERVE = ("sh", "-c", "while :; do echo served | nc -l -p 80; done")


# ---- run ----


def test_it_is_a_sandbox_with_podmans_profile_on_top(podman: Podman) -> None:
    done = podman.run("sh", "-c", "grep Seccomp_filters /proc/self/status; cat /proc/1/uid_map; unshare -n true")
    assert "Seccomp_filters:\t2" in done.out, done
    assert re.search(r"^\s+0\s+[1-9]\d+\s+65536$", done.out, re.MULTILINE)
    assert "unshare" in done.err


@pytest.mark.parametrize(
    ("options", "script", "out"),
    [
        (("--tmpfs", "/t:size=1m,mode=700"), "stat -c %a /t; df -k /t | tail -1 | awk '{print $2}'", "700\n1024"),
        (("--user", "1000:7", "--group-add", "9"), "id -u; id -G", "1000\n7 9"),
        (("--hostname", "box"), "hostname", "box"),
        (("--umask", "0027"), "umask", "0027"),
        (("--ulimit", "nofile=100:200", "--ulimit", "nproc=50:60"), "ulimit -n; ulimit -Hn", "100\n200"),
        (("--uidmap", "0:300000:65536"), "cat /proc/self/uid_map; echo x > /new && stat -c %u /new", "         0     300000      65536\n0"),
        (("--privileged",), "grep Seccomp_filters /proc/self/status", "Seccomp_filters:\t1"),
    ],
)
def test_options(podman: Podman, options: tuple[str, ...], script: str, out: str) -> None:
    done = podman.run("sh", "-c", script, options=options)
    assert done.out == f"{out}\n", done


def test_the_hosts_pid_namespace_is_refused(podman: Podman) -> None:
    done = podman("run", "--rm", "--network", "none", "--pid", "host", "busybox", "true")
    assert done.code == 126
    assert "the sandbox needs one, add it" in done.err, done


def test_preserved_descriptors(podman: Podman, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("of the caller\n")
    argv = podman.argv("run", "--rm", "--network", "none", "--preserve-fds", 1, "busybox", "cat", "/proc/self/fd/3")
    with open(tmp_path / "file") as file:
        script = 'exec "$@" 3<&0 0</dev/null'
        ran = subprocess.run(["sh", "-c", script, "sh", *argv], stdin=file, capture_output=True, text=True, timeout=60, check=False)
    assert ran.stdout == "of the caller\n", ran


# ---- what is done to it afterwards ----


def test_logs_and_attach(podman: Podman, name: str) -> None:
    podman.start(name, "sh", "-c", "echo one; echo two >&2; while read line; do echo got $line; done", options=("-i",))
    done = podman("attach", name, input="word\n")
    assert done.out.strip() == "got word", done
    podman("wait", name, check=True)
    done = podman("logs", name)
    assert (done.out, done.err) == ("one\ngot word\n", "two\n"), done


def test_top_and_stats(podman: Podman, name: str) -> None:
    podman.start(name, "sh", "-c", "sleep 1000 & sleep 1000", options=("--memory", "64m"))
    lines = podman("top", name, check=True).out.splitlines()
    assert len([line for line in lines if "sleep 1000" in line]) >= 2, lines
    row = json.loads(podman("stats", "--no-stream", "--format", "json", name, check=True).out)[0]
    assert (row["name"], row["pids"]) == (name, "2")
    assert "67.11MB" in row["mem_usage"]


def test_update(podman: Podman, name: str) -> None:
    podman.start(name, "sleep", "1000", options=("--memory", "64m"))
    podman("update", "--memory", "128m", "--cpus", "0.5", name, check=True)
    assert podman("exec", name, "grep", "MemTotal", "/proc/meminfo").out.split()[1] == str(128 << 10)


def test_kill_stop_start_restart(podman: Podman, name: str) -> None:
    podman.start(name, "sh", "-c", "trap 'exit 3' TERM; date >> /started; echo ready; while :; do sleep 0.05; done")
    podman("kill", name, check=True)
    podman("wait", name, check=True)
    assert podman.state(name)["ExitCode"] == 137
    podman("start", name, check=True)
    while podman("exec", name, "grep", "-c", "", "/started").out != "2\n":
        pass
    podman("stop", name, check=True)
    assert podman.state(name)["ExitCode"] == 3
    podman("start", name, check=True)
    while podman("exec", name, "grep", "-c", "", "/started").out != "3\n":
        pass
    podman("restart", name, check=True)
    while podman("exec", name, "grep", "-c", "", "/started").out != "4\n":
        pass
    podman("rm", "--force", name, check=True)
    assert podman("ps", "--all", "--quiet").out == ""


def test_a_health_check(podman: Podman, name: str) -> None:
    """podman wants systemd to repeat it; by hand it is run as it is."""
    podman.start(name, "sh", "-c", "touch /healthy; sleep 1000", options=("--health-cmd", "test -e /healthy", "--health-interval", "disable"))
    while podman("healthcheck", "run", name).code:
        pass
    podman("exec", name, "rm", "/healthy", check=True)
    assert podman("healthcheck", "run", name).code == 1


def test_out_of_memory(podman: Podman, name: str) -> None:
    podman.start(name, "tail", "/dev/zero", options=("--memory", "24m", "--memory-swap", "24m"))
    assert podman("wait", name).out == "137\n"  # whether OOMKilled is told is conmon's affair, which misses quick ones of runc's as well


# ---- files ----


def test_copy_in(podman: Podman, name: str, tmp_path: Path) -> None:
    """While it does not run: into a running one podman writes from inside of its mounts, in which the host's root has no id."""
    podman("create", "--name", name, "--network", "none", "busybox", "cat", "/in", check=True)
    (tmp_path / "in").write_text("from outside")
    podman("cp", tmp_path / "in", f"{name}:/in", check=True)
    assert podman("start", "--attach", name).out == "from outside"
    podman.start(f"{name}-runs", "sleep", "1000")
    assert "value too large" in podman("cp", tmp_path / "in", f"{name}-runs:/in").err


# ---- pods and networks ----


def test_a_pod(podman: Podman, name: str) -> None:
    """Network, IPC and host name are those of its first container."""
    podman("pod", "create", "--name", name, "--network", "none", check=True)
    podman("run", "-d", "--pod", name, "--name", f"{name}-server", "busybox", *SERVE, check=True)
    script = "until nc 127.0.0.1 80 2>/dev/null; do :; done; hostname; for s in net ipc uts pid; do readlink /proc/self/ns/$s; done"
    shown = podman("run", "--rm", "--pod", name, "busybox", "sh", "-c", script).out.split()
    assert shown[:2] == ["served", name]
    other = podman("exec", f"{name}-server", "sh", "-c", "for s in net ipc uts pid; do readlink /proc/self/ns/$s; done").out.split()
    assert shown[2:5] == other[:3]
    assert shown[5] != other[3]
    podman("pod", "pause", name, check=True)
    podman("pod", "unpause", name, check=True)
    podman("pod", "stop", "--time", 0, name, check=True)
    podman("pod", "start", name, check=True)
    assert podman("exec", f"{name}-server", "echo", "again").out == "again\n"


def test_a_pod_with_one_pid_namespace_is_refused(podman: Podman, name: str) -> None:
    podman("pod", "create", "--name", name, "--network", "none", "--share", "pid,ipc", check=True)
    done = podman("run", "--rm", "--pod", name, "busybox", "true")
    assert done.code == 126
    assert "the sandbox needs a pid namespace of its own, it cannot join one" in done.err, done


def test_network_none_and_host(podman: Podman) -> None:
    assert podman.run("sh", "-c", "ip -o link | wc -l").out == "1\n"
    assert podman("run", "--rm", "--network", "host", "busybox", "readlink", "/proc/self/ns/net").out.startswith("net:[")


def test_network_bridge(podman: Podman, name: str) -> None:
    if not os.path.exists(f"{CNI}/bridge"):
        pytest.skip("not installed: containernetworking-plugins")
    for needed in ("iptables -t nat -L", "ip link add probe0 type veth", "ip link add probe1 type bridge"):
        tried = subprocess.run(["unshare", "--net", *needed.split()], capture_output=True, text=True, check=False)
        if tried.returncode:
            pytest.skip(f"{needed}: {tried.stderr.strip()}")
    podman("run", "-d", "--publish", "8080:80", "--name", name, "busybox", *SERVE, check=True)
    address = json.loads(podman("inspect", name).out)[0]["NetworkSettings"]["IPAddress"]
    gateway = json.loads(podman("inspect", name).out)[0]["NetworkSettings"]["Gateway"]
    fetch = f"until nc {address} 80; do :; done; until nc {gateway} 8080; do :; done"
    assert podman("run", "--rm", "busybox", "sh", "-c", fetch).out == "served\nserved\n"


def test_build(podman: Podman, name: str, tmp_path: Path) -> None:
    """Its steps run with pysc as well."""
    steps = "RUN grep Seccomp_filters /proc/self/status > /filters; cat /proc/1/uid_map >> /filters"
    (tmp_path / "Containerfile").write_text(f"FROM busybox:latest\nCOPY file /file\n{steps}\nCMD cat /file /filters\n")
    (tmp_path / "file").write_text("copied\n")
    podman("build", "--isolation", "oci", "--network", "none", "--tag", name, tmp_path, check=True)
    shown = podman("run", "--rm", "--network", "none", name).out
    assert re.fullmatch(r"copied\nSeccomp_filters:\t[12]\n +0 +[1-9]\d+ +65536\n", shown), shown
    podman("rmi", name, check=True)
