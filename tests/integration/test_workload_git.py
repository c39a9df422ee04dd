"""Workload: git makes a repository with hundreds of commits, clones, packs and checks it; the hashes are those of the native run."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from containers import requires
from workloads import native

if TYPE_CHECKING:
    from pathlib import Path

    from workloads import Sandbox

pytestmark = [pytest.mark.integration, pytest.mark.timeout(220), requires("git")]

# 500 commits are 500 git processes with some thirty mediated calls each: in one sandbox, and with --long in all
COMMITS, FEWER, ALWAYS_ALL = 500, 100, "bundle-strict"

ENVIRONMENT = {
    "GIT_AUTHOR_NAME": "A U Thor",
    "GIT_AUTHOR_EMAIL": "author@example.com",
    "GIT_AUTHOR_DATE": "1700000000 +0100",
    "GIT_COMMITTER_NAME": "C O Mitter",
    "GIT_COMMITTER_EMAIL": "committer@example.com",
    "GIT_COMMITTER_DATE": "1700000000 +0100",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
}

# gc.auto: no repacking in the background; pack.threads: how deltas are found depends on the number of threads
SCRIPT = r"""
set -eu
git init -q -b main repo
cd repo
git config gc.auto 0
git config pack.threads 1
mkdir src docs
for i in 0 1 2 3 4 5 6 7 8 9; do echo "start $i" > src/$i.txt; done
ln -s ../src/0.txt docs/link
printf '#!/bin/sh\necho hook >> .git/hooked\n' > .git/hooks/post-commit
chmod +x .git/hooks/post-commit
git add -A
i=0
while [ $i -lt $COMMITS ]; do
    echo "line $i" >> src/$((i % 10)).txt
    git commit -q -a -m "change $i"
    i=$((i + 1))
done
wc -l < .git/hooked
git tag -a -m 'a tag' v1
git checkout -q -b side HEAD~3
echo side > docs/side
git add docs/side
git commit -q -m side
git checkout -q main
git merge -q --no-edit side
git mv src/9.txt docs/9.txt
git commit -q -m 'a rename'
git rm -q src/8.txt
git stash -q
git stash pop -q --index
git commit -q -m 'a removal'
git rev-parse HEAD v1 side
git rev-list --all --count
git status --porcelain
cd ..
git clone -q --no-local repo clone
git clone -q repo linked
git -C clone gc -q --prune=now
git -C repo gc -q --prune=now
for of in repo clone linked; do
    git -C $of rev-parse HEAD
    git -C $of fsck --full --strict --no-progress
    git -C $of status --porcelain
    git -C $of log -M --summary --format=%H | sha256sum
done
git -C repo count-objects -v | sed /size/d
diff -r --exclude=.git repo clone
diff -r --exclude=.git repo linked
ls repo/.git/objects/pack
"""


def objects(directory: Path) -> dict[str, str]:
    """Files and hashes of their contents: of all in .git but the index (inode numbers), configuration and logs (path of the clone's origin)."""
    found = {}
    for path in directory.rglob("*"):
        if path.is_file() and path.name not in {"index", "config"} and "logs" not in path.parts:
            found[str(path.relative_to(directory))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def test_commits_have_the_hashes_of_the_native_run(sandbox: Sandbox, tmp_path: Path, long: bool) -> None:
    work, other = tmp_path / "work", tmp_path / "native"
    for directory in (work, other):
        directory.mkdir()
    env = {**ENVIRONMENT, "COMMITS": str(COMMITS if long or str(sandbox) == ALWAYS_ALL else FEWER)}
    expected = native(other, ["sh", "-c", SCRIPT], env)
    assert (expected.code, expected.err) == (0, ""), expected
    done = sandbox.run(work, ["sh", "-c", SCRIPT], env)
    assert (done.out, done.err, done.code) == (expected.out, expected.err, expected.code)
    assert objects(work) == (objects(other) if sandbox.kind == "bundle" else {})
