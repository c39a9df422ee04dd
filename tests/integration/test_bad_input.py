"""What people and engines get wrong, and what a host lacks: one line that says it, runc's text where runc has one, nothing left."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from containers import Bundle, Bundles, Done, Pysc, both_platforms, requires, sandboxed

from runsc_cli.oci.default import default_spec

pytestmark = [
    pytest.mark.integration,
    both_platforms,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    requires("busybox"),
]

GOOD = json.dumps(default_spec(False, ["true"], 0, 0)).encode()


def refused(pysc: Pysc, done: Done, *, code: int = 1) -> str:
    """The one line that a failed command says."""
    assert done.code == code, done
    assert pysc.containers() == []
    assert "Traceback" not in done.err
    assert "internal error" not in done.err
    errors = [line for line in done.err.splitlines() if "level=error" in line]
    assert len(errors) == 1, done
    return errors[0].partition(" msg=")[2].replace('\\"', '"')


# ---- config.json ----


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (None, "config.json: no such file or directory"),
        (b"", "no JSON"),
        (b"\0" * 100, "no JSON"),
        (GOOD[: len(GOOD) // 2], "no JSON"),
        (GOOD[: GOOD.index(b"ociVersion") + 5], "no JSON"),
        (GOOD + b"}", "no JSON"),
        (GOOD.decode().encode("utf-16"), "no JSON"),
        (b"[]", "expected object, got array"),
        (b"null", "expected object, got null"),
        (b"[" * 1_000_000, "nested too deep"),
        (b'{"a":' * 1_000_000, "nested too deep"),
        (b" " * (17 << 20) + GOOD, "larger than 16 MiB"),
        (GOOD.replace(b'"1.', b'"9.', 1), "ociVersion: 9."),
        (GOOD.replace(b'"ociVersion": "', b'"ociVersion": "x', 1), "is no version"),
        (GOOD.replace(b'"true"', b'"\\ud800"', 1), "process.args[0]"),
        (GOOD.replace(b'"true"', b'"a\\u0000b"', 1), "process.args[0]"),
        (GOOD.replace(b'"true"', b"1e999", 1), "process.args[0]"),
        (GOOD.replace(b'"path": "rootfs"', b'"path": "nothere"'), "nothere) does not exist"),
        (GOOD.replace(b'"path": "rootfs"', b'"path": "config.json"'), "is not a directory"),
    ],
    ids=lambda value: str(value[:20]) if isinstance(value, bytes) else None,
)
def test_a_broken_config(pysc: Pysc, tmp_path: Path, raw: bytes | None, says: str) -> None:
    if raw is not None:
        (tmp_path / "config.json").write_bytes(raw)
    assert says in refused(pysc, pysc("run", "-b", tmp_path, pysc.id))


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda path: os.symlink("config.json", path)], ids=["directory", "fifo", "loop"])
def test_a_config_that_is_no_file(pysc: Pysc, tmp_path: Path, make) -> None:
    make(tmp_path / "config.json")
    assert "config.json" in refused(pysc, pysc("run", "-b", tmp_path, pysc.id))


# ---- the program ----


def elf(machine: int) -> bytes:
    return b"\x7fELF\x02\x01\x01" + bytes(9) + (2).to_bytes(2, "little") + machine.to_bytes(2, "little") + bytes(44)


FILES = {
    "aarch64": elf(183),
    "plain": b"hello\n",
    "empty": b"",
    "script": b"#!/no/interpreter\n",
    "denied": b"#!/bin/sh\n",
    "elf": elf(62),
}


@pytest.fixture
def programs(bundle: Bundles) -> Bundle:
    made = bundle(["true"], writable=True)
    for name, content in FILES.items():
        (made.rootfs / name).write_bytes(content)
        (made.rootfs / name).chmod(0o644 if name == "denied" else 0o755)
    (made.rootfs / "loop").symlink_to("loop")
    return made


PREFIX = "unable to start container process: exec"
BEFORE = [
    (["/none"], f'{PREFIX}: "/none": stat /none: no such file or directory'),
    (["none"], f'{PREFIX}: "none": executable file not found in $PATH'),
    (["bin/none"], f'{PREFIX}: "bin/none": stat bin/none: no such file or directory'),
    (["/bin/busybox/x"], f'{PREFIX}: "/bin/busybox/x": stat /bin/busybox/x: not a directory'),
    (["/loop"], f'{PREFIX}: "/loop": stat /loop: too many levels of symbolic links'),
    (["/denied"], f'{PREFIX}: "/denied": permission denied'),
    (["/bin"], f'{PREFIX}: "/bin": is a directory'),
    (["/aarch64"], f"{PREFIX} /aarch64: exec format error"),
]
AFTER = [
    (["/script"], "exec /script: no such file or directory"),
    (["/plain"], "exec /plain: exec format error"),
    (["/empty"], "exec /empty: exec format error"),
    (["/elf"], "exec /elf: exec format error"),
    (["true", "x" * 200_000], "exec /bin/true: argument list too long"),
]


@pytest.mark.parametrize(("args", "says"), BEFORE, ids=lambda value: value[0][:10] if isinstance(value, list) else "")
def test_a_program_that_cannot_be_found(pysc: Pysc, programs: Bundle, args: list[str], says: str) -> None:
    programs.config["process"]["args"] = args
    programs.write()
    assert says in refused(pysc, pysc("run", "-b", programs, pysc.id))


@pytest.mark.parametrize(("args", "says"), AFTER, ids=lambda value: value[0][:10] if isinstance(value, list) else "")
def test_a_program_that_the_kernel_does_not_execute(pysc: Pysc, programs: Bundle, args: list[str], says: str) -> None:
    """It is found out after `start`: the container says it, and ends with runc's 255."""
    programs.config["process"]["args"] = args
    programs.write()
    done = pysc("run", "-b", programs, pysc.id)
    assert (done.code, done.err) == (255, f"{says}\n")


