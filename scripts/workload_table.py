"""The part of docs/compatibility.md on workloads: each of the tests in every sandbox, beside its native run. `make workload-table`.

`ARGS=--short` runs the size of `make test`; names of test files, or other arguments of pytest's, run some of them: what is not run
keeps its rows. `--syscalls FILE` runs nothing and puts FILE, as `pysc syscall-tests --markdown` has written it, in place of the part on
system calls (`make compatibility`).
"""

from __future__ import annotations

import ast
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
PAGE = TOP / "docs" / "compatibility.md"
KEPT = TOP / "docs" / "workloads.json"
"""The results that the part is written from: a line for each workload in each sandbox."""
HEADING = "## Workloads\n"
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
    text = [f"| workload | size | native, s | {' | '.join(SANDBOXES.values())} |", f"|---|---|---:|{'---:|' * len(SANDBOXES)}"]
    for (_, workload), ran in rows.items():
        seconds = statistics.median(float(str(line["native"])) for line in ran.values())
        cells = [_cell(ran.get(sandbox), seconds) for sandbox in SANDBOXES]
        sizes = " and ".join(sorted({str(line["size"]) for line in ran.values()}))
        text.append(f"| {workload} | {sizes} | {seconds:.1f} | {' | '.join(cells)} |")
    return "\n".join(text)


def _cell(line: dict[str, object] | None, native: float) -> str:
    if line is None:
        return "not run"
    return f"{'same' if line['same'] else '**different**'}, {float(str(line['seconds'])) / native:.1f}x"


def section(lines: list[dict[str, object]]) -> str:
    """The part of the page."""
    modules = sorted(str(path.relative_to(TOP)) for path in TOP.glob("tests/integration/test_workload_*.py"))
    what = "\n".join(f"- `{module}`: {about(module)}" for module in modules)
    return f"""{HEADING}
Printed by `make workload-table` from `docs/workloads.json`, where a row stays until it is run anew: two rows may be of different days and
machines. Change nothing here by hand.

Each is a test: the command is run natively, then by `pysc do` (the host's directory under an overlay) and by `pysc run` (the
directory bind-mounted into a bundle), in both profiles. `same`: what it printed, its exit code and, in a bundle, the files that it left
were the native run's. The figure is its time in native times, start and end of the container included, measured once: what else the
machine did is in it. What has no row is compared with the native run by its test alone. CPython's own test suite is compared by
`make test-python`; what is left out of it, and why, stands in `tests/integration/cpython_exclusions.csv`.

{what}

{table(lines)}
"""


def beside(lines: list[dict[str, object]], new: list[dict[str, object]]) -> list[dict[str, object]]:
    """`lines` without what has been run anew, and that."""

    def key(line: dict[str, object]) -> tuple[object, ...]:
        return line["test"], line["workload"], line["sandbox"]

    last = {key(line): line for line in [*lines, *new]}
    return sorted(last.values(), key=lambda line: tuple(map(str, key(line))))


def write(syscalls: str, lines: list[dict[str, object]]) -> None:
    PAGE.write_text(f"{syscalls.partition(HEADING)[0].rstrip()}\n\n{section(lines)}")


def main() -> None:
    kept = [json.loads(line) for line in KEPT.read_text().splitlines()]
    if sys.argv[1:2] == ["--syscalls"]:
        write(Path(sys.argv[2]).read_text(), kept)
        return
    short = "--short" in sys.argv
    tests = [argument for argument in sys.argv[1:] if argument != "--short"]
    with tempfile.TemporaryDirectory() as directory:
        results = Path(directory, "results")
        results.touch()
        run(tests or sorted(str(path) for path in TOP.glob("tests/integration/test_workload_*.py")), results, "--all" if short else "--long")
        lines = beside(kept, [json.loads(line) for line in results.read_text().splitlines()])
    KEPT.write_text("".join(json.dumps(line) + "\n" for line in lines))
    write(PAGE.read_text(), lines)


if __name__ == "__main__":
    main()
