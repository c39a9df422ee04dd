"""What happens to a container between create and delete: signals, working directory, what --debug says."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from containers import Bundles, Pysc, both_platforms, requires, sandboxed

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.integration,
    both_platforms,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    requires("busybox"),
]


def create(pysc: Pysc, bundle: object, verb: str = "create", *options: str) -> None:
    """With our stdio closed to it: a container that has been made keeps its caller's pipes open."""
    command = pysc.argv(verb, *options, "-b", bundle, pysc.id)
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True, timeout=60)


def state(pysc: Pysc) -> str:
    return str(json.loads(pysc("state", pysc.id, check=True).out)["status"])


def wait_for(pysc: Pysc, who: str) -> None:
    """Until one of the container's processes, a child of ours by now, has ended."""
    pid = json.loads((pysc.root / pysc.id / "state.json").read_text())[who][0]
    pidfd = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        assert poll.poll(30_000), f"the {who} does not end"
    finally:
        os.close(pidfd)


@pytest.mark.parametrize("signal", ["TERM", "INT", "HUP", "QUIT"])
def test_a_created_container_ends_by_the_signals_that_end_runcs(pysc: Pysc, bundle: Bundles, signal: str) -> None:
    create(pysc, bundle(["sleep", "1000"]))
    pysc("kill", pysc.id, signal, check=True)
    wait_for(pysc, "init")
    assert state(pysc) == "stopped"
    assert "cannot start a container that has stopped" in pysc("start", pysc.id).err
    pysc("delete", pysc.id, check=True)


def test_others_leave_a_created_container_alone(pysc: Pysc, bundle: Bundles) -> None:
    create(pysc, bundle(["sh", "-c", "kill -USR1 $$; exit 3"]))
    for signal in ("USR1", "USR2", "ALRM", "PIPE"):
        pysc("kill", pysc.id, signal, check=True)
    assert state(pysc) == "created"
    pysc("delete", "--force", pysc.id, check=True)


def ignored(argv: list[str], prefix: list[str]) -> int:
    done = subprocess.run([*prefix, *argv], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True, timeout=60)
    return int(done.stdout.split()[-1], 16)


IGNORE = "import os, signal, sys; [signal.signal(n, signal.SIG_IGN) for n in (1, 2, 3, 10, 13, 15, 60)]; os.execvp(sys.argv[1], sys.argv[1:])"
IGNORING = [sys.executable, "-c", IGNORE]
SHOW = ["grep", "SigIgn", "/proc/self/status"]


def test_a_workload_ignores_no_signal_that_the_caller_ignores(pysc: Pysc, bundle: Bundles) -> None:
    """As with runc: nohup(1) is for the engine, and its containers live by what their programs expect."""
    assert ignored(pysc.argv("run", "-b", bundle(SHOW), pysc.id), IGNORING) == 0
    create(pysc, bundle(["sleep", "1000"]))
    pysc("start", pysc.id, check=True)
    assert ignored(pysc.argv("exec", pysc.id, *SHOW), IGNORING) == 0
    pysc("delete", "--force", pysc.id, check=True)


def test_do_hands_on_what_the_shell_ignores(pysc: Pysc) -> None:
    argv = pysc.argv("do", "--quiet", "--", *SHOW)
    plain = ignored(argv, [])
    assert ignored(argv, ["nohup"]) == plain | 1  # SIGHUP


# An idmapped mount maps the ids 0 to 65535: on these files root of the container has no privilege.
BEYOND = 70_000


def closed_directory(bundle: Bundles, **user: object) -> object:
    made = bundle(["pwd"], writable=True, process={"cwd": "/home", "user": user})
    home = made.rootfs / "home"
    home.mkdir()
    os.chown(home, BEYOND, 4321)
    home.chmod(0o750)
    return made


