"""linux.seccomp: the profile of a config as a filter of its own, which the workload gets on top of the sandbox's.

The kernel runs both and takes the strictest answer (seccomp(2)), so a profile only ever takes away: what it allows is still decided
by the sandbox's filter, and what it denies never reaches the sentry. It is installed as the last step before execve(2); where that
needs a capability, because no_new_privs is not asked for, the one call after it is capset(2).

The meaning is runc's, which is libseccomp's: arguments are compared in all their 64 bits; a rule without arguments decides its
system call whatever else is said of it, the first one if there are several; a rule with the default action is not looked at;
a rule that names one argument twice holds for either test. A number beyond those that the profile knows is ENOSYS and
not the default error: whoever wrote it could not know the call, and callers have a fallback. Where libseccomp leaves open which of two
rules decides that both hold, it is the stricter one.

SCMP_ACT_TRACE is weaker to the kernel than the notification of the sentry, which would then decide alone. So for a call that the
sandbox mediates it is what it is without a tracer: ENOSYS.

SCMP_ACT_NOTIFY is for containers without a sentry: a process has one listener. seccomp_agent.py gives it away.

Left out: other architectures, which the sandbox's filter ends.
"""

from __future__ import annotations

import os
from errno import ENOSYS, EPERM

from runsc_cli.errors import PyscError, SpecError
from runsc_cli.launch import may_filter
from runsc_cli.state import SECCOMP_FILE
from sentry.abi import (
    SECCOMP_FILTER_FLAG_LOG,
    SECCOMP_FILTER_FLAG_NEW_LISTENER,
    SECCOMP_FILTER_FLAG_SPEC_ALLOW,
    SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
)
from sentry.platform import bpf, filter_cache
from sentry.platform.jsontext import dumps
from sentry.syscalls import numbers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from runsc_cli.launch import Profile
    from runsc_cli.oci.model import Process, Seccomp, SeccompArg, SeccompRule

MAX_INSTRUCTIONS = 4096  # BPF_MAXINSNS
_U64 = 0xFFFFFFFFFFFFFFFF
_FLAGS = {"SECCOMP_FILTER_FLAG_LOG": SECCOMP_FILTER_FLAG_LOG, "SECCOMP_FILTER_FLAG_SPEC_ALLOW": SECCOMP_FILTER_FLAG_SPEC_ALLOW}
"""TSYNC means nothing for a single thread; WAIT_KILLABLE_RECV is for a filter with a listener."""

_ACTIONS = {
    "SCMP_ACT_KILL": bpf.RET_KILL_THREAD,
    "SCMP_ACT_KILL_THREAD": bpf.RET_KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": bpf.RET_KILL_PROCESS,
    "SCMP_ACT_TRAP": bpf.RET_TRAP,
    "SCMP_ACT_ERRNO": bpf.RET_ERRNO,
    "SCMP_ACT_TRACE": bpf.RET_TRACE,
    "SCMP_ACT_ALLOW": bpf.RET_ALLOW,
    "SCMP_ACT_LOG": bpf.RET_LOG,
    "SCMP_ACT_NOTIFY": bpf.RET_USER_NOTIF,
}
_WITH_DATA = (bpf.RET_ERRNO, bpf.RET_TRACE)
_PERMISSIVE = (bpf.RET_ALLOW, bpf.RET_LOG)


