"""The state store: what is known of each container, in a directory of its own under --root.

    ROOT/                   0700
      ID/                   0711, as runc has it; flock(2) on the directory itself is the container's lock
        state.json          replaced whole by rename(2); a directory without it is a create that failed
        hooks.json          the hooks of later commands, where there are any
        process.json        the config's process and what its descendants inherit, for exec
        seccomp.bpf         the config's own filter, likewise
        exit_status         decimal, written by whoever learns how the container's init ended
        ...                 what create puts there (sockets, the exec fifo)

Locking the directory leaves no lock file behind, and a lock that was granted on a directory that has been
removed meanwhile shows by its inode. The lock belongs to the open file description: a process that is
forked while it is held must close `Container.fd`, or the lock outlives the command that took it.

Nothing is fsynced: the store lives on a tmpfs, and no container survives the boot that would need it.

The status is derived, never trusted: a container is what the kernel says of the processes that it names.
"""

from __future__ import annotations

import os
from fcntl import LOCK_UN, flock
from stat import S_ISVTX
from time import gmtime, strftime, time_ns

from runsc_cli import directory
from runsc_cli.errors import ContainerExists, ContainerNotFound, HostError, InvalidId, Locked, PyscError, StateDamaged
from runsc_cli.process import Process
from runsc_cli.version import SPEC_VERSION
from sentry.platform.jsontext import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any, Self, TypeAlias

    Containers: TypeAlias = "list[Container]"  # Store.list() hides the builtin where it is needed

CREATING, CREATED, RUNNING, PAUSED, STOPPED = "creating", "created", "running", "paused", "stopped"

STATE_FILE = "state.json"
HOOKS_FILE = "hooks.json"
SECCOMP_FILE = "seccomp.bpf"
PROCESS_FILE = "process.json"
_NEW_FILE = "state.json.new"
_EXIT_FILE = "exit_status"
_ENXIO = 6
FIFO = "exec.fifo"
"""What the first process of a created container waits on, open for reading: a byte lets it go."""

_ID_CHARS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.")
_ID_MAX = 255  # NAME_MAX: the id names a directory


def check_id(id: str) -> str:
    """runc's rule for a container's id; InvalidId otherwise."""
    if not id:
        raise InvalidId("container id cannot be empty")
    if len(id) > _ID_MAX or id in (".", "..") or not _ID_CHARS.issuperset(id):
        raise InvalidId
    return id


class State:
    """What state.json holds. `phase` is what the last command recorded; Container.status() is the truth.

    cgroups are the directories that hold the workload and nothing else, one a hierarchy: kill --all and
    delete --force end whatever is in them, delete removes them. cgroups_planned are those that `create` is about
    to make: not known to be ours, so nobody in them is ended, and they are removed if they are empty.
    `notified` are native calls that the sentry is told of nevertheless, for --strace, --inject and --kernel-release.
    `unit` is systemd's scope, where that has made the cgroup. cgroups_beside and unit_beside are the sentry's and the gofer's.
    `files` is the process that has the container's files in the sentry's place, with --directfs=false.
    `init` is the container's first process, `creator` the command that creates it.
    `overlay`, if there is one, says where the root's changes are: "dir" or "planned", a path (runsc_cli/root_overlay.py), or the gofer's "fd".
    """

    __slots__ = (
        "annotations",
        "bundle",
        "cgroups",
        "cgroups_beside",
        "cgroups_planned",
        "config",
        "created",
        "creator",
        "files",
        "gofer",
        "id",
        "init",
        "kernel_release",
        "network",
        "notified",
        "oci_version",
        "overlay",
        "phase",
        "platform",
        "profile",
        "rootfs",
        "sentry",
        "unit",
        "unit_beside",
    )

    def __init__(self, id: str) -> None:
        self.id = id
        self.oci_version = SPEC_VERSION
        self.phase = CREATING
        self.bundle = ""
        self.rootfs = ""
        self.created = ""
        self.annotations: dict[str, str] = {}
        self.config = ""
        self.platform = ""
        self.network = ""
        self.overlay: dict[str, Any] = {}
        self.profile = ""
        self.notified: list[str] = []
        self.kernel_release = ""
        """What uname(2) says in place of the host's release; empty: that one."""
        self.cgroups: list[str] = []
        self.cgroups_planned: list[str] = []
        self.cgroups_beside: list[str] = []
        self.unit = ""
        self.unit_beside = ""
        self.creator: Process | None = None
        self.init: Process | None = None
        self.sentry: Process | None = None
        self.files: Process | None = None
        self.gofer: Process | None = None

    def encode(self) -> str:
        fields: dict[str, Any] = {}
        for name in self.__slots__:
            value = getattr(self, name)
            fields[name] = [value.pid, value.start] if isinstance(value, Process) else value
        return dumps(fields)

    @classmethod
    def decode(cls, text: str) -> State:
        """ValueError when the text is not what encode() writes.

        Names it does not know are ignored, and what an earlier version did not write is as if nothing had been asked for: a container
        outlives an update of pysc. Only what has to be ended and removed must be there.
        """
        fields = loads(text)
        if not isinstance(fields, dict):
            raise ValueError("not an object")
        state = cls("")
        for name in cls.__slots__:
            if name not in fields:
                if name in _NEEDED:
                    raise ValueError(f"{name} is missing")
                continue
            value = fields[name]
            if name in _PROCESSES:
                value = _process(value)
            elif type(value) is not type(getattr(state, name)):
                raise ValueError(f"{name} has the wrong type")
            setattr(state, name, value)
        return state


