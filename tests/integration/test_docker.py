"""Docker with pysc as a runtime: `docker run --runtime pysc` and all that is done to a container afterwards."""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import TYPE_CHECKING

import pexpect
import pytest
from containers import requires
from engines import DOCKER_PROGRAMS, Containerd, Docker
from profiles import check_program

from runsc_cli.oci.model import Seccomp

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    requires("busybox", *DOCKER_PROGRAMS),
]

SERVE = ("sh", "-c", "while :; do echo served | nc -l -p 80; done")


# ---- run ----


def test_it_is_a_sandbox_with_dockers_profile_on_top(docker: Docker) -> None:
    done = docker.run("sh", "-c", "grep Seccomp_filters /proc/self/status; cat /proc/1/uid_map; mount -t tmpfs none /mnt; cat /etc/hosts")
    assert "Seccomp_filters:\t2" in done.out, done
    assert re.search(r"^\s+0\s+[1-9]\d+\s+65536$", done.out, re.MULTILINE)
    assert "permission denied" in done.err.lower() or "not permitted" in done.err.lower()
    assert "127.0.0.1\tlocalhost" in done.out


def test_dockers_own_profile_decides_as_it_is_written(docker: Docker, name: str, dockers_containerd: Containerd) -> None:
    """The default profile of this Docker, from the config that it has given us, at all its boundaries."""
    docker.start(name, "sleep", "1000")
    config = bundle(dockers_containerd, docker, name)
    profile = Seccomp.of(config["linux"]["seccomp"])
    assert len(profile.syscalls) > 5
    assert check_program(profile) > 4000


def bundle(dockers_containerd: Containerd, docker: Docker, name: str) -> dict[str, dict[str, object]]:
    """config.json as Docker wrote it."""
    id = docker("inspect", "--format", "{{.Id}}", name, check=True).out.strip()
    path = f"{dockers_containerd.directory}/state/io.containerd.runtime.v2.task/moby/{id}/config.json"
    found = json.loads(subprocess.run(dockers_containerd.inside("cat", path), capture_output=True, check=True).stdout)
    assert isinstance(found, dict)
    return found


def test_a_shell_at_a_terminal_with_interrupts(docker: Docker) -> None:
    argv = docker.argv("run", "--rm", "-it", "--network", "none", "busybox", "sh")
    child = pexpect.spawn(argv[0], argv[1:], timeout=60)
    child.expect("# ")
    child.sendline("echo $((6 * 7))")
    child.expect("42")
    child.expect("# ")
    child.sendline("sh -c 'echo run''ning; exec sleep 1000'")
    child.expect("running")
    child.sendintr()
    child.expect("# ")
    child.sendline("echo code $?")
    child.expect("code 130")
    child.sendline("exit 3")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 3


@pytest.mark.parametrize(
    ("options", "script", "out"),
    [
        (("--read-only", "--tmpfs", "/run:size=1m,mode=700"), "touch /run/x && stat -c %a /run", "700"),
        (("--user", "1000:7"), "id -u; id -g; touch /root/x 2>/dev/null || echo cannot", "1000\n7\ncannot"),
        (("--user", "nobody"), "id -un", "nobody"),
        (("--user", "1000", "--group-add", "9"), "id -G", "0 9"),
        (("--hostname", "box", "--domainname", "dom"), "hostname; cat /proc/sys/kernel/domainname", "box\ndom"),
        (("--workdir", "/new/directory"), "pwd", "/new/directory"),
        ((), "echo $HOME", "/root"),
        (("--cap-drop", "ALL", "--cap-add", "CHOWN"), "grep CapEff /proc/self/status; chown 1 /root", "CapEff:\t0000000000000001"),
        (("--ulimit", "nofile=100:200"), "ulimit -n; ulimit -Hn", "100\n200"),
        (("--device", "/dev/fuse:/dev/o:r"), "exec 3</dev/o && echo read; (exec 3<>/dev/o) 2>/dev/null || echo no", "read\nno"),
        (("--init",), "cat /proc/1/comm", "docker-init"),
        (("--ipc", "host"), "echo shared", "shared"),
        (("--privileged",), "grep Seccomp_filters /proc/self/status; echo here", "Seccomp_filters:\t1\nhere"),
    ],
)
def test_options(docker: Docker, options: tuple[str, ...], script: str, out: str) -> None:
    done = docker.run("sh", "-c", script, options=options)
    assert done.out == f"{out}\n", done


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--pid", "host"), 'linux.namespaces: has none of type "pid": the sandbox needs one'),
        (("--kernel-memory", "50m"), "linux.resources.memory.kernel: Linux 5.16 and later have no limit on kernel memory alone"),
    ],
)
def test_what_is_refused_and_why(docker: Docker, options: tuple[str, ...], why: str) -> None:
    done = docker.run("true", options=options)
    assert done.code == 125
    assert f"pysc create failed: {why}" in done.err, done


