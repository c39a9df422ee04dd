"""What only the platform `namespace` has: all that a sandbox is in the way of works as with runc."""

from __future__ import annotations

import fcntl
import json
import os
import re
import select
import shutil
import socket
import stat
import struct
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from containers import Bundle, Bundles, Pysc, requires, trusted

from runsc_cli.spec import default_spec

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

pytestmark = [
    pytest.mark.integration,
    trusted,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    requires("busybox"),
]

PRIVILEGED = {name: [f"CAP_{cap}" for cap in ("SYS_ADMIN", "NET_RAW", "MKNOD", "SYS_CHROOT")] for name in ("bounding", "effective", "permitted")}


def spaces(*types: str, **paths: str) -> list[dict[str, str]]:
    return [*({"type": t} for t in types), *({"type": t, "path": p} for t, p in paths.items())]


def out(pysc: Pysc, made: Bundle) -> list[str]:
    return pysc("run", "-b", made, pysc.id, check=True).out.splitlines()


def start(pysc: Pysc, made: Bundle) -> int:
    """Returns the pid of its first process. With our stdio closed to it: it would keep our pipes open."""
    command = pysc.argv("run", "--detach", "-b", made, pysc.id)
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True, timeout=60)
    return int(json.loads(pysc("state", pysc.id, check=True).out)["pid"])


def test_no_process_of_ours_stays(pysc: Pysc, bundle: Bundles) -> None:
    pid = start(pysc, bundle(["sleep", "1000"]))
    kept = json.loads((pysc.root / pysc.id / "state.json").read_text())
    assert (kept["platform"], kept["sentry"], kept["gofer"]) == ("namespace", None, None)
    assert kept["init"][0] == pid
    assert not (pysc.root / pysc.id / "control.sock").exists()
    children = [entry for entry in os.listdir("/proc") if entry.isdigit() and _parent(entry) == os.getpid()]
    assert set(children) - {str(Pysc.zygote and Pysc.zygote.pid)} == {str(pid)}
    with open(f"/proc/{pid}/status") as status:
        assert re.search(r"^Seccomp:\t0$", status.read(), re.MULTILINE)
    pysc("delete", "--force", pysc.id, check=True)


