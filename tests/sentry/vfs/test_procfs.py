"""Names of /proc are classified, the tree behind the protocol leads to every text, and readers read whole files."""

from __future__ import annotations

import os
from errno import EPERM
from typing import TYPE_CHECKING

import pytest
from fakes import MOUNTINFO, PROC, every_synth, fake
from hypothesis import example, given
from hypothesis import strategies as st

from sentry.vfs import proctext, sysctl
from sentry.vfs.fuse import Connection
from sentry.vfs.procfs import Deny, Native, Synth, Tree, classify, generate
from sentry.vfs.procread import MAX_SIZE, cgroup_levels, cgroup_reader, directory_reader

if TYPE_CHECKING:
    from pathlib import Path

# ---- names ----


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"/proc", "NATIVE"),
        (b"/proc/self", "NATIVE"),
        (b"/proc/mounts", "NATIVE"),
        (b"/proc/1", "NATIVE"),
        (b"/proc/1/status", "NATIVE"),
        (b"/proc/1/fd/3", "NATIVE"),
        (b"/proc/1/attr", "NATIVE"),
        (b"/proc/1/attr/current", "DENY(13)"),
        (b"/proc/1/stack", "DENY(13)"),
        (b"/proc/1/unheard_of", "DENY(13)"),
        (b"/proc/1/task", "NATIVE"),
        (b"/proc/1/task/4", "NATIVE"),
        (b"/proc/1/task/4/comm", "NATIVE"),
        (b"/proc/1/task/4/children", "NATIVE"),
        (b"/proc/1/task/4/task", "DENY(13)"),
        (b"/proc/1/task/x/comm", "DENY(13)"),
        (b"/proc/1/task/4/mountinfo", "SYNTH(b'proc/4/mountinfo')"),
        (b"/proc/12/mountinfo", "SYNTH(b'proc/12/mountinfo')"),
        (b"/proc/12/cgroup", "SYNTH(b'proc/12/cgroup')"),
        (b"/proc/12/status (deleted)", "DENY(3)"),
        (b"/proc/meminfo", "SYNTH(b'proc/meminfo')"),
        (b"/proc/pressure", "NATIVE"),
        (b"/proc/pressure/cpu", "SYNTH(b'proc/pressure/cpu')"),
        (b"/proc/kcore", "DENY(13)"),
        (b"/proc/fs", "DENY(13)"),
        (b"/proc/fs/ext4/vda/mb_groups", "DENY(13)"),
        (b"/proc/sysvipc/shm", "NATIVE"),
        (b"/proc/sys/kernel/hostname", "NATIVE"),
        (b"/proc/sys/kernel/pid_max", "NATIVE"),
        (b"/proc/sys/kernel/random/boot_id", "SYNTH(b'proc/sys/kernel/random/boot_id')"),
        (b"/proc/sys/kernel/usermodehelper/bset", "DENY(13)"),
        (b"/proc/sys/net/ipv4/ip_forward", "NATIVE"),
        (b"/procfs/meminfo", "DENY(13)"),
        (b"/proc/../kcore", "DENY(13)"),
        (b"/proc/1//fd", "DENY(13)"),
        (b"meminfo", "DENY(13)"),
        (b"", "DENY(13)"),
    ],
)
def test_names(name: bytes, expected: str) -> None:
    assert repr(classify(name)) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"/proc/1/oom_score_adj", "NATIVE"),
        (b"/proc/1/loginuid", "SYNTH(b'proc/1/loginuid')"),
        (b"/proc/1/mountinfo", "DENY(13)"),
        (b"/proc/meminfo", "DENY(13)"),
        (b"/proc/execdomains", "DENY(13)"),
        (b"/proc/sys/kernel/hostname", "NATIVE"),
        (b"/proc/sys/kernel/shmmax", "NATIVE"),
        (b"/proc/sys/net/ipv4/ip_forward", "NATIVE"),
        (b"/proc/sys/kernel/core_pattern", "DENY(13)"),
        (b"/proc/sys/vm/overcommit_memory", "DENY(13)"),
        (b"/proc/sys/vm/drop_caches", "DENY(13)"),
        (b"/proc/sysrq-trigger", "DENY(13)"),
        (b"/proc/sysvipc/shm", "DENY(13)"),
    ],
)
def test_names_to_write(name: bytes, expected: str) -> None:
    assert repr(classify(name, write=True)) == expected


