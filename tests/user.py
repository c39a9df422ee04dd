"""An ordinary user of the tests' own: known to passwd(5) and subuid(5) in a mount namespace that goes with the last process in it.

The interpreter and the sources are mounted where the user can reach them, wherever they are (`/root` is nobody else's).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from containers import Done
from engines import Daemon

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

UID, GID = 7741, 7742
SUBORDINATE = 7_000_000
_CHECKOUT = Path(__file__).resolve().parent.parent
_TAKEN = ("passwd", "group", "subuid", "subgid")


class User:
    """`user("pysc", …)`: a command line as the user. `subordinate`: how many ids it has beside its own; 0 for a single one."""

    def __init__(self, subordinate: int) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="pysc-user-"))
        self.directory.chmod(0o755)
        self.home, self.runtime = self.directory / "home", self.directory / "run"
        for path in (self.home, self.runtime):
            path.mkdir(mode=0o700)
            os.chown(path, UID, GID)
        texts = {
            "passwd": f"pysctest:x:{UID}:{GID}::{self.home}:/bin/sh\n",
            "group": f"pysctest:x:{GID}:\n",
            "subuid": f"pysctest:{SUBORDINATE}:{subordinate}\n",
            "subgid": f"pysctest:{SUBORDINATE}:{subordinate}\n",
        }
        mounts = []
        self._made: list[Path] = []
        for name in _TAKEN:
            host = Path("/etc", name)
            before = host.read_text() if host.exists() and not name.startswith("sub") else ""
            (self.directory / name).write_text(before + (texts[name] if subordinate or not name.startswith("sub") else ""))
            if not host.exists():  # there has to be something to mount on
                host.touch()
                self._made.append(host)
            mounts.append(f"mount --bind {self.directory}/{name} {host}")
        for name, source in (("python", sys.base_prefix), ("pysc", str(_CHECKOUT)), ("packages", sysconfig.get_path("purelib"))):
            (self.directory / name).mkdir()
            mounts.append(f"mount --bind {source} {self.directory}/{name}")
        script = " && ".join([*mounts, "echo ready >&2", "exec sleep infinity"])
        self._holder = Daemon(["unshare", "--mount", "sh", "-c", script], "ready", self.directory)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "HOME": str(self.home),
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "PYTHONPATH": f"{self.directory}/pysc:{self.directory}/packages",
            "XDG_RUNTIME_DIR": str(self.runtime),
        }

    def argv(self, *words: object) -> list[str]:
        """A command line that becomes the user in its home; "pysc" is the command that is tested."""
        line = [str(word) for word in words]
        if line[0] == "pysc":
            line[:1] = [f"{self.directory}/python/bin/{Path(os.path.realpath(sys.executable)).name}", "-P", "-m", "runsc_cli.main"]
        become = ["setpriv", f"--reuid={UID}", f"--regid={GID}", "--clear-groups", "--inh-caps=-all"]
        assigned = [f"{name}={value}" for name, value in self.environment.items()]
        return ["nsenter", "-t", str(self._holder.pid), "-m", f"--wd={self.home}", *become, "env", "-i", *assigned, *line]

    def __call__(self, *words: object, check: bool = False, input: str = "") -> Done:
        argv = self.argv(*words)
        ran = subprocess.run(argv, input=input, capture_output=True, text=True, errors="replace", timeout=60, check=False)
        done = Done(argv, ran.returncode, ran.stdout, ran.stderr)
        assert not check or done.code == 0, done
        return done

    def give(self, paths: Iterable[Path]) -> None:
        """Make the user the owner of files below the home."""
        for path in paths:
            os.chown(path, UID, GID, follow_symlinks=False)

    @contextmanager
    def tmpfs(self, place: Path) -> Iterator[None]:
        """Mounted by root, in the mount namespace where the user lives."""
        inside = ["nsenter", "-t", str(self._holder.pid), "-m"]
        subprocess.run([*inside, "mount", "-t", "tmpfs", "-o", "mode=777", "none", place], check=True)
        yield
        subprocess.run([*inside, "umount", place], check=True)

    def stop(self) -> None:
        self._holder.crash()
        for path in self._made:
            path.unlink()
        shutil.rmtree(self.directory)
