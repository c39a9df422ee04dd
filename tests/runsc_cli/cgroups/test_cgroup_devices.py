"""Device rules: what they say, what version 1's lists and version 2's program make of it, and what the kernel does."""

from __future__ import annotations

import os
from struct import pack_into
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runsc_cli.cgroups import device_filter
from runsc_cli.cgroups.device_filter import DeviceFilter, assemble, bpf_insn
from runsc_cli.cgroups.devices import rules, v1_writes
from runsc_cli.cgroups.hierarchy import UNIFIED
from runsc_cli.errors import SpecError
from runsc_cli.oci.model import DeviceRule
from sentry.devices import ANY, MKNOD, READ, WRITE, Rule, allows

if TYPE_CHECKING:
    from collections.abc import Callable

    from runsc_cli.cgroups.hierarchy import Hierarchies

_DENY_ALL = DeviceRule(allow=False, access="rwm")
_KINDS = {"b": 1, "c": 2}
_ACCESS = {"r": READ, "w": WRITE, "m": MKNOD}
KMSG = (1, 11)


def listed(config: list[DeviceRule]) -> list[str]:
    return [f"{write.file.removeprefix('devices.')} {write.value}" for write in v1_writes(rules(config))]


def test_the_devices_of_every_container() -> None:
    expected = ["deny a", "allow c *:* m", "allow b *:* m"]
    expected += [f"allow c {node} rwm" for node in ("1:3", "1:5", "1:7", "1:8", "1:9", "5:0", "5:2", "136:*")]
    assert listed([]) == expected
    assert listed([_DENY_ALL]) == expected


def test_a_later_rule_decides() -> None:
    fuse = DeviceRule(allow=True, type="c", major=10, minor=229, access="rw")
    assert "allow c 10:229 rw" in listed([_DENY_ALL, fuse])
    assert "allow c 10:229 r" in listed([fuse, DeviceRule(allow=False, type="c", major=10, access="w")])
    assert not any("10:229" in line for line in listed([fuse, _DENY_ALL]))


def test_everything_allowed() -> None:
    assert listed([DeviceRule(allow=True, access="rwm")]) == ["allow a"]
    kmsg = DeviceRule(allow=False, type="c", major=1, minor=11, access="rw")
    assert listed([DeviceRule(allow=True, type="a", major=-1, minor=-1, access="rwm"), kmsg]) == ["allow a", "deny c 1:11 rw"]


def test_type_a_with_a_part_of_all_is_a_rule_for_both_types() -> None:
    assert {"allow c 10:* r", "allow b 10:* r"} <= set(listed([DeviceRule(allow=True, type="a", major=10, access="r")]))


def test_a_hole_in_an_exception_is_refused_by_version_1() -> None:
    hole = [
        DeviceRule(allow=True, type="c", major=10, access="rw"),
        DeviceRule(allow=False, type="c", major=10, minor=1, access="w"),
    ]
    with pytest.raises(SpecError) as caught:
        listed(hole)
    why = "deny c 10:1 w is an exception to an exception, which cgroup version 1 does not have: reorder the rules"
    assert str(caught.value) == f"linux.resources.devices: {why}"
    assert not allows(rules(hole), "c", 10, 1, WRITE)
    assert allows(rules(hole), "c", 10, 1, READ)


# --- every decision, against a reading of the lists and a simulator of eBPF ---

