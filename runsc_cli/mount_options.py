"""Mount options of config.json (config.md, "Linux mount options") as mount(2) and mount_setattr(2) take them.

An option sets or clears a flag, and a later one wins over an earlier one. Flags of the superblock and flags of the
mount are kept apart, because the new mount API does: fsconfig(2) takes the former by name, mount_setattr(2) the
latter. What is none of ours goes to the file system as data. runc's parseMountOptions() gives the same meanings;
"acl" is data for it too, for MS_POSIXACL is no flag of mount(2).
"""

from __future__ import annotations

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
    MS_DIRSYNC,
    MS_LAZYTIME,
    MS_MANDLOCK,
    MS_NOATIME,
    MS_NODEV,
    MS_NODIRATIME,
    MS_NOEXEC,
    MS_NOSUID,
    MS_NOSYMFOLLOW,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    MS_RELATIME,
    MS_REMOUNT,
    MS_SHARED,
    MS_SILENT,
    MS_SLAVE,
    MS_STRICTATIME,
    MS_SYNCHRONOUS,
    MS_UNBINDABLE,
    mount_attributes,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

MS_I_VERSION = 1 << 23
MOUNT_ATTR_RELATIME = 0  # the value 0 of the MOUNT_ATTR_ATIME field

# option -> (sets, clears) flags of mount(2)
FLAGS = {
    "async": (0, MS_SYNCHRONOUS),
    "atime": (0, MS_NOATIME),
    "bind": (MS_BIND, 0),
    "defaults": (0, 0),
    "dev": (0, MS_NODEV),
    "diratime": (0, MS_NODIRATIME),
    "dirsync": (MS_DIRSYNC, 0),
    "exec": (0, MS_NOEXEC),
    "iversion": (MS_I_VERSION, 0),
    "lazytime": (MS_LAZYTIME, 0),
    "loud": (0, MS_SILENT),
    "mand": (MS_MANDLOCK, 0),
    "noatime": (MS_NOATIME, 0),
    "nodev": (MS_NODEV, 0),
    "nodiratime": (MS_NODIRATIME, 0),
    "noexec": (MS_NOEXEC, 0),
    "noiversion": (0, MS_I_VERSION),
    "nolazytime": (0, MS_LAZYTIME),
    "nomand": (0, MS_MANDLOCK),
    "norelatime": (0, MS_RELATIME),
    "nostrictatime": (0, MS_STRICTATIME),
    "nosuid": (MS_NOSUID, 0),
    "nosymfollow": (MS_NOSYMFOLLOW, 0),
    "rbind": (MS_BIND | MS_REC, 0),
    "relatime": (MS_RELATIME, 0),
    "remount": (MS_REMOUNT, 0),
    "ro": (MS_RDONLY, 0),
    "rw": (0, MS_RDONLY),
    "silent": (MS_SILENT, 0),
    "strictatime": (MS_STRICTATIME, 0),
    "suid": (0, MS_NOSUID),
    "symfollow": (0, MS_NOSYMFOLLOW),
    "sync": (MS_SYNCHRONOUS, 0),
}

# option -> (sets, clears) attributes of mount_setattr(2) with AT_RECURSIVE. The access times are one field, not
# flags: whoever sets a value has to clear all of it, and cleared it means relatime.
RECURSIVE = {
    "ratime": (0, MOUNT_ATTR_ATIME),
    "rdev": (0, MOUNT_ATTR_NODEV),
    "rdiratime": (0, MOUNT_ATTR_NODIRATIME),
    "rexec": (0, MOUNT_ATTR_NOEXEC),
    "rnoatime": (MOUNT_ATTR_NOATIME, MOUNT_ATTR_ATIME),
    "rnodev": (MOUNT_ATTR_NODEV, 0),
    "rnodiratime": (MOUNT_ATTR_NODIRATIME, 0),
    "rnoexec": (MOUNT_ATTR_NOEXEC, 0),
    "rnorelatime": (MOUNT_ATTR_RELATIME, MOUNT_ATTR_ATIME),
    "rnostrictatime": (MOUNT_ATTR_RELATIME, MOUNT_ATTR_ATIME),
    "rnosuid": (MOUNT_ATTR_NOSUID, 0),
    "rnosymfollow": (MOUNT_ATTR_NOSYMFOLLOW, 0),
    "rrelatime": (MOUNT_ATTR_RELATIME, MOUNT_ATTR_ATIME),
    "rro": (MOUNT_ATTR_RDONLY, 0),
    "rrw": (0, MOUNT_ATTR_RDONLY),
    "rstrictatime": (MOUNT_ATTR_STRICTATIME, MOUNT_ATTR_ATIME),
    "rsuid": (0, MOUNT_ATTR_NOSUID),
    "rsymfollow": (0, MOUNT_ATTR_NOSYMFOLLOW),
}

