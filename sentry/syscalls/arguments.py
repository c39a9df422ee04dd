"""What the argument registers of a system call must hold for the host kernel to execute it. For `sentry.syscalls.table`.

Sources: the kernel's uapi headers, by name; the man page of each call. Each width is that of the kernel's prototype
(SYSCALL_DEFINE in the source), which is not always libc's: clone takes an unsigned long and uses its lower half, personality
takes an unsigned int.

Allowlists, so that what a later kernel adds is refused until somebody has looked at it. What was left out on purpose, and why,
stands beside each list.
"""

from __future__ import annotations

from sentry.platform.bpf import AllOf, AnyOf, Equal, In, MaskZero, Not

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sentry.platform.bpf import Rule

# ---- sched.h: clone, unshare. Namespaces are the way to most kernel bugs that need a capability. ----

_CLONE_NEW = {
    "CLONE_NEWNS": 0x20000,
    "CLONE_NEWCGROUP": 0x2000000,
    "CLONE_NEWUTS": 0x4000000,
    "CLONE_NEWIPC": 0x8000000,
    "CLONE_NEWUSER": 0x10000000,
    "CLONE_NEWPID": 0x20000000,
    "CLONE_NEWNET": 0x40000000,
}
CLONE = MaskZero(0, _CLONE_NEW | {"CLONE_PARENT": 0x8000})
"""0x80 is no flag here but a bit of the exit signal. CLONE_PARENT: the sibling of a process that `pysc exec` started would
be a child of whoever called it, on the host."""
TRACED_CLONE = MaskZero(0, {"CLONE_UNTRACED": 0x800000})

# CLONE_FS CLONE_FILES CLONE_SIGHAND CLONE_VM CLONE_THREAD CLONE_SYSVSEM
UNSHARE = MaskZero(0, ~(0x200 | 0x400 | 0x800 | 0x100 | 0x10000 | 0x40000), width=64)

# ---- prctl.h ----

PRCTL = In(
    0,
    {
        "PR_SET_PDEATHSIG": 1,
        "PR_GET_PDEATHSIG": 2,
        "PR_GET_DUMPABLE": 3,
        "PR_SET_DUMPABLE": 4,
        "PR_GET_KEEPCAPS": 7,
        "PR_GET_TIMING": 13,
        "PR_SET_NAME": 15,
        "PR_GET_NAME": 16,
        "PR_GET_SECCOMP": 21,
        "PR_SET_SECCOMP": 22,
        "PR_CAPBSET_READ": 23,
        "PR_GET_TSC": 25,
        "PR_SET_TSC": 26,
        "PR_GET_SECUREBITS": 27,
        "PR_SET_TIMERSLACK": 29,
        "PR_GET_TIMERSLACK": 30,
        "PR_SET_CHILD_SUBREAPER": 36,
        "PR_GET_CHILD_SUBREAPER": 37,
        "PR_SET_NO_NEW_PRIVS": 38,
        "PR_GET_NO_NEW_PRIVS": 39,
        "PR_GET_TID_ADDRESS": 40,
        "PR_SET_THP_DISABLE": 41,
        "PR_GET_THP_DISABLE": 42,
        "PR_GET_SPECULATION_CTRL": 52,
        "PR_SET_MDWE": 65,
        "PR_GET_MDWE": 66,
        "PR_GET_MEMORY_MERGE": 68,
        "PR_GET_AUXV": 0x41555856,
        "PR_SET_VMA": 0x53564D41,
        "PR_SET_PTRACER": 0x59616D61,
    },
)
PRCTL_IDENTITY = In(0, {"PR_SET_KEEPCAPS": 8, "PR_CAPBSET_DROP": 24, "PR_SET_SECUREBITS": 28, "PR_CAP_AMBIENT": 47})
"""They decide which capabilities a later setuid or exec leaves, which the sentry has to know."""

PRCTL_PRIVILEGED = In(0, {"PR_SET_MM": 35, "PR_SET_MEMORY_MERGE": 67})
"""Rewrites the memory map's description; merges equal pages across containers, which tells who has which page."""

