"""Whose permissions a mediated call has: ids, groups, capabilities, umask, set-id programs; against the same calls made natively.

credentials(7), capabilities(7). Each step changes who the caller is, then opens and makes what shows it.
"""

from __future__ import annotations

import itertools
import os
import struct
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from sentry.abi import (
    AT_FDCWD,
    CAP_CHOWN,
    CAP_DAC_OVERRIDE,
    CAP_DAC_READ_SEARCH,
    CAP_FOWNER,
    CAP_FSETID,
    CAP_SETGID,
    CAP_SETUID,
    PR_CAP_AMBIENT,
    PR_CAP_AMBIENT_RAISE,
    PR_CAPBSET_DROP,
    PR_SET_KEEPCAPS,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_SECUREBITS,
)
from tests.sentry.guest import ALL_CAPABILITIES, Buffer
from tests.sentry.harness import both

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.sentry.guest import Caller

RDONLY, WRONLY, CREAT = os.O_RDONLY, os.O_WRONLY, os.O_CREAT
OWNERS = (0, 1000, 2000)


def prepare(base: str) -> None:
    """For each owner and mode a file and a directory."""
    os.chmod(base, 0o777)
    for owner in OWNERS:
        for mode in (0o400, 0o600, 0o040, 0o060, 0o004, 0o000, 0o777):
            path = os.path.join(base, f"{owner}.{mode:03o}")
            os.mkdir(path + "d")
            for name in (path, path + "d/in"):
                with open(name, "w") as file:
                    file.write("content")
                os.chmod(name, mode)
            os.chown(path, owner, owner)
            os.chown(path + "d", owner, owner)
            os.chmod(path + "d", mode | (mode & 0o444) >> 2)


def probe(k: Caller, count: itertools.count[int]) -> None:
    """What the caller may do now, and whose is what it makes."""
    for owner in OWNERS:
        for mode in (0o400, 0o600, 0o040, 0o060, 0o004, 0o000, 0o777):
            path = b"%d.%03o" % (owner, mode)
            for flags in (RDONLY, WRONLY):
                k.opened(path, flags)
            k.opened(b"/work/base/" + path + b"d/in", RDONLY)
            k("access", path, 6)
            k("chmod", path, mode)
            k("lchown", path, owner, owner)
            k("truncate", path, 7)
            k("utimensat", AT_FDCWD, path, None, 0)
            k("mkdir", path + b"d/x", 0o700)
            k.quiet("rmdir", path + b"d/x")
    new = b"new%d" % next(count)
    k.opened(new, CREAT | WRONLY, 0o6666)
    k("mkdir", new + b"d", 0o777)
    k("mknod", new + b"p", 0o10666, 0)
    k("symlink", b"x", new + b"l")


def steps(*changes: tuple[object, ...]) -> Callable[[Caller], None]:
    """A body: the calls one after another, a probe after each."""

    def body(k: Caller) -> None:
        count = itertools.count()
        probe(k, count)
        for change in changes:
            k(*change)  # type: ignore[arg-type]
            k("prctl", 4, 1)  # dumpable, as after an exec
            probe(k, count)

    return body


NOBODY = 0xFFFFFFFF


def caps(*numbers: int) -> Buffer:
    """Effective and permitted: these."""
    mask = sum(1 << number for number in numbers)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    return Buffer(24, struct.pack("<6I", low, low, 0, high, high, 0))


HEADER = struct.pack("<Ii", 0x20080522, 0) + bytes(1)
BOTH_IDS = (CAP_SETUID, CAP_SETGID)


def capset(k: Caller, *numbers: int) -> None:
    k("capset", Buffer(8, HEADER[:8]), caps(*numbers))


@pytest.mark.parametrize(
    "changes",
    [
        (("setfsuid", 1000), ("setfsgid", 1000), ("setfsuid", 0)),
        (("setresgid", 1000, 1000, 1000), ("setresuid", 1000, 1000, 0), ("setresuid", NOBODY, 0, NOBODY)),
        (("setresuid", NOBODY, 1000, NOBODY), ("setfsuid", 2000), ("setuid", 0)),
        (("setregid", 1000, 2000), ("setreuid", 1000, 2000), ("setreuid", 2000, 1000)),
        (("setgid", 2000), ("setuid", 1000)),
        (("prctl", PR_SET_KEEPCAPS, 1), ("setuid", 1000), ("setuid", 2000)),
    ],
    ids=lambda changes: "-".join(str(change[0]) for change in changes),
)
@pytest.mark.parametrize("profile", ["standard", "strict"])
def test_ids(changes: tuple[tuple[object, ...], ...], profile: str) -> None:
    both(steps(*changes), prepare, profile=profile)


