"""Names of the workload on their way to a person."""

from __future__ import annotations

import pytest

from sentry.platform.text import printable


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("/usr/bin", "/usr/bin"),
        ("/Grüße/日本", "/Grüße/日本"),
        ("/\x1b]0;title\x07", "/\\x1b]0;title\\x07"),
        ("/a\nb\rc\td", "/a\\x0ab\\x0dc\\x09d"),
        ("/\udcff", "/\\udcff"),
        ("/\u202egnp.exe", "/\\u202egnp.exe"),
        ("/\x9b31m", "/\\x9b31m"),
        ("/\U000e0041", "/\\U000e0041"),
    ],
)
def test_nothing_but_text_is_left(name: str, shown: str) -> None:
    assert printable(name) == shown
    assert shown.isprintable()
