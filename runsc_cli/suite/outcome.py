"""What came out of a run: results by column, family and case, counted and judged against the list of deviations."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from runsc_cli.suite.deviations import reason
from runsc_cli.suite.tap import FAILED, PASSED, SKIPPED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runsc_cli.suite.deviations import Deviation
    from runsc_cli.suite.tap import Result

NATIVE = "native"


class Counts(NamedTuple):
    """`deviating`: as many of the failed as are listed deviations."""

    passed: int
    failed: int
    skipped: int
    deviating: int

    @property
    def share(self) -> float:
        """Passed, of those that were decided, in percent."""
        decided = self.passed + self.failed
        return 100 * self.passed / decided if decided else 100.0


class Outcome:
    """`columns[column][family][case]`. A column is a platform, with its profile if it has one."""

    def __init__(self, deviations: list[Deviation]) -> None:
        self.columns: dict[str, dict[str, dict[str, Result]]] = {}
        self.deviations = deviations

    def families(self) -> list[str]:
        return sorted({family for column in self.columns.values() for family in column})

    def counts(self, column: str, family: str | None = None) -> Counts:
        """Of one family, or of all."""
        statuses = [
            (result.status, bool(result.status == FAILED and reason(self.deviations, column, f"{name}.{case}")))
            for name, cases in self.columns[column].items()
            if family in (None, name)
            for case, result in cases.items()
        ]
        number = {status: sum(found == status for found, _ in statuses) for status in (PASSED, FAILED, SKIPPED)}
        return Counts(number[PASSED], number[FAILED], number[SKIPPED], sum(listed for _, listed in statuses))

    def failures(self, column: str) -> Iterator[tuple[str, str, str]]:
        """Name, what was seen, and the reason if it is a listed deviation."""
        for family, cases in self.columns[column].items():
            for case, result in cases.items():
                if result.status == FAILED:
                    name = f"{family}.{case}"
                    yield name, result.why, reason(self.deviations, column, name)

    def stale(self) -> list[str]:
        """Listed deviations that pass: names with their column."""
        return [
            f"{column}: {family}.{case}"
            for column, families in self.columns.items()
            for family, cases in families.items()
            for case, result in cases.items()
            if result.status == PASSED and reason(self.deviations, column, f"{family}.{case}")
        ]

    def total(self) -> Counts:
        """Over all columns but the native one, which is there to compare with; the native one if there is no other."""
        columns = [column for column in self.columns if column != NATIVE] or [NATIVE]
        each = [self.counts(column) for column in columns]
        return Counts(*(sum(column) for column in zip(*each, strict=True)))

    def as_listed(self) -> bool:
        """Whether nothing failed but listed deviations, and natively nothing at all."""
        return all(counts.failed == counts.deviating for counts in map(self.counts, self.columns))
