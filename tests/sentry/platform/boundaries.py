"""Argument registers at which a rule of a filter may change its mind."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sentry.platform.bpf import Rule

U32 = (1 << 32) - 1
U64 = (1 << 64) - 1
EDGES = {0, 1, (1 << 31) - 1, 1 << 31, U32, 1 << 32, 1 << 63, U64, -100 & U64}


def near(value: int, mask: int) -> set[int]:
    """Registers around `value`: neighbours, single bits, garbage where the mask or the width says that nobody looks."""
    plain = {value, value - 1, value + 1, value ^ mask, value | ~mask & U32, *(value ^ 1 << bit for bit in (0, 3, 15, 31))}
    garbage = {v & U32 | high for v in plain for high in (0, 1 << 32, 1 << 63, U32 << 32)}
    return {v & U64 for v in plain | garbage}


def boundary_calls(rules: Iterable[Rule]) -> Iterator[tuple[int, ...]]:
    """Each argument at all its boundary values, with the others at each value that a rule names."""
    exact: list[set[int]] = [{0, U64} for _ in range(6)]
    full: list[set[int]] = [set(EDGES) for _ in range(6)]
    for word in (word for rule in rules for word in rule.words()):
        exact[word.arg] |= set(word.values)
        full[word.arg] |= {r for value in word.values for r in near(value, word.mask)}
        full[word.arg] |= {1 << bit for bit in range(64) if word.mask >> bit & 1 and len(word.values) == 1}
    used = [arg for arg in range(6) if len(exact[arg]) > 2] or [0]
    for arg in used:
        others = [exact[a] if a in used and a != arg else {0} for a in range(6)]
        for call in itertools.product(*others):
            for register in full[arg]:
                yield (*call[:arg], register, *call[arg + 1 :])
