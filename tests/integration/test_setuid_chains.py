"""One program with a setuid bit executes another: whose files it opens is decided by who it is then, and not by who it was."""

from __future__ import annotations

import os
import subprocess

import pytest
from containers import Bundles, Pysc, requires

pytestmark = [
    pytest.mark.integration,
    pytest.mark.platforms("notify", "ptrace", "namespace"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    requires("busybox", "gcc"),
]

SOURCE = r"""
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
/* probe ID NEXT...: ID is set if it is not "-"; whether root's file opens, twice; then execute the next */
int main(int argc, char **argv)
{
    if (argc > 1 && argv[1][0] != '-' && setuid(atoi(argv[1])))
        return 1;
    for (int i = 0; i < 2; i++) {
        int fd = open("/secret", O_RDONLY | O_CLOEXEC);
        close(open("/", O_RDONLY | O_CLOEXEC));
        printf("%d", fd >= 0);
    }
    printf(" %d %d\n", getuid(), geteuid());
    fflush(stdout);
    if (argc > 2)
        execv(argv[2], argv + 2);
    return 0;
}
"""


@pytest.mark.parametrize(
    ("uid", "chain", "said"),
    [
        # root's program, called by 1000, calls bob's
        (1000, ["/bin/plain", "-", "/bin/roots", "-", "/bin/bobs"], ["00 1000 1000", "11 1000 0", "00 1000 1001"]),
        # root calls bob's, which calls one that has no bit
        (0, ["/bin/plain", "-", "/bin/bobs", "-", "/bin/plain"], ["11 0 0", "00 0 1001", "00 0 1001"]),
        # root becomes 1000 and calls root's, which gives it up for good before it calls another
        (0, ["/bin/plain", "1000", "/bin/roots", "-", "/bin/roots", "0", "/bin/plain"], ["00 1000 1000", "11 1000 0", "11 0 0", "11 0 0"]),
    ],
    ids=["from root to bob", "root calls bob's", "back to root"],
)
def test_a_chain_of_setuid_programs(pysc: Pysc, bundle: Bundles, uid: int, chain: list[str], said: list[str]) -> None:
    made = bundle(chain, writable=True)
    for name, owner, mode in (("plain", 0, 0o755), ("roots", 0, 0o4755), ("bobs", 1001, 0o4755)):
        program = made.rootfs / "bin" / name
        subprocess.run(["gcc", "-static", "-o", program, "-xc", "-"], input=SOURCE, text=True, check=True)
        os.chown(program, owner, owner)
        program.chmod(mode)
    (made.rootfs / "secret").write_text("x")
    (made.rootfs / "secret").chmod(0o600)
    process = {"user": {"uid": uid, "gid": 0}, "noNewPrivileges": False}
    capabilities = ["CAP_DAC_OVERRIDE", "CAP_SETUID", "CAP_SETGID"]
    held = {"bounding": capabilities, **({"permitted": capabilities, "effective": capabilities} if uid == 0 else {})}
    made.config["process"] = {**made.config["process"], **process, "capabilities": held}
    made.write()
    assert pysc("run", "-b", made, pysc.id, check=True).out.splitlines() == said
