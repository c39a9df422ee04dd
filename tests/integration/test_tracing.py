"""--strace, `pysc trace` and --inject with real containers."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
from typing import TYPE_CHECKING

import pytest
from containers import Bundles, Pysc, requires
from user import User

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    requires("busybox"),
]

LINE = re.compile(r"\[pid +\d+\] .* = .* <\d+\.\d{6}>|\[pid +\d+\] .*<unfinished \.\.\.>|--- \d+ records were dropped.*")


def traced(text: str) -> list[str]:
    """The lines of a trace, without pid and duration."""
    return [m[1] for m in re.finditer(r"^\[pid +\d+\] (.*?)(?: <\d+\.\d+>)?$", text, re.MULTILINE)]


class Tracer:
    """`pysc trace` in the background. Lines are read one by one."""

    def __init__(self, pysc: Pysc, *words: object) -> None:
        self.process = subprocess.Popen(pysc.argv("trace", *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.out = self.process.stdout

    def lines(self) -> Iterator[str]:
        while select.select([self.out], [], [], 60)[0] and (line := self.out.readline()):
            yield line

    def until(self, word: str) -> str:
        """The first line with `word` in it."""
        return next(line for line in self.lines() if word in line)

    def end(self) -> str:
        self.process.kill()
        _, err = self.process.communicate(timeout=60)
        return str(err)


@pytest.fixture
def looping(pysc: Pysc, bundle: Bundles) -> Iterator[Pysc]:
    """A container that opens /etc/passwd for ever."""
    start(pysc, bundle(["sh", "-c", "while :; do : < /etc/passwd; done"]))
    yield pysc
    pysc("delete", "--force", pysc.id)


def start(pysc: Pysc, made: object, *globals: object) -> None:
    command = pysc.argv(*globals, "run", "--detach", "-b", made, pysc.id)
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True, timeout=60)


@pytest.mark.parametrize("profile", ["standard", "strict"])
def test_do_shows_what_a_command_opens(pysc: Pysc, profile: str) -> None:
    done = pysc("--profile", profile, "--strace", "do", "--quiet", "--", "sh", "-c", "exec cat /etc/passwd /nowhere 2>/dev/null")
    assert done.code == 1
    lines = traced(done.err)
    assert re.search(r'^openat\(AT_FDCWD, "/etc/passwd", O_RDONLY\) = \d+$', "\n".join(lines), re.MULTILINE)
    assert 'openat(AT_FDCWD, "/nowhere", O_RDONLY) = -1 ENOENT (No such file or directory)' in lines
    assert not [line for line in lines if line.startswith(("setgroups", "setresuid", "capset"))]  # ours, before the command


def test_strict_shows_structures_that_the_sentry_has_filled_in(pysc: Pysc, bundle: Bundles) -> None:
    made = bundle(["sh", "-c", "stat /etc/passwd; readlink /bin/sh; cd /tmp"])
    done = pysc("--profile", "strict", "--strace", "run", "-b", made, pysc.id)
    lines = "\n".join(traced(done.err))
    assert re.search(r'^(l?stat|newfstatat)\(.*"/etc/passwd", \{st_mode=S_IFREG\|0644, st_size=\d+, \.\.\.\}.*\) = 0$', lines, re.MULTILINE), done
    assert re.search(r'^readlink\("/bin/sh", "busybox", \d+\) = 7$', lines, re.MULTILINE), done
    assert 'chdir("/tmp") = ?' in lines


def test_all_shows_native_calls_and_changes_nothing(pysc: Pysc, bundle: Bundles) -> None:
    script = "echo hello | cat; (exit 3); echo $?; kill -TERM $$"
    plain = pysc("run", "-b", bundle(["sh", "-c", script]), pysc.id)
    done = pysc("--strace=all", "run", "-b", bundle(["sh", "-c", script]), pysc.id)
    assert (done.code, done.out) == (plain.code, plain.out)
    lines = traced(done.err)
    assert 'write(1, "hello\\n", 6) = ?' in lines
    assert "exit_group(3) = ?" in lines
    assert any(line.startswith("execve(") for line in lines)
    assert any(line.startswith(("wait4(", "waitid(")) for line in lines)


def test_only_the_calls_that_are_named(pysc: Pysc) -> None:
    done = pysc("--strace=mkdir,write", "do", "--", "sh", "-c", "mkdir /tmp/a; echo x; cat /etc/passwd >/dev/null")
    assert {line.partition("(")[0] for line in traced(done.err)} == {"mkdir", "write"}


def test_json(pysc: Pysc) -> None:
    done = pysc("--strace=openat", "--strace-format", "json", "do", "--quiet", "--", "sh", "-c", "exec cat /nowhere 2>/dev/null")
    rows = [json.loads(line) for line in done.err.splitlines() if line.startswith("{")]
    (row,) = [row for row in rows if row["args"][1] == '"/nowhere"']
    assert (row["call"], row["result"], row["error"], row["outcome"]) == ("openat", -1, "ENOENT", "mediated")
    assert row["pid"] > 0
    assert row["duration"] > 0


def test_names_of_the_workload_cannot_break_or_forge_a_line(pysc: Pysc) -> None:
    evil = '/tmp/a\n[pid     1] open("x") = 0 <0.000001>\n\x1b[2J'
    done = pysc("--strace=openat", "do", "--quiet", "--", "python3", "-c", "import sys; open(sys.argv[1], 'w')", evil)
    assert "\x1b" not in done.err
    assert all(LINE.fullmatch(line) for line in done.err.splitlines()), done
    assert r"\n[pid     1] open(\"x\") = 0 <0.000001>\n\33[2J" in done.err


def test_a_call_that_waits(pysc: Pysc, bundle: Bundles) -> None:
    made = bundle(["sh", "-c", "mkfifo /tmp/f; cat /tmp/f & echo x >/tmp/f; wait"], writable=True)
    lines = traced(pysc("--strace", "run", "-b", made, pysc.id).err)
    waiting = [line for line in lines if '"/tmp/f"' in line and line.endswith("<unfinished ...>")]
    assert len(waiting) == sum(line.startswith("<... open") for line in lines) > 0


def test_into_a_file_and_with_what_exec_adds(pysc: Pysc, bundle: Bundles, tmp_path: Path) -> None:
    log = tmp_path / "log-%ID%"
    start(pysc, bundle(["sleep", "100"]), "--strace", "--strace-log", log)
    pysc("exec", pysc.id, "cat", "/etc/passwd", check=True)
    pysc("exec", pysc.id, "/nowhere")
    pysc("delete", "--force", pysc.id, check=True)
    text = (tmp_path / f"log-{pysc.id}").read_text()
    assert re.search(r'^\d+ +open(at)?\(.*"/etc/passwd", O_RDONLY.*\) = 3 <', text, re.MULTILINE), text
    assert "setresuid" not in text


def test_all_with_exec_and_a_terminal(pysc: Pysc, bundle: Bundles, tmp_path: Path) -> None:
    start(pysc, bundle(["sleep", "100"]), "--strace=all", "--strace-log", tmp_path / "log")
    done = pysc("exec", "-t", pysc.id, "sh", "-c", "tty; echo $((6 * 7))", check=True)
    assert "42" in done.out
    pysc("delete", "--force", pysc.id, check=True)
    assert '"42\\n"' in (tmp_path / "log").read_text()


def test_a_container_in_the_background_needs_a_file(pysc: Pysc, bundle: Bundles) -> None:
    for words in (["run", "--detach"], ["create"]):
        done = pysc("--strace", *words, "-b", bundle(["true"]), pysc.id)
        assert done.code == 1
        assert "--strace-log FILE" in done.err


@pytest.mark.parametrize("option", [["--strace"], ["--strace=all"], ["--inject", "openat:EIO"]])
@pytest.mark.platforms("ptrace", "namespace")
def test_on_other_platforms_it_is_refused(pysc: Pysc, option: list[str]) -> None:
    done = pysc(*option, "do", "--", "true")
    assert done.code == 1
    assert "is for the platform notify" in done.err


def test_threads(pysc: Pysc) -> None:
    program = """