def prepare(
    seccomp: Seccomp, process: Process, container: str, profile: str = "standard", network: str = "none", notify: Collection[str] = ()
) -> Profile:
    """The filter of a config, compiled or from the cache beside the directory `container`, where it is kept. Raises SpecError.

    `profile`, `network` and `notify` (sentry/platform/filter.py) are those of the sandbox, where there is one.
    """
    notifying = [rule for rule in seccomp.syscalls if rule.action == "SCMP_ACT_NOTIFY"]
    if any("write" in rule.names for rule in notifying):
        raise SpecError("linux.seccomp", "SCMP_ACT_NOTIFY cannot be used for write: with it the listener is reported")
    if notifying and not seccomp.listener_path:
        raise SpecError("linux.seccomp.listenerPath", "is missing: SCMP_ACT_NOTIFY needs somebody who listens")
    lasting = not process.no_new_privileges and not may_filter(process)
    asked = f"{dumps(seccomp.plain())} {lasting}"
    sources = [__file__, bpf.__file__, numbers.__file__]
    mediated: frozenset[int] = frozenset()
    if profile and "SCMP_ACT_TRACE" in asked:
        from sentry.platform.filter import notified

        mediated = notified(profile, network, notify)
        asked += f" {sorted(mediated)}"
    directory = os.path.dirname(container)
    program = filter_cache.cached(
        asked.encode(), sources, directory, lambda: program_of(seccomp, needs_capset=lasting, mediated=mediated)
    )
    flags = 0
    for name in seccomp.flags:
        flags |= _FLAGS.get(name, 0)
    if notifying:
        flags |= SECCOMP_FILTER_FLAG_NEW_LISTENER
        if "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" in seccomp.flags:
            flags |= SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
    fd = os.open(f"{container}/{SECCOMP_FILE}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:  # flags in four bytes, then struct sock_filter[]
        os.write(fd, flags.to_bytes(4, "little") + program)
    finally:
        os.close(fd)
    return flags, program


def of(container: str) -> Profile | None:
    """What prepare() has left in the directory `container`. Raises PyscError."""
    path = f"{container}/{SECCOMP_FILE}"
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        raw = os.read(fd, 4 + 8 * MAX_INSTRUCTIONS + 1)
    finally:
        os.close(fd)
    if len(raw) < 12 or len(raw) % 8 != 4:
        raise PyscError(f"{path} is damaged: delete the container")
    return int.from_bytes(raw[:4], "little"), raw[4:]


def program_of(seccomp: Seccomp, *, needs_capset: bool = False, mediated: Collection[int] = ()) -> bytes:
    """struct sock_filter[]. Raises SpecError for what does not fit into a filter, or would keep the container from being started."""
    default = _return(seccomp.default_action, seccomp.default_errno_ret)
    calls = _by_number(seccomp, default)
    a = bpf.Assembler()

    def end(number: int, action: int) -> int:
        """The node that returns `action` for a call."""
        traced = number in mediated and action & 0xFFFF0000 == bpf.RET_TRACE
        return a.ret(bpf.RET_ERRNO | ENOSYS if traced else action)

    otherwise = a.ret(default)
    nodes: dict[int, int] = {}
    for number, rules in calls.items():
        node = end(number, default)
        # what is looked at first decides
        for rule, action in sorted(rules, key=lambda each: -_strictness(each[1])):
            node = end(number, action) if rule is None else rule.compile(a, end(number, action), node)
        nodes[number] = node
    if needs_capset and not any(action in _PERMISSIVE for _, action in calls.get(numbers.NUMBERS["capset"], [(None, default)])):
        why = "has to allow capset, with which the container's capabilities are set, or process.noNewPrivileges has to be true"
        raise SpecError("linux.seccomp", why)
    above = otherwise
    last = max(_known(seccomp), default=-1)
    if default not in _PERMISSIVE and default & ~0xFFFF != bpf.RET_TRACE and last >= 0:
        above = a.ret(bpf.RET_ERRNO | ENOSYS)
    for number in (*range(last + 1), *(mediated if above == otherwise else ())):
        nodes.setdefault(number, end(number, default))
    allowed = a.ret(bpf.RET_ALLOW)
    program = bpf.by_number(a, nodes or {0: otherwise}, above, allowed, allowed)
    if len(program) > 8 * MAX_INSTRUCTIONS:
        raise SpecError("linux.seccomp", f"makes {len(program) // 8} instructions, and the kernel takes {MAX_INSTRUCTIONS}: shorten it")
    return program


def _known(seccomp: Seccomp) -> Iterator[int]:
    """The numbers that the profile has names for, others than x86_64's left out."""
    return (numbers.NUMBERS[name] for rule in seccomp.syscalls for name in rule.names if name in numbers.NUMBERS)


def _return(action: str, errno: int | None) -> int:
    value = _ACTIONS[action]
    return value | (EPERM if errno is None else errno) if value in _WITH_DATA else value


def _strictness(action: int) -> int:
    """Smaller is stricter, as in the kernel: the value as a signed number, without its data."""
    value = action & 0xFFFF0000
    return value - (1 << 32) if value >= 1 << 31 else value


def _by_number(seccomp: Seccomp, default: int) -> dict[int, list[tuple[bpf.Rule | None, int]]]:
    """Number -> what is said of it: (test, action); one without a test stands alone."""
    calls: dict[int, list[tuple[bpf.Rule | None, int]]] = {}
    for rule in seccomp.syscalls:
        action = _return(rule.action, rule.errno_ret)
        if action == default:
            continue
        test = _test_of(rule)
        for name in rule.names:
            number = numbers.NUMBERS.get(name)
            if number is None:
                continue
            said = calls.setdefault(number, [])
            if said and said[0][0] is None:
                continue
            if test is None:
                said.clear()
            said.append((test, action))
    return calls


def _test_of(rule: SeccompRule) -> bpf.Rule | None:
    """When a rule holds."""
    if not rule.args:
        return None
    tests = [_comparison(arg) for arg in rule.args]
    twice = len({arg.index for arg in rule.args}) < len(rule.args)
    return bpf.AnyOf(*tests) if twice else bpf.AllOf(*tests)


_NEVER = bpf.AnyOf()


def _comparison(arg: SeccompArg) -> bpf.Rule:
    index, value = arg.index, arg.value
    if arg.op in ("SCMP_CMP_EQ", "SCMP_CMP_NE"):
        equal = bpf.Equal(index, value, width=64)
        return equal if arg.op == "SCMP_CMP_EQ" else bpf.Not(equal)
    if arg.op == "SCMP_CMP_MASKED_EQ":
        return bpf.Equal(index, arg.value_two & value, mask=value, width=64)
    # each of the others is "this value or more" or its opposite
    if arg.op in ("SCMP_CMP_GT", "SCMP_CMP_LE"):
        value += 1
    at_least = _NEVER if value > _U64 else bpf.AtLeast(index, value)
    return at_least if arg.op in ("SCMP_CMP_GE", "SCMP_CMP_GT") else bpf.Not(at_least)
