"""The hooks of config.json at the points of a container's life (runtime.md#lifecycle), and what is kept of them between commands.

    create  prestart, createRuntime     the mount tree is built; in our own namespaces
            createContainer             likewise, but in the container's; its root is at the rootfs's own path
    start   startContainer              inside the sandbox, as the workload will be: a process as `exec` adds one
            poststart                   after the workload's execve(2)
    delete  poststop                    when everything is gone

All but those of startContainer are run outside of the sandbox with the caller's privileges, as by runc: they are the
administrator's. A failure up to poststart ends the container, one of poststop is a warning.

The specification has config.json read once, by `create`. So what later commands need is kept in the container's directory, and
where no such file is, none of this is imported.
"""

from __future__ import annotations

import os
from functools import partial

from runsc_cli import directory, namespaces
from runsc_cli.errors import PyscError
from runsc_cli.hook_process import Place, execute, spawn
from runsc_cli.oci.model import Hooks, Process
from runsc_cli.state import CREATED, CREATING, HOOKS_FILE, RUNNING, STOPPED
from sentry.abi import CLONE_NEWUSER
from sentry.platform.jsontext import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from runsc_cli.hook_process import Start
    from runsc_cli.oci.model import Hook, Spec
    from runsc_cli.state import Container


class _Ending:
    """`with _Ending(container): ...` ends the container's processes when that fails."""

    __slots__ = ("_container",)

    def __init__(self, container: Container) -> None:
        self._container = container

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        if kind is not None:
            from runsc_cli.members import kill_all

            kill_all(self._container.state)


class Later:
    """What `start` and `delete` have to run, and for startContainer the process whose identity it has."""

    __slots__ = ("_container", "_hooks", "_process")

    def __init__(self, container: Container, hooks: Hooks, process: Process) -> None:
        self._container = container
        self._hooks = hooks
        self._process = process

    def before_start(self) -> None:
        """startContainer. Raises PyscError; then the container's processes have ended, as with runc, and it can be deleted."""
        if not self._hooks.start_container:
            return
        with _Ending(self._container):
            _run("startContainer", self._hooks.start_container, self._inside, _state(self._container, CREATED, pid=1))

    def _inside(self, hook: Hook) -> Start:
        from runsc_cli.stage.program import StageError
        from runsc_cli.verbs.exec import Execution

        env = hook.env or self._process.env
        process = self._process.replace(args=hook.args or (hook.path,), env=env, terminal=False)

        def start(*stdio: int) -> int:
            execution = Execution(self._container, process, stdio=stdio, executable=hook.path)
            try:
                execution.run()
            except BaseException as error:
                execution.abort()
                if isinstance(error, StageError):
                    raise PyscError(str(error)) from None
                raise
            return execution.stage.pid

        return start

    def after_start(self) -> None:
        """poststart. Raises PyscError; then the container's processes have ended, as before_start() has it."""
        if not self._hooks.poststart:
            return
        place = Place(self._container.state.bundle)
        with _Ending(self._container):
            _run("poststart", self._hooks.poststart, partial(spawn, place=place), _state(self._container, RUNNING))

    def after_delete(self, warn: Callable[[str], None]) -> None:
        """poststop. Of the container nothing is left but what we know of it; its bundle may be gone as well."""
        bundle = self._container.state.bundle
        place = Place(bundle if os.path.isdir(bundle) else "/")
        _run("poststop", self._hooks.poststop, partial(spawn, place=place), _state(self._container, STOPPED), warn)


def save(container: Container, spec: Spec) -> None:
    """Keep what later commands need."""
    hooks = spec.hooks
    if not (hooks.start_container or hooks.poststart or hooks.poststop):
        return
    kept = Hooks(start_container=hooks.start_container, poststart=hooks.poststart, poststop=hooks.poststop)
    fd = os.open(container.path(HOOKS_FILE), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(dumps({"hooks": kept.plain(), "process": spec.process.plain()}))


def load(container: Container) -> Later:
    """What save() has kept. Raises PyscError."""
    path = container.path(HOOKS_FILE)
    from runsc_cli.oci.object import Mismatch

    try:
        raw = loads(directory.read(path))
        return Later(container, Hooks.of(raw["hooks"]), Process.of(raw["process"]))
    except (ValueError, KeyError, TypeError, Mismatch) as error:
        raise PyscError(f"{path} is damaged: {error}") from None


def during_create(container: Container, spec: Spec, pidfd: int) -> None:
    """prestart, createRuntime, createContainer. `pidfd`: the container's first process. Raises PyscError."""
    state, hooks = container.state, spec.hooks
    ours = Place(state.bundle)
    for kind, asked in (("prestart", hooks.prestart), ("createRuntime", hooks.create_runtime)):
        _run(kind, asked, partial(spawn, place=ours), _state(container, CREATING))
    if hooks.create_container:
        flags = namespaces.foreign(state.init.pid if state.init else 0)
        if os.geteuid() == 0 and spec.linux.namespace("user") is None:
            flags &= ~CLONE_NEWUSER  # what the platform has made of its own accord concerns no hook
        theirs = Place(state.rootfs, pidfd, flags)
        _run("createContainer", hooks.create_container, partial(spawn, place=theirs), _state(container, CREATING, pid=1))


def _run(
    kind: str,
    hooks: Iterable[Hook],
    how: Callable[[Hook], Start],
    state: bytes,
    warn: Callable[[str], None] | None = None,
) -> None:
    """One after the other. With `warn` a failure is told to it and the next one is run, without it is raised."""
    for i, hook in enumerate(hooks):
        try:
            execute(how(hook), state, hook.timeout)
        except (PyscError, OSError) as error:
            from runsc_cli.failure import reason

            message = f"error running {kind} hook #{i}: {reason(error)}"
            if warn is None:
                raise PyscError(f"unable to start container process: error during container init: {message}") from None
            warn(message)


def _state(container: Container, status: str, pid: int | None = None) -> bytes:
    """runtime.md#state, the specification's fields. `pid`: the first process as the hook's pid namespace knows it."""
    fields = container.oci_state(status)
    for name in ("rootfs", "created", "owner"):
        del fields[name]
    if pid is not None:
        fields["pid"] = pid
    elif not fields["pid"]:
        del fields["pid"]
    return dumps(fields).encode()
