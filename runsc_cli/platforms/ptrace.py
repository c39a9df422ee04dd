"""The platform `ptrace`: for kernels and outer sandboxes without user notification. The sentry traces the workload.

All else is as on `notify`. The filter returns SECCOMP_RET_TRACE, which is ENOSYS while there is no tracer, so a process has its filter
first and is seized then. The stage is not dumpable, because its memory is ours, and belongs to the host's user namespace: the sentry, which has
rights in the container's alone, may seize it only while it says that it is dumpable. Behind its filter that concerns nobody: who could
then write to its memory has as much as it has.
"""

from __future__ import annotations

import os

from runsc_cli import launch
from runsc_cli.control import ask
from runsc_cli.errors import PyscError
from runsc_cli.platforms.base import Guard
from runsc_cli.platforms.choice import PTRACE
from runsc_cli.platforms.notify import Notify, given_from_outside
from sentry.abi import PR_SET_DUMPABLE
from sentry.platform import wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from runsc_cli.oci.model import Spec
    from runsc_cli.stage.program import Program, Stage
    from runsc_cli.state import Container


class Ptrace(Notify):
    """The sentry, the gofer, and the filter of the first process, which the sentry traces."""

    __slots__ = ()

    name = PTRACE

    def describe(self, spec: Spec, *, view: bool) -> None:
        options = self.creation.context.options
        for name in ("strace", "strace_syscalls", "inject"):
            if options[name]:
                raise PyscError(f"--{name.replace('_', '-')} is for the platform notify: choose that")
        if not options["directfs"]:
            raise PyscError("--directfs=false is for the platform notify: a tracer answers itself, and so has to have the files")
        super().describe(spec, view=view)

    def guard(self) -> Guard:
        return _Seized(self.creation.container, self._trace)

    @staticmethod
    def guard_more(container: Container) -> Guard:
        def attach(pid: int) -> None:
            ask(container, {"op": "seize", "pid": pid, "outside": given_from_outside()})

        return _Seized(container, attach)

    def _trace(self, pid: int) -> None:
        self._expect_ok()  # that it has booted
        wire.send(self._sentry_sock, {"op": "seize", "pid": pid})
        self._expect_ok("attach to the sentry")


class _Seized(Guard):
    """The sandbox's filter, and the sentry as the tracer."""

    __slots__ = ("_attach", "_container")

    def __init__(self, container: Container, attach: Callable[[int], None]) -> None:
        self._attach = attach
        self._container = container

    def append(self, p: Program) -> None:
        from sentry.platform.filter_cache import program

        state = self._container.state
        made = program(state.profile, state.network, os.path.dirname(self._container.dir), state.notified, traced=True)
        launch.filter_without_listener(p, made)
        p.call("prctl", PR_SET_DUMPABLE, 1, answer=True)
        p.call("prctl", PR_SET_DUMPABLE, 0)

    def take(self, stage: Stage, results: list[int]) -> None:
        self._attach(stage.pid)
