"""A config's seccomp profile in real containers: beside the sandbox's own filter, for every process, whatever the identity."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from containers import Bundle, Bundles, Pysc, both_platforms, requires, sandboxed

from runsc_cli.spec import default_spec

if TYPE_CHECKING:
    from typing import Any

pytestmark = [
    pytest.mark.integration,
    both_platforms,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    requires("busybox"),
]

EVERYTHING = {"defaultAction": "SCMP_ACT_ALLOW"}


def without(*names: str, action: str = "SCMP_ACT_ERRNO", **more: object) -> dict[str, Any]:
    return {**EVERYTHING, "syscalls": [{"names": list(names), "action": action, **more}]}


def made(bundle: Bundles, script: str, seccomp: dict[str, Any], **process: object) -> Bundle:
    return bundle(["sh", "-c", script], writable=True, linux={"seccomp": seccomp}, process=process)


@pytest.fixture(params=[True, False], ids=["no_new_privs", "privileges"])
def no_new_privs(request: pytest.FixtureRequest) -> bool:
    """The filter is installed in two ways."""
    return bool(request.param)


@sandboxed
@pytest.mark.parametrize("profile", ["standard", "strict"])
def test_what_it_denies_does_not_reach_the_sentry(pysc: Pysc, bundle: Bundles, profile: str, no_new_privs: bool) -> None:
    box = made(bundle, "mkdir /tmp/a; ls -d /tmp/a; echo $?", without("mkdir", "mkdirat", errnoRet=28), noNewPrivileges=no_new_privs)
    done = pysc("--debug", "--profile", profile, "run", "-b", box, pysc.id)
    assert done.out == "1\n", done
    assert "No space left on device" in done.err
    assert "mkdir " not in done.err.partition("mediated")[2]


def test_what_it_allows_is_still_the_sandboxs_to_decide(pysc: Pysc, bundle: Bundles, no_new_privs: bool) -> None:
    script = "mkdir /tmp/a && mount -t proc none /tmp/a; unshare -n true; cat /proc/1/environ >/dev/null && echo mine"
    box = made(bundle, script, EVERYTHING, noNewPrivileges=no_new_privs)
    done = pysc("run", "-b", box, pysc.id)
    assert done.out == "mine\n", done
    assert "mount" in done.err
    assert "unshare" in done.err


def test_by_argument(pysc: Pysc, bundle: Bundles) -> None:
    args = [{"index": 1, "value": 10, "op": "SCMP_CMP_EQ"}]
    box = made(bundle, "kill -10 $$ || kill -0 $$ && echo alive", without("kill", args=args, errnoRet=3))
    done = pysc("run", "-b", box, pysc.id)
    assert (done.out, "No such process" in done.err) == ("alive\n", True), done


@pytest.mark.parametrize(
    ("action", "code", "said"),
    [("KILL", 159, ""), ("KILL_PROCESS", 159, ""), ("TRAP", 159, ""), ("TRACE", 0, "Function not implemented"), ("LOG", 0, "")],
)
def test_every_action(pysc: Pysc, bundle: Bundles, action: str, code: int, said: str) -> None:
    box = made(bundle, "mkdir /tmp/a; exit $(($? > 1 ? $? : 0))", without("mkdir", action=f"SCMP_ACT_{action}"))
    done = pysc("run", "-b", box, pysc.id)
    assert done.code == code, done
    assert said in done.err


@sandboxed
def test_identity_and_capabilities_are_those_without_it(pysc: Pysc, bundle: Bundles, no_new_privs: bool) -> None:
    show = "grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp)' /proc/self/status"
    capabilities = {
        kind: ["CAP_KILL", "CAP_NET_BIND_SERVICE", *more]
        for kind, more in (("bounding", ["CAP_CHOWN"]), ("permitted", []), ("effective", []), ("inheritable", []), ("ambient", []))
    }
    for user in ({"uid": 0, "gid": 0}, {"uid": 1000, "gid": 7, "additionalGids": [9]}):
        found = []
        for seccomp in (EVERYTHING, None):
            box = made(bundle, show, seccomp or {}, noNewPrivileges=no_new_privs, user=user, capabilities=capabilities)
            if seccomp is None:
                del box.config["linux"]["seccomp"]
                box.write()
            found.append(pysc("run", "-b", box, pysc.id, check=True).out)
        assert found[0].replace("Seccomp_filters:\t2", "Seccomp_filters:\t1") == found[1]
        assert "Seccomp_filters:\t2" in found[0]


def test_who_has_the_capability_needs_no_more(pysc: Pysc, bundle: Bundles) -> None:
    every = {kind: ["CAP_SYS_ADMIN"] for kind in ("bounding", "permitted", "effective")}
    box = made(bundle, "grep CapEff /proc/self/status", without("capset"), noNewPrivileges=False, capabilities=every)
    assert pysc("run", "-b", box, pysc.id).out == "CapEff:\t0000000000200000\n"


def test_a_small_profile_is_enough_where_privileges_are_final(pysc: Pysc, bundle: Bundles) -> None:
    """Nothing of ours comes after it but execve(2): neither capset nor what waits for `start`."""
    needed = "execve brk arch_prctl set_tid_address set_robust_list rseq prlimit64 mprotect readlink getrandom getuid exit_group write"
    small = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": needed.split(), "action": "SCMP_ACT_ALLOW"}]}
    box = made(bundle, "", small)
    box.config["process"]["args"] = ["echo", "hello"]
    box.write()
    assert pysc("run", "-b", box, pysc.id).out == "hello\n"
    box.config["process"]["noNewPrivileges"] = False
    box.write()
    assert "linux.seccomp: has to allow capset" in pysc("run", "-b", box, pysc.id).err
    small["syscalls"][0]["names"].append("capset")
    box.config["linux"]["seccomp"] = small
    box.write()
    assert pysc("run", "-b", box, pysc.id).out == "hello\n"


def test_a_workload_that_may_not_be_executed(pysc: Pysc, bundle: Bundles) -> None:
    done = pysc("run", "-b", made(bundle, "true", without("execve")), pysc.id)
    assert (done.code, done.err) == (255, "exec /bin/sh: operation not permitted\n"), done


@sandboxed
def test_it_is_for_whoever_joins_too(pysc: Pysc, bundle: Bundles, no_new_privs: bool) -> None:
    hook = {"path": "/bin/sh", "args": ["sh", "-c", "mkdir /tmp/hook 2> /tmp/said; exit 0"]}
    box = made(bundle, "sleep 1000", without("mkdir", errnoRet=28), noNewPrivileges=no_new_privs)
    box.config["hooks"] = {"startContainer": [hook]}
    box.write()
    subprocess.run(pysc.argv("run", "-d", "-b", box, pysc.id), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True, timeout=60)
    done = pysc("exec", pysc.id, "sh", "-c", "cat /tmp/said; mkdir /tmp/b; grep Seccomp_filters /proc/self/status")
    assert "No space left on device" in done.out, done
    assert "Seccomp_filters:\t2" in done.out
    assert "No space left on device" in done.err
    pysc("delete", "--force", pysc.id, check=True)


def test_flags_are_taken(pysc: Pysc, bundle: Bundles) -> None:
    flags = [f"SECCOMP_FILTER_FLAG_{name}" for name in ("TSYNC", "LOG", "SPEC_ALLOW", "WAIT_KILLABLE_RECV")]
    assert pysc("run", "-b", made(bundle, "echo x", {**without("mkdir"), "flags": flags}), pysc.id).out == "x\n"


@sandboxed
def test_notification_is_refused(pysc: Pysc, bundle: Bundles) -> None:
    notify = {**without("mkdir", action="SCMP_ACT_NOTIFY"), "listenerPath": "/run/agent.sock"}
    done = pysc("run", "-b", made(bundle, "true", notify), pysc.id)
    assert done.code == 1
    assert "linux.seccomp.syscalls[0].action: SCMP_ACT_NOTIFY is not supported" in done.err


def test_default_is_none() -> None:
    assert "seccomp" not in default_spec()["linux"]
