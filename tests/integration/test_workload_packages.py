"""Workloads: package systems without a network: dpkg and apt-get with a repository of files, pip with a wheel, npm with tarballs."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from typing import TYPE_CHECKING

import pytest
from containers import requires
from workloads import Workload, requires_import, same_as_native

if TYPE_CHECKING:
    from pathlib import Path

    from workloads import NativeRuns, Sandbox

PYTHON = "/usr/bin/python3"

pytestmark = pytest.mark.integration

# FIEMAP tells dpkg where on the disk its files are, so that it may read them in that order.
DENIED = ("ioctl 0xc020660b", "syscall setsockopt")

# The maintainer's scripts run in a root directory of their own, of which dpkg makes theirs with chroot(2); its shell is busybox.
DEBIAN = r"""
set -eu
umask 022
export APT_CONFIG=$PWD/apt.conf DEBIAN_FRONTEND=noninteractive SOURCE_DATE_EPOCH=1600000000
arch=$(dpkg --print-architecture)
mkdir -p root/bin root/etc root/usr/bin root/var/lib/dpkg/info root/var/lib/dpkg/updates root/var/lib/dpkg/triggers root/var/log repo \
    state/lists/partial cache/archives/partial etc/preferences.d
cp "$(command -v busybox)" root/bin/busybox
ln -s busybox root/bin/sh
for name in sh cat rm echo ls touch; do ln -sf ../../bin/busybox root/usr/bin/$name; done
: > root/var/lib/dpkg/status
: > root/var/lib/dpkg/available

package() { # name, version, more fields: a tree that is in files/ becomes a package
    mkdir -p files/DEBIAN
    { echo "Package: $1"; echo "Version: $2"; echo "Architecture: $arch"; echo 'Maintainer: nobody <nobody@example.org>'; shift 2
      for line; do echo "$line"; done; echo 'Description: for a test'; } > files/DEBIAN/control
    chmod -f 755 files/DEBIAN/p* || true
    find files -exec touch -d @1600000000 {} +
    dpkg-deb -Zgzip --root-owner-group --build files repo > /dev/null
    rm -r files
}
script() { printf '#!/bin/sh\nset -e\necho "%s $*" >> /var/log/scripts\n%s\n' "$1" "${2-}" > "files/DEBIAN/$1"; }

mkdir -p files/DEBIAN files/usr/lib/library files/etc
for i in $(seq 300); do echo "file $i" > "files/usr/lib/library/file $i"; done
echo first > files/etc/library.conf
echo /etc/library.conf > files/DEBIAN/conffiles
echo 'interest-noawait /usr/lib/library' > files/DEBIAN/triggers
script preinst; script postinst 'touch /var/log/configured'; script prerm; script postrm
package library 1.0

mkdir -p files/usr/bin files/usr/lib/library files/DEBIAN
printf '#!/bin/sh\necho program of $(cat /etc/library.conf)\n' > files/usr/bin/program
chmod 4755 files/usr/bin/program
ln files/usr/bin/program files/usr/bin/hard-link
ln -s program files/usr/bin/symbolic-link
mkfifo files/usr/lib/library/fifo
echo plugin > files/usr/lib/library/plugin
script postinst
package program 1.0 'Depends: library (>= 1.0)'

