"""docs/workloads.md: every workload of the tests in every sandbox, beside its native run. `make workload-table`.

`ARGS=--short` runs the size of `make test`; names of test files, or other arguments of pytest's, run some of them.
"""

from __future__ import annotations

import ast
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
PAGE = TOP / "docs" / "workloads.md"
SANDBOXES = {
    "do-standard": "overlay, standard",
    "do-strict": "overlay, strict",
    "bundle-standard": "bind, standard",
    "bundle-strict": "bind, strict",
}


def run(tests: list[str], results: Path, size: str) -> None:
    """Whether they pass is in the results."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", size, f"--results={results}", *tests]
    subprocess.run(command, cwd=TOP, check=False)


def about(test: str) -> str:
    """The first line of what the module of `test` says of itself."""
    text = ast.get_docstring(ast.parse((TOP / test.partition("::")[0]).read_text())) or ""
    return text.partition("\n")[0].partition(": ")[2].rstrip(".")


def table(lines: list[dict[str, object]]) -> str:
    """A row for each workload, a column for each sandbox: what came of it, and its time in native ones."""
    rows: dict[tuple[str, str], dict[str, dict[str, object]]] = {}
    for line in lines:
        rows.setdefault((str(line["test"]), str(line["workload"])), {})[str(line["sandbox"])] = line
    text = [f"| workload | native, s | {' | '.join(SANDBOXES.values())} |", f"|---|---:|{'---:|' * len(SANDBOXES)}"]
    for (_, workload), ran in rows.items():
        seconds = statistics.median(float(str(line["native"])) for line in ran.values())
        cells = [_cell(ran.get(sandbox), seconds) for sandbox in SANDBOXES]
        text.append(f"| {workload} | {seconds:.1f} | {' | '.join(cells)} |")
    return "\n".join(text)


def _cell(line: dict[str, object] | None, native: float) -> str:
    if line is None:
        return "not run"
    return f"{'same' if line['same'] else '**different**'}, {float(str(line['seconds'])) / native:.1f}x"


def page(lines: list[dict[str, object]], command: str) -> str:
    """The whole of docs/workloads.md."""
    modules = dict.fromkeys(str(line["test"]).partition("::")[0] for line in lines)
    what = "\n".join(f"- `{module}`: {about(module)}" for module in modules)
    return f"""# Workloads

Printed by `{command}` on Linux {platform.release()} with {os.cpu_count()} processors; change nothing here by hand.

Each is a test: the command is run natively, then by `pysc do` (the host's directory under an overlay) and by `pysc run` (the
directory bind-mounted into a bundle), in both profiles. `same`: what it printed, its exit code and, in a bundle, the files that it left
were the native run's. The figure is its time in native times, start and end of the container included, measured once: what else the
machine did is in it. CPython's own test suite is compared by `make test-python`; what is left out of it, and why, stands in
`tests/integration/cpython_exclusions.csv`.

{what}

{table(lines)}
"""


def main() -> None:
    short = "--short" in sys.argv
    tests = [argument for argument in sys.argv[1:] if argument != "--short"]
    with tempfile.TemporaryDirectory() as directory:
        results = Path(directory, "results")
        results.touch()
        run(tests or sorted(str(path) for path in TOP.glob("tests/integration/test_workload_*.py")), results, "--all" if short else "--long")
        lines = [json.loads(line) for line in results.read_text().splitlines()]
    PAGE.write_text(page(lines, " ".join(["scripts/workload_table.py", *sys.argv[1:]])))


if __name__ == "__main__":
    main()