def _parent(pid: str) -> int:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return int(file.read().rpartition(") ")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def test_it_is_shown(pysc: Pysc, bundle: Bundles) -> None:
    start(pysc, bundle(["sleep", "1000"], annotations={"a": "b"}))
    assert json.loads(pysc("state", pysc.id, check=True).out)["annotations"] == {"a": "b", "dev.pysc.platform": "namespace"}
    assert json.loads(pysc("list", "-f", "json", check=True).out)[0]["annotations"]["dev.pysc.platform"] == "namespace"
    pysc("delete", "--force", pysc.id, check=True)


@pytest.mark.parametrize("how", ["annotation", "name", "option beats annotation", "annotation beats name"])
def test_who_chooses(pysc: Pysc, bundle: Bundles, tmp_path: Path, how: str) -> None:
    annotated = {"annotation": "namespace", "option beats annotation": "namespace", "annotation beats name": "notify"}.get(how)
    annotations = {"dev.pysc.platform": annotated} if annotated else {}
    made = bundle(["grep", "^Seccomp:", "/proc/self/status"], annotations=annotations)
    (tmp_path / "pysc-trusted").symlink_to(shutil.which("pysc", path=os.path.dirname(sys.executable)) or "")
    binary = str(tmp_path / "pysc-trusted") if "name" in how else shutil.which("pysc", path=os.path.dirname(sys.executable))
    option = ["--platform", "notify"] if "option" in how else ["--allow-flag-override"]
    pysc.argv(pysc.id)
    done = subprocess.run(
        [str(binary), "--root", str(pysc.root), *option, "run", "-b", str(made), pysc.id], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == ("Seccomp:\t0\n" if how in ("annotation", "name") else "Seccomp:\t2\n")


def test_an_annotation_alone_gives_up_no_sandbox(pysc: Pysc, bundle: Bundles) -> None:
    made = bundle(["true"], annotations={"dev.pysc.platform": "namespace"})
    pysc.platform = ""
    done = pysc("run", "-b", made, pysc.id)
    assert done.code == 1
    assert "annotations['dev.pysc.platform']: an annotation alone gives up no sandbox" in done.err
    assert pysc("--allow-flag-override=true", "run", "-b", made, pysc.id).code == 0


@pytest.mark.parametrize("value", ["kvm", "runc", ""])
def test_an_unknown_platform_is_refused(pysc: Pysc, bundle: Bundles, value: str) -> None:
    made = bundle(["true"], annotations={"dev.pysc.platform": value})
    pysc.platform = ""  # as if the option were not there
    done = pysc("run", "-b", made, pysc.id)
    assert done.code == 1
    assert "annotations['dev.pysc.platform']" in done.err


def test_namespaces_are_those_of_the_config(pysc: Pysc, bundle: Bundles) -> None:
    made = bundle(["sh", "-c", "for n in pid net ipc uts user cgroup time mnt; do readlink /proc/self/ns/$n; done"])
    made.config["linux"]["namespaces"] = spaces("mount", "ipc")
    del made.config["hostname"]
    made.write()
    ours = [os.readlink(f"/proc/self/ns/{name}") for name in ("pid", "net", "ipc", "uts", "user", "cgroup", "time", "mnt")]
    theirs = out(pysc, made)
    assert [ours[i] == theirs[i] for i in range(8)] == [True, True, False, True, True, True, True, False]


def test_the_hosts_pid_namespace(pysc: Pysc, bundle: Bundles) -> None:
    made = bundle(["sh", "-c", "kill -0 $TESTS && echo alive; echo $$; exec sleep 1000"])
    made.config["process"]["env"].append(f"TESTS={os.getpid()}")
    made.config["linux"]["namespaces"] = spaces("mount", "ipc", "uts", "network")
    made.write()
    pid = start(pysc, made)
    assert pysc("exec", pysc.id, "readlink", "/proc/self/ns/pid").out.strip() == os.readlink("/proc/self/ns/pid")
    assert str(pid) in pysc("ps", "-f", "json", pysc.id).out
    pysc("kill", "--all", pysc.id, "KILL", check=True)
    pysc("delete", pysc.id, check=True)


def test_it_joins_a_pid_and_a_user_namespace(pysc: Pysc, bundle: Bundles) -> None:
    first = bundle(["sleep", "1000"], linux={"uidMappings": _ids(), "gidMappings": _ids()})
    first.config["linux"]["namespaces"] = spaces("pid", "mount", "user", "network", "ipc", "uts")
    first.write()
    pid = start(pysc, first)
    second = bundle(["sh", "-c", "ps; cat /proc/self/uid_map; for n in pid user net; do readlink /proc/self/ns/$n; done"])
    joined = {"pid": f"/proc/{pid}/ns/pid", "user": f"/proc/{pid}/ns/user", "network": f"/proc/{pid}/ns/net"}
    second.config["linux"]["namespaces"] = spaces("mount", "ipc", "uts", **joined)
    second.write()
    done = pysc("run", "-b", second, pysc.id + "-2", check=True)
    assert "sleep 1000" in done.out
    assert re.search(r"^\s+0\s+300000\s+65536$", done.out, re.MULTILINE)
    assert done.out.splitlines()[-3:] == [os.readlink(f"/proc/{pid}/ns/{name}") for name in ("pid", "user", "net")]
    assert pysc("exec", pysc.id, "cat", "/proc/self/uid_map").out.split() == ["0", "300000", "65536"]
    pysc("delete", "--force", pysc.id, check=True)


def _ids() -> list[dict[str, int]]:
    return [{"containerID": 0, "hostID": 300000, "size": 65536}]


def test_a_user_namespace_needs_mappings(pysc: Pysc, bundle: Bundles) -> None:
    made = bundle(["true"])
    made.config["linux"]["namespaces"].append({"type": "user"})
    made.write()
    assert "linux.uidMappings: is missing: a new user namespace needs mappings" in pysc("run", "-b", made, pysc.id).err


def test_a_mount_namespace_is_needed(pysc: Pysc, bundle: Bundles) -> None:
    made = bundle(["true"])
    made.config["linux"]["namespaces"] = spaces("pid")
    del made.config["hostname"]
    made.write()
    assert "linux.namespaces: has to have a new one of type" in pysc("run", "-b", made, pysc.id).err


def test_idmapped_mounts_are_refused(pysc: Pysc, bundle: Bundles, tmp_path: Path) -> None:
    made = bundle(["true"])
    mapped = {"uidMappings": _ids(), "gidMappings": _ids()}
    made.config["mounts"].append({"destination": "/mnt", "type": "bind", "source": str(tmp_path), "options": ["bind"], **mapped})
    made.write()
    assert f"mounts[{len(made.config['mounts']) - 1}].options: idmapped mounts are not supported" in pysc("run", "-b", made, pysc.id).err


def test_a_time_namespace_has_its_offsets(pysc: Pysc, bundle: Bundles) -> None:
    made = bundle(["cat", "/proc/uptime", "/proc/self/timens_offsets"], linux={"timeOffsets": {"boottime": {"secs": 1000000, "nanosecs": 5}}})
    made.config["linux"]["namespaces"].append({"type": "time"})
    made.write()
    lines = out(pysc, made)
    assert float(lines[0].split()[0]) > 1000000
    assert [line.split() for line in lines[1:]] == [["monotonic", "0", "0"], ["boottime", "1000000", "5"]]


def test_proc_sys_and_cgroup_are_real(pysc: Pysc, bundle: Bundles) -> None:
    script = "head -1 /proc/meminfo; ls /sys/kernel | head -1; stat -f -c %T /proc /sys; cat /sys/fs/cgroup/pids/cgroup.procs"
    made = bundle(["sh", "-c", script])
    lines = out(pysc, made)
    with open("/proc/meminfo") as file:
        assert lines[0] == file.readline().strip()
    assert lines[2:4] == ["proc", "sysfs"]
    if os.path.exists("/sys/fs/cgroup/pids"):
        assert lines[4] == "1"  # itself, in its own leaf


def test_masked_files_are_not_the_hosts_null(pysc: Pysc, bundle: Bundles) -> None:
    before = os.stat("/dev/null")
    made = bundle(["sh", "-c", "cat /proc/keys; chmod 600 /proc/keys; stat -c %a /dev/null"])
    assert out(pysc, made) == ["600"]
    after = os.stat("/dev/null")
    assert after.st_mode == before.st_mode


def test_readonly_and_masked_paths_hold(pysc: Pysc, bundle: Bundles) -> None:
    script = "echo 1 > /proc/sys/kernel/hostname; cat /proc/timer_list; ls /proc/acpi /sys/firmware; echo x > /proc/sys/fs/file-max"
    done = pysc("run", "-b", bundle(["sh", "-c", script]), pysc.id)
    assert done.err.count("Read-only file system") == 2, done
    assert done.out.split() == ["/proc/acpi:", "/sys/firmware:"] or done.out == "", done


def test_privileged(pysc: Pysc, bundle: Bundles) -> None:
    device = "mknod /tmp/a/n c 1 3 && echo x > /tmp/a/n"
    script = f"mkdir /tmp/a && mount -t tmpfs none /tmp/a && {device} && umount /tmp/a && ping -c1 -w1 127.0.0.1 | tail -1"
    made = bundle(
        ["sh", "-c", script],
        writable=True,
        process={"capabilities": PRIVILEGED, "user": {"uid": 0, "gid": 0}},
        linux={"maskedPaths": [], "readonlyPaths": []},
    )
    made.config["linux"]["resources"] = {"devices": [{"allow": True, "access": "rwm"}]}
    made.write()
    assert "round-trip" in out(pysc, made)[-1]


def test_sysctl_of_its_own_namespaces(pysc: Pysc, bundle: Bundles) -> None:
    made = bundle(
        ["cat", "/proc/sys/net/core/somaxconn", "/proc/sys/kernel/msgmax"],
        linux={"sysctl": {"net.core.somaxconn": "77", "kernel.msgmax": "4321"}},
    )
    assert out(pysc, made) == ["77", "4321"]


def test_dev_may_be_the_hosts(pysc: Pysc, bundle: Bundles, tmp_path: Path) -> None:
    made = bundle(["ls", "/dev"])
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "mine").touch()
    made.config["mounts"] = [m for m in made.config["mounts"] if not m["destination"].startswith("/dev")]
    made.config["mounts"].append({"destination": "/dev", "type": "bind", "source": str(tmp_path / "dev"), "options": ["rbind"]})
    made.config["linux"]["maskedPaths"] = []
    made.write()
    assert out(pysc, made) == ["mine"]
    assert os.listdir(tmp_path / "dev") == ["mine"]


def test_nothing_of_ours_is_open_or_executable(pysc: Pysc, bundle: Bundles) -> None:
    """The stage and no interpreter is /proc/1/exe before the workload is; no descriptor is left (CVE-2019-5736, CVE-2024-21626)."""
    made = bundle(["sh", "-c", "ls -l /proc/self/fd; readlink /proc/1/exe; ls -di /"])
    lines = out(pysc, made)
    assert [line.split()[-3] for line in lines if "->" in line] in (["0", "1", "2"], ["0", "1", "2", "3"])  # 3: ls's own
    assert "/bin/busybox" in lines
    cwd = bundle(["pwd"], process={"cwd": "/proc/self/fd/7"})
    done = pysc("run", "-b", cwd, pysc.id + "-2")
    assert done.code == 1, done


def test_a_created_container_shows_the_sealed_stage(pysc: Pysc, bundle: Bundles) -> None:
    command = pysc.argv("create", "-b", bundle(["true"]), pysc.id)
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True, timeout=60)
    pid = json.loads(pysc("state", pysc.id, check=True).out)["pid"]
    assert os.readlink(f"/proc/{pid}/exe").startswith("/memfd:pysc-init")
    assert os.readlink(f"/proc/{pid}/root") == "/"
    assert stat.S_ISREG(os.stat(f"/proc/{pid}/exe").st_mode)
    with pytest.raises(OSError, match="busy|permitted"):
        open(f"/proc/{pid}/exe", "wb").close()
    pysc("delete", "--force", pysc.id, check=True)


