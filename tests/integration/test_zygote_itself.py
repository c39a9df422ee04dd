"""The life of a zygote: how it begins and ends, and what becomes of commands meanwhile."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from containers import Bundles, Pysc
from zygote import COMMAND, NEEDS, Zygote

import runsc_cli.zygote.server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.integration, *NEEDS]

LONGER = 60
PATIENCE = 5


@pytest.fixture
def zygote() -> Iterator[Zygote]:
    if Pysc.zygote is not None:
        pytest.skip("--zygote: there is one for all tests already")
    with Zygote() as zygote:
        yield zygote


def run(*line: object, **more: object) -> subprocess.CompletedProcess[str]:
    given = {"stdin": subprocess.DEVNULL, "capture_output": True, **more}
    return subprocess.run(list(map(str, line)), text=True, timeout=LONGER, check=False, **given)  # type: ignore[call-overload, no-any-return]


def works() -> bool:
    return run(COMMAND, "version").stdout.startswith("pysc version")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_by_a_signal_and_leaves_nothing(zygote: Zygote, number: int) -> None:
    directory = zygote.socket.parent.stat()
    assert (directory.st_uid, stat.S_IMODE(directory.st_mode)) == (0, 0o700)
    assert zygote.socket.is_socket()
    os.kill(zygote.pid, number)
    assert zygote.wait() == 0
    assert not zygote.socket.exists()
    assert works()


def test_a_command_outlives_it(zygote: Zygote, pysc: Pysc, bundle: Bundles) -> None:
    line = [COMMAND, "--root", pysc.root, "run", "-b", str(bundle(["sh", "-c", "echo up; read line; exit 5"])), pysc.id]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as command:
        assert command.stdout is not None
        assert command.stdout.readline() == "up\n"
        (worker,) = zygote.workers()
        os.killpg(zygote.pid, signal.SIGINT)  # as Ctrl-C does
        assert zygote.wait() == 0
        assert command.communicate("go\n", timeout=LONGER) == ("", None)
        assert command.returncode == 5
    assert os.waitpid(worker, 0)[0] == worker  # ours by now; it ends just after its command
    assert pysc.containers() == []


def test_a_killed_one_is_replaced(zygote: Zygote) -> None:
    os.kill(zygote.pid, signal.SIGKILL)
    assert zygote.wait() == -signal.SIGKILL
    assert zygote.socket.exists()
    assert works()
    with Zygote() as another:
        assert another.socket == zygote.socket
        assert works()


def test_one_that_is_killed_while_a_command_runs(zygote: Zygote, pysc: Pysc, bundle: Bundles) -> None:
    """Nobody waits for its worker, which serves none any more."""
    line = [COMMAND, "--root", pysc.root, "run", "-b", str(bundle(["sh", "-c", "echo up; read line"])), pysc.id]
    with subprocess.Popen(list(map(str, line)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as command:
        assert command.stdout is not None
        assert command.stdout.readline() == "up\n"
        os.kill(zygote.pid, signal.SIGKILL)
        assert zygote.wait() == -signal.SIGKILL
        assert works_at_once()
        with Zygote() as another:
            assert works()
            assert "has to do without" not in another.log()
        assert command.communicate("go\n", timeout=LONGER) == ("", None)


def test_it_is_nowhere(zygote: Zygote) -> None:
    """No file system that it was started in stays busy."""
    assert works()
    children = Path(f"/proc/{zygote.pid}/task/{zygote.pid}/children").read_text().split()
    assert len(children) >= 2  # a worker and its nest
    assert {os.readlink(f"/proc/{pid}/cwd") for pid in (zygote.pid, *children)} == {"/"}


def test_more_clients_than_it_may_have_descriptors(pysc: Pysc, bundle: Bundles) -> None:
    """Who comes when it can have no more workers is sent away."""
    if Pysc.zygote is not None:
        pytest.skip("--zygote: there is one for all tests already")
    with Zygote("prlimit", "--nofile=32:", "--") as zygote:
        line = [str(COMMAND), "--root", str(pysc.root)]
        detached = [*line, "run", "--detach", "-b", bundle(["sleep", "1000"]), pysc.id]
        assert run(*detached, capture_output=False, stdout=subprocess.DEVNULL).returncode == 0
        waiting = [subprocess.Popen([*line, "wait", pysc.id], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) for _ in range(20)]
        assert works()
        assert 0 < len(zygote.workers()) < 20
        assert run(*line, "kill", pysc.id, "KILL").returncode == 0
        assert {each.wait(LONGER) for each in waiting} == {0}
        assert run(*line, "delete", pysc.id).returncode == 0
        assert works()
        assert "Traceback" not in zygote.log()


def test_doctor_says_whether_there_is_one(zygote: Zygote) -> None:
    assert "yes  zygote" in run(COMMAND, "doctor").stdout
    os.kill(zygote.pid, signal.SIGTERM)
    zygote.wait()
    assert "no   zygote" in run(COMMAND, "doctor").stdout


def test_there_is_one(zygote: Zygote) -> None:
    done = run(COMMAND, "zygote")
    assert (done.returncode, "there is a zygote already" in done.stderr) == (1, True), done
    assert works()
    assert "has to do without" not in zygote.log()


def test_it_ends_when_pysc_is_changed(zygote: Zygote) -> None:
    """Who works on pysc, or installs it anew, gets what there is now."""
    os.utime(runsc_cli.zygote.server.__file__)
    assert works()
    assert zygote.wait() == 1
    assert "pysc was changed" in zygote.log()


def test_it_ends_when_its_clients_are_others(zygote: Zygote) -> None:
    """As an upgrade leaves it: nobody asks it any more."""
    done = run(sys.executable, "-Im", "runsc_cli.command")
    assert done.returncode == 0, done
    assert zygote.wait() == 1
    assert "pysc was changed" in zygote.log()


def test_of_two_that_start_one_stays() -> None:
    line = [COMMAND, "--debug", "zygote"]
    both = [subprocess.Popen(line, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        said = {each.stderr.readline(): each for each in both if each.stderr is not None}
        (other,) = [each for text, each in said.items() if "there is a zygote already" in text]
        (listening,) = [each for text, each in said.items() if text.startswith("listening at ")]
        assert other.wait(LONGER) == 1
        assert works()
        listening.send_signal(signal.SIGSTOP)  # were it another one that works() has asked, it would answer
        assert not works_at_once()
    finally:
        for each in both:
            each.kill()
            each.communicate()


def works_at_once() -> bool:
    began = time.monotonic()
    return works() and time.monotonic() - began < PATIENCE


def test_nothing_of_who_started_it_is_in_what_it_forks(pysc: Pysc, bundle: Bundles, tmp_path: Path) -> None:
    """Its environment, and the descriptors that it was given."""
    if Pysc.zygote is not None:
        pytest.skip("--zygote: there is one for all tests already")
    secret = tmp_path / "secret"
    secret.touch()
    with Zygote("sh", "-c", f'export HIDDEN_THERE=1; exec "$@" 7<{secret}', "sh") as zygote:
        line = [COMMAND, "--root", pysc.root, "run", "-b", str(bundle(["sh", "-c", "echo up; read line"])), pysc.id]
        with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as command:
            assert command.stdout is not None
            assert command.stdout.readline() == "up\n"
            workers = zygote.workers()
            pids = [*workers, *json.loads((pysc.root / pysc.id / "state.json").read_text())["sentry"][:1]]
            assert len(pids) == 2
            for pid in [zygote.pid, *pids]:
                assert b"HIDDEN_THERE" not in Path(f"/proc/{pid}/environ").read_bytes()
            for pid in pids:
                assert str(secret) not in [os.readlink(file) for file in Path(f"/proc/{pid}/fd").iterdir()]
            command.communicate("end\n", timeout=LONGER)
        assert not zygote.log()


# --- who is not who it seems to be ---

HELLO = struct.Struct("<6i")


def test_a_connection_is_for_who_has_made_it(zygote: Zygote) -> None:
    """Else who can get a process id that another one is about to have could do its commands."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connecting = os.fork()
    if connecting == 0:
        sock.connect(str(zygote.socket))
        signal.pause()
    try:
        time_limit(zygote.workers)
        pidfd = os.pidfd_open(connecting)
        socket.send_fds(sock, [HELLO.pack(sock.fileno(), pidfd, 0, 0, 0, 0) + os.fsencode(COMMAND)], [pidfd])
        assert sock.recv(1) == b""
    finally:
        os.kill(connecting, signal.SIGKILL)
        os.waitpid(connecting, 0)
        sock.close()
    assert "a message of another process" in zygote.log()


