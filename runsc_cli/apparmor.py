"""process.apparmorProfile: the profile that the kernel puts a process under when it executes the workload, apparmor(7).

The stage asks for it while it still sees the host's /proc: the wish outlives its forks and changes of identity, and only the next execve(2)
fulfils it. The kernel looks the name up at once, so that a profile that is not loaded is an error of `create`.
"""

from __future__ import annotations

from sentry.abi import AT_FDCWD, O_CLOEXEC

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runsc_cli.stage.program import Program

_O_WRONLY = 1


def on_exec(p: Program, profile: str) -> None:
    what = f"process.apparmorProfile: put the process under {profile!r}"
    command = b"exec " + profile.encode()
    fd = p.call("openat", AT_FDCWD, b"/proc/self/attr/apparmor/exec", _O_WRONLY | O_CLOEXEC, 0, what=what)
    p.call("write", fd, command, len(command), what=what)
    p.call("close", fd)
