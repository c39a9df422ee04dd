"""create, start, run: a container from config.json to its first process, and what is left when a step fails.

Who does what (docs/design.md, "Start-up"): the platform begins; the stage enters the namespaces; the platform builds the mount tree;
the stage is put under what guards it, takes its identity, and waits on a FIFO for `start`. Every process of ours
watches another one: whichever is killed at whatever moment, the rest ends, and `delete --force` finds in the state file what it has to remove.
"""

from __future__ import annotations

import errno
import os

from runsc_cli import launch, namespaces
from runsc_cli.config_file import of_bundle
from runsc_cli.enter import enter
from runsc_cli.errors import AlreadyRunning, HasStopped, HostError, PyscError, strerror
from runsc_cli.failure import reason
from runsc_cli.platforms.choice import choose, named
from runsc_cli.process import Process
from runsc_cli.stage.program import Passed, Program, Stage, StageError
from runsc_cli.state import CREATED, CREATING, FIFO, HOOKS_FILE, RUNNING, STOPPED, check_id
from runsc_cli.teardown import destroy
from sentry.abi import CLONE_NEWNS
from sentry.platform import signals, wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from runsc_cli.cgroups.driver import Cgroup
    from runsc_cli.context import Context
    from runsc_cli.do_view import View
    from runsc_cli.enter import Spaces
    from runsc_cli.oci.model import Spec
    from runsc_cli.options import Options
    from runsc_cli.platforms.base import Platform
    from runsc_cli.platforms.placement import Placement
    from runsc_cli.state import Container


