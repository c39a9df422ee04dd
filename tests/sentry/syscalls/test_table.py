"""The table: complete, documented, its constants those of the kernel's headers, and its decisions those that were meant."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from errno import EAFNOSUPPORT, ENOSYS, EPERM, EPROTONOSUPPORT, ESOCKTNOSUPPORT
from pathlib import Path

import pytest

from sentry.platform.bpf import Rule
from sentry.syscalls import arguments
from sentry.syscalls.numbers import NUMBERS
from sentry.syscalls.table import (
    FULL,
    NETWORKS,
    NONE,
    PARTIAL,
    PROFILES,
    ROWS,
    STUB,
    Denied,
    If,
    Mediated,
    Native,
    Row,
    decide,
    leaves,
)

HEADER = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
BY_NAME = {row.name: row for row in ROWS}
U32 = (1 << 32) - 1
DIRTY = 0xDEADBEEF << 32


def test_the_numbers_are_the_kernel_headers() -> None:
    if not HEADER.exists():
        pytest.skip(f"{HEADER} is missing (linux-libc-dev)")
    theirs = {name: int(nr) for name, nr in re.findall(r"#define __NR_(\w+) (\d+)", HEADER.read_text())}
    assert theirs
    assert {name: NUMBERS.get(name) for name in theirs} == theirs


def test_the_numbers_go_to_470_without_holes_but_the_old_one() -> None:
    assert sorted(NUMBERS.values()) == [*range(337), *range(424, 471)]


def test_there_is_one_row_for_each_number_in_order() -> None:
    assert [row.number for row in ROWS] == sorted(NUMBERS.values())
    assert {row.name: row.number for row in ROWS} == NUMBERS


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_what_is_less_than_full_says_why(row: Row) -> None:
    kinds = {type(leaf) for leaf in leaves(row.standard)}
    if kinds == {Denied}:
        assert row.support == NONE
    elif Denied in kinds:
        assert row.support == PARTIAL
    else:
        assert row.support in (FULL, PARTIAL, STUB)
    assert row.note or row.support == FULL
    assert row.note or str(row.strict) == str(row.standard)
    assert "  " not in row.note
    assert not row.note.endswith(".")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_strict_never_lets_more_pass(row: Row) -> None:
    order = (Denied, Mediated, Native)
    best = {profile: max(order.index(type(x)) for x in leaves(row.disposition(profile))) for profile in PROFILES}
    assert best["strict"] <= best["standard"]


def test_the_two_kernel_network_modes_are_alike_and_the_third_has_no_native_way_to_make_a_socket() -> None:
    for row in ROWS:
        for profile in PROFILES:
            assert row.disposition(profile, "host") is row.disposition(profile, "none")
    assert set(NETWORKS) == {"none", "host", "shared", "sandbox"}
    for name in ("socket", "connect", "bind", "setsockopt", "sendmsg", "getpeername"):
        assert [str(x) for x in leaves(BY_NAME[name].disposition("standard", "sandbox"))] == ["mediated"]


def test_each_mediated_call_has_a_handler_and_each_handler_a_call() -> None:
    code = "from sentry.syscalls import load, registry; print(*registry.handlers)"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    handlers = set(output.split())  # of a process of its own: here some test may have imported another family
    modes = [(profile, network) for profile in PROFILES for network in NETWORKS if network != "sandbox"]
    mediated = {row.name for row in ROWS for mode in modes if Mediated in map(type, leaves(row.disposition(*mode)))}
    assert mediated - handlers == set()
    assert handlers - mediated == set()


# ---- decisions, by example: what was meant ----

AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_VSOCK, AF_ALG = 1, 2, 10, 16, 17, 40, 38
STREAM, DGRAM, RAW, SEQPACKET, CLOEXEC, NONBLOCK = 1, 2, 3, 5, 0o2000000, 0o4000

MEANT = [
    ("clone", (17,), "native"),  # fork(): SIGCHLD
    ("clone", (0x3D0F00,), "native"),  # pthread_create()
    ("clone", (0x4111,), "native"),  # vfork()
    ("clone", (0x80 | 17,), "native"),  # an odd exit signal, not CLONE_NEWTIME
    ("clone", (0x10000000 | 17,), "EPERM"),
    ("clone", (DIRTY | 0x20000,), "EPERM"),
    ("clone", (DIRTY | 17,), "native"),
    ("clone", (0x8000 | 17,), "EPERM"),
    ("unshare", (0x200 | 0x400,), "native"),
    ("unshare", (0x80,), "EPERM"),  # CLONE_NEWTIME
    ("unshare", (0x40000000,), "EPERM"),
    ("unshare", (1 << 40,), "EPERM"),
    ("ioctl", (0, 0x5401), "native"),  # isatty()
    ("ioctl", (0, DIRTY | 0x5401), "native"),
    ("ioctl", (0, 0x5412), "mediated"),  # TIOCSTI
    ("ioctl", (0, DIRTY | 0x5412), "mediated"),
    ("ioctl", (0, 1 << 32 | 0x541C), "mediated"),  # TIOCLINUX
    ("ioctl", (0, 0x5423), "mediated"),  # TIOCSETD
    ("ioctl", (0, 0xC0686611), "mediated"),  # PROCMAP_QUERY
    ("ioctl", (0, 0xB701), "mediated"),  # NS_GET_USERNS
    ("fcntl", (0, 1030), "native"),
    ("fcntl", (0, 1026), "EINVAL"),  # F_NOTIFY
    ("prctl", (15,), "native"),
    ("prctl", (DIRTY | 38,), "native"),
    ("prctl", (24,), "mediated"),
    ("prctl", (35,), "EPERM"),
    ("prctl", (59,), "EINVAL"),
    ("prctl", (67,), "EPERM"),
    ("personality", (U32,), "native"),
    ("personality", (DIRTY | U32,), "native"),
    ("personality", (0x40000,), "native"),
    ("personality", (0x100000,), "EPERM"),  # MMAP_PAGE_ZERO
    ("seccomp", (1, 0), "native"),
    ("seccomp", (1, 1 | 2), "native"),
    ("seccomp", (1, 8), "EBUSY"),
    ("seccomp", (DIRTY | 1, DIRTY | 8), "EBUSY"),
    ("seccomp", (3, 0), "native"),
    ("pipe2", (0, CLOEXEC | NONBLOCK), "native"),
    ("pipe2", (0, 0o200), "ENOPKG"),
    ("ptrace", (0x4206, 1, 0, 1), "native"),
    ("ptrace", (0x4206, 1, 0, 1 << 21), "EPERM"),
    ("ptrace", (0x4200, 1, 0, 1 << 21 | 1), "EPERM"),
    ("ptrace", (4, 1, 0, 1 << 21), "native"),  # PTRACE_POKETEXT
    ("utimensat", (3, 0), "native"),
    ("utimensat", (3, 1 << 32), "mediated"),
    ("socket", (AF_UNIX, STREAM | CLOEXEC), "native"),
    ("socket", (AF_INET, STREAM | CLOEXEC | NONBLOCK, 6), "native"),
    ("socket", (AF_INET6, DGRAM, 17), "native"),
    ("socket", (AF_INET, DGRAM, 1), "native"),
    ("socket", (AF_INET6, DGRAM, 58), "native"),
    ("socket", (AF_INET6, DGRAM, 1), "EPROTONOSUPPORT"),
    ("socket", (AF_INET, STREAM, 262), "EPROTONOSUPPORT"),  # MPTCP
    ("socket", (AF_INET, SEQPACKET, 132), "ESOCKTNOSUPPORT"),  # SCTP
    ("socket", (AF_INET, RAW, 1), "EPERM"),
    ("socket", (AF_INET, 10, 0x300), "EPERM"),  # SOCK_PACKET becomes AF_PACKET
    ("socket", (AF_PACKET, RAW, 0x300), "EPERM"),
    ("socket", (AF_NETLINK, RAW | CLOEXEC, 0), "native"),
    ("socket", (AF_NETLINK, RAW, 12), "EPROTONOSUPPORT"),  # NETLINK_NETFILTER
    ("socket", (AF_VSOCK, STREAM), "EAFNOSUPPORT"),
    ("socket", (AF_ALG, SEQPACKET), "EAFNOSUPPORT"),
    ("socket", (DIRTY | AF_ALG, SEQPACKET), "EAFNOSUPPORT"),
    ("socket", (DIRTY | AF_INET, DIRTY | STREAM, DIRTY | 6), "native"),
    ("socketpair", (AF_UNIX, STREAM), "native"),
    ("socketpair", (AF_INET, STREAM), "EOPNOTSUPP"),
    ("socketpair", (30, STREAM), "EAFNOSUPPORT"),  # AF_TIPC
    ("setsockopt", (3, 6, 1), "native"),  # TCP_NODELAY
    ("setsockopt", (3, 6, 31), "ENOPROTOOPT"),  # TCP_ULP
    ("setsockopt", (3, 6, DIRTY | 31), "ENOPROTOOPT"),
    ("setsockopt", (3, 6, 19), "ENOPROTOOPT"),  # TCP_REPAIR
    ("setsockopt", (3, 1, 2), "native"),  # SO_REUSEADDR
    ("setsockopt", (3, 1, 26), "ENOPROTOOPT"),  # SO_ATTACH_FILTER
    ("setsockopt", (3, 0, 64), "ENOPROTOOPT"),  # IPT_SO_SET_REPLACE
    ("setsockopt", (3, 41, 64), "ENOPROTOOPT"),
    ("setsockopt", (3, 41, 1), "ENOPROTOOPT"),  # IPV6_ADDRFORM
    ("getsockopt", (3, 1, 4), "native"),  # SO_ERROR
    ("getsockopt", (3, 0, 64), "ENOPROTOOPT"),
    ("getsockopt", (3, 6, 35), "ENOPROTOOPT"),  # TCP_ZEROCOPY_RECEIVE
    ("madvise", (0, 0, 12), "native"),
    ("futex", (0, 6), "native"),
    ("clone3", (), "ENOSYS"),
    ("io_uring_setup", (), "ENOSYS"),
    ("bpf", (), "EPERM"),
]

MEANT_STRICT = [
    ("stat", (), "mediated"),
    ("newfstatat", (3, 0x1000), "mediated"),
    ("newfstatat", (3, 0), "native"),
    ("statx", (3, 1 << 63), "mediated"),
    ("chdir", (), "mediated"),
    ("getcwd", (), "native"),
    ("futex", (0, 0x80), "native"),  # FUTEX_WAIT | FUTEX_PRIVATE_FLAG
    ("futex", (0, 0x189), "native"),  # FUTEX_WAIT_BITSET, private, realtime
    ("futex", (0, 6), "ENOSYS"),  # FUTEX_LOCK_PI
    ("futex", (0, DIRTY | 0x8D), "ENOSYS"),  # FUTEX_LOCK_PI2
    ("madvise", (0, 0, 4), "native"),
    ("madvise", (0, 0, 12), "EINVAL"),
    ("timer_create", (1,), "native"),
    ("timer_create", (2,), "EINVAL"),
    ("timer_create", (-6 & U32,), "EINVAL"),  # another process's CPU time
    ("sendto", (3, 0, 0, 0x4000), "native"),
    ("sendto", (3, 0, 0, 0x4001), "EOPNOTSUPP"),
    ("recvmsg", (3, 0, 1), "EOPNOTSUPP"),
    ("recvmmsg", (3, 0, 1, 0), "native"),
]


def registers(args: tuple[int, ...]) -> tuple[int, ...]:
    return (*args, *[0] * (6 - len(args)))


@pytest.mark.parametrize(("name", "args", "meant"), MEANT)
def test_decisions(name: str, args: tuple[int, ...], meant: str) -> None:
    assert str(decide(BY_NAME[name].standard, registers(args))) == meant


@pytest.mark.parametrize(("name", "args", "meant"), MEANT_STRICT)
def test_strict_decisions(name: str, args: tuple[int, ...], meant: str) -> None:
    assert str(decide(BY_NAME[name].strict, registers(args))) == meant


def test_the_errno_of_a_refusal_depends_on_arguments() -> None:
    row = BY_NAME["socket"]
    calls = {(AF_PACKET, RAW): EPERM, (AF_INET, STREAM, 262): EPROTONOSUPPORT, (AF_ALG, 1): EAFNOSUPPORT}
    calls[AF_INET, SEQPACKET] = ESOCKTNOSUPPORT
    for args, error in calls.items():
        assert row.refusal("standard", "none", registers(args)) == error
    assert row.refusal("strict") == EAFNOSUPPORT
    assert BY_NAME["openat"].refusal("standard") == ENOSYS
    assert BY_NAME["bpf"].refusal("standard") == EPERM


def test_dispositions_read_as_text() -> None:
    assert str(BY_NAME["prctl"].standard) == "native or mediated or EPERM or EINVAL"
    assert str(BY_NAME["socketpair"].standard) == "native or EOPNOTSUPP or EAFNOSUPPORT"
    pipe2 = BY_NAME["pipe2"].standard
    assert isinstance(pipe2, If)
    assert pipe2.describe() == "native if args[1] without O_NOTIFICATION_PIPE, else ENOPKG"


# ---- constants ----

INCLUDES = """
#include <stdio.h>
#include <asm/ioctls.h>
#include <asm/mman.h>
#include <asm/socket.h>
#include <asm/termbits.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/netlink.h>
#include <linux/prctl.h>
#include <linux/ptrace.h>
#include <linux/random.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <linux/time.h>
#include <linux/watch_queue.h>
struct termio { char c[18]; };
"""


def named_constants() -> dict[str, int]:
    found: dict[str, int] = {}
    for name, value in vars(arguments).items():
        if name.startswith("__"):
            continue
        words = value.words() if isinstance(value, Rule) else ()
        for named in (value, *(word.named for word in words)):
            if isinstance(named, dict):
                found.update({k: v for k, v in named.items() if isinstance(k, str) and re.match("[A-Z]", k)})
    return found


def test_each_named_constant_has_the_value_of_the_kernel_s_headers(tmp_path: Path) -> None:
    """Names that the installed headers do not have yet are passed over, but they are few."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("no gcc")
    named = named_constants()
    assert len(named) > 200
    prints = "".join(f'#ifdef {n}\nprintf("{n} %lu\\n", (unsigned long)(unsigned){n});\n#endif\n' for n in named)
    (tmp_path / "names.c").write_text(f"{INCLUDES}int main(void)\n{{\n{prints}return 0;\n}}\n")
    subprocess.run([compiler, "-o", tmp_path / "names", tmp_path / "names.c"], check=True)
    output = subprocess.run([tmp_path / "names"], capture_output=True, text=True, check=True).stdout
    theirs = {name: int(value) for name, value in map(str.split, output.splitlines())}
    assert {name: named[name] & U32 for name in theirs} == theirs
    assert len(named) - len(theirs) < 20, set(named) - set(theirs)


