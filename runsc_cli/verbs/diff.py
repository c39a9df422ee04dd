"""pysc diff: what a container has changed in its root, as `docker diff` prints it; where writes go to an overlay, --overlay."""

from __future__ import annotations

import os

from runsc_cli.errors import HostError, PyscError
from runsc_cli.platforms.choice import NAMESPACE
from runsc_cli.root_diff import MAX_DEPTH, Diff, escaped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from runsc_cli.context import Context
    from runsc_cli.options import Options
    from runsc_cli.process import Process
    from runsc_cli.root_diff import Change
    from runsc_cli.state import Container

_READ = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def run(options: Options, args: list[str], context: Context) -> int:
    container = context.store().load(args[0])
    overlay = container.state.overlay
    if not overlay or "planned" in overlay:
        raise PyscError(f"container {container.id} has no overlay: what it writes is in {container.state.rootfs!r}; create it with --overlay")
    held = -1 if "dir" in overlay else _held(container)
    if os.geteuid() != 0:
        from runsc_cli import rootless

        rootless.enter(context.log.warning)
    upper = held if held >= 0 else _kept(overlay["dir"])
    # of a trusted container nothing is idmapped
    owner = _same if held < 0 or container.state.platform == NAMESPACE else _inside(container.state.gofer)
    from runsc_cli.mount_plan import detached

    lower = detached(container.state.rootfs, -1, False, context.log.warning, "root.path")
    _many_files()
    diff = Diff(owner)
    (_json if options["format"] == "json" else _lines)(diff.changes(upper, os.open(f"/proc/self/fd/{lower}", os.O_RDONLY | os.O_CLOEXEC)))
    if diff.skipped:
        context.log.warning(f"what is more than {MAX_DEPTH} directories deep is not listed: {diff.skipped} were not gone into")
    return 1 if diff.skipped else 0


def _kept(path: str) -> int:
    """The upper directory in the overlay's own."""
    from gofer.overlay import UPPER

    try:
        parent = os.open(path, _READ)
        try:
            return os.open(UPPER, _READ, dir_fd=parent)
        finally:
            os.close(parent)
    except OSError as error:
        raise HostError("open", path, error) from None


def _held(container: Container) -> int:
    """The upper directory of a tmpfs, which only the container's gofer has still, or who has built the tree of a trusted one."""
    gofer = container.state.gofer
    path = f"/proc/{gofer.pid if gofer is not None else 0}/fd/{container.state.overlay.get('fd', -1)}"
    gone = PyscError(f"container {container.id} has ended: what it has written to memory has gone with it; --overlay dir=PATH keeps it")
    if gofer is None or not gofer.alive():
        raise gone
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        if not gofer.alive():
            raise gone from None
        raise HostError("open", path, error) from None
    if not gofer.alive():  # somebody else's, who has its pid now
        os.close(fd)
        raise gone
    return fd


def _same(uid: int, gid: int) -> tuple[int, int]:
    return uid, gid


def _inside(process: Process | None) -> Callable[[int, int], tuple[int, int]]:
    """From what a file belongs to for us to what it belongs to in the container; that is what the rootfs has, which is idmapped."""
    from runsc_cli import directory

    maps = []
    for name in ("uid_map", "gid_map"):
        text = directory.read(f"/proc/{process.pid if process is not None else 0}/{name}")
        maps.append([tuple(map(int, line.split())) for line in text.splitlines()])

    def owner(uid: int, gid: int) -> tuple[int, int]:
        return _translate(maps[0], uid), _translate(maps[1], gid)

    return owner


def _translate(lines: list[tuple[int, ...]], id: int) -> int:
    return next((first + id - outside for first, outside, count in lines if outside <= id < outside + count), id)


def _many_files() -> None:
    """Two descriptors for each level of a tree."""
    from resource import RLIMIT_NOFILE, getrlimit, setrlimit

    hard = getrlimit(RLIMIT_NOFILE)[1]
    setrlimit(RLIMIT_NOFILE, (hard, hard))


def _lines(changes: Iterable[Change]) -> None:
    for kind, path in changes:
        print(f"{kind} {escaped(path)}")


def _json(changes: Iterable[Change]) -> None:
    """One array, an object a line; bytes of a name that are no UTF-8 are lone surrogates, as Python has them."""
    from sentry.platform.jsontext import dumps

    before = "["
    for kind, path in changes:
        print(before + dumps({"kind": kind, "path": path}), end="")
        before = ",\n"
    print("]" if before != "[" else "[]")
