"""What a workload must not get at, whatever capabilities the config gives it in its user namespace."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from containers import Bundle, Bundles, Pysc, requires

from runsc_cli.oci.default import default_spec

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    requires("busybox"),
]

ADMIN = {name: ["CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"] for name in ("bounding", "effective", "permitted")}
FUSE = (10, 229)
PROC = {"destination": "/proc", "type": "proc", "source": "proc"}


@pytest.fixture(params=["standard", "strict"])
def run(request: pytest.FixtureRequest, pysc: Pysc):
    """Runs a bundle: what it printed."""

    def start(bundle: Bundle, *options: str):
        return pysc("--profile", request.param, *options, "run", "-b", bundle, pysc.id)

    return start


# ---- mounts of the plan ----


def script(bundle: Bundles, text: str, *mounts: dict[str, object], **linux: object) -> Bundle:
    """A bundle that runs `text` with CAP_SYS_ADMIN, in a root that it may write to."""
    spec = default_spec(False, [], 0, 0)
    return bundle(
        ["sh", "-c", text],
        writable=True,
        mounts=[*spec["mounts"], *mounts],
        linux=linux,
        process={"capabilities": ADMIN},
    )


def test_a_mask_cannot_be_taken_off(run, bundle: Bundles) -> None:
    made = script(
        bundle,
        "umount /etc/secret; umount -l /etc/secret; umount /hidden; cat /etc/secret /hidden/file; mkdir /a /b; "
        "mount --bind / /a && cat /a/etc/secret; mount --bind /etc /a && cat /a/secret; "
        "mount --rbind / /b && umount /b/etc/secret; umount /b/hidden; cat /b/etc/secret /b/hidden/file; echo end",
        maskedPaths=["/etc/secret", "/hidden"],
    )
    (made.rootfs / "etc/secret").write_text("secret\n")
    (made.rootfs / "hidden").mkdir()
    (made.rootfs / "hidden/file").write_text("secret\n")
    done = run(made)
    assert done.out == "end\n", done
    assert done.err.count("nvalid argument") >= 5


def test_the_kernel_lists_nothing_of_the_host_in_proc(run, bundle: Bundles) -> None:
    """Opening a directory to read it is a native call in the profile standard, so what it must not list is covered, and stays so."""
    made = script(
        bundle,
        "list() { ls -A $1 | grep -v -x -E '[0-9]+|net|pressure|self|sys|sysvipc|thread-self|tty' | "
        "while read n; do ls -A $1/$n/; done 2> /dev/null; }; "
        "list /proc; ls /proc/tty/driver; umount /proc/irq; umount -l /proc/irq; umount -l /proc/bus; list /proc; mkdir /a /b; "
        "mount --bind /proc /a; list /a; mount --rbind / /b; umount /b/proc/irq; umount -l /b/proc/bus; list /b/proc; "
        "ls /b/proc/irq /b/proc/sysvipc; echo end",
    )
    done = run(made)
    assert done.out.splitlines() == ["/b/proc/irq:", "", "/b/proc/sysvipc:", "msg", "sem", "shm", "end"], done
    assert done.err.count("nvalid argument") >= 5, done


@pytest.mark.parametrize(("flag", "opposite"), [("ro", "rw"), ("nosuid", "suid"), ("nodev", "dev"), ("noexec", "exec")])
def test_a_flag_of_a_mount_stays(run, bundle: Bundles, tmp_path: Path, flag: str, opposite: str) -> None:
    data = tmp_path / "data"
    data.mkdir()
    given = {"destination": "/data", "type": "bind", "source": str(data), "options": ["bind", "ro", "nosuid", "nodev", "noexec"]}
    done = run(
        script(
            bundle,
            f"mount -o remount,bind,{opposite} /data && echo relaxed; mkdir /a; mount --bind /data /a; "
            f"mount -o remount,bind,{opposite} /a && echo relaxed; touch /data/x /a/x; grep -E ' /(a|data) ' /proc/mounts | cut -d' ' -f4",
            given,
        )
    )
    lines = [line for line in done.out.splitlines() if line != "relaxed"]
    # a remount that does not name nodev keeps it, since all mounts here have it and programs do not know
    assert done.out.count("relaxed") == (2 if flag == "nodev" else 0), done
    assert [set(line.split(",")) >= {"ro", "nosuid", "nodev", "noexec"} for line in lines] == [True, True], (flag, done)
    assert list(data.iterdir()) == []


def test_readonly_paths_and_the_root_stay_read_only(run, bundle: Bundles) -> None:
    made = script(
        bundle, "mount -o remount,bind,rw /var; touch /var/x; mount -o remount,bind,rw /; touch /x; echo end", readonlyPaths=["/var"]
    )
    made.config["root"]["readonly"] = True
    made.write()
    assert run(made).out == "end\n"
    assert not (made.rootfs / "x").exists()
    assert not (made.rootfs / "var/x").exists()


def test_the_root_itself_may_be_mounted_over_or_made_read_only(run, bundle: Bundles) -> None:
    made = script(bundle, "touch /x /tmp/x; mount -o remount,bind,rw /; touch /x; ls /", readonlyPaths=["/tmp/../.."])
    done = run(made)
    assert done.out.split() == ["bin", "dev", "etc", "proc", "root", "sys", "tmp", "var"], done
    assert done.err.count("Read-only file system") == 3
    made = bundle(["ls", "/"], mounts=[{"destination": "/", "type": "bind", "source": str(made.rootfs), "options": ["bind"]}, PROC])
    assert run(made).out.split() == ["bin", "dev", "etc", "proc", "root", "sys", "tmp", "var"]


def test_all_of_the_host_under_an_overlay(pysc: Pysc, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("host\n")
    (tmp_path / "file").chmod(0o666)
    done = pysc("do", "-q", "--host-root", "--", "sh", "-c", "echo changed >file; cat file; ls -d /proc/self", cwd=tmp_path)
    assert done.out == "changed\n/proc/self\n", done
    assert (tmp_path / "file").read_text() == "host\n"


def test_the_workloads_own_mounts_are_its_own(run, bundle: Bundles) -> None:
    done = run(
        script(
            bundle,
            "mkdir /a /b; mount -t tmpfs -o ro,nosuid t /a && mount -o remount,rw /a && touch /a/x && umount /a && "
            "mount --rbind / /b && umount -l /b && mount --bind /etc /b && mount -o remount,bind,ro /b && "
            "mount -o remount,bind,rw /b && touch /b/new && umount /b && ls /etc/new",
        )
    )
    assert done.out == "/etc/new\n", done


def test_a_mount_shows_the_propagation_and_the_source_that_were_asked_for(run, bundle: Bundles, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    given = {"destination": "/data", "type": "bind", "source": str(tmp_path / "data"), "options": ["rbind", "rshared"]}
    done = run(script(bundle, "cat /proc/self/mountinfo", given, rootfsPropagation="shared"))
    lines = [line.split() for line in done.out.splitlines()]
    shared = {line[4] for line in lines if line[6].startswith("shared:")}
    assert {"/", "/data"} <= shared
    sources = {line[4]: line[line.index("-") + 1 :][1] for line in lines}
    assert {point: sources[point] for point in ("/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys")} == {
        "/proc": "proc",
        "/dev": "tmpfs",
        "/dev/pts": "devpts",
        "/dev/shm": "shm",
        "/dev/mqueue": "mqueue",
        "/sys": "sysfs",
    }


def test_generated_files_lie_on_a_mount_without_rights(pysc: Pysc, tmp_path: Path) -> None:
    show = "import os; f = open('/proc/uptime'); print(os.fstatvfs(f.fileno()).f_flag)"
    done = pysc("do", "-q", "--", "python3", "-c", show, cwd=tmp_path)
    assert int(done.out) & (os.ST_NOSUID | os.ST_NODEV | os.ST_NOEXEC) == os.ST_NOSUID | os.ST_NODEV | os.ST_NOEXEC, done


# ---- devices ----


def with_device(bundle: Bundles, directory: Path, *options: str, **resources: object) -> Bundle:
    """Opens /tmp/fuse, a device node that anybody may use, in a volume: by its name, and by way of an O_PATH descriptor."""
    directory.mkdir(exist_ok=True)
    os.mknod(directory / "fuse", 0o20666, os.makedev(*FUSE))
    (directory / "fuse").chmod(0o666)
    spec = default_spec(False, [], 0, 0)
    volume = {"destination": "/tmp", "type": "bind", "source": str(directory), "options": ["bind", *options]}
    return bundle(
        ["sh", "-c", "exec 3<>/tmp/fuse && echo open; exec 3</tmp/fuse && echo read"],
        mounts=[*spec["mounts"], volume],
        linux={"resources": resources},
    )


def test_a_device_node_of_the_image_cannot_be_opened(run, bundle: Bundles) -> None:
    made = bundle(["sh", "-c", "exec 3<>/dev/../fuse && echo open"], writable=True)
    os.mknod(made.rootfs / "fuse", 0o20666, os.makedev(*FUSE))
    (made.rootfs / "fuse").chmod(0o666)
    done = run(made)
    assert (done.out, done.err.count("Permission denied")) == ("", 1), done


def test_a_device_node_of_a_volume_cannot_be_opened(run, bundle: Bundles, tmp_path: Path) -> None:
    done = run(with_device(bundle, tmp_path / "vol"))
    assert (done.out, done.err.count("Permission denied")) == ("", 1), done


def test_where_devices_are_shown_the_rules_decide(run, bundle: Bundles, tmp_path: Path) -> None:
    done = run(with_device(bundle, tmp_path / "denied", "dev"))
    assert (done.out, done.err.count("Operation not permitted")) == ("", 1), done
    rules = [{"allow": False, "access": "rwm"}, {"allow": True, "type": "c", "major": FUSE[0], "minor": FUSE[1], "access": "r"}]
    made = with_device(bundle, tmp_path / "read", "dev", devices=rules)
    made.config["process"]["args"][2] = "exec 3</tmp/fuse && echo read; exec 3<>/tmp/fuse && echo open"
    made.write()
    done = run(made)
    assert (done.out, done.err.count("Operation not permitted")) == ("read\n", 1), done


def test_one_device_is_shown_by_its_own_name(run, bundle: Bundles) -> None:
    spec = default_spec(False, [], 0, 0)
    device = {"destination": "/null", "type": "bind", "source": "/dev/null", "options": ["bind"]}
    done = run(bundle(["sh", "-c", "echo x >/null && cat /null && echo end"], writable=True, mounts=[*spec["mounts"], device]))
    assert done.out == "end\n", done


def test_rules_that_deny_do_not_take_the_default_devices(run, bundle: Bundles) -> None:
    rules = [{"allow": False, "access": "rwm"}]
    done = run(bundle(["sh", "-c", "head -c 3 /dev/zero | wc -c; echo x >/dev/null; echo end"], linux={"resources": {"devices": rules}}))
    assert done.out == "3\nend\n", done


def test_nobody_learns_when_the_host_uses_a_device(run, bundle: Bundles) -> None:
    attack = (
        "import ctypes, os\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "watch = lambda name: libc.inotify_add_watch(libc.inotify_init1(0), name, 0xFFF) > 0 or ctypes.get_errno()\n"
        "os.openpty()\n"
        "print(*map(watch, (b'/dev/null', b'/dev/urandom', b'/dev/tty', b'/dev', b'/dev/pts/0')))"
    )
    done = run(python(bundle, "-c", attack))
    assert done.out == "13 13 13 True True\n", done


# ---- abstract names of UNIX sockets, where the network is the host's ----

REACH = """
import socket, sys
from socket import AF_UNIX, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM
def attempt(what, call):
    try:
        call()
        print(what, "reached")
    except OSError as error:
        print(what, error.errno)
