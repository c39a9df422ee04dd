"""The zygote as a service of systemd's, by the unit that `pysc install` writes."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from containers import Bundles, Pysc
from zygote import COMMAND, NEEDS

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180), *NEEDS]

SERVICE = "pysc-zygote"
UNIT = Path(f"/etc/systemd/system/{SERVICE}.service")


def said(*line: object) -> str:
    ran = subprocess.run(list(map(str, line)), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0, ran
    return ran.stdout


def told(line: str) -> list[str]:
    """The commands that install and uninstall say at their end."""
    return [each for each in line.splitlines()[-1].partition(": ")[2].split(" && ") if each.startswith("systemctl ")]


def listening() -> bool:
    return "yes  zygote" in said(COMMAND, "doctor")


def begins() -> bool:
    """systemd does not wait until all modules are loaded."""
    deadline = time.monotonic() + 60
    while not listening() and time.monotonic() < deadline:
        time.sleep(0.5)
    return listening()


@pytest.fixture
def service() -> Iterator[None]:
    for line in told(said(COMMAND, "install", "--zygote")):
        said(*line.split())
    yield
    for line in told(said(COMMAND, "uninstall", "--zygote")):
        said(*line.split())
    assert not UNIT.exists()
    assert SERVICE not in said("systemctl", "list-units", "--all", "--plain", "--no-legend")
    assert not list(UNIT.parent.glob(f"*/{UNIT.name}"))
    assert not listening()


@pytest.mark.usefixtures("service")
def test_it_does_commands_and_what_it_began_outlives_it(pysc: Pysc, bundle: Bundles) -> None:
    assert begins()
    zygote = int(said("systemctl", "show", SERVICE, "--property=MainPID", "--value"))
    made = bundle(["sh", "-c", "echo up; read line; exit 5"])
    line = [COMMAND, "--root", pysc.root, "run", "-b", str(made), pysc.id]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as command:
        assert command.stdout is not None
        assert command.stdout.readline() == "up\n"
        assert os.readlink(f"/proc/{command.pid}/exe") == str(COMMAND)  # it has not gone on alone
        said("systemctl", "restart", SERVICE)
        assert begins()
        assert not os.path.exists(f"/proc/{zygote}")
        assert command.communicate("go\n", timeout=60)[0] == ""
        assert command.returncode == 5
    assert pysc.containers() == []
