"""What the workload tests share: a sandbox of each kind, and the native run that each is compared with.

A workload is a command with a directory of its own, its working directory, which is a copy of a prepared one. It runs natively once
and in the four sandboxes {do, bundle} x {standard, strict}; what it prints, its exit code and, in a bundle, what it has left in
the directory must be the native run's. Under `do` the directory is the host's under an overlay, and must be unchanged afterwards:
there a workload prints itself what it wants compared.

The bundle is a Debian without an image: a root directory with the host's /usr and /etc bind-mounted, read-only, a tmpfs on /tmp,
/run and /var, and the working directory, writable, on /work.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from containers import Done, Pysc, merge

from runsc_cli.spec import default_spec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

KINDS = ("do", "bundle")
PROFILES = ("standard", "strict")
SHORT = ("do-standard", "bundle-strict")  # where the longer workloads run without --long

# Runs "$@" as an ordinary user that every Debian has, who owns the working directory: servers do not run as root.
AS_A_USER = 'chown www-data:www-data . && exec setpriv --reuid=www-data --regid=www-data --clear-groups -- "$@"'

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/tmp",
    "LC_ALL": "C.UTF-8",
    "TERM": "xterm",
    "TZ": "UTC",
}

# Docker's default set
CAPABILITIES = [
    f"CAP_{name}"
    for name in "CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE SYS_CHROOT SETFCAP MKNOD AUDIT_WRITE".split()
]
_LINKS = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")


def debian_config(root: Path, argv: list[str], env: dict[str, str], work: Path, **changes: Any) -> dict[str, Any]:
    """config.json over a root made by `make_debian_root`, with `work` on /work."""

    def bind(source: str | Path, destination: str, *options: str) -> dict[str, Any]:
        return {"destination": destination, "type": "bind", "source": str(source), "options": ["bind", "nosuid", "nodev", *options]}

    config = default_spec(args=argv)
    config["mounts"] += [
        bind("/usr", "/usr", "ro"),
        bind("/etc", "/etc", "ro"),
        bind(work, "/work", "rw"),
        *(
            {"destination": path, "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", f"mode={mode}"]}
            for path, mode in (("/tmp", 1777), ("/run", 755), ("/var", 755))
        ),
    ]
    for path in _LINKS:
        if os.path.isdir(path) and not os.path.islink(path):
            config["mounts"].append(bind(path, path, "ro"))
    process = {
        "env": [f"{name}={value}" for name, value in env.items()],
        "cwd": "/work",
        "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), CAPABILITIES),
        "rlimits": [],
    }
    config = merge(config, {"root": {"path": str(root), "readonly": True}, "process": process})
    return merge(config, changes)


def make_debian_root(root: Path) -> Path:
    """Mount points, and the links that a system with merged /usr has."""
    for name in ("dev", "etc", "proc", "root", "run", "sys", "tmp", "usr", "var", "work"):
        (root / name).mkdir(parents=True)
    for path in _LINKS:
        if os.path.islink(path):
            (root / path.strip("/")).symlink_to(os.readlink(path))
        elif os.path.isdir(path):
            (root / path.strip("/")).mkdir()
    return root


class Sandbox:
    """One of the four: `sandbox.argv(work, ["sh", "-c", "..."])` is the command line of pysc that runs a workload in `work`."""

    def __init__(self, pysc: Pysc, kind: str, profile: str, root: Path, directory: Path) -> None:
        self.kind = kind
        self.profile = profile
        self._pysc = pysc
        self._root = root
        self._directory = directory
        self._made = 0

    def argv(self, work: Path, argv: list[str], env: dict[str, str] | None = None, **changes: Any) -> list[str]:
        """`changes` are merged into a bundle's config; `do` knows `process.terminal` by itself. To be started in `work`."""
        env = {**ENVIRONMENT, **(env or {})}
        self._made += 1
        if self.kind == "do":
            options = [word for name, value in env.items() for word in ("--env", f"{name}={value}")]
            return self._pysc.argv("--profile", self.profile, "do", *options, "--", *argv)
        bundle = self._directory / f"bundle{self._made}"
        bundle.mkdir()
        config = debian_config(self._root, argv, env, work, **changes)
        (bundle / "config.json").write_text(json.dumps(config, indent=1))
        return self._pysc.argv("--profile", self.profile, "run", "--bundle", bundle, f"{self._pysc.id}-{self._made}")

    def run(
        self, work: Path, argv: list[str], env: dict[str, str] | None = None, input: str = "", timeout: float = 100
    ) -> Done:
        """Run the workload to its end."""
        return run(self.argv(work, argv, env), work, None, input, timeout)

    def popen(self, work: Path, argv: list[str], env: dict[str, str] | None = None, **how: Any) -> subprocess.Popen[str]:
        """Start it, for tests that run several at once."""
        return subprocess.Popen(self.argv(work, argv, env), cwd=work, text=True, errors="replace", **how)

    def __str__(self) -> str:
        return f"{self.kind}-{self.profile}"


def run(argv: list[str], work: Path, env: dict[str, str] | None = None, input: str = "", timeout: float = 100) -> Done:
    """Run a command in `work`: the native run with `env` = ENVIRONMENT, pysc itself with that of the test."""
    ran = subprocess.run(
        argv, cwd=work, env=env, input=input, capture_output=True, text=True, errors="replace", timeout=timeout, check=False
    )
    return Done(argv, ran.returncode, ran.stdout, ran.stderr)


def native(work: Path, argv: list[str], env: dict[str, str] | None = None, input: str = "", timeout: float = 100) -> Done:
    """The same without a sandbox."""
    return run(argv, work, {**ENVIRONMENT, **(env or {})}, input, timeout)


