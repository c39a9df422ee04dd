"""An ordinary user: `pysc do`, run, exec and the rest, with subordinate ids and with a single one."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import howto
import pexpect
import pytest
from containers import Done, make_busybox_root, merge, requires
from engines import settle
from user import GID, SUBORDINATE, UID, User

from runsc_cli.cgroups.hierarchy import find

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

ULIMITS = '[containers]\ndefault_ulimits = ["nofile=1024:2048", "nproc=4096:8192"]\n'
"""podman's own ones raise hard limits."""

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else"),
    requires("busybox", "unshare", "nsenter", "setpriv", "newuidmap"),
]


@pytest.fixture(scope="module", params=[65536, 0], ids=["subordinate", "single"])
def each_user(request: pytest.FixtureRequest) -> Iterator[User]:
    user = User(request.param)
    yield user
    user.stop()


@pytest.fixture
def user(each_user: User) -> Iterator[User]:
    """It has no containers before and after a test."""
    yield each_user
    for id in each_user("pysc", "list", "-q").out.split():
        each_user("pysc", "delete", "--force", id)


@pytest.fixture(scope="module")
def subordinate() -> Iterator[User]:
    user = User(65536)
    yield user
    user.stop()


def bundle(user: User, *args: str, **changes: Any) -> Path:
    """A bundle of the user's, with the config that `pysc spec` writes for it."""
    path = user.home / f"bundle{len(os.listdir(user.home))}"
    path.mkdir()
    make_busybox_root(path / "rootfs")
    user.give([path, *path.rglob("*")])
    user("pysc", "spec", "--bundle", path, "--", *args, check=True)
    config = path / "config.json"
    config.write_text(json.dumps(merge(json.loads(config.read_text()), {"root": {"readonly": False}, **changes})))
    return path


def test_do(user: User) -> None:
    done = user("pysc", "do", "--", "sh", "-c", "id -u; cat /proc/self/uid_map; ip link 2>/dev/null | grep -c eth; echo text > new; cat new")
    lines = done.out.splitlines()
    assert (lines[0], lines[1].split()) == ("0", ["0", "0", "1"]), done
    assert lines[-2:] == ["0", "text"]
    assert not (user.home / "new").exists()  # the overlay is thrown away


@pytest.mark.parametrize("taken", ["pysc-taken", "taken"])
def test_a_cgroup_that_somebody_else_has_made(user: User, taken: str) -> None:
    """It is as if the user might make none there."""
    hierarchies = find()
    places = [Path(os.path.dirname(hierarchies.leaf(each, "", "x"))) / taken for each in hierarchies.mounts]
    for place in set(places):
        place.mkdir()
    try:
        assert user("pysc", "run", "-b", bundle(user, "echo", "done"), "taken").out == "done\n"
        limited = user("pysc", "run", "-b", bundle(user, "true", linux={"resources": {"pids": {"limit": 100}}}), "taken")
        assert "linux.resources.pids" in limited.err
        assert "no permission to make a" in limited.err
        assert not user("pysc", "list", "-q").out
    finally:
        for place in set(places):
            place.rmdir()


@pytest.mark.parametrize("name", ["/dev/stdin", "/proc/self/fd/0", "/proc/thread-self/fd/0"])
def test_what_is_given_open_for_reading_is_not_written_to(user: User, name: str) -> None:
    """Its owner is the user, and inside root is."""
    given = user.home / "given"
    given.write_text("as it was")
    user.give([given])
    attack = (
        f"cat {name}; for how in '>' '>>' '<>'; do (eval \": $how {name}\") 2>/dev/null || echo refused; done; "
        f"python3 -c 'import os; os.truncate(\"{name}\", 0)' 2>/dev/null || echo refused; : < {name} && echo again"
    )
    outside = user.argv("pysc", "do", "--", "sh", "-c", attack)
    first = user.argv("pysc", "run", "--detach", "-b", bundle(user, "sleep", "1000"), "first")
    subprocess.run(first, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=60, check=True)
    joined = user.argv("pysc", "exec", "first", "sh", "-c", attack)
    for argv in (outside, joined):
        with open(given) as stdin:
            done = subprocess.run(argv, stdin=stdin, capture_output=True, text=True, timeout=60, check=False)
        assert (done.stdout, given.read_text()) == ("as it wasrefused\nrefused\nrefused\nrefused\nagain\n", "as it was"), done
    with open(given, "w") as stdout:  # what it has, it may open again
        subprocess.run(user.argv("pysc", "do", "--", "sh", "-c", "echo new > /dev/stdout"), stdout=stdout, timeout=60, check=True)
    assert given.read_text() == "new\n"
    user("pysc", "delete", "--force", "first", check=True)


