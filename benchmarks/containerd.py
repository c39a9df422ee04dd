"""Many containers at once from containerd: one of our own, on a socket, directories and a mount namespace that nobody else sees."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.cases import MEGABYTES, MILLISECONDS, Metric, pss
from benchmarks.launch import Failed, descendants, end_descendants

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from benchmarks.bundles import Trees
    from benchmarks.runtimes import Runtime

_DEADLINE = 300.0
_PROGRAMS = ("containerd", "ctr", "containerd-shim-runc-v2")
# /run, where shims have their sockets, is a tmpfs there; crun takes no host that has version 2 beside version 1.
_PREPARE = 'mount -t tmpfs tmpfs /run; umount /sys/fs/cgroup/unified 2>/dev/null; exec "$@"'
# In the mount namespace of those who ask it, for it declines others.
_ZYGOTE = 'mount -t tmpfs tmpfs /run; "$0" zygote & while [ ! -d /run/pysc-zygote ]; do kill -0 $! || exit 1; sleep 0.01; done; exec "$@"'


class Crowd:
    """`count` times `ctr run -d`, started together: milliseconds and megabytes for each, the shim's apart from the runtime's.

    The time ends when the last container runs; of it ctr's own start is some 30 ms for each, whatever the runtime.
    """

    name = "crowd"
    starts = True

    def __init__(self, count: int) -> None:
        self._count = count

    def metrics(self) -> list[Metric]:
        group = f"{self._count} containers at once, each"
        return [
            Metric("crowd_start", group, MILLISECONDS, "runc"),
            Metric("crowd_memory", group, MEGABYTES, "runc"),
            Metric("crowd_shims", group, MEGABYTES, "runc"),
        ]

    def measure(self, runtime: Runtime, trees: Trees) -> dict[str, list[float]]:
        if runtime.name not in ("runc", "crun", "runsc", "pysc", "pysc zygote"):
            return {}
        missing = [program for program in _PROGRAMS if shutil.which(program) is None]
        if missing:
            raise Failed(f"not installed: {', '.join(missing)}")
        with tempfile.TemporaryDirectory(prefix="bench-ctr-", dir=trees.state) as directory, Containerd(Path(directory), runtime) as containerd:
            names = [f"bench-{os.getpid()}-{number:04}" for number in range(self._count)]
            began = time.perf_counter()
            containerd.start(names, trees.busybox)
            took = time.perf_counter() - began
            shims = runtimes = 0.0
            for pid, comm in descendants().items():
                if "containerd-shim" in comm:
                    shims += pss(pid)
                elif comm not in ("sleep", "containerd", "cat"):
                    runtimes += pss(pid)
            containerd.remove(names)
        each = 1 / self._count
        return {"crowd_start": [took * 1e3 * each], "crowd_memory": [runtimes * each], "crowd_shims": [shims * each]}


class Containerd:
    """The daemon, from `with` to its end and that of all that it has left."""

    def __init__(self, directory: Path, runtime: Runtime) -> None:
        self._directory = directory
        self._socket = f"{directory}/c.sock"
        self._binary = directory / "runtime"
        self._binary.write_text(f'#!/bin/sh\nexec {shutil.which(runtime.program)} {" ".join(runtime.engine_options)} "$@"\n')
        self._binary.chmod(0o755)
        config = directory / "config.toml"
        config.write_text(
            f'version = 2\nroot = "{directory}/root"\nstate = "{directory}/state"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
            f'[grpc]\naddress = "{self._socket}"\n[ttrpc]\naddress = "{directory}/c.ttrpc"\n'
        )
        prepare = _ZYGOTE if runtime.zygote else _PREPARE
        self._argv = ["unshare", "--mount", "sh", "-c", prepare, runtime.program, "containerd", "--config", str(config)]

    def __enter__(self) -> Self:
        self._daemon = subprocess.Popen(self._argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        assert self._daemon.stderr is not None
        for line in self._daemon.stderr:
            if "successfully booted" in line:
                break
        else:
            raise Failed("containerd does not start")
        self._log = subprocess.Popen(["cat"], stdin=self._daemon.stderr, stdout=subprocess.DEVNULL)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self._daemon.terminate()
        try:
            self._daemon.wait(30)
        except subprocess.TimeoutExpired:
            self._daemon.kill()
        end_descendants()
        self._daemon.wait()

    def start(self, names: list[str], rootfs: Path) -> None:
        """Raises Failed."""
        line = ["ctr", "--address", self._socket, "run", "--detach", "--null-io", "--runc-binary", str(self._binary)]
        line += ["--runc-root", f"{self._directory}/containers", "--rootfs", str(rootfs)]
        clients = []
        for name in names:
            argv = [*line, name, "/bin/sleep", "1000"]
            clients.append(subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True))
        deadline = time.monotonic() + _DEADLINE
        said = [client.communicate(timeout=max(1.0, deadline - time.monotonic()))[1] for client in clients]
        for client, text in zip(clients, said, strict=True):
            if client.returncode != 0:
                raise Failed(re.sub(r"\s+", " ", text).strip()[:300] or "ctr run failed")

    def remove(self, names: list[str]) -> None:
        for words in (["tasks", "rm", "--force"], ["containers", "rm"]):
            argv = ["ctr", "--address", self._socket, *words, *names]
            subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=_DEADLINE, check=False)
