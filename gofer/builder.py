"""A process that builds a container's mount tree, and ends: what a platform without a sentry needs of a gofer."""

from __future__ import annotations

import os
import select

from gofer import tree
from gofer.mounts import MountError, check
from sentry.abi import O_DIRECTORY, O_PATH, PR_SET_NO_NEW_PRIVS
from sentry.platform import wire
from sentry.platform._native import ffi, lib
from sentry.platform.confine import empty_mount, empty_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gofer.tree import Plan


def run(sock: wire.Socket, plan: Plan, init: int) -> None:
    """Build the tree, answer with its root. The mount namespace's other process, the stage, has then to take the new root by joining it again.

    An overlay in memory is held afterwards, for who wants to look at the changes, as long as `init` lives, the pidfd of the first process.
    """
    if plan.upper is not None:
        from sentry.platform import own_filter  # while the host's files are still ours to read
    try:
        entry = tree.Entry(plan)
        entry.finish()
        empty = empty_mount() if plan.upper is not None else -1
        tree.pivot(tree.restrict(plan, tree.make(plan, entry, sock)))
        check(lib.mount_(ffi.NULL, b"/", ffi.NULL, plan.root_propagation, ffi.NULL), "propagation of '/'")
        root = os.open("/", O_PATH | O_DIRECTORY | os.O_CLOEXEC)
    except MountError as e:
        wire.send(sock, {"error": str(e)})
        return
    except OSError as e:
        wire.send(sock, {"error": f"{e.strerror} {e.filename or ''}".strip().lower()})
        return
    held = plan.upper.held if plan.upper is not None else -1
    if held >= 0:
        empty_root(empty)
        check(lib.capset_all(0, 0, 0), "capset")
        check(lib.prctl_(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "PR_SET_NO_NEW_PRIVS")
        own_filter.install(own_filter.PROCESS, "tree", debug=False)
    wire.send(sock, {"ok": True, "upper": held}, [root])
    if held >= 0:
        os.close(root)
        sock.close()
        ended = select.poll()
        ended.register(init, select.POLLIN)
        ended.poll()