export DEBIAN_FRONTEND=noninteractive
dpkg="dpkg --root=$PWD/root --log=$PWD/log"
$dpkg -i repo/program_1.0_$arch.deb 2> refused || echo "dpkg: $?"
grep -c 'dependency problems' refused
$dpkg -i repo/library_1.0_$arch.deb repo/program_1.0_$arch.deb | sed -e 's/^(Reading.*/read/' -e 's/unpack .*repo/unpack repo/'
$dpkg -l library program | tail -n 2
chroot root /usr/bin/program
stat -c '%n %A %h %U' root/usr/bin/* root/usr/lib/library/fifo
$dpkg --verify && echo verified
echo changed > "root/usr/lib/library/file 7"
$dpkg --verify

mkdir -p files/DEBIAN files/usr/lib/library files/etc
for i in $(seq 200 400); do echo "new file $i" > "files/usr/lib/library/file $i"; done
echo second > files/etc/library.conf
echo /etc/library.conf > files/DEBIAN/conffiles
script preinst; script postinst; script prerm; script postrm
package library 2.0
mkdir -p files/DEBIAN files/usr/lib
script preinst 'exit 1'; script postrm
package broken 1.0
mkdir -p files/usr/lib/library
echo stolen > files/usr/lib/library/plugin
package thief 1.0

cat > apt.conf <<END
Dir::Etc "$PWD/etc"; Dir::Etc::parts "/dev/null"; Dir::State "$PWD/state"; Dir::State::status "$PWD/root/var/lib/dpkg/status";
Dir::Cache "$PWD/cache"; Dir::Log "$PWD"; Acquire::Languages "none"; APT::Sandbox::Seccomp "false";
DPkg::Options { "--root=$PWD/root"; "--log=$PWD/log"; "--force-confold"; }; DPkg::Use-Pty "false";
END
for deb in repo/*.deb; do
    dpkg-deb --field "$deb"
    echo "Filename: $deb"
    echo "Size: $(stat -c %s "$deb")"
    echo "SHA256: $(sha256sum "$deb" | cut -d ' ' -f 1)"
    echo
done > Packages
echo "deb [trusted=yes] file:$PWD ./" > etc/sources.list
apt-get -qq update
apt-cache policy library | head -n 3
echo local > root/etc/library.conf
apt-get -qq -y upgrade 2> upgraded | sed -e 's/^(Reading.*/read/' -e 's/unpack .*repo/unpack repo/'
cat root/etc/library.conf root/etc/library.conf.dpkg-dist
chroot root /usr/bin/program
ls root/usr/lib/library | wc -l
apt-get -qq -y install broken > failed 2>&1 || echo "apt-get: $?"
grep -o 'new broken package pre-installation script subprocess returned error exit status 1' failed
$dpkg -i repo/thief_1.0_$arch.deb > failed 2>&1 || echo "dpkg: $?"
grep -o "trying to overwrite .*" failed
cat root/usr/lib/library/plugin
apt-get -qq -y remove library | sed -e 's/^(Reading.*/read/' -e 's/unpack .*repo/unpack repo/'
$dpkg -l library | tail -n 1
$dpkg --purge library | sed -e 's/^(Reading.*/read/' -e 's/unpack .*repo/unpack repo/'
grep -c 'Using current old file' upgraded
sed 's/[0-9]*-[0-9]*-[0-9]* [0-9:]* //' log | grep -v -e startup
cat root/var/log/scripts
find root -path root/var/lib/dpkg -prune -o -print | sort
rm -r state cache log term.log history.log root/var/lib/dpkg etc apt.conf eipp.log.xz 2> /dev/null || true
"""


@pytest.mark.short("do-standard")
@requires("dpkg", "dpkg-deb", "apt-get", "busybox")
def test_dpkg_and_apt(sandbox: Sandbox, public_native_runs: NativeRuns, public: Path) -> None:
    workload = Workload("dpkg", ["sh", "-c", DEBIAN], timeout=110)
    assert public_native_runs(workload)[0].code == 0, public_native_runs(workload)[0]
    same_as_native(workload, sandbox, public_native_runs, public, files=False, denied=DENIED)


def wheel(path: Path, name: str, files: dict[str, str], *needs: str) -> None:
    """A wheel of version 1.0 in `path` (PyPA: binary distribution format)."""
    info = f"{name}-1.0.dist-info"
    files = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n" + "".join(f"Requires-Dist: {need}\n" for need in needs),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
    }
    record = [
        f"{file},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()},{len(text.encode())}"
        for file, text in files.items()
    ]
    with zipfile.ZipFile(path / f"{name}-1.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as archive:
        for file, text in {**files, f"{info}/RECORD": "\n".join([*record, f"{info}/RECORD,,", ""])}.items():
            archive.writestr(zipfile.ZipInfo(file), text)


PIP = r"""
set -eu
export PIP_NO_INDEX=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_NO_CACHE_DIR=1
/usr/bin/python3 -m venv environment
pip() { environment/bin/python -m pip --quiet "$@"; }
pip install --find-links . workpackage
environment/bin/python -m pip list --format=freeze | grep -v -e pip -e setuptools
environment/bin/workpackage
cat environment/lib/python*/site-packages/workpackage-1.0.dist-info/RECORD | wc -l
pip install --target target --no-deps workpackage-1.0-py3-none-any.whl
ls target
pip install --find-links . nothing 2> failed || echo "pip: $?"
pip uninstall --yes workpackage
environment/bin/workpackage 2> /dev/null || echo gone
find environment/lib -name '*workpackage*'
environment/bin/python -m compileall -q target
find target -name '*.pyc' | sort | sha256sum
"""


class PipInstall(Workload):
    def prepare(self, directory: Path) -> Path:
        super().prepare(directory)
        modules = {f"workpackage/module{n}.py": f"value = {n}\n" for n in range(200)}
        main = "from depended import text\ndef main():\n    from . import module7\n    print(text, module7.value)\n"
        wheel(directory, "workpackage", {"workpackage/__init__.py": main, **modules}, "depended")
        wheel(directory, "depended", {"depended/__init__.py": "text = 'depended on'\ndef main(): pass\n"})
        return directory


@pytest.mark.short("bundle-strict")
@requires(PYTHON)
@requires_import(PYTHON, "ensurepip", "python3-venv")
def test_pip_installs_a_wheel(sandbox: Sandbox, native_runs: NativeRuns, tmp_path: Path) -> None:
    workload = PipInstall("pip", ["sh", "-c", PIP])
    assert native_runs(workload)[0].code == 0, native_runs(workload)[0]
    same_as_native(workload, sandbox, native_runs, tmp_path, files=False)


NPM = r"""
set -eu
export npm_config_cache=$PWD/cache npm_config_offline=true npm_config_audit=false npm_config_fund=false npm_config_update_notifier=false
for name in one two; do (cd $name && npm pack --silent --pack-destination ..); done
npm install --package-lock-only --silent
grep -c integrity package-lock.json
npm ci --silent
ls -A node_modules node_modules/.bin
readlink node_modules/.bin/two
node main.js
npm run --silent both -- argument
find node_modules -type f | wc -l
npm ls --all | tail -n +2
echo changed >> two-1.0.0.tgz
rm -r cache
npm ci --silent || echo "npm: refused"
"""
NPM_FILES = {
    "package.json": """{"name": "work", "version": "1.0.0", "dependencies": {"one": "file:one-1.0.0.tgz", "two": "file:two-1.0.0.tgz"},
        "scripts": {"both": "two && node -e 'console.log(process.argv.slice(1))'"}}""",
    "main.js": "console.log(require('one'), require('one/deep/module').value);",
    "one/package.json": """{"name": "one", "version": "1.0.0", "main": "index.js", "scripts": {"postinstall": "node index.js > installed"}}""",
    "one/index.js": "module.exports = [...Array(100).keys()].map((n) => require('./files/' + n)).reduce((a, b) => a + b); console.log('one');",
    **{f"one/files/{n}.js": f"module.exports = {n};" for n in range(100)},
    "one/deep/module/index.js": "exports.value = __filename.split('/').slice(-4).join('/');",
    "two/package.json": """{"name": "two", "version": "1.0.0", "bin": {"two": "two.js"}}""",
    "two/two.js": "#!/usr/bin/env node\nconsole.log('two', require('fs').existsSync('node_modules/one/installed'));",
}


@pytest.mark.short("do-standard")
@requires("node", "npm")
def test_npm_installs_from_tarballs(sandbox: Sandbox, native_runs: NativeRuns, tmp_path: Path) -> None:
    workload = Workload("npm", ["sh", "-c", NPM], NPM_FILES)
    assert native_runs(workload)[0].code == 0, native_runs(workload)[0]
    same_as_native(workload, sandbox, native_runs, tmp_path, files=False)
