"""A mount of type cgroup or cgroup2: the container's own cgroups and nothing above them, config-linux.md, cgroups(7).

They are bind mounts of the container's leaves, which is what a mount in a cgroup namespace would show. Version 1 and mixed hosts have a
directory for each hierarchy, named as on the host, and a link for each controller that shares one (cpu -> cpu,cpuacct).
"""

from __future__ import annotations

import os

from gofer.mounts import Mount, MountError, new_filesystem
from runsc_cli.cgroups.hierarchy import UNIFIED
from runsc_cli.errors import SpecError
from runsc_cli.mount_plan import detached
from sentry.abi import MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from runsc_cli.cgroups.driver import Cgroup
    from runsc_cli.mount_options import MountOptions
    from runsc_cli.oci.model import Mount as SpecMount


def plan(mount: SpecMount, options: MountOptions, cgroup: Cgroup | None, warn: Callable[[str], None], field: str) -> list[Mount]:
    """The mounts, in order. Raises SpecError, MountError. `cgroup`: None where the container has none, which it then sees."""
    paths = dict(cgroup.paths) if cgroup is not None else {}
    if list(paths) == [UNIFIED]:
        return [_bind(paths[UNIFIED], mount.target, options, warn, field)]
    top = new_filesystem("tmpfs", ("source=cgroup", "mode=755"), f"mount cgroup on {mount.target!r}")
    made: dict[str, Mount] = {}
    for name, path in paths.items():
        place = os.path.basename(cgroup.mount_points[name]) if cgroup is not None else name
        if place not in made:
            os.mkdir(place, dir_fd=top)
            os.chmod(place, 0o755, dir_fd=top)  # whatever the caller's umask
            made[place] = _bind(path, f"{mount.target.rstrip('/')}/{place}", options, warn, field)
    for name in paths:
        if name not in made and name.isalnum() and cgroup is not None:
            os.symlink(os.path.basename(cgroup.mount_points[name]), name, dir_fd=top)
    attrs = options.attr_set | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC
    return [Mount("cgroup", mount.target, fd=top, attr_set=attrs, propagation=options.propagation), *made.values()]


def read_only(mount: SpecMount, options: MountOptions, cgroup: Cgroup, warn: Callable[[str], None], field: str) -> list[Mount]:
    """The same for a sandbox, which may only read them; none where that cannot be mounted, for an ordinary user, and it is said why.

    What is in them is about the container alone: the process ids in them are those of the reader's pid namespace.
    """
    try:
        mounts = plan(mount, options, cgroup, warn, field)
    except (MountError, SpecError) as error:
        warn(f"{mount.target!r} is left empty: {error}")
        return []
    for made in mounts:
        made.attr_set |= MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC
    return mounts


def _bind(path: str, destination: str, options: MountOptions, warn: Callable[[str], None], field: str) -> Mount:
    fd = detached(path, -1, False, warn, field)
    return Mount("cgroup", destination, fd=fd, attr_set=options.attr_set, attr_clear=options.attr_clear)
