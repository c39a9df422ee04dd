"""Run system calls twice: natively, and through the sentry's handlers. Both runs must see, and leave behind, the same.

A test gives a body: a function of a `Caller`, which makes raw system calls and logs each with its result. The body runs
as the first process of a container that the real gofer builds, in a directory of its own; then in another one, in a twin
directory, under the real filter and the real sentry. Compared are the logs and the two trees.

A body runs in another process, to which it is sent by value: it may use variables of the test around it, modules,
constants and other functions of its module, and the classes of `tests.sentry.guest`.
"""

from __future__ import annotations

import importlib
import marshal
import os
import pickle
import shutil
import signal
import stat
import sys
import tempfile
import time
from io import BytesIO
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING

from gofer import server
from gofer.mounts import Mount, MountError, new_filesystem
from gofer.tree import Plan
from runsc_cli.daemon import daemon
from runsc_cli.mount_plan import detached
from runsc_cli.oci.mappings import Mappings
from sentry import boot
from sentry.abi import MOUNT_ATTR_NODEV, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY
from sentry.devices import DEFAULT
from sentry.files import boot_both
from sentry.platform import _native, wire
from sentry.platform import filter as filters
from sentry.syscalls.table import MEDIATED, ROWS
from tests.sentry import guest
from tests.sentry.guest import KERNEL_ADDRESS, UNMAPPED, Buffer, Caller

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Body = Callable[[Caller], object]

FIRST_HOST_ID, COUNT = 1_900_000_000, 65_536

DIRECTFS = os.environ.get("PYSC_TEST_DIRECTFS") != "false"
"""With PYSC_TEST_DIRECTFS=false all tests of handlers are run as with --directfs=false, which `make test` does with some."""

_BY_REFERENCE = ("tests.sentry.guest", "sentry.", "ctypes")


# ---- how a body travels ----


class _Pickler(pickle.Pickler):
    """Functions of tests by value, modules by name."""

    def reducer_override(self, obj: object) -> Any:
        if isinstance(obj, ModuleType):
            return importlib.import_module, (obj.__name__,)
        if obj is _native.lib or obj is _native.ffi:
            return getattr, (_native, "lib" if obj is _native.lib else "ffi")
        if isinstance(obj, FunctionType) and not obj.__module__.startswith(_BY_REFERENCE) and obj.__module__ not in sys.stdlib_module_names:
            names = _names(obj.__code__)
            used = {name: value for name, value in obj.__globals__.items() if name in names}
            cells = [cell.cell_contents for cell in obj.__closure__ or ()]
            return guest.function, (marshal.dumps(obj.__code__), used, obj.__defaults__, obj.__kwdefaults__, cells)
        return NotImplemented


def _names(code: CodeType) -> set[str]:
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= _names(constant)
    return found


def _ship(task: dict[str, object]) -> bytes:
    out = BytesIO()
    _Pickler(out).dump(task)
    return out.getvalue()


# ---- one container ----


class Options:
    """How a body runs."""

    def __init__(
        self,
        *,
        uid: int = 0,
        dumpable: bool = True,
        chroot: bool = False,
        setup: Callable[[], object] | None = None,
        no_new_privs: bool = False,
        network: str = "host",
        masked: tuple[str, ...] = (),
        fuse: bool = True,
        first_host_id: int = FIRST_HOST_ID,
        directfs: bool = DIRECTFS,
    ) -> None:
        self.uid = uid
        """Whom it becomes under the filter, with the group of the same number."""
        self.dumpable = dumpable
        """Whether it is as after an exec by that user; else as right after the change, when /proc/self is root's."""
        self.chroot = chroot
        """Whether its directory is its root directory."""
        self.setup = setup
        """What it does before the filter is there, as root."""
        self.no_new_privs = no_new_privs
        self.network = network
        """What the sentry is told; the network namespace is always one of its own, with a loopback interface."""
        self.masked = masked
        """maskedPaths of the config."""
        self.fuse = fuse
        """Whether the sentry's generated files are served live; else they are snapshots, as where there is no /dev/fuse."""
        self.directfs = directfs
        """Whether the sentry has the files; else a process beside it (sentry/files.py)."""
        self.first_host_id = first_host_id
        """The host's id that is root inside. Files on disk keep their ids by an idmapped mount, unless it is 0: then they are the same."""


