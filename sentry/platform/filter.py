"""The workload's seccomp filter, from the system call table.

Man page: seccomp(2). A number is found by binary search. For calls that are always native that hardly matters: since Linux
5.11 the kernel recognises them when a filter is loaded and does not run it for them (seccomp_is_const_allow()).

- Another architecture's call (int 0x80, a 32-bit program) kills the process: its numbers mean other calls, and there is no errno
  that would stop such a program sooner.
- The x32 ABI, which has the same architecture and a bit in the number, is ENOSYS, as on kernels without it.
- On the platform ptrace a call is not sent by RET_USER_NOTIF but by RET_TRACE, which is ENOSYS where there is no tracer.
- Number -1 passes: it is no call, but what a tracer writes to skip one (ptrace(2)), and the kernel does nothing.
"""

from __future__ import annotations

from errno import ENOSYS

from sentry.platform.bpf import RET_ALLOW, RET_ERRNO, RET_TRACE, RET_USER_NOTIF, TRACE_MARK, Assembler, by_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from sentry.syscalls.table import Disposition


def program(profile: str, network: str = "none", notify: Collection[str] = (), *, traced: bool = False) -> bytes:
    """struct sock_filter[] for the workload: RET_ALLOW, RET_USER_NOTIF, RET_ERRNO or RET_KILL_PROCESS.

    `notify`: names of calls that are to be sent to the sentry whatever their arguments (sentry/syscalls/notified.py).
    `traced`: RET_TRACE in the place of RET_USER_NOTIF, and what would take a process from its tracer is refused.
    """
    from sentry.syscalls.table import ROWS, traced_disposition

    a = Assembler()
    sentry = a.ret(RET_TRACE | TRACE_MARK if traced else RET_USER_NOTIF)
    nodes = {}
    for row in ROWS:
        disposition = row.disposition(profile, network)
        if row.name in notify:
            nodes[row.number] = sentry
            continue
        nodes[row.number] = _node(a, traced_disposition(row.name, disposition) if traced else disposition, sentry)
    return by_number(a, nodes, sentry, a.ret(RET_ERRNO | ENOSYS), a.ret(RET_ALLOW))


def notified(profile: str, network: str = "none", notify: Collection[str] = ()) -> frozenset[int]:
    """The numbers for which the program returns RET_USER_NOTIF, always or depending on arguments; those that no row has are not among them."""
    from sentry.syscalls.table import ROWS, Denied, Native, leaves

    found = set()
    for row in ROWS:
        ends = leaves(row.disposition(profile, network))
        if row.name in notify or any(not isinstance(end, Native) and not (isinstance(end, Denied) and not end.counted) for end in ends):
            found.add(row.number)
    return frozenset(found)


def surface(profile: str, network: str = "none") -> dict[str, int]:
    """How many system calls reach the host kernel as the workload makes them: always, depending on arguments, not, never."""
    from sentry.syscalls.table import ROWS, Mediated, Native, leaves

    counts = dict.fromkeys(("native", "native_if", "mediated", "denied"), 0)
    for row in ROWS:
        kinds = {type(leaf) for leaf in leaves(row.disposition(profile, network))}
        if Native in kinds:
            counts["native" if len(kinds) == 1 else "native_if"] += 1
        else:
            counts["mediated" if Mediated in kinds else "denied"] += 1
    return counts


def _node(a: Assembler, disposition: Disposition, sentry: int) -> int:
    """`sentry`: the node of what is sent there."""
    from sentry.syscalls.table import Denied, If, Native

    if isinstance(disposition, If):
        otherwise = _node(a, disposition.otherwise, sentry)
        return disposition.rule.compile(a, _node(a, disposition.then, sentry), otherwise)
    if isinstance(disposition, Native):
        return a.ret(RET_ALLOW)
    if isinstance(disposition, Denied) and not disposition.counted:
        return a.ret(RET_ERRNO | disposition.errno)
    return sentry