AGAIN = """
import errno, os, sys
def attempt(name, flags):
    try:
        fd = os.open(name, flags)
        print(bool(os.get_blocking(fd)), os.get_blocking(0), os.get_blocking(1))
        os.close(fd)
    except OSError as e:
        print(errno.errorcode[e.errno])
for name in ("/dev/stdin", "/proc/self/fd/1"):
    for flags in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR):
        attempt(name, flags | os.O_NONBLOCK)
own = os.pipe()
attempt(f"/proc/self/fd/{own[0]}", os.O_WRONLY)
"""


def opened_again(argv: list[str], owner: int) -> list[str]:
    """Of a container whose stdin and stdout are pipes; through the first nothing comes."""
    reading, writing = os.pipe()
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as cat:
        assert cat.stdin is not None
        for pipe in (reading, cat.stdin.fileno()):
            os.fchown(pipe, owner, -1)
        subprocess.run([*argv, "python3", "-S", "-c", AGAIN], stdin=reading, stdout=cat.stdin, timeout=60, check=True)
        out = cat.communicate(timeout=60)[0]
    os.close(reading)
    os.close(writing)
    return str(out).splitlines()


def test_a_pipe_is_opened_again_with_the_flags_asked_for_and_not_at_its_other_end(user: User) -> None:
    new = "False True True"
    assert opened_again(user.argv("pysc", "do", "--quiet", "--"), UID) == [new, "EACCES", "EACCES", "EACCES", new, "EACCES", "True True True"]


def test_what_cannot_be_opened_again_without_waiting_is_refused() -> None:
    """A pipe of the host's root, of which the container can have duplicates alone: one that waits is none of those that were asked for."""
    argv = [sys.executable, "-P", "-m", "runsc_cli.main", "do", "--quiet", "--"]
    assert opened_again(argv, 0) == ["EACCES"] * 4 + ["True True True", "EACCES", "True True True"]


@pytest.mark.parametrize("platform", ["notify", "namespace"])
def test_do_in_a_directory_of_somebody_elses(user: User, tmp_path: Path, platform: str) -> None:
    for directory in (tmp_path, *tmp_path.parents[:2]):
        directory.chmod(0o755)
    command = user.argv("pysc")[-4:]
    done = user("env", "-C", tmp_path, *command, "--platform", platform, "do", "--", "sh", "-c", "echo text > new; cat new")
    assert (done.out, done.code) == ("text\n", 0), done
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("options", [["bind", "ro"], ["bind"]])
def test_what_a_bind_was_not_to_show_cannot_be_written_to(user: User, options: list[str]) -> None:
    """The kernel lets no user copy one mount without those below it."""
    volume = user.home / "volume"
    (volume / "below").mkdir(parents=True, exist_ok=True)
    user.give([volume, volume / "below"])
    mount = {"destination": "/mnt", "type": "bind", "source": str(volume), "options": options}
    made = bundle(user, "sh", "-c", "touch /mnt/top && echo top; touch /mnt/below/file && echo below; ls /mnt")
    config = json.loads((made / "config.json").read_text())
    config["mounts"].append(mount)
    (made / "config.json").write_text(json.dumps(config))
    with user.tmpfs(volume / "below"):
        done = user("pysc", "run", "--bundle", made, "box")
    assert "below" in done.out.split(), done  # the directory
    assert ("top" in done.out.splitlines()[0], done.err.count("/mnt/below/file: Read-only file system")) == ("ro" not in options, 1), done


def test_a_trusted_container(user: User) -> None:
    made = bundle(user, "sh", "-c", "id -u; grep -c Seccomp:.0 /proc/self/status")
    done = user("pysc", "--platform", "namespace", "run", "--bundle", made, "box")
    assert (done.out, done.code) == ("0\n1\n", 0), done


