"""deploy/kubernetes: what `pysc install` writes is what containerd reads, and the manifests say what the handler is called."""

from __future__ import annotations

import subprocess
from pathlib import Path

import yaml
from containers import requires
from engines import pysc_binary

PYSC = pysc_binary()
DEPLOY = Path(__file__).resolve().parents[2] / "deploy" / "kubernetes"


def configure(config: Path) -> str:
    argv = [PYSC, "install", "--containerd-config", config]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def dump(config: Path) -> str:
    """The configuration as containerd understands it."""
    return subprocess.run(["containerd", "--config", config, "config", "dump"], capture_output=True, text=True, check=True).stdout


@requires("containerd")
def test_a_configuration_is_made(tmp_path: Path) -> None:
    config = tmp_path / "etc" / "config.toml"
    assert "restart containerd" in configure(config)
    shown = dump(config)
    assert f'BinaryName = "{PYSC}"' in shown
    assert "containerd.runtimes.runc]" in shown
    assert "already" in configure(config)


@requires("containerd")
def test_a_configuration_is_extended_and_kept(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    before = 'version = 2\n[plugins."io.containerd.grpc.v1.cri"]\n  sandbox_image = "registry.local/pause:3.6"\n'
    before += '[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]\n  runtime_type = "io.containerd.runc.v2"\n'
    config.write_text(before)
    configure(config)
    shown = dump(config)
    assert 'sandbox_image = "registry.local/pause:3.6"' in shown
    assert f'BinaryName = "{PYSC}"' in shown
    assert config.read_text().count("runtimes.runc]") == 1


def test_the_manifests() -> None:
    runtime_class = yaml.safe_load((DEPLOY / "runtimeclass.yaml").read_text())
    assert (runtime_class["kind"], runtime_class["handler"]) == ("RuntimeClass", "pysc")
    installer = yaml.safe_load((DEPLOY / "installer.yaml").read_text())
    (container,) = installer["spec"]["template"]["spec"]["initContainers"]
    assert installer["spec"]["selector"]["matchLabels"] == installer["spec"]["template"]["metadata"]["labels"]
    assert container["image"] in (DEPLOY / "README.md").read_text()
    labels = {*runtime_class["scheduling"]["nodeSelector"], *installer["spec"]["template"]["spec"]["nodeSelector"]}
    assert all(label in (DEPLOY / "README.md").read_text() for label in labels)
