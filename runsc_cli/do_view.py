"""What a command under `pysc do` sees: which parts of the host, how, and the words for what it was denied.

Read-only: /usr, /bin, /sbin, /lib*, /etc and the prefix of this interpreter. /etc is not idmapped, so inside its files belong to nobody and
the kernel lets even the sandbox's root read only what everybody may read: no secrets. The current directory is there under an
overlay that is discarded. /tmp, /run and home are empty and private. Nothing else of the host exists; there is no network but
loopback.
"""

from __future__ import annotations

import os
import sys

from gofer.mounts import Mount
from runsc_cli.errors import PyscError
from runsc_cli.mount_plan import detached
from runsc_cli.oci.model import Capabilities, Linux, Namespace, Process, Root, Spec, User
from runsc_cli.oci.model import Mount as SpecMount
from runsc_cli.version import SPEC_VERSION
from sentry.abi import MOUNT_ATTR_NODEV, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from runsc_cli.options import Options

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_READ_ONLY = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV
_ENVIRONMENT = ("LANG", "LC_ALL", "LC_CTYPE", "TERM", "COLORTERM", "TZ")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CAPABILITIES = tuple(
    f"CAP_{name}"
    for name in "CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE SYS_CHROOT SETFCAP AUDIT_WRITE".split()
)
_NAMESPACES = ("pid", "network", "ipc", "uts", "mount", "cgroup")


class _Piece:
    """One part of the host in the view: `how` is read, write, overlay or etc."""

    __slots__ = ("destination", "how", "source")

    def __init__(self, source: str, destination: str, how: str) -> None:
        self.source = source
        self.destination = destination
        self.how = how


