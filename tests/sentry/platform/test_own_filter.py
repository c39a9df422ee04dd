"""The allowlists of our own processes: in the simulator, and on forked children that try what is not on them."""

from __future__ import annotations

import errno
import gc
import mmap
import os
import signal
import socket
import time
import traceback
from _thread import allocate_lock, get_ident, start_new_thread
from typing import TYPE_CHECKING

import pytest
from boundaries import U32, U64, boundary_calls
from bpf_vm import check, constant_allow, execute

from gofer import own_calls as of_gofer
from sentry import own_calls as of_sentry
from sentry.abi import PR_SET_NO_NEW_PRIVS
from sentry.platform import own_filter
from sentry.platform._native import ffi, lib
from sentry.platform.bpf import (
    AUDIT_ARCH_X86_64,
    RET_ALLOW,
    RET_ERRNO,
    RET_KILL_PROCESS,
    RET_TRAP,
    X32_BIT,
    Equal,
    In,
    Rule,
)
from sentry.platform.own_filter import allowlist, install
from sentry.syscalls.numbers import NUMBERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentry.platform.own_filter import Calls

AUDIT_ARCH_I386 = 0x40000003
LISTS = {
    "sentry": of_sentry.CALLS,
    "sentry without files": of_sentry.WITHOUT_FILES,
    "file server": of_sentry.FILES_ALONE,
    "gofer": of_gofer.CALLS,
}
both = pytest.mark.parametrize("who", LISTS)

# ---- the simulator ----


def test_an_allowlist() -> None:
    program = check(allowlist({"read": None, "ioctl": In(1, (1, 2)), "kill": Equal(1, 9), "clone3": errno.ENOSYS}))

    def decision(name: str, *args: int, arch: int = AUDIT_ARCH_X86_64) -> int:
        return execute(program, NUMBERS[name], arch, (*args, 0, 0, 0, 0, 0, 0)[:6])[0]

    assert decision("clone3") == RET_ERRNO | errno.ENOSYS
    assert decision("read") == decision("ioctl", 0, 2) == decision("kill", 1, 9) == RET_ALLOW
    refused = {decision("write"), decision("ioctl", 0, 3), decision("kill", 9, 1), decision("listns"), decision("open")}
    assert refused == {decision("read", arch=AUDIT_ARCH_I386)} == {RET_KILL_PROCESS}
    for nr in (X32_BIT, X32_BIT | NUMBERS["read"], U32, 471):
        assert execute(program, nr, AUDIT_ARCH_X86_64, [0] * 6)[0] == RET_KILL_PROCESS


def test_an_allowlist_with_another_answer() -> None:
    program = check(allowlist({"read": None}, RET_TRAP))
    assert execute(program, NUMBERS["write"], AUDIT_ARCH_X86_64, [0] * 6)[0] == RET_TRAP
    assert execute(program, 0, AUDIT_ARCH_I386, [0] * 6)[0] == RET_KILL_PROCESS


def test_an_allowlist_knows_its_calls() -> None:
    with pytest.raises(KeyError):
        allowlist({"raed": None})


@both
@pytest.mark.parametrize("default", [RET_KILL_PROCESS, RET_TRAP])
def test_each_number_at_the_boundaries_of_its_rule(who: str, default: int) -> None:
    calls = {NUMBERS[name]: rule for name, rule in LISTS[who].items()}
    program = check(allowlist(LISTS[who], default))
    for nr in (*range(600), X32_BIT, X32_BIT | 1, U32):
        rule = calls.get(nr, False)
        for args in boundary_calls([rule] if isinstance(rule, Rule) else []):
            if isinstance(rule, Rule):
                wanted = RET_ALLOW if rule.holds(args) else default
            else:
                wanted = RET_ALLOW if rule is None else default if rule is False else RET_ERRNO | rule
            assert execute(program, nr, AUDIT_ARCH_X86_64, args)[0] == wanted, (nr, [hex(a) for a in args])
            assert execute(program, nr, AUDIT_ARCH_I386, args)[0] == RET_KILL_PROCESS


HOT = "openat2 newfstatat close process_vm_readv process_vm_writev futex sched_setaffinity sched_getaffinity capset openat read"


def test_the_sentry_s_frequent_calls_cost_no_run_of_the_filter() -> None:
    program = allowlist(of_sentry.CALLS)
    assert [name for name in HOT.split() if not constant_allow(program, NUMBERS[name])] == []
    for request in (0xC0502100, 0xC0182101, 0x40082102, 0x40182103):
        assert execute(check(program), NUMBERS["ioctl"], AUDIT_ARCH_X86_64, (3, request, 0, 0, 0, 0))[1] <= 16


