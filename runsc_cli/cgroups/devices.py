"""Which device nodes a container may make, read and write: linux.resources.devices.

The rules are read in their order, and each access (r, w, m) is decided by the last rule that speaks of it; where none does it
is denied. The devices that every container has come after the config's, as in runc. Version 2 can say exactly that
(device_filter.py); version 1 knows a default and exceptions to it, and what does not fit that is refused.
"""

from __future__ import annotations

from runsc_cli.cgroups.write import Write
from runsc_cli.errors import SpecError
from sentry.devices import ALL, ANY, DEFAULT, MKNOD, READ, WRITE, Rule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from runsc_cli.oci.model import DeviceRule

    Node = tuple[str, int, int]

FIELD = "linux.resources.devices"
_ACCESS = {"m": MKNOD, "r": READ, "w": WRITE}


def rules(config: Iterable[DeviceRule]) -> list[Rule]:
    """The config's rules and ours. One of type "a" that does not mean everything becomes two."""
    out = []
    for rule in config:
        access = 0
        for letter in rule.access:
            access |= _ACCESS[letter]
        major = ANY if rule.major is None else rule.major
        minor = ANY if rule.minor is None else rule.minor
        kinds = rule.type or "a"
        if kinds == "a" and (major, minor, access) != (ANY, ANY, ALL):
            kinds = "cb"
        out += [Rule(rule.allow, kind, major, minor, access) for kind in kinds]
    return [*out, *DEFAULT]


def v1_writes(rules: list[Rule]) -> list[Write]:
    """devices.deny and devices.allow for a leaf, whatever it has inherited. Raises SpecError."""
    by_default, exceptions = _reduce(rules)
    # "a" sets the default and forgets the exceptions, those of the parent too.
    file, other = ("devices.allow", "devices.deny") if by_default else ("devices.deny", "devices.allow")
    out = [Write("devices", file, "a", "devices")]
    return out + [Write("devices", other, _text(*node, access), "devices") for node, access in exceptions.items()]


def _reduce(rules: list[Rule]) -> tuple[bool, dict[Node, int]]:
    """A default for all devices, and the exceptions to it: security/device_cgroup.c has no more than that."""
    by_default = False
    exceptions: dict[Node, int] = {}
    for rule in rules:
        if rule.kind == "a":
            by_default = rule.allow
            exceptions.clear()
            continue
        if rule.allow == by_default:
            _remove(rule, exceptions)
        else:
            node = (rule.kind, rule.major, rule.minor)
            exceptions[node] = exceptions.get(node, 0) | rule.access
    return by_default, exceptions


def _remove(rule: Rule, exceptions: dict[Node, int]) -> None:
    """Take back exceptions that the rule covers. One that is wider cannot lose a part of itself."""
    for node, access in list(exceptions.items()):
        kind, major, minor = node
        apart = rule.kind != kind or not rule.access & access
        for ours, theirs in ((rule.major, major), (rule.minor, minor)):
            apart = apart or (ours != theirs and ANY not in (ours, theirs))
        if apart:
            continue
        if rule.major not in (ANY, major) or rule.minor not in (ANY, minor):
            verb = "allow" if rule.allow else "deny"
            why = f"{verb} {_text(rule.kind, rule.major, rule.minor, rule.access)} is an exception to an exception"
            raise SpecError(FIELD, f"{why}, which cgroup version 1 does not have: reorder the rules")
        exceptions[node] &= ~rule.access
        if not exceptions[node]:
            del exceptions[node]


def _text(kind: str, major: int, minor: int, access: int) -> str:
    """As devices.allow reads it: c 136:* rw."""
    node = ":".join("*" if number == ANY else str(number) for number in (major, minor))
    return f"{kind} {node} " + "".join(letter for letter in "rwm" if access & _ACCESS[letter])
