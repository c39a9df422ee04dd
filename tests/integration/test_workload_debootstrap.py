"""Workload: a Debian made by debootstrap, in which dpkg and apt-get install local packages, and which init of System V boots to a service.

Only with --long: to make it takes the mirror of this machine's apt, and a minute. It is made once.
"""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest
from containers import merge, requires
from workloads import CAPABILITIES, ENVIRONMENT, PROFILES, run

from runsc_cli.spec import default_spec

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from containers import Pysc

pytestmark = [pytest.mark.integration, pytest.mark.long, pytest.mark.timeout(900), requires("debootstrap", "apt-get", "unshare", "chroot")]

SUITE = "bookworm"
WRITTEN = {"disk": [], "overlay": ["--overlay=memory"]}
"""Where what is installed goes: into the root directory or an overlay of it."""

# Natively as near to a container as a chroot gets.
ENTER = 'cd "$0" && mount -t proc proc proc && mount --rbind /dev dev && exec chroot . "$@"'
CHROOT = ["unshare", "--mount", "--pid", "--fork", "sh", "-c", ENTER]

PACKAGES = r"""
set -eu
umask 022
export DEBIAN_FRONTEND=noninteractive SOURCE_DATE_EPOCH=1600000000
mkdir /srv/repo
cd /srv
package() { # name, version, fields: a tree that is in files/ becomes a package
    mkdir -p files/DEBIAN
    { echo "Package: $1"; echo "Version: $2"; echo 'Architecture: all'; echo 'Maintainer: nobody <nobody@example.org>'; shift 2
      for line; do echo "$line"; done; echo 'Description: for a test'; } > files/DEBIAN/control
    dpkg-deb --root-owner-group --build files repo > /dev/null
    rm -r files
}
read_as() { sed -e 's/^(Reading.*/read/' -e 's/^Get:.*/got/'; }

mkdir -p files/usr/bin files/DEBIAN files/etc
printf '#!/bin/sh\necho hello from $(cat /etc/greeted)\n' > files/usr/bin/greet
chmod 755 files/usr/bin/greet
echo greeting > files/etc/greeted
echo /etc/greeted > files/DEBIAN/conffiles
cat > files/DEBIAN/postinst <<'END'
#!/bin/sh
set -e
adduser --system --group --quiet --home /var/lib/greeter greeter
ls -ld /var/lib/greeter | cut -d " " -f 1,3,4
END
chmod 755 files/DEBIAN/postinst
package greeting 1.0 'Depends: adduser'

mkdir -p files/etc/init.d files/usr/sbin files/DEBIAN
cat > files/usr/sbin/ticker <<'END'
#!/bin/sh
id -un > /run/ticker/user
while :; do read line < /run/ticker/asked; echo "ticker heard $line" > /run/ticker/said; done
END
cat > files/etc/init.d/ticker <<'END'
#!/bin/sh
### BEGIN INIT INFO
# Provides: ticker
# Required-Start: $remote_fs
# Required-Stop: $remote_fs
# Default-Start: 2 3 4 5
# Default-Stop: 0 1 6
### END INIT INFO
. /lib/lsb/init-functions
case $1 in
start)
    install -d -o greeter /run/ticker
    [ -p /run/ticker/asked ] || { mkfifo /run/ticker/asked /run/ticker/said; chown greeter /run/ticker/*; }
    start-stop-daemon --start --background --chuid greeter --make-pidfile --pidfile /run/ticker.pid --startas /usr/sbin/ticker
    ;;
stop) start-stop-daemon --stop --quiet --retry 5 --pidfile /run/ticker.pid --remove-pidfile ;;
status) status_of_proc -p /run/ticker.pid /usr/sbin/ticker ticker ;;
esac
END
printf '#!/bin/sh\nset -e\nupdate-rc.d ticker defaults\ninvoke-rc.d ticker start || true\n' > files/DEBIAN/postinst
chmod 755 files/etc/init.d/ticker files/usr/sbin/ticker files/DEBIAN/postinst
package ticker 2.0 'Depends: greeting (>= 1.0), lsb-base | sysvinit-utils'

printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
for deb in repo/*.deb; do
    dpkg-deb --field "$deb"
    printf 'Filename: %s\nSize: %s\nSHA256: %s\n\n' "$deb" "$(stat -c %s "$deb")" "$(sha256sum "$deb" | cut -d ' ' -f 1)"
done > Packages
echo 'deb [trusted=yes] file:/srv ./' > /etc/apt/sources.list
apt-get -qq update
apt-cache policy ticker | head -n 3
dpkg -i repo/ticker_2.0_all.deb > refused 2>&1 || echo "dpkg: $?"
grep -c 'dependency problems' refused
apt-get -qq -y --fix-broken install 2>&1 | read_as
greet
apt-get -qq -y remove ticker 2>&1 | read_as
dpkg -i repo/ticker_2.0_all.deb 2>&1 | read_as
apt-get -qq -y install ./repo/ticker_2.0_all.deb 2>&1 | read_as
apt-get -qq -y --reinstall install greeting 2>&1 | read_as
dpkg -l greeting ticker | tail -n 2
dpkg --verify && apt-get -qq check && echo verified
ls /etc/rc*.d/*ticker
su -s /bin/sh greeter -c id
rm -r /usr/sbin/policy-rc.d refused /var/cache/apt/*.bin /var/cache/ldconfig
find / -xdev \( -path /proc -o -path /dev -o -path /sys -o -path /run -o -path /tmp \) -prune -o -printf '%M %u %g %p %l\n' | sort > /tmp/all
wc -l < /tmp/all
sha256sum < /tmp/all
find /usr /etc -type f -links +1 -printf '%n %p\n' | sort
"""


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root directory that all have copies of, or overlays."""
    root = tmp_path_factory.mktemp("debootstrap") / "root"
    asked = ["apt-get", "indextargets", "--format", "$(REPO_URI)", f"Codename: {SUITE}"]
    mirrors = subprocess.run(asked, capture_output=True, text=True, check=True)
    command = ["debootstrap", "--variant=minbase", "--include=sysvinit-core,adduser", SUITE, str(root), *mirrors.stdout.split()[:1]]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"debootstrap: {made.stdout.splitlines()[-1:]}")
    return root


def _copy(image: Path, directory: Path) -> Path:
    subprocess.run(["cp", "-a", "--reflink=auto", str(image), str(directory / "debian")], check=True)
    return directory / "debian"


@pytest.fixture(scope="session")
def native_installation(image: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A root directory in which all has been installed without a sandbox, and what was printed."""
    root = _copy(image, tmp_path_factory.mktemp("installed"))
    done = run([*CHROOT, str(root), "sh", "-c", PACKAGES], root, ENVIRONMENT)
    assert done.code == 0, done
    return root, done.out


