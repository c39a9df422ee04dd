"""A mount that has to be made elsewhere: in a process of its own, which enters other namespaces or takes other ids and sends it back."""

from __future__ import annotations

import os

from gofer.mounts import MountError
from sentry.platform import wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def mount(make: Callable[[], int], what: str) -> int:
    """The detached mount that `make` returns in a child. Raises MountError, with what `make` has raised, if that is MountError or OSError."""
    ours, theirs = wire.pair()
    pid = os.fork()
    if pid == 0:
        try:
            wire.send(theirs, {}, [make()])
        except (MountError, OSError) as error:
            wire.send(theirs, {"error": str(error)})
        finally:
            os._exit(0)
    theirs.close()
    try:
        answer, fds = wire.recv(ours)
    except wire.Closed:
        raise MountError(f"{what}: the process that does it was killed") from None
    finally:
        os.waitpid(pid, 0)
        ours.close()
    if "error" in answer:
        raise MountError(answer["error"])
    return fds[0]
