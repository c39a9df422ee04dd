"""--overlay: the rootfs stays as it is, and what a container writes to it goes to a tmpfs, or below a directory of the caller's.

    --overlay memory        a tmpfs, gone with the container's last process
    --overlay dir=PATH      PATH/ID/upper, beside overlayfs' work directory, until the container is deleted

The overlay is mounted by whoever builds the container's tree (gofer/overlay.py); here is what has to be done before and afterwards. A
directory is a mount of its own, idmapped as the rootfs is: on disk its files belong to whom they belong in the container.

Of a tmpfs file contents are charged to the container's cgroup when the container writes them; but the sentry opens its files, so inodes, and what
the kernel copies up at an open, are charged to the sentry's. Under a memory limit the tmpfs is no larger than that, and has as many inodes as
the config's own tmpfs mounts (runsc_cli/platforms/notify.py).

What is under PATH/ID is the container's: names, depth and attributes are as bad as it likes. Nothing there is followed.
"""

from __future__ import annotations

import os
from errno import ENOTEMPTY

from gofer.overlay import UPPER, WORK, Upper
from runsc_cli import directory
from runsc_cli.errors import HostError, PyscError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from runsc_cli.oci.model import Spec
    from runsc_cli.options import Options
    from runsc_cli.platforms.base import Platform
    from runsc_cli.state import Container

MEMORY, DIRECTORY = "memory", "dir="
_MEDIA = "none, memory or dir=PATH"
_BATCH = 4096
"""Names of a directory that are looked at together."""


def asked(options: Options, *, view: bool) -> str:
    """Nothing, or the medium, MEMORY or DIRECTORY and a path without links, of the global `options`. `view`: of a `do`. Raises PyscError."""
    medium = _medium(options["overlay"], options["overlay2"])
    if medium in ("", "none"):
        return ""
    if view:
        raise PyscError("--overlay: the root of `do` is not a rootfs: what it writes is thrown away but for --keep, --write and --bind")
    if medium == MEMORY:
        return medium
    path = medium.removeprefix(DIRECTORY)
    if not medium.startswith(DIRECTORY) or not path:
        raise PyscError(f"--overlay {medium!r}: it is {_MEDIA}")
    if not path.startswith("/"):
        raise PyscError(f"--overlay {medium!r}: the path has to be absolute")
    return DIRECTORY + os.path.realpath(path)


def _medium(ours: str, runscs: str) -> str:
    """What is asked for in either spelling."""
    if not runscs:
        return ours
    if ours:
        raise PyscError("--overlay and --overlay2 are two spellings of one option: give one of them")
    if runscs == "none":
        return runscs
    mount, _, medium = runscs.partition(":")
    if mount != "root" or not medium:
        raise PyscError(f"--overlay2 {runscs!r}: an overlay can be over the root alone: root:memory, root:dir=PATH or none")
    if medium == "self":
        raise PyscError("--overlay2 root:self: the kernel's overlay cannot keep changes in the rootfs they are of: use root:dir=PATH")
    if "," in medium:
        raise PyscError(f"--overlay2 {runscs!r}: {medium.partition(',')[2]!r} is not known: the memory limit of config.json bounds it")
    return medium


