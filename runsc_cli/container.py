"""create, start, run: a container from config.json to its first process, and what is left when a step fails.

Who does what (docs/design.md, "Start-up"): the sentry is forked first, so that it imports while config.json is read; the stage
enters the namespaces; the gofer builds the mount tree; then the sentry gets its descriptors, the stage installs the filter, hands over
the listener, and waits on a FIFO for `start`. Every process of ours watches another one: whichever is killed
at whatever moment, the rest ends, and `delete --force` finds in the state file what it has to remove.
"""

from __future__ import annotations

import errno
import os

from gofer import server
from runsc_cli import clocks, launch, namespaces
from runsc_cli.capabilities import mask
from runsc_cli.cgroups import devices, leaf
from runsc_cli.control import SOCKET
from runsc_cli.daemon import daemon
from runsc_cli.errors import AlreadyRunning, HasStopped, HostError, PyscError, strerror
from runsc_cli.process import Process
from runsc_cli.stage.program import Passed, Program, Stage, StageError
from runsc_cli.state import CREATED, FIFO, HOOKS_FILE, RUNNING, STOPPED
from runsc_cli.teardown import destroy
from sentry.abi import (
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWUSER,
    CLONE_PARENT,
    FSCONFIG_CMD_CREATE,
    FSCONFIG_SET_FLAG,
    FSCONFIG_SET_STRING,
    FSMOUNT_CLOEXEC,
    FSOPEN_CLOEXEC,
    O_PATH,
    PR_SET_NAME,
    PR_SET_PDEATHSIG,
)
from sentry.devices import READ, WRITE, Rule
from sentry.platform import signals, wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from runsc_cli.cgroups.driver import Cgroup
    from runsc_cli.context import Context
    from runsc_cli.do_view import View
    from runsc_cli.oci.mappings import Mappings
    from runsc_cli.oci.model import Spec
    from runsc_cli.options import Options
    from runsc_cli.state import Container

_SHOWN = ("memory", "cpu", "cpuacct", "cpuset", "")
"""The hierarchies, version 2's last, by which /proc tells the container what it has."""

_PATIENCE = 60
"""Seconds that an answer of the sentry may take: milliseconds, unless the machine is very busy or somebody has stopped it."""