@pytest.mark.parametrize(
    ("name", "write", "expected"),
    [
        (b"/proc/1/net/tcp", False, "DENY(13)"),
        (b"/proc/sys/net/core/somaxconn", False, "NATIVE"),
        (b"/proc/sys/net/core/somaxconn", True, "DENY(13)"),
        (b"/proc/sys/net/ipv4/tcp_fastopen_key", False, "DENY(13)"),
        (b"/proc/sys/net/ipv4/conf/eth0/forwarding", False, "DENY(13)"),
        (b"/proc/sys/kernel/shmmax", False, "DENY(13)"),
        (b"/proc/sys/fs/mqueue/msg_max", True, "DENY(13)"),
        (b"/proc/sysvipc/shm", False, "DENY(13)"),
        (b"/proc/sys/kernel/hostname", True, "NATIVE"),
    ],
)
def test_names_in_shared_namespaces(name: bytes, write: bool, expected: str) -> None:
    assert repr(classify(name, write=write, own_net=False, own_ipc=False)) == expected


@pytest.mark.parametrize("name", ["ipv4/conf", "ipv4/neigh", "ipv6/conf", "ipv6/neigh", "ipv4/conf/eth0"])
def test_interfaces_of_a_shared_network_are_not_listed(name: str) -> None:
    directory = f"/proc/sys/net/{name}".encode()
    assert repr(classify(directory, directory=True, own_net=False)) == "DENY(13)"
    assert repr(classify(directory, directory=True)) == "NATIVE"
    assert repr(classify(b"/proc/sys/net/ipv4", directory=True, own_net=False)) == "NATIVE"


@given(st.lists(st.sampled_from([b"proc", b"sys", b"1", b"self", b"fd", b"task", b"", b"..", b"\xff", b"net"])))
@example([b"proc", b"1", b"task"])
def test_any_name(parts: list[bytes]) -> None:
    assert isinstance(classify(b"/" + b"/".join(parts)), Native | Deny | Synth)


@given(st.binary(max_size=30))
def test_unknown_names_are_refused(tail: bytes) -> None:
    for prefix in (b"/proc/zz", b"/proc/1/zz", b"/proc/sys/kernel/zz", b"/proc/1/attr/", b"/proc/sys/zz"):
        assert isinstance(classify(prefix + tail), Deny)


def test_sysctl_names_belong_to_one_class() -> None:
    classes = [sysctl.UTS, sysctl.IPC, sysctl.READ_ONLY, frozenset(sysctl.SYNTHESISED)]
    assert len(frozenset().union(*classes)) == sum(map(len, classes))


# ---- the tree ----


def walk(tree: Tree, nodeid: int, path: bytes) -> int | None:
    for name in path.split(b"/"):
        entry = tree.lookup(nodeid, name)
        if entry is None:
            return None
        nodeid = entry.nodeid
    return nodeid


def test_every_key_leads_to_its_text() -> None:
    proc = {**PROC, b"locks": b"", b"4194303/mountinfo": MOUNTINFO, b"4194303/cgroup": b"0::/x\n"}
    proc[b"4194303/sched"] = b"a (1)\nse.exec_start  : 1.0\nprio : 120\n"
    view = fake({b"%s.pressure" % name: b"some\n" for name in (b"cpu", b"io", b"memory")}, proc=proc)
    tree = Tree(view)
    nodes = {}
    for synth in every_synth():
        nodeid = walk(tree, 1, synth.key)
        assert nodeid is not None, synth
        nodes[nodeid] = synth
        assert tree.read(nodeid) == generate(synth.name, view, synth.pid)
        entry = tree.entry(nodeid)
        assert entry is not None
        assert entry.nodeid == nodeid
        assert entry.mode & 0o170000 == 0o100000
    assert len(nodes) == len(every_synth()) == len(proctext.ROOT) + len(sysctl.SYNTHESISED) + len(proctext.TASK)


def test_sched_without_moments() -> None:
    view = fake(proc={b"3/sched": b"a (1)\nse.exec_start  : 1.0\nse.avg.last_update_time : 9\nprio : 120\n"})
    assert generate(b"sched", view, 3) == b"a (1)\nprio : 120\n"


