"""The platform `notify`: system calls that turn a name into an object are sent to a sentry, which answers with the object.

The sentry is forked before config.json is read, so that it imports meanwhile. A user namespace is always made, and a time namespace, in
which the container begins at zero: start times in /proc/PID/stat then agree with the uptime that the sentry shows.
"""

from __future__ import annotations

import os
from stat import S_ISCHR, S_ISFIFO, S_ISREG
from time import CLOCK_BOOTTIME, CLOCK_MONOTONIC, clock_gettime

from gofer import proctree, server
from runsc_cli import children, directory, launch, namespaces
from runsc_cli.capabilities import mask
from runsc_cli.cgroups import devices
from runsc_cli.cgroups.beside import enter
from runsc_cli.control import SOCKET, ask
from runsc_cli.daemon import daemon
from runsc_cli.enter import Spaces
from runsc_cli.errors import HostError, PyscError, SpecError
from runsc_cli.platforms.base import Guard, Platform, built
from runsc_cli.platforms.choice import NOTIFY
from runsc_cli.platforms.placement import placement
from runsc_cli.process import Process
from sentry.abi import CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWTIME, O_PATH
from sentry.devices import READ, WRITE, Rule
from sentry.platform import signals, wire
from sentry.platform._native import lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from gofer.mounts import Mount
    from gofer.tree import Plan
    from runsc_cli.cgroups.driver import Cgroup
    from runsc_cli.container import Creation
    from runsc_cli.context import Context
    from runsc_cli.mount_options import MountOptions
    from runsc_cli.oci.model import Mount as SpecMount
    from runsc_cli.oci.model import Spec
    from runsc_cli.platforms.placement import Placement
    from runsc_cli.stage.program import Program, Result, Stage
    from runsc_cli.state import Container
    from runsc_cli.trace.start import Tracing
    from sentry.vfs.sysfs import Node

_SHOWN = ("memory", "cpu", "cpuacct", "cpuset", "")
"""The hierarchies, version 2's last, by which /proc tells the container what it has."""

_PATIENCE = 60
"""Seconds that an answer of the sentry may take: milliseconds, unless the machine is very busy or somebody has stopped it."""

_MEMORY_OF_AN_INODE = 16384
_FEWEST_INODES = 1024
_LONGEST_RELEASE = 64
_STDERR = 2


