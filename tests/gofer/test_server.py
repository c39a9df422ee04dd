"""The gofer's loop, in a thread of this process."""

from __future__ import annotations

import os
import subprocess
from errno import ENOSYS, ENOTDIR
from threading import Thread
from typing import TYPE_CHECKING

from gofer import server
from sentry.platform import wire

if TYPE_CHECKING:
    from pathlib import Path


def test_what_the_kernel_refuses_is_answered_and_the_loop_goes_on(tmp_path: Path) -> None:
    """fchdir(2) to what is no directory, or to one that the gofer may not enter."""
    ours, theirs = wire.pair()
    ours.settimeout(10)
    file = os.open(tmp_path / "file", os.O_RDONLY | os.O_CREAT)
    with subprocess.Popen(["sleep", "infinity"]) as init:
        pidfd = os.pidfd_open(init.pid)
        serving = Thread(target=server._serve, args=(theirs, pidfd), daemon=True)
        serving.start()
        try:
            wire.send(ours, {"op": "umount", "name": "x", "flags": 0}, [file])
            assert wire.recv(ours)[0] == {"error": ENOTDIR}
            wire.send(ours, {"op": "unknown"})
            assert wire.recv(ours)[0] == {"error": ENOSYS}
        finally:
            init.kill()
            serving.join(10)
    assert not serving.is_alive()
    for fd in (file, pidfd):
        os.close(fd)
    for sock in (ours, theirs):
        sock.close()