# ---- what is done to it afterwards ----


def test_exec_has_the_profile_and_privileges_of_the_container(docker: Docker, name: str) -> None:
    docker.start(name, "sleep", "1000")
    show = ("sh", "-c", "grep -E '^(Seccomp_filters|CapEff)' /proc/self/status")
    plain = docker("exec", name, *show).out
    assert "Seccomp_filters:\t2" in plain
    assert "CapEff:\t00000000a80425fb" in plain
    privileged = docker("exec", "--privileged", name, *show).out
    assert "CapEff:\t0000003fffffffff" in privileged
    assert "Seccomp_filters:\t2" in privileged


def test_logs(docker: Docker, name: str) -> None:
    docker.start(name, "sh", "-c", "echo one; echo two >&2")
    docker("wait", name, check=True)
    done = docker("logs", name)
    assert (done.out, done.err) == ("one\n", "two\n"), done


def test_top_and_stats(docker: Docker, name: str) -> None:
    docker.start(name, "sh", "-c", "sleep 1000 & sleep 1000", options=("--memory", "64m", "--pids-limit", 50))
    lines = docker("top", name, check=True).out.splitlines()
    assert len([line for line in lines if "sleep 1000" in line]) >= 2, lines
    row = json.loads(docker("stats", "--no-stream", "--format", "{{json .}}", name, check=True).out)
    assert row["Name"] == name
    assert "/ 64MiB" in row["MemUsage"]
    assert int(row["PIDs"]) == 2


def test_exec_into_a_paused_one_says_so(docker: Docker, name: str) -> None:
    docker.start(name, "sleep", "1000")
    docker("pause", name, check=True)
    assert "is paused" in docker("exec", name, "true").err
    docker("unpause", name, check=True)
    assert docker.state(name)["Status"] == "running"


def test_update(docker: Docker, name: str) -> None:
    docker.start(name, "sleep", "1000", options=("--memory", "64m"))
    docker("update", "--memory", "128m", "--memory-swap", "256m", "--cpus", "0.5", "--pids-limit", "33", name, check=True)
    assert docker("exec", name, "grep", "MemTotal", "/proc/meminfo").out.split()[1] == str(128 << 10)
    row = json.loads(docker("stats", "--no-stream", "--format", "{{json .}}", name, check=True).out)
    assert "/ 128MiB" in row["MemUsage"]
    refused = docker("update", "--memory", "6m", "--memory-swap", "3m", name)
    assert refused.code == 1


def test_signals(docker: Docker, name: str) -> None:
    docker.start(name, "sh", "-c", "trap 'echo usr1' USR1; trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done")
    following = subprocess.Popen(docker.argv("logs", "--follow", name), stdout=subprocess.PIPE, text=True)
    assert following.stdout is not None
    assert following.stdout.readline() == "ready\n"
    docker("kill", "--signal", "USR1", name, check=True)
    assert following.stdout.readline() == "usr1\n"
    docker("stop", name, check=True)
    following.communicate(timeout=60)
    assert docker.state(name)["ExitCode"] == 3


def test_kill_stop_start_restart(docker: Docker, name: str) -> None:
    docker.start(name, "sh", "-c", "trap '' TERM; date >> /started; sleep 1000")
    docker("kill", name, check=True)
    assert docker.state(name)["ExitCode"] == 137
    docker("start", name, check=True)
    docker("stop", "--time", "1", name, check=True)
    docker("start", name, check=True)
    docker("restart", "--time", "1", name, check=True)
    assert docker("exec", name, "grep", "-c", "", "/started").out == "4\n"
    docker("rm", "--force", name, check=True)


def test_a_health_check(docker: Docker, name: str) -> None:
    options = ("--health-cmd", "test -e /healthy", "--health-interval", "100ms", "--health-retries", "1")
    docker.start(name, "sh", "-c", "touch /healthy; sleep 1000", options=options)
    while docker.state(name)["Health"]["Status"] != "healthy":  # type: ignore[index]
        pass
    docker("exec", name, "rm", "/healthy", check=True)
    while docker.state(name)["Health"]["Status"] != "unhealthy":  # type: ignore[index]
        pass


def test_out_of_memory(docker: Docker, name: str) -> None:
    docker.start(name, "tail", "/dev/zero", options=("--memory", "24m", "--memory-swap", "24m"))
    assert docker("wait", name).out == "137\n"
    assert docker.state(name)["OOMKilled"] is True


# ---- files ----


def test_a_volume_starts_with_what_the_image_has(docker: Docker, name: str) -> None:
    assert "root:x:0:0" in docker.run("cat", "/etc/passwd", options=("-v", f"{name}:/etc")).out
    docker("volume", "rm", name, check=True)


