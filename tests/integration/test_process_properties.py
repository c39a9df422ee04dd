"""process of config.json, property by property: what is set is seen from inside, or by the host on the process."""

from __future__ import annotations

import array
import json
import os
import signal
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest
from containers import Bundle, Bundles, Pysc, requires

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    requires("busybox"),
]


def detached(pysc: Pysc, made: Bundle, *verb: str) -> int:
    """Start it without our pipes; the pid of its first process."""
    argv = pysc.argv(*(verb or ("run", "-d")), "-b", made, pysc.id)
    subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True, timeout=60)
    pid: int = json.loads(pysc("state", pysc.id, check=True).out)["pid"]
    return pid


def end(pid: int) -> None:
    """End a process that `exec --detach` has added: ours since that has returned, and its pid namespace does not end before we reap it."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def status(pid: int, name: str) -> str:
    with open(f"/proc/{pid}/status") as file:
        return next(line.split(":")[1].strip() for line in file if line.startswith(f"{name}:"))


@pytest.mark.parametrize(
    ("scheduler", "shown"),
    [
        ({"policy": "SCHED_OTHER", "nice": 7}, "SCHED_OTHER 0 7"),
        ({"policy": "SCHED_OTHER", "nice": -3}, "SCHED_OTHER 0 -3"),
        ({"policy": "SCHED_BATCH", "nice": 5}, "SCHED_BATCH 0 5"),
        ({"policy": "SCHED_IDLE"}, "SCHED_IDLE 0 0"),
        ({"policy": "SCHED_RR", "priority": 3}, "SCHED_RR 3 0"),
        ({"policy": "SCHED_FIFO", "priority": 2, "flags": ["SCHED_FLAG_RESET_ON_FORK"]}, "SCHED_FIFO 2 0"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_scheduler(pysc: Pysc, bundle: Bundles, scheduler: dict[str, Any], shown: str) -> None:
    made = bundle(["sleep", "1000"], process={"scheduler": scheduler})
    # a new cgroup of version 1 has no real-time budget: linux.resources.cpu.realtimeRuntime would give it one
    argv = pysc.argv("--ignore-cgroups", "run", "-d", "-b", made, pysc.id)
    subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True, timeout=60)
    pid = json.loads(pysc("state", pysc.id, check=True).out)["pid"]
    policy, priority, nice = shown.split()
    flag = os.SCHED_RESET_ON_FORK if scheduler.get("flags") else 0
    assert os.sched_getscheduler(pid) == getattr(os, policy) | flag
    assert os.sched_getparam(pid).sched_priority == int(priority)
    assert os.getpriority(os.PRIO_PROCESS, pid) == int(nice)
    if flag == 0:  # `exec` gives it to the process that it adds, too
        added = pysc("exec", pysc.id, "cut", "-d", " ", "-f", "19,40,41", "/proc/self/stat").out.split()
        assert added == [nice, priority, str(getattr(os, policy))]
    pysc("delete", "--force", pysc.id, check=True)


def test_a_scheduler_that_the_kernel_does_not_have(pysc: Pysc, bundle: Bundles) -> None:
    done = pysc("run", "-b", bundle(["true"], process={"scheduler": {"policy": "SCHED_ISO"}}), pysc.id)
    assert (done.code, "process.scheduler: set SCHED_ISO: invalid argument" in done.err) == (1, True), done


@pytest.mark.parametrize(
    ("priority", "shown"),
    [
        ({"class": "IOPRIO_CLASS_IDLE", "priority": 0}, "idle"),
        ({"class": "IOPRIO_CLASS_BE", "priority": 6}, "best-effort: prio 6"),
        ({"class": "IOPRIO_CLASS_RT", "priority": 1}, "realtime: prio 1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_io_priority(pysc: Pysc, bundle: Bundles, priority: dict[str, Any], shown: str) -> None:
    made = bundle(["ionice"], process={"ioPriority": priority})
    assert pysc("run", "-b", made, pysc.id).out.strip() == shown


@pytest.mark.skipif(os.cpu_count() == 1, reason="needs two CPUs")
@pytest.mark.parametrize(
    ("affinity", "mask"),
    [({"initial": "1"}, "3"), ({"initial": "0", "final": "1"}, "2"), ({"final": "0"}, "1"), ({"final": "0-1"}, "3")],
)
def test_the_affinity_of_exec(pysc: Pysc, bundle: Bundles, affinity: dict[str, str], mask: str) -> None:
    """It is of the process that exec adds, not of the container's first one."""
    made = bundle(["sleep", "1000"], process={"execCPUAffinity": affinity}, linux={"resources": {"cpu": {"cpus": "0-1"}}})
    pid = detached(pysc, made)
    assert os.sched_getaffinity(pid) == {0, 1}
    assert pysc("exec", pysc.id, "sh", "-c", "taskset -p $$").out.split()[-1] == mask
    pysc("delete", "--force", pysc.id, check=True)


