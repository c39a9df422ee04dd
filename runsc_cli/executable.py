"""args[0] -> the file that execve(2) will be given, found in the container's tree before anything waits for it.

execvp(3)'s search in process.env's PATH, below the container's root, with runc's messages: Docker and podman turn their texts into
exit codes 126 and 127. The stage's execve(2) decides again; this is for the message.
"""

from __future__ import annotations

import os
from stat import S_ISDIR, S_ISREG

from runsc_cli.errors import PyscError, quote
from sentry.abi import O_DIRECTORY, O_PATH, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS
from sentry.platform._native import lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runsc_cli.oci.model import Process

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MACHINE = 62  # EM_X86_64
_PROC_SUPER_MAGIC = 0x9FA0
_PASSWD_SIZE = 1 << 20  # bytes of it that are looked at
_PREFIX = "unable to start container process: exec: "


def find(root: int, process: Process) -> bytes:
    """The path to execute, as the container sees it. Raises PyscError with runc's text."""
    name = process.args[0]
    if "/" in name:
        path = name if name.startswith("/") else os.path.join(process.cwd, name)
        reason = _refusal(root, path, f"stat {name}: ")
        if reason:
            raise PyscError(f"{_PREFIX}{quote(name)}: {reason}")
        _check_machine(root, path)
        return os.fsencode(path)
    search = next((e[5:] for e in process.env if e.startswith("PATH=")), DEFAULT_PATH)
    denied = False
    for directory in search.split(":"):
        path = os.path.join(directory or process.cwd, name)
        if not path.startswith("/"):
            path = os.path.join(process.cwd, path)
        reason = _refusal(root, path)
        if not reason:
            _check_machine(root, path)
            return os.fsencode(path)
        denied = denied or reason == "permission denied"
    if denied:
        raise PyscError(f"{_PREFIX}{quote(name)}: permission denied")
    raise PyscError(f"{_PREFIX}{quote(name)}: executable file not found in $PATH")


def _open(root: int, path: str, flags: int) -> int:
    return int(lib.openat2_raw(root, os.fsencode(path), flags, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS))


def _open_regular(root: int, path: str) -> int:
    """For reading, if it is an ordinary file, else -1: we are the host's root, and not in the container's devices cgroup. To open a device
    node may be to start a watchdog, and what reads /proc/kmsg takes the kernel's log away from the host."""
    found = _open(root, path, O_PATH)
    if found < 0:
        return -1
    try:
        if not S_ISREG(os.fstat(found).st_mode) or lib.fd_type(found) == _PROC_SUPER_MAGIC:
            return -1
        return os.open(f"/proc/self/fd/{found}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return -1
    finally:
        os.close(found)


def _refusal(root: int, path: str, unseen: str = "") -> str:
    """Why `path` cannot be executed; empty when it can. A walk through procfs is left to execve(2).

    `unseen` stands before the reason where not even stat(2) could look at it.
    """
    fd = _open(root, path, O_PATH)
    if fd < 0:
        return "" if path.startswith("/proc/") else unseen + os.strerror(-fd).lower()
    try:
        mode = os.fstat(fd).st_mode
    finally:
        os.close(fd)
    if S_ISDIR(mode):
        return "is a directory"
    return "" if S_ISREG(mode) and mode & 0o111 else "permission denied"


def _check_machine(root: int, path: str) -> None:
    """Refuse an ELF file of another architecture now: after `start` there is nobody left to tell."""
    fd = _open_regular(root, path)
    if fd < 0:
        return
    try:
        head = os.read(fd, 20)
    finally:
        os.close(fd)
    if head[:4] == b"\x7fELF" and (len(head) < 20 or head[4] != 2 or int.from_bytes(head[18:20], "little") != _MACHINE):
        raise PyscError(f"unable to start container process: exec {path}: exec format error")


def with_home(root: int, process: Process) -> Process:
    """The process with HOME in its environment: where that is missing or empty it is what passwd(5) of the container says, else /. As runc."""
    if any(entry.startswith("HOME=") and entry != "HOME=" for entry in process.env):
        return process
    env = [entry for entry in process.env if entry != "HOME="]
    return process.replace(env=(*env, f"HOME={_home(root, process.user.uid) or '/'}"))


def _home(root: int, uid: int) -> str:
    """The sixth field of the first line for `uid`; empty where there is none. The file is the image's: whatever it is, it holds nobody up."""
    fd = _open_regular(root, "/etc/passwd")
    if fd < 0:
        return ""
    try:
        data = b""
        while len(data) < _PASSWD_SIZE and (piece := os.read(fd, _PASSWD_SIZE)):
            data += piece
    except OSError:
        return ""
    finally:
        os.close(fd)
    for line in data.split(b"\n"):
        fields = line.split(b":")
        if len(fields) == 7 and fields[2] == b"%d" % uid:
            return os.fsdecode(fields[5].partition(b"\0")[0])
    return ""


def root_of(pid: int) -> int:
    """O_PATH descriptor of a process's root directory."""
    return os.open(f"/proc/{pid}/root", O_PATH | O_DIRECTORY | os.O_CLOEXEC)
