"""What this host has of what pysc can use: probed, never told from a version. For `doctor`.

requirements.py has what no container can do without, and says it when a start fails. Here is what makes containers faster or lets them have more;
each says what pysc does where it is missing. Nothing that is probed stays: file systems are made detached, processes end.
"""

from __future__ import annotations

import errno
import os
import sys
from struct import pack

from runsc_cli import capabilities, directory, requirements
from runsc_cli.cgroups import bus, hierarchy
from runsc_cli.errors import HostError, PyscError, strerror
from runsc_cli.oci import mappings as ids
from runsc_cli.oci.enforce import APPARMOR
from sentry.abi import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    CLONE_NEWNS,
    CLONE_NEWTIME,
    CLONE_NEWUSER,
    FSOPEN_CLOEXEC,
    MOUNT_ATTR_IDMAP,
    OPEN_TREE_CLOEXEC,
    OPEN_TREE_CLONE,
    PR_SET_NO_NEW_PRIVS,
    SECCOMP_FILTER_FLAG_NEW_LISTENER,
    SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
)
from sentry.platform._native import ffi, lib
from sentry.platform.bpf import RET_ALLOW, RET_TRACE, TRACE_MARK, Assembler, by_number
from sentry.platform.ptrace import CONT
from sentry.syscalls.numbers import NUMBERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# filter.h, seccomp.h: an action for every call, and the ioctl that puts a descriptor into a caller's table
_ALLOW_ALL = pack("<HBBI", 0x06, 0, 0, 0x7FFF0000)
_PIDFD_THREAD = os.O_EXCL
_NOTIF_ADDFD = 0x40182103
_NO_CALL = pack("<QIIII", 0, 0, 0, 0, 0)

TRACING = "ptrace(2) of filtered calls"
"""The name of a finding."""
_ANSWER = 4711

PLACES = ("/", "/run", "/dev/shm", "/tmp", "/var/lib/containerd", "/var/lib/docker", "/var/lib/containers")
"""Where bundles and images lie: their file systems are those that matter."""


class Finding:
    """One thing: `ok` or not, what was seen, and what pysc does `without` it."""

    __slots__ = ("detail", "group", "name", "ok", "required", "without")

    def __init__(self, group: str, name: str, ok: bool, detail: str = "", without: str = "", *, required: bool = False) -> None:
        self.group = group
        self.name = name
        self.ok = ok
        self.detail = detail
        self.without = without
        self.required = required

    def plain(self) -> dict[str, object]:
        """The value that is printed as JSON."""
        return {name: getattr(self, name) for name in ("group", "name", "ok", "required", "detail", "without")}


def findings() -> list[Finding]:
    """Everything. A probe that fails in a way nobody foresaw is a finding as well."""
    out = [
        Finding("kernel", name, not why, why or since, "no container can be started", required=True)
        for name, since, why in requirements.looked_at()
    ]
    for group in (_seccomp, _file_systems, _mapped, _namespaces, _cgroups, _privileges, _zygote):
        try:
            out += group()
        except (OSError, PyscError) as error:
            out.append(Finding("host", group.__name__.strip("_"), False, strerror(error) if isinstance(error, OSError) else str(error)))
    return out


def _in_child(probe: Callable[[], int]) -> int:
    """What `probe` returns, an errno, in a process that ends with it."""
    pid = os.fork()
    if pid == 0:
        code = errno.EIO
        try:
            code = probe()
        except OSError as error:
            code = error.errno or errno.EIO
        finally:
            os._exit(min(code, 255))
    status = os.waitpid(pid, 0)[1]
    return os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else errno.EIO


def _probed(group: str, name: str, probe: Callable[[], int], without: str) -> Finding:
    error = _in_child(probe)
    return Finding(group, name, error == 0, os.strerror(error).lower() if error else "", without)


