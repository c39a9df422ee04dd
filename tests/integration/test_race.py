"""A thread or another process changes a name while it is opened: no open ever gets what the name must not lead to.

race.c is the attacker. In one half of the scenarios a thread rewrites the path (or openat2's flags) in memory between the caller's
stop and its going on; in the other a process outside of the container, as another container that shares the volume, exchanges links
and directories below the name, and moves a directory out of the volume and back while ".." is followed in it.

The same attacks go against a mediator that is written as one should not, and there they succeed: a race that nobody hits proves nothing.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import struct
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from containers import Bundles, Pysc, requires

from runsc_cli.oci.default import default_spec
from sentry.abi import SECCOMP_FILTER_FLAG_NEW_LISTENER, SECCOMP_USER_NOTIF_FLAG_CONTINUE
from sentry.platform import wire
from sentry.platform._native import ffi, lib
from sentry.platform.bpf import RET_ALLOW, RET_USER_NOTIF, Assembler, by_number
from sentry.syscalls.numbers import NUMBERS

if TYPE_CHECKING:
    from typing import Any

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    requires("gcc"),
]

TRIES = 4000
"""Of each scenario in each profile: 104,000 in all."""

EACCES, EROFS, ENOENT = "E13", "E30", "E2"

REWRITTEN = {
    "masked": "empty",
    "outside": ENOENT,
    "climbing": ENOENT,
    "unreadable": EACCES,
    "readonly": EROFS,
    "creating": EROFS,
    "flags": EROFS,
}
"""Scenarios in which the caller's memory changes: what the forbidden half comes to."""

EXCHANGED = {
    "link": ENOENT,
    "directory": ENOENT,
    "directory-climbing": ENOENT,
    "directory-readonly": EROFS,
    "moved-out": ENOENT,
    "moved-out-relative": ENOENT,
}
"""Scenarios in which the names change."""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = tmp_path_factory.mktemp("race") / "race"
    source = Path(__file__).with_name("race.c")
    subprocess.run(["gcc", "-O2", "-Wall", "-Werror", "-static", "-pthread", "-o", built, source], check=True)
    return built


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """vol may be written to; ro only be read; masked and private are forbidden, and so is what lies beside vol."""
    place = tmp_path / "place"
    for directory in ("vol/m/in", "vol/d", "vol/c", "vol/w", "ro", "private"):
        (place / directory).mkdir(parents=True)
    for name in ("vol/open", "vol/m/secret", "vol/d/secret", "vol/c/secret", "vol/w/secret", "ro/open"):
        (place / name).write_text("allowed\n")
    for name in ("masked", "private/secret", "ro/secret", "secret"):
        (place / name).write_text("SECRET\n")
    os.chown(place / "private", 1000, 1000)
    (place / "private").chmod(0o700)
    (place / "vol/count").write_bytes(bytes(8))
    (place / "vol/link").symlink_to("open")
    (place / "vol/link2").symlink_to(place / "secret")
    (place / "vol/d2").symlink_to(place)
    (place / "vol/c2").symlink_to("../" * 16 + str(place)[1:])
    return place


class Swapping:
    """`with Swapping(program, place):` a process of the host exchanges the names."""

    def __init__(self, program: Path, place: Path) -> None:
        self._argv = [program, "--swap", place]

    def __enter__(self) -> None:
        self._process = subprocess.Popen(self._argv, stdin=subprocess.PIPE)

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=60)
        assert self._process.returncode == 0


def results(out: str) -> dict[str, dict[str, int]]:
    return {
        name: {key: int(count) for key, count in (word.split("=") for word in outcomes)}
        for name, *outcomes in map(str.split, out.splitlines())
    }


def bundle_of(bundle: Bundles, program: Path, place: Path, words: list[str]) -> object:
    root = place.parent / "rootfs"
    root.mkdir()
    shutil.copy(program, root / "race")
    binds = [("vol", "rw"), ("ro", "ro"), ("masked", "rw"), ("private", "rw")]
    mounts = [
        {"destination": f"/{name}", "type": "bind", "source": str(place / name), "options": ["bind", option]} for name, option in binds
    ]
    return bundle(
        ["/race", "", str(place), str(TRIES), *words],
        root={"path": str(root)},
        mounts=[*default_spec(False, [], 0, 0)["mounts"], *mounts],
        linux={"maskedPaths": ["/masked"]},
    )


def judge(found: dict[str, dict[str, int]], expected: dict[str, str]) -> None:
    assert found.keys() == expected.keys()
    for name, forbidden in expected.items():
        counts = found[name]
        raced = counts.pop("raced")
        assert counts["secret"] == 0, (name, counts)
        # ENOENT: the path was read while it was written, or nothing has the name at the moment
        assert sum(counts.values()) == TRIES == sum(counts.get(key, 0) for key in {"allowed", forbidden, ENOENT}), (name, counts)
        assert min(raced, counts["allowed"], counts[forbidden]) > 0, (name, raced, counts)


@pytest.mark.parametrize("profile", ["standard", "strict"])
def test_memory_that_changes_while_it_is_read(pysc: Pysc, bundle: Bundles, program: Path, place: Path, profile: str) -> None:
    made = bundle_of(bundle, program, place, list(REWRITTEN))
    done = pysc("--profile", profile, "run", "-b", made, pysc.id, check=True)
    judge(results(done.out), REWRITTEN)
    assert sorted(os.listdir(place / "ro")) == ["open", "secret"]


