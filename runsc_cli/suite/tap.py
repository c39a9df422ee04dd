"""What a program of the suite prints, read: TAP version 13, a line a case and its diagnosis below."""

from __future__ import annotations

import re
from typing import NamedTuple

PASSED = "passed"
FAILED = "failed"
SKIPPED = "skipped"

_LINE = re.compile(r"(not )?ok \d+ - (\S+)(?: # SKIP (.*))?")


class Result(NamedTuple):
    """What became of one case; `why` it failed or was skipped."""

    status: str
    why: str = ""


def read(output: str) -> dict[str, Result]:
    """Results by the name of the case. What is not TAP is passed over: a runtime's own messages may stand between."""
    results: dict[str, Result] = {}
    failing = ""
    for line in output.splitlines():
        match = _LINE.fullmatch(line)
        if match is not None:
            bad, name, skipped = match.groups()
            failing = name if bad else ""
            results[name] = Result(FAILED) if bad else Result(PASSED) if skipped is None else Result(SKIPPED, skipped)
        elif failing and line.startswith("# "):
            results[failing] = Result(FAILED, " ".join(filter(None, (results[failing].why, line[2:]))))
    return results


def complete(results: dict[str, Result], expected: list[str], why: str) -> dict[str, Result]:
    """A result for each expected case: one that the program did not come to has failed, and `why` says what is known."""
    return {name: results.get(name, Result(FAILED, why)) for name in expected}
