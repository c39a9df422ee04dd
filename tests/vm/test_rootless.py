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

import pytest

from runsc_cli.spec import default_spec

if TYPE_CHECKING:
    from collections.abc import Iterator

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
def user() -> Iterator[User]:
    subprocess.run(["loginctl", "enable-linger", "guest"], check=True)
    assert GUEST is not None
    deadline = time.monotonic() + 90
    while not os.path.exists(f"/run/user/{GUEST.pw_uid}/bus"):
        assert time.monotonic() < deadline, "no systemd of the user's"
    home = Path("/home/guest")
    yield User(home)
    subprocess.run(["loginctl", "disable-linger", "guest"], check=True)


def bundle(user: User, script: str, **linux: object) -> Path:
    place = user.home / "bundle"
    shutil.rmtree(place, ignore_errors=True)
    (place / "rootfs/bin").mkdir(parents=True)
    for name in ("proc", "dev", "sys", "tmp"):
        (place / "rootfs" / name).mkdir()
    shutil.copy("/bin/busybox", place / "rootfs/bin/busybox")
    for name in ("sh", "cat", "sleep", "grep"):
        (place / "rootfs/bin" / name).symlink_to("busybox")
    config = default_spec(rootless=True, args=["sh", "-c", script])
    config["process"]["terminal"] = False
    for kind in ("uidMappings", "gidMappings"):
        config["linux"][kind][0]["hostID"] = user.uid
    config["linux"].update(linux)
    (place / "config.json").write_text(json.dumps(config))
    subprocess.run(["chown", "-R", "guest:guest", place], check=True)
    return place


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


def test_do(user: User) -> None:
    done = user.pysc("do", "--", "/usr/bin/python3", "-c", "print(6 * 7)")
    assert done.stdout == "42\n", done
