"""containerd's runc shim with pysc as its binary: what `ctr` does with a container from run to delete."""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import TYPE_CHECKING

import pexpect
import pytest
from containers import Done, make_busybox_root, requires
from engines import CTR_PROGRAMS, IMAGE, Containerd, remove_cgroups, settle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    requires("busybox", *CTR_PROGRAMS),
]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, busybox_rootfs: Path) -> Iterator[Containerd]:
    remove = remove_cgroups(("default",))
    containerd = Containerd(tmp_path_factory.mktemp("c"), busybox_rootfs)
    yield containerd
    containerd.stop()
    remove()


@pytest.fixture
def containerd(daemon: Containerd) -> Iterator[Containerd]:
    """It has no containers before and after a test."""
    yield daemon
    for id in daemon.ctr("task", "ls", "-q").out.split():
        daemon.ctr("task", "delete", "--force", id)
    for id in daemon.ctr("containers", "ls", "-q").out.split():
        daemon.ctr("containers", "rm", id)
    settle()


@pytest.fixture
def mortal(tmp_path: Path, busybox_rootfs: Path) -> Iterator[Containerd]:
    """One for a test that kills it."""
    containerd = Containerd(tmp_path, busybox_rootfs)
    yield containerd
    containerd.stop()
    settle()


def run(containerd: Containerd, name: str, *words: str, options: tuple[object, ...] = ()) -> Done:
    """`ctr run --rm`."""
    return containerd.ctr("run", "--rm", *options, IMAGE, name, *words)


def start(containerd: Containerd, name: str, *words: str, options: tuple[object, ...] = ()) -> None:
    containerd.ctr("run", "--detach", *options, IMAGE, name, *words, check=True)


def status(containerd: Containerd, name: str) -> str:
    rows = [line.split() for line in containerd.ctr("task", "ls", check=True).out.splitlines()]
    return next(row[2] for row in rows if row[0] == name)


def test_run_gives_output_and_exit_code(containerd: Containerd, name: str) -> None:
    done = run(containerd, name, "sh", "-c", "id -u; echo to stderr >&2; exit 7")
    assert (done.out, done.code) == ("0\n", 7), done
    assert "to stderr" in done.err
    assert containerd.ctr("containers", "ls", "-q").out == ""


def test_it_is_a_sandbox(containerd: Containerd, name: str) -> None:
    done = run(containerd, name, "sh", "-c", "grep Seccomp_filters /proc/self/status; cat /proc/1/uid_map; unshare -n true; mount")
    assert "Seccomp_filters:\t1" in done.out, done
    assert re.search(r"^\s+0\s+[1-9]\d+\s+65536$", done.out, re.MULTILINE), done
    assert "unshare" in done.err
    assert "overlay on / type overlay (rw,nodev,relatime)" in done.out


def test_input(containerd: Containerd, name: str) -> None:
    argv = containerd.argv("run", "--rm", IMAGE, name, "sh", "-c", "read line; echo got $line")
    ran = subprocess.run(argv, input="word\n", capture_output=True, text=True, timeout=60, check=False)
    assert ran.stdout == "got word\n", ran


def test_what_it_writes_lands_in_the_snapshot(containerd: Containerd, name: str) -> None:
    start(containerd, name, "sh", "-c", "echo text > /etc/new; rm /etc/group; chown 5:6 /etc/new; sleep 1000")
    containerd.ctr("task", "exec", "--exec-id", "wait", name, "sh", "-c", "until [ -e /etc/new ]; do :; done; sync", check=True)
    containerd.ctr("task", "kill", "--signal", "9", name, check=True)
    containerd.ctr("task", "delete", name)
    diff = run_bytes(containerd, "snapshots", "diff", name)
    listing = subprocess.run(["tar", "-tvz"], input=diff, capture_output=True, check=True).stdout.decode()
    assert re.search(r"5/6 .* etc/new$", listing, re.MULTILINE), listing
    assert "etc/.wh.group" in listing


def run_bytes(containerd: Containerd, *words: str) -> bytes:
    return subprocess.run(containerd.argv(*words), capture_output=True, check=True, timeout=60).stdout


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("/nonexistent",), 'exec: "/nonexistent": stat /nonexistent: no such file or directory'),
        (("nonexistent",), 'exec: "nonexistent": executable file not found in $PATH'),
        (("/etc/passwd",), 'exec: "/etc/passwd": permission denied'),
    ],
)
def test_the_error_reaches_the_user(containerd: Containerd, name: str, words: tuple[str, ...], text: str) -> None:
    done = run(containerd, name, *words)
    assert done.code == 1
    assert f"OCI runtime create failed: pysc create failed: unable to start container process: {text}" in done.err, done


