"""The outcome for people and programs: the table on the terminal, JSON, and the page docs/compatibility.md."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runsc_cli.suite.outcome import Counts, Outcome

_EXPLAINED = (
    "Each ran on the kernel itself first (`native`), then in a container on each platform. "
    "`12/14`: twelve passed of the fourteen that were decided there."
)


def cell(counts: Counts) -> str:
    """`12/14`: passed of those that were decided."""
    return f"{counts.passed}/{counts.passed + counts.failed}" if counts.passed + counts.failed else "-"


def terminal(outcome: Outcome) -> str:
    """The table, the failures, the deviations; the last line is the sum."""
    columns = list(outcome.columns)
    rows = [["family", *columns]]
    for family in outcome.families():
        rows.append([family, *(cell(outcome.counts(c, family)) if family in outcome.columns[c] else "" for c in columns)])
    rows.append(["all", *(cell(outcome.counts(c)) for c in columns)])
    rows.append(["", *(f"{outcome.counts(c).share:.1f} %" for c in columns)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join([row[0].ljust(widths[0]), *(word.rjust(w) for word, w in zip(row[1:], widths[1:], strict=True))]).rstrip() for row in rows]
    for column in columns:
        failures = list(outcome.failures(column))
        unlisted = [(name, why) for name, why, accepted in failures if not accepted]
        if unlisted:
            lines += ["", f"{column}: {len(unlisted)} failed" + (", which is wrong in the case itself:" if column == "native" else ":")]
            lines += _alike(unlisted)
        listed = [(name, accepted) for name, _, accepted in failures if accepted]
        if listed:
            lines += ["", f"{column}: {len(listed)} listed deviations:", *(f"  {name}: {accepted}" for name, accepted in listed)]
    stale = outcome.stale()
    if stale:
        lines += ["", "listed as deviations, but passed:", *(f"  {name}" for name in stale)]
    total = outcome.total()
    lines += ["", f"{total.deviating} of the failed are listed deviations"]
    lines.append(f"{total.passed} passed, {total.failed} failed, {total.skipped} skipped")
    return "\n".join(lines) + "\n"


def _alike(failures: list[tuple[str, str]]) -> list[str]:
    """A line a failure; one line for all of a family when the same happened to them, as it does when the container did not start."""
    lines = []
    for family, why in dict.fromkeys((name.partition(".")[0], why) for name, why in failures):
        same = [name for name, seen in failures if name.partition(".")[0] == family and seen == why]
        lines.append(f"  {same[0]}: {why}" if len(same) == 1 else f"  {family} ({len(same)} cases, {same[0].partition('.')[2]} …): {why}")
    return lines


def as_json(outcome: Outcome) -> str:
    """One object: `columns` with counts and cases."""
    columns = {}
    for column, families in outcome.columns.items():
        accepted = {name: reason for name, _, reason in outcome.failures(column) if reason}
        cases = {
            f"{family}.{case}": {
                "status": result.status,
                **({"why": result.why} if result.why else {}),
                **({"deviation": accepted[f"{family}.{case}"]} if f"{family}.{case}" in accepted else {}),
            }
            for family, found in families.items()
            for case, result in found.items()
        }
        columns[column] = {"counts": outcome.counts(column)._asdict(), "cases": cases}
    return json.dumps({"kernel": os.uname().release, "columns": columns}, indent=1) + "\n"


def markdown(outcome: Outcome, command: str) -> str:
    """docs/compatibility.md."""
    columns = list(outcome.columns)
    native = outcome.counts(columns[0])
    lines = [
        "# Compatibility, system call by system call",
        "",
        f"Printed by `{command}` on Linux {os.uname().release}; change nothing here by hand.",
        "",
        f"{native.passed + native.failed + native.skipped} cases in {len(outcome.families())} families. {_EXPLAINED}",
        "",
        f"| family | {' | '.join(columns)} |",
        "|---|" + "---:|" * len(columns),
    ]
    for family in outcome.families():
        lines.append(f"| {family} | {' | '.join(cell(outcome.counts(c, family)) for c in columns)} |")
    lines.append(f"| **all** | {' | '.join(f'**{cell(outcome.counts(c))}**' for c in columns)} |")
    lines.append(f"| | {' | '.join(f'{outcome.counts(c).share:.1f} %' for c in columns)} |")
    for column in columns:
        failures = list(outcome.failures(column))
        if failures:
            lines += ["", f"## What is different: {column}", ""]
            lines += [f"- `{name}`: {accepted or why}" for name, why, accepted in failures]
    return "\n".join(lines) + "\n"
