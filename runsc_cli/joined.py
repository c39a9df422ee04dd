"""What is set in namespaces that the config names by path: by the stage, when it has joined them and is still who called us.

The user namespace that the container gets has no say in a namespace that an engine has made: its root could set neither kernel parameters
nor a host name there. Nor could it bind a port below 1024, capability or not, as every server in a pod wants to: so for a
container with CAP_NET_BIND_SERVICE those ports are open to all in that network namespace (net.ipv4.ip_unprivileged_port_start),
which is what Docker and containerd 2 ask for by themselves. Of the host's own namespace nothing is changed.
"""

from __future__ import annotations

import os

from runsc_cli import launch
from runsc_cli.namespaces import is_ours
from runsc_cli.oci.check_linux import sysctl_namespace, sysctl_path
from sentry.abi import AT_FDCWD, O_CLOEXEC

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runsc_cli.enter import Spaces
    from runsc_cli.oci.model import Spec
    from runsc_cli.stage.program import Argument, Program

_PORTS = "net.ipv4.ip_unprivileged_port_start"
_PROC_SYS = b"/proc/sys/"


def set_up(p: Program, spec: Spec, spaces: Spaces, fds: Mapping[str, int]) -> None:
    """All of `spaces.joined` have been joined: kernel parameters, names, and ports for a container with a user namespace of its own.

    `fds`: descriptors of the namespaces, by type.
    """
    asked = {name: value for name, value in spec.linux.sysctl.items() if sysctl_namespace(name) in spaces.joined}
    for name, value in sorted(asked.items()):
        write(p, AT_FDCWD, _PROC_SYS, name, value, spaces.outer_gid)
    caps = spec.process.capabilities
    bind = spaces.own_user and caps is not None and "CAP_NET_BIND_SERVICE" in caps.bounding
    if bind and _PORTS not in asked and "network" in fds and not is_ours(os.fstat(fds["network"]), "network"):
        # may fail: /proc/sys is read-only where we are in a container ourselves
        file = p.call("openat", AT_FDCWD, _PROC_SYS + sysctl_path(_PORTS).encode(), os.O_WRONLY | O_CLOEXEC, 0, may_fail=True)
        p.call("write", file, b"0", 1, may_fail=True)
        p.call("close", file, may_fail=True)
    if "uts" in spaces.joined:
        launch.names(p, spec)


def write(p: Program, directory: Argument, below: bytes, name: str, value: str, known: Callable[[int], int]) -> None:
    """Set a kernel parameter through a /proc/sys: proc_sys(5). `known`: the number there of a group id, the next lower one that it has.

    Engines let everybody ping with a range that ends beyond the container's groups.
    """
    what = f"sysctl {name!r}"
    path = sysctl_path(name)
    if path == "kernel/domainname":  # the file is the host's root's
        p.call("setdomainname", value.encode(), len(value.encode()), what=what)
        return
    if path == "net/ipv4/ping_group_range":
        value = " ".join(str(known(int(word))) if word.isdigit() else word for word in value.split())
    file = p.call("openat", directory, below + path.encode(), os.O_WRONLY | O_CLOEXEC, 0, what=what)
    p.call("write", file, value.encode(), len(value), what=what)
    p.call("close", file)
