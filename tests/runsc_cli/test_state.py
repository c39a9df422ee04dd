from __future__ import annotations

import contextlib
import os
import signal
import stat
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stand_ins import stop

from runsc_cli.errors import (
    ContainerExists,
    ContainerNotFound,
    HostError,
    InvalidId,
    Locked,
    PyscError,
    StateDamaged,
)
from runsc_cli.process import Process
from runsc_cli.state import CREATED, CREATING, FIFO, RUNNING, STOPPED, Container, State, Store, check_id

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stand_ins import Spawn

    Running = Callable[..., Container]


@pytest.mark.parametrize("id", ["a", "a" * 255, "A-z_0.9+", "..a", "a..b", "-x", "..."])
def test_ids_that_runc_takes(id: str) -> None:
    assert check_id(id) == id


@pytest.mark.parametrize("id", [".", "..", "a/b", "../x", "/", "a\nb", "a b", "a@b", "é", "\0", "a" * 256, "a" * 10_000])
def test_ids_that_are_refused(id: str, store: Store) -> None:
    for act in (check_id, store.create, store.load, store.discard):
        with pytest.raises(InvalidId, match=r"^invalid container ID format$"):
            act(id)
    assert not os.path.exists(store.root)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give directories away")
@pytest.mark.parametrize("mode", [None, 0o770, 0o707])
@pytest.mark.parametrize("which", ["root", "container"])
def test_a_state_of_somebody_elses_is_not_believed(store: Store, which: str, mode: int | None) -> None:
    with store.create("web") as container:
        place = store.root if which == "root" else container.dir
    if mode is None:
        os.chown(place, 1000, 1000)
    else:
        os.chmod(place, mode)
    with pytest.raises(PyscError, match="of your own is needed"):
        store.load("web")
    if which == "root":
        with pytest.raises(PyscError, match="of your own is needed"):
            store.create("other")
        assert os.listdir(store.root) == ["web"]


def test_an_empty_id_has_a_text_of_its_own(store: Store) -> None:
    with pytest.raises(InvalidId, match=r"^container id cannot be empty$"):
        store.load("")


def test_create_leaves_a_locked_container_in_creating(store: Store) -> None:
    with store.create("web") as container:
        assert container.status() == CREATING
        assert store.load("web").status() == CREATING, "others can look meanwhile"
        with pytest.raises(Locked):
            store.load("web").lock(timeout=0)
    with store.load("web").lock(timeout=0):
        pass


def test_modes_are_runcs(store: Store) -> None:
    store.create("web").unlock()
    assert stat.S_IMODE(os.stat(store.root).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(store.load("web").dir).st_mode) == 0o711
    assert stat.S_IMODE(os.stat(store.load("web").path("state.json")).st_mode) == 0o600


def test_a_users_store_is_sticky(tmp_path: Path) -> None:
    root = str(tmp_path / "run")
    Store(root, mode=0o1700).create("web").unlock()
    assert stat.S_IMODE(os.stat(root).st_mode) == 0o1700


def test_an_id_is_taken_once(store: Store) -> None:
    store.create("web").unlock()
    with pytest.raises(ContainerExists):
        store.create("web")


def test_a_store_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HostError, match=r"^mkdir .*/file/root: not a directory$"):
        Store(str(tmp_path / "file" / "root")).create("web")


def test_what_is_saved_is_loaded(store: Store) -> None:
    with store.create("web") as container:
        state = container.state
        state.bundle, state.rootfs, state.config = "/b", "/b/rootfs", "/r/web/config.json"
        state.annotations = {"x": "y\n\u2028\udcff"}
        state.init, state.sentry, state.gofer = Process(10, 11), Process(12, 13), None
        state.platform, state.network, state.profile = "notify", "none", "strict"
        state.cgroups, state.cgroups_planned = ["/cg/a", "/cg/b"], ["/cg/c"]
        state.phase = RUNNING
        container.save()
    loaded = store.load("web").state
    for name in State.__slots__:
        assert getattr(loaded, name) == getattr(state, name), name


@given(st.text())
def test_a_state_file_of_anything_is_a_value_error_or_a_state(text: str) -> None:
    with contextlib.suppress(ValueError):
        State.decode(text)


