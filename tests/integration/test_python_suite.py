"""CPython's whole test suite, as an ordinary user without a network, gives in a bundle no failure that it does not give natively.

What is left out stands with its reason in cpython_exclusions.csv. It takes most of an hour, so only --long runs it (`make test-python`); the
parts that lean on the kernel most are compared test by test, as root, in test_workload_cpython.py.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from containers import requires
from workloads import ENVIRONMENT, PROFILES, debian_config, native, public_directory, requires_import, run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from containers import Done, Pysc

PYTHON = "/usr/bin/python3"
USER = 65534
PARTS = 24
SECONDS = 500  # for a module; asyncio takes two minutes on an idle machine

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(20 * SECONDS),
    requires("setpriv", "unshare", "ip"),
    requires_import(PYTHON, "test.test_os", "libpython3-testsuite"),
]

HERE = Path(__file__).parent
AS_USER = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--"]
# loopback and nothing else, as in the bundle
WITHOUT_NETWORK = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]


def suite(modules: list[str], leave_out: list[str]) -> list[str]:
    ignored = [f"--ignore=test.{test}" for test in leave_out if "." in test]
    return [*AS_USER, PYTHON, "cpython_modules.py", *ignored, str(SECONDS), *modules]


def modules(part: int) -> list[str]:
    """Every 24th module of the suite: those that take long are spread."""
    listed = subprocess.run([PYTHON, "-m", "test", "--list-tests"], capture_output=True, text=True, check=True)
    return listed.stdout.split()[part::PARTS]


def excluded(profile: str) -> list[str]:
    """Modules, and patterns of tests, which have a dot."""
    with (HERE / "cpython_exclusions.csv").open(newline="") as file:
        return [row["test"] for row in csv.DictReader(file) if row["profile"] in ("*", profile)]


def failures(done: Done) -> set[str]:
    """Tests that failed, and modules that did so without one: they hung, crashed, or left something changed."""
    failed: set[str] = set()
    module, alone = "", False
    for line in done.out.splitlines():
        name, result, *_ = line.split()
        if not line.startswith(" "):
            module, alone = name, result in ("failed", "timeout")
            if alone:
                failed.add(module)
        elif result == "failed":
            failed.add(name)
            failed.discard(module)
    return failed


@contextmanager
def work_directory() -> Iterator[Path]:
    with public_directory() as directory:
        work = directory / "work"
        work.mkdir()
        os.chown(work, USER, USER)
        shutil.copy(HERE / "cpython_modules.py", work)
        yield work


def in_a_bundle(pysc: Pysc, profile: str, root: Path, bundle: Path, argv: list[str]) -> Done:
    """/usr is writable, for those to whom the host's is: the user gets EACCES, not EROFS."""
    with work_directory() as work:
        config = debian_config(root, argv, ENVIRONMENT, work)
        next(mount for mount in config["mounts"] if mount["destination"] == "/usr")["options"].remove("ro")
        (bundle / "config.json").write_text(json.dumps(config))
        return run(pysc.argv("--profile", profile, "run", "--bundle", bundle, pysc.id), work, timeout=18 * SECONDS)


@pytest.mark.long
@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("part", range(PARTS))
def test_nothing_fails_that_does_not_natively(pysc: Pysc, debian_root: Path, tmp_path: Path, profile: str, part: int) -> None:
    leave_out = excluded(profile)
    ran = [module for module in modules(part) if module not in leave_out]
    done = in_a_bundle(pysc, profile, debian_root, tmp_path, suite(ran, leave_out))
    ended = {line.split()[0] for line in done.out.splitlines() if not line.startswith(" ")}
    assert ended == set(ran), done
    failed = failures(done)
    if failed:
        again = sorted({name.partition(".")[0] for name in failed} & set(ran)) or ran
        with work_directory() as work:
            failed -= failures(native(work, [*WITHOUT_NETWORK, *suite(again, leave_out)], timeout=18 * SECONDS))
    assert not failed, f"{sorted(failed)}\n{done.err}"
