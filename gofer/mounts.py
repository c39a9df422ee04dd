"""Mounts as values, and how each is put into a container's tree.

Man pages: mount_setattr(2), move_mount, fsopen, open_tree (Linux 5.2), mount_namespaces(7). A mount is first made detached, which
touches nothing, gets its attributes, and is then moved to a directory that was resolved below the container's root with
RESOLVE_IN_ROOT: no link of an image can lead a mount out of it, and there is no moment in which it lacks its flags.
"""

from __future__ import annotations

import errno
import os
from stat import S_IFCHR, S_IFIFO, S_IFMT, S_ISCHR, S_ISDIR, S_ISLNK

from sentry.abi import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_RECURSIVE,
    FSCONFIG_CMD_CREATE,
    FSCONFIG_SET_FLAG,
    FSCONFIG_SET_STRING,
    FSMOUNT_CLOEXEC,
    FSOPEN_CLOEXEC,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    MOVE_MOUNT_F_EMPTY_PATH,
    MOVE_MOUNT_T_EMPTY_PATH,
    O_CREAT,
    O_DIRECTORY,
    O_NOFOLLOW,
    O_PATH,
    OPEN_TREE_CLOEXEC,
    OPEN_TREE_CLONE,
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
)
from sentry.platform._native import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

PUT_AT = b"/proc"
"""Where something is mounted for a moment before it gets its place: a directory that every host has and anybody may search."""

_BELOW = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS


class MountError(Exception):
    """A mount of the plan could not be made."""


def check(result: int, what: str) -> int:
    """`result` of a native call, or MountError that says what could not be done and why."""
    if result < 0:
        raise MountError(f"{what}: {os.strerror(-result).lower()}")
    return result


class Mount:
    """One mount of the plan: what, where, how. `describe()` prints it, `attach()` makes it."""

    __slots__ = (
        "attr_clear",
        "attr_set",
        "copy_up",
        "data",
        "destination",
        "fd",
        "propagation",
        "propagation_recursive",
        "recursive",
        "type",
    )

    def __init__(
        self,
        type: str,
        destination: str,
        *,
        fd: int = -1,
        data: tuple[str, ...] = (),
        attr_set: int = 0,
        attr_clear: int = 0,
        propagation: int = 0,
        propagation_recursive: bool = False,
        recursive: bool = False,
        copy_up: bool = False,
    ) -> None:
        """`fd`: a detached mount made before (binds, proc, mqueue), else one of `type` is made here with `data` options.

        `type` "remount": only the attributes of what is mounted there are changed. `recursive`: the attributes are those of the mounts
        below, too; `propagation_recursive` says the same of `propagation`.
        `copy_up`: a tmpfs that starts with what it hides.
        """
        self.type = type
        self.destination = destination
        self.fd = fd
        self.data = data
        self.attr_set = attr_set
        self.attr_clear = attr_clear
        self.propagation = propagation
        self.propagation_recursive = propagation_recursive
        self.recursive = recursive
        self.copy_up = copy_up

    def describe(self) -> str:
        return f"{self.type} on {self.destination} {','.join(self.data)} attr=+{self.attr_set:#x}-{self.attr_clear:#x}"

    def attach(self, root: int) -> None:
        """Make the mount below the container's root directory `root`. Raises MountError."""
        what = f"mount {self.type} on {self.destination!r}"
        if self.type == "remount":
            self._remount(root, what)
            return
        if self.type == "overlay":
            from gofer import overlay  # loaded already, as is copyup below

            fd, self.fd = overlay.mount(self.fd, what), -1
        elif self.type == "tmpfs":
            fd = self._tmpfs(root, what)
        else:
            fd = self.fd if self.fd >= 0 else new_filesystem(self.type, self.data, what)
        try:
            if self.attr_set or self.attr_clear:
                flags = AT_EMPTY_PATH | (AT_RECURSIVE if self.recursive else 0)
                check(lib.mount_setattr_(fd, b"", flags, self.attr_set, self.attr_clear, 0, -1), what)
            target = mount_point(root, self.destination, fd, what)
            try:
                if S_ISDIR(os.fstat(fd).st_mode) != S_ISDIR(os.fstat(target).st_mode):
                    raise MountError(f"{what}: {os.strerror(errno.ENOTDIR).lower()}: a directory goes on a directory, a file on a file")
                move(fd, target, what)
            finally:
                os.close(target)
            if self.propagation:
                flags = AT_EMPTY_PATH | (AT_RECURSIVE if self.propagation_recursive else 0)
                check(lib.mount_setattr_(fd, b"", flags, 0, 0, self.propagation, -1), what)
        finally:
            os.close(fd)
            self.fd = -1

    def _remount(self, root: int, what: str) -> None:
        fd = check(below(root, self.destination), what)
        try:
            flags = AT_EMPTY_PATH | (AT_RECURSIVE if self.recursive else 0)
            error = lib.mount_setattr_(fd, b"", flags, self.attr_set, self.attr_clear, 0, -1)
            if error == -errno.EINVAL:
                raise MountError(f"{what}: nothing is mounted there")
            check(error, what)
        finally:
            os.close(fd)

    def _tmpfs(self, root: int, what: str) -> int:
        """A detached tmpfs; unless the config says otherwise its mode is that of the directory which it hides, as with runc."""
        hidden = below(root, self.destination, O_PATH | O_DIRECTORY)
        if hidden < 0:
            return new_filesystem("tmpfs", self.data, what)
        try:
            mode = () if any(option.startswith("mode=") for option in self.data) else (f"mode={os.fstat(hidden).st_mode & 0o7777:o}",)
            fd = new_filesystem("tmpfs", (*self.data, *mode), what)
            if self.copy_up:
                from gofer import copyup  # loaded already: the command line has seen that it is asked for

                copyup.copy(hidden, fd, what)
            return fd
        finally:
            os.close(hidden)

    def propagate_again(self) -> None:
        """Set the propagation once more: in a locked copy of the mount namespace a shared mount is a slave, an unbindable one private."""
        what = f"propagation of {self.destination!r}"
        fd = check(below(AT_FDCWD, self.destination), what)
        try:
            flags = AT_EMPTY_PATH | (AT_RECURSIVE if self.propagation_recursive else 0)
            check(lib.mount_setattr_(fd, b"", flags, 0, 0, self.propagation, -1), what)
        finally:
            os.close(fd)