@pytest.mark.parametrize("path", [b"meminfo", b"proc/1/status", b"proc/01/cgroup", b"proc/0", b"proc/x", b"proc//x", b""])
def test_other_names_are_absent(path: bytes) -> None:
    assert walk(Tree(fake()), 1, path) is None


@given(st.integers(0, 2**64 - 1), st.binary(max_size=10))
def test_any_node(nodeid: int, name: bytes) -> None:
    tree = Tree(fake())
    tree.lookup(nodeid, name)
    entry = tree.entry(nodeid)
    if entry is None or entry.mode & 0o040000:
        with pytest.raises(OSError, match="not a file"):
            tree.read(nodeid)


def test_a_dead_process_and_a_login_uid() -> None:
    tree = Tree(fake())
    cgroup = walk(tree, 1, b"proc/999/cgroup")
    assert cgroup is not None
    with pytest.raises(FileNotFoundError):
        tree.read(cgroup)
    login = walk(tree, 1, b"proc/1/loginuid")
    assert login is not None
    with pytest.raises(OSError) as e:
        tree.write(login, 0, b"0")
    assert e.value.errno == EPERM


# ---- the readers ----


def test_a_list_that_the_workload_has_made_too_long_ends_with_a_line(tmp_path: Path) -> None:
    line = b"1: POSIX  ADVISORY  WRITE 1 00:00:1 0 0\n"
    (tmp_path / "locks").write_bytes(line * (2 * MAX_SIZE // len(line)))
    text = directory_reader(os.open(tmp_path, os.O_PATH))(b"locks")
    assert text == line * (MAX_SIZE // len(line))


def test_readers_read_whole_files(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_bytes(b"x" * 200_000)
    (tmp_path / "v1").mkdir()
    (tmp_path / "v1" / "cpu.shares").write_bytes(b"2\n")
    unified = os.open(tmp_path, os.O_PATH)
    cpu = os.open(tmp_path / "v1", os.O_PATH)
    assert len(directory_reader(unified)(b"memory.max")) == 200_000
    read = cgroup_reader({b"": unified, b"cpu": cpu})
    assert len(read(b"memory.max")) == 200_000
    assert read(b"cpu.shares") == b"2\n"
    with pytest.raises(FileNotFoundError):
        cgroup_reader({b"cpu": cpu})(b"memory.max")
    os.close(unified)
    os.close(cpu)


def test_levels_of_a_cgroup_end_where_each_hierarchy_does(tmp_path: Path) -> None:
    leaf = {}
    for controller, path in (("memory", "pod/box"), ("cpu", "box")):
        place = tmp_path / controller / path
        place.mkdir(parents=True)
        leaf[controller.encode()] = (os.open(place, os.O_PATH), len(path.split("/")))
        for number, directory in enumerate((place, *place.parents[: len(path.split("/"))])):
            (directory / f"{controller}.max").write_text(str(number))
    (tmp_path / "cpu.max").write_text("above the hierarchy")
    read = [[level(name) if has else None for name, has in zip((b"memory.max", b"cpu.max"), (True, number < 2), strict=True)]
            for number, level in enumerate(cgroup_levels(leaf))]  # fmt: skip
    assert read == [[b"0", b"0"], [b"1", b"1"], [b"2", None]]
    with pytest.raises(FileNotFoundError):
        cgroup_levels(leaf)[2](b"cpu.max")
    assert cgroup_levels({}) == []
    for fd, _ in leaf.values():
        os.close(fd)


def test_the_tree_behind_the_protocol() -> None:
    """A whole exchange without a kernel: LOOKUP proc, LOOKUP uptime, READ."""
    from test_serve import answer, read_body, request

    from sentry.vfs import fuse

    connection = Connection(Tree(fake()), lambda e: pytest.fail(repr(e)))
    nodeid = 1
    for name in (b"proc", b"uptime"):
        error, body = answer(connection.receive(request(fuse.LOOKUP, name + b"\0", nodeid)))
        assert error == 0
        nodeid = fuse.fuse_entry_out.unpack_from(body)[0]
    assert answer(connection.receive(request(fuse.READ, read_body(1, 0), nodeid))) == (0, b"100.00 398.25\n")
