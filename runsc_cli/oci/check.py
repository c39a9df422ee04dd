"""Whether a config makes sense: what the specification demands of values (config.md), beyond their types.

The first problem is a SpecError with the field's path as it is written in the file; what the specification wants
reported and not failed (capabilities nobody knows) comes back as warnings. check_linux.py has the section `linux`,
enforce.py what makes sense and pysc cannot do.
"""

from __future__ import annotations

from runsc_cli import capabilities, mount_options, rlimits
from runsc_cli.errors import SpecError
from runsc_cli.namespaces import is_ours_at
from runsc_cli.oci import check_linux, enforce
from runsc_cli.oci.values import NOBODY, absolute, cpu_list, id_mappings, one_of
from runsc_cli.version import SPEC_VERSION
from sentry.abi import MS_REMOUNT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runsc_cli.oci.model import Hook, IOPriority, Mount, Process, Scheduler, Spec, User

HOST_NAME_MAX = 64  # include/uapi/linux/utsname.h: __NEW_UTS_LEN, of the domain name too

_IO_CLASSES = ("IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE")
_POLICIES = ("SCHED_OTHER", "SCHED_FIFO", "SCHED_RR", "SCHED_BATCH", "SCHED_ISO", "SCHED_IDLE", "SCHED_DEADLINE")
_SCHED_FLAGS = tuple(
    "SCHED_FLAG_" + name
    for name in ["RESET_ON_FORK", "RECLAIM", "DL_OVERRUN", "KEEP_POLICY", "KEEP_PARAMS", "UTIL_CLAMP_MIN", "UTIL_CLAMP_MAX"]
)


def check(spec: Spec, *, trusted: bool = False) -> list[str]:
    """A whole config; returns the warnings. `trusted`: no sandbox limits what it may ask for. Raises SpecError with the field's path."""
    warnings: list[str] = []
    _version(spec.oci_version)
    _process(spec.process, "process", warnings)
    if not spec.root.path:
        raise SpecError("root.path", 'is missing: give the directory of the root file system, as in "rootfs"')
    for name, value in (("hostname", spec.hostname), ("domainname", spec.domainname)):
        if len(value.encode()) > HOST_NAME_MAX:
            raise SpecError(name, f"is {len(value.encode())} bytes long, the kernel takes {HOST_NAME_MAX}")
        uts = spec.linux.namespace("uts")
        if value and (uts is None or (uts.path and is_ours_at(uts.path, "uts"))):
            raise SpecError(name, 'needs a namespace of type "uts" in linux.namespaces that is not the host\'s: it would change the host')
    for i, each in enumerate(spec.mounts):
        _mount(each, f"mounts[{i}]", spec, warnings)
    for name in ("prestart", "create_runtime", "create_container", "start_container", "poststart", "poststop"):
        first, _, second = name.partition("_")
        for i, each_hook in enumerate(getattr(spec.hooks, name)):
            _hook(each_hook, f"hooks.{first}{second.capitalize()}[{i}]")
    if "" in spec.annotations:
        raise SpecError("annotations", "has an entry without a name: remove it")
    check_linux.linux(spec)
    enforce.config(spec, warnings, trusted=trusted)
    return warnings


def check_process(process: Process, field: str) -> list[str]:
    """A process alone, of `exec`: as check(). `field` is what stands before the fields' names."""
    warnings: list[str] = []
    _process(process, field, warnings)
    enforce.process(process, field)
    return warnings


def _version(text: str) -> None:
    """ociVersion: a semantic version that this implementation covers, 1.0.0 to SPEC_VERSION and its patches."""
    core, _, _ = text.partition("+")
    core, dash, pre = core.partition("-")
    numbers = core.split(".")
    if (
        len(numbers) != 3
        or not all(n.isascii() and n.isdigit() and (n == "0" or n[0] != "0") and len(n) < 10 for n in numbers)
        or (dash and not all(pre.split(".")))
    ):
        raise SpecError("ociVersion", f'{text!r} is no version: write it as "{SPEC_VERSION}"')
    ours = [int(n) for n in SPEC_VERSION.split(".")]
    major, minor = int(numbers[0]), int(numbers[1])
    if major != ours[0] or minor > ours[1]:
        raise SpecError("ociVersion", f"{text} is not supported: pysc takes 1.0.0 to {ours[0]}.{ours[1]}")


