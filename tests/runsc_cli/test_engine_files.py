"""install and uninstall: what becomes of the files of engines, those among them that nobody can read."""

from __future__ import annotations

import configparser
import json
import os
import shutil
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from runsc_cli import engine_files
from runsc_cli.errors import PyscError

BINARY = "/opt/pysc/bin/pysc"


def run(*words: object, code: int = 0) -> str:
    """The command itself; what it says."""
    argv = [sys.executable, "-m", "runsc_cli.main", *map(str, words)]
    ran = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    assert ran.returncode == code, ran
    return ran.stdout + ran.stderr


@pytest.fixture
def command(tmp_path: Path) -> Path:
    path = tmp_path / "bin" / "pysc"
    path.parent.mkdir()
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


# ---- Docker ----


def test_docker_keeps_what_it_does_not_know(tmp_path: Path, command: Path) -> None:
    file = tmp_path / "daemon.json"
    config = {"unknown": [1, {"ü": 1.5}], "runtimes": {"runsc": {"path": "/x", "runtimeArgs": ["-d"]}}, "log-level": "warn"}
    file.write_text(json.dumps(config))
    file.chmod(0o640)
    before = file.read_text()
    said = run("install", "--docker-config", file, "--path", command)
    assert said == f"wrote {file}, what was there is in {file}.~1~\nrestart Docker: systemctl restart docker\n"
    now = json.loads(file.read_text())
    assert now == {**config, "runtimes": {**config["runtimes"], "pysc": {"path": str(command)}, "pysc-trusted": {"path": f"{command}-trusted"}}}
    assert list(now) == list(config)
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert (tmp_path / "daemon.json.~1~").read_text() == before
    assert run("install", "--docker-config", file, "--path", command) == f"docker: {file} has it already\n"
    assert not (tmp_path / "daemon.json.~2~").exists()
    run("uninstall", "--docker-config", file)
    assert json.loads(file.read_text()) == config
    assert run("uninstall", "--docker-config", file) == f"docker: {file} has nothing of pysc already\n"
    assert sorted(os.listdir(tmp_path)) == ["bin", "daemon.json", "daemon.json.~1~", "daemon.json.~2~"]


def test_options_that_somebody_gave_our_runtime_stay(tmp_path: Path) -> None:
    file = tmp_path / "daemon.json"
    file.write_text('{"runtimes": {"pysc": {"path": "/old", "runtimeArgs": ["--debug"]}}}')
    change = engine_files.docker(str(file), BINARY, install=True)
    assert change is not None
    assert json.loads(change.now or "")["runtimes"]["pysc"] == {"path": BINARY, "runtimeArgs": ["--debug"]}


@pytest.mark.parametrize("content", [None, "", "\n", "{}"])
def test_docker_without_a_configuration(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "etc" / "daemon.json"
    if content is not None:
        file.parent.mkdir()
        file.write_text(content)
    change = engine_files.docker(str(file), BINARY, install=True)
    assert change is not None
    kept = change.write()
    assert bool(kept) is (content is not None)
    assert json.loads(file.read_text()) == {"runtimes": {"pysc": {"path": BINARY}, "pysc-trusted": {"path": f"{BINARY}-trusted"}}}


@pytest.mark.parametrize(
    "content",
    [b"{", b"[]", b"7", b'{"a": 1, "a": 2}', b'{"runtimes": []}', b"\xff\xfe{}", b"[" * 100_000, b'// comment\n{"a": 1}'],
    ids=lambda value: str(value[:12]),
)
def test_what_docker_could_not_read_is_left_alone(tmp_path: Path, command: Path, content: bytes) -> None:
    file = tmp_path / "daemon.json"
    file.write_bytes(content)
    said = run("install", "--docker-config", file, "--path", command, code=1)
    assert "left alone" in said
    assert said.count("\n") == 1
    assert file.read_bytes() == content
    assert sorted(os.listdir(tmp_path)) == ["bin", "daemon.json"]


def test_a_default_runtime_is_not_taken_away(tmp_path: Path) -> None:
    file = tmp_path / "daemon.json"
    file.write_text('{"runtimes": {"pysc": {"path": "/x"}}, "default-runtime": "pysc"}')
    with pytest.raises(PyscError, match="default-runtime is 'pysc': change that first"):
        engine_files.docker(str(file), "", install=False)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["dir", "fifo", "device"])
