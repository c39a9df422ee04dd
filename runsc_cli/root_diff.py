"""What a container has changed in its root, read from the upper directory of its overlay: the kernel's Documentation/filesystems/overlayfs.rst.

- A character device 0:0 there is a whiteout: the name is deleted. The workload can make none itself.
- A directory with user.overlay.opaque=y hides the lower one of that name: it was deleted, and made again. So what is below and not in it is
  deleted, and nothing further down is merged either.
- Anything else is added, or where the lower tree has the name, changed: its contents, type, mode, owner or attributes. A file that was opened for
  writing has been copied up, and counts as changed: nothing tells that it was not. A directory counts when it differs, or something in it does.

The tree is the workload's, and may change while it is read. Every step is taken below a descriptor, no link is followed and no file opened;
names come out as they are. It may be deeper than a path is long: what no path leads to is not listed, and `skipped` says so.
"""

from __future__ import annotations

import os
from stat import S_ISCHR, S_ISDIR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Change = tuple[str, str]

ADDED, CHANGED, DELETED = "A", "C", "D"
OPAQUE = "user.overlay.opaque"
MAX_DEPTH = 2048
"""A path has 4095 bytes at most, and each level takes two."""
_OWN = "user.overlay."
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class _Level:
    """A directory that is being listed. Owns its descriptors."""

    __slots__ = ("lower", "merged", "names", "said", "upper")

    def __init__(self, upper: int, lower: int, merged: bool, said: bool) -> None:
        """`lower`: what was of that name before, -1: no directory. `merged`: it shows through. `said`: the directory is listed."""
        self.upper = upper
        self.lower = lower
        self.merged = merged
        self.said = said
        names = set(_listed(upper))
        if not merged and lower >= 0:  # what is in the lower one alone is deleted
            names.update(_listed(lower))
        self.names = sorted(names, reverse=True)

    def close(self) -> None:
        for fd in (self.upper, self.lower):
            if fd >= 0:
                os.close(fd)


class Diff:
    """The changes of one overlay, in the order of their names, a directory before what is in it."""

    def __init__(self, owner: Callable[[int, int], tuple[int, int]]) -> None:
        """`owner`: user and group of a file in the upper tree, as the lower tree would have them."""
        self._owner = owner
        self.skipped = 0
        """How many directories were too deep to be gone into."""
        self._path: list[str] = []
        self._levels: list[_Level] = []

    def changes(self, upper: int, lower: int) -> Iterator[Change]:
        """Of the directories `upper` and `lower`, which are consumed: (kind, absolute path)."""
        differs = self._differs(upper, lower)
        self._levels.append(_Level(upper, lower, True, True))
        try:
            if differs:
                yield CHANGED, "/"
            while self._levels:
                level = self._levels[-1]
                if level.names:
                    yield from self._entry(level, level.names.pop())
                    continue
                self._levels.pop().close()
                if self._path:
                    self._path.pop()
        finally:
            while self._levels:
                self._levels.pop().close()

    def _entry(self, level: _Level, name: str) -> Iterator[Change]:
        """One name of a level. Goes into it if it is a directory: it is the last level then."""
        facts, before = _lstat(level.upper, name), _lstat(level.lower, name)
        if facts is None or (S_ISCHR(facts.st_mode) and facts.st_rdev == 0):
            if before is not None and (facts is not None or not level.merged):
                yield from self._say(DELETED, name)
            return
        if not S_ISDIR(facts.st_mode):
            yield from self._say(ADDED if before is None else CHANGED, name)
            return
        upper = _directory(level.upper, name)
        if upper < 0:
            return
        lower = _directory(level.lower, name) if before is not None and S_ISDIR(before.st_mode) else -1
        merged = level.merged and lower >= 0 and not _opaque(upper)
        kind = ADDED if before is None else ""
        if before is not None and (lower < 0 or self._differs(upper, lower)):
            kind = CHANGED
        if kind:
            yield from self._say(kind, name)
        if len(self._levels) >= MAX_DEPTH:
            self.skipped += 1
            for fd in (upper, lower):
                if fd >= 0:
                    os.close(fd)
            return
        self._path.append(name)
        self._levels.append(_Level(upper, lower, merged, bool(kind)))

    def _say(self, kind: str, name: str) -> Iterator[Change]:
        """The change of `name` in the last level, after the directories on the way that have not been listed yet."""
        for depth, level in enumerate(self._levels):
            if not level.said:
                level.said = True
                yield CHANGED, "/" + "/".join(self._path[:depth])
        yield kind, self._name(name)

    def _name(self, name: str) -> str:
        return "/" + "/".join([*self._path, name])

    def _differs(self, upper: int, lower: int) -> bool:
        """Whether a directory has another mode, owner, or attributes."""
        now, before = os.fstat(upper), os.fstat(lower)
        return (
            now.st_mode != before.st_mode
            or self._owner(now.st_uid, now.st_gid) != (before.st_uid, before.st_gid)
            or _attributes(upper) != _attributes(lower)
        )


def _listed(fd: int) -> list[str]:
    try:
        return os.listdir(fd)
    except FileNotFoundError:  # it has been removed
        return []


def _lstat(fd: int, name: str) -> os.stat_result | None:
    if fd < 0:
        return None
    try:
        return os.stat(name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _directory(fd: int, name: str) -> int:
    """-1: it is not there any more."""
    try:
        return os.open(name, _OPEN, dir_fd=fd)
    except (FileNotFoundError, NotADirectoryError):
        return -1


def _opaque(fd: int) -> bool:
    try:
        return os.getxattr(fd, OPAQUE) == b"y"
    except OSError:  # there is none, or the file system has no attributes
        return False


def _attributes(fd: int) -> dict[str, bytes]:
    """Extended attributes but overlayfs' own; of a file system without them none."""
    found = {}
    try:
        for name in os.listxattr(fd):
            if not name.startswith(_OWN):
                found[name] = os.getxattr(fd, name)
    except OSError:
        return found
    return found


def escaped(path: str) -> str:
    r"""A path on one line: what would not be printed is written as \xNN, a byte that is no UTF-8 among it, and a backslash is doubled."""
    from sentry.platform.text import printable

    if path.isprintable():
        return path.replace("\\", "\\\\")
    return "".join(f"\\x{ord(c) - 0xDC00:02x}" if "\udc80" <= c <= "\udcff" else "\\\\" if c == "\\" else printable(c) for c in path)
