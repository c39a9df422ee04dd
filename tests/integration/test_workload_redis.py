"""Workload: redis-server with persistence and threads, and its clients, over a UNIX socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from containers import requires
from workloads import Workload, same_as_native

if TYPE_CHECKING:
    from pathlib import Path

    from workloads import NativeRuns, Sandbox

pytestmark = [pytest.mark.integration, requires("redis-server", "redis-cli", "redis-benchmark")]

SCRIPT = r"""
set -eu
serve() {
    redis-server --port 0 --unixsocket "$PWD/socket" --unixsocketperm 700 --appendonly yes --save '' --io-threads 2 --logfile log &
    server=$!
    until redis-cli -s socket ping > answer 2> /dev/null && [ "$(cat answer)" = PONG ]; do kill -0 $server; done
}
trap 'kill $server 2> /dev/null || true' EXIT
cli() { redis-cli -s socket "$@"; }
until_done() { until cli info persistence | grep -q "$1:0"; do :; done; }

serve
stat -c '%F %a' socket
cli set key value
cli get key
cli eval 'for i = 1, 1000 do redis.call("rpush", KEYS[1], i) end return redis.call("llen", KEYS[1])' 1 list
printf 'multi\nincr counter\nincr counter\nexec\n' | cli
seq 1 5000 | sed 's/.*/set n& &/' | cli --pipe | tail -n 1
redis-benchmark -s socket -n 5000 -c 20 -P 4 --threads 2 -q -t set,get,incr,lpush,zadd,mset > speeds
wc -l < speeds
(cli --csv subscribe channel | head -n 3 > heard) & listening=$!
until [ "$(cli publish channel message)" = 1 ]; do :; done
until cli publish channel message > /dev/null && ! kill -0 $listening 2> /dev/null; do :; done
cat heard
cli bgsave
until_done rdb_bgsave_in_progress
cli info persistence | grep rdb_last_bgsave_status
cli bgrewriteaof
until_done aof_rewrite_in_progress
cli info persistence | grep aof_last_bgrewrite_status
cli dbsize
cli flushall > /dev/null; cli set last 1
cli shutdown || true
wait $server
[ ! -e socket ] && echo the socket is gone
redis-check-rdb dump.rdb | grep -c 'looks OK'
redis-check-aof appendonlydir/appendonly.aof.manifest | tail -n 1

serve
cli get last
cli dbsize
cli config set appendfsync always > /dev/null # else a write waits for the disk, and dies with the server
printf 'set a 1\r\nset b 2\r\nget a\r\nget b\r\n' | cli
{ kill -KILL $server; wait $server || echo "killed: $?"; } 2> shell-says-so
rm socket
serve
cli mget a b
cli shutdown || true
wait $server; echo "end: $?"
"""

SNAPSHOTS = r"""
set -eu
serve() {
    redis-server --port 0 --unixsocket "$PWD/socket" --enable-debug-command yes --appendonly no --save '' --dir "$PWD" --logfile log &
    server=$!
    until redis-cli -s socket ping > answer 2> /dev/null && [ "$(cat answer)" = PONG ]; do kill -0 $server; done
}
trap 'kill $server 2> /dev/null || true' EXIT
cli() { redis-cli -s socket "$@"; }

serve
seq 1 "$KEYS" | sed 's/.*/set key& value&/' | cli --pipe | tail -n 1
cli debug populate "$KEYS" filler 200
cli bgsave # a fork that writes while the parent goes on
seq 1 "$KEYS" | sed 's/.*/append key& more/' | cli --pipe | tail -n 1
until cli info persistence | grep -q rdb_bgsave_in_progress:0; do :; done
redis-check-rdb dump.rdb | grep -c -e 'looks OK' -e "keys read"
cli save
cli debug digest > before
{ kill -KILL $server; wait $server || echo "killed: $?"; } 2> shell-says-so
rm socket
serve
cli dbsize
cli debug digest | cmp - before && echo all is there
cli get "key$KEYS"
cli shutdown nosave || true
wait $server; echo "end: $?"
"""


def test_redis_over_a_unix_socket(sandbox: Sandbox, native_runs: NativeRuns, tmp_path: Path) -> None:
    workload = Workload("redis", ["sh", "-c", SCRIPT])
    assert native_runs(workload)[0].code == 0, native_runs(workload)[0]
    same_as_native(workload, sandbox, native_runs, tmp_path, files=False)


@pytest.mark.short
def test_redis_with_snapshots(sandbox: Sandbox, native_runs: NativeRuns, tmp_path: Path, long: bool) -> None:
    workload = Workload("redis snapshots", ["sh", "-c", SNAPSHOTS], env={"KEYS": "100000" if long else "3000"})
    assert native_runs(workload)[0].code == 0, native_runs(workload)[0]
    same_as_native(workload, sandbox, native_runs, tmp_path, files=False)
