"""What is measured, and what is to be reached."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from benchmarks.launch import descendants, run, running, timed

if TYPE_CHECKING:
    from benchmarks.bundles import Trees
    from benchmarks.runtimes import Runtime

NANOSECONDS, MILLISECONDS, MEGABYTES = "ns", "ms", "MB"

MODULES = """
    argparse array ast asyncio base64 bdb bisect bz2 calendar cmd code codecs collections colorsys
    configparser contextlib contextvars copy csv ctypes dataclasses datetime decimal difflib dis doctest email
    enum fcntl filecmp fileinput fnmatch fractions ftplib functools getpass gettext glob graphlib gzip hashlib
    heapq hmac html http.client http.server imaplib importlib.metadata inspect io ipaddress itertools json
    keyword linecache locale logging lzma mailbox mimetypes mmap multiprocessing netrc numbers operator
    optparse pathlib pdb pickle pkgutil platform plistlib poplib pprint profile pty queue quopri random
    reprlib resource runpy sched secrets selectors shelve shlex shutil smtplib socket socketserver sqlite3 ssl
    statistics string subprocess tarfile tempfile textwrap timeit
""".split()


@dataclass(frozen=True)
class Metric:
    """A figure, compared with that of the runtime `base`. The goal is a ratio to it, or `most` in the metric's unit."""

    name: str
    group: str
    unit: str
    base: str
    ratio: float | None = None
    most: float | None = None


class Case(Protocol):
    """Something to run; one run gives samples of one or several metrics. `starts`: of how containers start."""

    name: str
    starts: bool

    def metrics(self) -> list[Metric]: ...
    def measure(self, runtime: Runtime, trees: Trees) -> dict[str, list[float]]: ...


class SystemCalls:
    """guest.c times single system calls. The goals are those of the profile standard."""

    name = "calls"
    starts = False
    _NATIVE = 1.05

    def __init__(self, rounds: int) -> None:
        self._rounds = rounds

    def metrics(self) -> list[Metric]:
        goals = dict.fromkeys(("getpid", "stat", "read", "write", "pipe", "futex_wake", "mmap_munmap"), self._NATIVE)
        names = (
            "getpid",
            "open_close",
            "open_missing",
            "stat",
            "read",
            "write",
            "pipe",
            "futex_wake",
            "mmap_munmap",
            "fork_exec",
        )
        return [
            Metric(name, "system calls", NANOSECONDS, "native", goals.get(name), 25_000.0 if name == "open_close" else None) for name in names
        ]

    def measure(self, runtime: Runtime, trees: Trees) -> dict[str, list[float]]:
        out, _ = run(runtime, trees, trees.config(["/guest", "micro", str(self._rounds)], system=False))
        samples: dict[str, list[float]] = {}
        for line in out.splitlines():
            name, value = line.split()
            samples.setdefault(name, []).append(float(value))
        return samples


class Workload:
    """A program over the host's system directories. Only the program is timed, in the container, the first run apart."""

    starts = False

    def __init__(self, name: str, command: list[str], count: int, ratio: float) -> None:
        self.name = name
        self._command = command
        self._count = count
        self._ratio = ratio

    def metrics(self) -> list[Metric]:
        return [Metric(self.name, "workloads", MILLISECONDS, "native", self._ratio)]

    def measure(self, runtime: Runtime, trees: Trees) -> dict[str, list[float]]:
        command = [trees.python if word == "PYTHON" else word for word in self._command]
        out, _ = run(runtime, trees, trees.config(["/guest", "repeat", str(self._count + 1), *command], system=True))
        return {self.name: [int(line) / 1e6 for line in out.split()[1:]]}


class StartUp:
    """`run` of true in a busybox bundle, from the start of the command to its end."""

    name = "run_true"
    starts = True

    def __init__(self, count: int) -> None:
        self._count = count

    def metrics(self) -> list[Metric]:
        return [Metric(self.name, "start-up", MILLISECONDS, "runc", 1.5)]

    def measure(self, runtime: Runtime, trees: Trees) -> dict[str, list[float]]:
        if runtime.name == "native":
            return {}
        config = trees.config(["/bin/true"], system=False)
        return {self.name: [run(runtime, trees, config)[1] * 1e3 for _ in range(self._count)]}


class Exec:
    """`exec` of true in a container that sleeps."""

    name = "exec_true"
    starts = True

    def __init__(self, count: int) -> None:
        self._count = count

    def metrics(self) -> list[Metric]:
        return [Metric(self.name, "start-up", MILLISECONDS, "runc", 1.5)]

    def measure(self, runtime: Runtime, trees: Trees) -> dict[str, list[float]]:
        if runtime.name == "native":
            return {}
        config = trees.config(["/bin/sh", "-c", "echo ready; exec sleep 1000"], system=False)
        with running(runtime, trees, config, detach=True) as id:
            return {self.name: [timed(runtime, runtime.command(trees.state, "exec", id, "/bin/true")) * 1e3 for _ in range(self._count)]}


class Memory:
    """The proportional set size of the runtime's processes, while a container sleeps that has listed its whole tree before.

    In the foreground the command itself is among them; detached, as under an engine, only what stays. For a runtime
    that emulates the kernel (runsc) the workload's own memory is in it too.
    """

    name = "memory"
    starts = True
    _SCRIPT = "find / >/dev/null 2>&1; echo ready; exec sleep 1000"

    def metrics(self) -> list[Metric]:
        return [
            Metric("memory_foreground", "memory", MEGABYTES, "runc", most=30.0),
            Metric("memory_detached", "memory", MEGABYTES, "runc", most=30.0),
        ]

    def measure(self, runtime: Runtime, trees: Trees) -> dict[str, list[float]]:
        if runtime.name == "native":
            return {}
        config = trees.config(["/bin/sh", "-c", self._SCRIPT], system=False)
        samples = {}
        for name, detach in (("memory_foreground", False), ("memory_detached", True)):
            with running(runtime, trees, config, detach=detach):
                samples[name] = [sum(pss(pid) for pid, comm in descendants().items() if comm != "sleep")]
        return samples


def pss(pid: int) -> float:
    """Megabytes; 0 for a process that is a zombie or has just ended."""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            found = re.search(r"^Pss: +(\d+) kB", file.read(), re.MULTILINE)
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return int(found[1]) / 1024 if found else 0.0


def all_cases(*, quick: bool) -> list[Case]:
    """In the order of the table."""
    from benchmarks.containerd import Crowd

    few, many = (1, 3) if quick else (3, 10)
    imports = f"import {', '.join(MODULES)}"
    return [
        SystemCalls(few),
        Workload("python_imports", ["PYTHON", "-I", "-c", imports], many, 1.15),
        Workload("gcc", ["gcc", "-O2", "-c", "-o", "/tmp/program.o", "/data/program.c"], few, 1.25),
        Workload("git_status", ["git", "-C", "/data/repo", "status", "--porcelain"], many, 1.4),
        Workload("sort_gzip", ["sh", "-c", "sort /data/lines.txt | gzip -1"], few, 1.02),
        Workload("find", ["find", "/data/tree", "-type", "f", "-size", "+0"], many, 1.8),
        Workload("grep", ["grep", "-r", "needle", "/data/tree"], many, 1.8),
        StartUp(many),
        Exec(many),
        Memory(),
        Crowd(10 if quick else 100),
    ]
