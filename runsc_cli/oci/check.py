"""What a config.json may say: the specification's MUSTs, and what this platform can enforce. Anything else is refused by name.

Sources: runtime-spec config.md, config-linux.md. The decoder (model.py) has checked types and widths.
"""

from __future__ import annotations

from runsc_cli.capabilities import NUMBERS as CAPABILITIES
from runsc_cli.errors import SpecError
from runsc_cli.rlimits import NUMBERS as RLIMITS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from runsc_cli.oci.model import Process, Spec

NAMESPACES = frozenset(("pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"))
PROPAGATIONS = frozenset(f"{r}{name}" for r in ("", "r") for name in ("private", "slave", "shared", "unbindable")) | {""}
HOST_NAME_MAX = 64


def check(spec: Spec) -> list[str]:
    """Raises SpecError with the field's path; returns warnings."""
    _version(spec.oci_version)
    warnings = check_process(spec.process, "process")
    if not spec.root.path:
        raise SpecError("root.path", "missing: say where the root file system is")
    _no_nul(spec.root.path, "root.path")
    _mounts(spec)
    if len(spec.hostname.encode()) > HOST_NAME_MAX:
        raise SpecError("hostname", f"longer than {HOST_NAME_MAX} bytes")
    if spec.hostname and not spec.linux.namespace("uts"):
        raise SpecError("hostname", "needs a uts namespace in linux.namespaces")
    _linux(spec)
    _hooks(spec)
    return warnings


def _version(version: str) -> None:
    parts = version.partition("-")[0].partition("+")[0].split(".")
    if len(parts) != 3 or not all(p.isascii() and p.isdigit() for p in parts):
        raise SpecError("ociVersion", f"{version!r} is no semantic version")
    if int(parts[0]) != 1:
        raise SpecError("ociVersion", f"{version!r} is not supported: 1.0.0 to 1.3.0 are")


def check_process(process: Process, field: str) -> list[str]:
    """The rules for a process, of a config or of `exec`."""
    if not process.args:
        raise SpecError(f"{field}.args", "must not be empty")
    if not process.args[0]:
        raise SpecError(f"{field}.args[0]", "must not be empty")
    if not process.cwd.startswith("/"):
        raise SpecError(f"{field}.cwd", f"{process.cwd!r} is not an absolute path")
    for name, values in (("args", process.args), ("env", process.env), ("cwd", (process.cwd,))):
        for i, value in enumerate(values):
            _no_nul(value, f"{field}.{name}[{i}]" if name != "cwd" else f"{field}.cwd")
    for i, entry in enumerate(process.env):
        if "=" not in entry[1:]:
            raise SpecError(f"{field}.env[{i}]", f"{entry!r} is not NAME=VALUE")
    seen = set()
    for i, limit in enumerate(process.rlimits):
        if limit.type not in RLIMITS:
            raise SpecError(f"{field}.rlimits[{i}].type", f"{limit.type!r} is unknown")
        if limit.type in seen:
            raise SpecError(f"{field}.rlimits[{i}].type", f"{limit.type} is there twice")
        if limit.soft > limit.hard:
            raise SpecError(f"{field}.rlimits[{i}]", f"soft limit {limit.soft} is above the hard limit {limit.hard}")
        seen.add(limit.type)
    if process.selinux_label:
        raise SpecError(f"{field}.selinuxLabel", "SELinux labels cannot be enforced here; leave it out")
    if process.apparmor_profile:
        raise SpecError(f"{field}.apparmorProfile", "AppArmor profiles cannot be enforced here; leave it out")
    for name, value in (("scheduler", process.scheduler), ("ioPriority", process.io_priority), ("execCPUAffinity", process.exec_cpu_affinity)):
        if value is not None:
            raise SpecError(f"{field}.{name}", "not supported yet; leave it out")
    warnings = []
    if process.capabilities is not None:
        for kind in ("bounding", "effective", "inheritable", "permitted", "ambient"):
            unknown = [c for c in getattr(process.capabilities, kind) if c not in CAPABILITIES]
            warnings += [f"{field}.capabilities.{kind}: {c} is unknown and ignored" for c in unknown]
    return warnings


