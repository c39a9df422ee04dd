"""How a process of a container comes to life: the stage's programs from namespaces to execve(2), for create and exec alike.

The order is what matters (credentials(7), capabilities(7), seccomp(2)): bounding set and filter while the stage is still root in
its user namespace (the filter needs CAP_SYS_ADMIN there or no_new_privs), then the listener goes to the sentry, and from
there on every step, the change of identity included, happens under the filter.
"""

from __future__ import annotations

import os
import struct

from runsc_cli.capabilities import LAST_CAP, mask
from runsc_cli.errors import PyscError, quote, strerror
from runsc_cli.rlimits import NUMBERS as RLIMITS
from runsc_cli.stage.program import ErrorText, FilterProgram, Passed, Program, Result, Stage, StageError
from sentry.abi import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    CAP_SYS_ADMIN,
    MOVE_MOUNT_F_EMPTY_PATH,
    MOVE_MOUNT_T_EMPTY_PATH,
    O_CLOEXEC,
    O_CREAT,
    O_DIRECTORY,
    O_NOCTTY,
    O_NOFOLLOW,
    O_PATH,
    OPEN_TREE_CLOEXEC,
    OPEN_TREE_CLONE,
    PR_CAP_AMBIENT,
    PR_CAP_AMBIENT_CLEAR_ALL,
    PR_CAP_AMBIENT_RAISE,
    PR_CAPBSET_DROP,
    PR_SET_DUMPABLE,
    PR_SET_KEEPCAPS,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_PDEATHSIG,
    RESOLVE_NO_MAGICLINKS,
    SECCOMP_FILTER_FLAG_NEW_LISTENER,
    SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
    SECCOMP_SET_MODE_FILTER,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeAlias

    from runsc_cli.oci.model import Process, Spec
    from runsc_cli.options import Options

    Profile: TypeAlias = tuple[int, bytes]
    """The config's filter: SECCOMP_FILTER_FLAG_* and struct sock_filter[]."""

_CAP_HEADER = struct.pack("<II", 0x20080522, 0)
_FILTERING = 1 << CAP_SYS_ADMIN
_TIOCSCTTY, _TIOCSWINSZ, _TIOCSPTLCK, _TIOCGPTPEER = 0x540E, 0x5414, 0x40045431, 0x5441
_SIOCSIFFLAGS = 0x8914
_SIG_SETMASK, _SIGCHLD = 2, 17
_CLOSE_RANGE_CLOEXEC = 4
_MOST_PRESERVED = 240  # below a number that runsc_cli/cgroups/leaf.py uses in the stage
_AF_INET, _SOCK_DGRAM, _IFF_UP, _IFF_RUNNING = 2, 2, 1, 64


def preserved_fds(options: Options, listening: int = 0) -> int:
    """How many of the caller's descriptors from 3 on go to the workload: `listening`, then --preserve-fds more.

    Raises PyscError where one is missing.
    """
    count = int(options["preserve_fds"] or 0)
    if not 0 <= count <= _MOST_PRESERVED - listening:
        raise PyscError(f"--preserve-fds {count}: a number from 0 to {_MOST_PRESERVED - listening} is needed")
    for fd in range(3, 3 + listening + count):
        try:
            given = os.get_inheritable(fd)  # our own ones are not
        except OSError:
            given = False
        if not given:
            who = f"--preserve-fds {count}" if fd >= 3 + listening else f"LISTEN_FDS={listening}"
            raise PyscError(f"{who}: descriptor {fd} is not open")
    return listening + count


def listening_fds() -> int:
    """Sockets that whoever called us has opened for the container: sd_listen_fds(3), LISTEN_FDS if LISTEN_PID says that they are ours."""
    count = os.environ.get("LISTEN_FDS", "")
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or not (count.isascii() and count.isdigit() and len(count) < 4):
        return 0
    return min(int(count), _MOST_PRESERVED)


def drop_groups(p: Program) -> None:
    """The caller's supplementary groups, unless the kernel makes it keep them: user_namespaces(7), "setgroups"."""
    if not groups_kept():
        p.call("setgroups", 0, 0)


def groups_kept() -> bool:
    """setgroups(2) is denied here: who has a single id keeps the groups it came with. Absent where there are no user namespaces."""
    try:
        with open("/proc/self/setgroups", "rb") as file:
            return file.read() == b"deny\n"
    except FileNotFoundError:
        return False


