"""pysc doctor: what this host has, what is missing, and what each platform will do here. Exit code 1 where no sandbox can be started."""

from __future__ import annotations

import os

from runsc_cli import host
from runsc_cli.verbs.features import features
from runsc_cli.version import VERSION
from sentry.platform.jsontext import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runsc_cli.context import Context
    from runsc_cli.host import Finding
    from runsc_cli.options import Options


_OF_THE_SANDBOX = ("seccomp", "SECCOMP", "process_vm_readv", "pidfd_getfd", "user namespaces", "time")
"""How the names of findings begin that a container without a sandbox does not need."""
_NOTIFICATION = ("seccomp", "SECCOMP")
"""Those that the platform ptrace does without."""


def run(options: Options, args: list[str], context: Context) -> int:
    found = host.findings()
    platforms = what_they_do(found)
    if options["format"] == "json":
        value: dict[str, Any] = {
            "version": VERSION,
            "kernel": os.uname().release,
            "platforms": platforms,
            "findings": [finding.plain() for finding in found],
            "features": features(),
        }
        print(dumps(value, indent="  "))
    else:
        print(table(found, platforms), end="")
    return 0 if platforms["notify"]["works"] or platforms["ptrace"]["works"] else 1


def what_they_do(found: list[Finding]) -> dict[str, dict[str, Any]]:
    """Of each platform: whether containers start with it here, and with what less."""
    lacking = [each.name for each in found if each.required and not each.ok]
    less = list(dict.fromkeys(f"{each.name}: {each.without}" for each in found if not each.ok and not each.required and each.without))
    plain = [name for name in lacking if not name.startswith(_OF_THE_SANDBOX)]
    traced = [name for name in lacking if not name.startswith(_NOTIFICATION)]
    traced += [each.name for each in found if each.name == host.TRACING and not each.ok]
    return {
        "notify": _platform(lacking, less),
        "namespace": _platform(plain, less),
        "ptrace": _platform(traced, less),
    }


def _platform(lacking: list[str], less: list[str]) -> dict[str, Any]:
    return {"works": not lacking} | ({"missing": lacking} if lacking else {}) | {"without": less}


def table(found: list[Finding], platforms: dict[str, dict[str, Any]]) -> str:
    """Groups of rows: whether it is there, its name, and what was seen or what happens without it."""
    width = max(len(each.name) for each in found) + 2
    lines = []
    group = ""
    for each in found:
        if each.group != group:
            group = each.group
            lines.append(f"{group}:")
        state = "yes" if each.ok else "NO" if each.required else "no"
        text = each.detail if each.ok else "; ".join(filter(None, (each.detail, each.without)))
        lines.append(f"  {state:<4} {each.name:<{width}} {text}".rstrip())
    lines.append("platforms:")
    for name, facts in platforms.items():
        why = "" if facts["works"] else f"missing: {', '.join(facts['missing'])}"
        lines.append(f"  {'yes' if facts['works'] else 'no':<4} {name:<{width}} {why}".rstrip())
    return "\n".join(lines) + "\n"
