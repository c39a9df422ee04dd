"""Hooks of real containers: when and where each is run, what it is told, and what its failure does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from containers import Bundle, Bundles, Done, Pysc, both_platforms, descendants, requires, sandboxed

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

pytestmark = [
    pytest.mark.integration,
    both_platforms,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    requires("busybox"),
]

KINDS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
ENDING = KINDS[:5]
"""Those whose failure ends the container."""


def sh(script: str, **more: object) -> dict[str, Any]:
    """A hook, on the host as in the container."""
    return {"path": "/bin/sh", "args": ["sh", "-c", script], **more}


def note(file: object, what: str = "cat", **more: object) -> dict[str, Any]:
    """A hook that appends to a file of the host's."""
    return sh(f"{{ {what}; echo; }} >> {file}", **more)


def with_log(bundle: Bundles, tmp_path: Path, script: str = "true", **hooks: list[dict[str, Any]]) -> tuple[Bundle, Path]:
    """A bundle, and the file /log of the host that hooks in the container write to as well."""
    log = tmp_path / "log"
    log.touch()
    made = bundle(["sh", "-c", script], hooks=hooks)
    made.config["mounts"].append({"destination": "/tmp/log", "type": "bind", "source": str(log), "options": ["bind", "dev"]})
    made.write()
    return made, log


def create(pysc: Pysc, bundle: Bundle) -> int:
    """Not by pysc(): the container would keep our pipes open."""
    errors = bundle.path / "errors"
    with errors.open("w") as err:
        return subprocess.run(
            pysc.argv("create", "-b", bundle, pysc.id), stdin=subprocess.DEVNULL, stdout=err, stderr=err, check=False, timeout=60
        ).returncode


def errors(bundle: Bundle) -> str:
    return (bundle.path / "errors").read_text()


def test_each_is_run_once_in_order_with_the_state_of_its_moment(pysc: Pysc, bundle: Bundles, tmp_path: Path) -> None:
    log = tmp_path / "log"
    hooks = {kind: [note(log if kind != "startContainer" else "/tmp/log")] for kind in KINDS}
    hooks["prestart"].append(note(log, "echo second"))
    made, log = with_log(bundle, tmp_path, "echo workload >> /tmp/log", **hooks)
    made.config["annotations"] = {"a.b": "c"}
    made.write()
    assert create(pysc, made) == 0, errors(made)
    created = log.read_text().splitlines()
    pid = json.loads((pysc.root / pysc.id / "state.json").read_text())["init"][0]
    assert [json.loads(line)["status"] for line in created if line.startswith("{")] == ["creating"] * 3
    assert [json.loads(line)["pid"] for line in created if line.startswith("{")] == [pid, pid, 1]
    assert created[1] == "second"
    made.config["hooks"] = {}  # what is written into it now is nobody's business any more
    made.write()
    pysc("start", pysc.id, check=True)
    pysc("wait", pysc.id)
    pysc("delete", pysc.id, check=True)
    later = [line for line in log.read_text().splitlines()[len(created) :] if line]
    states = [json.loads(line) for line in later if line != "workload"]
    assert [state["status"] for state in states] == ["created", "running", "stopped"]
    assert [state.get("pid") for state in states] == [1, pid, None]
    assert later.index("workload") > 0  # not before startContainer
    common = {"ociVersion": "1.3.0", "id": pysc.id, "bundle": str(made.path), "annotations": {"a.b": "c"}}
    for state in (*states, *(json.loads(line) for line in created if line.startswith("{"))):
        assert {**state, **common} == state


@sandboxed
def test_where_each_is_run(pysc: Pysc, bundle: Bundles, tmp_path: Path) -> None:
    log = tmp_path / "log"
    names = "for n in mnt net uts pid ipc user; do readlink /proc/self/ns/$n; done; pwd; id -u"
    hooks = {kind: [note(log if kind != "startContainer" else "/tmp/log", names)] for kind in KINDS}
    # of the first process, whose pid is in the state on stdin
    hooks["prestart"] = [note(log, f"PID=$(grep -o '\"pid\":[0-9]*' | cut -d: -f2); {names.replace('self', '$PID')}")]
    made, log = with_log(bundle, tmp_path, **hooks)
    assert pysc("run", "-b", made, pysc.id, check=True).err == ""
    found = dict(zip(KINDS, (text.split("\n") for text in log.read_text().split("\n\n")), strict=False))
    ours = [os.readlink(f"/proc/self/ns/{name}") for name in ("mnt", "net", "uts", "pid", "ipc", "user")]
    theirs = found["prestart"][:6]
    assert not set(theirs) & set(ours)
    for kind in ("createRuntime", "poststart", "poststop"):
        assert found[kind] == [*ours, str(made.path), "0"], kind
    # as with runc without a user namespace of the config's: the container's namespaces, with the host's rights
    assert found["createContainer"] == [*theirs[:5], ours[5], str(made.rootfs), "0"]
    assert found["startContainer"][1:] == [*theirs[1:], "/", "0"]  # its mount namespace is the locked copy