def loopback_up(p: Program) -> None:
    """Bring `lo` up in a new network namespace: netdevice(7)."""
    sock = p.call("socket", _AF_INET, _SOCK_DGRAM, 0, what="loopback interface")
    request = struct.pack("16sH22x", b"lo", _IFF_UP | _IFF_RUNNING)
    p.call("ioctl", sock, _SIOCSIFFLAGS, request, what="bring the loopback interface up")
    p.call("close", sock)


def set_clocks(p: Program, monotonic: tuple[int, int], boottime: tuple[int, int]) -> None:
    """Seconds and nanoseconds that are added to two clocks in the time namespace of the children to come: time_namespaces(7).

    The file is the stage's own only while it is dumpable, which concerns nobody: the container is empty yet.
    """
    what = "set the clocks of the time namespace, linux.timeOffsets"
    offsets = b"monotonic %d %d\nboottime %d %d\n" % (*monotonic, *boottime)
    p.call("prctl", PR_SET_DUMPABLE, 1)
    file = p.call("openat", AT_FDCWD, b"/proc/self/timens_offsets", os.O_WRONLY | O_CLOEXEC, 0, what=what)
    p.call("write", file, offsets, len(offsets), what=what)
    p.call("close", file)
    p.call("prctl", PR_SET_DUMPABLE, 0)


def names(p: Program, spec: Spec) -> None:
    """sethostname(2), setdomainname(2)."""
    for field, text in (("hostname", spec.hostname), ("domainname", spec.domainname)):
        if text:
            p.call(f"set{field}", text.encode(), len(text.encode()), what=field)


def sysctls(p: Program, spec: Spec, made: Mapping[int, Result | Passed], last_gid: int) -> None:
    """Kernel parameters of the container's own namespaces: proc_sys(5). `made`: index in spec.mounts -> a mount of the stage's.

    `last_gid`: the highest group id that the container has. Raises PyscError where the container has no procfs to set them through.
    """
    if not spec.linux.sysctl:
        return
    from runsc_cli.joined import write
    from runsc_cli.oci.check_linux import sysctl_namespace

    proc = next((mount for index, mount in made.items() if spec.mounts[index].type == "proc"), None)
    for name, value in sorted(spec.linux.sysctl.items()):
        namespace = spec.linux.namespace(sysctl_namespace(name))
        if namespace is None or not namespace.path:
            if proc is None:
                raise PyscError(f"linux.sysctl[{name!r}]: is set through /proc/sys: add a mount of type proc")
            write(p, proc, b"sys/", name, value, lambda gid: min(gid, last_gid))


def terminal(p: Program, process: Process, console: bool, control: bool = True) -> Result:
    """A pseudoterminal of the container's own devpts as stdio; returns the master.

    Its size is the config's, else that of the caller's terminal. `console`: also bind it on /dev/console.
    `control`: it becomes the controlling terminal. Stops to answer, so that the master can be taken.
    """
    from runsc_cli.console import callers_window_size

    what = "make a terminal in the container's /dev/pts"
    master = p.call("openat", AT_FDCWD, b"/dev/pts/ptmx", os.O_RDWR | O_NOCTTY | O_CLOEXEC, 0, what=what)
    p.call("ioctl", master, _TIOCSPTLCK, struct.pack("i", 0), what=what)
    slave = p.call("ioctl", master, _TIOCGPTPEER, os.O_RDWR | O_NOCTTY | O_CLOEXEC, what=what)
    box = process.console_size
    size = (box.height, box.width) if box is not None else callers_window_size()
    if size is not None:  # before the workload looks at it, and without a SIGWINCH
        p.call("ioctl", slave, _TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0), what="consoleSize")
    p.call("fchown", slave, process.user.uid, -1, what="own the terminal", may_fail=True)
    if console:  # by descriptors: the names are the image's, and with a volume somebody else's as well (CVE-2025-52565)
        what = "mount the terminal on /dev/console"
        made = p.call("openat", AT_FDCWD, b"/dev/console", O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | os.O_NONBLOCK, 0o600, what=what)
        tree = p.call("open_tree", slave, b"", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH, what=what)
        p.call("move_mount", tree, b"", made, b"", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH, what=what)
        p.call("close", tree)
        p.call("close", made)
    if control:
        p.call("ioctl", slave, _TIOCSCTTY, 0, what="controlling terminal")
    for fd in range(3):
        p.call("dup3", slave, fd, 0, what="stdio")
    p.call("getpid", answer=True)
    return master


def limits(p: Program, process: Process) -> Cwd:
    """Bounding set, umask, working directory: what needs capabilities and is not changed by the steps after the filter."""
    allowed = mask(process.capabilities.bounding) if process.capabilities else 0
    for cap in range(LAST_CAP + 1):
        if not allowed >> cap & 1:
            p.call("prctl", PR_CAPBSET_DROP, cap, what="drop a bounding capability", may_fail=True)
    if process.user.umask is not None:
        p.call("umask", process.user.umask)
    cwd = Cwd(p, process)
    p.call("prctl", PR_SET_PDEATHSIG, 0)
    return cwd


