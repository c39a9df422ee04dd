"""What the tests of the command line share beside fixtures."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from typing import TypeAlias

    from runsc_cli.state import Container

    Spawn: TypeAlias = "Callable[..., subprocess.Popen[str]]"
    Pysc: TypeAlias = "Callable[..., Answer]"


class Answer:
    """What a command printed, and its exit code."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    @property
    def message(self) -> str:
        """The message of the one line on stderr, in logrus's text format."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        return lines[0].partition(" msg=")[2].removeprefix('"').removesuffix('"').replace('\\"', '"')


def stop(container: Container) -> None:
    """End a container's init and wait until it has, without reaping it: nobody may ever do that."""
    init = container.state.init
    assert init is not None
    os.kill(init.pid, signal.SIGKILL)
    os.waitid(os.P_PID, init.pid, os.WEXITED | os.WNOWAIT)


def enter(cgroup: str, pid: int) -> None:
    with open(f"{cgroup}/cgroup.procs", "w") as procs:
        procs.write(str(pid))
