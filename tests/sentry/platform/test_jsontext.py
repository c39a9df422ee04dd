"""The standard library's json is the oracle."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentry.platform.jsontext import dumps, loads

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_dumps_writes_what_json_writes(value: object) -> None:
    assert dumps(value) == json.dumps(value, separators=(",", ":"))
    assert dumps(value, indent="  ") == json.dumps(value, indent=2)


@given(VALUES)
def test_loads_reads_what_json_writes(value: object) -> None:
    assert loads(json.dumps(value, indent=1)) == value
    assert loads(" \n" + dumps(value) + "\t") == value


@given(st.text(alphabet='{}[]":, \n0123456789.eE+-truefalsn\\uab\x00'))
def test_loads_refuses_what_json_refuses(text: str) -> None:
    try:
        wanted = json.loads(text)
    except ValueError:
        with pytest.raises(ValueError):
            loads(text)
    else:
        assert loads(text) == wanted


@pytest.mark.parametrize("text", ["", "  ", "{", '{"a":1} x', "NaN", "[Infinity]", "[" * 100_000, '{"a"'])
def test_no_json(text: str) -> None:
    with pytest.raises(ValueError):
        loads(text)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_json_lacks_is_not_written(value: float) -> None:
    with pytest.raises(ValueError):
        dumps(value)


def test_an_object_that_json_lacks_is_not_written() -> None:
    with pytest.raises(TypeError):
        dumps({"a": object()})


@pytest.mark.parametrize("text", ['{"a', '"', '["x', '{"a":"', '"\\', '"\\u12', '{"a" 1}', "[1,", "{"])
def test_a_text_that_ends_early_where_the_standard_module_is_not_loaded(text: str) -> None:
    """The accelerator takes its exception from json.decoder, and does not import that."""
    code = "import sys\nfrom sentry.platform.jsontext import loads\ntry: loads(sys.argv[1])\nexcept ValueError as e: print(bool(str(e)))"
    done = subprocess.run([sys.executable, "-c", code, text], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