class Cwd:
    """chdir(2) to process.cwd with root's permission or, as runc does, with the user's: one of them is enough.

    Both are tried before the filter, for the sentry cannot read the stage's memory, which is not dumpable. credentials(7):
    without the file system uid 0 the capabilities that override permissions count for nothing.

    Never by a magic link: the container may have made the path one to /proc/self/fd/N, of the stage (CVE-2024-21626).
    """

    __slots__ = ("_as_root", "_as_user", "_path")

    _HOW = struct.pack("<QQQ", O_PATH | O_DIRECTORY | O_CLOEXEC, 0, RESOLVE_NO_MAGICLINKS)

    def __init__(self, p: Program, process: Process) -> None:
        user = process.user
        groups = struct.pack(f"<{len(user.additional_gids)}I", *user.additional_gids)
        self._path = process.cwd
        self._as_root = self._enter(p)
        if user.additional_gids or not groups_kept():
            p.call("setgroups", len(user.additional_gids), groups, what="process.user.additionalGids")
        p.call("setfsgid", user.gid)
        p.call("setfsuid", user.uid)
        self._as_user = self._enter(p)
        p.call("setfsuid", 0)
        p.call("setfsgid", 0)

    def _enter(self, p: Program) -> tuple[Result, Result]:
        fd = p.call("openat2", AT_FDCWD, os.fsencode(self._path), self._HOW, len(self._HOW), may_fail=True)
        entered = p.call("fchdir", fd, may_fail=True)
        p.call("close", fd, may_fail=True)
        return fd, entered

    def check(self, results: list[int]) -> None:
        """`results` of the program. Raises StageError when neither could."""
        if all(results[entered.index] for _, entered in (self._as_root, self._as_user)):
            opened, entered = self._as_root
            error = results[opened.index] if results[opened.index] < 0 else results[entered.index]
            raise StageError(f"chdir to cwd ({quote(self._path)}) set in config.json failed", -error)


def host_settings(pid: int, process: Process) -> None:
    """What is set on a process from outside, with the caller's privileges: setrlimit(2), oom_score_adj, scheduling.

    Raises PyscError.
    """
    if process.scheduler is not None or process.io_priority is not None:
        from runsc_cli import scheduling

        if process.scheduler is not None:
            scheduling.schedule(pid, process.scheduler)
        if process.io_priority is not None:
            scheduling.prioritise_io(pid, process.io_priority)
    if process.rlimits:
        import resource

        for limit in process.rlimits:
            values = (_rlim(limit.soft), _rlim(limit.hard))
            try:
                resource.prlimit(pid, RLIMITS[limit.type], values)
            except (OSError, ValueError) as e:
                why = strerror(e) if isinstance(e, OSError) else str(e)
                raise PyscError(f"error setting rlimit type {limit.type} to {limit.soft}:{limit.hard}: {why}") from None
    if process.oom_score_adj is not None:
        path = f"/proc/{pid}/oom_score_adj"
        try:
            with open(path, "w") as f:
                f.write(str(process.oom_score_adj))
        except OSError as e:
            raise PyscError(f"write {path}: {os.strerror(e.errno or 0).lower()}") from None


def _rlim(value: int) -> int:
    return -1 if value >= 1 << 63 else value


def filter_and_listener(p: Program, bpf: bytes) -> Result:
    """Install the filter and stop to answer, so that the listener can be taken; then close it, for it must not stay here."""
    flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
    what = "install the system call filter"
    listener = p.call("seccomp", SECCOMP_SET_MODE_FILTER, flags, FilterProgram(bpf), what=what, answer=True)
    p.call("close", listener)
    return listener


def filter_without_listener(p: Program, bpf: bytes) -> None:
    """Install the filter of a process that will be traced."""
    p.call("seccomp", SECCOMP_SET_MODE_FILTER, 0, FilterProgram(bpf), what="install the system call filter")


def may_filter(process: Process) -> bool:
    """It keeps the capability with which a filter can be installed without no_new_privs: seccomp(2)."""
    caps = process.capabilities
    return bool(caps and mask(caps.effective) & mask(caps.permitted) & _FILTERING)


