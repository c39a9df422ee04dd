"""A zygote for tests: `with Zygote() as zygote`. Its command is the one of the virtual environment, which asks it."""

from __future__ import annotations

import os
import subprocess
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import pytest
from containers import NEST, ZYGOTE, descendants, requires

if TYPE_CHECKING:
    from types import TracebackType

COMMAND = Path(sysconfig.get_path("scripts")) / "pysc"

NEEDS = (
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not COMMAND.exists(), reason="no pysc command in this environment"),
    requires("busybox"),
)
"""The marks of tests with a zygote."""


class Zygote:
    """There is one for an installation at a time, in each mount namespace that has a /run of its own."""

    command = COMMAND
    running: ClassVar[list[Zygote]] = []

    def __init__(self, *prefix: object) -> None:
        """`prefix`: what its command line begins with."""
        self._prefix = prefix

    def __enter__(self) -> Self:
        self._log = tempfile.NamedTemporaryFile("r", prefix="zygote")
        with open(self._log.name, "a") as log:
            line = [*map(str, self._prefix), COMMAND, "--debug", "zygote"]
            self._process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stderr=log, process_group=0)
        self.pid = self._process.pid
        deadline = time.monotonic() + 30
        said = ""
        while not said.endswith("\n"):
            assert time.monotonic() < deadline, said
            time.sleep(0.01)
            said += self.log()
        assert said.startswith("listening at "), said
        self.socket = Path(said.split()[-1])
        self.running.append(self)
        return self

    def log(self) -> str:
        """What it has said since the last time."""
        return self._log.read()

    def workers(self) -> list[int]:
        """Those that have a client."""
        return [pid for pid, name in self._children().items() if name not in (ZYGOTE, NEST)]

    def nests(self) -> list[int]:
        return [pid for pid, name in self._children().items() if name == NEST]

    def _children(self) -> dict[int, str]:
        """Their names. /proc/PID/task/TID/children may leave out one that ends: proc_tid_children(5)."""
        found = {}
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                stat = Path(f"/proc/{entry}/stat").read_text(errors="replace")
            except (FileNotFoundError, ProcessLookupError):
                continue
            name, _, rest = stat.partition(" (")[2].rpartition(") ")
            if int(rest.split()[1]) == self.pid:
                found[int(entry)] = name
        return found

    def rest(self) -> None:
        """Wait until its workers have done with their commands, which takes them a moment more than their clients."""
        deadline = time.monotonic() + 5
        while self.workers() and time.monotonic() < deadline:
            time.sleep(0.001)

    def wait(self) -> int:
        """Until it has ended, and those with it that waited for a client: its exit code, negative after a signal."""
        code = self._process.wait(60)
        if self in self.running:
            self.running.remove(self)
        settle(ZYGOTE)
        return code

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self.rest()
        self._process.terminate()
        self.wait()
        self._log.close()


def settle(*names: str) -> None:
    """Wait until those of these names have ended that belong to no zygote that runs: a nest ends just after its worker."""
    zygotes = {zygote.pid for zygote in Zygote.running}
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        running = [pid for pid, shown in descendants().items() if shown.partition(" ")[2] in names and shown[0] != "Z"]
        if zygotes.issuperset(running):
            break
        time.sleep(0.001)
