"""Annotations `org.systemd.property.NAME: VALUE`: more properties for a container's scope, as runc and crun read them.

VALUE is GVariant's text format, https://docs.gtk.org/glib/gvariant-text-format.html, as far as systemd's properties need it: booleans,
numbers ("uint64 5000000"; without a type int32), strings in quotes, arrays of one kind, "@as []" for an empty one. A NAME that ends with
Sec and not with USec is seconds, and given to systemd in microseconds.
"""

from __future__ import annotations

from runsc_cli.errors import SpecError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from runsc_cli.cgroups.systemd import Property

PREFIX = "org.systemd.property."
_INTEGERS = {
    "byte": ("y", 0, 1 << 8), "int16": ("n", -(1 << 15), 1 << 15), "uint16": ("q", 0, 1 << 16), "int32": ("i", -(1 << 31), 1 << 31),
    "uint32": ("u", 0, 1 << 32), "int64": ("x", -(1 << 63), 1 << 63), "uint64": ("t", 0, 1 << 64),
}  # fmt: skip
_TYPES = {kind: word for word, (kind, _, _) in _INTEGERS.items()}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_DEPTH = 8


def of(annotations: Mapping[str, str]) -> list[Property]:
    """Raises SpecError."""
    out: list[Property] = []
    for key, text in annotations.items():
        if not key.startswith(PREFIX):
            continue
        name = key.removeprefix(PREFIX)
        field = f"annotations[{key!r}]"
        if not (name.isascii() and name.isalpha() and len(name) > 2):
            raise SpecError(field, f"{name!r} is no name of a property: letters, as in TimeoutStopUSec")
        try:
            kind, value = parse(text)
        except ValueError as error:
            raise SpecError(field, f"{text!r} is no value in GVariant's text format: {error}") from None
        if name.endswith("Sec") and not name.endswith("USec"):
            if kind not in _TYPES and kind != "d":
                raise SpecError(field, f"{text!r} is no number of seconds")
            micros = int(value * 1_000_000)
            if not 0 <= micros < 1 << 64:
                raise SpecError(field, f"{text!r} seconds are out of range")
            name, kind, value = f"{name[:-3]}USec", "t", micros
        out.append((name, (kind, value)))
    return out


def parse(text: str) -> tuple[str, Any]:
    """(D-Bus signature, value). Raises ValueError."""
    reader = _Reader(text)
    found = reader.value("", 0)
    reader.blank()
    if reader.at != len(text):
        raise ValueError(f"{text[reader.at :]!r} is left over")
    return found


class _Reader:
    __slots__ = ("at", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def blank(self) -> None:
        while self.text[self.at : self.at + 1] in (" ", "\t", "\n") and self.at < len(self.text):
            self.at += 1

    def value(self, kind: str, depth: int) -> tuple[str, Any]:
        """One value; of the type `kind`, if that is known."""
        self.blank()
        first = self.text[self.at : self.at + 1]
        if depth > _DEPTH or not first:
            raise ValueError("it ends early" if not first else "it is nested too deep")
        if first in "'\"":
            if kind not in ("", "s", "o", "g"):
                raise ValueError("a string where something else was said")
            return kind or "s", self.string()
        if first == "[":
            return self.array(kind, depth)
        if first == "@":
            self.at += 1
            return self.value(self.word(), depth)
        return self.plain(kind, depth)

    def word(self) -> str:
        began = self.at
        while self.at < len(self.text) and self.text[self.at] not in " \t\n,]":
            self.at += 1
        return self.text[began : self.at]

    def plain(self, kind: str, depth: int) -> tuple[str, Any]:
        word = self.word()
        if word in ("true", "false"):
            if kind not in ("", "b"):
                raise ValueError("a boolean where something else was said")
            return "b", word == "true"
        named = {"boolean": "b", "string": "s", "double": "d", "objectpath": "o", "signature": "g"}.get(word) or _INTEGERS.get(word, ("",))[0]
        if named:
            if kind not in ("", named):
                raise ValueError(f"{word} where something else was said")
            return self.value(named, depth + 1)
        if kind == "d" or (not kind and "." in word):
            return "d", float(word)
        kind = kind or "i"
        if kind not in _TYPES:
            raise ValueError(f"{word!r} is not understood")
        _, low, high = _INTEGERS[_TYPES[kind]]
        number = int(word, 0)
        if not low <= number < high:
            raise ValueError(f"{word} is out of the range of {_TYPES[kind]}")
        return kind, number

    def string(self) -> str:
        quote = self.text[self.at]
        self.at += 1
        out = []
        while (letter := self.text[self.at : self.at + 1]) != quote:
            if not letter:
                raise ValueError("a string without an end")
            if letter == "\\":
                self.at += 1
                letter = self.text[self.at : self.at + 1]
                letter = _ESCAPES.get(letter, letter)
            out.append(letter)
            self.at += 1
        self.at += 1
        return "".join(out)

    def array(self, kind: str, depth: int) -> tuple[str, Any]:
        if kind and not kind.startswith("a"):
            raise ValueError("an array where something else was said")
        inner = kind[1:]
        items: list[Any] = []
        self.at += 1
        self.blank()
        while self.text[self.at : self.at + 1] != "]":
            if items:
                if self.text[self.at : self.at + 1] != ",":
                    raise ValueError("an array without a comma or an end")
                self.at += 1
            inner, item = self.value(inner, depth + 1)
            items.append(item)
            self.blank()
        self.at += 1
        if not inner:
            raise ValueError("an empty array does not say of what: write it as @as []")
        return f"a{inner}", items