PROPAGATION = {"private": MS_PRIVATE, "shared": MS_SHARED, "slave": MS_SLAVE, "unbindable": MS_UNBINDABLE}

_ATIME = MS_NOATIME | MS_RELATIME | MS_STRICTATIME
# flags of mount(2) that belong to the superblock, and the word of fsconfig(2) that sets them: fs/fs_context.c
_SUPERBLOCK = (
    (MS_SYNCHRONOUS, "sync"),
    (MS_DIRSYNC, "dirsync"),
    (MS_MANDLOCK, "mand"),
    (MS_LAZYTIME, "lazytime"),
    (MS_I_VERSION, "iversion"),
)

OPTIONS = (
    *FLAGS,
    *RECURSIVE,
    *PROPAGATION,
    *("r" + name for name in PROPAGATION),
    "tmpcopyup",
    "idmap",
    "ridmap",
)
"""Every option that is ours, for `features`."""


class MountOptions:
    """The options of one mount, taken apart."""

    __slots__ = (
        "cleared",
        "data",
        "flags",
        "idmap",
        "propagation",
        "propagation_recursive",
        "recursive_clear",
        "recursive_set",
        "tmpcopyup",
    )

    def __init__(self) -> None:
        self.flags = 0
        """Flags of mount(2), without propagation."""
        self.cleared = 0
        """Flags that an option asks to be off, as a remount of a bind has to know."""
        self.propagation = 0
        """MS_SHARED, MS_SLAVE, MS_PRIVATE or MS_UNBINDABLE; 0 when no option asks for one. Set after the mount is made."""
        self.propagation_recursive = False
        self.recursive_set = 0
        """Attributes that the r* options set on the mount and all below it."""
        self.recursive_clear = 0
        self.data = ""
        """What is left for the file system, joined by commas."""
        self.tmpcopyup = False
        """A tmpfs is to start with what the directory below it holds."""
        self.idmap = ""
        """"idmap" or "ridmap", when one is asked for."""

    @property
    def bind(self) -> bool:
        return bool(self.flags & MS_BIND)

    @property
    def recursive_bind(self) -> bool:
        return self.flags & (MS_BIND | MS_REC) == MS_BIND | MS_REC

    @property
    def recursive(self) -> bool:
        """An r* option asks for attributes on the mounts below, too."""
        return bool(self.recursive_set | self.recursive_clear)

    @property
    def attr_set(self) -> int:
        """Attributes to set on this mount, what the r* options ask for it included."""
        return mount_attributes(self.flags) & ~self.recursive_clear | self.recursive_set

    @property
    def attr_clear(self) -> int:
        """Attributes to clear on this mount; all of the access-time field where one of its values is asked for."""
        bits = mount_attributes(self.cleared & ~_ATIME)
        if (self.flags | self.cleared) & _ATIME:
            bits |= MOUNT_ATTR_ATIME
        return bits & ~self.recursive_set | self.recursive_clear

    @property
    def superblock(self) -> tuple[str, ...]:
        """Options of the superblock as fsconfig(2) takes them; a bind mount cannot have any."""
        return tuple(word for flag, word in _SUPERBLOCK if self.flags & flag)

    @property
    def parameters(self) -> tuple[str, ...]:
        """`data`, one option each."""
        return tuple(option for option in self.data.split(",") if option)


def parse(options: Iterable[str]) -> MountOptions:
    """Take the options of a mount apart. What is unknown becomes data."""
    out = MountOptions()
    data = []
    for option in options:
        if option in FLAGS:
            sets, clears = FLAGS[option]
            out.flags = out.flags & ~clears | sets
            out.cleared = out.cleared & ~sets | clears
        elif option in RECURSIVE:
            sets, clears = RECURSIVE[option]
            out.recursive_set = out.recursive_set & ~clears | sets
            out.recursive_clear = out.recursive_clear & ~sets | clears
        elif option.removeprefix("r") in PROPAGATION:
            out.propagation = PROPAGATION[option.removeprefix("r")]
            out.propagation_recursive = option.startswith("r")
        elif option == "tmpcopyup":
            out.tmpcopyup = True
        elif option in ("idmap", "ridmap"):
            out.idmap = option
        elif option:
            data.append(option)
    out.data = ",".join(data)
    return out
