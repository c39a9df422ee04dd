"""The plot: ratios of system calls and workloads to native, start-up and memory as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.cases import Metric
    from benchmarks.results import Results

_COLOURS = {
    "native": "#888888",
    "runc": "#4c72b0",
    "runc+seccomp": "#8fa8d0",
    "crun": "#64b5cd",
    "runsc": "#c44e52",
    "pysc": "#2e8b57",
    "pysc strict": "#93c47d",
}
_PANELS = {
    "system calls": "system calls: time by native's",
    "workloads": "workloads: time by native's",
    "start-up": "run of true: ms",
    "memory": "memory of the runtime: MB",
}


def draw(results: Results, path: Path) -> None:
    """Write a PNG with a panel for each group that has figures."""
    groups: dict[str, list[Metric]] = {}
    for metric in results.metrics:
        if any(results.median(metric, runtime) is not None for runtime in results.runtimes):
            groups.setdefault(metric.group, []).append(metric)
    heights = [1 + 0.9 * len(metrics) for metrics in groups.values()]
    figure, axes = plt.subplots(len(groups), 1, figsize=(10, sum(heights)), height_ratios=heights, squeeze=False)
    for axis, (group, metrics) in zip(axes[:, 0], groups.items(), strict=True):
        relative = metrics[0].base == "native"
        runtimes = [runtime for runtime in results.runtimes if not (relative and runtime == "native")]
        width = 0.8 / len(runtimes)
        for place, runtime in enumerate(runtimes):
            for row, metric in enumerate(metrics):
                value = results.ratio(metric, runtime) if relative else results.median(metric, runtime)
                if value is None:
                    continue
                y = row + (place - (len(runtimes) - 1) / 2) * width
                axis.barh(y, value, width, color=_COLOURS.get(runtime), label=runtime)
                axis.annotate(f" {value:.2f}" if relative else f" {value:.1f}", (value, y), va="center", fontsize=7)
        axis.set_yticks(range(len(metrics)), [metric.name for metric in metrics])
        axis.invert_yaxis()
        axis.set_title(_PANELS.get(group, group), loc="left", fontsize=10)
        if relative:
            axis.set_xscale("log")
            axis.axvline(1, color="black", linewidth=0.8)
        axis.margins(x=0.12)
        labels = dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))
        axis.legend(labels.values(), labels.keys(), fontsize=8, loc="lower right")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
