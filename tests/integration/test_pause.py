"""pause and resume of real containers, with runc's answers in every state."""

from __future__ import annotations

import json
import os
import select
import subprocess

import pytest
from containers import Bundle, Bundles, Pysc, both_platforms, requires, sandboxed

pytestmark = [
    pytest.mark.integration,
    both_platforms,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    requires("busybox"),
]


def start(pysc: Pysc, made: Bundle, stdout: int = subprocess.DEVNULL, verb: str = "run") -> None:
    detach = ["--detach"] if verb == "run" else []
    command = pysc.argv(verb, *detach, "-b", made, pysc.id)
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=stdout, check=True, timeout=60)


def status(pysc: Pysc) -> str:
    return str(json.loads(pysc("state", pysc.id, check=True).out)["status"])


def message(done: object) -> str:
    return str(done.err).partition("msg=")[2].strip().strip('"')


def silent(fd: int) -> bool:
    """Nothing comes for a quarter of a second, in which a running container would have said much."""
    os.set_blocking(fd, False)
    try:
        while os.read(fd, 1 << 16):
            pass
    except BlockingIOError:
        pass
    return not select.select([fd], [], [], 0.25)[0]


def test_nothing_runs_until_it_is_resumed(pysc: Pysc, bundle: Bundles) -> None:
    reading, writing = os.pipe()
    start(pysc, bundle(["sh", "-c", "sh -c 'while echo a; do :; done' & while echo x; do :; done"]), writing)
    os.close(writing)
    assert os.read(reading, 1)
    pysc("pause", pysc.id, check=True)
    assert silent(reading)
    assert status(pysc) == "paused"
    assert json.loads(pysc("list", "-f", "json", check=True).out)[0]["status"] == "paused"
    assert json.loads(pysc("ps", "--format", "json", pysc.id, check=True).out)
    pysc("resume", pysc.id, check=True)
    assert status(pysc) == "running"
    assert select.select([reading], [], [], 30)[0]
    pysc("delete", "--force", pysc.id, check=True)
    os.close(reading)


def test_runcs_answers(pysc: Pysc, bundle: Bundles) -> None:
    assert message(pysc("pause", "none")) == message(pysc("resume", "none")) == "container does not exist"
    start(pysc, bundle(["sleep", "1000"]))
    assert message(pysc("resume", pysc.id)) == "container not paused"
    assert pysc("pause", pysc.id).code == 0
    assert message(pysc("pause", pysc.id)) == "container not running"
    done = pysc("exec", pysc.id, "true")
    assert (done.code, message(done)) == (255, "exec failed: cannot exec in a paused container (use --ignore-paused to override)")
    assert message(pysc("start", pysc.id)) == "cannot start a container in the paused state"
    assert message(pysc("delete", pysc.id)) == f"cannot delete container {pysc.id} that is not stopped: paused"
    assert pysc("kill", pysc.id, "USR2").code == 0
    assert status(pysc) == "paused"
    assert pysc("resume", pysc.id).code == 0
    pysc("kill", pysc.id, "KILL", check=True)
    pysc("wait", pysc.id)
    assert message(pysc("pause", pysc.id)) == "container not running"
    assert message(pysc("resume", pysc.id)) == "container not paused"
    pysc("delete", pysc.id, check=True)


@pytest.mark.parametrize("how", [["kill", "{}", "KILL"], ["kill", "--all", "{}", "KILL"], ["delete", "--force", "{}"]])
def test_a_paused_container_can_be_killed(pysc: Pysc, bundle: Bundles, how: list[str]) -> None:
    start(pysc, bundle(["sh", "-c", "sleep 1000 & sleep 1000"]))
    pysc("pause", pysc.id, check=True)
    pysc(*(word.format(pysc.id) for word in how), check=True)
    if how[0] == "kill":
        pysc("wait", pysc.id)
        pysc("delete", pysc.id, check=True)
    assert pysc.containers() == []


def test_a_created_container_can_be_paused(pysc: Pysc, bundle: Bundles) -> None:
    start(pysc, bundle(["sleep", "1000"]), verb="create")
    pysc("pause", pysc.id, check=True)
    pysc("resume", pysc.id, check=True)
    assert status(pysc) == "created"
    pysc("start", pysc.id, check=True)
    pysc("delete", "--force", pysc.id, check=True)


@sandboxed
@pytest.mark.parametrize("profile", ["standard", "strict"])
def test_who_waits_in_the_sentry_freezes_and_waits_on(pysc: Pysc, bundle: Bundles, profile: str) -> None:
    """An open of a FIFO is a held reply: the kernel would not freeze the caller, and it must not see that it was sent back."""
    reading, writing = os.pipe()
    openers = "(read line </tmp/fifo; echo got $line $?) & (echo late >/tmp/other; echo wrote $?) &"
    made = bundle(["sh", "-c", f"mkfifo /tmp/fifo /tmp/other; {openers} echo ready; exec sleep 1000"], writable=True)
    command = pysc.argv("--profile", profile, "run", "--detach", "-b", made, pysc.id)
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=writing, check=True, timeout=60)
    os.close(writing)
    with os.fdopen(reading) as said:
        assert said.readline() == "ready\n"
        for _ in range(3):
            pysc("pause", pysc.id, check=True, timeout=30)
            assert status(pysc) == "paused"
            pysc("resume", pysc.id, check=True)
        done = pysc("exec", pysc.id, "sh", "-c", "echo word >/tmp/fifo; read line </tmp/other; echo $line")
        assert done.out == "late\n", done
        assert sorted([said.readline(), said.readline()]) == ["got word 0\n", "wrote 0\n"]
    pysc("delete", "--force", pysc.id, check=True)


def test_without_a_cgroup_it_is_refused(pysc: Pysc, bundle: Bundles) -> None:
    made = bundle(["sleep", "1000"])
    command = pysc.argv("--ignore-cgroups", "run", "--detach", "-b", made, pysc.id)
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True, timeout=60)
    assert message(pysc("pause", pysc.id)) == "the container has no cgroup with a freezer: it cannot be paused"
    pysc("delete", "--force", pysc.id, check=True)
