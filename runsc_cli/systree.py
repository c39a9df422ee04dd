"""What the generated /sys holds: `sentry.vfs.sysfs` fed from the host."""

from __future__ import annotations

import os

from sentry.abi import O_DIRECTORY, O_PATH
from sentry.vfs import sysfs
from sentry.vfs.procread import cgroup_levels, directory_reader
from sentry.vfs.procview import ProcView

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sentry.vfs.sysfs import Node


def nodes(procfd: int, cgroups: Mapping[str, tuple[int, int]]) -> dict[bytes, Node]:
    """Path below /sys -> content, link or None for a directory; parents first. `procfd`: a procfs of the host.

    `cgroups`: directories of the container's cgroup by hierarchy, with its limits written, and how many are above
    each: they say how many CPUs and how much memory. Of the network there is loopback.
    """
    host_sys = os.open("/sys", O_PATH | O_DIRECTORY | os.O_CLOEXEC)
    try:
        proc = directory_reader(procfd)
        view = ProcView(
            proc=proc,
            host=proc,
            cgroup=cgroup_levels({name.encode(): leaf for name, leaf in cgroups.items()}),
            pids=list,
            start=0.0,
            start_realtime=0.0,
            release=b"",
            version=b"",
            boot_id=b"",
        )
        return sysfs.tree(view, directory_reader(host_sys))
    finally:
        os.close(host_sys)


def network(interfaces: Iterable[tuple[str, int, str, int, int, int]]) -> dict[bytes, Node]:
    """Those of `interfaces`, the parameters of each sysfs.Interface."""
    return sysfs.network([sysfs.Interface(os.fsencode(name), index, address.encode(), *rest) for name, index, address, *rest in interfaces])
