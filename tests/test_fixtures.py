"""The tools of the integration tests: a container runs with them, and what it leaves behind is found."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from containers import descendants, end_descendants, merge, requires, subreaper

if TYPE_CHECKING:
    from containers import Bundles, Pysc


@pytest.mark.integration
def test_a_container_runs(pysc: Pysc, bundle: Bundles) -> None:
    done = pysc("run", "-b", bundle(["sh", "-c", "hostname; exit 7"], hostname="box"), pysc.id)
    assert (done.code, done.out) == (7, "box\n"), done
    assert pysc.containers() == []


@pytest.mark.integration
def test_a_writable_root_is_a_copy(pysc: Pysc, bundle: Bundles) -> None:
    writable = bundle(["sh", "-c", "echo text > /file"], writable=True)
    pysc("run", "-b", writable, pysc.id, check=True)
    assert (writable.rootfs / "file").read_text() == "text\n"
    shared = bundle(["cat", "/file"])
    assert pysc("run", "-b", shared, pysc.id).code == 1


@pytest.mark.integration
def test_a_created_container_is_left_and_found(pysc: Pysc, bundle: Bundles) -> None:
    before = descendants()
    # not through pipes: the container's init would keep them open
    subprocess.run(pysc.argv("create", "-b", bundle(["sleep", "1000"]), pysc.id), stdout=subprocess.DEVNULL, check=True)
    names = {shown.partition(" ")[2] for pid, shown in descendants().items() if pid not in before}
    assert {"pysc-sentry", "pysc-gofer"} <= names
    assert pysc.clean() == [pysc.id]
    assert end_descendants(before) == []


def test_an_orphan_is_found_and_ended() -> None:
    before = descendants()
    subreaper(True)
    try:
        subprocess.run(["sh", "-c", "sleep 1000 & exit"], check=True)
        # by number, since it may not have called execve(2) yet
        assert len(end_descendants(before)) == 1
        assert end_descendants(before) == []
    finally:
        subreaper(False)
    assert descendants() == before


def test_configs_are_merged() -> None:
    base = {"root": {"path": "rootfs", "readonly": True}, "mounts": [1, 2]}
    assert merge(base, {"root": {"readonly": False}, "mounts": []}) == {
        "root": {"path": "rootfs", "readonly": False},
        "mounts": [],
    }
    assert merge(base, {"root": {"path": None}, "mounts": None, "hostname": "x"}) == {"root": {"readonly": True}, "hostname": "x"}
    assert base == {"root": {"path": "rootfs", "readonly": True}, "mounts": [1, 2]}


def test_a_missing_program_is_named() -> None:
    assert requires("sh").mark.args == (False,)
    mark = requires("sh", "no-such-program").mark
    assert mark.args == (True,)
    assert mark.kwargs == {"reason": "not installed: no-such-program"}
