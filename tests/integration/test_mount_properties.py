"""mounts of config.json, option by option: what the kernel says of the mounts that a container has."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from containers import Bundle, Bundles, Pysc, requires

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    requires("busybox"),
]


CLONE_NEWNS = 0x20000


class Mounted(NamedTuple):
    """A line of mountinfo."""

    options: set[str]
    propagation: str
    superblock: set[str]


def mounts(pysc: Pysc, made: Bundle) -> dict[str, Mounted]:
    """The mounts of a container as the host sees them in /proc/PID/mountinfo, by mount point; of several there the last one."""
    argv = pysc.argv("run", "-d", "-b", made, pysc.id)
    with (made.path / "errors").open("w") as err:
        subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=err, stderr=err, check=False, timeout=60)
    assert pysc("state", pysc.id).code == 0, (made.path / "errors").read_text()
    pid = json.loads(pysc("state", pysc.id).out)["pid"]
    found = {}
    with open(f"/proc/{pid}/mountinfo") as file:
        for line in file:
            left, _, right = line.strip().partition(" - ")
            _id, _parent, _dev, _root, point, options, *optional = left.split()
            kinds = [word.partition(":")[0] for word in optional if not word.startswith("propagate_from")]
            found[point] = Mounted(set(options.split(",")) - {"idmapped"}, "+".join(kinds) or "private", set(right.split()[2].split(",")))
    pysc("delete", "--force", pysc.id, check=True)
    return found


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    volume = tmp_path / "volume"
    (volume / "below").mkdir(parents=True)
    return volume


NONE = {"rw", "relatime"}


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ("defaults", NONE), ("rw", NONE), ("ro", {"ro", "relatime"}), ("ro rw", NONE), ("rw ro", {"ro", "relatime"}),
        ("nosuid", NONE | {"nosuid"}), ("nosuid suid", NONE), ("nodev", NONE | {"nodev"}), ("nodev dev", NONE),
        ("noexec", NONE | {"noexec"}), ("noexec exec", NONE), ("noatime", {"rw", "noatime"}), ("noatime atime", NONE),
        ("nodiratime", NONE | {"nodiratime"}), ("nodiratime diratime", NONE), ("relatime", NONE), ("norelatime", NONE),
        ("strictatime", {"rw"}), ("strictatime nostrictatime", NONE), ("nosymfollow", NONE | {"nosymfollow"}),
        ("nosymfollow symfollow", NONE), ("silent", NONE), ("loud", NONE), ("async", NONE),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
def test_options_of_a_mount(pysc: Pysc, bundle: Bundles, volume: Path, kind: str, options: str, shown: set[str]) -> None:
    made = bundle(["sleep", "1000"], writable=True)
    mount: dict[str, Any] = {"destination": "/vol", "type": kind, "source": str(volume), "options": options.split()}
    if kind == "bind":
        mount["options"] += ["bind", "dev"] if "dev" not in options else ["bind"]
    made.config["mounts"].append(mount)
    made.write()
    assert mounts(pysc, made)["/vol"].options == shown


@pytest.mark.parametrize(
    ("options", "shown", "hidden"),
    [
        ("sync", {"sync"}, set()),
        ("sync async", set(), {"sync"}),
        ("dirsync", {"dirsync"}, set()),
        ("lazytime", {"lazytime"}, set()),
        ("lazytime nolazytime", set(), {"lazytime"}),
        ("size=64k mode=711", {"size=64k", "mode=711"}, set()),
        ("iversion noiversion mand nomand", set(), {"iversion", "mand"}),
    ],
)
def test_options_of_a_file_system(pysc: Pysc, bundle: Bundles, options: str, shown: set[str], hidden: set[str]) -> None:
    made = bundle(["sleep", "1000"], writable=True)
    made.config["mounts"].append({"destination": "/vol", "type": "tmpfs", "source": "vol", "options": options.split()})
    made.write()
    found = mounts(pysc, made)["/vol"].superblock
    assert shown <= found
    assert not hidden & found


RECURSIVE = {
    "rro": "ro", "rnosuid": "nosuid", "rnodev": "nodev", "rnoexec": "noexec", "rnodiratime": "nodiratime", "rnoatime": "noatime",
    "rnosymfollow": "nosymfollow",
}  # fmt: skip


def in_a_tree(pysc: Pysc, made: Bundle, volume: Path, how: str = "rw") -> dict[str, Mounted]:
    """mounts(), with a tmpfs on volume/below: in a mount namespace of our own, which is gone afterwards."""
    pid = os.fork()
    result = made.path / "mounts"
    if pid == 0:
        try:
            assert ctypes.CDLL(None).unshare(CLONE_NEWNS) == 0
            script = f"""mount --make-rprivate / && mount -t tmpfs below "$0"/below && mkdir "$0"/below/inner &&
                mount -o remount,bind,{how} "$0"/below && mount --make-rshared "$0"/below"""
            subprocess.run(["sh", "-c", script, str(volume)], check=True)
            found = mounts(pysc, made)
            result.write_text(json.dumps({k: [sorted(v.options), v.propagation, sorted(v.superblock)] for k, v in found.items()}))
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    return {k: Mounted(set(o), p, set(s)) for k, (o, p, s) in json.loads(result.read_text()).items()}


@requires("mount", "unshare")
@pytest.mark.parametrize("option", [*RECURSIVE, "rrw rro", "rstrictatime"])
def test_recursive_options_reach_the_mounts_below(pysc: Pysc, bundle: Bundles, volume: Path, option: str) -> None:
    made = bundle(["sleep", "1000"], writable=True)
    made.config["mounts"] += [
        {"destination": "/vol", "source": str(volume), "options": ["rbind", *option.split()]},
        {"destination": "/one", "source": str(volume), "options": ["rbind", *(o[1:] for o in option.split())]},
    ]
    made.write()
    found = in_a_tree(pysc, made, volume)
    if option == "rstrictatime":
        assert not {"relatime", "noatime"} & (found["/vol"].options | found["/vol/below"].options)
        assert "relatime" in found["/one/below"].options
        return
    shown = RECURSIVE[option.rsplit(maxsplit=1)[-1]]
    assert shown in found["/vol"].options
    assert shown in found["/vol/below"].options
    assert shown in found["/one"].options
    if shown != "nodev":  # which everything from outside is
        assert shown not in found["/one/below"].options


@requires("mount", "unshare")
def test_recursive_options_can_clear(pysc: Pysc, bundle: Bundles, volume: Path) -> None:
    made = bundle(["sleep", "1000"], writable=True)
    options = ["rbind", "rsuid", "rexec", "rdev", "rrw", "rrelatime"]
    made.config["mounts"].append({"destination": "/vol", "source": str(volume), "options": options})
    made.write()
    found = in_a_tree(pysc, made, volume, "nosuid,noexec,nodev,ro,noatime")
    assert found["/vol/below"].options == {"rw", "relatime"}


@requires("mount", "unshare")
def test_a_bind_that_is_not_recursive_shows_the_one_mount(pysc: Pysc, bundle: Bundles, volume: Path) -> None:
    made = bundle(["sleep", "1000"], writable=True)
    made.config["mounts"].append({"destination": "/vol", "source": str(volume), "options": ["bind"]})
    made.write()
    found = in_a_tree(pysc, made, volume)
    assert "/vol" in found
    assert "/vol/below" not in found


@requires("mount", "unshare")
@pytest.mark.parametrize(
    ("option", "top", "below"),
    [
        ("private", "private", "master"),
        ("rprivate", "private", "private"),
        ("slave", "private", "master"),
        ("rslave", "private", "master"),
        ("shared", "shared+master", "master"),
        ("rshared", "shared+master", "shared+master"),
        ("unbindable", "unbindable", "master"),
        ("runbindable", "unbindable", "unbindable"),
    ],
)
def test_propagation_and_that_of_the_mounts_below(pysc: Pysc, bundle: Bundles, volume: Path, option: str, top: str, below: str) -> None:
    made = bundle(["sleep", "1000"], writable=True)
    made.config["mounts"].append({"destination": "/vol", "source": str(volume), "options": ["rbind", option]})
    made.write()
    found = in_a_tree(pysc, made, volume)
    assert found["/vol"].propagation == top
    assert found["/vol/below"].propagation == below


@pytest.mark.parametrize("value", ["private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable", ""])
def test_propagation_of_the_root(pysc: Pysc, bundle: Bundles, value: str) -> None:
    found = mounts(pysc, bundle(["sleep", "1000"], linux={"rootfsPropagation": value}))
    kind = value.removeprefix("r")
    assert set(found["/"].propagation.split("+")) & {"shared", "unbindable"} == {kind} & {"shared", "unbindable"}


# ---- remount ----


def test_remount_changes_what_it_names(pysc: Pysc, bundle: Bundles, volume: Path) -> None:
    made = bundle(["sleep", "1000"], writable=True)
    made.config["mounts"] += [
        {"destination": "/vol", "type": "tmpfs", "source": "t", "options": ["nosuid", "noexec", "size=64k"]},
        {"destination": "/vol", "options": ["remount", "ro", "exec"]},
        {"destination": "/bound", "source": str(volume), "options": ["bind", "nosuid"]},
        {"destination": "/bound", "source": str(volume), "options": ["bind", "remount", "ro"]},
        {"destination": "/", "options": ["remount", "ro", "noatime"]},
    ]
    made.write()
    found = mounts(pysc, made)
    assert found["/vol"].options == {"ro", "nosuid", "relatime"}
    assert "size=64k" in found["/vol"].superblock
    assert found["/bound"].options == {"ro", "nosuid", "nodev", "relatime"}
    assert {"ro", "noatime"} <= found["/"].options


@pytest.mark.parametrize(
    ("mount", "says"),
    [
        ({"destination": "/tmp", "options": ["remount", "ro"]}, "mount remount on '/tmp': nothing is mounted there"),
        ({"destination": "/nowhere", "options": ["remount", "ro"]}, "mount remount on '/nowhere': no such file or directory"),
        ({"destination": "/dev", "options": ["remount", "size=1m"]}, "and 'size=1m' to its file system"),
        ({"destination": "/dev", "options": ["remount", "sync"]}, "and 'sync' to its file system"),
    ],
)
def test_a_remount_that_cannot_be(pysc: Pysc, bundle: Bundles, mount: dict[str, Any], says: str) -> None:
    made = bundle(["true"])
    made.config["mounts"].append(mount)
    made.write()
    done = pysc("run", "-b", made, pysc.id)
    assert (done.code, says in done.err) == (1, True), done


# ---- idmapped mounts ----


def ids(*lines: tuple[int, int, int]) -> list[dict[str, int]]:
    return [{"containerID": c, "hostID": h, "size": n} for c, h, n in lines]


def owners(volume: Path, wanted: Iterable[int]) -> None:
    for owner in wanted:
        (volume / str(owner)).touch()
        os.chown(volume / str(owner), owner, owner)


def test_a_mount_with_a_mapping_of_its_own(pysc: Pysc, bundle: Bundles, volume: Path) -> None:
    """Without a user namespace in the config: hostID is the id in the container. What has none belongs to nobody."""
    owners(volume, [0, 7, 1005, 2000])
    made = bundle(["sh", "-c", "cd /vol; ls -n | awk 'NF > 8 {print $9, $3, $4}'; touch new; ls -n new | awk '{print $3}'"], writable=True)
    mapping = ids((1000, 0, 10), (0, 5000, 1), (7, 33, 1))
    mount = {"destination": "/vol", "source": str(volume), "options": ["bind", "idmap"], "uidMappings": mapping, "gidMappings": mapping}
    made.config["mounts"].append(mount)
    made.write()
    volume.chmod(0o777)
    done = pysc("run", "-b", made, pysc.id)
    lines = done.out.splitlines()
    assert sorted(lines[:-1]) == ["0 5000 5000", "1005 5 5", "2000 65534 65534", "7 33 33", "below 5000 5000"], done
    assert lines[-1] == "0"
    assert (volume / "new").stat().st_uid == 1000


def test_with_a_user_namespace_hostid_is_the_hosts(pysc: Pysc, bundle: Bundles, volume: Path) -> None:
    owners(volume, [0, 1000])
    container = ids((0, 300_000, 65536))
    made = bundle(
        ["sh", "-c", "cd /vol; ls -n | awk 'NF > 8 {print $9, $3, $4}'"],
        writable=True,
        linux={
            "namespaces": [{"type": kind} for kind in ("pid", "mount", "user", "ipc", "uts", "network")],
            "uidMappings": container,
            "gidMappings": container,
        },
    )
    mapping = ids((0, 300_042, 1), (1000, 300_000, 1))
    mount = {"destination": "/vol", "source": str(volume), "options": ["bind"], "uidMappings": mapping, "gidMappings": mapping}
    made.config["mounts"].append(mount)
    made.write()
    done = pysc("run", "-b", made, pysc.id)
    assert sorted(done.out.splitlines()) == ["0 42 42", "1000 0 0", "below 42 42"], done


@requires("mount", "unshare")
@pytest.mark.parametrize(("option", "below"), [("idmap", "65534"), ("ridmap", "9")])
def test_ridmap_reaches_the_mounts_below(pysc: Pysc, bundle: Bundles, volume: Path, option: str, below: str) -> None:
    made = bundle(["sh", "-c", "ls -nd /vol /vol/below | awk '{print $3}'"], writable=True)
    mapping = ids((0, 9, 1))
    mount = {"destination": "/vol", "source": str(volume), "options": ["rbind", option], "uidMappings": mapping, "gidMappings": mapping}
    made.config["mounts"].append(mount)
    made.write()
    script = 'mount -t tmpfs below "$0"/below && exec "$@"'
    argv = ["unshare", "-m", "sh", "-c", script, str(volume), *pysc.argv("run", "-b", made, pysc.id)]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.split() == ["9", below], done


def test_a_mapping_that_the_container_does_not_have(pysc: Pysc, bundle: Bundles, volume: Path) -> None:
    made = bundle(["true"], writable=True)
    mapping = ids((0, 65530, 10))
    made.config["mounts"].append(
        {"destination": "/vol", "source": str(volume), "options": ["bind"], "uidMappings": mapping, "gidMappings": mapping}
    )
    made.write()
    done = pysc("run", "-b", made, pysc.id)
    assert done.code == 1
    assert ".uidMappings[0].hostID: 65530 and the 9 after it are not all mapped" in done.err


ONE = {"uidMappings": ids((0, 0, 1)), "gidMappings": ids((0, 0, 1))}


@pytest.mark.parametrize("asked", [{"options": ["bind", "idmap"]}, {"options": ["bind"], **ONE}])
def test_what_cannot_be_idmapped_and_has_to_be(pysc: Pysc, bundle: Bundles, asked: dict[str, Any]) -> None:
    """procfs cannot; without being asked that is a warning."""
    made = bundle(["true"], writable=True)
    container = ids((0, 300_000, 65536))
    made.config["linux"]["namespaces"].append({"type": "user"})
    made.config["linux"].update(uidMappings=container, gidMappings=container)
    made.config["mounts"].append({"destination": "/vol", "source": "/proc/sys", **asked})
    made.write()
    done = pysc("run", "-b", made, pysc.id)
    assert (done.code, "idmapped mount of '/proc/sys': " in done.err) == (1, True), done
