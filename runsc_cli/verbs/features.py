"""pysc features: what pysc supports, in the form of the runtime specification's features.md.

Whatever pysc refuses on the platform that would be chosen is missing here; what it does not know is left out, which means unknown. It is
said of pysc alone and not of the host on which it is asked, as the specification wants it: that is `doctor`.
"""

from __future__ import annotations

from runsc_cli import inherited
from runsc_cli.mount_options import OPTIONS
from runsc_cli.version import SPEC_VERSION, VERSION
from sentry.platform.jsontext import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runsc_cli.context import Context
    from runsc_cli.options import Options

# include/uapi/linux/capability.h, by number
_CAPABILITIES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE "
    "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN "
    "SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE "
    "MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
)


def features(*, trusted: bool = False) -> dict[str, Any]:
    """The value that is printed. `trusted`: of the platform that has no sandbox."""
    return {
        "ociVersionMin": "1.0.0",
        "ociVersionMax": SPEC_VERSION,
        "hooks": ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
        "mountOptions": sorted(OPTIONS),
        "linux": {
            "namespaces": ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"],
            "capabilities": [f"CAP_{name}" for name in _CAPABILITIES.split()],
            "cgroup": {"v1": True, "v2": True, "systemd": True, "systemdUser": True, "rdma": True},
            "seccomp": _seccomp(trusted),
            "apparmor": {"enabled": True},
            "selinux": {"enabled": False},
            "intelRdt": {"enabled": False},
            "memoryPolicy": {"modes": sorted(inherited.MODES), "flags": sorted(inherited.FLAGS)},
            "mountExtensions": {"idmap": {"enabled": True}},
            "netDevices": {"enabled": True},
        },
        "annotations": {"dev.pysc.version": VERSION},
        "potentiallyUnsafeConfigAnnotations": ["dev.pysc.", "org.systemd.property."],
    }


def _seccomp(trusted: bool) -> dict[str, Any]:
    from runsc_cli.oci import check_seccomp

    return {
        "enabled": True,
        "actions": sorted(set(check_seccomp.ACTIONS) - (set() if trusted else {"SCMP_ACT_NOTIFY"})),
        "operators": sorted(check_seccomp.OPERATORS),
        "archs": ["SCMP_ARCH_X86_64"],
        "knownFlags": sorted(check_seccomp.FLAGS),
        "supportedFlags": sorted(check_seccomp.FLAGS),
    }


def run(options: Options, args: list[str], context: Context) -> int:
    from runsc_cli.platforms.choice import NAMESPACE, choose

    print(dumps(features(trusted=choose(context.options) == NAMESPACE), indent="    "))
    return 0
