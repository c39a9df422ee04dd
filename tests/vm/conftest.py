"""These tests are for a machine of their own with systemd, cgroup version 2 alone and AppArmor: `make test-vm`, run.py."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

collect_ignore_glob = [] if os.environ.get("PYSC_VM") else ["test_*.py"]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """What failed is told at once: an emulated machine takes its time, and may be ended from outside."""
    if report.failed:
        print(f"\n{report.longreprtext}", flush=True)