def _no_nul(text: str, field: str) -> None:
    if "\0" in text:
        raise SpecError(field, "contains a NUL byte")


def _mounts(spec: Spec) -> None:
    for i, mount in enumerate(spec.mounts):
        field = f"mounts[{i}]"
        if not mount.destination:
            raise SpecError(f"{field}.destination", "must not be empty")
        for text in (mount.destination, mount.source, *mount.options):
            _no_nul(text, field)
        if ".." in mount.destination.split("/"):
            raise SpecError(f"{field}.destination", f"{mount.destination!r} contains '..'")
        if mount.uid_mappings or mount.gid_mappings:
            raise SpecError(f"{field}.uidMappings", "mounts are idmapped to the container's user namespace; leave it out")


def _linux(spec: Spec) -> None:
    linux = spec.linux
    seen = set()
    for i, ns in enumerate(linux.namespaces):
        field = f"linux.namespaces[{i}]"
        if ns.type not in NAMESPACES:
            raise SpecError(f"{field}.type", f"{ns.type!r} is unknown")
        if ns.type in seen:
            raise SpecError(f"{field}.type", f"{ns.type} is there twice")
        seen.add(ns.type)
        if ns.path and not ns.path.startswith("/"):
            raise SpecError(f"{field}.path", f"{ns.path!r} is not an absolute path")
        if ns.type == "time" or (ns.type in ("user", "mount", "pid") and ns.path):
            raise SpecError(field, f"a {ns.type} namespace{' by path' if ns.path else ''} is not supported on platform notify")
    for needed in ("mount", "pid"):
        if needed not in seen:
            raise SpecError("linux.namespaces", f"a sandbox needs a {needed} namespace: add {{'type': {needed!r}}}")
    for kind, mappings in (("uidMappings", linux.uid_mappings), ("gidMappings", linux.gid_mappings)):
        for i, m in enumerate(mappings):
            if m.size == 0:
                raise SpecError(f"linux.{kind}[{i}].size", "must not be 0")
    if bool(linux.uid_mappings) != bool(linux.gid_mappings):
        raise SpecError("linux.uidMappings", "uidMappings and gidMappings go together")
    for kind, paths in (("maskedPaths", linux.masked_paths), ("readonlyPaths", linux.readonly_paths)):
        for i, path in enumerate(paths):
            if not path.startswith("/") or "\0" in path:
                raise SpecError(f"linux.{kind}[{i}]", f"{path!r} is not an absolute path")
    if linux.rootfs_propagation not in PROPAGATIONS:
        raise SpecError("linux.rootfsPropagation", f"{linux.rootfs_propagation!r} is unknown")
    for name, value in (
        ("intelRdt", linux.intel_rdt),
        ("memoryPolicy", linux.memory_policy),
        ("personality", linux.personality),
        ("timeOffsets", linux.time_offsets),
        ("netDevices", linux.net_devices),
        ("mountLabel", linux.mount_label),
    ):
        if value:
            raise SpecError(f"linux.{name}", "not supported on platform notify; leave it out")
    for name in linux.sysctl:
        if not name or ".." in name or "\0" in name or name.startswith(("/", ".")):
            raise SpecError("linux.sysctl", f"{name!r} is no sysctl")


def _hooks(spec: Spec) -> None:
    hooks = spec.hooks
    for kind, field in (("create_container", "createContainer"), ("start_container", "startContainer")):
        if getattr(hooks, kind):
            raise SpecError(f"hooks.{field}", "hooks inside the container are not supported on platform notify")
    for kind, field in (("prestart", "prestart"), ("create_runtime", "createRuntime"), ("poststart", "poststart"), ("poststop", "poststop")):
        each: Iterable[object] = getattr(hooks, kind)
        for i, hook in enumerate(each):
            path: str = hook.path  # type: ignore[attr-defined]
            if not path.startswith("/"):
                raise SpecError(f"hooks.{field}[{i}].path", f"{path!r} is not an absolute path")
