"""docs/procfs.md says of each entry of /proc and /sys what the code makes of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sentry.vfs import procfs, proctext, sysctl
from sentry.vfs.procview import ProcView
from sentry.vfs.sysfs import Symlink, tree

PAGE = (Path(__file__).parent.parent / "docs" / "procfs.md").read_text()


def names(heading: str) -> set[str]:
    """The names in backquotes in the section of that heading."""
    section = re.search(rf"^### {re.escape(heading)}\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert section is not None, heading
    return {name for text in re.findall(r"`([^`]+)`", section[1]) for name in text.split()}


def verdicts(prefix: bytes, table: set[bytes], wanted: str) -> set[str]:
    return {name.decode() for name in table if repr(procfs.classify(prefix + name)).startswith(wanted)}


KINDS = {"generated": "SYNTH", "the kernel's": "NATIVE", "refused": "DENY"}


@pytest.mark.parametrize("kind", KINDS)
def test_of_the_machine(kind: str) -> None:
    assert names(f"/proc, {kind}") == verdicts(b"/proc/", set(procfs._ROOT), KINDS[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_of_a_process(kind: str) -> None:
    table = set(procfs._TASK) | {b"net"}
    assert names(f"/proc/PID, {kind}") == verdicts(b"/proc/1/", table, KINDS[kind])


def test_kernel_parameters() -> None:
    assert names("/proc/sys, generated") == {name.decode() for name in sysctl.SYNTHESISED}
    assert names("/proc/sys, the container's own") == {name.decode() for name in sysctl.UTS | sysctl.IPC} | {"net/"}
    assert names("/proc/sys, read-only") == {name.decode() for name in sysctl.READ_ONLY}


def test_sys() -> None:
    def nothing(name: bytes) -> bytes:
        raise FileNotFoundError(2, "no such file", name)

    host = {b"meminfo": b"MemTotal: 1024 kB\nSwapTotal: 0 kB\n", b"cpuinfo": b"processor\t: 0\n"}
    view = ProcView(
        proc=nothing, host=host.__getitem__, cgroup=[], pids=list, start=0.0, start_realtime=0.0, release=b"", version=b"", boot_id=b""
    )
    nodes = {path.decode() for path, node in tree(view, nothing).items() if node is not None and not isinstance(node, Symlink)}
    shown = {path.replace("/cpu0/", "/cpuN/").replace("/net/lo/", "/net/NAME/") for path in nodes}
    assert names("/sys") == shown


def test_every_generated_text_has_a_line() -> None:
    """What the page says of a generated file is more than its name."""
    assert set(proctext.ROOT) | set(proctext.TASK) <= {name.encode() for name in re.findall(r"^\| `([^`]+)` \| [^|]+ \|$", PAGE, re.MULTILINE)}
