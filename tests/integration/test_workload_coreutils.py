"""Workload: cp, tar, find, du, mv, chmod, chown and rm over a tree of 2,500 files (--long: 20,000) keep all that a file has, as natively."""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from containers import requires
from workloads import native

if TYPE_CHECKING:
    from collections.abc import Iterator

    from containers import Done
    from workloads import Sandbox

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400), requires("cp", "tar", "find", "du", "/usr/bin/python3")]

SHORT, LONG = (25, 100), (100, 200)
"""Directories, and names in each of them."""

SCRIPT = r"""
set -u
manifest() { /usr/bin/python3 manifest.py "$@"; }
manifest tree > $OUT/before
cp -a tree $OUT/copy
manifest $OUT/copy > $OUT/of-copy; cmp $OUT/before $OUT/of-copy
tar --xattrs --xattrs-include='*' -cf $OUT/tree.tar tree
mkdir $OUT/un
tar --xattrs --xattrs-include='*' --same-owner --warning=no-timestamp -pxf $OUT/tree.tar -C $OUT/un
manifest $OUT/un/tree > $OUT/of-tar; diff $OUT/before $OUT/of-tar
diff -r --no-dereference --exclude=fifo --exclude=socket $OUT/copy $OUT/un/tree
for dir in tree $OUT/copy; do
    find $dir -printf '%P %y %m %U %G %l %Y\0' | sort -z | sha256sum
    find $dir -links +1 | wc -l
    find $dir -perm /6000 -type f | wc -l
    find $dir -xtype l | wc -l
    find $dir -newermt 2020-01-01 -user 1000 -size -2 | wc -l
    find $dir -type f -print0 | sort -z | xargs -0 cat | sha256sum
    find -L $dir -type f -name '*7*' 2>&1 | sort | sha256sum
    du -s --inodes $dir | cut -f 1
done
du -a tree | sort | sha256sum
du -s --apparent-size tree
ls -lR --time-style=full-iso tree | sha256sum
chmod -R u+rwX,g-w,o= $OUT/copy/d0*
chown -R -h 7:8 $OUT/copy/d0*
chown -R nobody $OUT/copy/d01/*
touch -h -d @1000000000.123456789 $OUT/copy/d1*/*
mv $OUT/copy/d02 $OUT/moved
mv $OUT/moved/* $OUT/copy/d03/sub
ln $OUT/copy/d10/first $OUT/copy/another; ln -sfn d10 $OUT/copy/link
rm -rf $OUT/copy/d2* $OUT/un
find $OUT/copy -depth -name 'f*3' -delete
find $OUT/copy -newermt 2024-01-01 ! -newermt 2038-01-01 -exec touch -h -d @5 {} +
manifest $OUT/copy
wc -l < $OUT/before
"""

ACCESS_ACL = struct.pack("<I" + "HHI" * 5, 2, 1, 7, 0xFFFFFFFF, 2, 5, 1000, 4, 5, 0xFFFFFFFF, 0x10, 5, 0xFFFFFFFF, 0x20, 4, 0xFFFFFFFF)
"""user::rwx, user:1000:r-x, group::r-x, mask::r-x, other::r--; linux/posix_acl_xattr.h"""
NET_RAW = struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0)
"""cap_net_raw=ep; linux/capability.h: struct vfs_cap_data"""
TIMES = (-1, 0, 1_700_000_000_123_456_789, 2**31 * 10**9 + 1, 946_684_800_000_000_000, 4_000_000_000_999_999_999)
MODES = (0o644, 0o600, 0o755, 0o4755, 0o2755, 0o440, 0o666, 0o7777, 0o001)
OWNERS = (0, 1000, 65534, 33)