def test_exec_says_the_same(pysc: Pysc, programs: Bundle) -> None:
    programs.config["process"]["args"] = ["sleep", "1000"]
    programs.write()
    command = pysc.argv("run", "--detach", "-b", programs, pysc.id)
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True, timeout=60)
    for args, says in [*BEFORE, *AFTER]:
        if len(args[-1]) > 1 << 17:
            continue  # our own argument list would be too long
        done = pysc("exec", pysc.id, *args)
        assert done.code == 255, done
        assert says.removeprefix(PREFIX) in done.err.replace('\\"', '"'), done
    process = {**programs.config["process"], "args": ["true", "x" * 200_000]}
    (programs.path / "process.json").write_text(json.dumps(process))
    done = pysc("exec", "--process", programs.path / "process.json", pysc.id)
    assert (done.code, "exec /bin/true: argument list too long" in done.err) == (255, True), done
    pysc("delete", "--force", pysc.id, check=True)


@pytest.mark.parametrize(
    ("cwd", "says"),
    [
        ("/bin/busybox", 'chdir to cwd ("/bin/busybox") set in config.json failed: not a directory'),
        ("/loop", "too many levels"),
        ("x", "absolute"),
    ],
)
def test_a_working_directory_that_is_none(pysc: Pysc, programs: Bundle, cwd: str, says: str) -> None:
    programs.config["process"]["cwd"] = cwd
    programs.write()
    assert says in refused(pysc, pysc("run", "-b", programs, pysc.id))


def test_a_missing_working_directory_is_made_as_runc_makes_it(pysc: Pysc, bundle: Bundles) -> None:
    made = bundle(["pwd"], writable=True, process={"cwd": "/var/a/b"})
    assert pysc("run", "-b", made, pysc.id).out == "/var/a/b\n"
    assert stat.S_IMODE((made.rootfs / "var/a/b").stat().st_mode) == 0o755
    assert (made.rootfs / "var/a/b").stat().st_uid == 0


# ---- the container's id ----


IDS = ["a/b", "..", ".", "x" * 10_000, "x" * 256, "a\nb", "\x1b[31m", "a b", "%s", "ü", "a:b", "\\", "a\udc80"]


