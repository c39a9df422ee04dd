"""Workload: MariaDB over a UNIX socket: a new data directory, load and queries by several clients, a kill, recovery, a clean stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from containers import requires
from workloads import Workload, as_a_user, same_as_native

if TYPE_CHECKING:
    from pathlib import Path

    from workloads import NativeRuns, Sandbox

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(400),
    requires("setpriv", "mariadbd", "mariadb", "mariadb-install-db"),
]

# InnoDB writes with threads of its own where the kernel's asynchronous I/O is missing.
DENIED = ("syscall io_uring_setup", "syscall io_setup")

SCRIPT = r"""
set -eu
trap 'kill $server 2> /dev/null || true' EXIT
sql() { mariadb --no-defaults --user=root --socket="$PWD/socket" --batch --skip-column-names --execute="$1" "${2-mysql}"; }
serve() {
    mariadbd --no-defaults --datadir="$PWD/data" --socket="$PWD/socket" --skip-networking --pid-file="$PWD/pid" --tmpdir="$PWD" \
        --innodb-buffer-pool-size=16M --innodb-log-file-size=8M --local-infile=1 --log-error="$PWD/log.err" > /dev/null 2>&1 & server=$!
    until sql 'select 1' > answer 2> /dev/null && [ "$(cat answer)" = 1 ]; do kill -0 $server; done
}
worker() {
    for turn in $(seq "$TURNS"); do
        echo "start transaction; update counter set value = value + 1; insert into pairs (worker, turn) values ($1, $turn);"
        [ $((turn % 5)) = 0 ] && echo 'rollback;' || echo 'commit;'
    done | mariadb --no-defaults --user=root --socket="$PWD/socket" shop
}

mariadb-install-db --no-defaults --force --datadir="$PWD/data" --auth-root-authentication-method=normal --skip-test-db > installed 2>&1
ls data | grep -v -e aria -e tc.log
serve
stat -c '%F %a' socket
sql 'create database shop'
sql 'create table items (id int primary key, name varchar(100), size int, key (size)) engine=innodb;
    create table words (id int primary key, text varchar(100), fulltext (text)) engine=aria;
    create table counter (value int) engine=innodb; insert into counter values (0);
    create table pairs (worker int, turn int, primary key (worker, turn)) engine=innodb' shop
awk -v rows="$ROWS" 'BEGIN { for (i = 1; i <= rows; i++) print i "\tarticle " i "\t" i % 97 }' > rows.tsv
sql "load data local infile '$PWD/rows.tsv' into table items" shop
sql 'insert into words select id, name from items where id <= 500;
    select count(*) from words where match (text) against ("article" in boolean mode)' shop
sql 'select count(*), sum(size), max(name) from items; select size, count(*) from items where size < 3 group by size order by size' shop
sql 'set sort_buffer_size = 4096; select md5(group_concat(id)) from (select id from items order by name, id limit 100) sorted' shop
sql "select count(*) into outfile '$PWD/count' from items" shop
cat count
sql 'alter table items add column added int not null default 7, add key (name); select sum(added) from items' shop
for me in 1 2 3 4; do worker $me & eval "worker$me=$!"; done
for me in 1 2 3 4; do eval 'wait $worker'$me; done
sql 'select value, (select count(*) from pairs) from counter; check table items, words, counter, pairs' shop

(yes 'update counter set value = value + 1; insert into pairs select 9, coalesce(max(turn), 0) + 1 from pairs where worker = 9;' |
    mariadb --no-defaults --user=root --socket="$PWD/socket" shop) 2> killed & load=$!
until [ "$(sql 'select count(*) > 50 from pairs where worker = 9' shop)" = 1 ]; do :; done
{ kill -KILL $server; wait $server || echo "killed: $?"; } 2>> killed
wait $load || echo "load: $?"
serve
grep -c 'Starting crash recovery' log.err
sql 'select value >= count(*) and value <= count(*) + 1, count(*) > 50 from counter, pairs' shop
sql 'check table items, counter, pairs extended; repair table words' shop
sql 'drop table items; show tables' shop
ls data/shop | sort
sql shutdown
wait $server; echo "end: $?"
tail -n 1 log.err | grep -c 'Shutdown complete'
serve
sql 'select count(*) from words' shop
kill -TERM $server; wait $server; echo "end: $?"
ls socket pid 2> /dev/null || echo nothing left
"""


@pytest.mark.short
def test_mariadb(sandbox: Sandbox, public_native_runs: NativeRuns, public: Path, long: bool) -> None:
    size = {"ROWS": "200000", "TURNS": "500"} if long else {"ROWS": "5000", "TURNS": "25"}
    workload = Workload("mariadb", as_a_user(SCRIPT), env=size, timeout=200)
    assert public_native_runs(workload)[0].code == 0, public_native_runs(workload)[0]
    same_as_native(workload, sandbox, public_native_runs, public, files=False, denied=DENIED)
