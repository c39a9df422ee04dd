"""mount and umount2: tmpfs, bind mounts, moves, flags and propagation, for a caller with CAP_SYS_ADMIN.

Man pages: mount(2), umount(2), mount_namespaces(7). Linux: fs/namespace.c:path_mount(), path_umount(). Source and target are
looked up as the caller; the gofer, which is in the container's mount namespace, makes the mount on those objects. Errors of
the kernel (EINVAL, EBUSY, locked flags' EPERM…) come back as they are.

Left out: all other file systems (EPERM, as those that a user namespace may not mount; ENODEV for unknown ones); bind mounts
of procfs, whose files are judged by their name (EPERM); a remount that changes a file system and not its
mount (EPERM; EINVAL for a tmpfs's options; the flags of a tmpfs change on that mount alone); options of tmpfs about NUMA and
huge pages (EINVAL). umount2(MNT_EXPIRE) never expires a mount, since our lookup is a use of it (EAGAIN).
"""

from __future__ import annotations

import errno
import os
from os import close
from stat import S_ISDIR

from sentry.abi import (
    AT_FDCWD,
    CAP_SYS_ADMIN,
    MOUNT_ATTR_ATIME,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NODIRATIME,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_NOSYMFOLLOW,
    MOUNT_ATTR_RDONLY,
    MS_BIND,
    MS_MOVE,
    MS_NOATIME,
    MS_NODEV,
    MS_NODIRATIME,
    MS_PRIVATE,
    MS_REC,
    MS_RELATIME,
    MS_REMOUNT,
    MS_SHARED,
    MS_SILENT,
    MS_SLAVE,
    MS_STRICTATIME,
    MS_UNBINDABLE,
    O_DIRECTORY,
    O_PATH,
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    UMOUNT_MNT_DETACH,
    UMOUNT_MNT_EXPIRE,
    UMOUNT_MNT_FORCE,
    UMOUNT_NOFOLLOW,
    mount_attributes,
)
from sentry.platform._native import lib
from sentry.syscalls.raw import magic_link, value
from sentry.syscalls.registry import Flags, Ptr, ULong, syscall
from sentry.vfs.resolve import lookup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sentry.task import Task

_PAGE = 4096
_MS_MGC_VAL, _MS_MGC_MSK = 0xC0ED0000, 0xFFFF0000
_MS_NOUSER = 1 << 31
_PROPAGATION = MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE
_ATIME = MS_NOATIME | MS_NODIRATIME | MS_RELATIME | MS_STRICTATIME
_UMOUNT_FLAGS = UMOUNT_MNT_FORCE | UMOUNT_MNT_DETACH | UMOUNT_MNT_EXPIRE | UMOUNT_NOFOLLOW
_TMPFS_MAGIC = 0x01021994
_TMPFS_OPTIONS = frozenset((b"size", b"mode", b"uid", b"gid", b"nr_inodes"))
_REFUSED = frozenset(
    b"binfmt_misc bpf btrfs cgroup cgroup2 configfs debugfs devpts devtmpfs erofs ext2 ext3 ext4 f2fs fuse fuseblk "
    b"fusectl hugetlbfs iso9660 mqueue nfs nfs4 nsfs ntfs3 overlay proc pstore ramfs securityfs squashfs sysfs tracefs "
    b"udf vfat xfs".split()
)
"""What Linux may know and does not let the container mount; for any other name it has ENODEV."""


@syscall("mount")
def mount(task: Task, source: Ptr, target: Ptr, fstype: Ptr, flags: ULong, data: Ptr) -> int:
    """mount(2). Linux: do_mount()."""
    kind = _string(task, fstype)
    device = _string(task, source)
    options = _data_page(task, data).partition(b"\0")[0]
    fd = lookup(task, AT_FDCWD, task.read_cstr(target))
    try:
        if flags & _MS_MGC_MSK == _MS_MGC_VAL:
            flags &= ~_MS_MGC_MSK
        if flags & _MS_NOUSER:
            raise OSError(errno.EINVAL, "MS_NOUSER")
        _check_may_mount(task)
        _path_mount(task, fd, device, kind, flags, options)
    finally:
        close(fd)
    return 0


def _path_mount(task: Task, target: int, device: bytes | None, kind: bytes | None, flags: int, options: bytes) -> None:
    """path_mount(): what mount(2) means is in its flags, in this order."""
    gofer = task.kernel.gofer
    if flags & MS_REMOUNT:
        _remount(task, target, flags, options)
    elif flags & MS_BIND:
        _bind(task, device, target, bool(flags & MS_REC))
    elif flags & _PROPAGATION:
        change = flags & ~(MS_REC | MS_SILENT)
        if change not in (MS_SHARED, MS_PRIVATE, MS_SLAVE, MS_UNBINDABLE):
            raise OSError(errno.EINVAL, "propagation")
        gofer.setattr(target, 0, 0, change, bool(flags & MS_REC))
    elif flags & MS_MOVE:
        _move(task, device, target)
    elif kind is None:
        raise OSError(errno.EINVAL, "type")
    elif kind == b"tmpfs":
        data = _tmpfs_options(options)
        _check_fits(target, True)
        gofer.tmpfs(target, data, mount_attributes(flags))
    else:
        task.kernel.denied("mount", os.fsdecode(kind))
        raise OSError(errno.EPERM if kind in _REFUSED else errno.ENODEV, "type")


