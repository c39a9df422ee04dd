"""The end of a container: processes, cgroups, directory. delete, a failed create and `run` come here.

Every step tolerates that an earlier attempt did it already, so a teardown that was killed half-way can be
repeated until nothing is left; the state goes last.
"""

from __future__ import annotations

import os
from errno import EACCES, EBUSY, ENOTEMPTY, EPERM

from runsc_cli.cgroups.leaf import remove
from runsc_cli.errors import HostError, PyscError, StateDamaged, StillAlive
from runsc_cli.members import KILL_TIMEOUT, foreign_cgroup, kill_all
from runsc_cli.process import end, kill
from runsc_cli.state import HOOKS_FILE, STATE_FILE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from runsc_cli.state import Container, State


def destroy(container: Container, warn: Callable[[str], None], *, force: bool = False) -> None:
    """Kill what runs, remove cgroups and directory, run the poststop hooks. The container must be locked.

    Raises StateDamaged when its cgroups cannot be a container's; with `force` that is told to `warn` and they are left alone.
    """
    state = container.state
    foreign = foreign_cgroup(state)
    if foreign:
        if not force:
            raise StateDamaged(container.path(STATE_FILE), foreign)
        warn(f"{foreign}: it is left alone")
        state.cgroups, state.cgroups_planned = [], []
    ours = [process for process in (state.sentry, state.files, state.gofer) if process is not None]
    kill(ours)  # first: who waits for a generated file of a sentry that does not answer cannot be killed, fuse(4)
    kill_all(state)
    if state.unit or state.unit_beside:
        _stop(state, warn)
    remove(state.cgroups)  # while they end
    for path in state.cgroups_planned:
        remove_if_empty(path)
    if not end(ours, KILL_TIMEOUT):
        raise StillAlive(f"container {container.id}: the sentry or the gofer outlives SIGKILL")
    for path in state.cgroups_beside:
        _remove_ours(path, warn)
    poststop = _poststop(container, warn)
    if state.overlay:
        from runsc_cli import root_overlay

        root_overlay.remove(container)
    container.remove()
    if poststop is not None:
        poststop()


def _stop(state: State, warn: Callable[[str], None]) -> None:
    """systemd's scopes. They end by themselves when nobody is in them: a bus that does not answer keeps no container from being deleted."""
    from runsc_cli.cgroups.systemd import Systemd, description

    try:
        with Systemd() as manager:
            for unit, beside in ((state.unit, False), (state.unit_beside, True)):
                if unit:
                    manager.stop(unit, description(state.id, beside=beside))
    except PyscError as error:
        warn(error.message)


def _poststop(container: Container, warn: Callable[[str], None]) -> Callable[[], None] | None:
    """What is to be done once the container is gone."""
    if not os.path.exists(container.path(HOOKS_FILE)):
        return None
    from runsc_cli import hooks

    try:
        later = hooks.load(container)
    except PyscError as error:
        warn(error.message)
        return None
    return lambda: later.after_delete(warn)


def _remove_ours(path: str, warn: Callable[[str], None]) -> None:
    """The cgroup of the sentry and the gofer, which have ended: who is in it still has no business there."""
    try:
        remove([path])
    except HostError as error:
        warn(f"{error.message}: it is left alone")


def remove_if_empty(path: str) -> None:
    """Remove a cgroup that a killed `create` may have made, or may have found there: in use, or not ours to remove, it is somebody else's."""
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno not in (EBUSY, ENOTEMPTY, EACCES, EPERM):
            raise HostError("rmdir", path, error) from None
