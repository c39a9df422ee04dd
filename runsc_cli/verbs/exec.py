"""`pysc exec`: another process in a running container.

A stage of its own joins the namespaces of the container's first process; what guards that one guards it too.
"""

from __future__ import annotations

import os

from runsc_cli import launch, namespaces, pid_file
from runsc_cli.cgroups import leaf
from runsc_cli.errors import PyscError
from runsc_cli.failure import reason
from runsc_cli.platforms.choice import named
from runsc_cli.stage.program import Passed, Program, Stage, StageError
from runsc_cli.state import CREATED, PAUSED, RUNNING, SECCOMP_FILE, STOPPED
from sentry.abi import CLONE_NEWUSER, CLONE_PARENT, PR_SET_DUMPABLE, PR_SET_NAME, PR_SET_PDEATHSIG
from sentry.platform import signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runsc_cli.context import Context
    from runsc_cli.exec_process import Kept
    from runsc_cli.oci.model import Process
    from runsc_cli.options import Options
    from runsc_cli.state import Container


def run(options: Options, args: list[str], context: Context) -> int:
    container = context.store().load(args[0])
    status = container.status()
    if status == STOPPED:
        raise PyscError("cannot exec in a stopped container")
    if status == PAUSED and not options["ignore_paused"]:
        raise PyscError("cannot exec in a paused container (use --ignore-paused to override)")
    if status not in (CREATED, RUNNING, PAUSED):
        raise PyscError(f"cannot exec in a {status} container")
    from runsc_cli import exec_process

    kept = exec_process.load(container)
    process = exec_process.of(options, args[1:], kept, context.log.warning)
    if process.terminal and options["detach"] and not options["console_socket"]:
        raise PyscError("cannot allocate tty if runc will detach without setting console socket")
    from runsc_cli.supervise import Signals, supervise

    if os.geteuid() != 0 and container.state.init is not None:
        from runsc_cli import rootless

        rootless.join(container.state.init.pid)
    with Signals() as signals:  # before there is a process: a signal is then for it
        execution = Execution(container, process, preserve_fds=launch.preserved_fds(options), kept=kept)
        try:
            if options["cgroup"]:
                execution.cgroups = leaf.below(container.state.cgroups, options["cgroup"])
            master = execution.run()
            if master >= 0 and options["console_socket"]:
                from runsc_cli.console import send_master

                send_master(options["console_socket"], master, "/dev/pts/0")
                os.close(master)
                master = -1
            if options["pidfd_socket"]:
                from runsc_cli.console import send_pidfd

                send_pidfd(options["pidfd_socket"], execution.stage.pid, "setns")
            if options["pid_file"]:
                pid_file.write(options["pid_file"], execution.stage.pid)
        except BaseException as e:
            execution.abort()
            if isinstance(e, (OSError, PyscError, StageError)):
                from runsc_cli.requirements import explained

                raise PyscError(explained(reason(e))) from None
            raise
        if options["detach"]:
            return 0
        return supervise(execution.stage.pid, master if master >= 0 else None, signals)


class Execution:
    """One process more in a container: the stage and what it needs."""

    __slots__ = ("_container", "_executable", "_init", "_kept", "_preserve_fds", "_process", "cgroups", "stage")

    def __init__(
        self,
        container: Container,
        process: Process,
        *,
        stdio: tuple[int, ...] = (0, 1, 2),
        preserve_fds: int = 0,
        executable: str = "",
        kept: Kept | None = None,
    ) -> None:
        """`stdio`: its descriptors 0-2, unless the process has a terminal. `executable`: what to execute instead of its args[0].

        `kept`: what the container's config says of all its processes.
        """
        init = container.state.init
        assert init is not None
        self._container = container
        self._executable = executable
        self._process = process
        self._kept = kept
        self.cgroups = container.state.cgroups
        """Those that it enters."""
        self._preserve_fds = preserve_fds
        try:
            self._init = init.open()
        except ProcessLookupError:
            raise PyscError("cannot exec in a stopped container") from None
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self.stage = Stage((null, null, null) if process.terminal else stdio, preserve_fds)
        os.close(null)

    def abort(self) -> None:
        self.stage.end()

    def run(self) -> int:
        """Up to the workload's execve(2); returns the terminal's master, or -1."""
        from runsc_cli.executable import find, root_of, with_home

        state, process, stage = self._container.state, self._process, self.stage
        assert state.init is not None
        root = root_of(state.init.pid)
        try:
            path = find(root, process.replace(args=(self._executable,)) if self._executable else process)
            process = with_home(root, process)
        finally:
            os.close(root)
        self._enter(state.init.pid)
        launch.host_settings(stage.pid, process)
        p = Program()
        master = launch.terminal(p, process, console=False) if process.terminal else None
        kept = self._kept
        if kept is not None and (kept.personality or kept.memory_policy):
            from runsc_cli import inherited

            inherited.settings(p, kept.personality, kept.memory_policy)
        cwd = launch.limits(p, process)
        guard = named(state.platform).guard_more(self._container)
        guard.append(p)
        profile = None
        if os.path.exists(self._container.path(SECCOMP_FILE)):
            from runsc_cli import seccomp

            profile = seccomp.of(self._container.dir)
        launch.identity(p, process, profile)
        listener = launch.execute(p, path, process, self._preserve_fds, -1, profile=profile)
        stage.send(p)
        console = -1
        if master is not None:
            console = stage.take_fd(stage.answer()[master.index])
            stage.proceed()
        guard.sent(stage)
        results = stage.answer()
        cwd.check(results)
        guard.take(stage, results)
        stage.proceed()
        if listener is not None:
            from runsc_cli import seccomp_agent

            given = launch.give_listener(stage, stage.answer()[listener.index])
            seccomp_agent.send(self._container, RUNNING, stage.pid, given)
            stage.proceed()
        stage.executed()
        return console

    def _enter(self, init: int) -> None:
        """Join the namespaces of the container that are not ours, and become a process of its pid namespace."""
        flags = namespaces.foreign(init)
        affinity = self._process.exec_cpu_affinity
        if affinity is not None:
            from runsc_cli import scheduling

            scheduling.pin_before(self.stage.pid, affinity)
        unit = self._container.state.unit
        if unit and not leaf.reachable(self.cgroups):
            from runsc_cli.cgroups import systemd

            systemd.attach(unit, self.stage.pid)
        p = Program()
        born = leaf.enter(p, self.cgroups)
        if born is not None:
            self.stage.fork(p, born)
            p = Program()
        if os.geteuid() == 0:  # an ordinary user would lose its own rights over the stage
            p.call("prctl", PR_SET_DUMPABLE, 0)
        p.call("prctl", PR_SET_PDEATHSIG, signals.SIGKILL)
        if self._process.apparmor_profile not in ("", "unconfined"):
            from runsc_cli import apparmor

            apparmor.on_exec(p, self._process.apparmor_profile)
        if flags:
            p.call("setns", Passed(self._init), flags, what="join the container's namespaces")
        launch.drop_groups(p)
        if flags & CLONE_NEWUSER:
            p.call("setresgid", 0, 0, 0)
            p.call("setresuid", 0, 0, 0)
        clone = p.call("clone", CLONE_PARENT | signals.SIGCHLD, 0, 0, 0, 0, fork=True)
        p.call("prctl", PR_SET_PDEATHSIG, signals.SIGKILL)
        p.call("prctl", PR_SET_NAME, b"pysc-init")
        p.call("setsid")
        self.stage.fork(p, clone)
        if affinity is not None:
            scheduling.pin_after(self.stage.pid, affinity)
