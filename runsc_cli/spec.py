"""config.json: from the bundle's file to a checked value (config.md, bundle.md).

The file is anybody's: a directory, a FIFO, 20 MB of brackets. It is opened without blocking, read up to a bound, and whatever is
wrong with it is a SpecError that names the field.
"""

from __future__ import annotations

import os
from stat import S_ISFIFO, S_ISREG
from typing import TYPE_CHECKING, TypeVar

import msgspec

from runsc_cli.errors import HostError, PyscError, SpecError
from runsc_cli.oci.check import check, check_process
from runsc_cli.oci.model import U64_MAX, Process, Spec

if TYPE_CHECKING:
    from typing import Any

MAX_SIZE = 16 << 20
"""Bytes of a config.json; a real one has ten thousand."""

T = TypeVar("T")


class Loaded:
    """A checked config and what is to be warned of."""

    __slots__ = ("spec", "warnings")

    def __init__(self, spec: Spec, warnings: list[str]) -> None:
        self.spec = spec
        self.warnings = warnings


def load(bundle: str) -> Loaded:
    """The config of a bundle. Raises SpecError with the field's path, PyscError for the file."""
    return parse(read(os.path.join(bundle, "config.json")))


def parse(raw: bytes) -> Loaded:
    """The config that `raw` holds. Raises SpecError."""
    spec = decode(raw, Spec)
    return Loaded(spec, check(spec))


def load_process(path: str) -> Process:
    """A process alone: `exec --process FILE`, where FILE may be a pipe, as a shell's <(...) is."""
    process = decode(read(path, pipe=True), Process, "process")
    check_process(process, "process")
    return process


def read(path: str, *, pipe: bool = False) -> bytes:
    """A regular file, or with `pipe` also what comes through a FIFO until its writers close it. Raises PyscError."""
    try:
        # O_NONBLOCK: a FIFO without a writer must not hold us, nor a device
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        raise HostError("open", path, error) from None
    try:
        facts = os.fstat(fd)
        if pipe and S_ISFIFO(facts.st_mode):
            os.set_blocking(fd, True)
        elif not S_ISREG(facts.st_mode):
            raise PyscError(f"{path} is not a regular file: it has to hold JSON as `pysc spec` writes it")
        data = bytearray()
        while len(data) <= MAX_SIZE:
            piece = os.read(fd, min(max(facts.st_size, 1 << 16), MAX_SIZE) + 1)
            if not piece:
                return bytes(data)
            data += piece
    except OSError as error:
        raise HostError("read", path, error) from None
    finally:
        os.close(fd)
    raise PyscError(f"{path} is larger than {MAX_SIZE >> 20} MiB: no config is")


def decode(raw: bytes, kind: type[T], at: str = "") -> T:
    """`raw` as a value of `kind`. `at` is what the paths in errors begin with. Raises SpecError."""
    try:
        try:
            value = msgspec.json.decode(raw, type=kind)
        except msgspec.ValidationError as error:
            if "got `null`" not in str(error):
                raise
            # Go, in which every engine is written, reads null as "not given" and may write it for an empty list.
            value = msgspec.convert(_without_nulls(msgspec.json.decode(raw)), kind)
    except msgspec.ValidationError as error:
        raise _error(str(error), at) from None
    except RecursionError:
        raise SpecError(at, "nested too deep to be a config") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        text = str(error).removeprefix("JSON is malformed: ")
        raise SpecError(at, f"no JSON: {text[:1].lower()}{text[1:]}") from None
    if b"\\u0000" in raw or _long_number(raw):
        _refuse_extremes(msgspec.to_builtins(value), at)
    return value


def _long_number(raw: bytes) -> bool:
    """Whether there is a run of 20 digits, of which the model's U64 does not see that 64 bits cannot hold it."""
    digits = bytes(c if 48 <= c <= 57 else 32 for c in range(256))
    return max(map(len, raw.translate(digits).split()), default=0) >= 20


def _error(text: str, at: str) -> SpecError:
    """msgspec's "Expected `array`, got `str` - at `$.process.args`", as ours."""
    why, _, path = text.partition(" - at `")
    field = path.rstrip("`").removeprefix("$").removeprefix(".")
    if why.startswith("Object missing required field `"):
        field = f"{field}.{why.split('`')[1]}".removeprefix(".")
        why = "is missing: the specification requires it"
    # msgspec does not say which key of a map it was
    field = field.replace("[...]", "[]")
    return SpecError(".".join(filter(None, (at, field))), why[:1].lower() + why[1:].replace("`", ""))


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def _refuse_extremes(value: Any, at: str) -> None:
    """No string of a config can hold a NUL, for all become C strings; no number more than 64 bits."""
    if isinstance(value, str) and "\0" in value:
        raise SpecError(at, f"{value!r} contains a NUL character")
    if isinstance(value, int) and value > U64_MAX:
        raise SpecError(at, f"expected int <= {U64_MAX}")
    if isinstance(value, dict):
        for key, item in value.items():
            _refuse_extremes(key, at)
            _refuse_extremes(item, f"{at}.{key}".removeprefix("."))
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            _refuse_extremes(item, f"{at}[{i}]")


def default_spec(rootless: bool = False, args: list[str] | None = None) -> dict[str, Any]:
    """What `pysc spec` writes."""
    from runsc_cli.oci.default import default_spec as make

    return make(rootless, args, os.geteuid(), os.getegid())
