"""Pods: containerd's CRI plugin with the runtime handler `pysc`, driven over gRPC as a kubelet does, in a network of CNI's plugins."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from containers import descendants, requires
from cri import CONTAINER, ERROR, EXITED, NODE, NOT_READY, READY, RESIZE, RUNNING, STDERR, STDIN, STDOUT, Stream
from cri import POD as SHARED
from engines import CNI, CTR_PROGRAMS, IMAGE, Cri, remove_cgroups, settle
from grpc_call import CallError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Condition = Callable[[dict[str, Any]], bool]

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    requires("busybox", "cc", *CTR_PROGRAMS),
    pytest.mark.skipif(not os.path.exists(f"{CNI}/ptp"), reason="not installed: containernetworking-plugins"),
]

SERVE = ("sh", "-c", "while :; do echo served | nc -l -p 80; done")
SPACES = ("net", "ipc", "uts", "pid", "mnt", "user")
_numbers = itertools.count()
_parent = f"/pysc-{os.getpid()}"


def network(directory: Path) -> dict[str, object]:
    """Point to point links with addresses from a file, and host ports where the kernel has a packet filter's nat table."""
    ipam = {"type": "host-local", "ranges": [[{"subnet": "10.88.0.0/24"}]], "dataDir": f"{directory}/ipam", "routes": [{"dst": "0.0.0.0/0"}]}
    plugins: list[dict[str, object]] = [{"type": "ptp", "ipam": ipam}]
    if has_nat():
        plugins.append({"type": "portmap", "capabilities": {"portMappings": True}})
    return {"cniVersion": "0.4.0", "name": "net", "plugins": plugins}


def has_nat() -> bool:
    return subprocess.run(["unshare", "--net", "iptables", "-t", "nat", "-L"], capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, busybox_rootfs: Path) -> Iterator[Cri]:
    yield from make_engine(tmp_path_factory.mktemp("k"), busybox_rootfs)


@pytest.fixture
def mortal(tmp_path: Path, busybox_rootfs: Path) -> Iterator[Cri]:
    """One for a test that kills it."""
    directory = tmp_path / "k"
    directory.mkdir()
    for engine in make_engine(directory, busybox_rootfs):
        yield engine
        end_pods(engine)


