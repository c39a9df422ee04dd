"""A guest: makes each mediated system call, most of them in several ways. Prints the name of each and its result.

Run inside a sandbox by test_own_filters.py, with the numbers of system calls as JSON in the first argument.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import stat
import struct
import sys
import threading

NUMBERS = json.loads(sys.argv[1])
AT_FDCWD = -100
libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *args: int | bytes | ctypes.Array) -> int:
    """The system call: its value or -errno."""
    ctypes.set_errno(0)
    raw = [a if isinstance(a, (bytes, ctypes.Array)) else ctypes.c_ulong(a & (1 << 64) - 1) for a in args]
    result = libc.syscall(ctypes.c_long(NUMBERS[name]), *raw, *[ctypes.c_ulong(0)] * (6 - len(raw)))
    result = -ctypes.get_errno() if result == -1 else result
    print(name, result)
    return result


def buffer(size: int = 4096, content: bytes = b"") -> ctypes.Array:
    return ctypes.create_string_buffer(content, size)


def files() -> None:
    """open(2) and its relatives, on what there is to open."""
    os.close(call("creat", b"file", 0o644))
    os.close(call("open", b"file", os.O_RDWR, 0))
    os.close(call("openat", AT_FDCWD, b"file", os.O_RDONLY | os.O_PATH, 0))
    os.close(call("openat", AT_FDCWD, b".", os.O_RDWR | os.O_TMPFILE, 0o600))
    os.close(call("openat2", AT_FDCWD, b"file", struct.pack("<QQQ", os.O_RDONLY, 0, 0x08), 24))
    directory = os.open(".", os.O_RDONLY)
    os.close(call("openat", directory, b"file", os.O_RDONLY, 0))
    os.close(directory)
    for name in ("dev/null", "dev/tty", "proc/self/status", "proc/self/fd/1", "proc/meminfo", "proc/kcore", "proc/sys/kernel/hostname"):
        fd = call("open", b"/" + name.encode(), os.O_RDONLY, 0)
        if fd >= 0:
            os.read(fd, 4096)
            os.close(fd)
    os.listdir("/proc")
    call("openat", AT_FDCWD, b"missing/file", os.O_RDONLY, 0)
    call("openat", AT_FDCWD, b"/etc/shadow", os.O_RDONLY, 0)


def directories() -> None:
    """sys_dir."""
    call("mkdir", b"a", 0o755)
    call("mkdirat", AT_FDCWD, b"b", 0o755)
    call("mknod", b"fifo", stat.S_IFIFO | 0o600, 0)
    call("mknodat", AT_FDCWD, b"node", stat.S_IFSOCK | 0o600, 0)
    call("mknodat", AT_FDCWD, b"device", stat.S_IFBLK | 0o600, os.makedev(8, 0))
    call("symlink", b"file", b"s1")
    call("symlinkat", b"file", AT_FDCWD, b"s2")
    call("link", b"file", b"l1")
    call("linkat", AT_FDCWD, b"s1", AT_FDCWD, b"l2", 0x400)
    call("rename", b"l1", b"r1")
    call("renameat", AT_FDCWD, b"r1", AT_FDCWD, b"r2")
    call("renameat2", AT_FDCWD, b"r2", AT_FDCWD, b"l2", 2)
    call("unlink", b"s2")
    call("unlinkat", AT_FDCWD, b"b", 0x200)
    call("rmdir", b"a")
    call("rmdir", b"/proc")


def attributes() -> None:
    """sys_attr."""
    call("chmod", b"file", 0o600)
    call("fchmodat", AT_FDCWD, b"file", 0o640)
    call("fchmodat2", AT_FDCWD, b"s1", 0o640, 0x100)
    call("fchmodat2", AT_FDCWD, b"file", 0o644, 0)
    call("chown", b"file", 1, 1)
    call("lchown", b"s1", 1, 1)
    call("fchownat", AT_FDCWD, b"file", 0, 0, 0)
    call("utime", b"file", 0)
    call("utimes", b"file", 0)
    call("futimesat", AT_FDCWD, b"file", 0)
    call("utimensat", AT_FDCWD, b"s1", 0, 0x100)
    call("truncate", b"file", 10)
    for name, path in (("setxattr", b"file"), ("lsetxattr", b"s1")):
        call(name, path, b"user.x", b"value", 5, 0)
    for name in ("getxattr", "lgetxattr"):
        call(name, b"file", b"user.x", buffer(), 4096)
    for name in ("listxattr", "llistxattr"):
        call(name, b"file", buffer(), 4096)
    for name in ("removexattr", "lremovexattr"):
        call(name, b"file", b"user.x")


def looks() -> None:
    """sys_stat, sys_misc."""
    out = buffer()
    for name in ("stat", "lstat", "statfs"):
        call(name, b"file", out)
    call("newfstatat", AT_FDCWD, b"s1", out, 0x100)
    call("newfstatat", 1, b"", out, 0x1000)
    call("statx", AT_FDCWD, b"file", 0, 0xFFF, out)
    call("access", b"file", os.R_OK)
    call("faccessat", AT_FDCWD, b"file", os.R_OK)
    call("faccessat2", AT_FDCWD, b"s1", os.F_OK, 0x100)
    call("readlink", b"s1", out, 4096)
    call("readlinkat", AT_FDCWD, b"/proc/self/exe", out, 4096)
    call("readlink", b"/proc/self", out, 4096)
    inotify = libc.inotify_init1(0)
    call("inotify_add_watch", inotify, b"file", 0xFFF)
    call("inotify_add_watch", 0, b"file", 0xFFF)
    handle, mount = buffer(136, struct.pack("<I", 128)), buffer(8)
    call("name_to_handle_at", AT_FDCWD, b"file", handle, mount, 0)
    call("sysinfo", out)
    call("sched_getaffinity", 0, 128, out)
    call("sched_getaffinity", os.getpid(), 128, out)
    call("ioctl", 0, 0x5412, out)
    call("chdir", b".")


def sockets() -> None:
    """sys_socket: refused, accepted, waiting, over four families."""
    with socket.socket() as server, socket.socket() as client, socket.socket() as other:
        call("bind", server.fileno(), struct.pack("!HH4s8x", 0x0200, 0, socket.inet_aton("127.0.0.1")), 16)
        server.listen()
        address = struct.pack("!HH4s8x", 0x0200, server.getsockname()[1], socket.inet_aton("127.0.0.1"))
        call("connect", client.fileno(), address, 16)
        other.setblocking(False)
        call("connect", other.fileno(), struct.pack("!HH4s8x", 0x0200, 1, socket.inet_aton("127.0.0.1")), 16)
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as six:
        call("connect", six.fileno(), struct.pack("!HHI16sI", 0x0A00, 9, 0, socket.inet_pton(socket.AF_INET6, "::1"), 0), 28)
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        call("bind", server.fileno(), b"\1\0sock\0", 7)
        server.listen()
        call("connect", client.fileno(), b"\1\0sock\0", 7)


def waits() -> None:
    """Held replies: a FIFO whose other end comes later, either way, and one that a signal ends."""
    writer = threading.Thread(target=lambda: os.close(os.open("fifo", os.O_WRONLY)))
    writer.start()
    os.close(call("open", b"fifo", os.O_RDONLY, 0))
    writer.join()
    reader = threading.Thread(target=lambda: os.close(os.open("fifo", os.O_RDONLY)))
    reader.start()
    os.close(call("open", b"fifo", os.O_WRONLY, 0))
    reader.join()
    signal.signal(signal.SIGALRM, lambda _signal, _frame: None)
    signal.siginterrupt(signal.SIGALRM, True)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    call("open", b"fifo", os.O_RDONLY, 0)


def too_long() -> None:
    """truncate(2) beyond RLIMIT_FSIZE: SIGXFSZ from the sentry."""
    import resource

    signal.signal(signal.SIGXFSZ, lambda _signal, _frame: print("SIGXFSZ"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
    call("truncate", b"file", 1000)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def mounts() -> None:
    """sys_mount, for who has CAP_SYS_ADMIN: each kind of request to the gofer."""
    os.mkdir("m")
    os.mkdir("n")
    call("mount", b"none", b"m", b"tmpfs", 2, b"size=64k,mode=700")
    call("mount", b"m", b"n", 0, 4096, 0)
    call("mount", b"none", b"n", 0, 4096 | 32 | 1, 0)
    call("mount", b"none", b"n", 0, 1 << 18, 0)
    call("mount", b"m", b"n", 0, 4096 | 16384, 0)
    call("umount2", b"n", 2)
    call("umount2", b"n", 0)
    call("umount2", b"m", 0)
    call("umount2", b"m", 0)


def identity() -> None:
    """sys_identity: last, since nothing leads back."""
    call("umask", 0o22)
    call("prctl", 8, 0)
    call("prctl", 35, 0)
    call("setgroups", 0, 0)
    for name in ("setgid", "setuid", "setfsgid", "setfsuid"):
        call(name, 0)
    for name in ("setregid", "setreuid"):
        call(name, 0, 0)
    for name in ("setresgid", "setresuid"):
        call(name, 0, 0, 0)
    call("capset", struct.pack("<II", 0x20080522, 0), bytes(24))
    os.close(call("open", b"file", os.O_RDONLY, 0))
    call("chroot", b".")


os.chdir("/tmp")
for part in (files, directories, attributes, looks, sockets, waits, too_long, mounts, identity):
    part()
print("end")
