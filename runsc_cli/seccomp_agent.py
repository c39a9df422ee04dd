"""SCMP_ACT_NOTIFY: the listener of a config's filter goes to whoever listens on linux.seccomp.listenerPath.

config-linux.md#containerprocessstate: one connection for each process that installs the filter, one message on it: the process and its
container in JSON, and the listener with it. It is kept beside the container's state for `exec`.
"""

from __future__ import annotations

import os
from _socket import AF_UNIX, SCM_RIGHTS, SOCK_CLOEXEC, SOCK_STREAM, SOL_SOCKET
from _socket import socket as Socket
from struct import pack

from runsc_cli import directory
from runsc_cli.errors import PyscError, strerror
from runsc_cli.version import SPEC_VERSION
from sentry.platform.jsontext import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runsc_cli.oci.model import Seccomp
    from runsc_cli.state import Container

_FILE = "seccomp.listener"


def keep(seccomp: Seccomp, container: Container) -> None:
    """Remember where the listener of every process goes."""
    fd = os.open(container.path(_FILE), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(dumps([seccomp.listener_path, seccomp.listener_metadata]))


def send(container: Container, status: str, pid: int, listener: int) -> None:
    """Give away the listener of process `pid` of the container, which is `status`; our copy is closed. Raises PyscError."""
    path = ""
    try:
        path, metadata = loads(directory.read(container.path(_FILE)))
        message = {"ociVersion": SPEC_VERSION, "fds": ["seccompFd"], "pid": pid}
        if metadata:
            message["metadata"] = metadata
        message["state"] = container.oci_state(status)
        sock = Socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
        try:
            sock.connect(path)
            sock.sendmsg([dumps(message).encode()], [(SOL_SOCKET, SCM_RIGHTS, pack("i", listener))])
        finally:
            sock.close()
    except OSError as error:
        raise PyscError(f"linux.seccomp.listenerPath {path!r}: {strerror(error)}") from None
    finally:
        os.close(listener)
