"""Whose permissions the sentry acts with: credentials of tasks, cached, and the identity of our own threads.

Model: credentials(7), setfsuid(2), capabilities(7). A handler that touches files first takes the caller's fsuid,
fsgid, supplementary groups, umask and file capabilities, so the kernel itself makes every DAC decision.

Reading /proc/TID/status costs 16 us, an intercepted open 20. So facts are cached per thread, and the cache is exact because:

- credentials change by set*id, setgroups, capset and prctl, which are sent to the sentry first (answered CONTINUE): the
  entry is dropped, and that thread can make no other call until the kernel has made the change;
- an exec of a setuid program changes the effective ids, which own /proc/TID: one stat (2 us) shows it, of a process that is not dumpable
  as well (fs/proc/base.c:task_dump_owner(): what everybody may read and search belongs to the effective ids);
- that stat also shows the inode of /proc/TID, which is never the same for a reused thread id;
- an exec by other than root drops capabilities without a trace: such a state (not root, capabilities held) is not cached;
  securebits and a smaller bounding set, which make an exec take privilege from root, end caching for good;
- umask is the fs_struct's: umask(2) is sent to the sentry and drops every entry.
"""

from __future__ import annotations

import errno

from sentry.abi import (
    CAP_CHOWN,
    CAP_DAC_OVERRIDE,
    CAP_DAC_READ_SEARCH,
    CAP_FOWNER,
    CAP_FSETID,
    CAP_KILL,
    CAP_LINUX_IMMUTABLE,
    CAP_MKNOD,
    CAP_NET_BIND_SERVICE,
    CAP_SETFCAP,
    CAP_SETGID,
    CAP_SETUID,
    CAP_SYS_ADMIN,
    CAP_SYS_NICE,
    CAP_SYS_PTRACE,
)
from sentry.platform._native import ffi, lib
from sentry.platform.threads import Local

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

OWN_CAPS = 1 << CAP_SETUID | 1 << CAP_SETGID | 1 << CAP_SYS_PTRACE | 1 << CAP_SYS_NICE | 1 << CAP_KILL
"""What an acting thread keeps: to change identity again, to look at callers, to narrow their affinity, to kill them."""

FILE_CAPS = (
    1 << CAP_CHOWN
    | 1 << CAP_DAC_OVERRIDE
    | 1 << CAP_DAC_READ_SEARCH
    | 1 << CAP_FOWNER
    | 1 << CAP_FSETID
    | 1 << CAP_LINUX_IMMUTABLE
    | 1 << CAP_MKNOD
    | 1 << CAP_NET_BIND_SERVICE
    | 1 << CAP_SETFCAP
    | 1 << CAP_SYS_ADMIN
)
"""What the kernel asks for in mediated system calls: taken over from the caller where it has them."""

ALL_CAPS = OWN_CAPS | FILE_CAPS

SOCKET_CAPS = OWN_CAPS | 1 << CAP_NET_BIND_SERVICE
"""Of a sentry that handles sockets alone: sentry/files.py."""

MAX_ENTRIES = 4096


class Credentials:
    """Ids in the container's user namespace; `cap_eff` is a bit mask. Constant."""

    __slots__ = ("cap_eff", "euid", "fsgid", "fsuid", "gid", "groups", "uid", "umask")

    def __init__(
        self, uid: int, euid: int, fsuid: int, gid: int, fsgid: int, groups: tuple[int, ...], cap_eff: int, umask: int
    ) -> None:
        self.uid = uid
        self.euid = euid
        self.fsuid = fsuid
        self.gid = gid
        self.fsgid = fsgid
        self.groups = groups
        self.cap_eff = cap_eff
        self.umask = umask

    @classmethod
    def of(cls, facts: Any) -> Credentials:
        """`facts`: struct creds."""
        return cls(
            uid=facts.uid,
            euid=facts.euid,
            fsuid=facts.fsuid,
            gid=facts.gid,
            fsgid=facts.fsgid,
            groups=tuple(facts.groups[0 : facts.ngroups]),
            cap_eff=facts.cap_eff,
            umask=facts.umask,
        )

    def real(self, cap_eff: int) -> Credentials:
        """With the real ids for files and other capabilities, as access(2) asks."""
        return Credentials(self.uid, self.euid, self.uid, self.gid, self.gid, self.groups, cap_eff, self.umask)


class Ids:
    """`tgid` in the sentry's pid namespace, `ns_*` in the container's."""

    __slots__ = ("ns_tgid", "ns_tid", "tgid")

    def __init__(self, tgid: int, ns_tgid: int, ns_tid: int) -> None:
        self.tgid = tgid
        self.ns_tgid = ns_tgid
        self.ns_tid = ns_tid