def listing(directory: Path) -> list[str]:
    """One line for each file below `directory`: name, type, mode, owner, links, size, time, link target. Directories have their own sizes."""
    return sorted(_lines(directory))


def _lines(directory: Path) -> Iterator[str]:
    for parent, directories, files in os.walk(directory):
        for name in directories + files:
            path = os.path.join(parent, name)
            facts = os.lstat(path)
            size = "" if stat.S_ISDIR(facts.st_mode) else f"{facts.st_nlink} {facts.st_size}"
            target = os.readlink(path) if stat.S_ISLNK(facts.st_mode) else ""
            owned = f"{stat.filemode(facts.st_mode)} {facts.st_uid}:{facts.st_gid}"
            yield f"{os.path.relpath(path, directory)} {owned} {size} {facts.st_mtime_ns} {target}"


def contents(directory: Path) -> dict[str, str]:
    """What lies below `directory`, by name: its type and mode, and of a file the text, of a link the target."""
    found = {}
    for parent, directories, files in os.walk(directory):
        for name in directories + files:
            path = Path(parent, name)
            mode = path.lstat().st_mode
            text = os.readlink(path) if stat.S_ISLNK(mode) else path.read_text(errors="replace") if stat.S_ISREG(mode) else ""
            found[os.path.relpath(path, directory)] = f"{stat.filemode(mode)} {text}"
    return dict(sorted(found.items()))


def as_a_user(script: str) -> list[str]:
    """The command line of a shell script that does not run as root."""
    return ["sh", "-c", AS_A_USER, "sh", "sh", "-c", script]


@dataclass(frozen=True)
class Workload:
    """A command, and the files that its working directory has before: name -> text.

    `outside`: the command line that the native run is put behind, for what every sandbox has by itself: namespaces, a private /run.
    """

    name: str
    argv: list[str]
    files: dict[str, str] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    timeout: float = 100
    outside: tuple[str, ...] = ()

    def prepare(self, directory: Path) -> Path:
        directory.mkdir(mode=0o755)
        for name, text in self.files.items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_text(text)
        return directory


class NativeRuns:
    """What each workload does without a sandbox: run once, however many sandboxes are compared with it."""

    def __init__(self, directory: Path, results: Path | None = None, size: str = "short") -> None:
        self._directory = directory
        self._results = results
        self._size = size
        self._done: dict[str, tuple[Done, dict[str, str]]] = {}
        self._seconds: dict[str, float] = {}

    def __call__(self, workload: Workload) -> tuple[Done, dict[str, str]]:
        if workload.name not in self._done:
            work = workload.prepare(self._directory / workload.name)
            begun = time.monotonic()
            done = native(work, [*workload.outside, *workload.argv], workload.env, timeout=workload.timeout)
            self._seconds[workload.name] = time.monotonic() - begun
            self._done[workload.name] = done, contents(work)
        return self._done[workload.name]

    def record(self, workload: Workload, sandbox: Sandbox, seconds: float, *, same: bool) -> None:
        """A line for the table of workloads, where one is being made (scripts/workload_table.py)."""
        if self._results is None:
            return
        test = os.environ["PYTEST_CURRENT_TEST"].partition("[")[0]
        line = {"test": test, "workload": workload.name, "size": self._size, "sandbox": str(sandbox)}
        with self._results.open("a") as file:
            file.write(json.dumps({**line, "native": self._seconds[workload.name], "seconds": seconds, "same": same}) + "\n")


def same_as_native(
    workload: Workload, sandbox: Sandbox, native_runs: NativeRuns, tmp_path: Path, *, files: bool = True, denied: tuple[str, ...] = ()
) -> None:
    """The sandbox's run prints what the native one prints, ends as that ends and (with `files`) leaves the same files.

    `denied`: what the workload tries and can do without, in the words of the report at the end of `do`: "syscall io_setup".
    """
    expected, left = native_runs(workload)
    work = workload.prepare(tmp_path / "work")
    before = contents(work)
    begun = time.monotonic()
    done = sandbox.run(work, workload.argv, workload.env, timeout=workload.timeout)
    seconds = time.monotonic() - begun
    after = contents(work)
    err = _without_report(done.err, denied) if sandbox.kind == "do" else done.err
    wanted = before if sandbox.kind == "do" else left if files else after
    same = (done.out, err, done.code, after) == (expected.out, expected.err, expected.code, wanted)
    native_runs.record(workload, sandbox, seconds, same=same)
    assert done.out == expected.out, done
    assert (err, done.code) == (expected.err, expected.code), done
    assert after == wanted, "the host's directory was written to" if sandbox.kind == "do" else "other files are left"


def _without_report(err: str, denied: tuple[str, ...]) -> str:
    """What the workload itself has written; a report with lines that are not in `denied` stays."""
    err, found, report = err.partition("pysc: ")
    lines = report.splitlines()[1:]
    return err if all(" ".join(line.split()[:2]) in denied for line in lines) else err + found + report


@contextmanager
def public_directory() -> Iterator[Path]:
    """A directory with a short name, for sockets, that every user may enter; pytest's own are closed to others."""
    with TemporaryDirectory(prefix="pysc") as directory:
        os.chmod(directory, 0o755)
        yield Path(directory)


def requires_import(python: str, module: str, package: str) -> pytest.MarkDecorator:
    """Skip the test where `python` cannot import `module`. `package`: where Debian has it."""
    command = [python, "-c", f"import {module}"]
    there = shutil.which(python) is not None and subprocess.run(command, capture_output=True, check=False).returncode == 0
    return pytest.mark.skipif(not there, reason=f"not installed: {module} of {python} (Debian: {package})")
