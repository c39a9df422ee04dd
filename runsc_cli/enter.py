"""The first process's way into the container's namespaces: namespaces(7), user_namespaces(7), config-linux.md#namespaces.

What is joined by path is joined first, while the stage has the caller's rights: most of them belong to the caller's user namespace. Only
if a user namespace is joined too, those that could not be are tried again from inside of it.
"""

from __future__ import annotations

import os

from runsc_cli import launch, namespaces
from runsc_cli.cgroups import leaf
from runsc_cli.errors import HostError
from runsc_cli.stage.program import Passed, Program, Result
from sentry.abi import (
    CLONE_NEWNET,
    CLONE_NEWTIME,
    CLONE_NEWUSER,
    CLONE_PARENT,
    FSCONFIG_CMD_CREATE,
    FSCONFIG_SET_FLAG,
    FSCONFIG_SET_STRING,
    FSMOUNT_CLOEXEC,
    FSOPEN_CLOEXEC,
    PR_SET_DUMPABLE,
    PR_SET_NAME,
    PR_SET_PDEATHSIG,
)
from sentry.platform import signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from runsc_cli.oci.mappings import Mappings
    from runsc_cli.oci.model import Spec
    from runsc_cli.stage.program import Stage

_LAST_ID = 0xFFFFFFFE
"""The one above is -1 to the kernel."""


class Spaces:
    """Which namespaces the first process has that are not ours."""

    __slots__ = ("flags", "joined", "mappings", "offsets", "user")

    def __init__(self, spec: Spec, flags: int = 0, leave: Iterable[str] = ()) -> None:
        """Those that `spec` asks for, but for the types in `leave`, and the new ones of `flags`."""
        self.flags = flags
        """CLONE_NEW* of those that are new."""
        self.joined: dict[str, str] = {}
        """Type -> path, in the order of the config; never the user namespace."""
        self.user = ""
        """A user namespace to join, by its path."""
        self.mappings: Mappings | None = None
        """A new user namespace, with these ids."""
        self.offsets: tuple[tuple[int, int], tuple[int, int]] | None = None
        """Of a new time namespace: seconds and nanoseconds for CLOCK_MONOTONIC and CLOCK_BOOTTIME."""
        given = spec.linux.time_offsets
        if given:
            monotonic, boottime = ((given[c].secs, given[c].nanosecs) if c in given else (0, 0) for c in ("monotonic", "boottime"))
            self.offsets = monotonic, boottime
        for ns in spec.linux.namespaces:
            if ns.type not in namespaces.FLAGS or ns.type in leave:
                continue
            if ns.path:
                self.joined[ns.type] = ns.path
            else:
                self.flags |= namespaces.FLAGS[ns.type]

    @property
    def own_user(self) -> bool:
        """The container has a user namespace that is not ours."""
        return self.mappings is not None or bool(self.user)

    @property
    def last_gid(self) -> int:
        """The highest group id that the container has, as far as we know."""
        return self.mappings.last_gid if self.mappings is not None else _LAST_ID

    def outer_gid(self, gid: int) -> int:
        """The number outside of a group of the container's, or of its highest one for what is beyond it."""
        return gid if self.mappings is None else self.mappings.host_gid(min(gid, self.last_gid)) or 0


