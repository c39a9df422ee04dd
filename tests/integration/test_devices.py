"""linux.devices and linux.resources.devices together: the nodes that a config asks for, and who may open them."""

from __future__ import annotations

import os
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest
from containers import Bundle, Bundles, Done, Pysc, both_platforms, requires, sandboxed

if TYPE_CHECKING:
    from typing import Any

pytestmark = [
    pytest.mark.integration,
    both_platforms,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    requires("busybox"),
]

FUSE = (10, 229)
LOOP = (7, 0)
OPEN = "exec 3</dev/it && echo read; exec 3<>/dev/it && echo open"


def node(path: str = "/dev/it", kind: str = "c", number: tuple[int, int] = FUSE, **more: object) -> dict[str, Any]:
    return {"path": path, "type": kind, "major": number[0], "minor": number[1], **more}


def allow(number: tuple[int, int] = FUSE, access: str = "rwm", kind: str = "c") -> dict[str, Any]:
    return {"allow": True, "type": kind, "major": number[0], "minor": number[1], "access": access}


def run(pysc: Pysc, bundle: Bundles, script: str, devices: list[dict[str, Any]], rules: list[dict[str, Any]], **changes: Any) -> Done:
    linux = {"devices": devices, "resources": {"devices": [{"allow": False, "access": "rwm"}, *rules]}}
    made = bundle(["sh", "-c", script], linux=linux, **changes)
    return pysc("run", "-b", made, pysc.id)


@sandboxed
def test_type_numbers_mode_and_owner(pysc: Pysc, bundle: Bundles) -> None:
    devices = [
        node("/dev/a/b/c", "c", (1, 3), fileMode=0o640, uid=1000, gid=7),
        node("/dev/block", "b", (259, 0x12345), fileMode=stat.S_IFBLK | 0o4600),
        node("/dev/unbuffered", "u", (4095, 0xFFFFF)),
        {"path": "/dev/fifo", "type": "p", "fileMode": 0o620, "uid": 5, "gid": 6},
        {"path": "/dev/x/y/fifo", "type": "p"},
    ]
    show = "for n in a/b/c block unbuffered fifo x/y/fifo; do stat -c '%F %t:%T %a %u:%g' /dev/$n; done"
    done = run(pysc, bundle, show, devices, [])
    assert done.out.splitlines() == [
        "character special file 1:3 640 1000:7",
        "block special file 103:12345 4600 0:0",
        "character special file fff:fffff 666 0:0",
        "fifo 0:0 620 5:6",
        "fifo 0:0 666 0:0",
    ], done


@sandboxed
@pytest.mark.parametrize(
    ("rules", "out", "error"),
    [
        ([], "", "Permission denied"),  # mounted nodev: the kernel opens it for nobody
        ([allow(access="m")], "", "Permission denied"),
        ([allow(access="r")], "read\n", "Operation not permitted"),
        ([allow()], "read\nopen\n", ""),
        ([allow(), {"allow": False, "type": "c", "major": FUSE[0], "minor": FUSE[1], "access": "w"}], "read\n", "Operation not permitted"),
        ([allow(kind="b")], "", "Permission denied"),
        ([{"allow": True, "access": "rwm"}], "read\nopen\n", ""),
    ],
)
@pytest.mark.parametrize("profile", ["standard", "strict"])
def test_the_node_gives_nothing_the_rules_do(
    pysc: Pysc, bundle: Bundles, rules: list[dict[str, Any]], out: str, error: str, profile: str
) -> None:
    linux = {"devices": [node()], "resources": {"devices": [{"allow": False, "access": "rwm"}, *rules]}}
    made = bundle(["sh", "-c", OPEN], linux=linux)
    done = pysc("--profile", profile, "run", "-b", made, pysc.id)
    assert done.out == out, done
    assert error in done.err, done


@sandboxed
def test_a_block_device_needs_a_rule_as_well(pysc: Pysc, bundle: Bundles) -> None:
    disk = node(kind="b", number=LOOP)
    assert "Permission denied" in run(pysc, bundle, OPEN, [disk], []).err
    assert "Permission denied" in run(pysc, bundle, OPEN, [disk], [allow(LOOP)]).err
    done = run(pysc, bundle, "exec 3</dev/it && echo read; exec 3<>/dev/it && echo open", [disk], [allow(LOOP, "r", "b")])
    if "No such device" in done.err:
        pytest.skip("no loop devices here")
    assert (done.out, done.err.count("Operation not permitted")) == ("read\n", 1), done


def test_whose_it_is_decides_too(pysc: Pysc, bundle: Bundles) -> None:
    zero = node(number=(1, 5), fileMode=0o600, uid=1000, gid=1000)
    for uid, out in ((1000, "4\n"), (2000, "0\n")):
        done = run(pysc, bundle, "head -c 4 /dev/it | wc -c", [zero], [], process={"user": {"uid": uid, "gid": 0}})
        assert done.out == out, done


def test_a_fifo_is_one(pysc: Pysc, bundle: Bundles) -> None:
    done = run(pysc, bundle, "cat /run/fifo & echo hello > /run/fifo; wait", [{"path": "/run/fifo", "type": "p"}], [], writable=True)
    assert done.out == "hello\n", done