# --- process ---


def _process(process: Process, at: str, warnings: list[str]) -> None:
    if not process.args:
        raise SpecError(f"{at}.args", "is empty: name the program to run")
    if not process.args[0]:
        raise SpecError(f"{at}.args[0]", "is empty: name the program to run")
    absolute(process.cwd, f"{at}.cwd")
    for i, entry in enumerate(process.env):
        if entry.find("=") < 1:
            raise SpecError(f"{at}.env[{i}]", f"{entry!r} is not of the form NAME=VALUE")
    _user(process.user, f"{at}.user")
    size = process.console_size
    if process.terminal and size is not None and max(size.height, size.width) > 0xFFFF:
        raise SpecError(f"{at}.consoleSize", "a terminal has at most 65535 rows and columns")
    if process.capabilities is not None:
        for name in ("bounding", "effective", "inheritable", "permitted", "ambient"):
            unknown = [n for n in getattr(process.capabilities, name) if n not in capabilities.NUMBERS]
            if unknown:
                warnings.append(f"{at}.capabilities.{name}: ignoring unknown {', '.join(map(repr, unknown))}")
    seen: set[str] = set()
    for i, limit in enumerate(process.rlimits):
        field = f"{at}.rlimits[{i}]"
        if limit.type not in rlimits.NUMBERS:
            raise SpecError(f"{field}.type", f"{limit.type!r} is unknown: getrlimit(2) lists the names")
        if limit.type in seen:
            raise SpecError(f"{field}.type", f"{limit.type} is given twice: keep one")
        seen.add(limit.type)
        if limit.soft > limit.hard:
            raise SpecError(f"{field}.soft", f"{limit.soft} is above the hard limit {limit.hard}")
    adjustment = process.oom_score_adj
    if adjustment is not None and not -1000 <= adjustment <= 1000:
        raise SpecError(f"{at}.oomScoreAdj", f"{adjustment} is outside -1000 to 1000")
    if process.scheduler is not None:
        _scheduler(process.scheduler, f"{at}.scheduler")
    if process.io_priority is not None:
        _io_priority(process.io_priority, f"{at}.ioPriority")
    if process.exec_cpu_affinity is not None:
        cpu_list(process.exec_cpu_affinity.initial, f"{at}.execCPUAffinity.initial")
        cpu_list(process.exec_cpu_affinity.final, f"{at}.execCPUAffinity.final")


def _user(user: User, at: str) -> None:
    for name, value in (("uid", user.uid), ("gid", user.gid)):
        if value == NOBODY:
            raise SpecError(f"{at}.{name}", f"{value} is no id, it means -1 to the kernel")
    for i, gid in enumerate(user.additional_gids):
        if gid == NOBODY:
            raise SpecError(f"{at}.additionalGids[{i}]", f"{gid} is no id, it means -1 to the kernel")
    if len(user.additional_gids) > 65536:  # NGROUPS_MAX
        raise SpecError(f"{at}.additionalGids", f"{len(user.additional_gids)} groups, setgroups(2) takes 65536")
    if user.umask is not None and user.umask > 0o777:
        raise SpecError(f"{at}.umask", f"{user.umask} is above 511 (octal 777)")


