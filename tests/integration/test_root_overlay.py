"""--overlay: the rootfs on disk stays as it is, `pysc diff` tells what the container has changed, and with the container all of it goes."""

from __future__ import annotations

import json
import os
import random
import shlex
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from containers import Bundle, Bundles, Pysc, every_platform, merge, requires, sandboxed
from workloads import ENVIRONMENT, debian_config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    requires("busybox"),
    every_platform,
]

WAIT = "echo ready; exec sleep 1000"


def facts(root: Path) -> dict[str, tuple[object, ...]]:
    """Everything in a tree, to the nanosecond."""
    found: dict[str, tuple[object, ...]] = {}
    for directory, directories, files in os.walk(root):
        for name in (*directories, *files, "."):
            path = os.path.join(directory, name)
            st = os.lstat(path)
            found[os.path.relpath(path, root)] = (st.st_mode, st.st_uid, st.st_gid, st.st_nlink, st.st_size, st.st_mtime_ns, st.st_ino)
    return found


@pytest.fixture
def made(bundle: Bundles) -> Callable[..., Bundle]:
    """A bundle with a root of its own, in which there is something to change."""

    def make(script: str, **changes: Any) -> Bundle:
        found = bundle(["sh", "-c", script], writable=True, **changes)
        for name in ("dir/sub", "gone/sub", "anew/sub/below", "moved/sub"):
            (found.rootfs / name).mkdir(parents=True)
            (found.rootfs / name / "file").write_text(name)
        for name in ("changed", "deleted", "linked", "mode", "file", "type"):
            (found.rootfs / name).write_text(name)
        os.link(found.rootfs / "linked", found.rootfs / "other")
        (found.rootfs / "link").symlink_to("file")
        return found

    return make


@pytest.fixture
def changes(tmp_path: Path) -> Iterator[Path]:
    """A directory for --overlay dir=; when the test is over, and the containers are deleted, nothing is in it."""
    path = tmp_path / "changes"
    path.mkdir(mode=0o700)
    yield path
    assert os.listdir(path) == []


class Box:
    """A container that runs until it is told to end. One whose test has failed is ended by the fixtures."""

    def __init__(self, pysc: Pysc, bundle: Bundle, medium: str) -> None:
        self.pysc = pysc
        argv = pysc.argv(f"--overlay={medium}", "run", "-b", bundle, pysc.id)
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert self.process.stdout is not None
        self.said = []
        for line in self.process.stdout:
            if line == "ready\n":
                break
            self.said.append(line)

    def diff(self) -> list[str]:
        done = self.pysc("diff", self.pysc.id, check=True)
        assert done.err == ""
        return done.out.splitlines()

    def end(self) -> None:
        self.pysc("kill", self.pysc.id, "KILL", check=True)
        self.process.communicate(timeout=60)


