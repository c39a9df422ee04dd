"""An ordinary user with a cgroup that systemd has delegated: limits hold, and the sentry is beside the leaf."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import howto
import pytest
from containers import requires

from runsc_cli.spec import default_spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.timeout(240)]

TREE = Path(__file__).parents[2]
GUEST = pwd.getpwnam("guest") if "guest" in {entry.pw_name for entry in pwd.getpwall()} else None


class User:
    """Somebody with a systemd of their own."""

    def __init__(self, home: Path) -> None:
        assert GUEST is not None
        self.uid = GUEST.pw_uid
        self.home = home
        self.runtime = f"/run/user/{self.uid}"

    def __call__(self, *argv: object, scope: bool = True) -> subprocess.CompletedProcess[str]:
        bus = f"DBUS_SESSION_BUS_ADDRESS=unix:path={self.runtime}/bus"
        environ = [f"XDG_RUNTIME_DIR={self.runtime}", bus, f"HOME={self.home}", f"PATH={os.environ['PATH']}"]
        delegated = ["systemd-run", "--user", "--scope", "--quiet", "-p", "Delegate=yes"] if scope else []
        words = ["setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", "--clear-groups", "env", "-i", *environ, *delegated, *map(str, argv)]
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:  # a pipe's end would be the container's too
            done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=out, stderr=err, timeout=120, check=False, cwd=self.home)
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(words, done.returncode, out.read(), err.read())

    def pysc(self, *words: object, scope: bool = True) -> subprocess.CompletedProcess[str]:
        return self(TREE / ".venv/bin/pysc", "--root", f"{self.runtime}/pysc", *words, scope=scope)


@pytest.fixture(scope="module")
def account() -> Iterator[User]:
    subprocess.run(["loginctl", "enable-linger", "guest"], check=True)
    assert GUEST is not None
    deadline = time.monotonic() + 90
    while not os.path.exists(f"/run/user/{GUEST.pw_uid}/bus"):
        assert time.monotonic() < deadline, "no systemd of the user's"
    home = Path("/home/guest")
    yield User(home)
    subprocess.run(["loginctl", "disable-linger", "guest"], check=True)


@pytest.fixture
def user(account: User) -> Iterator[User]:
    """It has no containers after a test."""
    yield account
    for id in account.pysc("list", "-q", scope=False).stdout.split():
        account.pysc("delete", "--force", id, scope=False)


def bundle(user: User, script: str, **linux: object) -> Path:
    place = user.home / "bundle"
    shutil.rmtree(place, ignore_errors=True)
    (place / "rootfs/bin").mkdir(parents=True)
    for name in ("proc", "dev", "sys", "tmp"):
        (place / "rootfs" / name).mkdir()
    shutil.copy("/bin/busybox", place / "rootfs/bin/busybox")
    for name in ("sh", "cat", "sleep", "grep", "head", "tail"):
        (place / "rootfs/bin" / name).symlink_to("busybox")
    config = default_spec(rootless=True, args=["sh", "-c", script])
    config["process"]["terminal"] = False
    for kind in ("uidMappings", "gidMappings"):
        config["linux"][kind][0]["hostID"] = user.uid
    config["linux"].update(linux)
    (place / "config.json").write_text(json.dumps(config))
    subprocess.run(["chown", "-R", "guest:guest", place], check=True)
    return place


def place(pid: int) -> str:
    return Path(f"/proc/{pid}/cgroup").read_text().strip().partition("::")[2]


def read(leaf: Path, *files: str) -> list[str]:
    return [(leaf / name).read_text().strip() for name in files]


@pytest.mark.parametrize("platform", ["notify", "namespace"])
def test_limits_hold(user: User, platform: str) -> None:
    made = bundle(user, "for i in 1 2 3 4 5 6 7 8; do sleep 5 & done", resources={"pids": {"limit": 5}})
    done = user.pysc("--platform", platform, "run", "-b", made, "box")
    assert "can't fork" in done.stderr, done


def test_the_sentry_is_beside_the_leaf(user: User) -> None:
    made = bundle(user, "sleep 1000", resources={"memory": {"limit": 64 << 20}})
    done = user.pysc("run", "-d", "-b", made, "box")
    assert done.returncode == 0, done
    state = json.loads(Path(f"{user.runtime}/pysc/box/state.json").read_text())
    places = {who: Path(f"/proc/{state[who][0]}/cgroup").read_text().strip() for who in ("init", "sentry", "gofer")}
    assert places["init"].endswith("/app.slice/box"), places
    assert places["sentry"] == places["gofer"] == places["init"].removesuffix("box") + "pysc-box", places
    done = user.pysc("delete", "--force", "box")
    assert done.returncode == 0, done
    assert not list(Path("/sys/fs/cgroup").rglob("pysc-box"))


def test_without_delegation_it_stays_where_it_is(user: User) -> None:
    made = bundle(user, "sleep 1000")
    done = user.pysc("run", "-d", "-b", made, "box", scope=False)
    assert done.returncode == 0, done
    state = json.loads(Path(f"{user.runtime}/pysc/box/state.json").read_text())
    own = Path("/proc/self/cgroup").read_text()
    assert [Path(f"/proc/{state[who][0]}/cgroup").read_text() for who in ("sentry", "gofer")] == [own] * 2
    assert user.pysc("delete", "--force", "box", scope=False).returncode == 0


def test_a_limit_without_delegation_is_refused(user: User) -> None:
    made = bundle(user, "sleep 1000", resources={"pids": {"limit": 5}})
    done = user.pysc("run", "-d", "-b", made, "box", scope=False)
    assert (done.returncode, "linux.resources.pids.limit: no permission to make a version 2 cgroup" in done.stderr) == (1, True), done


LIMITS = {"memory": {"limit": 64 << 20}, "cpu": {"quota": 50_000, "period": 100_000, "shares": 512}, "pids": {"limit": 20}}


@pytest.mark.parametrize("scope", [False, True], ids=["from elsewhere", "from a delegated cgroup"])
@pytest.mark.parametrize("platform", ["notify", "namespace"])
def test_a_scope_of_the_users_own_systemd(user: User, platform: str, scope: bool) -> None:
    made = bundle(user, "sleep 1000", cgroupsPath=":pysc:box", resources=LIMITS)
    done = user.pysc("--systemd-cgroup", "--platform", platform, "run", "-d", "-b", made, "box", scope=scope)
    assert (done.returncode, done.stderr) == (0, ""), done
    state = json.loads(Path(f"{user.runtime}/pysc/box/state.json").read_text())
    slice = f"/user.slice/user-{user.uid}.slice/user@{user.uid}.service/user.slice"
    leaf = Path(f"/sys/fs/cgroup{slice}/pysc-box.scope")
    assert place(state["init"][0]) == f"{slice}/pysc-box.scope"
    for who in ("sentry", "gofer") if platform == "notify" else ():
        assert place(state[who][0]) == f"{slice}/pysc-pysc-box.scope", who
    assert read(leaf, "memory.max", "cpu.max", "cpu.weight", "pids.max") == [str(64 << 20), "50000 100000", "59", "20"]

    before = set((leaf / "cgroup.procs").read_text().split())
    done = user.pysc("exec", "-d", "box", "sleep", "1000", scope=scope)
    assert done.returncode == 0, done
    assert len(set((leaf / "cgroup.procs").read_text().split()) - before) == 1
    done = user.pysc("update", "--pids-limit", 30, "--memory", "48m", "box", scope=scope)
    assert done.returncode == 0, done
    assert user("systemctl", "--user", "daemon-reload", scope=False).returncode == 0
    assert read(leaf, "memory.max", "pids.max") == [str(48 << 20), "30"]
    for verb, frozen in (("pause", "frozen 1"), ("resume", "frozen 0")):
        assert user.pysc(verb, "box", scope=scope).returncode == 0
        assert frozen in (leaf / "cgroup.events").read_text().splitlines()

    done = user.pysc("delete", "--force", "box", scope=scope)
    assert (done.returncode, done.stderr) == (0, ""), done
    assert not list(Path("/sys/fs/cgroup").rglob("*box*"))
    assert user("systemctl", "--user", "list-units", "--all", "--plain", "--no-legend", "*box*", scope=False).stdout == ""


@pytest.mark.parametrize("platform", ["notify", "namespace"])
def test_limits_hold_in_such_a_scope(user: User, platform: str) -> None:
    script = "for i in 1 2 3 4 5 6 7 8; do sleep 5 & done"
    made = bundle(user, script, resources={"pids": {"limit": 5}})
    done = user.pysc("--systemd-cgroup", "--platform", platform, "run", "-b", made, "box", scope=False)
    assert "can't fork" in done.stderr, done
    made = bundle(user, "head -c 200m /dev/zero | tail -c 150m >/dev/null", resources={"memory": {"limit": 32 << 20, "swap": 32 << 20}})
    done = user.pysc("--systemd-cgroup", "--platform", platform, "run", "-b", made, "box", scope=False)
    assert done.returncode == 137, done


@pytest.fixture
def podman(user: User) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """podman as the user, with systemd for its cgroups, which is its default."""
    text = howto.blocks("podman", str(TREE / ".venv/bin/pysc"))[0].replace('cgroup_manager = "cgroupfs"\n', "")
    ulimits = '[containers]\ndefault_ulimits = ["nofile=1024:2048", "nproc=4096:8192"]\n'
    conf = user.home / "containers.conf"
    conf.write_text(text.replace("[engine]\n", '[engine]\nevents_logger = "file"\n') + f"\n{ulimits}")

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        return user("env", f"CONTAINERS_CONF={conf}", "podman", *words, scope=False)

    yield run
    run("rm", "--all", "--force", "--time", 0)
    run("system", "migrate")  # ends the process that keeps podman's user namespace


@requires("podman", "conmon")
def test_podman(user: User, podman: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    root = bundle(user, "") / "rootfs"
    archive = user.home / "root.tar"
    subprocess.run(["tar", "-cf", archive, "-C", root, "."], check=True)
    done = podman("import", archive, "busybox:latest")
    assert done.returncode == 0, done
    options = ("--memory", "64m", "--cpus", "0.5", "--pids-limit", "20", "--network", "none")
    done = podman("run", "-d", "--name", "box", *options, "busybox", "sh", "-c", "echo line; sleep 1000")
    assert done.returncode == 0, done
    id, pid = podman("inspect", "--format", "{{.Id}} {{.State.Pid}}", "box").stdout.split()
    group = place(int(pid))
    assert group == f"/user.slice/user-{user.uid}.slice/user@{user.uid}.service/user.slice/libpod-{id}.scope"
    leaf = Path(f"/sys/fs/cgroup{group}")
    assert read(leaf, "memory.max", "cpu.max", "pids.max") == [str(64 << 20), "50000 100000", "20"]
    assert podman("exec", "box", "sh", "-c", "echo inside; exit 4").stdout == "inside\n"
    row = json.loads(podman("stats", "--no-stream", "--format", "json", "box").stdout)[0]
    assert (row["name"], row["pids"], "67.11MB" in row["mem_usage"]) == ("box", "1", True), row
    done = podman("update", "--memory", "48m", "box")
    assert (read(leaf, "memory.max"), done.returncode) == ([str(48 << 20)], 0), done
    assert podman("pause", "box").returncode == 0
    assert "frozen 1" in (leaf / "cgroup.events").read_text()
    assert podman("unpause", "box").returncode == 0
    done = podman("rm", "--force", "--time", 0, "box")
    assert done.returncode == 0, done
    left = [path for path in Path("/sys/fs/cgroup").rglob(f"*{id[:12]}*") if "conmon" not in path.name]  # which ends a moment later
    assert not left


def test_do(user: User) -> None:
    done = user.pysc("do", "--", "/usr/bin/python3", "-c", "print(6 * 7)")
    assert done.stdout == "42\n", done


def test_doctor_says_whether_there_is_a_systemd_to_ask(user: User) -> None:
    for environment, there in (((), True), (("env", "-u", "DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR=/home/guest"), False)):
        done = user(*environment, TREE / ".venv/bin/pysc", "doctor", "--format", "json", scope=False)
        found = {each["name"]: each["ok"] for each in json.loads(done.stdout)["findings"]}
        assert found["systemd of your own"] is there, done