# ---- others of processes and memory ----

SECCOMP = AnyOf(Not(Equal(0, 1)), MaskZero(1, {"SECCOMP_FILTER_FLAG_NEW_LISTENER": 8}))

PERSONALITY = AnyOf(
    Equal(0, 0xFFFFFFFF),  # asks for the present one
    MaskZero(0, ~(0x8 | 0x20000 | 0x40000 | 0x400000)),  # PER_LINUX32 UNAME26 ADDR_NO_RANDOMIZE READ_IMPLIES_EXEC
)

PTRACE = AnyOf(
    Not(In(0, {"PTRACE_SETOPTIONS": 0x4200, "PTRACE_SEIZE": 0x4206}, width=64)),
    MaskZero(3, {"PTRACE_O_SUSPEND_SECCOMP": 1 << 21}, width=64),
)

FUTEX_NOT_PI = In(
    1,
    {
        "FUTEX_WAIT": 0,
        "FUTEX_WAKE": 1,
        "FUTEX_REQUEUE": 3,
        "FUTEX_CMP_REQUEUE": 4,
        "FUTEX_WAKE_OP": 5,
        "FUTEX_WAIT_BITSET": 9,
        "FUTEX_WAKE_BITSET": 10,
    },
    mask=~(128 | 256),  # FUTEX_PRIVATE_FLAG, FUTEX_CLOCK_REALTIME
)

MADVISE = Not(In(2, {"MADV_MERGEABLE": 12, "MADV_HWPOISON": 100, "MADV_SOFT_OFFLINE": 101}))

WALL_CLOCKS = In(0, {"CLOCK_REALTIME": 0, "CLOCK_MONOTONIC": 1, "CLOCK_BOOTTIME": 7, "CLOCK_TAI": 11})
"""timer_create(2), strict: no timer on CPU time, of a process or a thread."""

# ---- fcntl.h. Not F_NOTIFY: its events are those of a path that nobody mediated. ----

FCNTL = In(
    1,
    {
        "F_DUPFD": 0,
        "F_GETFD": 1,
        "F_SETFD": 2,
        "F_GETFL": 3,
        "F_SETFL": 4,
        "F_GETLK": 5,
        "F_SETLK": 6,
        "F_SETLKW": 7,
        "F_SETOWN": 8,
        "F_GETOWN": 9,
        "F_SETSIG": 10,
        "F_GETSIG": 11,
        "F_SETOWN_EX": 15,
        "F_GETOWN_EX": 16,
        "F_OFD_GETLK": 36,
        "F_OFD_SETLK": 37,
        "F_OFD_SETLKW": 38,
        "F_SETLEASE": 1024,
        "F_GETLEASE": 1025,
        "F_DUPFD_QUERY": 1027,
        "F_CREATED_QUERY": 1028,
        "F_DUPFD_CLOEXEC": 1030,
        "F_SETPIPE_SZ": 1031,
        "F_GETPIPE_SZ": 1032,
        "F_ADD_SEALS": 1033,
        "F_GET_SEALS": 1034,
        "F_GET_RW_HINT": 1035,
        "F_SET_RW_HINT": 1036,
        "F_GET_FILE_RW_HINT": 1037,
        "F_SET_FILE_RW_HINT": 1038,
    },
)

PIPE2 = MaskZero(1, {"O_NOTIFICATION_PIPE": 0o200})

# ---- ioctls.h, fs.h, sockios.h. The rest goes to the sentry, which answers ENOTTY and remembers it. ----
# Never: TIOCSTI and TIOCLINUX type into somebody's terminal; TIOCSETD loads line disciplines (n_gsm). FS_IOC_FIEMAP tells where
# on the disk a file is, FS_IOC_SETFLAGS converts files of the host. NS_GET_* and PIDFD_GET_*_NAMESPACE make descriptors of
# namespaces. SIOCSIF*, SIOCETHTOOL and bridges configure interfaces. Devices' own requests: no device of the host is there.

