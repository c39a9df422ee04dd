"""pysc beside the plain host and other runtimes: `python -m benchmarks [--quick] [--case NAME] [--runtime NAME]`.

Runtimes take turns within each round, each round begins with another one, and the median of all samples counts: what the
machine does besides meets them all. Nothing here is a test: whether a goal is reached is said, and does not fail.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import table
from benchmarks.bundles import Trees
from benchmarks.cases import all_cases
from benchmarks.launch import Failed, adopt_orphans
from benchmarks.results import Results
from benchmarks.runtimes import all_runtimes, find_pysc

if TYPE_CHECKING:
    from benchmarks.cases import Case
    from benchmarks.runtimes import Runtime

_RESULTS = Path(__file__).with_name("results")


def main() -> int:
    options = _options()
    if os.geteuid() != 0:
        print("benchmarks: needs root, as the runtimes do", file=sys.stderr)
        return 1
    runtimes = []
    for runtime in all_runtimes(options.pysc):
        if options.runtime and runtime.name not in options.runtime:
            continue
        reason = runtime.missing()
        if reason:
            print(f"without {runtime.name}: {reason}", file=sys.stderr)
            continue
        runtimes.append(runtime)
    cases = [case for case in all_cases(quick=options.quick) if not options.case or case.name in options.case]
    if not runtimes or not cases:
        print("benchmarks: nothing to measure: no such case or runtime", file=sys.stderr)
        return 1
    adopt_orphans()
    results = Results(runtimes, [metric for case in cases for metric in case.metrics()])
    rounds = options.rounds or (1 if options.quick else 5)
    with tempfile.TemporaryDirectory(prefix="pysc-bench-") as directory, _memory() as state:
        trees = Trees(Path(directory), Path(state), small=options.quick)
        for runtime in runtimes:
            runtime.prepare()
        measure(cases, runtimes, trees, results, rounds)
    print(table.render(results))
    options.output.mkdir(parents=True, exist_ok=True)
    results.write(options.output / "benchmarks.json", {"quick": options.quick, "rounds": rounds})
    if not options.no_plot:
        from benchmarks.plot import draw

        draw(results, options.output / "benchmarks.png")
    return 1 if results.failures else 0


def _memory() -> tempfile.TemporaryDirectory[str]:
    """Where the runtimes keep their state: on a tmpfs, as /run is."""
    return tempfile.TemporaryDirectory(prefix="pysc-bench-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)


def measure(cases: list[Case], runtimes: list[Runtime], trees: Trees, results: Results, rounds: int) -> None:
    """Case by case; a runtime that failed a case is not asked again for it."""
    for case in cases:
        for number in range(rounds):
            print(f"{case.name}: round {number + 1} of {rounds}", file=sys.stderr)
            turn = number % len(runtimes)
            for runtime in [*runtimes[turn:], *runtimes[:turn]]:
                if (case.name, runtime.name) in results.failures or (runtime.zygote and not case.starts):
                    continue
                try:
                    with runtime.active():
                        results.add(runtime.name, case.measure(runtime, trees))
                except Failed as error:
                    results.failures[case.name, runtime.name] = str(error)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="pysc beside the plain host and other OCI runtimes")
    parser.add_argument("--quick", action="store_true", help="one round, few repetitions, a smaller file to sort")
    parser.add_argument("--rounds", type=int, default=0, metavar="N", help="how often the runtimes take turns; default 5")
    parser.add_argument("--case", action="append", metavar="NAME", help="only this case; may be repeated")
    parser.add_argument("--runtime", action="append", metavar="NAME", help="only this runtime; may be repeated")
    parser.add_argument("--pysc", default=find_pysc(), metavar="PATH", help="the command; default that of this interpreter")
    parser.add_argument("--output", type=Path, default=_RESULTS, metavar="DIR", help="where benchmarks.json and .png go")
    parser.add_argument("--no-plot", action="store_true", help="no PNG, which needs matplotlib")
    options = parser.parse_args()
    if options.rounds < 0:
        parser.error("--rounds: a positive number")
    return options


if __name__ == "__main__":
    sys.exit(main())
