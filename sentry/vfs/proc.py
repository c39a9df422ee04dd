"""The container's procfs, as the resolver needs it: which objects lie on it, and what each may become.

`sentry.vfs.procfs` decides by canonical name what is native, generated or refused; here are the descriptors. An object that a
walk has reached on procfs is named by the kernel (/proc/self/fd/N), checked to be the object of that name, classified,
and then opened again: natively, under the caller's own ptrace rights, or as a generated file of the FUSE mount.

Magic links (proc_pid_fd(5), proc_pid_exe(5), …) are followed by the kernel, under the same rights, so that `/proc/self/fd/3`
and `/dev/stdin` denote the caller's objects.
"""

from __future__ import annotations

import errno
import os
import struct
import time
from stat import S_ISDIR, S_ISLNK

from sentry.abi import AT_EMPTY_PATH, AT_FDCWD, O_ACCMODE, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_PATH, O_TRUNC
from sentry.platform._native import ffi, lib
from sentry.vfs import procfs
from sentry.vfs.procread import cgroup_levels, directory_reader, pid_lister
from sentry.vfs.procview import ProcView
from sentry.vfs.serve import OPEN_FLAGS, Server, snapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from sentry.kernel import Kernel
    from sentry.task import Task

_AT_STATX_DONT_SYNC = 0x4000
_stx_dev = struct.Struct("<II")  # stx_dev_major, stx_dev_minor of struct statx

PROC_SUPER_MAGIC = 0x9FA0
_MAGIC = frozenset((b"cwd", b"root", b"exe"))
_MAGIC_DIRECTORIES = frozenset((b"fd", b"ns", b"map_files"))
_OWN_DIRECTORIES = frozenset((b"fd", b"fdinfo", b"map_files"))


