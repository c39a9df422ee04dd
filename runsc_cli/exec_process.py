"""The process that `exec` adds: from --process, or the container's own with what the command line changes."""

from __future__ import annotations

from runsc_cli.errors import PyscError
from runsc_cli.oci.check import check_process
from runsc_cli.oci.model import Capabilities, User
from runsc_cli.platforms.choice import named
from runsc_cli.spec import load, load_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runsc_cli.oci.model import Process
    from runsc_cli.options import Options
    from runsc_cli.state import Container


def of(options: Options, args: list[str], container: Container) -> Process:
    """Raises SpecError, PyscError."""
    trusted = named(container.state.platform).trusted
    if options["process"]:
        return load_process(options["process"], trusted=trusted)
    if not args:
        raise PyscError("process args cannot be empty")
    base = load(container.state.bundle, trusted=trusted).spec.process
    changes: dict[str, object] = {"args": tuple(args), "terminal": bool(options["tty"])}
    if options["cwd"]:
        changes["cwd"] = options["cwd"]
    if options["env"]:
        changes["env"] = (*base.env, *options["env"])
    user = base.user
    if options["user"]:
        changes["user"] = user = _user(options["user"], base.user)
    if options["additional_gids"]:
        changes["user"] = user.replace(additional_gids=tuple(int(g) for g in options["additional_gids"]))
    if options["cap"]:
        changes["capabilities"] = _with_capabilities(base.capabilities, options["cap"])
    if options["no_new_privs"]:
        changes["no_new_privileges"] = True
    process = base.replace(**changes)
    check_process(process, "process", trusted=trusted)
    return process


def _user(text: str, base: User) -> User:
    uid, _, gid = text.partition(":")
    if not uid.isdigit() or (gid and not gid.isdigit()):
        raise PyscError(f"parsing {text} as int for uid failed: write UID or UID:GID")
    return User(uid=int(uid), gid=int(gid) if gid else base.gid, umask=base.umask)


def _with_capabilities(base: Capabilities | None, names: list[str]) -> Capabilities:
    base = base or Capabilities()
    added = tuple(name if name.startswith("CAP_") else f"CAP_{name}" for name in names)
    return Capabilities(
        bounding=(*base.bounding, *added),
        effective=(*base.effective, *added),
        permitted=(*base.permitted, *added),
        inheritable=(*base.inheritable, *added),
        ambient=base.ambient,
    )