def test_who_says_nothing_is_not_waited_for(zygote: Zygote) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.connect(str(zygote.socket))
        time_limit(zygote.workers)
        time_limit(lambda: not zygote.workers())


IMPOSTOR = """
import os, socket, sys
listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
listener.bind(sys.argv[1])
listener.listen()
print("listening", flush=True)
conn, _ = listener.accept()
conn.recv(5000)
socket.send_fds(conn, [b"y"], [os.pidfd_open(os.getpid()), os.pipe()[1]])
print("obeyed" if conn.recv(10) else "left", flush=True)
"""


@pytest.mark.parametrize("less", [["setpriv", "--bounding-set", "-sys_time"], ["unshare", "--mount"]], ids=["rights", "namespaces"])
def test_a_command_obeys_nobody_who_has_less(zygote: Zygote, less: list[str]) -> None:
    """A container with the host's root that somebody shows the directory to."""
    os.kill(zygote.pid, signal.SIGTERM)
    zygote.wait()
    line = [*less, sys.executable, "-c", IMPOSTOR, str(zygote.socket)]
    try:
        with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as impostor:
            assert impostor.stdout is not None
            assert impostor.stdout.readline() == "listening\n"
            assert works()
            assert impostor.stdout.readline() == "left\n"
    finally:
        zygote.socket.unlink()


