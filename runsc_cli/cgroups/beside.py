"""The cgroup of a container's sentry and gofer: beside the container's leaf, below the same parent.

    beside = Beside(cgroupsPath, id)     nothing is done yet
    beside.paths                         where it will be: save it, then
    beside.create()
    pid = beside.fork()                  in the child: enter(beside.others)

What they take is so charged to the pod, or to the user's slice, and limited there, but is not in the figures of the container. Only
hierarchies that charge or divide are entered: in that of the freezer a pause would not reach them anyway, devices they need that no
container has. They are born there and do not come later: what a process has in memory stays charged to where it was taken.

The name. Who looks for containers below a pod's cgroup finds them by 64 letters and digits in a row (cadvisor, and with it the kubelet, for
containerd, CRI-O and Docker; runc's names are those), and pods by names that begin with "pod". A name of ours has neither.
"""

from __future__ import annotations

import os
from errno import EACCES, EPERM

from runsc_cli.cgroups import hierarchy as layout
from runsc_cli.cgroups.hierarchy import UNIFIED
from runsc_cli.errors import HostError
from sentry.abi import CLONE_PARENT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from runsc_cli.cgroups.driver import Cgroup

COUNTED = ("cpuset", "memory", "cpu", "cpuacct", "pids", "blkio", "name=systemd")
"""Of version 1; cpuset since its CPUs are the pod's, systemd's hierarchy so that all of a pod is in one place."""

_RUN, _LONGEST = 32, 200
_CLONE_INTO_CGROUP, _CLONE_CHILD_SETTID, _CLONE_CHILD_CLEARTID = 0x200000000, 0x1000000, 0x200000
_PR_GET_TID_ADDRESS, _CLONE3, _SIGCHLD = 40, 435, 17


def name(leaf: str) -> str:
    """What the cgroup beside `leaf` is called, or without .scope its scope."""
    stem = leaf.removesuffix(".scope")
    if len(stem) > _LONGEST:
        from binascii import crc32

        stem = f"{stem[:_LONGEST]}.{crc32(os.fsencode(stem)):08x}"
    return "pysc-" + ".".join(stem[at : at + _RUN] for at in range(0, len(stem), _RUN))


class Beside:
    """Where the sentry and the gofer of one container live. Without a directory in `paths` they stay where the caller is."""

    __slots__ = ("_attach", "_cgroup", "hierarchies", "paths")

    def __init__(self, cgroups_path: str, container_id: str, attach: Callable[[int], None] | None = None) -> None:
        """`attach`: the path is that of the cgroup itself, which systemd has made, and this has it move a process there. Raises HostError."""
        self._attach = attach
        self.hierarchies = there = layout.find()
        self.paths: list[str] = []
        self._cgroup: Cgroup | None = None
        wanted = [each for each in there.mounts if each in COUNTED]
        if UNIFIED in there.mounts and (there.pure or "memory" not in wanted):
            wanted.append(UNIFIED)
        leaves = {each: there.leaf(each, cgroups_path, container_id) for each in wanted}
        if any(leaf == os.path.normpath(there.mounts[each].point) for each, leaf in leaves.items()):
            return  # who makes the leaf refuses that
        from runsc_cli.cgroups.driver import Cgroup

        if attach is None:
            leaves = {each: f"{os.path.dirname(leaf)}/{name(os.path.basename(leaf))}" for each, leaf in leaves.items()}
        self._cgroup = Cgroup(leaves, {each: there.mounts[each].point for each in wanted}, [], asked=False, rootless=None)
        self.paths = list(dict.fromkeys(leaves.values()))

    def create(self, member: int = 0) -> None:
        """Make it; `member` may be in there. An ordinary user who may not has none then. Raises PyscError; then nothing that it made is left."""
        if self._cgroup is not None:
            self._cgroup.member = member
            self._cgroup.create()
            self.paths = list(dict.fromkeys(self._cgroup.paths.values()))

    def unmake(self) -> None:
        """Take back what create() has made, if nobody is in it, parents too."""
        if self._cgroup is not None:
            self._cgroup.unmake()

    def fork(self) -> int:
        """fork(2) into version 2's cgroup, if there is one. Raises HostError."""
        unified = self.unified
        if not unified:
            return os.fork()
        try:
            return fork_into(unified)
        except OSError as e:
            assert self._cgroup is not None
            if e.errno in (EACCES, EPERM) and self._cgroup.rootless():  # one may make a cgroup where one may not move to
                if self._attach is not None:
                    return _fork_attached(self._attach)
                self._cgroup.unmake()
                self._cgroup, self.paths = None, []
                return os.fork()
            raise HostError("fork into the cgroup", unified, e) from None

    @property
    def unified(self) -> str:
        """The directory in version 2's hierarchy; empty if there is none."""
        return self._cgroup.paths.get(UNIFIED, "") if self._cgroup is not None else ""

    @property
    def others(self) -> list[str]:
        """Those of version 1."""
        return [path for kind, path in self._cgroup.paths.items() if kind != UNIFIED] if self._cgroup is not None else []


def enter(directories: list[str]) -> None:
    """Move this process, which has a single thread, to these cgroups of version 1: by `tasks`, which then takes no RCU grace period.

    Raises HostError.
    """
    for directory in directories:
        tasks = f"{directory}/tasks"
        try:
            fd = os.open(tasks, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(fd, b"0")
            finally:
                os.close(fd)
        except OSError as e:
            raise HostError("write", tasks, e) from None


def _fork_attached(attach: Callable[[int], None]) -> int:
    """fork(2); the child goes on once `attach` has moved it, so that it has taken hardly any memory. Raises PyscError."""
    ready, go = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        os.close(go)
        if not os.read(ready, 1):
            os._exit(1)
        os.close(ready)
        return 0
    os.close(ready)
    try:
        attach(pid)
        os.write(go, b"0")
    except BaseException:
        os.close(go)
        os.waitpid(pid, 0)
        raise
    os.close(go)
    return pid


def fork_into(directory: str) -> int:
    """fork_into_open() by the cgroup's path. Raises OSError."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return fork_into_open(fd)
    finally:
        os.close(fd)


def fork_into_open(cgroup: int) -> int:
    """clone3(2) with CLONE_INTO_CGROUP, from a process with one thread: a move takes 10 ms, see leaf.enter(). Raises OSError."""
    return _clone(_CLONE_INTO_CGROUP, _SIGCHLD, cgroup)


def fork_sibling() -> int:
    """clone3(2) with CLONE_PARENT, from a process with one thread: the child is our parent's. Raises OSError."""
    return _clone(CLONE_PARENT, 0, 0)


def _clone(flags: int, exit_signal: int, cgroup: int) -> int:
    """The C library keeps the thread's id; the kernel writes the child's where it has ours, as for fork(3)."""
    from struct import pack

    from sentry.platform._native import ffi, lib

    where = ffi.new("uint64_t *")
    if lib.prctl_(_PR_GET_TID_ADDRESS, int(ffi.cast("uintptr_t", where)), 0, 0, 0) == 0:
        flags |= _CLONE_CHILD_SETTID | _CLONE_CHILD_CLEARTID
    clone_args = ffi.new("char[]", pack("<11Q", flags, 0, where[0], 0, exit_signal, 0, 0, 0, 0, 0, cgroup))
    pid = int(lib.syscall6(_CLONE3, int(ffi.cast("uintptr_t", clone_args)), 88, 0, 0, 0, 0))
    if pid < 0:
        raise OSError(-pid, os.strerror(-pid))
    return pid
