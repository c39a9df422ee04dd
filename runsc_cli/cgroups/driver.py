"""A container's control groups: cgroups(7), version 1, version 2 and both at once, without systemd's help.

    cgroup = plan(cgroupsPath, id, resources)     nothing is done yet; raises for what this host cannot do
    cgroup.paths                                  where the leaves will be: save it, then
    cgroup.create()                               make them and write the limits
    leaf.enter(program, cgroup.paths.values())    the workload's first process moves in

The leaf holds the workload alone. Sentry and gofer are in one beside it (beside.py), so their memory and time are not the
container's; nor do its device rules reach what the sentry opens for it. The parents of a leaf are made as needed and, as runc
leaves them, stay: other containers share them.
"""

from __future__ import annotations

import os
from errno import EACCES, EBUSY, EEXIST, ENOENT, ENOTEMPTY, EPERM, EROFS

from runsc_cli.cgroups import hierarchy as layout
from runsc_cli.cgroups.hierarchy import UNIFIED
from runsc_cli.cgroups.leaf import add, enter, pids, remove
from runsc_cli.cgroups.write import Refused, get, put
from runsc_cli.errors import HostError, PyscError, SpecError, strerror

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runsc_cli.cgroups.hierarchy import Hierarchies
    from runsc_cli.cgroups.write import Step, Write
    from runsc_cli.oci.model import Resources

__all__ = ["Cgroup", "add", "enter", "pids", "plan", "remove"]

_DENIED = (EACCES, EPERM, EROFS)
_CPUSET_FILES = ("cpuset.cpus", "cpuset.mems")
_CORE = "cgroup"  # the prefix of version 2's own files


class Cgroup:
    """The leaves of one container. `paths`: hierarchy ("memory", ..., UNIFIED) -> directory on the host."""

    __slots__ = ("_asked", "_made", "_rootless", "_steps", "member", "mount_points", "paths")

    def __init__(self, paths: dict[str, str], mounts: dict[str, str], steps: list[Step], *, asked: bool, rootless: bool | None) -> None:
        """`mounts`: hierarchy -> mount point. `asked`: the config says where, so it has to be there."""
        self.paths = paths
        self.mount_points = mounts
        self._steps = steps
        self._asked = asked
        self._rootless = rootless
        self.member = 0
        """The process that may be in them already, where systemd has made them."""
        self._made: list[str] = []

    def create(self) -> None:
        """Make the leaves and write the limits. Raises PyscError; then nothing that it made is left.

        Where an ordinary user may not make leaves, those are dropped from `paths`, unless a limit needs them.
        """
        try:
            for name, path in list(self.paths.items()):
                made = len(self._made)
                try:
                    self._make(name, path)
                except OSError as e:
                    if e.errno not in _DENIED or self._asked or not self.rootless():
                        raise HostError("make cgroup", e.filename or path, e) from None
                    self.unmake(made)
                    del self.paths[name]
            for step in self._steps:
                self._execute(step)
        except BaseException:
            self.unmake()
            raise

    def _execute(self, step: Step) -> None:
        device_rule = step.field == "linux.resources.devices"
        if step.hierarchy not in self.paths:
            if device_rule:
                return
            why = f"no permission to make a {step.hierarchy or 'version 2'} cgroup: run as root, have it delegated to you, or leave the limit out"
            raise SpecError(step.field, why)
        try:
            step.execute(self.paths[step.hierarchy])
        except Refused as e:
            # In a user namespace nobody may set device rules, nor make device nodes, whatever the rules are.
            if not (device_rule and e.errno in _DENIED and (self.rootless() or in_user_namespace())):
                raise

    def rootless(self) -> bool:
        """--rootless; auto, as in runc: not to be root, or only in a user namespace."""
        return os.geteuid() != 0 or in_user_namespace() if self._rootless is None else self._rootless

    def _make(self, name: str, path: str) -> None:
        if name == UNIFIED:
            self._make_unified(path)
            return
        if path in self._made:
            return  # two controllers on one mount
        made = self._mkdir(path)
        if not made:
            _check_found(path, self.member)
        if name == "cpuset":
            for directory in made or [path]:
                _inherit(directory, self.mount_points[name])
        if name == "freezer" and get(f"{path}/freezer.state") != "THAWED":
            raise PyscError(f"container's cgroup unexpectedly frozen: thaw {path!r} first")

    def _mkdir(self, path: str) -> list[str]:
        """mkdir -p; returns what was not there, parents first."""
        try:
            os.mkdir(path, 0o755)
        except FileNotFoundError:
            return self._mkdir(os.path.dirname(path)) + self._mkdir(path)
        except OSError as e:
            if e.errno != EEXIST:
                raise
            return []
        self._made.append(path)
        os.chmod(path, 0o755)  # whatever the caller's umask: the container is to see it
        return [path]

    def _make_unified(self, path: str) -> None:
        """Make the leaf and give it all controllers that there are; one that the config needs must arrive."""
        refused: dict[str, str] = {}
        current = self.mount_points[UNIFIED]
        made: list[str] = []
        for part in path[len(current) :].strip("/").split("/"):
            refused.update(_enable(current))
            current = f"{current}/{part}"
            made = self._mkdir(current)
        if get(f"{path}/cgroup.type") in ("threaded", "domain invalid"):
            # It could hold threads, but nobody may ask which processes are in it.
            raise PyscError(f"{path!r} is below a threaded cgroup, which holds no containers: choose another linux.cgroupsPath")
        if not made:
            _check_found(path, self.member)
        if "frozen 1" in get(f"{path}/cgroup.events").splitlines():
            raise PyscError(f"container's cgroup unexpectedly frozen: thaw {path!r} first")
        present = get(f"{path}/cgroup.controllers").split()
        for step in self._steps:
            controller = _controller(step)
            if controller == _CORE or controller in present:
                continue
            why = f"the {controller} controller is not available in {path!r}"
            if controller in refused:
                why += f": {refused[controller]}"
            raise SpecError(step.field, why)

    def unmake(self, start: int = 0) -> None:
        """Take back what create() has made, where nobody uses it."""
        for path in reversed(self._made[start:]):
            try:
                os.rmdir(path)
            except OSError as e:
                if e.errno not in (ENOENT, EBUSY, ENOTEMPTY):  # busy: a parent that others have begun to use
                    raise
        del self._made[start:]

    def add(self, pid: int) -> None:
        """Move process `pid` into every leaf. Raises HostError. leaf.enter() is 10 ms faster."""
        for path in dict.fromkeys(self.paths.values()):
            add(path, pid)