import os, threading
def work():
    for _ in range(50):
        os.close(os.open("/etc/passwd", os.O_RDONLY))
threads = [threading.Thread(target=work) for _ in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]
"""
    done = pysc("--strace=openat", "--strace-format", "json", "do", "--quiet", "--", "python3", "-c", program, check=True)
    rows = [json.loads(line) for line in done.err.splitlines()]
    opens = [row for row in rows if row["args"][1] == '"/etc/passwd"']
    assert len(opens) == 200
    assert len({row["tid"] for row in opens}) == 4
    assert len({row["pid"] for row in opens}) == 1


def test_a_call_that_returns_two_descriptors(pysc: Pysc) -> None:
    """In the host's network pairs are made by the sentry."""
    program = "import os, socket; a, b = socket.socketpair(); a.send(b'x'); print(b.recv(1), a.fileno(), b.fileno())"
    done = pysc("--network", "host", "--strace=socketpair", "do", "--quiet", "--", "python3", "-S", "-c", program, check=True)
    assert done.out == "b'x' 3 4\n"
    assert "socketpair(AF_UNIX, SOCK_STREAM|SOCK_CLOEXEC, 0, [3, 4]) = 0" in traced(done.err)


def test_an_ordinary_user() -> None:
    user = User(65536)
    try:
        done = user("pysc", "--strace=all", "--inject", "mkdir:EIO", "do", "--quiet", "--", "sh", "-c", "cat /etc/passwd >/dev/null; mkdir x")
        assert done.code == 1
        assert re.search(r'openat\(AT_FDCWD, "/etc/passwd", O_RDONLY\) = 3', done.err), done
        assert 'mkdir("x", 0777) = -1 EIO (Input/output error) (INJECTED)' in done.err
    finally:
        user.stop()


