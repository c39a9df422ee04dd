"""Capabilities and resource limits, against the running kernel and the standard library."""

from __future__ import annotations

import resource

from runsc_cli import capabilities, rlimits


def test_the_kernel_knows_as_many() -> None:
    with open("/proc/sys/kernel/cap_last_cap") as last:
        assert int(last.read()) <= capabilities.LAST_CAP


def test_masks() -> None:
    assert capabilities.mask(["CAP_CHOWN", "CAP_SYS_ADMIN", "CAP_CHECKPOINT_RESTORE"]) == 1 | 1 << 21 | 1 << 40
    assert capabilities.mask(["CAP_OF_TOMORROW", "chown", ""]) == 0
    assert capabilities.names(1 << 40 | 1 << 13 | 1 << 63) == ["CAP_NET_RAW", "CAP_CHECKPOINT_RESTORE"]
    assert capabilities.mask(capabilities.NAMES) == (1 << 41) - 1


def test_limits_have_the_standard_librarys_numbers() -> None:
    theirs = {name: getattr(resource, name) for name in rlimits.NUMBERS if hasattr(resource, name)}
    assert len(theirs) == 15  # all but RLIMIT_LOCKS, which does nothing since Linux 2.6
    assert theirs.items() <= rlimits.NUMBERS.items()
    assert sorted(rlimits.NUMBERS.values()) == list(range(16))
