"""AF_UNIX sockets for a container that shares the host's network: network mode `shared`.

unix(7), network_namespaces(7). An abstract name is known in its network namespace, and a socket is looked up in the namespace in
which it was made, whoever uses it. So these are made here, in a network namespace that nobody else is in: the container's
processes reach each other by abstract names, and neither the host's nor are they reached. Sockets with a path are found by their
inode and do not care.

A thread lives in that namespace, since one cannot go back: the host's network namespace is not ours to join (setns(2)).

Landlock's LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET would need Linux 6.12 and divide the container: what `pysc exec` starts would be
in another domain than the rest, and could neither be reached by abstract names nor trace (ptrace(2), strace -p) nor look into
/proc/1/fd.
"""

from __future__ import annotations

from _socket import AF_UNIX, SOCK_CLOEXEC

from sentry.abi import CLONE_NEWNET
from sentry.platform._native import ffi, lib
from sentry.platform.threads import Lock, start_new_thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sentry.creds import CredentialCache, Credentials

    Request = Callable[[], int]

_SOCKET, _SOCKETPAIR = 41, 53


class UnixSockets:
    """The thread, and requests to it, one at a time (`_lock`)."""

    __slots__ = ("_answer", "_ask", "_credentials", "_lock", "_request", "_result")

    def __init__(self, credentials: CredentialCache) -> None:
        self._credentials = credentials
        self._lock = Lock()
        self._ask = Lock()
        self._ask.acquire()
        self._answer = Lock()
        self._answer.acquire()
        self._request: Request = int
        self._result = 0

    def start(self, give_up: Request) -> None:
        """Make the namespace; `give_up` then takes the thread's privileges. Both answer 0 or -errno. Raises OSError."""
        start_new_thread(self._serve, (give_up,))
        self._answer.acquire()
        if self._result < 0:
            raise OSError(-self._result, "make a network namespace for the container's UNIX sockets")

    def _serve(self, give_up: Request) -> None:
        self._result = lib.unshare_(CLONE_NEWNET) or give_up()
        self._answer.release()
        while True:
            self._ask.acquire()
            try:
                self._result = self._request()
            except OSError as e:
                self._result = -(e.errno or 5)
            self._answer.release()

    def _do(self, request: Request) -> int:
        with self._lock:
            self._request = request
            self._ask.release()
            self._answer.acquire()
            return self._result

    def socket(self, creds: Credentials, kind: int, protocol: int) -> int:
        """socket(2) as the owner of `creds`: a descriptor of ours or -errno."""

        def request() -> int:
            self._credentials.assume(creds)
            return int(lib.syscall6(_SOCKET, AF_UNIX, kind | SOCK_CLOEXEC, protocol, 0, 0, 0))

        return self._do(request)

    def pair(self, creds: Credentials, kind: int, protocol: int) -> tuple[int, int]:
        """socketpair(2), likewise. Raises OSError."""
        both = ffi.new("int[2]")

        def request() -> int:
            self._credentials.assume(creds)
            address = int(ffi.cast("uintptr_t", both))
            return int(lib.syscall6(_SOCKETPAIR, AF_UNIX, kind | SOCK_CLOEXEC, protocol, address, 0, 0))

        error = self._do(request)
        if error:
            raise OSError(-error, "socketpair")
        return both[0], both[1]
