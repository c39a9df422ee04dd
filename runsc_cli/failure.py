"""What to say of a container or process that could not be started."""

from __future__ import annotations

from runsc_cli.errors import strerror
from runsc_cli.stage.program import StageError
from sentry.platform import wire


def reason(error: Exception) -> str:
    """What to say of a start that failed."""
    if isinstance(error, StageError):
        return f"unable to start container process: {error}"
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename is not None else ""
        return where + strerror(error)
    if isinstance(error, wire.Closed):
        return "a process of the container ended while it was made; --debug shows why"
    return str(error)
