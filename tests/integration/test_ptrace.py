"""The platform `ptrace`: the workloads and the moments in a process's life at which a tracer has something to do.

What a call does is the system call suite's (syscall-tests, test_syscall_suite.py); here is how tracees are made, stop, change and end, what
a workload might try against its tracer, and who chooses the platform.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from containers import Bundle, Bundles, Done, Pysc, requires
from test_shell_scripts import BASH, PORTABLE

if TYPE_CHECKING:
    from collections.abc import Iterable

pytestmark = [
    pytest.mark.integration,
    pytest.mark.platforms("ptrace"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    requires("busybox"),
]

WITHOUT = Path(__file__).with_name("without.py")
EINVAL = 22


def python(pysc: Pysc, program: str) -> Done:
    """Run a program of the host's Python under `do`; it ends with "ok"."""
    done = pysc("do", "--", "/usr/bin/python3", "-c", program, check=True)
    assert done.out.splitlines()[-1:] == ["ok"], done
    return done


def start(pysc: Pysc, made: Bundle) -> dict[str, object]:
    """With our stdio closed to it, which would keep our pipes open. Returns state.json."""
    command = pysc.argv("run", "--detach", "-b", made, pysc.id)
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True, timeout=60)
    kept: dict[str, object] = json.loads((pysc.root / pysc.id / "state.json").read_text())
    return kept


# ---- workloads ----


@requires("bash")
@pytest.mark.parametrize(("shell", "script"), [("sh", PORTABLE), ("bash", BASH)], ids=["sh", "bash"])
def test_scripts_do_what_they_do_natively(pysc: Pysc, shell: str, script: str) -> None:
    argv = [f"/bin/{shell}", "-c", f'cd "$(mktemp -d)" || exit 99\n{script}']
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/tmp"}
    natively = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment, timeout=60, check=False)
    words = [word for name, value in environment.items() for word in ("--env", f"{name}={value}")]
    done = pysc("do", *words, "--", *argv)
    assert (done.code, done.out) == (natively.returncode, natively.stdout), done


@requires("git", "gcc", "make")
def test_git_gcc_and_make(pysc: Pysc) -> None:
    script = """
    set -e; cd "$(mktemp -d)"; export HOME="$PWD"
    git init -q repository; cd repository
    for i in 1 2 3 4 5 6; do printf 'int f%d(void) { return %d; }\\n' $i $i > f$i.c; done
    printf 'int f6(void); int main(void) { return f6(); }\\n' > main.c
    printf 'program: main.o f1.o f2.o f3.o f4.o f5.o f6.o\\n\\t$(CC) -o $@ $^\\n' > Makefile
    git add .; git -c user.name=a -c user.email=a@b commit -qm one; git gc -q; git fsck --no-progress; git status --short | wc -l
    make -s -j3; ./program || echo $?
    """
    assert pysc("do", "--", "/bin/sh", "-c", script, check=True).out.split() == ["0", "6"]


def test_a_thousand_processes(pysc: Pysc, bundle: Bundles) -> None:
    script = "i=0; while [ $i -lt 1000 ]; do /bin/busybox true || exit 1; i=$((i + 1)); done; ls /proc | grep -c '^[0-9]'"
    assert pysc("run", "-b", bundle(["sh", "-c", script]), pysc.id, check=True).out == "3\n"


# ---- threads, processes, programs ----


def test_descriptors_of_many_threads(pysc: Pysc) -> None:
    """Each open of each thread gets a descriptor of what it named; alone a thread gets the lowest free number."""
    program = """if True:
    import os, threading, subprocess, fcntl
    os.chdir("/tmp")
    for i in range(8):
        with open(f"f{i}", "w") as f: f.write(str(i) * 100)
    bad = []
    def work(i):
        for _ in range(60):
            fd = os.open(f"f{i}", os.O_RDONLY)
            if os.read(fd, 100) != str(i).encode() * 100: bad.append(i)
            os.close(fd)
    before = sorted(os.listdir("/proc/self/fd"))
    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    [t.start() for t in threads]; [t.join() for t in threads]
    assert not bad, bad
    assert sorted(os.listdir("/proc/self/fd")) == before
    lowest = os.dup(0); os.close(lowest)
    kept, other = os.open("f0", os.O_RDONLY | os.O_CLOEXEC), os.open("f1", 0)
    assert (kept, other) == (lowest, lowest + 1)
    os.set_inheritable(other, True)
    os.close(kept)
    assert os.open("f2", os.O_RDONLY) == lowest
    assert fcntl.fcntl(lowest, fcntl.F_GETFD) == fcntl.FD_CLOEXEC
    assert subprocess.run(["/bin/cat", "f3"], capture_output=True).stdout == b"3" * 100
    print("ok")
    """
    python(pysc, program)