def test_an_affinity_outside_of_the_cgroup(pysc: Pysc, bundle: Bundles) -> None:
    detached(pysc, bundle(["sleep", "1000"], process={"execCPUAffinity": {"final": "9999"}}))
    done = pysc("exec", pysc.id, "true")
    assert (done.code, "process.execCPUAffinity.final: invalid argument" in done.err) == (255, True), done
    pysc("delete", "--force", pysc.id, check=True)


def test_the_personality_is_inherited_by_all(pysc: Pysc, bundle: Bundles) -> None:
    made = bundle(["sh", "-c", "uname -m; exec sleep 1000"], linux={"personality": {"domain": "LINUX32"}})
    assert pysc("run", "-b", bundle(["uname", "-m"], linux={"personality": {"domain": "LINUX32"}}), pysc.id).out == "i686\n"
    assert pysc("run", "-b", bundle(["uname", "-m"], linux={"personality": {"domain": "LINUX"}}), pysc.id).out == "x86_64\n"
    detached(pysc, made)
    assert pysc("exec", pysc.id, "uname", "-m").out == "i686\n"
    pysc("delete", "--force", pysc.id, check=True)


@pytest.mark.skipif(not os.path.exists("/proc/self/numa_maps"), reason="the kernel has no NUMA (CONFIG_NUMA)")
@pytest.mark.parametrize(
    ("policy", "shown"),
    [
        ({"mode": "MPOL_BIND", "nodes": "0"}, "bind:0"),
        ({"mode": "MPOL_INTERLEAVE", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}, "interleave=static:0"),
        ({"mode": "MPOL_LOCAL"}, "local"),
        ({"mode": "MPOL_DEFAULT"}, "default"),
    ],
)
def test_the_memory_policy(pysc: Pysc, bundle: Bundles, policy: dict[str, Any], shown: str) -> None:
    pid = detached(pysc, bundle(["sleep", "1000"], linux={"memoryPolicy": policy}))
    with open(f"/proc/{pid}/numa_maps") as file:
        assert {line.split()[1] for line in file} == {shown}
    pysc("delete", "--force", pysc.id, check=True)


def test_a_memory_policy_that_the_kernel_refuses(pysc: Pysc, bundle: Bundles) -> None:
    done = pysc("run", "-b", bundle(["true"], linux={"memoryPolicy": {"mode": "MPOL_BIND", "nodes": "63"}}), pysc.id)
    assert (done.code, "linux.memoryPolicy: MPOL_BIND on 63 nodes: " in done.err) == (1, True), done


def test_user_groups_and_umask(pysc: Pysc, bundle: Bundles) -> None:
    user = {"uid": 1000, "gid": 1001, "umask": 0o027, "additionalGids": [5, 6]}
    made = bundle(["sh", "-c", "id -u; id -g; id -G; umask"], process={"user": user})
    assert pysc("run", "-b", made, pysc.id).out.splitlines() == ["1000", "1001", "1001 5 6", "0027"]


CAPABILITIES = {
    "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_NET_RAW"],
    "permitted": ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID"],
    "effective": ["CAP_CHOWN", "CAP_KILL"],
    "inheritable": ["CAP_CHOWN", "CAP_KILL"],
    "ambient": ["CAP_KILL"],
}


@pytest.mark.parametrize("uid", [0, 1000])
def test_the_five_sets_of_capabilities(pysc: Pysc, bundle: Bundles, uid: int) -> None:
    """As capabilities(7) has them after execve(2): root gains what is inheritable or bounding, others keep what is ambient."""
    numbers = {"CAP_CHOWN": 0, "CAP_KILL": 5, "CAP_SETUID": 7, "CAP_NET_RAW": 13}
    masks = {name: sum(1 << numbers[cap] for cap in caps) for name, caps in CAPABILITIES.items()}
    process = {"capabilities": CAPABILITIES, "user": {"uid": uid, "gid": 0}, "noNewPrivileges": False}
    pid = detached(pysc, bundle(["sleep", "1000"], process=process))
    shown = {name: int(status(pid, f"Cap{name}"), 16) for name in ("Bnd", "Prm", "Eff", "Inh", "Amb")}
    assert (shown["Bnd"], shown["Inh"], shown["Amb"]) == (masks["bounding"], masks["inheritable"], masks["ambient"])
    expected = masks["bounding"] | masks["inheritable"] if uid == 0 else masks["ambient"]
    assert (shown["Prm"], shown["Eff"]) == (expected, expected)
    pysc("delete", "--force", pysc.id, check=True)