class Creation:
    """One `create`: what it has made so far, so that `abort` can take it back."""

    __slots__ = (
        "cgroup",
        "console_master",
        "container",
        "context",
        "init_pidfd",
        "mntns",
        "overlay",
        "placement",
        "platform",
        "root",
        "spec",
        "stage",
    )

    def __init__(self, context: Context, container: Container, platform: type[Platform], placement: Placement | None) -> None:
        self.context = context
        self.container = container
        self.console_master = -1
        self.placement = placement
        self.cgroup: Cgroup | None = None
        self.init_pidfd = -1
        self.mntns = -1
        self.overlay = ""
        self.root = -1
        self.spec: Spec
        self.stage: Stage | None = None
        self.platform = platform(self)

    def abort(self) -> None:
        """Take back whatever exists. Must not raise for what is gone already."""
        if self.stage is not None:
            self.stage.end()
        self.platform.abort()
        destroy(self.container, self.warn)
        if self.placement is not None and self.placement.beside is not None:
            self.placement.beside.unmake()

    def warn(self, text: str) -> None:
        self.context.log.warning(text)

    def run(self, bundle: str, preserve_fds: int = 0, view: View | None = None) -> None:
        """Everything up to the stage waiting on the FIFO. `view`: the root of a `do` in place of a rootfs."""
        spec, state = self.spec, self.container.state
        tty = spec.process.terminal
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self.stage = stage = Stage((null, null, null) if tty else (0, 1, 2), preserve_fds, ignoring=view is not None)
        os.close(null)
        from runsc_cli import exec_process

        exec_process.save(self.container, spec)
        if spec.hooks.__dict__:
            from runsc_cli import hooks

            hooks.save(self.container, spec)
        self._join_cgroup(spec)
        spaces = self.platform.spaces(spec)
        made = self._enter(spec, spaces)
        self.init_pidfd = os.pidfd_open(stage.pid)
        state.init = Process.of(stage.pid)
        if self.cgroup is None:
            self.container.save()  # once it outlives us, a delete would find it by nothing else
        if spec.linux.net_devices:
            from runsc_cli import net_devices

            net_devices.move(spec, stage.pid)
        self._build(spec, spaces, bundle, made, view)
        fifo = self._fifo()
        try:
            self._finish_stage(spec, preserve_fds, fifo, init=view is not None)
        finally:
            os.close(fifo)

    def describe(self, spec: Spec, bundle: str, view: View | None = None) -> None:
        """Put into the state what does not depend on processes."""
        options, state = self.context.options, self.container.state
        self.spec = spec
        state.bundle = bundle
        state.rootfs = os.path.abspath(os.path.join(bundle, spec.root.path))
        state.annotations = dict(spec.annotations)
        state.platform = self.platform.name
        state.network = options["network"] or ("host" if view is None else "none")
        if state.network == "sandbox":
            raise PyscError("--network sandbox is not there yet: choose host (the config's network namespace) or none")
        if options["overlay"] or options["overlay2"]:
            from runsc_cli import root_overlay

            self.overlay = root_overlay.asked(options, view=view is not None)
        self.platform.describe(spec, view=view is not None)

    def created(self) -> None:
        """Everything is there but the execve(2)."""
        self.container.state.phase = CREATED
        self.container.state.creator = None
        self.container.save()

    def _join_cgroup(self, spec: Spec) -> None:
        if self.context.options["ignore_cgroups"]:
            self.container.save()
            return
        from runsc_cli.cgroups import driver

        path = spec.linux.cgroups_path
        if self.context.options["systemd_cgroup"]:
            path = self._start_scope(spec)
        there = self.placement.beside.hierarchies if self.placement is not None and self.placement.beside is not None else None
        self.cgroup = driver.plan(path, self.container.id, spec.linux.resources, hierarchies=there)
        self.cgroup.member = self.stage.pid if self.stage is not None else 0
        # Among those whose members a teardown kills only once they are known to be ours.
        state = self.container.state
        state.cgroups_planned = list(self.cgroup.paths.values())
        self.container.save()
        with signals.Uninterrupted():
            try:
                self.cgroup.create()
                state.cgroups = list(self.cgroup.paths.values())
            finally:
                state.cgroups_planned = []
        self.container.save()

    def _start_scope(self, spec: Spec) -> str:
        """--systemd-cgroup: have systemd make the cgroup, with the stage in it; returns its path."""
        from runsc_cli.cgroups import hierarchy, systemd

        assert self.stage is not None
        slice, unit = systemd.unit_of(spec.linux.cgroups_path, self.container.id)
        limits = systemd.properties(spec.linux.resources, pure=hierarchy.find().pure)
        more: list[systemd.Property] = []
        if any(key.startswith("org.systemd.property.") for key in spec.annotations):
            from runsc_cli.cgroups import unit_properties

            more = unit_properties.of(spec.annotations)
        with systemd.Systemd() as manager:
            self.container.state.unit = unit  # before it exists: whatever happens, it is stopped
            self.container.save()
            return manager.start(slice, unit, self.stage.pid, systemd.description(self.container.id), limits, more)

    def _enter(self, spec: Spec, spaces: Spaces) -> dict[int, int]:
        """Returns the detached mounts that the stage has made: index in spec.mounts -> our descriptor."""
        from runsc_cli.mount_plan import stage_mounts

        assert self.stage is not None
        for warning in spaces.mappings.warnings if spaces.mappings is not None else ():
            self.warn(warning)
        hooks = spec.hooks
        later = hooks.prestart or hooks.create_runtime or hooks.create_container
        cgroups = self.container.state.cgroups
        made = stage_mounts(spec, self.platform.stage_types)
        return enter(self.stage, spec, spaces, cgroups, made, None if later else spaces.last_gid, self.platform.meanwhile)

    def _build(self, spec: Spec, spaces: Spaces, bundle: str, from_stage: dict[int, int], view: View | None) -> None:
        """The mount tree."""
        from gofer.tree import Plan
        from runsc_cli import mount_plan

        init, platform = self.init, self.platform
        userns = _namespace(init, "user") if spaces.own_user else -1
        mapped = -1 if platform.trusted or (spaces.mappings is not None and spaces.mappings.identity) else userns
        plan = Plan(userns, _namespace(init, "mount"), -1)
        plan.mounts = mount_plan.mounts(spec, bundle, mapped, from_stage, platform, spaces.mappings or self.context.own_ids)
        if view is None:
            plan.root_fd = mount_plan.rootfs(spec, bundle, mapped, spaces.mappings, platform)
            if self.overlay:
                from runsc_cli import root_overlay

                plan.upper = root_overlay.prepare(self.container, self.overlay, spec, init, mapped, platform)
        else:
            plan.links = view.links
            plan.mounts = view.mounts(mapped, self.warn) + plan.mounts
        if spec.linux.devices or spaces.own_user:
            from runsc_cli import device_nodes

            plan.device_tree, plan.devices = device_nodes.make(spec, spaces.mappings, own_user=spaces.own_user)
        plan.masked = list(spec.linux.masked_paths)
        plan.readonly = list(spec.linux.readonly_paths)
        plan.readonly_root = spec.root.readonly
        plan.root_propagation = mount_plan.PROPAGATION[spec.linux.rootfs_propagation.removeprefix("r")]
        plan.cwd = spec.process.cwd
        if spec.hooks.prestart or spec.hooks.create_runtime or spec.hooks.create_container:
            plan.show_at = self.container.state.rootfs
        self.root, self.mntns = platform.build(spec, plan, lambda: self._run_hooks(spec, from_stage, spaces.last_gid), view=view is not None)
        for fd in plan.fds():
            os.close(fd)

    def _run_hooks(self, spec: Spec, from_stage: dict[int, int], last_gid: int) -> None:
        """While the tree is shown to them. Kernel parameters come after them: they may be of an interface that a hook has made."""
        from runsc_cli import hooks

        assert self.stage is not None
        self.container.save()  # for hooks that ask who is there
        hooks.during_create(self.container, spec, self.init_pidfd)
        p = Program()
        launch.sysctls(p, spec, {index: Passed(fd) for index, fd in from_stage.items()}, last_gid)
        if p:
            self.stage.run(p)

    def _fifo(self) -> int:
        path = self.container.path(FIFO)
        try:
            os.mkfifo(path, 0o600)
        except OSError as e:
            raise HostError("mkfifo", path, e) from None
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def _finish_stage(self, spec: Spec, preserve_fds: int, fifo: int, init: bool) -> None:
        from runsc_cli.executable import find, with_home

        stage, process = self.stage, spec.process
        assert stage is not None
        path = find(self.root, process)
        process = with_home(self.root, process)
        os.close(self.root)
        launch.host_settings(stage.pid, process)
        p = Program()
        p.call("setns", Passed(self.mntns), CLONE_NEWNS, what="join the mount namespace that the gofer has made")
        master = launch.terminal(p, process, console=True, control=not init) if process.terminal else None
        if spec.linux.personality or spec.linux.memory_policy:
            from runsc_cli import inherited

            inherited.settings(p, spec.linux.personality, spec.linux.memory_policy)
        cwd = launch.limits(p, process)
        guard = self.platform.guard()
        guard.append(p)
        profile = None
        if spec.linux.seccomp is not None:
            from runsc_cli import seccomp

            state = self.container.state
            profile = seccomp.prepare(spec.linux.seccomp, process, self.container.dir, state.profile, state.network, state.notified)
        launch.identity(p, process, profile)
        listener = launch.execute(p, path, process, preserve_fds, fifo, init=init, profile=profile)
        stage.send(p)
        os.close(self.mntns)
        if master is not None:
            number = stage.answer()[master.index]
            self.console_master = stage.take_fd(number)
            stage.proceed()
        guard.sent(stage)
        results = stage.answer()
        cwd.check(results)
        guard.take(stage, results)
        stage.proceed()
        if listener is not None:
            from runsc_cli import seccomp_agent

            assert spec.linux.seccomp is not None
            seccomp_agent.keep(spec.linux.seccomp, self.container)
            given = launch.give_listener(stage, stage.answer()[listener.index])
            seccomp_agent.send(self.container, CREATING, stage.pid, given)
            stage.proceed()
        stage.answer()
        self.platform.settle()
        stage.proceed()

    @property
    def init(self) -> int:
        """Pid of the container's first process."""
        assert self.stage is not None
        return self.stage.pid

    def say_counts(self, report: dict[str, Any] | None) -> None:
        """--debug: what was mediated and denied, on stderr."""
        if report is None:
            return
        counts = report.get("mediated", {})
        total = sum(counts.values())
        ordered = sorted(counts.items(), key=lambda item: -item[1])
        self.warn(f"mediated {total} system calls: " + ", ".join(f"{name} {count}" for name, count in ordered))
        for kind, what, count in report.get("denied", []):
            self.warn(f"denied {kind} {what} ({count} times)")