@pytest.mark.parametrize("id", IDS, ids=lambda id: ascii(id[:9]))
@pytest.mark.parametrize("verb", ["create", "run", "start", "state", "kill", "delete", "exec", "ps"])
def test_an_id_that_is_none(pysc: Pysc, bundle: Bundles, verb: str, id: str) -> None:
    before = set(pysc.root.parent.iterdir())
    words = {"create": ["-b", bundle(["true"])], "run": ["-b", bundle(["true"])], "delete": ["--force"]}.get(verb, [])
    done = pysc(verb, *words, id, *(["true"] if verb == "exec" else []))
    assert refused(pysc, done, code=255 if verb == "exec" else 1).endswith('invalid container ID format"')
    assert set(pysc.root.parent.iterdir()) - before <= {pysc.root, *pysc.root.parent.glob("bundle*")}


def test_an_empty_id(pysc: Pysc, bundle: Bundles) -> None:
    assert "container id cannot be empty" in refused(pysc, pysc("run", "-b", bundle(["true"]), ""))


def test_an_id_that_is_taken(pysc: Pysc, bundle: Bundles) -> None:
    made = bundle(["sleep", "1000"])
    command = pysc.argv("run", "--detach", "-b", made, pysc.id)
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True, timeout=60)
    for verb in ("run", "create"):
        done = pysc(verb, "-b", made, pysc.id)
        assert (done.code, f'msg="pysc {verb} failed: container with given ID already exists"' in done.err) == (1, True), done
    assert json.loads(pysc("state", pysc.id, check=True).out)["status"] == "running"
    pysc("delete", "--force", pysc.id, check=True)


# ---- places in the image ----


@pytest.mark.platforms("notify", "namespace")
@pytest.mark.parametrize("path", ["rootfs", "./rootfs/", "other/inner"])
def test_the_root_is_not_where_a_link_in_the_bundle_leads(pysc: Pysc, bundle: Bundles, tmp_path: Path, path: str) -> None:
    outside = tmp_path / "outside"
    (outside / "inner").mkdir(parents=True)
    made = bundle(["true"], root={"path": path, "readonly": False})
    (made.path / path.strip("./").partition("/")[0]).symlink_to(outside)
    assert "invalid rootfs" in refused(pysc, pysc("run", "-b", made, pysc.id))
    assert sorted(outside.rglob("*")) == [outside / "inner"]


@pytest.mark.parametrize("name", ["dev", "var", "var/inner"])
@pytest.mark.parametrize("climb", [False, True])
def test_a_link_in_the_image_is_followed_inside(pysc: Pysc, bundle: Bundles, tmp_path: Path, name: str, climb: bool) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    made = bundle(["sh", "-c", "ls /dev/null && grep -c /x /proc/self/mounts"], writable=True)
    place = made.rootfs / name
    if place.exists():
        place.rmdir()
    place.symlink_to("../" * 30 + str(outside).lstrip("/") if climb else outside)
    made.config["mounts"].append({"destination": "/var/inner/x", "type": "tmpfs", "source": "tmpfs"})
    (made.rootfs / str(outside).lstrip("/")).mkdir(parents=True)
    made.write()
    done = pysc("run", "-b", made, pysc.id)
    assert (done.out, done.code) == ("/dev/null\n1\n", 0), done
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("name", ["proc", "sys"])
@pytest.mark.parametrize("target", ["/tmp", "/proc/self/root", "proc", "../../../../../../../../tmp"])
def test_proc_and_sys_are_directories(pysc: Pysc, bundle: Bundles, name: str, target: str) -> None:
    made = bundle(["true"], writable=True)
    (made.rootfs / name).rmdir()
    (made.rootfs / name).symlink_to(target)
    assert f"'/{name}'" in refused(pysc, pysc("run", "-b", made, pysc.id))


