"""Mount option tmpcopyup: a tmpfs that starts with what the image has there."""

from __future__ import annotations

import os
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest
from containers import Bundle, Bundles, Pysc, both_platforms, requires

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.integration,
    both_platforms,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    requires("busybox"),
]

SHOW = "cd /d && find . | sort | xargs stat -c '%n %F %a %u:%g %s' | sed 's/directory \\(.*\\) .*/directory \\1/'"


def with_tmpfs(bundle: Bundles, script: str, *options: str, destination: str = "/d") -> Bundle:
    made = bundle(["sh", "-c", script], writable=True)
    made.config["mounts"].append({"destination": destination, "type": "tmpfs", "source": "tmpfs", "options": list(options)})
    made.config["process"]["rlimits"] = []
    made.write()
    return made


def fill(directory: Path) -> None:
    (directory / "sub" / "deep").mkdir(parents=True)
    (directory / ".hidden").write_text("hidden")
    (directory / "large").write_bytes(b"0123456789abcdef" * 70_000)
    (directory / "sub" / "deep" / "file").write_text("x")
    (directory / "link").symlink_to("/etc/passwd")
    (directory / "dangling").symlink_to("nowhere")
    os.link(directory / "large", directory / "sub" / "hard")
    os.chown(directory / "large", 1000, 1001)
    os.chown(directory / "link", 5, 6, follow_symlinks=False)
    os.chown(directory / "sub", 7, 8)
    (directory / "large").chmod(0o644)
    (directory / "sub").chmod(0o755)
    (directory / ".hidden").chmod(0)
    directory.chmod(0o1751)


@requires("runc")
def test_the_copy_is_runcs(pysc: Pysc, bundle: Bundles, tmp_path: Path) -> None:
    made = with_tmpfs(bundle, SHOW, "tmpcopyup", "nosuid", "nodev")
    fill(made.rootfs / "d")
    argv = ["runc", "--root", tmp_path / "runc", "run", "-b", made.path, pysc.id]
    theirs = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert theirs.returncode == 0, theirs
    ours = pysc("run", "-b", made, pysc.id)
    assert ours.out == theirs.stdout, ours
    assert len(ours.out.splitlines()) == 9


def test_contents_are_there_and_what_is_written_stays_in_memory(pysc: Pysc, bundle: Bundles) -> None:
    script = "cmp /d/large /d/sub/hard && cat /d/sub/deep/file && echo new > /d/new && rm /d/large && mount | grep ' /d '"
    made = with_tmpfs(bundle, script, "tmpcopyup", "size=8m", "noexec")
    fill(made.rootfs / "d")
    done = pysc("run", "-b", made, pysc.id)
    assert done.out.startswith("xtmpfs on /d type tmpfs (rw,"), done
    assert "noexec" in done.out
    assert (made.rootfs / "d" / "large").exists()
    assert not (made.rootfs / "d" / "new").exists()


def test_it_may_be_read_only(pysc: Pysc, bundle: Bundles) -> None:
    made = with_tmpfs(bundle, "cat /d/sub/deep/file; echo x > /d/new", "tmpcopyup", "ro")
    fill(made.rootfs / "d")
    done = pysc("run", "-b", made, pysc.id)
    assert (done.out, "Read-only file system" in done.err) == ("x", True), done


def test_fifos_are_copied_sockets_and_devices_left_out(pysc: Pysc, bundle: Bundles) -> None:
    made = with_tmpfs(bundle, "find /d -exec stat -c '%n %F %a' {} +", "tmpcopyup", "mode=700")
    directory = made.rootfs / "d"
    directory.mkdir()
    os.mkfifo(directory / "fifo", 0o620)
    (directory / "fifo").chmod(0o620)
    os.mknod(directory / "null", 0o20666, os.makedev(1, 3))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"/proc/self/fd/{(fd := os.open(directory, os.O_RDONLY))}/socket")
    os.close(fd)
    assert sorted(pysc("run", "-b", made, pysc.id).out.splitlines()) == ["/d directory 700", "/d/fifo fifo 620"]


def test_where_there_is_nothing_it_is_empty(pysc: Pysc, bundle: Bundles) -> None:
    made = with_tmpfs(bundle, "stat -c %a /new/place; ls -a /new/place", "tmpcopyup", destination="/new/place")
    assert pysc("run", "-b", made, pysc.id).out == "1777\n.\n..\n"


