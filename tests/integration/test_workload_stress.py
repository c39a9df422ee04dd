"""Workload: stress-ng, which misuses one system call after another and verifies what it gets.

Some operations of some stressors, with --long thirty seconds for each of many; none may fail, and the sentry is afterwards as it was before:
no descriptor more, and no thread. What this stress-ng or kernel does not know is found natively to be so.

Operations are counted since the signal at the end of a time makes a call that was to be mediated fail with EINTR, if it comes before
the sentry has seen that call (docs/design.md), which --verify takes for an error of the call. In thirty seconds that is not counted.

Left out: what is refused on purpose (dnotify, landlock, rawsock, netlink-proc, and pty, which reads the lock of terminal settings), what is the
machine's (reboot, klog), and what only takes its memory.
"""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from containers import descendants, requires

if TYPE_CHECKING:
    from pathlib import Path

    from workloads import Sandbox

pytestmark = [pytest.mark.integration, pytest.mark.timeout(7200), requires("stress-ng")]

SHORT = "chdir=100 close=2000 dir=100 exec=10 fcntl=2000 fifo=50000 inotify=2 mq=50000 open=2000 procfs=4 rename=1000 sysbadaddr=500 xattr=3"
LONG = """access affinity af-alg alarm atomic bad-altstack brk cap chdir chmod chown chroot clock clone close context copy-file cpu cyclic daemon
dev dir dirdeep dup dynlib env epoll eventfd exec fallocate fault fcntl fiemap fifo file-ioctl filename flock fork fp-error fpunch full
funccall futex get getdent getrandom handle hrtimers inode-flags inotify io iomix ioprio itimer kcmp kill lease link locka lockf
lockofd madvise membarrier memfd mincore mknod mlock mmap mmapaddr mprotect mq mremap msg msync munmap mutex nanosleep nice null open
pidfd pipe pkey poll prctl procfs pthread ptrace quota readahead rename resched revio rlimit rmap rseq schedpolicy seal seccomp seek sem
sem-sysv sendfile session set shm shm-sysv sigabrt sigchld sigfd sigfpe sigio signal signest sigpending sigpipe sigq sigrt sigsegv sigsuspend
sigtrap sleep sock sockabuse sockfd sockpair splice stack symlink sync-file sysbadaddr sysinval syscall sysfs tee timer timerfd udp umount unlink
unshare utime vdso vfork vm-splice wait xattr yield zombie"""

# `sysinval` wants to be asked twice, and `exec` an ordinary user.
SCRIPT = r"""
chmod 777 .
echo ready
read go
for each in $1; do
    stressor=${each%=*} limit="--timeout 30s" user=
    [ $stressor = $each ] || limit="--$stressor-ops ${each#*=} --chdir-dirs 64 --dir-dirs 64 --exec-max 2"
    [ $stressor != exec ] || user="setpriv --reuid=65534 --regid=65534 --clear-groups"
    $user stress-ng --$stressor 1 $limit --verify --pathological --temp-path . --oomable > said 2>&1 || echo failed: $? >> said
    ! grep -q '^failed\|No stress workers' said || { echo "== $stressor"; cat said; }
done
echo done
read go
"""
UNKNOWN = ("No stress workers invoked", "unrecognized option")
INTERRUPTED = {"rename": "fopen failed: errno=2"}
"""What is first said where the call that was interrupted is not the one complained of: so natively, with that error injected by strace."""
PARTS = 4
"""Of the long list: twenty minutes each."""


GROWTH = 16 << 10
"""KiB that a sentry may have grown by: it has handlers that it had not loaded before, and counts what was denied."""


class Sentry:
    """The one among our descendants."""

    def __init__(self) -> None:
        found = [pid for pid, shown in descendants().items() if shown.endswith(" pysc-sentry")]
        assert len(found) == 1, descendants()
        self._pid = found[0]

    def holds(self) -> tuple[int, int]:
        """How many threads it has, and descriptors but pidfds: it keeps that of the caller whom it has served last."""
        return len(os.listdir(f"/proc/{self._pid}/task")), sum(not self._is_pidfd(fd) for fd in os.listdir(f"/proc/{self._pid}/fd"))

    def _is_pidfd(self, fd: str) -> bool:
        try:
            return os.readlink(f"/proc/{self._pid}/fd/{fd}") == "anon_inode:[pidfd]"
        except FileNotFoundError:  # closed meanwhile
            return False

    def memory(self) -> int:
        """KiB that are resident."""
        with open(f"/proc/{self._pid}/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))

    def settles(self, before: tuple[int, int]) -> bool:
        """Whether it has no more than `before`, within some seconds: its threads end after the calls that they were for."""
        end = time.monotonic() + 10
        while any(now > then for now, then in zip(self.holds(), before, strict=True)):
            if time.monotonic() > end:
                return False
        return True


def complaints(said: str) -> list[str]:
    """Of stressors that failed; what they may say is taken out."""
    left = []
    for block in said.split("== ")[1:]:
        stressor, _, text = block.partition("\n")
        errors = [line for line in text.splitlines() if ("fail:" in line or "error:" in line) and "terminated with an error" not in line]
        first = errors[0] if errors else ""  # what is said after it follows from it: chdir(2) failed, so rmdir(2) is called elsewhere
        interrupted = "completed in 3" in text and ("errno=4" in first or INTERRUPTED.get(stressor, "errno=4") in first)
        unknown = any(words in text for words in UNKNOWN) and any(words in natively(stressor) for words in UNKNOWN)
        if not interrupted and not unknown:
            left.append(block)
    return left


def natively(stressor: str) -> str:
    return subprocess.run(
        ["stress-ng", f"--{stressor}", "1", "--timeout", "1s"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    ).stdout


def verify(sandbox: Sandbox, work: Path, stressors: str) -> None:
    work.mkdir()
    argv = ["sh", "-c", SCRIPT, "sh", stressors]
    with sandbox.popen(work, argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        sentry = Sentry()
        before, size = sentry.holds(), sentry.memory()
        running.stdin.write("go\n")
        running.stdin.flush()
        said = []
        while said[-1:] != ["done\n"]:
            said.append(running.stdout.readline())
            assert said[-1], "".join(said)
        after, settled, grown = sentry.holds(), sentry.settles(before), sentry.memory() - size
        running.stdin.write("go\n")
        running.stdin.close()
        assert running.wait() == 0
    failed = complaints("".join(said[:-1]))
    assert not failed, "".join(failed)
    assert settled, f"threads and descriptors of the sentry: {before} before, {after} after"
    assert grown < GROWTH, f"{grown} KiB more"


@pytest.mark.short
def test_stressors_verify_what_they_get_and_leave_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    verify(sandbox, tmp_path / "work", SHORT)


@pytest.mark.long
@pytest.mark.parametrize("part", range(PARTS))
def test_for_thirty_seconds_each(sandbox: Sandbox, tmp_path: Path, part: int) -> None:
    verify(sandbox, tmp_path / "work", " ".join(LONG.split()[part::PARTS]))
