"""A rootfs that is an overlay, as engines mount their snapshots: the layers with the container's ids, the changes where they belong."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from containers import Bundle, Bundles, Pysc, requires

from runsc_cli.overlay import WORK, layers, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    requires("busybox", "mount"),
]

FULL = {kind: ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER"] for kind in ("bounding", "permitted", "effective")}


class Snapshot:
    """An overlay over the busybox root. `diff`: what was changed; `bundle`: its root is the overlay."""

    def __init__(self, diff: Path, bundle: Bundle, root: Path) -> None:
        self.diff = diff
        self.bundle = bundle
        self.root = root


@pytest.fixture
def snapshot(tmp_path: Path, bundle: Bundles, busybox_rootfs: Path) -> Iterator[Callable[..., Snapshot]]:
    """Mounts overlays, as containerd's and Docker's snapshotters do; unmounts them afterwards."""
    mounted: list[Path] = []

    def make(script: str, *, lowers: int = 1, options: str = "", below: Path | None = None) -> Snapshot:
        directory = tmp_path / "snap shot, 1"
        names = [f"lower{i}" for i in range(lowers)]
        for name in (*names, "fs", "work", "merged"):
            (directory / name).mkdir(parents=True)
        for name in names:
            (directory / name / name).touch()
        (directory / names[0] / "etc").mkdir()
        (directory / names[0] / "etc" / "owned").touch()
        os.chown(directory / names[0] / "etc" / "owned", 1000, 1001)
        # paths with commas are for fsconfig(2) alone: mount in the directory, by short names, as engines with many layers do not
        plain = tmp_path / "plain"
        plain.symlink_to(directory)
        below = below or busybox_rootfs
        lower = ":".join(f"{plain}/{name}" for name in names) + f":{below}"
        data = f"lowerdir={lower},upperdir={plain}/fs,workdir={plain}/work{options}"
        subprocess.run(["mount", "-t", "overlay", "-o", data, "overlay", directory / "merged"], check=True)
        mounted.append(directory / "merged")
        made = bundle(["sh", "-c", script], root={"path": str(directory / "merged"), "readonly": False})
        made.config["process"]["capabilities"] = FULL
        made.write()
        return Snapshot(directory / "fs", made, directory / "merged")

    yield make
    for path in mounted:
        subprocess.run(["umount", path], check=True)


def test_files_belong_to_whom_the_image_says_and_changes_land_in_the_engines_layer(
    pysc: Pysc, snapshot: Callable[..., Snapshot]
) -> None:
    script = (
        "stat -c %u:%g /etc /etc/owned; echo new > /etc/new; chown 5:6 /etc/new; rm /etc/group; rm -r /var; mkdir /var; touch /var/x;"
        "mv /root /moved; chmod 600 /etc/passwd; ln /etc/new /etc/hard; mkfifo /tmp/fifo; cat /etc/new"
    )
    made = snapshot(script, lowers=3)
    done = pysc("run", "-b", made.bundle, pysc.id)
    assert done.out == "0:0\n1000:1001\nnew\n", done
    assert done.err == "", done
    facts = (made.diff / "etc" / "new").stat()
    assert (facts.st_uid, facts.st_gid, facts.st_nlink) == (5, 6, 2)
    assert (made.diff / "etc").stat().st_uid == 0
    group = os.lstat(made.diff / "etc" / "group")
    assert (os.major(group.st_rdev), os.minor(group.st_rdev), group.st_mode & 0o170000) == (0, 0, 0o020000)  # a whiteout
    assert os.getxattr(made.diff / "var", "trusted.overlay.opaque") == b"y"
    assert (made.diff / "etc" / "passwd").stat().st_mode & 0o777 == 0o600
    assert sorted(os.listdir(made.root / "var")) == ["x"]  # the engine's own mount shows it


def test_a_second_start_has_what_the_first_one_left(pysc: Pysc, snapshot: Callable[..., Snapshot]) -> None:
    made = snapshot("cat /etc/kept 2>/dev/null; echo kept > /etc/kept; ls /lower0 /lower1", lowers=2)
    assert pysc("run", "-b", made.bundle, pysc.id).out == "/lower0\n/lower1\n"
    assert pysc("run", "-b", made.bundle, pysc.id).out == "kept\n/lower0\n/lower1\n"
    assert os.listdir(made.diff.parent / WORK) == ["work"]


def test_more_layers_than_fit_into_one_parameter(pysc: Pysc, snapshot: Callable[..., Snapshot]) -> None:
    """A value of fsconfig(2) has 255 bytes."""
    made = snapshot("ls / | grep -c lower", lowers=40)
    assert pysc("run", "-b", made.bundle, pysc.id).out == "40\n"


def test_an_overlay_of_the_containers_own_leaves_the_engines_layer_alone(pysc: Pysc, snapshot: Callable[..., Snapshot], tmp_path: Path) -> None:
    changes = tmp_path / "changes"
    changes.mkdir(mode=0o700)
    made = snapshot("stat -c %u:%g /etc/owned; echo more >> /etc/owned; rm /etc/group; sleep 1000", lowers=2)
    for medium in ("memory", f"dir={changes}"):
        argv = pysc.argv(f"--overlay={medium}", "create", "-b", made.bundle, pysc.id)
        with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as created:
            assert created.wait() == 0
            pysc("start", pysc.id, check=True)
            assert created.stdout is not None
            assert created.stdout.readline() == "1000:1001\n"
            while (listed := pysc("diff", pysc.id, check=True).out).count("\n") < 3:
                pass
            assert listed == "C /etc\nD /etc/group\nC /etc/owned\n"
            pysc("delete", "--force", pysc.id, check=True)
    assert os.listdir(made.diff) == os.listdir(changes) == []


def test_devices_of_a_layer_stay_closed(pysc: Pysc, snapshot: Callable[..., Snapshot], tmp_path: Path) -> None:
    made = snapshot("exec 3<>/null && echo open")
    os.mknod(tmp_path / "plain" / "lower0" / "null", 0o20666, os.makedev(1, 3))
    done = pysc("run", "-b", made.bundle, pysc.id)
    assert (done.out, "Permission denied" in done.err) == ("", True), done


def test_what_the_kernel_does_not_let_us_mount_again_is_said(pysc: Pysc, snapshot: Callable[..., Snapshot]) -> None:
    """With an index the upper directory is one mount's alone."""
    made = snapshot("echo running", options=",index=on")
    done = pysc("run", "-b", made.bundle, pysc.id)
    assert "cannot be idmapped: its files belong to nobody inside the container" in done.err, done
    assert "mount the overlay again: device or resource busy" in done.err


