from __future__ import annotations

import signal

import pytest

from runsc_cli.errors import UnknownSignal
from runsc_cli.signals import parse


@pytest.mark.parametrize("member", list(signal.Signals), ids=lambda s: s.name)
def test_every_name_of_this_system(member: signal.Signals) -> None:
    short = member.name.removeprefix("SIG")
    for spelling in (member.name, short, short.lower(), member.name.title(), str(int(member))):
        assert parse(spelling) == member


def test_realtime_signals_count_from_both_ends() -> None:
    assert parse("RTMIN+3") == signal.SIGRTMIN + 3
    assert parse("SIGRTMAX-1") == signal.SIGRTMAX - 1
    assert parse("RTMIN+30") == signal.SIGRTMAX


def test_zero_probes() -> None:
    assert parse("0") == 0


@pytest.mark.parametrize("text", ["", "SIG", "BADSIG", "65", "-9", "9" * 5000, "RTMIN+31", "RTMAX-31", "RTMIN-1", "RTMIN+", "٣", "SIGSIGKILL"])
def test_what_is_no_signal(text: str) -> None:
    with pytest.raises(UnknownSignal):
        parse(text)
