"""Workloads: servers of many clients: nginx with workers on a UNIX socket and loopback, reloaded and replaced while it serves; memcached."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from containers import requires
from workloads import Workload, as_a_user, same_as_native

if TYPE_CHECKING:
    from pathlib import Path

    from workloads import NativeRuns, Sandbox

PYTHON = "/usr/bin/python3"

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400), requires(PYTHON)]

# loopback and nothing else, as in the sandboxes
OUTSIDE = ("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")

NGINX_CONF = r"""
user www-data;
worker_processes 4;
pid nginx.pid;
error_log error.log warn;
events { worker_connections 64; multi_accept on; }
http {
    log_format line '$request_method $uri $status $body_bytes_sent';
    access_log access.log line;
    types { text/plain txt; }
    default_type application/octet-stream;
    sendfile on;
    sendfile_max_chunk 128k;
    tcp_nopush on;
    open_file_cache max=100;
    gzip on;
    gzip_min_length 100;
    client_body_temp_path body;
    client_body_buffer_size 4k;
    client_max_body_size 8m;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {
        listen unix:socket;
        listen 127.0.0.1:8080;
        root files;
        location / { autoindex on; }
        location /stored/ { dav_methods PUT DELETE MOVE; create_full_put_path on; }
        location /threads/ { alias files/; aio threads; }
        location /proxied/ { proxy_pass http://unix:socket:/; access_log off; }
        location = /version { return 200 "VERSION"; access_log off; }
    }
}
"""

CLIENT = r"""
import hashlib, http.client, socket, sys
from concurrent.futures import ThreadPoolExecutor

class Unix(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect("socket")

def connection(n):
    return Unix("localhost") if n % 2 else http.client.HTTPConnection("127.0.0.1", 8080)

def ask(c, method, path, body=None, **headers):
    try:
        c.request(method, path, body, headers)
        answer = c.getresponse()
    except ConnectionError: # a server that ends closes those who are waiting
        c.close()
        c.request(method, path, body, headers)
        answer = c.getresponse()
    return answer.status, answer.getheader("Content-Type"), answer.read()

def some(n):
    # one connection, kept: what it gets must not depend on when it is, or who else is there
    c = connection(n)
    digest = hashlib.sha256()
    def seen(*args, **headers):
        status, kind, data = ask(c, *args, **headers)
        digest.update(repr((args[0], status, kind, len(data), hashlib.sha256(data).hexdigest())).encode())
    for i in range(int(sys.argv[2])):
        seen("GET", f"/small/{i % 100}.txt")
    seen("GET", "/big")
    seen("GET", "/threads/big", Range="bytes=100000-3100000")
    seen("GET", "/proxied/big")
    seen("GET", "/small/")
    seen("GET", "/small/7.txt", **{"Accept-Encoding": "gzip"})
    seen("GET", "/no-such-file")
    seen("GET", "/closed")
    seen("HEAD", "/big")
    if sys.argv[3:] == ["writes"]: # where no request is sent again
        seen("PUT", f"/stored/deep/{n}", bytes([n]) * 300000)
        seen("MOVE", f"/stored/deep/{n}", Destination=f"/stored/moved{n}")
        seen("GET", f"/stored/moved{n}")
        seen("DELETE", f"/stored/moved{n}")
    c.close()
    return digest.hexdigest()

if sys.argv[1] == "version":
    print(ask(connection(1), "GET", "/version")[2].decode())
else:
    with ThreadPoolExecutor(8) as pool:
        print(*sorted(pool.map(some, range(16))), sep="\n")
"""

NGINX = r"""
set -eu
umask 022
n() { /usr/sbin/nginx -p "$PWD/" -e error.log -c "$PWD/nginx.conf" "$@"; }
client() { /usr/bin/python3 client.py "$@"; }
version() { sed "s/VERSION/$1/" template > nginx.conf; }
children() { cat "/proc/$1/task/$1/children" | wc -w; }
trap 'kill -KILL $(cat nginx.pid) 2> /dev/null || true' EXIT

mkdir -p files/small files/stored
for i in $(seq 0 99); do seq $((i * 20)) > files/small/$i.txt; done
seq 1000000 > files/big
echo secret > files/closed
chmod 600 files/closed
touch -d @1600000000 files files/small/*
chown www-data files/stored
version one
n -t 2> tested; sed 's/.*nginx.conf //' tested
n
stat -c '%n %F %a' socket
client version
[ "$(children "$(cat nginx.pid)")" = 4 ] && echo four workers
ps -o user= --ppid "$(cat nginx.pid)" | sort -u

client load "$REQUESTS" > first & load=$!
version two
n -s reload
until client version | grep two; do kill -0 $load || client version > /dev/null; done
wait $load
cat first

mv access.log access.old
kill -USR1 "$(cat nginx.pid)"
until [ -e access.log ]; do :; done
stat -c '%n %U' access.log
until [ "$(children "$(cat nginx.pid)")" = 4 ]; do :; done

version three
cp nginx.pid old.pid
kill -USR2 "$(cat old.pid)" # a new master, with the sockets of the old one
until [ -s nginx.pid.oldbin ] && [ -s nginx.pid ]; do :; done
client load "$REQUESTS" > second & load=$!
kill -WINCH "$(cat old.pid)"
kill -QUIT "$(cat old.pid)"
until [ ! -e nginx.pid.oldbin ]; do :; done
wait $load
cmp first second && echo the same
client version

kill -KILL $(cut -d ' ' -f 1 "/proc/$(cat nginx.pid)/task/$(cat nginx.pid)/children")
until [ "$(grep -c 'exited on signal 9' error.log)" = 1 ] && [ "$(children "$(cat nginx.pid)")" = 4 ]; do :; done
client load 1 writes > third
wc -l < third
n -s quit
until [ ! -e nginx.pid ]; do :; done
cat access.old access.log | sort | uniq -c
sed -e 's/^[^[]*//' -e 's/[0-9][0-9]*#[0-9]*: *[*0-9]*//' -e 's/client: .*//' error.log |
    grep -v -e warn -e notice -e 'exited on' | sort | uniq -c | sed "s|$PWD|.|"
ls files/stored files/stored/deep
"""


@pytest.mark.short
@requires("/usr/sbin/nginx", "unshare", "ip", "ps")
def test_nginx_serves_while_it_is_changed(sandbox: Sandbox, public_native_runs: NativeRuns, public: Path, long: bool) -> None:
    files = {"template": NGINX_CONF, "client.py": CLIENT}
    env = {"REQUESTS": "1000" if long else "50"}
    workload = Workload("nginx", ["sh", "-c", NGINX], files, env, timeout=200 if long else 60, outside=OUTSIDE)
    assert public_native_runs(workload)[0].code == 0, public_native_runs(workload)[0]
    denied = ("syscall getsockopt", f"open {public}/work/files/closed")  # TCP_FASTOPEN, which nginx only asks for
    same_as_native(workload, sandbox, public_native_runs, public, files=False, denied=denied)


CACHE_CLIENT = r"""
import socket, sys
from concurrent.futures import ThreadPoolExecutor

class Client:
    def __init__(self):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect("socket")
        self.file = self.socket.makefile("rwb")
    def __call__(self, line, data=None):
        self.file.write(line.encode() + b"\r\n" + (b"" if data is None else data + b"\r\n"))
        self.file.flush()
        return self.file.readline().decode().strip()
    def get(self, key, command="get"):
        header = self(f"{command} {key}").split()
        if header == ["END"]:
            return None
        data = self.file.read(int(header[3]) + 2)[:-2]
        assert self.file.readline() == b"END\r\n"
        return data, *header[4:]
    def stats(self):
        found, line = {}, self("stats")
        while line != "END":
            _, name, value = line.split(maxsplit=2)
            found[name] = value
            line = self.file.readline().decode().strip()
        return found

def some(n):
    c = Client()
    for i in range(int(sys.argv[1])):
        assert c(f"set key{n}-{i} 0 0 {i % 5000}", b"x" * (i % 5000)) == "STORED"
        assert c("incr shared 1").isdigit()
        assert c.get(f"key{n}-{i}") == (b"x" * (i % 5000),)
        while True: # all add a letter, none is lost
            data, unique = c.get("swapped", "gets")
            if c(f"cas swapped 0 0 {len(data) + 1} {unique}", data + b"y") == "STORED":
                break
    return n

c = Client()
print(c("set shared 0 0 1", b"0"), c("set swapped 0 0 0", b""))
with ThreadPoolExecutor(8) as pool:
    print(sum(pool.map(some, range(8))))
print(c.get("shared"), len(c.get("swapped")[0]), c.get("nothing"))
print(c("set big 0 0 1000000", b"b" * 1000000), len(c.get("big")[0]))
print(c("set bigger 0 0 3000000", b"b" * 3000000))
c = Client()
print(c("add key0-0 0 0 1", b"a"), c("append key0-1 0 0 1", b"a"), c.get("key0-1"), c("delete key0-1"), c("touch big 100"), c("nonsense"))
stats = c.stats()
print(*(stats[name] for name in ("threads", "total_items", "incr_hits", "evictions", "limit_maxbytes")))
print(c("flush_all"), c.get("shared"))
"""

MEMCACHED = r"""
set -eu
memcached -s "$PWD/socket" -a 0700 -t 4 -m 200 -c 100 & server=$!
trap 'kill $server 2> /dev/null || true' EXIT
until [ -S socket ]; do kill -0 $server; done
stat -c '%F %a %U' socket
/usr/bin/python3 client.py "$ROUNDS"
ls "/proc/$server/task" | wc -l
awk '/^Uid/ { print $2 }' "/proc/$server/status"
kill -TERM $server
wait $server || echo "memcached: $?"
"""


@pytest.mark.short
@requires("memcached")
def test_memcached_over_a_unix_socket(sandbox: Sandbox, public_native_runs: NativeRuns, public: Path, long: bool) -> None:
    workload = Workload("memcached", as_a_user(MEMCACHED), {"client.py": CACHE_CLIENT}, {"ROUNDS": "1500" if long else "50"})
    assert public_native_runs(workload)[0].code == 0, public_native_runs(workload)[0]
    same_as_native(workload, sandbox, public_native_runs, public, files=False)
