"""Workload: programs that look into others, gdb that runs, attaches and dumps, strace of a tree and of a running process; and the refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from containers import requires
from workloads import Workload

if TYPE_CHECKING:
    from pathlib import Path

    from workloads import NativeRuns, Sandbox

pytestmark = [pytest.mark.integration]

DEBUG = r"""
set -eu
cat > prog.c <<'C'
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <sys/wait.h>
static int depth(int n) { return n ? n + depth(n - 1) : 0; }
static void *work(void *x) { return (void *)(long)depth((int)(long)x); }
int main(int argc, char **argv) {
    if (argc > 1) { FILE *f = fopen("pid", "w"); fprintf(f, "%d\n", getpid()); fclose(f); for (;;) pause(); }  // a call by gdb may end one
    pthread_t t; void *r;
    pthread_create(&t, NULL, work, (void *)4L); pthread_join(t, &r);
    FILE *f = fopen("out", "w"); fprintf(f, "%ld\n", (long)r); fclose(f);
    if (fork() == 0) { mkfifo; execl("/bin/true", "true", NULL); }
    int s; wait(&s); printf("%ld %d\n", (long)r, s); return 7;
}
C
sed -i 's/mkfifo; //' prog.c
gcc -g -O0 -pthread prog.c -o prog
g() { gdb -q -nx -batch -iex 'set debuginfod enabled off' "$@" 2>&1; }
echo run
g -ex 'break depth if n == 2' -ex run -ex bt -ex 'print n' -ex 'set var n = 3' -ex 'delete' -ex continue ./prog |
    grep -E '^(#[0-9]|\$|[0-9]|\[Inferior)' | sed 's/0x[0-9a-f]*/ADDR/g; /clone/d; s/process [0-9]*/process/'
cat out
echo attach
./prog wait & child=$!
until [ -s pid ]; do kill -0 $child; done
g -p $child -ex 'bt 1' -ex 'info threads' -ex 'call (int)getppid()' -ex detach ./prog | grep -cE '^\$1 = |pause'
kill -0 $child && echo still runs
gcore -o core $child > /dev/null 2>&1 && ls core.$child | sed 's/[0-9]*$//' && g -ex 'bt' ./prog core.$child | grep -c main
kill $child
echo trace
strace -f -o trace -e trace=openat,execve,clone,clone3,vfork,wait4,exit_group ./prog || echo "ended: $?"
grep -c 'execve("/bin/true"' trace; grep -c '"out", O_WRONLY|O_CREAT|O_TRUNC' trace; grep -c 'exited with 7' trace
strace -f -c -o counts ./prog > /dev/null || true; grep -c openat counts
strace -e trace=openat -e inject=openat:error=EACCES:when=1 cat prog.c 2>&1 | grep -c INJECTED
sleep 100 & slept=$!
strace -o attached -p $slept 2> strace.err & tracer=$!
until grep -q attached strace.err; do kill -0 $tracer; done
kill $slept; wait $tracer || echo "strace: $?"; grep -c SIGTERM attached
"""

REFUSED = r"""
perf stat true > perf 2>&1; echo "perf stat: $?"; grep -c 'No permission' perf
bwrap --ro-bind / / --unshare-all true; echo "bwrap: $?"
unshare --net true; echo "unshare: $?"
unshare --map-root-user true; echo "unshare: $?"
"""


@requires("gdb", "gcore", "strace", "gcc")
def test_gdb_and_strace(sandbox: Sandbox, native_runs: NativeRuns, tmp_path: Path) -> None:
    workload = Workload("debug", ["bash", "debug.sh"], {"debug.sh": DEBUG}, {"PYTHONDONTWRITEBYTECODE": "1"})
    expected, _ = native_runs(workload)
    done = sandbox.run(workload.prepare(tmp_path / "work"), workload.argv, workload.env)
    assert expected.code == 0, expected
    assert (done.out, done.code) == (expected.out, 0), done  # stderr: the shell names the processes it has killed, by number


@requires("perf", "bwrap", "unshare")
def test_who_is_refused_is_told_so(sandbox: Sandbox, tmp_path: Path) -> None:
    work = Workload("refused", [], {"refused.sh": REFUSED}).prepare(tmp_path / "work")
    done = sandbox.run(work, ["sh", "refused.sh"])
    assert done.out == "perf stat: 255\n1\nbwrap: 1\nunshare: 1\nunshare: 1\n", done
    assert "bwrap: No permissions to create" in done.err
    assert done.err.count("unshare failed: Operation not permitted") == 2, done
