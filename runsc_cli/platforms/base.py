"""The seam between what every container has and what one platform adds.

runsc_cli/container.py and verbs/exec.py make containers and processes; at the points below they ask the platform, and nowhere else
is it looked at which one it is. What a platform keeps between commands is in state.json.

                      notify                                    namespace
    begin             fork the sentry, beside the leaf          -
    describe          profile, whose network                    whose network
    spaces            a user and a time namespace always        what config.json says
    filesystem        procfs and tmpfs, a generated /sys        as config.json says
    build             the gofer; what the sentry needs          a process that ends when the tree is built
    guard             the filter, its listener to the sentry    -
    let_freeze        held calls are made again                 -
    settle            the sentry has seen the last change       -
"""

from __future__ import annotations

from runsc_cli.errors import PyscError
from sentry.platform import wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from gofer.mounts import Mount
    from gofer.tree import Plan
    from runsc_cli.container import Creation
    from runsc_cli.context import Context
    from runsc_cli.enter import Spaces
    from runsc_cli.mount_options import MountOptions
    from runsc_cli.oci.model import Mount as SpecMount
    from runsc_cli.oci.model import Spec
    from runsc_cli.platforms.placement import Placement
    from runsc_cli.stage.program import Program, Stage
    from runsc_cli.state import Container


class Guard:
    """What a process is put under before it takes its identity: appended to the stage's program, where it stops to answer."""

    __slots__ = ()

    def append(self, p: Program) -> None:
        """Nothing; but stop, so that what has been done until now can be looked at."""
        p.call("getpid", answer=True)

    def sent(self, stage: Stage) -> None:
        """The stage has been sent its program, and has not answered."""

    def take(self, stage: Stage, results: list[int]) -> None:
        """The stage waits where it stopped; `results` are those of the program."""


class Platform:
    """One platform's part in one `create`."""

    __slots__ = ("creation",)

    name: str

    stage_types: tuple[str, ...] = ("proc", "mqueue")
    """File systems that belong to a namespace of the container's first process, which alone can make them."""

    trusted = False
    """The workload is taken at its word: device nodes and propagation to the host are as the config says."""

    def __init__(self, creation: Creation) -> None:
        self.creation = creation

    @staticmethod
    def placement(_context: Context, _id: str, _path: Callable[[], str]) -> Placement | None:
        """Where processes of ours live, if there are any. `_path`: linux.cgroupsPath of a config that is not checked yet. Raises PyscError."""
        return None

    def describe(self, spec: Spec, *, view: bool) -> None:
        """Fill in what the state says of the platform. `view`: of a `do`. Raises PyscError."""
        raise NotImplementedError

    def spaces(self, spec: Spec) -> Spaces:
        """The namespaces of the first process. Raises SpecError."""
        raise NotImplementedError

    def filesystem(self, mount: SpecMount, options: MountOptions, made: int, field: str) -> list[Mount]:
        """What is mounted for a mount of config.json that is no bind. `made`: by the stage, or -1. Raises SpecError."""
        raise NotImplementedError

    def build(self, spec: Spec, plan: Plan, meanwhile: Callable[[], None], *, view: bool) -> tuple[int, int]:
        """Make the tree; returns its root and the mount namespace. `meanwhile` is called when hooks can see it. Raises PyscError."""
        raise NotImplementedError

    def meanwhile(self) -> None:
        """Import what comes next: there is a CPU to spare while the kernel makes the namespaces."""
        import runsc_cli.executable  # noqa: F401

    def guard(self) -> Guard:
        """Of the first process."""
        return Guard()

    @staticmethod
    def guard_more(_container: Container) -> Guard:
        """Of a process that `exec` adds to a running container."""
        return Guard()

    @staticmethod
    def let_freeze(_container: Container) -> None:
        """The container is about to be frozen: who waits for us and not in the kernel is to be sent back. Raises PyscError."""

    def settle(self) -> None:
        """The first process has taken its identity, and waits for `start`."""

    def abort(self) -> None:
        """End what has been started."""

    def done(self) -> None:
        """The first process has ended, and nothing more will be asked."""

    def complaint(self) -> str:
        """Why a process of ours has ended early, where that is known."""
        return ""

    def report(self) -> dict[str, Any] | None:
        """What was mediated and denied; None where nothing is."""
        return None


def built(sock: wire.Socket, meanwhile: Callable[[], None], killed: str) -> tuple[dict[str, Any], list[int]]:
    """The answer of who builds the mount tree, and its descriptors. `meanwhile` is called when hooks can see the tree.

    Raises PyscError: its own reason, or `killed` if it has ended without one.
    """
    try:
        answer, fds = wire.recv(sock)
        if "shown" in answer:
            meanwhile()
            wire.send(sock, {"op": "proceed"})
            answer, fds = wire.recv(sock)
    except wire.Closed:
        raise PyscError(killed) from None
    if "error" in answer:
        raise PyscError(answer["error"])
    return answer, fds