EVERY_KIND = (
    "echo more >> /changed; rm /deleted; chmod 640 /mode; echo new > /new; mkdir -p /a/b; touch /a/b/c; ln /linked /third; "
    "ln -sf there /link; rm -r /gone /anew; mkdir -p /anew/sub; touch /anew/sub/file /anew/fresh;"
    "mv /moved /dir/moved; rm /type; mkdir /type; touch /type/x;"
    "chmod 711 /tmp; chown 5:6 /dir/sub; mkfifo /fifo; touch '/dir/two\nlines' /dir/$(printf '\\377');"
    "rm /dir/sub/file; echo made > /dir/sub/file;"
)
LISTED = r"""
A /a
A /a/b
A /a/b/c
C /anew
A /anew/fresh
C /anew/sub
D /anew/sub/below
A /anew/sub/file
C /changed
D /deleted
C /dir
A /dir/moved
A /dir/moved/sub
A /dir/moved/sub/file
C /dir/sub
C /dir/sub/file
A /dir/two\x0alines
A /dir/\xff
A /fifo
D /gone
C /link
C /linked
C /mode
D /moved
A /new
A /third
C /tmp
C /type
A /type/x
"""
FULL = {kind: ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER"] for kind in ("bounding", "permitted", "effective")}


@pytest.mark.parametrize("medium", ["memory", "dir"])
def test_every_kind_of_change_is_listed_and_none_is_in_the_rootfs(
    pysc: Pysc, made: Callable[..., Bundle], changes: Path, medium: str
) -> None:
    bundle = made(EVERY_KIND + "cat /changed /new; " + WAIT, process={"capabilities": FULL})
    before = facts(bundle.rootfs)
    box = Box(pysc, bundle, medium if medium == "memory" else f"dir={changes}")
    assert box.said == ["changed" + "more\n", "new\n"]
    assert box.diff() == LISTED.strip().splitlines()
    rows = json.loads(pysc("diff", "--format", "json", pysc.id).out)
    assert {"kind": "A", "path": "/dir/two\nlines"} in rows
    assert {"kind": "A", "path": "/dir/\udcff"} in rows
    assert len(rows) == len(LISTED.split("\n")) - 2
    box.end()
    assert facts(bundle.rootfs) == before


def test_what_is_on_disk_belongs_to_whom_the_container_says(pysc: Pysc, made: Callable[..., Bundle], changes: Path) -> None:
    bundle = made("touch /own; chown 5:6 /own; mkdir /deep; chmod 0 /deep; " + WAIT, process={"capabilities": FULL})
    box = Box(pysc, bundle, f"dir={changes}")
    top = changes / pysc.id
    assert stat.S_IMODE(top.stat().st_mode) == 0o700
    assert ((top / "upper/own").stat().st_uid, (top / "upper/own").stat().st_gid) == (5, 6)
    state = json.loads(pysc("state", pysc.id).out)
    assert state["annotations"]["dev.pysc.overlay"] == f"dir={top}"
    box.end()


def test_exec_is_in_the_overlay_and_diff_tells_when_the_container_has_stopped(pysc: Pysc, made: Callable[..., Bundle], changes: Path) -> None:
    bundle = made("echo first > /first; " + WAIT)
    argv = pysc.argv(f"--overlay=dir={changes}", "create", "-b", bundle, pysc.id)
    subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    assert pysc("diff", pysc.id).out == ""
    pysc("start", pysc.id, check=True)
    while not pysc("exec", pysc.id, "cat", "/first").out:
        pass
    assert pysc("exec", pysc.id, "sh", "-c", "cat /first; echo second > /second; rm /changed").out == "first\n"
    listed = "D /changed\nA /first\nA /second\n"
    assert pysc("diff", pysc.id).out == listed
    pysc("kill", pysc.id, "KILL", check=True)
    while json.loads(pysc("state", pysc.id).out)["status"] != "stopped":
        pass
    assert pysc("diff", pysc.id).out == listed
    assert (bundle.rootfs / "changed").exists()
    pysc("delete", pysc.id, check=True)
    assert not (bundle.rootfs / "first").exists()


def test_memory_goes_with_the_container(pysc: Pysc, made: Callable[..., Bundle]) -> None:
    argv = pysc.argv("--overlay=memory", "create", "-b", made("true"), pysc.id)
    subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    assert json.loads(pysc("state", pysc.id).out)["annotations"]["dev.pysc.overlay"] == "memory"
    pysc("start", pysc.id, check=True)
    while json.loads(pysc("state", pysc.id).out)["status"] != "stopped":
        pass
    while "has ended: what it has written to memory has gone with it" not in pysc("diff", pysc.id).err:  # the gofer may take a moment
        pass
    pysc("delete", pysc.id, check=True)


def test_a_read_only_root_has_its_mount_points_in_the_overlay(pysc: Pysc, made: Callable[..., Bundle], changes: Path) -> None:
    mount = {"destination": "/not/there", "type": "tmpfs", "source": "tmpfs"}
    bundle = made("touch /new; touch /not/there/file && echo written; " + WAIT, root={"readonly": True})
    bundle.config["mounts"].append(mount)
    bundle.write()
    before = facts(bundle.rootfs)
    box = Box(pysc, bundle, f"dir={changes}")
    assert [line for line in box.said if "written" in line or "Read-only file system" in line] == box.said != []
    assert box.diff() == ["A /not", "A /not/there"]
    box.end()
    assert facts(bundle.rootfs) == before


def test_without_one_there_is_nothing_to_list(pysc: Pysc, made: Callable[..., Bundle]) -> None:
    bundle = made("true")
    subprocess.run(pysc.argv("create", "-b", bundle, pysc.id), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    done = pysc("diff", pysc.id)
    assert (done.code, "has no overlay" in done.err, "create it with --overlay" in done.err) == (1, True, True), done
    assert "dev.pysc.overlay" not in pysc("state", pysc.id).out
    pysc("delete", pysc.id, check=True)
    assert "container does not exist" in pysc("diff", "no-such-box").err


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--overlay", "disk"], "it is none, memory or dir=PATH"),
        (["--overlay", "dir="], "it is none, memory or dir=PATH"),
        (["--overlay", "dir=here"], "the path has to be absolute"),
        (["--overlay", "dir=/nobody/has/this"], "--overlay dir=/nobody/has/this: there is no such directory"),
        (["--overlay2", "root:self"], "use root:dir=PATH"),
        (["--overlay2", "all:memory"], "an overlay can be over the root alone"),
        (["--overlay2", "root:memory,size=2g"], "'size=2g' is not known"),
        (["--overlay=memory", "--overlay2=root:memory"], "two spellings of one option"),
    ],
)
@sandboxed
def test_what_is_refused(pysc: Pysc, made: Callable[..., Bundle], options: list[str], why: str) -> None:
    done = pysc(*options, "run", "-b", made("echo ran"), pysc.id)
    assert (done.code, why in done.err, done.out) == (1, True, ""), done
    assert pysc.containers() == []


