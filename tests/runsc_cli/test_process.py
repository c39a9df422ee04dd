from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from runsc_cli.process import Process, end, exited

if TYPE_CHECKING:
    from stand_ins import Spawn


def test_a_process_is_alive_until_it_ends_reaped_or_not(spawn: Spawn) -> None:
    child = spawn()
    process = Process.of(child.pid)
    assert process.alive()
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not process.alive(), "a zombie has ended"
    child.wait()
    assert not process.alive()
    with pytest.raises(ProcessLookupError):
        Process.of(child.pid)


def test_another_process_under_the_same_pid_is_not_it(spawn: Spawn) -> None:
    child = spawn()
    earlier = Process(child.pid, Process.of(child.pid).start - 1)
    assert not earlier.alive()
    with pytest.raises(ProcessLookupError):
        earlier.open()
    with pytest.raises(ProcessLookupError):
        earlier.send(signal.SIGKILL)
    assert end([earlier], 0)
    assert child.poll() is None, "the stranger must survive"


def test_the_start_time_is_read_behind_a_hostile_name() -> None:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        with open("/proc/self/comm", "w") as comm:
            comm.write("x) Z 1 (")
        os.write(writing, b"x")
        signal.pause()
    try:
        os.read(reading, 1)
        assert Process.of(pid).alive()
        assert Process.of(pid).start >= Process.of(os.getpid()).start
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(reading)
        os.close(writing)


def test_send_delivers(spawn: Spawn) -> None:
    child = spawn()
    Process.of(child.pid).send(signal.SIGTERM)
    assert child.wait() == -signal.SIGTERM


def test_exited_waits_no_longer_than_it_may(spawn: Spawn) -> None:
    child, lasting = spawn(), spawn()
    pidfds = [Process.of(child.pid).open(), Process.of(lasting.pid).open()]
    try:
        child.kill()
        assert exited(pidfds[:1], None)
        assert not exited(pidfds, 0.01)
    finally:
        for pidfd in pidfds:
            os.close(pidfd)


def test_end_kills_all_of_them(spawn: Spawn) -> None:
    children = [spawn() for _ in range(3)]
    processes = [Process.of(child.pid) for child in children]
    assert end(processes, 10)
    assert not any(process.alive() for process in processes)
    assert end(processes, 10), "again, with zombies"


def test_equal_by_pid_and_start() -> None:
    assert Process(1, 2) == Process(1, 2)
    assert len({Process(1, 2), Process(1, 2), Process(1, 3)}) == 2
    assert Process(1, 2) != (1, 2)
