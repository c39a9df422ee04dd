"""linux.personality and linux.memoryPolicy: what a process can only set on itself and its descendants inherit.

Man pages: personality(2), set_mempolicy(2). The stage does it before the filter, for each process of the container that we start.
"""

from __future__ import annotations

from runsc_cli.scheduling import cpus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runsc_cli.oci.model import MemoryPolicy, Personality
    from runsc_cli.stage.program import Program

PERSONALITIES = {"LINUX": 0x0000, "LINUX32": 0x0008}
MODES = {
    "MPOL_DEFAULT": 0,
    "MPOL_PREFERRED": 1,
    "MPOL_BIND": 2,
    "MPOL_INTERLEAVE": 3,
    "MPOL_LOCAL": 4,
    "MPOL_PREFERRED_MANY": 5,
    "MPOL_WEIGHTED_INTERLEAVE": 6,
}
FLAGS = {"MPOL_F_NUMA_BALANCING": 1 << 13, "MPOL_F_RELATIVE_NODES": 1 << 14, "MPOL_F_STATIC_NODES": 1 << 15}


def settings(p: Program, personality: Personality | None, policy: MemoryPolicy | None) -> None:
    """Append the calls."""
    if personality is not None:
        p.call("personality", PERSONALITIES[personality.domain], what=f"linux.personality.domain: {personality.domain}")
    if policy is not None:
        mode = MODES[policy.mode]
        for flag in policy.flags:
            mode |= FLAGS[flag]
        nodes = cpus(policy.nodes)  # the same format
        mask = sum(1 << node for node in nodes)
        size = max(nodes, default=0) // 64 * 8 + 8
        # the kernel takes one bit less than it is told: mm/mempolicy.c:get_nodes()
        where, bits = (mask.to_bytes(size, "little"), size * 8 + 1) if nodes else (0, 0)
        p.call("set_mempolicy", mode, where, bits, what=f"linux.memoryPolicy: {policy.mode} on {policy.nodes or 'no'} nodes")
