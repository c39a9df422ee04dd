"""pysc pause: stops all processes of a container until `resume`."""

from __future__ import annotations

from runsc_cli.errors import NotRunning
from runsc_cli.freezer import freeze
from runsc_cli.platforms.choice import named
from runsc_cli.state import CREATED, RUNNING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runsc_cli.context import Context
    from runsc_cli.options import Options


def run(options: Options, args: list[str], context: Context) -> int:
    with context.store().load(args[0]).lock() as container:
        if container.status() not in (CREATED, RUNNING):
            raise NotRunning

        platform = named(container.state.platform)
        freeze(container.state.cgroups, lambda: platform.let_freeze(container))
    return 0
