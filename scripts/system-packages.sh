#!/bin/sh
# The Debian packages that pysc needs: installed through apt by root, only named to anybody else.
# usage: scripts/system-packages.sh PYTHON [test] [bench]     with neither: what building and `make demo` take
set -eu

python=${1:-}
case $python in
'' | test | bench)
    echo "no Python 3.11 or newer on PATH; install one, or name it: make PYTHON=/usr/bin/python3.12 ..." >&2
    exit 1
    ;;
esac
shift

required= optional=
missing() { ! command -v "$1" >/dev/null 2>&1; }
imports() { "$python" -c "import $1" 2>/dev/null; }
need() { required="$required $*"; }
want() { optional="$optional $*"; } # a test that has to do without is skipped and says so

minor=$("$python" -c 'import sys; print(sys.version_info.minor)')
missing cc && need gcc
[ -e /usr/include/stdio.h ] || need libc6-dev
[ -e /usr/include/linux/seccomp.h ] || need linux-libc-dev
imports ensurepip || need "python3.$minor-venv"
"$python" -c 'import os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")' 2>/dev/null || need "python3.$minor-dev"
missing busybox && need busybox-static
missing newuidmap && need uidmap

for set in "$@"; do
    case $set in
    test)
        missing git && need git
        missing make && need make
        missing ps && need procps
        missing ip && need iproute2
        missing unshare && need util-linux
        missing strace && want strace
        missing htop && want htop
        missing lsof && want lsof
        missing fuser && want psmisc
        missing dbus-daemon && want dbus
        missing redis-server && want redis-server
        missing nginx && want nginx-light
        missing memcached && want memcached
        missing cron && want cron
        missing debootstrap && want debootstrap
        missing sudo && want sudo
        missing tmux && want tmux
        missing vim && want vim
        missing nano && want nano
        missing ssh-agent && want openssh-client
        missing gdb && want gdb
        missing bwrap && want bubblewrap
        missing stress-ng && want stress-ng
        missing perf && want linux-perf
        missing node && want nodejs
        missing go && want golang-go
        [ -x /usr/bin/rustc ] || want rustc
        missing sqlite3 && want sqlite3
        missing javac && want default-jdk-headless
        missing mariadb-install-db && want mariadb-server-core
        missing mariadb && want mariadb-client-core
        ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || want postgresql
        missing runc && want runc
        missing containerd && want containerd
        missing dockerd && want docker.io
        missing podman && want podman
        missing iptables && want iptables
        [ -e /usr/lib/cni/ptp ] || want containernetworking-plugins
        debian=/usr/bin/python3 # workloads run it, whatever runs pysc
        if [ -x $debian ]; then
            $debian -c 'import seccomp' 2>/dev/null || want python3-seccomp
            $debian -c 'import test.test_os' 2>/dev/null || want "lib$($debian -c 'import sys; print("python%d.%d" % sys.version_info[:2])')-testsuite"
        fi
        ;;
    bench)
        missing git && need git
        missing runc && want runc
        missing crun && want crun
        missing runsc && want runsc
        ;;
    *)
        echo "unknown set of packages: $set" >&2
        exit 1
        ;;
    esac
done

[ -n "$required$optional" ] || exit 0
if [ "$(id -u)" != 0 ] || missing apt-get; then
    [ -z "$optional" ] || echo "these packages would let more tests run:$optional" >&2
    [ -z "$required" ] || echo "these packages are missing:$required" >&2
    [ -z "$required" ]
    exit
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
available=
for package in $optional; do
    if apt-cache policy "$package" | grep -q 'Candidate: [^(]'; then
        available="$available $package"
    else
        echo "$package: not in this system's package lists, going on without" >&2
    fi
done
# The tests start engines of their own: installing one here does not.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    trap 'rm -f $policy' EXIT
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod +x $policy
fi
# shellcheck disable=SC2086
apt-get install -qq -y --no-install-recommends $required $available >/dev/null