def test_a_thread_executes_a_program(pysc: Pysc) -> None:
    """The others, one of which waits in a held call, are gone; the new program has the process's id and goes on opening files."""
    program = """if True:
    import os, sys, threading, time
    os.mkfifo("/tmp/p")
    pid = os.getpid()
    threading.Thread(target=lambda: os.open("/tmp/p", os.O_RDONLY), daemon=True).start()
    code = f"import os; assert os.getpid() == {pid}; print(open('/etc/passwd').read(4), len(os.listdir('/proc/self/task'))); print('ok')"
    def execute():
        os.execv(sys.executable, [sys.executable, "-c", code])
    threading.Thread(target=execute).start()
    os.open("/tmp/p", os.O_RDONLY)
    """
    assert python(pysc, program).out == "root 1\nok\n"


@requires("gcc")
def test_a_setuid_program_gets_its_rights(pysc: Pysc, bundle: Bundles) -> None:
    made = bundle(["/bin/probe"], writable=True)
    source = """
    #include <stdio.h>
    #include <unistd.h>
    int main(void) { FILE *f = fopen("/secret", "r"); printf("%d %d %d\\n", getuid(), geteuid(), f != 0); return 0; }
    """
    subprocess.run(["gcc", "-static", "-o", made.rootfs / "bin" / "probe", "-xc", "-"], input=source, text=True, check=True)
    (made.rootfs / "secret").write_text("x")
    (made.rootfs / "secret").chmod(0o600)
    (made.rootfs / "bin" / "probe").chmod(0o4755)
    process = {"user": {"uid": 1000, "gid": 1000}, "noNewPrivileges": False, "capabilities": {"bounding": ["CAP_DAC_OVERRIDE", "CAP_SETUID"]}}
    made.config["process"] = {**made.config["process"], **process}
    made.write()
    assert pysc("run", "-b", made, pysc.id, check=True).out == "1000 0 1\n"
    made.config["process"]["noNewPrivileges"] = True
    made.write()
    assert pysc("run", "-b", made, pysc.id, check=True).out == "1000 1000 0\n"


# ---- signals and stops ----


def test_stops_are_the_parents_to_see(pysc: Pysc) -> None:
    """A child that opens files all the time is stopped and continued: nothing is lost, wherever the signals find it."""
    program = """if True:
    import mmap, os, signal
    reading, writing = os.pipe()
    opens = mmap.mmap(-1, 8)
    child = os.fork()
    if child == 0:
        ended = False
        def end(*_):
            global ended
            ended = True
        signal.signal(signal.SIGTERM, end)
        lowest = os.dup(0); os.close(lowest)
        os.write(writing, b"x")
        while not ended:
            fd = os.open("/etc/passwd", os.O_RDONLY)
            if fd != lowest: os._exit(1)
            os.close(fd)
            opens[:8] = (int.from_bytes(opens[:8], "little") + 1).to_bytes(8, "little")
        os._exit(7)
    os.read(reading, 1)
    for i in range(150):
        os.kill(child, signal.SIGSTOP)
        pid, status = os.waitpid(child, os.WUNTRACED)
        assert os.WIFSTOPPED(status) and os.WSTOPSIG(status) == signal.SIGSTOP, status
        if i % 10 == 0:
            before = opens[:8]
            for _ in range(50): os.close(os.open("/etc/passwd", os.O_RDONLY))
            assert opens[:8] == before
        os.kill(child, signal.SIGCONT)
        pid, status = os.waitpid(child, os.WCONTINUED)
        assert os.WIFCONTINUED(status), status
    os.kill(child, signal.SIGTERM)
    pid, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 7, status
    print("ok")
    """
    python(pysc, program)


