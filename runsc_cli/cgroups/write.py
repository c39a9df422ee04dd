"""One limit: a value for a control file of a cgroup. A list of them is the plan that a config comes down to."""

from __future__ import annotations

import os
from errno import ENOENT

from runsc_cli.errors import SpecError, strerror

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Step(Protocol):
        """Something that is done to a leaf; `hierarchy` says to which, `field` of the config why."""

        __slots__ = ()

        @property
        def hierarchy(self) -> str: ...

        @property
        def field(self) -> str: ...

        def execute(self, directory: str) -> None: ...


class Write:
    """`otherwise` is done where the kernel has no such file; an `optional` one is then left out."""

    __slots__ = ("field", "file", "hierarchy", "optional", "otherwise", "value")

    def __init__(
        self,
        hierarchy: str,
        file: str,
        value: str | int,
        field: str,
        *,
        optional: bool = False,
        otherwise: Write | None = None,
    ) -> None:
        self.hierarchy = hierarchy
        self.file = file
        self.value = str(value)
        self.field = "linux.resources." + field
        self.optional = optional
        self.otherwise = otherwise

    def describe(self) -> str:
        return f"{self.hierarchy or 'unified'}: {self.file} = {self.value}"

    def execute(self, directory: str) -> None:
        """Raises SpecError with the field, the file and the kernel's reason."""
        try:
            put(f"{directory}/{self.file}", self.value)
        except OSError as e:
            if e.errno == ENOENT and self.otherwise is not None:
                self.otherwise.execute(directory)
            elif not (e.errno == ENOENT and self.optional):
                raise Refused(self.field, f"write {self.value!r} to {directory}/{self.file}: {strerror(e)}", e.errno) from None


class Refused(SpecError):
    """The kernel has refused a step with `errno`."""

    def __init__(self, path: str, why: str, errno: int | None) -> None:
        super().__init__(path, why)
        self.errno = errno


def put(path: str, value: str) -> None:
    """One write(2), which is one command to the kernel. Raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, os.fsencode(value))
    finally:
        os.close(fd)


def get(path: str) -> str:
    """A control file without the newline at its end. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        chunks = []
        while chunk := os.read(fd, 1 << 16):
            chunks.append(chunk)
    finally:
        os.close(fd)
    return os.fsdecode(b"".join(chunks)).rstrip("\n")
