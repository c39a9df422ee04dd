"""What nobody in a container may learn of the host, looked for in every file of /proc, /sys and /dev that can be read in there.

The "host" is one of the test's own: UTS, network and mount namespaces in which pysc is started, with a host name, an interface, a mount and
a cgroup that nothing else is called by. The same search in a container without a sandbox finds them, so it can find.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import struct
import subprocess
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from containers import requires, trusted
from workloads import ENVIRONMENT, debian_config

if TYPE_CHECKING:
    from collections.abc import Iterator

    from containers import Pysc

pytestmark = [pytest.mark.integration, requires("/usr/bin/python3", "unshare", "ip", "mount")]

MAC, IPV4, IPV6 = "02:5e:c2:e7:4a:01", "198.51.100.77", "2001:db8:5ec2:e7::77"

# In the container: of every file and link (path, content), lengths first. What would block does not, and nothing is read without end.
WALK = r"""
import os, stat, struct, sys
out = sys.stdout.buffer
def say(path, content):
    name = os.fsencode(path)
    out.write(struct.pack("<II", len(name), len(content)) + name + content)
def content(path):
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        parts, size = [], 0
        while size < 1 << 18 and (part := os.read(fd, 65536)):
            parts.append(part)
            size += len(part)
        return b"".join(parts)
    finally:
        os.close(fd)
def walk(directory):
    try:
        entries = list(os.scandir(directory))
    except OSError:
        return
    say(directory, "\n".join(entry.name for entry in entries).encode())
    for entry in entries:
        try:
            if entry.is_symlink():
                say(entry.path, os.fsencode(os.readlink(entry.path)))
            elif entry.is_dir(follow_symlinks=False):
                walk(entry.path)
            elif entry.name not in ("pagemap", "clear_refs"):
                say(entry.path, content(entry.path))
        except OSError:
            continue
for top in ("/proc", "/sys", "/dev", "/run"):
    walk(top)
uname = os.uname()
say("uname", "\n".join((uname.nodename, uname.version)).encode())
say("environment", "\n".join(os.environ).encode())
"""

# The host's side: $1 is where something is mounted, $2 "nofuse" where /dev/fuse cannot be opened; then the command.
HOST = f"""
set -e
place=$1 fuse=$2; shift 2
mount --make-rprivate /
mount -t tmpfs tmpfs-$HOST_WORD "$place"
hostname $HOST_WORD
ip link set lo up
ip link add if$HOST_SHORT address {MAC} type veth peer name peer
ip link set peer up
ip addr add {IPV4}/24 dev if$HOST_SHORT
ip -6 addr add {IPV6}/64 dev if$HOST_SHORT nodad
ip link set if$HOST_SHORT up
if [ "$fuse" = nofuse ] && [ -e /dev/fuse ]; then
    mount --bind /dev/fuse /dev/fuse
    mount -o remount,bind,nodev /dev/fuse
