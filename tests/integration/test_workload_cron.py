"""Workload: cron, which runs the entries of two users when it starts; with --long also those of each minute, after a crontab has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from containers import requires
from workloads import Workload, same_as_native

if TYPE_CHECKING:
    from pathlib import Path

    from workloads import NativeRuns, Sandbox

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600), requires("cron", "crontab", "unshare")]

# Not under `do`, which hides /etc/shadow: PAM lets nobody in without.
BUNDLES = ("bundle-standard", "bundle-strict")

# Natively cron must neither see nor run what the host has.
OUTSIDE = (
    "unshare",
    "--mount",
    "sh",
    "-c",
    """set -e
    mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /var/spool/cron; mount -t tmpfs tmpfs /etc/cron.d
    mount --bind /dev/null /etc/crontab; exec "$@" """,
    "sh",
)

# A job's output arrives by a FIFO, which is opened when both sides are there: nobody waits for a time.
SCRIPT = r"""
set -eu
umask 022
mkdir -p /var/spool/cron/crontabs
chgrp crontab /var/spool/cron/crontabs && chmod 1730 /var/spool/cron/crontabs
[ -e /var/run ] || ln -s /run /var/run
mkfifo roots users ticks
chown www-data users

crontab - <<END
MAILTO=""
GREETING=hello
@reboot (id -un; echo \$GREETING \$SHELL \$LOGNAME; pwd; umask) > $PWD/roots
END
crontab -u www-data - <<END
MAILTO=""
@reboot (id -un; id -Gn; echo \$HOME; kill -0 1 || echo no signal to others) > $PWD/users 2> /dev/null
END
crontab -l | grep -c reboot
stat -c '%n %U %a' /var/spool/cron/crontabs/*
echo '61 * * * * true' | crontab - || echo "crontab: $?"
crontab -l | grep -c reboot

cron -f > said 2>&1 & server=$!
trap 'kill $server 2> /dev/null || true' EXIT
cat roots
cat users
[ "$(cat /run/crond.pid)" = $server ] && echo its own pid
cron -f > second 2>&1 || echo "a second cron: $?"
grep -c "can't lock" second

if [ -n "$MINUTES" ]; then
    # cron sees a change by the second of the directory's mtime
    until [ "$(date +%s)" -gt "$(stat -c %Y /var/spool/cron/crontabs)" ]; do :; done
    echo "* * * * * echo a minute of \$LOGNAME > $PWD/ticks" | crontab -
    cat ticks
    echo "* * * * * echo another > $PWD/ticks" | crontab -
    until cat ticks | grep another; do :; done
    crontab -r
    crontab -l || echo "crontab: $?"
fi
{ kill $server; wait $server || echo "cron: $?"; } 2> shell-says-so
cat said
"""


@pytest.mark.parametrize("sandbox", BUNDLES, indirect=True)
def test_cron_runs_entries(sandbox: Sandbox, public_native_runs: NativeRuns, public: Path, long: bool) -> None:
    workload = Workload("cron", ["sh", "-c", SCRIPT], env={"MINUTES": "yes" if long else ""}, timeout=240 if long else 60, outside=OUTSIDE)
    assert public_native_runs(workload)[0].code == 0, public_native_runs(workload)[0]
    same_as_native(workload, sandbox, public_native_runs, public, files=False)
