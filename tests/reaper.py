"""usage: python reaper.py COMMAND...: run it, reap the orphans that it leaves meanwhile, and end with its exit code.

podman waits until conmon, an orphan of it, is no more; a child subreaper that does not reap at once (containers.py) makes that 20 seconds.
"""

import ctypes
import os
import sys

PR_SET_CHILD_SUBREAPER = 36

ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
command = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
while True:
    pid, status = os.wait()
    if pid == command:
        sys.exit(os.waitstatus_to_exitcode(status) & 0xFF)
