"""What integration tests share: bundles over a busybox root, the command in a process of its own, and the search for leftovers.

A container's init, the sentry and the gofer are orphans of the command that makes them. While an integration test runs, the
test process is a child subreaper (prctl(2)), as containerd's shim is: they all become its children, and after the
test nothing of them may be left, whatever else the machine is doing.
"""

from __future__ import annotations

import copy
import ctypes
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, ClassVar

import pytest

from runsc_cli.spec import default_spec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import Any

    from zygote import Zygote

PR_SET_CHILD_SUBREAPER = 36
_CGROUP = "/sys/fs/cgroup"
ZYGOTE, NEST = "pysc-zygote", "pysc-nest"
"""The names of a zygote's process, and of its workers while they have no command; of the process that forks for a worker."""
_DEADLINE = 60.0


def requires(*programs: str) -> pytest.MarkDecorator:
    """Skip the test where a program is not installed. `@requires("git", "gcc")`"""
    missing = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


both_platforms = pytest.mark.platforms("notify", "namespace")
"""Run a test, or as a module's mark all of them, with and without a sandbox. A test's own mark counts more than its module's."""

every_platform = pytest.mark.platforms("notify", "namespace", "ptrace")

sandboxed = pytest.mark.platforms("notify")
"""Of a module for both: what only a sandbox has."""

trusted = pytest.mark.platforms("namespace")
"""Run it without a sandbox."""