@pytest.mark.parametrize(
    ("options", "written"),
    [(["--overlay", "none"], True), (["--overlay2", "none"], True), (["--overlay2", "root:memory"], False)],
)
def test_spellings(pysc: Pysc, made: Callable[..., Bundle], options: list[str], written: bool) -> None:
    bundle = made("touch /new")
    pysc(*options, "run", "-b", bundle, pysc.id, check=True)
    assert (bundle.rootfs / "new").exists() == written


@pytest.mark.platforms("notify", "ptrace")
def test_do_has_an_overlay_of_its_own(pysc: Pysc) -> None:
    assert "the root of `do` is not a rootfs" in pysc("--overlay=memory", "do", "true").err


@sandboxed
def test_directories_of_others_are_not_touched(pysc: Pysc, made: Callable[..., Bundle], changes: Path, tmp_path: Path) -> None:
    theirs = changes / pysc.id
    theirs.mkdir()
    (theirs / "kept").touch()
    done = pysc(f"--overlay=dir={changes}", "run", "-b", made("true"), pysc.id)
    assert (done.code, "exists: it may be another container's" in done.err) == (1, True), done
    assert os.listdir(theirs) == ["kept"]
    (theirs / "kept").unlink()
    theirs.rmdir()
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    done = pysc(f"--overlay=dir={shared}", "run", "-b", made("true"), pysc.id)
    assert (done.code, "open to others" in done.err, os.listdir(shared)) == (1, True, []), done


DEEP = """
import os, sys
outside = os.open(".", os.O_RDONLY)
os.mkdir("/deep"); os.chdir("/deep")
for i in range(2060):
    os.symlink("/work", "link")
    os.mkdir("d"); os.chdir("d")
open("bottom", "w").close()
os.fchdir(outside)
os.mkdir("/wide")
for i in range(6000):
    os.mkdir(f"/wide/{i}", 0)
    os.mkdir(f"/wide/{i}/x") if i % 7 == 0 else None
print("ready", flush=True)
os.execvp("sleep", ["sleep", "1000"])
"""