def make_engine(directory: Path, rootfs: Path) -> Iterator[Cri]:
    tried = subprocess.run(["unshare", "--net", "ip", "link", "add", "probe", "type", "veth"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"veth devices: {tried.stderr.strip()}")
    remove = remove_cgroups((_parent.strip("/"),))
    cri = Cri(directory, rootfs, network(directory))
    subprocess.run(cri.inside("sysctl", "-qw", "net.ipv4.ip_forward=1"), check=True)
    yield cri
    cri.stop()
    remove()


@pytest.fixture
def cri(engine: Cri) -> Iterator[Cri]:
    """It has no pods before and after a test."""
    yield engine
    end_pods(engine)


def end_pods(engine: Cri, *, patience: bool = True) -> None:
    """`patience`: until their shims have ended."""
    for pod in engine.service("ListPodSandbox")["items"]:
        engine.service("StopPodSandbox", pod_sandbox_id=pod["id"])
        engine.service("RemovePodSandbox", pod_sandbox_id=pod["id"])
    if patience:
        settle()


class Pod:
    """A pod as a kubelet makes one: each container has a pid namespace of its own unless the pod says otherwise."""

    def __init__(self, cri: Cri, logs: Path, *, namespaces: dict[str, int] | None = None, **config: Any) -> None:
        self._cri = cri
        self._logs = logs
        self._names: dict[str, str] = {}
        self._namespaces = namespaces or {"pid": CONTAINER}
        number = next(_numbers)
        self.config = {
            "metadata": {"name": f"pod{number}", "uid": f"uid{number}", "namespace": "default"},
            "hostname": f"pod{number}" if self._namespaces.get("network") != NODE else "",
            "log_directory": str(logs),
            "linux": {"cgroup_parent": _parent, "security_context": {"namespace_options": self._namespaces}, **config.pop("linux", {})},
            **config,
        }
        self.id = cri.service("RunPodSandbox", config=self.config, runtime_handler="pysc")["pod_sandbox_id"]

    @property
    def status(self) -> dict[str, Any]:
        status = self._cri.service("PodSandboxStatus", pod_sandbox_id=self.id)["status"]
        assert isinstance(status, dict)
        return status

    def create(self, *command: str, resources: dict[str, Any] | None = None, security: dict[str, Any] | None = None, **config: Any) -> str:
        name = f"c{next(_numbers)}"
        whole = {
            "metadata": {"name": name},
            "image": {"image": IMAGE},
            "command": list(command),
            "log_path": f"{name}.log",
            "linux": {"resources": resources or {}, "security_context": {"namespace_options": self._namespaces, **(security or {})}},
            **config,
        }
        made = self._cri.service("CreateContainer", pod_sandbox_id=self.id, config=whole, sandbox_config=self.config)
        id = made["container_id"]
        assert isinstance(id, str)
        self._names[id] = name
        return id

    def start(self, *command: str, **config: Any) -> str:
        id = self.create(*command, **config)
        self._cri.service("StartContainer", container_id=id)
        return id

    def file(self, id: str) -> Path:
        """A container's log."""
        return self._logs / f"{self._names[id]}.log"

    def log(self, id: str) -> list[tuple[str, str]]:
        """(stream, line) of a container's log: TIME STREAM TAG LINE."""
        rows = [line.split(" ", 3) for line in self.file(id).read_text().splitlines()]
        return [(row[1], row[3]) for row in rows]

    def sh(self, id: str, script: str) -> str:
        """What a script prints in a container."""
        done = self._cri.service("ExecSync", container_id=id, cmd=["sh", "-c", script], timeout=60)
        assert done["exit_code"] == 0, done
        out = done["stdout"]
        assert isinstance(out, bytes)
        return out.decode()

    def ended(self, id: str) -> dict[str, Any]:
        """Its status, once it has exited."""
        deadline = time.monotonic() + 60
        while (status := self._cri.service("ContainerStatus", container_id=id)["status"])["state"] != EXITED:
            assert time.monotonic() < deadline, status
        assert isinstance(status, dict)
        return status

    def output(self, *command: str, **config: Any) -> list[tuple[str, str]]:
        """The log of a container that runs to its end."""
        id = self.start(*command, **config)
        self.ended(id)
        return self.log(id)


@pytest.fixture
def pod(cri: Cri, tmp_path: Path) -> Pod:
    return Pod(cri, tmp_path)


def test_a_pod_has_an_address_and_is_ready(pod: Pod) -> None:
    status = pod.status
    assert (status["state"], status["runtime_handler"]) == (READY, "pysc")
    assert status["network"]["ip"].startswith("10.88.0.")


def test_containers_share_network_ipc_and_hostname(pod: Pod) -> None:
    server, client = pod.start(*SERVE), pod.start("sleep", "1000")
    assert pod.sh(client, "until nc 127.0.0.1 80; do :; done") == "served\n"
    show = f"hostname; for s in {' '.join(SPACES)}; do readlink /proc/self/ns/$s; done"
    one, other = pod.sh(server, show).split(), pod.sh(client, show).split()
    assert one[0] == pod.config["hostname"]
    assert one[:4] == other[:4]
    assert all(a != b for a, b in zip(one[4:], other[4:], strict=True)), (one, other)
    pod.sh(server, "echo word > /dev/shm/file; touch /dev/mqueue/queue")
    assert pod.sh(client, "cat /dev/shm/file; ls /dev/mqueue") == "word\nqueue\n"
    assert "sleep" not in pod.sh(server, "ps | grep -v ps")
    assert pod.status["network"]["ip"] in pod.sh(client, "ip addr show eth0")


def test_it_is_a_sandbox(pod: Pod) -> None:
    id = pod.start("sleep", "1000")
    shown = pod.sh(id, "grep Seccomp_filters /proc/1/status; cat /proc/1/uid_map; unshare -n true 2>&1 || true")
    assert re.match(r"Seccomp_filters:\t1\n +0 +[1-9]\d+ +65536\nunshare: ", shown), shown


def test_pods_reach_each_other(cri: Cri, pod: Pod, tmp_path: Path) -> None:
    pod.start(*SERVE)
    other = Pod(cri, tmp_path / "other")
    assert other.output("sh", "-c", f"until nc {pod.status['network']['ip']} 80; do :; done")[-1] == ("stdout", "served")


def test_a_port_of_the_host(cri: Cri, tmp_path: Path) -> None:
    if not has_nat():
        pytest.skip("the kernel has no nat table")
    pod = Pod(cri, tmp_path, port_mappings=[{"container_port": 80, "host_port": 8080}])
    pod.start(*SERVE)
    other = Pod(cri, tmp_path / "other")
    gateway = other.output("sh", "-c", "ip route | awk '/default/ {print $3}'")[0][1]
    assert other.output("sh", "-c", f"until nc {gateway} 8080; do :; done")[-1] == ("stdout", "served")


def test_the_network_of_the_node(cri: Cri, tmp_path: Path) -> None:
    pod = Pod(cri, tmp_path, namespaces={"network": NODE, "pid": CONTAINER})
    of_the_node = subprocess.run(cri.inside("readlink", "/proc/self/ns/net"), capture_output=True, text=True, check=True).stdout.strip()
    assert pod.output("readlink", "/proc/self/ns/net") == [("stdout", of_the_node)]


def test_kernel_parameters_of_a_pod(cri: Cri, tmp_path: Path) -> None:
    pod = Pod(cri, tmp_path, linux={"sysctls": {"net.core.somaxconn": "77", "kernel.shm_rmid_forced": "1"}})
    assert pod.output("cat", "/proc/sys/net/core/somaxconn") == [("stdout", "77")]


@pytest.mark.parametrize(("mode", "where"), [(SHARED, ".path: the sandbox needs a pid namespace"), (NODE, ': has none of type "pid"')])
def test_a_pid_namespace_that_is_shared_is_refused(cri: Cri, tmp_path: Path, mode: int, where: str) -> None:
    if mode == NODE:
        with pytest.raises(CallError, match=re.escape(where)):
            Pod(cri, tmp_path, namespaces={"pid": mode})
        return
    pod = Pod(cri, tmp_path, namespaces={"pid": mode})
    with pytest.raises(CallError, match=r"linux\.namespaces\[\d\]" + re.escape(where)):
        pod.start("true")


# ---- what is run in it ----


def test_exec_sync(cri: Cri, pod: Pod) -> None:
    id = pod.start("sleep", "1000")
    done = cri.service("ExecSync", container_id=id, cmd=["sh", "-c", "echo out; echo err >&2; exit 3"], timeout=60)
    assert done == {"stdout": b"out\n", "stderr": b"err\n", "exit_code": 3}
    with pytest.raises(CallError, match="timeout 1s exceeded"):
        cri.service("ExecSync", container_id=id, cmd=["sleep", "1000"], timeout=1)
    with pytest.raises(CallError, match="no such file or directory"):
        cri.service("ExecSync", container_id=id, cmd=["/nonexistent"], timeout=60)
    assert pod.sh(id, "pidof sleep") == "1\n"


def test_exec_with_streams(cri: Cri, pod: Pod) -> None:
    id = pod.start("sleep", "1000")
    script = "read line; echo got $line; echo err >&2; exit 4"
    url = cri.service("Exec", container_id=id, cmd=["sh", "-c", script], stdin=True, stdout=True, stderr=True)["url"]
    with Stream(url, cri.connect) as stream:
        stream.send(STDIN, b"word\n")
        seen = stream.rest()
    assert (seen[STDOUT], seen[STDERR]) == (b"got word\n", b"err\n")
    assert json.loads(seen[ERROR])["details"]["causes"] == [{"reason": "ExitCode", "message": "4"}]


def test_exec_with_a_terminal(cri: Cri, pod: Pod) -> None:
    id = pod.start("sleep", "1000")
    script = "trap 'stty size' WINCH; tty; while ! read line; do :; done; echo got $line"
    url = cri.service("Exec", container_id=id, cmd=["sh", "-c", script], tty=True, stdin=True, stdout=True)["url"]
    with Stream(url, cri.connect) as stream:
        stream.read_until(b"/dev/pts/0")
        stream.send(RESIZE, b'{"Width": 77, "Height": 33}')
        stream.read_until(b"33 77")
        stream.send(STDIN, b"word\n")
        stream.read_until(b"got word")
        assert json.loads(stream.rest()[ERROR])["status"] == "Success"


def test_attach(cri: Cri, pod: Pod) -> None:
    id = pod.start("sh", "-c", "while read line; do echo got $line; done; exit 6", stdin=True, stdin_once=True)
    url = cri.service("Attach", container_id=id, stdin=True, stdout=True, stderr=True)["url"]
    with Stream(url, cri.connect) as stream:
        stream.send(STDIN, b"word\n")
        stream.read_until(b"got word")
    assert pod.ended(id)["exit_code"] == 6  # its input ends with the only one who was attached
    assert pod.log(id) == [("stdout", "got word")]


def test_attach_to_a_terminal(cri: Cri, pod: Pod) -> None:
    id = pod.start("sh", "-c", "tty; while read line; do echo got $line; done", stdin=True, tty=True)
    while not pod.log(id):  # the terminal would show what is typed before
        pass
    url = cri.service("Attach", container_id=id, stdin=True, stdout=True, tty=True)["url"]
    with Stream(url, cri.connect) as stream:
        stream.send(STDIN, b"word\n")
        stream.read_until(b"got word")
        stream.send(STDIN, b"\x04")
        stream.rest()
    assert pod.ended(id)["exit_code"] == 0
    assert pod.log(id)[0] == ("stdout", "/dev/pts/0")


def test_port_forward(cri: Cri, pod: Pod) -> None:
    id = pod.start("sh", "-c", "nc -l -p 80 -e sh -c 'read line; echo got $line'")
    pod.sh(id, "until netstat -ltn | grep -q :80; do :; done")
    url = cri.service("PortForward", pod_sandbox_id=pod.id, port=[80])["url"]
    with Stream(url, cri.connect) as stream:
        stream.send(0, b"word\n")
        assert stream.read_until(b"got word\n", channel=0).startswith(b"\x50\x00")  # the port


# ---- logs, figures, limits ----


def test_logs(pod: Pod) -> None:
    assert pod.output("sh", "-c", "echo one; echo two >&2") in ([("stdout", "one"), ("stderr", "two")], [("stderr", "two"), ("stdout", "one")])


def test_a_log_is_rotated(cri: Cri, pod: Pod, tmp_path: Path) -> None:
    id = pod.start("sh", "-c", "mkfifo /fifo; echo one; while read line < /fifo; do echo $line; done")
    log = pod.file(id)
    while "one" not in log.read_text():
        pass
    log.rename(tmp_path / "old")
    cri.service("ReopenContainerLog", container_id=id)
    pod.sh(id, "echo two > /fifo")
    while "two" not in log.read_text():
        pass
    assert "two" not in (tmp_path / "old").read_text()


def test_stats(cri: Cri, pod: Pod) -> None:
    id = pod.start("sleep", "1000")
    stats = cri.service("ContainerStats", container_id=id)["stats"]
    assert stats["attributes"]["id"] == id
    assert stats["cpu"]["usage_core_nano_seconds"]["value"] > 0
    assert stats["memory"]["working_set_bytes"]["value"] > 0


def test_limits_and_their_update(cri: Cri, pod: Pod) -> None:
    id = pod.start("sleep", "1000", resources={"memory_limit_in_bytes": 64 << 20, "cpu_period": 100_000, "cpu_quota": 50_000})
    shown = "grep MemTotal /proc/meminfo; grep -c processor /proc/cpuinfo"
    assert pod.sh(id, shown) == f"MemTotal:          {64 << 10} kB\n1\n"
    cri.service("UpdateContainerResources", container_id=id, linux={"memory_limit_in_bytes": 96 << 20, "cpu_quota": 200_000})
    assert pod.sh(id, shown) == f"MemTotal:          {96 << 10} kB\n{min(2, os.cpu_count() or 1)}\n"


def test_out_of_memory(pod: Pod) -> None:
    id = pod.start("tail", "/dev/zero", resources={"memory_limit_in_bytes": 24 << 20})
    status = pod.ended(id)
    assert (status["exit_code"], status["reason"]) == (137, "OOMKilled")


@pytest.mark.parametrize(
    ("security", "script", "out"),
    [
        ({"run_as_user": {"value": 1000}, "run_as_group": {"value": 7}, "supplemental_groups": [8]}, "id -u; id -g; id -G", "1000\n7\n7 8"),
        ({"readonly_rootfs": True}, "touch /x 2>/dev/null || echo cannot", "cannot"),
        ({"no_new_privs": True}, "grep NoNewPrivs /proc/self/status", "NoNewPrivs:\t1"),
        ({"capabilities": {"drop_capabilities": ["ALL"]}}, "grep CapEff /proc/self/status", "CapEff:\t0000000000000000"),
        ({"capabilities": {"add_capabilities": ["SYS_ADMIN"]}}, "mount -t tmpfs none /tmp && echo mounted", "mounted"),
        ({"seccomp": {"profile_type": 0}}, "grep Seccomp_filters /proc/self/status", "Seccomp_filters:\t2"),
        ({"masked_paths": ["/etc/passwd"]}, "wc -c < /etc/passwd", "0"),
        ({"readonly_paths": ["/etc"]}, "touch /etc/x 2>/dev/null || echo cannot", "cannot"),
    ],
)
def test_security_context(pod: Pod, security: dict[str, Any], script: str, out: str) -> None:
    shown = pod.output("sh", "-c", script, security=security)
    assert "\n".join(line for _, line in shown) == out


def test_volumes(pod: Pod, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "file").write_text("of the host\n")
    mounts = [
        {"container_path": "/volume", "host_path": str(volume)},
        {"container_path": "/fixed", "host_path": str(volume), "readonly": True},
    ]
    script = "cat /volume/file; echo new > /volume/new; touch /fixed/x 2>/dev/null || echo read-only"
    assert pod.output("sh", "-c", script, mounts=mounts) == [("stdout", "of the host"), ("stdout", "read-only")]
    assert (volume / "new").read_text() == "new\n"


def test_environment_and_directory(pod: Pod) -> None:
    shown = pod.output("sh", "-c", "echo $NAME; pwd", envs=[{"key": "NAME", "value": "value"}], working_dir="/tmp")
    assert shown == [("stdout", "value"), ("stdout", "/tmp")]


# ---- how it ends ----


def test_stop_with_and_without_grace(cri: Cri, pod: Pod) -> None:
    polite = pod.start("sh", "-c", "trap 'exit 3' TERM; echo ready; sleep 1000 & wait")
    deaf = pod.start("sh", "-c", "trap '' TERM; echo ready; sleep 1000")
    for id, code in ((polite, 3), (deaf, 137)):
        while not pod.log(id):
            pass
        cri.service("StopContainer", container_id=id, timeout=2)
        assert pod.ended(id)["exit_code"] == code
        cri.service("StopContainer", container_id=id, timeout=2)  # once more is no error
        cri.service("RemoveContainer", container_id=id)
        cri.service("RemoveContainer", container_id=id)
        with pytest.raises(CallError) as refused:
            cri.service("ContainerStatus", container_id=id)
        assert refused.value.code == 5


def test_what_cannot_start(cri: Cri, pod: Pod) -> None:
    id = pod.create("/nonexistent")
    with pytest.raises(CallError, match='exec: "/nonexistent": stat /nonexistent: no such file or directory'):
        cri.service("StartContainer", container_id=id)
    assert pod.ended(id)["exit_code"] == 128


def test_a_pod_that_stops_takes_its_containers_along(cri: Cri, pod: Pod) -> None:
    id = pod.start("sleep", "1000")
    address = pod.status["network"]["ip"]
    cri.service("StopPodSandbox", pod_sandbox_id=pod.id)
    cri.service("StopPodSandbox", pod_sandbox_id=pod.id)
    assert pod.status["state"] == NOT_READY
    assert pod.ended(id)["exit_code"] == 137
    links = subprocess.run(cri.inside("ip", "route"), capture_output=True, text=True, check=True).stdout
    assert address not in links
    cri.service("RemovePodSandbox", pod_sandbox_id=pod.id)
    cri.service("RemovePodSandbox", pod_sandbox_id=pod.id)
    assert cri.service("ListPodSandbox")["items"] == []


def test_containerd_crashes_and_the_pod_goes_on(mortal: Cri, tmp_path: Path) -> None:
    pod = Pod(mortal, tmp_path)
    id = pod.start("sleep", "1000")
    mortal.crash()
    assert pod.status["state"] == READY
    assert mortal.service("ContainerStatus", container_id=id)["status"]["state"] == RUNNING
    assert pod.sh(id, "echo alive") == "alive\n"


def test_pause_dies_and_the_pod_is_not_ready(cri: Cri, pod: Pod) -> None:
    id = pod.start("sleep", "1000")
    cri.ctr("-n", "k8s.io", "task", "kill", "--signal", "9", pod.id, check=True)
    while pod.status["state"] == READY:
        pass
    assert pod.sh(id, "echo alive") == "alive\n"  # until the kubelet stops it
    states = cri.inside("ls", "/run/containerd/runc/k8s.io")
    assert subprocess.run(states, capture_output=True, text=True, check=True).stdout != ""
    end_pods(cri, patience=False)
    assert subprocess.run(states, capture_output=True, text=True, check=True).stdout == ""
    for pid, shown in descendants().items():  # containerd 2.2.9 leaves the pod's shim, with runc as well
        if "containerd-shim" in shown and pod.id in Path(f"/proc/{pid}/cmdline").read_text():
            os.kill(pid, signal.SIGTERM)


def test_many_pods_at_once(cri: Cri, tmp_path: Path) -> None:
    pods = [Pod(cri, tmp_path / str(i)) for i in range(4)]
    ids = [pod.start("sh", "-c", f"echo {i}", metadata={"name": f"m{i}"}) for i, pod in enumerate(pods)]
    assert [pod.ended(id)["exit_code"] for pod, id in zip(pods, ids, strict=True)] == [0] * 4