class Notify(Platform):
    """The sentry, the gofer, and the filter of the first process."""

    __slots__ = ("_born", "_cgroups", "_files", "_gofer_pid", "_procfd", "_sentry_pid", "_sentry_sock", "_sys", "_tracing")

    name = NOTIFY

    def __init__(self, creation: Creation) -> None:
        super().__init__(creation)
        self._born: int | None = 0
        """The second of CLOCK_BOOTTIME at which the container's clocks begin; None: a namespace that it joins says so."""
        self._gofer_pid = -1
        self._tracing: Tracing | None = None
        self._procfd = -1
        self._cgroups: dict[str, tuple[int, int]] = {}
        """Of _open_shown()."""
        self._sys: dict[bytes, Node] = {}
        self._files: tuple[int, wire.Socket] | None = None
        """The file server, with --directfs=false: sentry/files.py."""
        born = creation.placement.make(creation.container) if creation.placement is not None else None
        try:
            with signals.Uninterrupted():
                self._sentry_pid, self._sentry_sock = self._fork_sentry("pysc-sentry")
                creation.container.state.sentry = Process.of(self._sentry_pid)
                if not creation.context.options["directfs"]:
                    self._files = self._fork_sentry("pysc-files")
                    creation.container.state.files = Process.of(self._files[0])
        finally:
            if born is not None:
                born()

    def _fork_sentry(self, name: str) -> tuple[int, wire.Socket]:
        ours, theirs = wire.pair()
        options = self.creation.context.options
        keep = [2] if options["debug"] else []
        pid = self._daemon(name, theirs, keep, _sentry, options["profile"] or "standard", options["network"] or "host")
        theirs.close()
        return pid, ours

    def _daemon(self, name: str, sock: wire.Socket, keep: list[int], work: Callable[..., None], *args: Any) -> int:
        """A process of ours, born in its place, that does `work` with `sock` and `args`. It has `sock`, and the descriptors `keep`."""
        placement = self.creation.placement
        beside = placement.beside if placement is not None else None
        fd = sock.fileno()

        def born() -> tuple[Any, ...]:  # once it is: until then its place may turn out to be none
            return fd, beside.others if beside is not None else [], work, *args

        if children.nest is not None:
            return children.nest.start(name, [fd, *keep], beside.unified if beside is not None else "", _born, *born())
        return daemon(name, [fd, *keep], lambda: _born(*born()), beside.fork if beside is not None else os.fork)

    @staticmethod
    def placement(context: Context, id: str, path: Callable[[], str]) -> Placement | None:
        return placement(context, id, path)

    def describe(self, spec: Spec, *, view: bool) -> None:
        options, state = self.creation.context.options, self.creation.container.state
        state.profile = options["profile"] or "standard"
        if options["strace"] or options["strace_syscalls"] or options["inject"]:
            from runsc_cli.trace.start import Tracing

            self._tracing = Tracing(options, state)
        state.kernel_release = _release(options["kernel_release"])
        if state.kernel_release:
            state.notified = sorted({*state.notified, "uname"})

    def spaces(self, spec: Spec) -> Spaces:
        from runsc_cli.oci.mappings import user_namespace_mappings

        time = spec.linux.namespace("time")
        flags = CLONE_NEWNS | (CLONE_NEWTIME if time is None else 0)
        # "none": whatever network namespace the config names, or none: loopback and nothing else
        alone = self.creation.container.state.network == "none"
        spaces = Spaces(spec, flags | (CLONE_NEWNET if alone else 0), ("network",) if alone else ())
        spaces.mappings = user_namespace_mappings(spec, os.geteuid(), own=self.creation.context.own_ids)
        if time is None:  # its clocks begin with it, which hides how long the host is up
            spaces.offsets = (-int(clock_gettime(CLOCK_MONOTONIC)), 0), (-int(clock_gettime(CLOCK_BOOTTIME)), 0)
        self._born = None if "time" in spaces.joined else -spaces.offsets[1][0] if spaces.offsets is not None else 0
        return spaces

    def filesystem(self, mount: SpecMount, options: MountOptions, made: int, field: str) -> list[Mount]:
        from runsc_cli import mount_plan

        cgroup = self.creation.cgroup
        if mount.type in ("cgroup", "cgroup2") and cgroup is not None and cgroup.paths:
            from runsc_cli.platforms import cgroup_mounts

            own = cgroup_mounts.read_only(mount, options, cgroup, self.creation.warn, field)
            if own:
                return own
        kind = "tmpfs" if mount.type in ("cgroup", "cgroup2", "sysfs") else mount.type
        if kind not in ("tmpfs", "devpts", *self.stage_types):
            raise SpecError(f"{field}.type", f"{mount.type!r} cannot be mounted in a sandbox; use bind or tmpfs")
        data = (*options.superblock, *options.parameters) if mount.type == kind else ("mode=555", "size=0")
        if mount.type == "mqueue":
            data = ()
        if mount.type == "tmpfs":
            data += _inodes(data, self.creation.spec)
        if mount.type == "sysfs":
            from sentry.vfs.sysfs import MOST_BYTES

            data += (f"size={MOST_BYTES}",)
        return [mount_plan.made(mount, options, data, made, mount.type if mount.type == "sysfs" else kind)]

    def build(self, spec: Spec, plan: Plan, meanwhile: Callable[[], None], *, view: bool) -> tuple[int, int]:
        """Fork the gofer, which builds the tree, then send the sentry all it needs; it answers while the stage gets its filter."""
        init = self.creation.init
        spaces = {kind: os.open(f"/proc/{init}/ns/{namespaces.FILES[kind]}", os.O_RDONLY | os.O_CLOEXEC) for kind in ("network", "ipc", "uts")}
        spaces["user"] = os.dup(plan.userns)
        state = self.creation.container.state
        if state.network == "host" and namespaces.is_ours(os.fstat(spaces["network"]), "network"):
            state.network = "shared"
        plan.sys = self._sys
        if state.network == "host" and plan.sys:
            from runsc_cli import interfaces, systree

            plan.sys |= systree.network(interfaces.of(init, spaces["network"]))
        plan.cover = proctree.cover
        gofer_sock, root, made = self._fork_gofer(plan, self._procfd, meanwhile)
        return root, self._boot_sentry(spec, spaces, self._procfd, gofer_sock, root, made, view)

    def _fork_gofer(self, plan: Plan, procfd: int, meanwhile: Callable[[], None]) -> tuple[wire.Socket, int, list[int]]:
        """Returns its socket, the container's root and what it has made beside. `meanwhile` is called if the plan says show_at."""
        ours, theirs = wire.pair()
        init = self.creation.init_pidfd
        keep = [procfd, init, *plan.fds()]
        debug = bool(self.creation.context.options["debug"])
        if debug:
            keep.append(2)
        with signals.Uninterrupted():
            self._gofer_pid = self._daemon("pysc-gofer", theirs, keep, server.run, plan, init, procfd, debug)
            self.creation.container.state.gofer = Process.of(self._gofer_pid)
        theirs.close()
        answer, fds = built(ours, meanwhile, "the gofer ended while it built the mount tree; --debug shows why")
        if answer["upper"] >= 0:
            self.creation.container.state.overlay["fd"] = answer["upper"]
        if answer["no_fuse"]:
            self.creation.warn(f"no FUSE here ({answer['no_fuse']}): generated files in /proc are snapshots of the moment of open")
        return ours, fds[0], fds[1:]

    def _boot_sentry(
        self,
        spec: Spec,
        spaces: dict[str, int],
        procfd: int,
        gofer: wire.Socket,
        root: int,
        made: list[int],
        record_missing: bool,
    ) -> int:
        """Returns the mount namespace."""
        creation = self.creation
        control = self._listen()
        for kind in ("network", "ipc", "uts"):
            if namespaces.is_ours(os.fstat(spaces[kind]), kind):
                os.close(spaces.pop(kind))  # there is nothing to join
        given = {
            "root": root,
            "procfd": procfd,
            "init": creation.init_pidfd,
            "gofer": gofer.fileno(),
            "gofer_pid": os.pidfd_open(self._gofer_pid),
            "control": control.fileno(),
        }
        given.update({namespaces.FILES[kind]: fd for kind, fd in spaces.items()})
        given.update(zip(("empty", "bare_proc", "mnt", "fuse", "fuse_root"), made, strict=False))
        given.update({f"cgroup:{name}": fd for name, (fd, _) in self._cgroups.items()})
        if creation.context.options["debug"]:
            given["log"] = 2
        tracing = self._tracing.describe(given, spec) if self._tracing is not None else {}
        caps, resources, state = spec.process.capabilities, spec.linux.resources, creation.container.state
        message = {
            "platform": self.name,
            "profile": state.profile,
            "network": state.network,
            "own_netns": state.network != "shared",
            "debug": creation.context.options["debug"],
            "record_missing": record_missing,
            "outside": given_from_outside(),
            "cgroups": {name: depth for name, (_, depth) in self._cgroups.items()},
            "no_new_privs": spec.process.no_new_privileges,
            "born": _boottime_of(self.creation.init) if self._born is None else self._born,
            "bounding": mask(caps.bounding) if caps else 0,
            "devices": [rule.plain() for rule in (*_terminals(), *devices.rules(resources.devices if resources else ()))],
            "init": creation.init,
            **tracing,
            "release": state.kernel_release,
        }
        try:
            if self._files is None:
                wire.send(self._sentry_sock, {**message, "fds": list(given)}, list(given.values()))
            else:
                from sentry.files import boot_both

                boot_both(self._sentry_sock, self._files[1], message, given)
        except wire.Closed:
            raise PyscError("the sentry ended while it started; --debug shows why") from None
        for name, fd in given.items():
            if name not in ("init", "gofer", "control", "root", "mnt", "log"):
                os.close(fd)
        gofer.close()
        control.close()
        return given["mnt"]

    def _listen(self) -> wire.Socket:
        sock = wire.listener()
        # by a short name: a container's directory may be longer than sun_path
        sock.bind(f"/proc/self/fd/{self.creation.container.fd}/{SOCKET}")
        sock.listen(16)
        return sock

    def meanwhile(self) -> None:
        import gofer.own_calls  # noqa: F401
        import runsc_cli.executable  # noqa: F401
        import sentry.platform.filter_cache  # noqa: F401

        self._procfd = _own_procfs()
        if self.creation.cgroup is not None:
            self._cgroups = _open_shown(self.creation.cgroup)
        if any(mount.type == "sysfs" for mount in self.creation.spec.mounts):
            from runsc_cli import systree

            self._sys = systree.nodes(self._procfd, self._cgroups)

    def guard(self) -> Guard:
        return _Filter(self.creation.container, self._attach)

    @staticmethod
    def guard_more(container: Container) -> Guard:
        def attach(listener: int, stage: int) -> None:
            ask(container, {"op": "attach", "pid": stage, "outside": given_from_outside()}, [listener])

        return _Filter(container, attach)

    @staticmethod
    def let_freeze(container: Container) -> None:
        ask(container, {"op": "restart"})

    def _attach(self, listener: int, stage: int) -> None:
        self._expect_ok()  # that it has booted
        if self._files is not None:
            self._expect_ok("start the file server", self._files[1])
        wire.send(self._sentry_sock, {"op": "attach", "pid": stage}, [listener])
        self._expect_ok("attach to the sentry")

    def settle(self) -> None:
        wire.send(self._sentry_sock, {"op": "settled"})
        self._expect_ok()

    def _expect_ok(self, what: str = "start the sentry", sock: wire.Socket | None = None) -> None:
        sock = sock or self._sentry_sock
        sock.settimeout(_PATIENCE)
        try:
            answer, _ = wire.recv(sock)
        except wire.Closed:
            raise PyscError(f"{what}: it ended early; --debug shows why") from None
        except TimeoutError:
            raise PyscError(f"{what}: no answer within {_PATIENCE} seconds") from None
        if "error" in answer:
            raise PyscError(f"{what}: {answer['error']}")

    def abort(self) -> None:
        for pid in (self._gofer_pid, self._sentry_pid, self._files[0] if self._files is not None else -1):
            if pid > 0:
                try:
                    os.kill(pid, signals.SIGKILL)
                    children.wait(pid)
                except (ProcessLookupError, ChildProcessError):
                    continue

    def done(self) -> None:
        self._sentry_sock.close()
        if self._files is not None:
            self._files[1].close()
        if self._tracing is not None:
            self._tracing.finish()

    def complaint(self) -> str:
        """What the sentry has said before it ended: with it the gofer and the stage end, and we may hear of those first."""
        said = _complaint(self._sentry_sock, "start the sentry")
        return said or (_complaint(self._files[1], "start the file server") if self._files is not None else "")

    def report(self) -> dict[str, Any]:
        """What the sentry has counted; empty when it is gone, or has nothing to say for a while."""
        try:
            self._sentry_sock.settimeout(_PATIENCE)
            wire.send(self._sentry_sock, {"op": "report"})
            return wire.recv(self._sentry_sock)[0]
        except (wire.Closed, OSError):
            return {}


