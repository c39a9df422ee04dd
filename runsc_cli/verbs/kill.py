"""pysc kill: a signal to the container's init, or with --all to every process of it.

kill --all of a stopped container succeeds, as engines call it after init has died. SIGKILL ends a paused container, too.
"""

from __future__ import annotations

from runsc_cli.errors import NotRunning, StateDamaged
from runsc_cli.members import foreign_cgroup, frozen, signal_all, thaw
from runsc_cli.process import SIGKILL
from runsc_cli.signals import parse
from runsc_cli.state import CREATED, RUNNING, STATE_FILE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runsc_cli.context import Context
    from runsc_cli.options import Options


def run(options: Options, args: list[str], context: Context) -> int:
    container = context.store().load(args[0])
    signal = parse(args[1] if len(args) > 1 else "TERM")
    if options["all"]:
        foreign = foreign_cgroup(container.state)
        if foreign:
            raise StateDamaged(container.path(STATE_FILE), foreign)
        signal_all(container.state, signal)
        return 0
    init = container.state.init
    if init is None or container.status() not in (CREATED, RUNNING):
        raise NotRunning
    try:
        init.send(signal)
    except ProcessLookupError:
        raise NotRunning from None
    if signal == SIGKILL and frozen(container.state) and not foreign_cgroup(container.state):
        thaw(container.state)
    return 0