def test_copy_in(docker: Docker, name: str, tmp_path: Path) -> None:
    docker.start(name, "sleep", "1000")
    (tmp_path / "in").write_text("from outside")
    docker("cp", tmp_path / "in", f"{name}:/tmp/in", check=True)
    assert docker("exec", name, "cat", "/tmp/in").out == "from outside"


def test_build(docker: Docker, name: str, tmp_path: Path) -> None:
    """Its steps have the daemon's default runtime, which is ours, and so has what runs of its result."""
    steps = "RUN grep Seccomp_filters /proc/self/status > /made; cat /proc/1/uid_map >> /made"
    (tmp_path / "Dockerfile").write_text(f"FROM busybox:latest\nCOPY file /file\nENV A=b\n{steps}\nCMD cat /file /made; echo $A\n")
    (tmp_path / "file").write_text("copied\n")
    docker("build", "--network", "none", "--tag", f"{name}:latest", tmp_path, check=True)
    shown = docker("run", "--rm", "--network", "none", f"{name}:latest").out
    assert re.fullmatch(r"copied\nSeccomp_filters:\t2\n +0 +[1-9]\d+ +65536\nb\n", shown), shown
    docker("rmi", f"{name}:latest", check=True)


# ---- networks ----


def test_network_none_has_loopback_alone(docker: Docker) -> None:
    done = docker.run("sh", "-c", "ip -o link | wc -l; ip addr show lo | grep -c 127.0.0.1")
    assert done.out == "1\n1\n", done


def test_network_host(docker: Docker, dockers_containerd: Containerd) -> None:
    done = docker("run", "--rm", "--network", "host", "busybox", "readlink", "/proc/self/ns/net")
    its = subprocess.run(dockers_containerd.inside("readlink", "/proc/self/ns/net"), capture_output=True, text=True, check=True)
    assert done.out == its.stdout


def test_the_network_of_another_container(docker: Docker, name: str) -> None:
    docker.start(name, "sh", "-c", "nc -l -p 4000 -e cat")
    script = "until echo word | nc 127.0.0.1 4000; do :; done"
    assert docker("run", "--rm", "--network", f"container:{name}", "busybox", "sh", "-c", script).out == "word\n"


@pytest.fixture(scope="module")
def networked(dockers_containerd: Containerd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    """A daemon with a bridge and a packet filter, in a network namespace of its own. It needs iptables, veth and bridges."""
    for needed in ("iptables -t nat -L", "ip link add probe0 type veth", "ip link add probe1 type bridge"):
        tried = subprocess.run(["unshare", "--net", *needed.split()], capture_output=True, text=True, check=False)
        if tried.returncode:
            pytest.skip(f"{needed}: {tried.stderr.strip()}")
    dockerd = Docker(dockers_containerd, tmp_path_factory.mktemp("n"), "--bip", "172.31.255.1/24")
    yield dockerd
    dockerd.stop()


@pytest.fixture
def bridged(networked: Docker) -> Iterator[Docker]:
    yield networked
    networked.clear()
    networked("network", "prune", "--force")


def test_network_bridge(bridged: Docker, name: str, dockers_containerd: Containerd) -> None:
    """libnetwork's prestart hook finds the network namespace by the state on its stdin, and puts an interface there."""
    bridged("run", "-d", "--name", name, "busybox", *SERVE, check=True)
    address = json.loads(bridged("inspect", name).out)[0]["NetworkSettings"]["IPAddress"]
    assert address.startswith("172.31.255.")
    assert f"inet {address}/24" in bridged("exec", name, "ip", "addr", "show", "eth0").out
    fetch = f"until nc {address} 80; do :; done"
    assert bridged("run", "--rm", "busybox", "sh", "-c", fetch).out == "served\n"


def test_a_network_of_the_users_with_names(bridged: Docker, name: str) -> None:
    bridged("network", "create", name, check=True)
    bridged("run", "-d", "--network", name, "--name", f"{name}-server", "busybox", *SERVE, check=True)
    fetch = f"until nc {name}-server 80; do :; done; nslookup {name}-server | grep -c 127.0.0.11"
    done = bridged("run", "--rm", "--network", name, "busybox", "sh", "-c", fetch)
    assert done.out.splitlines()[0] == "served", done


def test_a_published_port(bridged: Docker, name: str, dockers_containerd: Containerd) -> None:
    bridged("run", "-d", "--publish", "8080:80", "--name", name, "busybox", *SERVE, check=True)
    script = "until nc 172.31.255.1 8080; do :; done"
    assert bridged("run", "--rm", "busybox", "sh", "-c", script).out == "served\n"
