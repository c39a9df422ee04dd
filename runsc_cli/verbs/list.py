"""pysc list: the containers under --root, in runc's table or JSON."""

from __future__ import annotations

import os
from pwd import getpwuid

from sentry.platform.jsontext import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runsc_cli.context import Context
    from runsc_cli.errors import PyscError
    from runsc_cli.options import Options
    from runsc_cli.state import Container

_HEADER = ("ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER")

# runc lays its tables out with Go's tabwriter: cells at least 12 wide, 3 of them blank.
_WIDTH, _PADDING = 12, 3


def run(options: Options, args: list[str], context: Context) -> int:
    def problem(id: str, error: PyscError) -> None:
        context.log.error(f"load container {id}: {error.message}")

    containers = context.store().list(problem)
    if options["quiet"]:
        for container in containers:
            print(container.id)
    elif options["format"] == "json":
        # Without any container runc prints null, and its callers know it.
        print(dumps([_entry(container) for container in containers] or None))
    else:
        entries = [_entry(container) for container in containers]
        rows = [[str(entry[key.lower()]) for key in _HEADER] for entry in entries]
        print(table([list(_HEADER), *rows]), end="")
    return 0


def _entry(container: Container) -> dict[str, object]:
    return container.shown_state() | {"owner": _owner(container.dir)}


def _owner(path: str) -> str:
    """The name of the user who created the container; the number when it has none."""
    try:
        uid = os.stat(path).st_uid
    except FileNotFoundError:
        return ""
    try:
        return getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"


def table(rows: list[list[str]]) -> str:
    """Rows in aligned columns, the last column as wide as it is."""
    widths = [max(_WIDTH, *(len(cell) + _PADDING for cell in column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)]
        lines.append("".join(cells) + row[-1] + "\n")
    return "".join(lines)