# ---- pysc trace ----


def test_a_running_container(looping: Pysc) -> None:
    tracer = Tracer(looping, looping.id)
    assert LINE.fullmatch(tracer.until('"/etc/passwd"').strip())
    looping("exec", looping.id, "cat", "/etc/group", check=True)
    assert tracer.until('"/etc/group"')
    looping("delete", "--force", looping.id, check=True)
    for _ in tracer.lines():
        pass
    assert tracer.process.wait(60) == 0  # it ends with the container
    tracer.end()


def test_two_readers_that_want_different_things(looping: Pysc, tmp_path: Path) -> None:
    one = Tracer(looping, "--format", "json", looping.id)
    two = Tracer(looping, "--syscalls", "mkdir", "-o", tmp_path / "two", looping.id)
    row = json.loads(one.until('"open'))
    assert row["outcome"] == "mediated"
    log = tmp_path / "two"
    while not (log.exists() and log.stat().st_size):  # until the other one is there as well
        looping("exec", looping.id, "mkdir", "/etc/passwd/x")
    assert json.loads(one.until("mkdir"))["error"] in ("ENOTDIR", "EROFS")
    looping("delete", "--force", looping.id, check=True)
    assert two.process.wait(60) == 0
    text = log.read_text()
    assert re.fullmatch(r'(\d+ +mkdir\("/etc/passwd/x", 0777\) = -1 \w+ \(.*\) <\d+\.\d+>\n)+', text), text
    for tracer in (one, two):
        tracer.end()


def memory(pid: int) -> int:
    """KiB that a process has in use."""
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))


def sentry_of(pysc: Pysc) -> int:
    return int(json.loads((pysc.root / pysc.id / "state.json").read_text())["sentry"][0])


def test_a_reader_that_stops_reading_stalls_nobody(pysc: Pysc, bundle: Bundles, tmp_path: Path) -> None:
    """It says itself how often it has gone round, so we see it go on while the pipe is full."""
    script = "n=0; while :; do : < /etc/passwd; n=$((n + 1)); [ $((n % 1000)) = 0 ] && echo $n; done"
    reading, writing = os.pipe()
    command = pysc.argv("run", "--detach", "-b", bundle(["sh", "-c", script]), pysc.id)
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=writing, check=True, timeout=60)
    os.close(writing)
    with os.fdopen(reading) as rounds:
        tracer = Tracer(pysc, pysc.id)
        tracer.until("open")
        os.kill(tracer.process.pid, 19)  # SIGSTOP
        before = int(rounds.readline())
        after = before
        full = memory(sentry_of(pysc))
        while after < before + 20_000:  # 1 MiB of records, twice over
            after = int(rounds.readline())
        assert memory(sentry_of(pysc)) < full + 4096
        os.kill(tracer.process.pid, 18)
        lost = re.search(r"--- (\d+) records were dropped", tracer.until("dropped"))
        assert lost
        assert int(lost[1]) > 1000
        tracer.end()
        while after < before + 25_000:  # and it goes on when nobody reads at all
            after = int(rounds.readline())
        pysc("delete", "--force", pysc.id, check=True)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--syscalls", "opne"], "did you mean open?"),
        (["--syscalls", "rt_sigreturn"], "cannot be traced"),
        (["--string-size", "5000"], "from 0 to 1024"),
        (["-o", "/nowhere/x"], "no such file or directory"),
    ],
)
def test_what_trace_refuses(looping: Pysc, words: list[str], why: str) -> None:
    done = looping("trace", *words, looping.id)
    assert done.code == 1
    assert why in done.err


