"""What `update` leaves as it is in version 2, in a directory in place of a cgroup; with the kernel's: tests/vm/test_like_runc.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runsc_cli.cgroups.hierarchy import UNIFIED, Hierarchies, Mount
from runsc_cli.cgroups.update import completed
from runsc_cli.oci.model import Resources

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("now", "asked", "then"),
    [
        ("20000 100000", {"period": 50000}, (20000, 50000)),
        ("max 100000", {"period": 50000}, (-1, 50000)),
        ("20000 50000", {"quota": 30000}, (30000, 50000)),
        ("20000 50000", {"quota": -1}, (-1, 50000)),
        ("20000 50000", {"quota": 30000, "period": 70000}, (30000, 70000)),
        ("20000 50000", {"shares": 300}, (None, None)),
    ],
)
def test_quota_or_period_stays_when_the_other_changes(tmp_path: Path, now: str, asked: dict[str, int], then: tuple[int, int]) -> None:
    (tmp_path / "leaf").mkdir()
    (tmp_path / "leaf/cpu.max").write_text(f"{now}\n")
    there = Hierarchies({UNIFIED: Mount(str(tmp_path), "/")}, {UNIFIED: "/"})
    cpu = completed(Resources.of({"cpu": asked}), [f"{tmp_path}/leaf"], there).cpu
    assert cpu is not None
    assert (cpu.quota, cpu.period) == then
