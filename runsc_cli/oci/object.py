"""JSON objects as immutable values of declared classes: types and widths are checked, and an error names the place.

    class Box(Object):
        height: U32
        width: U32 = 80

    Box.of({"height": 25})          # Box(height=25)
    Box.of({"height": -1})          # Mismatch: height: expected int >= 0

Annotations are read as text, from a small language: bool, str, Any, the integers of INTEGERS, an Object's name, tuple[X, ...],
dict[str, X], and X | None. A field without a default is required. null is absence, as in Go, in which every engine is
written; names that are not declared are ignored, as the OCI specification demands.

Libraries do this, and more; importing one takes as long as runc takes for a whole container (docs/dependencies.md).
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self, TypeAlias, dataclass_transform

    Reader: TypeAlias = Callable[[Any], Any]
else:

    def dataclass_transform(**_options):
        """typing.dataclass_transform(), which is for the type checker alone."""
        return lambda cls: cls


INTEGERS = {
    "U16": (0, 0xFFFF),
    "U32": (0, 0xFFFFFFFF),
    "U64": (0, (1 << 64) - 1),
    "I32": (-(1 << 31), (1 << 31) - 1),
    "I64": (-(1 << 63), (1 << 63) - 1),
}
U16 = int
U32 = int
U64 = int
I32 = int
I64 = int

_JSON = {bool: "bool", int: "int", float: "float", str: "str", list: "array", dict: "object", type(None): "null"}


class Mismatch(Exception):
    """A value is not of its declared type. `path` is where, as in "linux.namespaces[0].type"; `why` is in lower case."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why
        self._steps: list[str] = []

    def below(self, step: str) -> Mismatch:
        """Called from the inside out."""
        self._steps.append(step)
        return self

    @property
    def path(self) -> str:
        return "".join(reversed(self._steps)).removeprefix(".")


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Object:
    """Only what was given is in an instance's dictionary: a default is its class's attribute."""

    _spelling: dict[str, str] = {}
    _fields: dict[str, tuple[str, Reader]]
    _required: tuple[tuple[str, str], ...]

    def __init__(self, **values: Any) -> None:
        unknown = values.keys() - type(self).__annotations__.keys()
        if unknown:
            raise TypeError(f"{type(self).__name__} has no {', '.join(sorted(unknown))}")
        self.__dict__.update(values)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name, None) == getattr(other, name, None) for name in type(self).__annotations__)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.__dict__.items())})"

    def replace(self, **changes: Any) -> Self:
        """A copy with some values changed."""
        return type(self)(**{**self.__dict__, **changes})

    def plain(self) -> dict[str, Any]:
        """The JSON value that of() makes it from; what is a default is left out."""
        return {self.spell(name): _plain(value) for name, value in self.__dict__.items()}

    @classmethod
    def of(cls, value: Any) -> Self:
        """What a decoded JSON value denotes. Raises Mismatch."""
        if type(value) is not dict:
            raise _mismatch("object", value)
        if "_fields" not in cls.__dict__:
            cls._declare()
        made = cls.__new__(cls)
        found = made.__dict__
        for name, (attribute, read) in cls._fields.items():
            item = value.get(name)
            if item is not None:
                try:
                    found[attribute] = read(item)
                except Mismatch as e:
                    raise e.below(f".{name}") from None
        for attribute, name in cls._required:
            if attribute not in found:
                raise Mismatch("is missing: the specification requires it").below(f".{name}")
        return made

    @classmethod
    def _declare(cls) -> None:
        """Read the annotations, once and only for classes that occur."""
        scope = sys.modules[cls.__module__].__dict__
        fields = {}
        required = []
        for attribute, kind in cls.__annotations__.items():
            name = cls.spell(attribute)
            fields[name] = (attribute, _reader(kind, scope))
            if not hasattr(cls, attribute):
                required.append((attribute, name))
        cls._fields = fields
        cls._required = tuple(required)

    @classmethod
    def spell(cls, attribute: str) -> str:
        """The name in JSON: in camel case, or as _spelling has it."""
        first, *rest = attribute.split("_")
        return cls._spelling.get(attribute) or first + "".join(map(str.capitalize, rest))


def _plain(value: Any) -> Any:
    if isinstance(value, Object):
        return value.plain()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _mismatch(wanted: str, value: Any) -> Mismatch:
    return Mismatch(f"expected {wanted}, got {_JSON[type(value)]}")


def _reader(kind: str, scope: dict[str, Any]) -> Reader:
    """The function that checks and converts a value for the annotation `kind`; names are looked up in `scope`."""
    kind = kind.removesuffix(" | None")
    if kind in _known:
        return _known[kind]
    alternative, bar, rest = kind.partition(" | ")
    if bar:
        return _either(_reader(alternative, scope), _reader(rest, scope))
    if kind in INTEGERS:
        made = _integer(*INTEGERS[kind])
    elif kind.startswith("tuple["):
        made = _array(_reader(kind[6:].removesuffix(", ...]"), scope))
    elif kind.startswith("dict[str, "):
        made = _map(_reader(kind[10:-1], scope))
    else:
        of: Reader = scope[kind].of
        return of
    if "[" not in kind or kind == "tuple[str, ...]":
        _known[kind] = made
    return made


def _string(value: Any) -> str:
    if type(value) is not str:
        raise _mismatch("str", value)
    return value


def _boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise _mismatch("bool", value)
    return value


_known: dict[str, Reader] = {"str": _string, "bool": _boolean, "Any": lambda value: value}


def _integer(low: int, high: int) -> Reader:
    def read(value: Any) -> int:
        if type(value) is not int:
            raise _mismatch("int", value)
        if value < low:
            raise Mismatch(f"expected int >= {low}")
        if value > high:
            raise Mismatch(f"expected int <= {high}")
        return value

    return read


def _array(item: Reader) -> Reader:
    def read(value: Any) -> tuple[Any, ...]:
        if type(value) is not list:
            raise _mismatch("array", value)
        out = []
        for each in value:
            try:
                out.append(item(each))
            except Mismatch as e:
                raise e.below(f"[{len(out)}]") from None
        return tuple(out)

    return read


def _map(item: Reader) -> Reader:
    def read(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise _mismatch("object", value)
        out = {}
        for key, each in value.items():
            if each is not None:
                try:
                    out[key] = item(each)
                except Mismatch as e:
                    raise e.below(f"[{key!r}]") from None
        return out

    return read


def _either(first: Reader, second: Reader) -> Reader:
    def read(value: Any) -> Any:
        try:
            return first(value)
        except Mismatch:
            return second(value)

    return read
