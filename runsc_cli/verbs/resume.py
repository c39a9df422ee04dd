"""pysc resume: lets the processes of a paused container go on."""

from __future__ import annotations

from runsc_cli.errors import NotPaused
from runsc_cli.freezer import thaw
from runsc_cli.state import PAUSED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runsc_cli.context import Context
    from runsc_cli.options import Options


def run(options: Options, args: list[str], context: Context) -> int:
    with context.store().load(args[0]).lock() as container:
        if container.status() != PAUSED:
            raise NotPaused
        thaw(container.state.cgroups)
    return 0