def test_supplementary_groups() -> None:
    def body(k: Caller) -> None:
        count = itertools.count()
        for groups in ((), (2000,), (1, 2, 2000, 1000), tuple(range(3000, 3300)), (2000, *range(3000, 3300))):

            def child(groups: tuple[int, ...] = groups) -> None:
                k("setgroups", len(groups), Buffer(4 * max(len(groups), 1), struct.pack(f"<{len(groups)}I", *groups)))
                k("setresgid", 1001, 1001, 1001)
                k("setresuid", 1001, 1001, 1001)
                k("prctl", 4, 1)
                probe(k, count)

            k.in_child(child)

    both(body, prepare)


@pytest.mark.parametrize(
    "kept",
    [
        (),
        (CAP_DAC_OVERRIDE,),
        (CAP_DAC_READ_SEARCH,),
        (CAP_FOWNER,),
        (CAP_CHOWN,),
        (CAP_FSETID,),
        (CAP_CHOWN, CAP_FSETID, CAP_FOWNER),
    ],
)
def test_capabilities(kept: tuple[int, ...]) -> None:
    """Root with few capabilities; and another user with them."""

    def body(k: Caller) -> None:
        count = itertools.count()

        def root() -> None:
            capset(k, *kept)
            probe(k, count)

        def another() -> None:
            k("prctl", PR_SET_KEEPCAPS, 1)
            k("setresgid", 1000, 1000, 1000)
            k("setresuid", 1000, 1000, 1000)
            capset(k, *kept)
            k("prctl", 4, 1)
            probe(k, count)

        k.in_child(root)
        k.in_child(another)

    both(body, prepare)


def test_threads_have_identities_of_their_own() -> None:
    """setresuid(2) is a thread's; glibc tells the others."""

    def body(k: Caller) -> None:
        count = itertools.count()
        turn = threading.Barrier(2)

        def thread() -> None:
            k("setresgid", NOBODY, 1000, NOBODY)
            k("setresuid", NOBODY, 1000, NOBODY)
            k("prctl", 4, 1)
            turn.wait()
            turn.wait()
            probe(k, count)
            turn.wait()

        started = threading.Thread(target=thread)
        started.start()
        turn.wait()
        probe(k, count)
        turn.wait()
        turn.wait()
        started.join()
        probe(k, count)

    both(body, prepare)


def test_a_process_id_is_used_again() -> None:
    """What was known of one process is not taken for the next with its number."""

    def body(k: Caller) -> None:
        count = itertools.count()
        for uid in (1000, 0, 2000, 0):
            os.pwrite(90, b"100", 0)

            def child(uid: int = uid) -> None:
                k.note(os.getpid())
                if uid:
                    k.become(uid)
                probe(k, count)

            k.in_child(child)

    def last_pid() -> None:  # the sentry does not let it be opened
        os.dup2(os.open("/proc/sys/kernel/ns_last_pid", WRONLY), 90)

    both(body, prepare, setup=last_pid)


# ---- exec ----

PROGRAM = r"""
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* Open each file named, print the result; make the last one. */
int main(int argc, char **argv)
{
    printf("%d %d %d %d", getuid(), geteuid(), getgid(), getegid());
    for (int i = 1; i < argc; i++) {
        int fd = open(argv[i], O_RDONLY);
        printf(" %d", fd < 0 ? errno : 0);
        if (fd >= 0)
            close(fd);
        fd = open(argv[i], O_WRONLY);
        printf("/%d", fd < 0 ? errno : 0);
        if (fd >= 0)
            close(fd);
    }
    struct stat st;
    int fd = open("/proc/self/fd/1", O_WRONLY | O_APPEND), own = open("made", O_CREAT | O_WRONLY, 0600);
    if (own >= 0)
        fstat(own, &st);
    printf(" %d %d %d\n", fd < 0 ? errno : 0, own < 0 ? -errno : (int)st.st_uid, own < 0 ? 0 : (int)st.st_gid);
    unlink("made");
    return 0;
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A static program, in every ownership that makes an exec change who one is."""
    directory = tmp_path_factory.mktemp("program")
    (directory / "p.c").write_text(PROGRAM)
    subprocess.run(["cc", "-static", "-o", directory / "p", directory / "p.c"], check=True)
    return directory / "p"


