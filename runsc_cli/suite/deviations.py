"""What is known to be different, and why: `deviations.txt` of the suite.

A line is `PLATFORM FAMILY.CASE REASON` or, for one profile of the platform, `PLATFORM/PROFILE FAMILY.CASE REASON`; for several, they are
separated by commas. CASE may end with `*`.
Lines that begin with # are comments.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import NamedTuple

from runsc_cli.errors import PyscError


class Deviation(NamedTuple):
    """A difference that is accepted. `profile` is empty for all of them."""

    platform: str
    profile: str
    pattern: str
    reason: str


def read(path: str) -> list[Deviation]:
    """The file's deviations. Raises PyscError for a line that is none."""
    found = []
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        raise PyscError(f"no list of deviations: {path}") from None
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        words = line.split(None, 2)
        if len(words) < 3 or "." not in words[1]:
            raise PyscError(f"{path}, line {number}: a deviation is PLATFORM FAMILY.CASE REASON")
        for each in words[0].split(","):
            platform, _, profile = each.partition("/")
            found.append(Deviation(platform, profile, words[1], words[2]))
    return found


def reason(deviations: list[Deviation], column: str, case: str) -> str:
    """Why the case may fail in that column; empty when it may not."""
    platform, profile, *_ = (*column.split(), "")
    for deviation in deviations:
        if deviation.platform == platform and deviation.profile in ("", profile) and fnmatchcase(case, deviation.pattern):
            return deviation.reason
    return ""
