"""Every option of the specification's table, against the flags that mount(2) and mount_setattr(2) document."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runsc_cli import mount_options
from runsc_cli.mount_options import parse
from sentry.abi import (
    MOUNT_ATTR_ATIME,
    MOUNT_ATTR_NOATIME,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NODIRATIME,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_NOSYMFOLLOW,
    MOUNT_ATTR_RDONLY,
    MOUNT_ATTR_STRICTATIME,
    MS_BIND,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    MS_REMOUNT,
    MS_SHARED,
    MS_SLAVE,
    MS_UNBINDABLE,
)

# config.md, "Linux mount options"
SPECIFIED = (
    "async atime bind defaults dev diratime dirsync exec iversion lazytime loud mand noatime nodev nodiratime noexec "
    "noiversion nolazytime nomand norelatime nostrictatime nosuid nosymfollow private ratime rbind rdev rdiratime relatime "
    "remount rexec rnoatime rnodev rnodiratime rnoexec rnorelatime rnostrictatime rnosuid rnosymfollow ro rprivate rrelatime "
    "rro rrw rshared rslave rstrictatime rsuid rsymfollow runbindable rw shared silent slave strictatime suid symfollow sync "
    "tmpcopyup unbindable idmap ridmap"
)


def test_the_table_is_the_specifications() -> None:
    assert sorted(mount_options.OPTIONS) == sorted(SPECIFIED.split())


@pytest.mark.parametrize("option", SPECIFIED.split())
def test_no_option_of_ours_reaches_the_file_system(option: str) -> None:
    assert parse([option]).data == ""


@pytest.mark.parametrize(
    ("option", "set", "clear"),
    [
        ("ro", MOUNT_ATTR_RDONLY, 0),
        ("rw", 0, MOUNT_ATTR_RDONLY),
        ("nosuid", MOUNT_ATTR_NOSUID, 0),
        ("suid", 0, MOUNT_ATTR_NOSUID),
        ("nodev", MOUNT_ATTR_NODEV, 0),
        ("dev", 0, MOUNT_ATTR_NODEV),
        ("noexec", MOUNT_ATTR_NOEXEC, 0),
        ("exec", 0, MOUNT_ATTR_NOEXEC),
        ("nodiratime", MOUNT_ATTR_NODIRATIME, 0),
        ("diratime", 0, MOUNT_ATTR_NODIRATIME),
        ("nosymfollow", MOUNT_ATTR_NOSYMFOLLOW, 0),
        ("symfollow", 0, MOUNT_ATTR_NOSYMFOLLOW),
        ("noatime", MOUNT_ATTR_NOATIME, MOUNT_ATTR_ATIME),
        ("atime", 0, MOUNT_ATTR_ATIME),
        ("relatime", 0, MOUNT_ATTR_ATIME),
        ("norelatime", 0, MOUNT_ATTR_ATIME),
        ("strictatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR_ATIME),
        ("nostrictatime", 0, MOUNT_ATTR_ATIME),
        ("defaults", 0, 0),
    ],
)
def test_attributes(option: str, set: int, clear: int) -> None:
    """The same for the mount alone and, with an r before it, for all below: mount_setattr(2)."""
    alone = parse([option])
    assert (alone.attr_set, alone.attr_clear, alone.recursive) == (set, clear, False)
    if option == "defaults":
        return
    below = parse(["r" + option])
    assert (below.recursive_set, below.recursive_clear, below.recursive) == (set, clear, True)
    assert (below.attr_set, below.attr_clear, below.flags) == (set, clear, 0)


@pytest.mark.parametrize(
    ("option", "flag"),
    [("private", MS_PRIVATE), ("shared", MS_SHARED), ("slave", MS_SLAVE), ("unbindable", MS_UNBINDABLE)],
)
def test_propagation(option: str, flag: int) -> None:
    alone, below = parse([option]), parse(["r" + option])
    assert (alone.propagation, alone.propagation_recursive) == (flag, False)
    assert (below.propagation, below.propagation_recursive) == (flag, True)
    assert alone.flags == below.flags == 0


def test_binds() -> None:
    assert (parse(["bind"]).flags, parse(["rbind"]).flags) == (MS_BIND, MS_BIND | MS_REC)
    assert (parse(["bind"]).bind, parse(["bind"]).recursive_bind) == (True, False)
    assert (parse(["rbind"]).bind, parse(["rbind"]).recursive_bind) == (True, True)
    assert not parse(["ro"]).bind
    assert parse(["remount", "bind"]).flags == MS_REMOUNT | MS_BIND


def test_options_of_the_superblock_have_fsconfigs_names() -> None:
    assert parse(["sync", "dirsync", "mand", "lazytime", "iversion"]).superblock == (*("sync", "dirsync", "mand", "lazytime", "iversion"),)
    assert parse(["sync", "async", "lazytime", "nolazytime"]).superblock == ()


def test_the_last_one_wins() -> None:
    assert parse(["ro", "rw"]).attr_set == 0
    assert parse(["rw", "ro"]).flags == MS_RDONLY
    assert parse(["rro", "rrw"]).recursive_clear == MOUNT_ATTR_RDONLY
    assert parse(["rnoatime", "rstrictatime"]).recursive_set == MOUNT_ATTR_STRICTATIME
    assert parse(["shared", "rslave"]).propagation == MS_SLAVE


def test_strictatime_beats_noatime() -> None:
    """As in fs/namespace.c:path_mount(), which looks at it last."""
    assert parse(["strictatime", "noatime"]).attr_set == MOUNT_ATTR_STRICTATIME


def test_what_is_unknown_is_data_in_order() -> None:
    options = parse(["nosuid", "mode=755", "size=65536k", "acl", "", "gid=5"])
    assert options.data == "mode=755,size=65536k,acl,gid=5"
    assert options.parameters == ("mode=755", "size=65536k", "acl", "gid=5")
    assert parse([]).parameters == ()


def test_the_options_that_are_no_flags() -> None:
    assert parse(["tmpcopyup"]).tmpcopyup
    assert [parse([o]).idmap for o in ("idmap", "ridmap", "ro")] == ["idmap", "ridmap", ""]


@given(st.lists(st.sampled_from([*SPECIFIED.split(), "mode=755"])))
def test_the_kernel_takes_every_combination(options: list[str]) -> None:
    """mount_setattr(2) wants no bit both set and cleared, and the access times cleared when one of their values is set."""
    parsed = parse(options)
    for set, clear in (
        (parsed.attr_set, parsed.attr_clear),
        (parsed.recursive_set, parsed.recursive_clear),
    ):
        assert not set & clear & ~MOUNT_ATTR_ATIME
        assert not set & MOUNT_ATTR_ATIME or clear & MOUNT_ATTR_ATIME == MOUNT_ATTR_ATIME
        assert set & MOUNT_ATTR_ATIME in (0, MOUNT_ATTR_NOATIME, MOUNT_ATTR_STRICTATIME)