def test_what_is_no_file(tmp_path: Path, make: Any) -> None:
    make(tmp_path / "daemon.json")
    with pytest.raises(PyscError, match=r"no configuration file|is a directory"):
        engine_files.docker(str(tmp_path / "daemon.json"), BINARY, install=True)


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real.json").write_text("{}")
    (tmp_path / "daemon.json").symlink_to("real.json")
    change = engine_files.docker(str(tmp_path / "daemon.json"), BINARY, install=True)
    assert change is not None
    change.write()
    assert (tmp_path / "daemon.json").is_symlink()
    assert "pysc" in (tmp_path / "real.json").read_text()


# ---- containerd ----

CONTAINERD = """# mine
version = 2
root = "/var/lib/containerd"

[plugins]
  [plugins."io.containerd.grpc.v1.cri"]
    sandbox_image = "pause:3.6" # this one
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
"""


@pytest.mark.parametrize("content", [CONTAINERD, "version = 2\n", "", None, CONTAINERD.rstrip(), CONTAINERD.partition("[plugins]")[0]])
def test_containerd_keeps_the_text_and_its_meaning(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "config.toml"
    if content is not None:
        file.write_text(content)
    change = engine_files.containerd(str(file), BINARY, install=True)
    assert change is not None
    change.write()
    now = file.read_text()
    assert now.startswith((content or "version = 2").rstrip())
    runtimes = tomllib.loads(now)["plugins"]["io.containerd.grpc.v1.cri"]["containerd"]["runtimes"]
    assert runtimes["pysc"]["options"]["BinaryName"] == BINARY
    assert runtimes["pysc-trusted"]["options"]["BinaryName"] == f"{BINARY}-trusted"
    assert engine_files.containerd(str(file), BINARY, install=True) is None
    moved = engine_files.containerd(str(file), "/elsewhere/pysc", install=True)
    assert moved is not None
    assert (moved.now or "").count("[plugins.") == now.count("[plugins.")
    back = engine_files.containerd(str(file), "", install=False)
    assert back is not None
    back.write()
    assert tomllib.loads(file.read_text()) == (tomllib.loads(content) if content else {"version": 2})
    assert file.read_text().rstrip() == (content or "version = 2").rstrip()


def test_containerd_2(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("version = 3\n")
    change = engine_files.containerd(str(file), BINARY, install=True)
    assert change is not None
    assert "pysc" in tomllib.loads(change.now or "")["plugins"]["io.containerd.cri.v1.runtime"]["containerd"]["runtimes"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("version = ", "is no TOML, it is left alone"),
        ("x = 1\n", "has version 1, and 2 and 3 are known"),
        ("version = 7\n", "has version 7"),
        ('version = 2\n[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.pysc]\n', "has a runtime 'pysc' already"),
        ('version = 2\n[plugins."io.containerd.grpc.v1.cri".containerd]\nruntimes = {}\n', "is left alone"),
        (f"version = 2\n{engine_files._BEGIN}\n", "marks around what pysc has written are damaged"),
        (f"version = 2\n{engine_files._END}\n", "marks around what pysc has written are damaged"),
        (f"version = 2\n{engine_files._BEGIN}\n{engine_files._END}\n{engine_files._BEGIN}\n", "marks around"),
    ],
)
def test_what_is_not_understood_is_left_alone(tmp_path: Path, content: str, why: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(content)
    with pytest.raises(PyscError, match=why):
        engine_files.containerd(str(file), BINARY, install=True)
    assert os.listdir(tmp_path) == ["config.toml"]


@pytest.mark.skipif(shutil.which("containerd") is None, reason="not installed: containerd")
def test_containerd_itself_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    change = engine_files.containerd(str(file), BINARY, install=True)
    assert change is not None
    change.write()
    dump = subprocess.run(["containerd", "--config", file, "config", "dump"], capture_output=True, text=True, check=True).stdout
    assert f'BinaryName = "{BINARY}"' in dump


@pytest.mark.skipif(shutil.which("dockerd") is None, reason="not installed: dockerd")
def test_docker_itself_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "daemon.json"
    change = engine_files.docker(str(file), BINARY, install=True)
    assert change is not None
    change.write()
    # --validate came with Docker 23; before, what the file is checked for comes before anything else is done
    done = subprocess.run(["dockerd", "--validate", "--config-file", file], capture_output=True, text=True, check=False, timeout=30)
    if "unknown flag" in done.stderr:
        pytest.skip("dockerd has no --validate (Docker 23)")
    assert done.returncode == 0, done.stderr


# ---- podman ----


def test_podman_has_a_file_of_our_own(tmp_path: Path, command: Path) -> None:
    file = tmp_path / "conf.d" / "pysc.conf"
    run("install", "--podman-config", file, "--path", command)
    assert tomllib.loads(file.read_text()) == {"engine": {"runtimes": {"pysc": [str(command)], "pysc-trusted": [f"{command}-trusted"]}}}
    assert "has it already" in run("install", "--podman-config", file, "--path", command)
    assert f"removed {file}" in run("uninstall", "--podman-config", file)
    assert not file.exists()
    file.write_text("[engine]\n")
    assert "was not written by pysc: it is left alone" in run("install", "--podman-config", file, "--path", command, code=1)


# ---- systemd ----


def test_a_unit_for_a_zygote(tmp_path: Path) -> None:
    command = tmp_path / 'a "b" 100%' / "pysc"
    command.parent.mkdir()
    shutil.copy(sys.executable, command)
    file = tmp_path / "pysc-zygote.service"
    said = run("install", "--zygote-config", file, "--path", command)
    assert said == f"wrote {file}\nstart it: systemctl daemon-reload && systemctl enable --now pysc-zygote\n"
    unit = configparser.RawConfigParser()
    unit.read(file)
    assert unit["Service"]["ExecStart"] == rf'"{tmp_path}/a \"b\" 100%%/pysc" zygote'
    assert "has it already" in run("install", "--zygote-config", file, "--path", command)
    assert run("uninstall", "--zygote-config", file).startswith(f"removed {file}")
    assert not file.exists()


def test_no_unit_for_a_command_that_would_ask_no_zygote(tmp_path: Path, command: Path) -> None:
    said = run("install", "--zygote-config", tmp_path / "unit", "--docker-config", tmp_path / "d.json", "--path", command, code=1)
    assert f"{command} asks no zygote: `{sys.executable} -Im runsc_cli.command` writes one that does" in said
    assert sorted(os.listdir(tmp_path)) == ["bin"]


# ---- all ----


def test_a_dry_run_shows_and_writes_nothing(tmp_path: Path, command: Path) -> None:
    file = tmp_path / "daemon.json"
    file.write_text("{}\n")
    said = run("install", "--docker-config", file, "--containerd-config", tmp_path / "config.toml", "--path", command, "--dry-run")
    assert f'+            "path": "{command}"' in said
    assert f'+    BinaryName = "{command}"' in said
    assert file.read_text() == "{}\n"
    assert sorted(os.listdir(tmp_path)) == ["bin", "daemon.json"]


def test_all_or_nothing(tmp_path: Path, command: Path) -> None:
    (tmp_path / "config.toml").write_text("no toml")
    said = run("install", "--docker-config", tmp_path / "d.json", "--containerd-config", tmp_path / "config.toml", "--path", command, code=1)
    assert "is no TOML" in said
    assert sorted(os.listdir(tmp_path)) == ["bin", "config.toml"]


@pytest.mark.parametrize("path", ["/nonexistent/pysc", "/etc/passwd", "/bin"])
def test_a_command_that_is_none(tmp_path: Path, path: str) -> None:
    assert "is no program called pysc" in run("install", "--docker-config", tmp_path / "d.json", "--path", path, code=1)
    assert os.listdir(tmp_path) == []


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, command: Path) -> None:
    """As on a full disk: the limit on a file's size makes write(2) fail."""
    file = tmp_path / "daemon.json"
    file.write_text("{}\n")
    argv = ["prlimit", "--fsize=0", sys.executable, "-m", "runsc_cli.main", "install", "--docker-config", file, "--path", command]
    ran = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    assert ran.returncode == 1
    assert f"write {file}: file too large" in ran.stderr
    assert file.read_text() == "{}\n"
    assert sorted(os.listdir(tmp_path)) == ["bin", "daemon.json"]
