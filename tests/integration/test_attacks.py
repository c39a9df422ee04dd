"""Ways out of a container that other runtimes have had, or that were found here by looking for them. Each one was open once, or nearly."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from containers import Bundles, Pysc, requires

from runsc_cli.oci.default import default_spec

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    requires("busybox"),
]

QUIET = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}


def start(pysc: Pysc, made: object, *options: str, **how: object) -> dict[str, object]:
    """`run --detach` with our stdio closed to it; its state.json."""
    command = pysc.argv("run", "--detach", *options, "-b", made, pysc.id)
    subprocess.run(command, check=True, timeout=60, **{**QUIET, **how})  # type: ignore[call-overload]
    return json.loads((pysc.root / pysc.id / "state.json").read_text())


# ---- descriptors of the caller ----


def run_with(descriptors: dict[int, Path], argv: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command that is given open files by their numbers, beside stdio."""
    opens = " ".join(f"{fd}<'{path}'" for fd, path in descriptors.items())
    command = ["bash", "-c", f'exec "$@" {opens}', "bash", *argv]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, check=False)


@pytest.mark.parametrize("profile", ["standard", "strict"])
def test_a_working_directory_is_not_taken_from_the_callers_descriptors(
    pysc: Pysc, bundle: Bundles, tmp_path: Path, profile: str
) -> None:
    """CVE-2024-21626: whoever calls has a directory of the host open, and the container makes `exec` begin there."""
    host = tmp_path / "host"
    host.mkdir(mode=0o755)
    (host / "secret").write_text("host\n")
    made = bundle(["sh", "-c", "ln -s /proc/self/fd /app; exec sleep 1000"], writable=True)
    start(pysc, made)
    for fd in (3, 4, 5, 6, 7, 8, 60):
        for cwd in (f"/app/{fd}", f"/proc/self/fd/{fd}", f"/proc/thread-self/fd/{fd}"):
            words = ["--profile", profile, "exec", "--cwd", cwd, pysc.id, "sh", "-c", "cat secret ../*/secret; pwd"]
            done = run_with({7: host, 60: host}, pysc.argv(*words))
            assert (done.returncode, done.stdout) == (255, ""), (cwd, done)
            assert "chdir to cwd" in done.stderr
    pysc("delete", "--force", pysc.id, check=True)
    made.config["process"]["cwd"] = "/app/60"
    made.write()
    done = run_with({60: host}, pysc.argv("--profile", profile, "run", "-b", made, pysc.id))
    assert (done.returncode, done.stdout) == (1, ""), done


def test_a_program_is_not_taken_from_the_callers_descriptors(pysc: Pysc, bundle: Bundles) -> None:
    done = run_with({60: Path("/usr")}, pysc.argv("run", "-b", bundle(["/proc/self/fd/60/bin/env"]), pysc.id))
    assert done.returncode == 255
    assert "no such file or directory" in done.stderr


def test_descriptors_are_preserved_as_they_were_given_and_no_other_goes_along(pysc: Pysc, bundle: Bundles, tmp_path: Path) -> None:
    for name in ("three", "four", "seven"):
        (tmp_path / name).write_text(name)
    given = {3: tmp_path / "three", 4: tmp_path / "four", 7: tmp_path / "seven"}
    show = "cat <&3; echo; cat <&4; echo; exec 3<&- 4<&-; for fd in 3 4 5 6 7 8 9; do readlink /proc/self/fd/$fd; done; echo end"
    made = bundle(["sh", "-c", show])
    done = run_with(given, pysc.argv("run", "--preserve-fds", "2", "-b", made, pysc.id))
    assert done.stdout.split() == ["three", "four", "end"], done
    done = run_with(given, pysc.argv("run", "--preserve-fds", "3", "-b", made, pysc.id))
    assert (done.returncode, done.stdout) == (1, ""), done
    assert "descriptor 5 is not open" in done.stderr
    start(pysc, bundle(["sleep", "1000"]))
    done = run_with(given, pysc.argv("exec", "--preserve-fds", "1", pysc.id, "sh", "-c", "cat <&3; readlink /proc/self/fd/4"))
    assert (done.stdout, done.returncode) == ("three", 1), done
    pysc("delete", "--force", pysc.id, check=True)


# ---- what a workload can make us print ----


def test_names_of_the_workload_do_not_speak_to_the_terminal(pysc: Pysc, tmp_path: Path) -> None:
    attack = (
        "for name in (b'/usr/\\x1b]0;title\\x07', b'/usr/x\\n  write    /            allow with --write /', b'/usr/$(reboot)', b'/usr/\\xff'):\n"
        "    try: open(name, 'w')\n"
        "    except OSError: pass\n"
        "print('end')"
    )
    for words in (["do"], ["--debug", "do"]):
        done = pysc(*words, "--", sys.executable, "-B", "-c", attack, cwd=tmp_path)
        assert done.out == "end\n", done
        assert all(line.isprintable() for line in done.err.splitlines()), done
        assert not [line for line in done.err.splitlines() if line.endswith("--write /")], done
        assert "allow with --write /usr\n" in done.err, done
    here, outside = tmp_path / "here", tmp_path / "$(reboot)"
    here.mkdir()
    outside.touch()
    done = pysc("do", "--", "cat", outside, cwd=here)
    assert f"allow with --read '{outside}'" in done.err, done