def make_tree(top: Path, directories: int, each: int) -> None:
    """`each` names in every directory, of every kind that a workload may make."""
    facts = zip(itertools.cycle(MODES), itertools.cycle(OWNERS), itertools.cycle(TIMES))
    top.mkdir()
    for number in range(directories):
        directory = top / f"d{number:02}"
        (directory / "sub").mkdir(parents=True)
        made = [directory / "sub", *_special(directory, number)]
        while len(made) < each:
            path = directory / f"f{len(made)}" if len(made) % 2 else directory / "sub" / f"name with {len(made)}"
            path.write_bytes(b"%d\n" % len(made) * (len(made) % 17))
            made.append(path)
        for path, (mode, owner, mtime) in zip((*reversed(made), directory), facts, strict=False):
            os.chown(path, owner, owner // 2, follow_symlinks=False)
            if not path.is_symlink():
                os.chmod(path, mode)
            if path.name == "attributes":
                os.setxattr(path, "security.capability", NET_RAW)  # a change of owner takes it away
            os.utime(path, ns=(mtime, mtime), follow_symlinks=False)


def _special(directory: Path, number: int) -> list[Path]:
    """Links, a FIFO, holes, odd names, attributes; one socket."""
    names = ["first", "empty", b"b\xffd\n*name".decode(errors="surrogateescape"), "n" * 255, "holes", "attributes", "acl"]
    first, _, _, _, holes, attributes, acl = paths = [directory / name for name in names]
    for path in paths:
        path.write_bytes(path.name[:10].encode(errors="surrogateescape") if path.name != "empty" else b"")
    os.truncate(holes, 1_000_000 if number % 10 == 0 else 10_000)
    os.setxattr(attributes, "user.origin", b"binary\0\xff" * 5)
    os.setxattr(attributes, "user.empty", b"")
    os.setxattr(acl, "system.posix_acl_access", ACCESS_ACL)
    os.setxattr(directory / "sub", "user.of-directory", b"x")
    links = [directory / name for name in ("same", "dangling", "to-directory", "absolute")]
    links[0].hardlink_to(first)
    (directory / "sub" / "same").hardlink_to(first)
    for link, target in zip(links[1:], ("nowhere", "sub", "/etc/passwd"), strict=True):
        link.symlink_to(target)
    os.mkfifo(directory / "fifo")
    paths += [*links[1:], directory / "fifo"]
    if number == 0:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(f"/proc/self/fd/{(fd := os.open(directory, os.O_PATH))}/socket")
            os.close(fd)
        paths.append(directory / "socket")
    return paths


class Tree:
    """A directory with `tree`, made once, which a workload only reads; it writes to $OUT, which is removed afterwards."""

    def __init__(self, work: Path, directories: int, each: int) -> None:
        self.work = work
        work.mkdir()
        shutil.copy(Path(__file__).parents[1] / "manifest.py", work)
        make_tree(work / "tree", directories, each)
        self.expected, self.left = self._run(None)

    def run(self, sandbox: Sandbox) -> tuple[Done, str]:
        """What it printed, and what lies in $OUT afterwards."""
        return self._run(sandbox)

    def _run(self, sandbox: Sandbox | None) -> tuple[Done, str]:
        out = self.work / "out"
        out.mkdir()
        try:
            command = self.work, ["sh", "-c", SCRIPT], {"OUT": "out"}
            done = sandbox.run(*command, timeout=350) if sandbox else native(*command)
            (out / "tree.tar").unlink(missing_ok=True)  # has the times of directories that were read
            return done, native(self.work, ["/usr/bin/python3", "manifest.py", "out/copy"]).out if (out / "copy").exists() else ""
        finally:
            shutil.rmtree(out)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory, long: bool) -> Iterator[Tree]:
    directory = tmp_path_factory.mktemp("coreutils")
    yield Tree(directory / "work", *(LONG if long else SHORT))
    shutil.rmtree(directory)  # pytest would keep it for three runs


def test_a_tree_is_copied_packed_searched_and_changed_as_natively(sandbox: Sandbox, tree: Tree) -> None:
    assert tree.expected.code == 0
    done, left = tree.run(sandbox)
    assert done.out.splitlines() == tree.expected.out.splitlines()
    assert (done.err, done.code) == (tree.expected.err, tree.expected.code)
    assert left == (tree.left if sandbox.kind == "bundle" else "")
