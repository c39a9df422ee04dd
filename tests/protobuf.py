"""Protocol buffers' wire format, for messages given as dictionaries: as much of it as the tests need to speak to a daemon.

A schema maps a field's name to its number and type: `{"name": (1, str), "tags": (2, [str]), "labels": (3, MAP), "inner": (4, {...})}`.
A type is int (and enums), bool, str, bytes, another schema, a list with one of these, or MAP (strings to strings). Integers are varints,
negative ones in 64 bits; floating point, fixed-width and zigzag fields are left out. What is not in the schema is skipped.
https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Schema = Mapping[str, tuple[int, Any]]

_VARINT, _I64, _LEN, _I32 = 0, 1, 2, 5
MAP = {"key": (1, str), "value": (2, str)}


def encode(schema: Schema, message: Mapping[str, Any]) -> bytes:
    """KeyError for a field that the schema does not have."""
    out = bytearray()
    for name, value in message.items():
        number, kind = schema[name]
        if kind is MAP:
            items, kind = [{"key": key, "value": text} for key, text in value.items()], MAP
        elif isinstance(kind, list):
            items, kind = value, kind[0]
        else:
            items = [value]
        for item in items:
            out += _field(number, kind, item)
    return bytes(out)


def _field(number: int, kind: Any, value: Any) -> bytes:
    if kind in (int, bool):
        return _varint(number << 3 | _VARINT) + _varint(int(value) & (1 << 64) - 1)
    if kind is str:
        data = value.encode()
    elif kind is bytes:
        data = value
    else:
        data = encode(kind, value)
    return _varint(number << 3 | _LEN) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode(schema: Schema, data: bytes) -> dict[str, Any]:
    """Every field of the schema is there, with its default if it was not sent; ValueError for what is no message."""
    names = {number: (name, kind) for name, (number, kind) in schema.items()}
    message = {name: _default(kind) for name, (_, kind) in schema.items()}
    for number, value in _fields(data):
        if number not in names:
            continue
        name, kind = names[number]
        if kind is MAP:
            entry = decode(MAP, value)
            message[name][entry["key"]] = entry["value"]
        elif isinstance(kind, list):
            packed = isinstance(value, bytes) and kind[0] in (int, bool)
            message[name] += [kind[0](each) for each in _varints(value)] if packed else [_value(kind[0], value)]
        else:
            message[name] = _value(kind, value)
    return message


def _default(kind: Any) -> Any:
    if kind is MAP:
        return {}
    if isinstance(kind, list):
        return []
    return kind() if isinstance(kind, type) else None


def _value(kind: Any, value: Any) -> Any:
    if kind is int:
        return value - (1 << 64) if value >> 63 else value
    if kind is bool:
        return bool(value)
    if kind is str:
        return value.decode()
    return value if kind is bytes else decode(kind, value)


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    at = 0
    while at < len(data):
        key, at = _read(data, at)
        if key & 7 == _VARINT:
            value, at = _read(data, at)
            yield key >> 3, value
            continue
        if key & 7 == _LEN:
            size, at = _read(data, at)
        elif key & 7 in (_I64, _I32):
            size = 8 if key & 7 == _I64 else 4
        else:
            raise ValueError(f"wire type {key & 7}")
        if at + size > len(data):
            raise ValueError("a field ends behind its message")
        yield key >> 3, data[at : at + size]
        at += size


def _varints(data: bytes) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _read(data, at)
        yield value


def _read(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data):
            raise ValueError("a varint without an end")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at