@pytest.mark.parametrize(
    "change",
    [("phase", 7), ("init", 5), ("init", [0, 1]), ("init", [1]), ("init", ["a", "b"]), ("cgroups", None), ("id", None)],
    ids=str,
)
def test_a_field_of_the_wrong_form_is_damage(change: tuple[str, object]) -> None:
    from sentry.platform.jsontext import dumps, loads

    fields = loads(State("web").encode()) | dict([change])
    with pytest.raises(ValueError):
        State.decode(dumps(fields))


def test_fields_of_a_newer_version_are_ignored() -> None:
    from sentry.platform.jsontext import dumps, loads

    assert State.decode(dumps(loads(State("web").encode()) | {"later": 1})).id == "web"


@pytest.mark.parametrize("name", State.__slots__)
def test_what_an_earlier_version_did_not_write(name: str) -> None:
    from sentry.platform.jsontext import dumps, loads

    fields = loads(State("web").encode())
    del fields[name]
    if name in ("id", "phase", "cgroups", "init", "sentry", "gofer"):
        with pytest.raises(ValueError, match=f"^{name} is missing$"):
            State.decode(dumps(fields))
    else:
        assert getattr(State.decode(dumps(fields)), name) == getattr(State(""), name)


def test_saving_needs_the_lock(store: Store) -> None:
    with store.create("web") as container:
        pass
    with pytest.raises(RuntimeError):
        container.save()
    with pytest.raises(RuntimeError):
        container.remove()


def test_a_lock_reads_the_state_anew(store: Store) -> None:
    store.create("web").unlock()
    early = store.load("web")
    with store.load("web").lock() as other:
        other.state.bundle = "/new"
        other.save()
    with early.lock():
        assert early.state.bundle == "/new"


def test_status_follows_the_process(store: Store, running: Running) -> None:
    container = running()
    assert container.status() == RUNNING
    container.state.phase = CREATED
    assert container.status() == CREATED
    stop(container)
    assert container.status() == STOPPED


def test_a_start_that_was_killed_before_it_said_so_has_started(running: Running) -> None:
    container = running()
    container.state.phase = CREATED
    os.mkfifo(container.path(FIFO))
    waiting = os.open(container.path(FIFO), os.O_RDWR)
    assert container.status() == CREATED
    os.close(waiting)
    assert container.status() == RUNNING


def test_a_reused_pid_does_not_run(store: Store, running: Running) -> None:
    container = running()
    assert container.state.init is not None
    container.state.init.start -= 1
    assert container.status() == STOPPED


def test_a_create_that_was_killed_has_stopped(store: Store) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            store.create("web")
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    container = store.load("web")
    assert container.status() == STOPPED
    with container.lock(timeout=0):
        container.remove()
    assert os.listdir(store.root) == []


def test_the_oci_state(store: Store, running: Running) -> None:
    container = running()
    assert container.state.init is not None
    assert list(container.oci_state().items()) == [
        ("ociVersion", "1.3.0"),
        ("id", "web"),
        ("pid", container.state.init.pid),
        ("status", "running"),
        ("bundle", "/bundle"),
        ("rootfs", "/bundle/rootfs"),
        ("created", container.state.created),
        ("annotations", {"a.b": "c"}),
        ("owner", ""),
    ]
    stop(container)
    container.state.annotations = {}
    state = container.oci_state()
    assert (state["pid"], state["status"]) == (0, "stopped")
    assert "annotations" not in state


def test_list_is_sorted_and_leaves_out_what_is_no_container(store: Store) -> None:
    assert store.list() == []
    for id in ("b", "a", "c"):
        store.create(id).unlock()
    os.mkdir(f"{store.root}/half-made")
    open(f"{store.root}/file", "w").close()
    os.mkdir(f"{store.root}/not an id")
    open(store.load("c").path("state.json"), "w").close()
    problems: list[tuple[str, PyscError]] = []
    assert [c.id for c in store.list(lambda id, error: problems.append((id, error)))] == ["a", "b"]
    assert [(id, type(error)) for id, error in problems] == [("c", StateDamaged)]
    assert [c.id for c in store.list()] == ["a", "b"]


