"""Runs families, natively first and then on each platform, a few at a time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from runsc_cli.suite.outcome import NATIVE, Outcome
from runsc_cli.suite.tap import FAILED

if TYPE_CHECKING:
    from collections.abc import Callable

    from runsc_cli.suite.deviations import Deviation
    from runsc_cli.suite.platforms import Native, Runtime


def run(
    chosen: dict[str, list[str]],
    platforms: list[Native | Runtime],
    deviations: list[Deviation],
    jobs: int,
    say: Callable[[str], None],
) -> Outcome:
    """The results of `chosen`, cases by family. `say` gets a line for each family that is done."""
    outcome = Outcome(deviations)
    for platform in platforms:
        column = outcome.columns[platform.name] = {}
        with ThreadPoolExecutor(jobs) as pool:
            running = {family: pool.submit(platform.run, family, cases) for family, cases in chosen.items()}
            for family, future in running.items():
                results = column[family] = future.result()
                failed = sum(result.status == FAILED for result in results.values())
                say(f"{platform.name}: {family}: {len(results) - failed} of {len(results)}")
    return outcome


def order(platforms: list[str]) -> list[str]:
    """The platforms asked for, the native one first: what fails there is wrong everywhere."""
    return [NATIVE, *(platform for platform in dict.fromkeys(platforms) if platform != NATIVE)]