def _complaint(sock: wire.Socket, what: str) -> str:
    from select import POLLIN, poll

    waiting = poll()
    waiting.register(sock.fileno(), POLLIN)
    if not waiting.poll(0):
        return ""
    try:
        answer, _ = wire.recv(sock)
    except wire.Closed:
        return ""
    return f"{what}: {answer['error']}" if "error" in answer else ""


def _born(fd: int, cgroups: list[str], work: Callable[..., None], *args: Any) -> None:
    """In a new process of ours: go to its `cgroups` of version 1, which it says by the socket `fd` if it may not, and do its work."""
    sock = wire.Socket(fileno=fd)
    try:
        enter(cgroups)
    except HostError as error:
        wire.send(sock, {"error": error.message})
        return
    work(sock, *args)


def _sentry(sock: wire.Socket, profile: str, network: str) -> None:
    from sentry import boot

    boot.prepare(profile, network)
    boot.run(sock)


class _Filter(Guard):
    """The sandbox's filter, whose listener goes to the sentry."""

    __slots__ = ("_attach", "_attached", "_container", "_listener")

    def __init__(self, container: Container, attach: Callable[[int, int], None]) -> None:
        self._attach = attach
        self._attached = False
        self._container = container
        self._listener: Result | None = None

    def append(self, p: Program) -> None:
        from sentry.platform.filter_cache import program

        state = self._container.state
        made = program(state.profile, state.network, os.path.dirname(self._container.dir), state.notified)
        self._listener = launch.filter_and_listener(p, made)

    def sent(self, stage: Stage) -> None:
        if self._container.state.notified:
            from runsc_cli.trace.start import find_listener

            listener = find_listener(stage)
            if listener >= 0:
                self._give(stage, listener)

    def take(self, stage: Stage, results: list[int]) -> None:
        assert self._listener is not None
        if not self._attached:
            self._give(stage, launch.give_listener(stage, results[self._listener.index]))

    def _give(self, stage: Stage, listener: int) -> None:
        self._attached = True
        try:
            self._attach(listener, stage.pid)
        finally:
            os.close(listener)


