"""The tests' own protocol buffers, beside bytes from the encoding's documentation."""

from __future__ import annotations

import protobuf
import pytest

INNER = {"a": (1, int)}
SCHEMA = {
    "number": (1, int),
    "text": (2, str),
    "inner": (3, INNER),
    "list": (4, [int]),
    "yes": (5, bool),
    "labels": (6, protobuf.MAP),
    "raw": (7, bytes),
}
EMPTY = {"number": 0, "text": "", "inner": None, "list": [], "yes": False, "labels": {}, "raw": b""}


@pytest.mark.parametrize(
    ("message", "data"),
    [
        ({"number": 150}, "089601"),
        ({"text": "testing"}, "120774657374696e67"),
        ({"inner": {"a": 150}}, "1a03089601"),
        ({"number": -2}, "08feffffffffffffffff01"),
        ({"list": [1, 2], "yes": True}, "200120022801"),
        ({"labels": {"k": "v"}, "raw": b"\xff"}, "32060a016b1201763a01ff"),
    ],
)
def test_both_ways(message: dict[str, object], data: str) -> None:
    assert protobuf.encode(SCHEMA, message).hex() == data
    assert protobuf.decode(SCHEMA, bytes.fromhex(data)) == EMPTY | message


def test_packed_numbers_and_unknown_fields() -> None:
    data = bytes.fromhex("2206038e029ea705f90f0000000000000000f50f00000000")
    assert protobuf.decode(SCHEMA, data) == EMPTY | {"list": [3, 270, 86942]}


@pytest.mark.parametrize("data", ["08", "0880", "1207", "0b"])
def test_what_is_no_message(data: str) -> None:
    with pytest.raises(ValueError, match=r"varint|ends behind|wire type"):
        protobuf.decode(SCHEMA, bytes.fromhex(data))