@pytest.fixture
def debian(pysc: Pysc, debian_root: Path, tmp_path: Path) -> Callable[..., Bundle]:
    """A bundle with the host's /usr, which has a Python; the root is its own."""

    def make(program: str, **more: Any) -> Bundle:
        root, work = tmp_path / "debian", tmp_path / "work"
        subprocess.run(["cp", "-a", debian_root, root], check=True)
        work.mkdir()
        config = merge(debian_config(root, ["python3", "-c", program], ENVIRONMENT, work), {"root": {"readonly": False}, **more})
        (tmp_path / "bundle").mkdir()
        found = Bundle(tmp_path / "bundle", root, config)
        found.write()
        return found

    return make


@pytest.fixture
def fast() -> Iterator[Path]:
    """A directory in memory: ten thousand of them on disk take half a minute."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as path:
        yield Path(path)


@requires("python3")
@sandboxed
def test_a_tree_that_is_too_deep_and_wide_for_a_path(pysc: Pysc, debian: Callable[..., Bundle], fast: Path, tmp_path: Path) -> None:
    box = Box(pysc, debian(DEEP), f"dir={fast}")
    (tmp_path / "work/outside").touch()
    done = pysc("diff", pysc.id)
    assert (done.code, "more than 2048 directories deep" in done.err) == (1, True), done.err
    lines = done.out.splitlines()
    assert "A /wide/5999" in lines
    assert max(line.count("/") for line in lines) == 2048
    assert len(lines) < 12_000
    box.end()
    assert os.listdir(fast) == []
    assert os.listdir(tmp_path / "work") == ["outside"]


KERNELS = """
import errno, os, stat
def tried(call, *args, **more):
    try:
        call(*args, **more)
    except OSError as e:
        return errno.errorcode[e.errno]
    return "ok"