def test_masks_follow_links_inside(pysc: Pysc, bundle: Bundles, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("outside\n")
    made = bundle(
        ["sh", "-c", "cat /secret; cat /masked; echo end"], writable=True, linux={"maskedPaths": ["/masked"], "readonlyPaths": ["/masked"]}
    )
    (made.rootfs / "secret").write_text("inside\n")
    (made.rootfs / "masked").symlink_to("../../../../../../secret")
    assert pysc("run", "-b", made, pysc.id).out == "end\n"


@sandboxed
@pytest.mark.parametrize(
    ("mount", "says"),
    [
        ({"destination": "/x", "type": "bind", "source": "/nonexistent", "options": ["bind"]}, "/nonexistent': no such file or directory"),
        ({"destination": "/bin/busybox", "type": "bind", "source": "/tmp", "options": ["bind"]}, "not a directory"),
        ({"destination": "/bin", "type": "bind", "source": "/etc/passwd", "options": ["bind"]}, "not a directory"),
        ({"destination": "/bin/busybox/x", "type": "tmpfs", "source": "t"}, "not a directory"),
        ({"destination": "/" + "d" * 300, "type": "tmpfs", "source": "t"}, "file name too long"),
        ({"destination": "/x", "type": "tmpfs", "source": "t", "options": ["nosuch=1"]}, "option 'nosuch=1': invalid argument"),
        ({"destination": "/x", "type": "ext4", "source": "/dev/vda"}, "'ext4' cannot be mounted in a sandbox"),
        ({"destination": "/a/../x", "type": "tmpfs", "source": "t"}, "contains '..'"),
    ],
    ids=lambda value: value["destination"][:12] if isinstance(value, dict) else "",
)
def test_a_mount_that_cannot_be_made(pysc: Pysc, bundle: Bundles, mount: dict[str, object], says: str) -> None:
    made = bundle(["true"], writable=True)
    made.config["mounts"].append(mount)
    made.write()
    assert says in refused(pysc, pysc("run", "-b", made, pysc.id))


# ---- linux ----


@pytest.mark.parametrize("kind", ["missing", "file", "directory", "fifo", "other"])
def test_a_network_namespace_that_is_none(pysc: Pysc, bundle: Bundles, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "ns"
    {
        "missing": lambda: None,
        "file": lambda: path.write_text(""),
        "directory": path.mkdir,
        "fifo": lambda: os.mkfifo(path),
        "other": lambda: path.symlink_to("/proc/self/ns/uts"),
    }[kind]()
    namespaces = [{"type": "pid"}, {"type": "mount"}, {"type": "uts"}, {"type": "network", "path": str(path)}]
    says = refused(pysc, pysc("run", "-b", bundle(["true"], linux={"namespaces": namespaces}), pysc.id))
    assert str(path) in says
    assert "no such file" in says or "invalid argument" in says


def test_all_of_many_sysctls_are_set_or_none(pysc: Pysc, bundle: Bundles) -> None:
    def sysctls(count: int) -> dict[str, str]:
        names = sorted(name for name in os.listdir("/proc/sys/net/ipv4/conf/lo") if name != "mc_forwarding")
        many = [f"net.ipv4.conf.{interface}.{name}" for interface in ("lo", "all", "default") for name in names]
        assert len(many) >= 80
        return dict.fromkeys(many[:count], "1") | {"net.unix.max_dgram_qlen": "123"}  # the last by name

    made = bundle(["cat", "/proc/sys/net/unix/max_dgram_qlen"], linux={"sysctl": sysctls(80)})
    assert pysc("run", "-b", made, pysc.id).out == "123\n"
    made.config["linux"]["sysctl"] = {f"net.x{i}": "1" for i in range(2000)}
    made.write()
    assert "steps where 1024 is the most" in refused(pysc, pysc("run", "-b", made, pysc.id))


def test_a_memory_limit_that_nothing_fits_into(pysc: Pysc, bundle: Bundles) -> None:
    done = pysc("run", "-b", bundle(["true"], linux={"resources": {"memory": {"limit": 1}}}), pysc.id)
    assert "was killed by signal 9: the memory limit may be too low" in refused(pysc, done)


def test_a_limit_beyond_the_callers(pysc: Pysc, bundle: Bundles) -> None:
    limits = [{"type": "RLIMIT_NOFILE", "hard": 1 << 40, "soft": 1 << 40}]
    said = refused(pysc, pysc("run", "-b", bundle(["true"], process={"rlimits": limits}), pysc.id))
    assert said.endswith('error setting rlimit type RLIMIT_NOFILE to 1099511627776:1099511627776: operation not permitted"')


# ---- a host that lacks something ----

WITHOUT = Path(__file__).with_name("without.py")
ENOSYS, EPERM, EINVAL, EAGAIN, ENOSPC = 38, 1, 22, 11, 28


@sandboxed
@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        ("seccomp+8", EINVAL, "seccomp user notification (Linux 5.0): invalid argument"),
        ("seccomp+32", EINVAL, "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (Linux 5.19): invalid argument"),
        ("openat2", ENOSYS, "openat2(2) (Linux 5.6): function not implemented"),
        ("mount_setattr", ENOSYS, "mount_setattr(2) (Linux 5.12): function not implemented"),
        ("open_tree", EPERM, "open_tree(2) (Linux 5.2): operation not permitted"),
        ("move_mount", ENOSYS, "move_mount(2) (Linux 5.2): function not implemented"),
        ("fsopen", ENOSYS, "fsopen(2) (Linux 5.2): function not implemented"),
        ("pidfd_getfd", ENOSYS, "pidfd_getfd(2) (Linux 5.6): function not implemented"),
        ("pidfd_open", ENOSYS, "pidfd_open(2) and pidfd_send_signal(2) (Linux 5.3) are missing here: function not implemented"),
        ("pidfd_send_signal", ENOSYS, "pidfd_open(2) and pidfd_send_signal(2) (Linux 5.3) are missing here: function not implemented"),
        ("process_vm_readv", ENOSYS, "process_vm_readv(2) (CONFIG_CROSS_MEMORY_ATTACH): function not implemented"),
        ("process_vm_readv", EPERM, "process_vm_readv(2) (CONFIG_CROSS_MEMORY_ATTACH): operation not permitted"),
        ("close_range", ENOSYS, "close_range(2) (Linux 5.11): function not implemented"),
        ("memfd_create", ENOSYS, "memfd_create(2) (Linux 3.17): function not implemented"),
        ("unshare", EPERM, "user namespaces (user.max_user_namespaces may be 0): operation not permitted"),
        ("unshare", ENOSPC, "user namespaces (user.max_user_namespaces may be 0): no space left on device"),
        ("clone", EAGAIN, "fork pysc-sentry: resource temporarily unavailable"),
        ("mknodat", EPERM, "mkfifo"),
    ],
)
def test_a_kernel_that_lacks_something_is_told(pysc: Pysc, bundle: Bundles, call: str, error: int, says: str) -> None:
    argv = [sys.executable, str(WITHOUT), f"{call}={error}", *pysc.argv("run", "-b", bundle(["true"]), pysc.id)]
    ran = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert says in refused(pysc, Done(argv, ran.returncode, ran.stdout, ran.stderr))


