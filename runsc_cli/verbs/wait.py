"""pysc wait: waits for a process of a container, prints {"id": ..., "exitStatus": ...} as runsc does.

exitStatus is 0 to 255, 128+n after signal n, and null when nobody knows: init is not our child, so its status comes
from its zombie in /proc, from the kernel's record of a reaped process (PIDFD_GET_INFO, Linux 6.15), or from what
`run` or the sentry wrote down; a container that stopped before any of them looked has none.
"""

from __future__ import annotations

import os
from fcntl import ioctl

from runsc_cli import directory
from runsc_cli.errors import PyscError
from runsc_cli.members import in_container, members
from runsc_cli.process import Process, exited
from sentry.platform.jsontext import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runsc_cli.context import Context
    from runsc_cli.options import Options
    from runsc_cli.state import Container

# include/uapi/linux/pidfd.h: _IOWR(0xff, 11, struct pidfd_info) with the 64 bytes of its first version.
_PIDFD_GET_INFO = 3 << 30 | 64 << 16 | 0xFF << 8 | 11
_PIDFD_INFO_EXIT = 1 << 3
_EXIT_CODE = slice(60, 64)


def run(options: Options, args: list[str], context: Context) -> int:
    container = context.store().load(args[0])
    process = _chosen(container, options["pid"], options["rootpid"])
    status = wait_for(process) if process is not None else None
    if status is None and process == container.state.init:
        status = container.exit_status()
    print(dumps({"id": container.id, "exitStatus": status}))
    return 0


def _chosen(container: Container, pid: int | None, rootpid: int | None) -> Process | None:
    state = container.state
    if pid is not None:
        process = in_container(state, pid)
    elif rootpid is not None:
        process = Process.of(rootpid) if rootpid in members(state) else None
    else:
        return state.init
    if process is None:
        wanted = pid if pid is not None else rootpid
        raise PyscError(f"container {container.id} has no process {wanted}; see pysc ps {container.id}")
    return process


def wait_for(process: Process) -> int | None:
    """Wait until a process that need not be our child has ended; its exit status, None when unknown."""
    try:
        pidfd = process.open()
    except ProcessLookupError:
        return None
    try:
        exited([pidfd], None)
        # Reaped between two looks, it leaves the first source and enters the second.
        for source in (_of_zombie, _of_reaped):
            code = source(process.pid, pidfd)
            if code is not None:
                return code >> 8 & 0xFF if code & 0x7F == 0 else 128 + (code & 0x7F)
    finally:
        os.close(pidfd)
    return None


def _of_zombie(pid: int, pidfd: int) -> int | None:
    """Field 52 of /proc/PID/stat."""
    try:
        fields = directory.read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(fields[49]) if fields[0] == "Z" else None


def _of_reaped(pid: int, pidfd: int) -> int | None:
    info = bytearray(64)
    info[0] = _PIDFD_INFO_EXIT
    try:
        ioctl(pidfd, _PIDFD_GET_INFO, info)
    except OSError:
        return None  # ENOTTY before Linux 6.13, ESRCH before 6.15
    if not info[0] & _PIDFD_INFO_EXIT:
        return None
    return int.from_bytes(info[_EXIT_CODE], "little")