class Device:
    """A device node or FIFO of the config: `kind` (S_IFCHR, S_IFBLK, S_IFIFO), number, and its place in the container."""

    __slots__ = ("destination", "fd", "gid", "kind", "mode", "name", "rdev", "uid", "usable")

    def __init__(self, destination: str, kind: int, rdev: int) -> None:
        self.destination = destination
        self.kind = kind
        self.rdev = rdev
        self.fd = -1
        """A detached mount of the node, or -1: it is called `name` in the plan's tree of nodes, or is a FIFO."""
        self.name = ""
        self.mode = 0
        self.uid = 0
        self.gid = 0
        """In the container. Of a FIFO, which is made here; a node has them already."""
        self.usable = True
        """False: mounted so that the kernel opens it for nobody."""

    def take(self, tree: int) -> None:
        """Of the attached tree of nodes keep a detached mount of this one. Raises MountError."""
        if self.name:
            self.fd = clone(tree, self.name, False, f"device {self.destination!r}")

    def attach(self, root: int) -> None:
        """Mount it below the container's root; a FIFO is made. Raises MountError."""
        what = f"device {self.destination!r}"
        there = self._is_there(root, what)
        if self.kind == S_IFIFO:
            if not there:
                try:
                    self._make(root, what)
                except PermissionError as e:
                    raise MountError(f"{what}: {os.strerror(e.errno or 0).lower()}") from None
            return
        try:
            if not self.usable:
                check(lib.mount_setattr_(self.fd, b"", AT_EMPTY_PATH, MOUNT_ATTR_NODEV, 0, 0, -1), what)
            target = mount_point(root, self.destination, self.fd, what)
            try:
                move(self.fd, target, what)
            finally:
                os.close(target)
        finally:
            os.close(self.fd)
            self.fd = -1

    def make(self, root: int) -> None:
        """Make the node, or FIFO, below the container's root; who may not shows the host's, as runc does. Raises MountError."""
        what = f"device {self.destination!r}"
        if self._is_there(root, what):
            return
        try:
            self._make(root, what)
        except PermissionError:
            fd = int(lib.open_tree_(AT_FDCWD, os.fsencode(self.destination), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC))
            facts = os.fstat(fd) if fd >= 0 else None
            if facts is None or (S_IFMT(facts.st_mode), facts.st_rdev) != (self.kind, self.rdev):
                why = "cannot be made here (operation not permitted), and the host's is missing or another one"
                raise MountError(f"{what}: {why}") from None
            self.fd = fd
            self.attach(root)

    def _is_there(self, root: int, what: str) -> bool:
        """What is there already has to be the same device, config-linux.md says. Raises MountError."""
        there = below(root, self.destination)
        if there < 0:
            return False
        facts = os.fstat(there)
        os.close(there)
        if S_IFMT(facts.st_mode) != self.kind or (facts.st_rdev != self.rdev and self.kind != S_IFIFO):
            raise MountError(f"{what}: another file is there already")
        return True

    def _make(self, root: int, what: str) -> None:
        """mknod(2); nothing is masked from its mode, and no name is looked at twice."""
        directory, _, name = self.destination.rstrip("/").rpartition("/")
        parent = mount_point(root, directory or "/", root, what)
        try:
            os.mknod(name, self.kind | self.mode, self.rdev, dir_fd=parent)
            os.chown(name, self.uid, self.gid, dir_fd=parent, follow_symlinks=False)
        except PermissionError:
            raise
        except OSError as e:
            raise MountError(f"{what}: {os.strerror(e.errno or 0).lower()}") from None
        finally:
            os.close(parent)