def _release(text: str) -> str:
    """The value of --kernel-release, which has to fit into struct utsname and into a line of /proc. Raises PyscError."""
    if len(text) > _LONGEST_RELEASE or not (text.isascii() and text.isprintable()) or " " in text:
        wanted = f"at most {_LONGEST_RELEASE} printable characters without a space, like 6.1.0-pysc"
        raise PyscError(f"--kernel-release {text!r}: it has to be {wanted}")
    return text


def _inodes(data: tuple[str, ...], spec: Spec) -> tuple[str, ...]:
    """Under a memory limit a tmpfs has as many inodes as fit into a twelfth of it, unless the config says how many.

    It is the sentry that makes files for the workload, so its cgroup pays for the inodes (1.3 KB each, with their names) and not
    the container's. Linux would allow as many as the machine has pages, half of that: tmpfs(5), nr_inodes.
    """
    if not spec.memory_limit or any(option.startswith("nr_inodes=") for option in data):
        return ()
    return inodes(spec.memory_limit)


def inodes(limit: int) -> tuple[str, ...]:
    """The option of a tmpfs under a memory limit, in bytes."""
    return (f"nr_inodes={max(_FEWEST_INODES, limit // _MEMORY_OF_AN_INODE)}",)


def _boottime_of(pid: int) -> int:
    """The second of our CLOCK_BOOTTIME that is zero in the time namespace of `pid`: a line a clock, its seconds, its nanoseconds."""
    rows = (line.split() for line in directory.read(f"/proc/{pid}/timens_offsets").splitlines())
    return -next((int(row[1]) for row in rows if row[0] == "boottime"), 0)


