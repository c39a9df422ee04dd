"""Where a family can be run: on the kernel itself, in a container of ours, or under any runtime with runc's command line.

All see the same root directory: empty but for /scratch, on the same file system, a tmpfs on /tmp, /tests with the programs read-only.
The bundle gives root all capabilities, no seccomp filter and no no_new_privs, so that what is refused is the platform's doing.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from runsc_cli.capabilities import names
from runsc_cli.spec import default_spec
from runsc_cli.suite import tap

if TYPE_CHECKING:
    from typing import Any

    from runsc_cli.suite.sources import Suite
    from runsc_cli.suite.tap import Result

OWN = ("notify", "ptrace", "namespace")
CASE_LIMIT = 30
"""Seconds that a case may take. limits.cpu_limit needs one of CPU time, which a loaded machine may not give it in 10."""
_OVERHEAD = 60
_KNOWN_TO_ALL = (1 << 38) - 1
"""Capabilities up to CAP_AUDIT_READ: an older runtime does not start with a newer one in its config."""
_NODES = ("dev", "etc", "proc", "sys", "tmp", "scratch", "tests")


class Place:
    """A directory of the run's own: a root for each platform."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        os.chmod(directory, 0o755)

    def root(self, name: str) -> str:
        """A root directory of its own, made anew."""
        path = os.path.join(self.directory, name, "rootfs")
        for node in _NODES:
            os.makedirs(os.path.join(path, node))
        os.chmod(os.path.join(path, "tmp"), 0o1777)
        with open(os.path.join(path, "etc", "passwd"), "w", encoding="ascii") as file:
            file.write("root:x:0:0:root:/:/tests/none\nuser:x:1000:1000::/:/tests/none\n")
        with open(os.path.join(path, "etc", "group"), "w", encoding="ascii") as file:
            file.write("root:x:0:\ntty:x:5:\nuser:x:1000:\n")
        return path


class Native:
    """The kernel itself, with all rights of root: syscall-tests/native.c."""

    name = "native"

    def __init__(self, suite: Suite, place: Place) -> None:
        self._suite = suite
        self._place = place

    def run(self, family: str, cases: list[str], limit: int = CASE_LIMIT) -> dict[str, Result]:
        root = self._place.root(f"native-{family}")
        command = [os.path.join(self._suite.programs, ".native"), root, self._suite.programs, *_program(family, cases, limit)]
        output, why = _finish(command, limit * len(cases) + _OVERHEAD)
        return tap.complete(tap.read(output), cases, why)


class Runtime:
    """A runtime: the words that start its program, and its options up to the verb."""

    def __init__(self, name: str, program: list[str], options: list[str], suite: Suite, place: Place) -> None:
        self.name = name
        state = os.path.join(place.directory, "state-" + "".join(c if c.isalnum() else "-" for c in name))
        self._command = [*program, "--root", state, *options]
        self._suite = suite
        self._place = place

    def run(self, family: str, cases: list[str], limit: int = CASE_LIMIT) -> dict[str, Result]:
        id = f"syscalls-{os.getpid()}-{''.join(c for c in self.name if c.isalnum())}-{family}"
        root = self._place.root(id)
        bundle = os.path.dirname(root)
        with open(os.path.join(bundle, "config.json"), "w", encoding="utf-8") as file:
            json.dump(_config(self._suite, root, _program(family, cases, limit)), file)
        command = [*self._command, "run", "--bundle", bundle, id]
        try:
            output, why = _finish(command, limit * len(cases) + _OVERHEAD)
        finally:
            subprocess.run([*self._command, "delete", "--force", id], capture_output=True, timeout=_OVERHEAD, check=False)
        return tap.complete(tap.read(output), cases, why)


def make(platform: str, profile: str, suite: Suite, place: Place) -> Native | Runtime:
    """The platform of that name, with options of ours behind it if there are any, or the runtime of that command line."""
    if platform == "native":
        return Native(suite, place)
    name, *more = shlex.split(platform)
    if name not in OWN:
        return Runtime(os.path.basename(name), [name], more, suite, place)
    command = os.path.abspath(sys.argv[0])  # as it was called; as a module it is a file that nobody executes
    program = [command] if os.access(command, os.X_OK) else [sys.executable, "-P", "-m", "runsc_cli.main"]
    options = [] if name == "notify" else [f"--platform={name}"]
    column = name
    if name != "namespace":  # there nothing is mediated, in any profile
        options.append(f"--profile={profile}")
        column += f" {profile}"
    return Runtime(" ".join((column, *more)), program, [*options, *more], suite, place)


def available(platform: str) -> bool:
    word = shlex.split(platform)[0]
    return platform == "native" or word in OWN or shutil.which(word) is not None


def _program(family: str, cases: list[str], limit: int) -> list[str]:
    return [f"/tests/{family}", "--scratch", "/scratch", "--limit", str(limit), *cases]


def _config(suite: Suite, root: str, args: list[str]) -> dict[str, Any]:
    config = default_spec(args=args)
    process = config["process"]
    process["noNewPrivileges"] = False
    process["rlimits"] = [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}]
    every = names(_own_capabilities() & _KNOWN_TO_ALL)
    process["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted"), every)
    config["root"] = {"path": root, "readonly": False}
    config["hostname"] = "syscalls"
    config["mounts"] += [
        {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "mode=1777"]},
        {"destination": "/tests", "type": "bind", "source": suite.programs, "options": ["bind", "ro"]},
    ]
    return config


def _own_capabilities() -> int:
    """What we have ourselves: a runtime that was to give more would fail."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        return int(next(line.split()[1] for line in file if line.startswith("CapEff:")), 16)


def _finish(command: list[str], deadline: float) -> tuple[str, str]:
    """What the command printed, and what is known when that is too little."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output, messages = process.communicate(timeout=deadline)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, messages = process.communicate()
        return output, f"no result: the family was not done after {deadline:.0f} seconds"
    last = messages.strip().splitlines()[-1:] or [""]
    return output, f"no result: exit status {process.returncode} {last[0]}".strip()