_TERMINAL = {
    "TCGETS": 0x5401,
    "TCSETS": 0x5402,
    "TCSETSW": 0x5403,
    "TCSETSF": 0x5404,
    "TCGETA": 0x5405,
    "TCSETA": 0x5406,
    "TCSETAW": 0x5407,
    "TCSETAF": 0x5408,
    "TCSBRK": 0x5409,
    "TCXONC": 0x540A,
    "TCFLSH": 0x540B,
    "TIOCEXCL": 0x540C,
    "TIOCNXCL": 0x540D,
    "TIOCSCTTY": 0x540E,
    "TIOCGPGRP": 0x540F,
    "TIOCSPGRP": 0x5410,
    "TIOCOUTQ": 0x5411,  # SIOCOUTQ
    "TIOCGWINSZ": 0x5413,
    "TIOCSWINSZ": 0x5414,
    "TIOCPKT": 0x5420,
    "TIOCNOTTY": 0x5422,
    "TIOCGETD": 0x5424,
    "TCSBRKP": 0x5425,
    "TIOCGSID": 0x5429,
    "TCGETS2": 0x802C542A,
    "TCSETS2": 0x402C542B,
    "TCSETSW2": 0x402C542C,
    "TCSETSF2": 0x402C542D,
    "TIOCGPTN": 0x80045430,
    "TIOCSPTLCK": 0x40045431,
    "TIOCSIG": 0x40045436,
    "TIOCGPKT": 0x80045438,
    "TIOCGPTLCK": 0x80045439,
    "TIOCGEXCL": 0x80045440,
    "TIOCGPTPEER": 0x5441,
}
_DESCRIPTOR = {
    "FIONREAD": 0x541B,  # SIOCINQ
    "FIONBIO": 0x5421,
    "FIONCLEX": 0x5450,
    "FIOCLEX": 0x5451,
    "FIOASYNC": 0x5452,
    "FIOQSIZE": 0x5460,
    "FIOSETOWN": 0x8901,
    "FIOGETOWN": 0x8903,
}
_FILE = {
    "FICLONE": 0x40049409,
    "FICLONERANGE": 0x4020940D,
    "FS_IOC_GETFLAGS": 0x80086601,
    "FS_IOC_FSGETXATTR": 0x801C581F,
    "RNDGETENTCNT": 0x80045200,
}
_SOCKET_REQUEST = {
    "SIOCSPGRP": 0x8902,
    "SIOCGPGRP": 0x8904,
    "SIOCATMARK": 0x8905,
    "SIOCGSTAMP": 0x8906,
    "SIOCGSTAMPNS": 0x8907,
    "SIOCGIFNAME": 0x8910,
    "SIOCGIFCONF": 0x8912,
    "SIOCGIFFLAGS": 0x8913,
    "SIOCGIFADDR": 0x8915,
    "SIOCGIFDSTADDR": 0x8917,
    "SIOCGIFBRDADDR": 0x8919,
    "SIOCGIFNETMASK": 0x891B,
    "SIOCGIFMETRIC": 0x891D,
    "SIOCGIFMTU": 0x8921,
    "SIOCGIFHWADDR": 0x8927,
    "SIOCGIFINDEX": 0x8933,
    "SIOCGIFTXQLEN": 0x8942,
    "SIOCGIFMAP": 0x8970,
}
IOCTL = In(1, _TERMINAL | _DESCRIPTOR | _FILE | _SOCKET_REQUEST)

# ---- names ----

NO_PATH = Equal(1, 0, width=64)
"""A null pointer where a path is expected: the call is about the descriptor, or EFAULT. An empty path would have to be read."""

# fcntl.h. Of O_PATH the kernel keeps no access mode, whatever else is asked for.
_O_PATH = 0o10000000
_WITH_DIRECTORY = 0o4000 | 0o400 | 0o100000 | 0o40000 | 0o400000 | 0o1000000 | 0o2000000
"""O_NONBLOCK O_NOCTTY O_LARGEFILE O_DIRECT O_NOFOLLOW O_NOATIME O_CLOEXEC: what an open with O_DIRECTORY may have besides, to be one of a
directory that is read. With O_CREAT, O_TRUNC, O_TMPFILE (which has O_DIRECTORY's bit) or to write it is something else."""


