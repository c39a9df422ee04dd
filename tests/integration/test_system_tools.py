"""The tools by which people look at a machine, in a sandbox: they work, and show the container as if it were one."""

from __future__ import annotations

import re
import shlex
import shutil
from typing import TYPE_CHECKING

import pytest
from workloads import PROFILES, Sandbox, run

if TYPE_CHECKING:
    from pathlib import Path

    from containers import Pysc

pytestmark = pytest.mark.integration

LIMITS = {"memory": {"limit": 256 << 20}, "cpu": {"cpus": "0"}}

# A command, started by a shell that is process 1, and a pattern of what it has to print. "<<<" gives it something to read.
TOOLS = [
    ("top -b -n 1", r"Tasks: +\d+ total(?s:.*)256\.0 total(?s:.*)\n +1 root .* sh\n"),
    ("ps -eo pid,user,comm,etimes", r"^ +1 root +sh +\d\n +\d+ root +ps +0\n\Z"),
    ("ps aux", r"^root +1 .*sh -c"),
    ("ps -eLo pid,lwp,wchan,psr", r"^ +1 +1 \S+ +\d+$"),
    ("ps axZ", r"^- +1 "),
    ("pgrep -x sh", r"^1$"),
    ("pmap -x 1", r"^total kB +\d+"),
    ("script -qec 'stty rows 24 cols 100; htop' /dev/null <<< q", r"(?s)Tasks:.*256M.*root.*htop"),
    ("lsof -n", r"(?m)^sh +1 root +cwd +DIR .* /work$(?s:.*)^sh +1 root +rtd +DIR .* /$"),
    ("vmstat", r"^ ?\d+ +\d+ +0 +2[0-6]\d{4} +0 +\d+ "),
    ("vmstat -s", r"^ +262144 K total memory"),
    ("vmstat -d", r"\A(disk.*\n.*\n)?\Z"),
    ("free -k", r"^Mem: +262144 "),
    ("uptime", r" up 0 min, .*load average: 0\.00, 0\.00, 0\.00$"),
    ("w", r" up 0 min, "),
    ("mount", r"(?s)\A\S+ on / type .*^proc on /proc type proc.*^devpts on /dev/pts type devpts"),
    ("df", r"^\S+ +\d+ +\d+ +\d+ +\d+% /$"),
    ("findmnt --noheadings --output target,fstype", r"(?s)^/ +\w+\n.*/proc +proc\n.*/dev/pts +devpts\n"),
    ("findmnt --noheadings --output fstype --target /proc", r"\Aproc\n\Z"),
    ("sysctl -n kernel.hostname fs.file-max fs.inotify.max_user_watches kernel.threads-max kernel.ngroups_max", r"\Apysc\n(\d+\n){4}\Z"),
    ("sysctl -a 2> /dev/null", r"(?s)^fs\.nr_open = \d+\n.*^kernel\.pid_max = \d+\n.*^vm\.overcommit_memory = \d\n"),
    ("lscpu", r"^CPU\(s\): +1\n"),
    ("lsns --noheadings --output type,pid", r"(?s)^pid +1\n.*^net +1\n"),
    ("lslocks", r"\A(COMMAND.*\n)?\Z"),
    ("lsipc", r"^SHMMNI .* 4096 +0 "),
    ("ip -o addr", r"\A1: lo +inet 127\.0\.0\.1/8 "),
    ("swapon --show", r"\A\Z"),
    ("fuser -v /proc/1/exe 2>&1", r"sh$"),
    ("prlimit --noheadings --output resource", r"^NOFILE$"),
    ("taskset -cp 1", r": 0$"),
]

LISTENING = """
import os, socket
s = socket.create_server(("127.0.0.1", 8077))
s.set_inheritable(True)
os.execlp("ss", "ss", "-tlnp")
"""


@pytest.fixture(params=PROFILES)
def sandbox(request: pytest.FixtureRequest, pysc: Pysc, debian_root: Path, tmp_path: Path) -> Sandbox:
    return Sandbox(pysc, "bundle", request.param, debian_root, tmp_path)


@pytest.mark.parametrize(("command", "expected"), TOOLS, ids=[command for command, _ in TOOLS])
def test_it_shows_the_container(sandbox: Sandbox, tmp_path: Path, command: str, expected: str) -> None:
    for tool in {shlex.split(command)[0], *(["htop"] if "htop" in command else ())}:
        if shutil.which(tool) is None:
            pytest.skip(f"not installed: {tool}")
    command, _, text = command.partition(" <<< ")
    # a shell that stays, and is therefore not replaced by the command
    argv = sandbox.argv(tmp_path, ["sh", "-c", f"printf '{text}' | {command}; status=$?; exit $status"], linux={"resources": LIMITS})
    done = run(argv, tmp_path)
    assert (done.code, done.err) == (0, ""), done
    assert re.search(expected, done.out, re.MULTILINE), done


def test_ss_finds_sockets_and_their_processes(sandbox: Sandbox, tmp_path: Path) -> None:
    """By /proc/net: there is no NETLINK_SOCK_DIAG, which it says before it goes on."""
    for tool in ("ss", "/usr/bin/python3"):
        if shutil.which(tool) is None:
            pytest.skip(f"not installed: {tool}")
    done = run(sandbox.argv(tmp_path, ["/usr/bin/python3", "-c", LISTENING]), tmp_path)
    assert done.code == 0, done
    assert re.search(r"^LISTEN .* 127\.0\.0\.1:8077 .*\"ss\",pid=1", done.out, re.MULTILINE), done