class Run:
    """What one run logged and returned, and what the sentry has counted."""

    def __init__(self, log: list[tuple[object, ...]], calls: dict[str, int], value: object, report: dict[str, Any]) -> None:
        self.log = log
        self.calls = calls
        self.value = value
        self.counts: dict[str, int] = report.get("mediated", {})
        """Calls by name that were sent to the sentry."""
        self.denials = {(kind, what): count for kind, what, count in report.get("denied", [])}


class _Container:
    """The processes and descriptors of one run. `profile` is empty for a native one."""

    def __init__(self, top: str, options: Options, profile: str) -> None:
        self._top = top
        self._options = options
        self._profile = profile
        self._fds: list[int] = []
        self._pids: list[int] = []
        self._guest: wire.Socket
        self._gofer: wire.Socket | None = None
        self._sentry: wire.Socket | None = None
        self._log = self._own(os.memfd_create("log"))

    def _own(self, fd: int) -> int:
        self._fds.append(fd)
        return fd

    def run(self, body: Body) -> Run:
        """Everything from the first fork to the last process's end."""
        options = self._options
        program = filters.program(self._profile, options.network) if self._profile else b""
        task = _ship(
            {
                "body": body,
                "setup": options.setup,
                "program": program,
                "uid": options.uid,
                "dumpable": options.dumpable,
                "chroot": options.chroot,
                "no_new_privs": options.no_new_privs,
            }
        )
        try:
            init, proc = self._start(task)
            root, made = self._build(init, proc)
            wire.send(self._guest, {"built": True}, [made[2]])
            if self._profile:
                listener = self._receive("listener")
                self._boot(init, root, made, listener)
                wire.send(self._guest, {"go": True})
            result = self._receive("result")
            report = self._report()
        except BaseException:
            for pid in self._pids:  # one of them may be what we have waited for in vain
                os.kill(pid, signal.SIGKILL)
            self._end()
            raise
        status = self._end()
        text = os.pread(self._log, 1 << 20, 0).decode()
        for fd in self._fds:
            os.close(fd)
        assert "internal error" not in text, text
        assert status == 0, f"the guest ended with {os.waitstatus_to_exitcode(status)}; {text}"
        with os.fdopen(result, "rb") as file:
            file.seek(0)
            return Run(*pickle.load(file), report)

    def _start(self, task: bytes) -> tuple[int, int]:
        """Start the guest in its user namespace; its pid here and its procfs, detached."""
        self._guest, theirs = wire.pair()
        pid = os.fork()
        if pid == 0:
            try:
                guest.become_guest(theirs.fileno(), [path or os.getcwd() for path in sys.path])
            finally:
                os._exit(127)
        self._pids.append(pid)
        theirs.close()
        wire.recv(self._guest)
        lines = [(0, self._options.first_host_id, COUNT)]
        Mappings(lines, lines).write(pid)
        wire.send_fds(self._guest, task)
        proc = self._receive("proc")
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return int(file.read()), proc

    def _receive(self, what: str) -> int:
        """A descriptor from the guest."""
        message, fds = wire.recv(self._guest)
        assert what in message, message
        return fds[0]

    def _build(self, init: int, proc: int) -> tuple[int, list[int]]:
        """Fork the gofer; the container's root and what it has made besides."""
        procfd = self._procfd = self._own(new_filesystem("proc", ("hidepid=ptraceable",), "procfs for the sentry"))
        user, mount = (self._own(os.open(f"/proc/{init}/ns/{name}", os.O_RDONLY)) for name in ("user", "mnt"))
        self._init = self._own(os.pidfd_open(init))
        idmap = user if self._options.first_host_id else -1
        plan = Plan(user, mount, -1)
        plan.mounts = [
            Mount("proc", "/proc", fd=proc),
            Mount("tmpfs", "/dev", data=("mode=755",)),
            Mount("tmpfs", "/tmp", data=("mode=1777",)),
            Mount("sysfs", "/sys"),
            Mount("bind", "/work", fd=_detached(self._top, idmap)),
        ]
        for path in ("/usr", "/etc"):
            plan.mounts.append(Mount("bind", path, fd=_detached(path, idmap), attr_set=_SYSTEM))
        for path in ("/bin", "/lib", "/lib64"):
            if os.path.islink(path):
                plan.links.append((path, os.readlink(path)))
        plan.masked = list(self._options.masked)
        self._gofer, theirs = wire.pair()
        keep = [2, theirs.fileno(), procfd, self._init, user, mount, *(m.fd for m in plan.mounts if m.fd >= 0)]
        self._pids.append(daemon("test-gofer", keep, lambda: server.run(theirs, plan, self._init, procfd, debug=True)))
        theirs.close()
        for m in plan.mounts:
            if m.fd >= 0:
                os.close(m.fd)
        answer, fds = wire.recv(self._gofer)
        assert "error" not in answer, answer
        for fd in fds:
            self._own(fd)
        return fds[0], fds[1:]

    def _boot(self, init: int, root: int, made: list[int], listener: int) -> None:
        """Start a sentry as `runsc_cli.container` does, and give it the listener."""
        assert self._gofer is not None
        self._sentry = self._fork_sentry("test-sentry")
        given = {"root": root, "procfd": self._procfd, "init": self._init, "log": self._log}
        given["gofer"] = self._gofer.fileno()
        given["gofer_pid"] = self._own(os.pidfd_open(self._pids[1]))
        for name in ("user", "net", "ipc", "uts"):
            given[name] = self._own(os.open(f"/proc/{init}/ns/{name}", os.O_RDONLY))
        given.update(zip(("empty", "bare_proc", "mnt", "fuse", "fuse_root")[: None if self._options.fuse else 3], made, strict=False))
        control = wire.listener()
        control.bind("")
        control.listen(1)
        given["control"] = control.fileno()
        message = {
            "platform": "notify",
            "profile": self._profile,
            "network": self._options.network,
            "own_netns": True,
            "born": int(time.clock_gettime(time.CLOCK_BOOTTIME)),
            "debug": True,  # a refused call of its own is named on stderr
            "devices": [rule.plain() for rule in DEFAULT],
            "cgroups": {},
            "outside": {},
            "record_missing": False,
            "release": "",
            "no_new_privs": self._options.no_new_privs,
            "bounding": guest.ALL_CAPABILITIES,
            "init": init,
        }
        booting = [self._sentry]
        if self._options.directfs:
            wire.send(self._sentry, {**message, "fds": list(given)}, list(given.values()))
        else:
            booting.append(self._fork_sentry("test-files"))
            boot_both(*booting, message, given)
        control.close()
        self._gofer.close()
        for sock in booting:
            _expect_ok(sock)
        wire.send(self._sentry, {"op": "attach", "pid": init}, [listener])
        os.close(listener)
        _expect_ok(self._sentry)
        wire.send(self._sentry, {"op": "settled"})
        _expect_ok(self._sentry)
        for sock in booting[1:]:
            sock.close()

    def _fork_sentry(self, name: str) -> wire.Socket:
        ours, theirs = wire.pair()
        self._pids.append(daemon(name, [2, theirs.fileno()], lambda: boot.run(theirs)))
        theirs.close()
        return ours

    def _report(self) -> dict[str, Any]:
        if self._sentry is None:
            return {}
        wire.send(self._sentry, {"op": "report"})
        return wire.recv(self._sentry)[0]

    def _end(self) -> int:
        """Wait for everybody; the guest's wait status."""
        self._guest.close()
        status = os.waitpid(self._pids[0], 0)[1] if self._pids else 0
        for sock in (self._gofer, self._sentry):  # not before: each kills the guest when its other end is gone
            if sock is not None:
                sock.close()
        for pid in self._pids[1:]:
            os.waitpid(pid, 0)
        return status


