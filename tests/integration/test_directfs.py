"""--directfs=false: the sentry holds no file and no directory; another process has them (sentry/files.py)."""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from containers import Bundle, Bundles, Pysc

pytestmark = pytest.mark.integration

LATER = """
import os, socket, sys, threading, time
server = socket.create_server(("127.0.0.1", 0))
def files():
    while True:
        os.close(os.open("/etc/passwd", os.O_RDONLY))
        os.mkdir("/tmp/d"); os.rmdir("/tmp/d")
        open("/proc/uptime").read()
def sockets():
    while True:
        socket.create_connection(server.getsockname()).close()
for work in (files, sockets):
    threading.Thread(target=work, daemon=True).start()
print("working", flush=True)
sys.stdin.read()
"""


def pids(pysc: Pysc, id: str) -> dict[str, int]:
    state = json.loads((pysc.root / id / "state.json").read_text())
    return {who: state[who][0] for who in ("sentry", "files", "gofer", "init") if state[who]}


def held(pid: int) -> list[str]:
    """What a process holds that has, or leads to, a name: its descriptors of files and directories, and what is mounted for it."""
    found = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        link = f"/proc/{pid}/fd/{fd}"
        try:
            kind, name = stat.S_IFMT(os.stat(link).st_mode), os.readlink(link)
        except OSError:  # closed meanwhile
            continue
        if kind in (stat.S_IFDIR, stat.S_IFREG, stat.S_IFLNK, stat.S_IFBLK):
            found.append(name)
    mounts = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
    for task in os.listdir(f"/proc/{pid}/task"):
        for place in ("cwd", "root"):
            with contextlib.suppress(OSError):  # a thread that has ended
                if os.listdir(f"/proc/{pid}/task/{task}/{place}/") or len(mounts) != 1:
                    found.append(f"{place} of {task}")
    return found


@pytest.mark.parametrize("directfs", ["true", "false"])
def test_what_a_sentry_holds_while_its_workload_opens_and_connects(pysc: Pysc, directfs: str) -> None:
    argv = pysc.argv(f"--directfs={directfs}", "do", "--quiet", "--", "python3", "-c", LATER)
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as command:
        assert command.stdin is not None
        assert command.stdout is not None
        assert command.stdout.readline() == b"working\n"
        (id,) = pysc.containers()
        found = pids(pysc, id)
        looks = [held(found["sentry"]) for _ in range(100)]
        capabilities = int(re.findall(r"CapPrm:\s(\w+)", Path(f"/proc/{found['sentry']}/status").read_text())[0], 16)
        command.stdin.close()
    assert command.returncode == 0
    if directfs == "false":
        assert looks == [[]] * 100
        assert capabilities & (1 << 1 | 1 << 2 | 1 << 3 | 1 << 21) == 0, "CAP_DAC_OVERRIDE, _DAC_READ_SEARCH, _FOWNER, _SYS_ADMIN"
    else:
        assert all(looks), "this test would not see a directory"


def start(pysc: Pysc, made: Bundle) -> dict[str, int]:
    argv = pysc.argv("--directfs=false", "run", "--detach", "-b", made, pysc.id)
    subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True, timeout=60)
    return pids(pysc, pysc.id)


def test_what_exec_adds_and_pause(pysc: Pysc, bundle: Bundles) -> None:
    start(pysc, bundle(["sh", "-c", "mkfifo /tmp/f; cat /tmp/f"], writable=True))
    script = "until [ -p /tmp/f ]; do :; done; umask 027; cd /tmp; echo x > new; ls -l new; cat /proc/uptime"
    done = pysc("exec", pysc.id, "sh", "-c", script, check=True)
    assert done.out.startswith("-rw-r-----")
    pysc("pause", pysc.id, check=True)  # one waits in the open of its FIFO
    pysc("resume", pysc.id, check=True)
    pysc("exec", pysc.id, "sh", "-c", "echo > /tmp/f", check=True)
    pysc("wait", pysc.id, check=True)
    pysc("delete", pysc.id, check=True)


def test_they_are_in_one_cgroup(pysc: Pysc, bundle: Bundles) -> None:
    found = start(pysc, bundle(["sleep", "1000"]))
    places = {who: Path(f"/proc/{pid}/cgroup").read_text() for who, pid in found.items()}
    assert places["sentry"] == places["files"] == places["gofer"] != places["init"]
    assert Path(f"/proc/{found['files']}/comm").read_text() == "pysc-files\n"
    pysc("delete", "--force", pysc.id, check=True)


def test_the_reports_of_both_are_one(pysc: Pysc) -> None:
    script = "mkdir /etc/x; cat /proc/sys/kernel/core_pattern; exec python3 -c 'import socket; socket.socket().connect((\"192.0.2.1\", 80))'"
    done = pysc("--directfs=false", "--debug", "--network=none", "do", "--", "sh", "-c", script)
    assert re.search(r"mediated \d+ system calls: .*openat \d+", done.err), done
    assert re.search(r"mediated \d+ system calls: .*connect 1\b", done.err), done
    assert "192.0.2.1:80" in done.err, "denied by the sentry"


def test_traces_have_the_calls_of_both(pysc: Pysc) -> None:
    program = "import os, socket; s = socket.create_server(('127.0.0.1', 0)); socket.create_connection(s.getsockname()); os.mkdir('/tmp/a')"
    done = pysc("--directfs=false", "--strace", "do", "--quiet", "--", "python3", "-c", program, check=True)
    for pattern in (r"openat\(AT_FDCWD, .*\) = 3", r'mkdir\("/tmp/a", 0777\) = 0', r"bind\(3, .*\) = 0", r"connect resumed>\) = 0"):
        assert re.search(pattern, done.err), pattern
    assert "setresuid" not in done.err, "ours, before the command"
    done = pysc("--directfs=false", "--strace=all", "do", "--quiet", "--", "python3", "-c", "print(6 * 7)", check=True)
    assert done.out == "42\n"
    assert re.search(r'write\(1, "42\\n", 3\) = \?', done.err), done


def test_faults(pysc: Pysc) -> None:
    words = ["do", "--quiet", "--", "sh", "-c", "mkdir /tmp/a /tmp/b /tmp/c; ls /tmp"]
    done = pysc("--directfs=false", "--inject", "mkdir:ENOSPC:when=2", *words)
    assert "No space left on device" in done.err
    assert set("abc") & set(done.out.split()) == set("ac")
    done = pysc("--directfs=false", "--inject", "connect:ECONNREFUSED", *words)
    assert done.code != 0
    assert "--inject connect: with --directfs=false only calls that the file server handles can be made to fail" in done.err
