"""Engines of the tests' own: in mount and network namespaces that nobody else sees, on sockets in a directory of theirs.

Nothing of an engine that the machine may have is touched: /run is a tmpfs here, bridges and packet filters are those of an empty network
namespace, and every mount goes with the last process. The clients run in the same namespaces. Daemons are ended by pid.

Shims outlive the command that starts them, and become children of the test process, a child subreaper (tests/containers.py): after each
test their end is waited for.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import howto
from containers import Done, Pysc, descendants
from cri import Runtime
from grpc_call import CallError
from zygote import Zygote

from sentry.abi import CLONE_NEWNET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CTR_PROGRAMS = ("containerd", "ctr", "containerd-shim-runc-v2", "unshare", "nsenter", "ip", "mount")
PODMAN_PROGRAMS = ("podman", "conmon", "unshare", "nsenter", "ip", "mount")
DOCKER_PROGRAMS = (*CTR_PROGRAMS, "dockerd", "docker", "docker-init")
IMAGE = "docker.io/library/busybox:latest"
PAUSE = "registry.local/pause:3.6"
CNI = "/usr/lib/cni"
"""Where Debian's containernetworking-plugins are."""

DEADLINE = 90.0

SYSTEMD = os.path.isdir("/run/systemd/system") and os.path.exists("/sys/fs/cgroup/cgroup.controllers")
"""systemd and version 2 alone: the engines have their cgroups made by systemd then, as is their default. Else they make them."""

_RUN = "mount -t tmpfs tmpfs /run"
if SYSTEMD:  # who asks for scopes has to reach it
    _BACK = " && ".join(f"mkdir /run/{name} && mount -c --bind /proc/self/fd/{fd} /run/{name}" for fd, name in ((7, "systemd"), (8, "dbus")))
    _RUN = f"exec 7</run/systemd 8</run/dbus && {_RUN} && {_BACK} && exec 7<&- 8<&-"
_PREPARE = f'{_RUN} && ip link set lo up && exec "$@"'

_DECLINED = ("its mnt namespace is", "a terminal, whose job control")
"""Why a zygote may decline what an engine starts: podman builds in a mount namespace, and copies from one."""


def pysc_binary(name: str = "pysc") -> str:
    """The command as it is installed: engines call it without PATH, from their own working directory."""
    return str(Path(sys.executable).with_name(name))