def test_what_cannot_be_seen_is_said(looping: Pysc) -> None:
    tracer = Tracer(looping, "--syscalls", "read,open,openat", looping.id)
    tracer.until("open")
    assert "read: native, and not sent to the sentry" in tracer.end()


def test_there_are_only_so_many_readers(looping: Pysc) -> None:
    tracers = [Tracer(looping, looping.id) for _ in range(8)]
    for tracer in tracers:
        tracer.until("open")
    done = looping("trace", looping.id)
    assert done.code == 1
    assert "8 traces" in done.err
    for tracer in tracers:
        tracer.end()
    late = Tracer(looping, looping.id)
    late.until("open")
    late.end()


@pytest.mark.parametrize(
    ("platform", "why"),
    [("ptrace", "on the platform ptrace: its sentry is its tracer"), ("namespace", "has no sentry (platform namespace): trace it with strace")],
)
def test_what_runs_on_another_platform_is_not_traced(pysc: Pysc, bundle: Bundles, platform: str, why: str) -> None:
    start(pysc, bundle(["sleep", "100"]), "--platform", platform)
    done = pysc("trace", pysc.id)
    assert (done.code, done.out) == (1, "")
    assert f"container {pysc.id} {'is ' if platform == 'ptrace' else ''}{why}" in done.err
    pysc("delete", "--force", pysc.id, check=True)


@pytest.mark.parametrize("platform", ["notify", "ptrace", "namespace"])
def test_what_has_stopped_is_not_traced(pysc: Pysc, bundle: Bundles, platform: str) -> None:
    start(pysc, bundle(["true"]), "--platform", platform)
    pysc("wait", pysc.id)
    assert f"container {pysc.id} is stopped: there are no calls to see" in pysc("trace", pysc.id).err
    pysc("delete", pysc.id, check=True)


# ---- --inject ----


def test_the_third_open_fails(pysc: Pysc) -> None:
    program = """
import os
for n in range(5):
    try:
        os.close(os.open(f"/tmp/f{n}", os.O_CREAT | os.O_WRONLY))
        print(n, "ok")
    except OSError as e:
        print(n, e.strerror)
print(sorted(os.listdir("/tmp")))
"""
    first = pysc("--strace=openat", "do", "--quiet", "--", "python3", "-c", program, check=True)
    before = traced(first.err).index('openat(AT_FDCWD, "/tmp/f0", O_WRONLY|O_CREAT|O_CLOEXEC, 0777) = 3')
    when = before + 3
    done = pysc("--strace=openat", "--inject", f"openat:ENOSPC:when={when}", "do", "--quiet", "--", "python3", "-c", program, check=True)
    assert done.out.splitlines()[:5] == ["0 ok", "1 ok", "2 No space left on device", "3 ok", "4 ok"]
    assert "f2" not in done.out.splitlines()[5]
    injected = [line for line in traced(done.err) if "INJECTED" in line]
    assert injected == ['openat(AT_FDCWD, "/tmp/f2", O_WRONLY|O_CREAT|O_CLOEXEC, 0777) = -1 ENOSPC (No space left on device) (INJECTED)']


PYTHON = """
import errno, os, sys, threading
def attempt(name, call):
    try:
        print(name, "ok", call())
    except OSError as e:
        print(name, errno.errorcode[e.errno])
    except RuntimeError:
        print(name, "refused")
"""