def test_signals_at_every_moment_of_an_open(pysc: Pysc) -> None:
    """No call fails or is made twice, no signal is lost, and the signal mask is the program's own afterwards."""
    program = """if True:
    import os, signal
    seen = 0
    def count(*_):
        global seen
        seen += 1
    signal.signal(signal.SIGALRM, count)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    lowest = os.dup(0); os.close(lowest)
    signal.setitimer(signal.ITIMER_REAL, 0.0007, 0.0007)
    for i in range(1500):
        fd = os.open(f"/tmp/f{i}", os.O_RDWR | os.O_CREAT | os.O_EXCL)
        assert fd == lowest, fd
        os.close(fd)
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert seen > 50, seen
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == mask
    print("ok")
    """
    python(pysc, program)


def test_a_held_call_is_interrupted_or_made_again(pysc: Pysc) -> None:
    program = """if True:
    import os, signal, threading
    os.mkfifo("/tmp/p")
    class Enough(Exception): pass
    def raising(*_): raise Enough
    signal.signal(signal.SIGALRM, raising)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try: os.open("/tmp/p", os.O_RDONLY)
    except Enough: pass
    else: raise SystemExit("not interrupted")
    ticking, ticks = os.pipe(); os.set_blocking(ticks, False)
    signal.set_wakeup_fd(ticks)  # a handler in Python would run when the call has returned
    signal.signal(signal.SIGALRM, lambda *_: None); signal.siginterrupt(signal.SIGALRM, False)
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    child = os.fork()
    if child == 0:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for _ in range(5): os.read(ticking, 1)
        os.write(os.open("/tmp/p", os.O_WRONLY), b"x"); os._exit(0)
    assert os.read(os.open("/tmp/p", os.O_RDONLY), 1) == b"x"
    signal.setitimer(signal.ITIMER_REAL, 0)
    print("ok")
    """
    python(pysc, program)


def test_sigkill_in_the_middle(pysc: Pysc) -> None:
    """Processes of several threads are killed while they open files; their parent learns of it, and the rest goes on."""
    program = """if True:
    import os, random, signal, threading, time
    def work():
        while True: os.close(os.open("/etc/passwd", 0))
    for i in range(40):
        child = os.fork()
        if child == 0:
            for _ in range(3): threading.Thread(target=work).start()
            work()
        time.sleep(random.random() / 50)
        os.kill(child, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -9
    assert len([p for p in os.listdir("/proc") if p.isdigit()]) == 2
    print("ok")
    """
    python(pysc, program)


# ---- against the tracer ----

CALLS = """if True:
    import ctypes, os, struct, errno
    libc = ctypes.CDLL(None, use_errno=True)
    def call(*args):
        result = libc.syscall(*(ctypes.c_long(a) for a in args))
        return -ctypes.get_errno() if result < 0 else result
    def filter(*instructions):
        code = b"".join(struct.pack("<HBBI", *i) for i in instructions)
        memory = ctypes.create_string_buffer(code)
        fprog = ctypes.create_string_buffer(struct.pack("<H6xQ", len(instructions), ctypes.addressof(memory)))
        libc.prctl(38, 1, 0, 0, 0)
        return lambda flags=0, keep=memory: call(317, 1, flags, ctypes.addressof(fprog))
    def for_number(number, action):
        return filter((0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, action), (0x06, 0, 0, 0x7FFF0000))
"""


def test_nobody_gets_rid_of_the_tracer(pysc: Pysc) -> None:
    program = f"""{CALLS}
    assert call(101, 0, 0, 0, 0) == -errno.EPERM  # PTRACE_TRACEME
    assert call(101, 0x4206, os.getppid(), 0, 0) == -errno.EPERM
    assert call(56, 0x800000 | 17, 0, 0, 0, 0) == -errno.EPERM  # CLONE_UNTRACED
    assert filter((0x06, 0, 0, 0x7FC00000))(8) == -errno.EBUSY  # a listener could let every call pass
    child = call(56, 0x2000 | 17, 0, 0, 0, 0)  # CLONE_PTRACE: a second time
    if child == 0: os._exit(len(open("/etc/passwd").read()) % 100)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == len(open("/etc/passwd").read()) % 100
    print("ok")
    """
    python(pysc, program)