def _bundle(directory: Path, root: Path, argv: list[str], **process: Any) -> Path:
    capabilities = dict.fromkeys(("bounding", "effective", "permitted"), CAPABILITIES)
    env = [f"{name}={value}" for name, value in ENVIRONMENT.items()]
    changes = {"root": {"path": str(root), "readonly": False}, "process": {"env": env, "capabilities": capabilities, "rlimits": [], **process}}
    (directory / "config.json").write_text(json.dumps(merge(default_spec(args=argv), changes)))
    return directory


@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize("profile", PROFILES)
def test_packages_are_installed_as_natively(
    pysc: Pysc, image: Path, native_installation: tuple[Path, str], profile: str, written: str, tmp_path: Path
) -> None:
    root = image if written == "overlay" else _copy(image, tmp_path)
    bundle = _bundle(tmp_path, root, ["sh", "-c", PACKAGES])
    done = pysc("--profile", profile, *WRITTEN[written], "run", "--bundle", bundle, pysc.id, timeout=300)
    assert (done.out, done.code) == (native_installation[1], 0), done
    assert (root / "srv").is_dir()
    assert (root / "usr/bin/greet").exists() == (written == "disk")


@pytest.mark.parametrize("profile", PROFILES)
def test_init_boots_it_to_a_service(pysc: Pysc, native_installation: tuple[Path, str], profile: str, tmp_path: Path) -> None:
    root = _copy(native_installation[0], tmp_path)
    inittab = root / "etc/inittab"
    inittab.write_text("".join(line for line in inittab.read_text().splitlines(keepends=True) if "getty" not in line))
    bundle = _bundle(tmp_path, root, ["/sbin/init"])
    assert pysc("--profile", profile, "run", "--detach", "--bundle", bundle, pysc.id).code == 0
    script = """
    until [ -s /run/ticker/user ]; do :; done
    cat /run/ticker/user
    echo you > /run/ticker/asked; cat /run/ticker/said
    until runlevel | grep 2; do :; done
    cat /proc/1/comm
    service ticker status
    service ticker stop; service ticker status; echo $?
    service ticker start; service ticker status
    telinit 1
    until [ ! -e /run/ticker.pid ]; do :; done
    until [ "$(runlevel)" != 'N 2' ]; do :; done
    """
    done = pysc("exec", pysc.id, "sh", "-c", script, timeout=200)
    assert done.out.splitlines() == [
        "greeter",
        "ticker heard you",
        "N 2",
        "init",
        "ticker is running.",
        "ticker is not running ... failed!",
        "3",
        "ticker is running.",
    ], done
    assert pysc("delete", "--force", pysc.id).code == 0