def test_a_call_that_only_version_2_cgroups_need_is_not_needed(pysc: Pysc, bundle: Bundles) -> None:
    argv = [sys.executable, str(WITHOUT), f"clone3={ENOSYS}", *pysc.argv("--ignore-cgroups", "run", "-b", bundle(["echo", "x"]), pysc.id)]
    assert subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=True).stdout == "x\n"


IN_A_MOUNT_NAMESPACE = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def mount(source, target, kind, flags, data=None):
    if libc.mount(source and source.encode(), target.encode(), kind and kind.encode(), flags, data and data.encode()):
        raise OSError(ctypes.get_errno(), "mount " + target)
assert libc.unshare(0x20000) == 0
mount(None, "/", None, 0x44000)
for each in eval(sys.argv[1]):
    mount(*each)
os.execv(sys.argv[2], sys.argv[2:])
"""


def in_a_mount_namespace(mounts: list[tuple[object, ...]], argv: list[str]) -> Done:
    argv = [sys.executable, "-c", IN_A_MOUNT_NAMESPACE, repr(mounts), *argv]
    ran = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    return Done(argv, ran.returncode, ran.stdout, ran.stderr)


@sandboxed
@pytest.mark.parametrize(
    ("over", "why"),
    [("/dev/null", "invalid argument"), ("/dev/full", "invalid argument"), ("directory", "open /dev/fuse: is a directory")],
)
@pytest.mark.skipif(not os.path.exists("/dev/fuse"), reason="no /dev/fuse here: that is how every test runs")
def test_without_fuse_files_are_snapshots_and_it_is_said(pysc: Pysc, bundle: Bundles, tmp_path: Path, over: str, why: str) -> None:
    made = bundle(["sh", "-c", "grep -c MemTotal /proc/meminfo; cat /proc/sys/kernel/ostype"])
    argv = pysc.argv("run", "-b", made, pysc.id)
    mounts: list[tuple[object, ...]] = [(over, "/dev/fuse", None, 0x1000)]
    if over == "directory":  # a /dev of our own, as in an outer container
        for name in ("null", "zero", "full", "random", "urandom", "tty"):
            (tmp_path / name).touch()
        (tmp_path / "fuse").mkdir()
        tmp_path.chmod(0o755)
        names = ("null", "zero", "full", "random", "urandom", "tty")
        mounts = [(f"/dev/{name}", str(tmp_path / name), None, 0x1000) for name in names]
        mounts.append((str(tmp_path), "/dev", None, 0x5000))
    done = in_a_mount_namespace(mounts, argv)
    assert (done.out, done.code) == ("1\nLinux\n", 0), done
    assert "no FUSE here (" in done.err
    assert why in done.err
    assert "generated files in /proc are snapshots of the moment of open" in done.err


@sandboxed
def test_a_root_that_cannot_be_idmapped_is_told(pysc: Pysc, bundle: Bundles, tmp_path: Path) -> None:
    made = bundle(["sh", "-c", "ls -nd /bin | awk '{print $3}'"], writable=True)
    lower, upper, work, merged = made.rootfs, tmp_path / "upper", tmp_path / "work", tmp_path / "merged"
    for directory in (upper, work, merged):
        directory.mkdir()
    made.config["root"] = {"path": str(merged), "readonly": True}
    made.write()
    data = f"lowerdir={lower},upperdir={upper},workdir={work},index=on"
    done = in_a_mount_namespace([("overlay", str(merged), "overlay", 0, data)], pysc.argv("run", "-b", made, pysc.id))
    assert (done.out, done.code) == ("65534\n", 0), done
    assert f"'{merged}' cannot be idmapped: its files belong to nobody inside the container" in done.err


@pytest.mark.platforms("notify", "ptrace", "namespace")
def test_files_beside_a_tracer_are_refused(pysc: Pysc, bundle: Bundles, platform: str) -> None:
    """Where there is no sentry the option says nothing."""
    made = bundle(["echo", "ran"])
    done = pysc("--directfs=false", "run", "-b", made, pysc.id)
    if platform == "ptrace":
        assert "--directfs=false is for the platform notify: a tracer answers itself" in refused(pysc, done)
    else:
        assert done.out == "ran\n"


OF_A_THREAD = """
import ctypes, errno, socket, threading
def work(apart):
    if apart:
        assert ctypes.CDLL(None).unshare(0x400) == 0  # CLONE_FILES
    sock = socket.socket()
    try:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        print(sock.getsockname()[1] > 0, open("/etc/passwd").fileno() > 0)
    except OSError as e:
        print(errno.errorcode[e.errno])
for apart in (False, True):
    thread = threading.Thread(target=work, args=(apart,))
    thread.start()
    thread.join()
"""


@pytest.mark.platforms("notify", "ptrace")
def test_descriptors_of_threads_before_linux_6_9(pysc: Pysc) -> None:
    """That of the process is asked, unless the thread has a table of its own."""
    argv = pysc.argv("do", "--quiet", "--", "python3", "-S", "-c", OF_A_THREAD)
    for before, said in (([], ["True"] * 4), ([sys.executable, str(WITHOUT), f"pidfd_open+{os.O_EXCL}={EINVAL}"], ["True", "True", "ENOSYS"])):
        done = subprocess.run([*before, *argv], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=True)
        assert done.stdout.split() == said, done