@sandboxed
@pytest.mark.parametrize("profile", ["standard", "strict"])
@pytest.mark.parametrize("user", [{"uid": 1000, "gid": 4321}, {"uid": 1000, "gid": 1000, "additionalGids": [5, 4321]}])
def test_the_working_directory_may_be_the_users_alone(pysc: Pysc, bundle: Bundles, user: dict[str, object], profile: str) -> None:
    made = closed_directory(bundle, **user)
    done = pysc("--profile", profile, "run", "-b", made, pysc.id)
    assert (done.out, done.code) == ("/home\n", 0), done


@sandboxed
def test_a_working_directory_that_neither_root_nor_the_user_may_enter(pysc: Pysc, bundle: Bundles) -> None:
    made = closed_directory(bundle, uid=1000, gid=1000)
    done = pysc("run", "-b", made, pysc.id)
    assert done.code == 1
    assert 'chdir to cwd (\\"/home\\") set in config.json failed: permission denied' in done.err


def test_root_may_enter_for_the_user_as_with_runc(pysc: Pysc, bundle: Bundles) -> None:
    made = bundle(["sh", "-c", "pwd; id -u; id -G"], writable=True, process={"cwd": "/priv", "user": {"uid": 1000, "gid": 7}})
    (made.rootfs / "priv").mkdir(0o700)
    assert pysc("run", "-b", made, pysc.id).out == "/priv\n1000\n7\n"


@sandboxed
def test_exec_enters_with_the_users_permission_too(pysc: Pysc, bundle: Bundles) -> None:
    made = closed_directory(bundle, uid=1000, gid=4321)
    made.config["process"]["args"] = ["sleep", "1000"]
    made.write()
    create(pysc, made, "run", "--detach")
    assert pysc("exec", "--cwd", "/home", "--user", "5:4321", pysc.id, "pwd").out == "/home\n"
    done = pysc("exec", "--cwd", "/home", "--user", "5:5", pysc.id, "pwd")
    assert done.code == 255
    assert "permission denied" in done.err
    pysc("delete", "--force", pysc.id, check=True)


@sandboxed
def test_debug_says_once_what_was_mediated(pysc: Pysc, bundle: Bundles) -> None:
    done = pysc("--debug", "run", "-b", bundle(["true"]), pysc.id)
    assert done.err.count("mediated") == 1, done


@sandboxed
def test_where_nobody_waits_the_sentry_says_it(pysc: Pysc, bundle: Bundles, tmp_path) -> None:
    with open(tmp_path / "log", "w") as log:
        command = pysc.argv("--debug", "create", "-b", bundle(["cat", "/etc/passwd"]), pysc.id)
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log, check=True, timeout=60)
    pysc("start", pysc.id, check=True)
    wait_for(pysc, "sentry")
    assert "mediated open" in (tmp_path / "log").read_text()
    pysc("delete", pysc.id, check=True)


@pytest.mark.parametrize("verb", ["create", "run", "exec"])
def test_the_pid_file_is_written_last(pysc: Pysc, bundle: Bundles, tmp_path: Path, verb: str) -> None:
    """Whoever finds it finds all of the container; where something fails before, there is none, and where it fails itself, no container."""
    pid_file = tmp_path / "pid"
    after = ["sleep", "1000"] if verb == "exec" else []
    made = bundle(["sleep", "1000"], hooks={"poststart": [{"path": "/bin/false"}]} if verb == "run" else {})
    if verb == "exec":
        create(pysc, made, "run", "--detach")
        how = ["--detach"]
    else:
        how = ["--bundle", str(made), *(["--detach"] if verb == "run" else [])]
    failing = [] if verb == "run" else ["--pidfd-socket", tmp_path / "nobody"]
    for options in (["--pid-file", pid_file, *failing], ["--pid-file", tmp_path / "missing/pid"]):
        if verb == "run" and options[1] != pid_file:
            made.config.pop("hooks")
            made.write()
        done = pysc(verb, *how, *options, pysc.id, *after)
        assert done.code == (255 if verb == "exec" else 1), done
        assert not pid_file.exists()
        assert pysc.containers() == ([pysc.id] if verb == "exec" else []), done
    pysc("delete", "--force", pysc.id, check=True)