def test_a_traced_container(user: User) -> None:
    """Where the user's host has no user notification: the platform ptrace, which needs no privilege."""
    made = bundle(user, "sh", "-c", "id -u; echo text > /tmp/new; cat /tmp/new; exit 3")
    done = user("pysc", "--platform", "ptrace", "run", "--bundle", made, "box")
    assert (done.out, done.code) == ("0\ntext\n", 3), done
    waits = user.argv("pysc", "--platform", "ptrace", "run", "--detach", "--bundle", bundle(user, "sleep", "1000"), "box")
    subprocess.run(waits, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=60, check=True)
    assert user("pysc", "exec", "box", "sh", "-c", "cat /etc/passwd | head -n 1; exit 4").code == 4
    user("pysc", "delete", "--force", "box", check=True)
    assert user("pysc", "--platform", "ptrace", "do", "--", "sh", "-c", "echo x > new; cat new").out == "x\n"
    assert not (user.home / "new").exists()


def test_do_keeps_what_is_asked_for_as_the_users_own(user: User) -> None:
    user("pysc", "do", "--keep", "--", "sh", "-c", "echo text > kept; chmod 640 kept", check=True)
    facts = (user.home / "kept").stat()
    assert (facts.st_uid, facts.st_gid, facts.st_mode & 0o777) == (UID, GID, 0o640)
    (user.home / "kept").unlink()


def test_do_shows_no_more_than_root_sees(user: User) -> None:
    done = user("pysc", "do", "--", "sh", "-c", "cat /etc/shadow; ls /home /root/.ssh; kill -0 1 && echo own init; echo $?")
    assert "shadow: Permission denied" in done.err
    assert done.out.startswith("own init\n"), done


def test_run(user: User) -> None:
    path = bundle(user, "sh", "-c", "id -u; id -g; grep -E 'Seccomp_filters|CapEff' /proc/self/status; touch /new; stat -c %u /new; exit 7")
    done = user("pysc", "run", "--bundle", path, "box")
    assert (done.code, done.out.split()[:2], done.out.split()[-1]) == (7, ["0", "0"], "0"), done
    assert "Seccomp_filters:\t1" in done.out
    assert (path / "rootfs" / "new").stat().st_uid == UID


def test_a_config_with_mappings_of_its_own(user: User) -> None:
    """`pysc spec --rootless`, as runc writes it: the container's root is the user, by the number that the host knows."""
    path = bundle(user, "true")
    (path / "config.json").unlink()
    user("pysc", "spec", "--rootless", "--bundle", path, "--", "sh", "-c", "id -u; cat /proc/self/uid_map", check=True)
    config = json.loads((path / "config.json").read_text())
    assert config["linux"]["uidMappings"] == [{"containerID": 0, "hostID": UID, "size": 1}]
    assert user("pysc", "run", "--bundle", path, "box").out.split() == ["0", "0", "0", "1"]
    config["linux"]["uidMappings"][0]["hostID"] = UID + 1
    (path / "config.json").write_text(json.dumps(config))
    refused = user("pysc", "run", "--bundle", path, "box")
    assert f"linux.uidMappings: {UID + 1} and the next 0 ids are not all yours" in refused.err, refused


def test_exec_and_the_life_of_a_container(user: User) -> None:
    path = bundle(user, "sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.05; done")
    null = subprocess.DEVNULL  # the container keeps what it is given
    create = user.argv("pysc", "create", "--bundle", path, "box")
    subprocess.run(create, stdin=null, stdout=null, stderr=null, check=True, timeout=60)
    assert json.loads(user("pysc", "state", "box").out)["status"] == "created"
    user("pysc", "start", "box", check=True)
    done = user("pysc", "exec", "--cwd", "/tmp", "--env", "A=b", "box", "sh", "-c", "pwd; id -u; echo $A; touch /x; exit 4")
    assert (done.out, done.code) == ("/tmp\n0\nb\n", 4), done
    assert (path / "rootfs" / "x").stat().st_uid == UID
    assert "box" in user("pysc", "list").out
    argv = user.argv("pysc", "exec", "-t", "box", "sh", "-c", "tty; read line; echo got $line; exit 6")
    child = pexpect.spawn(argv[0], argv[1:], timeout=60)
    child.expect("/dev/pts/0")
    child.sendline("word")
    child.expect("got word")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 6
    user("pysc", "kill", "box", "TERM", check=True)
    while json.loads(user("pysc", "state", "box").out)["status"] != "stopped":
        pass
    user("pysc", "delete", "box", check=True)
    assert user("pysc", "list", "-q").out == ""


