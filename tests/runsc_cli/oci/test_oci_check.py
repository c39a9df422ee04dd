"""One bad value at a time in a config that is otherwise right: the error has to name the field and the value."""

from __future__ import annotations

from typing import Any

import pytest
from configs import DEFAULT, FULL, REMOVED, changed

from runsc_cli.errors import SpecError
from runsc_cli.oci.check import check_process
from runsc_cli.oci.check_linux import sysctl_path
from runsc_cli.oci.model import Process
from runsc_cli.spec import parse

ID = {"containerID": 0, "hostID": 0, "size": 1}
MOUNT = "mounts[7]"
SECCOMP = "linux.seccomp"
RESOURCES = "linux.resources"


@pytest.mark.parametrize(
    ("path", "value", "error"),
    [
        ("ociVersion", "", "ociVersion: '' is no version"),
        ("ociVersion", "1.0", "ociVersion: '1.0' is no version"),
        ("ociVersion", "1.0.x", "ociVersion: '1.0.x' is no version"),
        ("ociVersion", "01.0.0", "ociVersion: '01.0.0' is no version"),
        ("ociVersion", "1.0.0-", "ociVersion: '1.0.0-' is no version"),
        ("ociVersion", "1.0.²", "ociVersion: '1.0.²' is no version"),
        ("ociVersion", "2.0.0", "ociVersion: 2.0.0 is not supported"),
        ("ociVersion", "0.9.0", "ociVersion: 0.9.0 is not supported"),
        ("ociVersion", "1.4.0", "ociVersion: 1.4.0 is not supported"),
        ("root.path", "", "root.path: is missing"),
        ("hostname", "h" * 65, "hostname: is 65 bytes long"),
        ("domainname", "ä" * 33, "domainname: is 66 bytes long"),
        ("annotations", {"": "x"}, "annotations: has an entry without a name"),
        # process
        ("process.args", [], "process.args: is empty"),
        ("process.args", [""], "process.args[0]: is empty"),
        ("process.cwd", "", "process.cwd: is missing"),
        ("process.cwd", "tmp", "process.cwd: 'tmp' is not an absolute path"),
        ("process.env[1]", "TERM", "process.env[1]: 'TERM' is not of the form NAME=VALUE"),
        ("process.env[1]", "=x", "process.env[1]: '=x' is not of the form NAME=VALUE"),
        ("process.user.uid", 4294967295, "process.user.uid: 4294967295 is no id"),
        ("process.user.gid", 4294967295, "process.user.gid: 4294967295 is no id"),
        ("process.user.additionalGids[1]", 4294967295, "process.user.additionalGids[1]: 4294967295 is no id"),
        ("process.user.additionalGids", [1] * 65537, "process.user.additionalGids: 65537 groups"),
        ("process.user.umask", 512, "process.user.umask: 512 is above 511"),
        ("process.consoleSize.height", 65536, None),
        ("process.rlimits[0].type", "RLIMIT_FUN", "process.rlimits[0].type: 'RLIMIT_FUN' is unknown"),
        ("process.rlimits[1]", DEFAULT["process"]["rlimits"][0], "process.rlimits[1].type: RLIMIT_NOFILE is given twice"),
        ("process.rlimits[0].soft", 1025, "process.rlimits[0].soft: 1025 is above the hard limit 1024"),
        ("process.oomScoreAdj", -1001, "process.oomScoreAdj: -1001 is outside"),
        ("process.oomScoreAdj", 1001, "process.oomScoreAdj: 1001 is outside"),
        ("process.scheduler.policy", "SCHED_LUCKY", "process.scheduler.policy: 'SCHED_LUCKY' is unknown"),
        ("process.scheduler.nice", 20, "process.scheduler.nice: 20 is outside"),
        ("process.scheduler.priority", 1, "process.scheduler.priority: SCHED_BATCH has none"),
        ("process.scheduler.policy", "SCHED_RR", "process.scheduler.priority: 0 is outside 1 to 99"),
        ("process.scheduler.flags[0]", "FAST", "process.scheduler.flags[0]: 'FAST' is unknown"),
        ("process.scheduler.runtime", 1, "process.scheduler.runtime: is for SCHED_DEADLINE"),
        ("process.ioPriority.class", "", "process.ioPriority.class: '' is unknown"),
        ("process.ioPriority.priority", 8, "process.ioPriority.priority: 8 is outside"),
        ("process.execCPUAffinity.final", "0-", "process.execCPUAffinity.final: '0-' is no list"),
        # mounts
        (f"{MOUNT}.destination", "", f"{MOUNT}.destination: is missing"),
        (f"{MOUNT}.source", "", f"{MOUNT}.source: is missing: a bind mount"),
        ("mounts[0].type", "", "mounts[0].type: is missing"),
        ("mounts[0].options", ["tmpcopyup"], "mounts[0].options: tmpcopyup is for mounts of type tmpfs"),
        (f"{MOUNT}.options[3]", "idmap=uids=0-1-2", f"{MOUNT}.options: 'idmap=uids=0-1-2': give the mapping"),
        (f"{MOUNT}.uidMappings", [], f"{MOUNT}.uidMappings: is missing"),
        (f"{MOUNT}.gidMappings", [], f"{MOUNT}.gidMappings: is missing"),
        ("mounts[0].options", ["idmap"], "mounts[0].options: only bind mounts can be idmapped"),
        (f"{MOUNT}.uidMappings[0].size", 0, f"{MOUNT}.uidMappings[0].size: is 0"),
        # hooks
        ("hooks.prestart[0].path", "hook", "hooks.prestart[0].path: 'hook' is not an absolute path"),
        ("hooks.createRuntime[0].path", "", "hooks.createRuntime[0].path: is missing"),
        ("hooks.poststop[0].timeout", 0, "hooks.poststop[0].timeout: 0 is not above zero"),
        ("hooks.startContainer[0].timeout", -1, "hooks.startContainer[0].timeout: -1 is not above zero"),
        # namespaces and ids
        ("linux.namespaces[0].type", "net", "linux.namespaces[0].type: 'net' is unknown"),
        ("linux.namespaces[8]", {"type": "pid"}, "linux.namespaces[8].type: 'pid' is given twice"),
        ("linux.namespaces[1].path", "ns/net", "linux.namespaces[1].path: 'ns/net' is not an absolute path"),
        ("linux.uidMappings", [], "linux.uidMappings: is missing"),
        ("linux.gidMappings", [], "linux.gidMappings: is missing"),
        ("linux.uidMappings[1]", {"containerID": 31999, "hostID": 0, "size": 1}, "linux.uidMappings[1].containerID: 31999"),
        ("linux.uidMappings[1]", {"containerID": 40000, "hostID": 999, "size": 2}, "linux.uidMappings[0].hostID: 1000"),
        ("linux.gidMappings[0].size", 4294967295, "linux.gidMappings[0].size: 4294967295 ids from 1000 go beyond"),
        ("linux.gidMappings", [ID] * 341, "linux.gidMappings: has 341 entries"),
        ("linux.timeOffsets", {"realtime": {"secs": 1}}, "linux.timeOffsets['realtime']: is no clock"),
        ("linux.timeOffsets.boottime.nanosecs", 10**9, "linux.timeOffsets['boottime'].nanosecs: 1000000000 is a second"),
        # devices, paths
        ("linux.devices[0].path", "dev/fuse", "linux.devices[0].path: 'dev/fuse' is not an absolute path"),
        ("linux.devices[0].type", "x", "linux.devices[0].type: 'x' is unknown"),
        ("linux.devices[0].major", 4096, "linux.devices[0].major: 4096 is outside"),
        ("linux.devices[0].minor", -1, "linux.devices[0].minor: -1 is outside"),
        ("linux.devices[0].gid", 4294967295, "linux.devices[0].gid: 4294967295 is no id"),
        ("linux.maskedPaths[0]", "proc", "linux.maskedPaths[0]: 'proc' is not an absolute path"),
        ("linux.readonlyPaths[1]", "", "linux.readonlyPaths[1]: is missing"),
        ("linux.rootfsPropagation", "public", "linux.rootfsPropagation: 'public' is unknown"),
        ("linux.personality.domain", "BSD", "linux.personality.domain: 'BSD' is unknown"),
        ("linux.personality.flags", ["ADDR_NO_RANDOMIZE"], "linux.personality.flags: the specification defines none"),
        ("linux.memoryPolicy.mode", "MPOL_BEST", "linux.memoryPolicy.mode: 'MPOL_BEST' is unknown"),
        ("linux.memoryPolicy.nodes", "all", "linux.memoryPolicy.nodes: 'all' is no list"),
        ("linux.memoryPolicy.flags[0]", "MPOL_F_X", "linux.memoryPolicy.flags[0]: 'MPOL_F_X' is unknown"),
        ("linux.netDevices", {"a/b": {}}, "linux.netDevices['a/b']: 'a/b' is no name of a network device"),
        ("linux.netDevices.eth0.name", "e" * 16, "linux.netDevices['eth0'].name: 'eeeeeeeeeeeeeeee' is no name"),
        # sysctl
        ("linux.sysctl", {"vm.swappiness": "1"}, "linux.sysctl['vm.swappiness']: is not kept per namespace"),
        ("linux.sysctl", {"kernel.hostname": "x"}, "linux.sysctl['kernel.hostname']: is set with the field hostname"),
        ("linux.sysctl", {"net/../vm/x": "1"}, "linux.sysctl['net/../vm/x']: is no name"),
        ("linux.sysctl", {"net.ipv4/../../vm.x": "1"}, "linux.sysctl['net.ipv4/../../vm.x']: is no name"),
        ("linux.sysctl", {"net": "1"}, "linux.sysctl['net']: is no name"),
        ("linux.sysctl", {"": "1"}, "linux.sysctl['']: is no name"),
        ("linux.sysctl", {"net.x": "1\n2"}, "linux.sysctl['net.x']: '1\\n2' is no value"),
        # seccomp
        (f"{SECCOMP}.defaultAction", "", f"{SECCOMP}.defaultAction: '' is unknown"),
        (f"{SECCOMP}.defaultAction", "SCMP_ACT_NOTIFY", f"{SECCOMP}.defaultAction: SCMP_ACT_NOTIFY would"),
        (f"{SECCOMP}.defaultAction", "SCMP_ACT_ALLOW", f"{SECCOMP}.defaultErrnoRet: SCMP_ACT_ALLOW returns no errno"),
        (f"{SECCOMP}.defaultErrnoRet", 65536, f"{SECCOMP}.defaultErrnoRet: 65536 is no errno"),
        (f"{SECCOMP}.architectures[0]", "x86_64", f"{SECCOMP}.architectures[0]: 'x86_64' is unknown"),
        (f"{SECCOMP}.flags[0]", "SECCOMP_FILTER_FLAG_NEW_LISTENER", f"{SECCOMP}.flags[0]: 'SECCOMP_FILTER_FLAG_NEW_L"),
        (f"{SECCOMP}.listenerPath", "", f"{SECCOMP}.listenerMetadata: is for a listener"),
        (f"{SECCOMP}.syscalls[0].names", [], f"{SECCOMP}.syscalls[0].names: is empty"),
        (f"{SECCOMP}.syscalls[0].action", "ALLOW", f"{SECCOMP}.syscalls[0].action: 'ALLOW' is unknown"),
        (f"{SECCOMP}.syscalls[0].errnoRet", 1, f"{SECCOMP}.syscalls[0].errnoRet: SCMP_ACT_ALLOW returns no errno"),
        (f"{SECCOMP}.syscalls[0].args[0].index", 6, f"{SECCOMP}.syscalls[0].args[0].index: 6 is outside"),
        (f"{SECCOMP}.syscalls[0].args[0].op", "SCMP_CMP_OR", f"{SECCOMP}.syscalls[0].args[0].op: 'SCMP_CMP_OR' is unknown"),
        # resources
        (f"{RESOURCES}.devices[0].type", "u", f"{RESOURCES}.devices[0].type: 'u' is unknown"),
        (f"{RESOURCES}.devices[0].major", -2, f"{RESOURCES}.devices[0].major: -2 is no device number"),
        (f"{RESOURCES}.devices[0].access", "", f"{RESOURCES}.devices[0].access: '' is no access"),
        (f"{RESOURCES}.devices[0].access", "rx", f"{RESOURCES}.devices[0].access: 'rx' is no access"),
        (f"{RESOURCES}.memory.limit", -2, f"{RESOURCES}.memory.limit: -2 is negative"),
        (f"{RESOURCES}.memory.kernelTCP", -2, f"{RESOURCES}.memory.kernelTCP: -2 is negative"),
        (f"{RESOURCES}.memory.swap", 5, f"{RESOURCES}.memory.swap: 5 is below limit 536870912"),
        (f"{RESOURCES}.memory.swappiness", 101, f"{RESOURCES}.memory.swappiness: 101 is outside"),
        (f"{RESOURCES}.cpu.cpus", "3-1", f"{RESOURCES}.cpu.cpus: '3-1' ends before it begins"),
        (f"{RESOURCES}.cpu.mems", "0-99999999999", f"{RESOURCES}.cpu.mems: '0-99999999999' is no list"),
        (f"{RESOURCES}.cpu.idle", 2, f"{RESOURCES}.cpu.idle: 2 is neither"),
        (f"{RESOURCES}.cpu.burst", 1000001, f"{RESOURCES}.cpu.burst: 1000001 is above quota 1000000"),
        (f"{RESOURCES}.pids.limit", -2, f"{RESOURCES}.pids.limit: -2 is negative"),
        (f"{RESOURCES}.blockIO.weight", 1001, f"{RESOURCES}.blockIO.weight: 1001 is outside"),
        (f"{RESOURCES}.blockIO.weightDevice[0].leafWeight", 1001, f"{RESOURCES}.blockIO.weightDevice[0].leafWeight: 1001"),
        (f"{RESOURCES}.blockIO.weightDevice[0]", {"major": 1, "minor": 1}, f"{RESOURCES}.blockIO.weightDevice[0]: weighs"),
        (f"{RESOURCES}.blockIO.throttleReadIOPSDevice[0].major", -1, f"{RESOURCES}.blockIO.throttleReadIOPSDevice[0]: -1:0"),
        (f"{RESOURCES}.hugepageLimits[0].pageSize", "2M", f"{RESOURCES}.hugepageLimits[0].pageSize: '2M' is no size"),
        (f"{RESOURCES}.hugepageLimits[0].pageSize", "../MB", f"{RESOURCES}.hugepageLimits[0].pageSize: '../MB' is no size"),
        (f"{RESOURCES}.network.priorities[0].name", "a b", f"{RESOURCES}.network.priorities[0].name: 'a b' is no name"),
        (f"{RESOURCES}.rdma", {"mlx": {}}, f"{RESOURCES}.rdma['mlx']: limits nothing"),
        (f"{RESOURCES}.rdma", {"a b": {"hcaHandles": 1}}, f"{RESOURCES}.rdma['a b']: is no name"),
        (f"{RESOURCES}.unified", {"../cgroup.procs": "1"}, f"{RESOURCES}.unified['../cgroup.procs']: is no file"),
        (f"{RESOURCES}.unified", {"..": "1"}, f"{RESOURCES}.unified['..']: is no file"),
    ],
)
def test_a_value_that_makes_no_sense(path: str, value: Any, error: str | None) -> None:
    config = FULL
    if error is None:
        raw, error = changed(FULL, path, value).replace(b'"terminal": false', b'"terminal": true'), "process.consoleSize: a te"
    else:
        raw = changed(config, path, value)
    with pytest.raises(SpecError) as caught:
        parse(raw)
    assert caught.value.message.startswith(error)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("version", ["1.0.0", "1.0.2-dev", "1.0.0-rc5+dev", "1.1.0", "1.2.1", "1.3.0", "1.3.7", "1.0.2+build.5", "1.3.0-rc.1"])
