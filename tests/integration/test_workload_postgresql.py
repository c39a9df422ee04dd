"""Workload: PostgreSQL over a UNIX socket: initdb, pgbench, a postmaster that is killed under load, recovery, a clean stop."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from containers import requires
from workloads import Workload, as_a_user, same_as_native

if TYPE_CHECKING:
    from workloads import NativeRuns, Sandbox

# Debian keeps the server's programs by version, outside of PATH.
PROGRAMS = next((str(path.parent) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))), "/usr/lib/postgresql")

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(400),
    requires("setpriv", f"{PROGRAMS}/initdb", f"{PROGRAMS}/pgbench"),
]

SCRIPT = r"""
set -eu
PATH=$PROGRAMS:$PATH PGDATA=$PWD/data PGHOST=$PWD PGDATABASE=bench
export PATH PGDATA PGHOST PGDATABASE
trap 'pg_ctl -s -m immediate stop 2> /dev/null || true' EXIT
sql() { psql -XAtqc "$1"; }
# again where what a killed one has left still holds its shared memory
start() {
    until pg_isready -q; do
        postgres -c listen_addresses= -c unix_socket_directories="$PWD" >> log 2>&1 & server=$!
        until pg_isready -q; do kill -0 $server 2> /dev/null || break; done
    done
}
stop() { pg_ctl -s -m "$1" stop; wait $server; echo "$1 stop"; }
consistent() {
    sql "select count(*), (select sum(abalance) from pgbench_accounts) = sum(delta), (select sum(tbalance) from pgbench_tellers) = sum(delta),
        (select sum(bbalance) from pgbench_branches) = sum(delta) from pgbench_history"
}

initdb --auth=trust --encoding=UTF8 --no-sync | grep -c ok
cat data/PG_VERSION
start
stat -c '%F %a' .s.PGSQL.5432
createdb bench
pgbench -i -q -s "$SCALE" 2> created
pgbench -n -c 4 -j 2 -t "$TRANSACTIONS" | grep processed
pgbench -n -S -c 4 -j 2 -M prepared -t "$TRANSACTIONS" | grep processed
consistent
sql "set max_parallel_workers_per_gather = 2; set parallel_setup_cost = 0; set parallel_tuple_cost = 0;
    set min_parallel_table_scan_size = 0; select count(*), sum(aid) from pgbench_accounts where aid % 7 = 0"
sql "set work_mem = '64kB'; select count(*) from (select aid from pgbench_accounts order by filler, aid desc offset 0) sorted"
sql "copy (select aid from pgbench_accounts where aid <= 1000) to program 'wc -l'"
(sql "listen news; select pg_notify('news', 'heard')" | sed 's/ from.*//')
sql "create tablespace other location '$(mkdir other; pwd)/other'; "
sql "create table elsewhere tablespace other as select generate_series(1, 1000) as n"
pg_dump --no-owner -t pgbench_branches | grep -c '^COPY'

done=$(sql "select count(*) from pgbench_history")
pgbench -n -c 4 -j 2 -T 600 > /dev/null 2> killed & load=$!
until [ "$(sql "select count(*) > $done + 50 from pgbench_history")" = t ]; do :; done
{ kill -KILL $server; wait $server || echo "killed: $?"; } 2>> killed
wait $load || echo "load: $?"
start
grep -c -e 'not properly shut down' -e 'redo starts' log
consistent | cut -d '|' -f 2-
sql "select count(*), sum(n) from elsewhere"
pg_amcheck --install-missing --heapallindexed bench && echo intact

backend=$(sql "select pid from pg_stat_activity where backend_type = 'checkpointer'")
kill -KILL "$backend"
until grep -q 'all server processes terminated; reinitializing' log; do :; done  # it may answer until it has seen the end of that process
until [ "$(sql 'select 1' 2> /dev/null)" = 1 ]; do :; done
grep -c 'all server processes terminated; reinitializing' log
consistent | cut -d '|' -f 2-

stop fast
pg_controldata | grep 'cluster state'
ls -A | grep -c PGSQL || true
start
consistent | cut -d '|' -f 2-
stop smart
"""


@pytest.mark.short
def test_postgresql(sandbox: Sandbox, public_native_runs: NativeRuns, public: Path, long: bool) -> None:
    size = {"SCALE": "5", "TRANSACTIONS": "2000"} if long else {"SCALE": "1", "TRANSACTIONS": "100"}
    workload = Workload("postgresql", as_a_user(SCRIPT), env={"PROGRAMS": PROGRAMS, **size}, timeout=300)
    assert public_native_runs(workload)[0].code == 0, public_native_runs(workload)[0]
    same_as_native(workload, sandbox, public_native_runs, public, files=False)
