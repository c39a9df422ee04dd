"""linux.namespaces, kind by kind: a new one, one that is joined, none; the clocks of a time namespace; id mappings."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
from containers import Bundle, Bundles, Pysc, requires

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    requires("busybox", "unshare"),
]

FILES = {"network": "net", "ipc": "ipc", "uts": "uts", "cgroup": "cgroup", "time": "time", "pid": "pid", "mount": "mnt", "user": "user"}
SHARED = ("network", "ipc", "uts", "cgroup", "time")
"""Those that a container may share with somebody."""


def with_namespace(made: Bundle, kind: str, entry: dict[str, Any] | None) -> Bundle:
    """The bundle with this entry for a kind of namespace, or without one."""
    others = [each for each in made.config["linux"]["namespaces"] if each["type"] != kind]
    made.config["linux"]["namespaces"] = others + ([{"type": kind, **entry}] if entry is not None else [])
    if kind == "uts" and entry is None:
        made.config.pop("hostname", None)
    made.write()
    return made


def seen(pysc: Pysc, made: Bundle) -> str:
    return pysc("run", "-b", made, pysc.id, check=True).out.strip()


@pytest.fixture
def holder() -> Iterator[int]:
    """A process with namespaces of its own; its pid."""
    argv = ["unshare", "--ipc", "--uts", "--net", "--cgroup", "--time", "--fork", "--kill-child", "sh", "-c", "echo ready $$; exec sleep 1000"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline().split()[1])
        yield pid
        os.kill(pid, signal.SIGKILL)  # of which its parent hears, and ends


@pytest.mark.parametrize("kind", FILES)
def test_a_new_one_is_new(pysc: Pysc, bundle: Bundles, kind: str) -> None:
    file = FILES[kind]
    made = with_namespace(bundle(["readlink", f"/proc/self/ns/{file}"]), kind, {} if kind != "user" else None)
    inside = seen(pysc, made)
    assert inside.startswith(f"{file}:[")
    assert inside != os.readlink(f"/proc/self/ns/{file}")


@pytest.mark.parametrize("kind", SHARED)
def test_one_that_is_joined(pysc: Pysc, bundle: Bundles, holder: int, kind: str) -> None:
    path = f"/proc/{holder}/ns/{FILES[kind]}"
    made = with_namespace(bundle(["readlink", f"/proc/self/ns/{FILES[kind]}"]), kind, {"path": path})
    if kind == "uts":  # its name is its owner's
        made.config.pop("hostname", None)
        made.write()
    assert seen(pysc, made) == os.readlink(path)
    assert os.readlink(path) != os.readlink(f"/proc/self/ns/{FILES[kind]}")


@pytest.mark.parametrize("kind", ["network", "ipc", "uts", "cgroup"])
def test_without_one_it_is_the_callers(pysc: Pysc, bundle: Bundles, kind: str) -> None:
    made = with_namespace(bundle(["readlink", f"/proc/self/ns/{FILES[kind]}"]), kind, None)
    assert seen(pysc, made) == os.readlink(f"/proc/self/ns/{FILES[kind]}")


@pytest.mark.parametrize("kind", SHARED)
def test_a_path_of_another_kind_is_an_error(pysc: Pysc, bundle: Bundles, kind: str) -> None:
    made = with_namespace(bundle(["true"]), kind, {"path": "/proc/self/ns/mnt"})
    done = pysc("run", "-b", made, pysc.id)
    assert (done.code, f"join the {kind} namespace '/proc/self/ns/mnt': invalid argument" in done.err) == (1, True), done


@pytest.mark.parametrize("kind", ["pid", "mount", "user"])
def test_one_that_the_sandbox_has_to_own(pysc: Pysc, bundle: Bundles, kind: str) -> None:
    made = with_namespace(bundle(["true"]), kind, {"path": f"/proc/self/ns/{FILES[kind]}"})
    done = pysc("run", "-b", made, pysc.id)
    assert done.code == 1
    assert f"path: the sandbox needs a {kind} namespace of its own, it cannot join one" in done.err


# ---- time ----

NOW = "cut -d' ' -f1 /proc/uptime; cut -d' ' -f22 /proc/self/stat"


def host_uptime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@pytest.mark.parametrize("offset", [1_000_000, 0, None])
def test_offsets_are_those_of_the_config(pysc: Pysc, bundle: Bundles, offset: int | None) -> None:
    """What /proc says is the sentry's, when a process began is the kernel's: both follow."""
    made = with_namespace(bundle(["sh", "-c", NOW]), "time", {})
    if offset is not None:
        made.config["linux"]["timeOffsets"] = {"boottime": {"secs": offset}, "monotonic": {"secs": 7, "nanosecs": 5}}
        made.write()
    before = host_uptime()
    uptime, began = map(float, seen(pysc, made).split())
    after = host_uptime()
    assert before - 2 <= uptime - (offset or 0) <= after + 2
    assert before - 2 <= began / 100 - (offset or 0) <= after + 2


def test_a_negative_offset(pysc: Pysc, bundle: Bundles) -> None:
    whole = int(host_uptime())
    made = with_namespace(bundle(["sh", "-c", NOW]), "time", {})
    made.config["linux"]["timeOffsets"] = {"boottime": {"secs": -whole}}
    made.write()
    uptime, _ = map(float, seen(pysc, made).split())
    assert 0 <= uptime < 30


def test_a_clock_before_its_beginning_is_refused(pysc: Pysc, bundle: Bundles) -> None:
    made = with_namespace(bundle(["true"]), "time", {})
    made.config["linux"]["timeOffsets"] = {"boottime": {"secs": -(1 << 40)}}
    made.write()
    done = pysc("run", "-b", made, pysc.id)
    assert (done.code, "linux.timeOffsets: numerical result out of range" in done.err) == (1, True), done


def test_the_clocks_of_a_namespace_that_is_joined(pysc: Pysc, bundle: Bundles) -> None:
    argv = ["unshare", "--time", "--boottime", "5000000", "--fork", "--kill-child", "sh", "-c", "echo $$; exec sleep 1000"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        path = f"/proc/{pid}/ns/time"
        made = with_namespace(bundle(["sh", "-c", NOW]), "time", {"path": path})
        uptime, began = map(float, seen(pysc, made).split())
        os.kill(pid, signal.SIGKILL)
    assert 5_000_000 < uptime - host_uptime() + 60 < 5_000_120
    assert 5_000_000 < began / 100 - host_uptime() + 60 < 5_000_120


# ---- hostname, domainname, ids ----


def test_names(pysc: Pysc, bundle: Bundles) -> None:
    made = bundle(["sh", "-c", "hostname; cat /proc/sys/kernel/domainname"], hostname="box", domainname="example.org")
    assert seen(pysc, made).split() == ["box", "example.org"]


def test_mappings_are_the_configs(pysc: Pysc, bundle: Bundles) -> None:
    lines = [{"containerID": 0, "hostID": 310_000, "size": 10}, {"containerID": 1000, "hostID": 320_000, "size": 5}]
    made = bundle(["cat", "/proc/self/uid_map", "/proc/self/gid_map"], linux={"uidMappings": lines, "gidMappings": lines[:1]})
    made.config["linux"]["namespaces"].append({"type": "user"})
    made.write()
    rows = [tuple(map(int, line.split())) for line in seen(pysc, made).splitlines()]
    # the second number is seen from the reader's own namespace
    assert [(first, count) for first, _, count in rows] == [(0, 10), (1000, 5), (0, 10)]
    made.config["process"]["user"] = {"uid": 11, "gid": 0}
    made.write()
    done = pysc("run", "-b", made, pysc.id)
    assert (done.code, "process.user.uid: 11 is not mapped" in done.err) == (1, True), done