class View:
    """The view for one command line, as a config and as mounts that no config can express."""

    __slots__ = ("_pieces", "_private", "_tmpfs", "links", "spec")

    def __init__(self, options: Options, args: list[str], tty: bool, own_network: bool = True) -> None:
        """`own_network`: a network namespace with loopback alone; else the host's, its abstract unix sockets included."""
        if options["keep"] and options["host_root"]:
            raise PyscError("--keep with --host-root would write to the whole host: name the directories with --write")
        self.links: list[tuple[str, str]] = []
        self._pieces: list[_Piece] = []
        self._private = [] if options["host_root"] else ["/tmp", "/run", "/root"]
        self._tmpfs = list(map(os.path.abspath, options["tmpfs"]))
        if options["host_root"]:
            self._pieces.append(_Piece("/", "/", "overlay"))
        else:
            self._system()
            here = os.getcwd()
            if here != "/" and not self.shows(here):
                self._pieces.append(_Piece(here, here, "write" if options["keep"] else "overlay"))
            elif options["keep"]:
                raise PyscError(f"--keep: {here} is part of the system; name the directory with --write")
        for path in options["read"]:
            self._pieces.append(_Piece(_existing(path, "--read"), os.path.abspath(path), "read"))
        for path in options["write"]:
            self._pieces.append(_Piece(_existing(path, "--write"), os.path.abspath(path), "write"))
        for text in options["bind"]:
            source, colon, destination = text.partition(":")
            if not colon or not destination.startswith("/"):
                raise PyscError(f"--bind {text!r}: write SOURCE:DESTINATION, the destination absolute")
            self._pieces.append(_Piece(_existing(source, "--bind"), destination, "write"))
        cwd = os.path.abspath(options["cwd"])  # the current one without it
        if options["cwd"] and not self._has(cwd, os.path.isdir):
            raise PyscError(f"--cwd {cwd!r}: no such directory in the sandbox: --read, --write or --bind give it one of the host's")
        if args[0].startswith("/") and os.path.exists(args[0]) and not self._has(args[0], os.path.exists):
            raise PyscError(f"{args[0]!r} is not in the sandbox's view: --read {os.path.dirname(args[0])!r} shows it")
        self.spec = self._spec(args, cwd, options["env"], tty, own_network)

    def _system(self) -> None:
        for path in SYSTEM:
            if os.path.islink(path):
                self.links.append((path, os.readlink(path)))
            elif os.path.isdir(path):
                self._pieces.append(_Piece(path, path, "read"))
        self._pieces.append(_Piece("/etc", "/etc", "etc"))
        for prefix in sorted({sys.prefix, sys.base_prefix}):
            if not self.shows(prefix):
                self._pieces.append(_Piece(prefix, prefix, "read"))

    def shows(self, path: str) -> bool:
        """Whether a host path is in the view."""
        return any(_within(path, p.source) for p in self._pieces)

    def writes(self, path: str) -> bool:
        """Whether a host path is where the view can be written to; what is denied there, its owner and mode deny."""
        covering = [p for p in self._pieces if _within(path, p.source)]
        return bool(covering) and max(reversed(covering), key=lambda p: len(p.source)).how in ("write", "overlay")

    def _has(self, path: str, there: Callable[[str], bool]) -> bool:
        """Whether there is something at a `path` of the view. What is the host's is asked for `there`."""
        sources: dict[str, str | None] = {each.rstrip("/"): None for each in (*_OWN_TREES, *self._private, *self._tmpfs)}
        sources |= {link: link for link, _ in self.links} | {p.destination: p.source for p in self._pieces}
        if any(_within(each, path) for each in sources):
            return True
        place = max((each for each in sources if _within(path, each)), key=len, default=None)
        if place is None:
            return False
        source = sources[place]
        if source is None:
            return place + "/" in _OWN_TREES  # the others are empty
        return there(source + path.removeprefix(place.rstrip("/")))

    def _spec(self, args: list[str], cwd: str, env: list[str], tty: bool, own_network: bool) -> Spec:
        path = [os.path.join(p, "bin") for p in (sys.prefix, sys.base_prefix) if not p.startswith("/usr")]
        variables = {"PATH": ":".join([*path, _PATH]), "HOME": "/root", "USER": "root"}
        variables |= {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        for entry in env:
            name, eq, value = entry.partition("=")
            if eq or name in os.environ:
                variables[name] = value if eq else os.environ[name]
        caps = Capabilities(bounding=_CAPABILITIES, effective=_CAPABILITIES, permitted=_CAPABILITIES)
        return Spec(
            oci_version=SPEC_VERSION,
            process=Process(
                args=tuple(args),
                cwd=cwd,
                env=tuple(f"{k}={v}" for k, v in variables.items()),
                user=User(),
                terminal=tty,
                capabilities=caps,
                no_new_privileges=True,
            ),
            root=Root(path="/"),
            hostname="pysc",
            mounts=(
                SpecMount(destination="/proc", type="proc", source="proc", options=("nosuid", "nodev", "noexec")),
                SpecMount(destination="/dev", type="tmpfs", source="tmpfs", options=("nosuid", "mode=755", "size=65536k")),
                SpecMount(
                    destination="/dev/pts",
                    type="devpts",
                    source="devpts",
                    options=("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
                ),
                SpecMount(destination="/dev/shm", type="tmpfs", source="shm", options=("nosuid", "nodev", "mode=1777")),
                SpecMount(destination="/sys", type="sysfs", source="sysfs", options=("nosuid", "nodev", "noexec", "ro")),
            ),
            linux=Linux(namespaces=tuple(Namespace(type=t) for t in _NAMESPACES if own_network or t != "network")),
        )

    def mounts(self, userns: int, warn: Callable[[str], None]) -> list[Mount]:
        """The pieces, before the config's own mounts: a directory before what lies in it."""
        planned = []
        if any(p.how == "overlay" for p in self._pieces):
            from gofer import overlay  # noqa: F401  # the process that uses it may be unable to read our files
        if any(p.destination == "/" for p in self._pieces):
            planned.append(Mount("overlay", "/", fd=detached("/", userns, False, warn, "--host-root")))
        parts: list[tuple[str, _Piece | None]] = [(path, None) for path in self._private]
        parts += [(piece.destination, piece) for piece in self._pieces]
        parts += [(path, None) for path in self._tmpfs]
        for path, piece in sorted(parts, key=lambda part: part[0]):
            if piece is None:
                mode = "1777" if path == "/tmp" else "755"
                planned.append(Mount("tmpfs", path, data=(f"mode={mode}",), attr_set=MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV))
                continue
            if path == "/":
                continue
            fd = detached(piece.source, -1 if piece.how == "etc" else userns, False, warn, piece.source)
            if piece.how == "overlay":
                planned.append(Mount("overlay", piece.destination, fd=fd))
            else:
                attrs = MOUNT_ATTR_NODEV if piece.how == "write" else _READ_ONLY
                planned.append(Mount("bind", piece.destination, fd=fd, attr_set=attrs, recursive=True))
        return planned


def _within(path: str, top: str) -> bool:
    return path == top or path.startswith(top.rstrip("/") + "/")


def _existing(path: str, option: str) -> str:
    path = os.path.realpath(path)
    if not os.path.exists(path):
        raise PyscError(f"{option} {path!r}: no such file or directory")
    return path


_OWN_TREES = ("/dev/", "/proc/", "/sys/")
"""Where a container has what it is to have: programs look for much there that many machines lack, and nothing would allow it."""


def explain(report: dict[str, Any], view: View) -> list[str]:
    """The block for the end of a run: what was denied and what would allow it; empty when nothing was."""
    from sentry.platform.text import printable

    rows = []
    for kind, what, _count in report.get("denied", []):
        if kind == "open" and _is_of_a_process(what):
            continue  # Linux's own rule, ptrace(2): ps(1) runs into it on any system
        rows.append((kind, what, _remedy(kind, what, view)))
    for path in report.get("missing", []):
        if not path.startswith(_OWN_TREES) and os.path.lexists(path) and not view.shows(path):
            rows.append(("open", path, _option("--read", path)))
    if not rows:
        return []
    more = report.get("more", 0)
    head = f"pysc: {len(rows) + more} operation{'s were' if len(rows) + more > 1 else ' was'} denied"
    lines = [f"  {kind:<8} {printable(what):<40} {remedy}".rstrip() for kind, what, remedy in rows]
    return [head, *lines, *([f"  and {more} more"] if more else [])]


def _option(name: str, path: str) -> str:
    """The option that allows `path`, or that it is made there, to be pasted into a shell; nothing for what could not be, or never should."""
    if not os.path.lexists(path):
        path = os.path.dirname(path.rstrip("/"))
    if not path.isprintable() or not os.path.lexists(path) or path == "/":
        return ""
    from shlex import quote

    return f"allow with {name} {quote(path)}"


def _is_of_a_process(path: str) -> bool:
    parts = path.split("/")
    return parts[1:2] == ["proc"] and len(parts) > 3 and (parts[2].isdigit() or parts[2] in ("self", "thread-self"))


def _remedy(kind: str, what: str, view: View) -> str:
    if kind == "connect":
        return "allow with --network host"
    if (kind == "write" or what.endswith(" (write)")) and view.writes(what.removesuffix(" (write)")):
        return "as its owner and mode say"
    if kind == "write":
        return _option("--write", what) if what.startswith("/") else "the place is read-only: --write DIR allows it"
    if kind == "open":
        path = what.rpartition(" (")[0] or what
        if path.startswith("/proc"):
            return "never shown to a sandbox"
        return _option("--write" if what.endswith("(write)") else "--read", path)
    return "not available in the sandbox"
