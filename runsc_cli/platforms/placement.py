"""Making the cgroup that a sentry and a gofer are born in (runsc_cli/cgroups/beside.py), by either driver: noted first, for the teardown."""

from __future__ import annotations

import os

from runsc_cli.cgroups.beside import Beside, name
from sentry.platform import signals
from sentry.platform.jsontext import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from runsc_cli.context import Context
    from runsc_cli.state import Container, State


def cgroups_path(raw: bytes) -> str:
    """linux.cgroupsPath of a config that nobody has checked yet: what is wrong with it is found when it is read in earnest."""
    if b'"cgroupsPath"' not in raw and b"\\u" not in raw:
        return ""
    try:
        path = loads(raw.decode())["linux"]["cgroupsPath"]
        return path if b"\0" not in path.encode() else ""
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return ""


class Placement:
    """Where one container's sentry and gofer are to be. Raises PyscError."""

    __slots__ = ("beside", "id", "scope")

    def __init__(self, id: str, path: str, *, by_systemd: bool) -> None:
        self.id = id
        self.scope: tuple[str, str] | None = None
        """(slice, unit), where systemd is asked."""
        self.beside: Beside | None = None
        if by_systemd:
            from runsc_cli.cgroups import systemd

            slice, unit = systemd.unit_of(path, id)
            self.scope = slice, f"{name(unit)}.scope"
        else:
            self.beside = Beside(path, id)

    def note(self, state: State) -> None:
        """What is to be removed, whatever happens; so it is saved before make()."""
        if self.scope is not None:
            state.unit_beside = self.scope[1]
        if self.beside is not None:
            state.cgroups_beside = self.beside.paths

    def make(self, container: Container) -> Callable[[], None] | None:
        """The cgroup; returns what is to be called once a process is in it. Raises PyscError."""
        if self.scope is not None:
            return self._make_scope(container, *self.scope)
        self._make(container, 0)
        return None

    def _make(self, container: Container, member: int) -> None:
        assert self.beside is not None
        with signals.Uninterrupted():
            try:
                self.beside.create(member)
            except BaseException:
                container.state.cgroups_beside = []
                raise
            self.note(container.state)

    def _make_scope(self, container: Container, slice: str, unit: str) -> Callable[[], None]:
        """systemd makes no scope but around a process: one that waits until the sentry has been born in there."""
        from runsc_cli.cgroups import systemd
        from runsc_cli.daemon import daemon

        ended, end = os.pipe2(os.O_CLOEXEC)
        holder = daemon("pysc-scope", [ended], lambda: _wait(ended))
        os.close(ended)

        def release() -> None:
            os.close(end)
            os.waitpid(holder, 0)

        asked = False
        try:
            with systemd.Systemd() as manager:
                asked = True
                group = manager.start(slice, unit, holder, systemd.description(self.id, beside=True), [])
            self.beside = Beside(group, self.id, lambda pid: systemd.attach(unit, pid))
            self.note(container.state)
            container.save()
            self._make(container, holder)
        except BaseException:
            release()
            if not asked:
                container.state.unit_beside = ""
            raise
        return release


def placement(context: Context, id: str, path: Callable[[], str]) -> Placement | None:
    """`path`: what linux.cgroupsPath is. None where containers have no cgroups. Raises PyscError."""
    if context.options["ignore_cgroups"]:
        return None
    return Placement(id, path(), by_systemd=bool(context.options["systemd_cgroup"]))


def _wait(ended: int) -> None:
    os.read(ended, 1)
