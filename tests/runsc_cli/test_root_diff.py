"""The upper directory of an overlay, made by hand as the kernel leaves it, and worse; and the removal of such a tree."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runsc_cli.errors import PyscError
from runsc_cli.root_diff import OPAQUE, Diff, escaped
from runsc_cli.root_overlay import remove, remove_tree
from runsc_cli.state import Store

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a whiteout is a device node")


class Layers:
    """Two trees, each made of words: name/ is a directory, name/! an opaque one, -name a whiteout, name@text a link, name a file."""

    def __init__(self, directory: Path) -> None:
        self.upper, self.lower = directory / "upper", directory / "lower"
        self.upper.mkdir()
        self.lower.mkdir()

    def fill(self, upper: str, lower: str = "") -> Layers:
        for top, words in ((self.upper, upper), (self.lower, lower)):
            for word in words.split():
                name, _, text = word.partition("@")
                path = top / name.rstrip("/!").lstrip("-")
                path.parent.mkdir(parents=True, exist_ok=True)
                if text:
                    path.symlink_to(text)
                elif word.startswith("-"):
                    os.mknod(path, stat.S_IFCHR | 0o600, 0)
                elif name.endswith(("/", "!")):
                    path.mkdir(exist_ok=True)
                    if name.endswith("!"):
                        os.setxattr(path, OPAQUE, b"y")
                else:
                    path.touch()
        return self

    def diff(self, owner: Callable[[int, int], tuple[int, int]] = lambda uid, gid: (uid, gid)) -> tuple[str, Diff]:
        found = Diff(owner)
        flags = os.O_RDONLY | os.O_DIRECTORY
        before = os.listdir("/proc/self/fd")
        rows = " ".join(f"{kind}{path}" for kind, path in found.changes(os.open(self.upper, flags), os.open(self.lower, flags)))
        assert os.listdir("/proc/self/fd") == before
        return rows, found


@pytest.fixture
def layers(tmp_path: Path) -> Layers:
    return Layers(tmp_path)


@pytest.mark.parametrize(
    ("upper", "lower", "listed"),
    [
        ("", "a/b", ""),
        ("a/", "a/b", ""),
        ("a/b/c/", "a/b/c/d", ""),
        ("a/b/c/new", "a/b/c/d", "C/a C/a/b C/a/b/c A/a/b/c/new"),
        ("-a", "a/b", "D/a"),
        ("-a", "", ""),
        ("-a/b", "", "A/a"),
        ("a/!", "a/b a/c/d", "C/a D/a/b D/a/c"),
        ("a/! a/b/", "a/b/c a/d", "C/a C/a/b D/a/b/c D/a/d"),
        ("a/! a/b/c/", "a/b/c/d a/b/e", "C/a C/a/b C/a/b/c D/a/b/c/d D/a/b/e"),
        ("a/! -a/b", "a/b", "C/a D/a/b"),
        ("a/! a/b/c a/z", "a/b a/z/", "C/a C/a/b A/a/b/c C/a/z"),
        ("a/! a/b/c", "b/", "A/a A/a/b A/a/b/c"),
        ("a", "a/b/c", "C/a"),
        ("a/b", "a", "C/a A/a/b"),
        ("a@/etc", "a/b", "C/a"),
        ("a/b", "a@/etc", "C/a A/a/b"),
        ("a@b/c b/c/d", "", "A/a A/b A/b/c A/b/c/d"),
        ("z b a/y a/x", "", "A/a A/a/x A/a/y A/b A/z"),
    ],
)
def test_changes(layers: Layers, upper: str, lower: str, listed: str) -> None:
    assert layers.fill(upper, lower).diff()[0] == listed


def test_attributes_of_a_directory(layers: Layers) -> None:
    layers.fill("a/ b/ c/ d/", "a/ b/ c/ d/")
    os.chmod(layers.upper / "a", 0o700)
    os.chown(layers.upper / "b", 5, 6)
    os.setxattr(layers.upper / "c", "user.mine", b"1")
    os.setxattr(layers.upper / "d", "user.overlay.origin", b"1")
    assert layers.diff()[0] == "C/a C/b C/c"
    os.chmod(layers.upper, 0o711)
    assert layers.diff()[0] == "C/ C/a C/b C/c"


def test_owners_are_translated(layers: Layers) -> None:
    layers.fill("a/ b/", "a/ b/")
    os.chown(layers.upper / "a", 1_000_005, 1_000_006)
    os.chown(layers.lower / "a", 5, 6)
    assert layers.diff(lambda uid, gid: (uid % 1_000_000, gid % 1_000_000))[0] == ""
    assert layers.diff()[0] == "C/a"


def test_what_goes_while_it_is_read(layers: Layers) -> None:
    layers.fill("a/b a/c/ d/e", "a/b d/")
    found = Diff(lambda uid, gid: (uid, gid))
    rows = found.changes(os.open(layers.upper, os.O_RDONLY), os.open(layers.lower, os.O_RDONLY))
    assert next(rows) == ("C", "/a")
    for path in (layers.upper / "a/b", layers.upper / "d/e"):
        path.unlink()
    for path in (layers.upper / "a/c", layers.upper / "d"):
        path.rmdir()
    (layers.upper / "d").symlink_to("/etc")
    assert all(path.startswith(("/a", "/d")) and path.count("/") < 3 for _, path in rows)


def test_names_that_a_terminal_would_act_on() -> None:
    assert escaped("/plain/täst") == "/plain/täst"
    assert escaped("/a\nb\x1b[0m\\n") == r"/a\x0ab\x1b[0m\\n"
    assert escaped(os.fsdecode(b"/\xff\xc3\xa4")) == r"/\xffä"
    assert escaped("/\u2028\\") == r"/\u2028\\"


def deep(directory: Path, levels: int) -> None:
    """A tree in which no path leads to the bottom."""
    here = os.open(directory, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d", dir_fd=here)
        os.symlink("/etc", "link", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)


def test_a_tree_of_any_depth_and_width_is_removed() -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as path:  # on disk it would take half a minute
        victim = Path(path, "victim")
        victim.mkdir()
        deep(victim, 2500)
        (victim / "wide").mkdir()
        for i in range(5000):
            (victim / "wide" / str(i)).mkdir()
            (victim / "wide" / str(i) / "file").touch()
        (victim / "fifo").touch()
        (victim / "closed").mkdir(mode=0)
        (victim / "outside").symlink_to(path)
        parent = os.open(path, os.O_RDONLY)
        before = os.listdir("/proc/self/fd")
        remove_tree(parent, "victim")
        remove_tree(parent, "victim")  # once more
        assert os.listdir("/proc/self/fd") == before
        os.close(parent)
        assert os.listdir(path) == []


def test_only_what_a_create_has_made_is_removed(tmp_path: Path) -> None:
    changes = tmp_path / "changes"
    for name in ("a", "b", "c"):
        (changes / name).mkdir(parents=True)
    for name in ("b", "c"):
        (changes / name / "theirs").touch()
    with Store(str(tmp_path / "root")).create("box") as box:
        each = [{"planned": f"{changes}/a"}, {"planned": f"{changes}/b"}, {"dir": f"{changes}/c"}, {"dir": "/x/y"}]
        for overlay in ({}, {"medium": "memory"}, *each):
            box.state.overlay = dict(overlay)
            remove(box)
            remove(box)
        assert os.listdir(changes) == ["b"]
        (changes / "link").symlink_to("b")
        box.state.overlay = {"dir": f"{changes}/link"}
        with pytest.raises(PyscError, match="not a directory"):
            remove(box)
    assert os.listdir(changes / "b") == ["theirs"]
