from __future__ import annotations

import json
from typing import TYPE_CHECKING

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
