"""/sys of a container: a small generated tree, written once into a tmpfs and mounted read-only.

A real sysfs describes the host's hardware and is no part of any namespace but for class/net. What programs look
for is here: the CPUs and their topology (glibc, JVMs, tcmalloc, hwloc, lscpu), the one NUMA node (libnuma),
transparent huge pages (JVMs, databases), the interfaces (psutil, Go), mount points (fs/cgroup), and the
directories whose absence would surprise. See sysfs(5) and Documentation/ABI/stable/sysfs-devices-system-cpu.

Values are those of the container's cgroup at its start; a later `pysc update` changes only what /proc shows. CPUs have the
host's numbers, since sched_getcpu(3) and rseq(2) have them too, and `possible` is the host's: per-CPU arrays are
sized by it. The topology is one package of cores without hyper-threads, as in /proc/cpuinfo.
"""

from __future__ import annotations

from errno import ENOENT

from sentry.vfs.procview import cpulist, cpumask

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import TypeAlias

    from sentry.vfs.procview import ProcView, Reader

    Node: TypeAlias = "bytes | Symlink | None"  # a file's content, a link, a directory

_CPU = b"devices/system/cpu/"
_NODE = b"devices/system/node/"
_THP = b"kernel/mm/transparent_hugepage/"

_DIRECTORIES = (
    b"block bus bus/pci bus/pci/devices class class/block class/dmi class/net class/power_supply dev dev/block dev/char devices "
    b"devices/system devices/system/cpu devices/system/node devices/system/node/node0 devices/virtual devices/virtual/dmi "
    b"devices/virtual/dmi/id devices/virtual/net firmware fs fs/cgroup kernel kernel/mm kernel/mm/hugepages "
    b"kernel/mm/transparent_hugepage module power"
).split()

_DMI = b"devices/virtual/dmi/id"
# What the machine is sold as. Clients of clouds tell by the host's where they run; here it is nowhere's.
_PRODUCT = b"pysc sandbox\n"

# More CPUs than this get no topology: it is ten files each, written on the start path.
_TOPOLOGY_LIMIT = 32


MOST_INTERFACES = 32
MOST_BYTES = 4 << 20
"""What the tree takes in a tmpfs, at most: a page for each file."""

_IFF_UP, _IFF_RUNNING = 0x1, 0x40


class Symlink:
    """A symbolic link to `target`."""

    __slots__ = ("target",)

    def __init__(self, target: bytes) -> None:
        self.target = target


class Interface:
    """A network interface of the container, as `class/net` shows it."""

    __slots__ = ("address", "flags", "index", "kind", "mtu", "name")

    def __init__(self, name: bytes, index: int, address: bytes, mtu: int, flags: int, kind: int = 1) -> None:
        """`flags` are IFF_*, `kind` is ARPHRD_*."""
        self.name = name
        self.index = index
        self.address = address
        self.mtu = mtu
        self.flags = flags
        self.kind = kind

    def files(self) -> dict[bytes, bytes]:
        up = self.flags & _IFF_UP and self.flags & _IFF_RUNNING
        return {
            b"address": self.address,
            b"flags": b"0x%x" % (self.flags & ~_IFF_RUNNING),
            b"ifindex": b"%d" % self.index,
            b"mtu": b"%d" % self.mtu,
            b"operstate": b"unknown" if self.kind == 772 else b"up" if up else b"down",
            b"type": b"%d" % self.kind,
        }


LOOPBACK = Interface(b"lo", 1, b"00:00:00:00:00:00", 65536, 0x9, 772)