def _open_shown(cgroup: Cgroup) -> dict[str, tuple[int, int]]:
    """The leaves that /proc has something of, by hierarchy, and how many cgroups are above each, up to the mount point."""
    shown = {}
    for name in cgroup.paths.keys() & _SHOWN:
        path = cgroup.paths[name]
        above = path.removeprefix(cgroup.mount_points[name]).count("/")
        shown[name] = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), above
    return shown


def _terminals() -> list[Rule]:
    """Device rules for our own terminals: the workload has them as stdio, and may name them /dev/stderr."""
    nodes = {os.fstat(fd).st_rdev for fd in range(3) if os.isatty(fd)}
    return [Rule(True, "c", os.major(node), os.minor(node), READ | WRITE) for node in nodes]


def given_from_outside() -> dict[str, list[Any]]:
    """What may not be opened again for more than it is open for, of the descriptors that the workload is given, stdio and those that follow:
    `mounts` (stx_mnt_id) of files and devices, `fifos` as (st_dev, st_ino), for all pipes are on one mount."""
    mounts: set[int] = set()
    fifos: set[tuple[int, int]] = set()
    fd = 0
    while True:
        try:
            given = os.get_inheritable(fd)  # our own ones are not
        except OSError:  # not open
            given = False
        if given:
            facts = os.fstat(fd)
            if S_ISFIFO(facts.st_mode):
                fifos.add((facts.st_dev, facts.st_ino))
            elif S_ISREG(facts.st_mode) or S_ISCHR(facts.st_mode):
                mounts.add(int(lib.fd_mount(fd)))
        elif fd > _STDERR:
            return {"mounts": sorted(mounts), "fifos": sorted(fifos)}
        fd += 1


def _own_procfs() -> int:
    """A procfs of our pid namespace that shows the sentry only what it may trace anyway; the host's own where we may not mount."""
    from gofer.mounts import MountError, new_filesystem

    try:
        return new_filesystem("proc", ("hidepid=ptraceable",), "procfs for the sentry")
    except MountError:
        return os.open("/proc", O_PATH | os.O_CLOEXEC)