def test_what_createcontainer_mounts_is_in_the_container(pysc: Pysc, bundle: Bundles) -> None:
    made = bundle(["sh", "-c", "cat /added/file; mount | grep added"], writable=True)
    (made.rootfs / "added").mkdir()
    script = f"mount -t tmpfs none added && echo here > {made.rootfs}/added/file"
    made.config["hooks"] = {"createContainer": [sh(script, env=[f"PATH={os.environ['PATH']}"])]}
    made.write()
    done = pysc("run", "-b", made, pysc.id)
    assert done.out.startswith("here\nnone on /added type tmpfs"), done
    assert os.listdir(made.rootfs / "added") == []


@sandboxed
def test_startcontainer_is_inside_the_sandbox_as_the_workload(pysc: Pysc, bundle: Bundles, tmp_path: Path) -> None:
    what = "id -u; grep -E '^(Seccomp|CapEff|NSpid)' /proc/self/status; echo $MARK; cat /etc/shadow 2>&1"
    show = note("/tmp/log", what, env=["MARK=1", "PATH=/bin"])
    made, log = with_log(bundle, tmp_path, startContainer=[show])
    made.config["process"]["user"] = {"uid": 1000, "gid": 1000}
    made.write()
    log.chmod(0o666)
    pysc("run", "-b", made, pysc.id, check=True)
    lines = log.read_text().splitlines()
    assert lines[0] == "1000"
    assert "Seccomp:\t2" in lines
    assert "CapEff:\t0000000000000000" in lines
    assert lines[-3:-1] == ["1", "cat: can't open '/etc/shadow': No such file or directory"]


def failing(kind: str, tmp_path: Path, bundle: Bundles, hook: dict[str, Any]) -> tuple[Bundle, Path]:
    return with_log(bundle, tmp_path, "sleep 1000", **{kind: [sh("true"), hook], "poststop": [note(tmp_path / "log", "echo poststop")]})


def wait_for_orphans() -> None:
    """Reap whom the commands have left to us: it hangs if somebody runs on."""
    ours = {Pysc.zygote.pid} if Pysc.zygote is not None else set()
    while left := set(descendants()) - ours:
        for pid in left:
            try:
                os.waitpid(pid, 0)
            except ChildProcessError:
                continue  # a child of a child: it comes to us when its parent has ended


def error_of(pysc: Pysc, made: Bundle, kind: str) -> str:
    """Create, and start where it is that which fails; the error, after which nothing runs."""
    if not kind.endswith(("startContainer", "poststart")):
        assert create(pysc, made) == 1
        assert pysc.containers() == []
        return errors(made)
    assert create(pysc, made) == 0, errors(made)
    started: Done = pysc("start", pysc.id)
    assert started.code == 1
    assert json.loads(pysc("state", pysc.id, check=True).out)["status"] == "stopped"
    pysc("delete", pysc.id, check=True)
    return started.err


@pytest.mark.parametrize("kind", ENDING)
def test_a_failure_ends_the_container(pysc: Pysc, bundle: Bundles, tmp_path: Path, kind: str) -> None:
    made, log = failing(kind, tmp_path, bundle, sh("echo out; echo err >&2; exit 3"))
    said = error_of(pysc, made, kind)
    assert f"error during container init: error running {kind} hook #1: exit status 3, stdout: out\\n, stderr: err\\n" in said
    assert log.read_text() == "poststop\n\n"


@pytest.mark.parametrize("kind", ENDING)
def test_a_timeout_ends_the_hook_and_whom_it_has_started(pysc: Pysc, bundle: Bundles, tmp_path: Path, kind: str) -> None:
    made, log = failing(kind, tmp_path, bundle, sh("sleep 1000 & sleep 1000; true", timeout=1))
    assert f"error running {kind} hook #1: hook ran past specified timeout of 1.0s" in error_of(pysc, made, kind)
    wait_for_orphans()
    assert log.read_text() == "poststop\n\n"


def test_afterwards_a_failure_is_a_warning_and_the_next_one_is_run(pysc: Pysc, bundle: Bundles, tmp_path: Path) -> None:
    log = tmp_path / "log"
    kind = "poststop"
    made = bundle(["sh", "-c", "exit 7"], hooks={kind: [sh("exit 3"), {"path": "/nonexistent"}, note(log, "echo last")]})
    done = pysc("run", "-b", made, pysc.id)
    assert done.code == 7
    assert f'level=warning msg="error running {kind} hook #0: exit status 3, stdout: , stderr: "' in done.err
    assert f'level=warning msg="error running {kind} hook #1: fork/exec /nonexistent: no such file or directory"' in done.err
    assert log.read_text() == "last\n\n"


