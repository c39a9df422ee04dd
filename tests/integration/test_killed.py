"""SIGKILL in the middle: the command, the sentry, the file server, the gofer or the container's first process dies at some step of a verb.

Or the command is interrupted there. killer.c counts the steps of one of the processes, and kills one at the step that it is told. Whatever
is killed, the command ends, `delete --force` afterwards succeeds, and then nothing is left: no process, mount, namespace, cgroup, file.

A step is a system call that somebody else can notice. The normal run takes a sample of all (who counts, who dies, step);
`make test-kill` takes all of them, which is some thousand containers.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from containers import Bundle, Bundles, Done, Pysc, descendants, end_descendants, mounts_below, requires

if TYPE_CHECKING:
    from collections.abc import Iterable

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    requires("gcc", "busybox"),
]

DEADLINE = 30
SAMPLE = (0.5, 0.9, 0.96)
"""Steps of each case in the normal run: the first ones are the interpreter's."""

FORKS = ("56", "435")  # clone, clone3

FAMILY = ("cli", "sentry", "gofer", "stage")
OWN = [(who, who) for who in FAMILY]
"""(whose steps are counted, who dies): each at a step of its own."""
OTHERS = [("cli", who) for who in ("sentry", "gofer", "stage")]
"""Another one at a step of the command."""
HALVES = [("files", "files"), ("sentry", "sentry"), ("cli", "files")]
"""Of a sentry that another process has the files of."""
RUNNING = [("cli", "cli"), ("cli", "init"), ("cli", "sentry of the container"), ("cli", "gofer of the container")]

INTERRUPT = ("cli", "interrupt")
"""SIGINT in place of SIGKILL: the command takes back what it has made."""

CASES = [
    *((verb, *INTERRUPT) for verb in ("create", "create --overlay", "create --directfs=false", "run", "start", "exec", "delete --force")),
    *(("create", *case) for case in OWN + OTHERS),
    *(("create --ignore-cgroups", *case) for case in (*OWN, OTHERS[2])),
    *(("create --overlay", *case) for case in (OWN[0], OWN[2])),
    *(("create --directfs=false", *case) for case in HALVES),
    *(("exec of halves", "cli", f"{who} of the container") for who in ("sentry", "files", "gofer")),
    *(("delete of an overlay", *case) for case in RUNNING[:1]),
    *(("run", *case) for case in OWN + OTHERS),
    *(("start", *case) for case in RUNNING),
    *(("exec", *case) for case in (*RUNNING, ("cli", "stage"), ("stage", "stage"))),
    *(("kill", *case) for case in RUNNING),
    *(("delete", *case) for case in RUNNING),
    *(("delete --force", *case) for case in RUNNING),
]
TRUSTED = [
    *((verb, "cli", "cli") for verb in ("create", "create --overlay", "create --ignore-cgroups", "run", "start")),
    *((verb, "cli", "cli") for verb in ("exec", "kill", "delete", "delete --force")),
    *((verb, "cli", "init") for verb in ("start", "exec", "kill", "delete --force")),
    *((verb, *INTERRUPT) for verb in ("create", "run", "exec")),
]
"""Without a sandbox: there are only the command and its container."""


@pytest.fixture(scope="session")
def killer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = tmp_path_factory.mktemp("killer") / "killer"
    subprocess.run(["gcc", "-O2", "-Wall", "-Werror", "-o", built, Path(__file__).with_name("killer.c")], check=True)
    return built


@pytest.fixture(scope="module")
def steps() -> dict[tuple[str, str, str], list[list[str]]]:
    """(platform, verb, whose) -> the steps that there are when nobody is killed."""
    return {}


