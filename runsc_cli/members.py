"""The processes of a container, and signals to all of them: kill --all, delete --force, ps.

They are found through the container's cgroups, cgroups(7), cgroup.procs there and below. Where it has none
(--ignore-cgroups), they are those in init's pid namespace if init is pid 1 of it, else (a pid namespace shared
with a pod or the host, where others live too) init and its descendants. A process that double-forked out of
such a container without cgroups is lost to us, as it is to runc.
"""

from __future__ import annotations

import os
from time import monotonic

from runsc_cli import directory
from runsc_cli.errors import StillAlive
from runsc_cli.process import SIGKILL, Process, end, kill

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runsc_cli.state import State

KILL_TIMEOUT = 10.0  # seconds; longer means uninterruptible sleep, which no further wait is sure to end


def members(state: State) -> list[int]:
    """The host's pids of the container's live processes, ascending."""
    found: set[int] = set()
    for cgroup in state.cgroups:
        _collect(cgroup, found)
    init = state.init
    if init is not None and init.alive():
        if not found:
            found = _namesakes(init.pid) if _owns_namespace(init.pid) else _descendants(init.pid)
        found.add(init.pid)
    return sorted(found)


def in_container(state: State, pid: int) -> Process | None:
    """The process that has `pid` in the container's own pid namespace."""
    for process in processes(state):
        if _field(process.pid, "NSpid:").split()[-1:] == [str(pid)]:
            return process
    return None


def processes(state: State) -> list[Process]:
    """members() that can be signalled: a pid with the start time it has now, zombies left out."""
    found = []
    for pid in members(state):
        try:
            process = Process.of(pid)
        except ProcessLookupError:
            continue
        if process.alive():
            found.append(process)
    return found


def foreign_cgroup(state: State) -> str:
    """A cgroup of the state that cannot be a container's, and why; empty when there is none. Ask before you kill what is in them.

    Between two commands the machine may have changed: another mount there, another cgroup namespace, ourselves moved.
    """
    there = [path for path in (*state.cgroups, *state.cgroups_planned) if os.path.isdir(path)]
    if not there:
        return ""
    from runsc_cli.cgroups.hierarchy import find

    hierarchies = find()
    for path in there:
        objection = hierarchies.objection(path)
        if objection:
            return f"the cgroup {path!r} {objection}"
    return ""


def signal_all(state: State, signal: int) -> None:
    """Send a signal to every process. SIGKILL returns when all have ended, or raises StillAlive."""
    if signal == SIGKILL:
        kill_all(state)
        return
    for process in processes(state):
        try:
            process.send(signal)
        except ProcessLookupError:
            continue


def kill_all(state: State, timeout: float = KILL_TIMEOUT) -> None:
    """SIGKILL every process of the container until none is left, however fast they fork."""
    deadline = monotonic() + timeout
    # Init first: with it the kernel ends the whole pid namespace at once, pid_namespaces(7).
    init = state.init
    if init is not None and init.alive() and _owns_namespace(init.pid):
        _thaw(state)
        end([init], timeout)
    # Whether anybody is left is asked of the pids: of processes that fork and end all the time, none that was listed may be there by now.
    while pids := members(state):
        if monotonic() > deadline:
            raise StillAlive(f"container {state.id}: {len(pids)} processes outlive SIGKILL, first {pids[0]}")
        # Frozen, nobody forks while the list is made and worked through; v2 does it all in one step, cgroup.kill.
        for cgroup in state.cgroups:
            _write(f"{cgroup}/freezer.state", "FROZEN")
            _write(f"{cgroup}/cgroup.kill", "1")
        left = processes(state)
        kill(left)
        _thaw(state)
        end(left, max(0.0, deadline - monotonic()))


def _thaw(state: State) -> None:
    """A frozen task of a v1 freezer dies of SIGKILL only once it runs again."""
    for cgroup in state.cgroups:
        _write(f"{cgroup}/freezer.state", "THAWED")


def _write(path: str, value: str) -> None:
    """Write to a control file that this hierarchy, or this kernel, may not have."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    try:
        os.write(fd, value.encode())
    except OSError:
        return  # refused (a freezer above is frozen, a threaded cgroup): the loop around still ends them
    finally:
        os.close(fd)


def _collect(cgroup: str, found: set[int]) -> None:
    try:
        found.update(int(line) for line in directory.read(f"{cgroup}/cgroup.procs").split())
        with os.scandir(cgroup) as entries:
            below = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        if error.errno == 19:  # ENODEV: removed between open and read
            return
        raise
    for path in below:
        _collect(path, found)


def _namespace(pid: int | str) -> int:
    """The inode that identifies a process's pid namespace; 0 when it has ended, or is none that we may look into."""
    try:
        return os.stat(f"/proc/{pid}/ns/pid").st_ino
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0


def _owns_namespace(pid: int) -> bool:
    """It is pid 1 of a pid namespace that is not ours: all in there belong to its container."""
    if _namespace(pid) in (0, _namespace("self")):
        return False
    return _field(pid, "NSpid:").split()[-1:] == ["1"]


def _namesakes(init: int) -> set[int]:
    wanted = _namespace(init)
    return {int(name) for name in os.listdir("/proc") if name.isdigit() and _namespace(name) == wanted}


def _descendants(init: int) -> set[int]:
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            parent = _field(int(name), "PPid:")
            if parent:
                children.setdefault(int(parent), []).append(int(name))
    found: set[int] = set()
    waiting = [init]
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting += children.get(pid, [])
    return found


def _field(pid: int, name: str) -> str:
    """A line of /proc/PID/status, proc_pid_status(5); empty when the process has ended."""
    try:
        text = directory.read(f"/proc/{pid}/status")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    at = text.find("\n" + name) + 1
    return text[at + len(name) : text.index("\n", at)].strip() if at else ""
