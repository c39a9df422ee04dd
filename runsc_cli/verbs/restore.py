"""pysc restore: refused, see checkpoint.py. Nothing is made."""

from __future__ import annotations

from runsc_cli.errors import PyscError
from runsc_cli.state import check_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runsc_cli.context import Context
    from runsc_cli.options import Options


def run(options: Options, args: list[str], context: Context) -> int:
    check_id(args[0])
    raise PyscError("restore is not supported: pysc makes no checkpoints; use run or create")