def _expect_ok(sock: wire.Socket) -> None:
    answer, _ = wire.recv(sock)
    assert "error" not in answer, answer


_SYSTEM = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV


def _detached(path: str, userns: int) -> int:
    def fail(text: str) -> None:
        raise MountError(text)

    return detached(path, userns, False, fail, path)


# ---- twins ----


def twin(prepare: Callable[[str], None]) -> str:
    """A fresh directory that everybody may search, filled by `prepare`; the working directory is `base` in it."""
    top = tempfile.mkdtemp(prefix="pysc-", dir="/tmp")
    os.chmod(top, 0o755)
    base = os.path.join(top, "base")
    os.mkdir(base)
    prepare(base)
    return top


def tree(top: str) -> dict[str, tuple[object, ...]]:
    """Everything in `top`, but times and inode numbers."""
    found = {}
    for directory, directories, files in os.walk(os.fsencode(top)):
        for name in (*directories, *files, b"."):
            path = os.path.join(directory, name)
            st = os.lstat(path)
            link = os.readlink(path) if stat.S_ISLNK(st.st_mode) else b""
            size = st.st_size if stat.S_ISREG(st.st_mode) else 0
            xattrs = {n: os.getxattr(path, n, follow_symlinks=False) for n in os.listxattr(path, follow_symlinks=False)}
            shown = os.fsdecode(os.path.relpath(path, os.fsencode(top)))
            found[shown] = (oct(st.st_mode), st.st_uid, st.st_gid, st.st_nlink, size, link, xattrs)
    return found