def _namespace(pid: int, kind: str) -> int:
    return os.open(f"/proc/{pid}/ns/{namespaces.FILES[kind]}", os.O_RDONLY | os.O_CLOEXEC)


def start(container: Container) -> None:
    """The verb `start`: let a created container's process go. Raises the BadState errors."""
    status = container.status()
    if status == STOPPED:
        raise HasStopped
    if status == RUNNING:
        raise AlreadyRunning
    if status != CREATED:
        raise PyscError(f"cannot start a container in the {status} state")
    let_go(container)


def let_go(container: Container) -> None:
    """One byte through the FIFO of a container that is known to be created; with the hooks of that moment. Raises HasStopped."""
    later = None
    if os.path.exists(container.path(HOOKS_FILE)):
        from runsc_cli import hooks

        later = hooks.load(container)
        later.before_start()
    path = container.path(FIFO)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as e:
        if e.errno in (errno.ENXIO, errno.ENOENT):
            raise HasStopped from None
        raise HostError("open", path, e) from None
    try:
        os.write(fd, b"0")
        if later is not None:
            _executed(fd)
    finally:
        os.close(fd)
    container.state.phase = RUNNING
    container.save()
    os.unlink(path)
    if later is not None:
        later.after_start()


def _executed(fifo: int) -> None:
    """Wait until nobody reads the FIFO any more: its one reader has executed the workload, or has ended."""
    from select import poll

    waiting = poll()
    waiting.register(fifo, 0)  # POLLERR
    waiting.poll()