@pytest.mark.parametrize(
    ("spec", "body", "out"),
    [
        ("write:error=ENOSPC:when=1", "attempt('w', lambda: os.write(2, b'x')); attempt('w', lambda: os.write(2, b'x'))", ["w ENOSPC", "w ok 1"]),
        ("fsync:EIO", "f = os.open('/tmp/f', 65); attempt('s', lambda: os.fsync(f))", ["s EIO"]),
        ("readv:retval=0", "r, w = os.pipe(); os.write(w, b'abc'); attempt('r', lambda: os.readv(r, [bytearray(3)]))", ["r ok 0"]),
        ("fork,vfork,clone:EAGAIN", "attempt('f', os.fork)", ["f EAGAIN"]),
        ("clone:EAGAIN", "attempt('t', lambda: threading.Thread(target=print).start())", ["t refused"]),
        ("execve:E2BIG", "attempt('x', lambda: os.execv('/bin/true', ['true']))", ["x E2BIG"]),
        ("rename,renameat2:EXDEV:when=2+", "[attempt('m', lambda: os.rename('/tmp', '/x')) for _ in 'abc']", ["m EXDEV"] * 2),
        ("unshare:ENOSPC", "import ctypes; c = ctypes.CDLL(None, use_errno=True); print(c.unshare(0x20000), ctypes.get_errno())", ["-1 28"]),
        ("getpid:retval=77", "print(os.getpid())", ["77"]),
        ("mkdir:delay_enter=20ms:EIO", "attempt('d', lambda: os.mkdir('/tmp/d'))", ["d EIO"]),
        ("mkdir:delay_exit=20ms", "attempt('d', lambda: os.mkdir('/tmp/d')); print(os.path.isdir('/tmp/d'))", ["d ok None", "True"]),
        ("getppid:delay_enter=300ms", "import time; t = time.monotonic(); os.getppid(); print(time.monotonic() - t >= 0.3)", ["True"]),
        ("umask:signal=USR1", "import signal; signal.signal(10, lambda *_: print('signal')); os.umask(18); print('after')", ["signal", "after"]),
    ],
)
def test_faults(pysc: Pysc, spec: str, body: str, out: list[str]) -> None:
    profile = "strict" if len(spec) % 2 else "standard"  # each in one of them, for the time it takes
    done = pysc("--profile", profile, "--inject", spec, "do", "--quiet", "--", "python3", "-S", "-u", "-c", PYTHON + body)
    assert done.out.splitlines()[-len(out) :] == out, done


def test_a_write_that_is_full_fails_a_program_of_the_system(pysc: Pysc) -> None:
    done = pysc("--inject", "write:ENOSPC:when=1", "do", "--quiet", "--", "cat", "/etc/passwd")
    assert done.code == 1
    assert "No space left on device" in done.err


def test_each_process_is_counted_for_itself_and_threads_together(pysc: Pysc) -> None:
    body = """
import threading
def two():
    for _ in range(2):
        attempt(sys.argv[1], lambda: os.mkdir("/tmp"))
        if sys.argv[1] == "t":
            break
if sys.argv[1] == "p":
    for _ in range(2):
        pid = os.fork()
        if not pid:
            two(); os._exit(0)
        os.waitpid(pid, 0)
else:
    for _ in range(3):
        t = threading.Thread(target=two); t.start(); t.join()
"""
    for kind, out in (("p", ["p EEXIST", "p EIO"] * 2), ("t", ["t EEXIST", "t EIO", "t EEXIST"])):
        done = pysc("--inject", "mkdir:EIO:when=2", "do", "--quiet", "--", "python3", "-u", "-c", PYTHON + body, kind)
        assert done.out.splitlines() == out, done


def test_faults_are_for_what_exec_adds_too_and_not_for_what_makes_it(pysc: Pysc, bundle: Bundles) -> None:
    start(pysc, bundle(["sleep", "100"]), "--inject", "write,execve,setgroups,read,close:EIO")
    done = pysc("exec", pysc.id, "echo", "hello")
    assert done.code == 1
    assert done.out == ""
    pysc("delete", "--force", pysc.id, check=True)


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("openat", "CALL"),
        ("opnat:EIO", "did you mean openat?"),
        ("exit_group:EIO", "it does not return"),
        ("openat:ENOSUCH", "is no errno"),
    ],
)
def test_a_bad_specification_makes_no_container(pysc: Pysc, spec: str, why: str) -> None:
    done = pysc("--inject", spec, "do", "--", "true")
    assert done.code == 1
    assert why in done.err
    assert not pysc.containers()


def test_the_own_filter_lets_no_other_signal_pass_without_need(pysc: Pysc) -> None:
    """A fault without a signal leaves the sentry's own filter as it is: it lives on under --debug, which would name a refused call."""
    done = pysc("--debug", "--inject", "mkdir:EIO", "--strace=all", "do", "--quiet", "--", "mkdir", "/tmp/x")
    assert "not one of its own" not in done.err
    assert done.code == 1


def test_a_profile_of_the_config_still_refuses_what_is_traced(pysc: Pysc, bundle: Bundles) -> None:
    profile: dict[str, Any] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": ["sync", "sethostname"], "action": "SCMP_ACT_TRACE", "errnoRet": 1}],
    }
    made = bundle(["sh", "-c", "hostname other; hostname"], linux={"seccomp": profile})
    plain = pysc("run", "-b", made, pysc.id)
    done = pysc("--strace=all", "run", "-b", made, pysc.id)
    assert done.out == plain.out
    assert "other" not in done.out
