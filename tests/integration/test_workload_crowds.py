"""Workload: much at once and much in a row: a thousand programs, 32 processes on one directory, 64 threads that open files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from containers import requires
from workloads import Workload, same_as_native

if TYPE_CHECKING:
    from pathlib import Path

    from workloads import NativeRuns, Sandbox

PYTHON = "/usr/bin/python3"

pytestmark = [pytest.mark.integration, requires(PYTHON)]

IN_A_ROW = """
import os, sys
seen = set()
for i in range(1000):
    pid = os.fork()
    if pid == 0:
        os.execv("/bin/true", ["true"]) if i % 2 else os.execv("/bin/sh", ["sh", "-c", f"exit {i % 100}"])
    assert os.waitpid(pid, 0) == (pid, 0 if i % 2 else (i % 100) << 8), i
    seen.add(pid)
print(len(seen), "programs", sorted(os.listdir("/proc/self/fd")))
try:
    os.wait()
except ChildProcessError:
    print("no children")
"""

# each works in the directories of the others too: what one of them sees is any moment's truth, but it must be one
PROCESSES = """
import errno, os, random, sys

NAMES = [f"shared-{i}" for i in range(16)]

def expected(error):
    return error.errno in (errno.ENOENT, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY, errno.ELOOP)

def work(me):
    random.seed(me)
    os.mkdir(f"own-{me}")
    for turn in range(40):
        mine = f"own-{me}/{turn}"
        with open(mine, "x") as file:
            file.write(f"{me} {turn}\\n" * turn)
        os.rename(mine, mine + "-renamed")
        os.link(mine + "-renamed", mine)
        shared, other = random.sample(NAMES, 2)
        for do in (
            lambda: os.mkdir(shared),
            lambda: os.rename(mine, shared),
            lambda: os.rename(shared, other),
            lambda: os.symlink(other, shared),
            lambda: os.close(os.open(shared, os.O_CREAT | os.O_RDWR)),
            lambda: os.rename(mine, f"{shared}/{me}-{turn}"),
            lambda: os.unlink(f"{shared}/{me}-{turn}"),
            lambda: os.rmdir(other),
            lambda: os.unlink(shared),
        ):
            try:
                do()
            except OSError as error:
                if not expected(error):
                    raise
        if os.path.exists(mine):
            os.unlink(mine)
        with open(mine + "-renamed") as file:
            assert file.read() == f"{me} {turn}\\n" * turn
        assert os.stat(mine + "-renamed").st_nlink >= 1
    with open("log", "a") as log:
        log.write(f"{me:2}\\n")

pids = []
for me in range(32):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work(me)
            code = 0
        except OSError as error:
            print(repr(error), file=sys.stderr, flush=True)
        finally:
            os._exit(code)
    pids.append(pid)
print([os.waitpid(pid, 0)[1] for pid in pids])
print(sorted(open("log")) == [f"{me:2}\\n" for me in range(32)])
print(sum(len(os.listdir(f"own-{me}")) for me in range(32)))
for parent, directories, files in os.walk(".", topdown=False):
    for name in files + directories:
        path = os.path.join(parent, name)
        if name != "script.py":
            os.rmdir(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
print(os.listdir())
"""

# descriptors that come from the sentry are the caller's thread by thread: none is lost, none is another's
THREADS = """
import os, resource, sys, threading
resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
for i in range(64):
    with open(f"file-{i}", "w") as file:
        file.write(str(i))
before = sorted(os.listdir("/proc/self/fd"))
barrier, wrong, full = threading.Barrier(64), [], 0

def work(me):
    barrier.wait()
    for turn in range(30):
        number = (me * 7 + turn) % 64
        fd = os.open(f"file-{number}", os.O_RDONLY)
        text = os.pread(fd, 10, 0).decode()
        again = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)
        if text != str(number) or os.fstat(fd).st_ino != os.fstat(again).st_ino or os.get_inheritable(fd):
            wrong.append((me, number, text))
        os.close(fd)
        os.close(again)
        try:
            os.open(f"nothing-{number}", os.O_RDONLY)
        except FileNotFoundError:
            continue
        wrong.append((me, turn))

threads = [threading.Thread(target=work, args=(me,)) for me in range(64)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print("wrong:", wrong, sorted(os.listdir("/proc/self/fd")) == before)

held = []
try:
    while True:
        held.append(os.open("file-0", os.O_RDONLY))
except OSError as error:
    print(error.errno, len(held) + len(before) - 1)
"""


@pytest.mark.parametrize("script", ["IN_A_ROW", "PROCESSES", "THREADS"])
def test_a_crowd(sandbox: Sandbox, native_runs: NativeRuns, tmp_path: Path, script: str) -> None:
    workload = Workload(script.lower(), [PYTHON, "script.py"], {"script.py": globals()[script]})
    assert (native_runs(workload)[0].code, native_runs(workload)[0].err) == (0, ""), native_runs(workload)[0]
    same_as_native(workload, sandbox, native_runs, tmp_path)