def _capset(p: Program, process: Process, more: int = 0) -> None:
    """capset(2), with the capabilities `more` in addition."""
    caps = process.capabilities
    permitted, inheritable = (mask(caps.permitted), mask(caps.inheritable)) if caps else (0, 0)
    effective = mask(caps.effective) & permitted if caps else 0
    sets = (effective | more, permitted | more, inheritable)
    data = struct.pack("<6I", *(v >> shift & 0xFFFFFFFF for shift in (0, 32) for v in sets))
    p.call("capset", _CAP_HEADER, data, what="process.capabilities")


def identity(p: Program, process: Process, profile: Profile | None = None) -> None:
    """User, groups, capabilities, no_new_privs: as `process` says, but that it can still install the filter `profile`."""
    user = process.user
    groups = struct.pack(f"<{len(user.additional_gids)}I", *user.additional_gids)
    p.call("prctl", PR_SET_KEEPCAPS, 1, 0, 0, 0, what="keep capabilities")
    if user.additional_gids or not groups_kept():
        p.call("setgroups", len(user.additional_gids), groups, what="process.user.additionalGids")
    p.call("setresgid", user.gid, user.gid, user.gid, what="process.user.gid")
    p.call("setresuid", user.uid, user.uid, user.uid, what="process.user.uid")
    caps = process.capabilities
    _capset(p, process, _FILTERING if profile and not process.no_new_privileges else 0)
    p.call("prctl", PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0, may_fail=True)
    ambient = mask(caps.ambient) if caps else 0
    for cap in range(LAST_CAP + 1):
        if ambient >> cap & 1:
            p.call("prctl", PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0, what="process.capabilities.ambient", may_fail=True)
    if process.no_new_privileges:
        p.call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def execute(
    p: Program, path: bytes, process: Process, preserve_fds: int, start: int, *, init: bool = False, profile: Profile | None = None
) -> Result | None:
    """Wait until one byte comes through the FIFO `start` (-1: do not wait), then become the workload.

    `profile`, the filter of the config, comes last: whatever it denies, we have done all but at most capset(2). One with a listener,
    which is returned, comes before the wait, so that `create` can give it away: its agent answers for what is left to be done.
    Only descriptors 0-2 and `preserve_fds` more go along. If execve(2) fails, say so on stderr: exit code 255, as runc.
    `init`: the workload is a child of the first process, in a session of its own; as pid 1 it would be deaf to ^C and to kill(1).
    """
    p.call("close_range", 3 + preserve_fds, 0xFFFFFFFF, _CLOSE_RANGE_CLOEXEC)
    listener = None
    if profile is not None and profile[0] & SECCOMP_FILTER_FLAG_NEW_LISTENER:
        listener = _install(p, process, profile)
    if start >= 0:
        p.call("getpid", answer=True)
        p.call("read", Passed(start), bytes(8), 1, what="wait for start")
    if init:
        p.call("rt_sigprocmask", _SIG_SETMASK, b"\xff" * 8, 0, 8)
        p.call("clone", _SIGCHLD, 0, 0, 0, 0, what="start the workload", init=True)
        p.call("rt_sigprocmask", _SIG_SETMASK, bytes(8), 0, 8)
        p.call("setsid")
        if process.terminal:
            p.call("ioctl", 0, _TIOCSCTTY, 0, what="controlling terminal")
    if profile is not None and listener is None:
        _install(p, process, profile)
    argv = [os.fsencode(a) for a in process.args]
    envp = [os.fsencode(e) for e in process.env]
    failed = p.call("execve", path, argv, envp, what=f"exec {os.fsdecode(path)}", may_fail=start >= 0)
    if start >= 0:
        text = b"exec " + path + b": "
        p.call("write", 2, text, len(text), may_fail=True)
        p.call("write", 2, ErrorText(failed), ErrorText(failed, length=True), may_fail=True)
        p.call("exit_group", 255)
    return listener


def _install(p: Program, process: Process, profile: Profile) -> Result:
    """The config's filter, and what of the capabilities was there for it alone. With a listener, which is returned, stop to answer."""
    flags, bpf = profile
    listening = bool(flags & SECCOMP_FILTER_FLAG_NEW_LISTENER)
    listener = p.call("seccomp", SECCOMP_SET_MODE_FILTER, flags, FilterProgram(bpf), what="linux.seccomp", answer=listening)
    if not process.no_new_privileges and not may_filter(process):
        _capset(p, process)
    if listening:
        p.call("close", listener)
    return listener


def give_listener(stage: Stage, number: int) -> int:
    """Take the listener that the stage has just installed."""
    try:
        return stage.take_fd(number)
    except OSError as e:
        raise PyscError(f"take the seccomp listener: {os.strerror(e.errno or 0).lower()}") from None