def make_busybox_root(directory: Path) -> Path:
    """A root file system: busybox under the name of each of its applets, and the directories that programs expect."""
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("not installed: busybox (Debian: busybox-static)")
    with open(busybox, "rb") as file:
        if b"ld-linux" in file.read(4096):
            pytest.skip(f"{busybox} is not statically linked (Debian: busybox-static)")
    for name in ("bin", "etc", "proc", "sys", "dev", "tmp", "root", "var"):
        (directory / name).mkdir(parents=True)
    (directory / "tmp").chmod(0o1777)
    (directory / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
    (directory / "etc" / "group").write_text("root:x:0:\nnogroup:x:65534:\n")
    shutil.copy(busybox, directory / "bin" / "busybox")
    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    for applet in set(applets) - {"busybox"}:
        (directory / "bin" / applet).symlink_to("busybox")
    return directory


def merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with `changes`: objects are merged, anything else is replaced, None removes."""
    merged = copy.copy(base)
    for name, value in changes.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict) and isinstance(merged.get(name), dict):
            merged[name] = merge(merged[name], value)
        else:
            merged[name] = value
    return merged


class Bundle:
    """A bundle on disk. `config` may be changed and written again."""

    def __init__(self, path: Path, rootfs: Path, config: dict[str, Any]) -> None:
        self.path = path
        self.rootfs = rootfs
        self.config = config

    def write(self) -> None:
        (self.path / "config.json").write_text(json.dumps(self.config, indent=1))

    def __str__(self) -> str:
        return str(self.path)


class Bundles:
    """`bundle(args, **changes)`: a bundle whose config.json is that of `pysc spec` with the changes merged in.

    The root is the shared one, read-only; with writable=True a copy that the container may write to."""

    def __init__(self, directory: Path, busybox_rootfs: Path) -> None:
        self._directory = directory
        self._busybox_rootfs = busybox_rootfs
        self._made = 0

    def __call__(self, args: Iterable[str], *, writable: bool = False, **changes: Any) -> Bundle:
        path = self._directory / f"bundle{self._made}"
        self._made += 1
        path.mkdir()
        rootfs = self._busybox_rootfs
        if writable:
            rootfs = path / "rootfs"
            shutil.copytree(self._busybox_rootfs, rootfs, symlinks=True)
        config = merge(default_spec(args=list(args)), {"root": {"path": str(rootfs), "readonly": not writable}})
        bundle = Bundle(path, rootfs, merge(config, changes))
        bundle.write()
        return bundle


class Done:
    """What a command printed, and its exit code."""

    def __init__(self, argv: list[str], code: int, out: str, err: str) -> None:
        self.argv = argv
        self.code = code
        self.out = out
        self.err = err

    def __repr__(self) -> str:
        return f"{' '.join(self.argv)}: {self.code}\n--- stdout\n{self.out}--- stderr\n{self.err}---"


class Pysc:
    """`pysc("run", "-b", bundle, pysc.id)`: the command in a process of its own, with a state store of the test's own.

    `id` names a container by this process and test: cgroups are the machine's, also where the store is not."""

    _count = itertools.count()
    zygote: ClassVar[Zygote | None] = None

    def __init__(self, root: Path, platform: str = "notify") -> None:
        self.root = root
        self.platform = platform
        self.id = f"test-{os.getpid()}-{next(self._count)}"
        self._words: set[str] = set()

    def argv(self, *words: object) -> list[str]:
        """The command line, for those who start it by themselves."""
        self._words.update(filter(None, map(str, words)))
        globals = ["--root", str(self.root), *(["--platform", self.platform] if self.platform else [])]
        command = [sys.executable, "-P", "-m", "runsc_cli.main"] if self.zygote is None else [str(self.zygote.command)]
        return [*command, *globals, *map(str, words)]

    def __call__(
        self,
        *words: object,
        input: str = "",
        cwd: Path | None = None,
        env: dict[str, str] | None = None,
        timeout: float = _DEADLINE,
        check: bool = False,
    ) -> Done:
        """Run it to its end. `env` is added to the environment; with `check` a failure is the test's."""
        argv = self.argv(*words)
        environment = {**os.environ, **(env or {})}
        ran = subprocess.run(
            argv,
            input=input,
            capture_output=True,
            text=True,
            errors="replace",
            cwd=cwd,
            env=environment,
            timeout=timeout,
            check=False,
        )
        done = Done(argv, ran.returncode, ran.stdout, ran.stderr)
        assert not check or done.code == 0, str(done)  # a string is not cut by pytest
        return done

    def containers(self) -> list[str]:
        """The containers of the store."""
        return sorted(name for name in os.listdir(self.root) if not name.startswith(".")) if self.root.exists() else []

    def clean(self) -> list[str]:
        """Delete the containers that are left; returns their ids."""
        left = self.containers()
        for id in left:
            self("delete", "--force", id)
        return left

    def cgroups(self) -> Iterator[str]:
        """The cgroups that have the name of one of the test's containers."""
        for directory, names, _ in os.walk(_CGROUP):
            for name in names:
                scope = name.removesuffix(".scope").partition("-")[2]  # systemd's name: pysc-ID.scope
                if name in self._words or scope in self._words:
                    yield os.path.join(directory, name)


def subreaper(on: bool) -> None:
    """Become, or cease to be, the parent of orphaned descendants."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, int(on), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_CHILD_SUBREAPER")


def descendants() -> dict[int, str]:
    """Our children and theirs, but for those that a zygote keeps for commands to come: pid -> state and name."""
    parents: dict[int, list[int]] = {}
    shown: dict[int, str] = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", errors="replace") as file:
                name, _, rest = file.read().partition(" (")[2].rpartition(") ")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
        state, parent = rest.split()[:2]
        parents.setdefault(int(parent), []).append(int(entry))
        shown[int(entry)] = f"{state} {name}"
    found: dict[int, str] = {}
    todo = [os.getpid()]
    while todo:
        parent = todo.pop()
        for child in parents.get(parent, []):
            name = shown[child].partition(" ")[2]
            if not (name in (ZYGOTE, NEST) and shown.get(parent, "").endswith(f" {ZYGOTE}")):
                found[child] = shown[child]
            todo.append(child)
    return found


def end_descendants(before: Iterable[int]) -> list[str]:
    """Kill and reap the descendants that are not among `before`; returns those that were still running."""
    left: list[str] = []
    while new := {pid: shown for pid, shown in descendants().items() if pid not in before}:
        for pid, shown in new.items():
            if not shown.startswith("Z"):
                left.append(f"{shown.partition(' ')[2]} ({pid})")
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue  # it has ended, and its parent has seen it
        for pid in new:
            try:
                os.waitpid(pid, 0)
            except ChildProcessError:
                continue  # a child of a child: it comes to us when its parent has ended
    return left


def mounts_below(path: Path) -> list[str]:
    """The mount points of this mount namespace that lie below `path`."""
    with open("/proc/self/mountinfo") as file:
        points = [line.split()[4] for line in file]
    return [point for point in points if point.startswith(f"{path}/")]
