"""The process that `exec` adds: from --process, or the container's own with what the command line changes.

config.json is read once, by `create` (runtime.md#lifecycle): what later processes need of it is kept beside the state.
"""

from __future__ import annotations

import os

from runsc_cli import directory
from runsc_cli.errors import PyscError
from runsc_cli.oci.model import Capabilities, MemoryPolicy, Personality, Process, User
from runsc_cli.oci.object import Mismatch, Object
from runsc_cli.oci.values import NOBODY
from runsc_cli.platforms.choice import named
from runsc_cli.state import PROCESS_FILE
from sentry.platform.jsontext import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from runsc_cli.oci.model import Spec
    from runsc_cli.options import Options
    from runsc_cli.state import Container


_ID_DIGITS = 10


class Kept(Object):
    """What `create` keeps of config.json."""

    process: Process
    personality: Personality | None = None
    memory_policy: MemoryPolicy | None = None


def save(container: Container, spec: Spec) -> None:
    """Keep what later processes need. Raises OSError."""
    kept = Kept(process=spec.process)
    if spec.linux.personality is not None or spec.linux.memory_policy is not None:
        kept = kept.replace(personality=spec.linux.personality, memory_policy=spec.linux.memory_policy)
    fd = os.open(container.path(PROCESS_FILE), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb", 0) as file:
        data = dumps(kept.plain()).encode()
        while data:
            data = data[file.write(data) :]


def load(container: Container) -> Kept:
    """What save() has kept. Raises PyscError."""
    path = container.path(PROCESS_FILE)
    try:
        return Kept.of(loads(directory.read(path)))
    except FileNotFoundError:
        # an earlier version has made the container: it kept nothing, and read the bundle again
        from runsc_cli.spec import load as load_bundle

        trusted = named(container.state.platform).trusted
        return Kept(process=load_bundle(container.state.bundle, trusted=trusted).spec.process)
    except (ValueError, Mismatch) as error:
        raise PyscError(f"{path} is damaged: {error}") from None


def of(options: Options, args: list[str], kept: Kept, warn: Callable[[str], None]) -> Process:
    """What the command line asks for, of what create kept. Raises SpecError, PyscError."""
    if options["process"]:
        from runsc_cli.spec import load_process

        return load_process(options["process"], warn)
    if not args:
        raise PyscError("process args cannot be empty")
    base = kept.process
    changes: dict[str, object] = {"args": tuple(args), "terminal": bool(options["tty"])}
    if options["cwd"]:
        changes["cwd"] = options["cwd"]
    if options["env"]:
        changes["env"] = (*base.env, *options["env"])
    user = base.user
    if options["user"]:
        changes["user"] = user = _user(options["user"], base.user)
    if options["additional_gids"]:
        changes["user"] = user.replace(additional_gids=tuple(_id(str(gid), "additional-gids") for gid in options["additional_gids"]))
    if options["cap"]:
        changes["capabilities"] = _with_capabilities(base.capabilities, options["cap"])
    if options["no_new_privs"]:
        changes["no_new_privileges"] = True
    if options["process_label"]:
        changes["selinux_label"] = options["process_label"]
    if options["apparmor"]:
        changes["apparmor_profile"] = options["apparmor"]
    from runsc_cli.oci.check import check_process

    process = base.replace(**changes)
    for warning in check_process(process, "process"):
        warn(warning)
    return process


def _user(text: str, base: User) -> User:
    uid, colon, gid = text.partition(":")
    return User(uid=_id(uid, "user"), gid=_id(gid, "user") if colon else base.gid, umask=base.umask)


def _id(text: str, option: str) -> int:
    """A number that the kernel takes for a user or a group: it would look at the lower 32 bits of a larger one."""
    if not (text.isascii() and text.isdigit() and len(text) <= _ID_DIGITS and int(text) < NOBODY):
        wanted = "write UID or UID:GID, as numbers" if option == "user" else "it is the number of a group"
        raise PyscError(f"--{option}: {text!r} is no id: {wanted}")
    return int(text)


def _with_capabilities(base: Capabilities | None, names: list[str]) -> Capabilities:
    """As runc adds them: not to what is inherited, or programs whose files have inheritable capabilities would get them (CVE-2022-29162)."""
    base = base or Capabilities()
    added = tuple(name if name.startswith("CAP_") else f"CAP_{name}" for name in names)
    return Capabilities(
        bounding=(*base.bounding, *added),
        effective=(*base.effective, *added),
        permitted=(*base.permitted, *added),
        inheritable=base.inheritable,
        ambient=base.ambient,
    )
