"""A /proc and cgroups of dictionaries, for the texts that are made of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sentry.vfs import proctext, sysctl
from sentry.vfs.procfs import Synth, classify, generate
from sentry.vfs.procview import ProcView

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


MIB = 1 << 20

HOST = {
    b"meminfo": b"MemTotal:       8192000 kB\nMemFree:  1 kB\nSwapTotal:  1024000 kB\nSwapFree:  77 kB\n",
    b"cpuinfo": b"".join(
        b"processor\t: %d\nmodel name\t: Some CPU\nmicrocode\t: 0xbeef\ncpu MHz\t\t: 3141.592\nphysical id\t: 3\n"
        b"siblings\t: 8\ncore id\t\t: 5\ncpu cores\t: 4\napicid\t\t: 77\nflags\t\t: fpu sse2\nbugs\t\t: spectre_v1\n"
        b"bogomips\t: 5000.00\npower management:\n\n" % cpu
        for cpu in range(4)
    ),
    b"cgroups": b"#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t1\t93\t1\nmemory\t4\t94\t1\n",
}


def reader(files: Mapping[bytes, bytes]) -> Callable[[bytes], bytes]:
    def read(name: bytes) -> bytes:
        try:
            return files[name]
        except KeyError:
            raise FileNotFoundError(2, "no such file", name) from None

    return read


def proc_stat(pid: int, threads: int = 1, user: int = 0, system: int = 0, rss: int = 0) -> bytes:
    fields = [b"0"] * 50
    fields[11], fields[12], fields[17], fields[21] = (b"%d" % n for n in (user, system, threads, rss))
    fields[0] = b"S"
    return b"%d (a ) name) " % pid + b" ".join(fields) + b"\n"


PROC = {b"1/stat": proc_stat(1, 2, 100, 50, 256), b"7/stat": proc_stat(7, 1, 20, 5, 256)}


def fake(*cgroup: Mapping[bytes, bytes], proc: Mapping[bytes, bytes] = PROC, up: float = 100.0, **kwargs: Any) -> ProcView:
    return ProcView(
        proc=reader(proc),
        host=reader(HOST),
        cgroup=[reader(level) for level in cgroup],
        pids=lambda: [1, 7],
        start=5000.0,
        start_realtime=1_700_000_000.0,
        release=b"6.1.0",
        version=b"#1 SMP",
        boot_id=b"11111111-2222-3333-4444-555555555555",
        clock=lambda: 5000.0 + up,
        **kwargs,
    )


def meminfo(view: ProcView) -> dict[str, int]:
    return {k: int(v) for k, v in re.findall(r"^(\S+): +(\d+)", generate(b"meminfo", view).decode(), re.MULTILINE)}


MOUNTINFO = b"""\
101 90 254:0 /srv/images/debian / rw,relatime,idmapped - ext4 /dev/vda rw,discard,resuid=65534
102 101 0:50 / / rw shared:3 master:4 - overlay overlay rw,lowerdir=/var/lib/x,upperdir=/var/lib/y,workdir=/z
103 101 0:51 / /proc rw,nosuid - proc proc rw,hidepid=invisible
104 101 0:52 /box /tmp rw - tmpfs secretname rw,size=65536k,nr_inodes=12345,mode=755,uid=100000,gid=100000
105 101 254:0 /home/someone/my\\040dir /data\\040dir ro - ext4 /dev/disk/by-label/SECRET rw
106 101 0:60 / /net rw - nfs4 server.example:/export rw,addr=10.1.2.3,clientaddr=10.1.2.4
107 101 0:61 / /ssh rw - fuse.sshfs someone@server:/home rw,user_id=1000,group_id=1000
108 101 0:62 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory,release_agent=/sbin/agent
109 101 0:63 / /dev/pts rw,nosuid,noexec - devpts devpts rw,gid=100005,mode=620,ptmxmode=666
110 101 0:64 / /empty rw - tmpfs  rw
111 101 0:6 /null /dev/null rw - devtmpfs devtmpfs rw,size=12334460k,mode=755
"""


def every_synth() -> list[Synth]:
    names = [b"/proc/" + name for name in proctext.ROOT]
    names += [b"/proc/sys/" + name for name in sysctl.SYNTHESISED]
    names += [b"/proc/4194303/" + name for name in proctext.TASK]
    return [s for s in map(classify, names) if isinstance(s, Synth)]