class Scene:
    """One verb and the container that it is about, for one process to be killed."""

    def __init__(self, killer: Path, pysc: Pysc, bundle: Bundle, directory: Path, verb: str, clock: str, victim: str) -> None:
        self._killer = killer
        self._pysc = pysc
        self._bundle = bundle
        self._directory = directory
        self._steps = directory / "steps"
        self._temporary = directory / "tmp"
        self._temporary.mkdir()
        self._changes = directory / "changes"
        self._changes.mkdir(mode=0o700)
        self.verb = verb
        self.clock = clock
        self.victim = victim

    def words(self) -> list[object]:
        id, pid_file = self._pysc.id, self._temporary / "pid"
        return {
            "create": ["create", "--pid-file", pid_file, "-b", self._bundle, id],
            "create --overlay": [f"--overlay=dir={self._changes}", "create", "-b", self._bundle, id],
            "create --directfs=false": ["--directfs=false", "create", "-b", self._bundle, id],
            "create --ignore-cgroups": ["--ignore-cgroups", "create", "-b", self._bundle, id],
            "run": ["run", "-b", self._bundle, id],
            "start": ["start", id],
            "exec": ["exec", "--pid-file", pid_file, id, "true"],
            "exec of halves": ["exec", "--pid-file", pid_file, id, "true"],
            "kill": ["kill", id, "KILL"],
            "delete": ["delete", id],
            "delete of an overlay": ["delete", id],
            "delete --force": ["delete", "--force", id],
        }[self.verb]

    def prepare(self) -> str:
        """The container that the verb needs; who is to be killed, as killer.c wants it."""
        if self.verb.startswith(("create", "run")):
            return self.victim
        create = ["create", "-b", self._bundle]
        if self.verb == "delete of an overlay":
            create[:0] = [f"--overlay=dir={self._changes}"]
        if self.verb == "exec of halves":
            create[:0] = ["--directfs=false"]
        for verb in (create, ["start"])[: 1 + (self.verb in ("exec", "exec of halves", "kill", "delete --force"))]:
            done = self._run(*verb, self._pysc.id)
            assert done.code == 0, done
        who = self.victim.partition(" ")[0]
        if who not in ("init", "sentry", "files", "gofer"):
            return who
        return str(json.loads((self._pysc.root / self._pysc.id / "state.json").read_text())[who][0])

    def _run(self, *words: object) -> Done:
        argv = self._pysc.argv(*words)
        with open(self._directory / "said", "w+") as said:
            command = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said)
            hung = not finished(command)
            said.seek(0)
            return Done(argv, command.returncode, "(hangs)" if hung else "", said.read())

    def attempt(self, number: int) -> tuple[list[list[str]], str]:
        """Run the verb, killing at step `number` (0: not at all). Returns the steps, a number and who was there, and what is wrong."""
        before = descendants()
        victim = self.prepare()
        with open(self._directory / "said", "w+") as said:
            argv = [self._killer, self.clock, str(number), victim, self._steps, *self._pysc.argv(*self.words())]
            environment = {**os.environ, "TMPDIR": str(self._temporary)}
            command = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=environment)
            hung = not finished(command)
            said.seek(0)
            text = said.read()
        lines = self._steps.read_text().splitlines()
        wrong = ["the command hangs"] if hung else []
        starting = self.victim == "interrupt" and not re.search(r"runsc_cli/main\.py\", line \d+, in (entry|main)", text)  # the interpreter, then
        if ("Traceback" in text and not starting) or "internal error" in text:
            wrong.append(text)
        if not hung:
            wrong += self.again()
        wrong += self.left(before)
        if wrong and number:
            at = [line for line in lines if line.split()[0] == str(number)]
            wrong.append(f"step {at}, exit code {command.returncode}, said {text!r}")
        return [line.split() for line in lines if line[0].isdigit()], "; ".join(wrong)

    def again(self) -> list[str]:
        """The verb once more, after the command itself was killed."""
        if self.victim != "cli" or self.verb in ("create", "create --ignore-cgroups", "create --overlay", "run"):
            return []
        done = self._run(*self.words())
        fine = done.code == 0 or "does not exist" in done.err
        if self.verb == "start":
            fine = fine or "already running" in done.err
        if self.verb == "kill":
            fine = fine or "not running" in done.err
        return [] if fine else [f"again: {done}"]

    def left(self, before: Iterable[int]) -> list[str]:
        """What is wrong after delete --force."""
        wrong = []
        done = self._run("delete", "--force", self._pysc.id)
        if done.code:
            wrong.append(f"delete --force: {done}")
        ended({pid for pid in descendants() if pid not in before})
        wrong += [f"process {shown}" for shown in end_descendants(before)]
        wrong += [f"cgroup {path}" for path in self._pysc.cgroups()]
        wrong += [f"mount {point}" for point in mounts_below(self._directory)]
        wrong += [f"container {id}" for id in self._pysc.containers()]
        if self._pysc.root.exists():
            wrong += [f"file {name}" for name in os.listdir(self._pysc.root) if not name.startswith(".filter-")]
        wrong += [f"file {name}" for name in os.listdir(self._temporary) if name != "pid"]
        wrong += [f"changes {name}" for name in os.listdir(self._changes)]
        if wrong:
            for path in list(self._pysc.cgroups()):
                os.rmdir(path)
            for name in os.listdir(self._temporary):
                os.unlink(self._temporary / name)
        return wrong


