"""Two commands at once, commands that come late, and a host that fails under them: one line that says it, and nothing left."""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import signal
import socket
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from containers import Bundle, Bundles, Done, Pysc, requires

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    requires("busybox"),
]

needs_freezer = pytest.mark.skipif(not os.path.exists("/sys/fs/cgroup/freezer/tasks"), reason="needs version 1 with the freezer controller")
needs_pids = pytest.mark.skipif(not os.path.exists("/sys/fs/cgroup/pids/tasks"), reason="needs version 1 with the pids controller")


def quiet(pysc: Pysc, *words: object) -> Done:
    """A command whose container does not keep our pipes."""
    errors = pysc.root.parent / "errors"
    with errors.open("w") as err:
        ran = subprocess.run(pysc.argv(*words), stdin=subprocess.DEVNULL, stdout=err, stderr=err, check=False, timeout=60)
    return Done([], ran.returncode, "", errors.read_text())


def running(pysc: Pysc, made: Bundle) -> int:
    done = quiet(pysc, "run", "-d", "-b", made, pysc.id)
    assert done.code == 0, done
    return state(pysc)["pid"]


def state(pysc: Pysc) -> Any:
    return json.loads(pysc("state", pysc.id, check=True).out)


@pytest.mark.parametrize("options", [[], ["--directfs=false"]], ids=["", "directfs=false"])
def test_a_command_that_is_gone_before_its_answer_ends_no_container(pysc: Pysc, bundle: Bundles, options: list[str]) -> None:
    """As `exec` and `trace` are that were interrupted."""
    assert quiet(pysc, *options, "run", "-d", "-b", bundle(["sleep", "1000"]), pysc.id).code == 0
    sentry = json.loads((pysc.root / pysc.id / "state.json").read_text())["sentry"][0]
    os.kill(sentry, signal.SIGSTOP)
    os.waitid(os.P_PID, sentry, os.WSTOPPED)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.connect(str(pysc.root / pysc.id / "control.sock"))
        sock.send(b'{"op": "report"}')
    os.kill(sentry, signal.SIGCONT)
    assert pysc("exec", pysc.id, "true").code == 0  # the sentry answers one after the other
    assert state(pysc)["status"] == "running"
    pysc("delete", "--force", pysc.id, check=True)


def reap(pid: int) -> None:
    """The container's first process is a child of ours: we are told when it has ended."""
    os.waitpid(pid, 0)


def said(done: Done, text: str, code: int = 1) -> None:
    errors = [line for line in done.err.splitlines() if "level=error" in line]
    assert (done.code, len(errors)) == (code, 1), done
    assert text in errors[0], done
    assert "internal error" not in done.err


