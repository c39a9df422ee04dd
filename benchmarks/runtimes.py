"""What is measured: the plain host and the OCI runtimes, by their command lines and what they want of config.json."""

from __future__ import annotations

import copy
import ctypes
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Any

    Config = dict[str, Any]

CLONE_NEWNS = 0x20000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
_HYBRID = "/sys/fs/cgroup/unified"

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


helpers: set[int] = set()
"""Processes that are no container's: nobody ends them, nor asks what they take."""

IDLE = ("pysc-zygote", "pysc-nest")
"""The names of a zygote's workers while they have no command, and of what forks for them: the same holds for those."""


class Runtime:
    """An OCI runtime with runc's command line; the subclasses say what is different."""

    zygote = False
    """There is one beside it: only how containers start is different from another runtime of the table."""

    def __init__(self, name: str, program: str, *options: str) -> None:
        self.name = name
        self.program = program
        self.options = options
        self.engine_options = options
        """Those of a call by an engine, which brings its own --root."""

    def missing(self) -> str:
        """Why it cannot be measured here; empty when it can."""
        return "" if shutil.which(self.program) else f"{self.program} is not installed"

    def prepare(self) -> None:
        """What has to be done once, before anything is measured."""

    def version(self) -> str:
        shown = subprocess.run([self.program, "--version"], capture_output=True, text=True, check=True)
        return shown.stdout.splitlines()[0]

    def adapt(self, config: Config) -> Config:
        """The config as this runtime takes it."""
        return config

    def command(self, state: Path, verb: str, *words: str) -> list[str]:
        return [self.program, "--root", str(state / self.name.replace(" ", "-")), *self.options, verb, *words]

    def run(self, state: Path, bundle: Path, id: str, *, detach: bool = False) -> list[str]:
        return self.command(state, "run", *(("--detach",) if detach else ()), "--bundle", str(bundle), id)

    def delete(self, state: Path, id: str) -> list[str]:
        return self.command(state, "delete", "--force", id)

    def before_exec(self) -> Callable[[], None] | None:
        """What the child process does before it becomes the runtime."""
        return None

    @contextmanager
    def active(self) -> Iterator[None]:
        """While it is measured."""
        yield


class Native(Runtime):
    """No container: a process of the host that sees the same tree (benchmarks/native.py)."""

    def __init__(self) -> None:
        super().__init__("native", sys.executable)

    def version(self) -> str:
        return os.uname().release

    def run(self, state: Path, bundle: Path, id: str, *, detach: bool = False) -> list[str]:
        return [self.program, "-m", "benchmarks.native", str(bundle)]

    def delete(self, state: Path, id: str) -> list[str]:
        return ["true"]


class RuncSeccomp(Runtime):
    """runc with a filter that refuses a handful of calls: what any seccomp filter costs, and Docker's containers all have one."""

    _REFUSED = ("add_key", "bpf", "keyctl", "perf_event_open", "request_key", "userfaultfd")

    def __init__(self) -> None:
        super().__init__("runc+seccomp", "runc")

    def adapt(self, config: Config) -> Config:
        config = copy.deepcopy(config)
        refused = {"names": list(self._REFUSED), "action": "SCMP_ACT_ERRNO"}
        config["linux"]["seccomp"] = {
            "defaultAction": "SCMP_ACT_ALLOW",
            "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
            "syscalls": [refused],
        }
        return config


class Crun(Runtime):
    """crun refuses a host where cgroup v2 has controllers beside v1: there it runs in a mount namespace without v2."""

    def __init__(self) -> None:
        super().__init__("crun", "crun", "--cgroup-manager=disabled")
        self._mntns = -1
        self.engine_options = ()

    def adapt(self, config: Config) -> Config:
        config = copy.deepcopy(config)
        config["ociVersion"] = "1.0.2"  # the newest that Debian 12's knows
        config["linux"].pop("resources", None)  # "disabled" refuses them
        return config

    def prepare(self) -> None:
        if not os.path.ismount(_HYBRID):
            return
        ready, done = os.pipe(), os.pipe()
        pid = os.fork()
        if pid == 0:
            check(libc.unshare(CLONE_NEWNS), "unshare")
            check(libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None), "make mounts private")
            check(libc.umount2(_HYBRID.encode(), 0), "umount")
            os.write(ready[1], b"x")
            os.close(done[1])
            os.read(done[0], 1)
            os._exit(0)
        os.close(ready[1])
        if os.read(ready[0], 1):
            self._mntns = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        for fd in (ready[0], *done):
            os.close(fd)
        os.waitpid(pid, 0)

    def before_exec(self) -> Callable[[], None] | None:
        if self._mntns < 0:
            return None
        return lambda: check(libc.setns(self._mntns, CLONE_NEWNS), "setns")


class Pysc(Runtime):
    """pysc of the interpreter that runs the benchmarks, or another."""

    def prepare(self) -> None:
        # An environment with PYTHONDONTWRITEBYTECODE would compile everything anew in each command.
        import runsc_cli

        top = os.path.dirname(os.path.dirname(os.path.abspath(runsc_cli.__file__)))
        packages = [os.path.join(top, name) for name in ("runsc_cli", "sentry", "gofer")]
        subprocess.run([sys.executable, "-m", "compileall", "-q", *packages], check=True)


class Zygote(Pysc):
    """pysc beside a process that has all loaded: what is left of a start. It runs only while this is measured, so that no other asks it."""

    zygote = True

    @contextmanager
    def active(self) -> Iterator[None]:
        with subprocess.Popen([self.program, "zygote"], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            process.stderr.readline()  # it listens
            helpers.add(process.pid)
            try:
                yield
            finally:
                helpers.remove(process.pid)
                process.terminate()


def find_pysc() -> str:
    """The command beside this interpreter, else that of PATH."""
    beside = os.path.join(os.path.dirname(sys.executable), "pysc")
    return beside if os.path.exists(beside) else "pysc"


def all_runtimes(pysc: str) -> list[Runtime]:
    """In the order of the table's columns."""
    return [
        Native(),
        Runtime("runc", "runc"),
        RuncSeccomp(),
        Crun(),
        Runtime("runsc", "runsc", "--network=none", "--ignore-cgroups"),
        Pysc("pysc", pysc),
        Pysc("pysc strict", pysc, "--profile=strict"),
        Pysc("trusted", pysc, "--platform=namespace"),
        Zygote("pysc zygote", pysc),
        Zygote("trusted zygote", pysc, "--platform=namespace"),
    ]
