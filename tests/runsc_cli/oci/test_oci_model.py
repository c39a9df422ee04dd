from __future__ import annotations

from typing import Any

import pytest
from configs import DEFAULT, FULL

from runsc_cli.oci.model import Mount, Spec
from runsc_cli.oci.object import Object


def _without_defaults(value: Any) -> Any:
    """What Go leaves out as well: false, 0, "" and the empty."""
    if isinstance(value, dict):
        return {k: w for k, v in value.items() if (w := _without_defaults(v)) not in (None, False, 0, "", [], {})}
    return [_without_defaults(v) for v in value] if isinstance(value, list) else value


def _json(value: Any) -> Any:
    if isinstance(value, Object):
        return {value.spell(name): _json(each) for name, each in vars(value).items()}
    if isinstance(value, dict):
        return {name: _json(each) for name, each in value.items()}
    return [_json(each) for each in value] if isinstance(value, tuple) else value


@pytest.mark.parametrize("config", [DEFAULT, FULL], ids=["default", "full"])
def test_nothing_is_lost(config: dict[str, Any]) -> None:
    spec = Spec.of(config)
    assert _without_defaults(_json(spec)) == _without_defaults(config)
    assert Spec.of(config) == spec


def test_a_limit_of_nothing_is_not_the_absence_of_a_limit() -> None:
    spec = Spec.of(FULL)
    assert spec.linux.resources is not None
    assert spec.linux.resources.pids is not None
    assert spec.linux.resources.pids.limit == 0
    assert spec.linux.resources.memory is not None
    assert spec.linux.resources.memory.disable_oom_killer is False
    default = Spec.of(DEFAULT)
    assert default.process.oom_score_adj is None
    assert default.process.user.umask is None


def test_a_spec_cannot_be_changed() -> None:
    spec = Spec.of(DEFAULT)
    with pytest.raises(AttributeError):
        spec.hostname = "other"  # type: ignore[misc]


def test_namespaces_by_type() -> None:
    linux = Spec.of(DEFAULT).linux
    assert linux.namespace("pid") is linux.namespaces[0]
    assert linux.namespace("time") is None


def test_a_relative_destination_is_below_the_root() -> None:
    assert Mount(destination="data/x").target == "/data/x"
    assert Mount(destination="/data").target == "/data"


def test_a_spec_is_its_own_json_again() -> None:
    spec = Spec.of(FULL)
    plain = spec.plain()
    assert {name: plain["linux"][name] for name in FULL["linux"]} == FULL["linux"]
    assert Spec.of(plain) == spec
