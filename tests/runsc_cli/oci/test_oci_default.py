"""`pysc spec` against runc's own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from runsc_cli.oci.default import default_spec
from runsc_cli.spec import load
from runsc_cli.version import SPEC_VERSION
from sentry.platform.jsontext import dumps

if TYPE_CHECKING:
    from pathlib import Path

OURS = {"ociVersion": SPEC_VERSION, "hostname": "pysc"}


@pytest.mark.parametrize("rootless", [False, True])
def test_it_is_runcs(tmp_path: Path, rootless: bool) -> None:
    """To the byte, but for the version of the specification and the host's name."""
    if shutil.which("runc") is None:
        pytest.skip("runc is not installed")
    version = subprocess.run(["runc", "--version"], capture_output=True, text=True, check=True).stdout.split()[2]
    if not version.startswith("1.1."):
        pytest.skip(f"runc {version} writes another default than 1.1")
    subprocess.run(["runc", "spec", *(["--rootless"] if rootless else [])], cwd=tmp_path, check=True)
    theirs = (tmp_path / "config.json").read_text()
    for name, value in OURS.items():
        theirs = theirs.replace(json.dumps(json.loads(theirs)[name]), json.dumps(value), 1)
    ours = dumps(default_spec(rootless, None, os.geteuid(), os.getegid()), indent="\t")
    assert ours.splitlines() == theirs.splitlines()


@pytest.mark.parametrize("rootless", [False, True])
def test_it_can_be_loaded(tmp_path: Path, rootless: bool) -> None:
    (tmp_path / "config.json").write_text(dumps(default_spec(rootless, None, 1000, 1000), indent="\t"))
    assert load(str(tmp_path)).warnings == []


def test_a_command_gets_no_terminal() -> None:
    process = default_spec(False, ["/bin/echo", "x"], 0, 0)["process"]
    assert (process["args"], process["terminal"]) == (["/bin/echo", "x"], False)
    process = default_spec(False, [], 0, 0)["process"]
    assert (process["args"], process["terminal"]) == (["sh"], True)