print("rename", tried(os.rename, "/srv/lower", "/srv/elsewhere"))
os.mkdir("/srv/own"); print("rename own", tried(os.rename, "/srv/own", "/srv/owned"))
print("whiteout", tried(os.mknod, "/srv/white", stat.S_IFCHR | 0o600, 0))
print("xattr", tried(os.setxattr, "/srv/lower", "user.mine", b"1"), os.getxattr("/srv/lower", "user.mine"))
# a kernel refuses an attribute of its own, or keeps it under another name
print("opaque", tried(os.setxattr, "/srv/owned", "user.overlay.opaque", b"y") in ("EPERM", "EOPNOTSUPP", "ok"))
os.link("/srv/lower/file", "/srv/hard")
print("links", os.stat("/srv/hard").st_nlink)
with open("/srv/hard", "a") as f: f.write("+")
print("content", open("/srv/lower/file").read())
os.unlink("/srv/white") if os.path.lexists("/srv/white") else None
print("ready", flush=True)
os.execvp("sleep", ["sleep", "1000"])
"""


@requires("python3")
def test_what_the_kernel_leaves_to_an_overlay_without_redirects(pysc: Pysc, debian: Callable[..., Bundle], changes: Path) -> None:
    bundle = debian(KERNELS)
    (bundle.rootfs / "srv/lower/sub").mkdir(parents=True)
    (bundle.rootfs / "srv/lower/file").write_text("text")
    before = facts(bundle.rootfs)
    box = Box(pysc, bundle, f"dir={changes}")
    whiteout = next(line for line in box.said if line.startswith("whiteout"))
    assert whiteout in ("whiteout EPERM\n", "whiteout EINVAL\n"), box.said
    box.said.remove(whiteout)
    assert "".join(box.said) == "rename EXDEV\nrename own ok\nxattr ok b'1'\nopaque True\nlinks 2\ncontent text+\n"
    own = {"A /dev", "C /dev", "A /run/secrets"}  # mount points
    assert [line for line in box.diff() if line not in own] == ["C /srv", "A /srv/hard", "C /srv/lower", "C /srv/lower/file", "A /srv/owned"]
    assert os.getxattr(changes / pysc.id / "upper/srv/lower", "user.mine") == b"1"
    box.end()
    assert facts(bundle.rootfs) == before
    assert os.listxattr(bundle.rootfs / "srv/lower") == []


@pytest.mark.platforms("notify", "ptrace")
def test_memory_has_the_bounds_of_the_container(pysc: Pysc, made: Callable[..., Bundle]) -> None:
    script = "i=0; while [ $i -lt 3000 ] && touch /dir/$i; do i=$((i+1)); done; ls /dir | wc -l"
    bundle = made(script, linux={"resources": {"memory": {"limit": 32 << 20}}})
    done = pysc("--overlay=memory", "run", "-b", bundle, pysc.id)
    assert "No space left on device" in done.err, done
    assert 1500 < int(done.out) < 2050, done


@pytest.mark.platforms("notify", "ptrace")
def test_hooks_see_the_overlay_as_well(pysc: Pysc, made: Callable[..., Bundle], changes: Path) -> None:
    bundle = made(WAIT)
    root = shlex.quote(str(bundle.rootfs))
    script = f"touch {root}/dir/hooked 2>/dev/null; chmod 700 {root}/mode"
    bundle.config["hooks"] = {"createContainer": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]}
    bundle.write()
    before = facts(bundle.rootfs)
    box = Box(pysc, bundle, f"dir={changes}")
    assert "C /mode" in box.diff() or "A /dir/hooked" in box.diff()
    box.end()
    assert facts(bundle.rootfs) == before


# ---- against a comparison of the trees ----

NAMES = "abcd"


def operations(seed: int) -> str:
    """A shell script that changes a tree at random."""
    choose = random.Random(seed).choice

    def path() -> str:
        return "/tree/" + "/".join(choose(NAMES) for _ in range(choose((1, 2, 2, 3))))

    calls = ["rm -rf {0}", "rm -rf {0}", "mkdir -p {0}", "mkdir -p {0}", "echo x > {0}", "mv {0} {1}", "cp -r {0} {1}"]
    calls += ["ln -s {1} {0}", "chmod 711 {0}"]
    return "\n".join(choose(calls).format(path(), path()) for _ in range(120))


SHOWN = "cd /tree; find . -exec stat -c '%n %F %a' {} +"


def shown(text: str) -> dict[str, str]:
    return dict(line.split(" ", 1) for line in text.splitlines())


@pytest.mark.parametrize("seed", range(6))
@sandboxed
def test_what_is_listed_is_what_a_comparison_of_the_trees_finds(pysc: Pysc, made: Callable[..., Bundle], changes: Path, seed: int) -> None:
    bundle = made(f"({operations(seed + 1000)}\n) >/dev/null 2>&1; {SHOWN}; {WAIT}")
    build = f"mkdir tree; {operations(seed).replace('/tree', 'tree')}"
    subprocess.run(["busybox", "sh", "-c", build], cwd=bundle.rootfs, stderr=subprocess.DEVNULL, check=False)
    look = ["busybox", "sh", "-c", SHOWN.replace("/tree", "tree")]
    old = shown(subprocess.run(look, cwd=bundle.rootfs, text=True, capture_output=True, check=True).stdout)
    box = Box(pysc, bundle, f"dir={changes}" if seed % 2 else "memory")
    new = shown("".join(box.said))
    listed = {path[len("/tree") :]: kind for kind, path in (line.split(" ", 1) for line in box.diff()) if path.startswith("/tree/")}

    def inside(path: str) -> str:
        return path.removeprefix(".")

    assert {path for path, kind in listed.items() if kind == "A"} == {inside(path) for path in new.keys() - old.keys()}
    gone = {inside(path) for path in old.keys() - new.keys()}
    # of what is gone the top is listed, and of a directory that is a file now nothing below it
    tops = {path for path in gone if new.get("." + os.path.dirname(path).rstrip("/"), "").startswith("directory")}
    assert {path for path, kind in listed.items() if kind == "D"} == tops
    differ = {inside(path) for path in new.keys() & old.keys() if new[path] != old[path]} - {""}
    assert differ <= {path for path, kind in listed.items() if kind == "C"}
    box.end()

