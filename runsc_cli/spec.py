"""config.json: from the bundle's file to a checked value (config.md, bundle.md).

Whatever is wrong with it is a SpecError that names the field. config_file.py reads the file.
"""

from __future__ import annotations

import os

from runsc_cli.config_file import of_bundle, read
from runsc_cli.errors import SpecError
from runsc_cli.oci.check import check, check_process
from runsc_cli.oci.model import Process, Spec
from runsc_cli.oci.object import Mismatch
from sentry.platform.jsontext import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from runsc_cli.oci.object import Object

    O = TypeVar("O", bound=Object)

class Loaded:
    """A checked config and what is to be warned of."""

    __slots__ = ("spec", "warnings")

    def __init__(self, spec: Spec, warnings: list[str]) -> None:
        self.spec = spec
        self.warnings = warnings


def load(bundle: str, *, trusted: bool = False) -> Loaded:
    """The config of a bundle. Raises SpecError with the field's path, PyscError for the file."""
    return parse(of_bundle(bundle), trusted=trusted)


def parse(raw: bytes, *, trusted: bool = False) -> Loaded:
    """The config that `raw` holds. `trusted`: for a platform that takes it at its word. Raises SpecError."""
    spec = decode(raw, Spec)
    return Loaded(spec, check(spec, trusted=trusted))


def load_process(path: str, warn: Callable[[str], None] | None = None) -> Process:
    """A process alone: `exec --process FILE`, where FILE may be a pipe, as a shell's <(...) is."""
    process = decode(read(path, pipe=True), Process, "process")
    for warning in check_process(process, "process"):
        if warn is not None:
            warn(warning)
    return process


def decode(raw: bytes, kind: type[O], at: str = "") -> O:
    """`raw` as a value of `kind`. `at` is what the paths in errors begin with. Raises SpecError."""
    try:
        value = loads(raw.decode())
        if b"\\u" in raw:
            _refuse_characters(value, at)
        return kind.of(value)
    except Mismatch as error:
        raise SpecError(".".join(filter(None, (at, error.path))), error.why) from None
    except RecursionError:
        raise SpecError(at or "config.json", "nested too deep to be a config") from None
    except ValueError as error:
        text = str(error)
        raise SpecError(at or "config.json", f"no JSON: {text[:1].lower()}{text[1:]}") from None


def _refuse_characters(value: Any, at: str) -> None:
    """What JSON can write and no C string can hold: NUL, and half of a surrogate pair."""
    if isinstance(value, str):
        if "\0" in value:
            raise SpecError(at, f"{value!r} contains a NUL character")
        if any("\ud800" <= c <= "\udfff" for c in value):
            raise SpecError(at, f"{value!r} contains half a surrogate pair")
    elif isinstance(value, dict):
        for key, item in value.items():
            _refuse_characters(key, at)
            _refuse_characters(item, f"{at}.{key}".removeprefix(".") if key.isidentifier() else f"{at}[{key!r}]")
    elif isinstance(value, list):
        for i, item in enumerate(value):
            _refuse_characters(item, f"{at}[{i}]")


def default_spec(rootless: bool = False, args: list[str] | None = None) -> dict[str, Any]:
    """What `pysc spec` writes."""
    from runsc_cli.oci.default import default_spec as make

    return make(rootless, args, os.geteuid(), os.getegid())
