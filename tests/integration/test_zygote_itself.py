"""The life of a zygote: how it begins and ends, and what becomes of commands meanwhile."""

from __future__ import annotations

import os
import signal
import stat
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
    from collections.abc import Iterator

pytestmark = [pytest.mark.integration, *NEEDS]

LONGER = 60


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