O = {  # open(2)
    "read": 0,
    "path": os.O_PATH,
    "path, to write": os.O_PATH | os.O_RDWR | os.O_CREAT,
    "list": os.O_DIRECTORY | os.O_NONBLOCK | os.O_CLOEXEC,
    "list, no link": os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NOATIME | os.O_NOCTTY,
    "write": os.O_DIRECTORY | os.O_WRONLY,
    "read and write": os.O_DIRECTORY | os.O_RDWR,
    "fourth access mode": os.O_DIRECTORY | os.O_ACCMODE,
    "create": os.O_DIRECTORY | os.O_CREAT,
    "truncate": os.O_DIRECTORY | os.O_TRUNC,
    "no name": os.O_TMPFILE | os.O_RDWR,
    "no name, to read": os.O_TMPFILE,
    "a flag to come": os.O_DIRECTORY | 1 << 30,
}


@pytest.mark.parametrize(
    ("profile", "network", "native"),
    [
        ("standard", "none", {"path", "path, to write", "list", "list, no link"}),
        ("standard", "host", {"path", "path, to write", "list", "list, no link"}),
        ("standard", "shared", {"path", "path, to write"}),
        ("strict", "none", {"path", "path, to write"}),
    ],
)
def test_an_open_is_the_kernels_where_its_flags_bound_what_may_come_of_it(profile: str, network: str, native: set[str]) -> None:
    for upper in (0, DIRTY):
        for name, arg in (("open", 1), ("openat", 2)):
            disposition = BY_NAME[name].disposition(profile, network)
            decided = {what: decide(disposition, [U32] * arg + [flags | upper] + [U32] * (5 - arg)) for what, flags in O.items()}
            assert {what for what, leaf in decided.items() if isinstance(leaf, Native)} == native
            assert all(isinstance(leaf, Native | Mediated) for leaf in decided.values())
