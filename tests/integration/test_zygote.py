"""Commands that a zygote does: nobody can tell but by the time they take, and what it cannot do as well they do alone."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from containers import NEST, Bundles, Pysc, descendants, requires
from engines import CTR_PROGRAMS, IMAGE, Containerd, settle
from zygote import COMMAND, NEEDS, Zygote

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

pytestmark = [pytest.mark.integration, *NEEDS]

COLD = COMMAND.parent.parent / "lib" / "pysc" / "pysc"
"""The command without the client in front."""

LONGER = 60
QUIET: dict[str, object] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
"""What is detached keeps what it is given."""


@pytest.fixture(scope="module")
def running() -> Iterator[Zygote]:
    if Pysc.zygote is not None:
        yield Pysc.zygote
        return
    with Zygote() as zygote:
        yield zygote


@pytest.fixture
def zygote(running: Zygote) -> Iterator[Zygote]:
    """One that has nothing to tell yet. Its workers end just after their commands."""
    running.log()
    yield running
    running.rest()


def argv(pysc: Pysc, *words: object, command: Path = COMMAND) -> list[str]:
    """As pysc.argv(), with the command that asks a zygote."""
    shown = pysc.argv(*words)
    return [str(command), *shown[shown.index("--root") :]]


def run(line: Sequence[str], **more: object) -> subprocess.CompletedProcess[str]:
    given = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    return subprocess.run(line, text=True, timeout=LONGER, check=False, **given)  # type: ignore[call-overload, no-any-return]


def executes(pid: int) -> str:
    return os.readlink(f"/proc/{pid}/exe")


def wait_until(condition: object, what: str) -> None:
    deadline = time.monotonic() + LONGER
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


def state(pysc: Pysc) -> dict[str, object]:
    loaded: dict[str, object] = json.loads((pysc.root / pysc.id / "state.json").read_text())
    return loaded


def started(pysc: Pysc, line: list[str]) -> subprocess.Popen[str]:
    """A command in the foreground, whose container runs."""
    command = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    assert command.stdout is not None
    assert command.stdout.readline() == "up\n"
    return command


UP = "trap 'exit 5' TERM; echo up; sleep 1000 & wait"


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_the_command_stays_the_client_and_is_the_parent_of_the_container(zygote: Zygote, pysc: Pysc, bundle: Bundles) -> None:
    with started(pysc, argv(pysc, "run", "-b", bundle(["sh", "-c", UP]), pysc.id)) as command:
        assert executes(command.pid) == str(COMMAND)
        assert parent(state(pysc)["init"][0]) == command.pid  # type: ignore[index]
        (worker,) = zygote.workers()
        assert os.getsid(worker) == worker  # the zygote's terminal is not for hooks
        shown = Path(f"/proc/{worker}/cmdline").read_bytes()
        assert b"\0".join(map(os.fsencode, argv(pysc, "run"))).startswith(shown.rstrip(b"\0")[:40])
        command.terminate()
        assert command.wait(LONGER) == 5
    assert not zygote.log()


def test_what_is_left_behind_is_adopted_by_the_callers_subreaper(zygote: Zygote, pysc: Pysc, bundle: Bundles) -> None:
    assert run(argv(pysc, "create", "-b", bundle(["sleep", "1000"]), pysc.id), **QUIET).returncode == 0
    init = state(pysc)["init"][0]  # type: ignore[index]
    assert parent(init) == os.getpid()  # as of an engine's shim
    assert run(argv(pysc, "delete", "--force", pysc.id)).returncode == 0
    assert os.waitpid(init, 0) == (init, signal.SIGKILL)
    assert not zygote.log()


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$; kill -ABRT $$", 255), ("exit 255", 255)])
def test_exit_codes(zygote: Zygote, pysc: Pysc, bundle: Bundles, script: str, code: int) -> None:
    made = bundle(["sh", "-c", f"({script}); exit $?"])
    codes = [run(argv(pysc, "run", "-b", made, pysc.id, command=command)).returncode for command in (COMMAND, COLD)]
    assert codes == [codes[1]] * 2
    assert codes[0] == code or script.startswith("kill")
    assert not zygote.log()


def test_output_errors_and_failures_are_those_of_the_command(zygote: Zygote, pysc: Pysc, bundle: Bundles, tmp_path: Path) -> None:
    made = bundle(["sh", "-c", "echo out; echo err >&2; cat; exit 3"])
    lines: list[list[object]] = [
        ["run", "-b", made, pysc.id],
        ["run", "-b", tmp_path / "nowhere", pysc.id],
        ["state", "nobody"],
        ["--log", "log.json", "--log-format", "json", "state", "nobody"],
        ["list", "--format", "yaml"],
        ["frobnicate"],
        ["do", "--help"],
        ["--debug", "run", "-b", made, pysc.id],
    ]
    for words in lines:
        said = []
        for command in (COMMAND, COLD):
            (tmp_path / "input").write_text("in\n")
            with open(tmp_path / "input") as file:
                done = run(argv(pysc, *words, command=command), stdin=file, cwd=tmp_path)
            log = tmp_path / "log.json"
            said.append((done.returncode, done.stdout, times_out(done.stderr), times_out(log.read_text()) if log.exists() else ""))
            log.unlink(missing_ok=True)
        assert said[0] == said[1], words
    assert not zygote.log()


def times_out(text: str) -> str:
    return re.sub(r"\d+-\d+-\d+T[\d:.]+Z", "TIME", text)


def test_exec_and_the_other_verbs(zygote: Zygote, pysc: Pysc, bundle: Bundles) -> None:
    assert run(argv(pysc, "run", "-d", "-b", bundle(["sleep", "1000"]), pysc.id), **QUIET).returncode == 0
    done = run(argv(pysc, "exec", pysc.id, "sh", "-c", "echo $0 $$; exit 9"))
    assert (done.returncode, done.stdout[:3]) == (9, "sh "), done
    assert json.loads(run(argv(pysc, "state", pysc.id)).stdout)["status"] == "running"
    assert pysc.id in run(argv(pysc, "list")).stdout
    assert "sleep" in run(argv(pysc, "ps", pysc.id)).stdout
    assert run(argv(pysc, "pause", pysc.id)).returncode == 0
    assert run(argv(pysc, "resume", pysc.id)).returncode == 0
    assert run(argv(pysc, "kill", pysc.id, "KILL")).returncode == 0
    assert json.loads(run(argv(pysc, "wait", pysc.id)).stdout)["exitStatus"] == 137
    assert run(argv(pysc, "delete", pysc.id)).returncode == 0
    assert not zygote.log()


AFTER = """
import ctypes, os, struct, sys
allow = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0x7FFF0000))
filter = struct.pack("HxxxxxxP", 1, ctypes.addressof(allow))
assert ctypes.CDLL(None).{} == 0
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Makes a call of the C library and executes the rest of its command line."""


class Callers:
    """What a caller may have that its commands are to have too: a prefix of the command line each."""

    TAKEN = {
        "umask": ["sh", "-c", 'umask 077; exec "$@"', "sh"],
        "limits": ["prlimit", "--nofile=2000:3000", "--core=0", "--fsize=10000000", "--"],
        "niceness": ["nice", "-n", "7"],
        "oom": ["choom", "-n", "321", "--"],
        "processor": ["taskset", "1"],
        "io": ["ionice", "-c", "3"],
        "ignored": ["sh", "-c", 'trap "" HUP USR1; exec "$@"', "sh"],
        "directory": ["sh", "-c", 'cd /usr/share; exec "$@"', "sh"],
        "timers": ["sh", "-c", 'echo 7777777 > /proc/self/timerslack_ns; exec "$@"', "sh"],
        "cores": ["sh", "-c", 'echo 7 > /proc/self/coredump_filter; exec "$@"', "sh"],
    }

    DECLINED = {
        "its uts namespace is": ["unshare", "--uts"],
        "its net namespace is": ["unshare", "--net"],
        "its NoNewPrivs is '1'": ["setpriv", "--no-new-privs"],
        "its CapPrm is": ["setpriv", "--bounding-set", "-sys_time"],
        "securebits, MDWE, memory merging and policy are [4,": ["setpriv", "--securebits", "+no_setuid_fixup"],
        "securebits, MDWE, memory merging and policy are [0, 1,": [sys.executable, "-c", AFTER.format("prctl(65, 1, 0, 0, 0)")],
        "it has a seccomp filter": [sys.executable, "-c", AFTER.format("prctl(22, 2, filter, 0, 0)")],
        "LD_BIND_NOW is set": ["env", "LD_BIND_NOW=1"],
        "its Groups is '5'": ["setpriv", "--groups", "5"],
        "its processor time is limited": ["prlimit", "--cpu=1000", "--"],
        "LISTEN_PID is set": ["env", "LISTEN_PID=1"],
        "the character set of de_DE.ISO-8859-1": ["env", "LC_ALL=de_DE.ISO-8859-1"],
        "its personality is": ["setarch", "-R"],
        "its scheduling is": ["chrt", "--batch", "0"],
    }


def inherited(pid: int) -> dict[str, str]:
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    seen = {name: status[name].strip() for name in ("Umask", "SigIgn", "SigBlk", "Cpus_allowed", "Uid", "Gid", "CapBnd")}
    for name in ("limits", "oom_score_adj", "cgroup", "timerslack_ns", "coredump_filter"):
        seen[name] = Path(f"/proc/{pid}/{name}").read_text()
    seen["cwd"] = os.readlink(f"/proc/{pid}/cwd")
    seen["nice"] = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[16]
    seen["io"] = run(["ionice", "-p", str(pid)]).stdout
    return seen


@pytest.mark.parametrize("given", list(Callers.TAKEN))
def test_who_works_for_a_caller_has_what_it_has(zygote: Zygote, pysc: Pysc, bundle: Bundles, given: str) -> None:
    """The workload is a child of the command, the sentry of who does its work."""
    seen = []
    for command in (COMMAND, COLD):
        line = [*Callers.TAKEN[given], *argv(pysc, "run", "-d", "-b", bundle(["sleep", "1000"]), pysc.id, command=command)]
        assert run(line, **QUIET).returncode == 0
        init, sentry = (state(pysc)[who][0] for who in ("init", "sentry"))  # type: ignore[index]
        seen.append([inherited(pid) for pid in (init, sentry)])
        for shown in seen[-1]:
            shown["cgroup"] = shown["cgroup"].replace(pysc.id, "ID")
        assert run(argv(pysc, "delete", "--force", pysc.id)).returncode == 0
    assert seen[0] == seen[1]
    assert not zygote.log()


def test_environment_and_arguments_are_the_callers_bytes(zygote: Zygote, pysc: Pysc, tmp_path: Path) -> None:
    name = b"caf\xe9 \n$"
    line = [*map(os.fsencode, argv(pysc, "do", "--quiet", "--env", "A=1")), b"--env", b"B=" + name, b"--", b"env", b"C=" + name]
    done = [
        subprocess.run([os.fsencode(command), *line[1:]], stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=LONGER)
        for command in (COMMAND, COLD)
    ]
    assert done[0].returncode == 0, done
    assert sorted(done[0].stdout.split(b"\n")) == sorted(done[1].stdout.split(b"\n"))
    assert b"B=" + name in done[0].stdout
    assert not zygote.log()


def test_descriptors_go_to_the_workload_and_no_other(zygote: Zygote, pysc: Pysc, bundle: Bundles, tmp_path: Path) -> None:
    (tmp_path / "given").write_text("given\n")
    made = bundle(["sh", "-c", "ls /proc/self/fd; cat <&3; cat <&4"])
    with open(tmp_path / "given") as one, open(tmp_path / "given") as other:
        script = f'exec 3<&{one.fileno()} 4<&{other.fileno()} 700</dev/null; exec "$@"'
        pair = [one.fileno(), other.fileno()]
        for command in (COMMAND, COLD):
            line = argv(pysc, "run", "--preserve-fds", "2", "-b", made, pysc.id, command=command)
            done = run(["bash", "-c", script, "bash", *line], pass_fds=pair)
            assert done.stdout == "0\n1\n2\n3\n4\n5\ngiven\ngiven\n", done  # 5 is ls's own
            one.seek(0)
            other.seek(0)
    assert not zygote.log()


@pytest.mark.parametrize("reason", list(Callers.DECLINED))
def test_who_is_somebody_else_does_without(zygote: Zygote, pysc: Pysc, bundle: Bundles, reason: str) -> None:
    done = run([*Callers.DECLINED[reason], *argv(pysc, "run", "-b", bundle(["echo", "done"]), pysc.id)])
    assert (done.returncode, done.stdout) == (0, "done\n"), done
    assert reason in zygote.log()


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-"])
def test_closed_stdio(zygote: Zygote, pysc: Pysc, bundle: Bundles, closed: str) -> None:
    made = bundle(["sh", "-c", "ls -l /proc/self/fd | wc -l; exit 4"])
    done = [
        run(["sh", "-c", f'exec "$@" {closed}', "sh", *argv(pysc, "run", "-b", made, pysc.id, command=command)]) for command in (COMMAND, COLD)
    ]
    assert (done[0].returncode, done[0].stdout) == (done[1].returncode, done[1].stdout), done


@pytest.mark.parametrize("wrong", ["0</tmp", "1</tmp", "2</tmp"])
def test_stdio_that_is_none(zygote: Zygote, pysc: Pysc, wrong: str) -> None:
    done = [run(["sh", "-c", f'exec "$@" {wrong}', "sh", *argv(pysc, "state", "nobody", command=command)]) for command in (COMMAND, COLD)]
    assert (done[0].returncode, done[0].stdout) == (done[1].returncode, done[1].stdout), done
    assert "has to do without" in zygote.log()


def test_in_another_root_of_the_same_file_system(zygote: Zygote, pysc: Pysc, tmp_path: Path) -> None:
    """The same directory, but what is mounted below it is not the same."""
    jail = tmp_path / "jail"
    jail.mkdir()
    try:
        for line in (f"--bind / {jail}", f"--make-private {jail}", f"-t proc proc {jail}/proc", f"--bind /run {jail}/run"):
            assert run(["mount", *line.split()]).returncode == 0, line
        assert run(["chroot", str(jail), str(COMMAND), "version"]).stdout.startswith("pysc version")
    finally:
        run(["umount", "--recursive", str(jail)])
    assert "its root directory is" in zygote.log()


def test_a_job_that_is_stopped(zygote: Zygote, pysc: Pysc, bundle: Bundles) -> None:
    """By a terminal that is not its stdio: `wait` has no handler, and stops."""
    assert run(argv(pysc, "run", "-d", "-b", bundle(["sleep", "1000"]), pysc.id), **QUIET).returncode == 0
    with subprocess.Popen(argv(pysc, "wait", pysc.id), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as command:
        wait_until(zygote.workers, "no worker")
        (worker,) = zygote.workers()
        wait_until(lambda: polls(worker), "it does not wait")
        command.send_signal(signal.SIGTSTP)
        wait_until(lambda: status(command.pid) == status(worker) == "T", "it does not stop")
        command.send_signal(signal.SIGCONT)
        wait_until(lambda: status(command.pid) == status(worker) == "S", "it does not go on")
        assert run(argv(pysc, "kill", pysc.id, "KILL")).returncode == 0
        assert json.loads(command.communicate(timeout=LONGER)[0])["exitStatus"] == 137
    assert run(argv(pysc, "delete", pysc.id)).returncode == 0
    assert not zygote.log()


def status(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_terminal_is_left_to_the_command_itself(zygote: Zygote, pysc: Pysc, bundle: Bundles) -> None:
    master, slave = pty.openpty()
    try:
        done = run(argv(pysc, "run", "-b", bundle(["echo", "done"]), pysc.id), stdin=slave)
    finally:
        os.close(master)
        os.close(slave)
    assert done.stdout == "done\n"
    assert "a terminal" in zygote.log()


def test_killed_commands_take_their_workers_along_and_the_container_stays(zygote: Zygote, pysc: Pysc, bundle: Bundles) -> None:
    command = started(pysc, argv(pysc, "run", "-b", bundle(["sh", "-c", UP]), pysc.id))
    with command:
        command.kill()
        assert command.wait(LONGER) == -signal.SIGKILL
        wait_until(lambda: not zygote.workers(), "the worker goes on")
        assert json.loads(run(argv(pysc, "state", pysc.id)).stdout)["status"] == "running"
        assert run(argv(pysc, "delete", "--force", pysc.id)).returncode == 0


def test_a_killed_worker_is_a_killed_command(zygote: Zygote, pysc: Pysc, bundle: Bundles) -> None:
    with started(pysc, argv(pysc, "run", "-b", bundle(["sh", "-c", UP]), pysc.id)) as command:
        os.kill(zygote.workers()[0], signal.SIGKILL)
        assert command.wait(LONGER) == -signal.SIGKILL
    assert run(argv(pysc, "delete", "--force", pysc.id)).returncode == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGHUP, -signal.SIGHUP), (signal.SIGINT, 130)])
def test_signals_that_no_verb_handles(zygote: Zygote, pysc: Pysc, bundle: Bundles, number: int, code: int) -> None:
    assert run(argv(pysc, "run", "-d", "-b", bundle(["sleep", "1000"]), pysc.id), **QUIET).returncode == 0
    codes = []
    for command in (COMMAND, COLD):
        with subprocess.Popen(argv(pysc, "wait", pysc.id, command=command), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as waiting:
            alone = waiting.pid
            wait_until(lambda: any(map(polls, zygote.workers() if command == COMMAND else [alone])), "it does not wait")  # noqa: B023
            waiting.send_signal(number)
            codes.append(waiting.wait(LONGER))
    assert codes == [code, code]
    assert run(argv(pysc, "delete", "--force", pysc.id)).returncode == 0


def polls(pid: int) -> bool:
    """It is in poll(2), as a verb that waits for a process is: its handlers are in place."""
    return Path(f"/proc/{pid}/syscall").read_text().startswith("7 ")


def test_many_at_once(zygote: Zygote, pysc: Pysc, bundle: Bundles) -> None:
    made = bundle(["sh", "-c", "echo $HOSTNAME"])
    lines = [argv(pysc, "run", "-b", made, f"{pysc.id}-{number}") for number in range(20)]
    commands = [subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) for line in lines]
    assert [command.wait(LONGER) for command in commands] == [0] * len(lines)
    assert not zygote.log()


def test_in_another_cgroup(zygote: Zygote, pysc: Pysc, bundle: Bundles) -> None:
    """Of version 1 or 2, whichever is there: who works is where the caller is."""
    place = Path("/sys/fs/cgroup/pids" if Path("/sys/fs/cgroup/pids").exists() else "/sys/fs/cgroup") / pysc.id
    place.mkdir()
    try:
        seen = []
        for command in (COMMAND, COLD):
            line = argv(pysc, "--ignore-cgroups", "run", "-d", "-b", bundle(["sleep", "1000"]), pysc.id, command=command)
            done = run(["sh", "-c", f'echo $$ > {place}/cgroup.procs; exec "$@"', "sh", *line], **QUIET)
            assert done.returncode == 0, done
            seen.append([Path(f"/proc/{state(pysc)[who][0]}/cgroup").read_text() for who in ("init", "sentry")])  # type: ignore[index]
            assert run(argv(pysc, "delete", "--force", pysc.id)).returncode == 0
            while descendants_in(place):
                time.sleep(0.01)
        assert seen[0] == seen[1]
        assert pysc.id in seen[0][1]
    finally:
        place.rmdir()
    assert not zygote.log()


def descendants_in(place: Path) -> str:
    for pid, shown in descendants().items():
        if shown.startswith("Z"):
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                continue
    return (place / "cgroup.procs").read_text()


def ours(pysc: Pysc) -> list[int]:
    """Sentry and gofer of a container."""
    return [state(pysc)[who][0] for who in ("sentry", "gofer")]  # type: ignore[index]


def detached(zygote: Zygote, pysc: Pysc, bundle: Bundles, *words: str, secret: str = "") -> list[int]:
    """A container that runs, made by a command with `words` in front: the parents of sentry and gofer."""
    made = bundle(["sleep", "1000"])
    made.config["process"]["env"] = [f"SECRET={secret}"]
    made.config["linux"]["maskedPaths"] = [f"/{secret}/in the plan of the tree"]
    made.write()
    assert run([*words, *argv(pysc, "run", "-d", "-b", made, pysc.id)], **QUIET).returncode == 0
    zygote.rest()
    return [parent(pid) for pid in ours(pysc)]


def named(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def test_a_worker_is_kept_if_it_is_what_it_was(zygote: Zygote, pysc: Pysc, bundle: Bundles) -> None:
    nests: set[int] = set()
    for _ in range(5):
        found = detached(zygote, pysc, bundle)
        assert [named(pid) for pid in found] == [NEST, NEST]
        nests.update(found)
        assert run(argv(pysc, "delete", "--force", pysc.id)).returncode == 0
        zygote.rest()
    assert len(nests) <= 2
    assert not zygote.log()


def test_a_worker_gives_back_what_it_has_taken_over(zygote: Zygote, pysc: Pysc, bundle: Bundles) -> None:
    """After a client who was otherwise than the zygote comes one who was not."""
    nests: set[int] = set()
    usual: list[dict[str, str]] = []
    for given in ([], *(Callers.TAKEN[name] for name in ("niceness", "oom", "processor", "io", "ignored", "timers", "cores"))):
        for words in (given, []):
            zygote.rest()
            nests.update(detached(zygote, pysc, bundle, *words))
            seen = [{**inherited(pid), "cwd": ""} for pid in ours(pysc)]  # which has the gofer's own pid in its name
            usual = usual or seen
            assert (seen == usual) == (not words), given
            assert run(argv(pysc, "delete", "--force", pysc.id)).returncode == 0
    assert len(nests) <= 4  # two who wait, and each may have done its hundred
    assert not zygote.log()


@requires(*CTR_PROGRAMS)
def test_what_containerd_starts(zygote: Zygote, busybox_rootfs: Path, tmp_path: Path) -> None:
    """It sets LD_LIBRARY_PATH, and its shim the OOM score."""
    del zygote  # the other one is in the engine's namespaces
    containerd = Containerd(tmp_path, busybox_rootfs, zygote=True)
    try:
        containerd.ctr("run", "--detach", "--null-io", IMAGE, "first", "sleep", "1000", check=True)
        parents = [named(parent(pid)) for pid, shown in descendants().items() if shown.endswith((" pysc-sentry", " pysc-gofer"))]
        assert parents == [NEST, NEST]
        containerd.ctr("task", "delete", "--force", "first", check=True)
        containerd.ctr("containers", "rm", "first", check=True)
    finally:
        containerd.stop()
        settle()


def test_sentries_know_nothing_of_what_their_worker_did_before(zygote: Zygote, pysc: Pysc, bundle: Bundles) -> None:
    """It has read the config of each container before this one."""
    nests = []
    for number in range(4):
        nests += detached(zygote, pysc, bundle, secret=f"the {number}th of the secrets")
        for pid in ours(pysc):
            memory = writable(pid)
            assert b"the container's user namespace" in memory or b"join the user namespace" in memory  # of its own code
            assert b"th of the secrets" not in memory.replace(b"the %dth of the secrets" % number, b"")
        assert run(argv(pysc, "delete", "--force", pysc.id)).returncode == 0
        zygote.rest()
    assert len(set(nests)) < len(nests) // 2  # there was one before


def test_who_shows_a_trace_knows_nothing_of_what_its_worker_did_before(zygote: Zygote, pysc: Pysc, bundle: Bundles, tmp_path: Path) -> None:
    for _ in range(4):
        detached(zygote, pysc, bundle, secret="the first of the secrets")
        assert run(argv(pysc, "delete", "--force", pysc.id)).returncode == 0
        zygote.rest()
    log = ["--strace=%file", "--strace-log", str(tmp_path / "strace")]
    shown = argv(pysc, *log, "run", "-d", "-b", bundle(["sh", "-c", "cat /etc/passwd; sleep 1000"]), pysc.id)
    assert run(shown, **QUIET).returncode == 0
    (pid,) = [pid for pid, shown in descendants().items() if shown.endswith(" pysc-strace")]
    assert named(parent(pid)) == NEST
    memory = writable(pid)
    assert b"of the secrets" not in memory
    assert str(tmp_path).encode() not in memory  # nor of the config that it shows
    assert run(argv(pysc, "delete", "--force", pysc.id)).returncode == 0
    assert "passwd" in (tmp_path / "strace").read_text()
    assert not zygote.log()


def test_an_interrupted_command_leaves_no_answer_to_the_next_one(zygote: Zygote, pysc: Pysc, bundle: Bundles) -> None:
    """SIGINT while the nest is asked for a sentry, which is stopped so that it answers late."""
    zygote.rest()
    nests = zygote.nests()
    for pid in nests:
        os.kill(pid, signal.SIGSTOP)
    try:
        with subprocess.Popen(argv(pysc, "create", "-b", bundle(["true"]), f"{pysc.id}-0"), stdin=subprocess.DEVNULL, **QUIET) as command:
            # it has asked the zygote before, whether pysc was changed, but then there was no container yet
            wait_until(lambda: (pysc.root / f"{pysc.id}-0").exists() and any(map(receives, zygote.workers())), "it does not ask")
            command.send_signal(signal.SIGINT)
            wait_until(lambda: any(map(interrupted, zygote.workers())), "the client does not pass it on")
            for pid in nests:
                os.kill(pid, signal.SIGCONT)
            assert command.wait(LONGER) == 130
    finally:
        for pid in nests:
            os.kill(pid, signal.SIGCONT)
    assert not [shown for shown in descendants().values() if "pysc-sentry" in shown]
    assert not os.listdir(pysc.root)
    for number in range(1, 7):
        id = f"{pysc.id}-{number}"
        assert run(argv(pysc, "run", "-d", "-b", bundle(["sleep", "1000"]), id), **QUIET).returncode == 0
        made = json.loads((pysc.root / id / "state.json").read_text())
        assert [named(made[who][0]) for who in ("sentry", "gofer")] == ["pysc-sentry", "pysc-gofer"]
        assert run(argv(pysc, "delete", "--force", id)).returncode == 0
    assert not zygote.log()


def interrupted(pid: int) -> bool:
    """SIGINT waits to be delivered: what it is doing is not to be interrupted."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return bool(int(status["ShdPnd"], 16) & 1 << signal.SIGINT - 1)


