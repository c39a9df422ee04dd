"""Workload: make and gcc build a hundred files (240 with --long) to the bytes of the native build, and build anew just what has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from containers import requires
from workloads import Workload, same_as_native

if TYPE_CHECKING:
    from pathlib import Path

    from workloads import NativeRuns, Sandbox

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400), requires("gcc", "make", "ar")]

MAKEFILE = r"""
CFLAGS = -O1 -g -Wall -Werror -Iinclude -ffile-prefix-map=$(CURDIR)=. -MMD
SOURCES := $(sort $(wildcard src/*.c))
OBJECTS := $(SOURCES:src/%.c=out/%.o)

program: out/main.o lib.a
	$(CC) -o $@ $^ -lm -pthread

lib.a: $(OBJECTS)
	rm -f $@
	ar rcs $@ $^

$(OBJECTS): out/%.o: src/%.c include/generated.h | out
	$(CC) $(CFLAGS) -c -o $@ $<

out/main.o: main.c include/generated.h | out
	$(CC) $(CFLAGS) -pipe -c -o $@ $<

include/generated.h: Makefile
	{ for i in $$(seq $(COUNT)); do echo "int unit$$i(int);"; done; echo "#define COUNT $(COUNT)"; } > $@.new
	mv $@.new $@

out:
	mkdir $@

test: program
	$(MAKE) -C sub TOP=$(CURDIR)

-include $(wildcard out/*.d)
"""

SUB = """
test: one two
	cmp one two

one two:
	$(TOP)/program > $@
"""

MAIN = r"""
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include "generated.h"
#define CALL(n) sum += unit##n(n)

static void *run(void *from)
{
    long sum = *(int *)from;
    CALL(1); CALL(7); CALL(42); CALL(99); CALL(100);
    return (void *)sum;
}

int main(void)
{
    pthread_t threads[8];
    int from[8];
    for (int i = 0; i < 8; i++) { from[i] = i; pthread_create(&threads[i], NULL, run, &from[i]); }
    for (int i = 0; i < 8; i++) { void *sum; pthread_join(threads[i], &sum); printf("%ld %.3f\n", (long)sum, sqrt(COUNT)); }
}
"""

UNIT = r"""
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "generated.h"

int unit@(int n)
{
    char text[100];
    struct stat facts;
    snprintf(text, sizeof text, "%s has %d", __FILE__, n);
    return stat("/", &facts) ? errno : (int)strlen(text) * @ + atoi("@");
}
"""

SCRIPT = """
set -eu
make="make -s -j$JOBS COUNT=$COUNT"
$make test
sha256sum program lib.a out/*.o out/*.d | sha256sum
sha256sum program
$make -q program && echo up to date
echo 'int added(void) { return 1; }' >> src/unit50.c
make -j$JOBS COUNT=$COUNT --no-print-directory -n | sed 's/.* //'
$make
$make -q program && echo up to date
echo 'int broken(void) { return nothing; }' >> src/unit60.c
$make -k 2> errors || echo "make: $?"
sed '/Waiting/d' errors
touch include/generated.h
make -n COUNT=$COUNT | grep -c -- '-c -o'
gcc -O2 -flto=2 -Iinclude -o whole main.c src/unit1.c src/unit7.c src/unit42.c src/unit99.c src/unit100.c -lm -pthread
./whole | cmp - sub/one
gcc -E -Iinclude main.c | gcc -x cpp-output -S -o - - | sha256sum
nm -n program | cut -c 18- | sha256sum
rm -r errors out whole
"""


def test_many_files_are_built_as_natively(sandbox: Sandbox, native_runs: NativeRuns, tmp_path: Path, long: bool) -> None:
    count, jobs = (240, 4) if long else (100, 2)
    files = {f"src/unit{n}.c": UNIT.replace("@", str(n)) for n in range(1, count + 1)}
    files |= {"Makefile": MAKEFILE, "main.c": MAIN, "sub/Makefile": SUB, "include/other.h": ""}
    workload = Workload("make", ["sh", "-c", SCRIPT], files, {"COUNT": str(count), "JOBS": str(jobs)}, timeout=250)
    assert native_runs(workload)[0].code == 0, native_runs(workload)[0]
    same_as_native(workload, sandbox, native_runs, tmp_path)
