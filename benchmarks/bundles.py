"""What the containers see: a busybox root, a root that shows the host's system directories, data to work on; their configs."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from runsc_cli.spec import default_spec

if TYPE_CHECKING:
    from benchmarks.runtimes import Config, Runtime

SOURCE = Path(__file__).with_name("guest.c")
_DIRECTORIES = ("dev", "etc", "proc", "root", "sys", "tmp", "data")
_SYSTEM = ("bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr")
_ENVIRONMENT = [
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/root",
    "LC_ALL=C",
    "GIT_OPTIONAL_LOCKS=0",  # the data is read-only
    "GIT_CONFIG_COUNT=1",
    "GIT_CONFIG_KEY_0=safe.directory",
    "GIT_CONFIG_VALUE_0=*",
]


class Trees:
    """Made once in a directory of ours; configs and bundles are made of them."""

    def __init__(self, directory: Path, state: Path, *, small: bool) -> None:
        self.directory = directory
        self.state = state
        directory.chmod(0o755)
        guest = directory / "guest"
        subprocess.run(["cc", "-O2", "-static", "-o", str(guest), str(SOURCE)], check=True)
        self.busybox = self._root("busybox", guest)
        busybox = shutil.which("busybox")
        if busybox is None:
            raise SystemExit("busybox is not installed (Debian: busybox-static)")
        (self.busybox / "bin").mkdir()
        shutil.copy(busybox, self.busybox / "bin" / "busybox")
        for applet in ("true", "sh", "ls", "sleep", "find"):
            (self.busybox / "bin" / applet).symlink_to("busybox")
        self._system = self._root("system", guest)
        self._binds = [_bind("/etc", "/etc")]
        for name in _SYSTEM:
            path = Path("/", name)
            if path.is_symlink():
                (self._system / name).symlink_to(os.readlink(path))
            elif path.is_dir():
                (self._system / name).mkdir()
                self._binds.append(_bind(str(path), str(path)))
        self.python = self._show_python()
        self._data = directory / "data"
        _make_data(self._data, lines=100_000 if small else 1_000_000)

    def _root(self, name: str, guest: Path) -> Path:
        root = self.directory / name
        for below in _DIRECTORIES:
            (root / below).mkdir(parents=True)
        (root / "tmp").chmod(0o1777)
        shutil.copy(guest, root / "guest")
        return root

    def _show_python(self) -> str:
        """An interpreter that the system root shows: the distribution's, else this one's prefix."""
        if os.path.exists("/usr/bin/python3"):
            return "/usr/bin/python3"
        prefix = sys.base_prefix
        (self._system / prefix.lstrip("/")).mkdir(parents=True, exist_ok=True)
        self._binds.append(_bind(prefix, prefix))
        return os.path.join(prefix, "bin", "python3")

    def config(self, args: list[str], *, system: bool) -> Config:
        """One config for all runtimes: that of `pysc spec`, which is runc's."""
        config = default_spec(args=args)
        config["root"]["path"] = str(self._system if system else self.busybox)
        config["process"]["env"] = _ENVIRONMENT
        config["mounts"].append({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777"]})
        if system:
            config["mounts"] += [*self._binds, _bind(str(self._data), "/data")]
        return config

    def bundle(self, runtime: Runtime, config: Config, id: str) -> Path:
        path = self.directory / "bundles" / id
        path.mkdir(parents=True, exist_ok=True)
        (path / "config.json").write_text(json.dumps(runtime.adapt(config)))
        return path


def _bind(source: str, destination: str) -> dict[str, object]:
    return {"destination": destination, "type": "bind", "source": source, "options": ["rbind", "ro", "nosuid", "nodev"]}


def _make_data(data: Path, lines: int) -> None:
    chance = random.Random(1)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(3, 9))) for _ in range(2000)]

    def text(count: int) -> str:
        return "".join(" ".join(chance.choices(words, k=7)) + "\n" for _ in range(count))

    pool = [" ".join(chance.choices(words, k=7)) + "\n" for _ in range(20_000)]

    def source() -> str:
        """A file as long as those of a source tree are: half are below 4 KB, the mean is 9 KB."""
        count = min(int(chance.lognormvariate(4.5, 1.3)) + 1, len(pool))
        start = chance.randrange(len(pool) - count + 1)
        return "".join(pool[start : start + count])

    (data / "repo").mkdir(parents=True)
    for number in range(100):
        tree, repo = data / "tree" / f"d{number:02}", data / "repo" / f"d{number:02}"
        tree.mkdir(parents=True)
        repo.mkdir()
        for file in range(100):
            (tree / f"f{file:02}.txt").write_text(source() + ("needle\n" if file == number else ""))
        for file in range(20):
            path = repo / f"f{file:02}.txt"
            path.write_text(text(5))
            os.utime(path, (1e9, 1e9))  # as old as the index, git would read every file again
    git = ["git", "-C", str(data / "repo"), "-c", "user.name=bench", "-c", "user.email=bench@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "all"]):
        subprocess.run([*git, *command], check=True)
    (data / "lines.txt").write_text(text(lines))
    (data / "program.c").write_text(_program())


def _program() -> str:
    headers = "stdio stdlib string errno fcntl unistd pthread signal time math ctype limits stdint locale dirent poll".split()
    headers += [f"sys/{name}" for name in "stat mman socket wait types time resource ioctl uio un".split()]
    functions = [
        f"int f{n}(const char *s, int x) {{ int h = {n}; for (; *s; s++) h = h * 31 + *s + x % {n + 2}; "
        f'if (h % 7 == {n % 7}) printf("%d %s\\n", h, s); return h ^ (int)strlen(s); }}'
        for n in range(150)
    ]
    return "\n".join([*(f"#include <{name}.h>" for name in headers), *functions, ""])