def _listener() -> int:
    """A listener of our own, which no call ever reaches."""
    lib.prctl_(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    fd = lib.filter_install(_ALLOW_ALL, 1, SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)
    if fd < 0:
        raise OSError(-fd, "seccomp")
    return int(fd)


def _seccomp() -> list[Finding]:
    def add_fd() -> int:
        memory = ffi.from_buffer(_NO_CALL)
        error = -lib.syscall6(NUMBERS["ioctl"], _listener(), _NOTIF_ADDFD, int(ffi.cast("uintptr_t", memory)), 0, 0, 0)
        return 0 if error in (errno.ENOENT, errno.EINPROGRESS) else error  # there is no such call: it was looked for

    def pidfd_of_thread() -> int:
        return max(0, -lib.syscall6(NUMBERS["pidfd_open"], os.getpid(), _PIDFD_THREAD, 0, 0, 0, 0))

    adding = _probed("kernel", "SECCOMP_IOCTL_NOTIF_ADDFD", add_fd, "the platform notify does not work (Linux 5.9)")
    adding.required = True
    slower = "every mediated call takes longer (Linux 6.6)"
    tracing = "containers do without, but the platform ptrace does not work"
    alone = "of a thread that does not share its process's table, bind, connect and /dev/stdin are ENOSYS (Linux 6.9)"
    return [
        adding,
        _probed("kernel", "PIDFD_THREAD", pidfd_of_thread, alone),
        _probed("kernel", "SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP", lambda: -lib.notif_sync_wakeup(_listener()), slower),
        _probed("kernel", TRACING, _traced, tracing),
    ]


def _traced() -> int:
    """Seize a process that has a filter, and give it another result of a call, as the platform ptrace does."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writing)
        lib.prctl_(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        a = Assembler()
        passing = a.ret(RET_ALLOW)
        program = by_number(a, {NUMBERS["getppid"]: a.ret(RET_TRACE | TRACE_MARK)}, passing, passing, passing)
        ready = lib.filter_install(program, len(program) // 8, 0) == 0 and os.read(reading, 1)
        os._exit(0 if ready and lib.syscall6(NUMBERS["getppid"], 0, 0, 0, 0, 0, 0) == _ANSWER else errno.EOPNOTSUPP)
    error = -lib.trace_seize(pid)
    os.write(writing, b"" if error else b"g")
    os.close(writing)
    stop, call = ffi.new("struct traced *"), ffi.new("struct notif *")
    while not error and lib.trace_wait(stop, call) == 0 and stop.what != lib.TRACED_ENDED:
        if stop.what == lib.TRACED_CALL and stop.value == TRACE_MARK:
            error = -lib.trace_reply(pid, _ANSWER)
        else:
            error = -lib.trace_resume(pid, CONT, stop.value if stop.what == lib.TRACED_SIGNAL else 0)
    return error


def _file_systems() -> list[Finding]:
    def in_namespaces(kind: bytes) -> int:
        error = -lib.unshare_(CLONE_NEWUSER | CLONE_NEWNS)
        return error or max(0, -lib.fsopen_(kind, FSOPEN_CLOEXEC))

    def fuse() -> int:
        os.close(os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC))
        return in_namespaces(b"fuse")

    return [
        _probed("file systems", "overlay in a user namespace", lambda: in_namespaces(b"overlay"), "no `do --host-root`, no images of engines"),
        _probed("file systems", "FUSE in a user namespace", fuse, "generated files in /proc are snapshots of the moment of open"),
    ]


def _mapped() -> Iterator[Finding]:
    """Idmapped mounts, by file system."""
    from runsc_cli import idmap

    without = "files there belong to nobody inside the container"
    if os.geteuid() != 0:
        yield Finding("idmapped mounts", "any", False, "only root of the host can make them", "files show the owners that your own ids give them")
        return
    first = ids.free_range([], [(0, 1 << 32)], ids.FIRST_HOST_ID, ids.COUNT)
    userns = idmap.user_namespace(ids.Mappings([(0, first, ids.COUNT)], [(0, first, ids.COUNT)]), "doctor")
    try:
        seen: dict[int, str] = {}
        for place in PLACES:
            try:
                device = os.stat(place).st_dev
            except OSError:
                continue
            if device not in seen:
                seen[device] = place
                fd = lib.open_tree_(AT_FDCWD, place.encode(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)
                error = -lib.mount_setattr_(fd, b"", AT_EMPTY_PATH, MOUNT_ATTR_IDMAP, 0, 0, userns) if fd >= 0 else -fd
                if fd >= 0:
                    os.close(fd)
                detail = f"{_type_of(place)} on {place}" + (f": {os.strerror(error).lower()}" if error else "")
                yield Finding("idmapped mounts", place, not error, detail, without)
    finally:
        os.close(userns)


def _type_of(path: str) -> str:
    """The type of the file system that is mounted nearest above `path`."""
    best, kind = "", "?"
    for line in directory.read("/proc/self/mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        point = left.split()[4]
        if len(point) >= len(best) and (path + "/").startswith(point.rstrip("/") + "/"):
            best, kind = point, right.split()[0]
    return kind


def _namespaces() -> list[Finding]:
    out = []
    error = _in_child(lambda: -lib.unshare_(CLONE_NEWUSER | CLONE_NEWTIME))
    why = os.strerror(error).lower() if error else ""
    out.append(Finding("namespaces", "time", not error, why, "no container can be started", required=True))
    few = "ids that images use are missing"
    mapped = ids.default_mappings(os.geteuid())
    if os.geteuid() == 0:
        detail = ", ".join(f"{kind}s 0 to {lines[0][2] - 1} are {lines[0][1]} on" for kind, lines in (("uid", mapped.uids), ("gid", mapped.gids)))
    else:
        detail = f"{sum(count for _, _, count in mapped.uids)} user ids, {sum(count for _, _, count in mapped.gids)} group ids"
    out.append(Finding("namespaces", "ids of containers", not mapped.warnings, "; ".join((detail, *mapped.warnings)), few))
    return out


def _cgroups() -> Iterator[Finding]:
    try:
        there = hierarchy.find()
    except HostError as error:
        yield Finding("cgroups", "hierarchies", False, str(error), "only --ignore-cgroups works")
        return
    v1 = [name for name in there.mounts if name != hierarchy.UNIFIED]
    unified = there.mounts.get(hierarchy.UNIFIED)
    layout = "version 2" if there.pure else "both versions" if unified and v1 else "version 1" if v1 else "none"
    controllers = directory.read(f"{unified.point}/cgroup.controllers").split() if unified else []
    detail = f"{layout}: {' '.join([*v1, *(f'{name} (2)' for name in controllers)]) or 'no controllers'}"
    yield Finding("cgroups", "hierarchies", bool(there.mounts), detail, "only --ignore-cgroups works")
    for name in ("memory", "cpu", "pids", "freezer", "devices"):
        native = unified is not None and (there.pure and name in ("freezer", "devices"))  # cgroup.freeze, eBPF
        found = name in there.mounts or name in controllers or native
        yield Finding("cgroups", name, found, "", f"configs that limit {name} are refused" if name != "freezer" else "no pause")
    for name in there.mounts:
        point = there.mounts[name].point
        if not os.access(point, os.W_OK):
            yield Finding("cgroups", f"write to {point}", False, "not permitted or read-only", "no cgroup can be made: use --ignore-cgroups")
    booted = os.path.isdir("/run/systemd/system")
    yield Finding("cgroups", "systemd", booted, "" if booted else "is not the init of this host", "--systemd-cgroup has nobody to ask")
    if booted and bus.of_user():
        try:
            bus.address()
            missing = ""
        except PyscError as error:
            missing = error.message
        yield Finding("cgroups", "systemd of your own", not missing, missing, "--systemd-cgroup has nobody to ask: no limits")


def _privileges() -> Iterator[Finding]:
    status = directory.read("/proc/self/status")
    bounding = int(status[status.index("CapBnd:") + 7 :].split()[0], 16)
    lacking = [name for name, number in capabilities.NUMBERS.items() if number <= capabilities.LAST_CAP and not bounding >> number & 1]
    consequence = "hard limits cannot be raised, nor oom_score_adj be lowered" if "CAP_SYS_RESOURCE" in lacking else ""
    yield Finding("privileges", "capabilities of the host", not lacking, f"missing: {', '.join(lacking)}" if lacking else "all", consequence)
    for name, path in (("AppArmor", APPARMOR), ("SELinux", "/sys/fs/selinux/enforce")):
        enabled = os.path.exists(path)
        yield Finding("privileges", name, enabled, "" if enabled else "not enabled", "configs with its labels are refused")


def _zygote() -> Iterator[Finding]:
    """Only root's commands ask one."""
    if os.geteuid() != 0:
        return
    from runsc_cli.zygote import server

    alone = "each command starts an interpreter of its own: `pysc zygote` saves half of a container's start"
    try:
        there, why = server.listens(server.path(sys.argv[0])), ""
    except PyscError as error:
        there, why = False, str(error)
    yield Finding("commands", "zygote", there, why, alone)