def test_what_each_half_of_a_sentry_lacks() -> None:
    """With --directfs=false: sentry/files.py."""
    whole, sentry, files = of_sentry.CALLS, of_sentry.WITHOUT_FILES, of_sentry.FILES_ALONE
    taking_names = {name for name in whole if name.startswith(("open", "mk", "rename", "link", "unlink", "symlink", "ch", "truncate"))}
    taking_names |= {name for name in whole if name.endswith(("at", "at2", "xattr", "statx", "statfs", "readlink", "fchdir", "getdents64"))}
    assert len(taking_names) > 20
    assert not taking_names & sentry.keys()
    assert not {"bind", "connect", "socket", "accept4"} & files.keys()
    assert sentry.keys() | files.keys() == whole.keys() | {"socketpair"}
    receive = (3, 0xC0502100, 0, 0, 0, 0)
    allowed = [execute(check(allowlist(calls)), NUMBERS["ioctl"], AUDIT_ARCH_X86_64, receive)[0] == RET_ALLOW for calls in (sentry, files)]
    assert allowed == [True, False]


# ---- the kernel ----


def confined(who: str, body: Callable[[], object], *, debug: bool = False, calls: Calls | None = None) -> tuple[int, str]:
    """(exit code or -signal, stderr) of a child that puts on the filter and runs `body`."""
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.dup2(into, 2)
            lib.prctl_(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            gc.disable()
            install(LISTS[who] if calls is None else calls, who, debug=debug)
            body()
            os._exit(0)
        except BaseException:
            os.write(2, traceback.format_exc().encode())
            os._exit(1)
    os.close(into)
    with open(out, errors="replace") as pipe:
        text = pipe.read()
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), text


def raw(name: str, *args: int) -> int:
    return lib.syscall6(NUMBERS[name], *[a & U64 for a in args], *[0] * (6 - len(args)))


_page = mmap.mmap(-1, mmap.PAGESIZE)
PAGE = int(ffi.cast("uintptr_t", ffi.from_buffer(_page)))

ATTEMPTS: dict[str, Callable[[], object]] = {
    "execve": lambda: os.execv("/bin/true", ["true"]),
    "execveat": lambda: raw("execveat", -1, 0, 0, 0, 0),
    "fork": os.fork,
    "a raw fork": lambda: raw("fork"),
    "vfork": lambda: raw("clone", 0x4111),
    "a thread in a namespace": lambda: raw("clone", 0x3D0F00 | 0x20000),
    "an internet socket": lambda: socket.socket(socket.AF_INET),
    "a UNIX socket": lambda: socket.socket(socket.AF_UNIX),
    "socketpair": lambda: raw("socketpair", 1, 1, 0, 0),
    "open_by_handle_at": lambda: raw("open_by_handle_at", -1, 0, 0),
    "ptrace": lambda: raw("ptrace", 0),
    "bpf": lambda: raw("bpf", 0, 0, 0),
    "io_uring_setup": lambda: raw("io_uring_setup", 1, 0),
    "userfaultfd": lambda: raw("userfaultfd", 0),
    "a filter more": lambda: raw("seccomp", 1, 0, 0),
    "mount": lambda: raw("mount", 0, PAGE, 0, 4096, 0),
    "pivot_root": lambda: raw("pivot_root", PAGE, PAGE),
    "chroot": lambda: os.chroot("/"),
    "setns": lambda: raw("setns", 0, 0),
    "a mount namespace": lambda: lib.unshare_(0x20000),
    "a user namespace": lambda: lib.unshare_(0x10000000 | 0x200),
    "init_module": lambda: raw("init_module", 0, 0, 0),
    "keyctl": lambda: raw("keyctl", 0),
    "code in new memory": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC),
    "code in memory that was data": lambda: raw("mprotect", PAGE, 4096, 5),
    "code behind a dirty register": lambda: raw("mprotect", PAGE, 4096, 1 << 32 | 4),
    "pkey_mprotect": lambda: raw("pkey_mprotect", PAGE, 4096, 4, 0),
    "personality": lambda: raw("personality", 0x400000),
    "dumpable again": lambda: lib.prctl_(4, 1, 0, 0, 0),
    "a speculation control": lambda: lib.prctl_(53, 0, 0, 0, 0),
    "setuid": lambda: raw("setuid", 0),
    "typing into a terminal": lambda: raw("ioctl", 0, 0x5412, PAGE),
    "SIGTERM to somebody": lambda: os.kill(os.getpid(), signal.SIGTERM),
    "SIGTERM to a thread": lambda: signal.pthread_kill(get_ident(), signal.SIGTERM),
    "a handler for a signal": lambda: signal.signal(signal.SIGUSR2, signal.SIG_IGN),
    "x32": lambda: lib.syscall6(X32_BIT | NUMBERS["getpid"], 0, 0, 0, 0, 0, 0),
    "a number that nobody has": lambda: lib.syscall6(5000, 0, 0, 0, 0, 0, 0),
}
GOFER_ATTEMPTS: dict[str, Callable[[], object]] = {
    "open": lambda: os.open("/", os.O_PATH),
    "openat2": lambda: lib.openat2_raw(-100, b"/", os.O_PATH, 0, 0),
    "a thread": lambda: start_new_thread(int, ()),
    "memory of another": lambda: raw("process_vm_readv", os.getppid(), 0, 0, 0, 0, 0),
    "a descriptor of another": lambda: raw("pidfd_getfd", 0, 0, 0),
    "a mount by name": lambda: lib.open_tree_(-100, b"/", 1 | os.O_CLOEXEC),
    "a mount onto a name": lambda: lib.move_mount_(0, b"", -100, b"/mnt", 4),
    "attributes by name": lambda: lib.mount_setattr_(-100, b"/", 0, 0, 0, 0, -1),
    "a file system on an open descriptor": lambda: lib.fsconfig_(0, 5, b"fd", b"", 0),
    "an unmount through a link": lambda: lib.umount2_(b"x", 0),
    "SIGTERM by pidfd": lambda: raw("pidfd_send_signal", 0, 15, 0, 0),
}
MAY = {("sentry without files", "socketpair")}
CASES = [(who, what) for who in LISTS for what in ATTEMPTS if (who, what) not in MAY] + [("gofer", what) for what in GOFER_ATTEMPTS]


