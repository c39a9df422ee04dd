"""Workload: an interactive shell on a terminal, with job control, driven as a person would.

The dialogue is held with the shell natively and in each sandbox, waiting for what has to appear before going on; the two
transcripts must be the same. What differs for good reason (process ids, the terminal's name) the dialogue does not ask for.
"""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pexpect
import pytest
from containers import requires
from workloads import ENVIRONMENT, debian_config

if TYPE_CHECKING:
    from pathlib import Path

    from containers import Pysc
    from workloads import Sandbox

pytestmark = [pytest.mark.integration, requires("bash", "busybox", "dash", "python3")]

PROMPT = "ready> "
SHELLS = {
    "bash": ["bash", "--noediting", "--norc", "--noprofile", "-i"],
    "bash-editing": ["bash", "--norc", "--noprofile", "-i"],
    "dash": ["dash", "-i"],
}
ENV = {"PS1": PROMPT, "TERM": "dumb", "HISTFILE": ""}
TIMEOUT = 10

JOB = """
import os, signal
signal.signal(signal.SIGINT, signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCONT])
print("started", flush=True)
signal.sigwait([signal.SIGCONT])
while os.tcgetpgrp(0) != os.getpgrp():  # the shell says that it resumes a job before it gives it the terminal
    os.sched_yield()
print("resumed", flush=True)
signal.pause()
"""

NOBODY = """
import os
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
with open("/dev/tty", "w") as terminal:
    terminal.write("nobody may write to its terminal\\n")
"""

WINDOW = """
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGWINCH])
print("waiting", flush=True)
signal.sigwait([signal.SIGWINCH])
print(*os.get_terminal_size())
"""


class Person:
    """Types at a terminal, and reads what comes back up to what has to come."""

    def __init__(self, argv: list[str], work: Path, env: dict[str, str] | None) -> None:
        self._child = pexpect.spawn(
            argv[0], argv[1:], cwd=str(work), env=env, encoding="utf-8", codec_errors="replace", timeout=TIMEOUT, dimensions=(30, 100)
        )
        self._child.delaybeforesend = None
        self.transcript: list[str] = []

    def sees(self, what: str) -> None:
        self._child.expect_exact(what)
        self.transcript.append(self._child.before + self._child.after)

    def types(self, line: str, then: str = PROMPT) -> None:
        self._child.send(line + "\n")
        self.sees(then)

    def presses(self, control: str, then: str = PROMPT) -> None:
        self._child.sendcontrol(control)
        self.sees(then)

    def resizes(self, rows: int, columns: int, then: str = PROMPT) -> None:
        self._child.setwinsize(rows, columns)
        self.sees(then)

    def leaves(self, line: str) -> int:
        """The last line; the exit code."""
        self._child.send(line + "\n")
        return self._end()

    def _end(self) -> int:
        self._child.expect(pexpect.EOF)
        self.transcript.append(self._child.before)
        self._child.close()
        return self._child.exitstatus

    def ends_at(self, control: str) -> int:
        """The same with a control character."""
        self._child.sendcontrol(control)
        return self._end()

    def gives_up(self) -> None:
        self._child.close(force=True)


def job_control(person: Person) -> None:
    """^C, ^Z, fg, bg, jobs, ^D, the terminal by its name, its settings, and a signal that is caught."""
    person.sees(PROMPT)
    person.types("stty size; test -t 0 && test -t 1 && test -t 2 && echo terminal")
    person.types("python3 job.py", then="started\r\n")
    person.presses("c")
    person.types("echo $?")
    person.types('sh -c "echo started; exec cat"', then="started\r\n")
    person.types("typed", then="typed\r\ntyped\r\n")
    person.presses("z")
    person.types("jobs")
    person.types("fg", then='exec cat"\r\n')
    person.types("again", then="again\r\nagain\r\n")
    person.presses("d")
    person.types("python3 job.py", then="started\r\n")
    person.presses("z")
    person.types("bg")
    person.types("jobs")
    person.types("fg", then="resumed\r\n")
    person.presses("c")
    person.types("echo $?")
    person.types("echo to the 'terminal' > /dev/tty; cat < /dev/tty", then="to the terminal\r\n")
    person.types("from the terminal", then="from the terminal\r\nfrom the terminal\r\n")
    person.presses("d")
    person.types("python3 nobody.py")
    person.types("stty -echo; stty -a | grep -c -e '-echo '; stty echo")
    person.types("sh -c 'trap \"echo caught; exit 4\" INT; echo started; while :; do :; done'", then="started\r\n")
    person.presses("c")
    person.types("echo $?")