class Proc:
    """The procfs of one container. Constant after boot."""

    __slots__ = ("_bare", "_device", "_fuse_root", "_looking", "_own_net", "dev", "generated_dev", "view")

    def __init__(self, root: int, procfd: int, message: dict[str, Any], given: dict[str, int], looking: frozenset[int]) -> None:
        """`root`: the container's; `given`: descriptors by name, of which fuse, fuse_root and cgroup:* are used.

        `looking`: numbers of calls that yield no object. That a name is there, and whose, is no secret: ls(1), lsof(8). In the profile
        `standard` the kernel itself says it.
        """
        self.dev = -1
        """st_dev of the container's procfs; -1 when it has none."""
        self._bare = given.get("bare_proc", -1)
        """The same procfs, a mount that nothing is mounted on, nor can be: where names are proven, and where we read ourselves. In its
        own tree the workload may mount a FIFO on /proc/1/stat, which would hold us up, or a link to what is not its own."""
        self._device = given.get("fuse", -1)
        self._fuse_root = given.get("fuse_root", -1)
        self._looking = looking
        self._own_net = bool(message["own_netns"])
        facts = ffi.new("struct opened *")
        self.generated_dev = -1
        """st_dev of the generated files' FUSE mount; -1 when there is none."""
        if self._fuse_root >= 0:
            self.generated_dev = _device_unasked(self._fuse_root)
        own = listing = -1
        place = lib.openat2_raw(root, b"proc", O_PATH | O_DIRECTORY | O_NOFOLLOW, 0, 0)
        if place >= 0:
            if lib.fd_type(place) == PROC_SUPER_MAGIC:
                lib.fd_info(place, facts)
                self.dev = int(facts.dev)
                own = self._bare
                listing = os.open(".", os.O_RDONLY | O_DIRECTORY | os.O_CLOEXEC, dir_fd=own)
            os.close(place)
        uname = os.uname()
        unique = os.urandom(16).hex()
        depths: dict[str, int] = message["cgroups"]
        groups = {name.encode(): (given[f"cgroup:{name}"], depth) for name, depth in depths.items()}
        self.view = ProcView(
            proc=directory_reader(own),
            host=directory_reader(procfd),
            cgroup=cgroup_levels(groups),
            pids=pid_lister(listing) if listing >= 0 else tuple,
            start=message["born"],
            start_realtime=time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + message["born"],
            release=(message["release"] or uname.release).encode(),
            version=uname.version.encode(),
            boot_id="-".join((unique[:8], unique[8:12], unique[12:16], unique[16:20], unique[20:])).encode(),
        )

    def start(self, kernel: Kernel) -> None:
        """Serve the generated files, on a thread that has no more privileges than the caller has by then."""
        if self._device >= 0:
            Server(self._device, procfs.Tree(self.view), lambda e: kernel.say("/proc: %r", e), int(time.time())).start()
        else:
            kernel.say("no /dev/fuse: generated files in /proc are snapshots of the moment of open")

    def admit(self, task: Task, fd: int, flags: int) -> int:
        """What the caller gets for the object `fd`, on procfs, that was opened for it; `fd` is consumed. Raises OSError."""
        try:
            is_directory = S_ISDIR(task.opened.mode)
            name, verdict = self._classify(task, fd, flags, is_directory)
            if isinstance(verdict, procfs.Native):
                if flags & O_PATH:
                    return os.dup(fd)
                return self._reopen(task, name, fd, flags)
            if isinstance(verdict, procfs.Deny):
                if task.nr in self._looking and verdict is not procfs.GONE:
                    return os.dup(fd)
                task.kernel.denied("open", name.decode(errors="replace"))
                raise OSError(verdict.errno, "procfs")
            if flags & O_PATH:
                return os.dup(fd)
            if flags & O_DIRECTORY:
                raise OSError(errno.ENOTDIR, "procfs")
            return self._generated(task, verdict, flags)
        finally:
            os.close(fd)

    def _prove(self, task: Task, fd: int) -> bytes | None:
        """The canonical name of the object `fd` on procfs, from /proc on; None when it has none."""
        # A lookup below /proc/PID/net, such as that of a proof, unhashes the entry found before (fs/proc/generic.c: it is always
        # looked up anew), and then this is said of it although there is such a name.
        link = os.readlink(b"%d" % fd).removesuffix(b" (deleted)")
        found = procfs.reopen(self._bare, fd, link)
        if found is None:  # on the way there may be what the caller may not search
            with task.own_rights():
                found = procfs.reopen(self._bare, fd, link)
        if found is None:
            return None
        os.close(found[1])
        return found[0]

    def _classify(self, task: Task, fd: int, flags: int, is_directory: bool) -> tuple[bytes, procfs.Native | procfs.Deny | procfs.Synth]:
        name = self._prove(task, fd)
        if name is None:
            return b"(no name)", procfs.DENIED
        write = bool(flags & (O_ACCMODE | O_TRUNC)) and not flags & O_PATH
        return name, procfs.classify(name, write=write, directory=is_directory, own_net=self._own_net)

    def _reopen(self, task: Task, name: bytes, fd: int, flags: int) -> int:
        """Open the object again, under the caller's own right to look at the process it belongs to: ptrace(2), "access mode"."""
        keep = flags & ~(O_NOFOLLOW | O_CREAT | O_EXCL)
        new = self._attempt(task, name, lambda: lib.openat2_raw(AT_FDCWD, b"%d" % fd, keep, 0, 0))
        if new < 0:
            raise OSError(-new, "procfs")
        lib.fd_info(new, task.opened)
        return int(new)

    def _generated(self, task: Task, synth: procfs.Synth, flags: int) -> int:
        if self._fuse_root < 0:
            fd = snapshot(procfs.generate(synth.name, self.view, synth.pid), synth.name.decode(), fds=AT_FDCWD)
        else:
            fd = lib.openat2_raw(self._fuse_root, synth.key, flags & ~(O_CREAT | O_EXCL | O_NOFOLLOW | O_TRUNC) | OPEN_FLAGS, 0, 0)
            if fd < 0:
                raise OSError(-fd, "procfs")
        lib.fd_info(fd, task.opened)
        return int(fd)

    # ---- whose entry it is ----

    def _attempt(self, task: Task, name: bytes, call: Callable[[], int]) -> int:
        """call(), result or -errno, about the object `name`: with the caller's right to look at other processes, and where the kernel
        lets a process do to itself what the owner of its entry in /proc may not, once more with ours."""
        with task.ptrace_rights(_pid_in(name)):
            result = call()
        if result == -errno.EACCES and self._is_own(task, name):
            with task.own_rights():
                result = call()
        return result

    def search(self, task: Task, directory: int, call: Callable[[], int]) -> int:
        """After call() has met EACCES in `directory`: its result once it is made with the rights that the caller has there."""
        lib.fd_info(directory, task.opened)
        if task.opened.dev == self.dev and S_ISDIR(task.opened.mode):
            name = self._prove(task, directory)
            if name is not None:
                return self._attempt(task, name, call)
        return -errno.EACCES

    def access(self, task: Task, fd: int, call: Callable[[], int]) -> int:
        """call(), an access(2) of the object `fd` on procfs, result or -errno."""
        name = self._prove(task, fd)
        return call() if name is None else self._attempt(task, name, call)

    def check_change(self, task: Task, fd: int) -> None:
        """Raise EPERM unless the object `fd` on procfs is about one process: mode, owner and times of all others are the machine's.

        In a user namespace that has the host's root the kernel would let it change them: fs/proc/generic.c:proc_notify_change().
        """
        name = self._prove(task, fd)
        if name is None or not _pid_in(name):
            raise OSError(errno.EPERM, "procfs")

    def _is_own(self, task: Task, name: bytes) -> bool:
        """Whether `name` is of those entries of the caller's own process that the kernel opens for it, whoever owns them: they are
        root's when the process is not dumpable. We are another process, so what the kernel looks at is the owner.

        fs/proc/fd.c:proc_fd_permission(), fs/proc/base.c:proc_tid_comm_permission().
        """
        parts = name.split(b"/")[2:]
        in_task = len(parts) == 4 and parts[1] == b"task"
        if in_task:
            parts = parts[2:]
        if len(parts) != 2 or not parts[0].isdigit():
            return False
        if parts[1] not in _OWN_DIRECTORIES and not (in_task and parts[1] == b"comm"):
            return False
        own = task.ids.ns_tgid
        if int(parts[0]) == own:
            return True
        thread = lib.openat2_raw(self._bare, b"%d/task/%d" % (own, int(parts[0])), O_PATH, 0, 0)
        if thread >= 0:
            os.close(thread)
        return bool(thread >= 0)

    # ---- links ----

    def _name(self, task: Task, link: int) -> list[bytes]:
        """The components below /proc of the link object `link`."""
        name = self._prove(task, link)
        if name is None:
            raise OSError(errno.EACCES, "procfs")
        return name.split(b"/")[2:]

    def is_magic(self, task: Task, link: int) -> bool:
        """Whether the link leads to an object and not to a name."""
        parts = self._name(task, link)
        if not parts[0].isdigit():
            return False
        if parts[1:2] == [b"task"]:
            parts = parts[2:]
        return (len(parts) == 2 and parts[1] in _MAGIC) or (len(parts) == 3 and parts[1] in _MAGIC_DIRECTORIES)

    def follow_magic(self, task: Task, directory: int, link: int, name: bytes) -> int:
        """O_PATH descriptor of what the magic link `name` in `directory` leads to. Raises EACCES as the kernel would."""
        with task.ptrace_rights(_pid_in(b"/proc/" + b"/".join(self._name(task, link)))):
            fd = lib.openat2_raw(directory, name, O_PATH, 0, 0)
        if fd == -errno.EACCES:
            fd = self.search(task, directory, lambda: lib.openat2_raw(directory, name, O_PATH, 0, 0))
        if fd < 0:
            raise OSError(-fd, "magic link")
        return int(fd)

    def link_target(self, task: Task, link: int) -> bytes:
        """The text of an ordinary link on procfs; `self` and `thread-self` are the caller's."""
        parts = self._name(task, link)
        if parts == [b"self"]:
            return b"%d" % task.ids.ns_tgid
        if parts == [b"thread-self"]:
            ids = task.ids
            return b"%d/task/%d" % (ids.ns_tgid, ids.ns_tid)
        return os.readlink(b"", dir_fd=link)

    def readlink(self, task: Task, link: int) -> bytes:
        """readlink(2) of any link on procfs, for the caller. EINVAL when it is no link."""
        if not S_ISLNK(task.opened.mode):
            raise OSError(errno.EINVAL, "not a link")
        if not self.is_magic(task, link):
            return self.link_target(task, link)
        with task.ptrace_rights(_pid_in(b"/proc/" + b"/".join(self._name(task, link)))):
            return os.readlink(b"", dir_fd=link)


def _device_unasked(fd: int) -> int:
    """st_dev of `fd` without a question to its file system: a FUSE mount that nobody serves yet would never answer. statx(2)."""
    out = ffi.new("char[]", 256)
    error = lib.statx_raw(fd, b"", AT_EMPTY_PATH | _AT_STATX_DONT_SYNC, 0, out)
    if error < 0:
        raise OSError(-error, os.strerror(-error), "statx")
    return os.makedev(*_stx_dev.unpack_from(ffi.buffer(out), 136))


def _pid_in(name: bytes) -> int:
    """The process id in a canonical name, in the container's pid namespace; 0 when it is about none."""
    part = name.split(b"/")[2:3]
    return int(part[0]) if part and part[0].isdigit() else 0
