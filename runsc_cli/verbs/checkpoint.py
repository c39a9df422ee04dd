"""pysc checkpoint: refused. Of a container in a sandbox, descriptors, filter and listener are half of the sentry's, which CRIU would not dump;
for a trusted one nobody drives CRIU yet."""

from __future__ import annotations

from runsc_cli.errors import NotRunning, PyscError
from runsc_cli.platforms.choice import named
from runsc_cli.state import PAUSED, RUNNING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runsc_cli.context import Context
    from runsc_cli.options import Options


def run(options: Options, args: list[str], context: Context) -> int:
    container = context.store().load(args[0])
    if container.status() not in (RUNNING, PAUSED):
        raise NotRunning
    trusted = named(container.state.platform).trusted
    why = "pysc does not drive CRIU" if trusted else "CRIU cannot dump a container whose system calls a sentry answers"
    raise PyscError(f"checkpoint is not supported on platform {container.state.platform}: {why}; stop the container, and start it again")
