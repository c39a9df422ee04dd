#!/usr/bin/env bash
# What `make demo` shows: a container from a bundle, then a command in a sandbox, with what the sentry mediated and denied.
# usage: demo/demo.sh PYSC
set -euo pipefail

pysc=$(realpath "${1:?usage: demo/demo.sh PYSC}")
bundle=$(mktemp -d)
container="demo-$$"
trap '"$pysc" delete --force "$container" >/dev/null 2>&1 || true; rm -rf "$bundle"' EXIT

say() { printf '\n== %s\n' "$*"; }
timed() { # COMMAND...: run it, say how long it took, and fail when it fails
    local began=$EPOCHREALTIME status=0
    "$@" </dev/null || status=$?
    printf -- '-- %d ms, exit status %d\n' "$(((${EPOCHREALTIME/[.,]/} - ${began/[.,]/}) / 1000))" "$status"
    return "$status"
}

say 'a bundle: busybox as the root file system, config.json from `pysc spec`'
busybox=$(command -v busybox)
mkdir -p "$bundle/rootfs/bin"
cp "$busybox" "$bundle/rootfs/bin/busybox"
chroot "$bundle/rootfs" /bin/busybox --install -s /bin
"$pysc" spec --bundle "$bundle" -- sh -c '
    echo "hello from $(hostname), pid $$ as uid $(id -u)"
    echo "processes: $(ls /proc | grep -c "^[0-9]")   memory: $(head -n 1 /proc/meminfo)"
    mkdir /dev/shm/d && echo written > /dev/shm/d/f && cat /dev/shm/d/f && rm -r /dev/shm/d
    touch /file 2>&1 || true
    ls -l /etc/shadow 2>&1 || true
    cat /proc/kcore 2>&1 | head -c 100 || true'
ls "$bundle" && du -sh "$bundle/rootfs" | cut -f 1

say 'pysc --debug run: the same, run; the sentry counts'
timed "$pysc" --debug run --bundle "$bundle" "$container"

say 'pysc do: this Python in a sandbox, without an image'
# Run from the bundle, so that the view holds that directory and nothing of yours.
cd "$bundle"
timed "$pysc" --debug do -- python3 -c '
import os, socket, subprocess, tempfile

print("sum of squares below 1000:", sum(n * n for n in range(1000)))
print(subprocess.run(["sh", "-c", "echo a child process says hello, pid $$"], capture_output=True, text=True, check=True).stdout, end="")
with tempfile.NamedTemporaryFile("w+") as f:
    f.write("a private /tmp")
    f.seek(0)
    print("wrote and read back:", f.read())
print("home directories:", os.listdir("/home") if os.path.isdir("/home") else "not there")
for what, attempt in {
    "read /etc/shadow": lambda: open("/etc/shadow"),
    "write to /usr": lambda: open("/usr/bin/planted", "w"),
    "call out": lambda: socket.create_connection(("192.0.2.1", 80), timeout=2),
}.items():
    try:
        attempt()
    except OSError as e:
        print(f"{what}: {e.strerror.lower()}")
    else:
        raise SystemExit(f"{what}: was allowed")
'