def test_many_long_names_do_not_hide_what_was_denied(pysc: Pysc, tmp_path: Path) -> None:
    attack = (
        "for i in range(600):\n"
        "    try: open('/usr/' + './' * 2000 + str(i), 'w')\n"
        "    except OSError: pass\n"
        "    try: open('/missing/' + './' * 2000 + str(i))\n"
        "    except OSError: pass"
    )
    done = pysc("do", "--", sys.executable, "-B", "-c", "open('/usr/short', 'a')", cwd=tmp_path)
    advice = "open /usr/short (write) allow with --write /usr".split()
    assert advice in [line.split() for line in done.err.splitlines()], done
    done = pysc("do", "--", sys.executable, "-B", "-c", "try: open('/usr/short', 'a')\nexcept OSError: pass\n" + attack, cwd=tmp_path)
    assert "pysc: 512 operations were denied" in done.err, done.err[:300]
    assert advice in [line.split() for line in done.err.splitlines()], done.err[:300]


# ---- a sentry that does not answer ----


def test_a_sentry_that_is_stopped_holds_nobody_up(pysc: Pysc, bundle: Bundles) -> None:
    state = start(pysc, bundle(["sleep", "1000"]))
    os.kill(state["sentry"][0], signal.SIGSTOP)  # type: ignore[index]
    done = pysc("exec", pysc.id, "true")
    assert done.code == 255
    assert "sentry does not answer" in done.err
    pysc("kill", pysc.id, "KILL", check=True)
    pysc("delete", "--force", pysc.id, check=True)


HOLD = """
import os, signal
os.mkfifo("/mnt/fifo")
told, tell = os.pipe()
for round in range(3):
    waiting = []
    for i in range(100):
        pid = os.fork()
        if pid == 0:
            os.write(tell, b".")
            os.open("/mnt/fifo", os.O_WRONLY if round % 2 else os.O_RDONLY)
            os.kill(os.getpid(), signal.SIGKILL)
        waiting.append(pid)
    for pid in waiting:
        os.read(told, 1)
    for pid in waiting:
        os.kill(pid, signal.SIGKILL)
    for pid in waiting:
        os.waitpid(pid, 0)
print("killed", flush=True)
os.read(0, 1)
"""


def test_callers_that_die_while_they_wait_leave_nothing_in_the_sentry(pysc: Pysc, bundle: Bundles) -> None:
    tmp = {"destination": "/mnt", "type": "tmpfs", "source": "tmpfs"}
    mounts = [*default_spec(False, [], 0, 0)["mounts"], tmp]
    made = bundle([sys.executable, "-B", "-S", "-c", HOLD], root={"path": "/"}, mounts=mounts)
    command = subprocess.Popen(pysc.argv("run", "-b", made, pysc.id), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert command.stdout is not None
    assert command.stdin is not None
    assert command.stdout.readline() == "killed\n"
    sentry = json.loads((pysc.root / pysc.id / "state.json").read_text())["sentry"][0]
    deadline = time.monotonic() + 10
    while True:
        threads, fds = (len(os.listdir(f"/proc/{sentry}/{what}")) for what in ("task", "fd"))
        if threads <= 3 and fds <= 20:
            break
        assert time.monotonic() < deadline, f"{threads} threads, {fds} descriptors"
    command.communicate("x", timeout=30)
    assert command.returncode == 0


# ---- the sentry reads procfs, too ----

ADMIN = {kind: ["CAP_SYS_ADMIN"] for kind in ("bounding", "effective", "permitted")}


def test_what_is_mounted_on_procfs_does_not_come_between_the_sentry_and_it(pysc: Pysc, bundle: Bundles) -> None:
    """sysinfo(2) and /proc/loadavg count threads by /proc/PID/stat: a FIFO there would hold up all calls of the container."""
    attack = "mount -t tmpfs t /proc/1 && mkfifo /proc/1/stat && uptime && cat /proc/loadavg"
    made = bundle(["sh", "-c", attack], process={"capabilities": ADMIN})
    done = pysc("run", "-b", made, pysc.id, timeout=20, check=True)
    assert "load average" in done.out
    assert done.out.endswith(" 0.00 1/1 1\n"), done


def test_a_container_may_have_no_procfs(pysc: Pysc, bundle: Bundles) -> None:
    without = [mount for mount in default_spec(False, [], 0, 0)["mounts"] if mount["type"] != "proc"]
    paths = {"maskedPaths": [], "readonlyPaths": []}
    done = pysc("run", "-b", bundle(["sh", "-c", "ls /proc; uptime"], mounts=without, linux=paths), pysc.id, check=True)
    assert "load average" in done.out


# ---- memory that the container does not pay for ----


def test_a_memory_limit_bounds_how_many_files_a_tmpfs_holds(pysc: Pysc, bundle: Bundles) -> None:
    """The sentry makes them, so they are charged to its cgroup: 5000 and more of them cost a host 7 MB and more, without end."""
    fill = "i=0; while echo >/dev/shm/$i; do i=$((i+1)); [ $i -lt 5000 ] || break; done; echo $i"
    limited = {"resources": {"memory": {"limit": 64 << 20}}}
    done = pysc("run", "-b", bundle(["sh", "-c", fill], linux=limited), pysc.id, check=True)
    assert 3000 < int(done.out) <= 4096, done
    assert "o space left on device" in done.err
