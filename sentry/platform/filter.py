"""The workload's filter, from the table."""

from __future__ import annotations

from sentry.platform.bpf import RET_ALLOW, RET_ERRNO, RET_USER_NOTIF, Verdict, assemble
from sentry.syscalls.table import ROWS, Denied, Disposition, Mediated, Native, NativeIf


def program(profile: str) -> bytes:
    """struct sock_filter[] for the workload."""
    verdicts = {}
    for row in ROWS:
        found = row.disposition(profile)
        if isinstance(found, NativeIf):
            verdicts[row.number] = Verdict(RET_ALLOW, found.rule, _value(found.otherwise))
        else:
            verdicts[row.number] = Verdict(_value(found))
    return assemble(verdicts, RET_USER_NOTIF)


def _value(found: Disposition) -> int:
    if isinstance(found, Native):
        return RET_ALLOW
    if isinstance(found, Denied) and not found.counted:
        return RET_ERRNO | found.errno
    assert isinstance(found, (Denied, Mediated))
    return RET_USER_NOTIF


def surface(profile: str) -> dict[str, int]:
    """How many system calls the host kernel executes for a workload: always, by argument, for the sentry, never."""
    counts = {"native": 0, "native_if": 0, "mediated": 0, "denied": 0}
    names = {Native: "native", NativeIf: "native_if", Mediated: "mediated", Denied: "denied"}
    for row in ROWS:
        counts[names[type(row.disposition(profile))]] += 1
    return counts