@pytest.mark.parametrize(("who", "what"), CASES)
def test_what_ends_the_process(who: str, what: str) -> None:
    assert confined(who, (ATTEMPTS | GOFER_ATTEMPTS)[what]) == (-signal.SIGSYS, "")


def test_another_thread_ends_the_process_too() -> None:
    """One that was there before the filter: SECCOMP_FILTER_FLAG_TSYNC."""

    def elsewhere() -> None:
        with go:
            socket.socket()
        done.release()

    go, done = allocate_lock(), allocate_lock()
    pid = os.fork()
    if pid == 0:
        go.acquire()
        done.acquire()
        start_new_thread(elsewhere, ())
        lib.prctl_(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        install(LISTS["sentry"], "sentry", debug=False)
        go.release()
        done.acquire()
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGSYS


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("an internet socket", "system call 41(0x2, 0x80001, 0)"),
        ("typing into a terminal", f"system call 16(0, 0x5412, {PAGE:#x})"),
        ("a number that nobody has", "system call 5000(0, 0, 0)"),
    ],
)
@both
def test_debug_names_the_call_and_ends_the_process(who: str, what: str, said: str) -> None:
    assert confined(who, ATTEMPTS[what], debug=True) == (128 + signal.SIGSYS, f"{who}: {said} is not one of its own\n")


def test_what_a_sentry_lives_by() -> None:
    directory = os.open("/proc", os.O_PATH)
    signal.signal(signal.SIGUSR1, lambda _signal, _frame: None)

    def body() -> None:
        lock = allocate_lock()
        for _ in range(20):
            lock.acquire()
            start_new_thread(lambda: (os.listdir("."), time.sleep(0.001), lock.release()), ())
        lock.acquire()
        os.close(os.open("self/status", os.O_RDONLY, dir_fd=directory))
        assert b"Name" in os.read(os.open("self/status", os.O_RDONLY, dir_fd=directory), 100)
        blocks = [bytearray(1 << shift) for shift in range(4, 24)]
        blocks += [bytearray(1 << 20) for _ in range(50)]
        blocks.append(bytearray(5) * 10_000_000)
        blocks[-1] += bytes(50_000_000)
        del blocks
        gc.collect()
        assert lib.own_fs_struct() == 0
        signal.pthread_kill(get_ident(), signal.SIGUSR1)
        assert time.time() > time.monotonic() > 0
        try:
            raise ValueError("shown")
        except ValueError:
            os.write(2, traceback.format_exc().encode())
        os.kill(os.getpid(), 9)

    code, text = confined("sentry", body, debug=True)
    assert code == -9, text
    assert text.endswith('raise ValueError("shown")\nValueError: shown\n')


def test_what_a_gofer_lives_by() -> None:
    from sentry.platform import wire

    ours, theirs = wire.pair()

    def body() -> None:
        message, fds = wire.recv(theirs)
        wire.send(theirs, message, fds)
        assert lib.fsopen_(b"no such file system", 1) == -errno.ENODEV
        for result in (
            lib.open_tree_(-1, b"", 1 | os.O_CLOEXEC | 0x1000),
            lib.open_tree_(-1, b"", 1 | os.O_CLOEXEC | 0x9000),
            lib.move_mount_(-1, b"", -1, b"", 0x44),
            lib.fsconfig_(-1, 6, ffi.NULL, ffi.NULL, 0),
            lib.fsmount_(-1, 1, 0xF),
        ):
            assert result < 0
        assert lib.umount2_(b"no such", 8 | 2) < 0

    wire.send(ours, {"op": "echo"}, [0])
    assert confined("gofer", body, debug=True) == (0, "")
    message, fds = wire.recv(ours)
    os.close(*fds)
    ours.close()
    theirs.close()
    assert message == {"op": "echo"}


def test_a_filter_that_the_kernel_does_not_take_is_an_error() -> None:
    """Without no_new_privs and privileges: EACCES. Nobody goes on without his filter."""

    def body() -> None:
        os.setresuid(65534, 65534, 65534)
        try:
            own_filter.install(LISTS["gofer"], "gofer", debug=False)
        except OSError as error:
            os._exit(40 + (error.errno == errno.EACCES))

    if os.geteuid() != 0:
        pytest.skip("needs root to give it up")
    pid = os.fork()
    if pid == 0:
        body()
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 41