def at_once(pysc: Pysc, *calls: list[object]) -> list[Done]:
    answers: list[Done] = []
    threads = [threading.Thread(target=lambda words=words: answers.append(pysc(*words))) for words in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


# ---- two at once, and twice ----


@pytest.mark.parametrize("force", [False, True])
def test_two_deletes_at_once(pysc: Pysc, bundle: Bundles, force: bool) -> None:
    """One deletes. For the others there is no such container, which --force does not mind."""
    pid = running(pysc, bundle(["sleep", "1000"]))
    if not force:
        os.kill(pid, signal.SIGKILL)
        reap(pid)
    answers = at_once(pysc, *[["delete", *(["--force"] if force else []), pysc.id]] * 4)
    assert sorted(done.code for done in answers) == ([0, 0, 0, 0] if force else [0, 1, 1, 1]), answers
    for done in answers:
        if done.code:
            said(done, "container does not exist")
    assert pysc.containers() == []


def test_start_twice(pysc: Pysc, bundle: Bundles) -> None:
    assert quiet(pysc, "create", "-b", bundle(["sleep", "1000"]), pysc.id).code == 0
    answers = at_once(pysc, *[["start", pysc.id]] * 3)
    assert sorted(done.code for done in answers) == [0, 1, 1], answers
    for done in answers:
        if done.code:
            said(done, "cannot start an already running container")
    said(pysc("start", pysc.id), "cannot start an already running container")
    pysc("delete", "--force", pysc.id, check=True)


def test_create_and_delete_at_once(pysc: Pysc, bundle: Bundles) -> None:
    made = bundle(["sleep", "1000"])
    for _ in range(3):
        with subprocess.Popen(
            pysc.argv("create", "-b", made, pysc.id), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as creating:
            assert pysc("delete", "--force", pysc.id).code == 0
        if creating.returncode == 0:  # the delete came first, or came afterwards
            pysc("delete", "--force", pysc.id, check=True)
        assert pysc.containers() == []


# ---- a container that has stopped, is paused, is dying ----


def test_what_a_stopped_container_answers(pysc: Pysc, bundle: Bundles) -> None:
    pid = running(pysc, bundle(["sleep", "1000"]))
    os.kill(pid, signal.SIGKILL)
    reap(pid)
    assert (state(pysc)["status"], state(pysc)["pid"]) == ("stopped", 0)
    said(pysc("exec", pysc.id, "true"), "exec failed: cannot exec in a stopped container", 255)
    said(pysc("start", pysc.id), "cannot start a container that has stopped")
    said(pysc("kill", pysc.id, "KILL"), "container not running")
    said(pysc("pause", pysc.id), "container not running")
    said(pysc("resume", pysc.id), "container not paused")
    assert pysc("ps", "-f", "json", pysc.id).out == "null\n"
    assert pysc("kill", "--all", pysc.id, "9").code == 0
    assert pysc("delete", pysc.id).code == 0
    assert pysc("delete", "--force", pysc.id).code == 0
    said(pysc("delete", pysc.id), "container does not exist")


def test_delete_of_a_running_container_needs_force(pysc: Pysc, bundle: Bundles) -> None:
    running(pysc, bundle(["sleep", "1000"]))
    said(pysc("delete", pysc.id), f"cannot delete container {pysc.id} that is not stopped: running")
    assert state(pysc)["status"] == "running"
    pysc("delete", "--force", pysc.id, check=True)


@needs_freezer
def test_a_paused_container(pysc: Pysc, bundle: Bundles) -> None:
    running(pysc, bundle(["sleep", "1000"]))
    pysc("pause", pysc.id, check=True)
    said(pysc("exec", pysc.id, "true"), "exec failed: cannot exec in a paused container (use --ignore-paused to override)", 255)
    said(pysc("delete", pysc.id), f"cannot delete container {pysc.id} that is not stopped: paused")
    said(pysc("start", pysc.id), "cannot start a container in the paused state")
    pysc("resume", pysc.id, check=True)
    assert pysc("exec", pysc.id, "true").code == 0
    pysc("delete", "--force", pysc.id, check=True)


@pytest.mark.parametrize("who", ["init", "sentry", "gofer"])
def test_exec_into_a_container_that_is_dying(pysc: Pysc, bundle: Bundles, who: str) -> None:
    """Whenever its end comes, exec runs its command or says that it cannot: it neither hangs nor is its command left."""
    codes = set()
    for delay in range(6):
        pid = running(pysc, bundle(["sleep", "1000"]))
        raw = json.loads((pysc.root / pysc.id / "state.json").read_text())
        with subprocess.Popen(
            pysc.argv("exec", pysc.id, "sleep", "1000"), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as added:
            assert added.stderr is not None
            after(added.pid, delay * 20)
            os.kill(raw[who][0], signal.SIGKILL)
            _, err = added.communicate(timeout=60)
        codes.add(added.returncode)
        assert added.returncode in (255, 128 + signal.SIGKILL), (added.returncode, err)
        assert "internal error" not in err
        while os.waitpid(-1, 0)[0] != pid:  # a process that exec has not named yet may be ours: a pid namespace ends with its last zombie
            pass
        pysc("delete", "--force", pysc.id, check=True)
    assert codes


def after(pid: int, calls: int) -> None:
    """Come back when process `pid` has read this many times, which is a clock that does not depend on how busy the machine is."""
    while os.path.exists(f"/proc/{pid}/io"):
        with open(f"/proc/{pid}/io") as file:
            if int(next(line for line in file if line.startswith("syscr")).split()[1]) >= calls:
                return


def test_kill_all_when_init_is_dead(pysc: Pysc, bundle: Bundles) -> None:
    """What it has left, in a pid namespace that is not its own, ends; then there is nothing to do, and that is no error."""
    pid = running(pysc, bundle(["sh", "-c", "sleep 1000 & sleep 1000 & exec sleep 1000"]))
    assert len(json.loads(pysc("ps", "-f", "json", pysc.id).out)) == 3
    os.kill(pid, signal.SIGKILL)
    for _ in range(2):
        assert pysc("kill", "--all", pysc.id, "9").code == 0
    assert pysc("kill", "-a", pysc.id, "TERM").code == 0
    reap(pid)
    assert pysc("ps", "-f", "json", pysc.id).out == "null\n"
    pysc("delete", pysc.id, check=True)


# ---- cgroups ----


def own_cgroups(pid: int) -> dict[str, str]:
    with open(f"/proc/{pid}/cgroup") as file:
        return {line.split(":")[1]: line.strip().split(":", 2)[2] for line in file}


@needs_freezer
def test_a_cgroup_that_is_frozen_takes_no_container(pysc: Pysc, bundle: Bundles) -> None:
    path = Path(f"/sys/fs/cgroup/freezer/{pysc.id}-frozen")
    path.mkdir()
    (path / "freezer.state").write_text("FROZEN")
    try:
        done = pysc("run", "-b", bundle(["true"], linux={"cgroupsPath": f"/{path.name}"}), pysc.id)
        said(done, "container's cgroup unexpectedly frozen")
        assert path.exists()
    finally:
        (path / "freezer.state").write_text("THAWED")
        path.rmdir()


@needs_freezer
def test_a_container_below_a_frozen_cgroup_can_be_deleted(pysc: Pysc, bundle: Bundles) -> None:
    """Somebody froze the parent: kill waits for nothing, delete says what it could not do, and does it once that is thawed."""
    parent = Path(f"/sys/fs/cgroup/freezer/{pysc.id}-parent")
    pid = running(pysc, bundle(["sleep", "1000"], linux={"cgroupsPath": f"/{parent.name}/{pysc.id}"}))
    (parent / "freezer.state").write_text("FROZEN")
    try:
        assert state(pysc)["status"] == "paused"
        said(pysc("exec", pysc.id, "true"), "cannot exec in a paused container", 255)
        assert pysc("kill", pysc.id, "KILL").code == 0
    finally:
        (parent / "freezer.state").write_text("THAWED")
    reap(pid)
    pysc("delete", pysc.id, check=True)
    for directory, _, _ in os.walk("/sys/fs/cgroup"):
        if directory.endswith(parent.name):
            os.rmdir(directory)


@pytest.mark.skipif(not os.path.exists("/sys/fs/cgroup/memory/tasks"), reason="needs version 1 with the memory controller")
def test_cgroups_that_are_gone(pysc: Pysc, bundle: Bundles) -> None:
    """Somebody moved the processes out and removed them: the container is there, can be used, and ends."""
    pid = running(pysc, bundle(["sleep", "1000"]))
    for name, path in own_cgroups(pid).items():
        for mounted in name.removeprefix("name=").split(","):
            root = Path(f"/sys/fs/cgroup/{mounted or 'unified'}")
            if (root / "cgroup.procs").exists() and path.endswith(pysc.id):
                (root / "cgroup.procs").write_text(str(pid))
                (root / path.lstrip("/")).rmdir()
                break
    assert state(pysc)["status"] == "running"
    assert json.loads(pysc("ps", "-f", "json", pysc.id).out) == [pid]
    said(pysc("pause", pysc.id), "the container has no cgroup with a freezer")
    said(pysc("update", "--memory", "100m", pysc.id), "linux.resources.memory.limit: the container has no memory cgroup")
    done = pysc("exec", pysc.id, "true")
    said(done, "enter the cgroup", 255)
    pysc("delete", "--force", pysc.id, check=True)


@needs_pids
def test_a_full_pid_cgroup(pysc: Pysc, bundle: Bundles) -> None:
    """Not even our own stage may join: exec fails with the kernel's word, the container is unharmed."""
    script = "sleep 1000 & sleep 1000 & sleep 1000 & exec sleep 1000"
    pid = running(pysc, bundle(["sh", "-c", script], linux={"resources": {"pids": {"limit": 4}}}))
    with_all = f"/sys/fs/cgroup/pids{own_cgroups(pid)['pids']}/pids.current"
    while int(Path(with_all).read_text()) < 4:
        pass
    said(pysc("exec", pysc.id, "true"), "resource temporarily unavailable", 255)
    assert len(json.loads(pysc("ps", "-f", "json", pysc.id).out)) == 4
    pysc("kill", "--all", pysc.id, "9", check=True)
    reap(pid)
    pysc("delete", pysc.id, check=True)


@needs_pids
def test_a_limit_that_not_even_the_first_process_fits_into(pysc: Pysc, bundle: Bundles) -> None:
    done = pysc("run", "-b", bundle(["true"], linux={"resources": {"pids": {"limit": 0}}}), pysc.id)
    assert done.code == 1, done
    assert "resource temporarily unavailable" in done.err
    assert pysc.containers() == []


IN_A_MOUNT_NAMESPACE = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
assert libc.unshare(0x20000) == 0 and libc.mount(None, b"/", None, 0x44000, None) == 0
for each in open("/proc/self/mountinfo").read().splitlines():
    point, kind = each.split()[4], each.partition(" - ")[2].split()[0]
    if kind.startswith("cgroup"):
        assert libc.mount(None, point.encode(), None, 0x1021, None) == 0  # MS_REMOUNT|MS_BIND|MS_RDONLY
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.skipif(not os.path.exists("/sys/fs/cgroup/memory/tasks"), reason="needs version 1 with the memory controller")
def test_cgroups_that_cannot_be_written(pysc: Pysc, bundle: Bundles) -> None:
    """Read-only, as in many an outer container."""
    import sys

    argv = [sys.executable, "-c", IN_A_MOUNT_NAMESPACE, *pysc.argv("run", "-b", bundle(["echo", "x"]), pysc.id)]
    ran = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    said(Done(argv, ran.returncode, ran.stdout, ran.stderr), "read-only file system")
    assert pysc.containers() == []
    argv = [sys.executable, "-c", IN_A_MOUNT_NAMESPACE, *pysc.argv("--ignore-cgroups", "run", "-b", bundle(["echo", "x"]), pysc.id)]
    assert subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=True).stdout == "x\n"


# ---- the state directory ----


@pytest.fixture
def small(pysc: Pysc, tmp_path: Path) -> Iterator[Path]:
    """A state store on a file system of 64 KiB."""
    libc = ctypes.CDLL(None, use_errno=True)
    pysc.root.mkdir()
    assert libc.mount(b"state", os.fsencode(pysc.root), b"tmpfs", 0, b"size=64k") == 0, os.strerror(ctypes.get_errno())
    yield pysc.root
    assert libc.umount2(os.fsencode(pysc.root), 2) == 0


def fill(root: Path, spare: int) -> Path:
    """Leave `spare` pages free."""
    filler = root / ".filler"
    with open(filler, "wb", 0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            file.truncate(max(0, os.fstat(file.fileno()).st_size - spare * 4096))
    return filler


@pytest.mark.parametrize("spare", range(6))
def test_no_space_for_the_state(pysc: Pysc, bundle: Bundles, small: Path, spare: int) -> None:
    """create succeeds or leaves nothing; with a container there and no space left, delete works."""
    filler = fill(small, spare)
    done = quiet(pysc, "create", "-b", bundle(["sleep", "1000"]), pysc.id)
    if done.code:
        said(done, "no space left on device")
        assert pysc.containers() == []
    else:
        fill(small, 0)
        started = pysc("start", pysc.id)
        if started.code:
            said(started, "no space left on device")
        assert pysc("delete", "--force", pysc.id).code == 0
        assert pysc.containers() == []
    filler.unlink()


def test_a_container_goes_on_where_its_state_cannot_be_written(pysc: Pysc, bundle: Bundles, small: Path) -> None:
    assert quiet(pysc, "create", "-b", bundle(["sleep", "1000"]), pysc.id).code == 0
    filler = fill(small, 0)
    said(pysc("start", pysc.id), "no space left on device")
    filler.unlink()
    assert state(pysc)["status"] == "running"  # it was let go; the kernel knows
    said(pysc("start", pysc.id), "cannot start an already running container")
    assert pysc("exec", pysc.id, "true").code == 0
    pysc("delete", "--force", pysc.id, check=True)


def test_the_state_of_another_version(pysc: Pysc, bundle: Bundles) -> None:
    """A container that an earlier pysc has made, and one of a later one: all verbs work."""
    pid = running(pysc, bundle(["sleep", "1000"]))
    file = pysc.root / pysc.id / "state.json"
    raw = json.loads(file.read_text())
    for name in ("cgroups_planned", "creator", "network", "profile", "config", "annotations"):
        raw.pop(name)
    file.write_text(json.dumps(raw | {"invented": {"later": [1]}}))
    (pysc.root / pysc.id / "process.json").unlink()
    assert state(pysc)["status"] == "running"
    assert pysc("exec", pysc.id, "echo", "x").out == "x\n"
    assert pysc("kill", pysc.id, "KILL").code == 0
    reap(pid)
    pysc("delete", pysc.id, check=True)


@pytest.mark.parametrize("content", ["", "{", "null", "[]", '{"id": 7}', "\0" * 100, "truncated"])
def test_a_damaged_state(pysc: Pysc, bundle: Bundles, content: str) -> None:
    """Every verb says so; delete --force removes what it can know of."""
    pid = running(pysc, bundle(["sleep", "1000"]))
    file = pysc.root / pysc.id / "state.json"
    whole = file.read_text()
    file.write_text(whole[: len(whole) // 2] if content == "truncated" else content)
    for verb in (["state"], ["start"], ["kill"], ["pause"], ["delete"], ["ps"], ["update", "--memory", "1g"]):
        said(pysc(*verb, pysc.id), "is damaged: ")
    said(pysc("exec", pysc.id, "true"), "is damaged: ", 255)
    assert "is damaged: " in pysc("list").err
    file.write_text(whole)
    pysc("delete", "--force", pysc.id, check=True)
    reap(pid)


def test_a_lock_that_somebody_holds(pysc: Pysc, bundle: Bundles) -> None:
    """delete gives up in words. A lock whose holder has ended is none: flock(2) ends with the description."""
    running(pysc, bundle(["sleep", "1000"]))
    directory = os.open(pysc.root / pysc.id, os.O_RDONLY)
    fcntl.flock(directory, fcntl.LOCK_EX)
    said(pysc("delete", "--force", pysc.id), f"container {pysc.id} is locked by another command that does not finish")
    assert state(pysc)["status"] == "running"
    os.close(directory)
    holder = subprocess.Popen(
        ["python3", "-c", "import fcntl,os,sys; fcntl.flock(os.open(sys.argv[1], 0), 2); print(flush=True); input()", pysc.root / pysc.id],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        holder.kill()
    assert pysc("delete", "--force", pysc.id).code == 0
