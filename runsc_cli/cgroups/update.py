"""`update`: other limits for a container that runs, in the cgroups that it has.

What is not given stays as it is. Of the new values either all come to hold, or, as far as the kernel lets go back, none. Device
rules are not touched, as by runc: a workload has opened what it has opened.
"""

from __future__ import annotations

import os
from errno import EBUSY, EINVAL

from runsc_cli.cgroups import driver, hierarchy
from runsc_cli.cgroups.write import Refused, Write, get, put
from runsc_cli.errors import PyscError, SpecError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from runsc_cli.cgroups.hierarchy import Hierarchies
    from runsc_cli.cgroups.write import Step
    from runsc_cli.oci.model import Resources

_LIMIT, _SWAP = "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"
_PERIOD, _QUOTA = "cpu.cfs_period_us", "cpu.cfs_quota_us"


def update(resources: Resources, directories: Iterable[str]) -> None:
    """Set the limits of a container whose cgroups are `directories`. Raises PyscError; then they are the old ones again."""
    there = hierarchy.find()
    places = _places(directories, there)
    memory = resources.memory
    if memory is not None and memory.limit == -1 and not memory.swap and not there.pure:
        resources = resources.replace(memory=memory.replace(swap=-1))  # no limit on memory is none on memory and swap
    steps = driver.limit_steps(resources, there)
    for step in steps:
        if step.hierarchy not in places:
            raise SpecError(step.field, f"the container has no {step.hierarchy or 'version 2'} cgroup")
    _check_memory(resources, places)
    _order(steps, places)
    before: list[tuple[str, str]] = []
    try:
        for step in steps:
            _note(step, places[step.hierarchy], before)
            _execute(step, places[step.hierarchy], resources)
    except PyscError:
        for path, value in reversed(before):
            try:
                put(path, value)
            except OSError:
                continue  # the first error is the one to be told
        raise


def completed(resources: Resources, directories: Iterable[str], hierarchies: Hierarchies | None = None) -> Resources:
    """Version 2 has quota and period in one file: of the two the one that is not given is what holds now. Raises OSError."""
    there = hierarchies or hierarchy.find()
    cpu = resources.cpu
    place = _places(directories, there).get(hierarchy.UNIFIED)
    if not there.pure or place is None or cpu is None or bool(cpu.quota) == bool(cpu.period):
        return resources
    try:
        quota, period = get(f"{place}/cpu.max").split()
    except FileNotFoundError:
        return resources  # its absence is for the step to report
    return resources.replace(cpu=cpu.replace(quota=cpu.quota or (-1 if quota == "max" else int(quota)), period=cpu.period or int(period)))


def _places(directories: Iterable[str], there: Hierarchies) -> dict[str, str]:
    """Hierarchy -> the container's cgroup in it."""
    places = {}
    for directory in directories:
        for name, mount in there.mounts.items():
            if directory.startswith(mount.point + "/"):
                places[name] = directory
    # the mount of all lies above the others
    return {name: path for name, path in places.items() if os.path.isdir(path)}


def _note(step: Step, directory: str, before: list[tuple[str, str]]) -> None:
    """Remember a value that can be written back as it is read: a single line."""
    if isinstance(step, Write):
        path = f"{directory}/{step.file}"
        try:
            value = get(path)
        except OSError:
            return  # its absence is for the step to report
        if value and "\n" not in value:
            before.append((path, value))


def _execute(step: Step, directory: str, resources: Resources) -> None:
    try:
        step.execute(directory)
    except Refused as error:
        if isinstance(step, Write) and step.file == _LIMIT and error.errno == EBUSY:
            raise _too_low(step.value, get(f"{directory}/memory.usage_in_bytes"), get(f"{directory}/memory.max_usage_in_bytes")) from None
        if isinstance(step, Write) and step.file == _PERIOD and error.errno == EINVAL and resources.cpu and resources.cpu.quota:
            # too short for the quota that holds now: the new one first
            Write("cpu", _QUOTA, resources.cpu.quota, "cpu.quota").execute(directory)
            step.execute(directory)
            return
        raise


def _too_low(limit: object, usage: str, peak: str) -> PyscError:
    return PyscError(f"unable to set memory limit to {limit} (current usage: {usage}, peak usage: {peak})")


def _check_memory(resources: Resources, places: dict[str, str]) -> None:
    """checkBeforeUpdate: version 2 would kill, where version 1 refuses."""
    memory = resources.memory
    if memory is None or not memory.check_before_update or not memory.limit or memory.limit < 0 or "memory" in places:
        return
    directory = places.get(hierarchy.UNIFIED, "")
    usage = get(f"{directory}/memory.current")
    if int(usage) > memory.limit:
        raise _too_low(memory.limit, usage, usage)


def _order(steps: list[Step], places: dict[str, str]) -> None:
    """Version 1 wants memory and swap together never below memory: when they grow, their limit goes first."""
    at = {step.file: i for i, step in enumerate(steps) if isinstance(step, Write) and step.hierarchy == "memory"}
    if _LIMIT not in at or _SWAP not in at:
        return
    limit, swap = at[_LIMIT], at[_SWAP]
    wanted = int(getattr(steps[swap], "value", 0))
    if wanted == -1 or wanted > int(get(f"{places['memory']}/{_LIMIT}")):
        steps[limit], steps[swap] = steps[swap], steps[limit]
