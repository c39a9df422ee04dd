"""Which systemd is asked for scopes, and the connection to its bus: root's is the system's, everybody else's is their own.

An ordinary user's systemd (user@.service(5)) has the controllers that the system's has delegated to it; it listens on the user's bus.
By the time that it is asked, a command of the user's is often root of a user namespace: jeepney would then name itself to the bus as user 0,
which it is not there. So we name nobody: with EXTERNAL and no name, a bus takes who the kernel says we are (D-Bus specification,
"Authentication Mechanisms").
"""

from __future__ import annotations

import os

from runsc_cli.cgroups.driver import in_user_namespace
from runsc_cli.errors import PyscError, strerror

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

    from jeepney.io.blocking import DBusConnection

_TIMEOUT = 5.0
"""Seconds until a bus has to have let us in."""
_MOST = 4096


def of_user() -> bool:
    """Not the system's systemd is ours to ask: we are not root, or root of a user namespace in which pid 1 is not."""
    if os.geteuid() != 0:
        return True
    if not in_user_namespace():
        return False
    try:
        return os.stat("/proc/1").st_uid != 0
    except OSError:  # hidden from us
        return True


def connect() -> DBusConnection:
    """Raises PyscError."""
    try:
        from jeepney.bus import find_system_bus, get_bus
        from jeepney.io.blocking import DBusConnection
    except ImportError:
        raise PyscError("--systemd-cgroup needs jeepney: pip install 'pysc[systemd]', or let the engine use the cgroupfs driver") from None
    user = of_user()
    try:
        return DBusConnection(_authenticated(get_bus(address()) if user else find_system_bus()))
    except (OSError, KeyError, ValueError, RuntimeError, StopIteration) as error:
        why = (strerror(error) if isinstance(error, OSError) else str(error)) or "no reason given"
        which = "your own" if user else "the system"
        raise PyscError(f"--systemd-cgroup: connect to {which} bus: {why}; the cgroupfs driver needs none") from None


def address() -> str:
    """Of the user's bus. Raises PyscError where there is none."""
    given = os.environ.get("DBUS_SESSION_BUS_ADDRESS", "")
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if given:
        return given
    if os.path.isabs(runtime) and os.path.exists(f"{runtime}/bus"):
        return f"unix:path={runtime}/bus".replace("%", "%25").replace(",", "%2c").replace(";", "%3b")
    missing = f"{runtime}/bus is not there" if runtime else "XDG_RUNTIME_DIR is not set"
    raise PyscError(
        f"no systemd of your own to ask for a cgroup: {missing}: log in anew, or 'loginctl enable-linger' and "
        "XDG_RUNTIME_DIR=/run/user/UID (Debian: dbus-user-session); the cgroupfs driver needs none"
    )


def _authenticated(path: str) -> socket.socket:
    """A stream socket to the bus at `path`, with the bus ready for messages. Raises OSError."""
    import socket

    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(_TIMEOUT)
        sock.connect(path)
        sock.sendall(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n")
        said = b""
        while said.count(b"\n") < 2 and len(said) < _MOST:
            piece = sock.recv(_MOST)
            if not piece:
                break
            said += piece
        if [line.split()[:1] for line in said.splitlines()] != [[b"DATA"], [b"OK"]]:
            raise PermissionError(1, f"the bus does not let us in: {said.decode(errors='replace').strip()!r}")
        sock.settimeout(None)
    except BaseException:
        sock.close()
        raise
    return sock
