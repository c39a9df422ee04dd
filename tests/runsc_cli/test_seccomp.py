"""A config's seccomp profile as a program: every decision at its boundaries, in a simulator of the kernel, and beside libseccomp."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import RETURNS, check, check_program, decide, execute

from runsc_cli.errors import PyscError, SpecError
from runsc_cli.oci.model import Process, Seccomp
from runsc_cli.seccomp import of, prepare, program_of
from sentry.platform import filter_cache
from sentry.platform.bpf import AUDIT_ARCH_X86_64, RET_ALLOW, RET_ERRNO, RET_KILL_PROCESS
from sentry.platform.filter import notified
from sentry.syscalls.numbers import NUMBERS

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

AUDIT_ARCH_I386 = 0x40000003
X32_BIT = 0x40000000


def rule(names: str, action: str, *args: tuple[int, str, int] | tuple[int, str, int, int], **more: object) -> dict[str, Any]:
    tests = [dict(zip(("index", "op", "value", "valueTwo"), (i, f"SCMP_CMP_{op}", *values), strict=False)) for i, op, *values in args]
    return {"names": names.split(), "action": f"SCMP_ACT_{action}", **({"args": tests} if tests else {}), **more}


def profile(default: str, *rules: dict[str, Any], **more: object) -> Seccomp:
    return Seccomp.of({"defaultAction": f"SCMP_ACT_{default}", "syscalls": list(rules), **more})


# The shape of what engines bring: most calls by name, clone and personality by argument, an errno of its own for clone3.
ENGINE = profile(
    "ERRNO",
    rule(" ".join(name for name in NUMBERS if name not in ("clone", "clone3", "personality", "bpf", "mount", "socket", "ptrace")), "ALLOW"),
    rule("llseek _newselect no_such_call", "ALLOW"),  # of other architectures, or of nobody
    *(rule("personality", "ALLOW", (0, "EQ", value)) for value in (0, 8, 0x20000, 0x20008, 0xFFFFFFFF)),
    rule("clone", "ALLOW", (0, "MASKED_EQ", 0x7E020000, 0)),
    rule("clone3", "ERRNO", errnoRet=38),
    rule("socket", "ALLOW", (0, "NE", 40)),
    rule("ptrace", "ALLOW"),
    defaultErrnoRet=1,
    architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
)
PROFILES = {
    "engine": ENGINE,
    "nothing said": profile("ERRNO"),
    "all allowed but a few": profile("ALLOW", rule("kexec_load bpf", "KILL_PROCESS"), rule("personality", "TRAP", (0, "GT", 1 << 32))),
    "every action": profile(
        "TRAP",
        *(rule(name, action) for name, action in zip("read write open close stat fstat lstat".split(), RETURNS, strict=False)),
        rule("poll", "TRACE", errnoRet=77),
        rule("lseek", "ERRNO"),
        rule("mmap", "ERRNO", errnoRet=4095),
    ),
    "every operator": profile(
        "KILL",
        *(
            rule(name, "ALLOW", (i, op, value))
            for value, names in ((0, 0), (5, 7), (1 << 32, 14), ((1 << 33) + 3, 21), ((1 << 64) - 1, 28))
            for i, (name, op) in enumerate(zip(list(NUMBERS)[names : names + 6], ("NE", "LT", "LE", "EQ", "GE", "GT"), strict=True))
        ),
        rule("ioctl", "ALLOW", (1, "MASKED_EQ", 0xFF00, 0x54FF)),
        rule("mprotect", "ALLOW", (2, "MASKED_EQ", 0, 1)),
        rule("shmget", "ALLOW", (2, "MASKED_EQ", 1 << 40 | 4, 1 << 40)),
    ),
    "several arguments": profile(
        "ERRNO",
        rule("socket", "ALLOW", (0, "EQ", 2), (1, "MASKED_EQ", 0xF, 1), (2, "LE", 6)),
        rule("socket", "ALLOW", (0, "EQ", 1)),
        rule("socketpair", "ALLOW", (0, "GE", 1), (0, "LT", 1 << 33)),  # one argument twice: either
        rule("mmap", "ALLOW", (2, "EQ", 1), (2, "EQ", 3), (3, "EQ", 2)),
    ),
    "two that hold": profile(
        "ERRNO",
        rule("personality", "ALLOW", (0, "GE", 5)),
        rule("personality", "KILL_PROCESS", (0, "EQ", 7)),
        rule("personality", "LOG", (1, "EQ", 7)),
        rule("ptrace", "ALLOW", (0, "EQ", 7)),
        rule("ptrace", "TRAP"),
        rule("ptrace", "ALLOW"),
        rule("ptrace", "KILL", (0, "EQ", 8)),
        rule("bpf", "ERRNO"),  # the default's action: as if it were not there
        rule("bpf", "ALLOW", (0, "EQ", 0)),
    ),
    "log": profile("LOG", rule("read", "ALLOW")),
    "trace": profile("TRACE", rule("read", "ALLOW"), defaultErrnoRet=3),
    "no numbers beyond": profile("ERRNO", rule("read", "ALLOW"), defaultErrnoRet=38),
}


@pytest.mark.parametrize("name", PROFILES)
def test_every_decision_at_the_boundaries(name: str) -> None:
    assert check_program(PROFILES[name]) > 4000


_tests = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.sampled_from(["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"]),
        st.one_of(st.integers(0, 9), st.sampled_from([0xFFFFFFFF, 1 << 32, 1 << 63, (1 << 64) - 1]), st.integers(0, (1 << 64) - 1)),
        st.integers(0, 9),
    ),
    max_size=3,
)
_names = st.sampled_from(["read", "write read", "ioctl"])
_rules = st.lists(st.builds(lambda n, a, t: rule(n, a, *t), _names, st.sampled_from(list(RETURNS)), _tests), max_size=4)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(list(RETURNS)), _rules)
def test_whatever_the_rules_are(default: str, rules: list[dict[str, Any]]) -> None:
    check_program(profile(default, *rules))


@pytest.mark.parametrize("default", ["TRACE", "ERRNO"])
def test_nothing_that_the_sandbox_mediates_is_traced(default: str) -> None:
    mediated = notified("standard")
    assert {NUMBERS["openat"], NUMBERS["mkdir"], NUMBERS["capset"]} <= mediated
    assert not {NUMBERS["read"], NUMBERS["execve"]} & mediated
    for last in ("read", "openat2"):
        tracing = profile(default, rule("read mkdir prctl", "TRACE", (0, "EQ", 5)), rule(f"{last} chown", "TRACE", errnoRet=9))
        check_program(tracing, mediated)


def test_other_architectures_are_the_sandboxs_to_refuse() -> None:
    """The strictest answer counts, and its filter ends or refuses them whatever this one says."""
    code = check(program_of(ENGINE))
    assert execute(code, 0, AUDIT_ARCH_I386, (0,) * 6)[0] == RET_KILL_PROCESS
    assert execute(code, X32_BIT, AUDIT_ARCH_X86_64, (0,) * 6)[0] == RET_ALLOW
    assert execute(code, -1, AUDIT_ARCH_X86_64, (0,) * 6)[0] == RET_ALLOW


def test_what_is_newer_than_the_profile_is_not_there() -> None:
    code = check(program_of(profile("ERRNO", rule("clone3", "ALLOW"))))
    assert execute(code, NUMBERS["clone3"] + 1, AUDIT_ARCH_X86_64, (0,) * 6)[0] == RET_ERRNO | 38
    assert execute(code, NUMBERS["clone3"] - 1, AUDIT_ARCH_X86_64, (0,) * 6)[0] == RET_ERRNO | 1


LIBSECCOMP = """
import json, os, sys
sys.path.insert(0, "/usr/lib/python3/dist-packages")
import seccomp
ACTIONS = {name: getattr(seccomp, name) for name in ("ALLOW", "KILL", "KILL_PROCESS", "TRAP", "LOG")}
def action(name, errno):
    return seccomp.ERRNO(1 if errno is None else errno) if name == "ERRNO" else ACTIONS[name]
