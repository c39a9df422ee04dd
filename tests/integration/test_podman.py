"""podman with pysc as its runtime, through conmon: containers, pods, and what is done to them."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
from typing import TYPE_CHECKING

import pexpect
import pytest
from containers import Done, requires
from engines import CNI, PODMAN_PROGRAMS, Podman, remove_cgroups, settle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    requires("busybox", "cc", *PODMAN_PROGRAMS),
]

SERVE = ("sh", "-c", "while :; do echo served | nc -l -p 80; done")
_numbers = itertools.count()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, busybox_rootfs: Path) -> Iterator[Podman]:
    remove = remove_cgroups(("libpod_parent",))
    podman = Podman(tmp_path_factory.mktemp("p"), busybox_rootfs)
    yield podman
    podman.stop()
    remove()


@pytest.fixture
def podman(engine: Podman) -> Iterator[Podman]:
    """It has neither containers nor pods before and after a test."""
    yield engine
    engine("pod", "rm", "--all", "--force", "--time", 0)
    engine("rm", "--all", "--force", "--volumes", "--time", 0)
    settle()


@pytest.fixture
def name() -> str:
    return f"pysc-{os.getpid()}-{next(_numbers)}"


def run(podman: Podman, *words: object, options: tuple[object, ...] = ()) -> Done:
    """`podman run --rm`, without a network."""
    return podman("run", "--rm", "--network", "none", *options, "busybox", *words)


def start(podman: Podman, name: str, *words: object, options: tuple[object, ...] = ()) -> None:
    podman("run", "--detach", "--network", "none", "--name", name, *options, "busybox", *words, check=True)


def state(podman: Podman, name: str) -> dict[str, object]:
    found = json.loads(podman("inspect", name, check=True).out)[0]["State"]
    assert isinstance(found, dict)
    return found


# ---- run ----


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
def test_exit_codes(podman: Podman, words: tuple[str, ...], code: int, said: str) -> None:
    done = run(podman, *words)
    assert (done.code, said in done.err) == (code, True), done


def test_output_and_input(podman: Podman) -> None:
    done = podman("run", "--rm", "-i", "--network", "none", "busybox", "sh", "-c", "cat; echo err >&2", input="of stdin\n")
    assert (done.out, done.err) == ("of stdin\n", "err\n"), done


def test_it_is_a_sandbox_with_podmans_profile_on_top(podman: Podman) -> None:
    done = run(podman, "sh", "-c", "grep Seccomp_filters /proc/self/status; cat /proc/1/uid_map; unshare -n true")
    assert "Seccomp_filters:\t2" in done.out, done
    assert re.search(r"^\s+0\s+[1-9]\d+\s+65536$", done.out, re.MULTILINE)
    assert "unshare" in done.err


def test_a_terminal(podman: Podman) -> None:
    argv = podman.argv("run", "--rm", "-it", "--network", "none", "busybox", "sh", "-c", "tty; stty size; read line; echo got $line; exit 5")
    child = pexpect.spawn(argv[0], argv[1:], timeout=60, dimensions=(33, 77))
    child.expect("/dev/pts/0")
    child.expect("33 77")
    child.sendline("word")
    child.expect("got word")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 5


@pytest.mark.parametrize(
    ("options", "script", "out"),
    [
        (("--read-only",), "touch /x 2>/dev/null || echo cannot", "cannot"),
        (("--tmpfs", "/t:size=1m,mode=700"), "stat -c %a /t; df -k /t | tail -1 | awk '{print $2}'", "700\n1024"),
        (("--user", "1000:7", "--group-add", "9"), "id -u; id -G", "1000\n7 9"),
        (("--workdir", "/tmp", "--env", "A=b"), "pwd; echo $A", "/tmp\nb"),
        (("--hostname", "box"), "hostname", "box"),
        (("--cap-drop", "ALL"), "grep CapEff /proc/self/status", "CapEff:\t0000000000000000"),
        (("--cap-add", "SYS_ADMIN"), "mount -t tmpfs none /tmp && grep -c ' /tmp ' /proc/mounts", "1"),
        (("--security-opt", "seccomp=unconfined"), "grep Seccomp_filters /proc/self/status", "Seccomp_filters:\t1"),
        (("--security-opt", "no-new-privileges"), "grep NoNewPrivs /proc/self/status", "NoNewPrivs:\t1"),
        (("--umask", "0027"), "umask", "0027"),
        (("--memory", "50m"), "grep MemTotal /proc/meminfo", f"MemTotal:          {50 << 10} kB"),
        (("--cpus", "0.5"), "grep -c processor /proc/cpuinfo", "1"),
        (("--ulimit", "nofile=100:200", "--ulimit", "nproc=50:60"), "ulimit -n; ulimit -Hn", "100\n200"),
        (("--sysctl", "net.ipv4.ip_forward=1"), "cat /proc/sys/net/ipv4/ip_forward", "1"),
        (("--shm-size", "1m"), "df -k /dev/shm | tail -1 | awk '{print $2}'", "1024"),
        (("--device", "/dev/fuse"), "exec 3<>/dev/fuse && echo opened", "opened"),
        (("--oom-score-adj", "500"), "cat /proc/self/oom_score_adj", "500"),
        (("--uidmap", "0:300000:65536"), "cat /proc/self/uid_map; echo x > /new && stat -c %u /new", "         0     300000      65536\n0"),
        (("--privileged",), "grep Seccomp_filters /proc/self/status", "Seccomp_filters:\t1"),
        (("--uts", "host"), "hostname", os.uname().nodename),
    ],
)
def test_options(podman: Podman, options: tuple[str, ...], script: str, out: str) -> None:
    done = run(podman, "sh", "-c", script, options=options)
    assert done.out == f"{out}\n", done


def test_the_hosts_pid_namespace_is_refused(podman: Podman) -> None:
    done = podman("run", "--rm", "--network", "none", "--pid", "host", "busybox", "true")
    assert done.code == 126
    assert "the sandbox needs one, add it" in done.err, done


def test_pids_limit(podman: Podman) -> None:
    done = run(podman, "sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do sleep 0.1 & done; wait; echo end", options=("--pids-limit", 5))
    assert "can't fork" in done.err, done


def test_preserved_descriptors(podman: Podman, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("of the caller\n")
    argv = podman.argv("run", "--rm", "--network", "none", "--preserve-fds", 1, "busybox", "cat", "/proc/self/fd/3")
    with open(tmp_path / "file") as file:
        script = 'exec "$@" 3<&0 0</dev/null'
        ran = subprocess.run(["sh", "-c", script, "sh", *argv], stdin=file, capture_output=True, text=True, timeout=60, check=False)
    assert ran.stdout == "of the caller\n", ran


# ---- what is done to it afterwards ----


def test_exec(podman: Podman, name: str) -> None:
    start(podman, name, "sleep", "1000")
    done = podman("exec", "-u", "1000:7", "-w", "/tmp", "-e", "A=b", name, "sh", "-c", "pwd; id -u; id -g; echo $A; exit 4")
    assert (done.out, done.code) == ("/tmp\n1000\n7\nb\n", 4), done
    assert podman("exec", "-i", name, "cat", input="of stdin").out == "of stdin"
    assert podman("exec", name, "/nonexistent").code == 127
    assert podman("exec", name, "/etc/passwd").code == 126
    podman("exec", "-d", name, "touch", "/tmp/made", check=True)
    while podman("exec", name, "test", "-e", "/tmp/made").code:
        pass
    argv = podman.argv("exec", "-it", name, "sh", "-c", "tty; read line; echo got $line; exit 6")
    child = pexpect.spawn(argv[0], argv[1:], timeout=60)
    child.expect("/dev/pts/0")
    child.sendline("word")
    child.expect("got word")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 6


def test_logs_and_attach(podman: Podman, name: str) -> None:
    start(podman, name, "sh", "-c", "echo one; echo two >&2; while read line; do echo got $line; done", options=("-i",))
    done = podman("attach", name, input="word\n")
    assert done.out.strip() == "got word", done
    podman("wait", name, check=True)
    done = podman("logs", name)
    assert (done.out, done.err) == ("one\ngot word\n", "two\n"), done


def test_top_and_stats(podman: Podman, name: str) -> None:
    start(podman, name, "sh", "-c", "sleep 1000 & sleep 1000", options=("--memory", "64m"))
    lines = podman("top", name, check=True).out.splitlines()
    assert len([line for line in lines if "sleep 1000" in line]) >= 2, lines
    row = json.loads(podman("stats", "--no-stream", "--format", "json", name, check=True).out)[0]
    assert (row["name"], row["pids"]) == (name, "2")
    assert "67.11MB" in row["mem_usage"]


def test_pause_and_unpause(podman: Podman, name: str) -> None:
    start(podman, name, "sleep", "1000")
    podman("pause", name, check=True)
    assert state(podman, name)["Status"] == "paused"
    podman("unpause", name, check=True)
    assert podman("exec", name, "echo", "alive").out == "alive\n"
    podman("pause", name, check=True)
    podman("rm", "--force", name, check=True)


def test_update(podman: Podman, name: str) -> None:
    start(podman, name, "sleep", "1000", options=("--memory", "64m"))
    podman("update", "--memory", "128m", "--cpus", "0.5", name, check=True)
    assert podman("exec", name, "grep", "MemTotal", "/proc/meminfo").out.split()[1] == str(128 << 10)


def test_kill_stop_start_restart(podman: Podman, name: str) -> None:
    start(podman, name, "sh", "-c", "trap 'exit 3' TERM; date >> /started; echo ready; while :; do sleep 0.05; done")
    podman("kill", name, check=True)
    podman("wait", name, check=True)
    assert state(podman, name)["ExitCode"] == 137
    podman("start", name, check=True)
    while podman("exec", name, "grep", "-c", "", "/started").out != "2\n":
        pass
    podman("stop", name, check=True)
    assert state(podman, name)["ExitCode"] == 3
    podman("start", name, check=True)
    while podman("exec", name, "grep", "-c", "", "/started").out != "3\n":
        pass
    podman("restart", name, check=True)
    while podman("exec", name, "grep", "-c", "", "/started").out != "4\n":
        pass
    podman("rm", "--force", name, check=True)
    assert podman("ps", "--all", "--quiet").out == ""


def test_a_restart_policy(podman: Podman, name: str) -> None:
    start(podman, name, "sh", "-c", "echo once >> /count; [ $(grep -c . /count) -ge 3 ] && exit 0; exit 1", options=("--restart", "on-failure:5"))
    while state(podman, name)["Status"] != "exited":
        pass
    assert state(podman, name)["ExitCode"] == 0
    assert json.loads(podman("inspect", name).out)[0]["RestartCount"] == 2


def test_a_health_check(podman: Podman, name: str) -> None:
    """podman wants systemd to repeat it; by hand it is run as it is."""
    start(podman, name, "sh", "-c", "touch /healthy; sleep 1000", options=("--health-cmd", "test -e /healthy", "--health-interval", "disable"))
    while podman("healthcheck", "run", name).code:
        pass
    podman("exec", name, "rm", "/healthy", check=True)
    assert podman("healthcheck", "run", name).code == 1


def test_out_of_memory(podman: Podman, name: str) -> None:
    start(podman, name, "tail", "/dev/zero", options=("--memory", "24m", "--memory-swap", "24m"))
    assert podman("wait", name).out == "137\n"  # whether OOMKilled is told is conmon's affair, which misses quick ones of runc's as well


# ---- files ----


def test_volumes(podman: Podman, name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("of the host")
    script = "cat /bind/file; echo new > /bind/new; touch /ro/x 2>/dev/null || echo read-only; echo kept > /named/file"
    options = ("-v", f"{tmp_path}:/bind", "-v", f"{tmp_path}:/ro:ro", "-v", f"{name}:/named")
    done = run(podman, "sh", "-c", script, options=options)
    assert done.out == "of the hostread-only\n", done
    facts = (tmp_path / "new").stat()
    assert (facts.st_uid, facts.st_gid) == (0, 0)
    assert run(podman, "cat", "/named/file", options=("-v", f"{name}:/named")).out == "kept\n"
    podman("volume", "rm", name, check=True)


def test_changes_are_in_the_layer(podman: Podman, name: str) -> None:
    script = "echo text > /etc/new; rm /etc/group; chown 5:6 /etc/new"
    podman("run", "--network", "none", "--name", name, "busybox", "sh", "-c", script, check=True)
    assert set(podman("diff", name, check=True).out.splitlines()) >= {"A /etc/new", "D /etc/group"}
    podman("commit", "--quiet", name, f"{name}:latest", check=True)
    done = podman("run", "--rm", "--network", "none", f"{name}:latest", "sh", "-c", "cat /etc/new; stat -c %u:%g /etc/new")
    assert done.out == "text\n5:6\n", done
    podman("rmi", "--force", f"{name}:latest", check=True)


def test_copy_in_and_out(podman: Podman, name: str, tmp_path: Path) -> None:
    start(podman, name, "sh", "-c", "echo inside > /tmp/out; sleep 1000")
    while podman("exec", name, "test", "-s", "/tmp/out").code:
        pass
    podman("cp", f"{name}:/tmp/out", tmp_path / "out", check=True)
    assert (tmp_path / "out").read_text() == "inside\n"


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
    assert run(podman, "sh", "-c", "ip -o link | wc -l").out == "1\n"
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