def test_filters_of_the_workloads_own(pysc: Pysc) -> None:
    """They come on top. One that wants a tracer finds none, whether or not it knows what ours writes."""
    program = f"""{CALLS}
    assert for_number(102, 0x7FF00000)() == 0 and call(102) == -errno.ENOSYS  # getuid
    assert for_number(104, 0x7FF00000 | 0x5043)() == 0 and call(104) == -errno.ENOSYS  # getgid
    assert for_number(83, 0x00050000 | 77)() == 0 and call(83, 0, 0) == -77  # mkdir
    fd = os.open("/etc/passwd", 0)
    assert for_number(257, 0x7FF00000 | 1)() == 0
    try: os.open("/etc/passwd", 0)
    except OSError as e: assert e.errno == errno.ENOSYS, e
    else: raise SystemExit("opened")
    print("ok")
    """
    python(pysc, program)


def test_a_filter_that_has_no_recvmsg_makes_opens_fail(pysc: Pysc) -> None:
    """docs/security.md: descriptors arrive by calls of the caller's own. Nothing is left behind in its table."""
    program = f"""{CALLS}
    before = os.dup(0); os.close(before)
    assert for_number(47, 0x00050000 | 55)() == 0
    try: os.open("/etc/passwd", 0)
    except OSError as e: assert e.errno == 55, e
    else: raise SystemExit("opened")
    assert os.dup(0) == before
    print("ok")
    """
    python(pysc, program)


def test_a_page_that_is_taken_away(pysc: Pysc) -> None:
    """The workload finds the page that descriptors arrive through and unmaps it, or maps something else there: another one is made."""
    program = f"""{CALLS}
    def pages():
        with open("/proc/self/maps") as maps:
            for line in maps:
                low, high = (int(x, 16) for x in line.split()[0].split("-"))
                if "rw-p" in line and line.split()[4] == "0" and "[" not in line:
                    yield from range(low, high, 4096)
    def where():
        return {{page for page in pages() if ctypes.string_at(page + 32, 8) == struct.pack("<Q", page + 24)}}
    first, = where()
    ctypes.memset(first, 0x55, 4096)
    os.close(os.open("/etc/passwd", 0))
    assert ctypes.string_at(first, 4096) == b"\\x55" * 4096  # what is the workload's is not written to
    second, = where()
    libc.munmap(ctypes.c_void_p(second), ctypes.c_size_t(4096))
    os.close(os.open("/etc/passwd", 0))
    assert len(where()) == 1
    print("ok")
    """
    python(pysc, program)


CODE_CHANGES = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WANTED 10
#define TRIES 5000
#define CALL 16   /* where the system call is, and where the other code */
#define OTHER 64

struct shared { volatile int begun, changed, delay; };