class CredentialCache:
    """Credentials by thread id. Shared by all dispatchers: each step is one dict operation, which the GIL makes atomic.

    While no_new_privs holds for the whole container and nobody has changed identity or umask since the workload began, nor joined
    by `exec`, everybody has the identity that was read first, and not even the stat is needed: `uniform`.
    """

    __slots__ = ("_entries", "_exact", "_local", "_may_be_uniform", "_no_new_privs", "_procfd", "_watched", "is_uniform", "uniform")

    def __init__(self, procfd: int, no_new_privs: bool = False) -> None:
        """`no_new_privs`: no process of the container can gain privileges by execve(2)."""
        self._procfd = procfd
        self._entries: dict[int, tuple[int, int, Credentials]] = {}
        self._exact = True
        self._no_new_privs = no_new_privs
        self._may_be_uniform = False
        """Never again true once somebody has changed identity, or joined, after settled(): whether or not anybody was read by then."""
        self.uniform: Credentials | None = None
        self.is_uniform = ffi.new("int *")
        """The same for the native loops: whether there is one, and they may answer."""
        self._watched = False
        self._local = Local()

    def of(self, tid: int) -> Credentials:
        """Credentials of thread `tid`. Raises ESRCH when it is gone, E2BIG when it has over 1024 groups."""
        uniform = self.uniform
        if uniform is not None:
            return uniform
        entry = self._entries.get(tid)
        if entry is not None and lib.proc_same(self._procfd, tid, entry[0], entry[1]):
            return entry[2]
        return self._read(tid)

    def ids(self, tid: int) -> Ids:
        """The process that thread `tid` belongs to. Raises ESRCH."""
        facts = self.facts(tid)
        return Ids(facts.tgid, facts.ns_tgid, facts.ns_tid)

    def signalled(self, tid: int) -> bool:
        """Whether a signal that thread `tid` does not block is pending for it."""
        try:
            facts = self.facts(tid)
        except OSError:
            return False
        return bool(facts.pending & ~facts.blocked)

    def facts(self, tid: int) -> Any:
        """struct creds of thread `tid`, as the kernel has it now. Raises ESRCH, E2BIG."""
        facts = ffi.new("struct creds *")
        error = lib.read_creds(self._procfd, tid, facts)
        if error:
            raise OSError(errno.ESRCH if error == -errno.ENOENT else -error, "credentials")
        return facts

    def _read(self, tid: int) -> Credentials:
        identity = ffi.new("uint64_t[2]")
        error = lib.proc_identity(self._procfd, tid, identity)
        if error:
            raise OSError(errno.ESRCH if error == -errno.ENOENT else -error, "credentials")
        found = Credentials.of(self.facts(tid))
        if self._exact and (found.euid == 0 or found.cap_eff == 0):
            if len(self._entries) >= MAX_ENTRIES:
                self._entries.clear()
            self._entries[tid] = (identity[0], identity[1], found)
            if self._may_be_uniform:
                self.uniform = found
                self.is_uniform[0] = not self._watched
                if not self._may_be_uniform:  # another listener's thread has learned of a change meanwhile
                    self._no_longer_uniform()
        return found

    def settled(self) -> None:
        """The container's first process is what config.json wants it to be, and executes the workload next."""
        self._may_be_uniform = self._no_new_privs

    def _no_longer_uniform(self) -> None:
        self._may_be_uniform = False
        self.is_uniform[0] = 0
        self.uniform = None

    def watch(self, watched: bool) -> None:
        """Somebody looks at opens: no native loop answers them meanwhile."""
        self._watched = watched
        self.is_uniform[0] = self.uniform is not None and not watched
        if self.uniform is None:  # a listener's thread has learned of a change meanwhile
            self.is_uniform[0] = 0

    def forget(self, tid: int) -> None:
        """The thread is about to change its credentials."""
        self._entries.pop(tid, None)
        self._no_longer_uniform()

    def forget_all(self) -> None:
        """Somebody is about to change a umask, which processes may share (CLONE_FS), or a process joins with its own identity."""
        self._entries.clear()
        self._no_longer_uniform()

    def stop_caching(self) -> None:
        """Somebody sets securebits or drops from a bounding set: from now on exec may take capabilities from root."""
        self._exact = False
        self.forget_all()

    def assume(self, creds: Credentials, *, ptrace: bool = True) -> None:
        """Give the calling thread this file system identity. Raises EPERM when the kernel refuses.

        `ptrace`: whether it keeps the sentry's CAP_SYS_PTRACE, or has it only if the caller does.
        """
        local = self._local
        key = (creds.fsuid, creds.fsgid, creds.groups, creds.cap_eff, creds.umask, ptrace)
        if getattr(local, "acting", None) == key:
            return
        local.acting = None
        groups = ffi.new("uint32_t[]", list(creds.groups) or [0])
        # For a ptrace access check the kernel compares whole sets; to switch identity again we are back with our own.
        effective = OWN_CAPS | (creds.cap_eff & FILE_CAPS) if ptrace else creds.cap_eff
        error = lib.assume(creds.fsuid, creds.fsgid, len(creds.groups), groups, effective)
        if error:
            raise OSError(-error, "acting as the caller")
        lib.set_umask(creds.umask)
        local.acting = key

    def resume_own(self) -> None:
        """Give the calling thread the sentry's own identity back: root of the container, all file capabilities."""
        error = lib.assume(0, 0, 0, ffi.new("uint32_t[]", 1), ALL_CAPS)
        if error:
            raise OSError(-error, "acting as the sentry")
        lib.set_umask(0o77)
        self._local.acting = None