def enter(
    stage: Stage,
    spec: Spec,
    spaces: Spaces,
    cgroups: Iterable[str],
    made: Iterable[tuple[int, str, tuple[str, ...]]],
    last_gid: int | None,
    meanwhile: Callable[[], object],
) -> dict[int, int]:
    """The stage becomes the first process. Returns the detached mounts that it has made: index in spec.mounts -> our descriptor.

    `made`: (index, type, options) of these. `last_gid`: set the kernel parameters, None: later. `meanwhile`: called while the kernel works.
    """
    p = Program()
    born = leaf.enter(p, cgroups)
    if os.geteuid() == 0:  # an ordinary user would lose its own rights over the stage
        p.call("prctl", PR_SET_DUMPABLE, 0)
    p.call("prctl", PR_SET_PDEATHSIG, signals.SIGKILL)
    _join(stage, p, born, spec, spaces)
    p = Program()
    if spaces.user:
        p.call("setgroups", 0, 0, may_fail=True)  # it may not be allowed in there; no group of ours is mapped then
    else:
        launch.drop_groups(p)
    if spaces.own_user:
        p.call("setresgid", 0, 0, 0)
        p.call("setresuid", 0, 0, 0)
    if spaces.flags:
        p.call("unshare", spaces.flags, what="make the container's namespaces")
    if spaces.flags & CLONE_NEWTIME and spaces.offsets is not None:
        launch.set_clocks(p, *spaces.offsets)
    clone = p.call("clone", CLONE_PARENT | signals.SIGCHLD, 0, 0, 0, 0, what="start the first process", fork=True)
    p.call("prctl", PR_SET_PDEATHSIG, signals.SIGKILL)
    p.call("prctl", PR_SET_NAME, b"pysc-init")
    p.call("setsid")
    if spaces.flags & CLONE_NEWNET:
        launch.loopback_up(p)
    if "uts" not in spaces.joined:
        launch.names(p, spec)
    mounts = {index: _filesystem(p, f"mounts[{index}]: {kind}", kind, options) for index, kind, options in made}
    if last_gid is not None:
        launch.sysctls(p, spec, mounts, last_gid)
    child = stage.fork(p, clone, meanwhile)
    fds = {index: stage.take_fd(child[result.index]) for index, result in mounts.items()}
    if mounts:
        p = Program()
        for result in mounts.values():
            p.call("close", child[result.index])
        stage.run(p)
    return fds


def _join(stage: Stage, p: Program, born: Result | None, spec: Spec, spaces: Spaces) -> None:
    """Run `p` to the end of its way into what exists, and of a new user namespace the map of its ids."""
    fds = {kind: _open(path) for kind, path in (spaces.joined | ({"user": spaces.user} if spaces.user else {})).items()}
    tries = {kind: _setns(p, kind, spaces.joined[kind], fds[kind], may_fail=bool(spaces.user)) for kind in spaces.joined}
    if spaces.user:
        p.call("setns", Passed(fds["user"]), CLONE_NEWUSER, what=f"join the user namespace {spaces.user!r}")
    else:
        _set_up(p, spec, spaces, fds)
    if spaces.mappings is not None:
        p.call("unshare", CLONE_NEWUSER, what="make a user namespace")
    results = stage.run(p) if born is None else stage.fork(p, born)
    again = Program()
    for kind, tried in tries.items():
        if results[tried.index] < 0:
            _setns(again, kind, spaces.joined[kind], fds[kind])
    if spaces.user:
        _set_up(again, spec, spaces, fds)
    if again:
        stage.run(again)
    for fd in fds.values():
        os.close(fd)
    if spaces.mappings is not None:
        spaces.mappings.write(stage.pid)


def _set_up(p: Program, spec: Spec, spaces: Spaces, fds: Mapping[str, int]) -> None:
    """What is set in the namespaces that are joined, when all of them are."""
    if spaces.joined:
        from runsc_cli.joined import set_up

        set_up(p, spec, spaces, fds)


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as e:
        raise HostError("open", path, e) from None


def _setns(p: Program, kind: str, path: str, fd: int, *, may_fail: bool = False) -> Result:
    return p.call("setns", Passed(fd), namespaces.FLAGS[kind], what=f"join the {kind} namespace {path!r}", may_fail=may_fail)


def _filesystem(p: Program, what: str, kind: str, options: tuple[str, ...]) -> Result:
    """fsopen(2) to fsmount(2)."""
    context = p.call("fsopen", kind.encode(), FSOPEN_CLOEXEC, what=what)
    for option in options:
        key, eq, value = option.partition("=")
        if eq:
            p.call("fsconfig", context, FSCONFIG_SET_STRING, key.encode(), value.encode(), 0, what=what)
        else:
            p.call("fsconfig", context, FSCONFIG_SET_FLAG, key.encode(), 0, 0, what=what)
    p.call("fsconfig", context, FSCONFIG_CMD_CREATE, 0, 0, 0, what=what)
    mount = p.call("fsmount", context, FSMOUNT_CLOEXEC, 0, what=what)
    p.call("close", context)
    return mount