def plan(
    cgroups_path: str,
    container_id: str,
    resources: Resources | None,
    *,
    rootless: bool | None = None,
    hierarchies: Hierarchies | None = None,
) -> Cgroup:
    """Where the leaves are to be and what is written there. Raises SpecError for what no hierarchy here can do.

    `rootless`: missing permission is no error where no limit needs it and no cgroupsPath asks for it; None: decide as runc.
    """
    there = hierarchies or layout.find()
    if not there.mounts:
        raise PyscError("no cgroup hierarchy is mounted: mount one on /sys/fs/cgroup, or use --ignore-cgroups")
    steps = _steps(resources, there)
    names = [name for name in there.mounts if name != UNIFIED]
    if UNIFIED in there.mounts and (there.pure or any(step.hierarchy == UNIFIED for step in steps)):
        names.append(UNIFIED)
    paths = {name: there.leaf(name, cgroups_path, container_id) for name in names}
    for name, path in paths.items():
        if path == os.path.normpath(there.mounts[name].point):
            raise SpecError("linux.cgroupsPath", f"{cgroups_path!r} is the root of the hierarchy: name a cgroup below it")
    mounts = {name: there.mounts[name].point for name in names}
    return Cgroup(paths, mounts, steps, asked=bool(cgroups_path), rootless=rootless)


def _steps(resources: Resources | None, there: Hierarchies) -> list[Step]:
    """In the order in which they are done: device rules, limits by controller, then the config's own files."""
    devices = _device_steps(resources, there)
    return devices if resources is None else devices + limit_steps(resources, there)


