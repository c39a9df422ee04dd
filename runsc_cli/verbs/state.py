"""pysc state: the state of the runtime specification, runtime.md#query-state."""

from __future__ import annotations

from sentry.platform.jsontext import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runsc_cli.context import Context
    from runsc_cli.options import Options


def run(options: Options, args: list[str], context: Context) -> int:
    container = context.store().load(args[0])
    print(dumps(container.shown_state(), indent="  "))
    return 0
