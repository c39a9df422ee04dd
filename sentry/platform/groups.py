"""Supplementary groups of our own processes: setgroups(2), user_namespaces(7)."""

from __future__ import annotations

import os


def drop_groups() -> None:
    """Give them up. In a user namespace of a single id the kernel makes everybody keep them, the workload too."""
    try:
        os.setgroups([])
    except PermissionError:
        with open("/proc/self/setgroups", "rb") as file:
            if file.read() != b"deny\n":
                raise