_numbers = st.sampled_from([ANY, 0, 1, 3, 10, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
_config = st.lists(
    st.builds(
        DeviceRule,
        allow=st.booleans(),
        type=st.sampled_from(["a", "b", "c", ""]),
        major=st.one_of(st.none(), _numbers),
        minor=st.one_of(st.none(), _numbers),
        access=st.sampled_from(["r", "w", "m", "rw", "rwm"]),
    ),
    max_size=6,
)
_concrete = _numbers.filter(lambda number: number != ANY)
_asked = st.tuples(st.sampled_from("bc"), _concrete, _concrete, st.integers(1, 7))


def by_lists(config: list[DeviceRule], kind: str, major: int, minor: int, access: int) -> bool:
    """security/device_cgroup.c with single accesses: its exceptions are not added up."""
    default, *exceptions = listed(config)
    fallback = default == "allow a"
    for line in exceptions:
        verb, type, node, letters = line.split()
        assert verb == ("deny" if fallback else "allow")
        major_listed, minor_listed = (ANY if number == "*" else int(number) for number in node.split(":"))
        exception = Rule(not fallback, type, major_listed, minor_listed, sum(_ACCESS[letter] for letter in letters))
        if exception.matches(kind, major, minor) and exception.access & access:
            return not fallback
    return fallback


def simulate(program: bytes, kind: str, major: int, minor: int, access: int) -> int:
    """kernel/bpf/core.c for the operations that are used; refuses what the verifier would."""
    context = bytearray(12)
    pack_into("<III", context, 0, access << 16 | _KINDS[kind], major, minor)
    register: list[int | None] = [None] * 11
    at = 0
    insns = list(bpf_insn.iter_unpack(program))
    while True:
        code, registers, offset, immediate = insns[at]
        source, destination = registers >> 4, registers & 15
        value = register[destination]
        at += 1
        if code == device_filter.LDX_W:
            assert source == device_filter.CTX
            assert offset in (0, 4, 8)
            register[destination] = int.from_bytes(context[offset : offset + 4], "little")
        elif code == device_filter.MOV:
            assert register[source] is not None
            register[destination] = register[source]
        elif code == device_filter.MOV_IMM:
            register[destination] = immediate & (1 << 64) - 1
        elif code == device_filter.EXIT:
            assert register[0] in (0, 1)
            return register[0]
        else:
            assert value is not None
            low, constant = value & 0xFFFFFFFF, immediate & 0xFFFFFFFF
            if code == device_filter.AND_W:
                register[destination] = low & constant
            elif code == device_filter.RSH_W:
                register[destination] = low >> constant
            elif code == device_filter.JNE_W:
                at += offset if low != constant else 0
            elif code == device_filter.JEQ:
                at += offset if value == immediate else 0
            else:
                raise AssertionError(f"operation {code:#x}")
        assert at < len(insns)


@given(_config, _asked)
def test_the_program_of_version_2_decides_as_the_rules_say(config: list[DeviceRule], asked: tuple[str, int, int, int]) -> None:
    assert simulate(assemble(rules(config)), *asked) == allows(rules(config), *asked)


@given(_config, st.tuples(st.sampled_from("bc"), _concrete, _concrete, st.sampled_from([MKNOD, READ, WRITE])))
def test_the_lists_of_version_1_decide_as_the_rules_say(config: list[DeviceRule], asked: tuple[str, int, int, int]) -> None:
    try:
        decision = by_lists(config, *asked)
    except SpecError:
        return  # a hole: refused, not approximated
    assert decision == allows(rules(config), *asked)


# --- the kernel ---


def enter_and(directory: str, act: Callable[[], None]) -> int:
    """Exit code of a child that joins a cgroup and acts: 0, or the errno of its OSError."""
    pid = os.fork()
    if pid == 0:
        code = 255
        try:
            with open(f"{directory}/cgroup.procs", "w") as procs:
                procs.write("0")
            act()
            code = 0
        except OSError as e:
            code = e.errno or 254
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.fixture
def kmsg(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("dev") / "kmsg")
    try:
        os.mknod(path, 0o20600, os.makedev(*KMSG))
        os.close(os.open(path, os.O_RDONLY))
    except OSError as e:
        pytest.skip(f"cannot make and open a device node here: {e}")
    return path


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("letters", ["", "r", "rw"])
def test_the_kernel_refuses_what_the_rules_do(host: Hierarchies, place: str, kmsg: str, version: int, letters: str) -> None:
    name = "devices" if version == 1 else UNIFIED
    if name not in host.mounts:
        pytest.skip(f"no mount of {name or 'cgroup version 2'}")
    config = [DeviceRule(allow=True, type="c", major=KMSG[0], minor=KMSG[1], access=letters)] if letters else []
    directory = host.mounts[name].point + place
    os.mkdir(directory)
    for step in v1_writes(rules(config)) if version == 1 else [DeviceFilter(rules(config))]:
        step.execute(directory)

    def attempt(path: str, flags: int) -> int:
        return enter_and(directory, lambda: os.close(os.open(path, flags)))

    assert attempt("/dev/null", os.O_RDWR) == 0
    assert attempt(kmsg, os.O_RDONLY) == (0 if "r" in letters else 1)
    assert attempt(kmsg, os.O_WRONLY) == (0 if "w" in letters else 1)
    assert enter_and(directory, lambda: os.mknod(kmsg + "2", 0o20600, os.makedev(*KMSG))) == 0


def test_a_program_that_the_kernel_refuses(tmp_path: object) -> None:
    with pytest.raises(SpecError, match=r"linux\.resources\.devices: attach the device program to .*: "):
        DeviceFilter(rules([])).execute(str(tmp_path))