def test_exec_adds_capabilities_but_not_to_the_inherited_ones(pysc: Pysc, bundle: Bundles) -> None:
    detached(pysc, bundle(["sleep", "1000"], process={"capabilities": CAPABILITIES, "noNewPrivileges": False}))
    shown = pysc("exec", "--cap", "CAP_SYS_CHROOT", "--cap", "NET_ADMIN", pysc.id, "grep", "^Cap", "/proc/self/status").out.split()
    found = {name: int(mask, 16) for name, mask in zip(shown[::2], shown[1::2], strict=True)}
    added, before = 1 << 18 | 1 << 12, 1 << 0 | 1 << 5
    assert (found["CapInh:"], found["CapAmb:"]) == (before, 1 << 5)
    assert found["CapEff:"] & added == found["CapBnd:"] & added == added
    pysc("delete", "--force", pysc.id, check=True)


def test_capabilities_that_nobody_has_are_warned_of(pysc: Pysc, bundle: Bundles) -> None:
    sets = {key: ["CAP_CHOWN", "CAP_LUCK"] for key in ("bounding", "effective", "permitted")}
    done = pysc("run", "-b", bundle(["grep", "CapEff", "/proc/self/status"], process={"capabilities": sets}), pysc.id)
    assert done.out.split() == ["CapEff:", f"{1:016x}"]
    assert "process.capabilities.bounding: ignoring unknown 'CAP_LUCK'" in done.err


@pytest.mark.parametrize("asked", [True, False])
def test_no_new_privileges(pysc: Pysc, bundle: Bundles, asked: bool) -> None:
    made = bundle(["grep", "NoNewPrivs", "/proc/self/status"], process={"noNewPrivileges": asked})
    assert pysc("run", "-b", made, pysc.id).out.split() == ["NoNewPrivs:", str(int(asked))]


