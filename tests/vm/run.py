"""`make test-vm`: runs tests as root inside of the virtual machine of image.sh, under its systemd, and ends with pytest's exit code.

    python tests/vm/run.py IMAGES [pytest's arguments]

The tree and its .venv go onto a second disk, which the machine puts where they are on the host. KVM where it boots the machine, else
emulation: ten times slower, but everywhere. The machine has no network, writes to no disk of the host, and what it says is its serial line.
"""

from __future__ import annotations

import os
import select
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
ENGINES = {
    "docker_and_podman": ("pids_limit", "exec", "pause_and_unpause", "systemd_makes_the_cgroup", "a_restart_policy"),
    "docker": ("top_and_stats", "update"),
    "podman": ("top_and_stats", "update", "out_of_memory", "a_pod"),
}
"""What of an engine is different with systemd and version 2: each `docker run` takes an emulated machine five seconds and more."""
TESTS = [
    "tests/vm",
    "tests/runsc_cli/cgroups",
    "tests/integration/test_beside.py",
    "tests/integration/test_pause.py",
    *(f"tests/integration/test_{file}.py::test_{name}" for file, names in ENGINES.items() for name in names),
]
LINT_ONLY = {"mypy", "mypyc", "ruff", "numpy", "matplotlib", "PIL", "pip", "fontTools", "grimp", "contourpy", "bin"}
UP, ENDED = "pysc-vm: up", "pysc-vm: ended, "
KVM_PATIENCE = 8.0
"""Seconds until the machine's kernel runs; a machine that KVM does not boot says nothing at all."""
PATIENCE = 1800.0

START = """\
export PYSC_VM=1 HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
mkdir -p {tree} /run/pysc-tree/up /run/pysc-tree/work
mount -t overlay -o lowerdir=/mnt/code/tree,upperdir=/run/pysc-tree/up,workdir=/run/pysc-tree/work tree {tree}
cd {tree} && exec .venv/bin/python -m pytest -p no:cacheprovider --color=no -v {arguments}
"""


def copy_tree(target: Path) -> None:
    """What git has, what was built, and of the .venv what running takes."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=TREE, capture_output=True, text=True, check=True)
    names = listed.stdout.splitlines()
    built = [str(path.relative_to(TREE)) for pattern in ("sentry/platform/_native*.so", "runsc_cli/stage/stage") for path in TREE.glob(pattern)]
    packages = next((TREE / ".venv" / "lib").glob("python3*")) / "site-packages"
    for name in [*names, *built]:
        if (TREE / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(TREE / name, target / name)
    place = target / packages.relative_to(TREE)
    place.mkdir(parents=True)
    for entry in packages.iterdir():
        if entry.name in LINT_ONLY or entry.name.partition("-")[0] in LINT_ONLY:
            continue
        (shutil.copytree if entry.is_dir() else shutil.copy2)(entry, place / entry.name)
    shutil.copytree(TREE / ".venv" / "bin", target / ".venv" / "bin", symlinks=True)
    shutil.copytree(TREE / ".venv" / "lib" / "pysc", target / ".venv" / "lib" / "pysc")
    shutil.copy2(TREE / ".venv" / "pyvenv.cfg", target / ".venv" / "pyvenv.cfg")
    subprocess.run([sys.executable, "-m", "compileall", "-q", "-s", target, "-p", TREE, target], check=False)


def make_disk(images: Path, arguments: list[str]) -> Path:
    """The second disk."""
    code, disk = images / "code", images / "code.img"
    shutil.rmtree(code, ignore_errors=True)
    (code / "tree").mkdir(parents=True)
    copy_tree(code / "tree")
    (code / "start").write_text(START.format(tree=shlex.quote(str(TREE)), arguments=shlex.join(arguments or TESTS)))
    disk.unlink(missing_ok=True)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", code, disk, "1G"], check=True)
    shutil.rmtree(code)
    return disk


def machine(images: Path, disk: Path, accel: str) -> subprocess.Popen[bytes]:
    cpu = "host" if accel == "kvm" else "max"
    argv = ["qemu-system-x86_64", "-accel", "kvm" if accel == "kvm" else "tcg,thread=multi", "-cpu", cpu, "-smp", "2", "-m", "3000"]
    argv += ["-nographic", "-no-reboot", "-nic", "none", "-kernel", str(images / "kernel"), "-initrd", str(images / "initrd")]
    argv += ["-append", "console=ttyS0 root=/dev/vda rw quiet mitigations=off systemd.show_status=no apparmor=1 security=apparmor"]
    for image in (images / "disk.img", disk):
        argv += ["-drive", f"file={image},format=raw,if=virtio,snapshot=on"]
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def follow(process: subprocess.Popen[bytes], patience: float, until_up: float) -> int | None:
    """Show what the machine says; pytest's exit code, or None where it did not come up in `until_up` seconds."""
    assert process.stdout is not None
    fd, rest, code, up = process.stdout.fileno(), b"", 1, False
    began = time.monotonic()
    while True:
        left = (began + patience if up else began + until_up) - time.monotonic()
        if left <= 0 or not select.select([fd], [], [], left)[0]:
            if up:
                print(f"test-vm: no end after {patience:.0f} seconds", flush=True)
            return 1 if up else None
        data = os.read(fd, 1 << 16)
        if not data:
            return code if up else None
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            text = line.decode(errors="replace").rstrip("\r")
            if UP in text:
                up = True
                print(f"test-vm: the machine is up after {time.monotonic() - began:.1f} s", flush=True)
            elif ENDED in text:
                how, _, status = text.partition(ENDED)[2].partition(" ")
                code = int(status) if how == "exited" and status.isdigit() else 1
            elif up:
                print(text, flush=True)


def main() -> int:
    images = Path(sys.argv[1])
    missing = [name for name in ("disk.img", "initrd", "kernel") if not (images / name).exists()]
    if missing or shutil.which("qemu-system-x86_64") is None:
        print(f"test-vm: {', '.join(missing) or 'qemu-system-x86_64'} is missing: tests/vm/image.sh {images} makes it", file=sys.stderr)
        return 1
    python = os.path.realpath(TREE / ".venv" / "bin" / "python")
    if python != "/usr/bin/python3.11":
        why = f"the machine has /usr/bin/python3.11, and .venv was made of {python}: make clean test-vm PYTHON=/usr/bin/python3.11"
        print(f"test-vm: {why}", file=sys.stderr)
        return 1
    disk = make_disk(images, sys.argv[2:])
    for accel, until_up in (("kvm", KVM_PATIENCE), ("tcg", 300.0)):
        if accel == "kvm" and not os.access("/dev/kvm", os.R_OK | os.W_OK):
            continue
        print(f"test-vm: boots with {accel}", flush=True)
        process = machine(images, disk, accel)
        try:
            code = follow(process, PATIENCE, until_up)
        finally:
            process.kill()
            process.wait()
        if code is not None:
            print(f"test-vm: {'passed' if code == 0 else f'failed: exit code {code}'}", flush=True)
            return code
        print(f"test-vm: it does not come up with {accel}", flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