_PROCESSES = frozenset(("creator", "init", "sentry", "files", "gofer"))
_NEEDED = frozenset(("id", "phase", "cgroups", "init", "sentry", "gofer"))


def _process(value: Any) -> Process | None:
    if value is None:
        return None
    if type(value) is not list or [type(item) for item in value] != [int, int] or value[0] <= 0:
        raise ValueError(f"{value!r} is no process")
    return Process(value[0], value[1])


class Container:
    """A container of the store: its state as read last, and the lock while `fd` is not -1."""

    __slots__ = ("dir", "fd", "id", "state")

    def __init__(self, dir: str, id: str) -> None:
        self.dir = dir
        self.id = id
        self.fd = -1
        self.state = State(id)

    def path(self, name: str) -> str:
        """The path of a file in the container's directory."""
        return f"{self.dir}/{name}"

    def status(self) -> str:
        """creating, created, running, paused or stopped, by what the kernel says now."""
        state = self.state
        if state.phase == CREATING:
            return CREATING if state.creator is not None and state.creator.alive() else STOPPED
        if state.init is None or not state.init.alive():
            return STOPPED
        if state.cgroups:
            from runsc_cli.freezer import frozen

            if frozen(state.cgroups):
                return PAUSED
        return RUNNING if state.phase == CREATED and self._was_let_go() else state.phase

    def _was_let_go(self) -> bool:
        """A `start` was killed before it wrote that down: the first process no longer has the FIFO open."""
        try:
            os.close(os.open(self.path(FIFO), os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC))
        except OSError as error:
            return error.errno == _ENXIO
        return False

    def oci_state(self, status: str | None = None) -> dict[str, Any]:
        """The state of the runtime specification (runtime.md#state), as hooks read it."""
        state = self.state
        status = status or self.status()
        fields: dict[str, Any] = {
            "ociVersion": state.oci_version,
            "id": state.id,
            "pid": state.init.pid if state.init is not None and status != STOPPED else 0,
            "status": status,
            "bundle": state.bundle,
            "rootfs": state.rootfs,
            "created": state.created,
        }
        if state.annotations:
            fields["annotations"] = state.annotations
        fields["owner"] = ""
        return fields

    def shown_state(self) -> dict[str, Any]:
        """oci_state() for people and engines: that there is no sandbox, or another, is to be seen, and where changes go."""
        fields = self.oci_state()
        state = self.state
        more = {}
        if state.platform in ("namespace", "ptrace"):
            more["dev.pysc.platform"] = state.platform
        if state.overlay:
            path = state.overlay.get("dir") or state.overlay.get("planned")
            more["dev.pysc.overlay"] = f"dir={path}" if path else "memory"
        if more:
            owner = fields.pop("owner")
            fields["annotations"] = {**state.annotations, **more}
            fields["owner"] = owner
        return fields

    def exit_status(self) -> int | None:
        """How init ended, when somebody has learnt it: 0 to 255, 128+n for a signal."""
        try:
            text = directory.read(self.path(_EXIT_FILE))
        except FileNotFoundError:
            return None
        return int(text) if text.isascii() and text.isdigit() else None

    def record_exit(self, status: int) -> None:
        """Write exit_status, unless the container is gone. Needs no lock: one process learns it."""
        new = self.path(f"{_EXIT_FILE}.{os.getpid()}")
        try:
            fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                os.write(fd, str(status).encode())
            finally:
                os.close(fd)
            os.rename(new, self.path(_EXIT_FILE))
        except FileNotFoundError:
            return

    def lock(self, timeout: float | None = None) -> Self:
        """Wait for the container's lock, and read the state anew under it. `with container.lock(): ...`

        ContainerNotFound when the container has been deleted meanwhile, Locked when another command has
        the lock for longer than `timeout` seconds."""
        self._take_lock(timeout)
        try:
            self.reload()
        except BaseException:
            self.unlock()
            raise
        return self

    def _take_lock(self, timeout: float | None = None) -> None:
        try:
            self.fd = directory.lock(self.dir, timeout)
        except BlockingIOError:
            raise Locked(self.id) from None
        except (FileNotFoundError, NotADirectoryError):
            raise ContainerNotFound from None
        except OSError as error:
            raise HostError("open", self.dir, error) from None

    def unlock(self) -> None:
        if self.fd != -1:
            # Closing would not do: a process forked meanwhile may still hold the open file description.
            flock(self.fd, LOCK_UN)
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self.unlock()

    def reload(self) -> None:
        path = self.path(STATE_FILE)
        try:
            self.state = State.decode(directory.read(path))
        except (FileNotFoundError, NotADirectoryError):
            raise ContainerNotFound from None
        except ValueError as error:
            raise StateDamaged(path, str(error)) from None
        except OSError as error:
            raise HostError("open", path, error) from None

    def save(self) -> None:
        """Replace state.json; the lock must be held."""
        if self.fd == -1:
            raise RuntimeError("a container's state is written under its lock")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        try:
            fd = os.open(_NEW_FILE, flags, 0o600, dir_fd=self.fd)
            try:
                data = self.state.encode().encode()
                while data:
                    data = data[os.write(fd, data) :]
            finally:
                os.close(fd)
            os.rename(_NEW_FILE, STATE_FILE, src_dir_fd=self.fd, dst_dir_fd=self.fd)
        except OSError as error:
            raise HostError("write", self.path(STATE_FILE), error) from None

    def remove(self) -> None:
        """Remove the directory; the lock must be held. state.json goes last: a crash leaves a container
        that can be deleted again."""
        if self.fd == -1:
            raise RuntimeError("a container is removed under its lock")
        try:
            directory.empty(self.fd, keep=STATE_FILE)
            directory.empty(self.fd)
            os.rmdir(self.dir)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise HostError("remove", self.dir, error) from None
        self.unlock()