profile = json.load(sys.stdin)
cut = lambda text: text.rpartition("SCMP_")[2][4:]
f = seccomp.SyscallFilter(action(cut(profile["defaultAction"]), profile.get("defaultErrnoRet")))
for rule in profile["syscalls"]:
    for name in rule["names"]:
        if seccomp.resolve_syscall(seccomp.Arch(), name) < 0:
            continue
        tests = [seccomp.Arg(a["index"], getattr(seccomp, cut(a["op"])), a["value"], a.get("valueTwo", 0)) for a in rule.get("args", [])]
        f.add_rule(action(cut(rule["action"]), rule.get("errnoRet")), name, *tests)
with os.fdopen(os.memfd_create("bpf"), "w+b") as file:
    f.export_bpf(file)
    file.seek(0)
    print(file.read().hex())
names = {name for rule in profile["syscalls"] for name in rule["names"]}
print(*(name for name in names if seccomp.resolve_syscall(seccomp.Arch(), name) < 0))
"""


@pytest.mark.parametrize("name", ["engine", "all allowed but a few"])
def test_libseccomp_decides_alike(name: str) -> None:
    from profiles import calls

    ours = PROFILES[name]
    plain = ours.plain()
    try:
        ran = subprocess.run(["/usr/bin/python3", "-c", LIBSECCOMP], input=json.dumps(plain), capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("no /usr/bin/python3")
    if "No module named 'seccomp'" in ran.stderr:
        pytest.skip("python3-seccomp is not installed")
    assert ran.returncode == 0, ran.stderr
    program, unknown = ran.stdout.splitlines()
    theirs = check(bytes.fromhex(program))
    code = check(program_of(ours))
    newer = {NUMBERS[name] for name in unknown.split() if name in NUMBERS}
    for number in sorted({NUMBERS[name] for rule in ours.syscalls for name in rule.names if name in NUMBERS} - newer):
        for args in calls(ours, number):
            want = execute(theirs, number, AUDIT_ARCH_X86_64, args)[0]
            got = execute(code, number, AUDIT_ARCH_X86_64, args)[0]
            assert got == want == decide(ours, number, args), (number, args)


def test_capset_has_to_be_possible_where_it_comes_last() -> None:
    denying = profile("ERRNO", rule("read execve", "ALLOW"))
    with pytest.raises(SpecError, match="has to allow capset"):
        program_of(denying, needs_capset=True)
    program_of(denying)
    program_of(profile("ERRNO", rule("capset", "ALLOW")), needs_capset=True)
    program_of(profile("LOG"), needs_capset=True)
    with pytest.raises(SpecError, match="has to allow capset"):
        program_of(profile("ALLOW", rule("capset", "TRAP")), needs_capset=True)


def test_what_does_not_fit_is_refused() -> None:
    tests = [rule("ioctl", "ALLOW", (1, "EQ", 3 * n)) for n in range(3000)]
    with pytest.raises(SpecError, match="instructions, and the kernel takes 4096"):
        program_of(profile("ERRNO", *tests))


def test_it_is_compiled_once_and_kept_for_exec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []
    monkeypatch.setattr("runsc_cli.seccomp.program_of", lambda *a, **k: compiled.append(a) or program_of(*a, **k))
    process = Process(no_new_privileges=True)
    for id in ("one", "two"):
        (tmp_path / id).mkdir()
        made = prepare(ENGINE, process, str(tmp_path / id))
        assert made == of(str(tmp_path / id)) == (0, program_of(ENGINE))
    assert len(compiled) == 1
    (tmp_path / "three").mkdir()
    flags = Seccomp.of({**ENGINE.plain(), "flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"]})
    assert prepare(flags, process, str(tmp_path / "three"))[0] == 6
    assert len(compiled) == 2
    assert of(str(tmp_path)) is None
    (tmp_path / "one" / "seccomp.bpf").write_bytes(b"half")
    with pytest.raises(PyscError, match="damaged"):
        of(str(tmp_path / "one"))


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    asked = b"a"
    missing = str(tmp_path / "missing")
    assert filter_cache.cached(asked, [__file__], missing, lambda: b"made") == b"made"
    assert filter_cache.cached(asked, [missing], str(tmp_path), lambda: b"made") == b"made"
