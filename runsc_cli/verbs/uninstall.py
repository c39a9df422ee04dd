"""pysc uninstall: take out of the engines' configuration files what install has put there."""

from __future__ import annotations

from runsc_cli.engine_files import change

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runsc_cli.context import Context
    from runsc_cli.options import Options


def run(options: Options, args: list[str], context: Context) -> int:
    return change(options, install=False)
