"""Configs for the tests: the default one, one that uses all of the specification, and changes to a place in them."""

from __future__ import annotations

import copy
import json
import re
from itertools import pairwise
from typing import Any

from runsc_cli.oci.default import default_spec

DEFAULT = default_spec(False, ["/bin/true"], 0, 0)

FULL: dict[str, Any] = copy.deepcopy(DEFAULT)
FULL["process"].update(
    consoleSize={"height": 25, "width": 80},
    user={"uid": 1, "gid": 2, "umask": 63, "additionalGids": [5, 6]},
    oomScoreAdj=100,
    scheduler={"policy": "SCHED_BATCH", "nice": 5, "flags": ["SCHED_FLAG_RESET_ON_FORK"]},
    ioPriority={"class": "IOPRIO_CLASS_IDLE", "priority": 4},
    execCPUAffinity={"initial": "7", "final": "0-3,7"},
    apparmorProfile="acme",
    selinuxLabel="system_u:system_r:svirt_lxc_net_t:s0:c124,c675",
)
FULL["mounts"].append(
    {
        "destination": "/data",
        "type": "none",
        "source": "/volumes/testing",
        "options": ["rbind", "rw", "idmap"],
        "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 10}],
        "gidMappings": [{"containerID": 0, "hostID": 1000, "size": 10}],
    }
)
FULL["domainname"] = "test"
FULL["annotations"] = {"com.example.key": "value"}
FULL["hooks"] = {
    kind: [{"path": "/bin/hook", "args": ["hook", kind], "env": ["A=b"], "timeout": 5}]
    for kind in ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
}
FULL["linux"].update(
    namespaces=[{"type": t} for t in ("pid", "network", "ipc", "uts", "mount", "user", "cgroup", "time")],
    uidMappings=[{"containerID": 0, "hostID": 1000, "size": 32000}],
    gidMappings=[{"containerID": 0, "hostID": 1000, "size": 32000}],
    timeOffsets={"monotonic": {"secs": 172800, "nanosecs": 1}, "boottime": {"secs": -604800}},
    devices=[{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 438, "uid": 0, "gid": 0}],
    netDevices={"eth0": {"name": "container_eth0"}},
    cgroupsPath="/myRuntime/myContainer",
    sysctl={"net.ipv4.ip_forward": "1", "net.core.somaxconn": "256", "kernel.shmmax": "1"},
    rootfsPropagation="slave",
    mountLabel="system_u:object_r:svirt_sandbox_file_t:s0:c715,c811",
    personality={"domain": "LINUX32"},
    intelRdt={"closID": "guaranteed", "schemata": ["L3:0=7f0;1=1f"], "l3CacheSchema": "L3:0=7f0", "enableMonitoring": True},
    memoryPolicy={"mode": "MPOL_INTERLEAVE", "nodes": "2-3", "flags": ["MPOL_F_STATIC_NODES"]},
    seccomp={
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X32"],
        "flags": ["SECCOMP_FILTER_FLAG_LOG"],
        "listenerPath": "/run/agent.sock",
        "listenerMetadata": "opaque",
        "syscalls": [
            {
                "names": ["clone"],
                "action": "SCMP_ACT_ALLOW",
                "args": [{"index": 0, "value": 2114060288, "valueTwo": 1, "op": "SCMP_CMP_MASKED_EQ"}],
            },
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
        ],
    },
    resources={
        "devices": [{"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"}],
        "memory": {
            "limit": 536870912,
            "reservation": 536870912,
            "swap": 536870912,
            "kernel": -1,
            "kernelTCP": -1,
            "swappiness": 0,
            "disableOOMKiller": False,
            "useHierarchy": True,
            "checkBeforeUpdate": True,
        },
        "cpu": {
            "shares": 1024,
            "quota": 1000000,
            "burst": 1000000,
            "period": 500000,
            "realtimeRuntime": 950000,
            "realtimePeriod": 1000000,
            "cpus": "2-3",
            "mems": "0-7",
            "idle": 0,
        },
        "pids": {"limit": 0},
        "blockIO": {
            "weight": 10,
            "leafWeight": 10,
            "weightDevice": [{"major": 8, "minor": 0, "weight": 500, "leafWeight": 300}],
            "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 600}],
            "throttleWriteBpsDevice": [{"major": 8, "minor": 0, "rate": 600}],
            "throttleReadIOPSDevice": [{"major": 8, "minor": 0, "rate": 600}],
            "throttleWriteIOPSDevice": [{"major": 8, "minor": 16, "rate": 300}],
        },
        "hugepageLimits": [{"pageSize": "2MB", "limit": 9223372036854772000}],
        "network": {"classID": 1048577, "priorities": [{"name": "eth0", "priority": 500}]},
        "rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10000}},
        "unified": {"io.max": "259:0 rbps=2097152 wiops=120\n253:0 rbps=2097152"},
    },
)

REMOVED = object()


def changed(config: dict[str, Any], path: str, value: Any) -> bytes:
    """`config` as JSON with the place `path` (as errors name it) set to `value`, or removed."""
    config = copy.deepcopy(config)
    steps = [int(n) if n else name for n, name in re.findall(r"\[(\d+)\]|([^.\[\]]+)", path)]
    place: Any = config
    for step, then in pairwise(steps):
        if isinstance(place, dict) and step not in place:
            place[step] = [] if isinstance(then, int) else {}
        if isinstance(place, list) and step == len(place):
            place.append({})
        place = place[step]
    if value is REMOVED:
        del place[steps[-1]]
    elif isinstance(place, list) and steps[-1] == len(place):
        place.append(value)
    else:
        place[steps[-1]] = value
    return json.dumps(config).encode()
