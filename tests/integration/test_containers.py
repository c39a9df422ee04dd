"""Containers end to end: what `pysc run`, `exec`, `do` and the lifecycle verbs do with real processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from runsc_cli.spec import default_spec

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(shutil.which("busybox") is None, reason="needs busybox (package busybox-static)"),
]

BOX = f"box-{os.getpid()}"
"""The id: cgroups are the machine's, and another run of these tests may be going on."""

PYSC = [sys.executable, "-m", "runsc_cli.main"]


class Runtime:
    """pysc with a state root and a bundle of its own."""

    def __init__(self, tmp: Path, *options: str) -> None:
        self.root = tmp / "state"
        self.bundle = tmp / "bundle"
        self.options = options
        rootfs = self.bundle / "rootfs"
        for name in ("bin", "etc", "proc", "sys", "dev", "tmp"):
            (rootfs / name).mkdir(parents=True)
        shutil.copy(shutil.which("busybox") or "", rootfs / "bin/busybox")
        applets = subprocess.run([rootfs / "bin/busybox", "--list"], capture_output=True, text=True, check=True)
        for applet in applets.stdout.split():
            if applet != "busybox":
                os.symlink("busybox", rootfs / "bin" / applet)
        (rootfs / "etc/secret").write_text("secret\n")
        (rootfs / "etc/secret").chmod(0o600)

    def config(self, *args: str, **process: object) -> None:
        spec = default_spec(False, list(args))
        spec["process"]["terminal"] = False
        spec["process"].update(process)
        spec["mounts"].append({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777"]})
        (self.bundle / "config.json").write_text(json.dumps(spec))

    def __call__(self, *args: str, check: bool = False) -> subprocess.CompletedProcess[str]:
        command = [*PYSC, "--root", str(self.root), *self.options, *args]
        return subprocess.run(
            command, cwd=self.bundle, text=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=check
        )

    def sh(self, script: str, **process: object) -> subprocess.CompletedProcess[str]:
        self.config("sh", "-c", script, **process)
        return self("run", BOX)


@pytest.fixture(params=["standard", "strict"])
def runtime(request, tmp_path):
    # not below a directory that only root may search: the mounts do not care, and the test shows that
    runtime = Runtime(tmp_path, "--profile", request.param)
    yield runtime
    runtime("delete", "--force", BOX)
    left = [p.name for p in runtime.root.iterdir() if not p.name.startswith(".filter-")] if runtime.root.exists() else []
    assert left == []


def test_output_and_exit_code(runtime):
    answer = runtime.sh("echo hello; exit 7")
    assert (answer.stdout, answer.returncode) == ("hello\n", 7)


def test_a_signal_becomes_128_and_its_number(runtime):
    assert runtime.sh("sh -c 'kill -TERM $$'; exit $?").returncode == 143


def test_shell_work(runtime):
    answer = runtime.sh(
        "cd /tmp; mkdir a; cd a; for i in 1 2 3; do echo $i > f$i; done; mv f1 g; ln -s g l; cat l f2; "
        "cat <<X\nhere $((6*7))\nX\nrm -r /tmp/a; ls /tmp; echo a | sed s/a/b/"
    )
    assert answer.stdout == "1\n2\nhere 42\nb\n", answer.stderr


def test_own_descriptors_through_proc(runtime):
    answer = runtime.sh("echo x | cat /dev/stdin; ls /proc/self/fd | wc -l; readlink /proc/self/exe; cat /proc/self/comm")
    assert answer.stdout == "x\n4\n/bin/busybox\ncat\n", answer.stderr


def test_stdio_that_belongs_to_the_hosts_root_can_be_opened_by_name(runtime, tmp_path):
    runtime.config("sh", "-c", "cat /dev/stdin; echo out >/dev/stdout; echo a >&2; echo b >/dev/stderr; echo c >&2; cat </dev/stderr")
    command = [*PYSC, "--root", str(runtime.root), *runtime.options, "run", BOX]
    with open(tmp_path / "errors", "w") as errors:
        os.fchmod(errors.fileno(), 0o600)
        answer = subprocess.run(
            command, cwd=runtime.bundle, input=b"in\n", stdout=subprocess.PIPE, stderr=errors, timeout=60, check=False
        )
    assert answer.stdout == b"in\nout\n"
    text = (tmp_path / "errors").read_text()
    assert text.startswith("a\nb\nc\n")
    assert "can't open /dev/stderr: Permission denied" in text  # held for writing alone


def test_the_kernel_checks_permissions_as_for_the_caller(runtime):
    answer = runtime.sh("cat /etc/secret; touch /etc/x; touch /tmp/mine; ls -n /tmp | grep -c '1000 *1000'", user={"uid": 1000, "gid": 1000})
    assert answer.stdout == "1\n"
    assert "/etc/secret': Permission denied" in answer.stderr


def test_the_host_is_hidden(runtime):
    answer = runtime.sh("cat /proc/cmdline /proc/version /proc/mounts /proc/self/mountinfo; hostname; ps; cat /proc/kcore")
    host = Path("/proc/cmdline").read_text().strip()
    assert host not in answer.stdout
    assert str(runtime.bundle) not in answer.stdout
    assert "kcore" in answer.stderr


def test_what_a_sandbox_must_not_do(runtime):
    answer = runtime.sh("unshare -U true; unshare -n true; mount -t tmpfs x /tmp; mknod /tmp/sda b 8 0; echo end")
    assert answer.stdout == "end\n"
    assert answer.stderr.count("not permitted") + answer.stderr.count("denied") >= 4, answer.stderr


def test_signals_are_as_a_program_expects_them(runtime):
    ignored = int(runtime.sh("grep SigIgn /proc/self/status").stdout.split()[1], 16)
    assert not ignored & (1 << (13 - 1) | 1 << (25 - 1)), "Python ignores SIGPIPE and SIGXFSZ, a workload must not inherit it"


def test_a_fifo_waits_for_its_other_end(runtime):
    answer = runtime.sh(
        "cd /tmp; mkfifo p; i=0; while [ $i -lt 100 ]; do (echo $i >p) & cat p; wait; i=$((i+1)); done; "
        "(sleep 0.2; echo late >p) & cat p; (sleep 0.2; cat p) & echo writer >p; wait; (sleep 0.2; : >p) & cat p; echo end"
    )
    assert answer.stdout.split() == [*map(str, range(100)), "late", "writer", "end"]


def test_what_a_program_has_closed_is_open_nowhere(runtime):
    # a writer that lingered in the sentry would make execve(2) fail with ETXTBSY, a reader would swallow what is meant for the next
    answer = runtime.sh(
        "cd /tmp; mkfifo p; i=0; while [ $i -lt 150 ]; do echo echo $i >x$i; chmod +x x$i; ./x$i; (echo $i >p) & cat p; wait; i=$((i+1)); done"
    )
    assert answer.stdout.split() == [str(i // 2) for i in range(300)], answer.stderr


IDENTITY_BEFORE_THE_FIRST_OPEN = """
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    int ready[2], go[2], status;
    char c;
    if (argc > 1)
        return open(argv[1], O_RDONLY) >= 0 ? 0 : 5;
    if (pipe(ready) || pipe(go))
        return 2;
    if (!fork()) {
        if (setgid(1000) || setuid(1000) || write(ready[1], "x", 1) != 1 || read(go[0], &c, 1) != 1)
            return 3;
        return open("/etc/secret", O_RDONLY) >= 0;
    }
    if (read(ready[0], &c, 1) != 1 || open("/etc/secret", O_RDONLY) < 0 || write(go[1], "x", 1) != 1)
        return 4;
    wait(&status);
    printf("%d\\n", WEXITSTATUS(status));
    return 0;
}
"""


def _static_guest(runtime):
    """Static, so that it opens nothing before it does what it is to do."""
    source = runtime.bundle / "guest.c"
    source.write_text(IDENTITY_BEFORE_THE_FIRST_OPEN)
    subprocess.run(["cc", "-static", "-o", runtime.bundle / "rootfs/bin/guest", source], check=True)


def test_an_identity_taken_before_anything_was_opened(runtime):
    _static_guest(runtime)
    names = ["CAP_SETUID", "CAP_SETGID", "CAP_DAC_OVERRIDE"]
    runtime.config("/bin/guest", capabilities=dict.fromkeys(("bounding", "effective", "permitted"), names))
    assert json.loads((runtime.bundle / "config.json").read_text())["process"]["noNewPrivileges"] is True
    answer = runtime("run", BOX)
    assert (answer.stdout, answer.returncode) == ("0\n", 0), answer.stderr


def test_exec_before_start_has_an_identity_of_its_own(runtime):
    _static_guest(runtime)
    runtime.config("/bin/guest", "/etc/secret", user={"uid": 1000, "gid": 1000})
    command = [*PYSC, "--root", str(runtime.root), *runtime.options, "create", BOX]
    subprocess.run(command, cwd=runtime.bundle, check=True, timeout=60, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    assert runtime("exec", "--user", "0:0", "--cap", "DAC_OVERRIDE", BOX, "/bin/guest", "/etc/secret").returncode == 0
    runtime("start", BOX, check=True)
    assert json.loads(runtime("wait", BOX).stdout)["exitStatus"] == 5
    runtime("delete", BOX, check=True)


def test_time_begins_with_the_container(runtime):
    # /proc/uptime is ours, the start of a process in /proc/PID/stat the kernel's: they have to agree
    answer = runtime.sh("cut -d' ' -f22 /proc/self/stat; cut -d' ' -f1 /proc/uptime; busybox uptime")
    start, uptime, said = answer.stdout.splitlines()
    assert 0 <= int(start) / 100 <= float(uptime) < 60, answer.stderr
    assert "up 0 min" in said


def test_a_mount_point_is_busy(runtime):
    answer = runtime.sh("rm /dev/null; rmdir /dev/shm; echo gone >/dev/null; ls /dev/shm; mv /dev/zero /dev/zero2")
    assert answer.stderr.lower().count("busy") == 3, answer.stderr


def test_generated_files_can_be_sent(runtime):
    # busybox cat uses sendfile(2); the readonlyPaths of the default config lie over /proc/sys
    answer = runtime.sh("cat /proc/meminfo | grep -c MemTotal; cat /proc/sys/kernel/ostype; cat /proc/sys/kernel/hostname")
    assert answer.stdout.split() == ["1", "Linux", "pysc"], answer.stderr


def test_network_none_is_loopback_alone_whatever_the_config_says(runtime):
    runtime.config("ls", "/proc/self/ns/net", "-l")
    spec = json.loads((runtime.bundle / "config.json").read_text())
    spec["linux"]["namespaces"] = [n for n in spec["linux"]["namespaces"] if n["type"] != "network"]
    (runtime.bundle / "config.json").write_text(json.dumps(spec))
    own = os.readlink("/proc/self/ns/net")
    assert own in runtime("run", BOX).stdout
    assert own not in runtime("--network", "none", "run", BOX).stdout
    answer = runtime("--network", "sandbox", "run", BOX)
    assert (answer.returncode, answer.stdout) == (1, "")


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        ("process", "selinuxLabel", "label"),
        ("linux", "mountLabel", "label"),
        ("linux", "intelRdt", {}),
    ],
)
def test_what_is_not_applied_is_refused(runtime, section, field, value):
    runtime.config("true")
    spec = json.loads((runtime.bundle / "config.json").read_text())
    spec[section][field] = value
    (runtime.bundle / "config.json").write_text(json.dumps(spec))
    answer = runtime("run", BOX)
    assert answer.returncode == 1
    assert field in answer.stderr


def test_lifecycle(runtime):
    runtime.config("sleep", "1000")
    # the container's stdio is the caller's, as with runc: a pipe here would wait for the container
    command = [*PYSC, "--root", str(runtime.root), "create", "--pid-file", "pid", BOX]
    subprocess.run(command, cwd=runtime.bundle, check=True, timeout=60, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    state = json.loads(runtime("state", BOX).stdout)
    assert state["status"] == "created"
    assert (runtime.bundle / "pid").read_text() == str(state["pid"])
    assert "pysc-init" in Path(f"/proc/{state['pid']}/comm").read_text()
    assert "memfd" in os.readlink(f"/proc/{state['pid']}/exe")
    runtime("start", BOX, check=True)
    assert runtime("start", BOX).stderr.count("cannot start an already running container") == 1
    assert json.loads(runtime("state", BOX).stdout)["status"] == "running"
    answer = runtime("exec", "--env", "A=b", "--cwd", "/tmp", "--user", "5:6", BOX, "sh", "-c", "id -u; id -g; pwd; echo $A; exit 9")
    assert (answer.stdout, answer.returncode) == ("5\n6\n/tmp\nb\n", 9)
    answer = runtime("exec", BOX, "/nonexistent")
    assert answer.returncode == 255
    assert "stat /nonexistent: no such file or directory" in answer.stderr
    assert "that is not stopped: running" in runtime("delete", BOX).stderr
    runtime("kill", "--all", BOX, "KILL", check=True)
    assert json.loads(runtime("state", BOX).stdout)["status"] == "stopped"
    runtime("delete", BOX, check=True)
    assert runtime("state", BOX).returncode == 1


def test_a_cgroup_that_is_in_use_is_refused_and_its_processes_live(runtime, tmp_path):
    runtime.config("sleep", "1000")
    command = [*PYSC, "--root", str(runtime.root), "run", "--detach", BOX]
    subprocess.run(command, cwd=runtime.bundle, check=True, timeout=60, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    other = [*PYSC, "--root", str(tmp_path / "other"), "run", BOX]
    answer = subprocess.run(
        other, cwd=runtime.bundle, timeout=60, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 1
    assert "cgroup" in answer.stderr
    assert json.loads(runtime("state", BOX).stdout)["status"] == "running"
    assert not (tmp_path / "other" / BOX).exists()
    runtime("delete", "--force", BOX, check=True)


def test_the_root_of_a_hierarchy_is_no_containers_cgroup():
    from runsc_cli.cgroups import driver
    from runsc_cli.errors import SpecError

    for path in ("/", "/..", "/a/.."):
        with pytest.raises(SpecError, match="cgroupsPath"):
            driver.plan(path, BOX, None)


@pytest.mark.parametrize("who", ["sentry", "gofer"])
def test_the_container_dies_with_its_keepers(runtime, who):
    runtime.config("sleep", "1000")
    command = [*PYSC, "--root", str(runtime.root), "run", "--detach", BOX]
    subprocess.run(command, cwd=runtime.bundle, check=True, timeout=60, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    state = json.loads((runtime.root / BOX / "state.json").read_text())
    pidfd = os.pidfd_open(state["init"][0])
    os.kill(state[who][0], 9)
    import select

    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    assert poll.poll(10_000), f"the container outlives its {who}"
    os.close(pidfd)


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["/none"], 'exec: "/none": stat /none: no such file or directory'),
        (["none"], 'exec: "none": executable file not found in $PATH'),
        (["/etc/secret"], 'exec: "/etc/secret": permission denied'),
        (["/etc"], 'exec: "/etc": is a directory'),
    ],
)
def test_what_cannot_be_executed(runtime, args, text):
    runtime.config(*args)
    answer = runtime("run", BOX)
    assert text in answer.stderr.replace("\\", "")
    assert answer.returncode == 1
    assert not (runtime.root / BOX).exists()


def test_links_in_the_image_lead_nowhere_else(runtime, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    os.symlink(outside, runtime.bundle / "rootfs/out")
    runtime.config("ls", "/out/inner")
    spec = json.loads((runtime.bundle / "config.json").read_text())
    spec["mounts"].append({"destination": "/out/inner", "type": "tmpfs", "source": "tmpfs"})
    (runtime.bundle / "config.json").write_text(json.dumps(spec))
    runtime("run", BOX)
    assert list(outside.iterdir()) == []


def test_do_in_the_hosts_network_and_o_path_and_a_smaller_bounding_set(tmp_path):
    script = (
        "import os, ctypes\nprint(os.readlink('/proc/self/ns/net'))\nfd = os.open('/usr', os.O_PATH)\n"
        "print(os.stat('bin', dir_fd=fd).st_ino > 0)\n"
        "open('/tmp/s', 'w').close(); os.chmod('/tmp/s', 0); os.chown('/tmp/s', 1, 1); open('/tmp/s').close()\n"
        "ctypes.CDLL(None).prctl(24, 1)\n"  # PR_CAPBSET_DROP, CAP_DAC_OVERRIDE
        "open('/tmp/s').close()\nimport sys; sys.stdout.flush()\nos.execvp('cat', ['cat', '/tmp/s'])"  # a thread id that the cache knows
    )
    command = [*PYSC, "--root", str(tmp_path / "state"), "--network", "host", "do", "-q", "--", "python3", "-c", script]
    answer = subprocess.run(command, cwd=tmp_path, text=True, capture_output=True, timeout=60, check=False, stdin=subprocess.DEVNULL)
    assert (answer.stdout.split(), answer.returncode) == ([os.readlink("/proc/self/ns/net"), "True"], 1), answer.stderr
    assert "Permission denied" in answer.stderr


def test_do(tmp_path):
    (tmp_path / "given").write_text("here\n")
    script = (
        "import os\nprint(open('given').read().strip(), os.getuid())\nopen('new', 'w').write('x')\n"
        "for p in ('/etc/shadow', '/usr/new', '/root/.profile'):\n"
        "    try: open(p, 'a' if p == '/usr/new' else 'r')\n    except OSError as e: print(p, e.errno)"
    )
    command = [*PYSC, "--root", str(tmp_path / "state"), "do", "--", "python3", "-c", script]
    answer = subprocess.run(command, cwd=tmp_path, text=True, capture_output=True, timeout=60, check=False, stdin=subprocess.DEVNULL)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines()[0] == "here 0"
    assert "/etc/shadow 13" in answer.stdout
    assert "/usr/new 30" in answer.stdout
    assert "/root/.profile 2" in answer.stdout
    assert ["open", "/usr/new", "(write)", "allow", "with", "--write", "/usr"] in [line.split() for line in answer.stderr.splitlines()]
    assert not (tmp_path / "new").exists()
    command[command.index("do") + 1 : -3] = ["--keep", "--"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=60, capture_output=True, stdin=subprocess.DEVNULL)
    assert (tmp_path / "new").read_text() == "x"
    assert (tmp_path / "new").stat().st_uid == os.geteuid()


@pytest.mark.parametrize(
    ("words", "code", "out", "err"),
    [
        (["--cwd", "/usr/share", "--", "pwd"], 0, "/usr/share\n", ""),
        (["--cwd", "made", "--", "pwd"], 0, "{here}/made\n", ""),
        (["--cwd", "/root", "--", "pwd"], 0, "/root\n", ""),
        (["--cwd", "/run/lock", "--", "pwd"], 1, "", "--cwd '/run/lock': no such directory in the sandbox"),
        (["--cwd", "/nowhere", "--", "pwd"], 1, "", "--cwd '/nowhere': no such directory in the sandbox"),
        (["--bind", "made:/data/there", "--cwd", "/data/there", "--", "pwd"], 0, "/data/there\n", ""),
        (["--bind", "made:/data/there", "--cwd", "/data", "--", "pwd"], 0, "/data\n", ""),
        (["--tmpfs", "made", "--", "ls", "made"], 0, "", ""),
        (["--", "ls", "made"], 0, "file\n", ""),
        (["-e", "UNSET_HERE", "-e", "TERM", "--", "env"], 0, "TERM={TERM}\n", ""),
        (["--", "{outside}", "x"], 1, "", "'{outside}' is not in the sandbox's view: --read '{outside.parent}' shows it"),
        (["--read", "{outside.parent}", "--", "{outside}", "x"], 0, "x\n", ""),
        (["--write", "/usr", "--", "setpriv", "--reuid=1", "touch", "/usr/new"], 1, "", "as its owner and mode say"),
    ],
)
def test_do_shows_what_it_is_asked_for(tmp_path, words, code, out, err):
    here, outside = tmp_path / "here", tmp_path / "outside" / "echo"
    (here / "made").mkdir(parents=True)
    (here / "made" / "file").touch()
    outside.parent.mkdir()
    shutil.copy("/bin/echo", outside)
    names = {"here": here, "outside": outside, "TERM": os.environ.get("TERM", "dumb")}
    command = [*PYSC, "--root", str(tmp_path / "state"), "do", *(word.format(**names) for word in words)]
    env = {**os.environ, "TERM": names["TERM"]}
    answer = subprocess.run(command, cwd=here, env=env, text=True, capture_output=True, timeout=60, check=False, stdin=subprocess.DEVNULL)
    assert answer.returncode == code, answer
    assert answer.stdout.endswith(out.format(**names)), answer
    assert err.format(**names) in answer.stderr, answer
    assert "UNSET_HERE" not in answer.stdout


def test_do_says_nothing_of_what_nothing_would_allow(tmp_path):
    look = (
        "import os\nfor p in ('/sys/fs/cgroup/none', '/sys/kernel/debug/x', '/dev/kmsg', '/none'):\n"
        "    print(os.path.exists(p))\n    try: open(p)\n    except OSError: pass"
    )
    command = [*PYSC, "--root", str(tmp_path / "state"), "do", "--", "python3", "-c", look]
    answer = subprocess.run(command, cwd=tmp_path, text=True, capture_output=True, timeout=60, check=True, stdin=subprocess.DEVNULL)
    assert answer.stdout.split() == ["False"] * 4
    assert answer.stderr == ""


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")
def test_a_program_keeps_its_cpus_while_it_opens_files(tmp_path):
    script = (
        "import os\nwas = os.sched_getaffinity(0)\nchanged = 0\nfor i in range(2000):\n"
        "    os.close(os.open('/etc/passwd', os.O_RDONLY))\n    changed += os.sched_getaffinity(0) != was\nprint(changed)"
    )
    command = [*PYSC, "--root", str(tmp_path / "state"), "do", "--", "python3", "-c", script]
    answer = subprocess.run(command, cwd=tmp_path, text=True, capture_output=True, timeout=60, check=False, stdin=subprocess.DEVNULL)
    assert answer.stdout == "0\n", answer.stderr


def test_do_looks_after_its_command(tmp_path):
    def start(*argv):
        command = [*PYSC, "--root", str(tmp_path / "state"), "do", "--", *argv]
        return subprocess.Popen(command, cwd=tmp_path, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    # as pid 1 it would be deaf to a signal that it has no handler for
    with start("sh", "-c", "echo $$; exec sleep 1000") as waiting:
        assert waiting.stdout.readline() == "2\n"
        waiting.terminate()
        assert (waiting.wait(20), waiting.stderr.read()) == (128 + 15, "")
    with start("sh", "-c", "kill -SEGV $$") as crashing:
        assert (crashing.wait(20), *crashing.communicate()) == (128 + 11, "", "")
    # what is orphaned gets reaped; ps looks into /proc/1, which is Linux's to refuse and no denial of ours
    script = "sh -c 'true & echo $!' >orphan; while kill -0 $(cat orphan) 2>/dev/null; do :; done; ps -e -o pid= | wc -l; exit 5"
    with start("sh", "-c", script) as reaping:
        assert (*reaping.communicate(timeout=20), reaping.returncode) == ("4\n", "", 5)
