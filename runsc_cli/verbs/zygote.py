"""`pysc zygote`: a process that does the work of commands without an interpreter's start, until it is ended."""

from __future__ import annotations

import os
import sys

from runsc_cli.errors import PyscError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runsc_cli.context import Context
    from runsc_cli.options import Options


def run(options: Options, args: list[str], context: Context) -> int:
    from runsc_cli.zygote import server

    if os.geteuid() != 0:
        raise PyscError("only root's commands ask a zygote: start it as root")
    where = server.path(sys.argv[0])
    server.load()
    server.Zygote(where, debug=context.options["debug"]).serve()
    return 0