def test_what_is_no_overlays_root(tmp_path: Path, snapshot: Callable[..., Snapshot]) -> None:
    made = snapshot("true")
    assert layers(str(tmp_path)) is None
    assert layers(str(made.root / "etc")) is None
    found = layers(str(made.root))
    assert found is not None
    assert (len(found.lower), found.upper) == (2, f"{tmp_path}/plain/fs")


@pytest.mark.parametrize(
    ("text", "lower", "upper", "options"),
    [
        ("rw,lowerdir=/a:/b,upperdir=/u,workdir=/w", ["/a", "/b"], "/u", []),
        ("ro,seclabel,lowerdir=/a,index=off,xino=off", ["/a"], "", ["index=off", "xino=off"]),
        ("rw,lowerdir+=/a\\040b,lowerdir+=/c,upperdir=/u\\054x,workdir=/w,volatile", ["/a b", "/c"], "/u,x", ["volatile"]),
    ],
)
def test_options(text: str, lower: list[str], upper: str, options: list[str]) -> None:
    found = parse(text)
    assert found is not None
    assert (found.lower, found.upper, found.options) == (lower, upper, options)


@pytest.mark.parametrize(
    "text",
    [
        "rw,lowerdir=l/A:l/B,upperdir=x/diff,workdir=x/work",  # relative: to where the engine stood
        "rw,lowerdir=/a:/b::/data,upperdir=/u",
        "rw,lowerdir+=/a,datadir+=/d",
        "rw,lowerdir=/a\\134:b",
        "rw",
    ],
)
def test_options_that_do_not_tell_the_layers(text: str) -> None:
    assert parse(text) is None
