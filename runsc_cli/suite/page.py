"""The report as one HTML page that needs nothing else: the table, what failed and why, and what is said of each system call."""

from __future__ import annotations

import os
from html import escape
from typing import TYPE_CHECKING

from runsc_cli.suite.report import cell

if TYPE_CHECKING:
    from runsc_cli.suite.outcome import Counts, Outcome

_STYLE = """
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0 }
th, td { padding: .15rem .7rem; text-align: left; border-bottom: 1px solid #8884 }
th { position: sticky; top: 0; background: Canvas }
td.n { text-align: right; font-variant-numeric: tabular-nums }
.all { color: #1a7f37 } .some { color: #b35900 } .none { color: #c0272d }
code { font-size: .92em }
"""
_EXPLAINED = "<code>12/14</code>: twelve passed of the fourteen that were decided. Every case ran on the kernel itself first."


def html(outcome: Outcome, syscalls: list[dict[str, object]]) -> str:
    """`syscalls`: the records of `pysc help-syscalls`."""
    columns = list(outcome.columns)
    head = "".join(f"<th>{escape(c)}</th>" for c in columns)
    body = [
        f"<tr><td><a id={escape(f)}></a>{escape(f)}</td>{''.join(_cell(outcome.counts(c, f)) for c in columns)}</tr>" for f in outcome.families()
    ]
    body.append(f"<tr><th>all</th>{''.join(_cell(outcome.counts(c)) for c in columns)}</tr>")
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>pysc: system call compatibility</title>",
        f"<style>{_STYLE}</style>",
        "<h1>System call compatibility</h1>",
        f"<p>Linux {escape(os.uname().release)}. {_EXPLAINED}",
        f"<table><thead><tr><th>family</th>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>",
    ]
    for column in columns:
        parts.append(_failures(outcome, column))
    rows = "".join("<tr>" + "".join(f"<td>{escape(str(call[k]))}</td>" for k in _FIELDS) + "</tr>" for call in syscalls)
    heads = "".join(f"<th>{field}</th>" for field in _FIELDS)
    parts.append(f"<h2>System calls</h2><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></html>\n")
    return "\n".join(filter(None, parts))


_FIELDS = ("name", "standard", "strict", "support", "note")


def _cell(counts: Counts) -> str:
    kind = "all" if not counts.failed else "some" if counts.failed == counts.deviating else "none"
    return f'<td class="n {kind}">{cell(counts)}</td>'


def _failures(outcome: Outcome, column: str) -> str:
    rows = [
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(why)}</td><td>{escape(accepted)}</td></tr>"
        for name, why, accepted in outcome.failures(column)
    ]
    if not rows:
        return ""
    heads = "<tr><th>case</th><th>seen</th><th>why it is accepted</th></tr>"
    return f"<h2>Failed: {escape(column)}</h2><table><thead>{heads}</thead><tbody>{''.join(rows)}</tbody></table>"
