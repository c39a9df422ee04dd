from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from stand_ins import enter

from runsc_cli.errors import StateDamaged
from runsc_cli.process import Process
from runsc_cli.teardown import destroy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stand_ins import Spawn

    from runsc_cli.state import Container, Store


def test_destroy_ends_all_processes_and_leaves_nothing(store: Store, running: Callable[..., Container], spawn: Spawn, cgroup: str) -> None:
    sentry, gofer = spawn(), spawn()
    leaf, planned = f"{cgroup}/web", [f"{cgroup}/made", f"{cgroup}/not-yet"]
    os.makedirs(f"{leaf}/made/inside")
    os.mkdir(planned[0])
    with running().lock() as container:
        state = container.state
        assert state.init is not None
        state.sentry, state.gofer = Process.of(sentry.pid), Process.of(gofer.pid)
        state.cgroups, state.cgroups_planned = [leaf], planned
        enter(leaf, state.init.pid)
        container.save()
        destroy(container, print)
    assert not state.init.alive()
    assert sentry.wait() == gofer.wait() == -9
    assert not os.path.exists(leaf)
    assert not os.path.exists(planned[0])
    assert os.listdir(store.root) == []


def test_a_cgroup_that_was_only_planned_may_be_somebody_elses(running: Callable[..., Container], spawn: Spawn, cgroup: str) -> None:
    stranger = spawn()
    for name in ("used", "divided/below"):
        os.makedirs(f"{cgroup}/{name}")
    enter(f"{cgroup}/used", stranger.pid)
    with running().lock() as container:
        container.state.cgroups_planned = [f"{cgroup}/used", f"{cgroup}/divided"]
        container.save()
        destroy(container, print)
    assert stranger.poll() is None
    assert os.path.isdir(f"{cgroup}/divided/below")
    stranger.kill()
    stranger.wait()


def test_destroy_can_be_repeated_after_it_was_interrupted(
    store: Store, running: Callable[..., Container], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running().lock() as container:
        container.state.cgroups = [str(tmp_path / "gone")]
        container.save()
        with monkeypatch.context() as patch:
            patch.setattr(type(container), "remove", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                destroy(container, print)
    with store.load("web").lock() as container:
        destroy(container, print)
    assert os.listdir(store.root) == []


def test_destroy_spares_whoever_has_the_pid_of_a_sentry_that_died(running: Callable[..., Container], spawn: Spawn) -> None:
    stranger = spawn()
    with running().lock() as container:
        container.state.sentry = Process(stranger.pid, Process.of(stranger.pid).start - 1)
        container.save()
        destroy(container, print)
    assert stranger.poll() is None


def test_what_is_no_cgroup_is_left_alone(store: Store, running: Callable[..., Container], spawn: Spawn, tmp_path: Path) -> None:
    stranger = spawn()
    (tmp_path / "cgroup.procs").write_text(f"{stranger.pid}\n")
    with running().lock() as container:
        container.state.cgroups = [str(tmp_path)]
        container.save()
        with pytest.raises(StateDamaged, match="lies below no cgroup mount"):
            destroy(container, print)
        said: list[str] = []
        destroy(container, said.append, force=True)
    assert len(said) == 1
    assert stranger.poll() is None
    assert os.listdir(store.root) == []