class Daemon:
    """A process that says on stderr when it is ready; what it says later is kept for a failure's report."""

    def __init__(self, argv: list[str], ready: str, cwd: Path) -> None:
        self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=cwd)
        self.log: list[str] = []
        for line in self._lines():
            if ready in line:
                break
        else:
            raise AssertionError(f"{argv}: {''.join(self.log)}")
        self._reader = threading.Thread(target=self._drain, daemon=True)
        self._reader.start()

    def _drain(self) -> None:
        """Until nobody has the pipe any more."""
        assert self._process.stderr is not None
        with self._process.stderr:
            for _ in self._lines():
                pass

    def _lines(self) -> Iterator[str]:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.log.append(line)
            yield line

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(30)
        finally:
            self.crash()

    def crash(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join(30)


class Containerd:
    """containerd, and `ctr` for it. With `runtime` a container's commands know which binary makes it."""

    _plugins = 'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'

    def __init__(self, directory: Path, rootfs: Path, *, zygote: bool = False) -> None:
        """`zygote`: one is there in any case."""
        self.directory = directory
        self.rootfs = rootfs
        self.runtime = pysc_binary()
        self._config = directory / "config.toml"
        self._config.write_text(
            f'version = 2\nroot = "{directory}/root"\nstate = "{directory}/state"\n'
            f'{self._plugins}[grpc]\naddress = "{self.socket}"\n[ttrpc]\naddress = "{directory}/c.ttrpc"\n'
        )
        self._place = Place(directory, zygote=zygote)
        self.daemon = self._start()
        self.load(oci_image(rootfs))

    def load(self, image: bytes, *options: str) -> None:
        """Import an image; `options` are those of ctr itself."""
        file = self.directory / "image.tar"
        file.write_bytes(image)
        self.ctr(*options, "images", "import", file, check=True)
        file.unlink()

    def _start(self) -> Daemon:
        return Daemon(self.inside("containerd", "--config", str(self._config)), "successfully booted", self.directory)

    @property
    def socket(self) -> str:
        return f"{self.directory}/c.sock"

    def inside(self, *argv: str) -> list[str]:
        """A command in the engine's namespaces."""
        return [*self._place.enter(), *argv]

    def argv(self, *words: object) -> list[str]:
        """A command line of ctr. `run` and `run --rm` get the runtime."""
        line = [str(word) for word in words]
        if line[0] == "run":
            line[1:1] = ["--runc-binary", self.runtime, "--runc-root", f"{self.directory}/runtime"]
        return self.inside("ctr", "--address", self.socket, *line)

    def ctr(self, *words: object, check: bool = False, input: str = "") -> Done:
        return run(self.argv(*words), check=check, input=input)

    def crash(self) -> None:
        """Kill the daemon, and start another one on the same state."""
        self.daemon.crash()
        self.daemon = self._start()

    def stop(self) -> None:
        self.daemon.stop()
        self._place.leave()


class Cri(Containerd):
    """containerd with its CRI plugin and a runtime handler `pysc`; `runtime` is the service. `network`: a CNI configuration (conflist)."""

    def __init__(self, directory: Path, rootfs: Path, network: dict[str, object]) -> None:
        plugin = 'plugins."io.containerd.grpc.v1.cri"'
        (directory / "cni").mkdir()
        (directory / "cni" / "10-net.conflist").write_text(json.dumps(network))
        self._plugins = (
            f'[{plugin}]\nsandbox_image = "{PAUSE}"\ndisable_apparmor = true\nrestrict_oom_score_adj = true\n'
            f'[{plugin}.cni]\nbin_dir = "{CNI}"\nconf_dir = "{directory}/cni"\n'
            + howto.blocks("Kubernetes", pysc_binary())[0].removeprefix("version = 2")
            + ("\n  SystemdCgroup = true\n" if SYSTEMD else "\n")
        )
        super().__init__(directory, rootfs)
        self.load(oci_image(rootfs), "-n", "k8s.io")
        self.load(oci_image(pause_root(directory / "pause"), PAUSE, Entrypoint=["/pause"]), "-n", "k8s.io")
        self.service = Runtime(self.socket)

    def crash(self) -> None:
        super().crash()
        while True:
            try:
                self.service("Status")
                return
            except CallError as error:
                assert "server is not initialized yet" in str(error)

    def connect(self, host: str, port: int) -> socket.socket:
        """A TCP connection in the engine's network namespace."""
        made: list[socket.socket] = []

        def enter() -> None:
            """In a thread of its own, which alone changes its namespace: setns(2)."""
            with open(f"/proc/{self._place.pid}/ns/net") as namespace:
                if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET) == 0:
                    made.append(socket.socket())

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        made[0].connect((host, port))
        return made[0]


def pause_root(directory: Path) -> Path:
    """The root of a pod's first container, as Kubernetes' own is: one static program that waits for SIGTERM."""
    source = directory.with_suffix(".c")
    source.write_text(
        "#include <signal.h>\n#include <unistd.h>\nstatic void end(int signal) { (void)signal; _exit(0); }\n"
        "int main(void) { signal(SIGTERM, end); signal(SIGINT, end); signal(SIGCHLD, SIG_IGN); for (;;) pause(); }\n"
    )
    directory.mkdir()
    subprocess.run(["cc", "-Os", "-static", "-s", "-o", directory / "pause", source], check=True)
    return directory


class Engine:
    """An engine that is called as `docker` is. Containers of its tests have no network, and the image busybox, unless they say so."""

    def argv(self, *words: object) -> list[str]:
        """A command line of it."""
        raise NotImplementedError

    def __call__(self, *words: object, check: bool = False, input: str = "") -> Done:
        return run(self.argv(*words), check=check, input=input)

    def run(self, *words: object, options: tuple[object, ...] = (), input: str = "") -> Done:
        """`run --rm`."""
        return self("run", "--rm", "--network", "none", *options, "busybox", *words, input=input)

    def start(self, name: str, *words: object, options: tuple[object, ...] = ()) -> None:
        """`run --detach`."""
        self("run", "--detach", "--network", "none", "--name", name, *options, "busybox", *words, check=True)

    def state(self, name: str) -> dict[str, object]:
        """What `inspect` says of it."""
        found = json.loads(self("inspect", name, check=True).out)[0]["State"]
        assert isinstance(found, dict)
        return found

    def clear(self) -> None:
        """Remove all containers and their volumes."""
        left = self("ps", "--all", "--quiet").out.split()
        if left:
            self("rm", "--force", "--volumes", *left)
        settle()