def finished(command: subprocess.Popen[bytes]) -> bool:
    """Wait for it, and reap meanwhile what has become ours: a container does not end before its processes are reaped.

    False when it had to be killed.
    """
    deadline = time.monotonic() + DEADLINE
    while command.poll() is None:
        ended([command.pid], 50)
        for pid, shown in descendants().items():
            if shown.startswith("Z") and pid != command.pid:
                with contextlib.suppress(ChildProcessError):  # somebody else's child
                    os.waitpid(pid, os.WNOHANG)
        if time.monotonic() > deadline:
            command.kill()
            command.wait()
            return False
    return True


def ended(pids: Iterable[int], milliseconds: int = 10_000) -> None:
    """Wait until the processes have ended, but for each no longer than that."""
    for pid in pids:
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        poll.poll(milliseconds)
        os.close(pidfd)


def sample(steps: list[list[str]], clock: str, whole: bool) -> list[int]:
    """The numbers of steps to kill at. Of a stage also those after its forks: then two processes have something to answer."""
    if whole:
        return [int(step[0]) for step in steps]
    chosen = {int(steps[int(fraction * len(steps))][0]) for fraction in SAMPLE}
    if clock == "stage":
        chosen |= {int(step[0]) + after for step in steps if step[1] in FORKS for after in (1, 2)}
    return sorted(chosen)


@pytest.mark.timeout(7200)
@pytest.mark.parametrize(
    ("platform", "verb", "clock", "victim"),
    [*(("notify", *case) for case in CASES), *(("namespace", *case) for case in TRUSTED)],
    indirect=["platform"],
)
def test_whoever_is_killed_at_whatever_step_nothing_is_left(
    request: pytest.FixtureRequest,
    killer: Path,
    steps: dict[tuple[str, str, str], list[list[str]]],
    pysc: Pysc,
    bundle: Bundles,
    tmp_path: Path,
    verb: str,
    clock: str,
    victim: str,
) -> None:
    made = bundle(["true"] if verb == "run" else ["sleep", "1000"])
    scene = Scene(killer, pysc, made, tmp_path, verb, clock, victim)
    if (pysc.platform, verb, clock) not in steps:
        steps[pysc.platform, verb, clock], wrong = scene.attempt(0)
        assert not wrong
    possible = [step for step in steps[pysc.platform, verb, clock] if victim not in (*FAMILY, "files") or victim in step]
    numbers = sample(possible, clock, request.config.getoption("--every-step"))
    failures = []
    for number in numbers:
        _, wrong = scene.attempt(number)
        if wrong:
            failures.append(f"{number} of {possible[-1][0]}: {wrong}")
    print(len(numbers), "steps")
    assert not failures, "\n".join(failures)