def test_every_version_so_far(version: str) -> None:
    assert parse(changed(DEFAULT, "ociVersion", version)).spec.oci_version == version


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("process.consoleSize", {"height": 70000, "width": 1}),  # no terminal, so it is ignored
        ("process.oomScoreAdj", -1000),
        ("process.env", []),
        ("process.env[0]", "A=b=c"),
        ("process.user", REMOVED),
        ("linux.resources.devices", [{"allow": True, "type": "a", "major": -1, "minor": -1, "access": "rwm"}]),
        ("linux.resources.blockIO", {"weight": 0}),
        ("linux.resources.cpu", {"cpus": "0-3, 7", "quota": -1, "burst": 5}),
        ("linux.resources.memory", {"limit": -1, "swap": -1}),
        ("linux.resources.pids", {}),
        ("linux.sysctl", {"net/ipv4/conf/eth0.100/forwarding": "1", "net.ipv4.conf.eth0/100.forwarding": "0", "net.x": "1\t2"}),
        ("linux.cgroupsPath", "../../../elsewhere"),
        ("linux.rootfsPropagation", "rslave"),
        ("linux.namespaces[1].path", "/run/netns/pod"),
        ("annotations", {"a": ""}),
        ("windows", {"anything": [1]}),
        ("future", {"unknown": {"properties": ["are", "ignored"]}}),
        ("process.future", 1),
    ],
)
def test_a_value_that_is_fine(path: str, value: Any) -> None:
    assert parse(changed(DEFAULT, path, value)).warnings == []