class Docker(Engine):
    """dockerd on a containerd of ours, and `docker` for it."""

    def __init__(self, containerd: Containerd, directory: Path, *options: str) -> None:
        self.directory = directory
        self.runtime = "pysc"
        self._containerd = containerd
        self._client = next(path for path in ("/usr/bin/docker", shutil.which("docker")) if path and os.path.exists(path))
        config = directory / "daemon.json"
        runtimes = json.loads(howto.blocks("Docker", pysc_binary())[0])["runtimes"]
        runtimes["pysc-trusted"] = {"path": pysc_binary("pysc-trusted")}
        config.write_text(json.dumps({"deprecated-key-path": f"{directory}/key.json", "runtimes": runtimes}))
        argv = [
            "dockerd", "--config-file", str(config), "--containerd", containerd.socket, "--data-root", f"{directory}/data",
            "--exec-root", f"{directory}/exec", "--pidfile", f"{directory}/pid", "--host", self.host, "--userland-proxy=false",
            *options,
        ]  # fmt: skip
        self.daemon = Daemon(containerd.inside(*argv), "API listen on", directory)
        with tarfile.open(directory / "root.tar", "w") as tar:
            tar.add(containerd.rootfs, arcname=".")
        self("import", directory / "root.tar", "busybox:latest", check=True)

    @property
    def host(self) -> str:
        return f"unix://{self.directory}/d.sock"

    def argv(self, *words: object) -> list[str]:
        line = [str(word) for word in words]
        if line[0] in ("run", "create"):
            line[1:1] = ["--runtime", self.runtime]
        return [self._client, "--host", self.host, *line]

    def stop(self) -> None:
        self.daemon.stop()


class Podman(Engine):
    """podman with directories of its own, and pysc as its runtime; no daemon."""

    def __init__(self, directory: Path, rootfs: Path) -> None:
        self.directory = directory
        (directory / "cni").mkdir()
        self._conf = directory / "containers.conf"
        text = howto.blocks("podman", pysc_binary())[0]
        self._conf.write_text(
            "[containers]\n"
            'default_ulimits = ["nofile=1024:2048", "nproc=4096:8192"]\n'  # its own ones raise hard limits, which root may not everywhere
            + (text.replace('cgroup_manager = "cgroupfs"\n', "") if SYSTEMD else text).replace(
                "[engine]\n", f'[engine]\nevents_logger = "file"\nlock_type = "file"\ntmp_dir = "{directory}/tmp"\ninfra_image = "{PAUSE}"\n'
            )
            + f'\n[network]\nnetwork_backend = "cni"\ncni_plugin_dirs = ["{CNI}"]\nnetwork_config_dir = "{directory}/cni"\n'
        )
        self._storage = directory / "storage.conf"
        self._storage.write_text(f'[storage]\ndriver = "overlay"\ngraphroot = "{directory}/graph"\nrunroot = "{directory}/run"\n')
        self._place = Place(directory)
        for root, name, *change in ((rootfs, "busybox:latest"), (pause_root(directory / "pause"), PAUSE, "--change", 'ENTRYPOINT ["/pause"]')):
            archive = directory / "root.tar"
            with tarfile.open(archive, "w") as tar:
                tar.add(root, arcname=".")
            self("import", *change, archive, name, check=True)
            archive.unlink()

    def argv(self, *words: object) -> list[str]:
        conf = [f"CONTAINERS_CONF={self._conf}", f"CONTAINERS_STORAGE_CONF={self._storage}"]
        reaper = [sys.executable, "-IS", str(Path(__file__).with_name("reaper.py"))]
        return [*self._place.enter(), "env", *conf, *reaper, "podman", *map(str, words)]

    def clear(self) -> None:
        """Of pods, too."""
        self("pod", "rm", "--all", "--force", "--time", 0)
        self("rm", "--all", "--force", "--volumes", "--time", 0)
        settle()

    def stop(self) -> None:
        self._place.leave()


