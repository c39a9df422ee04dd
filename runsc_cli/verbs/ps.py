"""pysc ps: the processes of a container, as JSON (the host's pids) or as the lines of ps(1) that show them."""

from __future__ import annotations

from runsc_cli.errors import PyscError
from runsc_cli.members import members
from sentry.platform.jsontext import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runsc_cli.context import Context
    from runsc_cli.options import Options


def run(options: Options, args: list[str], context: Context) -> int:
    pids = members(context.store().load(args[0]).state)
    if options["format"] == "json":
        # Without any process runc prints null.
        print(dumps(pids or None))
        return 0
    for line in select(_ps(args[1:] or ["-ef"]), set(pids)):
        print(line)
    return 0


def select(listing: str, pids: set[int]) -> list[str]:
    """The heading of ps(1)'s output and the lines of these processes. A title may hold what Unicode counts as the end of a line."""
    header, *lines = listing.removesuffix("\n").split("\n")
    try:
        column = header.split().index("PID")
    except ValueError:
        raise PyscError(f"couldn't find PID field in ps output {header!r}; name it in the ps options") from None
    selected = [header]
    for line in lines:
        fields = line.split()
        if len(fields) > column and fields[column].isdigit() and int(fields[column]) in pids:
            selected.append(line)
    return selected


def _ps(arguments: list[str]) -> str:
    from subprocess import run  # 20 ms, for people; engines ask for JSON

    try:
        ps = run(["ps", *arguments], capture_output=True, check=False)
    except FileNotFoundError:
        raise PyscError("ps is not installed; use --format json") from None
    if ps.returncode != 0:
        raise PyscError(f"ps: exit status {ps.returncode}: {ps.stderr.decode(errors='replace').strip()}")
    return ps.stdout.decode(errors="replace")
