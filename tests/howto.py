"""What `docs/engines.md` tells people to write and to type: engines of the tests are configured with it, and test_howtos.py types it."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "engines.md"


def blocks(section: str, pysc: str) -> list[str]:
    """The indented blocks below the heading that begins with `section`, with the place of the command put in. AssertionError without one."""
    found = re.search(rf"^## {re.escape(section)}.*?\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None, f"{PAGE}: no section {section!r}"
    text = re.findall(r"(?:^    [^\n]*\n|(?<=\n)\n(?=    ))+", found[1], re.MULTILINE)
    shown = [re.sub(r"^    ", "", each, flags=re.MULTILINE).strip().replace("PYSC", pysc) for each in text]
    assert shown, f"{PAGE}: nothing to type below {section!r}"
    return shown