def new_filesystem(type: str, data: tuple[str, ...], what: str, attrs: int = 0) -> int:
    """A detached mount of a new file system; `data` are key=value or key options."""
    context = check(lib.fsopen_(type.encode(), FSOPEN_CLOEXEC), what)
    try:
        for option in data:
            key, eq, value = option.partition("=")
            if eq:
                error = lib.fsconfig_(context, FSCONFIG_SET_STRING, key.encode(), value.encode(), 0)
            else:
                error = lib.fsconfig_(context, FSCONFIG_SET_FLAG, key.encode(), ffi.NULL, 0)
            check(error, f"{what}: option {option!r}")
        check(lib.fsconfig_(context, FSCONFIG_CMD_CREATE, ffi.NULL, ffi.NULL, 0), what)
        return check(lib.fsmount_(context, FSMOUNT_CLOEXEC, attrs), what)
    finally:
        os.close(context)


def move(fd: int, target: int, what: str) -> None:
    """Attach the detached mount `fd` to the directory or file `target`."""
    check(lib.move_mount_(fd, b"", target, b"", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH), what)


def clone(dir: int, path: str, recursive: bool, what: str) -> int:
    """A detached copy of the mount at `path`: the first half of a bind mount."""
    flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (AT_RECURSIVE if recursive else 0)
    return check(lib.open_tree_(dir, path.encode(), flags | (0 if path else AT_EMPTY_PATH)), what)


def bare(root: int, path: str) -> int:
    """A detached copy of the mount at `path` without what is mounted below it; of whatever is there if it is no mount."""
    fd = below(root, path, O_PATH | O_DIRECTORY)
    if fd < 0:
        return os.open("/dev/null", O_PATH | os.O_CLOEXEC)
    try:
        return clone(fd, "", False, f"copy {path!r}")
    finally:
        os.close(fd)


def below(root: int, path: str, flags: int = O_PATH) -> int:
    """`path` resolved below `root`, or -errno."""
    return int(lib.openat2_raw(root, os.fsencode(path), flags, 0, _BELOW))


def mount_point(root: int, path: str, mount: int, what: str) -> int:
    """O_PATH descriptor of `path` below `root`, created if missing: a directory for a directory, else an empty file."""
    fd = below(root, path)
    if fd >= 0:
        if path.strip("/") in ("proc", "sys") and _is_link(root, path):
            os.close(fd)
            raise MountError(f"{what}: the destination must not be a symbolic link in the image")
        return fd
    if fd != -errno.ENOENT:
        check(fd, what)
    names = [n for n in path.split("/") if n]
    parent = os.dup(root)
    try:
        for i in range(len(names)):
            prefix = "/".join(names[: i + 1])
            fd = below(root, prefix)
            if fd == -errno.ENOENT:
                last = i == len(names) - 1
                try:
                    if last and not S_ISDIR(os.fstat(mount).st_mode):
                        os.close(os.open(names[i], O_CREAT | os.O_EXCL | O_NOFOLLOW | os.O_WRONLY, 0o644, dir_fd=parent))
                    else:
                        os.mkdir(names[i], 0o755, dir_fd=parent)
                except OSError as e:
                    hint = ": a symbolic link leads nowhere" if e.errno == errno.EEXIST else ""
                    raise MountError(f"{what}: make {'/' + prefix!r}: {os.strerror(e.errno or 0).lower()}{hint}") from None
                fd = lib.openat2_raw(parent, names[i].encode(), O_PATH | O_NOFOLLOW, 0, 0)
            check(fd, what)
            os.close(parent)
            parent = fd
        return os.dup(parent)
    finally:
        os.close(parent)


def _is_link(root: int, path: str) -> bool:
    fd = below(root, path, O_PATH | O_NOFOLLOW)
    if fd < 0:
        return False
    try:
        return S_ISLNK(os.fstat(fd).st_mode)
    finally:
        os.close(fd)


