"""The figures of one run: medians, ratios, goals, and the JSON file."""

from __future__ import annotations

import json
import os
import platform
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from benchmarks.cases import Metric
    from benchmarks.runtimes import Runtime

MEASURED = "pysc"
"""The column that the goals are for."""


class Results:
    """Samples by metric and runtime, and what failed."""

    def __init__(self, runtimes: list[Runtime], metrics: list[Metric]) -> None:
        self.runtimes = [runtime.name for runtime in runtimes]
        self.versions = {runtime.name: runtime.version() for runtime in runtimes}
        self.metrics = metrics
        self.failures: dict[tuple[str, str], str] = {}
        self._samples: dict[tuple[str, str], list[float]] = {}

    def add(self, runtime: str, samples: dict[str, list[float]]) -> None:
        for name, values in samples.items():
            self._samples.setdefault((name, runtime), []).extend(values)

    def median(self, metric: Metric, runtime: str) -> float | None:
        samples = self._samples.get((metric.name, runtime))
        return median(samples) if samples else None

    def ratio(self, metric: Metric, runtime: str) -> float | None:
        """To the metric's base; None for the base itself and where there is no figure."""
        value, base = self.median(metric, runtime), self.median(metric, metric.base)
        if value is None or not base or runtime == metric.base:
            return None
        return value / base

    def reached(self, metric: Metric) -> bool | None:
        """Whether the goal is reached; None without a goal or without a figure."""
        if metric.ratio is not None:
            ratio = self.ratio(metric, MEASURED)
            return None if ratio is None else ratio <= metric.ratio
        value = self.median(metric, MEASURED)
        return None if value is None or metric.most is None else value <= metric.most

    def write(self, path: Path, settings: dict[str, Any]) -> None:
        rows = []
        for metric in self.metrics:
            figures = {}
            for runtime in self.runtimes:
                samples = self._samples.get((metric.name, runtime))
                if samples:
                    figures[runtime] = {
                        "median": median(samples),
                        "least": min(samples),
                        "ratio": self.ratio(metric, runtime),
                        "samples": samples,
                    }
            goal = {"ratio": metric.ratio, "most": metric.most, "reached": self.reached(metric)}
            rows.append(
                {
                    "name": metric.name,
                    "group": metric.group,
                    "unit": metric.unit,
                    "base": metric.base,
                    "goal": goal,
                    "runtimes": figures,
                }
            )
        document = {
            "settings": settings,
            "host": {"kernel": os.uname().release, "cpus": os.cpu_count(), "cpu": _cpu(), "python": platform.python_version()},
            "versions": self.versions,
            "failures": [{"case": case, "runtime": runtime, "error": text} for (case, runtime), text in self.failures.items()],
            "metrics": rows,
        }
        path.write_text(json.dumps(document, indent=1) + "\n")


def _cpu() -> str:
    with open("/proc/cpuinfo") as file:
        return next((line.partition(": ")[2].strip() for line in file if line.startswith("model name")), "")
