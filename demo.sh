#!/bin/sh
# What pysc does, on this machine: a container from a bundle, and a command without an image.
set -eu
pysc=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir -p rootfs/bin rootfs/proc rootfs/sys rootfs/dev
cp "$(command -v busybox)" rootfs/bin/busybox
ln -s busybox rootfs/bin/ls
"$pysc" spec -- ls -l /
echo "== pysc run"
time "$pysc" --debug --root "$work/state" run demo
echo "== pysc do"
time "$pysc" --debug --root "$work/state" do -- python3 -c 'print(sum(range(10))); open("/etc/shadow")' || echo "exit code $?, as it should be"