def test_limits_of_every_type(pysc: Pysc, bundle: Bundles) -> None:
    limits = {"NOFILE": 500, "CORE": 0, "STACK": 1 << 20, "NPROC": 60, "MEMLOCK": 4096, "FSIZE": 1 << 30, "NICE": 0, "MSGQUEUE": 8192}
    rlimits = [{"type": f"RLIMIT_{name}", "hard": value, "soft": value // 2} for name, value in limits.items()]
    made = bundle(["cat", "/proc/self/limits"], process={"rlimits": rlimits})
    rows = {}
    for line in pysc("run", "-b", made, pysc.id).out.splitlines():
        rows[line[:25].strip()] = line[25:].split()[:2]
    titles = {
        "NOFILE": "Max open files", "CORE": "Max core file size", "STACK": "Max stack size", "NPROC": "Max processes",
        "MEMLOCK": "Max locked memory", "FSIZE": "Max file size", "NICE": "Max nice priority", "MSGQUEUE": "Max msgqueue size",
    }  # fmt: skip
    assert {name: rows[title] for name, title in titles.items()} == {name: [str(v // 2), str(v)] for name, v in limits.items()}


def test_the_oom_score(pysc: Pysc, bundle: Bundles) -> None:
    with open("/proc/self/oom_score_adj") as file:
        ours = file.read()
    assert pysc("run", "-b", bundle(["cat", "/proc/self/oom_score_adj"], process={"oomScoreAdj": 321}), pysc.id).out == "321\n"
    assert pysc("run", "-b", bundle(["cat", "/proc/self/oom_score_adj"]), pysc.id).out == ours


def test_environment_arguments_and_working_directory(pysc: Pysc, bundle: Bundles) -> None:
    """env begins anew: nothing of the caller's. args are args, spaces and all."""
    made = bundle(["sh", "-c", 'env; pwd; echo "$0" "$1"', "zero", "a b"], process={"cwd": "/tmp", "env": ["PATH=/bin", "A=x y", "HOME=/"]})
    out = pysc("run", "-b", made, pysc.id, env={"LEAK": "1"}).out.splitlines()
    assert sorted(line for line in out[:-2] if not line.startswith(("SHLVL", "PWD"))) == ["A=x y", "HOME=/", "PATH=/bin"]
    assert out[-2:] == ["/tmp", "zero a b"]


@pytest.mark.parametrize(("field", "value"), [("apparmorProfile", "acme"), ("selinuxLabel", "system_u:system_r:svirt_t:s0")])
def test_labels_that_this_host_cannot_give(pysc: Pysc, bundle: Bundles, field: str, value: str) -> None:
    if field == "apparmorProfile" and os.path.exists("/sys/module/apparmor"):
        pytest.skip("this host has AppArmor")
    done = pysc("run", "-b", bundle(["true"], process={field: value}), pysc.id)
    assert (done.code, f"process.{field}: " in done.err) == (1, True), done
    detached(pysc, bundle(["sleep", "1000"]))
    option = "--apparmor" if field == "apparmorProfile" else "--process-label"
    done = pysc("exec", option, value, pysc.id, "true")
    assert (done.code, f"process.{field}: " in done.err) == (255, True), done
    pysc("delete", "--force", pysc.id, check=True)


# ---- exec ----


def test_config_json_is_read_once(pysc: Pysc, bundle: Bundles) -> None:
    """runtime.md#create: what is changed afterwards has no effect, nor has it that the bundle is gone."""
    made = bundle(["sh", "-c", "echo $X; exec sleep 1000"], process={"env": ["PATH=/bin", "X=old"], "user": {"uid": 7, "gid": 8}})
    detached(pysc, made)
    made.config["process"].update(env=["PATH=/bin", "X=new"], user={"uid": 0, "gid": 0})
    made.write()
    assert pysc("exec", pysc.id, "sh", "-c", "echo $X; id -u").out == "old\n7\n"
    (made.path / "config.json").unlink()
    assert pysc("exec", pysc.id, "sh", "-c", "echo $X; id -g").out == "old\n8\n"
    pysc("delete", "--force", pysc.id, check=True)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--user", "4294967296"], "--user: '4294967296' is no id"),
        (["--user", "0:"], "--user: '' is no id"),
        (["--user", "²"], "--user: '²' is no id"),
        (["--user", "root"], "--user: 'root' is no id"),
        (["--additional-gids", "-1"], "--additional-gids: '-1' is no id"),
        (["--cgroup", "../x"], "--cgroup '../x': write it as CONTROLLER:NAME"),
        (["--cgroup", "nothere"], "nothere' is not there: make it first"),
        (["--cgroup", "luck:x"], "there is no controller 'luck'"),
    ],
)
def test_options_of_exec_that_are_wrong(pysc: Pysc, bundle: Bundles, options: list[str], says: str) -> None:
    detached(pysc, bundle(["sleep", "1000"]))
    done = pysc("exec", *options, pysc.id, "true")
    assert (done.code, says in done.err) == (255, True), done
    pysc("delete", "--force", pysc.id, check=True)


@pytest.mark.skipif(not os.path.exists("/sys/fs/cgroup/memory/tasks"), reason="needs cgroup version 1 with the memory controller")
def test_exec_into_a_cgroup_below(pysc: Pysc, bundle: Bundles, tmp_path: Path) -> None:
    pid = detached(pysc, bundle(["sleep", "1000"]))
    with open(f"/proc/{pid}/cgroup") as file:
        own = {line.split(":")[1]: line.strip().split(":", 2)[2] for line in file}
    below = f"/sys/fs/cgroup/memory{own['memory']}/below"
    os.mkdir(below)
    pidfile = tmp_path / "added"
    argv = pysc.argv("exec", "-d", "--pid-file", pidfile, "--cgroup", "memory:below", pysc.id, "sleep", "1000")
    subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True, timeout=60)
    added = int(pidfile.read_text())
    with open(f"/proc/{added}/cgroup") as file:
        now = {line.split(":")[1]: line.strip().split(":", 2)[2] for line in file}
    end(added)
    assert now == {**own, "memory": own["memory"] + "/below"}
    pysc("delete", "--force", pysc.id, check=True)


@pytest.mark.parametrize("verb", ["create", "run", "exec"])
def test_a_pidfd_is_sent(pysc: Pysc, bundle: Bundles, tmp_path: Path, verb: str) -> None:
    """runc's protocol: the payload says what it is of."""
    made = bundle(["sleep", "1000"])
    if verb == "exec":
        detached(pysc, made)
    path = tmp_path / "socket"
    pidfile = tmp_path / "pid"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()
        how = {"create": ["-b", made], "run": ["-d", "-b", made], "exec": ["-d"]}[verb]
        after = ["sleep", "1000"] if verb == "exec" else []
        argv = pysc.argv(verb, *how, "--pid-file", pidfile, "--pidfd-socket", path, pysc.id, *after)
        subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True, timeout=60)
        sock, _ = listener.accept()
        with sock:
            data, ancillary, _, _ = sock.recvmsg(64, socket.CMSG_SPACE(4))
    assert data == (b"setns" if verb == "exec" else b"standard")
    fds = array.array("i", ancillary[0][2])
    with open(f"/proc/self/fdinfo/{fds[0]}") as file:
        assert f"Pid:\t{pidfile.read_text()}\n" in file.read()
    os.close(fds[0])
    if verb == "exec":
        end(int(pidfile.read_text()))
    pysc("delete", "--force", pysc.id, check=True)