@pytest.mark.parametrize("profile", ["standard", "strict"])
def test_names_that_change_while_they_are_followed(pysc: Pysc, bundle: Bundles, program: Path, place: Path, profile: str) -> None:
    (place / "vol/w2").symlink_to("/ro")
    made = bundle_of(bundle, program, place, list(EXCHANGED))
    with Swapping(program, place):
        done = pysc("--profile", profile, "run", "-b", made, pysc.id, check=True)
    judge(results(done.out), EXCHANGED)


# ---- the same against a mediator that looks at a name and lets the kernel look again ----


_how = struct.Struct("<QQQ")


class Naive:
    """Reads the path, finds out where it leads, refuses what is forbidden, and lets the kernel go on with the call."""

    def __init__(self, place: Path) -> None:
        self._hidden = [str(place / name) for name in ("masked", "private", "secret")]
        self._readonly = str(place / "ro")

    def judge(self, call: Any) -> int:
        """An errno, or 0."""
        buffer = ffi.new("char[]", 4096)
        if lib.read_cstr(call.pid, call.args[1], buffer, 4096) < 0:
            return errno.EFAULT
        flags = call.args[2]
        if call.nr == NUMBERS["openat2"]:
            how = ffi.new("char[]", _how.size)
            lib.read_mem(call.pid, call.args[2], how, _how.size)
            flags = _how.unpack(ffi.buffer(how))[0]
        try:
            directory = os.readlink(f"/proc/{call.pid}/cwd")
            leads_to = os.path.realpath(os.path.join(directory, os.fsdecode(ffi.string(buffer))))
        except OSError:  # a link became a directory while it was looked at
            return errno.ENOENT
        if any(leads_to.startswith(name) for name in self._hidden):
            return errno.EACCES
        if leads_to.startswith(self._readonly) and flags & (os.O_ACCMODE | os.O_CREAT):
            return errno.EROFS
        return 0

    def serve(self, listener: int) -> None:
        call = ffi.new("struct notif *")
        while not lib.notif_recv(listener, call):
            error = self.judge(call)
            lib.notif_send(listener, call.id, 0, -error, 0 if error else SECCOMP_USER_NOTIF_FLAG_CONTINUE)
        os.close(listener)


def under_a_filter(argv: list[str]) -> tuple[int, int, int]:
    """Start `argv`, whose openat and openat2 are sent to a listener. Returns its pid, the listener, and its stdout."""
    a = Assembler()
    nodes = {NUMBERS[name]: a.ret(RET_USER_NOTIF) for name in ("openat", "openat2")}
    program = by_number(a, nodes, a.ret(RET_ALLOW), a.ret(RET_ALLOW), a.ret(RET_ALLOW))
    ours, its = wire.pair()
    out, output = os.pipe()
    pid = os.fork()
    if pid == 0:
        wire.send(its, {"listener": lib.filter_install(program, len(program) // 8, SECCOMP_FILTER_FLAG_NEW_LISTENER)})
        wire.recv(its)
        os.dup2(output, 1)
        os.execv(argv[0], argv)
    os.close(output)
    listener = lib.get_fd(pid, wire.recv(ours)[0]["listener"])
    assert listener >= 0
    wire.send(ours, {})
    ours.close()
    its.close()
    return pid, listener, out


def attack_naively(program: Path, place: Path, words: list[str]) -> dict[str, dict[str, int]]:
    """The attack in `place` itself, not contained but by Naive."""
    pid, listener, out = under_a_filter([str(program), str(place), str(place), str(TRIES), *words])
    try:
        Naive(place).serve(listener)
    finally:
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
    with open(out) as file:
        found = results(file.read())
    assert found.keys() == set(words), status
    return found


def test_the_attacks_succeed_where_a_name_is_looked_at_twice(program: Path, place: Path) -> None:
    (place / "vol/w2").symlink_to(place / "ro")
    # "moved-out" is decided between two components, within the kernel: a mediator that leaves the walk to it has that right.
    left = {*REWRITTEN, *EXCHANGED} - {"moved-out"}
    for _ in range(10):  # once is enough where two CPUs are free
        with Swapping(program, place):
            found = attack_naively(program, place, sorted(left))
        left -= {name for name, counts in found.items() if counts["secret"] or (name == "creating" and counts["empty"])}
        if not left:
            break
    assert not left


def in_memory(bundle: Bundles, tmp_path: Path, name: str) -> object:
    """A bundle whose program is that of NAME.c, and which has a tmpfs on /mnt."""
    root = tmp_path / "rootfs"
    root.mkdir()
    source = Path(__file__).with_name(f"{name}.c")
    subprocess.run(["gcc", "-O2", "-Wall", "-Werror", "-static", "-pthread", "-o", root / name, source], check=True)
    mounts = [*default_spec(False, [], 0, 0)["mounts"], {"destination": "/mnt", "type": "tmpfs", "source": "tmpfs"}]
    return bundle([f"/{name}"], root={"path": str(root), "readonly": False}, mounts=mounts)


def test_an_open_that_waits_for_a_lease_is_of_what_was_judged(pysc: Pysc, bundle: Bundles, tmp_path: Path) -> None:
    """What the lease is on and what the name leads to a moment later are two files: of the second one no more is given than alone."""
    done = pysc("run", "-b", in_memory(bundle, tmp_path, "lease"), pysc.id, check=True)
    assert done.out == "own generated -\n", done


def test_a_descriptor_that_changes_while_its_name_is_opened(pysc: Pysc, bundle: Bundles, tmp_path: Path) -> None:
    """A file of the host's that was given for reading is not written to, though the number was that of another file a moment ago."""
    given = tmp_path / "given"
    given.touch()
    given.chmod(0o666)
    command = pysc.argv("run", "-b", in_memory(bundle, tmp_path, "held"), pysc.id)
    with given.open() as stdin:
        done = subprocess.run(command, stdin=stdin, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "own refused -\n", done
