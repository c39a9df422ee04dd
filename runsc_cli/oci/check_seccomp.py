"""Whether linux.seccomp makes sense: config-linux.md, "Seccomp", in libseccomp's names.

Names of system calls are not checked: engines list those of every architecture, and an unknown one matches nothing.
"""

from __future__ import annotations

from runsc_cli.errors import SpecError
from runsc_cli.oci.values import one_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runsc_cli.oci.model import Seccomp, SeccompRule

ACTIONS = tuple(
    "SCMP_ACT_" + name for name in ["KILL", "KILL_PROCESS", "KILL_THREAD", "TRAP", "ERRNO", "TRACE", "ALLOW", "LOG", "NOTIFY"]
)
OPERATORS = tuple("SCMP_CMP_" + name for name in ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"])
ARCHITECTURES = tuple(
    "SCMP_ARCH_" + name
    for name in [
        "X86",
        "X86_64",
        "X32",
        "ARM",
        "AARCH64",
        "MIPS",
        "MIPS64",
        "MIPS64N32",
        "MIPSEL",
        "MIPSEL64",
        "MIPSEL64N32",
        "PPC",
        "PPC64",
        "PPC64LE",
        "S390",
        "S390X",
        "PARISC",
        "PARISC64",
        "RISCV64",
        "LOONGARCH64",
        "M68K",
        "SH",
        "SHEB",
    ]
)
FLAGS = tuple("SECCOMP_FILTER_FLAG_" + name for name in ["TSYNC", "LOG", "SPEC_ALLOW", "WAIT_KILLABLE_RECV"])
_WITH_ERRNO = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")


def seccomp(seccomp: Seccomp, at: str) -> None:
    """The profile that a config brings. Raises SpecError."""
    one_of(seccomp.default_action, ACTIONS, f"{at}.defaultAction")
    if seccomp.default_action == "SCMP_ACT_NOTIFY":
        raise SpecError(f"{at}.defaultAction", "SCMP_ACT_NOTIFY would notify of what reports it: name the system calls")
    _errno(seccomp.default_action, seccomp.default_errno_ret, f"{at}.defaultErrnoRet")
    for i, architecture in enumerate(seccomp.architectures):
        one_of(architecture, ARCHITECTURES, f"{at}.architectures[{i}]")
    for i, flag in enumerate(seccomp.flags):
        one_of(flag, FLAGS, f"{at}.flags[{i}]")
    if seccomp.listener_metadata and not seccomp.listener_path:
        raise SpecError(f"{at}.listenerMetadata", "is for a listener: give listenerPath")
    for i, rule in enumerate(seccomp.syscalls):
        _rule(rule, f"{at}.syscalls[{i}]")


def _rule(rule: SeccompRule, at: str) -> None:
    if not rule.names or "" in rule.names:
        raise SpecError(f"{at}.names", "is empty: name the system calls of the rule")
    one_of(rule.action, ACTIONS, f"{at}.action")
    _errno(rule.action, rule.errno_ret, f"{at}.errnoRet")
    for i, arg in enumerate(rule.args):
        one_of(arg.op, OPERATORS, f"{at}.args[{i}].op")
        if arg.index > 5:
            raise SpecError(f"{at}.args[{i}].index", f"{arg.index} is outside 0 to 5")


def _errno(action: str, errno: int | None, at: str) -> None:
    if errno is None:
        return
    if action not in _WITH_ERRNO:
        raise SpecError(at, f"{action} returns no errno: leave it out")
    if errno > 0xFFFF:  # SECCOMP_RET_DATA
        raise SpecError(at, f"{errno} is no errno")