def time_limit(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + LONGER
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_one_that_is_held_up_holds_nobody_up(zygote: Zygote, pysc: Pysc, bundle: Bundles, tmp_path: Path) -> None:
    """Not for long; and what it would do later is not done twice."""
    hook = {"path": "/bin/sh", "args": ["sh", "-c", f"echo >> {tmp_path}/times"]}
    os.kill(zygote.pid, signal.SIGSTOP)
    began = time.monotonic()
    done = run(COMMAND, "--root", pysc.root, "run", "-b", bundle(["echo", "done"], hooks={"createRuntime": [hook]}), pysc.id)
    os.kill(zygote.pid, signal.SIGCONT)
    assert done.stdout == "done\n", done
    assert time.monotonic() - began > 1  # it has been asked
    assert works()  # behind the worker that should have done it
    assert (tmp_path / "times").read_text() == "\n"


def test_what_others_can_write_to_is_not_used() -> None:
    directory = Path(runsc_cli.zygote.server.DIRECTORY)
    directory.mkdir(0o700, exist_ok=True)
    directory.chmod(0o777)
    try:
        done = run(COMMAND, "zygote")
    finally:
        directory.chmod(0o700)
    assert (done.returncode, f"{directory} is open to others" in done.stderr) == (1, True), done


def test_it_is_for_root() -> None:
    done = run(COMMAND, "zygote", user=65534, group=65534, extra_groups=[])
    assert (done.returncode, "start it as root" in done.stderr) == (1, True), done


def test_a_command_that_would_not_ask_it_does_not_start_it() -> None:
    done = run(sys.executable, "-P", "-m", "runsc_cli.main", "zygote")
    assert (done.returncode, "asks no zygote" in done.stderr) == (1, True), done
