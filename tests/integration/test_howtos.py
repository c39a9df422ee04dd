"""`docs/engines.md`, followed literally: what it says to write is in the engines' files (tests/engines.py), what to type is typed here."""

from __future__ import annotations

import os
import shlex
import subprocess
from typing import TYPE_CHECKING

import howto
import pytest
from containers import requires
from engines import CTR_PROGRAMS, DOCKER_PROGRAMS, PODMAN_PROGRAMS, Containerd, Docker, Podman, pysc_binary, remove_cgroups, settle
from user import User

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    requires("busybox", "cc", "setpriv"),
]


def commands(section: str) -> str:
    """The last block of a section: the ones before it are for files."""
    return howto.blocks(section, pysc_binary())[-1]


def typed(script: str, directory: Path, **programs: list[str]) -> str:
    """What a script prints in which a program's name stands for a command line, the one of the test's own engine."""
    for name, argv in programs.items():
        (directory / name).write_text(f'#!/bin/sh\nPATH=${{PATH#*:}} exec {shlex.join(argv)} "$@"\n')
        (directory / name).chmod(0o755)
    env = {**os.environ, "PATH": f"{directory}:{os.environ['PATH']}"}
    ran = subprocess.run(["sh", "-eu", "-c", script], capture_output=True, text=True, env=env, timeout=90, check=False)
    assert ran.returncode == 0, ran
    return ran.stdout


@requires(*CTR_PROGRAMS)
def test_containerd(tmp_path: Path, busybox_rootfs: Path) -> None:
    remove = remove_cgroups(("default",))
    containerd = Containerd(tmp_path, busybox_rootfs)
    try:
        ctr = containerd.inside("ctr", "--address", containerd.socket)
        assert typed(commands("containerd"), tmp_path, ctr=ctr) == "hello\n"
    finally:
        settle()
        containerd.stop()
        remove()


@requires(*DOCKER_PROGRAMS)
def test_docker(tmp_path: Path, busybox_rootfs: Path) -> None:
    remove = remove_cgroups(("docker",))
    (tmp_path / "c").mkdir()
    containerd = Containerd(tmp_path / "c", busybox_rootfs)
    options = ("--iptables=false", "--ip6tables=false", "--bridge=none", "--ip-forward=false", "--ip-masq=false")
    docker = Docker(containerd, tmp_path, *options)
    try:
        assert typed(commands("Docker"), tmp_path, docker=docker.argv("info")[:-1]) == "hello\n"
    finally:
        settle()
        docker.stop()
        containerd.stop()
        remove()


@requires(*PODMAN_PROGRAMS)
def test_podman(tmp_path: Path, busybox_rootfs: Path) -> None:
    remove = remove_cgroups(("libpod_parent",))
    (tmp_path / "bin").mkdir()
    podman = Podman(tmp_path, busybox_rootfs)
    try:
        assert typed(commands("podman"), tmp_path / "bin", podman=podman.argv()) == "hello\n"
    finally:
        settle()
        podman.stop()
        remove()


@requires("newuidmap")
def test_an_ordinary_user() -> None:
    user = User(65536)
    try:
        first, second = howto.blocks("An ordinary user", pysc_binary())[0].split("\n\n")
        script = f"pysc() {{ {shlex.join(user.argv('pysc')[-4:])} \"$@\"; }}\n"
        assert user("sh", "-euc", script + first).out == "0\n"
        done = user("sh", "-euc", script + second)
        assert done.out == "hello\n", done
    finally:
        user.stop()
