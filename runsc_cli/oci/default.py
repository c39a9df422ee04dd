"""The config that `pysc spec` writes to start from: runc's own, so that a bundle made with one runs with the other."""

from __future__ import annotations

import os

from runsc_cli.version import SPEC_VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/sys/firmware",
    "/proc/scsi",
)
_READONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
_CAPABILITIES = ("CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE")


def _mount(destination: str, type: str, source: str, options: str = "") -> dict[str, Any]:
    mount: dict[str, Any] = {"destination": destination, "type": type, "source": source}
    if options:
        mount["options"] = options.split()
    return mount


def default_spec(rootless: bool, args: list[str] | None, uid: int, gid: int) -> dict[str, Any]:
    """The value as JSON has it. `args`: the command, which then gets no terminal; without one it is a shell on a terminal.

    `rootless`: for the ordinary user `uid`, who can map no ids but its own.
    """
    kinds = ["pid", "network", "ipc", "uts", "mount"]
    if os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
        kinds.append("cgroup")
    linux: dict[str, Any] = {
        "resources": {"devices": [{"allow": False, "access": "rwm"}]},
        "namespaces": [{"type": kind} for kind in kinds],
        "maskedPaths": list(_MASKED),
        "readonlyPaths": list(_READONLY),
    }
    if rootless:
        # the network stays the caller's: an ordinary user cannot connect a new one
        kinds = [*(kind for kind in kinds if kind != "network"), "user"]
        del linux["resources"]
        linux = {
            "uidMappings": [{"containerID": 0, "hostID": uid, "size": 1}],
            "gidMappings": [{"containerID": 0, "hostID": gid, "size": 1}],
            **linux,
            "namespaces": [{"type": kind} for kind in kinds],
        }
    return {
        "ociVersion": SPEC_VERSION,
        "process": {
            "terminal": not args,
            "user": {"uid": 0, "gid": 0},
            "args": list(args or ["sh"]),
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {kind: list(_CAPABILITIES) for kind in ("bounding", "effective", "permitted", "ambient")},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "pysc",
        "mounts": [
            _mount("/proc", "proc", "proc"),
            _mount("/dev", "tmpfs", "tmpfs", "nosuid strictatime mode=755 size=65536k"),
            _mount(
                "/dev/pts",
                "devpts",
                "devpts",
                "nosuid noexec newinstance ptmxmode=0666 mode=0620" + ("" if rootless else " gid=5"),
            ),
            _mount("/dev/shm", "tmpfs", "shm", "nosuid noexec nodev mode=1777 size=65536k"),
            _mount("/dev/mqueue", "mqueue", "mqueue", "nosuid noexec nodev"),
            _mount("/sys", "none", "/sys", "rbind nosuid noexec nodev ro")
            if rootless
            else _mount("/sys", "sysfs", "sysfs", "nosuid noexec nodev ro"),
            _mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid noexec nodev relatime ro"),
        ],
        "linux": linux,
    }
