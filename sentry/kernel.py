"""What the sentry of one container knows: its configuration, the objects donated to it, and what it has counted.

The name is the role, as in gVisor's pkg/sentry/kernel: to the workload this is the kernel. But the books are kept by the
host's (docs/design.md, rule 1), so there are no tasks, files or mounts here.
"""

from __future__ import annotations

import os
import sys

from sentry.devices import DEFAULT
from sentry.platform._native import lib
from sentry.platform.confine import where
from sentry.platform.text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, TextIO

    from gofer.client import GoferClient
    from sentry.creds import CredentialCache
    from sentry.devices import Rule
    from sentry.holds import Holds
    from sentry.task import Watch
    from sentry.unix_sockets import UnixSockets
    from sentry.vfs.proc import Proc
    from sentry.vfs.procview import ProcView

MAX_DENIALS = 512
"""How many different denials are remembered: a workload must not be able to fill our memory."""
MAX_FIFOS = 4096
"""How many pipes that were given are known: exec gives three each time."""


class Kernel:
    """The state of one container that handlers share. Attributes are set at boot and constant, but for those in the last block."""

    __slots__ = (
        "_fifos",
        "_mounts",
        "chrooted",
        "counts",
        "credentials",
        "debug",
        "denials",
        "devices",
        "gofer",
        "holds",
        "log",
        "missing",
        "network",
        "proc",
        "procfd",
        "profile",
        "root",
        "unix",
        "view",
        "watch",
    )

    def __init__(
        self,
        *,
        root: int,
        procfd: int,
        profile: str,
        network: str,
        credentials: CredentialCache,
        proc: Proc,
        holds: Holds,
        gofer: GoferClient,
        view: ProcView,
        devices: Sequence[Rule] = DEFAULT,
        unix: UnixSockets | None = None,
        log: TextIO = sys.stderr,
        debug: bool = False,
    ) -> None:
        self.root = root
        """O_PATH descriptor of the container's root directory."""
        self.procfd = procfd
        """O_PATH descriptor of a procfs of the sentry's own pid namespace."""
        self.profile = profile
        self.network = network
        self.credentials = credentials
        self.proc = proc
        self.holds = holds
        self.gofer = gofer
        self.view = view
        self.unix = unix
        """Where AF_UNIX sockets are made in network mode `shared`."""
        self.devices = devices
        """Rules for the character devices that we open for the workload."""
        self.log = log
        self.debug = debug
        # changed while running, each by single dict or attribute operations
        self._mounts: frozenset[int] = frozenset()
        """Mounts of the host (stx_mnt_id) with a file on them that a process of the container was given as a descriptor."""
        self._fifos: frozenset[tuple[int, int]] | None = frozenset()
        """Pipes that one was given (st_dev, st_ino); None when there were too many to know them."""
        self.chrooted = False
        """Whether any task may have a root directory of its own. Never false again."""
        self.counts: dict[int, int] = {}
        """Mediated calls by number (-1: numbers that are no call's), but for those that a native loop answers: Dispatcher.mediated()."""
        self.missing: set[bytes] | None = None
        """Absolute paths that were opened and do not exist, where the report wants them: `pysc do` knows what the host has there."""
        self.watch: Watch | None = None
        """What tells traces of held calls; None while nobody traces."""
        self.denials: dict[tuple[str, str], int] = {}
        """(what kind of operation, on what) -> how often it was denied."""

    def note_outside(self, given: dict[str, list[Any]]) -> None:
        """A process of the container gets these: runsc_cli/platforms/notify.py:given_from_outside()."""
        self._mounts |= frozenset(given.get("mounts", ()))
        if self._fifos is not None:
            fifos = self._fifos.union(map(tuple, given.get("fifos", ())))
            self._fifos = fifos if len(fifos) <= MAX_FIFOS else None

    def is_outside(self, fd: int) -> bool:
        """Whether the file `fd` lies on a mount of the host's, and so was reached by a descriptor that the container was given."""
        return bool(self._mounts) and lib.fd_mount(fd) in self._mounts

    def is_given_fifo(self, dev: int, ino: int) -> bool:
        """Whether the FIFO may be one that the container was given."""
        return self._fifos is None or (dev, ino) in self._fifos

    def denied(self, kind: str, what: str) -> None:
        """Remember that an operation was refused, for the report at the end of a run."""
        key = (kind, what)
        if key in self.denials:
            self.denials[key] += 1
        elif len(self.denials) < MAX_DENIALS:
            self.denials[key] = 1
            if self.debug:
                self.say("denied %s %s", kind, printable(what))

    def say(self, message: str, *args: object) -> None:
        """One line to the debug log."""
        print("sentry:", message % args, file=self.log, flush=True)

    def bug(self, tid: int, name: str, args: list[int]) -> None:
        """A handler raised what no handler may raise: log it and kill that one task; nothing continues on the host."""
        error = sys.exception()
        self.say("internal error in %s%r by thread %d, which is killed: %r%s", name, args, tid, error, where(error))
        try:
            os.kill(self.credentials.ids(tid).tgid, 9)
        except OSError as e:
            self.say("kill: %s", e)
