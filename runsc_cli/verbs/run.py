"""`pysc run`: create, start, wait, and remove what is left."""

from __future__ import annotations

from runsc_cli import pid_file
from runsc_cli.container import create, hand_over_console, let_go
from runsc_cli.teardown import destroy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runsc_cli.context import Context
    from runsc_cli.options import Options


def run(options: Options, args: list[str], context: Context) -> int:
    from runsc_cli.supervise import Signals, supervise

    if options["detach"] and (context.options["strace"] or context.options["strace_syscalls"]):
        from runsc_cli.trace.start import background

        background(context.options)
    with Signals() as signals:  # before there is a container: a signal is then for it, and never leaves one behind
        creation = create(context, options, args[0])
        container = creation.container
        try:
            if options["detach"] or options["console_socket"]:
                hand_over_console(creation, options)
            if options["pidfd_socket"]:
                from runsc_cli.console import send_pidfd

                send_pidfd(options["pidfd_socket"], creation.init, "standard")
            let_go(container)
            if options["pid_file"]:
                pid_file.write(options["pid_file"], creation.init)
        except BaseException:
            creation.abort()
            raise
        container.unlock()
        if options["detach"]:
            return 0
        master = creation.console_master
        status = supervise(creation.init, master if master >= 0 else None, signals)
    if context.options["debug"]:
        creation.say_counts(creation.platform.report())
    creation.platform.done()
    container.record_exit(status)
    if not options["keep"]:
        with container.lock():
            destroy(container, creation.warn)
    return status
