"""One run of a container: started, timed, and nothing of it left, whatever happens."""

from __future__ import annotations

import ctypes
import os
import re
import select
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks.runtimes import IDLE, check, helpers, libc

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.bundles import Trees
    from benchmarks.runtimes import Config, Runtime

PR_SET_CHILD_SUBREAPER = 36
_DEADLINE = 300.0


class Failed(Exception):
    """A runtime did not do what it was asked to; the text is what it said."""


def adopt_orphans() -> None:
    """Become the parent of what the runtimes leave behind, as a container engine's shim does."""
    check(libc.prctl(PR_SET_CHILD_SUBREAPER, *(ctypes.c_ulong(n) for n in (1, 0, 0, 0))), "PR_SET_CHILD_SUBREAPER")


def run(runtime: Runtime, trees: Trees, config: Config) -> tuple[str, float]:
    """Run a container to its end: what it printed, and the seconds from the start of the command to its end."""
    id = f"bench-{os.getpid()}"
    bundle = trees.bundle(runtime, config, id)
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        argv, setup = runtime.run(trees.state, bundle, id), runtime.before_exec()
        began = time.perf_counter()
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, preexec_fn=setup)
        try:
            status = process.wait() if _ends(process.pid) else -1
            took = time.perf_counter() - began
        finally:
            _end(runtime, trees, id)
        out.seek(0)
        err.seek(0)
        if status != 0:
            raise Failed(f"exit status {status}: {_message(err.read())}")
        return out.read(), took


def timed(runtime: Runtime, argv: list[str]) -> float:
    """The seconds that a command takes."""
    with tempfile.TemporaryFile("w+") as err:
        began = time.perf_counter()
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=err, stderr=err, preexec_fn=runtime.before_exec())
        status = process.wait() if _ends(process.pid) else -1
        took = time.perf_counter() - began
        err.seek(0)
        if status != 0:
            raise Failed(f"exit status {status}: {_message(err.read())}")
        return took


def _ends(pid: int) -> bool:
    """Wait for the end of a child, at most _DEADLINE. Popen.wait() with a timeout looks after 0.5, 1, 2, 4 … 32 ms of sleep."""
    pidfd = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        return bool(poll.poll(_DEADLINE * 1000))
    finally:
        os.close(pidfd)


@contextmanager
def running(runtime: Runtime, trees: Trees, config: Config, *, detach: bool) -> Iterator[str]:
    """A container that has printed `ready` and stays; its id."""
    id = f"bench-{os.getpid()}"
    bundle = trees.bundle(runtime, config, id)
    ours, theirs = os.pipe()
    argv, setup = runtime.run(trees.state, bundle, id, detach=detach), runtime.before_exec()
    with tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=theirs, stderr=err, preexec_fn=setup)
        os.close(theirs)
        try:
            with open(ours) as lines:
                if lines.readline() != "ready\n":
                    err.seek(0)
                    raise Failed(_message(err.read()))
                if detach:
                    process.wait(_DEADLINE)
                yield id
        finally:
            _end(runtime, trees, id)
            process.wait()


def _end(runtime: Runtime, trees: Trees, id: str) -> None:
    """Delete the container, and whatever still descends from us."""
    subprocess.run(runtime.delete(trees.state, id), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    end_descendants()


def end_descendants() -> None:
    """Kill and reap whatever descends from us."""
    while left := descendants():
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue  # a zygote's worker, whom the kernel reaps
        for pid in left:
            try:
                os.waitpid(pid, 0)
            except ChildProcessError:
                continue  # a grandchild: it becomes ours when its parent has ended


def _message(stderr: str) -> str:
    """The last line, of a log line in logrus's format its message."""
    last = (stderr.strip().splitlines() or ["no message"])[-1]
    found = re.search(r' msg="(.*)"$', last)
    return found[1] if found else last


def descendants() -> dict[int, str]:
    """Our children and theirs, zombies too, but for helpers: pid -> name."""
    parents: dict[int, list[int]] = {}
    names: dict[int, str] = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat", errors="replace") as file:
                name, _, rest = file.read().partition(" (")[2].rpartition(") ")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
        parents.setdefault(int(rest.split()[1]), []).append(int(entry))
        names[int(entry)] = name
    found: dict[int, str] = {}
    todo = [os.getpid()]
    while todo:
        parent = todo.pop()
        for child in parents.get(parent, []):
            if child not in helpers and not (names[child] in IDLE and names.get(parent) in IDLE):  # a zygote's own, which end with it
                found[child] = names[child]
            todo.append(child)
    return found