def create(context: Context, options: Options, id: str) -> Creation:
    """The verb `create`, without the console: returns the creation, its container locked. On failure nothing is left."""
    bundle = os.path.abspath(options["bundle"] or ".")
    raw = of_bundle(bundle)
    platform = named(choose(context.options, raw, context.log.warning))

    def work(creation: Creation) -> None:
        from runsc_cli.spec import parse

        loaded = parse(raw, trusted=platform.trusted)
        for warning in loaded.warnings:
            creation.warn(warning)
        spec = loaded.spec
        listening = launch.listening_fds()
        if listening:
            env = (*spec.process.env, f"LISTEN_FDS={listening}", "LISTEN_PID=1")
            spec = spec.replace(process=spec.process.replace(env=env))
        creation.describe(spec, bundle)
        creation.run(bundle, launch.preserved_fds(options, listening))

    def path() -> str:
        from runsc_cli.platforms.placement import cgroups_path

        return cgroups_path(raw)

    return _create(context, id, platform, path, work)


def create_from(context: Context, id: str, view: View) -> Creation:
    """A container for `pysc do`: its root is made of parts of the host. On failure nothing is left."""

    def work(creation: Creation) -> None:
        creation.describe(view.spec, "/", view)
        creation.run("/", view=view)

    return _create(context, id, named(choose(context.options, warn=context.log.warning)), lambda: view.spec.linux.cgroups_path, work)


def _create(context: Context, id: str, platform: type[Platform], path: Callable[[], str], work: Callable[[Creation], None]) -> Creation:
    """`path`: what linux.cgroupsPath is, for a platform that begins before the config is checked."""
    _need_pidfds()
    store = context.store()
    if os.geteuid() != 0:
        from runsc_cli import rootless

        context.own_ids = rootless.enter(context.log.warning)
    check_id(id)
    placement = platform.placement(context, id, path)
    container = store.create(id, placement.note if placement is not None else None)
    try:
        creation = Creation(context, container, platform, placement)
    except BaseException:
        destroy(container, context.log.warning)
        raise
    try:
        work(creation)
        creation.created()
    except BaseException as e:
        complaint = creation.platform.complaint() if isinstance(e, (StageError, wire.Closed)) else ""
        creation.abort()
        if isinstance(e, (OSError, PyscError, StageError, wire.Closed)):
            from runsc_cli.requirements import explained

            raise PyscError(explained(complaint or reason(e))) from None
        raise
    return creation


def _need_pidfds() -> None:
    """Without them nothing could be taken back: look before there is anything."""
    try:
        pidfd = os.pidfd_open(os.getpid())
        try:
            signals.pidfd_send(pidfd, 0)
        finally:
            os.close(pidfd)
    except OSError as e:
        raise PyscError(f"pidfd_open(2) and pidfd_send_signal(2) (Linux 5.3) are missing here: {strerror(e)}") from None


def hand_over_console(creation: Creation, options: Options) -> None:
    """Send the terminal's master to --console-socket; a terminal without one has to be foreground."""
    if creation.console_master < 0:
        if options["console_socket"]:
            raise PyscError("--console-socket: process.terminal is false in config.json")
        return
    if not options["console_socket"]:
        raise PyscError("cannot allocate tty if runc will detach without setting console socket")
    from runsc_cli.console import send_master

    send_master(options["console_socket"], creation.console_master, "/dev/pts/0")
    os.close(creation.console_master)
