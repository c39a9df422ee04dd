"""The default config's maskedPaths, readonlyPaths and /dev, with and without a sandbox."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from containers import both_platforms, requires
from workloads import ENVIRONMENT, debian_config, run

from runsc_cli.spec import default_spec

if TYPE_CHECKING:
    from pathlib import Path

    from containers import Pysc

pytestmark = [pytest.mark.integration, both_platforms, requires("/usr/bin/python3")]

MASKED = """
import errno, os, sys
def error(call, *args):
    try:
        call(*args)
    except OSError as e:
        return errno.errorcode[e.errno]
    return "none"
def content(path):
    with open(path, "rb") as file:
        return file.read(4096)
for path in PATHS:
    if not os.path.lexists(path):
        continue
    if os.path.isdir(path):
        assert os.listdir(path) == [] or error(os.listdir, path) == "EACCES", path
    else:
        assert error(content, path) == "EACCES" or content(path) == b"", path
    assert error(os.rmdir, path) != "none" and error(os.unlink, path) != "none", path
"""

READ_ONLY = """
checked = 0
for top in PATHS:
    for directory, names, files in os.walk(top):
        for name in files:
            path = f"{directory}/{name}"
            if os.stat(path).st_mode & 0o222:
                checked += 1
                assert error(os.open, path, os.O_WRONLY) in ("EROFS", "EACCES", "EPERM"), path
assert checked > 50
"""

DEV = """
import fcntl, stat, struct, termios
known = {"fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty", "urandom", "zero"}
assert set(os.listdir("/dev")) <= known, os.listdir("/dev")
assert error(os.open, "/dev/fuse", os.O_RDWR) == "ENOENT"
made = error(os.mknod, "/dev/shm/fuse", stat.S_IFCHR | 0o666, os.makedev(10, 229))  # without a user namespace CAP_MKNOD can do that
assert error(os.open, "/dev/shm/fuse", os.O_RDWR) == {"EPERM": "ENOENT", "none": "EACCES"}[made]
assert os.listdir("/dev/pts") == ["ptmx"]
master = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY)
assert struct.unpack("i", fcntl.ioctl(master, 0x80045430, bytes(4))) == (0,)  # TIOCGPTN: the first of an instance of its own
fcntl.ioctl(master, 0x40045431, struct.pack("i", 0))  # TIOCSPTLCK
slave = os.open("/dev/pts/0", os.O_RDWR | os.O_NOCTTY)
os.write(slave, b"x")
assert os.read(master, 1) == b"x"
with open("/dev/shm/x", "xb") as file:
    file.write(b"x" * 4096)
assert os.statvfs("/dev/shm").f_frsize * os.statvfs("/dev/shm").f_blocks == 64 << 20
assert os.read(os.open("/dev/zero", os.O_RDONLY), 3) == bytes(3) and len(os.read(os.open("/dev/urandom", os.O_RDONLY), 8)) == 8
assert error(os.write, os.open("/dev/full", os.O_WRONLY), b"x") == "ENOSPC"
assert error(os.open, "/dev/tty", os.O_RDWR) == "ENXIO"
"""


def check(pysc: Pysc, root: Path, work: Path, script: str) -> None:
    """Run it in a container of the default config, with all the capabilities that a container's root may have there."""
    (work / "bundle").mkdir()
    (work / "work").mkdir()
    config = debian_config(root, ["/usr/bin/python3", "-c", script + "\nprint('end')"], ENVIRONMENT, work / "work")
    (work / "bundle" / "config.json").write_text(json.dumps(config))
    done = run(pysc.argv("run", "--bundle", work / "bundle", pysc.id), work)
    assert (done.code, done.out) == (0, "end\n"), done


def test_masked_paths_are_empty(pysc: Pysc, debian_root: Path, tmp_path: Path) -> None:
    paths = default_spec(args=["true"])["linux"]["maskedPaths"]
    assert {"/proc/kcore", "/proc/keys", "/sys/firmware"} <= set(paths)
    check(pysc, debian_root, tmp_path, f"PATHS = {paths}\n{MASKED}")


def test_readonly_paths_cannot_be_written(pysc: Pysc, debian_root: Path, tmp_path: Path) -> None:
    paths = default_spec(args=["true"])["linux"]["readonlyPaths"]
    assert "/proc/sys" in paths
    check(pysc, debian_root, tmp_path, f"PATHS = []\n{MASKED}\nPATHS = {paths}\n{READ_ONLY}")


def test_devices(pysc: Pysc, debian_root: Path, tmp_path: Path) -> None:
    check(pysc, debian_root, tmp_path, f"PATHS = []\n{MASKED}\n{DEV}")
