"""pysc help-syscalls: what becomes of each system call in either profile, from the table that the filter is built from."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runsc_cli.context import Context
    from runsc_cli.options import Options

FIELDS = ("name", "number", "standard", "strict", "support", "note")


def run(options: Options, args: list[str], context: Context) -> int:
    rows = records()
    if options["format"] == "json":
        from sentry.platform.jsontext import dumps

        print(dumps(rows, indent="  "))
    elif options["format"] == "csv":
        import csv
        import sys

        writer = csv.DictWriter(sys.stdout, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    else:
        from runsc_cli.verbs.list import table

        heading = [field.upper() for field in FIELDS]
        print(table([heading, *([str(row[field]) for field in FIELDS] for row in rows)]), end="")
    return 0


def records() -> list[dict[str, object]]:
    """The table's rows, a record each."""
    from sentry.syscalls.table import ROWS

    return [
        {
            "name": row.name,
            "number": row.number,
            "standard": str(row.standard),
            "strict": str(row.strict),
            "support": row.support,
            "note": row.note,
        }
        for row in ROWS
    ]