def test_the_mode_is_the_directorys_also_without_it(pysc: Pysc, bundle: Bundles) -> None:
    made = with_tmpfs(bundle, "stat -c '%a %u' /d; ls -A /d")
    fill(made.rootfs / "d")
    assert pysc("run", "-b", made, pysc.id).out == "1751 0\n"


def test_what_is_mounted_below_is_not_copied(pysc: Pysc, bundle: Bundles, tmp_path: Path) -> None:
    made = with_tmpfs(bundle, "find /d | sort", "tmpcopyup")
    fill(made.rootfs / "d")
    (tmp_path / "volume").mkdir()
    (tmp_path / "volume" / "secret").touch()
    volume = {"destination": "/d/sub/deep", "type": "bind", "source": str(tmp_path / "volume"), "options": ["bind"]}
    made.config["mounts"].insert(-1, volume)
    made.write()
    out = pysc("run", "-b", made, pysc.id).out.splitlines()
    assert "/d/sub/deep" in out
    assert "/d/sub/deep/secret" not in out


def test_a_link_in_the_way_does_not_lead_out(pysc: Pysc, bundle: Bundles, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").touch()
    made = with_tmpfs(bundle, "ls -A /d; ls -A $0/outside 2>/dev/null", "tmpcopyup")
    (made.rootfs / "d").symlink_to(tmp_path / "outside")
    done = pysc("run", "-b", made, pysc.id)
    assert "secret" not in done.out
    assert os.listdir(tmp_path / "outside") == ["secret"]


def test_too_small_and_too_deep_are_said(pysc: Pysc, bundle: Bundles) -> None:
    small = with_tmpfs(bundle, "true", "tmpcopyup", "size=64k")
    fill(small.rootfs / "d")
    done = pysc("run", "-b", small, pysc.id)
    assert (done.code, "mount tmpfs on '/d': tmpcopyup: " in done.err, "no space left on device" in done.err) == (1, True, True), done
    deep = with_tmpfs(bundle, "true", "tmpcopyup")
    (deep.rootfs / "d" / "/".join("x" * 200)).mkdir(parents=True)
    assert "more than 128 directories in each other" in pysc("run", "-b", deep, pysc.id).err


@requires("unshare", "mount")
def test_a_tree_below_a_directory_that_only_root_may_enter(pysc: Pysc, bundle: Bundles, tmp_path: Path) -> None:
    """The gofer cannot read our own files there: what it needs is loaded before."""
    made = with_tmpfs(bundle, "cat /d/sub/deep/file; stat -c %a /d/sub", "tmpcopyup")
    fill(made.rootfs / "d")
    (made.rootfs / "d" / "sub").chmod(0o6755)
    here = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    (tmp_path / "closed").mkdir(mode=0o700)
    closed = tmp_path / "closed"
    copies = " ".join(f"{here}/{name}" for name in ("runsc_cli", "sentry", "gofer"))
    script = f'mount -t tmpfs -o mode=700 none {closed} && cp -r {copies} {closed} && exec "$@"'
    argv = ["unshare", "-m", "sh", "-c", script, "sh", *pysc.argv("run", "-b", made, pysc.id)]
    done = subprocess.run(
        argv, capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(closed)}
    )
    assert done.stdout == "x6755\n", done


def test_a_memory_limit_bounds_what_is_copied(pysc: Pysc, bundle: Bundles) -> None:
    """A file with holes takes nothing in an image and all of it in memory, which no cgroup of the container's is charged for."""
    made = with_tmpfs(bundle, "cat /d/file", "tmpcopyup")
    made.config["linux"]["resources"] = {**made.config["linux"].get("resources", {}), "memory": {"limit": 64 << 20}}
    made.write()
    (made.rootfs / "d").mkdir()
    (made.rootfs / "d" / "file").write_text("small")
    assert pysc("run", "-b", made, pysc.id, check=True).out == "small"
    with open(made.rootfs / "d" / "holes", "wb") as holes:
        holes.truncate(65 << 20)
    done = pysc("run", "-b", made, pysc.id)
    assert done.code == 1, done
    assert "tmpcopyup: holes: no space left on device" in done.err
    made.config["mounts"][-1]["options"].append("size=66m")
    made.write()
    pysc("run", "-b", made, pysc.id, check=True)
