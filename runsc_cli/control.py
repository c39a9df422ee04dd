"""Requests to the sentry of a running container, over the socket in its directory."""

from __future__ import annotations

import os

from runsc_cli.errors import PyscError
from sentry.platform import wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from runsc_cli.state import Container

SOCKET = "control.sock"
_PATIENCE = 10  # seconds; the sentry answers in less than a millisecond, unless somebody has stopped it


def ask(container: Container, message: dict[str, Any], fds: Sequence[int] = ()) -> dict[str, Any]:
    """Its answer to one request. Raises PyscError."""
    sock = wire.listener()
    sock.settimeout(_PATIENCE)
    directory = os.open(container.dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # by a short name: a container's directory may be longer than sun_path
        sock.connect(f"/proc/self/fd/{directory}/{SOCKET}")
        wire.send(sock, message, fds)
        answer, _ = wire.recv(sock)
    except (OSError, wire.Closed) as e:
        raise PyscError(f"the container's sentry does not answer ({e}): it may be ending") from None
    finally:
        os.close(directory)
        sock.close()
    if "error" in answer:
        raise PyscError(f"sentry: {answer['error']}")
    return answer
