"""The table on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.cases import MEGABYTES, NANOSECONDS

if TYPE_CHECKING:
    from benchmarks.cases import Metric
    from benchmarks.results import Results


def render(results: Results) -> str:
    """One row a metric: the median, and in brackets the ratio to the metric's base."""
    rows = [["", *results.runtimes, "goal"]]
    group = ""
    for metric in results.metrics:
        if metric.group != group:
            group = metric.group
            rows.append([f"{group} (ratio to {metric.base})"])
        cells = [_cell(results, metric, runtime) for runtime in results.runtimes]
        rows.append([f"  {metric.name}", *cells, _goal(results, metric)])
    widths = [max(len(row[i]) for row in rows if len(row) > 1) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        if len(row) == 1:
            lines.append(row[0])
            continue
        middle = [cell.rjust(width) for cell, width in zip(row[1:-1], widths[1:-1], strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *middle, row[-1]]).rstrip())
    failed: dict[tuple[str, str], list[str]] = {}
    for (case, runtime), text in results.failures.items():
        failed.setdefault((runtime, text), []).append(case)
    lines += [f"{runtime} failed at {', '.join(cases)}: {text}" for (runtime, text), cases in failed.items()]
    return "\n".join(lines)


def _cell(results: Results, metric: Metric, runtime: str) -> str:
    value = results.median(metric, runtime)
    if value is None:
        return "-"
    ratio = results.ratio(metric, runtime)
    return shown(value, metric.unit) + ("" if ratio is None else f" ({ratio:.2f})")


def shown(value: float, unit: str) -> str:
    """With three digits that count and a unit that suits."""
    if unit == NANOSECONDS and value >= 1000:
        value, unit = (value / 1000, "us") if value < 1e6 else (value / 1e6, "ms")
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{digits}f} {unit}"


def _goal(results: Results, metric: Metric) -> str:
    if metric.ratio is not None:
        text = f"<= {metric.ratio:.2f}"
    elif metric.most is not None:
        text = f"<= {shown(metric.most, metric.unit) if metric.unit != MEGABYTES else f'{metric.most:.0f} MB'}"
    else:
        return ""
    return text + {True: "  reached", False: "  missed", None: ""}[results.reached(metric)]
