"""/proc: what a container sees of each name, natively, generated, or not at all.

The container has a real procfs of its own pid namespace. A name below it is one of three things:

- NATIVE: the kernel's own file. Per-process files are, since the pid namespace makes them the container's.
- SYNTH: a generated file, since the kernel's would tell about the host. `Tree` serves them through FUSE.
- DENY: refused, since it tells about the host and nobody inside needs it. EACCES, as an unprivileged user
  gets from Linux for most of them.

An allowlist: a name that a newer kernel adds is refused until it is looked at. Models proc(5) and its
sub-pages; /proc/sys is in sysctl.py, the texts are in proctext.py.

The caller decides *who* may open: natively opened files check ptrace access (maps, mem, environ, fd, ...) against
the opener, so the opening thread must have the caller's capabilities, CAP_SYS_PTRACE not kept.
"""

from __future__ import annotations

import os
from errno import EACCES, EPERM, ESRCH

from sentry.abi import RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV
from sentry.platform._native import lib
from sentry.vfs import proctext, sysctl
from sentry.vfs.fuse import ROOT_ID, Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from sentry.vfs.procview import ProcView


class Native:
    """The kernel's file, as it is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "NATIVE"


class Deny:
    """Refused with `errno`."""

    __slots__ = ("errno",)

    def __init__(self, errno: int) -> None:
        self.errno = errno

    def __repr__(self) -> str:
        return f"DENY({self.errno})"


class Synth:
    """Generated: `key` is its path in the FUSE tree, (`name`, `pid`) what `generate` takes."""

    __slots__ = ("key", "name", "pid")

    def __init__(self, name: bytes, pid: int | None) -> None:
        self.name = name
        self.pid = pid
        self.key = b"proc/" + name if pid is None else b"proc/%d/%s" % (pid, name)

    def __repr__(self) -> str:
        return f"SYNTH({self.key!r})"


NATIVE: Final = Native()
DENIED: Final = Deny(EACCES)
GONE: Final = Deny(ESRCH)

# In the tables: the kernel's file, which nobody inside may write, and a generated one.
_READ_ONLY: Final = object()
_SYNTH: Final = object()

generate = proctext.generate

# Of /proc/PID and /proc/PID/task/TID.
_TASK: dict[bytes, object] = {
    **dict.fromkeys(proctext.TASK, _SYNTH),
    **dict.fromkeys(
        # About the process itself, or its place in the container's namespaces. Where the kernel asks for
        # ptrace access or a capability in the initial user namespace (pagemap's frame numbers, map_files'
        # links, personality, syscall), it goes on asking. uid_map shows the host range the container has:
        # pam_loginuid and others tell a user namespace by it.
        b"arch_status autogroup auxv children clear_refs cmdline comm coredump_filter cwd environ exe fd fdinfo "
        b"gid_map io ksm_merging_pages ksm_stat limits map_files maps mem ns numa_maps oom_adj oom_score "
        b"oom_score_adj pagemap personality projid_map root schedstat setgroups smaps smaps_rollup stat statm "
        b"status syscall task timers timerslack_ns uid_map wchan".split(),
        NATIVE,
    ),
    # Kernel stack and live patches: Linux wants CAP_SYS_ADMIN in the initial user namespace.
    b"stack": DENIED,
    b"patch_state": DENIED,
    # The directory. Its files are the host's security modules': labels of the host's policy, and transitions
    # between them. EACCES, which libselinux and ps -Z take for "none".
    b"attr": NATIVE,
}

# Directories of /proc/PID whose entries are all native.
_TASK_DIRECTORIES = frozenset((b"fd", b"fdinfo", b"map_files", b"ns"))

# Of /proc itself.
_ROOT: dict[bytes, object] = {
    **dict.fromkeys(proctext.ROOT, _SYNTH),
    **dict.fromkeys(b"self thread-self mounts net".split(), NATIVE),  # symbolic links
    **dict.fromkeys(b"sys sysvipc pressure tty".split(), NATIVE),  # directories
    b"execdomains": _READ_ONLY,
    # Named for the record; they would be refused unnamed. Kernel addresses, memory, log, keys and configuration:
    **dict.fromkeys(
        b"allocinfo bootconfig config.gz dma ioports iomem kallsyms kcore key-users keys kmsg kpagecgroup kpagecount "
        b"kpageflags latency_stats lock_stat mtrr sched_debug schedstat slabinfo sysrq-trigger timer_list "
        b"timer_stats version_signature vmallocinfo vmcore".split(),
        DENIED,
    ),
    # ... the host's memory zones, where lxcfs and gVisor have nothing either, its RAID and frame buffers:
    **dict.fromkeys(b"buddyinfo fb mdstat pagetypeinfo zoneinfo".split(), DENIED),
    # ... and directories that list the host's hardware, drivers and file systems:
    **dict.fromkeys(b"acpi asound bus driver dynamic_debug fs irq scsi".split(), DENIED),
}

_SYSVIPC = frozenset((b"msg", b"sem", b"shm"))

# Generated, and open to writes: `Tree.write` answers them.
_WRITABLE = frozenset((b"loginuid",))


def classify(
    name: bytes,
    *,
    write: bool = False,
    directory: bool = False,
    own_net: bool = True,
    own_ipc: bool = True,
) -> Native | Deny | Synth:
    """What `name`, the absolute name of an object on the container's procfs, is to the container.

    `write`: the open asks for write access. `own_net`, `own_ipc`: the container has network and IPC namespaces of
    its own, and the opener is in them: /proc/sys/net, the IPC variables and /proc/sysvipc show the *opener's*.
    """
    if name.endswith(b" (deleted)"):
        return GONE
    parts = name.split(b"/")
    if parts[:2] != [b"", b"proc"]:
        return DENIED
    parts = parts[2:]
    if not parts:
        return NATIVE
    if b"" in parts or b".." in parts or b"." in parts:
        return DENIED
    if parts[0].isdigit():
        return _classify_task(parts, write, own_net)
    if parts[0] == b"sys":
        return _classify_sysctl(b"/".join(parts[1:]), write, directory, own_net, own_ipc)
    if parts[0] == b"sysvipc" and len(parts) == 2:
        return NATIVE if parts[1] in _SYSVIPC and own_ipc and not write else DENIED
    below = b"/".join(parts)
    return _result(_ROOT.get(below, DENIED), below, None, write)


def _classify_task(parts: list[bytes], write: bool, own_net: bool) -> Native | Deny | Synth:
    pid = int(parts[0])
    if len(parts) > 2 and parts[1] == b"task":
        if not parts[2].isdigit():
            return DENIED
        pid = int(parts[2])
        parts = parts[2:]
        if parts[1:2] == [b"task"]:
            return DENIED
    if len(parts) == 1:
        return NATIVE
    entry = parts[1]
    if entry == b"net":
        # fs/proc/proc_net.c: of the process's namespace, whoever opens
        return NATIVE if own_net else DENIED
    if len(parts) > 2:
        return NATIVE if len(parts) == 3 and entry in _TASK_DIRECTORIES else DENIED
    return _result(_TASK.get(entry, DENIED), entry, pid, write)


def _classify_sysctl(name: bytes, write: bool, directory: bool, own_net: bool, own_ipc: bool) -> Native | Deny | Synth:
    if directory or not name:
        return NATIVE if own_net or not sysctl.names_interfaces(name) else DENIED
    if name in sysctl.SYNTHESISED:
        return _result(_SYNTH, b"sys/" + name, None, write)
    if name in sysctl.UTS or (name in sysctl.IPC and own_ipc):
        return NATIVE
    if name.startswith(b"net/"):
        if own_net:
            return NATIVE
        return NATIVE if sysctl.shared_net(name) and not write else DENIED
    return _result(_READ_ONLY if name in sysctl.READ_ONLY else DENIED, name, None, write)


def _result(row: object, name: bytes, pid: int | None, write: bool) -> Native | Deny | Synth:
    if row is _SYNTH:
        return DENIED if write and name not in _WRITABLE else Synth(name, pid)
    if row is _READ_ONLY:
        return DENIED if write else NATIVE
    return NATIVE if row is NATIVE else DENIED


_PROOF = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS


def reopen(root: int, fd: int, link: bytes) -> tuple[bytes, int] | None:
    """The canonical name of the procfs object `fd`, and an O_PATH fd found by it below the procfs root `root`.

    `link` is what /proc/self/fd/N says. It depends on where the procfs is mounted, and a bind mount inside it makes it
    lie: with /proc/kcore bound on /proc/1/status both have the same path. So the name is looked up again, from
    the root and without crossing a mount, and must lead to the same inode of the same file system. None when
    no name does; refuse then.

    `root` has to be a copy of the mount that nothing is mounted on (open_tree(2), OPEN_TREE_CLONE, not
    recursive): below the container's own, what readonlyPaths and maskedPaths have covered has no name.
    """
    wanted = os.fstat(fd)
    parts = [p for p in link.split(b"/") if p]
    for depth in range(1, len(parts) + 1):  # of the mount point: usually one component, "proc"
        below = b"/".join(parts[depth:]) or b"."
        found = lib.openat2_raw(root, below, os.O_PATH | os.O_NOFOLLOW, 0, _PROOF)
        if found < 0:
            continue  # not a name here; try the next
        stat = os.fstat(found)
        if (stat.st_dev, stat.st_ino) == (wanted.st_dev, wanted.st_ino):
            return (b"/proc" if below == b"." else b"/proc/" + below), found
        os.close(found)
    return None


# ---- the FUSE tree ----

_DIRECTORY = 0o40555
_FILE = 0o100444
_FILE_RW = 0o100644

# Node ids: 1 is the root, then the fixed names in order; a process's are its pid, shifted, plus the entry's index.
_PID_SHIFT = 16


class Tree:
    """The generated files, as the FUSE server wants them. The names end where /proc/self/fd/N should: "proc/meminfo"."""

    __slots__ = ("_fixed", "_ids", "_task", "_task_ids", "_view")

    def __init__(self, view: ProcView) -> None:
        self._view = view
        names = [*proctext.ROOT, *(b"sys/" + name for name in sysctl.SYNTHESISED)]
        paths = {b"": None}
        for name in names:
            parts = (b"proc/" + name).split(b"/")
            for i in range(1, len(parts)):
                paths.setdefault(b"/".join(parts[:i]), None)
            paths[b"/".join(parts)] = None
        files = {b"proc/" + name for name in names}
        # nodeid - 1 -> (path, whether it is a file)
        self._fixed = [(path, path in files) for path in paths]
        self._ids = {path: i for i, path in enumerate(paths, ROOT_ID)}
        self._task = list(proctext.TASK)
        self._task_ids = {name: i for i, name in enumerate(self._task, 1)}

    def lookup(self, parent: int, name: bytes) -> Entry | None:
        pid, index = parent >> _PID_SHIFT, parent & ((1 << _PID_SHIFT) - 1)
        if pid:
            entry = self._task_ids.get(name)
            return None if index or entry is None else self.entry(pid << _PID_SHIFT | entry)
        if not 0 < index <= len(self._fixed):
            return None
        path = self._fixed[index - ROOT_ID][0]
        if path == b"proc" and name.isdigit() and name[:1] != b"0" and int(name) < 1 << 31:
            return Entry(int(name) << _PID_SHIFT, _DIRECTORY)
        found = self._ids.get(path + b"/" + name if path else name)
        return None if found is None or not name else self.entry(found)

    def entry(self, nodeid: int) -> Entry | None:
        pid, index = nodeid >> _PID_SHIFT, nodeid & ((1 << _PID_SHIFT) - 1)
        if pid:
            if not index:
                return Entry(nodeid, _DIRECTORY)
            if index > len(self._task):
                return None
            return Entry(nodeid, _FILE_RW if self._task[index - 1] in _WRITABLE else _FILE)
        if not 0 < index <= len(self._fixed):
            return None
        return Entry(nodeid, _FILE if self._fixed[index - ROOT_ID][1] else _DIRECTORY)

    def read(self, nodeid: int) -> bytes:
        pid, index = nodeid >> _PID_SHIFT, nodeid & ((1 << _PID_SHIFT) - 1)
        if pid and 0 < index <= len(self._task):
            return generate(self._task[index - 1], self._view, pid)
        if not pid and 0 < index <= len(self._fixed) and self._fixed[index - ROOT_ID][1]:
            return generate(self._fixed[index - ROOT_ID][0][5:], self._view)
        raise OSError(ESRCH, "not a file")

    def write(self, nodeid: int, offset: int, data: bytes) -> int:
        # loginuid: kernel/audit.c:audit_set_loginuid_perm(). pam_loginuid ignores it in a user namespace.
        raise OSError(EPERM, "the login uid is the host's")
