"""`pysc trace`: the mediated calls of a running container, until it ends or the command is interrupted.

The sentry is given the end of a pipe and writes records to it; here they become lines. When this process ends, however it does, the
sentry finds nobody reading, and is as it was before.
"""

from __future__ import annotations

import os

from runsc_cli.control import ask
from runsc_cli.errors import HostError, PyscError
from runsc_cli.platforms.choice import NOTIFY, PTRACE
from runsc_cli.state import CREATED, PAUSED, RUNNING
from runsc_cli.trace import reader
from runsc_cli.trace.lines import Lines
from runsc_cli.trace.spec import Wanted, check_limit
from runsc_cli.trace.start import pipe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runsc_cli.context import Context
    from runsc_cli.options import Options


def run(options: Options, args: list[str], context: Context) -> int:
    wanted = Wanted(options["syscalls"], "--syscalls")
    limit = check_limit(options["string_size"], "--string-size")
    container = context.store().load(args[0])
    status = container.status()
    if status not in (CREATED, RUNNING, PAUSED):
        raise PyscError(f"container {container.id} is {status}: there are no calls to see")
    if container.state.platform == PTRACE:
        why = "its sentry is its tracer, a process has one, and it shows no calls"
        raise PyscError(f"container {container.id} is on the platform ptrace: {why}; start it with --platform notify where the kernel has that")
    if container.state.platform != NOTIFY:
        raise PyscError(f"container {container.id} has no sentry (platform {container.state.platform}): trace it with strace(1)")
    never = sorted(wanted.native - set(container.state.notified) - _mediated(container.state.profile, container.state.network))
    if never:
        which = "native calls are not" if options["syscalls"] == "all" else f"{', '.join(never)}: native, and not"
        context.log.warning(f"{which} sent to the sentry of this container: it was not started with --strace={options['syscalls']}")
    out = _output(options["output"])
    read, write = pipe()
    try:
        ask(container, {"op": "trace", **wanted.request(limit)}, [write])
    finally:
        os.close(write)
    bracket = not options["output"]
    reader.show(read, out, Lines(json=options["format"] == "json", limit=limit, bracket=bracket))
    return 0


def _mediated(profile: str, network: str) -> set[str]:
    """The calls of which at least some come to a sentry."""
    from sentry.platform.filter import notified
    from sentry.syscalls.numbers import NUMBERS

    numbers = notified(profile, network)
    return {name for name, number in NUMBERS.items() if number in numbers}


def _output(path: str) -> int:
    if not path:
        return 1
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    except OSError as e:
        raise HostError("open", path, e) from None