def test_a_half_made_container_does_not_exist_and_is_discarded(store: Store) -> None:
    os.makedirs(f"{store.root}/web/below")
    with pytest.raises(ContainerNotFound):
        store.load("web")
    with pytest.raises(ContainerExists):
        store.create("web")
    assert store.discard("web")
    assert not store.discard("web")
    assert os.listdir(store.root) == []


def test_a_damaged_container_is_discarded(store: Store) -> None:
    store.create("web").unlock()
    with open(f"{store.root}/web/state.json", "w") as file:
        file.write('{"id": "we')
    with pytest.raises(StateDamaged, match="delete --force"):
        store.load("web")
    assert store.discard("web")


def test_a_healthy_container_is_not_discarded(store: Store) -> None:
    store.create("web").unlock()
    assert not store.discard("web")
    store.load("web")


def test_remove_takes_all_and_follows_no_link(store: Store, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    with store.create("web") as container:
        os.symlink(outside, container.path("link"))
        os.makedirs(container.path("a/b/c"))
        os.mkfifo(container.path("a/fifo"))
        container.remove()
    assert (outside / "kept").exists()
    assert os.listdir(store.root) == []


def test_remove_that_was_interrupted_can_be_repeated(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with store.create("web") as container:
        os.mkdir(container.path("a"))
    with monkeypatch.context() as patch, store.load("web").lock() as container:
        patch.setattr(os, "rmdir", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            container.remove()
    with store.load("web").lock() as container:
        container.remove()
    assert os.listdir(store.root) == []


def test_one_of_many_that_remove_at_once_wins(store: Store) -> None:
    store.create("web").unlock()
    container = store.load("web")
    gate_out, gate_in = os.pipe()
    children = []
    for _ in range(8):
        pid = os.fork()
        if pid == 0:
            code = 2
            try:
                os.close(gate_in)
                os.read(gate_out, 1)  # until the gate is closed
                with container.lock():
                    container.remove()
                code = 0
            except ContainerNotFound:
                code = 1
            finally:
                os._exit(code)
        children.append(pid)
    os.close(gate_out)
    os.close(gate_in)
    codes = sorted(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children)
    assert codes == [0] + [1] * 7


def test_create_survives_a_delete_that_takes_it_for_half_made(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between mkdir(2) and flock(2) the directory looks like the remains of a create that died."""
    take_lock = Container._take_lock
    raced: list[bool] = []

    def racing(self: Container, timeout: float | None = None) -> None:
        if not raced:
            raced.append(True)
            assert Store(store.root).discard("web")
        take_lock(self, timeout)

    monkeypatch.setattr(Container, "_take_lock", racing)
    with store.create("web"):
        assert store.load("web").status() == CREATING
    assert raced


def test_a_lock_on_a_directory_that_was_replaced_is_taken_again(store: Store, tmp_path: Path) -> None:
    """Whoever waited for the lock of a container that was deleted and made anew gets the new one."""
    old = store.create("web")
    waiting = store.load("web")
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 2
        try:
            os.close(old.fd)  # or the child would hold the lock that it waits for
            os.write(writing, b"x")
            with waiting.lock():
                code = 0 if waiting.state.bundle == "/new" else 1
        finally:
            os._exit(code)
    os.read(reading, 1)
    os.rename(old.dir, tmp_path / "gone")
    with store.create("web") as new:
        new.state.bundle = "/new"
        new.save()
        old.unlock()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.close(reading)
    os.close(writing)


def test_unlock_releases_what_a_forked_process_still_holds(store: Store, spawn: Spawn) -> None:
    container = store.create("web")
    pid = os.fork()
    if pid == 0:
        signal.pause()
    try:
        container.unlock()
        with store.load("web").lock(timeout=0):
            pass
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_the_exit_status_is_what_was_recorded(store: Store) -> None:
    with store.create("web") as container:
        assert container.exit_status() is None
        container.record_exit(137)
        assert container.exit_status() == 137
        container.remove()
        container.record_exit(1)  # too late, and nothing to complain about
    assert os.listdir(store.root) == []