int main(void)
{
    /* mov eax, edi; mov rdi, rsi; mov rsi, rdx; mov edx, ecx; nop...; syscall; ret */
    static const uint8_t caller[] = { 0x89, 0xf8, 0x48, 0x89, 0xf7, 0x48, 0x89, 0xd6, 0x89, 0xca,
                                      0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x0f, 0x05, 0xc3 };
    /* mov eax, unshare; mov edi, CLONE_NEWUSER; syscall; jmp . */
    static const uint8_t other[] = { 0xb8, SYS_unshare & 0xff, SYS_unshare >> 8, 0, 0,
                                     0xbf, 0, 0, 0, 0x10, 0x0f, 0x05, 0xeb, 0xfe };
    uint8_t *code = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct shared *s = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    long (*call)(long, long, const char *, long) = (void *)code;
    char before[64] = "", after[64] = "";
    int refused = 0, pid;

    memcpy(code, caller, sizeof caller);
    memcpy(code + OTHER, other, sizeof other);
    pid = fork();
    while (!pid) {
        while (!s->begun)
            ;
        for (volatile int i = 0; i < s->delay; i++)
            ;
        *(volatile uint16_t *)(code + CALL) = (OTHER - CALL - 2) << 8 | 0xeb;
        s->begun = 0;
        while (!s->changed)
            ;
        *(volatile uint16_t *)(code + CALL) = 0x050f;
        s->changed = 0;
    }
    readlink("/proc/self/ns/user", before, sizeof before - 1);
    for (int i = 0; i < TRIES && refused < WANTED; i++) {
        s->delay = i % 100 * 100;
        s->begun = 1;
        long fd = call(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY);
        while (s->begun)
            ;
        s->changed = 1;
        while (s->changed)
            ;
        refused += fd == -38;
        if (fd >= 0)
            close(fd);
    }
    readlink("/proc/self/ns/user", after, sizeof after - 1);
    kill(pid, SIGKILL);
    printf("%s, %s\n", refused == WANTED ? "refused" : "missed", strcmp(before, after) ? "out" : "in");
    return 0;
}
"""


@requires("gcc")
def test_code_that_changes_while_a_descriptor_arrives(pysc: Pysc, bundle: Bundles) -> None:
    """The caller goes back to its instruction for each call that it makes for us. Another process puts a jump there, to a call that
    the container may not make: unshare(2) of a user namespace. It is not made, since it is not the one that was asked for."""
    made = bundle(["/bin/probe"], writable=True)
    subprocess.run(["gcc", "-O1", "-static", "-o", made.rootfs / "bin" / "probe", "-xc", "-"], input=CODE_CHANGES, text=True, check=True)
    assert pysc("run", "-b", made, pysc.id, check=True).out == "refused, in\n"


# ---- the container ----


@pytest.mark.parametrize("who", ["sentry", "gofer"])
def test_without_the_sentry_or_the_gofer_the_container_dies(pysc: Pysc, bundle: Bundles, who: str) -> None:
    kept = start(pysc, bundle(["sh", "-c", "trap '' TERM INT HUP; while :; do sleep 1000 & wait; done"]))
    init, victim = kept["init"], kept[who]
    assert isinstance(init, list)
    assert isinstance(victim, list)
    pidfd = os.pidfd_open(init[0])
    os.kill(victim[0], signal.SIGKILL)
    ended = _readable([pidfd])
    os.close(pidfd)
    assert ended
    assert json.loads(pysc("state", pysc.id, check=True).out)["status"] == "stopped"
    pysc("delete", pysc.id, check=True)


def _readable(fds: Iterable[int]) -> bool:
    import select

    return bool(select.select(list(fds), [], [], 30)[0])


def test_exec_is_traced_too(pysc: Pysc, bundle: Bundles) -> None:
    start(pysc, bundle(["sleep", "1000"]))
    assert pysc("exec", pysc.id, "sh", "-c", "cat /etc/passwd | wc -l; grep -c Tracer /proc/self/status", check=True).out == "2\n1\n"
    assert pysc("exec", pysc.id, "sh", "-c", "exit 5").code == 5
    state = json.loads(pysc("state", pysc.id, check=True).out)
    assert state["annotations"]["dev.pysc.platform"] == "ptrace"
    pysc("pause", pysc.id, check=True)
    pysc("resume", pysc.id, check=True)
    pysc("kill", pysc.id, "KILL", check=True)
    pysc("delete", "--force", pysc.id, check=True)


# ---- who chooses it ----


def test_a_host_without_user_notification_gets_it_by_itself(pysc: Pysc, bundle: Bundles) -> None:
    """With one line that says so; --platform decides otherwise."""
    chosen = Pysc(pysc.root, "")
    argv = chosen.argv("run", "-b", bundle(["cat", "/etc/group"]), pysc.id)
    lacking = [sys.executable, str(WITHOUT), f"seccomp+32={EINVAL}", *argv]
    ran = subprocess.run(lacking, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stdout) == (0, "root:x:0:\nnogroup:x:65534:\n"), ran
    assert len(ran.stderr.splitlines()) == 1
    assert "seccomp user notification is missing here (invalid argument): the platform is ptrace" in ran.stderr
    here = chosen("run", "-b", bundle(["true"]), pysc.id, check=True)
    assert here.err == ""