def test_a_default_device_may_be_listed(pysc: Pysc, bundle: Bundles) -> None:
    done = run(pysc, bundle, "stat -c %a /dev/zero; head -c 3 /dev/zero | wc -c", [node("/dev/zero", number=(1, 5), fileMode=0o444)], [])
    assert done.out == "444\n3\n", done


@pytest.mark.parametrize(
    "device",
    [node("/dev/null", number=(1, 5)), node("/dev/null", "b", (1, 3)), node("/bin/busybox"), node("/tmp"), {"path": "/bin/sh", "type": "p"}],
)
def test_what_is_there_and_something_else_is_an_error(pysc: Pysc, bundle: Bundles, device: dict[str, Any]) -> None:
    done = run(pysc, bundle, "true", [device], [])
    assert done.code == 1
    assert f"device '{device['path']}': another file is there already" in done.err


def test_a_link_of_the_image_leads_nowhere_else(pysc: Pysc, bundle: Bundles, tmp_path: Any) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    made: Bundle = bundle(["stat", "-c", "%F", f"{outside}/it"], writable=True, linux={"devices": [node("/link/it")]})
    (made.rootfs / "link").symlink_to(outside)
    (made.rootfs / outside.relative_to("/")).mkdir(parents=True)
    assert pysc("run", "-b", made, pysc.id).out == "character special file\n"
    assert os.listdir(outside) == []


def test_ptmx_stays_the_containers_own(pysc: Pysc, bundle: Bundles) -> None:
    done = run(pysc, bundle, "readlink /dev/ptmx", [node("/dev/ptmx", number=(5, 2))], [])
    assert done.out == "pts/ptmx\n", done


@sandboxed
def test_an_owner_has_to_be_mapped(pysc: Pysc, bundle: Bundles) -> None:
    done = run(pysc, bundle, "true", [node(gid=4_000_000)], [])
    assert "linux.devices[0].gid: 4000000 is not mapped" in done.err


@requires("setpriv")
def test_who_may_not_make_nodes_shows_the_hosts(pysc: Pysc, bundle: Bundles) -> None:
    linux = {"devices": [node("/dev/fuse")], "resources": {"devices": [allow()]}}
    made = bundle(["stat", "-c", "%F %t:%T", "/dev/fuse"], linux=linux)

    def unable() -> subprocess.CompletedProcess[str]:
        command = ["setpriv", "--bounding-set", "-mknod", *pysc.argv("run", "-b", made, pysc.id)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    done = unable()
    assert done.stdout == "character special file a:e5\n", done
    linux["devices"].append(node("/dev/other"))
    made.config["linux"]["devices"] = linux["devices"]
    made.write()
    error = unable().stderr
    assert "cannot be made here (operation not permitted), and the host's" in error
    assert ("linux.devices[1]" if pysc.platform == "notify" else "'/dev/other'") in error


@requires("runc")
def test_runc_makes_the_same_nodes(pysc: Pysc, bundle: Bundles, tmp_path: Any) -> None:
    devices = [node("/dev/a", number=(1, 3), fileMode=0o640, uid=3, gid=7), node("/dev/b", "b", LOOP), node("/dev/c", "u", (1, 5))]
    made = bundle(
        ["sh", "-c", "for n in a b c null tty; do stat -c '%n %F %t:%T %a' /dev/$n; done; stat -c %u:%g /dev/a /dev/b"],
        linux={"devices": devices},
        process={"rlimits": []},
    )
    theirs = subprocess.run(
        ["runc", "--root", tmp_path / "runc", "run", "-b", made.path, pysc.id], capture_output=True, text=True, check=False, timeout=60
    )
    assert theirs.returncode == 0, theirs
    assert pysc("run", "-b", made, pysc.id).out == theirs.stdout


@pytest.mark.platforms("notify", "ptrace")
def test_default_devices_are_the_containers_own(pysc: Pysc, bundle: Bundles) -> None:
    """Locks, watches and times are an inode's: those of the host's nodes would be everybody's. Masks are copies of /dev/null."""
    hosts = [os.stat(f"/dev/{name}") for name in ("null", "zero", "full", "random", "urandom", "tty")]
    shown_of = "null zero full random urandom tty /etc/passwd"
    script = f"cd /dev; stat -c '%d:%i %u %a' {shown_of}; chmod 600 null && touch -d @0 zero && head -c 3 zero | wc -c"
    done = pysc("run", "-b", bundle(["sh", "-c", script], linux={"maskedPaths": ["/etc/passwd"]}), pysc.id, check=True)
    *shown, zeros = done.out.splitlines()
    assert [line.split()[1:] for line in shown] == [["0", "666"]] * 7
    assert not {f"{host.st_dev}:{host.st_ino}" for host in hosts} & {line.split()[0] for line in shown}
    assert (shown[0], zeros) == (shown[6], "3")
    now = [os.stat(f"/dev/{name}") for name in ("null", "zero")]
    assert [(node.st_mode, node.st_uid, node.st_mtime) for node in now] == [(node.st_mode, node.st_uid, node.st_mtime) for node in hosts[:2]]