@pytest.mark.parametrize(
    ("path", "value", "warning"),
    [
        ("process.capabilities.bounding[3]", "CAP_FLY", "process.capabilities.bounding: ignoring unknown 'CAP_FLY'"),
        ("mounts[0].destination", "proc", "mounts[0].destination: 'proc' is not absolute and is taken from /"),
        (
            "mounts[7]",
            {"destination": "/d", "source": "/d", "options": ["bind", "sync", "uid=5"]},
            "mounts[7].options: a bind mount takes no 'uid=5', ignoring it",
        ),
    ],
)
def test_what_is_only_warned_of(path: str, value: Any, warning: str) -> None:
    assert parse(changed(DEFAULT, path, value)).warnings[0] == warning


@pytest.mark.parametrize(
    ("needs", "path", "value"),
    [
        ("uts", "hostname", "x"),
        ("uts", "domainname", "x"),
        ("uts", "linux.sysctl", {"kernel.domainname": "x"}),
        ("ipc", "linux.sysctl", {"kernel.shmmax": "1"}),
        ("ipc", "linux.sysctl", {"fs.mqueue.msg_max": "1"}),
        ("network", "linux.sysctl", {"net.core.somaxconn": "1"}),
        ("network", "linux.netDevices", {"eth0": {}}),
        ("user", "linux.uidMappings", [ID]),
        ("user", "mounts[7]", {"destination": "/d", "source": "/d", "options": ["bind", "idmap"]}),
        ("time", "linux.timeOffsets", {"boottime": {"secs": 1}}),
    ],
)
def test_what_needs_a_namespace(needs: str, path: str, value: Any) -> None:
    config = {**FULL, "hostname": "", "domainname": ""}
    without = ("sysctl", "netDevices", "timeOffsets", "uidMappings", "gidMappings")
    config["linux"] = {k: v for k, v in FULL["linux"].items() if k not in without}
    config["linux"]["namespaces"] = [n for n in FULL["linux"]["namespaces"] if n["type"] != needs]
    config["mounts"] = DEFAULT["mounts"]
    if path == "linux.uidMappings":
        config["linux"]["gidMappings"] = value
    with pytest.raises(SpecError) as caught:
        parse(changed(config, path, value))
    assert caught.value.path.startswith(path)
    assert needs in caught.value.why


def test_the_hosts_own_network_namespace_is_not_to_be_tuned() -> None:
    raw = changed(FULL, "linux.namespaces[1].path", "/proc/self/ns/net")
    with pytest.raises(SpecError, match="needs a network namespace of the container's own"):
        parse(raw)


def test_a_process_alone_has_the_same_rules() -> None:
    with pytest.raises(SpecError) as caught:
        check_process(Process(args=("x",), cwd="/", env=("A",)), "process")
    assert caught.value.path == "process.env[0]"
    assert check_process(Process(args=("x",), cwd="/"), "process") == []


def test_names_of_kernel_parameters_are_sysctls() -> None:
    assert sysctl_path("net.ipv4.ip_forward") == "net/ipv4/ip_forward"
    assert sysctl_path("net/ipv4/conf/eth0.100/forwarding") == "net/ipv4/conf/eth0.100/forwarding"
    assert sysctl_path("net.ipv4.conf.eth0/100.forwarding") == "net/ipv4/conf/eth0.100/forwarding"
