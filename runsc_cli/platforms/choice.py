"""Which platform a container has: --platform, else the annotation of its config, else the name by which the command was called.

Annotations come from whoever makes an image or writes a pod, too, and podman hands on those of images: by one alone nobody
becomes trusted. It takes --allow-flag-override, as runsc calls what lets annotations change its options.
"""

from __future__ import annotations

import os
import sys

from runsc_cli.errors import PyscError
from sentry.platform.jsontext import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runsc_cli.options import Options
    from runsc_cli.platforms.base import Platform

ANNOTATION = "dev.pysc.platform"
NOTIFY, NAMESPACE, PTRACE = "notify", "namespace", "ptrace"
TRUSTED_COMMAND = "pysc-trusted"
"""Called by this name, as an engine may that knows a runtime by its path alone, the default is NAMESPACE."""


def choose(options: Options, raw: bytes = b"") -> str:
    """The platform's name. `options`: the global ones; `raw`: config.json. Raises PyscError."""
    if options["platform"]:
        return _supported(options["platform"], "--platform")
    usual = NAMESPACE if os.path.basename(sys.argv[0]) == TRUSTED_COMMAND else NOTIFY
    # written as it is, or with one of its characters as an escape: else nothing has to be decoded before a sentry is started
    name = _annotation(raw) if ANNOTATION.encode() in raw or b"\\u" in raw else None
    if name is None:
        return usual
    field = f"annotations[{ANNOTATION!r}]"
    chosen = _supported(name, field)
    if chosen == NAMESPACE != usual and not options["allow_flag_override"]:
        raise PyscError(f"{field}: an annotation alone gives up no sandbox: call pysc-trusted, or pysc with --allow-flag-override")
    return chosen


def _annotation(raw: bytes) -> str | None:
    """What is wrong with the config is found when it is read in earnest."""
    try:
        annotations = loads(raw.decode())["annotations"]
        name = annotations.get(ANNOTATION)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return None
    return name if isinstance(name, str) else None


def _supported(name: str, what: str) -> str:
    if name not in (NOTIFY, PTRACE, NAMESPACE):
        raise PyscError(f"{what}: {name!r} is no platform: it is notify, ptrace or namespace")
    return name


def named(name: str) -> type[Platform]:
    """The platform of that name; only its own modules are imported."""
    if name == NAMESPACE:
        from runsc_cli.platforms.namespace import Namespace

        return Namespace
    if name == PTRACE:
        from runsc_cli.platforms.ptrace import Ptrace

        return Ptrace
    from runsc_cli.platforms.notify import Notify

    return Notify
