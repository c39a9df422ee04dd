"""pysc delete: removes a container that has stopped or was never started, with --force any.

delete --force succeeds when there is no such container, and removes what a create that died left behind. Of two
that run at once, one deletes; for the other the container does not exist.
"""

from __future__ import annotations

from runsc_cli.errors import ContainerNotFound, NotStopped, StateDamaged
from runsc_cli.state import CREATED, STOPPED
from runsc_cli.teardown import destroy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runsc_cli.context import Context
    from runsc_cli.options import Options

# A create that runs holds the lock. Engines delete after it returned; a person may find it hanging in a hook.
_LOCK_TIMEOUT = 10.0


def run(options: Options, args: list[str], context: Context) -> int:
    id, force = args[0], options["force"]
    store = context.store()
    try:
        container = store.load(id)
        with container.lock(_LOCK_TIMEOUT):
            status = container.status()
            if not force and status not in (STOPPED, CREATED):
                raise NotStopped(id, status)
            destroy(container, context.log.warning, force=force)
    except ContainerNotFound:
        store.discard(id)
        if not force:
            raise
    except StateDamaged as error:
        if not force:
            raise
        context.log.warning(error.message)
        store.discard(id)
    return 0
