"""--systemd-cgroup: a container's cgroup as a scope of systemd's, org.freedesktop.systemd1(5), over D-Bus; of an ordinary user's own, bus.py.

linux.cgroupsPath is SLICE:PREFIX:NAME then, as runc reads it. systemd makes the cgroup, with our stage in it, and says where it is; there the
driver for cgroupfs writes what systemd has no property for. What it has one for it is told, or it would write its own value at its next
reload. jeepney, which speaks D-Bus, is an extra: it is imported by who asks for this driver alone.
"""

from __future__ import annotations

from runsc_cli.cgroups import bus, v2
from runsc_cli.errors import PyscError, SpecError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, TypeAlias

    from runsc_cli.oci.model import Resources

    Property: TypeAlias = "tuple[str, tuple[str, Any]]"

TIMEOUT = 30.0
"""Seconds that systemd may take."""

_BUS_NAME, _PATH, _MANAGER = "org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"
_GONE = ("org.freedesktop.systemd1.NoSuchUnit", "org.freedesktop.DBus.Error.UnknownObject")
_UNLIMITED = (1 << 64) - 1
_MOST_CPUS = 8192


def description(id: str, *, beside: bool = False) -> str:
    """By which a scope of ours is known."""
    return f"sentry of pysc container {id}" if beside else f"pysc container {id}"


def unit_of(cgroups_path: str, container_id: str) -> tuple[str, str]:
    """(slice, unit) that cgroupsPath names. Raises SpecError."""
    parts = cgroups_path.split(":") if cgroups_path else ["", "pysc", container_id]
    if len(parts) != 3 or not parts[2] or any("/" in part for part in parts):
        why = f'{cgroups_path!r} is no place for a scope: with --systemd-cgroup it is written "SLICE:PREFIX:NAME"'
        raise SpecError("linux.cgroupsPath", why)
    slice, prefix, name = parts
    slice = slice or ("user.slice" if bus.of_user() else "system.slice")
    stem = slice.removesuffix(".slice")
    if stem == slice or (stem != "-" and (stem.startswith("-") or stem.endswith("-") or "--" in stem or not stem)):
        raise SpecError("linux.cgroupsPath", f"{slice!r} is no slice: it ends with .slice, and - separates its parents")
    return slice, f"{prefix}-{name}.scope" if prefix else f"{name}.scope"


_VERSION_2 = {
    "memory.max": "MemoryMax", "memory.high": "MemoryHigh", "memory.low": "MemoryLow", "memory.min": "MemoryMin",
    "memory.swap.max": "MemorySwapMax", "pids.max": "TasksMax", "cpu.weight": "CPUWeight",
}  # fmt: skip
_SETS = {"cpuset.cpus": "AllowedCPUs", "cpuset.mems": "AllowedMemoryNodes"}