def resizing(person: Person) -> None:
    """SIGWINCH and the new size."""
    person.sees(PROMPT)
    for rows, columns in ((40, 120), (24, 80)):
        person.types("python3 window.py", then="waiting\r\n")
        person.resizes(rows, columns)
        person.types("stty size")


DIALOGUES = {"job control": job_control, "resizing": resizing}


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    """A working directory with what the dialogues start."""
    work = tmp_path / "work"
    work.mkdir()
    for name, text in (("job.py", JOB), ("nobody.py", NOBODY), ("window.py", WINDOW)):
        (work / name).write_text(text)
    return work


@pytest.mark.parametrize("dialogue", list(DIALOGUES))
@pytest.mark.parametrize("shell", list(SHELLS))
def test_a_dialogue_reads_as_it_does_natively(sandbox: Sandbox, scripts: Path, shell: str, dialogue: str) -> None:
    expected = held(dialogue, SHELLS[shell], scripts, {**ENVIRONMENT, **ENV})
    argv = sandbox.argv(scripts, SHELLS[shell], ENV, process={"terminal": True})
    assert held(dialogue, argv, scripts, None) == expected


@pytest.mark.parametrize("dialogue", list(DIALOGUES))
def test_a_dialogue_with_a_shell_that_exec_has_started(pysc: Pysc, debian_root: Path, scripts: Path, tmp_path: Path, dialogue: str) -> None:
    expected = held(dialogue, SHELLS["bash"], scripts, {**ENVIRONMENT, **ENV})
    config = debian_config(debian_root, ["sleep", "1000"], {**ENVIRONMENT, **ENV}, scripts)
    (tmp_path / "config.json").write_text(json.dumps(config))
    # not through pipes: the container's init would keep them open
    subprocess.run(pysc.argv("run", "--detach", "--bundle", tmp_path, pysc.id), stdout=subprocess.DEVNULL, check=True)
    assert held(dialogue, pysc.argv("exec", "--tty", pysc.id, *SHELLS["bash"]), scripts, None) == expected
    pysc("delete", "--force", pysc.id, check=True)


def test_a_command_without_a_shell_can_be_interrupted(pysc: Pysc, scripts: Path) -> None:
    person = Person(pysc.argv("do", "--", "python3", "job.py"), scripts, None)
    try:
        person.sees("started\r\n")
        assert person.ends_at("c") == 128 + 2
        assert person.transcript[-1] == "^C"
    finally:
        person.gives_up()


def test_busybox_on_a_terminal(sandbox: Sandbox, scripts: Path) -> None:
    """Its line editor writes escape sequences whenever it sees fit: no transcript of it is twice the same, natively neither."""
    person = Person(sandbox.argv(scripts, ["busybox", "sh", "-i"], ENV, process={"terminal": True}), scripts, None)
    try:
        person.sees(PROMPT)
        person.types("echo $((6 * 7))", then="\r\n42\r\n")
        person.types("python3 job.py", then="\r\nstarted\r\n")
        person.presses("z", then="[1]+  Stopped")
        person.sees(PROMPT)
        person.types("jobs", then="python3 job.py\r\n")
        person.types("fg", then="resumed\r\n")
        person.presses("c", then=PROMPT)
        person.types("echo ended: $?", then="ended: 130\r\n")
        assert person.leaves("exit 3") == 3
    finally:
        person.gives_up()


def held(dialogue: str, argv: list[str], work: Path, env: dict[str, str] | None) -> str:
    """The transcript of a dialogue, and the exit code of its shell."""
    person = Person(argv, work, env)
    try:
        DIALOGUES[dialogue](person)
        code = person.leaves("exit 3")
        return "".join(person.transcript).replace("\r", "") + f"exit code {code}\n"
    finally:
        person.gives_up()
