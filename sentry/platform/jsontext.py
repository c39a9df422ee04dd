"""JSON text (RFC 8259) for state files, the log and messages between our processes, without `import json`.

The standard module imports `re` and `enum`, 7 ms of the 10 that an interpreter needs to start, and every
call of an engine would pay them. Its C accelerator does the same work alone; where an interpreter lacks
that (it is optional), the standard module is used.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def loads(text: str) -> Any:
    """The value that `text` denotes; ValueError when it is no JSON, nests too deep, or more follows."""
    try:
        value, end = _scan(text, _skip_space(text, 0))
    except StopIteration as stop:
        raise ValueError(f"expecting a value at character {stop.value}") from None
    except RecursionError:
        raise ValueError("nested too deep") from None
    except SystemError:  # the accelerator looks for its exception in json.decoder and does not import it
        raise ValueError(_complaint(text)) from None
    end = _skip_space(text, end)
    if end != len(text):
        raise ValueError(f"more text follows at character {end}")
    return value


def _complaint(text: str) -> str:
    """What the standard module says of a text that is no JSON."""
    try:
        from json.decoder import JSONDecoder

        JSONDecoder().raw_decode(text, _skip_space(text, 0))
    except ImportError:  # of a process that imports nothing any more
        return "not JSON"
    except ValueError as error:
        return str(error)
    return "not JSON"


def dumps(value: Any, indent: str | None = None) -> str:
    """`value` as ASCII text: on one line without spaces, or with `indent` for each level, as Go writes it."""
    pieces: list[str] = []
    _write(pieces.append, value, indent, "\n")
    return "".join(pieces)


def _skip_space(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _write(out: Any, value: Any, indent: str | None, newline: str) -> None:
    if isinstance(value, str):
        out(_quote(value))
    elif value is None:
        out("null")
    elif isinstance(value, bool):
        out("true" if value else "false")
    elif isinstance(value, int):
        out(int.__repr__(value))
    elif isinstance(value, float):
        if value - value != 0:
            raise ValueError(f"{value!r} is not a JSON number")
        out(float.__repr__(value))
    elif isinstance(value, dict):
        _write_many(out, "{}", [(_quote(str(key)), item) for key, item in value.items()], indent, newline)
    elif isinstance(value, (list, tuple)):
        _write_many(out, "[]", [(None, item) for item in value], indent, newline)
    else:
        raise TypeError(f"{type(value).__name__} has no JSON form")


def _write_many(out: Any, brackets: str, items: list[tuple[str | None, Any]], indent: str | None, newline: str) -> None:
    if not items:
        out(brackets)
        return
    inner = newline + indent if indent is not None else ""
    colon = ": " if indent is not None else ":"
    out(brackets[0])
    comma = ""
    for key, item in items:
        out(comma + inner)
        if key is not None:
            out(key + colon)
        _write(out, item, indent, inner)
        comma = ","
    if indent is not None:
        out(newline)
    out(brackets[1])


def _choose() -> tuple[Any, Any]:
    try:
        from _json import encode_basestring_ascii, make_scanner
    except ImportError:
        from json.decoder import JSONDecoder
        from json.encoder import encode_basestring_ascii as quote

        return JSONDecoder().raw_decode, quote

    class Context:
        """What json.decoder.JSONDecoder gives to the scanner."""

        strict = True
        object_hook = None
        object_pairs_hook = None
        parse_float = float
        parse_int = int

        @staticmethod
        def parse_constant(name: str) -> Any:
            raise ValueError(f"{name} is not JSON")

    return make_scanner(Context()), encode_basestring_ascii  # type: ignore[arg-type]


_scan, _quote = _choose()
