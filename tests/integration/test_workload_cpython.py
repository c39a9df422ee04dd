"""Workload: the parts of CPython's own test suite that lean on the kernel give, test by test, what they give natively.

What is different for a good reason stands in cpython_differences.txt.
"""

from __future__ import annotations

import fnmatch
import shutil
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from workloads import native, requires_import

if TYPE_CHECKING:
    from collections.abc import Iterator

    from containers import Done
    from workloads import Sandbox

PYTHON = "/usr/bin/python3"

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(400),
    requires_import(PYTHON, "test.test_os", "libpython3-testsuite"),
]

LONG_TESTS = ["test_siginterrupt_off"]  # thirty seconds of waiting
UNSURE = ["test_stress_modifying_handlers"]  # a race on purpose (bpo-43406): where CPUs are scarce it fails natively too, 4 times in 100 on one


def results(done: Done) -> dict[str, str]:
    """Name of the test -> ok, skipped or failed."""
    return dict(sorted(line.rsplit(" ", 1) for line in done.out.splitlines()))


def accepted(sandbox: Sandbox) -> Iterator[tuple[str, str]]:
    """(pattern for tests' names, result) that differ from the native ones in this sandbox."""
    for line in (Path(__file__).parent / "cpython_differences.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            where, pattern, result = line.split()
            if fnmatch.fnmatchcase(str(sandbox), where):
                yield pattern, result


@pytest.fixture(scope="module")
def suite(long: bool) -> list[str]:
    return [PYTHON, "cpython_suite.py", *(f"--ignore={name}" for name in (UNSURE if long else UNSURE + LONG_TESTS))]


@contextmanager
def work_directory() -> Iterator[Path]:
    """One with a short name: sockets are made in it."""
    with TemporaryDirectory(prefix="pysc") as work:
        Path(work, "temp").mkdir()
        shutil.copy(Path(__file__).parent / "cpython_suite.py", work)
        yield Path(work)


@pytest.fixture(scope="module")
def expected(suite: list[str]) -> dict[str, str]:
    """The results without a sandbox."""
    with work_directory() as work:
        done = native(work, suite, timeout=300)
    assert done.code == 0, done
    return results(done)


@pytest.mark.short
def test_the_suite_gives_what_it_gives_natively(sandbox: Sandbox, expected: dict[str, str], suite: list[str]) -> None:
    assert len(expected) > 1000
    with work_directory() as work:
        done = sandbox.run(work, suite, timeout=350)
    found = results(done)
    different = {name: found.get(name, "missing") for name in expected if found.get(name) != expected[name]}
    for pattern, result in accepted(sandbox):
        matching = fnmatch.filter(different, pattern)
        assert matching, f"no difference any more: {pattern}"
        different = {name: found for name, found in different.items() if name not in matching or found != result}
    assert not different, "\n".join([*(f"{name} {found}, natively {expected[name]}" for name, found in different.items()), done.err])
