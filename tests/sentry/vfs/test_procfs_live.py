"""The /proc of this machine, as a container sees it: nothing of the host is in any file, names are proven, tools understand it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from errno import EACCES, EOPNOTSUPP, ESRCH
from typing import TYPE_CHECKING, Any

import pytest
from fakes import MIB, every_synth, reader

from sentry.vfs import proctext
from sentry.vfs.procfs import NATIVE, Deny, Synth, Tree, classify, generate, reopen
from sentry.vfs.procread import directory_reader, pid_lister
from sentry.vfs.procview import ProcView
from sentry.vfs.serve import MOUNT_OPTIONS, Server

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Container

    Inside = Callable[[Callable[[Container], Any]], Any]


def live_view(**kwargs: Any) -> ProcView:
    """A view of the /proc that is mounted now, as the sentry makes it."""
    fd = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    read = directory_reader(fd)
    arguments: dict[str, Any] = {
        "proc": read,
        "host": read,
        "cgroup": [],
        "pids": pid_lister(fd),
        "start": time.clock_gettime(time.CLOCK_BOOTTIME),
        "start_realtime": time.time(),
        "release": b"6.1.0",
        "version": b"#1 SMP",
        "boot_id": b"11111111-2222-3333-4444-555555555555",
    }
    return ProcView(**{**arguments, **kwargs})


def read_some(path: bytes) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return b""
    try:
        return os.read(fd, 65536)
    except OSError:
        return b""
    finally:
        os.close(fd)


def host_secrets() -> set[bytes]:
    """Strings that name the host, long enough not to occur by chance."""
    secrets = set()
    with open("/proc/cmdline", "rb") as file:
        secrets |= {word for word in file.read().split() if b"=" in word or b"/" in word}
    with open("/proc/self/mountinfo", "rb") as file:
        for line in file:
            before, _, after = line.partition(b" - ")
            secrets |= {before.split()[3], after.split()[1]}
    with open("/proc/self/cgroup", "rb") as file:
        secrets |= {line.rstrip(b"\n").split(b":", 2)[2] for line in file}
    for name in ("kernel/random/boot_id", "kernel/hostname", "kernel/core_pattern"):
        with open("/proc/sys/" + name, "rb") as file:
            secrets.add(file.read().strip())
    with open("/proc/version", "rb") as file:
        secrets |= set(re.findall(rb"\((.*?)\)", file.read()))
    harmless = {b"cgroup", b"cgroup2", b"devpts", b"devtmpfs", b"overlay", b"console", b"systemd-1"}
    return {s for s in secrets if len(s) >= 6 and s not in harmless and not b"/proc/".startswith(s)}


def test_nothing_of_the_host_is_in_any_readable_file(in_container: Inside) -> None:
    secrets = host_secrets()
    assert secrets

    def inside(box: Container) -> tuple[int, int, int, list[tuple[bytes, bytes]], list[bytes]]:
        box.libc.sethostname(b"inside", 6)
        # Without the environment and the arguments of the test run itself.
        init = os.fork()
        if init == 0:
            os.execve("/bin/sleep", ["sleep", "1000"], {})
        view = live_view(host=directory_reader(os.open("/proc", os.O_RDONLY)))
        me = b"%d" % os.getpid()
        native, generated, hidden, leaks, seen = 0, 0, 0, [], []
        for directory, names, files in os.walk(b"/proc"):
            if directory == b"/proc":
                names[:] = [n for n in names if not n.isdigit() or n != me]
            denied = [n for n in names if isinstance(classify(directory + b"/" + n, directory=True), Deny)]
            names[:] = [n for n in names if n not in denied and n not in (b"map_files", b"cwd", b"root")]
            for file in files:
                path = directory + b"/" + file
                seen.append(path)
                verdict = classify(path)
                text = b""
                if verdict is NATIVE:
                    native += 1
                    text = read_some(path)
                elif isinstance(verdict, Synth):
                    generated += 1
                    try:
                        text = generate(verdict.name, view, verdict.pid)
                    except OSError as e:
                        assert e.errno in (EOPNOTSUPP, EACCES, ESRCH), path
                leaks += [(path, secret) for secret in secrets if secret in text]
                if verdict is not NATIVE:
                    hidden += any(secret in read_some(path) for secret in secrets)
        os.kill(init, 9)
        return native, generated, hidden, leaks, seen

    native, generated, hidden, leaks, seen = in_container(inside)
    assert leaks == []
    assert native > 200
    assert hidden > 3  # the kernel's own version, mountinfo, cgroup, ... do tell
    assert generated >= len(proctext.TASK)
    assert b"/proc/2/mountinfo" in seen


def test_the_containers_age_is_its_own(in_container: Inside) -> None:
    """/proc/PID/stat is native: the time namespace makes start times agree with the generated uptime."""

    def inside(_box: Container) -> tuple[float, float]:
        with open("/proc/self/stat") as file:
            started = int(file.read().rpartition(")")[2].split()[19]) / 100
        return started, float(generate(b"uptime", live_view(start=0.0)).split()[0])

    started, up = in_container(inside)
    assert 0 <= started <= up < 60


def test_reopen_finds_the_true_name(in_container: Inside, tmp_path: Path) -> None:
    def inside(box: Container) -> list[object]:
        def name_of(path: str, root: int) -> object:
            fd = os.open(path, os.O_PATH | os.O_NOFOLLOW)
            found = reopen(root, fd, os.readlink(b"/proc/self/fd/%d" % fd))
            os.close(fd)
            if found is None:
                return None
            os.close(found[1])
            return found[0]

        root = box.clone("/proc")
        names = [name_of(p, root) for p in ("/proc", "/proc/meminfo", "/proc/1/status", "/proc/self")]
        names.append(name_of("/proc/sys/kernel/hostname", root))

        second = os.fsencode(tmp_path) + b"/second"
        os.mkdir(second)
        box.mount(b"proc", second, b"proc")
        names.append(name_of(os.fsdecode(second) + "/meminfo", box.clone(os.fsdecode(second))))
        names.append(name_of(os.fsdecode(second) + "/meminfo", root))  # another instance

        # A refused file under a permitted name, and a subtree elsewhere.
        box.bind("/proc/cmdline", "/proc/1/status")
        names.append(name_of("/proc/1/status", root))
        box.bind("/proc/sys", os.fsdecode(second))
        names.append(name_of(os.fsdecode(second) + "/kernel/hostname", root))
        # A subtree in its own place, as readonlyPaths make it.
        box.bind("/proc/sys", "/proc/sys")
        names.append(name_of("/proc/sys/kernel/hostname", root))
        return names

    tmp_path.chmod(0o777)
    for parent in tmp_path.parents[:2]:  # the next one is /tmp
        parent.chmod(0o755)
    assert in_container(inside) == [
        b"/proc",
        b"/proc/meminfo",
        b"/proc/1/status",
        b"/proc/self",
        b"/proc/sys/kernel/hostname",
        b"/proc/meminfo",
        None,
        None,
        None,
        b"/proc/sys/kernel/hostname",
    ]


def test_live_files_through_fuse(in_container: Inside) -> None:
    def inside(box: Container) -> list[bytes]:
        bugs: list[Exception] = []
        view = live_view()
        root = box.mount_fuse(MOUNT_OPTIONS)
        Server(box.fuse_fd, Tree(view), bugs.append, int(view.start_realtime)).start()
        for synth in every_synth():
            key = synth.key.replace(b"4194303", b"1")
            fd = os.open(key, os.O_RDONLY, dir_fd=root)
            assert os.readlink(b"/proc/self/fd/%d" % fd) == b"/" + key
            try:
                text = os.read(fd, 65536)
            except OSError as e:
                assert e.errno == EOPNOTSUPP, synth
                continue
            finally:
                os.close(fd)
            if synth.name == b"meminfo":
                assert text.startswith(b"MemTotal:")
        return [repr(b).encode() for b in bugs]

    assert in_container(inside) == []


def run_tools(box: Container, directory: str) -> dict[str, str]:
    """Generated files over the kernel's, then the tools that read them."""
    level = {b"memory.max": b"%d" % (512 * MIB), b"memory.current": b"%d" % (112 * MIB), b"cpuset.cpus": b"0"}
    view = live_view(cgroup=[reader(level)])
    for name in (b"meminfo", b"stat", b"uptime", b"loadavg", b"vmstat", b"cpuinfo", b"diskstats", b"partitions",
                 b"swaps", b"filesystems", b"version", b"1/mountinfo", b"1/mounts"):  # fmt: skip
        pid, _, entry = name.rpartition(b"/")
        path = os.path.join(directory, name.decode().replace("/", "."))
        with open(path, "wb") as file:
            file.write(generate(entry, view, int(pid) if pid else None))
        box.bind(path, "/proc/" + name.decode())
    output = {}
    commands = {
        "free": ["free", "-k"],
        "uptime": ["uptime"],
        "vmstat": ["vmstat", "-a"],
        "vmstat-s": ["vmstat", "-s"],
        "vmstat-d": ["vmstat", "-d"],
        "top": ["top", "-b", "-n", "1"],
        "ps": ["ps", "-eo", "pid,etimes,comm"],
        "findmnt": ["findmnt", "--tab-file", "/proc/1/mountinfo", "-n", "-o", "TARGET", "--list"],
        "swapon": ["swapon", "--show"],
        "lscpu": ["lscpu"],
    }
    for tool, command in commands.items():
        if shutil.which(command[0]):
            done = subprocess.run(command, check=False, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
            assert (done.returncode, done.stderr) == (0, ""), (tool, done)
            output[tool] = done.stdout
    return output


@pytest.mark.skipif(not shutil.which("free"), reason="needs procps")
def test_the_tools_understand_the_files(in_container: Inside, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    for parent in tmp_path.parents[:2]:  # the next one is /tmp
        parent.chmod(0o755)
    output = in_container(lambda box: run_tools(box, str(tmp_path)))
    assert output["free"].splitlines()[1].split()[:4] == ["Mem:", "524288", "114688", "409600"]
    assert " up 0 min," in output["uptime"]
    assert "load average: 0.00, 0.00, 0.00" in output["uptime"]
    assert output["vmstat"].splitlines()[2].split()[3] == "409600"
    assert "524288 K total memory" in output["vmstat-s"]
    assert re.search(r"^%?Cpu", output["top"], re.MULTILINE)
    assert re.search(r"MiB Mem :\s+512\.0 total,\s+400\.0 free", output["top"])
    assert re.search(r"^ +1 +\d", output["ps"], re.MULTILINE)
    if "findmnt" in output:
        assert "/proc" in output["findmnt"].split()
