"""proc_pid_mountinfo(5), mounts(5) and mountstats, without what they tell about the host.

Three fields of a mountinfo line name host things: the root within the file system (the host path that was
bound), the source (a host's disk, NFS server or bind source) and the super block's options (an overlay's
directories, addresses, users). Mount ids, device numbers, mount points, flags and propagation stay: programs
match them with stat(2) and statx(2), which are native.

The kernel already leaves out mounts that the reading task's root directory does not reach.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# File systems whose options are about the mount itself. Of all others only "rw" or "ro" is shown; devtmpfs is the
# host's one, and its size half of the host's memory.
_PLAIN = frozenset((
    b"cgroup", b"cgroup2", b"devpts", b"mqueue", b"proc", b"ramfs", b"sysfs", b"tmpfs",
))  # fmt: skip

# ... but for these, which name host paths, the host's ids or the size of its memory
_PRIVATE_OPTIONS = (b"release_agent=", b"mpol=", b"nr_inodes=", b"gid=", b"uid=")

# Sources that runtimes and programs give to file systems without a device; others become the type.
_SOURCES = frozenset((
    b"cgroup", b"cgroup2", b"devpts", b"devtmpfs", b"mqueue", b"none", b"overlay", b"proc", b"shm", b"sysfs",
    b"tmpfs", b"udev",
))  # fmt: skip


class Mount:
    """One line: proc_pid_mountinfo(5)'s fields, still octal-escaped."""

    __slots__ = (
        "device",
        "fstype",
        "mount_id",
        "optional",
        "options",
        "parent_id",
        "point",
        "source",
        "super",
    )

    def __init__(self, line: bytes) -> None:
        before, _, after = line.partition(b" - ")
        self.mount_id, self.parent_id, self.device, _root, self.point, self.options, *self.optional = before.split(b" ")
        self.fstype, source, options = [*after.split(b" "), b"", b"rw"][:3]
        kind = self.fstype.partition(b".")[0]
        self.source = source if source in _SOURCES else kind
        self.super = _super_options(kind, options)

    def mountinfo(self) -> bytes:
        fields = [self.mount_id, self.parent_id, self.device, b"/", self.point, self.options, *self.optional]
        return b" ".join((*fields, b"-", self.fstype, self.source, self.super)) + b"\n"

    def mounts(self) -> bytes:
        """fs/proc_namespace.c:show_vfsmnt(): the mount's options, then the super block's."""
        options = self.options + b"".join(b"," + o for o in self.super.split(b",")[1:])
        return b" ".join((self.source, self.point, self.fstype, options, b"0", b"0")) + b"\n"

    def mountstats(self) -> bytes:
        return b"device %s mounted on %s with fstype %s\n" % (self.source, self.point, self.fstype)


def _super_options(kind: bytes, options: bytes) -> bytes:
    first, *rest = options.split(b",")
    if kind not in _PLAIN:
        return first
    kept = [o for o in rest if b"/" not in o and not o.startswith(_PRIVATE_OPTIONS)]
    return b",".join((first, *kept))


def parse(text: bytes) -> Iterator[Mount]:
    """Every mount of a /proc/PID/mountinfo."""
    return (Mount(line) for line in text.splitlines() if line)