class Place:
    """Mount and network namespaces for an engine, which outlive a crash of it. If there is a zygote for the tests, one is there, too."""

    def __init__(self, directory: Path, *, zygote: bool = False) -> None:
        argv = ["unshare", "--mount", "--net", "sh", "-c", _PREPARE, "sh", "sh", "-c", "echo ready >&2; exec sleep infinity"]
        self._holder = Daemon(argv, "ready", directory)
        self.pid = self._holder.pid
        self.zygote = Zygote(*self.enter()).__enter__() if zygote or Pysc.zygote is not None else None

    def enter(self) -> list[str]:
        """What to put before a command line to run it there."""
        return ["nsenter", "-t", str(self.pid), "-m", "-n"]

    def leave(self) -> None:
        said = ""
        if self.zygote is not None:
            said = self.zygote.log()
            self.zygote.__exit__(None, None, None)
        self._holder.crash()
        declined = [line for line in said.splitlines() if not any(reason in line for reason in _DECLINED)]
        assert not declined, declined


def run(argv: list[str], *, check: bool = False, input: str = "") -> Done:
    ran = subprocess.run(argv, input=input, capture_output=True, text=True, errors="replace", timeout=DEADLINE, check=False)
    done = Done(argv, ran.returncode, ran.stdout, ran.stderr)
    assert not check or done.code == 0, done
    return done


def settle() -> None:
    """Wait until the shims, conmon for podman, which are children of ours by now, have ended."""
    while shims := [pid for pid, shown in descendants().items() if "containerd-shim" in shown or shown.endswith(" conmon")]:
        for pid in shims:
            try:
                os.waitpid(pid, 0)
            except ChildProcessError:
                continue  # a child of a child still


def _rmdir(cgroup: str, patience: float = 5.0) -> None:
    """A cgroup's last process leaves it a moment after it has ended."""
    deadline = time.monotonic() + patience
    while True:
        try:
            return os.rmdir(cgroup)
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def remove_cgroups(names: Iterator[str] | tuple[str, ...]) -> Callable[[], None]:
    """Remembers which of the engines' parent cgroups are there; the result removes the others, in which no container has a cgroup by then.

    In those are what podman leaves with any runtime: conmon's, and in the hierarchies that it knows no controller of a pod's.
    """
    base = "/sys/fs/cgroup"
    places = [f"{base}/{controller}/{name}" for controller in os.listdir(base) for name in names]
    before = {place for place in places if os.path.isdir(place)}

    def remove() -> None:
        for place in places:
            if place not in before and os.path.isdir(place):
                for inner in os.scandir(place):
                    if inner.is_dir() and not inner.name.startswith("libpod-"):  # those are containers'
                        _rmdir(inner.path)
                _rmdir(place)

    return remove


def oci_image(rootfs: Path, name: str = IMAGE, **config: object) -> bytes:
    """A root directory as an image of one layer: an OCI image layout in a tar file, for `ctr images import`."""
    blobs: dict[str, bytes] = {}

    def blob(data: bytes, kind: str) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        blobs[digest] = data
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(data)}

    layers = io.BytesIO()
    with tarfile.open(fileobj=layers, mode="w") as tar:
        tar.add(rootfs, arcname=".")
    layer = blob(layers.getvalue(), "layer.v1.tar")
    image = {
        "architecture": "amd64",
        "os": "linux",
        "config": config or {"Env": ["PATH=/bin:/sbin"], "Cmd": ["sh"]},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob(json.dumps(image).encode(), "config.v1+json"),
        "layers": [layer],
    }
    entry = blob(json.dumps(manifest).encode(), "manifest.v1+json")
    entry["annotations"] = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.rpartition(":")[2]}
    files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()}
    files |= {f"blobs/sha256/{digest}": data for digest, data in blobs.items()}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()
