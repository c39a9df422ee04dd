"""Find our own modules without a search: their byte code is where Python has put it.

A start imports some 60 modules in each of its processes. Python's finder asks each directory of sys.path, tries five kinds of file
for every name, and reads through three layers of io; here a name is a path. 60 µs a module, 2.5 ms of the 42 of a `pysc run`. What is
anywhere else, has no byte code yet, or has been edited since is left to Python: the next of sys.meta_path.

Byte code: PEP 3147 says where, importlib's _classify_pyc() and PEP 552 what its first 16 bytes are.
"""

from __future__ import annotations

import marshal
import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import MAGIC_NUMBER, SourceFileLoader
from posix import O_CLOEXEC, O_RDONLY, close, open, read, stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType, ModuleType

_OURS = ("runsc_cli", "sentry", "gofer")
_HEADER = 16
_LARGEST = 1 << 20


class _Loader(SourceFileLoader):
    """Python's own, given the code that has been read already."""

    def __init__(self, name: str, path: str, code: CodeType) -> None:
        super().__init__(name, path)
        self._code: CodeType | None = code

    def get_code(self, fullname: str) -> CodeType | None:
        code, self._code = self._code, None
        return code or super().get_code(fullname)


class Finder:
    """Of modules below `root`, a directory. For sys.meta_path."""

    def __init__(self, root: str, tag: str) -> None:
        self._root = root
        self._suffix = f".{tag}.pyc"

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """As importlib.abc.MetaPathFinder. Nothing that can go wrong is an error here: Python's finder says what is wrong."""
        if name.partition(".")[0] not in _OURS:
            return None
        place = f"{self._root}/{name.replace('.', '/')}"
        directory, _, stem = place.rpartition("/")
        return self._spec(name, directory, stem) or self._spec(name, place, "__init__", package=True)

    def _spec(self, name: str, directory: str, stem: str, *, package: bool = False) -> ModuleSpec | None:
        source, cached = f"{directory}/{stem}.py", f"{directory}/__pycache__/{stem}{self._suffix}"
        try:
            now = stat(source)
            fd = open(cached, O_RDONLY | O_CLOEXEC)
        except OSError:
            return None
        try:
            data = read(fd, _LARGEST)
        finally:
            close(fd)
        # no flags: it is as good as the source's time and size say
        expected = MAGIC_NUMBER + b"".join(
            (number & 0xFFFFFFFF).to_bytes(4, "little") for number in (0, int(now.st_mtime), now.st_size)
        )
        if data[:_HEADER] != expected or len(data) == _LARGEST:
            return None
        try:
            code = marshal.loads(memoryview(data)[_HEADER:])  # noqa: S302 (what Python would load, from the same file)
        except (EOFError, ValueError, TypeError):
            return None
        spec = ModuleSpec(name, _Loader(name, source, code), origin=source, is_package=package)
        spec.cached = cached
        spec.has_location = True
        if spec.submodule_search_locations is not None:
            spec.submodule_search_locations.append(directory)
        return spec


def install() -> None:
    """From now on. Not where the byte code is elsewhere (PYTHONPYCACHEPREFIX) or another (-O)."""
    tag = sys.implementation.cache_tag
    if tag and sys.pycache_prefix is None and not sys.flags.optimize:
        sys.meta_path.insert(0, Finder(__file__.rpartition("/")[0].rpartition("/")[0], tag))