stream, dgram = sys.argv[1:]
attempt("connect", lambda: socket.socket(AF_UNIX, SOCK_STREAM).connect("\\0" + stream))
attempt("sendto", lambda: socket.socket(AF_UNIX, SOCK_DGRAM).sendto(b"x", "\\0" + dgram))
attempt("sendmsg", lambda: socket.socket(AF_UNIX, SOCK_DGRAM).sendmsg([b"x"], [], 0, "\\0" + dgram))
for end in socket.socketpair(AF_UNIX, SOCK_DGRAM):
    attempt("pair", lambda: end.sendto(b"x", "\\0" + dgram))
attempt("bind", lambda: socket.socket(AF_UNIX, SOCK_STREAM).bind("\\0" + stream))
for kind in (SOCK_STREAM, SOCK_SEQPACKET):
    end = socket.socketpair(AF_UNIX, kind)[0]
    attempt("pair bind", lambda: end.bind("\\0" + stream))
    end.close()
"""

TALK = """
import os, socket
from socket import AF_INET, AF_UNIX, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_STREAM
server = socket.socket(AF_UNIX, SOCK_STREAM)
server.bind("\\0inside")
server.listen()
if os.fork() == 0:
    os.setuid(1000)
    client = socket.socket(AF_UNIX, SOCK_STREAM)
    client.connect("\\0inside")
    client.sendall(b"hello")
    os._exit(0)
