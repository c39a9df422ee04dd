"""What a command has from whoever called it, and how a worker of the zygote comes to have the same: execve(2), credentials(7), namespaces(7).

What it is for this process to set, it sets: directory, descriptors, environment, umask, limits, signals, priorities, cgroups. In all else
it must agree with the caller; where it does not, or anything of this fails, the caller does its work without a zygote.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os
import resource
import time
from fcntl import F_DUPFD_CLOEXEC, fcntl

from runsc_cli.rlimits import NUMBERS as LIMITS
from sentry.platform import signals
from sentry.platform._native import lib
from sentry.syscalls.numbers import NUMBERS

_SAME = (
    "Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs",
    "Speculation_Store_Bypass", "SpeculationIndirectBranch", "THP_enabled",
)  # fmt: skip
"""Lines of /proc/PID/status, proc_pid_status(5)."""

_SAME_FILES = ("attr/current", "personality")
_WRITTEN = ("oom_score_adj", "coredump_filter", "timerslack_ns")
_LOADER = (b"LD_", b"GLIBC_TUNABLES", b"MALLOC_")
_LIBRARY_PATH = b"LD_LIBRARY_PATH"
"""All that containerd starts has it. It says where libraries are found, and ours are loaded: no reason to decline."""
_UTF8 = ("utf-8", "utf8")
_STDIO = range(3)
_PRIO_PROCESS, _IOPRIO_WHO_PROCESS = 0, 1
_UNIFIED = ""
_PYTHON_SETS = (signals.SIGINT, signals.SIGTERM, signals.SIGCHLD)
"""Those that a worker finds in another state than a command, since the zygote has handlers of its own."""


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Settings = dict[str, Any]


class Declined(Exception):
    """The caller is to do without: why, for the log."""


def facts(pid: int | str, status: dict[str, str]) -> dict[str, object]:
    """What the zygote and a caller must have in common. `status`: of fields()."""
    found: dict[str, object] = {name: status.get(name) for name in _SAME}
    for name in os.listdir("/proc/self/ns"):
        found[f"{name} namespace"] = os.readlink(f"/proc/{pid}/ns/{name}")
    for name in _SAME_FILES:
        try:
            found[name] = _read(pid, name)
        except OSError as error:  # this kernel has none, or nothing to say: then for both
            found[name] = error.errno
    root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    found["root directory"] = (*os.fstat(root)[:2], lib.fd_mount(root))
    os.close(root)
    number = pid if isinstance(pid, int) else 0
    found["scheduling"] = (os.sched_getscheduler(number), os.sched_getparam(number).sched_priority)
    return found


def settings(pid: int) -> Settings:
    """Limits and scheduling of a process, 0 for this one: what can be taken over. Raises OSError."""
    found: Settings = {name: resource.prlimit(pid, number) for name, number in LIMITS.items()}
    for name in _WRITTEN:
        found[name] = _read(pid or "self", name)
    found["nice"] = os.getpriority(_PRIO_PROCESS, pid)
    found["affinity"] = os.sched_getaffinity(pid)
    found["ioprio"] = lib.syscall6(NUMBERS["ioprio_get"], _IOPRIO_WHO_PROCESS, pid, 0, 0, 0, 0)
    return found


def change_settings(before: Settings, after: Settings) -> None:
    """Of this process. Raises OSError, and ValueError for a limit that it may not raise."""
    for name, value in after.items():
        if value == before[name]:
            continue
        if name in LIMITS:
            resource.setrlimit(LIMITS[name], value)
        elif name in _WRITTEN:
            with open(f"/proc/self/{name}", "wb", 0) as file:
                file.write(value)
        elif name == "nice":
            os.setpriority(_PRIO_PROCESS, 0, value)
        elif name == "affinity":
            os.sched_setaffinity(0, value)
        else:
            error = lib.syscall6(NUMBERS["ioprio_set"], _IOPRIO_WHO_PROCESS, 0, value, 0, 0, 0)
            if error < 0:
                raise OSError(-error, os.strerror(-error))


class Caller:
    """The process `pid`, which waits for our answer and so does not change."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._status = fields(pid)
        self.argv = _strings(pid, "cmdline")
        self.settings = settings(pid)
        self.ignored = _signals(self._status["SigIgn"]) - {signals.SIGPIPE, signals.SIGXFSZ}
        """Signals, but for those that an interpreter ignores anyway."""
        self.environ = [entry for each in _strings(pid, "environ") if (entry := each.partition(b"="))[1]]

    def check(self, command: str) -> None:
        """Raises Declined, OSError unless it executes the file `command`, DEVICE.INODE: it may have gone on alone meanwhile."""
        there = os.stat(f"/proc/{self.pid}/exe")
        if command != identity(there):
            raise Declined("it is not the client, or no longer")

    def compare(self, ours: dict[str, object]) -> None:
        """Raises Declined, OSError where it is not what we are, who have the facts `ours`, or has what we cannot have."""
        if self._status["Seccomp"] != "0":
            raise Declined("it has a seccomp filter")
        if self.settings["RLIMIT_CPU"][0] != resource.RLIM_INFINITY:
            raise Declined("its processor time is limited, and we have used some for others")
        theirs = facts(self.pid, self._status)
        for name, value in ours.items():
            if theirs.get(name) != value:
                raise Declined(f"its {name} is {theirs.get(name)!r}, the zygote's {value!r}")

    def check_environment(self) -> None:
        """Raises Declined where it would mean something to an interpreter, or is about a process and not us."""
        environ = {name: value for name, _, value in reversed(self.environ)}
        locale = next((value for name in (b"LC_ALL", b"LC_CTYPE", b"LANG") if (value := environ.get(name, b""))), b"C")
        if locale not in (b"C", b"POSIX") and not os.fsdecode(locale).lower().endswith(_UTF8):
            raise Declined(f"the character set of {os.fsdecode(locale)}")
        for name in environ:
            if name == b"LISTEN_PID" or (name.startswith(_LOADER) and name != _LIBRARY_PATH):
                raise Declined(f"{os.fsdecode(name)} is set")

    def numbers(self, own: set[int]) -> list[int]:
        """Of its descriptors, without its `own`, which it has for us. Raises Declined, OSError."""
        numbers = [number for number in map(int, os.listdir(f"/proc/{self.pid}/fd")) if number not in own]
        if not set(_STDIO).issubset(numbers):
            raise Declined("stdio is closed")
        return numbers

    def take(self, numbers: list[int], above: int, ours: Settings) -> None:
        """Become like it. Its `numbers` are below `above`, where nothing of ours remains. Raises Declined, OSError, ValueError."""
        self._take_descriptors(numbers, above)
        directory = os.open(f"/proc/{self.pid}/cwd", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        os.fchdir(directory)
        os.close(directory)
        os.umask(int(self._status["Umask"], 8))
        change_settings(ours, self.settings)
        self._take_signals()
        environ = {name: value for name, _, value in reversed(self.environ)}  # getenv(3): the first counts
        zone = os.environb.get(b"TZ")
        for name in [name for name in os.environb if name not in environ]:
            del os.environb[name]
        for name, value in environ.items():
            if os.environb.get(name) != value:
                os.environb[name] = value
        if zone != environ.get(b"TZ"):
            time.tzset()

    def _take_descriptors(self, numbers: list[int], above: int) -> None:
        copies = {}
        for number in numbers:
            fd = lib.get_fd(self.pid, number)
            if fd < 0:
                raise OSError(-fd, os.strerror(-fd))
            copies[number] = fcntl(fd, F_DUPFD_CLOEXEC, above)
            os.close(fd)
        if any(os.isatty(copies[number]) for number in _STDIO):
            raise Declined("a terminal, whose job control is about processes of its session")
        os.closerange(0, above)
        for number, fd in copies.items():
            os.dup2(fd, number)
            os.close(fd)

    def _take_signals(self) -> None:
        """As an interpreter finds them and changes them when it starts. The zygote ignores none that may be otherwise."""
        for number in {*_PYTHON_SETS, *self.ignored}:
            usual = _signal.default_int_handler if number == signals.SIGINT else signals.SIG_DFL
            signals.handle(number, signals.SIG_IGN if number in self.ignored else usual)
        _signal.pthread_sigmask(_signal.SIG_SETMASK, _signals(self._status["SigBlk"]))

    def cgroups(self) -> tuple[str, list[str]]:
        """The directories of its cgroups where they are not ours: of version 2, empty if it is, and of version 1. Raises HostError."""
        from runsc_cli.cgroups import hierarchy

        text = _read(self.pid, "cgroup")
        if text == _read("self", "cgroup"):
            return "", []
        found = hierarchy.find()
        own, found.own = found.own, hierarchy.parse_own(os.fsdecode(text))
        theirs = found.own
        differing = [each for each in theirs if theirs[each] != own.get(each)]
        if not all(each in found.mounts for each in differing):
            raise Declined("it is in a cgroup of a hierarchy that is not mounted")
        unified = found.directory(_UNIFIED) if _UNIFIED in differing else ""
        return unified, list(dict.fromkeys(found.directory(each) for each in differing if each != _UNIFIED))


def identity(file: os.stat_result) -> str:
    """By which client and zygote know each other: the client's file."""
    return f"{file.st_dev:x}.{file.st_ino:x}"


def fields(pid: int | str, name: str = "status") -> dict[str, str]:
    """The lines of /proc/PID/status, or another one of its like."""
    lines = _read(pid, name).decode(errors="replace").splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _read(pid: int | str, name: str) -> bytes:
    """A file of /proc/PID. Raises OSError."""
    fd = os.open(f"/proc/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return b"".join(iter(lambda: os.read(fd, 1 << 17), b""))
    finally:
        os.close(fd)


def _strings(pid: int, name: str) -> list[bytes]:
    return _read(pid, name).split(b"\0")[:-1]


def _signals(mask: str) -> set[int]:
    bits = int(mask, 16)
    return {number for number in signals.every() if bits >> (number - 1) & 1}
