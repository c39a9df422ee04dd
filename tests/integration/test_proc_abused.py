"""/proc used as nobody should: its generated files read in pieces, out of order, all at once, written to, mapped, and held for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from containers import requires
from workloads import ENVIRONMENT, PROFILES, Sandbox, run

if TYPE_CHECKING:
    from pathlib import Path

    from containers import Pysc

pytestmark = [pytest.mark.integration, requires("/usr/bin/python3")]

GENERATED = """
import ctypes, errno, os, sys, threading
STEADY = ["cmdline", "devices", "filesystems", "version", "swaps", "partitions", "cgroups", "interrupts", "cpuinfo", "tty/drivers",
          "sys/kernel/random/boot_id", "sys/kernel/osrelease", "sys/fs/file-nr", "self/cgroup", "self/mountinfo", "self/mounts",
          "self/mountstats", "self/cpuset", "self/loginuid", "self/sessionid", "self/timens_offsets"]
CHANGING = ["meminfo", "stat", "uptime", "loadavg", "vmstat", "locks", "diskstats", "softirqs", "self/sched", "consoles", "misc"]
STEADY, CHANGING = ([f"/proc/{name}" for name in names if os.path.exists(f"/proc/{name}")] for names in (STEADY, CHANGING))
ALL = STEADY + CHANGING
def error(call, *args):
    try:
        call(*args)
    except OSError as e:
        return errno.errorcode[e.errno]
    return "none"
"""

PIECES = """
for path in STEADY:
    fd = os.open(path, os.O_RDONLY)
    whole = b"".join(iter(lambda: os.read(fd, 65536), b""))
    assert os.read(fd, 10) == b"", path
    for size in (1, 7, 4096):
        os.lseek(fd, 0, 0)
        assert b"".join(iter(lambda: os.read(fd, size), b"")) == whole, (path, size)
    for offset in (0, 1, len(whole) // 2, len(whole) - 1, len(whole), len(whole) + 1, 1 << 20, 1 << 40):
        if offset >= 0:
            assert os.pread(fd, 5, offset) == whole[offset:offset + 5], (path, offset)
    os.lseek(fd, 3, 0)
    os.lseek(fd, 2, 1)
    assert os.read(fd, 4) == whole[5:9], path
    assert os.preadv(fd, [bytearray(1), bytearray(2)], 0) == min(3, len(whole)), path
    assert error(os.pread, fd, 5, -1) == "EINVAL", path
    copy = os.dup(fd)
    os.lseek(copy, 0, 0)
    assert os.read(fd, 4) == whole[:4], path
    os.close(copy)
    os.close(fd)
for path in CHANGING:
    fd = os.open(path, os.O_RDONLY)
    for _ in range(3):
        os.lseek(fd, 0, 0)
        while os.read(fd, 1):
            pass
    assert os.pread(fd, 5, 1 << 30) == b"", path
    os.close(fd)
"""

WRITES = """
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
for path in ALL:
    if path != "/proc/self/loginuid":
        for flags in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC, os.O_RDONLY | os.O_TRUNC, os.O_WRONLY | os.O_APPEND,
                      os.O_RDWR | os.O_CREAT):
            assert error(os.open, path, flags) in ("EACCES", "EPERM", "EROFS"), (path, flags)
    assert error(os.open, path, os.O_RDONLY | os.O_DIRECTORY) == "ENOTDIR", path
    assert error(os.open, path, os.O_RDONLY | os.O_CREAT | os.O_EXCL) == "EEXIST", path
    for call in ((os.unlink, path), (os.rename, path, path + "x"), (os.link, path, "/tmp/x"), (os.mkdir, path + "/x"),
                 (os.setxattr, path, "user.x", b"1")):
        assert error(*call) != "none", (path, call)
    size = len(open(path).read())
    assert error(os.truncate, path, 0) in ("EACCES", "none") and (not size or open(path).read()), path
    if not path.startswith("/proc/self/"):
        assert error(os.chmod, path, 0o777) in ("EPERM", "EROFS"), path
        assert error(os.chown, path, 1, 1) in ("EPERM", "EROFS"), path
    fd = os.open(path, os.O_RDONLY)
    assert error(os.write, fd, b"x") == "EBADF", path
    assert error(os.ftruncate, fd, 0) == "EINVAL", path
    assert error(os.posix_fallocate, fd, 0, 10) != "none", path
    shared = libc.mmap(None, 4096, 3, 1, fd, 0)
    assert shared == ctypes.c_void_p(-1).value, path
    os.close(fd)
fd = os.open("/proc/self/loginuid", os.O_WRONLY)
assert error(os.write, fd, b"0") in ("EPERM" if LIVE else "EBADF",)
assert open("/proc/self/loginuid").read() == "4294967295"
"""

CROWD = """
stop = threading.Event()
wrong = []
def read(what):
    while not stop.is_set():
        for path in what():
            try:
                with open(path, "rb") as file:
                    file.read()
            except OSError as e:
                # a process that ends has lost its mount namespace before its number: fs/proc_namespace.c:mounts_open_common()
                if e.errno not in (errno.ENOENT, errno.ESRCH) and (e.errno, "/mount" in path) != (errno.EINVAL, True):
                    wrong.append((path, e.errno))
