from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest

from runsc_cli.version import SPEC_VERSION, VERSION

if TYPE_CHECKING:
    from stand_ins import Pysc


@pytest.mark.parametrize("argv", [["version"], ["--version"], ["-v"]], ids=str)
def test_the_form_is_runcs(argv: list[str], pysc: Pysc) -> None:
    first, *lines = pysc(*argv).out.splitlines()
    assert first == f"pysc version {VERSION}"
    assert lines[0] == f"spec: {SPEC_VERSION}"
    assert all(re.fullmatch(r"\w+: \S+", line) for line in lines)


def test_the_version_is_the_distributions() -> None:
    path = os.path.join(os.path.dirname(__file__), *[os.pardir] * 3, "pyproject.toml")
    if not os.path.exists(path):
        pytest.skip("no pyproject.toml beside the tests")
    import tomllib

    with open(path, "rb") as file:
        project = tomllib.load(file)["project"]
    if "version" in project.get("dynamic", []):
        pytest.skip("the distribution takes its version from runsc_cli.version")
    assert project["version"] == VERSION