def properties(resources: Resources | None, *, pure: bool) -> list[Property]:
    """The limits that systemd knows. `pure`: cgroup version 2. Raises SpecError."""
    if resources is None:
        return []
    out = _version_2(resources) if pure else _version_1(resources)
    cpu = resources.cpu
    if cpu is not None and (cpu.quota or cpu.period):
        quota, period = cpu.quota or -1, cpu.period or 100_000
        # systemd keeps whole percents
        per_second = _UNLIMITED if quota < 0 else -(-quota * 1_000_000 // period // 10_000) * 10_000
        out.append(("CPUQuotaPerSecUSec", ("t", per_second)))
        if pure:
            out.append(("CPUQuotaPeriodUSec", ("t", period)))
    return out


def _version_1(resources: Resources) -> list[Property]:
    out: list[Property] = []
    memory, cpu = resources.memory, resources.cpu
    if memory is not None and memory.limit:
        out.append(("MemoryLimit", ("t", _number(memory.limit))))
    if cpu is not None and cpu.shares:
        out.append(("CPUShares", ("t", cpu.shares)))
    if resources.pids is not None and resources.pids.limit is not None:
        out.append(("TasksMax", ("t", _number(resources.pids.limit))))
    return out


def _version_2(resources: Resources) -> list[Property]:
    """By the files that the values would be written to; of one that is there twice the last is what holds."""
    out: dict[str, tuple[str, Any]] = {}
    for write in (*v2.memory(resources), *v2.cpu(resources), *v2.cpuset(resources), *v2.pids(resources), *v2.unified(resources)):
        value = write.value.strip()
        if write.file in _VERSION_2 and (value == "max" or (value.isascii() and value.isdigit())):
            out[_VERSION_2[write.file]] = ("t", _UNLIMITED if value == "max" else int(value))
        elif write.file in _SETS:
            out[_SETS[write.file]] = ("ay", bits(value))
    return list(out.items())


def bits(numbers: str) -> bytes:
    """A list of CPUs or nodes, "0-2,5", as systemd has it: a bit each, the lowest first. What is none is for the kernel to refuse."""
    mask = 0
    for part in numbers.split(","):
        first, _, last = part.strip().partition("-")
        last = last or first
        if not (first.isascii() and first.isdigit() and last.isdigit() and int(last) < _MOST_CPUS):
            return b""
        mask |= (1 << int(last) + 1) - (1 << int(first))
    return mask.to_bytes((mask.bit_length() + 7) // 8, "little") if mask > 0 else b""


def _number(value: int) -> int:
    return _UNLIMITED if value < 0 else value


class Systemd:
    """A connection to systemd: `with Systemd() as systemd: ...`. Raises PyscError."""

    __slots__ = ("_connection", "_jeepney")

    def __enter__(self) -> Systemd:  # noqa: PYI034  # typing.Self is imported by nobody on this path
        self._connection = bus.connect()
        import jeepney

        self._jeepney = jeepney
        return self

    def __exit__(self, *_error: object) -> None:
        self._connection.close()

    def _call(self, method: str, signature: str = "", body: tuple[Any, ...] = (), *, path: str = _PATH, interface: str = _MANAGER) -> Any:
        address = self._jeepney.DBusAddress(path, bus_name=_BUS_NAME, interface=interface)
        message = self._jeepney.new_method_call(address, method, signature, body)
        try:
            reply = self._connection.send_and_get_reply(message, timeout=TIMEOUT)
        except (TimeoutError, OSError) as error:
            raise PyscError(f"systemd: {method}: {error or 'no answer'}") from None
        if reply.header.message_type == self._jeepney.MessageType.error:
            fields = reply.header.fields
            raise Refused(fields.get(self._jeepney.HeaderFields.error_name, ""), f"systemd: {method}: {', '.join(map(str, reply.body))}")
        return reply.body[0] if reply.body else None

    def start(self, slice: str, unit: str, pid: int, description: str, limits: list[Property], more: Iterable[Property] = ()) -> str:
        """Make the scope with process `pid` in it; returns its cgroup, from the hierarchy's root. Raises PyscError.

        `more`: properties of whoever wrote the config, none of which may be one of ours.
        """
        names = ("MemoryAccounting", "CPUAccounting", "TasksAccounting")
        wanted: list[Property] = [
            ("Description", ("s", description)),
            ("Slice", ("s", slice)),
            ("PIDs", ("au", [pid])),
            ("Delegate", ("b", True)),
            ("DefaultDependencies", ("b", False)),
            *((name, ("b", True)) for name in names),
            *limits,
        ]
        taken = {name for name, _ in wanted}
        for name, value in more:
            if name in taken:
                raise SpecError(f"annotations['org.systemd.property.{name}']", f"{name} is given by the rest of the config: leave it out")
            wanted.append((name, value))
        rule = self._jeepney.MatchRule(type="signal", interface=_MANAGER, member="JobRemoved", path=_PATH)
        address = self._jeepney.DBusAddress("/org/freedesktop/DBus", bus_name="org.freedesktop.DBus", interface="org.freedesktop.DBus")
        self._connection.send_and_get_reply(self._jeepney.new_method_call(address, "AddMatch", "s", (rule.serialise(),)), timeout=TIMEOUT)
        self._call("Subscribe")
        with self._connection.filter(rule) as removed:
            job = self._call("StartTransientUnit", "ssa(sv)a(sa(sv))", (unit, "replace", wanted, []))
            while True:
                try:
                    _, path, name, result = self._connection.recv_until_filtered(removed, timeout=TIMEOUT).body
                except (TimeoutError, OSError) as error:
                    raise PyscError(f"systemd: start {unit}: {error or 'no answer'}") from None
                if path == job:
                    break
        if result != "done":
            raise PyscError(f"systemd: start {name}: {result}")
        group: str = self._get(unit, "Scope", "ControlGroup")
        return group

    def _get(self, unit: str, kind: str, name: str) -> Any:
        path = self._call("GetUnit", "s", (unit,))
        interface = "org.freedesktop.DBus.Properties"
        return self._call("Get", "ss", (f"org.freedesktop.systemd1.{kind}", name), path=path, interface=interface)[1]

    def attach(self, unit: str, pid: int) -> None:
        """Move process `pid` into the unit's cgroup: the way of a user whose own cgroup is not below the delegated one. Raises PyscError."""
        self._call("AttachProcessesToUnit", "ssau", (unit, "", [pid]))

    def change(self, unit: str, limits: list[Property]) -> None:
        """Other limits, until the unit ends. Raises PyscError."""
        self._call("SetUnitProperties", "sba(sv)", (unit, True, limits))

    def stop(self, unit: str, description: str) -> None:
        """End it; that there is none is no error, nor that it is somebody else's: its description is not ours. Raises PyscError."""
        try:
            if self._get(unit, "Unit", "Description") != description:
                return
            self._call("StopUnit", "ss", (unit, "replace"))
            self._call("ResetFailedUnit", "s", (unit,))
        except Refused as error:
            if error.name not in _GONE:
                raise


def attach(unit: str, pid: int) -> None:
    """Have systemd move process `pid` into the cgroup of `unit`. Raises PyscError."""
    with Systemd() as manager:
        manager.attach(unit, pid)


class Refused(PyscError):
    """systemd's answer is an error; `name` is D-Bus's word for it."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name