class Creation:
    """One `create`: what it has made so far, so that `abort` can take it back."""

    __slots__ = (
        "_sentry_sock",
        "born",
        "cgroup",
        "console_master",
        "container",
        "context",
        "gofer_pid",
        "init_pidfd",
        "mappings",
        "mntns",
        "root",
        "sentry_pid",
        "stage",
    )

    def __init__(self, context: Context, container: Container) -> None:
        self.context = context
        self.container = container
        self.born = 0
        """The second of CLOCK_BOOTTIME at which the container's clocks begin."""
        self.console_master = -1
        self.cgroup: Cgroup | None = None
        self.gofer_pid = -1
        self.init_pidfd = -1
        self.mappings: Mappings | None = None
        self.mntns = -1
        self.root = -1
        self.stage: Stage | None = None
        self.sentry_pid, self._sentry_sock = self._fork_sentry()

    def _fork_sentry(self) -> tuple[int, wire.Socket]:
        ours, theirs = wire.pair()
        debug = self.context.options["debug"]

        def work() -> None:
            ours.detach()
            from sentry import boot

            boot.run(theirs)

        pid = daemon("pysc-sentry", [theirs.fileno(), *([2] if debug else [])], work)
        theirs.close()
        return pid, ours

    def abort(self) -> None:
        """Take back whatever exists. Must not raise for what is gone already."""
        if self.stage is not None:
            self.stage.end()
        for pid in (self.gofer_pid, self.sentry_pid):
            if pid > 0:
                try:
                    os.kill(pid, signals.SIGKILL)
                    os.waitpid(pid, 0)
                except (ProcessLookupError, ChildProcessError):
                    continue
        destroy(self.container, self.warn)

    def warn(self, text: str) -> None:
        self.context.log.warning(text)

    def run(self, spec: Spec, bundle: str, preserve_fds: int = 0, view: View | None = None) -> None:
        """Everything up to the stage waiting on the FIFO. `view`: the root of a `do` in place of a rootfs."""
        tty = spec.process.terminal
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self.stage = stage = Stage((null, null, null) if tty else (0, 1, 2), preserve_fds)
        os.close(null)
        state = self.container.state
        state.sentry = Process.of(self.sentry_pid)
        from runsc_cli import exec_process

        exec_process.save(self.container, spec)
        if spec.hooks.__dict__:
            from runsc_cli import hooks

            hooks.save(self.container, spec)
        self._join_cgroup(spec)
        userns, mount_fds = self._enter_namespaces(spec)
        self.init_pidfd = os.pidfd_open(stage.pid)
        state.init = Process.of(stage.pid)
        if spec.linux.net_devices:
            from runsc_cli import net_devices

            net_devices.move(spec, stage.pid)
        self._build(spec, bundle, userns, mount_fds, view)
        os.close(userns)
        fifo = self._fifo()
        try:
            self._finish_stage(spec, preserve_fds, fifo, init=view is not None)
        finally:
            os.close(fifo)

    def describe(self, spec: Spec, bundle: str, view: View | None = None) -> None:
        """Put into the state what does not depend on processes."""
        options, state = self.context.options, self.container.state
        state.bundle = bundle
        state.rootfs = os.path.abspath(os.path.join(bundle, spec.root.path))
        state.annotations = dict(spec.annotations)
        state.platform = "notify"
        state.network = options["network"] or ("host" if view is None else "none")
        if state.network == "sandbox":
            raise PyscError("--network sandbox is not there yet: choose host (the config's network namespace) or none")
        if state.network == "host" and _is_our_network(spec):
            state.network = "shared"
        state.profile = options["profile"] or "standard"

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
        self.cgroup = driver.plan(path, self.container.id, spec.linux.resources)
        self.cgroup.member = self.stage.pid if self.stage is not None else 0
        # Among those whose members a teardown kills only once they are known to be ours.
        state = self.container.state
        state.cgroups_planned = list(self.cgroup.paths.values())
        self.container.save()
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
        with systemd.Systemd() as manager:
            self.container.state.unit = unit  # before it exists: whatever happens, it is stopped
            self.container.save()
            return manager.start(slice, unit, self.stage.pid, f"pysc container {self.container.id}", limits)

    def _enter_namespaces(self, spec: Spec) -> tuple[int, dict[int, int]]:
        """Returns the user namespace and the detached mounts that the stage has made: index in spec.mounts -> our descriptor."""
        from runsc_cli.mount_plan import stage_mounts
        from runsc_cli.oci.mappings import user_namespace_mappings

        stage = self.stage
        assert stage is not None
        p = Program()
        born = leaf.enter(p, self.container.state.cgroups)
        p.call("prctl", PR_SET_PDEATHSIG, signals.SIGKILL)
        flags = CLONE_NEWNS | clocks.flag(spec)
        alone = self.container.state.network == "none"
        if alone:  # whatever network namespace the config names, or none: loopback and nothing else
            flags |= CLONE_NEWNET
        paths: list[int] = []
        for ns in spec.linux.namespaces:
            if ns.type not in namespaces.FLAGS or (alone and ns.type == "network"):
                continue
            if not ns.path:
                flags |= namespaces.FLAGS[ns.type]
                continue
            try:
                fd = os.open(ns.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            except OSError as e:
                raise HostError("open", ns.path, e) from None
            paths.append(fd)
            p.call("setns", Passed(fd), namespaces.FLAGS[ns.type], what=f"join the {ns.type} namespace {ns.path!r}")
        p.call("unshare", CLONE_NEWUSER, what="make a user namespace")
        stage.run(p) if born is None else stage.fork(p, born)
        for fd in paths:
            os.close(fd)
        self.mappings = mappings = user_namespace_mappings(spec, os.geteuid())
        for warning in mappings.warnings:
            self.warn(warning)
        mappings.write(stage.pid)
        userns = os.open(f"/proc/{stage.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)

        p = Program()
        p.call("setgroups", 0, 0)
        p.call("setresgid", 0, 0, 0)
        p.call("setresuid", 0, 0, 0)
        p.call("unshare", flags, what="make the container's namespaces")
        self.born = clocks.settings(p, spec, stage.pid)
        clone = p.call("clone", CLONE_PARENT | signals.SIGCHLD, 0, 0, 0, 0, what="start the first process", fork=True)
        p.call("prctl", PR_SET_PDEATHSIG, signals.SIGKILL)
        p.call("prctl", PR_SET_NAME, b"pysc-init")
        p.call("setsid")
        if flags & CLONE_NEWNET:
            launch.loopback_up(p)
        if spec.hostname:
            p.call("sethostname", spec.hostname.encode(), len(spec.hostname.encode()), what="hostname")
        if spec.domainname:
            p.call("setdomainname", spec.domainname.encode(), len(spec.domainname.encode()), what="domainname")
        made = {}
        for index, kind, data in stage_mounts(spec):
            what = f"mounts[{index}]: {kind}"
            context = p.call("fsopen", kind.encode(), FSOPEN_CLOEXEC, what=what)
            for option in data:
                key, eq, value = option.partition("=")
                if eq:
                    p.call("fsconfig", context, FSCONFIG_SET_STRING, key.encode(), value.encode(), 0, what=what)
                else:
                    p.call("fsconfig", context, FSCONFIG_SET_FLAG, key.encode(), 0, 0, what=what)
            p.call("fsconfig", context, FSCONFIG_CMD_CREATE, 0, 0, 0, what=what)
            made[index] = p.call("fsmount", context, FSMOUNT_CLOEXEC, 0, what=what)
            p.call("close", context)
        hooks = spec.hooks
        if not (hooks.prestart or hooks.create_runtime or hooks.create_container):
            launch.sysctls(p, spec, made, mappings.last_gid)
        child = stage.fork(p, clone, _import_the_rest)
        p = Program()
        fds = {index: stage.take_fd(child[result.index]) for index, result in made.items()}
        for result in made.values():
            p.call("close", child[result.index])
        if made:
            stage.run(p)
        return userns, fds

    def _build(self, spec: Spec, bundle: str, userns: int, from_stage: dict[int, int], view: View | None) -> None:
        """Fork the gofer, which builds the tree, then send the sentry all it needs; it answers while the stage gets its filter."""
        from runsc_cli import mount_plan

        stage = self.stage
        assert stage is not None
        init = stage.pid
        spaces = {
            kind: os.open(f"/proc/{init}/ns/{namespaces.FILES[kind]}", os.O_RDONLY | os.O_CLOEXEC)
            for kind in ("user", "mount", "network", "ipc", "uts")
        }
        procfd = _own_procfs()
        plan = server.Plan(spaces["user"], spaces["mount"], -1)
        plan.mounts = mount_plan.mounts(spec, bundle, userns, from_stage, self.warn, self.mappings)
        if view is None:
            plan.root_fd = mount_plan.rootfs(spec, bundle, userns, self.mappings, self.warn)
        else:
            plan.links = view.links
            plan.mounts = view.mounts(userns, self.warn) + plan.mounts
        if spec.linux.devices:
            from runsc_cli import device_nodes

            assert self.mappings is not None
            plan.device_tree, plan.devices = device_nodes.make(spec, self.mappings)
        plan.masked = list(spec.linux.masked_paths)
        plan.readonly = list(spec.linux.readonly_paths)
        plan.readonly_root = spec.root.readonly
        plan.root_propagation = mount_plan.PROPAGATION[spec.linux.rootfs_propagation.removeprefix("r")]
        plan.cwd = spec.process.cwd
        if spec.hooks.prestart or spec.hooks.create_runtime or spec.hooks.create_container:
            plan.show_at = self.container.state.rootfs
        gofer_sock, root, made = self._fork_gofer(plan, procfd, lambda: self._run_hooks(spec, from_stage))
        for fd in (spaces.pop("mount"), *plan.fds()):
            os.close(fd)
        self._boot_sentry(spec, spaces, procfd, gofer_sock, root, made, view is not None)

    def _run_hooks(self, spec: Spec, from_stage: dict[int, int]) -> None:
        """While the gofer waits. Kernel parameters come after them: they may be of an interface that a hook has made."""
        from runsc_cli import hooks

        assert self.stage is not None
        self.container.save()  # for hooks that ask who is there
        hooks.during_create(self.container, spec, self.init_pidfd)
        p = Program()
        assert self.mappings is not None
        launch.sysctls(p, spec, {index: Passed(fd) for index, fd in from_stage.items()}, self.mappings.last_gid)
        if p:
            self.stage.run(p)

    def _fork_gofer(self, plan: server.Plan, procfd: int, meanwhile: Callable[[], None]) -> tuple[wire.Socket, int, list[int]]:
        """Returns its socket, the container's root and what it has made beside. `meanwhile` is called if the plan says show_at."""
        ours, theirs = wire.pair()
        keep = [theirs.fileno(), procfd, self.init_pidfd, plan.userns, plan.mntns, *plan.fds()]
        debug = bool(self.context.options["debug"])
        if debug:
            keep.append(2)
        self.gofer_pid = daemon("pysc-gofer", keep, lambda: server.run(theirs, plan, self.init_pidfd, procfd, debug=debug))
        theirs.close()
        self.container.state.gofer = Process.of(self.gofer_pid)
        try:
            answer, fds = wire.recv(ours)
            if "shown" in answer:
                meanwhile()
                wire.send(ours, {"op": "proceed"})
                answer, fds = wire.recv(ours)
        except wire.Closed:
            raise PyscError("the gofer ended while it built the mount tree; --debug shows why") from None
        if "error" in answer:
            raise PyscError(answer["error"])
        if answer["no_fuse"]:
            self.warn(f"no FUSE here ({answer['no_fuse']}): generated files in /proc are snapshots of the moment of open")
        return ours, fds[0], fds[1:]

    def _boot_sentry(
        self, spec: Spec, spaces: dict[str, int], procfd: int, gofer: wire.Socket, root: int, made: list[int], record_missing: bool
    ) -> None:
        control = self._listen()
        for kind in ("network", "ipc", "uts"):
            if namespaces.is_ours(os.fstat(spaces[kind]), kind):
                os.close(spaces.pop(kind))  # there is nothing to join
        given = {
            "root": root,
            "procfd": procfd,
            "init": self.init_pidfd,
            "gofer": gofer.fileno(),
            "gofer_pid": os.pidfd_open(self.gofer_pid),
            "control": control.fileno(),
        }
        given.update({namespaces.FILES[kind]: fd for kind, fd in spaces.items()})
        given.update(zip(("empty", "bare_proc", "mnt", "fuse", "fuse_root"), made, strict=False))
        for name, path in self.cgroup.paths.items() if self.cgroup else ():
            if name in _SHOWN:
                given[f"cgroup:{name}"] = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        if self.context.options["debug"]:
            given["log"] = 2
        caps, resources = spec.process.capabilities, spec.linux.resources
        message = {
            "fds": list(given),
            "profile": self.container.state.profile,
            "network": self.container.state.network,
            "own_netns": self.container.state.network != "shared",
            "debug": self.context.options["debug"],
            "record_missing": record_missing,
            "no_new_privs": spec.process.no_new_privileges,
            "born": self.born,
            "bounding": mask(caps.bounding) if caps else 0,
            "devices": [rule.plain() for rule in (*_terminals(), *devices.rules(resources.devices if resources else ()))],
            "init": self.stage.pid if self.stage else 0,
        }
        try:
            wire.send(self._sentry_sock, message, list(given.values()))
        except wire.Closed:
            raise PyscError("the sentry ended while it started; --debug shows why") from None
        for name, fd in given.items():
            if name not in ("init", "gofer", "control", "root", "mnt", "log"):
                os.close(fd)
        gofer.close()
        control.close()
        self.root = root
        self.mntns = given["mnt"]

    def complaint(self) -> str:
        """What the sentry has said before it ended: with it the gofer and the stage end, and we may hear of those first."""
        from select import POLLIN, poll

        waiting = poll()
        waiting.register(self._sentry_sock.fileno(), POLLIN)
        if not waiting.poll(0):
            return ""
        try:
            answer, _ = wire.recv(self._sentry_sock)
        except wire.Closed:
            return ""
        return f"start the sentry: {answer['error']}" if "error" in answer else ""

    def _expect_ok(self, what: str) -> None:
        self._sentry_sock.settimeout(_PATIENCE)
        try:
            answer, _ = wire.recv(self._sentry_sock)
        except wire.Closed:
            raise PyscError(f"{what}: it ended early; --debug shows why") from None
        except TimeoutError:
            raise PyscError(f"{what}: no answer within {_PATIENCE} seconds") from None
        if "error" in answer:
            raise PyscError(f"{what}: {answer['error']}")

    def _listen(self) -> wire.Socket:
        sock = wire.listener()
        # by a short name: a container's directory may be longer than sun_path
        sock.bind(f"/proc/self/fd/{self.container.fd}/{SOCKET}")
        sock.listen(16)
        return sock

    def _fifo(self) -> int:
        path = self.container.path(FIFO)
        try:
            os.mkfifo(path, 0o600)
        except OSError as e:
            raise HostError("mkfifo", path, e) from None
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def _finish_stage(self, spec: Spec, preserve_fds: int, fifo: int, init: bool) -> None:
        from runsc_cli.executable import find, with_home
        from sentry.platform.filter_cache import program

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
        state = self.container.state
        bpf = program(state.profile, state.network, os.path.dirname(self.container.dir))
        listener = launch.filter_and_listener(p, bpf)
        profile = None
        if spec.linux.seccomp is not None:
            from runsc_cli import seccomp

            profile = seccomp.prepare(spec.linux.seccomp, process, self.container.dir, state.profile, state.network)
        launch.identity(p, process, profile)
        launch.execute(p, path, process, preserve_fds, fifo, init=init, profile=profile)
        stage.send(p)
        os.close(self.mntns)
        if master is not None:
            number = stage.answer()[master.index]
            self.console_master = stage.take_fd(number)
            stage.proceed()
        results = stage.answer()
        cwd.check(results)
        self._expect_ok("start the sentry")
        self.attach(launch.give_listener(stage, results[listener.index]))
        stage.proceed()
        stage.answer()
        wire.send(self._sentry_sock, {"op": "settled"})
        self._expect_ok("start the sentry")
        stage.proceed()

    def attach(self, listener: int) -> None:
        """Give the sentry a listener to serve."""
        assert self.stage is not None
        wire.send(self._sentry_sock, {"op": "attach"}, [listener])
        os.close(listener)
        self._expect_ok("attach to the sentry")

    @property
    def init(self) -> int:
        """Pid of the container's first process."""
        assert self.stage is not None
        return self.stage.pid

    def say_counts(self, report: dict[str, Any]) -> None:
        """--debug: what the sentry has mediated and denied, on stderr."""
        counts = report.get("mediated", {})
        total = sum(counts.values())
        ordered = sorted(counts.items(), key=lambda item: -item[1])
        self.warn(f"mediated {total} system calls: " + ", ".join(f"{name} {count}" for name, count in ordered))
        for kind, what, count in report.get("denied", []):
            self.warn(f"denied {kind} {what} ({count} times)")

    def report(self) -> dict[str, Any]:
        """What the sentry has counted; empty when it is gone, or has nothing to say for a while."""
        try:
            self._sentry_sock.settimeout(_PATIENCE)
            wire.send(self._sentry_sock, {"op": "report"})
            return wire.recv(self._sentry_sock)[0]
        except (wire.Closed, OSError):
            return {}


def _import_the_rest() -> None:
    """What the next steps need, ours and the gofer's: there is a CPU to spare while the kernel makes the namespaces."""
    import gofer.own_calls
    import gofer.systree  # noqa: F401
    import runsc_cli.executable  # noqa: F401
    import sentry.platform.filter_cache  # noqa: F401


def _is_our_network(spec: Spec) -> bool:
    """The container's network namespace is that in which we are. A path that cannot be looked at fails later, when it is joined."""
    namespace = spec.linux.namespace("network")
    if namespace is None or not namespace.path:
        return namespace is None
    try:
        return namespaces.is_ours(os.stat(namespace.path), "network")
    except OSError:
        return False


def _terminals() -> list[Rule]:
    """Device rules for our own terminals: the workload has them as stdio, and may name them /dev/stderr."""
    nodes = {os.fstat(fd).st_rdev for fd in range(3) if os.isatty(fd)}
    return [Rule(True, "c", os.major(node), os.minor(node), READ | WRITE) for node in nodes]


def _own_procfs() -> int:
    """A procfs of our pid namespace that shows the sentry only what it may trace anyway; the host's own where we may not mount."""
    from gofer.mounts import MountError, new_filesystem

    try:
        return new_filesystem("proc", ("hidepid=ptraceable",), "procfs for the sentry")
    except MountError:
        return os.open("/proc", O_PATH | os.O_CLOEXEC)


def start(container: Container) -> None:
    """Let a created container's process go: one byte through its FIFO; with the hooks of that moment. Raises the BadState errors."""
    status = container.status()
    if status == STOPPED:
        raise HasStopped
    if status == RUNNING:
        raise AlreadyRunning
    if status != CREATED:
        raise PyscError(f"cannot start a container in the {status} state")
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

    def work(creation: Creation) -> None:
        from runsc_cli.spec import load

        loaded = load(bundle)
        for warning in loaded.warnings:
            creation.warn(warning)
        spec = loaded.spec
        listening = launch.listening_fds()
        if listening:
            env = (*spec.process.env, f"LISTEN_FDS={listening}", "LISTEN_PID=1")
            spec = spec.replace(process=spec.process.replace(env=env))
        creation.describe(spec, bundle)
        creation.run(spec, bundle, launch.preserved_fds(options, listening))

    return _create(context, id, work)


def create_from(context: Context, id: str, view: View) -> Creation:
    """A container for `pysc do`: its root is made of parts of the host. On failure nothing is left."""

    def work(creation: Creation) -> None:
        creation.describe(view.spec, "/", view)
        creation.run(view.spec, "/", view=view)

    return _create(context, id, work)


def _create(context: Context, id: str, work: Callable[[Creation], None]) -> Creation:
    _need_pidfds()
    container = context.store().create(id)
    try:
        creation = Creation(context, container)
    except BaseException:
        container.remove()
        raise
    try:
        work(creation)
        creation.created()
    except BaseException as e:
        complaint = creation.complaint() if isinstance(e, (StageError, wire.Closed)) else ""
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


def reason(error: Exception) -> str:
    """What to say of a start that failed."""
    if isinstance(error, StageError):
        return f"unable to start container process: {error}"
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename is not None else ""
        return where + strerror(error)
    if isinstance(error, wire.Closed):
        return "a process of the container ended while it was made; --debug shows why"
    return str(error)


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
