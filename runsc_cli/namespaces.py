"""Namespaces by their type in config.json: config-linux.md#namespaces, namespaces(7)."""

from __future__ import annotations

import os

from sentry.abi import (
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWTIME,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
)

FLAGS = {
    "cgroup": CLONE_NEWCGROUP,
    "ipc": CLONE_NEWIPC,
    "mount": CLONE_NEWNS,
    "network": CLONE_NEWNET,
    "pid": CLONE_NEWPID,
    "time": CLONE_NEWTIME,
    "uts": CLONE_NEWUTS,
}
"""All but the user namespace, which has rules of its own."""

FILES = {kind: kind for kind in (*FLAGS, "user")} | {"mount": "mnt", "network": "net"}
"""Names in /proc/PID/ns."""


def is_ours(file: os.stat_result, kind: str) -> bool:
    """The namespace of which `file` is, is that in which we are."""
    return os.path.samestat(file, os.stat(f"/proc/self/ns/{FILES[kind]}"))


def is_ours_at(path: str, kind: str) -> bool:
    """The same of the namespace at `path`. What cannot be looked at fails later, when it is joined."""
    try:
        return is_ours(os.stat(path), kind)
    except OSError:
        return False


def foreign(pid: int) -> int:
    """CLONE_NEW* of the namespaces of process `pid` that are not ours. To join one's own may be forbidden, and of the user namespace is."""
    kinds = {**FLAGS, "user": CLONE_NEWUSER}
    return sum(flag for kind, flag in kinds.items() if not is_ours(os.stat(f"/proc/{pid}/ns/{FILES[kind]}"), kind))
