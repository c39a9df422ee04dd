"""Workload: bash and busybox scripts with pipes, here-documents, traps, background jobs, globs, redirections, process substitution."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from containers import requires
from workloads import Workload, same_as_native

if TYPE_CHECKING:
    from pathlib import Path

    from workloads import NativeRuns, Sandbox

pytestmark = [pytest.mark.integration, requires("bash", "busybox")]

PORTABLE = r"""
set -u
echo "pipes: $(seq 1 2000 | sort -rn | head -n 5 | tr '\n' ' ' | sed 's/ $//')"
cat <<DOC | tr a-z A-Z > shout
here is $((6 * 7)) and $(echo nested $(echo deeper))
DOC
cat shout
cat <<'DOC'
literal $((6 * 7)) `ls`
DOC
mkdir -p a/b/c 'name with spaces' && cd a/b/c && echo deep > file && cd ../../.. && cat a/b/c/../c/file
echo one >> log; echo two >> log; { echo three; echo four; } >> log; wc -l < log
for f in a log shout 'name with spaces' missing; do
    if [ -d "$f" ]; then echo "$f: directory"; elif [ -f "$f" ]; then echo "$f: file"; else echo "$f: nothing"; fi
done
ls missing 2> errors || echo "ls failed"
[ -s errors ] && rm errors
trap 'echo "trap USR1"' USR1
kill -USR1 $$
(trap 'echo "trap TERM in subshell"; exit 5' TERM; kill -TERM $(sh -c 'echo $PPID'); while :; do :; done)
echo "subshell: $?"
( exit 3 ) & wait $!; echo "background: $?"
mkfifo queue
(for i in 1 2 3; do read line; echo "got $line"; done) < queue & reader=$!
(echo x; echo y; echo z) > queue
wait $reader; rm queue
{ sh -c 'kill -KILL $$'; } 2> errors; echo "killed: $?"
rm errors; nosuchcommand 2> /dev/null; echo "not found: $?"
/etc/passwd 2> /dev/null; echo "not executable: $?"
exec 3> third; echo to three >&3; exec 3>&-; cat third
yes | head -n 3 | wc -l
find . -type f | sort
umask 027; echo x > masked; stat -c '%a %n' masked
ln -s a/b/c/file link; readlink link; cat link
cp -r a copy; rm -r a; mv copy moved; find moved | sort
test -t 0 && echo terminal || echo no terminal
trap 'echo "trap EXIT"' EXIT
exit 9
"""

BASH = r"""
set -euo pipefail
shopt -s nullglob globstar
mkdir -p tree/{a,b}/{x,y}; for d in tree/*/*; do echo "$d" > "$d/f.txt"; done
files=(tree/**/*.txt); echo "${#files[@]}: ${files[*]}"
diff <(sort <<< $'b\na') <(printf 'a\nb\n') && echo "process substitution"
tr a-z A-Z < tree/a/x/f.txt | tee upper /dev/stderr /dev/fd/1 > lower; cat upper lower
coproc CAT { cat; }; echo "through a coprocess" >&"${CAT[1]}"; read -r answer <&"${CAT[0]}"; echo "$answer"
eval "exec ${CAT[1]}>&-"; wait "$CAT_PID"
declare -A seen; while read -r word count; do seen[$word]=$count; done < <(printf 'a 1\nb 2\n'); echo "${seen[a]}${seen[b]}"
pids=(); for i in 1 2 3 4; do (exit "$i") & pids+=($!); done
for pid in "${pids[@]}"; do wait "$pid" || echo "job: $?"; done
false | true || echo "pipefail"
printf '%s\n' "${PIPESTATUS[@]}"
mapfile -t lines < tree/b/y/f.txt; echo "${lines[0]}"
trap 'echo "ERR on $LINENO"' ERR
exec {fd}> numbered; echo "descriptor" >&"$fd"; exec {fd}>&-; cat numbered
[[ $(cat /proc/self/comm) == cat ]]
kill -0 $$
trap 'kill $(jobs -p); echo "cleaned"' EXIT
sleep 1000 &
timeout -s INT 0.05 sleep 1000 || echo "timeout: $?"
"""

SCRIPTS = [
    Workload("bash", ["bash", "-c", PORTABLE]),
    Workload("busybox", ["busybox", "sh", "-c", PORTABLE]),
    Workload("bash-only", ["bash", "-c", BASH]),
]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_script_does_what_it_does_natively(sandbox: Sandbox, native_runs: NativeRuns, tmp_path: Path, script: Workload) -> None:
    assert native_runs(script)[0].code in (0, 9), native_runs(script)[0]
    same_as_native(script, sandbox, native_runs, tmp_path)