def limit_steps(resources: Resources, there: Hierarchies) -> list[Step]:
    """Limits by controller, then the config's own files."""
    out: list[Step] = []
    if there.pure:
        from runsc_cli.cgroups import v2

        for section in dict.fromkeys(v2.CONTROLLERS.values()):
            out += section(resources)
    else:
        from runsc_cli.cgroups import v1

        for name, section in v1.CONTROLLERS.items():
            writes = section(resources)
            if writes and name not in there.mounts:
                writes = _elsewhere(name, resources, there, writes[0])
            out += writes
    if resources.unified:
        if UNIFIED not in there.mounts:
            raise SpecError("linux.resources.unified", "this host has no cgroup version 2 hierarchy: use the other fields")
        from runsc_cli.cgroups import v2

        for write in v2.unified(resources):
            if _controller(write) in there.mounts:
                raise SpecError(write.field, f"the {_controller(write)} controller is in a version 1 hierarchy on this host")
            out.append(write)
    return out


def _elsewhere(name: str, resources: Resources, there: Hierarchies, asked: Write) -> list[Write]:
    """A controller without a version 1 mount may be in the version 2 tree beside."""
    from runsc_cli.cgroups import v2

    if UNIFIED in there.mounts:
        controller = v2.NAMES.get(name, name)
        try:
            available = get(f"{there.mounts[UNIFIED].point}/cgroup.controllers").split()
        except OSError as e:
            raise HostError("read", f"{there.mounts[UNIFIED].point}/cgroup.controllers", e) from None
        if controller in available:
            return v2.CONTROLLERS[name](resources)
    raise SpecError(asked.field, f"this host has no {name} cgroup controller: mount it, or leave the limit out")


def _device_steps(resources: Resources | None, there: Hierarchies) -> list[Step]:
    from runsc_cli.cgroups import devices

    rules = devices.rules(resources.devices if resources is not None else ())
    if "devices" in there.mounts:
        return list(devices.v1_writes(rules))
    if UNIFIED not in there.mounts:
        raise PyscError("this host has no devices cgroup controller: mount it, or use --ignore-cgroups")
    from runsc_cli.cgroups.device_filter import DeviceFilter

    return [DeviceFilter(rules)]


def _controller(step: Step) -> str:
    """Of a step in the version 2 leaf; device rules need none there."""
    if step.hierarchy != UNIFIED or step.field == "linux.resources.devices":
        return _CORE
    return getattr(step, "file", _CORE).partition(".")[0]


def _enable(directory: str) -> dict[str, str]:
    """Give the children of a cgroup all that it has: cgroup.subtree_control. Returns what the kernel refused, and why."""
    control = f"{directory}/cgroup.subtree_control"
    enabled = get(control).split()
    missing = [name for name in get(f"{directory}/cgroup.controllers").split() if name not in enabled]
    if not missing:
        return {}
    try:
        put(control, " ".join("+" + name for name in missing))
        return {}
    except OSError as e:
        if e.errno == EBUSY:  # one at a time, some would pass, and make it a threaded cgroup with all that is in it
            return dict.fromkeys(missing, f"{directory!r} holds processes itself")
    refused = {}  # all or nothing; now each for itself
    for name in missing:
        try:
            put(control, "+" + name)
        except OSError as e:
            refused[name] = f"write '+{name}' to {control}: {strerror(e)}"
    return refused


def _inherit(directory: str, top: str) -> None:
    """A new version 1 cpuset has no CPUs and no memory nodes, and takes nobody in: give it its parent's."""
    for name in _CPUSET_FILES:
        if directory == top or get(f"{directory}/{name}"):
            continue
        parent = os.path.dirname(directory)
        value = get(f"{parent}/{name}")
        if not value:  # made by somebody who is not yet done with it
            _inherit(parent, top)
            value = get(f"{parent}/{name}")
        put(f"{directory}/{name}", value)


def _check_found(directory: str, member: int) -> None:
    """A leaf that was there already. Somebody else's is as one that we may not make. `member` is ours.

    Others' processes would come under our limits, and end with the container.
    """
    if not os.access(directory, os.W_OK, effective_ids=True):
        raise PermissionError(EACCES, os.strerror(EACCES), directory)
    inside = set(pids([directory])) - {member}
    if inside:
        raise PyscError(f"container's cgroup is not empty: {len(inside)} process(es) found in {directory!r}")


def in_user_namespace() -> bool:
    """user_namespaces(7): the initial one maps all ids to themselves."""
    try:
        return get("/proc/self/uid_map").split() != ["0", "0", "4294967295"]
    except FileNotFoundError:
        return False  # a kernel without user namespaces
