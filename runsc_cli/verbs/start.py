"""`pysc start`."""

from __future__ import annotations

from runsc_cli.container import start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runsc_cli.context import Context
    from runsc_cli.options import Options


def run(options: Options, args: list[str], context: Context) -> int:
    with context.store().load(args[0]).lock() as container:
        start(container)
    return 0
