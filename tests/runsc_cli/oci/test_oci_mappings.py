"""Host ids of a container, from files of the test's own; written to a real user namespace at the end."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from configs import DEFAULT, changed
from hypothesis import given
from hypothesis import strategies as st

from runsc_cli.errors import HostError, SpecError
from runsc_cli.oci import mappings
from runsc_cli.oci.mappings import COUNT, FIRST_HOST_ID, Mappings, free_range, user_namespace_mappings
from runsc_cli.spec import parse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runsc_cli.oci.model import Spec

    Make = Callable[..., Mappings]

SPEC = parse(changed(DEFAULT, "hostname", "x")).spec
ALL = "         0          0 4294967295\n"


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """The mappings on a host whose files hold what is given."""

    def of(spec: Spec = SPEC, euid: int = 0, map: str = ALL, **files: str) -> Mappings:
        for name, text in files.items():
            (tmp_path / name).write_text(text)
        for kind in ("uid_map", "gid_map"):
            (tmp_path / kind).write_text(map)
        return user_namespace_mappings(spec, euid, str(tmp_path), str(tmp_path))

    return of


def mapped(kind: str, *lines: tuple[int, int, int]) -> dict[str, Any]:
    return {kind: [{"containerID": c, "hostID": h, "size": n} for c, h, n in lines]}


def test_root_without_any_files(make: Make) -> None:
    found = make()
    assert (found.uids, found.gids, found.helper) == ([(0, FIRST_HOST_ID, COUNT)], [(0, FIRST_HOST_ID, COUNT)], False)
    assert found.warnings == ()


def test_root_has_a_range(make: Make) -> None:
    found = make(subuid="alice:100000:65536\nroot:500000:1000000\n", subgid="0:700000:65536\n")
    assert (found.uids, found.gids) == ([(0, 500000, COUNT)], [(0, 700000, COUNT)])


def test_a_small_range_of_roots_is_used_as_it_is(make: Make) -> None:
    found = make(subuid="root:500000:10\nroot:600000:1000\n")
    assert found.uids == [(0, 600000, 1000)]
    assert found.gids == [(0, FIRST_HOST_ID, COUNT)]


def test_users_of_the_host_and_their_ranges_are_avoided(make: Make) -> None:
    found = make(
        passwd=f"root:x:0:0::/:/bin/sh\nbig:x:{FIRST_HOST_ID + 7}:7::/:/bin/sh\nbroken\n",
        group="root:x:0:\n",
        subuid=f"alice:{FIRST_HOST_ID + 100}:65536\n",
    )
    assert found.uids == [(0, FIRST_HOST_ID + 100 + 65536, COUNT)]
    # the groups of that range are alice's as well, though no file says so
    assert found.gids == [(0, FIRST_HOST_ID + 100 + 65536, COUNT)]


@pytest.mark.parametrize(
    "line",
    ["", "root", "root:1", "root:x:1", "root:1:0", "root:1:99999999999999", "root:4294967290:65536", "rööt:1:1", "root:²:1"],
)
def test_lines_that_say_nothing(make: Make, line: str) -> None:
    assert make(subuid=line + "\n").uids == [(0, FIRST_HOST_ID, COUNT)]


def test_inside_a_user_namespace_that_has_no_such_ids(make: Make) -> None:
    found = make(map="0 1000 1\n1 100000 65536\n", subuid="root:500000:65536\n")
    assert found.uids == found.gids == [(0, 0, 1), (1, 1, 65536)]
    assert found.identity
    assert found.warnings == ()


def test_inside_a_user_namespace_whose_root_is_root(make: Make) -> None:
    found = make(map="0 0 65536\n", subuid="root:500000:65536\n")
    assert found.uids == found.gids == [(0, 0, 65536)]
    assert found.warnings == (
        "no uids are left for the container: its uids are those of pysc's own user namespace",
        "no gids are left for the container: its gids are those of pysc's own user namespace",
    )


def test_inside_a_user_namespace_that_has_enough(make: Make) -> None:
    found = make(map="0 1000 1\n1 100000 1000000\n")
    assert found.uids == [(0, FIRST_HOST_ID, COUNT)]


def user(name: str = "alice") -> Callable[[int], str]:
    return lambda uid: name


def test_an_ordinary_user_with_ranges(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mappings, "_user_name", user())
    monkeypatch.setattr(mappings, "_which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(os, "getegid", lambda: 50)
    found = make(euid=1000, subuid="alice:100000:65536\n", subgid="1000:200000:5\n")
    assert found.uids == [(0, 1000, 1), (1, 100000, 65536)]
    assert found.gids == [(0, 50, 1), (1, 200000, 5)]
    assert found.helper


@pytest.mark.parametrize(("ranges", "installed"), [(False, True), (True, False)])
def test_an_ordinary_user_without(make: Make, monkeypatch: pytest.MonkeyPatch, ranges: bool, installed: bool) -> None:
    monkeypatch.setattr(mappings, "_user_name", user())
    monkeypatch.setattr(mappings, "_which", lambda name: f"/usr/bin/{name}" if installed else None)
    monkeypatch.setattr(os, "getegid", lambda: 50)
    files = {"subuid": "alice:100000:65536\n", "subgid": "alice:100000:65536\n"} if ranges else {}
    found = make(euid=1000, **files)
    assert (found.uids, found.gids, found.helper) == ([(0, 1000, 1)], [(0, 50, 1)], False)
    assert len(found.warnings) == 1


def with_own(uids: tuple[int, int, int], gids: tuple[int, int, int], **process: Any) -> Spec:
    import json

    config = json.loads(changed(DEFAULT, "linux.namespaces[5]", {"type": "user"}))
    config["linux"].update(mapped("uidMappings", uids), **mapped("gidMappings", gids))
    config["process"].update(process)
    return parse(json.dumps(config).encode()).spec


def test_the_configs_own(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = with_own((0, 5000, 100), (0, 6000, 100))
    found = make(spec, subuid="root:500000:65536\n")
    assert (found.uids, found.gids, found.helper) == ([(0, 5000, 100)], [(0, 6000, 100)], False)
    assert make(spec, euid=1000).helper
    monkeypatch.setattr(os, "getegid", lambda: 50)
    assert not make(with_own((0, 1000, 1), (0, 50, 1)), euid=1000).helper


@pytest.mark.parametrize(
    ("user", "field"),
    [
        ({"uid": 100, "gid": 0}, "process.user.uid"),
        ({"uid": 99, "gid": 100}, "process.user.gid"),
        ({"uid": 0, "gid": 0, "additionalGids": [5, 70000]}, "process.user.additionalGids[1]"),
    ],
)
def test_ids_without_a_place(make: Make, user: dict[str, Any], field: str) -> None:
    with pytest.raises(SpecError) as caught:
        make(with_own((0, 5000, 100), (0, 6000, 100), user=user))
    assert caught.value.path == field
    assert "the ids of the container are 0 to 99" in caught.value.why


def test_host_ids() -> None:
    found = Mappings([(0, 1000, 1), (1, 100000, 10)], [])
    assert [found.host_uid(uid) for uid in (0, 1, 10, 11)] == [1000, 100000, 100009, None]


ranges = st.tuples(st.integers(0, 300), st.integers(1, 60)).map(lambda r: (r[0], r[0] + r[1]))


@given(st.lists(ranges), st.lists(ranges), st.integers(0, 300), st.integers(1, 50))
def test_a_free_range_is_the_first_one(taken: list[tuple[int, int]], here: list[tuple[int, int]], first: int, count: int) -> None:
    """Against trying every start."""

    def fits(start: int) -> bool:
        inside = any(low <= start and start + count <= high for low, high in here)
        return inside and not any(low < start + count and start < high for low, high in taken)

    assert free_range(taken, here, first, count) == next(filter(fits, range(first, 400)), -1)


def _unshared() -> tuple[int, int]:
    """A child in a user namespace of its own, and the pipe whose closing ends it."""
    ready_read, ready_write = os.pipe()
    end_read, end_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        from sentry.abi import CLONE_NEWUSER
        from sentry.platform._native import lib

        os.close(end_write)
        os.write(ready_write, b"y" if lib.syscall6(272, CLONE_NEWUSER, 0, 0, 0, 0, 0) == 0 else b"n")
        os.read(end_read, 1)
        os._exit(0)
    os.close(ready_write)
    os.close(end_read)
    answer = os.read(ready_read, 1)
    os.close(ready_read)
    if answer != b"y":
        os.close(end_write)
        os.waitpid(pid, 0)
        pytest.skip("no permission to make a user namespace")
    return pid, end_write


def test_they_are_written() -> None:
    pid, end = _unshared()
    try:
        found = user_namespace_mappings(SPEC, os.geteuid())
        found.write(pid)
        for kind, lines in (("uid", found.uids), ("gid", found.gids)):
            with open(f"/proc/{pid}/{kind}_map") as file:
                assert [tuple(map(int, line.split())) for line in file] == lines
        with pytest.raises(HostError, match="operation not permitted"):
            found.write(pid)  # once and for all
    finally:
        os.close(end)
        os.waitpid(pid, 0)
