"""A container's cgroups once they exist, by their directories: who is in them, who joins, and their end.

`directories` are those of every hierarchy, as state.json keeps them; that some are gone is not an error.
"""

from __future__ import annotations

import os
from errno import EBUSY, ENODEV
from time import monotonic, sleep

from runsc_cli.cgroups.write import get, put
from runsc_cli.errors import HostError, PyscError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from runsc_cli.cgroups.hierarchy import Mount
    from runsc_cli.stage.program import Program, Result

# A cgroup is busy until the last task has passed cgroup_exit(), a little after its pidfd says that it ended.
TIMEOUT = 2.0

_CLONE_INTO_CGROUP, _CLONE_PARENT = 0x200000000, 0x8000
_FD = 255  # of the leaf in the stage, above what it has open: a number that struct clone_args can hold beforehand
_WRONLY_CLOEXEC = os.O_WRONLY | os.O_CLOEXEC


def enter(program: Program, directories: Iterable[str]) -> Result | None:
    """Append the calls with which a stage moves itself; not None: one of them forks, so run it with Stage.fork().

    A process that another one moves, or that moves by cgroup.procs, waits for an RCU grace period, 10 ms (the write side of
    cgroup_threadgroup_rwsem). A single thread that moves itself by version 1's `tasks` does not, nor does one that is born in
    a version 2 leaf: kernel/cgroup/cgroup.c:cgroup_procs_write_start(), cgroup_css_set_fork().
    A fork clears PR_SET_PDEATHSIG: set it afterwards.
    """
    unified = ""
    for directory in dict.fromkeys(directories):
        tasks = f"{directory}/tasks"
        if not os.path.exists(tasks):
            unified = directory
            continue
        what = f"enter the cgroup {directory}"
        fd = program.call("open", os.fsencode(tasks), _WRONLY_CLOEXEC, what=what)
        program.call("write", fd, b"0", 1, what=what)
        program.call("close", fd)
    return _born_in(program, unified) if unified else None


def _born_in(program: Program, directory: str) -> Result:
    """clone3(2): the stage's child, a child of ours, takes over inside the leaf."""
    from struct import pack

    what = f"enter the cgroup {directory}"
    opened = program.call("open", os.fsencode(directory), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, what=what)
    program.call("dup3", opened, _FD, os.O_CLOEXEC, what=what)
    program.call("close", opened)
    clone_args = pack("<11Q", _CLONE_INTO_CGROUP | _CLONE_PARENT, 0, 0, 0, 0, 0, 0, 0, 0, 0, _FD)
    clone = program.call("clone3", clone_args, len(clone_args), what=what, fork=True)
    program.call("close", _FD)
    return clone


def reachable(directories: Iterable[str]) -> bool:
    """We may move there from our own cgroup in version 2: who does, may write to cgroup.procs of the nearest one that both are below.

    Linux: kernel/cgroup/cgroup.c:cgroup_procs_write_permission(). Raises HostError.
    """
    from runsc_cli.cgroups.hierarchy import UNIFIED, find

    there = find()
    if not there.pure:
        return True
    own = there.directory(UNIFIED)
    return all(os.access(f"{os.path.commonpath((own, directory))}/cgroup.procs", os.W_OK) for directory in directories)


def below(directories: Iterable[str], asked: Iterable[str]) -> list[str]:
    """The cgroups that a process of `exec --cgroup [CONTROLLER:]CGROUP` enters, as runc reads it: those below have to be there.

    Raises PyscError.
    """
    out = list(dict.fromkeys(directories))
    mounts: dict[str, Mount] = {}
    for text in asked:
        controller, colon, name = text.rpartition(":")
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts or (colon and not controller):
            raise PyscError(f"--cgroup {text!r}: write it as CONTROLLER:NAME or NAME, a cgroup below the container's")
        if controller and not mounts:
            from runsc_cli.cgroups.hierarchy import find

            mounts = find().mounts
        if controller and controller not in mounts:
            raise PyscError(f"--cgroup {text!r}: there is no controller {controller!r} in version 1 here")
        for i, directory in enumerate(out):
            if controller and not directory.startswith(f"{mounts[controller].point}/"):
                continue
            out[i] = "/".join((directory, *parts))
            if not os.path.isdir(out[i]):
                raise PyscError(f"--cgroup {text!r}: {out[i]!r} is not there: make it first")
    return out


def add(directory: str, pid: int) -> None:
    """Move a process, all its threads, into a cgroup. Slow, see enter(). Raises HostError."""
    path = f"{directory}/cgroup.procs"
    try:
        put(path, str(pid))
    except OSError as e:
        raise HostError("write", path, e) from None


def pids(directories: Iterable[str]) -> list[int]:
    """The processes in the cgroups and in those that the workload has made below, ascending. Raises OSError."""
    found: set[int] = set()
    for directory in dict.fromkeys(directories):
        _collect(directory, found)
    return sorted(found)


def _collect(directory: str, found: set[int]) -> None:
    try:
        found.update(map(int, get(f"{directory}/cgroup.procs").split()))
        below = _children(directory)
    except FileNotFoundError:
        return
    except OSError as e:
        if e.errno == ENODEV:  # removed between open and read
            return
        raise
    for path in below:
        _collect(path, found)


def remove(directories: Iterable[str]) -> None:
    """Remove the cgroups and all below; waits for tasks that are on their way out, TIMEOUT seconds at most. Raises HostError."""
    deadline = monotonic() + TIMEOUT
    for directory in dict.fromkeys(directories):
        pause = 0.0005
        while True:
            try:
                _rmdir(directory)
                break
            except FileNotFoundError:
                break
            except OSError as e:
                if e.errno != EBUSY or monotonic() > deadline:
                    raise HostError("rmdir", directory, e) from None
            sleep(pause)
            pause = min(pause * 2, 0.05)


def _rmdir(directory: str) -> None:
    try:
        os.rmdir(directory)
        return
    except OSError as e:
        if e.errno != EBUSY:
            raise
    for path in _children(directory):
        _rmdir(path)
    os.rmdir(directory)


def _children(directory: str) -> list[str]:
    with os.scandir(directory) as entries:
        return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