def test_with_a_terminal(containerd: Containerd, name: str) -> None:
    argv = containerd.argv("run", "--rm", "--tty", IMAGE, name, "sh", "-c", "tty; read line; echo got $line; exit 5")
    child = pexpect.spawn(argv[0], argv[1:], timeout=60)
    child.expect("/dev/pts/0")
    child.sendline("word")
    child.expect("got word")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 5


def test_a_terminal_has_the_callers_size(containerd: Containerd, name: str) -> None:
    script = "trap 'stty size' WINCH; stty size; until read line; do :; done"
    argv = containerd.argv("run", "--rm", "--tty", IMAGE, name, "sh", "-c", script)
    child = pexpect.spawn(argv[0], argv[1:], timeout=60, dimensions=(33, 77))
    child.expect("33 77")
    for columns in range(90, 100):  # ctr hears SIGWINCH from a moment after it has set the first size
        child.setwinsize(44, columns)
        if child.expect([f"44 {columns}", pexpect.TIMEOUT], timeout=5) == 0:
            break
    else:
        pytest.fail("the size of its terminal does not change")
    child.sendline("")
    child.expect(pexpect.EOF)
    child.close()


def test_exec(containerd: Containerd, name: str) -> None:
    start(containerd, name, "sleep", "1000")
    done = containerd.ctr("task", "exec", "--exec-id", "one", "--cwd", "/tmp", "--user", "1000:7", name, "sh", "-c", "pwd; id -u; id -g; exit 4")
    assert (done.out, done.code) == ("/tmp\n1000\n7\n", 4), done
    done = containerd.ctr("task", "exec", "--exec-id", "two", name, "/nonexistent")
    assert done.code != 0
    assert "no such file or directory" in done.err
    argv = containerd.argv("task", "exec", "--tty", "--exec-id", "three", name, "sh", "-c", "tty; read line; echo got $line; exit 6")
    child = pexpect.spawn(argv[0], argv[1:], timeout=60)
    child.expect("/dev/pts/0")
    child.sendline("word")
    child.expect("got word")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 6


def test_the_life_of_a_task(containerd: Containerd, name: str) -> None:
    start(containerd, name, "sh", "-c", "trap 'exit 3' TERM; sleep 1000 & while :; do wait; done")
    assert status(containerd, name) == "RUNNING"
    pids = [line.split()[0] for line in containerd.ctr("task", "ps", name, check=True).out.splitlines()[1:]]
    assert len(pids) == 2
    containerd.ctr("task", "pause", name, check=True)
    assert status(containerd, name) == "PAUSED"
    containerd.ctr("task", "resume", name, check=True)
    assert status(containerd, name) == "RUNNING"
    assert "not found" in containerd.ctr("task", "kill", "nobody").err
    containerd.ctr("task", "kill", name, check=True)
    while status(containerd, name) != "STOPPED":
        pass
    assert "exit code 3" in containerd.ctr("task", "delete", name).err
    assert containerd.ctr("task", "ls", "-q").out == ""


def test_kill_all_and_delete_by_force(containerd: Containerd, name: str) -> None:
    start(containerd, name, "sh", "-c", "trap '' TERM; sleep 1000 & sleep 1000")
    containerd.ctr("task", "kill", "--all", "--signal", "SIGKILL", name, check=True)
    containerd.ctr("task", "delete", "--force", name)
    start(containerd, f"{name}x", "sleep", "1000")
    containerd.ctr("task", "delete", "--force", f"{name}x")
    assert containerd.ctr("task", "ls", "-q").out == ""


def test_metrics(containerd: Containerd, name: str) -> None:
    start(containerd, name, "sleep", "1000", options=("--memory-limit", 64 << 20))
    found = json.loads(containerd.ctr("task", "metrics", "--format", "json", name, check=True).out)
    assert found["memory"]["usage"]["limit"] == 64 << 20
    assert found["pids"]["current"] == 1
    assert found["cpu"]["usage"]["total"] > 0


