"""What a verb is given beside its own options: the global ones, the log, the state store."""

from __future__ import annotations

import os

from runsc_cli import directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from runsc_cli.log import Log
    from runsc_cli.oci.mappings import Mappings
    from runsc_cli.options import Options
    from runsc_cli.state import Store

_IDENTITY_MAP = ["0", "0", "4294967295"]


class Context:
    """The surroundings of one command. `options` are the global ones."""

    __slots__ = ("log", "options", "own_ids")

    def __init__(self, options: Options, log: Log) -> None:
        self.options = options
        self.log = log
        self.own_ids: Mappings | None = None
        """What an ordinary user has mapped for itself: runsc_cli/rootless.py."""

    def store(self) -> Store:
        """The state store under --root, or under the default."""
        from runsc_cli.state import Store

        if self.options["root"]:
            return Store(self.options["root"])
        return default_store(os.environ)


def default_store(environ: Mapping[str, str]) -> Store:
    """runc's rule: /run belongs to the real root; others keep their state in $XDG_RUNTIME_DIR.

    There a cleaner may remove what is older than six hours and not sticky, by the base directory
    specification.
    """
    from runsc_cli.state import Store

    runtime = environ.get("XDG_RUNTIME_DIR", "")
    if runtime and (os.geteuid() != 0 or _in_user_namespace()):
        return Store(f"{runtime}/pysc", mode=0o1700)
    return Store("/run/pysc")


def _in_user_namespace() -> bool:
    """user_namespaces(7): only the initial namespace maps every id to itself."""
    try:
        return directory.read("/proc/self/uid_map").split() != _IDENTITY_MAP
    except FileNotFoundError:
        return False