def _scheduler(scheduler: Scheduler, at: str) -> None:
    one_of(scheduler.policy, _POLICIES, f"{at}.policy")
    if not -20 <= scheduler.nice <= 19:
        raise SpecError(f"{at}.nice", f"{scheduler.nice} is outside -20 to 19")
    real_time = scheduler.policy in ("SCHED_FIFO", "SCHED_RR")
    if real_time and not 1 <= scheduler.priority <= 99:
        raise SpecError(f"{at}.priority", f"{scheduler.priority} is outside 1 to 99")
    if scheduler.priority and not real_time:
        raise SpecError(f"{at}.priority", f"{scheduler.policy} has none: use SCHED_FIFO or SCHED_RR")
    for i, flag in enumerate(scheduler.flags):
        one_of(flag, _SCHED_FLAGS, f"{at}.flags[{i}]")
    if scheduler.policy != "SCHED_DEADLINE":
        for name in ("runtime", "deadline", "period"):
            if getattr(scheduler, name):
                raise SpecError(f"{at}.{name}", f"is for SCHED_DEADLINE, not {scheduler.policy}")


def _io_priority(priority: IOPriority, at: str) -> None:
    one_of(priority.class_, _IO_CLASSES, f"{at}.class")
    if not 0 <= priority.priority <= 7:
        raise SpecError(f"{at}.priority", f"{priority.priority} is outside 0 (highest) to 7")


# --- mounts and hooks ---


def _mount(mount: Mount, at: str, spec: Spec, warnings: list[str]) -> None:
    """One of the mounts, and what its options ask for."""
    if not mount.destination:
        raise SpecError(f"{at}.destination", "is missing: give the path inside the container")
    if not mount.destination.startswith("/"):
        warnings.append(f"{at}.destination: {mount.destination!r} is not absolute and is taken from /")
    options = mount_options.parse(mount.options)
    remount = bool(options.flags & MS_REMOUNT)
    bind = (options.bind or mount.type == "bind") and not remount
    if bind and not mount.source:
        raise SpecError(f"{at}.source", "is missing: a bind mount needs the file or directory to show")
    if not bind and not mount.type and not remount:
        raise SpecError(f"{at}.type", 'is missing: name a file system, or put "bind" into the options')
    if options.tmpcopyup and (bind or mount.type != "tmpfs"):
        raise SpecError(f"{at}.options", "tmpcopyup is for mounts of type tmpfs")
    for parameter in options.parameters:
        if parameter.startswith(("idmap=", "ridmap=")):
            raise SpecError(f"{at}.options", f"{parameter!r}: give the mapping in uidMappings and gidMappings")
    if bind and options.data:
        warnings.append(f"{at}.options: a bind mount takes no {options.data!r}, ignoring it")
    if bind and options.superblock:
        warnings.append(f"{at}.options: a bind mount takes no {','.join(options.superblock)!r}, ignoring it")
    _mount_mappings(mount, options, bind, at, spec)


def _mount_mappings(mount: Mount, options: mount_options.MountOptions, bind: bool, at: str, spec: Spec) -> None:
    mapped = bool(mount.uid_mappings or mount.gid_mappings)
    if mapped and not (mount.uid_mappings and mount.gid_mappings):
        lacking = "gidMappings" if mount.uid_mappings else "uidMappings"
        raise SpecError(f"{at}.{lacking}", "is missing: an idmapped mount needs both mappings")
    if (mapped or options.idmap) and not bind:
        raise SpecError(f"{at}.options", "only bind mounts can be idmapped")
    if options.idmap and not mapped and spec.linux.namespace("user") is None:
        raise SpecError(f"{at}.options", f"{options.idmap} needs uidMappings and gidMappings, or a user namespace")
    id_mappings(mount.uid_mappings, f"{at}.uidMappings")
    id_mappings(mount.gid_mappings, f"{at}.gidMappings")


def _hook(hook: Hook, at: str) -> None:
    """A program to run at a point of the container's life."""
    absolute(hook.path, f"{at}.path")
    if hook.timeout is not None and hook.timeout <= 0:
        raise SpecError(f"{at}.timeout", f"{hook.timeout} is not above zero: leave it out to wait without limit")