def _difference(theirs: tuple[object, ...], ours: tuple[object, ...]) -> object:
    """What is other in `ours`: of the same call its result."""
    return ours[-1] if theirs[:-1] == ours[:-1] else ours


def both(body: Body, prepare: Callable[[str], None], *, profile: str = "strict", **options: Any) -> Run:
    """Run `body` natively and mediated; fail unless logs and trees are alike. Returns the mediated run. `options`: see Options."""
    tops = [twin(prepare), twin(prepare)]
    try:
        native = _Container(tops[0], Options(**options), "").run(body)
        mediated = _Container(tops[1], Options(**options), profile).run(body)
        differ = [(theirs, _difference(theirs, ours)) for theirs, ours in zip(native.log, mediated.log, strict=True) if theirs != ours]
        assert not differ, "native, mediated:\n" + "\n".join(f"{theirs} {ours}" for theirs, ours in differ)
        before, after = tree(tops[0]), tree(tops[1])
        left = {name: (before.get(name), after.get(name)) for name in before | after}
        assert before == after, {name: pair for name, pair in left.items() if pair[0] != pair[1]}
        network = Options(**options).network
        mediated_names = {row.name for row in ROWS if row.disposition(profile, network) is MEDIATED}
        for name in mediated.calls.keys() & mediated_names:
            assert mediated.counts.get(name, 0) >= mediated.calls[name], f"{name} did not reach its handler"
        return mediated
    finally:
        for top in tops:
            shutil.rmtree(top)


def alone(body: Body, prepare: Callable[[str], None], *, profile: str = "strict", **options: Any) -> Run:
    """Run `body` mediated only, where it is not meant to be as natively."""
    top = twin(prepare)
    try:
        return _Container(top, Options(**options), profile).run(body)
    finally:
        shutil.rmtree(top)


__all__ = ["KERNEL_ADDRESS", "UNMAPPED", "Buffer", "Caller", "Options", "Run", "alone", "both", "tree", "twin"]
