"""The filter as a workload meets it: errnos of refusals in both profiles, numbers that nobody has, and what a start imports for it."""

from __future__ import annotations

import errno
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from sentry.syscalls.numbers import NUMBERS
from sentry.syscalls.table import PROFILES, ROWS

if TYPE_CHECKING:
    from pathlib import Path

    from containers import Bundles, Pysc

pytestmark = pytest.mark.integration

CALLS = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def call(nr, *args):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(nr), *[ctypes.c_ulong(a & (1 << 64) - 1) for a in (*args, *[0] * (6 - len(args)))])
    return -ctypes.get_errno() if result == -1 else result
"""

REFUSED = [
    (("prctl", 35), errno.EPERM),
    (("prctl", 59), errno.EINVAL),
    (("prctl", 24, 70), errno.EINVAL),  # PR_CAPBSET_DROP is continued, and the kernel knows no capability 70
    (("socket", 17, 3, 0x300), errno.EPERM),
    (("socket", 2, 1, 262), errno.EPROTONOSUPPORT),
    (("socket", 2, 5, 132), errno.ESOCKTNOSUPPORT),
    (("socket", 38, 5, 0), errno.EAFNOSUPPORT),
    (("setsockopt", -1, 6, 31), errno.ENOPROTOOPT),
    (("setsockopt", -1, 6, 1), errno.EBADF),
    (("clone", 0x10000000 | 17), errno.EPERM),
    (("clone3",), errno.ENOSYS),
    (("seccomp", 1, 8, 0), errno.EBUSY),
    (("ioctl", 0, 0x5412), errno.ENOTTY),
    (("open_by_handle_at", -1, 0, 0), errno.EPERM),
    (("openat2", -100, 0, 0, 0), errno.EINVAL),
    (("bpf", 0, 0, 0), errno.EPERM),
    (("io_uring_setup", 1, 0), errno.ENOSYS),
]


@pytest.mark.parametrize("profile", PROFILES)
def test_each_refusal_has_its_errno(pysc: Pysc, tmp_path: Path, profile: str) -> None:
    lines = [f"print({name!r}, {args}, call({NUMBERS[name]}, *{args}))" for (name, *args), _ in REFUSED]
    done = pysc("--profile", profile, "do", "-q", "--", sys.executable, "-c", "\n".join([CALLS, *lines]), cwd=tmp_path, check=True)
    assert done.out.splitlines() == [f"{name} {args} {-error}" for (name, *args), error in REFUSED]


@pytest.mark.parametrize("profile", PROFILES)
def test_strict_refuses_what_standard_lets_pass(pysc: Pysc, tmp_path: Path, profile: str) -> None:
    calls = [("futex", 0, 6), ("sendto", -1, 0, 0, 1), ("madvise", 1, 0, 12), ("timer_create", 2, 0, 1)]
    lines = [f"print(call({NUMBERS[name]}, *{args}))" for name, *args in calls]
    done = pysc("--profile", profile, "do", "-q", "--", sys.executable, "-c", "\n".join([CALLS, *lines]), cwd=tmp_path, check=True)
    strict = [errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EINVAL]
    standard = [errno.EFAULT, errno.EBADF, errno.EINVAL, errno.EFAULT]  # the kernel's own answers
    assert [-int(line) for line in done.out.split()] == (strict if profile == "strict" else standard)


def test_unknown_numbers_are_enosys_counted_and_shown(pysc: Pysc, tmp_path: Path) -> None:
    known = {row.number for row in ROWS}
    body = "print({call(nr) for nr in [400, 1000, 1000, *range(2000, 5000)]}, call(0x40000000 | 39))"
    done = pysc("--debug", "do", "--", sys.executable, "-c", CALLS + body, cwd=tmp_path, check=True)
    assert not known & {400, 1000}
    assert done.out == f"{{{-errno.ENOSYS}}} {-errno.ENOSYS}\n"
    assert "denied syscall 400 (1 times)" in done.err
    assert "denied syscall 1000 (2 times)" in done.err
    [counted] = re.findall(r"mediated \d+ system calls:.* unknown (\d+)", done.err)
    assert int(counted) == 3003
    assert "sentry: denied syscall 1000" in done.err


def imported(error: str) -> set[str]:
    """What an interpreter with PYTHONPROFILEIMPORTTIME says it has imported; the sentry's own imports are not on our stderr."""
    return {line.rpartition("|")[2].strip() for line in error.splitlines() if line.startswith("import time:")}


def test_the_table_is_imported_only_where_no_filter_was_kept(pysc: Pysc, bundle: Bundles) -> None:
    sleeping = bundle(["sleep", "1000"])
    env = {"PYTHONPROFILEIMPORTTIME": "1"}
    runs = [pysc("run", "-b", bundle(["true"]), pysc.id, env=env, check=True) for _ in range(2)]
    detached = pysc.argv("run", "--detach", "-b", sleeping, pysc.id)
    subprocess.run(detached, check=True, timeout=60, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    runs.append(pysc("exec", pysc.id, "true", env=env, check=True))
    pysc("delete", "--force", pysc.id, check=True)
    loaded = [imported(done.err) for done in runs]
    ours = {"sentry.syscalls.table", "sentry.syscalls.arguments", "sentry.platform.filter"}
    assert ours <= loaded[0]
    assert not ours & (loaded[1] | loaded[2])
    assert "sentry.platform.filter_cache" in loaded[1] & loaded[2]
    [kept] = pysc.root.glob(".filter-*")
    assert kept.stat().st_mode & 0o777 == 0o600
