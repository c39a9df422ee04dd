"""pysc spec: writes a config.json to start from."""

from __future__ import annotations

import os

from runsc_cli.errors import HostError, PyscError
from sentry.platform.jsontext import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runsc_cli.context import Context
    from runsc_cli.options import Options


def run(options: Options, args: list[str], context: Context) -> int:
    from runsc_cli.spec import default_spec

    path = os.path.join(options["bundle"], "config.json")
    text = dumps(default_spec(options["rootless"], args), indent="\t") + "\n"
    try:
        with open(path, "x", encoding="ascii") as file:
            file.write(text)
    except FileExistsError:
        # runc's text, which begins with a capital
        raise PyscError(f"File {path} exists. Remove it first") from None
    except OSError as error:
        raise HostError("open", path, error) from None
    return 0
