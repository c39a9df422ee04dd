"""The directories of /proc that a workload may list without the sentry."""

from __future__ import annotations

from pathlib import Path

from gofer import proctree
from sentry.vfs import procfs


def test_what_is_shown_is_what_the_sentry_would_open() -> None:
    """Of this kernel's directories. Links among them lead into those of a process."""
    native = {name.decode() for name in procfs._ROOT if procfs.classify(b"/proc/" + name, directory=True) is procfs.NATIVE}
    there = {path.name for path in Path("/proc").iterdir() if path.is_dir() and not path.is_symlink() and not path.name.isdigit()}
    assert {"sys", "sysvipc", "tty"} <= there
    assert there & native == there & proctree.SHOWN
    assert native >= proctree.SHOWN
