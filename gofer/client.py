"""The sentry's side of the gofer's protocol: mounts for the workload, on objects that the sentry has resolved."""

from __future__ import annotations

import os

from sentry.platform import wire
from sentry.platform.threads import Lock


class GoferClient:
    """Requests to the gofer, one at a time (`_lock`)."""

    __slots__ = ("_lock", "_sock")

    def __init__(self, sock: wire.Socket) -> None:
        self._sock = sock
        self._lock = Lock()

    def _ask(self, message: dict[str, object], fds: list[int]) -> None:
        with self._lock:
            wire.send(self._sock, message, fds)
            answer, _ = wire.recv(self._sock)
        if answer["error"]:
            raise OSError(answer["error"], "gofer")

    def tmpfs(self, target: int, data: str, attrs: int) -> None:
        """A new tmpfs with mount options `data` and MOUNT_ATTR_* `attrs` on the directory `target` (O_PATH). Raises OSError."""
        self._ask({"op": "tmpfs", "data": data, "attrs": attrs}, [target])

    def bind(self, source: int, target: int, recursive: bool) -> None:
        """Bind mount of `source` on `target`, both O_PATH. Raises OSError."""
        self._ask({"op": "bind", "recursive": recursive}, [target, source])

    def move(self, source: int, target: int) -> None:
        """Move the mount whose root is `source` to `target`, both O_PATH. Raises OSError."""
        self._ask({"op": "move"}, [target, source])

    def setattr(self, target: int, set_: int, clear: int, propagation: int, recursive: bool) -> None:
        """mount_setattr(2) on the mount whose root is `target`. Raises OSError."""
        message = {"op": "setattr", "set": set_, "clear": clear, "propagation": propagation, "recursive": recursive}
        self._ask(message, [target])

    def umount(self, directory: int, name: bytes, flags: int) -> None:
        """umount2(2) of what is mounted on `name` in `directory`. Raises OSError."""
        self._ask({"op": "umount", "name": os.fsdecode(name), "flags": flags}, [directory])
