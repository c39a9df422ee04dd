"""What pysc cannot do is refused with the field's name, never ignored."""

from __future__ import annotations

from typing import Any

import pytest
from configs import DEFAULT, changed

from runsc_cli.errors import SpecError
from runsc_cli.oci import enforce
from runsc_cli.oci.model import Process
from runsc_cli.spec import parse


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("process.selinuxLabel", "label", "process.selinuxLabel"),
        ("linux.mountLabel", "label", "linux.mountLabel"),
        ("linux.intelRdt", {}, "linux.intelRdt"),
        ("linux.namespaces[5]", {"type": "user", "path": "/proc/1/ns/user"}, "linux.namespaces[5].path"),
        ("linux.namespaces[4].path", "/proc/1/ns/mnt", "linux.namespaces[4].path"),
        ("linux.namespaces[0].path", "/proc/1/ns/pid", "linux.namespaces[0].path"),
        ("linux.namespaces", [{"type": "pid"}, {"type": "uts"}], "linux.namespaces"),
        ("linux.namespaces", [{"type": "mount"}, {"type": "uts"}], "linux.namespaces"),
        ("mounts[7]", {"destination": "/", "options": ["remount", "size=1m"]}, "mounts[7].options"),
        ("mounts[7]", {"destination": "/a/../b", "type": "tmpfs"}, "mounts[7].destination"),
        ("mounts[7]", {"destination": "/proc2", "type": "proc"}, "mounts[7].destination"),
        ("mounts[7]", {"destination": "/chroot/proc", "type": "proc"}, "mounts[7].destination"),
    ],
)
def test_refused(path: str, value: Any, field: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse(changed(DEFAULT, path, value))
    assert caught.value.path == field
    assert caught.value.why


@pytest.mark.parametrize("mount", [
    {"destination": "//proc/./", "type": "proc"},
    {"destination": "proc", "type": "proc"},
    {"destination": "/data", "type": "proc", "source": "/srv", "options": ["bind"]},
])  # fmt: skip
def test_the_procfs_is_on_proc(mount: dict[str, Any]) -> None:
    parse(changed(DEFAULT, "mounts[7]", mount))


def test_apparmor_depends_on_the_host(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    process = Process(args=("x",), cwd="/", apparmor_profile="docker-default")
    enabled = tmp_path / "enabled"
    monkeypatch.setattr(enforce, "APPARMOR", str(enabled))
    for state in (None, "N\n"):
        if state:
            enabled.write_text(state)
        with pytest.raises(SpecError) as caught:
            enforce.process(process, "process")
        assert caught.value.path == "process.apparmorProfile"
    enabled.write_text("Y\n")
    enforce.process(process, "process")


def test_no_profile_is_no_profile() -> None:
    raw = changed(DEFAULT, "process.apparmorProfile", "unconfined")
    assert parse(raw).warnings == []