def tree(view: ProcView, host: Reader, interfaces: Sequence[Interface] = (LOOPBACK,)) -> dict[bytes, Node]:
    """Path below /sys -> content, link or None for a directory; parents before children.

    `host` reads the host's sysfs (b"devices/system/cpu/possible"); what it lacks gets a default.
    """
    nodes: dict[bytes, Node] = dict.fromkeys(_DIRECTORIES)
    cpus = view.cpus()
    nodes |= _cpus(cpus, host)
    nodes |= _node(view, cpus)
    nodes |= _transparent_hugepages(host)
    nodes[_DMI + b"/product_name"] = _PRODUCT
    nodes[b"class/dmi/id"] = Symlink(b"../../" + _DMI)
    return nodes | network(interfaces)


def network(interfaces: Sequence[Interface]) -> dict[bytes, Node]:
    """`interfaces`, in directories that tree() has made."""
    nodes: dict[bytes, Node] = {}
    for interface in interfaces[:MOST_INTERFACES]:
        directory = b"devices/virtual/net/" + interface.name
        nodes[directory] = None
        nodes |= {directory + b"/" + name: value + b"\n" for name, value in interface.files().items()}
        nodes[b"class/net/" + interface.name] = Symlink(b"../../" + directory)
    return nodes


def _cpus(cpus: Sequence[int], host: Reader) -> dict[bytes, Node]:
    online = cpulist(cpus) + b"\n"
    nodes: dict[bytes, Node] = {
        _CPU + b"online": online,
        _CPU + b"present": online,
        _CPU + b"possible": _host(host, _CPU + b"possible", b"0-%d\n" % max(cpus)),
        _CPU + b"offline": b"\n",
        _CPU + b"isolated": b"\n",
        _CPU + b"kernel_max": _host(host, _CPU + b"kernel_max", b"8191\n"),
    }
    for index, cpu in enumerate(cpus):
        directory = _CPU + b"cpu%d" % cpu
        nodes[directory] = None
        if index < _TOPOLOGY_LIMIT:
            topology = directory + b"/topology"
            nodes[topology] = None
            nodes[topology + b"/core_id"] = b"%d\n" % index
            nodes[topology + b"/physical_package_id"] = b"0\n"
            # since Linux 5.3 under better names, too: Documentation/admin-guide/cputopology.rst
            for name in (b"thread_siblings", b"core_cpus"):
                nodes[topology + b"/" + name + b"_list"] = b"%d\n" % cpu
                nodes[topology + b"/" + name] = cpumask((cpu,)) + b"\n"
            for name in (b"core_siblings", b"package_cpus"):
                nodes[topology + b"/" + name + b"_list"] = online
                nodes[topology + b"/" + name] = cpumask(cpus) + b"\n"
    return nodes


def _node(view: ProcView, cpus: Iterable[int]) -> dict[bytes, Node]:
    memory = view.memory()
    rows = {b"MemTotal": memory.total, b"MemFree": memory.free, b"MemUsed": memory.total - memory.free}
    node0 = _NODE + b"node0/"
    return {
        _NODE + b"online": b"0\n",
        _NODE + b"possible": b"0\n",
        _NODE + b"has_cpu": b"0\n",
        _NODE + b"has_memory": b"0\n",
        _NODE + b"has_normal_memory": b"0\n",
        node0 + b"cpulist": cpulist(cpus) + b"\n",
        node0 + b"cpumap": cpumask(cpus) + b"\n",
        node0 + b"distance": b"10\n",
        node0 + b"meminfo": b"".join(b"Node 0 %-15s%8d kB\n" % (name + b":", size // 1024) for name, size in rows.items()),
    }


def _transparent_hugepages(host: Reader) -> dict[bytes, Node]:
    return {
        _THP + b"enabled": _host(host, _THP + b"enabled", b"always [madvise] never\n"),
        _THP + b"shmem_enabled": _host(host, _THP + b"shmem_enabled", b"always within_size advise [never] deny force\n"),
        _THP + b"hpage_pmd_size": _host(host, _THP + b"hpage_pmd_size", b"2097152\n"),
    }


def _host(host: Reader, name: bytes, default: bytes) -> bytes:
    try:
        return host(name)
    except OSError as e:
        if e.errno != ENOENT:
            raise
        return default
