"""Which devices a container may use: the rules of linux.resources.devices, and the decision.

Two walls hold the same rules. The container's devices cgroup decides what the workload's processes open (runsc_cli/cgroups/devices.py
writes it); but it is the sentry that opens, from outside of that cgroup, so it has to decide by itself.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

MKNOD, READ, WRITE = 1, 2, 4  # BPF_DEVCG_ACC_*, linux/bpf.h
ALL = MKNOD | READ | WRITE
ANY = -1  # as major or minor


class Rule:
    """`kind`: "b", "c", or "a" for every device in every way. `access`: a set of bits."""

    __slots__ = ("access", "allow", "kind", "major", "minor")

    def __init__(self, allow: bool, kind: str, major: int, minor: int, access: int) -> None:
        self.allow = allow
        self.kind = kind
        self.major = major
        self.minor = minor
        self.access = access

    def matches(self, kind: str, major: int, minor: int) -> bool:
        return self.kind in ("a", kind) and self.major in (ANY, major) and self.minor in (ANY, minor)

    def plain(self) -> list[object]:
        """The arguments that make it, for a message: Rule(*rule.plain())."""
        return [self.allow, self.kind, self.major, self.minor, self.access]


DEFAULT = (
    *(Rule(True, kind, ANY, ANY, MKNOD) for kind in "cb"),
    *(Rule(True, "c", 1, minor, ALL) for minor in (3, 5, 7, 8, 9)),  # null, zero, full, random, urandom
    *(Rule(True, "c", 5, minor, ALL) for minor in (0, 2)),  # tty, ptmx
    Rule(True, "c", 136, ANY, ALL),  # pts/*
)
"""Any node may be made; used may be what config-linux.md calls the default devices, and terminals of the container."""


def allows(rules: Sequence[Rule], kind: str, major: int, minor: int, access: int) -> bool:
    """The last rule that speaks of an access decides it; where none does it is denied."""
    for rule in reversed(rules):
        if rule.matches(kind, major, minor) and rule.access & access:
            if not rule.allow:
                return False
            access &= ~rule.access
            if not access:
                return True
    return False
