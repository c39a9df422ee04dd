"""containerd and Docker with `pysc-trusted` as their runtime: what runc does for them, of which the sandbox allows a part only."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pexpect
import pytest
from containers import requires
from engines import DOCKER_PROGRAMS, IMAGE, Containerd, Docker, pysc_binary, remove_cgroups, settle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    requires("busybox", *DOCKER_PROGRAMS),
]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, busybox_rootfs: Path) -> Iterator[Containerd]:
    remove = remove_cgroups(("default", "docker"))
    containerd = Containerd(tmp_path_factory.mktemp("c"), busybox_rootfs)
    containerd.runtime = pysc_binary("pysc-trusted")
    yield containerd
    containerd.stop()
    remove()


@pytest.fixture(scope="module")
def dockerd(daemon: Containerd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    options = ("--iptables=false", "--ip6tables=false", "--bridge=none", "--ip-forward=false", "--ip-masq=false")
    docker = Docker(daemon, tmp_path_factory.mktemp("d"), *options)
    docker.runtime = "pysc-trusted"
    yield docker
    docker.stop()


@pytest.fixture
def containerd(daemon: Containerd) -> Iterator[Containerd]:
    yield daemon
    for id in daemon.ctr("task", "ls", "-q").out.split():
        daemon.ctr("task", "delete", "--force", id)
    for id in daemon.ctr("containers", "ls", "-q").out.split():
        daemon.ctr("containers", "rm", id)
    settle()


@pytest.fixture
def docker(dockerd: Docker) -> Iterator[Docker]:
    yield dockerd
    dockerd.clear()


def test_ctr_run(containerd: Containerd, name: str) -> None:
    script = "grep Seccomp: /proc/self/status; cat /proc/self/uid_map; echo to stderr >&2; exit 7"
    done = containerd.ctr("run", "--rm", IMAGE, name, "sh", "-c", script)
    assert (done.out.split(), done.code) == (["Seccomp:", "0", "0", "0", "4294967295"], 7), done
    assert "to stderr" in done.err


def test_ctr_task_from_start_to_delete(containerd: Containerd, name: str) -> None:
    containerd.ctr("run", "--detach", IMAGE, name, "sleep", "1000", check=True)
    done = containerd.ctr("task", "exec", "--exec-id", "e", name, "sh", "-c", "ps; exit 3")
    assert (done.code, "sleep 1000" in done.out) == (3, True), done
    assert len(containerd.ctr("task", "ps", name, check=True).out.splitlines()) == 2
    containerd.ctr("task", "pause", name, check=True)
    assert "PAUSED" in containerd.ctr("task", "ls", check=True).out
    containerd.ctr("task", "resume", name, check=True)
    assert "memory.usage_in_bytes" in containerd.ctr("task", "metrics", name, check=True).out
    containerd.ctr("task", "kill", "--signal", "SIGKILL", name, check=True)
    containerd.ctr("task", "delete", "--force", name)


def test_ctr_terminal(containerd: Containerd, name: str) -> None:
    words = containerd.argv("run", "--rm", "--tty", IMAGE, name, "sh", "-c", "tty; stat -c %t:%T /dev/console")
    child = pexpect.spawn(words[0], words[1:], encoding="utf-8", timeout=60, dimensions=(33, 77))
    child.expect(pexpect.EOF)
    child.close()
    assert (child.before or "").split() == ["/dev/pts/0", "88:0"], child.before
    assert child.exitstatus == 0


def test_ctr_privileged_and_hosts_namespaces(containerd: Containerd, name: str) -> None:
    done = containerd.ctr("run", "--rm", "--net-host", IMAGE, name, "readlink", "/proc/self/ns/net")
    assert done.out.strip() == containerd_net(containerd), done


def containerd_net(containerd: Containerd) -> str:
    return os.readlink(f"/proc/{containerd.daemon.pid}/ns/net")


def test_docker_run(docker: Docker) -> None:
    script = "grep Seccomp_filters /proc/self/status; cat /proc/1/uid_map; hostname; mkdir /x; exit 5"
    done = docker("run", "--rm", "--network", "none", "--hostname", "box", "busybox", "sh", "-c", script)
    assert (done.out.split(), done.code) == (["Seccomp_filters:", "1", "0", "0", "4294967295", "box"], 5), done


def test_docker_life(docker: Docker, name: str) -> None:
    limits = ("--memory", "64m", "--pids-limit", "50", "--cpus", "0.5")
    docker("run", "--detach", "--network", "none", "--name", name, *limits, "busybox", "sleep", "1000", check=True)
    assert docker("exec", "--user", "5:6", name, "id", "-u", check=True).out == "5\n"
    assert "sleep 1000" in docker("top", name, check=True).out
    docker("pause", name, check=True)
    docker("unpause", name, check=True)
    docker("update", "--memory", "32m", "--memory-swap", "64m", name, check=True)
    assert json.loads(docker("stats", "--no-stream", "--format", "{{json .}}", name, check=True).out)["PIDs"] == "1"
    docker("restart", "--time", "0", name, check=True)
    docker("kill", name, check=True)
    assert json.loads(docker("inspect", name, check=True).out)[0]["State"]["ExitCode"] == 137


def test_docker_pid_host_and_volumes(docker: Docker, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here\n")
    options = ("--rm", "--network", "none", "--pid", "host", "--volume", f"{tmp_path}:/data:ro", "--tmpfs", "/t", "--read-only")
    script = "readlink /proc/self/ns/pid; cat /data/file; touch /t/a /a /data/b"
    done = docker("run", *options, "busybox", "sh", "-c", script)
    assert done.out == f"{os.readlink('/proc/self/ns/pid')}\nhere\n", done
    assert done.err.count("Read-only file system") == 2


def test_docker_has_what_a_sandbox_has_not(docker: Docker) -> None:
    """A mount, a device of its own and a raw socket, with the capabilities for them."""
    script = "mount -t tmpfs none /var && ls -l /dev/fuse | cut -c1 && ping -c1 -w1 127.0.0.1 | grep -c round-trip"
    options = ("--rm", "--network", "none", "--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined", "--device", "/dev/fuse")
    done = docker("run", *options, "busybox", "sh", "-c", script)
    assert done.out == "c\n1\n", done