def listener_of(server: socket.socket) -> tuple[dict[str, Any], int]:
    connection, _ = server.accept()
    with connection:
        data, fds, _flags, _ = socket.recv_fds(connection, 1 << 16, 1)
    return json.loads(data), fds[0]


def answer(listener: int, errno: int) -> int:
    """Receive one notification and refuse it; returns its system call number. seccomp_unotify(2)"""
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    assert poll.poll(30_000)
    request = bytearray(80)
    fcntl.ioctl(listener, 0xC0502100, request)
    id, _pid, _flags, number = struct.unpack_from("<QIIi", request)
    fcntl.ioctl(listener, 0xC0182101, struct.pack("<QqiI", id, 0, -errno, 0))
    return number


def test_seccomp_notify(pysc: Pysc, bundle: Bundles, tmp_path: Path) -> None:
    path = str(tmp_path / "agent")
    seccomp = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": path,
        "listenerMetadata": "of the test",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}],
    }
    made = bundle(["sh", "-c", "mkdir /tmp/x; sleep 1000"], linux={"seccomp": seccomp})
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(path)
        server.listen()
        server.settimeout(30)
        pid = start(pysc, made)
        said, listener = listener_of(server)
        assert (said["fds"], said["pid"], said["metadata"], said["state"]["id"]) == (["seccompFd"], pid, "of the test", pysc.id)
        assert answer(listener, 17) in (83, 258)
        with subprocess.Popen(pysc.argv("exec", pysc.id, "mkdir", "/tmp/y"), stderr=subprocess.PIPE, text=True) as more:
            said, second = listener_of(server)
            assert said["state"]["status"] == "running"
            assert answer(second, 28) in (83, 258)
            assert "No space left on device" in (more.communicate(timeout=30)[1] or "")
        os.close(listener)
        os.close(second)
    pysc("delete", "--force", pysc.id, check=True)


