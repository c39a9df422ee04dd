"""Runs the command of a bundle as a plain process of the host: the tree of the config by bind mounts and chroot(2), nothing else.

usage: python -m benchmarks.native BUNDLE
"""

from __future__ import annotations

import json
import os
import sys

from benchmarks.runtimes import CLONE_NEWNS, MS_PRIVATE, MS_REC, check, libc

MS_BIND = 0x1000
_HOST = ("/proc", "/dev", "/sys")


def main(bundle: str) -> None:
    with open(os.path.join(bundle, "config.json")) as file:
        config = json.load(file)
    root = os.path.join(bundle, config["root"]["path"])
    check(libc.unshare(CLONE_NEWNS), "unshare")
    check(libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None), "make mounts private")
    for mount in config["mounts"]:
        target, kind = os.fsencode(root + mount["destination"]), mount["type"]
        if kind == "bind":
            check(libc.mount(os.fsencode(mount["source"]), target, None, MS_BIND | MS_REC, None), mount["source"])
        elif mount["destination"] in _HOST:
            check(libc.mount(os.fsencode(mount["destination"]), target, None, MS_BIND | MS_REC, None), mount["destination"])
        elif kind == "tmpfs" and mount["destination"] == "/tmp":
            check(libc.mount(b"tmpfs", target, b"tmpfs", 0, b"mode=1777"), "tmpfs")
    os.chroot(root)
    process = config["process"]
    os.chdir(process["cwd"])
    os.execve(process["args"][0], process["args"], dict(entry.split("=", 1) for entry in process["env"]))


if __name__ == "__main__":
    main(sys.argv[1])
