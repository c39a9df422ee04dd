"""pysc update: other limits for a container, from options or from JSON as linux.resources has it."""

from __future__ import annotations

import os

from runsc_cli.cgroups.update import completed, update
from runsc_cli.config_file import MAX_SIZE, read
from runsc_cli.errors import NotRunning, PyscError, quote
from runsc_cli.oci import check_linux
from runsc_cli.oci.model import Resources
from runsc_cli.spec import decode
from runsc_cli.state import STOPPED
from sentry.platform.jsontext import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runsc_cli.context import Context
    from runsc_cli.options import Options

# option -> section and field of linux.resources
_NUMBERS = {
    "blkio_weight": ("blockIO", "weight"),
    "cpu_period": ("cpu", "period"),
    "cpu_quota": ("cpu", "quota"),
    "cpu_burst": ("cpu", "burst"),
    "cpu_share": ("cpu", "shares"),
    "cpu_rt_period": ("cpu", "realtimePeriod"),
    "cpu_rt_runtime": ("cpu", "realtimeRuntime"),
    "cpu_idle": ("cpu", "idle"),
    "pids_limit": ("pids", "limit"),
}
_LISTS = {"cpuset_cpus": ("cpu", "cpus"), "cpuset_mems": ("cpu", "mems")}
_SIZES = {"memory": ("memory", "limit"), "memory_reservation": ("memory", "reservation"), "memory_swap": ("memory", "swap")}
_UNITS = "kmgtp"
_CHUNK = 1 << 16


def run(options: Options, args: list[str], context: Context) -> int:
    for name, what in (("l3_cache_schema", "l3 cache"), ("mem_bw_schema", "memory bandwidth")):
        if options[name]:
            raise PyscError(f"Intel RDT: {what} schema is not enabled")
    with context.store().load(args[0]).lock() as container:
        if container.status() == STOPPED:
            raise NotRunning
        resources = decode(_input(options["resources"]), Resources, "resources") if options["resources"] else of_options(options)
        check_linux.resources(resources, "resources")
        if not container.state.cgroups:
            raise PyscError("the container has no cgroup: its limits cannot be changed")
        resources = completed(resources, container.state.cgroups)
        update(resources, container.state.cgroups)
        if container.state.unit:
            from runsc_cli.cgroups import hierarchy, systemd

            with systemd.Systemd() as manager:
                manager.change(container.state.unit, systemd.properties(resources, pure=hierarchy.find().pure))
    return 0


def _input(path: str) -> bytes:
    """A file, or with - what comes on stdin until its end. Raises PyscError."""
    if path != "-":
        return read(path, pipe=True)
    data = bytearray()
    while piece := os.read(0, _CHUNK):
        data += piece
        if len(data) > MAX_SIZE:
            raise PyscError(f"stdin is larger than {MAX_SIZE >> 20} MiB: no config is")
    return bytes(data)


def of_options(options: Options) -> Resources:
    """What the options ask for; one that is not given leaves its limit alone. Raises PyscError."""
    asked: dict[str, dict[str, Any]] = {}
    for table, convert in ((_NUMBERS, number), (_LISTS, lambda _name, text: text), (_SIZES, size)):
        for key, (section, field) in table.items():
            if options[key]:
                asked.setdefault(section, {})[field] = convert(key.replace("_", "-"), options[key])
    return decode(dumps(asked).encode(), Resources, "resources")  # so that widths are checked


def number(name: str, text: str) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):
        raise PyscError(f"invalid value for {name}: parsing {quote(text)}: invalid syntax")
    return int(text)


def size(name: str, text: str) -> int:
    """Bytes, as Docker's units write them: 64m, 1.5g, 512MiB; -1 is no limit."""
    if text == "-1":
        return -1
    digits = text.rstrip("bBiIkKmMgGtTpP ")
    unit = text[len(digits) :].strip().lower().removesuffix("b").removesuffix("i")
    whole, _, part = digits.partition(".")
    if len(unit) > 1 or (unit and unit not in _UNITS) or not (whole + part).isascii() or not (whole + part).isdigit() or not whole:
        raise PyscError(f"invalid value for {name}: invalid size: '{text}'")
    return int(float(digits) * (1 << 10 * (_UNITS.index(unit) + 1)) if unit else float(digits))
