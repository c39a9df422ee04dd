"""Which platform a container has: --platform, else the annotation of its config, else the name by which the command was called.

Where neither says so it is notify, and ptrace where the host has no user notification, with a warning: seccomp(2).

Annotations come from whoever makes an image or writes a pod, too, and podman hands on those of images: by one alone nobody
becomes trusted. It takes --allow-flag-override, as runsc calls what lets annotations change its options.
"""

from __future__ import annotations

import os
import sys
from errno import EFAULT

from runsc_cli.errors import PyscError
from sentry.platform.jsontext import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from runsc_cli.options import Options
    from runsc_cli.platforms.base import Platform

ANNOTATION = "dev.pysc.platform"
NOTIFY, NAMESPACE, PTRACE = "notify", "namespace", "ptrace"
_SECCOMP, _PR_GET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 317, 21, 38
_ALLOW_ALL = b"\x06\0\0\0\0\0\xff\x7f"
"""struct sock_filter: BPF_RET, SECCOMP_RET_ALLOW."""
TRUSTED_COMMAND = "pysc-trusted"
"""Called by this name, as an engine may that knows a runtime by its path alone, the default is NAMESPACE."""


def choose(options: Options, raw: bytes = b"", warn: Callable[[str], None] | None = None) -> str:
    """The platform's name. `options`: the global ones; `raw`: config.json. Raises PyscError.

    `warn` is told when the host decides: not asked without it.
    """
    if options["platform"]:
        return _supported(options["platform"], "--platform")
    usual = NAMESPACE if os.path.basename(sys.argv[0]) == TRUSTED_COMMAND else NOTIFY
    # written as it is, or with one of its characters as an escape: else nothing has to be decoded before a sentry is started
    name = _annotation(raw) if ANNOTATION.encode() in raw or b"\\u" in raw else None
    if name is None:
        lacking = "" if usual == NAMESPACE or warn is None else lacks_notification()
        if lacking and warn is not None:
            warn(f"seccomp user notification is missing here ({lacking}): the platform is ptrace, see pysc doctor")
            return PTRACE
        return usual
    field = f"annotations[{ANNOTATION!r}]"
    chosen = _supported(name, field)
    if chosen == NAMESPACE != usual and not options["allow_flag_override"]:
        raise PyscError(f"{field}: an annotation alone gives up no sandbox: call pysc-trusted, or pysc with --allow-flag-override")
    return chosen


def lacks_notification() -> str:
    """Why calls cannot be notified of here; empty where they can: two system calls, none of which changes anything.

    Inside another sandbox its filter may have the one listener that there can be, which only an attempt tells.
    """
    from sentry.abi import SECCOMP_FILTER_FLAG_NEW_LISTENER, SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
    from sentry.platform._native import lib

    flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
    error = -lib.syscall6(_SECCOMP, 1, flags, 0, 0, 0, 0)
    if error == EFAULT:  # the flags are known, and there is no program at address 0
        error = 0
        if lib.prctl_(_PR_GET_SECCOMP, 0, 0, 0, 0) > 0:
            pid = os.fork()
            if pid == 0:
                lib.prctl_(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
                os._exit(max(0, -lib.filter_install(_ALLOW_ALL, 1, flags)))
            error = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return os.strerror(error).lower() if error else ""


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