def test_an_overlay(user: User) -> None:
    made = bundle(user, "sh", "-c", "echo new > /new; rm /etc/group; mkdir -p /a/b/c; chmod 0 /a/b; echo more >> /etc/passwd; exec sleep 1000")
    changes = user.home / "changes"
    changes.mkdir(mode=0o700, exist_ok=True)
    user.give([changes])
    for medium in ("memory", f"dir={changes}"):
        argv = user.argv("pysc", f"--overlay={medium}", "create", "--bundle", made, "box")
        subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        user("pysc", "start", "box", check=True)
        while "sleep" not in user("pysc", "exec", "box", "cat", "/proc/1/cmdline").out:
            pass
        done = user("pysc", "diff", "box", check=True)
        assert done.out.splitlines() == ["A /a", "A /a/b", "A /a/b/c", "C /etc", "D /etc/group", "C /etc/passwd", "A /new"], done
        user("pysc", "delete", "--force", "box", check=True)
    assert not (made / "rootfs/new").exists()
    assert os.listdir(changes) == []


def test_an_overlay_has_files_of_subordinate_ids(subordinate: User) -> None:
    """Which the user cannot remove but as root of a user namespace."""
    caps = {kind: ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER"] for kind in ("bounding", "effective", "permitted")}
    script = "mkdir -m 700 -p /own/sub; touch /own/sub/file; chown -R 5:6 /own; stat -c %u:%g /own/sub/file"
    made = bundle(subordinate, "sh", "-c", script, process={"capabilities": caps})
    changes = subordinate.home / "changes"
    changes.mkdir(mode=0o700)
    subordinate.give([changes])
    done = subordinate("pysc", f"--overlay=dir={changes}", "run", "--keep", "--bundle", made, "box")
    assert done.out == "5:6\n", done
    assert (changes / "box/upper/own").stat().st_uid == SUBORDINATE + 4
    assert subordinate("pysc", "diff", "box").out == "A /own\nA /own/sub\nA /own/sub/file\n"
    subordinate("pysc", "delete", "box", check=True)
    assert os.listdir(changes) == []


def test_subordinate_ids(subordinate: User) -> None:
    script = "chown 5:6 /etc/passwd; su -s /bin/sh nobody -c 'id -u; touch /tmp/x'; stat -c %u:%g /etc/passwd /tmp/x"
    caps = {kind: ["CAP_CHOWN", "CAP_SETUID", "CAP_SETGID", "CAP_DAC_OVERRIDE"] for kind in ("bounding", "effective", "permitted")}
    path = bundle(subordinate, "sh", "-c", script, process={"capabilities": caps})
    done = subordinate("pysc", "run", "--bundle", path, "box")
    assert done.out == "65534\n5:6\n65534:65534\n", done
    assert (path / "rootfs/etc/passwd").stat().st_uid == SUBORDINATE + 4
    assert (path / "rootfs/tmp/x").stat().st_uid == SUBORDINATE + 65533


def test_a_process_with_another_id(subordinate: User) -> None:
    user = {"uid": 1000, "gid": 7, "additionalGids": [9]}
    path = bundle(subordinate, "sh", "-c", "id -u; id -G; cat /etc/passwd > /dev/null && echo read", process={"user": user})
    assert subordinate("pysc", "run", "--bundle", path, "box").out == "1000\n7 9\nread\n"


def test_a_single_id_is_all_there_is() -> None:
    single = User(0)
    try:
        caps = {kind: ["CAP_CHOWN"] for kind in ("bounding", "effective", "permitted")}
        path = bundle(single, "chown", "5", "/etc/passwd", process={"capabilities": caps})
        done = single("pysc", "run", "--bundle", path, "box")
        assert "/etc/subuid and /etc/subgid have no range for you" in done.err
        assert (done.code, "chown: /etc/passwd: Invalid argument" in done.err) == (1, True), done
        path = bundle(single, "true", process={"user": {"uid": 1000}})
        assert "process.user.uid: 1000 is not mapped" in single("pysc", "run", "--bundle", path, "box").err
    finally:
        single.stop()


@pytest.fixture
def podman(subordinate: User) -> Iterator[Callable[..., Done]]:
    """podman as the user, configured as docs/engines.md says."""
    home = subordinate.home
    script = home / "pysc"
    assigned = shlex.join(["env", *(f"{name}={value}" for name, value in subordinate.environment.items())])
    script.write_text(f'#!/bin/sh\nexec {assigned} {shlex.join(subordinate.argv("pysc")[-4:])} "$@"\n')
    script.chmod(0o755)
    text = howto.blocks("podman", str(script))[0]
    files = f'events_logger = "file"\nlock_type = "file"\ntmp_dir = "{home}/tmp"\n'
    (home / "containers.conf").write_text(text.replace("[engine]\n", f"[engine]\n{files}") + f"\n{ULIMITS}")
    (home / "storage.conf").write_text(f'[storage]\ndriver = "vfs"\ngraphroot = "{home}/graph"\nrunroot = "{subordinate.runtime}/storage"\n')
    environment = (f"CONTAINERS_CONF={home}/containers.conf", f"CONTAINERS_STORAGE_CONF={home}/storage.conf")
    reaper = (f"{subordinate.directory}/python/bin/python3", "-IS", f"{subordinate.directory}/pysc/tests/reaper.py")

    def run(*words: object, check: bool = False) -> Done:
        return subordinate("env", *environment, *reaper, "podman", *words, check=check)

    yield run
    run("rm", "--all", "--force", "--time", 0)
    settle()
    run("system", "migrate")  # ends the process that keeps podman's user namespace


@requires("podman", "conmon")
def test_podman(podman: Callable[..., Done], subordinate: User) -> None:
    root = make_busybox_root(subordinate.home / "root")
    archive = subordinate.home / "root.tar"
    subprocess.run(["tar", "-cf", archive, "-C", root, "."], check=True)
    archive.chmod(0o644)
    podman("import", archive, "busybox:latest", check=True)
    script = "id -u; cat /proc/self/uid_map; grep Seccomp_filters /proc/self/status; echo text > /new; cat /new; exit 5"
    done = podman("run", "--rm", "--network", "none", "busybox", "sh", "-c", script)
    assert (done.out.split(), done.code) == ("0 0 0 1 1 1 65536 Seccomp_filters: 2 text".split(), 5), done
    podman("run", "-d", "--name", "box", "--network", "none", "busybox", "sh", "-c", "echo line; sleep 1000", check=True)
    assert podman("exec", "box", "sh", "-c", "echo inside; exit 4").out == "inside\n"
    assert podman("logs", "box").out == "line\n"
    podman("stop", "--time", 0, "box", check=True)


def test_limits_need_a_cgroup(user: User) -> None:
    path = bundle(user, "true", linux={"resources": {"memory": {"limit": 64 << 20}}})
    done = user("pysc", "run", "--bundle", path, "box")
    assert done.code == 1
    assert "delegat" in done.err, done


def test_systemd_takes_a_bus_of_the_users(user: User) -> None:
    """With a systemd of the user's: tests/vm/test_ordinary_user.py."""
    path = bundle(user, "true", linux={"cgroupsPath": ":pysc:box"})
    words = ("pysc", "--root", user.runtime / "pysc", "--systemd-cgroup", "run", "--bundle", path, "box")
    done = user(*words)
    why = f"no systemd of your own to ask for a cgroup: {user.runtime}/bus is not there: log in anew, or 'loginctl enable-linger'"
    assert (done.code, [why in line for line in done.err.splitlines() if "error" in line], done.err.count("bus is not")) == (1, [True], 1), done
    argv = [word for word in user.argv(*words) if not word.startswith("XDG_RUNTIME_DIR=")]
    assert "XDG_RUNTIME_DIR is not set: log in anew" in failure(argv)
    argv.insert(argv.index("-i") + 1, "DBUS_SESSION_BUS_ADDRESS=unix:path=/nowhere")
    assert "connect to your own bus: no such file or directory" in failure(argv)
    assert user("pysc", "list", "-q").out == ""


def failure(argv: list[str]) -> str:
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 1, ran
    return ran.stderr