def _path_only(arg: int) -> Rule:
    return Not(MaskZero(arg, {"O_PATH": _O_PATH}))


def _directory(arg: int) -> Rule:
    return In(arg, {"O_DIRECTORY": 0o200000}, mask=~_WITH_DIRECTORY)


OPEN_PATH_ONLY, OPENAT_PATH_ONLY = _path_only(1), _path_only(2)
OPEN_DIRECTORY, OPENAT_DIRECTORY = AnyOf(_path_only(1), _directory(1)), AnyOf(_path_only(2), _directory(2))
"""What may come of it is in a register, whatever the path says: a place without access, or a list of names."""

NO_ADDRESS = Equal(4, 0, width=64)
"""sendto, recvfrom."""

NO_PEER_ADDRESS = Equal(1, 0, width=64)
"""accept, accept4."""

# ---- socket.h, in.h: socket(2), socketpair(2) ----
# AF_UNIX and AF_NETLINK check type and protocol themselves and load no module for them. No MPTCP, SCTP, DCCP, UDP-Lite, L2TP; of
# netlink only routes: nf_tables, xfrm and the generic families are where the bugs are.

UNIX = Equal(0, 1)
_INET = In(0, {"AF_INET": 2, "AF_INET6": 10})
_NETLINK = Equal(0, 16)
_STREAM = Equal(1, 1, mask=0xF)  # SOCK_TYPE_MASK: without SOCK_NONBLOCK and SOCK_CLOEXEC
_DGRAM = Equal(1, 2, mask=0xF)
SOCKET = AnyOf(
    UNIX,
    AllOf(_INET, _STREAM, In(2, {"0": 0, "IPPROTO_TCP": 6})),
    AllOf(_INET, _DGRAM, In(2, {"0": 0, "IPPROTO_UDP": 17})),
    AllOf(Equal(0, 2), _DGRAM, Equal(2, 1)),  # IPPROTO_ICMP: what ping uses without privilege
    AllOf(Equal(0, 10), _DGRAM, Equal(2, 58)),  # IPPROTO_ICMPV6
    AllOf(_NETLINK, Equal(2, 0)),  # NETLINK_ROUTE
)
SOCKET_RAW = AnyOf(Equal(0, 17), AllOf(_INET, In(1, {"SOCK_RAW": 3, "SOCK_PACKET": 10}, mask=0xF)))
"""AF_PACKET, and what needs CAP_NET_RAW elsewhere."""

SOCKET_PROTOCOL = AnyOf(_NETLINK, AllOf(_INET, AnyOf(_STREAM, _DGRAM)))
"""Where it is the protocol that is refused."""

INET = _INET

NOT_OOB_2 = MaskZero(2, {"MSG_OOB": 1})
"""sendmsg, recvmsg."""
NOT_OOB_3 = MaskZero(3, {"MSG_OOB": 1})
"""sendto, recvfrom, sendmmsg, recvmmsg."""

# ---- socket.h, tcp.h, in.h, in6.h, netlink.h: setsockopt(2), getsockopt(2) ----

