"""`pysc zygote`: a process that does the work of commands without an interpreter's start, until it is ended."""

from __future__ import annotations

import os
import sys

from runsc_cli import children
from runsc_cli.errors import PyscError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runsc_cli.context import Context
    from runsc_cli.options import Options

_LOCALE = "LC_CTYPE"
"""The interpreter sets it where nobody has said anything (PEP 538)."""


def run(options: Options, args: list[str], context: Context) -> int:
    from runsc_cli.zygote import server

    if os.geteuid() != 0:
        raise PyscError("only root's commands ask a zygote: start it as root")
    if children.client is None and os.environ.keys() - {_LOCALE}:  # whose environment this is is not for the memory of sentries
        os.execve(sys.executable, sys.orig_argv, {})
    server.load()
    server.Zygote(sys.argv[0], debug=context.options["debug"]).serve()
    return 0