def test_seccomp_notify_without_a_listener_is_an_error(pysc: Pysc, bundle: Bundles, tmp_path: Path) -> None:
    rules = [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]
    seccomp = {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": str(tmp_path / "nobody"), "syscalls": rules}
    done = pysc("run", "-b", bundle(["true"], linux={"seccomp": seccomp}), pysc.id)
    assert done.code == 1
    assert "linux.seccomp.listenerPath" in done.err
    assert pysc.containers() == []


def test_features_are_those_of_the_platform(pysc: Pysc) -> None:
    linux = json.loads(pysc("features", check=True).out)["linux"]
    assert "SCMP_ACT_NOTIFY" in linux["seccomp"]["actions"]
    pysc.platform = "notify"
    linux = json.loads(pysc("features", check=True).out)["linux"]
    assert "SCMP_ACT_NOTIFY" not in linux["seccomp"]["actions"]


def test_do(pysc: Pysc, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")
    done = pysc("do", "sh", "-c", "cat file; echo lost > file; grep ^Seccomp: /proc/self/status; ls /home", cwd=tmp_path)
    assert done.out == "hereSeccomp:\t0\n", done
    assert (tmp_path / "file").read_text() == "here"


def test_the_default_config_is_runcs(pysc: Pysc) -> None:
    assert default_spec()["linux"]["namespaces"]
    done = pysc("--profile", "strict", "run", pysc.id, cwd=pysc.root.parent)
    assert done.code == 1


_SHOW_MODULES = """
import sys
from runsc_cli.main import main
code = main(sys.argv[1:])
print(*sorted(name for name in sys.modules if name.partition(".")[0] in ("sentry", "gofer", "click", "json", "subprocess")), file=sys.stderr)
sys.exit(code)
"""
_SHARED = {
    "sentry",
    "sentry.abi",
    "sentry.devices",
    "sentry.syscalls",
    "sentry.syscalls.numbers",
    "sentry.platform",
    "sentry.platform.groups",
    "gofer",
    "gofer.mounts",
    "gofer.tree",
} | {f"sentry.platform.{name}" for name in ("_native", "_native.lib", "confine", "jsontext", "signals", "wire")}
"""Of the packages of sentry and gofer: what touches the kernel's interfaces, and the mount tree."""


def test_nothing_of_the_sentry_is_imported(pysc: Pysc, bundle: Bundles) -> None:
    pysc.argv(pysc.id)
    made = bundle(["true"])
    argv = [sys.executable, "-c", _SHOW_MODULES, "--root", str(pysc.root), "--platform", "namespace", "run", "-b", str(made), pysc.id]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)
    assert set(done.stderr.split()) <= _SHARED | {"gofer.builder"}, done.stderr
