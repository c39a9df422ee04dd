"""A process that builds a container's mount tree and ends: what a platform without a sentry needs of a gofer."""

from __future__ import annotations

import os

from gofer import tree
from gofer.mounts import MountError, check
from sentry.abi import O_DIRECTORY, O_PATH
from sentry.platform import wire
from sentry.platform._native import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gofer.tree import Plan


def run(sock: wire.Socket, plan: Plan) -> None:
    """Build the tree, answer with its root. The mount namespace's other process, the stage, has then to take the new root by joining it again."""
    try:
        entry = tree.Entry(plan)
        entry.finish()
        tree.pivot(tree.restrict(plan, tree.make(plan, entry, sock)))
        check(lib.mount_(ffi.NULL, b"/", ffi.NULL, plan.root_propagation, ffi.NULL), "propagation of '/'")
        root = os.open("/", O_PATH | O_DIRECTORY | os.O_CLOEXEC)
    except MountError as e:
        wire.send(sock, {"error": str(e)})
    except OSError as e:
        wire.send(sock, {"error": f"{e.strerror} {e.filename or ''}".strip().lower()})
    else:
        wire.send(sock, {"ok": True}, [root])
