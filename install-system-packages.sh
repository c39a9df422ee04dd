#!/bin/sh
# What pysc needs from the system, to be built and tested: as root through apt, else only named.
set -eu

missing=
need() { # PROGRAM PACKAGE...
    command -v "$1" >/dev/null 2>&1 || { shift; missing="$missing $*"; }
}
need cc gcc libc6-dev
need make make
need busybox busybox-static
need runc runc
need git git
need ps procps
need redis-server redis-server
need node nodejs
need newuidmap uidmap
need python3-config python3-dev
python3 -c 'import ensurepip' 2>/dev/null || missing="$missing python3-venv"
[ -e /usr/include/stdio.h ] || missing="$missing libc6-dev"

[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "these packages are missing:$missing" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086
apt-get install -qq -y --no-install-recommends $missing >/dev/null