fi
exec "$@"
"""


class Host:
    """The secrets, each under the name by which a failure calls it, and the way to start a command where they are."""

    def __init__(self, directory: Path, neighbour: int) -> None:
        self.word = f"hostsecret{uuid.uuid4().hex[:12]}"
        self.place = directory / f"mount-{self.word}"
        self.place.mkdir()
        ipv6 = bytes.fromhex("20010db85ec200e70000000000000077")
        self.secrets = {
            "a name of the host": self.word.encode(),
            "the interface": f"if{self.word[10:18]}".encode(),
            "the MAC address": MAC.encode(),
            "the IPv4 address": IPV4.encode(),
            "the IPv4 address, in hexadecimal": b"%08X" % struct.unpack("<I", bytes(map(int, IPV4.split("."))))[0],
            "the IPv6 address": IPV6.encode(),
            "the IPv6 address, in hexadecimal": ipv6.hex().encode(),
            "the IPv6 address, as /proc/net/tcp6 has it": b"".join(b"%08X" % word for word in struct.unpack("<4I", ipv6)),
            "where the tests are": str(directory).encode(),
            "the boot id": Path("/proc/sys/kernel/random/boot_id").read_bytes().strip(),
            "the time of boot": b"btime %d" % _btime(),
            "the command line of another process": f"neighbour-{neighbour}-of-the-host".encode(),
        }
        for word in Path("/proc/cmdline").read_bytes().split():
            if len(word) > 7:
                self.secrets[f"{word.decode()} of the command line"] = word
        with open("/proc/partitions") as file:
            disks = [line.split()[3] for line in file.readlines()[2:]]
        self.secrets |= {f"the disk {disk}": f"/dev/{disk}".encode() for disk in disks}
        for name in ("product_serial", "product_uuid", "board_serial", "product_name"):
            with contextlib.suppress(OSError):
                value = Path("/sys/class/dmi/id", name).read_bytes().strip()
                if len(value) > 5:
                    self.secrets[f"{name} of the machine"] = value

    def argv(self, fuse: str, command: list[str]) -> list[str]:
        return ["unshare", "--uts", "--net", "--mount", "sh", "-c", HOST, "host", str(self.place), fuse, *command]

    def environment(self) -> dict[str, str]:
        return {**os.environ, "HOST_WORD": self.word, "HOST_SHORT": self.word[10:18]}


def _btime() -> int:
    with open("/proc/stat") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("btime"))


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """With another process on it, whose command line says so."""
    number = os.getpid()
    words = [sys.executable, "-c", "import sys; sys.stdin.read()", f"neighbour-{number}-of-the-host"]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as neighbour:
        yield Host(tmp_path, number)
        assert neighbour.stdin is not None
        neighbour.stdin.close()


def walk(host: Host, pysc: Pysc, root: Path, options: list[str], *, network: str = "own", fuse: str = "fuse") -> dict[str, bytes]:
    """What can be read in a container on that host: content by path."""
    bundle = host.place.parent / "bundle"
    bundle.mkdir()
    work = host.place.parent / f"work-{host.word}"
    work.mkdir()
    config = debian_config(root, ["/usr/bin/python3", "-I", "-S", "-c", WALK], ENVIRONMENT, work)
    config["linux"]["cgroupsPath"] = f"/{host.word}/{pysc.id}"
    if network == "shared":
        config["linux"]["namespaces"] = [each for each in config["linux"]["namespaces"] if each["type"] != "network"]
    (bundle / "config.json").write_text(json.dumps(config))
    command = host.argv(fuse, pysc.argv(*options, "run", "--bundle", bundle, pysc.id))
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, env=host.environment(), timeout=100, check=False)
    finally:
        for directory in [*Path("/sys/fs/cgroup").glob(f"*/{host.word}"), Path("/sys/fs/cgroup", host.word)]:
            with contextlib.suppress(FileNotFoundError):
                directory.rmdir()
    warned = b"no FUSE here" in done.stderr
    assert (done.returncode, warned) == (0, fuse == "nofuse" and "namespace" not in options), done.stderr
    found, rest = {}, memoryview(done.stdout)
    while rest:
        name, size = struct.unpack_from("<II", rest)
        found[bytes(rest[8 : 8 + name]).decode()] = bytes(rest[8 + name : 8 + name + size])
        rest = rest[8 + name + size :]
    return found


def leaks(found: dict[str, bytes], secrets: dict[str, bytes]) -> dict[str, set[str]]:
    """Secret -> the files that have it. Directories of the container's own processes count once."""
    where: dict[str, set[str]] = {}
    for path, content in found.items():
        for what, secret in secrets.items():
            if secret in content:
                where.setdefault(what, set()).add(re.sub(r"/\d+(?=/|$)", "/N", path))
    return where


@pytest.mark.parametrize("network", ["own", "shared"])
@pytest.mark.parametrize(("profile", "fuse"), [("standard", "fuse"), ("standard", "nofuse"), ("strict", "fuse"), ("strict", "nofuse")])
def test_no_file_tells_of_the_host(host: Host, pysc: Pysc, debian_root: Path, profile: str, fuse: str, network: str) -> None:
    found = walk(host, pysc, debian_root, ["--profile", profile], network=network, fuse=fuse)
    assert leaks(found, host.secrets) == {}
    names = {path.split("/", 3)[1] for path in found if path.startswith("/")}
    assert names >= {"proc", "sys", "dev"}
    assert len(found) > 500
    uptime, _idle = map(float, found["/proc/uptime"].split())
    assert uptime < 60
    assert {int(name) for name in found["/proc"].split() if name.isdigit()} == {1}
    assert found["uname"].startswith(b"pysc\n")


@trusted
def test_without_a_sandbox_the_search_finds(host: Host, pysc: Pysc, debian_root: Path) -> None:
    """Of what the kernel itself tells in a container; its network and UTS namespaces keep the rest."""
    found = leaks(walk(host, pysc, debian_root, []), host.secrets)
    assert {"the boot id", "the time of boot", "a name of the host"} <= set(found)
    assert "/proc/stat" in found["the time of boot"]
    assert "/proc/N/mountinfo" in found["a name of the host"]
    assert any(what.endswith("of the command line") for what in found)


@trusted
def test_on_the_hosts_network_the_search_finds(host: Host, pysc: Pysc, debian_root: Path) -> None:
    found = leaks(walk(host, pysc, debian_root, [], network="shared"), host.secrets)
    assert {"the interface", "the IPv4 address", "the IPv6 address, in hexadecimal"} <= set(found)