@pytest.mark.parametrize(
    ("hook", "reason"),
    [
        ({"path": "/nonexistent"}, "fork/exec /nonexistent: no such file or directory"),
        ({"path": "/etc/passwd"}, "fork/exec /etc/passwd: permission denied"),
        (sh("kill -KILL $$"), "signal: killed, stdout: , stderr: "),
    ],
)
@pytest.mark.parametrize("kind", ["createRuntime", "createContainer"])
def test_what_cannot_be_executed_or_is_killed(pysc: Pysc, bundle: Bundles, kind: str, hook: dict[str, Any], reason: str) -> None:
    made = bundle(["true"], hooks={kind: [hook]})
    assert f"error running {kind} hook #0: {reason}" in error_of(pysc, made, kind)


def test_a_startcontainer_hook_that_is_not_in_the_container(pysc: Pysc, bundle: Bundles) -> None:
    made = bundle(["true"], hooks={"startContainer": [{"path": sys.executable}]})
    said = error_of(pysc, made, "startContainer")
    assert "error running startContainer hook #0" in said
    assert "no such file or directory" in said


@pytest.mark.parametrize("kind", ENDING)
def test_a_flood_of_output_is_read_and_cut(pysc: Pysc, bundle: Bundles, kind: str) -> None:
    made = bundle(["true"], hooks={kind: [sh("head -c 3000000 /dev/zero | tr '\\0' x; exit 1")]})
    said = error_of(pysc, made, kind)
    assert "xxx ... and 2991808 bytes more, stderr: " in said
    assert len(said) < 10_000


def test_one_that_leaves_somebody_behind_with_its_pipes_is_not_waited_for_longer(pysc: Pysc, bundle: Bundles, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    made = bundle(["true"], hooks={"createRuntime": [sh(f"sleep 1000 & echo $! > {pids}")]})
    assert pysc("run", "-b", made, pysc.id, timeout=30).code == 0
    os.kill(int(pids.read_text()), signal.SIGKILL)  # a daemon that a hook has started stays
    os.waitpid(int(pids.read_text()), 0)


def test_a_state_that_nobody_reads_and_no_pipe_would_hold(pysc: Pysc, bundle: Bundles, tmp_path: Path) -> None:
    log = tmp_path / "log"
    made = bundle(["true"], annotations={"large": "x" * 300_000}, hooks={"prestart": [sh("true"), note(log, "wc -c")]})
    pysc("run", "-b", made, pysc.id, check=True)
    assert int(log.read_text()) > 300_000


@pytest.mark.parametrize("kind", ["createRuntime", "createContainer", "startContainer"])
def test_it_has_no_descriptor_but_stdio(pysc: Pysc, bundle: Bundles, tmp_path: Path, kind: str) -> None:
    file = "/tmp/log" if kind == "startContainer" else tmp_path / "log"
    made, log = with_log(bundle, tmp_path, **{kind: [sh(f"ls /proc/self/fd > {file}")]})
    junk = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(junk, True)
    try:
        done = subprocess.run(pysc.argv("run", "-b", made, pysc.id), pass_fds=[junk], timeout=60, check=False)
    finally:
        os.close(junk)
    assert done.returncode == 0
    assert log.read_text().split() == ["0", "1", "2", "3"]  # and the directory that ls reads


@pytest.mark.parametrize("verb", ["create", "run"])
@pytest.mark.parametrize("kind", ["createRuntime", "createContainer"])
def test_a_signal_ends_hook_and_command(pysc: Pysc, bundle: Bundles, tmp_path: Path, verb: str, kind: str) -> None:
    fifo, log = tmp_path / "fifo", tmp_path / "log"
    os.mkfifo(fifo)
    hooks = {kind: [sh(f"echo ready > {fifo}; sleep 1000")], "poststop": [note(log, "echo poststop")]}
    made = bundle(["true"], hooks=hooks)
    with subprocess.Popen(pysc.argv(verb, "-b", made, pysc.id), stderr=subprocess.PIPE, text=True) as command:
        assert fifo.read_text() == "ready\n"
        command.send_signal(signal.SIGTERM)
        _, said = command.communicate(timeout=60)
    assert command.returncode == 1
    assert f"error running {kind} hook #0: interrupted by signal 15" in said
    wait_for_orphans()
    assert pysc.containers() == []
    assert log.read_text() == "poststop\n\n"


def test_kernel_parameters_may_be_of_an_interface_that_a_hook_makes(pysc: Pysc, bundle: Bundles) -> None:
    try:
        subprocess.run(["unshare", "--net", "ip", "tuntap", "add", "tap0", "mode", "tap"], check=True, capture_output=True)
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no tap devices here: {error}")
    script = "pid=$(grep -o '\"pid\":[0-9]*' | cut -d: -f2); nsenter -t $pid -n ip tuntap add pysc0 mode tap"
    made = bundle(
        ["cat", "/proc/sys/net/ipv4/conf/pysc0/forwarding"],
        hooks={"prestart": [sh(script)]},
        linux={"sysctl": {"net.ipv4.conf.pysc0.forwarding": "1"}},
    )
    done = pysc("run", "-b", made, pysc.id)
    assert done.out == "1\n", done