def prepare(container: Container, medium: str, spec: Spec, init: int, userns: int, platform: Platform) -> Upper:
    """Where the changes go, for the plan of the tree. `init`: in the container's user namespace, to which `userns` maps files, -1: not at all.

    Raises PyscError, SpecError.
    """
    if medium == MEMORY:
        container.state.overlay = {"medium": MEMORY}
        return Upper(data=_bounds(spec))
    from runsc_cli.mount_plan import detached

    base = medium.removeprefix(DIRECTORY)
    path = f"{base}/{container.id}"
    parent = _trusted(base)
    try:
        # as with cgroups: what may be somebody else's is not removed with what is in it
        container.state.overlay = {"planned": path}
        container.save()
        os.mkdir(container.id, 0o700, dir_fd=parent)
        container.state.overlay = {"dir": path}
        container.save()
        owner = (0, 0) if userns >= 0 else (_root_of(init, "uid_map"), _root_of(init, "gid_map"))
        own = os.open(container.id, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        for name in (UPPER, WORK):
            os.mkdir(name, 0o700, dir_fd=own)
            os.chown(name, *owner, dir_fd=own)
        os.fchown(own, *owner)
        os.close(own)
    except FileExistsError:
        raise PyscError(f"--overlay: {path!r} exists: it may be another container's of this name; use another directory, or remove it") from None
    except OSError as error:
        raise HostError("mkdir", path, error) from None
    finally:
        os.close(parent)
    return Upper(detached(path, userns, False, platform.creation.warn, "--overlay", required=True))


def _trusted(path: str) -> int:
    """A descriptor of the directory, in which nobody but us and root can put something else in the place of what is ours."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise PyscError(f"--overlay dir={path}: there is no such directory: make it first") from None
    except OSError as error:
        raise HostError("open", path, error) from None
    facts = os.fstat(fd)
    if facts.st_uid not in (0, os.geteuid()) or (facts.st_mode & 0o022 and not facts.st_mode & 0o1000):
        os.close(fd)
        raise PyscError(f"--overlay: {path!r} is open to others, who could put another directory in place of the container's: chmod go-w it")
    return fd


def _root_of(pid: int, name: str) -> int:
    """The id that root of the process's user namespace has for us; ours where it has none."""
    for line in directory.read(f"/proc/{pid}/{name}").splitlines():
        first, outside, _ = map(int, line.split())
        if first == 0:
            return outside
    return 0


def _bounds(spec: Spec) -> tuple[str, ...]:
    """Options of the tmpfs. See the module's text."""
    memory = spec.linux.resources.memory if spec.linux.resources else None
    limit = memory.limit if memory else None
    if not limit or limit < 0:
        return ()
    from runsc_cli.platforms.notify import inodes

    return (f"size={limit}", *inodes(limit))


def remove(container: Container) -> None:
    """What prepare() has made; nobody is in the container any more. May be repeated. Raises PyscError."""
    overlay = container.state.overlay
    path = overlay.get("dir") or overlay.get("planned")
    if not path:
        return
    base, name = os.path.split(path)
    try:
        parent = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    except OSError as error:
        raise HostError("open", base, error) from None
    try:
        if "dir" in overlay:
            _as_owner(lambda: remove_tree(parent, name), path)
        else:
            _rmdir(parent, name)
    except OSError as error:
        raise HostError("remove", path, error) from None
    finally:
        os.close(parent)


def _rmdir(parent: int, name: str) -> None:
    """Made, or about to be made, by a create that was killed then: in use it is somebody else's, and not empty."""
    try:
        os.rmdir(name, dir_fd=parent)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno != ENOTEMPTY:
            raise


def _as_owner(work: Callable[[], None], path: str) -> None:
    """An ordinary user's container has files of all the user's ids: whoever removes them has to be root over these."""
    if os.geteuid() == 0:
        work()
        return
    from runsc_cli import rootless
    from runsc_cli.errors import strerror

    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            rootless.enter(lambda _text: None)
            work()
        except OSError as error:
            os.write(theirs, strerror(error).encode())
        except PyscError as error:
            os.write(theirs, error.message.encode())
        except BaseException as error:
            os.write(theirs, repr(error).encode())
        finally:
            os._exit(0)
    os.close(theirs)
    try:
        said = os.read(ours, 4096)
    finally:
        os.close(ours)
        os.waitpid(pid, 0)
    if said:
        raise PyscError(f"remove {path!r}: {said.decode(errors='replace')}")


def remove_tree(parent: int, name: str) -> None:
    """Remove the directory `name` in `parent`, however deep and wide it is: what is in a directory of it and not empty is moved to its top.

    The names at the top are ours alone. FileNotFoundError is content.
    """
    try:
        top = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    except FileNotFoundError:
        return
    prefix, moved = os.urandom(8).hex(), 0  # an earlier attempt may have been killed
    try:
        while names := _some(top):
            for each in names:
                fd = _opened(top, each)
                if fd < 0:
                    continue
                while below := _some(fd):
                    for inner in below:
                        if not _removed(fd, inner):
                            os.rename(inner, f"{prefix}.{moved}", src_dir_fd=fd, dst_dir_fd=top)
                            moved += 1
                os.close(fd)
                os.rmdir(each, dir_fd=top)
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=parent)


def _some(fd: int) -> list[str]:
    """The first names in a directory."""
    with os.scandir(fd) as entries:
        return [entry.name for entry, _ in zip(entries, range(_BATCH), strict=False)]


def _opened(top: int, name: str) -> int:
    """A directory in `top`; -1: it was something else, and is gone."""
    try:
        return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=top)
    except NotADirectoryError:
        os.unlink(name, dir_fd=top)
        return -1


def _removed(fd: int, name: str) -> bool:
    """Remove an entry, unless it is a directory that is not empty."""
    try:
        os.unlink(name, dir_fd=fd)
        return True
    except IsADirectoryError:
        pass
    try:
        os.rmdir(name, dir_fd=fd)
    except OSError as error:
        if error.errno != ENOTEMPTY:
            raise
        return False
    return True