def _remount(task: Task, target: int, flags: int, options: bytes) -> None:
    """do_reconfigure_mnt(); do_remount() for a tmpfs, the only file system that can be the container's own."""
    if not flags & MS_BIND:
        if lib.fd_type(target) != _TMPFS_MAGIC:
            raise OSError(errno.EPERM, "remount")
        if options:
            raise OSError(errno.EINVAL, "remount with options")
    clear = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSYMFOLLOW
    if flags & _ATIME:  # otherwise it stays as it is
        clear |= MOUNT_ATTR_ATIME | MOUNT_ATTR_NODIRATIME
    change = task.kernel.gofer.setattr
    try:
        change(target, mount_attributes(flags), clear, 0, False)
    except PermissionError:
        # It may be that nodev is locked, as on all that the config mounts, and the caller has not named it: nobody who is used to
        # being root of the machine does. It stays.
        if flags & MS_NODEV:
            raise
        change(target, mount_attributes(flags), clear & ~MOUNT_ATTR_NODEV, 0, False)


def _bind(task: Task, device: bytes | None, target: int, recursive: bool) -> None:
    """do_loopback()."""
    if not device:
        raise OSError(errno.EINVAL, "source")
    source = lookup(task, AT_FDCWD, device)
    try:
        if task.opened.dev == task.kernel.proc.dev:
            task.kernel.denied("mount", f"bind of {os.fsdecode(device)}")
            raise OSError(errno.EPERM, "procfs")
        _check_fits(target, S_ISDIR(task.opened.mode))
        task.kernel.gofer.bind(source, target, recursive)
    finally:
        close(source)


def _move(task: Task, device: bytes | None, target: int) -> None:
    """do_move_mount_old(). The kernel says what may not be moved: the mounts of the config, which are locked, and what is none (EINVAL)."""
    if not device:
        raise OSError(errno.EINVAL, "source")
    source = lookup(task, AT_FDCWD, device)
    try:
        task.kernel.gofer.move(source, target)
    finally:
        close(source)


def _check_fits(target: int, directory: bool) -> None:
    """graft_tree(): a directory goes on a directory. (The gofer's move_mount(2) would say EINVAL.)"""
    if S_ISDIR(os.fstat(target).st_mode) is not directory:
        raise OSError(errno.ENOTDIR, "mount point")


def _tmpfs_options(options: bytes) -> str:
    for option in filter(None, options.split(b",")):
        key, _, setting = option.partition(b"=")
        if key not in _TMPFS_OPTIONS or not setting.removesuffix(b"%").isalnum():
            raise OSError(errno.EINVAL, "tmpfs option")
    return options.strip(b",").decode()


def _check_may_mount(task: Task) -> None:
    """may_mount()."""
    if not task.creds.cap_eff >> CAP_SYS_ADMIN & 1:
        raise OSError(errno.EPERM, "CAP_SYS_ADMIN")


def _string(task: Task, addr: int) -> bytes | None:
    """copy_mount_string(): a null pointer is no string, a long one EINVAL."""
    if not addr:
        return None
    try:
        return task.read_cstr(addr)
    except OSError as e:
        if e.errno == errno.ENAMETOOLONG:
            raise OSError(errno.EINVAL, "mount string") from None
        raise


def _data_page(task: Task, addr: int) -> bytes:
    """copy_mount_options(): a page, or as much of it as is mapped."""
    if not addr:
        return b""
    first = _PAGE - addr % _PAGE
    page = task.read(addr, first)
    if first < _PAGE and b"\0" not in page:
        try:
            page += task.read(addr + first, _PAGE - first)
        except OSError as e:
            if e.errno != errno.EFAULT:
                raise
    return page[: _PAGE - 1]


@syscall("umount2")
def umount2(task: Task, target: Ptr, flags: Flags) -> int:
    """umount2(2). Linux: ksys_umount().

    A descriptor of the mount would keep it busy. So the gofer gets the directory that the mount point lies in, and its name
    there, as the kernel has them; a caller that renames it meanwhile unmounts another mount of its own.
    """
    if flags & ~_UMOUNT_FLAGS:
        raise OSError(errno.EINVAL, "flags")
    fd = lookup(task, AT_FDCWD, task.read_cstr(target), follow=not flags & UMOUNT_NOFOLLOW)
    try:
        _check_may_mount(task)
        where, _, name = os.readlink(magic_link(fd)).rpartition(b"/")
    finally:
        close(fd)
    if not name:  # the root: remounted read-only if the file system were the container's
        raise OSError(errno.EPERM, "umount of the root")
    below = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS
    directory = value(lib.openat2_raw(task.kernel.root, where or b"/", O_PATH | O_DIRECTORY, 0, below))
    try:
        task.kernel.gofer.umount(directory, name, flags)
    finally:
        close(directory)
    return 0
