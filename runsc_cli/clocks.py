"""A container's time namespace: time_namespaces(7), config-linux.md#offset-for-time-namespace.

Every container has one. Where the config asks for none, its clocks begin with its first process, which hides how long the host is up.
Where it does, a clock that linux.timeOffsets does not name is the host's, as the specification has it; or the namespace is joined.
"""

from __future__ import annotations

import os

from runsc_cli import directory, launch
from sentry.abi import AT_FDCWD, CLONE_NEWTIME, O_CLOEXEC, PR_SET_DUMPABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runsc_cli.oci.model import Spec
    from runsc_cli.stage.program import Program

_CLOCKS = ("monotonic", "boottime")


def flag(spec: Spec) -> int:
    """CLONE_NEWTIME, unless a namespace is joined."""
    asked = spec.linux.namespace("time")
    return 0 if asked is not None and asked.path else CLONE_NEWTIME


def settings(p: Program, spec: Spec, stage: int) -> int:
    """Append the calls that set the clocks of a new namespace. Returns the host's second of CLOCK_BOOTTIME that is zero in the container.

    `stage`: pid of the stage, which is in the namespace already if that is joined. Raises OSError.
    """
    asked = spec.linux.namespace("time")
    if asked is None:
        return launch.clocks_from_zero(p)
    if asked.path:
        return -_offset(directory.read(f"/proc/{stage}/timens_offsets"))
    given = spec.linux.time_offsets
    lines = "".join(f"{clock} {given[clock].secs} {given[clock].nanosecs}\n" for clock in _CLOCKS if clock in given).encode()
    if lines:
        what = "linux.timeOffsets"
        p.call("prctl", PR_SET_DUMPABLE, 1)
        file = p.call("openat", AT_FDCWD, b"/proc/self/timens_offsets", os.O_WRONLY | O_CLOEXEC, 0, what=what)
        p.call("write", file, lines, len(lines), what=what)
        p.call("close", file)
        p.call("prctl", PR_SET_DUMPABLE, 0)
    return -given["boottime"].secs if "boottime" in given else 0


def _offset(text: str) -> int:
    """Seconds that are added to CLOCK_BOOTTIME, from what the kernel shows: a line a clock, its seconds, its nanoseconds."""
    rows = (line.split() for line in text.splitlines())
    return next((int(row[1]) for row in rows if row[0] == "boottime"), 0)
