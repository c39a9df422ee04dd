"""Workload: su and sudo, which change who somebody is where config.json has noNewPrivileges false."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from containers import requires
from workloads import ENVIRONMENT, PROFILES, debian_config

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from containers import Pysc

pytestmark = [pytest.mark.integration, requires("su", "sudo")]

FILES = {
    "passwd": "root:x:0:0:root:/tmp:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/sh\nnobody:x:65534:65534:nobody:/tmp:/bin/sh\n",
    "group": "root:x:0:\ndaemon:x:1:\nnogroup:x:65534:\n",
    "shadow": "root:*:1::::::\ndaemon:*:1::::::\nnobody:*:1::::::\n",
    "sudoers": "root ALL=(ALL:ALL) ALL\nnobody ALL=(ALL) NOPASSWD: ALL\n",
    "hosts": "127.0.0.1 localhost pysc box\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files\n",
    "pam.d/su": "auth sufficient pam_rootok.so\nauth requisite pam_deny.so\naccount required pam_unix.so\nsession required pam_unix.so\n",
    "pam.d/su-l": "auth sufficient pam_rootok.so\naccount required pam_unix.so\nsession required pam_unix.so\n",
    "pam.d/sudo": "auth required pam_unix.so\naccount required pam_unix.so\nsession required pam_permit.so\n",
    "pam.d/other": "auth required pam_deny.so\n",
}

SCRIPT = r"""
id -u
su nobody -c 'id -un; sudo -n id -un; sudo -n -u daemon id -un; sudo -n sh -c "echo \$SUDO_USER; touch /work/made; stat -c %u /work/made"'
su nobody -c 'su -c id root 2>&1 < /dev/null | tail -n 1'
su - daemon -c 'pwd; sudo -n true 2>&1 | tail -n 1; id -Gn'
"""

EXPECTED = ["0", "nobody", "root", "daemon", "nobody", "0", "su: Authentication failure", "/usr/sbin", "sudo: a password is required", "daemon"]


def _etc(directory: Path) -> Path:
    """An /etc of root's, with these files and nobody's secrets."""
    for name, text in FILES.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o440 if name == "sudoers" else 0o600 if name == "shadow" else 0o644)
    (directory / "alternatives").symlink_to("/nowhere")
    return directory


def _run(pysc: Pysc, root: Path, profile: str, tmp_path: Path, *, no_new_privileges: bool) -> Any:
    bundle, work = tmp_path / "bundle", tmp_path / "work"
    bundle.mkdir()
    work.mkdir()
    config = debian_config(root, ["sh", "-c", SCRIPT], ENVIRONMENT, work, process={"noNewPrivileges": no_new_privileges})
    for mount in config["mounts"]:
        if mount["destination"] == "/usr":
            mount["options"].remove("nosuid")
        if mount["destination"] == "/etc":
            mount["source"] = str(_etc(tmp_path / "etc"))
    (bundle / "config.json").write_text(json.dumps(config))
    return pysc("--profile", profile, "run", "--bundle", bundle, pysc.id)


@pytest.mark.parametrize("profile", PROFILES)
def test_su_and_sudo(pysc: Pysc, debian_root: Path, profile: str, tmp_path: Path) -> None:
    done = _run(pysc, debian_root, profile, tmp_path, no_new_privileges=False)
    lines = [line.removeprefix("Password: ") for line in done.out.splitlines()]
    assert lines == EXPECTED, done


def test_no_new_privileges_hold_for_them(pysc: Pysc, debian_root: Path, tmp_path: Path) -> None:
    done = _run(pysc, debian_root, "standard", tmp_path, no_new_privileges=True)
    assert done.out.splitlines()[:2] == ["0", "nobody"], done
    assert "root" not in done.out.split(), done
    assert "no new privileges" in done.err, done