def _check_owner(path: str) -> None:
    """Whoever can write to a state has us end its processes and remove its cgroups. Raises PyscError where that is somebody else, OSError."""
    facts = os.stat(path)
    if facts.st_uid not in (os.geteuid(), 0):
        raise PyscError(f"{path} is another user's: a --root of your own is needed, or XDG_RUNTIME_DIR for the usual one")
    if facts.st_mode & 0o022 and not facts.st_mode & S_ISVTX:
        raise PyscError(f"{path} can be written by others: a --root of your own is needed")


class Store:
    """The containers under one --root."""

    __slots__ = ("mode", "root")

    def __init__(self, root: str, mode: int = 0o700) -> None:
        self.root = os.path.abspath(root)
        self.mode = mode

    def create(self, id: str, note: Callable[[State], None] | None = None) -> Container:
        """A new container, in the state creating and locked: `with store.create(id) as container: ...`

        `note` adds to the state before it is saved."""
        container = Container(f"{self.root}/{check_id(id)}", id)
        try:
            os.makedirs(self.root, 0o700, exist_ok=True)
            _check_owner(self.root)
            if self.mode != 0o700:
                os.chmod(self.root, self.mode)
        except OSError as error:
            raise HostError("mkdir", self.root, error) from None
        while True:
            try:
                os.mkdir(container.dir, 0o711)
            except FileExistsError:
                raise ContainerExists from None
            except OSError as error:
                raise HostError("mkdir", container.dir, error) from None
            try:
                container._take_lock()
            except ContainerNotFound:
                continue  # a delete --force took the empty directory for a create that failed
            break
        from runsc_cli import children

        now = time_ns()
        container.state.created = f"{strftime('%Y-%m-%dT%H:%M:%S', gmtime(now // 10**9))}.{now % 10**9:09}Z"
        container.state.creator = Process.of(children.command())
        if note is not None:
            note(container.state)
        try:
            container.save()
        except BaseException:
            container.remove()
            raise
        return container

    def load(self, id: str) -> Container:
        """A container, not locked; ContainerNotFound also when its create failed half-way."""
        container = Container(f"{self.root}/{check_id(id)}", id)
        try:
            _check_owner(self.root)
            _check_owner(container.dir)
        except OSError:  # which reload() meets, too
            pass
        container.reload()
        return container

    def list(self, problem: Callable[[str, PyscError], None] | None = None) -> Containers:
        """All containers by id. Those whose state cannot be read are told to `problem` and left out."""
        try:
            names = sorted(os.listdir(self.root))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise HostError("open", self.root, error) from None
        containers = []
        for name in names:
            try:
                containers.append(self.load(name))
            except (ContainerNotFound, InvalidId):
                continue
            except PyscError as error:
                if problem is not None:
                    problem(name, error)
        return containers

    def discard(self, id: str) -> bool:
        """Remove what a create that died left behind: a directory whose state is missing or damaged.

        False when there is a healthy container, or nothing."""
        container = Container(f"{self.root}/{check_id(id)}", id)
        try:
            container._take_lock()
        except ContainerNotFound:
            return False
        with container:
            try:
                container.reload()
            except (ContainerNotFound, StateDamaged):
                container.remove()
                return True
        return False