def receives(pid: int) -> bool:
    return Path(f"/proc/{pid}/syscall").read_text().startswith("45 ")


def test_a_dead_nest(zygote: Zygote, pysc: Pysc) -> None:
    zygote.rest()
    for pid in zygote.nests():
        os.kill(pid, signal.SIGKILL)
    assert [run(argv(pysc, "list", "-q")).returncode for _ in range(3)] == [0, 0, 0]
    zygote.log()  # which says so


def test_the_creator_is_the_command(zygote: Zygote, pysc: Pysc, bundle: Bundles, tmp_path: Path) -> None:
    """Not its worker, which may do others: when the command is no more, the container is not being created."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    made = bundle(["true"], hooks={"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", f"cat {fifo}"]}]})
    with subprocess.Popen(argv(pysc, "create", "-b", made, pysc.id), stdin=subprocess.DEVNULL, **QUIET) as command:
        with open(fifo, "w"):  # the hook runs
            assert state(pysc)["creator"][0] == command.pid  # type: ignore[index]
        assert command.wait(LONGER) == 0
    assert run(argv(pysc, "delete", "--force", pysc.id)).returncode == 0
    assert not zygote.log()


def test_locale_and_time_zone(zygote: Zygote, pysc: Pysc) -> None:
    """Neither what an interpreter puts into its own environment goes to a workload, nor is the zygote's zone that of a log."""
    for command in (COMMAND, COLD):
        done = run(["env", "-i", "PATH=/usr/bin:/bin", *argv(pysc, "do", "--quiet", "--", "env", command=command)])
        assert "LC_" not in done.stdout, done
        for zone, offset in (("JST-9", "+09:00"), ("UTC", "Z")):
            done = run(["env", f"TZ={zone}", *argv(pysc, "state", "nobody", command=command)])
            assert re.search(rf'^time="[-0-9T:]+{re.escape(offset)}"', done.stderr), done
    assert not zygote.log()


def writable(pid: int) -> bytes:
    """All memory of a process that it may have written to."""
    found = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            span, rights, *_, name = (*line.split(), "")
            if rights.startswith("rw") and "[v" not in name:
                start, end = (int(number, 16) for number in span.split("-"))
                memory.seek(start)
                found.append(memory.read(end - start))
    return b"".join(found)


def test_what_could_not_be_written_goes_to_nobody_else(zygote: Zygote, pysc: Pysc, bundle: Bundles) -> None:
    """Whoever is served next by the same worker."""
    with open("/dev/full", "w") as full:
        assert run(argv(pysc, "spec", "--help"), stdout=full).returncode == 1
        assert run(argv(pysc, "features"), stdout=full).returncode == 1
    reader, writer = os.pipe()
    os.close(reader)
    assert run(argv(pysc, "features"), stdout=writer).returncode == 1
    assert run(argv(pysc, "help"), stdout=writer).returncode == 1
    os.close(writer)
    for _ in range(4):
        zygote.rest()
        assert run(argv(pysc, "list", "-q")).stdout == ""
    assert not zygote.log()
