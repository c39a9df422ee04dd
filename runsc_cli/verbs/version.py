"""pysc version: in runc's form, of which podman shows the first lines."""

from __future__ import annotations

import sys

from runsc_cli.version import SPEC_VERSION, VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runsc_cli.context import Context
    from runsc_cli.options import Options


def run(options: Options, args: list[str], context: Context) -> int:
    python = ".".join(map(str, sys.version_info[:3]))
    print(f"pysc version {VERSION}\nspec: {SPEC_VERSION}\npython: {python}")
    return 0
