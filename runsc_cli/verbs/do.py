"""`pysc do`: a command over a view of this system, without an image.

The view is made of the pieces that runsc_cli/do_view.py chooses; what they are is the whole policy. Afterwards one block on stderr says
what was denied and which option would allow it.
"""

from __future__ import annotations

import os
import sys

from runsc_cli import children, do_view
from runsc_cli.container import create_from, let_go
from runsc_cli.teardown import destroy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runsc_cli.context import Context
    from runsc_cli.options import Options


def run(options: Options, args: list[str], context: Context) -> int:
    from runsc_cli.supervise import Signals, supervise

    tty = os.isatty(0) and os.isatty(1)
    view = do_view.View(options, args, tty, own_network=context.options["network"] != "host")
    with Signals() as signals:
        creation = create_from(context, f"do-{children.command()}-{os.urandom(3).hex()}", view)
        container = creation.container
        try:
            let_go(container)
        except BaseException:
            creation.abort()
            raise
        container.unlock()
        master = creation.console_master
        status = supervise(creation.init, master if master >= 0 else None, signals)
    report = creation.platform.report()
    creation.platform.done()
    with container.lock():
        destroy(container, creation.warn)
    if context.options["debug"]:
        creation.say_counts(report)
    if report is not None and not options["quiet"]:
        lines = do_view.explain(report, view)
        if lines:
            print("\n".join(lines), file=sys.stderr)
    return status