connection, _ = server.accept()
print(connection.recv(9), *__import__("struct").unpack("iii", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1:])
left, right = socket.socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK)
left.send(b"datagram")
print(right.recv(9), os.get_inheritable(left.fileno()), left.getblocking(), left.getsockname())
print(os.fstat(server.fileno()).st_uid, socket.socket(AF_INET, SOCK_STREAM).family.name)
for kind, protocol in ((4, 0), (SOCK_STREAM, 9)):
    try:
        socket.socket(AF_UNIX, kind, protocol)
    except OSError as error:
        print(error.errno)
"""


def python(bundle: Bundles, *args: str, **changes: object) -> Bundle:
    """A bundle that runs Python in the host's network namespace; its root is the host's, read-only."""
    spec = default_spec(False, [], 0, 0)
    namespaces = [ns for ns in spec["linux"]["namespaces"] if ns["type"] != "network"]
    caps = {name: ["CAP_SETUID"] for name in ("bounding", "effective", "permitted")}
    return bundle(
        [sys.executable, "-B", *args],
        root={"path": "/"},
        linux={"namespaces": namespaces},
        process={"capabilities": caps, "env": ["PATH=/usr/bin:/bin"]},
        **changes,
    )


def test_abstract_names_of_the_host_are_out_of_reach(run, bundle: Bundles) -> None:
    stream, dgram = f"pysc-test-{os.getpid()}-stream", f"pysc-test-{os.getpid()}-dgram"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        listener.bind(f"\0{stream}")
        listener.listen()
        receiver.bind(f"\0{dgram}")
        receiver.setblocking(False)
        done = run(python(bundle, "-c", REACH, stream, dgram))
        refused = ["connect 111", "sendto 111", "sendmsg 111", "pair 111", "pair 111"]
        assert done.out.splitlines() == [*refused, "bind reached", "pair bind reached", "pair bind reached"], done
        with pytest.raises(BlockingIOError):
            receiver.recv(1)


def test_and_the_containers_own_within(run, bundle: Bundles) -> None:
    done = run(python(bundle, "-c", TALK))
    assert done.out.splitlines() == ["b'hello' 1000 0", "b'datagram' False False ", "0 AF_INET", "94", "93"], done


def test_exec_shares_the_abstract_names_and_the_network_is_the_hosts(pysc: Pysc, bundle: Bundles, tmp_path: Path) -> None:
    serve = (
        "import socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM); s.bind('\\0inside'); s.listen(); "
        "print('ready', flush=True)\nwhile True: s.accept()[0].sendall(b'hello')"
    )
    made = python(bundle, "-c", serve)
    with open(tmp_path / "out", "w+") as out, socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        command = pysc.argv("run", "--detach", "-b", made, pysc.id)
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, check=True, timeout=60)
        ask = (
            "import socket, time\ns = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)\n"
            "while s.connect_ex('\\0inside'): pass\n"  # until it listens
            f"print(s.recv(5)); socket.create_connection(('127.0.0.1', {listener.getsockname()[1]})).sendall(b'outside')"
        )
        done = pysc("exec", pysc.id, sys.executable, "-B", "-c", ask)
        assert (done.out, done.code) == ("b'hello'\n", 0), done
        with listener.accept()[0] as connection:
            assert connection.recv(9) == b"outside"
    pysc("delete", "--force", pysc.id, check=True)
