"""What makes sense in a config and pysc cannot do: refused, not ignored.

One row a field; who teaches pysc to do it takes the row out. Whatever only adds to the isolation that was asked for
is a warning and is in check.py.
"""

from __future__ import annotations

import os

from runsc_cli import mount_options
from runsc_cli.errors import SpecError
from sentry.abi import MS_REMOUNT, MS_SHARED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runsc_cli.oci.model import Process, Spec

APPARMOR = "/sys/module/apparmor/parameters/enabled"


def config(spec: Spec, warnings: list[str], *, trusted: bool = False) -> None:
    """Raises SpecError for the first field that asks for what pysc cannot give. `trusted`: there is no sandbox that would be in the way."""
    process(spec.process, "process")
    linux = spec.linux
    rows = (
        (linux.mount_label, "linux.mountLabel", "SELinux labels are not supported: leave it out"),
        (linux.intel_rdt is not None, "linux.intelRdt", "resctrl is not supported: leave it out"),
    )
    for asked, field, reason in rows:
        if asked:
            raise SpecError(field, reason)
    for i, mount in enumerate(spec.mounts):
        options = mount_options.parse(mount.options)
        if options.flags & MS_REMOUNT and (options.data or options.superblock):
            what = ",".join((*options.superblock, *options.parameters))
            why = f"remount changes what belongs to the mount, and {what!r} to its file system: give it where that is mounted"
            raise SpecError(f"mounts[{i}].options", why)
        if ".." in mount.destination.split("/"):
            raise SpecError(f"mounts[{i}].destination", f"{mount.destination!r} contains '..': write the path without")
    if trusted:
        _plain(spec)
    else:
        _sandboxed(spec, warnings)


def _plain(spec: Spec) -> None:
    """What not even the platform `namespace` does."""
    linux = spec.linux
    mount, user = linux.namespace("mount"), linux.namespace("user")
    if mount is None or mount.path:
        raise SpecError("linux.namespaces", 'has to have a new one of type "mount": the root file system is made in it')
    if user is not None and not user.path and not linux.uid_mappings and os.geteuid() == 0:
        raise SpecError("linux.uidMappings", "is missing: a new user namespace needs mappings")
    if user is not None and user.path and linux.uid_mappings:
        raise SpecError("linux.uidMappings", "is for a new user namespace: the one that is joined by its path has its own")
    for i, each in enumerate(spec.mounts):
        if each.uid_mappings or mount_options.parse(each.options).idmap:
            raise SpecError(f"mounts[{i}].options", "idmapped mounts are not supported on the platform namespace: leave the mapping out")


def _sandboxed(spec: Spec, warnings: list[str]) -> None:
    """What a sandbox does not allow, and what it does not do."""
    linux = spec.linux
    for i, namespace in enumerate(linux.namespaces):
        if namespace.type in ("mount", "pid", "user") and namespace.path:
            why = f"the sandbox needs a {namespace.type} namespace of its own, it cannot join one: leave the path out"
            raise SpecError(f"linux.namespaces[{i}].path", why)
    for kind in ("mount", "pid"):
        if linux.namespace(kind) is None:
            raise SpecError("linux.namespaces", f'has none of type "{kind}": the sandbox needs one, add it')
    if linux.seccomp is not None:
        for i, rule in enumerate(linux.seccomp.syscalls):
            if rule.action == "SCMP_ACT_NOTIFY":
                why = "SCMP_ACT_NOTIFY is not supported: a process can have one listener, and that is the sandbox's own; use SCMP_ACT_ERRNO"
                raise SpecError(f"linux.seccomp.syscalls[{i}].action", why)
    for i, mount in enumerate(spec.mounts):
        options = mount_options.parse(mount.options)
        if options.propagation == MS_SHARED and (options.bind or mount.type == "bind"):
            warnings.append(f"mounts[{i}].options: shared: what the container mounts below {mount.destination!r} stays in it all the same")
        if mount.type == "proc" and not options.bind and [part for part in mount.destination.split("/") if part not in ("", ".")] != ["proc"]:
            why = f"what a procfs says of the host is kept back on /proc alone: mount it there, not on {mount.destination!r}"
            raise SpecError(f"mounts[{i}].destination", why)


def process(process: Process, at: str) -> None:
    """The same for a process; `at` is what stands before the fields' names."""
    if process.selinux_label:
        raise SpecError(f"{at}.selinuxLabel", "SELinux labels are not supported: leave it out")
    profile = process.apparmor_profile
    if profile and profile != "unconfined" and not _host_has_apparmor():
        raise SpecError(f"{at}.apparmorProfile", f"{profile!r} cannot be applied: this host runs without AppArmor")


def _host_has_apparmor() -> bool:
    try:
        fd = os.open(APPARMOR, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.read(fd, 1) == b"Y"
    finally:
        os.close(fd)
