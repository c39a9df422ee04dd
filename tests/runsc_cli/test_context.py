from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from runsc_cli import context
from runsc_cli.context import Context, default_store
from runsc_cli.log import Log

if TYPE_CHECKING:
    from pathlib import Path


def test_the_root_is_the_one_that_is_named(tmp_path: Path) -> None:
    store = Context({"root": str(tmp_path / "r")}, Log()).store()
    assert (store.root, store.mode) == (str(tmp_path / "r"), 0o700)


def test_a_relative_root_means_the_directory_of_the_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Context({"root": "r"}, Log()).store().root == str(tmp_path / "r")


@pytest.mark.parametrize(
    ("uid", "in_user_namespace", "runtime", "root", "mode"),
    [
        (0, False, "/run/user/0", "/run/pysc", 0o700),
        (0, True, "/run/user/0", "/run/user/0/pysc", 0o1700),
        (1000, False, "/run/user/1000", "/run/user/1000/pysc", 0o1700),
        (1000, False, "", "/run/pysc", 0o700),  # podman sets it empty
        (1000, False, None, "/run/pysc", 0o700),
    ],
)
def test_the_default_root_is_by_runcs_rule(
    uid: int, in_user_namespace: bool, runtime: str | None, root: str, mode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    monkeypatch.setattr(context, "_in_user_namespace", lambda: in_user_namespace)
    store = default_store({} if runtime is None else {"XDG_RUNTIME_DIR": runtime})
    assert (store.root, store.mode) == (root, mode)
