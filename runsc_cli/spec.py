"""config.json: from the bundle's file to a checked value; and the one that `pysc spec` writes."""

from __future__ import annotations

import os
from stat import S_ISREG
from typing import TYPE_CHECKING, TypeVar

import msgspec

from runsc_cli.errors import HostError, PyscError, SpecError
from runsc_cli.oci.check import check, check_process
from runsc_cli.oci.model import Process, Spec
from runsc_cli.version import SPEC_VERSION

if TYPE_CHECKING:
    from typing import Any

MAX_SIZE = 16 << 20
"""Bytes of a config.json; a real one has ten thousand."""

T = TypeVar("T")


class Loaded:
    """A checked config and what is to be warned of."""

    __slots__ = ("spec", "warnings")

    def __init__(self, spec: Spec, warnings: list[str]) -> None:
        self.spec = spec
        self.warnings = warnings


def load(bundle: str) -> Loaded:
    """The config of a bundle. Raises SpecError with the field's path, PyscError for the file."""
    raw = _read(os.path.join(bundle, "config.json"))
    spec = _decode(raw, Spec)
    return Loaded(spec, check(spec))


def load_process(path: str) -> Process:
    """A process alone: `exec --process FILE`."""
    process = _decode(_read(path), Process)
    check_process(process, "process")
    return process


def _read(path: str) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO must not hold us
    except FileNotFoundError:
        raise PyscError(f"JSON specification file {path} not found: name the bundle with --bundle, or write one with 'pysc spec'") from None
    except OSError as e:
        raise HostError("open", path, e) from None
    with os.fdopen(fd, "rb") as f:
        facts = os.fstat(fd)
        if not S_ISREG(facts.st_mode):
            raise PyscError(f"{path} is not a regular file")
        if facts.st_size > MAX_SIZE:
            raise PyscError(f"{path} has {facts.st_size} bytes: more than {MAX_SIZE} are not read")
        return f.read(MAX_SIZE + 1)


def _decode(raw: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as e:
        why, _, path = str(e).partition(" - at `$")
        raise SpecError(path.rstrip("`").lstrip("."), why[:1].lower() + why[1:]) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        text = str(e)
        raise SpecError("config.json", f"no JSON: {text[:1].lower()}{text[1:]}") from None


_CAPABILITIES = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]


def default_spec(rootless: bool = False, args: list[str] | None = None) -> dict[str, Any]:
    """What `pysc spec` writes: runc's default."""
    mounts: list[dict[str, Any]] = [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
        {
            "destination": "/dev/pts",
            "type": "devpts",
            "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", *([] if rootless else ["gid=5"])],
        },
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
        {
            "destination": "/sys/fs/cgroup",
            "type": "cgroup",
            "source": "cgroup",
            "options": ["nosuid", "noexec", "nodev", "relatime", "ro"],
        },
    ]
    namespaces = [{"type": t} for t in ("pid", "network", "ipc", "uts", "mount", "cgroup")]
    linux: dict[str, Any] = {
        "resources": {"devices": [{"allow": False, "access": "rwm"}]},
        "namespaces": namespaces,
        "maskedPaths": [
            *("/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list"),
            *("/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi"),
        ],
        "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    }
    if rootless:
        linux["uidMappings"] = [{"containerID": 0, "hostID": os.geteuid(), "size": 1}]
        linux["gidMappings"] = [{"containerID": 0, "hostID": os.getegid(), "size": 1}]
        namespaces[1:2] = [{"type": "user"}]
        del linux["resources"]
    return {
        "ociVersion": SPEC_VERSION,
        "process": {
            "terminal": args is None,
            "user": {"uid": 0, "gid": 0},
            "args": args or ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {k: list(_CAPABILITIES) for k in ("bounding", "effective", "permitted")},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "pysc",
        "mounts": mounts,
        "linux": linux,
    }
