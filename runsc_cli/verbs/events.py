"""pysc events: what a container uses, every few seconds, and when it is out of memory; a JSON object a line, as runc prints it."""

from __future__ import annotations

import os
from select import POLLERR, POLLIN, POLLPRI, poll
from time import monotonic

from runsc_cli.cgroups.stats import stats
from runsc_cli.cgroups.write import get, put
from runsc_cli.errors import PyscError
from runsc_cli.state import STOPPED
from sentry.platform.jsontext import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from runsc_cli.context import Context
    from runsc_cli.options import Options

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def run(options: Options, args: list[str], context: Context) -> int:
    interval = duration(options["interval"])
    if interval <= 0:
        raise PyscError("duration interval must be greater than 0")
    container = context.store().load(args[0])
    init = container.state.init
    if container.status() == STOPPED or init is None:
        raise PyscError(f"container with id {container.id} is not running")
    cgroups = container.state.cgroups
    if options["stats"]:
        _say(container.id, "stats", stats(cgroups))
        return 0
    pidfd = init.open()
    memory = _Memory(cgroups)
    waiting = poll()
    waiting.register(pidfd, POLLIN)
    if memory.fd >= 0:
        waiting.register(memory.fd, memory.events)
    due = monotonic() + interval
    while True:
        ready = {fd for fd, _ in waiting.poll(max(0.0, due - monotonic()) * 1000)}
        # version 2 tells at most every 10 ms, so the end may come before the word of what was its cause
        if (memory.fd in ready or (pidfd in ready and memory.can_be_asked)) and memory.exhausted():
            _say(container.id, "oom")
        if pidfd in ready:
            return 0
        if monotonic() >= due:
            _say(container.id, "stats", stats(cgroups))
            due += interval


def _say(id: str, kind: str, data: object = None) -> None:
    print(dumps({"type": kind, "id": id} | ({} if data is None else {"data": data})), flush=True)


class _Memory:
    """The kernel's word that the container is out of memory: an eventfd of version 1, memory.events of version 2. `fd` -1: none."""

    __slots__ = ("_control", "_count", "_path", "events", "fd")

    def __init__(self, cgroups: Iterable[str]) -> None:
        self.fd = self._control = -1
        self.events = POLLIN
        self._path = ""
        self._count = 0
        for directory in cgroups:
            if os.path.exists(f"{directory}/memory.oom_control"):
                self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
                self._control = os.open(f"{directory}/memory.oom_control", os.O_RDONLY | os.O_CLOEXEC)
                put(f"{directory}/cgroup.event_control", f"{self.fd} {self._control}")
                self._path = f"{directory}/memory.oom_control"
                return
        for directory in cgroups:
            if os.path.exists(f"{directory}/memory.events"):
                self.events = POLLPRI | POLLERR
                self._path = f"{directory}/memory.events"
                self.fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
                self._count = self._kills()
                return

    @property
    def can_be_asked(self) -> bool:
        """There is a count to look at, also when poll(2) has found nothing."""
        return self.fd >= 0 and self._control < 0

    def exhausted(self) -> bool:
        """Take what poll(2) has found; the removal of the cgroup is told as well, and is none."""
        if self._control >= 0:
            os.eventfd_read(self.fd)
            return os.path.exists(self._path)
        before, self._count = self._count, self._kills()
        return self._count > before

    def _kills(self) -> int:
        try:
            os.lseek(self.fd, 0, os.SEEK_SET)
            os.read(self.fd, 4096)  # which also makes poll(2) wait for the next change
            rows = (line.split() for line in get(self._path).splitlines())
        except OSError:
            return 0
        return int({row[0]: row[1] for row in rows}.get("oom_kill", 0))


def duration(text: str) -> float:
    """Seconds, from Go's form: 5s, 1m30s, 250ms. Raises PyscError."""
    total = 0.0
    rest = text
    while rest:
        digits = rest[: len(rest) - len(rest.lstrip("0123456789."))]
        rest = rest[len(digits) :]
        unit = rest[: len(rest) - len(rest.lstrip("nuµmsh"))]
        rest = rest[len(unit) :]
        if unit not in _UNITS or digits.count(".") > 1 or not digits.strip("."):
            break
        total += float(digits) * _UNITS[unit]
    else:
        if text:
            return total
    raise PyscError(f'invalid value "{text}" for flag -interval: parse error')