MODES = {"plain": (0, 0o755), "setuid": (0, 0o4755), "setuid2": (2000, 0o4755), "setgid": (2000, 0o2755), "unreadable": (0, 0o4711)}


def execute(k: Caller, name: str, before: Callable[[], object] | None = None, *, first: Callable[[], object] | None = None) -> None:
    """Run a program in a child; what it says is noted. `before`: what the child does before.

    `first`: another thread of the child executes the program, while the first one, having done this, opens one file after the other.
    """
    files = [f"{owner}.{mode:03o}" for owner in OWNERS for mode in (0o400, 0o600, 0o040, 0o004, 0o000)]
    read, write = os.pipe()
    os.fchmod(write, 0o666)
    pid = os.fork()
    if pid == 0:
        os.dup2(write, 1)

        ready = threading.Event()

        def run() -> None:
            try:
                if before:
                    before()
                if first:
                    ready.wait()
                os.execv(f"/work/base/{name}", [name, *files])
            except OSError as e:
                os.write(1, str(e).encode())
            os._exit(1)

        if first:
            threading.Thread(target=run).start()
            first()
            while True:
                if k.quiet("open", b"2000.040", RDONLY) >= 0:
                    ready.set()
        run()
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        k.note(name, *pipe.read().split(), os.waitpid(pid, 0)[1])  # in words, since a long text is not compared to its end


@pytest.mark.parametrize("uid", [0, 1000])
@pytest.mark.parametrize("no_new_privs", [False, True])
def test_programs_that_change_the_id(program: Path, uid: int, no_new_privs: bool) -> None:
    source = str(program)

    def prepare_with_programs(base: str) -> None:
        prepare(base)
        for name, (owner, mode) in MODES.items():
            path = os.path.join(base, name)
            with open(source, "rb") as file, open(path, "wb") as copy:
                copy.write(file.read())
            os.chown(path, owner, owner)
            os.chmod(path, mode)
        path = os.path.join(base, "capable")
        with open(source, "rb") as file, open(path, "wb") as copy:
            copy.write(file.read())
        os.chmod(path, 0o755)

    def body(k: Caller) -> None:
        for name in MODES:
            execute(k, name)
        k.opened(b"0.400", RDONLY)

    both(body, prepare_with_programs, uid=uid, no_new_privs=no_new_privs)


def test_what_an_exec_changes_is_not_remembered_from_before(program: Path) -> None:
    """Each child has opened a file as who it was then; the exec changes that, and the owner of /proc/PID does not show it."""
    source = str(program)

    def prepare_with_programs(base: str) -> None:
        prepare(base)
        for name in ("plain", "capable"):
            path = os.path.join(base, name)
            with open(source, "rb") as file, open(path, "wb") as copy:
                copy.write(file.read())
            os.chmod(path, 0o755)

    def body(k: Caller) -> None:
        capability = struct.pack("<5I", 0x02000001, 1 << CAP_DAC_OVERRIDE, 0, 0, 0)
        k("setxattr", b"capable", b"security.capability", Buffer(20, capability), 20, 0)

        def open_some() -> None:
            for _ in range(2):
                k.quiet("open", b"0.400", RDONLY)
                k.quiet("open", b"2000.400", RDONLY)

        def root_without_capabilities() -> None:
            k.quiet("capset", Buffer(8, HEADER[:8]), caps())
            open_some()

        def root_with_another_fsuid() -> None:
            k.quiet("setfsuid", 1000)
            open_some()

        def user_with_another_fsuid() -> None:
            k.quiet("setresuid", 1000, 1000, 2000)
            k.quiet("setfsuid", 2000)
            k.quiet("prctl", 4, 1)
            open_some()

        def user_with_another_fsgid() -> None:
            k.quiet("setgroups", 0, None)
            k.quiet("setresgid", 1000, 1000, 2000)
            k.quiet("setfsgid", 2000)
            k.quiet("setresuid", 1000, 1000, 1000)
            k.quiet("prctl", 4, 1)
            open_some()

        def user() -> None:
            k.become(1000)
            open_some()

        def user_who_holds_back() -> None:
            k.quiet("prctl", PR_SET_KEEPCAPS, 1)
            k.quiet("setresuid", 1000, 1000, 1000)
            mask = 1 << CAP_DAC_READ_SEARCH
            k.quiet("capset", Buffer(8, HEADER[:8]), Buffer(24, struct.pack("<6I", mask, mask, mask, 0, 0, 0)))
            k.quiet("prctl", PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_READ_SEARCH, 0, 0)
            k.quiet("capset", Buffer(8, HEADER[:8]), Buffer(24, struct.pack("<6I", 0, mask, mask, 0, 0, 0)))
            k.quiet("prctl", 4, 1)
            open_some()

        def bounded_root() -> None:
            k.quiet("prctl", PR_CAPBSET_DROP, CAP_DAC_OVERRIDE)
            open_some()

        states = (
            root_without_capabilities,
            root_with_another_fsuid,
            user_with_another_fsuid,
            user_with_another_fsgid,
            user,
            user_who_holds_back,
            bounded_root,
        )
        for state in states:
            for name in ("plain", "capable"):
                k.note(state.__name__)
                execute(k, name, state)

    both(body, prepare_with_programs)


