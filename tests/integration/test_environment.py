"""What runc adds to a process's environment, and settings of namespaces that engines ask for."""

from __future__ import annotations

import ctypes
import os
import stat
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from containers import Bundles, Pysc, both_platforms, requires, sandboxed

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.integration,
    both_platforms,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    requires("busybox"),
]


@pytest.mark.parametrize(
    ("uid", "env", "home"),
    [
        (0, [], "/root"),
        (0, ["HOME=/set"], "/set"),
        (0, ["HOME="], "/root"),
        (65534, [], "/"),
        (1000, [], "/home/one"),
        (4711, [], "/"),
    ],
)
def test_home_is_what_passwd_says(pysc: Pysc, bundle: Bundles, uid: int, env: list[str], home: str) -> None:
    made = bundle(["sh", "-c", "echo $HOME; sleep 1000"], writable=True, process={"env": ["PATH=/bin", *env], "user": {"uid": uid, "gid": 0}})
    with (made.rootfs / "etc" / "passwd").open("a") as file:
        file.write("short:x:1000\none:x:1000:7::/home/one:/bin/sh\ntwo:x:1000:7::/home/two:/bin/sh\n")
    made.config["process"]["args"][2] = "echo $HOME"
    made.write()
    assert pysc("run", "-b", made, pysc.id).out == f"{home}\n"
    made.config["process"]["args"] = ["sleep", "1000"]
    made.write()
    subprocess.run(pysc.argv("run", "-d", "-b", made, pysc.id), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True, timeout=60)
    assert pysc("exec", pysc.id, "sh", "-c", "echo $HOME").out == f"{home}\n"
    pysc("delete", "--force", pysc.id, check=True)


@pytest.mark.parametrize("kind", [stat.S_IFIFO, stat.S_IFCHR])
def test_a_passwd_that_is_no_file_is_not_even_opened(pysc: Pysc, bundle: Bundles, kind: int) -> None:
    """The host's root opens it, outside of the container's device rules: a watchdog would begin to run."""
    made = bundle(["true"], writable=True, process={"env": ["PATH=/bin"]})
    passwd = made.rootfs / "etc" / "passwd"
    passwd.unlink()
    os.mknod(passwd, kind | 0o666, os.makedev(1, 5))
    libc = ctypes.CDLL(None, use_errno=True)
    watch = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        assert libc.inotify_add_watch(watch, os.fsencode(passwd), 0x20) > 0  # IN_OPEN
        pysc("run", "-b", made, pysc.id, check=True)
        with pytest.raises(BlockingIOError):
            os.read(watch, 4096)
    finally:
        os.close(watch)


def link_out(passwd: Path, tmp_path: Path) -> None:
    (tmp_path / "passwd").write_text("out:x:0:0::/outside:/bin/sh\n")
    passwd.symlink_to(tmp_path / "passwd")


@pytest.mark.parametrize(
    "make",
    [
        lambda passwd, tmp_path: None,
        lambda passwd, tmp_path: os.mkfifo(passwd),
        lambda passwd, tmp_path: passwd.mkdir(),
        lambda passwd, tmp_path: passwd.symlink_to("/proc/self/environ"),
        lambda passwd, tmp_path: passwd.write_bytes(b"a:x:0:0::\xff\n" * 3 + b":" * 3_000_000),
        lambda passwd, tmp_path: os.mknod(passwd, 0o20666, os.makedev(1, 5)),
        link_out,
    ],
)
def test_a_passwd_that_is_none_holds_nobody_up(pysc: Pysc, bundle: Bundles, tmp_path: Path, make: Any) -> None:
    made = bundle(["sh", "-c", "echo $HOME"], writable=True)
    made.config["process"]["env"] = ["PATH=/bin"]
    made.write()
    passwd = made.rootfs / "etc" / "passwd"
    passwd.unlink()
    make(passwd, tmp_path)
    done = pysc("run", "-b", made, pysc.id, timeout=20)
    assert done.out == "/\n", done


@sandboxed
@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("kernel.domainname", "some.domain", "some.domain"),
        ("net.ipv4.ping_group_range", "0 2147483647", "0\t65535"),
        ("net.ipv4.ping_group_range", "5 7", "5\t7"),
        ("net.ipv4.ip_unprivileged_port_start", "0", "0"),
        ("kernel.shm_rmid_forced", "1", "1"),
    ],
)
def test_kernel_parameters_that_docker_sets(pysc: Pysc, bundle: Bundles, name: str, value: str, shown: str) -> None:
    path = f"/proc/sys/{name.replace('.', '/')}"
    made = bundle(["cat", path], linux={"sysctl": {name: value}})
    assert pysc("run", "-b", made, pysc.id).out == f"{shown}\n"


def test_kernel_parameters_need_a_procfs(pysc: Pysc, bundle: Bundles) -> None:
    made = bundle(["true"], linux={"sysctl": {"net.ipv4.ip_forward": "1"}})
    made.config["mounts"] = [each for each in made.config["mounts"] if each["type"] != "proc"]
    made.config["linux"]["maskedPaths"] = made.config["linux"]["readonlyPaths"] = []
    made.write()
    done = pysc("run", "-b", made, pysc.id)
    assert done.code == 1
    assert "linux.sysctl['net.ipv4.ip_forward']: is set through /proc/sys: add a mount of type proc" in done.err


def test_the_callers_umask_is_not_that_of_what_the_container_sees(pysc: Pysc, bundle: Bundles) -> None:
    made = bundle(["sh", "-c", "ls -ld / /* /dev/* /sys/* /sys/fs/cgroup/* /proc/sys | awk '{print $1, $3, $4, $NF}'"])
    seen = {
        umask: subprocess.run(
            ["sh", "-c", f'umask {umask}; exec "$@"', "sh", *pysc.argv("run", "-b", made, pysc.id)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True, timeout=60,
        ).stdout
        for umask in ("022", "077")
    }  # fmt: skip
    assert seen["022"].count("\n") > 20
    assert seen["022"] == seen["077"]
