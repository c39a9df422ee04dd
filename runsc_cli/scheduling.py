"""When a process gets CPUs and disks, and which: process.scheduler, ioPriority and execCPUAffinity of config.json.

Man pages: sched_setattr(2), ioprio_set(2), sched_setaffinity(2). All of it is set on the process from outside and with the caller's
privileges, for a real-time policy and a negative nice value are more than the container may give itself.
"""

from __future__ import annotations

import os
import struct

from runsc_cli.errors import PyscError, strerror
from sentry.platform._native import ffi, lib
from sentry.syscalls.numbers import NUMBERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runsc_cli.oci.model import CPUAffinity, IOPriority, Scheduler

POLICIES = {
    "SCHED_OTHER": 0,
    "SCHED_FIFO": 1,
    "SCHED_RR": 2,
    "SCHED_BATCH": 3,
    "SCHED_ISO": 4,
    "SCHED_IDLE": 5,
    "SCHED_DEADLINE": 6,
}
FLAGS = {
    f"SCHED_FLAG_{name}": 1 << bit
    for bit, name in enumerate(("RESET_ON_FORK", "RECLAIM", "DL_OVERRUN", "KEEP_POLICY", "KEEP_PARAMS", "UTIL_CLAMP_MIN", "UTIL_CLAMP_MAX"))
}
IO_CLASSES = {"IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3}

_SCHED_ATTR = struct.Struct("<IIQiIQQQII")
_IOPRIO_WHO_PROCESS, _IOPRIO_CLASS_SHIFT = 1, 13


def schedule(pid: int, asked: Scheduler) -> None:
    """Raises PyscError."""
    flags = 0
    for name in asked.flags:
        flags |= FLAGS[name]
    attr = _SCHED_ATTR.pack(
        _SCHED_ATTR.size, POLICIES[asked.policy], flags, asked.nice, asked.priority, asked.runtime, asked.deadline, asked.period, 0, 0
    )
    memory = ffi.from_buffer(attr)
    error = lib.syscall6(NUMBERS["sched_setattr"], pid, int(ffi.cast("uintptr_t", memory)), 0, 0, 0, 0)
    if error < 0:
        raise PyscError(f"process.scheduler: set {asked.policy}: {os.strerror(-error).lower()}")


def prioritise_io(pid: int, asked: IOPriority) -> None:
    """Raises PyscError."""
    value = IO_CLASSES[asked.class_] << _IOPRIO_CLASS_SHIFT | asked.priority
    error = lib.syscall6(NUMBERS["ioprio_set"], _IOPRIO_WHO_PROCESS, pid, value, 0, 0, 0)
    if error < 0:
        raise PyscError(f"process.ioPriority: set {asked.class_}: {os.strerror(-error).lower()}")


def pin_before(pid: int, asked: CPUAffinity) -> None:
    """Before the process enters the container's cgroup. Raises PyscError."""
    if asked.initial:
        _pin(pid, cpus(asked.initial), "process.execCPUAffinity.initial")


def pin_after(pid: int, asked: CPUAffinity) -> None:
    """When it has: without a list of its own it has what the cgroup has, not what it had before. Raises PyscError."""
    if asked.final:
        _pin(pid, cpus(asked.final), "process.execCPUAffinity.final")
    elif asked.initial:
        _pin(pid, set(range(os.sysconf("SC_NPROCESSORS_CONF"))), "process.execCPUAffinity.initial")


def _pin(pid: int, wanted: set[int], field: str) -> None:
    try:
        os.sched_setaffinity(pid, wanted)
    except (OSError, ValueError, OverflowError) as error:
        why = strerror(error) if isinstance(error, OSError) else str(error)
        raise PyscError(f"{field}: {why}: none of these CPUs is there, or the cgroup has none of them") from None


def cpus(text: str) -> set[int]:
    """The numbers in a list as cpuset(7) writes it, of which check.py has made sure: 0-3,7."""
    found: set[int] = set()
    for part in filter(None, (each.strip() for each in text.split(","))):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found