def test_a_thread_that_executes_takes_the_id_of_the_first_and_not_its_groups(program: Path) -> None:
    source = str(program)

    def prepare_with_programs(base: str) -> None:
        prepare(base)
        for name, (owner, mode) in MODES.items():
            path = os.path.join(base, name)
            with open(source, "rb") as file, open(path, "wb") as copy:
                copy.write(file.read())
            os.chown(path, owner, owner)
            os.chmod(path, mode)

    def groups(k: Caller, *numbers: int) -> None:
        """Of the calling thread alone: group 1000, user 1000, no capabilities, these groups."""
        k.quiet("setgroups", len(numbers), Buffer(8, struct.pack(f"<{len(numbers)}I", *numbers)))
        k.quiet("setresgid", 1000, 1000, 1000)
        k.quiet("setresuid", 1000, 1000, 1000)
        k.quiet("prctl", 4, 1)

    def body(k: Caller) -> None:
        for name in MODES:
            for _ in range(4):
                execute(k, name, lambda: groups(k, 1), first=lambda: groups(k, 1, 2000))

    both(body, prepare_with_programs)


def test_capabilities_across_an_exec(program: Path) -> None:
    """Ambient and file capabilities, securebits, a smaller bounding set: what an exec gives or takes away."""
    source = str(program)

    def prepare_with_program(base: str) -> None:
        prepare(base)
        for name in ("plain", "capable"):
            path = os.path.join(base, name)
            with open(source, "rb") as file, open(path, "wb") as copy:
                copy.write(file.read())
            os.chmod(path, 0o755)

    def body(k: Caller) -> None:
        # VFS_CAP_REVISION_2, effective: CAP_DAC_OVERRIDE permitted
        k("setxattr", b"capable", b"security.capability", Buffer(20, struct.pack("<5I", 0x02000001, 1 << CAP_DAC_OVERRIDE, 0, 0, 0)), 20, 0)

        def plain_user() -> None:
            k.become(1000)
            execute(k, "capable")
            execute(k, "plain")
            k("prctl", PR_SET_NO_NEW_PRIVS, 1)
            execute(k, "capable")

        def ambient() -> None:
            k("prctl", PR_SET_KEEPCAPS, 1)
            k("setresuid", 1000, 1000, 1000)
            mask = 1 << CAP_DAC_READ_SEARCH
            k("capset", Buffer(8, HEADER[:8]), Buffer(24, struct.pack("<6I", mask, mask, mask, 0, 0, 0)))
            k("prctl", PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_READ_SEARCH, 0, 0)
            execute(k, "plain")
            execute(k, "capable")

        def no_root() -> None:
            k.opened(b"1000.000", RDONLY)
            k("prctl", PR_SET_SECUREBITS, 1)  # SECBIT_NOROOT
            execute(k, "plain")

        def bounded() -> None:
            k.opened(b"1000.000", RDONLY)
            for capability in range(ALL_CAPABILITIES.bit_length()):
                k("prctl", PR_CAPBSET_DROP, capability)
            k.opened(b"1000.000", RDONLY)
            execute(k, "plain")

        for child in (plain_user, ambient, no_root, bounded):
            k.in_child(child)
            execute(k, "plain")

    both(body, prepare_with_program)
