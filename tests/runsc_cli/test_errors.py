from __future__ import annotations

import inspect
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runsc_cli import errors

# runc 1.5.1 prints these; engines match parts of them.
RUNC = {
    errors.ContainerNotFound(): ("container does not exist", 1),
    errors.ContainerExists(): ("container with given ID already exists", 1),
    errors.InvalidId(): ("invalid container ID format", 1),
    errors.NotRunning(): ("container not running", 1),
    errors.AlreadyRunning(): ("cannot start an already running container", 1),
    errors.HasStopped(): ("cannot start a container that has stopped", 1),
    errors.NotStopped("g1", "running"): ("cannot delete container g1 that is not stopped: running", 1),
    errors.UnknownSignal("BADSIG"): ('unknown signal "BADSIG"', 1),
    errors.UnknownVerb("bogus"): ("No help topic for 'bogus'\n", 3),
}


@pytest.mark.parametrize(("error", "said"), RUNC.items(), ids=lambda x: type(x).__name__)
def test_texts_and_codes_are_runcs(error: errors.PyscError, said: tuple[str, int]) -> None:
    assert (error.message, error.code) == said


def test_the_docstring_draws_the_whole_tree() -> None:
    drawn = re.findall(r"^[ |]*(?:\+-- )?(\w+)  ", errors.__doc__ or "", re.MULTILINE)
    classes = [c.__name__ for _, c in inspect.getmembers(errors, inspect.isclass) if c.__module__ == errors.__name__]
    assert sorted(drawn) == sorted(classes)


def test_a_host_error_reads_as_gos_path_error() -> None:
    error = errors.HostError("open", "/x", FileNotFoundError(2, "whatever"))
    assert error.message == "open /x: no such file or directory"


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ('a "b" \\c', r'"a \"b\" \\c"'),
        ("a\nb\tc\x01", r'"a\nb\tc\x01"'),
        ("é☃", '"é☃"'),
        (b"\xff\x80".decode(errors="surrogateescape"), r'"\xff\x80"'),
        ("\u2028\U000e0001", r'"\u2028\U000e0001"'),
    ],
)
def test_quote_is_gos_percent_q(text: str, quoted: str) -> None:
    assert errors.quote(text) == quoted


@given(st.text())
def test_a_quoted_text_is_one_printable_line(text: str) -> None:
    assert errors.quote(text).isprintable()
