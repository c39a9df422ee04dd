from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from configs import DEFAULT, changed

from runsc_cli import mount_options
from runsc_cli.errors import SpecError
from runsc_cli.spec import parse
from runsc_cli.verbs.features import features
from runsc_cli.version import SPEC_VERSION

if TYPE_CHECKING:
    from stand_ins import Pysc


def test_the_form_is_the_specifications(pysc: Pysc) -> None:
    answer = pysc("features")
    assert answer.code == 0
    features = json.loads(answer.out)
    assert (features["ociVersionMin"], features["ociVersionMax"]) == ("1.0.0", SPEC_VERSION)
    assert features["hooks"][0] == "prestart"
    assert {"bind", "ro", "rprivate", "tmpcopyup"} <= set(features["mountOptions"])
    assert features["mountOptions"] == sorted(set(features["mountOptions"]))
    linux = features["linux"]
    assert "user" in linux["namespaces"]
    assert linux["capabilities"][0] == "CAP_CHOWN"
    assert linux["capabilities"][-1] == "CAP_CHECKPOINT_RESTORE"
    assert len(linux["capabilities"]) == 41
    assert set(linux["cgroup"]) >= {"v1", "v2", "systemd", "systemdUser"}
    assert isinstance(linux["seccomp"]["enabled"], bool)


def test_it_says_what_is_done() -> None:
    """Each word of it in a config is taken; what it says no to is refused."""
    says = features()
    for option in says["mountOptions"]:
        parsed = mount_options.parse([option])
        assert parsed.data == ""
    linux = says["linux"]
    for kind in linux["namespaces"]:
        parse(changed(DEFAULT, "linux.namespaces", [{"type": each} for each in {kind, "pid", "mount", "uts", "network"}]))
    for action in linux["seccomp"]["actions"]:
        parse(changed(DEFAULT, "linux.seccomp", {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["sync"], "action": action}]}))
    for mode in linux["memoryPolicy"]["modes"]:
        parse(changed(DEFAULT, "linux.memoryPolicy", {"mode": mode, "nodes": "0", "flags": linux["memoryPolicy"]["flags"][:1]}))
    refused = {"intelRdt": {"closID": "x"}, "mountLabel": "system_u:object_r:x:s0"}
    for field, value in refused.items():
        assert linux.get(field, linux["selinux"])["enabled"] is False
        with pytest.raises(SpecError, match=f"^linux.{field}: "):
            parse(changed(DEFAULT, f"linux.{field}", value))
