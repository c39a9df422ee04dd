"""Workload: SQLite in both journal modes: eight processes that lock each other out, one is killed within its transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from containers import requires
from workloads import Workload, requires_import, same_as_native

if TYPE_CHECKING:
    from pathlib import Path

    from workloads import NativeRuns, Sandbox

PYTHON = "/usr/bin/python3"

pytestmark = [pytest.mark.integration, requires("sqlite3"), requires_import(PYTHON, "sqlite3", "python3")]

SCRIPT = r"""
import os, signal, sqlite3, subprocess

PROCESSES, TURNS = 8, int(os.environ["TURNS"])

def connect(timeout=60):
    return sqlite3.connect("file.db", timeout=timeout, isolation_level=None)

def worker(me):
    connection = connect()
    for turn in range(TURNS):
        connection.execute("begin immediate" if turn % 2 else "begin exclusive")
        (value,) = connection.execute("select value from counter").fetchone()
        connection.execute("update counter set value = ?", (value + 1,))
        connection.execute("insert into rows values (?, ?, ?)", (me, turn, os.urandom(3000)))
        connection.execute("rollback" if turn % 5 == 4 else "commit")
    connection.close()

def children(run):
    pids = []
    for me in range(PROCESSES):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                run(me)
                code = 0
            finally:
                os._exit(code)
        pids.append(pid)
    return [os.waitpid(pid, 0)[1] for pid in pids]

def killed_within(act):
    # act() in a process that is killed when it has done it
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        connection = connect()
        act(connection)
        os.write(writer, b"x")
        signal.pause()
    os.close(writer)
    assert os.read(reader, 1) == b"x"
    os.close(reader)
    return pid

def half_a_transaction(connection):
    connection.execute("pragma cache_size = 10")  # what does not fit is written before the commit
    connection.execute("begin immediate")
    connection.execute("update counter set value = -1")
    connection.execute("update rows set data = zeroblob(3000)")

def show(what, connection):
    for query in ("select value from counter", "select count(*), count(distinct data) from rows", "pragma integrity_check"):
        print(what, connection.execute(query).fetchall())

for mode in ("delete", "wal", "truncate", "persist"):
    connection = connect()
    print(connection.execute(f"pragma journal_mode = {mode}").fetchone())
    connection.execute("create table counter (value integer)")
    connection.execute("insert into counter values (0)")
    connection.execute("create table rows (process integer, turn integer, data blob, primary key (process, turn))")
    print(children(worker))
    show("together", connection)

    pid = killed_within(half_a_transaction)
    other = connect(timeout=0)
    try:
        other.execute("begin immediate")
    except sqlite3.OperationalError as error:
        print(error)
    try:
        print("reader:", other.execute("select value from counter").fetchone())
    except sqlite3.OperationalError as error:
        print("reader:", error)
    print("journals:", sorted(name for name in os.listdir() if name.startswith("file.db")))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    show("killed", other)
    show("before", connection)

    # two connections of one process, one of which has the file open twice: POSIX locks are the process's
    other.execute("begin immediate")
    try:
        connection.execute("pragma busy_timeout = 0")
        connection.execute("begin immediate")
    except sqlite3.OperationalError as error:
        print(error)
    other.execute("rollback")
    copy = sqlite3.connect("copy.db")
    connection.backup(copy)
    show("copy", copy)
    copy.close()
    connection.execute("vacuum")
    connection.execute("attach 'copy.db' as copy")
    with connection:
        connection.execute("begin")
        connection.execute("insert into copy.counter values (2)")
        connection.execute("insert into main.counter values (2)")
    show("vacuum", connection)
    other.close()
    connection.close()
    print(sorted(name for name in os.listdir() if "db" in name))
    for command in (".dump counter", "pragma quick_check", "create table rows (x)"):
        done = subprocess.run(["sqlite3", "file.db", command], capture_output=True, text=True)
        print(done.stdout, done.stderr, done.returncode)
    for name in os.listdir():
        if "db" in name:
            os.unlink(name)
"""


@pytest.mark.short
def test_sqlite(sandbox: Sandbox, native_runs: NativeRuns, tmp_path: Path, long: bool) -> None:
    workload = Workload("sqlite", [PYTHON, "script.py"], {"script.py": SCRIPT}, {"TURNS": "200" if long else "15"}, timeout=280)
    assert (native_runs(workload)[0].code, native_runs(workload)[0].err) == (0, ""), native_runs(workload)[0]
    same_as_native(workload, sandbox, native_runs, tmp_path)