_SOL_SOCKET = {
    "SO_REUSEADDR": 2,
    "SO_DONTROUTE": 5,
    "SO_BROADCAST": 6,
    "SO_SNDBUF": 7,
    "SO_RCVBUF": 8,
    "SO_KEEPALIVE": 9,
    "SO_OOBINLINE": 10,
    "SO_PRIORITY": 12,
    "SO_LINGER": 13,
    "SO_REUSEPORT": 15,
    "SO_PASSCRED": 16,
    "SO_RCVLOWAT": 18,
    "SO_SNDLOWAT": 19,
    "SO_RCVTIMEO_OLD": 20,
    "SO_SNDTIMEO_OLD": 21,
    "SO_BINDTODEVICE": 25,  # of its own network namespace; without privilege since Linux 5.7
    "SO_TIMESTAMP_OLD": 29,
    "SO_PASSSEC": 34,
    "SO_TIMESTAMPNS_OLD": 35,
    "SO_RXQ_OVFL": 40,
    "SO_INCOMING_CPU": 49,
    "SO_BINDTOIFINDEX": 62,
    "SO_TIMESTAMP_NEW": 63,
    "SO_TIMESTAMPNS_NEW": 64,
    "SO_RCVTIMEO_NEW": 66,
    "SO_SNDTIMEO_NEW": 67,
    "SO_PASSPIDFD": 76,
}
# Not SO_ATTACH_FILTER, SO_ATTACH_BPF, SO_ATTACH_REUSEPORT_*, SO_LOCK_FILTER: programs in the kernel. Not SO_ZEROCOPY,
# SO_TXTIME, SO_TIMESTAMPING, SO_PEEK_OFF, SO_BUSY_POLL, SO_MARK, SO_*BUFFORCE, SO_DEBUG: much code for few callers, who go
# on without, or privileged.
_SOL_SOCKET_GET = {
    "SO_TYPE": 3,
    "SO_ERROR": 4,
    "SO_NO_CHECK": 11,
    "SO_PEERCRED": 17,
    "SO_PEERNAME": 28,
    "SO_ACCEPTCONN": 30,
    "SO_PEERSEC": 31,
    "SO_MARK": 36,
    "SO_PROTOCOL": 38,
    "SO_DOMAIN": 39,
    "SO_MEMINFO": 55,
    "SO_INCOMING_NAPI_ID": 56,  # the JVM asks at its start whether there is such an option; of its own network namespace
    "SO_COOKIE": 57,
    "SO_PEERGROUPS": 59,
    "SO_NETNS_COOKIE": 71,
    "SO_PEERPIDFD": 77,
}
_TCP = {
    "TCP_NODELAY": 1,
    "TCP_MAXSEG": 2,
    "TCP_CORK": 3,
    "TCP_KEEPIDLE": 4,
    "TCP_KEEPINTVL": 5,
    "TCP_KEEPCNT": 6,
    "TCP_SYNCNT": 7,
    "TCP_LINGER2": 8,
    "TCP_DEFER_ACCEPT": 9,
    "TCP_WINDOW_CLAMP": 10,
    "TCP_QUICKACK": 12,
    "TCP_CONGESTION": 13,
    "TCP_THIN_LINEAR_TIMEOUTS": 16,
    "TCP_USER_TIMEOUT": 18,
    "TCP_NOTSENT_LOWAT": 25,
    "TCP_INQ": 36,
}
# Never TCP_ULP (kernel TLS), TCP_REPAIR*, TCP_MD5SIG*, TCP_AO*, TCP_ZEROCOPY_RECEIVE. Not TCP_FASTOPEN*: servers log it and
# go on.
_TCP_GET = {"TCP_INFO": 11, "TCP_CC_INFO": 26}
_IP = {
    "IP_TOS": 1,
    "IP_TTL": 2,
    "IP_PKTINFO": 8,
    "IP_MTU_DISCOVER": 10,
    "IP_RECVERR": 11,
    "IP_RECVTTL": 12,
    "IP_RECVTOS": 13,
    "IP_FREEBIND": 15,
    "IP_RECVORIGDSTADDR": 20,
    "IP_MINTTL": 21,
    "IP_BIND_ADDRESS_NO_PORT": 24,
    "IP_RECVFRAGSIZE": 25,
    "IP_MULTICAST_IF": 32,
    "IP_MULTICAST_TTL": 33,
    "IP_MULTICAST_LOOP": 34,
    "IP_ADD_MEMBERSHIP": 35,
    "IP_DROP_MEMBERSHIP": 36,
    "IP_ADD_SOURCE_MEMBERSHIP": 39,
    "IP_DROP_SOURCE_MEMBERSHIP": 40,
    "MCAST_JOIN_GROUP": 42,
    "MCAST_LEAVE_GROUP": 45,
    "MCAST_JOIN_SOURCE_GROUP": 46,
    "MCAST_LEAVE_SOURCE_GROUP": 47,
    "IP_MULTICAST_ALL": 49,
    "IP_UNICAST_IF": 50,
    "IP_LOCAL_PORT_RANGE": 51,
}
# Never IPT_SO_*, ARPT_SO_*, EBT_SO_*, MRT_* (from 64 on), IP_IPSEC_POLICY, IP_XFRM_POLICY, IP_OPTIONS, IP_MSFILTER,
# IP_TRANSPARENT.
_IP_GET = {"IP_OPTIONS": 4, "IP_MTU": 14}  # sshd asks whether a peer uses source routing
_IPV6 = {
    "IPV6_UNICAST_HOPS": 16,
    "IPV6_MULTICAST_IF": 17,
    "IPV6_MULTICAST_HOPS": 18,
    "IPV6_MULTICAST_LOOP": 19,
    "IPV6_ADD_MEMBERSHIP": 20,
    "IPV6_DROP_MEMBERSHIP": 21,
    "IPV6_MTU_DISCOVER": 23,
    "IPV6_MTU": 24,
    "IPV6_RECVERR": 25,
    "IPV6_V6ONLY": 26,
    "IPV6_MULTICAST_ALL": 29,
    "MCAST_JOIN_GROUP": 42,
    "MCAST_LEAVE_GROUP": 45,
    "MCAST_JOIN_SOURCE_GROUP": 46,
    "MCAST_LEAVE_SOURCE_GROUP": 47,
    "IPV6_RECVPKTINFO": 49,
    "IPV6_PKTINFO": 50,
    "IPV6_RECVHOPLIMIT": 51,
    "IPV6_HOPLIMIT": 52,
    "IPV6_RECVPATHMTU": 60,
    "IPV6_DONTFRAG": 62,
    "IPV6_RECVTCLASS": 66,
    "IPV6_TCLASS": 67,
    "IPV6_AUTOFLOWLABEL": 70,
    "IPV6_ADDR_PREFERENCES": 72,
    "IPV6_MINHOPCOUNT": 73,
    "IPV6_RECVORIGDSTADDR": 74,
    "IPV6_UNICAST_IF": 76,
    "IPV6_RECVFRAGSIZE": 77,
    "IPV6_FREEBIND": 78,
}
# Never IP6T_SO_*, MRT6_*, IPV6_ADDRFORM, IPV6_RTHDR and the other extension headers, IPV6_FLOWLABEL_MGR, policies, anycast.
_IPV6_GET = {"IPV6_PATHMTU": 61}
_NETLINK_OPTION = {
    "NETLINK_ADD_MEMBERSHIP": 1,
    "NETLINK_DROP_MEMBERSHIP": 2,
    "NETLINK_PKTINFO": 3,
    "NETLINK_BROADCAST_ERROR": 4,
    "NETLINK_NO_ENOBUFS": 5,
    "NETLINK_CAP_ACK": 10,
    "NETLINK_EXT_ACK": 11,
    "NETLINK_GET_STRICT_CHK": 12,
}
_NETLINK_GET = {"NETLINK_LIST_MEMBERSHIPS": 9}

SETSOCKOPT = AnyOf(
    AllOf(Equal(1, 1), In(2, _SOL_SOCKET)),
    AllOf(Equal(1, 6), In(2, _TCP)),
    AllOf(Equal(1, 0), In(2, _IP)),
    AllOf(Equal(1, 41), In(2, _IPV6)),
    AllOf(Equal(1, 270), In(2, _NETLINK_OPTION)),
)
"""Level and name. Not SOL_UDP: segmentation offload and corking are an optimisation that libraries probe for."""

GETSOCKOPT = AnyOf(
    AllOf(Equal(1, 1), In(2, _SOL_SOCKET | _SOL_SOCKET_GET)),
    AllOf(Equal(1, 6), In(2, _TCP | _TCP_GET)),
    AllOf(Equal(1, 0), In(2, _IP | _IP_GET)),
    AllOf(Equal(1, 41), In(2, _IPV6 | _IPV6_GET)),
    AllOf(Equal(1, 270), In(2, _NETLINK_OPTION | _NETLINK_GET)),
)
