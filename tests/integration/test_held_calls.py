"""Calls that wait in the sentry for a caller that is killed: nobody else meets what waited in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from containers import requires

if TYPE_CHECKING:
    from containers import Pysc

pytestmark = [pytest.mark.integration, requires("python3", "taskset")]

ROUNDS = 500

PROGRAM = f"""if True:
    import os, signal
    def sleeping(pid):
        in_a_row = 0
        while in_a_row < 3:
            in_a_row = in_a_row + 1 if open(f"/proc/{{pid}}/stat").read().rpartition(")")[2].split()[0] in "SDZt" else 0
    def opening(flags):
        pid = os.fork()
        if pid == 0:
            os.open("/tmp/p", flags)
            os._exit(0)
        return pid
    def killed(flags):
        pid = opening(flags)
        sleeping(pid)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    signal.alarm(60)  # before the time of the test is up
    for i in range({ROUNDS}):
        os.mkfifo("/tmp/p")
        killed(os.O_RDONLY)
        readers = [opening(os.O_RDONLY) for _ in range(2)]
        for pid in readers: sleeping(pid)
        writer = os.open("/tmp/p", os.O_WRONLY)  # they may have it and be gone before this returns
        for pid in readers: os.waitpid(pid, 0)
        os.close(writer)
        killed(os.O_WRONLY)
        reader = opening(os.O_RDONLY)
        sleeping(reader)
        assert os.waitpid(reader, os.WNOHANG) == (0, 0), "released by the dead"
        writer = os.open("/tmp/p", os.O_WRONLY)
        os.waitpid(reader, 0)
        os.close(writer)
        os.unlink("/tmp/p")
    print("ok")
"""


@pytest.mark.platforms("notify", "ptrace")
def test_fifos_of_the_dead(pysc: Pysc) -> None:
    """On one CPU, where the sentry and its callers take turns at any moment."""
    met_nobody(pysc)


WAITING = """if True:
    import os, signal
    signal.alarm(60)
    os.mkfifo("/tmp/p")
    opener = os.fork()
    while opener == 0:
        os.close(os.open("/etc/passwd", os.O_RDONLY))
    for i in range(200):
        reader = os.fork()
        if reader == 0:
            os.open("/tmp/p", os.O_RDONLY)
            os._exit(0)
        os.close(os.open("/tmp/p", os.O_WRONLY))
        os.waitpid(reader, 0)
    os.kill(opener, signal.SIGKILL)
    print("ok")
"""


@pytest.mark.platforms("notify", "ptrace")
def test_opens_while_others_get_what_they_have_waited_for(pysc: Pysc) -> None:
    """On ptrace one thread takes a waiting caller through the steps in which it gets its descriptor, and serves all others meanwhile."""
    done = pysc("do", "--quiet", "--", "python3", "-c", WAITING, timeout=100)
    assert (done.code, done.out) == (0, "ok\n"), done


def test_the_same_with_a_file_server(pysc: Pysc) -> None:
    met_nobody(pysc, "--directfs=false")


def met_nobody(pysc: Pysc, *options: str) -> None:
    done = pysc(*options, "do", "--quiet", "--", "taskset", "-c", "0", "python3", "-c", PROGRAM, timeout=100)
    assert (done.code, done.out) == (0, "ok\n"), done