def dying():
    return [f"/proc/{pid}/{name}" for pid in os.listdir("/proc") if pid.isdigit()
            for name in ("stat", "cgroup", "mountinfo", "sched", "status", "mounts", "loginuid", "task/%s/stat" % pid)]
threads = [threading.Thread(target=read, args=(what,)) for what in (dying, dying, lambda: ALL, lambda: ALL)]
for thread in threads:
    thread.start()
for _ in range(COUNT):
    pids = [os.fork() for _ in range(1)]
    if pids[0] == 0:
        os._exit(0)
    os.waitpid(pids[0], 0)
stop.set()
for thread in threads:
    thread.join()
assert not wrong, wrong[:10]
"""

MANY = """
fd = os.open("/proc/uptime", os.O_RDONLY)
last = 0.0
for _ in range(COUNT):
    now = float(os.pread(fd, 100, 0).split()[0])
    assert now >= last or not LIVE
    last = now
for _ in range(COUNT // 20):
    with open("/proc/meminfo", "rb") as file:
        assert file.read(10) == b"MemTotal: "
held = [os.open("/proc/stat", os.O_RDONLY) for _ in range(1000)]
assert all(os.read(fd, 3) == b"cpu" for fd in held)
"""

LATER = """
fd = os.open("/proc/self/cgroup", os.O_RDONLY)
whole = os.read(fd, 4096)
pid = os.fork()
if pid == 0:
    os.lseek(fd, 0, 0)
    os.dup2(fd, 0)
    os.execv("/usr/bin/cat", ["cat"])
assert os.waitpid(pid, 0)[1] == 0
child = os.fork()
if child == 0:
    os.read(os.open("/proc/self/mem", os.O_RDONLY | os.O_CLOEXEC), 0)
    os._exit(0)
status = os.open(f"/proc/{child}/mountinfo", os.O_RDONLY)
os.waitpid(child, 0)
assert error(os.read, status, 100) in ("ESRCH", "EINVAL", "ENOENT", "none")
assert whole
"""

OTHERS = """
def first(pid):
    entries = ["environ", "mem", "maps", "smaps", "auxv", "io", "syscall", "stack", "fd", "map_files", "fdinfo", "pagemap", "personality",
               "timers", "cwd", "root", "exe", "ns/net", "task/%d/environ" % pid, "limits", "status", "cmdline", "cgroup", "mountinfo", "stat",
               "wchan", "sched"]
    shown = {}
    for name in entries:
        path = f"/proc/{pid}/{name}"
        if name in ("fd", "fdinfo", "map_files"):
            shown[name] = error(os.listdir, path)
        elif name in ("cwd", "root", "exe", "ns/net"):
            shown[name] = error(os.readlink, path)
        else:
            try:
                fd = os.open(path, os.O_RDONLY)
            except OSError as e:
                shown[name] = errno.errorcode[e.errno]
                continue
            shown[name] = "none" if name == "mem" else error(os.read, fd, 1)
            os.close(fd)
    return shown
inner, outer = os.pipe()
pid = os.fork()
if pid == 0:
    os.setgid(1000)
    os.setuid(1000)
    shown = first(1)
    os.write(outer, repr({name for name, result in shown.items() if result == "none"}).encode())
    os._exit(0)
os.waitpid(pid, 0)
readable = eval(os.read(inner, 65536))
assert readable == {"limits", "status", "cmdline", "cgroup", "mountinfo", "stat", "wchan", "sched"} - ({"wchan"} - readable), readable
"""


@pytest.fixture(params=PROFILES)
def sandbox(request: pytest.FixtureRequest, pysc: Pysc, debian_root: Path, tmp_path: Path) -> Sandbox:
    return Sandbox(pysc, "bundle", request.param, debian_root, tmp_path)


@pytest.mark.parametrize("live", [True, False], ids=["fuse", "snapshots"])
@pytest.mark.parametrize(("name", "script"), [(n, globals()[n]) for n in ("PIECES", "WRITES", "CROWD", "MANY", "LATER", "OTHERS")])
def test_abuse(sandbox: Sandbox, tmp_path: Path, name: str, script: str, live: bool, long: bool) -> None:
    count = {"MANY": 100_000, "CROWD": 2000}.get(name, 0) // (1 if long else 25)
    program = f"COUNT, LIVE = {count}, {live}\n{GENERATED}{script}\nprint('\\nend')"
    argv = sandbox.argv(tmp_path, ["/usr/bin/python3", "-c", program], ENVIRONMENT)
    if not live:
        without = '[ ! -e /dev/fuse ] || { mount --bind /dev/fuse /dev/fuse; mount -o remount,bind,nodev /dev/fuse; }; exec "$@"'
        argv = ["unshare", "--mount", "sh", "-euc", without, "sh", *argv]
    done = run(argv, tmp_path, timeout=200)
    assert done.code == 0, done
    assert done.out.endswith("\nend\n"), done
    assert "internal error" not in done.err, done