@pytest.mark.parametrize(
    ("options", "script", "out"),
    [
        (("--read-only",), "touch /x 2>/dev/null || echo cannot", "cannot"),
        (("--env", "A=b", "--cwd", "/tmp"), "echo $A; pwd", "b\n/tmp"),
        (("--seccomp",), "grep Seccomp_filters /proc/self/status", "Seccomp_filters:\t2"),
        (("--cap-add", "CAP_SYS_ADMIN", "--cap-drop", "CAP_CHOWN"), "grep CapEff /proc/self/status", "CapEff:\t00000000a82425fa"),
        (("--allow-new-privs",), "grep NoNewPrivs /proc/self/status", "NoNewPrivs:\t0"),
        (("--memory-limit", 50 << 20), "grep MemTotal /proc/meminfo", f"MemTotal:          {50 << 10} kB"),
        (("--device", "/dev/fuse"), "exec 3<>/dev/fuse && echo opened", "opened"),
        (("--mount", "type=tmpfs,dst=/mnt,options=mode=700"), "stat -c %a /mnt", "700"),
        (("--with-ns", "ipc:/proc/self/ns/ipc"), "touch /dev/mqueue/x && rm /dev/mqueue/x && echo queue", "queue"),
        (("--net-host",), "ip addr show lo | grep -c 127.0.0.1", "1"),
        (("--rootfs-propagation", "rslave"), "echo rslave", "rslave"),
        (("--cpus", "0.5"), "grep -c processor /proc/cpuinfo", "1"),
    ],
)
def test_options(containerd: Containerd, name: str, options: tuple[object, ...], script: str, out: str) -> None:
    done = run(containerd, name, "sh", "-c", script, options=options)
    assert done.out == f"{out}\n", done


def test_a_bind_mount(containerd: Containerd, name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("of the host")
    mount = f"type=bind,src={tmp_path},dst=/mnt,options=rbind:ro"
    done = run(containerd, name, "sh", "-c", "cat /mnt/file; touch /mnt/new 2>/dev/null || echo read-only", options=("--mount", mount))
    assert done.out == "of the hostread-only\n", done


def test_a_cgroup_of_the_callers_choice(containerd: Containerd, name: str) -> None:
    start(containerd, name, "sleep", "1000", options=("--cgroup", f"/{name}/leaf", "--memory-limit", 64 << 20))
    pid = containerd.ctr("task", "ps", name).out.splitlines()[1].split()[0]
    with open(f"/proc/{pid}/cgroup") as file:
        assert f"/{name}/leaf" in file.read()
    containerd.ctr("task", "delete", "--force", name)
    for directory in os.listdir("/sys/fs/cgroup"):
        if os.path.isdir(f"/sys/fs/cgroup/{directory}/{name}"):
            os.rmdir(f"/sys/fs/cgroup/{directory}/{name}")


def test_out_of_memory_is_an_event(containerd: Containerd, name: str) -> None:
    with subprocess.Popen(containerd.argv("events"), stdout=subprocess.PIPE, text=True) as events:
        assert events.stdout is not None
        done = run(containerd, name, "sh", "-c", "tail /dev/zero; exit 0", options=("--memory-limit", 24 << 20))
        assert done.code in (0, 137), done
        seen = next((line for line in events.stdout if "/tasks/oom" in line or "/tasks/delete" in line), "")
        events.kill()
    assert "/tasks/oom" in seen


def test_a_rootfs_that_is_no_snapshot(containerd: Containerd, name: str, tmp_path: Path) -> None:
    make_busybox_root(tmp_path / "rootfs")
    done = containerd.ctr("run", "--rm", "--rootfs", "--read-only", tmp_path / "rootfs", name, "cat", "/etc/passwd")
    assert done.out.startswith("root:x:0:0"), done


def test_containerd_crashes_and_the_container_goes_on(mortal: Containerd, name: str) -> None:
    start(mortal, name, "sleep", "1000")
    mortal.crash()
    assert status(mortal, name) == "RUNNING"
    assert mortal.ctr("task", "exec", "--exec-id", "one", name, "echo", "alive").out == "alive\n"
    mortal.ctr("task", "delete", "--force", name)
    assert mortal.ctr("task", "ls", "-q").out == ""


def test_the_shim_crashes_and_nothing_is_left(containerd: Containerd, name: str) -> None:
    start(containerd, name, "sleep", "1000")
    pid = int(containerd.ctr("task", "ps", name).out.splitlines()[1].split()[0])
    with open(f"/proc/{pid}/stat") as file:
        shim = int(file.read().rpartition(") ")[2].split()[1])
    init = os.pidfd_open(pid)
    os.kill(shim, 9)
    os.waitpid(shim, 0)
    # containerd calls `delete --force` when it sees that the shim has gone
    os.waitid(os.P_PIDFD, init, os.WEXITED)
    os.close(init)


def test_many_at_once(containerd: Containerd, name: str) -> None:
    names = [f"{name}-{i}" for i in range(8)]
    argv = [containerd.argv("run", "--rm", IMAGE, each, "sh", "-c", f"echo {each}") for each in names]
    running = [subprocess.Popen(line, stdout=subprocess.PIPE, text=True) for line in argv]
    assert [process.communicate(timeout=90)[0] for process in running] == [f"{each}\n" for each in names]
