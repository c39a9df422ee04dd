"""`pysc create`: everything but the workload's execve(2)."""

from __future__ import annotations

import os

from runsc_cli import pid_file
from runsc_cli.container import create

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runsc_cli.context import Context
    from runsc_cli.options import Options


def run(options: Options, args: list[str], context: Context) -> int:
    from runsc_cli.container import hand_over_console

    if context.options["strace"] or context.options["strace_syscalls"]:
        from runsc_cli.trace.start import background

        background(context.options)
    creation = create(context, options, args[0])
    try:
        hand_over_console(creation, options)
        if options["pidfd_socket"]:
            from runsc_cli.console import send_pidfd

            send_pidfd(options["pidfd_socket"], creation.init, "standard")
        if options["pid_file"]:
            pid_file.write(options["pid_file"], creation.init)
    except BaseException:
        creation.abort()
        raise
    creation.container.unlock()
    os.close(creation.init_pidfd)
    return 0