def make_readonly(root: int, path: str) -> None:
    """readonlyPaths: a bind mount of `path` on itself, read-only. A missing path is skipped, as the specification says."""
    target = below(root, path)
    if target in (-errno.ENOENT, -errno.ENOTDIR):
        return
    what = f"make {path!r} read-only"
    check(target, what)
    try:
        fd = clone(target, "", True, what)
        try:
            check(lib.mount_setattr_(fd, b"", AT_EMPTY_PATH | AT_RECURSIVE, MOUNT_ATTR_RDONLY, 0, 0, -1), what)
            move(fd, target, what)
        finally:
            os.close(fd)
    finally:
        os.close(target)


def empty_directory(what: str) -> int:
    """A detached tmpfs that nobody can put anything into."""
    attrs = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC
    return new_filesystem("tmpfs", ("source=tmpfs", "size=0"), what, attrs)


def null(root: int) -> int:
    """O_PATH descriptor of the container's own /dev/null, which its root may change as it likes. Raises MountError."""
    what = "mask a file with '/dev/null'"
    fd = check(below(root, "/dev/null"), what)
    facts = os.fstat(fd)
    if not S_ISCHR(facts.st_mode) or facts.st_rdev != os.makedev(*DEFAULT_DEVICES["null"]):
        os.close(fd)
        raise MountError(f"{what}: the container's is something else")
    return fd


def mask(root: int, path: str, own: bool = False, given: int = -1) -> None:
    """maskedPaths: /dev/null over a file, an empty read-only tmpfs over a directory.

    `own`: the container's, and not the host's: root of a container that is root of the host could change the owner and mode of that.
    `given`: a mount of one, attached here, or -1.
    """
    target = below(root, path)
    if target in (-errno.ENOENT, -errno.ENOTDIR):
        return
    what = f"mask {path!r}"
    check(target, what)
    try:
        if S_ISDIR(os.fstat(target).st_mode):
            fd = empty_directory(what)
        else:
            source = os.dup(given) if given >= 0 else null(root) if own else check(lib.openat2_raw(AT_FDCWD, b"/dev/null", O_PATH, 0, 0), what)
            try:
                fd = clone(source, "", False, what)
            finally:
                os.close(source)
        try:
            move(fd, target, what)
        finally:
            os.close(fd)
    finally:
        os.close(target)


DEFAULT_DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
"""Name in /dev -> device number: config-linux.md, "Default Devices"."""

_LINKS = (("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"), ("stderr", "/proc/self/fd/2"))


def populate_dev(root: int, put: Callable[[int, int, str], None]) -> None:
    """The default devices, each by `put` (make_node or show_node), and links. What exists is left.

    Runs while "/" is still the host's tree.
    """
    dev = below(root, "/dev", O_PATH | O_DIRECTORY)
    if dev == -errno.ENOENT:
        os.mkdir("dev", 0o755, dir_fd=root)
        dev = below(root, "/dev", O_PATH | O_DIRECTORY)
    check(dev, "open '/dev'")
    try:
        for name in DEFAULT_DEVICES:
            put(root, dev, name)
        for name, text in (*_LINKS, ("ptmx", "pts/ptmx")):
            try:
                os.symlink(text, name, dir_fd=dev)
            except FileExistsError:
                continue
    finally:
        os.close(dev)


def make_node(root: int, dev: int, name: str) -> None:
    """A default device by mknod(2), unless something of that name is there; who may not shows the host's. Raises MountError."""
    try:
        os.mknod(name, S_IFCHR | 0o666, os.makedev(*DEFAULT_DEVICES[name]), dir_fd=dev)
    except FileExistsError:
        facts = os.stat(name, dir_fd=dev, follow_symlinks=False)
        if not S_ISCHR(facts.st_mode) or facts.st_rdev != os.makedev(*DEFAULT_DEVICES[name]):
            raise MountError(f"device '/dev/{name}': another file is there already") from None
    except PermissionError:
        os.close(show_node(root, name))
    except OSError as e:
        raise MountError(f"device '/dev/{name}': {os.strerror(e.errno or 0).lower()}") from None


def show_node(root: int, name: str, given: int = -1) -> int:
    """A default device as a bind mount: of `given`, a detached mount of it, else of the host's. Returns the mount. Raises MountError."""
    path = f"/dev/{name}"
    what = f"device {path!r}"
    fd = given if given >= 0 else clone(AT_FDCWD, path, False, what)
    target = mount_point(root, path, fd, what)
    try:
        move(fd, target, what)
    finally:
        os.close(target)
    return fd
